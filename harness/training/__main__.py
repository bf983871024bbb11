"""Make the tuned simulator: write texts, draw examples, train, calibrate, write the adapter, and judge it.

``python -m harness.training [OVERRIDE ...]`` composes ``conf/tune.yaml``. It goes on from where it was stopped.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from safetensors.torch import save

from harness import files, weights
from harness.config import build, compose
from harness.config.settings import TuneSettings
from harness.jobs.tools import Remembering, wrap_models
from harness.models.meter import Meter
from harness.models.store import Store
from harness.models.tuned.model import read_adapter, restore
from harness.models.tuned.network import Architecture, TunedNetwork
from harness.models.tuned.text import Tokenizer
from harness.progress import ProgressReporter
from harness.report import page
from harness.training import calibrate, judge, sources
from harness.training.examples import Examples, Pool, windows
from harness.training.families import Makers
from harness.training.train import Batches, Trainer, Training
from harness.training.wordnet import WordNet
from harness.types import NeuroglossError, Progress

SHORT, LONG = 34, 64
"""The most tokens of a text, in the two pools."""

console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)


def main(overrides: Sequence[str]) -> int:
    """Make the simulator that the overrides describe, and return the exit status."""
    try:
        settings: TuneSettings = compose.settings_from(TuneSettings, compose.plain(compose.composed("tune", overrides)))
        torch.set_num_threads(settings.threads or torch.get_num_threads())
        with ProgressReporter(console) as progress:
            make(settings, progress)
    except NeuroglossError as error:
        console.print(f"neurogloss: {error}", markup=False, soft_wrap=True)
        return 2
    return 0


def make(settings: TuneSettings, progress: Progress) -> None:
    """Write the texts, train on examples of them, write the adapter, and judge it.

    Args:
        settings: the whole run.
        progress: called with the number of texts written.

    Raises:
        NeuroglossError: a setting is invalid, or the folder holds the texts or checkpoints of other settings.
    """
    folder = Path(settings.folder)
    for key in ("network", "training", "judge"):
        build.check(getattr(settings, key), key, "training")
    for name, node in settings.judged.items():
        build.check(node, f"judged.{name}", "simulator")
    texts = write_texts(settings, folder / "texts", progress)
    tokenizer = Tokenizer.of(weights.load_tokenizer(weights.EMBEDDED))
    examples = examples_from(texts, tokenizer, settings.seed)
    architecture, training = build.assemble(settings.network), _training(settings)
    torch.manual_seed(training.seed)
    base = weights.load(weights.EMBEDDED, dtype=settings.dtype).model.model
    network = TunedNetwork(base, architecture, tokenizer.pieces)
    start = read_adapter(settings.start) if settings.start else None
    if start:
        restore(network, start, strict=False)
    inputs = (settings.network, settings.training, start and start.digest, settings.dtype, _texts_origin(settings))
    trainer = Trainer(network, training, folder, _origin(inputs))
    trainer.run(Batches(examples, training))
    calibration = calibrate.fit(network, examples, training.seed)
    write_adapter(network, architecture, calibration, Path(settings.adapter))
    with Store(folder / "readings.sqlite") as store:
        wrap = wrap_models(Remembering(store, Meter()))
        simulators = {name: build.assemble(node, wrap) for name, node in settings.judged.items()}
        verdicts = judge.verdicts(simulators, examples, build.assemble(settings.judge))
    files.write_whole(folder / "judge.json", json.dumps(verdicts, indent=1).encode())
    report = judge.page_of(verdicts)
    files.write_whole(folder / "judge.md", page.markdown_page(report).encode())
    console.print(page.terminal_table(report.tables[0]))


def write_texts(settings: TuneSettings, folder: Path, progress: Progress) -> list[str]:
    """Return the texts that the subject writes for the corpus; a finished file of them is read, never a partial one.

    Args:
        settings: ``subject``, ``corpus`` and ``seed`` decide the texts.
        folder: where the file of texts is.
        progress: called with the number of texts written.

    Raises:
        NeuroglossError: the file was written with other settings.
    """
    path, origin = folder / "written.jsonl", folder / "origin"
    if path.is_file() and (not origin.is_file() or origin.read_text("utf-8") != _texts_origin(settings)):
        raise NeuroglossError(f"{path} was written with other settings; name another folder, or delete {folder}.")
    if not path.is_file():
        for key in ("subject", "corpus"):
            build.check(getattr(settings, key), key)
        folder.mkdir(parents=True, exist_ok=True)
        subject, corpus = build.assemble(settings.subject), build.assemble(settings.corpus)
        decode = weights.load_tokenizer(weights.EMBEDDED).decode
        with files.whole_file(path) as file:
            for document in corpus.documents(subject, progress):
                line = json.dumps({"source": document.source, "text": decode(document.token_ids)})
                file.write(f"{line}\n".encode())
            origin.write_text(_texts_origin(settings), encoding="utf-8")
    return sources.written(folder)


def _texts_origin(settings: TuneSettings) -> str:
    """Return a digest of every setting that decides the texts and how they are cut."""
    return _origin((settings.subject, settings.corpus, settings.seed))


def _origin(values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def examples_from(texts: Sequence[str], tokenizer: Tokenizer, seed: int) -> Examples:
    """Return the examples over texts of the subject, sentences of WordNet and pieces of code."""
    wordnet = WordNet()
    documents = [*texts, *sources.examples(wordnet, seed), *sources.code()]
    makers = Makers(wordnet, sources.counts(documents))
    pools = [Pool(list(windows(documents, tokenizer, limit, seed)), limit) for limit in (SHORT, LONG)]
    return Examples(pools, makers, tokenizer)


def write_adapter(network: TunedNetwork, architecture: Architecture, calibration: calibrate.Fitted, path: Path) -> None:
    """Write the trained tensors in half precision, with the architecture and calibration as metadata."""
    metadata: dict[str, Any] = {
        "base": weights.EMBEDDED,
        "architecture": dataclasses.asdict(architecture),
        "temperature": calibration.temperature,
        "bias": list(calibration.bias),
    }
    tensors = {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in network.trained().items()}
    files.write_whole(path, save(tensors, metadata={"neurogloss": json.dumps(metadata), "format": "pt"}))


def _training(settings: TuneSettings) -> Training:
    training: Training = build.assemble(settings.training)
    return dataclasses.replace(training, each=(training.each[0], training.each[1]))


if __name__ == "__main__":
    started = time.monotonic()
    status = main(sys.argv[1:])
    console.print(f"{time.monotonic() - started:.0f} s")
    raise SystemExit(status)
