"""What a run of puzzles leaves behind: one versioned schema, and the folder that holds it.

A run is the folder ``runs/<task>-<run id>``, written whole or not at all like any other (:mod:`harness.results`):

* ``results.json``: :class:`PuzzleResults` as strict JSON, with ``"kind": "puzzles"``.
* ``puzzles.parquet``: a row a simulator, puzzle and explanation of it: which one, whether true, and its scores.
* ``puzzle_simulations.parquet``: a row a simulator, puzzle, explanation and text: its tokens, the level of each and
  the simulated one.
* ``explanations.parquet``, ``simulations.parquet``, ``scores.parquet``: of the explainers, as in a run of neurons;
  puzzle k of the run is called ``L0Nk`` there.
* ``board.md``: the board as it was printed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pyarrow as pa

from harness import results
from harness.results import FLOAT, INT, TEXT, ExplainerInfo, SimulatorInfo, StageUsage, number
from harness.types import (
    Puzzle,
    PuzzleScore,
    PuzzleSummary,
    ScoredExplanation,
    Simulation,
    Summary,
    Usage,
    utf8,
)

KIND = "puzzles"
SCHEMA_VERSION = 1
TABLES = ("puzzles.parquet", "puzzle_simulations.parquet", *results.TABLES)
TRUE = "true"
"""What the tables call the true explanation, beside the kinds of false ones."""

Simulations = Sequence[Sequence[Sequence[Simulation]]]
"""A simulator's simulations [puzzles][explanations][texts], the true explanation first."""


@dataclass(frozen=True, slots=True)
class PuzzleTaskInfo:
    """The task of a run: ``size`` puzzles it holds, of which those with the keys ``puzzles`` were asked for."""

    name: str
    digest: str
    size: int
    puzzles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SimulatorRow:
    """One row of the board of simulators.

    Attributes:
        simulator: which, exactly.
        control: whether it stands there only to read the others against.
        scores: of each puzzle, in order.
        summary: over all puzzles; ``classes`` over those of each class.
        usage: tokens and dollars of its simulations of the puzzles, those from the store included.
        seconds: how long they took; NaN where the store gave any of them.
    """

    simulator: SimulatorInfo
    control: bool
    scores: tuple[PuzzleScore, ...]
    summary: PuzzleSummary
    classes: tuple[PuzzleSummary, ...]
    usage: Usage
    seconds: float


@dataclass(frozen=True, slots=True)
class PuzzleResults:
    """Everything that a run of puzzles says about itself.

    Attributes:
        run_id, created, seed, config, provenance, seconds, usage: as in :class:`harness.results.Results`.
        task: which puzzles.
        simulators: the rows of the board, the run's own simulator first.
        explainers: in the order of the config.
        summaries: one for each explainer, over the second half of each puzzle's texts: ``correlation``, the truth's on
            the same texts (``truth``), and the ``difference`` of the two.
        scored: each explainer's scored explanations, one for each puzzle.
    """

    run_id: str
    created: str
    task: PuzzleTaskInfo
    simulators: tuple[SimulatorRow, ...]
    explainers: tuple[ExplainerInfo, ...]
    summaries: tuple[Summary, ...]
    scored: Mapping[str, tuple[ScoredExplanation, ...]]
    seed: int = 0
    config: Mapping[str, object] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    usage: Mapping[str, StageUsage] = field(default_factory=dict)


def write_run(
    root: Path,
    found: PuzzleResults,
    board_markdown: str,
    puzzles: Sequence[Puzzle],
    simulations: Mapping[str, Simulations],
) -> Path:
    """Write a run's folder under ``root``, whole or not at all, and point ``latest`` to it.

    Args:
        root: the folder of all runs.
        found: what to write.
        board_markdown: the board.
        puzzles: those of the run, in order.
        simulations: of each simulator, by its name on the board.

    Raises:
        NeuroglossError: it cannot be written; nothing half-written is left.
    """
    document = {"schema_version": SCHEMA_VERSION, "kind": KIND, **results.to_json(compact(found))}
    tables = {**_tables(found, puzzles, simulations), **results.tables(found.scored)}
    writers = [partial(results.write_tables, tables=tables)]
    return results.write_folder(root, found.task.name, found.run_id, document, board_markdown, writers)


