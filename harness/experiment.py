"""One run, from a composed config to files: check, build, run the stages, summarise, write, publish, track.

:func:`prepare` finds every mistake that can be found without work; :func:`run` does the work. :func:`collect` is the
same for a collection.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from harness import build, config, pipeline, provenance, publish, results, stats, tasks, track
from harness.config import BudgetSettings, CollectSettings, RunSettings
from harness.models.backend import Backend, StoredModel
from harness.models.meter import Meter
from harness.models.store import Store, answered, numbers
from harness.report import board
from harness.types import (
    Explainer,
    Identity,
    LanguageModel,
    NeuroglossError,
    Progress,
    Replacement,
    ScoredExplanation,
    Simulator,
    Subject,
    Summary,
    Task,
)


@dataclass(frozen=True, eq=False)
class Plan:
    """A run that can begin: its config as it may be shown, the settings made of it, and the hash that names it."""

    config: Mapping[str, Any]
    settings: RunSettings
    run_id: str


def prepare(composed: DictConfig) -> Plan:
    """Refuse whatever can be refused before any work, with a sentence that says what to write instead."""
    values = config.plain(composed)
    shown = provenance.redact(values)
    settings: RunSettings = config.settings_from(RunSettings, values)
    if not settings.explainer:
        raise NeuroglossError("no explainer is chosen; add explainer=max_activation, for example.")
    for name, node in settings.explainer.items():
        build.check(node, f"explainer.{name}")
    build.check(settings.simulator, "simulator")
    build.check(settings.subject, "subject")
    track.check(settings.track)
    publish.check(settings.publish)
    return Plan(shown, settings, config.config_hash(values))


@dataclass(frozen=True, eq=False)
class CollectionPlan:
    """A collection that can begin: its config as it may be shown, the settings made of it, and the task's folder."""

    config: Mapping[str, Any]
    settings: CollectSettings
    folder: Path


def prepare_collection(composed: DictConfig) -> CollectionPlan:
    """Refuse whatever can be refused of a collection before any work."""
    values = config.plain(composed)
    shown = provenance.redact(values)
    settings: CollectSettings = config.settings_from(CollectSettings, values)
    for where in ("subject", "corpus", "sample", "collect"):
        build.check(values[where], where)
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*-v[1-9][0-9]*", settings.name):
        raise NeuroglossError(f"name is {settings.name!r}; a task is named like mine-v1, and a change of it mine-v2.")
    folder = Path(settings.output) / settings.name
    if folder.exists():
        raise NeuroglossError(f"{folder} exists, and a task is never changed; choose a new name.")
    return CollectionPlan(shown, settings, folder)


def collect(plan: CollectionPlan, progress: Progress) -> Path:
    """Read the corpus on the subject and freeze what was found as a task.

    Raises:
        NeuroglossError: the corpus is too small, the subject can not be read, or the disk is full; nothing is left.
    """
    from harness.subjects.collect import collect as read  # noqa: PLC0415  # torch takes seconds to import

    parts = {where: build.assemble(getattr(plan.settings, where)) for where in ("subject", "corpus", "sample")}
    found = read(**parts, settings=build.assemble(plan.settings.collect), progress=progress)
    made = {
        "config": {key: value for key, value in plan.config.items() if key != "output"},
        "packages": provenance.provenance()["packages"],
    }
    tasks.write_task(plan.folder, found, plan.settings.description, made)
    return plan.folder


class Ledger:
    """Seconds, tokens and dollars by stage; it is told the name of each stage as it begins."""

    def __init__(self, progress: Progress, budget: BudgetSettings) -> None:
        self.meter = Meter(budget.usd, budget.tokens, self._show)
        self.seconds: dict[str, float] = {}
        self.usage: dict[str, results.StageUsage] = {}
        self._progress = progress
        self._stage = ""
        self._since = time.monotonic()
        self._before = self.meter.totals

    def begin(self, stage: str) -> None:
        """End the stage before, and begin ``stage``."""
        now, totals = time.monotonic(), self.meter.totals
        if self._stage:
            self.seconds[self._stage] = now - self._since
            self.usage[self._stage] = results.StageUsage(
                spent=totals.spent - self._before.spent, saved=totals.saved - self._before.saved
            )
        self._stage, self._since, self._before = stage, now, totals

    def _show(self, what: str, done: int, total: int) -> None:
        self._progress(f"{self._stage}, {what}", done, total)


