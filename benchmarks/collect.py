"""Measure the speed of collecting all units, against the bare forward pass and against EleutherAI's delphi.

``--unit neuron`` (all MLP neurons), ``--unit head`` (all heads, against the forward pass with eager attention, which
gives weights), ``--unit latent`` (the 4,096 latents of one dictionary of the residual stream).

Run it by hand, on a quiet machine: ``python benchmarks/collect.py``. All sides read the same random tokens on the same
random GPT-2, in one process and in turns. ``--scaling`` also prints the cost by tokens, neurons, k and excerpt length.
On a machine that is not quiet, ``--cpu-time`` measures the processor time of one thread in place of wall time.

delphi is measured if it can be imported. All its dependencies take gigabytes; its cache needs only these:
``pip install --no-deps --target FOLDER eai-delphi eai-sparsify jaxtyping wadler-lindig simple-parsing docstring-parser
orjson asyncer sniffio blobfile pycryptodomex lxml faiss-cpu sentence-transformers scikit-learn joblib threadpoolctl
urllib3 narwhals``; then run with ``PYTHONPATH=FOLDER``.

The last line is one JSON object:

* ``ratio_to_forward``: wall time of a collection (top 20, random sample, quantiles, moments) divided by that of the
  transformer's body alone, the median over rounds.
* ``speedup_over_delphi``: wall time a token of delphi's cache of the same activations, divided by ours; null if
  ``eai-delphi`` is not installed.
* ``peak_mb``: peak memory of the process, all sides and the model included.
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel

from harness.collect.corpora import Document, TextModel
from harness.collect.corpus_pass import blank, read
from harness.collect.sample import All, Stratified, UnitSample
from harness.subjects.heads import Heads
from harness.subjects.latents import Latents
from harness.subjects.neurons import Neurons
from harness.subjects.partial import PartialModel
from harness.subjects.transformers_subject import TransformersSubject
from harness.tasks.collected import CollectionSettings
from harness.types import Identity, Progress, UnitKind

LAYERS, WIDTH, VOCABULARY = 6, 384, 50257
LATENTS = 4096
TURN = 4  # batches that a side reads in its turn


class RandomSubject(TransformersSubject):
    """A GPT-2 with random weights; the text of a token is its number."""

    def __init__(self, unit: UnitKind) -> None:
        super().__init__("random gpt2", unit=unit)
        config = GPT2Config(n_layer=LAYERS, n_embd=WIDTH, n_head=6, vocab_size=VOCABULARY, n_positions=1024)
        torch.manual_seed(0)
        self.network = GPT2LMHeadModel(config).eval()
        if isinstance(unit, Heads):
            self.network.set_attn_implementation("eager")
        self.__dict__.update(_model=PartialModel(self.network), _identity=Identity("random gpt2", "0"))

    def token_text(self, token_id: int) -> str:
        return f"{token_id} "


def kind_of(name: str, folder: Path) -> UnitKind:
    """Return the kind of unit that is measured; the files of a random dictionary are written into a folder."""
    if name == "head":
        return Heads()
    if name == "neuron":
        return Neurons()
    generator = torch.Generator().manual_seed(0)
    encoder = torch.randn(WIDTH, LATENTS, generator=generator) / WIDTH**0.5
    tensors = {"W_enc": encoder, "W_dec": encoder.T.contiguous(), "b_enc": torch.full((LATENTS,), -2.0)}
    save_file({**tensors, "b_dec": torch.zeros(WIDTH)}, folder / "sae_weights.safetensors")
    hook = f"blocks.{LAYERS - 1}.hook_resid_post"  # of the highest layer, so that both sides run all of them
    (folder / "cfg.json").write_text(json.dumps({"metadata": {"hook_name": hook}}))
    return Unchecked(str(folder))


class Unchecked(Latents):
    """Latents of a random dictionary, which fits nothing, and is not refused for it."""

    def check(self, model: PartialModel, ids: torch.Tensor) -> None:
        """Refuse nothing."""


class Numbers:
    """Documents of random tokens, drawn from Zipf's distribution."""

    def __init__(self, tokens: int, length: int) -> None:
        generator = np.random.default_rng(0)
        self.token_ids = np.minimum(generator.zipf(1.2, (tokens // length, length)), VOCABULARY) - 1

    def of(self, rows: slice) -> Numbers:
        """Return a corpus of some of the documents."""
        selection = copy.copy(self)
        selection.token_ids = self.token_ids[rows]
        return selection

    def documents(self, model: TextModel, progress: Progress) -> Iterator[Document]:  # noqa: ARG002  # text needs none
        for number, row in enumerate(self.token_ids.tolist()):
            yield Document(str(number), tuple(row))


def main() -> None:
    options = _options()
    if options.cpu_time:
        torch.set_num_threads(1)
        global _clock  # noqa: PLW0603  # one clock for the whole run
        _clock = time.process_time
    with tempfile.TemporaryDirectory() as folder:
        subject = RandomSubject(kind_of(options.unit, Path(folder)))
        len(subject.units)  # reads the dictionary
    corpus = Numbers(options.tokens, options.length)
    settings = CollectionSettings(
        excerpt_tokens=options.length, top=20, random=15, quantile=5, batch_size=options.batch, token_sums=False
    )
    warming = Numbers(TURN * options.batch * options.length, options.length)
    _in_turns(subject, warming, settings, All())  # starts threads and loads compiled loops
    ratios, collections = [], []
    for number in range(options.rounds):
        forward, collection = _in_turns(subject, corpus, settings, All())
        collections.append(collection)
        ratios.append(collection / forward)
        print(
            f"round {number + 1}: forward {forward:.1f} s, collection {collection:.1f} s, ratio {ratios[-1]:.3f}",
            flush=True,
        )
    print(f"peak memory after our side: {_peak():.0f} MB; {torch.get_num_threads()} threads")
    if options.scaling:
        _scaling(subject, options.batch)
    delphi = None
    if options.unit == "neuron":
        delphi = _delphi(subject, corpus, options.delphi_tokens, options.batch)
    speedup = delphi and delphi / (statistics.median(collections) / options.tokens)
    report = {"ratio_to_forward": statistics.median(ratios), "speedup_over_delphi": speedup, "peak_mb": _peak()}
    print(json.dumps({key: value and round(value, 3) for key, value in report.items()}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unit", choices=("neuron", "head", "latent"), default="neuron")
    parser.add_argument("--tokens", type=int, default=262_144)
    parser.add_argument("--length", type=int, default=64, help="of an excerpt")
    parser.add_argument("--batch", type=int, default=32, help="excerpts read together, on both sides")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delphi-tokens", type=int, default=16_384, help="it takes 74 kB of memory for each")
    parser.add_argument("--cpu-time", action="store_true", help="of one thread, for a machine that is not quiet")
    parser.add_argument("--scaling", action="store_true", help="also measure how cost grows")
    return parser.parse_args()


_clock = time.perf_counter


def _timed(work: Callable[[], object]) -> float:
    began = _clock()
    work()
    return _clock() - began


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@torch.inference_mode()
def _forward(subject: RandomSubject, corpus: Numbers, batch: int) -> None:
    """Run the transformer's body alone, on the same batches."""
    for first in range(0, len(corpus.token_ids), batch):
        subject.network.transformer(
            input_ids=torch.from_numpy(corpus.token_ids[first : first + batch]), use_cache=False
        )


def _collected(
    subject: RandomSubject, turns: Turns, settings: CollectionSettings, sample: UnitSample
) -> dict[str, Any]:
    """Return the state of a complete collection, as it is merged or saved."""
    sketch = blank(subject, sample.candidates(subject.units), settings)
    read(sketch, subject, turns, settings)
    if sketch.read != len(turns.corpus.token_ids):
        raise AssertionError("some excerpts were not read")
    return sketch.state()


class Turns:
    """A corpus that runs the bare forward pass on the documents of each turn after it has yielded them.

    Both sides are therefore measured within seconds of each other, under the same load of the machine.

    Args:
        corpus: the documents.
        forward: runs the bare forward pass.
        documents: number of documents in a turn.
    """

    def __init__(self, corpus: Numbers, forward: Callable[[Numbers], None], documents: int) -> None:
        self.corpus, self.forward, self.turn = corpus, forward, documents
        self.seconds = 0.0

    def documents(self, model: TextModel, progress: Progress) -> Iterator[Document]:
        """Yield the documents of the corpus, and add the time of the forward passes to ``seconds``."""
        for number, document in enumerate(self.corpus.documents(model, progress), start=1):
            yield document
            if number % self.turn == 0:
                rows = self.corpus.of(slice(number - self.turn, number))
                self.seconds += _timed(lambda: self.forward(rows))  # noqa: B023  # called at once


def _in_turns(
    subject: RandomSubject, corpus: Numbers, settings: CollectionSettings, sample: UnitSample
) -> tuple[float, float]:
    """Return the seconds of the bare forward pass and of the collection, over the same tokens and in turns."""
    batch = settings.batch_size
    turns = Turns(corpus, lambda rows: _forward(subject, rows, batch), batch * TURN)
    total = _timed(lambda: _collected(subject, turns, settings, sample))
    return turns.seconds, total - turns.seconds


def _scaling(subject: RandomSubject, batch: int) -> None:
    """Print a table of the cost beyond the forward pass, with one setting changed in each row."""
    base: dict[str, int] = {"tokens": 65_536, "length": 64, "top": 20, "neurons": len(subject.units)}
    changes = [{}, {"tokens": 32_768}, {"tokens": 131_072}, {"length": 32}, {"length": 128}, {"top": 5}, {"top": 80}]
    print(f"{'tokens':>8} {'length':>7} {'top':>4} {'neurons':>8} {'us a token beyond forward':>26} {'ratio':>6}")
    for change in [*changes, {"neurons": 384}, {"neurons": 3072}]:
        case = {**base, **change}
        corpus, rows = Numbers(case["tokens"], case["length"]), max(1, batch * 64 // case["length"])
        settings = CollectionSettings(
            excerpt_tokens=case["length"], top=case["top"], quantile=5, batch_size=rows, token_sums=False
        )
        sample: UnitSample = Stratified(case["neurons"] // LAYERS, 0) if "neurons" in change else All()
        forward, collection = _in_turns(subject, corpus, settings, sample)
        beyond = 1e6 * (collection - forward) / case["tokens"]
        print(
            f"{case['tokens']:8} {case['length']:7} {case['top']:4} {case['neurons']:8} {beyond:26.1f} "
            f"{collection / forward:6.3f}",
            flush=True,
        )


def _delphi(subject: RandomSubject, corpus: Numbers, tokens: int, batch: int) -> float | None:
    """Return the seconds a token of delphi's cache of the same activations, written to disk; None without delphi."""
    try:
        from delphi.latents import LatentCache
    except ImportError as error:
        print(f"delphi is not installed ({error}; see --help); it is not measured")
        return None

    rows = corpus.token_ids[: tokens // corpus.token_ids.shape[1]]
    hooks: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        f"h.{layer}.mlp.act": lambda activations: activations for layer in range(LAYERS)
    }
    cache = LatentCache(subject.network.transformer, hooks, batch_size=batch)
    with tempfile.TemporaryDirectory() as folder:
        seconds = _timed(lambda: _cached(cache, rows, Path(folder)))
    if sum(map(len, cache.cache.tokens.values())) != LAYERS * (len(rows) // batch * batch):
        raise AssertionError("delphi did not read every excerpt")
    print(f"delphi: {rows.size} tokens in {seconds:.1f} s")
    return seconds / rows.size


def _cached(cache: Any, rows: Sequence[Any], folder: Path) -> None:
    cache.run(rows.size, torch.from_numpy(rows))  # type: ignore[attr-defined]
    cache.save_splits(n_splits=1, save_dir=folder)


if __name__ == "__main__":
    main()
