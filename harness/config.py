"""Structured configs: the schema that the YAML in ``conf/`` is checked against, and the settings made of it.

Settings are frozen dataclasses, defined once, next to what they set; :func:`schema` derives from them the open twins
that Hydra can override. Nodes that name a class (``_target_``) are the business of :mod:`harness.build`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from harness.audit.labels import LabelSettings
from harness.publish import PublishSettings
from harness.scores import ScoreSettings
from harness.track import TrackSettings
from harness.types import NeuroglossError

NOT_PART_OF_A_RUN = ("output", "store", "track", "publish")
"""Keys that say where results go, not what they are: two runs that differ only here are the same run."""


@dataclass(frozen=True)
class TaskSettings:
    """Which frozen task, and what a run needs to know of its kind.

    Attributes:
        name: of one among the task folders.
        path: of a folder elsewhere, or of a file of puzzles.
        minimum_count: how often a token must stand in what explainers are shown for a lookup to have a mean of it.
        limit: of a task of puzzles, at most so many, spread evenly over it; of neurons, ``neurons.limit`` says it.
        controls: of a task of puzzles, the simulators that stand beside the run's own on its board.
    """

    name: str = MISSING
    path: str | None = None
    minimum_count: int = 3
    limit: int | None = None
    controls: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NeuronSettings:
    """Which of the task's neurons: ``layers`` and ``ids`` keep those named, ``limit`` spreads over what is left."""

    layers: list[int] | None = None
    ids: list[str] | None = None
    limit: int | None = None


@dataclass(frozen=True)
class AskingSettings:
    """How explainers ask their models, the same for all of a run: the best of few and the best of many do not compare.

    Attributes:
        candidates: how many explanations each may try for a neuron; the best on calibration excerpts is kept.
        temperature: of the sampling; above 0 where there are several candidates.
    """

    candidates: int = 1
    temperature: float = 0.0


@dataclass(frozen=True)
class HumanSettings:
    """Explanations by people: a CSV, JSONL or Parquet ``file``; ``annotator`` keeps one person's."""

    file: str | None = None
    annotator: str | None = None


@dataclass(frozen=True)
class BudgetSettings:
    """What a run may spend on models; it stops cleanly before it would pass either limit."""

    usd: float | None = None
    tokens: int | None = None


@dataclass(frozen=True)
class RunSettings:
    """One run, complete: the same settings give the same results."""

    subject: dict[str, Any] = field(default_factory=dict)
    task: TaskSettings = field(default_factory=TaskSettings)
    neurons: NeuronSettings = field(default_factory=NeuronSettings)
    explainer: dict[str, Any] = field(default_factory=dict)
    simulator: dict[str, Any] = field(default_factory=dict)
    scores: ScoreSettings = field(default_factory=ScoreSettings)
    asking: AskingSettings = field(default_factory=AskingSettings)
    human: HumanSettings = field(default_factory=HumanSettings)
    track: TrackSettings = field(default_factory=TrackSettings)
    publish: PublishSettings = field(default_factory=PublishSettings)
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    seed: int = 0
    output: str = "runs"
    store: str = "${output}/store.sqlite"


