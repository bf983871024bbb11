"""Two simulators of the same explanations, of one run or of two: do they agree, and at what cost?

Levels are put on one scale of 0 to 10 first, for a model may read fewer. Leading tokens, which no score counts, are
left out. A table is looked up and not simulated, so its explainer is no part of the comparison.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau, spearmanr

from harness import stats
from harness.guards.parquet import Filter, rows_where
from harness.report.truths import seconds_of
from harness.results import rows
from harness.results.agreement import Agreement, BoardAgreement, Difference, RowAgreement, Side, TokenAgreement
from harness.results.run import Results, read_run
from harness.results.vocabulary import ResultRow
from harness.types import HIGHEST_LEVEL, FloatArray, NeuroglossError, SimulatorInfo, Unit, Usage

MOST_BYTES = 1 << 32
"""Bytes of the decoded simulations of a run."""
LARGEST = 10
"""The number of tokens, and of units, that are named for differing most."""
_KEY = ("explainer", "unit", "annotator", "split", "source")
"""What names a simulated excerpt of a simulator; each of several explanations of a unit also has a number."""


@dataclass(frozen=True)
class _Simulated:
    """The rows of a run that a simulator scored, by explainer."""

    folder: Path
    run: Results
    simulator: SimulatorInfo
    rows: Mapping[str, ResultRow]


_Sides = tuple[_Simulated, _Simulated]


@dataclass(frozen=True)
class SimulatedPair:
    """The scored tokens of an excerpt that both simulated, and the levels of either [tokens, 2]."""

    explainer: str
    unit: Unit
    source: str
    leading: int
    tokens: tuple[str, ...]
    levels: FloatArray


def compare(first: Path, second: Path | None = None, simulators: tuple[str, str] | None = None) -> Agreement:
    """Compare two simulators.

    Args:
        first: the folder of a run.
        second: that of another; None to compare two simulators of the first.
        simulators: the names of two, of the first run and of the second; None for the own simulator of each run, or
            for the first two of a single run.

    Raises:
        NeuroglossError: a run lacks a simulator, the runs do not share task, units and explanations, or both
            simulators are the same.
    """
    sides = _sides(first, second, simulators)
    _check_same(sides)
    explainers = _shared_explainers(sides)
    _check_explanations(sides, explainers)
    pairs = _pairs(sides, explainers)
    names = dict.fromkeys(name for side in sides for name in side.rows)
    return Agreement(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        task=sides[0].run.task,
        first=_side(sides[0], explainers),
        second=_side(sides[1], explainers),
        tokens=token_agreement(pairs),
        explainers=tuple(_row(name, [pair for pair in pairs if pair.explainer == name], sides) for name in explainers),
        left_out=tuple(name for name in names if name not in explainers),
        boards=tuple(_boards(sides, explainers)),
        largest_tokens=largest_differences(pairs),
        largest_units=_largest_units(sides, explainers),
    )


# ------------------------------------------------------------------------------------------------------------ choosing


def _sides(first: Path, second: Path | None, simulators: tuple[str, str] | None) -> _Sides:
    run = read_run(first)
    second_run = run if second is None else read_run(second)
    if simulators is None:
        simulators = _first_two(first, run) if second is None else (run.simulator.name, second_run.simulator.name)
    return _simulated(first, run, simulators[0]), _simulated(second or first, second_run, simulators[1])


def _first_two(folder: Path, run: Results) -> tuple[str, str]:
    names = [info.name for info in run.simulators if not info.control]
    if len(names) < 2:
        raise NeuroglossError(f"{folder} has one simulator; give a second run, or run again with simulator=[A,B].")
    return names[0], names[1]


def _simulated(folder: Path, run: Results, simulator: str) -> _Simulated:
    infos = {info.name: info for info in run.simulators}
    if simulator not in infos:
        raise NeuroglossError(f"{folder} has no simulator {simulator!r}; it has {', '.join(infos)}.")
    return _Simulated(
        folder, run, infos[simulator],
        {row.summary.explainer: row for row in run.rows if row.summary.simulator == simulator},
    )  # fmt: skip


def _check_same(sides: _Sides) -> None:
    """Refuse other tasks or units, and a simulator beside itself."""
    task, second_task = (side.run.task for side in sides)
    if task.digest != second_task.digest:
        raise NeuroglossError(
            f"the runs are of two tasks ({task.name} {task.digest[:12]}, {second_task.name} "
            f"{second_task.digest[:12]}); compare simulators on one."
        )
    apart = sorted(set(task.units) ^ set(second_task.units))
    if apart:
        raise NeuroglossError(
            f"the runs are of different units: {len(apart)} are in one of them only, {apart[0]} for example; run "
            "both with the same units= options."
        )
    infos = {replace(side.simulator, note="", control=False) for side in sides}
    if len(infos) == 1:
        raise NeuroglossError(
            f"both sides have the simulator {sides[0].simulator.name}; give two runs that differ in it, simulator=NAME."
        )


def _shared_explainers(sides: _Sides) -> list[str]:
    first, second = (side.rows for side in sides)
    shared = [name for name in first if name in second]
    if not shared:
        raise NeuroglossError(
            f"the simulators share no explainer that was simulated ({', '.join(first) or 'none'} against "
            f"{', '.join(second) or 'none'}); run both with the same explainer=."
        )
    return shared


def _check_explanations(sides: _Sides, explainers: Sequence[str]) -> None:
    for name in explainers:
        first, second = (_texts(side.rows[name]) for side in sides)
        for key in (*first, *second):
            if first.get(key) != second.get(key):
                raise NeuroglossError(
                    f"{name} does not say the same of {key[0]} on both sides; simulators can only be compared on the "
                    "same explanations, so run again with one store, or from one table of explanations."
                )


def _texts(row: ResultRow) -> dict[tuple[Unit, str], list[tuple[str, str]]]:
    """Return what is said of each unit by each annotator, in order."""
    texts: dict[tuple[Unit, str], list[tuple[str, str]]] = {}
    for item in row.scored:
        explanation = item.explanation
        texts.setdefault((item.unit, explanation.annotator), []).append((explanation.text, explanation.outcome))
    return texts


def _side(side: _Simulated, explainers: Sequence[str]) -> Side:
    usage = sum((side.rows[name].summary.simulate_usage for name in explainers), Usage())
    return Side(side.run.run_id, side.simulator, usage, seconds_of(side.run, side.simulator.name))


# -------------------------------------------------------------------------------------------------------------- tokens


def _pairs(sides: _Sides, explainers: Sequence[str]) -> list[SimulatedPair]:
    """Return the excerpts that both simulators were asked about, on one scale."""
    first, second = (dict(_simulations(side, explainers)) for side in sides)
    shared = [key for key in first if key in second]
    if not shared:
        raise NeuroglossError("the runs have simulated no excerpt in common; run both with the same scores= options.")
    return [_pair(first[key], second[key], sides) for key in shared]


def _simulations(side: _Simulated, explainers: Sequence[str]) -> Iterator[tuple[tuple[object, ...], dict[str, Any]]]:
    path = side.folder / "simulations.parquet"
    where: list[Filter] = [("explainer", "in", list(explainers)), ("simulator", "==", side.simulator.name)]
    try:
        lines = rows_where(path, where, [*_KEY, "leading", "tokens", "simulated"]).to_pylist()
    except NeuroglossError as error:
        raise NeuroglossError(f"{str(error).rstrip('.')}; restore it or run again.") from error
    numbers: Counter[tuple[object, ...]] = Counter()
    for line in lines:
        key = tuple(line[name] for name in _KEY)
        yield (*key, numbers[key]), line
        numbers[key] += 1


def _pair(first: Mapping[str, Any], second: Mapping[str, Any], sides: _Sides) -> SimulatedPair:
    tokens, leading = first["tokens"], first["leading"]
    if (tokens, leading) != (second["tokens"], second["leading"]):
        raise NeuroglossError(
            f"excerpt {first['source']} of {first['unit']} has other tokens on the second side; make its run again."
        )
    levels = [
        [_level(value, side.simulator) for value in line["simulated"] or [None] * len(tokens)]
        for line, side in zip((first, second), sides, strict=True)
    ]
    unit, scored = Unit.parse(first["unit"]), tuple(tokens[leading:])
    return SimulatedPair(first["explainer"], unit, first["source"], leading, scored, np.array(levels).T[leading:])


def _level(value: float | None, simulator: SimulatorInfo) -> float:
    """Return a level on the scale of 0 to 10, on which simulators without a model are; NaN if it is missing."""
    scale = HIGHEST_LEVEL / (simulator.levels - 1) if simulator.levels > 1 else 1.0
    return math.nan if value is None else scale * value


def token_agreement(pairs: Sequence[SimulatedPair]) -> TokenAgreement:
    """Compare the levels of two simulators over all tokens that both have a value for."""
    levels = _levels(pairs)
    present = levels[np.isfinite(levels).all(axis=1)]
    distance = float(np.abs(present[:, 0] - present[:, 1]).mean()) if len(present) else math.nan
    return TokenAgreement(len(present), len(levels) - len(present), _pearson(present), distance)


def largest_differences(pairs: Sequence[SimulatedPair], count: int = LARGEST) -> tuple[Difference, ...]:
    """Return the tokens on which two simulators differ most, largest difference first."""
    levels = _levels(pairs)
    places = [(pair, position) for pair in pairs for position in range(len(pair.tokens))]
    present = np.flatnonzero(np.isfinite(levels).all(axis=1))
    order = present[np.argsort(-np.abs(levels[present, 0] - levels[present, 1]), kind="stable")][:count]
    return tuple(_difference(*places[index], *map(float, levels[index])) for index in order)


def _difference(pair: SimulatedPair, position: int, first: float, second: float) -> Difference:
    place, token = position + pair.leading, pair.tokens[position]
    return Difference(pair.explainer, pair.unit, first, second, pair.source, place, token)


def _levels(pairs: Sequence[SimulatedPair]) -> FloatArray:
    return np.concatenate([pair.levels for pair in pairs]) if pairs else np.zeros((0, 2))


def _pearson(levels: FloatArray) -> float:
    """Return the correlation of two columns [tokens, 2]; NaN if one is constant."""
    centred = levels - levels.mean(axis=0) if len(levels) else levels
    norms = np.sqrt((centred**2).sum(axis=0))
    noise = 1e-12 * np.sqrt((levels**2).sum(axis=0))
    return math.nan if (norms <= noise).any() else float(centred[:, 0] @ centred[:, 1] / norms.prod())


# ------------------------------------------------------------------------------------------------------ rows and boards


def _row(explainer: str, pairs: Sequence[SimulatedPair], sides: _Sides) -> RowAgreement:
    by_unit: dict[Unit, list[SimulatedPair]] = {}
    for pair in pairs:
        by_unit.setdefault(pair.unit, []).append(pair)
    within = [token_agreement(members).correlation for members in by_unit.values()]
    first, second = _scores(explainer, sides)
    (difference,) = stats.paired_differences([(first, second)], sides[0].run.seed)
    return RowAgreement(
        explainer=explainer,
        tokens=token_agreement(pairs),
        within=stats.mean_interval([value for value in within if not math.isnan(value)]),
        first=_mean(first),
        second=_mean(second),
        difference=difference.interval,
        p_value=difference.p_value,
        ranks=_of_ranks(spearmanr, list(first.values()), list(second.values())),
    )


def _scores(explainer: str, sides: _Sides) -> tuple[dict[Unit, float], dict[Unit, float]]:
    """Return the headline scores of the units that both sides score, in one order."""
    first, second = (rows.by_unit(side.rows[explainer].scored) for side in sides)
    shared = [unit for unit in first if unit in second]
    return {unit: first[unit] for unit in shared}, {unit: second[unit] for unit in shared}


def _mean(scores: Mapping[Unit, float]) -> float:
    return math.fsum(scores.values()) / len(scores) if scores else math.nan


def _boards(sides: _Sides, explainers: Sequence[str]) -> Iterator[BoardAgreement]:
    """Yield how either simulator orders the rows, by each metric that both have."""
    first, second = ({name: side.rows[name].summary.metrics for name in explainers} for side in sides)
    for metric in dict.fromkeys(metric for name in explainers for metric in first[name] if metric in second[name]):
        names = [name for name in explainers if metric in first[name] and metric in second[name]]
        means = [[metrics[name][metric].mean for name in names] for metrics in (first, second)]
        orders = [tuple(name for _, name in sorted(zip((-mean for mean in row), names, strict=True))) for row in means]
        yield BoardAgreement(metric, _of_ranks(spearmanr, *means), _of_ranks(kendalltau, *means), *orders)


def _of_ranks(correlate: Callable[..., Any], first: Sequence[float], second: Sequence[float]) -> float:
    """Return a rank correlation; NaN of fewer than three values, or of equal ones."""
    if len(first) < 3 or min(len(set(first)), len(set(second))) < 2:
        return math.nan
    return float(correlate(first, second).statistic)


def _largest_units(sides: _Sides, explainers: Sequence[str]) -> tuple[Difference, ...]:
    differences = [
        Difference(name, unit, score, second[unit])
        for name in explainers
        for first, second in [_scores(name, sides)]
        for unit, score in first.items()
    ]
    return tuple(sorted(differences, key=lambda difference: -abs(difference.first - difference.second))[:LARGEST])
