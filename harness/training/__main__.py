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

import torch
from rich.console import Console

from harness import files, weights
from harness.collect.corpora import Sampled
from harness.collect.written import WrittenText
from harness.config import build, compose
from harness.config.settings import TuneSettings
from harness.jobs.tools import Remembering, wrap_models
from harness.models.meter import Meter
from harness.models.store import Store
from harness.models.tuned.model import read_adapter, restore
from harness.models.tuned.network import TunedNetwork
from harness.models.tuned.text import Tokenizer
from harness.progress import ProgressReporter
from harness.report import page
from harness.training import calibrate, judge, making, robust, sources
from harness.training.examples import Examples
from harness.training.scenes import Scenes
from harness.training.train import Batches, Trainer, Training
from harness.training.voices import Voices
from harness.types import NeuroglossError, Progress

TRIED, TEXTS = 1, 3
"""Concepts of each held-out family, and texts of a concept, that are judged at each checkpoint."""

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
    _check(settings)
    folder = Path(settings.folder)
    texts = write_texts(settings, folder / "texts", progress)
    training = _training(settings)
    tokenizer = Tokenizer.of(weights.load_tokenizer(training.base))
    examples = making.examples_from(texts, tokenizer, settings.seed, training.workers)
    network = _trained(settings, training, examples)
    calibration = calibrate.fit(network, examples, training.seed, voices=Voices(examples, Scenes()))
    base = weights.identify(training.base).name
    making.write_adapter(network, network.architecture, calibration, base, Path(settings.adapter))
    _judge(settings, examples)


def _check(settings: TuneSettings) -> None:
    for key in ("network", "training", "judge"):
        build.check(getattr(settings, key), key, "training")
    for name, node in settings.judged.items():
        build.check(node, f"judged.{name}", "simulator")


def _trained(settings: TuneSettings, training: Training, examples: Examples) -> TunedNetwork:
    """Return the network after its training, with figures of held-out hands in the log at each checkpoint."""
    torch.manual_seed(training.seed)
    base = weights.load(training.base, dtype=settings.dtype).model.model
    architecture = build.assemble(settings.network)
    pieces = examples.tokenizer.pieces if architecture.spelled else ()
    network = TunedNetwork(base, architecture, pieces).to(training.device)
    start = read_adapter(settings.start) if settings.start else None
    if start:
        restore(network, start, strict=False)
    inputs = (settings.network, settings.training, start and start.digest, settings.dtype, _texts_origin(settings))
    trainer = Trainer(network, training, Path(settings.folder), _origin(inputs))
    read = making.network_reader(network, examples.tokenizer)
    trials = list(robust.trials(Voices(examples, Scenes(), held=True), TRIED, TEXTS, training.seed))
    trainer.run(
        Batches(examples, training, network.pieces, Voices(examples, Scenes())),
        watch=lambda _: dataclasses.asdict(robust.figures(robust.judged(trials, read))),
    )
    return network


def _judge(settings: TuneSettings, examples: Examples) -> None:
    """Write the figures of the judged simulators on held-out families and hands, and print those in short."""
    folder, judging = Path(settings.folder), build.assemble(settings.judge)
    trials = list(robust.trials(Voices(examples, Scenes(), held=True), TRIED, judging.texts // 2, judging.seed))
    with Store(folder / "readings.sqlite") as store:
        wrap = wrap_models(Remembering(store, Meter()))
        simulators = {name: build.assemble(node, f"judged.{name}", wrap) for name, node in settings.judged.items()}
        verdicts = judge.verdicts(simulators, examples, judging)
        hands = {
            name: robust.plain(robust.judged(trials, judge.reader(simulator))) for name, simulator in simulators.items()
        }
    files.write_whole(folder / "judge.json", json.dumps({"families": verdicts, "hands": hands}, indent=1).encode())
    report = judge.page_of(verdicts)
    tables = (*report.tables, robust.table(hands))
    files.write_whole(folder / "judge.md", page.markdown_page(dataclasses.replace(report, tables=tables)).encode())
    console.print(page.terminal_table(report.tables[0]))
    console.print(page.terminal_table(tables[-1]))


def write_texts(settings: TuneSettings, folder: Path, progress: Progress) -> list[str]:
    """Return the texts that the subject writes for the corpus; writing goes on where it was stopped.

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
        if isinstance(corpus, Sampled):
            corpus.written = WrittenText(folder / "begun", _texts_origin(settings))
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


def _training(settings: TuneSettings) -> Training:
    training: Training = build.assemble(settings.training)
    return dataclasses.replace(training, each=(training.each[0], training.each[1]))


if __name__ == "__main__":
    started = time.monotonic()
    status = main(sys.argv[1:])
    console.print(f"{time.monotonic() - started:.0f} s")
    raise SystemExit(status)
