"""One run of puzzles, from a plan to files: build, run the stages, summarise, write. No subject is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness import build, instruments, puzzle_pipeline, puzzle_results, stats, tasks
from harness.config import Plan, RunSettings
from harness.ledger import Ledger
from harness.models.meter import Meter
from harness.models.store import Store
from harness.puzzle_pipeline import Instruments, Measured
from harness.puzzle_results import PuzzleResults, PuzzleTaskInfo, SimulatorRow
from harness.puzzles import summaries
from harness.report import page, puzzle_board
from harness.types import NeuroglossError, Puzzle, PuzzleTask, ScoredExplanation, Simulator, Summary, Usage


def run(plan: Plan, task: PuzzleTask, ledger: Ledger, made: Mapping[str, object]) -> tuple[Path, PuzzleResults]:
    """Measure the run's simulator beside its controls, then its explainers, and leave the run's folder.

    Args:
        plan: what was checked.
        task: the puzzles.
        ledger: counts what the stages cost.
        made: the provenance of the run.

    Raises:
        NeuroglossError: a model, the budget or the disk stopped the run; every reply so far is stored.
    """
    settings = plan.settings
    puzzles = select(task, settings.task.limit)
    with Store(settings.store) as store:
        tools = _instruments(settings, store, ledger.meter)
        measured, scored = puzzle_pipeline.run(puzzles, tools, settings.scores.maximum_missing, ledger.begin)
    ledger.begin("summarise")
    found = PuzzleResults(
        run_id=plan.run_id,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        task=PuzzleTaskInfo(task.name, task.digest, len(task.puzzles), tuple(puzzle.key for puzzle in puzzles)),
        simulators=tuple(
            row(simulator, measured[name], simulator is not tools.simulator, _seconds(ledger, name), settings)
            for name, simulator in tools.simulators.items()
        ),
        explainers=tuple(
            instruments.explainer_info(name, tools.explainers[name], some) for name, some in scored.items()
        ),
        summaries=tuple(_summary(name, tools, some, settings) for name, some in scored.items()),
        scored=scored,
        seed=settings.seed,
        config=plan.config,
        provenance=made,
        seconds=ledger.seconds,
        usage=ledger.usage,
    )
    shown = page.markdown_page(puzzle_board.build(found))
    simulations = {name: one.simulations for name, one in measured.items()}
    return puzzle_results.write_run(Path(settings.output), found, shown, puzzles, simulations), found


def select(task: PuzzleTask, limit: int | None) -> list[Puzzle]:
    """The task's puzzles, or at most ``limit`` of them, spread evenly.

    Raises:
        NeuroglossError: none is left.
    """
    puzzles = list(task.puzzles) if limit is None else tasks.spread(task.puzzles, limit)
    if not puzzles:
        raise NeuroglossError(f"no puzzle of {task.name} is left; widen task.limit.")
    return puzzles


def _instruments(settings: RunSettings, store: Store, meter: Meter) -> Instruments:
    """The run's simulator, those of its controls that are not the same, and its explainers."""
    remembering = instruments.remembering(store, meter)
    own, *controls = (
        build.assemble(node, remembering) for node in (settings.simulator, *settings.task.controls.values())
    )
    simulators = {own.name: own} | {one.name: one for one in controls if one.name != own.name}
    explainers = {name: build.assemble(node, remembering) for name, node in settings.explainer.items()}
    return Instruments(simulators, explainers)


def row(simulator: Simulator, measured: Measured, control: bool, seconds: float, settings: RunSettings) -> SimulatorRow:
    """The row of a simulator on the board of a run."""
    seed, resamples = settings.seed, settings.scores.resamples
    return SimulatorRow(
        simulator=instruments.simulator_info(simulator),
        control=control,
        scores=measured.scores,
        summary=summaries.summarise(measured.scores, seed=seed, resamples=resamples),
        classes=summaries.by_class(measured.scores, seed=seed, resamples=resamples),
        usage=sum((one.usage for some in measured.simulations for few in some for one in few), Usage()),
        seconds=seconds,
    )


def _seconds(ledger: Ledger, name: str) -> float:
    """How long a simulator took: that is not known where the store answered for it."""
    stage = puzzle_pipeline.stage_of(name)
    return math.nan if ledger.usage[stage].saved.requests else ledger.seconds[stage]


def _summary(name: str, tools: Instruments, scored: Sequence[ScoredExplanation], settings: RunSettings) -> Summary:
    is_table = any(one.explanation.table is not None for one in scored)
    return stats.summarise(
        name,
        tools.explainers[name].role,
        "lookup" if is_table else tools.simulator.name,
        scored,
        seed=settings.seed,
        resamples=settings.scores.resamples,
    )