@dataclass(frozen=True)
class AuditSettings:
    """One audit of a run.

    Attributes:
        run: its folder; all that is not said here is as it was there.
        tests: which to make, by their names in :class:`harness.audit_results.Test`.
        explanations: by which explainer of the run the nulls are held against; the first of its board where it is None.
        labels: how labels are made and judged.
        nulls: how many draws of each null.
        repeats: how often the simulator is asked again.
        ablation: whether the subject is asked too, if the run asked it.
        budget: what the audit may spend on models.
        store: of the replies; the run's where it is None.
        seed: of shuffles, random words, the re-initialised weights and intervals.
    """

    run: str = "runs/latest"
    tests: list[str] = field(default_factory=list)
    explanations: str | None = None
    labels: LabelSettings = field(default_factory=LabelSettings)
    nulls: int = 2
    repeats: int = 2
    ablation: bool = True
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    store: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class CollectSettings:
    """One collection, complete: what :mod:`harness.subjects.collect` needs to freeze a task.

    Where ``released`` is given, records that others have published are fetched (:mod:`harness.released`), and nothing
    is read on a subject.

    ``worker`` of ``workers`` share the work; the state is saved every ``save_every`` batches. None of these three
    enters the task.
    """

    subject: dict[str, Any] = field(default_factory=dict)
    corpus: dict[str, Any] = field(default_factory=dict)
    sample: dict[str, Any] = field(default_factory=dict)
    collect: dict[str, Any] = field(default_factory=dict)
    released: dict[str, Any] = field(default_factory=dict)
    name: str = MISSING
    description: str = ""
    seed: int = 0
    output: str = "tasks"
    worker: int = 0
    workers: int = 1
    save_every: int = 64


@dataclass(frozen=True)
class TuneSettings:
    """One training of the tuned simulator, complete: what :mod:`harness.tuning` needs to make an adapter."""

    subject: dict[str, Any] = field(default_factory=dict)
    corpus: dict[str, Any] = field(default_factory=dict)
    network: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    judge: dict[str, Any] = field(default_factory=dict)
    judged: dict[str, Any] = field(default_factory=dict)
    folder: str = MISSING
    adapter: str = MISSING
    start: str | None = None
    dtype: str = "float32"
    seed: int = 0
    threads: int | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """A run that can begin: its config as it may be shown, the settings made of it, and the hash that names it."""

    config: Mapping[str, Any]
    settings: RunSettings
    run_id: str


def folder(name: str) -> Path:
    """``conf`` or ``tasks``: the repository's own folder where it stands beside the package, else the wheel's copy."""
    here = Path(__file__).resolve().parent
    beside = here.parent / name
    return beside if (here.parent / "pyproject.toml").is_file() and beside.is_dir() else here / "_data" / name


def schema(settings: type) -> type:
    """An open twin of a frozen settings dataclass, nested ones included: Hydra cannot override a frozen one."""
    hints = typing.get_type_hints(settings)
    fields = []
    for item in dataclasses.fields(settings):
        hint = hints[item.name]
        if dataclasses.is_dataclass(hint):
            twin = schema(typing.cast("type", hint))
            fields.append((item.name, twin, field(default_factory=twin)))
        elif item.default_factory is not dataclasses.MISSING:
            fields.append((item.name, hint, field(default_factory=item.default_factory)))
        else:
            fields.append((item.name, hint, field(default=item.default)))
    return dataclasses.make_dataclass(settings.__name__, fields)


def settings_from(kind: type[Any], values: Mapping[str, Any]) -> Any:
    """The frozen settings of ``kind`` from a resolved plain mapping, whose names and types the schema has checked."""
    hints = typing.get_type_hints(kind)
    return kind(
        **{
            name: settings_from(hints[name], value) if dataclasses.is_dataclass(hints[name]) else value
            for name, value in values.items()
        }
    )


def register() -> None:
    """Make the schemas known to Hydra under the names that ``conf/run.yaml`` and its likes start from."""
    store = ConfigStore.instance()
    store.store("run_schema", schema(RunSettings))
    store.store("collect_schema", schema(CollectSettings))
    store.store("tune_schema", schema(TuneSettings))
    store.store("audit_schema", schema(AuditSettings))


def plain(config: DictConfig) -> dict[str, Any]:
    """The config with every interpolation resolved, as plain values."""
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise NeuroglossError(f"the config leaves {missing[0]} open; add {missing[0]}=VALUE to the command.")
    return typing.cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True))


def config_hash(config: Mapping[str, Any]) -> str:
    """A digest of everything in the config that can change results; a run's folder is named by it."""
    kept = {key: value for key, value in config.items() if key not in NOT_PART_OF_A_RUN}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]
