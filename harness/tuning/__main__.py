"""Make the tuned simulator: write texts, draw examples, train, calibrate, judge, and leave an adapter.

``python -m harness.tuning [OVERRIDE ...]`` composes ``conf/tune.yaml``. It goes on from where it was stopped.
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
from safetensors.torch import save_file

from harness import build, config, instruments, weights
from harness.config import TuneSettings
from harness.hydra_config import composed
from harness.models.meter import Meter
from harness.models.store import Store
from harness.models.tuned import read_adapter, restore
from harness.models.tuned_network import Architecture, TunedNetwork
from harness.models.tuned_text import Tokenizer
from harness.progress import ProgressReporter
from harness.report import page
from harness.tuning import calibrate, judge, sources
from harness.tuning.examples import Examples, Pool, windows
from harness.tuning.families import Makers
from harness.tuning.train import Batches, Trainer, Training
from harness.tuning.wordnet import WordNet
from harness.types import NeuroglossError, Progress

SHORT, LONG = 34, 64
"""Tokens of a text, in the two pools."""

console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)


def main(overrides: Sequence[str]) -> int:
    """Do all of it; the exit status."""
    try:
        settings: TuneSettings = config.settings_from(TuneSettings, config.plain(composed("tune", overrides)))
        torch.set_num_threads(settings.threads or torch.get_num_threads())
        with ProgressReporter(console) as progress:
            make(settings, progress)
    except NeuroglossError as error:
        console.print(f"neurogloss: {error}", markup=False, soft_wrap=True)
        return 2
    return 0


def make(settings: TuneSettings, progress: Progress) -> None:
    """Texts, then examples, then training, then the adapter and what the judge says of it."""
    folder = Path(settings.folder)
    for name, node in settings.judged.items():
        build.check(node, f"judged.{name}")
    texts = write_texts(settings, folder / "texts", progress)
    tokenizer = Tokenizer.of(weights.load_tokenizer(weights.EMBEDDED))
    examples = examples_from(texts, tokenizer, settings.seed)
    architecture, training = Architecture(**settings.network), _training(settings)
    torch.manual_seed(training.seed)
    base = weights.load(weights.EMBEDDED, dtype=settings.dtype).model.model
    network = TunedNetwork(base, architecture, tokenizer.pieces)
    start = read_adapter(settings.start) if settings.start else None
    if start:
        restore(network, start, strict=False)
    decided = (settings.network, settings.training, start and start.digest, settings.dtype, _texts_origin(settings))
    trainer = Trainer(network, training, folder, _origin(decided))
    trainer.run(Batches(examples, training))
    fitted = calibrate.fit(network, examples, training.seed)
    write_adapter(network, architecture, fitted, Path(settings.adapter))
    with Store(folder / "readings.sqlite") as store:
        remembering = instruments.remembering(store, Meter())
        simulators = {name: build.assemble(node, remembering) for name, node in settings.judged.items()}
        verdicts = judge.verdicts(simulators, examples, judge.JudgeSettings(**settings.judge))
    (folder / "judge.json").write_text(json.dumps(verdicts, indent=1), encoding="utf-8")
    found = judge.page_of(verdicts)
    (folder / "judge.md").write_text(page.markdown_page(found), encoding="utf-8")
    console.print(page.terminal_table(found.tables[0]))


def write_texts(settings: TuneSettings, folder: Path, progress: Progress) -> list[str]:
    """What SmolLM2 writes when it is asked as the corpus asks; kept in a file that is there whole or not at all."""
    path, origin = folder / "written.jsonl", folder / "origin"
    if path.is_file() and (not origin.is_file() or origin.read_text("utf-8") != _texts_origin(settings)):
        raise NeuroglossError(f"{path} was written with other settings; name another folder, or delete {folder}.")
    if not path.is_file():
        for where in ("subject", "corpus"):
            build.check(getattr(settings, where), where)
        folder.mkdir(parents=True, exist_ok=True)
        subject, corpus = build.assemble(settings.subject), build.assemble(settings.corpus)
        decode = weights.load_tokenizer(weights.EMBEDDED).decode
        draft = path.with_suffix(".draft")
        with draft.open("w", encoding="utf-8") as file:
            for document in corpus.documents(subject, progress):
                file.write(json.dumps({"source": document.source, "text": decode(document.token_ids)}) + "\n")
        origin.write_text(_texts_origin(settings), encoding="utf-8")
        draft.rename(path)
    return sources.written(folder)


def _texts_origin(settings: TuneSettings) -> str:
    """Names all that decides what is written and how it is cut."""
    return _origin((settings.subject, settings.corpus, settings.seed))


def _origin(values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def examples_from(texts: Sequence[str], tokenizer: Tokenizer, seed: int) -> Examples:
    """All that examples are drawn from."""
    wordnet = WordNet()
    documents = [*texts, *sources.examples(wordnet, seed), *sources.code()]
    makers = Makers(wordnet, sources.counts(documents))
    pools = [Pool(list(windows(documents, tokenizer, limit, seed)), limit) for limit in (SHORT, LONG)]
    return Examples(pools, makers, tokenizer)


def write_adapter(network: TunedNetwork, architecture: Architecture, fitted: calibrate.Fitted, path: Path) -> None:
    """Write what was trained in half precision, with what reading it needs to know."""
    about: dict[str, Any] = {
        "base": weights.EMBEDDED,
        "architecture": dataclasses.asdict(architecture),
        "temperature": fitted.temperature,
        "bias": list(fitted.bias),
    }
    tensors = {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in network.trained().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    save_file(tensors, draft, metadata={"neurogloss": json.dumps(about), "format": "pt"})
    draft.rename(path)


def _training(settings: TuneSettings) -> Training:
    values = dict(settings.training)
    return Training(**values | {"each": tuple(values["each"])})


if __name__ == "__main__":
    started = time.monotonic()
    status = main(sys.argv[1:])
    console.print(f"{time.monotonic() - started:.0f} s")
    raise SystemExit(status)
