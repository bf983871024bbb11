"""One run, from a composed config to files: check, build, run the stages, summarise, write, publish, track.

:func:`prepare` finds every mistake that can be found without work; :func:`run` does the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from harness import pipeline
from harness.config import build, compose
from harness.config.settings import CalibrationSettings, RunSettings, StudySettings
from harness.jobs import unused
from harness.jobs.explainers import explainer_nodes
from harness.jobs.following import Follower
from harness.jobs.ledger import Ledger
from harness.jobs.tools import Asking, Remembering, RunTools, build_tools
from harness.leaderboard import trust
from harness.models.store import Store
from harness.pipeline import Fitting
from harness.report import board, page, site
from harness.results import provenance, rows, truths
from harness.results.rows import Resampling
from harness.results.run import Results, Tables, compact_item, write_run, writing_tables
from harness.results.vocabulary import ResultRow, TaskInfo
from harness.share import dataset, publishing
from harness.share.tracker import Tracker
from harness.tasks import catalog
from harness.tasks.splits import units_of
from harness.types import (
    LOOKUP,
    CalibrationMethod,
    Identity,
    NeuroglossError,
    Progress,
    PuzzleTask,
    Record,
    RowKey,
    ScoredExplanation,
    Task,
)


@dataclass(frozen=True, eq=False)
class RunPlan:
    """A run that can begin: its config as it may be shown, the settings made of it, and the hash that names it."""

    config: Mapping[str, Any]
    settings: RunSettings
    run_id: str


@dataclass(frozen=True, eq=False)
class RunOutcome:
    """A run that has ended.

    Attributes:
        folder: where its files are.
        places: where else it can be found, by the name of the tracker, or ``published``.
    """

    folder: Path
    places: Mapping[str, str]


def prepare(composed: DictConfig) -> RunPlan:
    """Refuse whatever can be refused before any work, with a sentence that says what to write instead."""
    values = compose.plain(composed)
    public = provenance.redact(values)
    settings: RunSettings = compose.settings_from(RunSettings, values)
    place = catalog.find_task(settings.task.name, settings.task.path)
    nodes = explainer_nodes(settings)
    if catalog.kind(place) == catalog.UNITS and not nodes:
        raise NeuroglossError("no explainer is chosen; add explainer=max_activation, for example.")
    if not settings.simulator:
        raise NeuroglossError("no simulator is chosen; add simulator=tuned, for example.")
    for node in nodes:
        build.check(node.node, node.key)
        build.assemble(node.node, node.key)  # a constructor refuses what its types allow
    groups = {
        "simulator": settings.simulator,
        "task.controls": settings.task.controls,
        "task.scores": settings.task.scores,
        "scores": settings.scores,
        "track": settings.track,
    }
    for group, nodes_by_name in groups.items():
        for name, node in nodes_by_name.items():
            build.check(node, f"{group}.{name}")
            build.assemble(node, f"{group}.{name}")
    build.check(settings.subject, "subject")
    for tracker in trackers_of(settings).values():
        tracker.check()
    run_id = compose.config_hash(values)
    publishing.check(settings.publish, run_id, public)
    unused.check(settings, values, nodes)
    return RunPlan(public, settings, run_id)


def run(plan: RunPlan, overrides: Sequence[str], progress: Progress) -> RunOutcome:
    """Do the work of a plan, and leave its folder.

    Args:
        plan: what :func:`prepare` made.
        overrides: the command line's, for the record.
        progress: is told how far each stage is.

    Raises:
        NeuroglossError: the task, a model, the budget or the disk stopped the run; every reply so far is stored.
    """
    follower = Follower(trackers_of(plan.settings), progress)
    with follower.following(plan.run_id, plan.config):
        results, folder = _work(plan, overrides, follower)
        published = publishing.publish(folder, plan.settings.publish)
    places = {"published": published, **follower.ended(results, folder)}
    return RunOutcome(folder, {name: place for name, place in places.items() if place})


def _work(plan: RunPlan, overrides: Sequence[str], follower: Follower) -> tuple[Results, Path]:
    """Run the stages, summarise and write; return the results and their folder."""
    settings = plan.settings
    task, records = read_records(settings)
    origin = {**provenance.provenance(overrides), "files": compose.file_digests(plan.config)}
    ledger = Ledger(follower.progress, settings.budget, follower.stage)
    follower.counting(lambda: ledger.meter.totals)
    with writing_tables(Path(settings.output)) as tables:
        with Store(settings.store) as store:
            asking = follower.asking(Remembering(store, ledger.meter))
            tools = build_tools(settings, subject_of(task), records, asking)
            scored = _in_shards(
                tools, records, fitting_of(settings.calibration, task), ledger, follower, asking, tables
            )
        ledger.begin("summarise")
        results = summarise(plan, task, records, tools, scored, ledger, origin)
        page_of_board = board.build(results, partial(trust.sentence, runs=Path(settings.output)))
        folder = write_run(
            Path(settings.output),
            results,
            page.markdown_page(page_of_board),
            [
                lambda draft: dataset.write_dataset(results, records, settings.publish, draft),
                lambda draft: site.write(results, page_of_board, draft, draft / site.FOLDER),
            ],
            tables.move,
        )
    return results, folder


def _in_shards(  # noqa: PLR0913, PLR0917  # what a run is made of, and who hears of it
    tools: RunTools,
    records: Sequence[Record],
    fitting: Fitting,
    ledger: Ledger,
    follower: Follower,
    asking: Asking,
    tables: Tables,
) -> dict[RowKey, list[ScoredExplanation]]:
    """Run the stages shard by shard, and write the tables; return what is kept of the scored explanations of each row.

    Excerpts and tables of lookups are not kept, so that memory holds those of one shard.
    """
    watched = follower.watched(tools.tools, asking)
    infos = [built.describe(()) for built in tools.explainers]
    scored: dict[RowKey, list[ScoredExplanation]] = {}
    for shard in pipeline.shards(records):
        follower.working_on(shard)
        by_row = pipeline.run(shard, watched, tools.rows, fitting, ledger.begin)
        tables.write(infos, {key: by_row[key] for key in _in_order(tools, by_row)})
        for key, items in by_row.items():
            scored.setdefault(key, []).extend(map(compact_item, items))
    return scored


def read_records(settings: RunSettings | StudySettings) -> tuple[Task | PuzzleTask, Sequence[Record]]:
    """Read the task of a run or of a study, and deal the units that it asks for."""
    task = catalog.read(catalog.find_task(settings.task.name, settings.task.path))
    units = settings.units
    if isinstance(task, PuzzleTask):
        return task, catalog.puzzle_records(task, units.ids, settings.task.limit)
    if settings.task.limit is not None:
        raise NeuroglossError("task.limit is for puzzles; write units.limit to ask for fewer units.")
    return task, catalog.records(task, units.places, units.ids, units.limit)


def subject_of(task: Task | PuzzleTask) -> Identity | None:
    """Return the model that a task was recorded from; None for puzzles."""
    return None if isinstance(task, PuzzleTask) else task.subject


def fitting_of(calibration: CalibrationSettings, task: Task | PuzzleTask) -> Fitting:
    """Return how simulations are calibrated; levels of puzzles are what is simulated, so nothing is."""
    if isinstance(task, PuzzleTask):
        return Fitting(top=0, random=0)
    return Fitting(CalibrationMethod(calibration.method), calibration.top, calibration.random)


def grouped(plan: RunPlan, group: str) -> RunPlan:
    """Return a plan whose trackers that have groups, and were told none, file the run under ``group``."""
    track = {
        name: {**node, "group": group} if node.get("group", "") is None else node
        for name, node in plan.settings.track.items()
    }
    return replace(plan, settings=replace(plan.settings, track=track))


def trackers_of(settings: RunSettings) -> dict[str, Tracker]:
    """Build the trackers that a run names, by their names."""
    return {name: build.assemble(node, f"track.{name}") for name, node in settings.track.items()}


def resampling_of(settings: RunSettings) -> Resampling:
    """Return how intervals, ranks and p-values of a run are made."""
    return Resampling(settings.seed, settings.board.resamples, settings.board.by_group)


# ---------------------------------------------------------------------------------------------------------- summarising


def summarise(  # noqa: PLR0913, PLR0917  # everything that a run says about itself
    plan: RunPlan,
    task: Task | PuzzleTask,
    records: Sequence[Record],
    tools: RunTools,
    scored: Mapping[RowKey, Sequence[ScoredExplanation]],
    ledger: Ledger,
    origin: Mapping[str, object],
) -> Results:
    """Return everything that a run says about itself."""
    settings, resampling = plan.settings, resampling_of(plan.settings)
    roles = {built.name: built.explainer.role for built in tools.explainers}
    result_rows = tuple(
        ResultRow(rows.summarise(key, roles[key.explainer], scored[key], resampling), tuple(scored[key]))
        for key in _in_order(tools, scored)
    )
    info = TaskInfo(
        name=task.name,
        digest=task.digest,
        size=len(task.puzzles) if isinstance(task, PuzzleTask) else len(task.records),
        units=units_of(records),
        categories=catalog.categories(records) if isinstance(task, PuzzleTask) else {},
    )
    by_explainer = {
        name: [item for key, items in scored.items() if key.explainer == name for item in items] for name in roles
    }
    return Results(
        run_id=plan.run_id,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        task=info,
        subject=subject_of(task),
        simulators=tools.simulators(),
        explainers=tuple(built.describe(by_explainer[built.name]) for built in tools.explainers),
        scorers=tools.scorers(),
        rows=result_rows,
        standings=rows.standings(result_rows, tools.simulators(), settings.board.minimum_coverage, resampling),
        truths=tuple(
            summary
            for name in tools.tools.simulators
            for summary in truths.summaries(result_rows, name, info.categories, resampling)
        ),
        seed=settings.seed,
        resamples=settings.board.resamples,
        minimum_coverage=settings.board.minimum_coverage,
        config=plan.config,
        provenance=origin,
        seconds=ledger.seconds,
        usage=ledger.usage,
    )


def _in_order(tools: RunTools, scored: Mapping[RowKey, object]) -> list[RowKey]:
    """Return the rows that came out, in the order of the config."""
    simulators = [*tools.tools.simulators, LOOKUP]
    places = {built.name: place for place, built in enumerate(tools.explainers)}
    return sorted(scored, key=lambda key: (places[key.explainer], simulators.index(key.simulator)))