def read_run(folder: Path) -> PuzzleResults:
    """Read a run back: what was written, but for simulated excerpts and lookup tables.

    Raises:
        NeuroglossError: it is not a run of puzzles, it is damaged, or another version of this package wrote it.
    """
    document = results.read_document(folder, KIND, SCHEMA_VERSION, TABLES)
    found: PuzzleResults = results.from_json(PuzzleResults, document, str(folder / "results.json"))
    return found


def compact(found: PuzzleResults) -> PuzzleResults:
    """The results as ``results.json`` holds them: without simulated excerpts and lookup tables."""
    return dataclasses.replace(found, scored=results.compact_scores(found.scored))


# ------------------------------------------------------------------------------------------------------------- tables

_WHICH = {"simulator": TEXT, "number": INT, "puzzle": TEXT, "class": TEXT, "explanation": TEXT, "truth": TEXT}
_PUZZLES = results.columns(
    **_WHICH, correlation=FLOAT, won=FLOAT, auroc=FLOAT, auprc=FLOAT, tokens=INT, missing_tokens=INT
)
_SIMULATIONS = results.columns(
    **_WHICH,
    text=INT,
    tokens=pa.list_(TEXT),
    levels=pa.list_(INT),
    simulated=pa.list_(FLOAT),
    mass=pa.list_(FLOAT),
    outcome=TEXT,
)


def _tables(
    found: PuzzleResults, puzzles: Sequence[Puzzle], simulations: Mapping[str, Simulations]
) -> dict[str, results.Table]:
    names = [row.simulator.name for row in found.simulators]
    return {
        "puzzles.parquet": (
            (
                line
                for row in found.simulators
                for place_, (puzzle, score) in enumerate(zip(puzzles, row.scores, strict=True))
                for line in _score_rows(row.simulator.name, place_, puzzle, score)
            ),
            _PUZZLES,
        ),
        "puzzle_simulations.parquet": (
            (
                line
                for name in names
                for place_, (puzzle, some) in enumerate(zip(puzzles, simulations[name], strict=True))
                for line in _simulation_rows(name, place_, puzzle, some)
            ),
            _SIMULATIONS,
        ),
    }


def _which(simulator: str, place_: int, puzzle: Puzzle) -> list[dict[str, object]]:
    """What names each explanation of a puzzle, the true one first."""
    said = ((TRUE, puzzle.explanation), *puzzle.false_explanations)
    shared = {"simulator": utf8(simulator), "number": place_, "puzzle": utf8(puzzle.key), "class": utf8(puzzle.kind)}
    return [{**shared, "explanation": utf8(text), "truth": str(truth)} for truth, text in said]


def _score_rows(simulator: str, place_: int, puzzle: Puzzle, score: PuzzleScore) -> results.Rows:
    truth, *false = _which(simulator, place_, puzzle)
    own = {name: number(getattr(score, name)) for name in ("correlation", "auroc", "auprc")}
    yield {**truth, **own, "tokens": score.tokens, "missing_tokens": score.missing_tokens}
    for which, rival in zip(false, score.rivals, strict=True):
        yield {**which, "correlation": number(rival.correlation), "won": number(rival.won)}


def _simulation_rows(
    simulator: str, place_: int, puzzle: Puzzle, simulations: Sequence[Sequence[Simulation]]
) -> Iterator[dict[str, object]]:
    for which, some in zip(_which(simulator, place_, puzzle), simulations, strict=True):
        for place, (text, simulation) in enumerate(zip(puzzle.texts, some, strict=True)):
            yield {
                **which,
                "text": place,
                "tokens": [utf8(token) for token in text.tokens],
                "levels": list(text.levels),
                "simulated": [number(value) for value in simulation.expected],
                "mass": None if simulation.mass is None else [number(value) for value in simulation.mass],
                "outcome": simulation.outcome.value,
            }