def run(plan: Plan, overrides: Sequence[str], progress: Progress) -> tuple[Path, results.Results]:
    """Do the work of a plan, and leave its folder.

    Args:
        plan: what :func:`prepare` made.
        overrides: the command line's, for the record.
        progress: told how far each stage is.

    Returns:
        The run's folder and its results.

    Raises:
        NeuroglossError: the task, a model, the budget or the disk stopped the run; every reply so far is stored.
    """
    settings = plan.settings
    task = tasks.read_task(tasks.find_task(settings.task.name, settings.task.path))
    neurons = settings.neurons
    records = tasks.select(task, neurons.layers, neurons.ids, neurons.limit)
    ledger, made = Ledger(progress, settings.budget), provenance.provenance(overrides)
    with Store(settings.store) as store:
        tools = _instruments(settings, task, store, ledger.meter)
        scored = pipeline.run(records, tools, settings.scores, ledger.begin)
    ledger.begin("summarise")
    found = _results(plan, task, tools, scored, _Record(ledger.seconds, ledger.usage, made))
    page = board.build(found)
    folder = results.write_run(
        Path(settings.output),
        found,
        board.markdown_page(page),
        [lambda draft: publish.write_dataset(found, settings.publish, draft)],
    )
    publish.publish(folder, settings.publish)
    track.track(found, settings.track, folder)
    return folder, found


# ---------------------------------------------------------------------------------------------------------- building


def _instruments(settings: RunSettings, task: Task, store: Store, meter: Meter) -> pipeline.Instruments:
    """What the config names, built; every language model answers by way of the store."""

    def remembering(built: Any) -> Any:
        return StoredModel(built, store, meter) if isinstance(built, Backend) else built

    explainers: dict[str, Explainer] = {
        name: build.assemble(node, remembering) for name, node in settings.explainer.items()
    }
    simulator: Simulator = build.assemble(settings.simulator, remembering)
    subject: Subject = build.assemble(settings.subject)
    if settings.scores.ablation:
        _check_subject(task, subject.identity)

    def divergences(replacements: Sequence[Replacement]) -> list[float]:
        kind = numbers("divergences")
        return answered(store, subject.identity, kind, replacements, subject.divergences, meter=meter)

    return pipeline.Instruments(explainers, simulator, divergences)


def _check_subject(task: Task, subject: Identity) -> None:
    """Ablation asks the very model whose activations the task holds."""
    if subject.revision != task.subject.revision:
        raise NeuroglossError(
            f"task {task.name} was recorded from {task.subject.name} ({task.subject.revision[:12]}), and subject.name "
            f"is {subject.name} ({subject.revision[:12]}); choose that subject, or add scores.ablation=false."
        )


# ----------------------------------------------------------------------------------------------------- what is left


@dataclass(frozen=True)
class _Record:
    """What a run has cost, and what it was made with."""

    seconds: Mapping[str, float]
    usage: Mapping[str, results.StageUsage]
    provenance: Mapping[str, object]


def _results(
    plan: Plan,
    task: Task,
    tools: pipeline.Instruments,
    scored: Mapping[str, Sequence[ScoredExplanation]],
    record: _Record,
) -> results.Results:
    settings = plan.settings
    simulator = _simulator_info(tools.simulator)
    neurons = tuple(dict.fromkeys(one.explanation.neuron for found in scored.values() for one in found))
    return results.Results(
        run_id=plan.run_id,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        task=results.TaskInfo(task.name, task.digest, len(task.records), neurons),
        subject=task.subject,
        simulator=simulator,
        explainers=tuple(_explainer_info(name, tools.explainers[name], found) for name, found in scored.items()),
        summaries=tuple(
            _summary(name, tools.explainers[name], simulator.name, found, settings) for name, found in scored.items()
        ),
        scored={name: tuple(found) for name, found in scored.items()},
        seed=settings.seed,
        minimum_coverage=settings.scores.minimum_coverage,
        config=plan.config,
        provenance=record.provenance,
        seconds=record.seconds,
        usage=record.usage,
    )


def _summary(
    name: str, explainer: Explainer, simulator: str, scored: Sequence[ScoredExplanation], settings: RunSettings
) -> Summary:
    is_table = any(one.explanation.table is not None for one in scored)
    return stats.summarise(
        name,
        explainer.role,
        "lookup" if is_table else simulator,
        scored,
        seed=settings.seed,
        resamples=settings.scores.resamples,
    )


def _simulator_info(simulator: Simulator) -> results.SimulatorInfo:
    model: LanguageModel | None = getattr(simulator, "model", None)
    if model is None:
        return results.SimulatorInfo(simulator.name)
    version = getattr(simulator, "prompt_version", "")
    return results.SimulatorInfo(simulator.name, model.identity, model.identity.transport, model.levels(), version)


def _explainer_info(name: str, explainer: Explainer, scored: Sequence[ScoredExplanation]) -> results.ExplainerInfo:
    asked = getattr(explainer, "model", None) or getattr(getattr(explainer, "explainer", None), "model", None)
    versions = sorted({one.explanation.prompt_version for one in scored} - {""})
    return results.ExplainerInfo(name, explainer.role, asked and asked.identity, " ".join(versions))
