"""Two finished runs with the same explanations and different simulators: do the simulators agree, and at what cost?

Levels are put on one scale of 0 to 10 first, for a model may read fewer. Leading tokens, which no score counts, are
left out. A table is looked up and not simulated, so its explainer is no part of the comparison.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from scipy import stats as scipy_stats

from harness import results, stats
from harness.agreement_results import (
    BoardAgreement,
    ExplainerAgreement,
    NeuronDifference,
    Side,
    SimulatorAgreement,
    TokenAgreement,
    TokenDifference,
)
from harness.results import Results
from harness.simulators.agreement import Agreement, agreement
from harness.types import Explanation, NeuroglossError, NeuronId, Query, Simulation, Usage

HIGHEST = 10.0
_LARGEST = 10

Key = tuple[str, str, str, str, str]
"""Explainer, neuron, annotator, split and source: what names a simulated excerpt in a run."""


@dataclass(frozen=True)
class Pair:
    """One excerpt that both sides simulated."""

    explainer: str
    source: str
    leading: int
    query: Query
    first: Simulation
    second: Simulation


def compare(first: Path, second: Path) -> SimulatorAgreement:
    """Compare the simulators of two runs.

    Args:
        first: the folder of a run.
        second: that of another.

    Raises:
        NeuroglossError: one is no run of neurons, or they do not share task, neurons and explanations, or have one
            simulator.
    """
    one, other = results.read_run(first), results.read_run(second)
    _check_same(one, other)
    names, left_out = _shared(one, other)
    _check_explanations(one, other, names)
    pairs = _pairs((first, one), (second, other), names)
    whole, largest = _tokens(pairs)
    return SimulatorAgreement(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        task=one.task,
        first=_side(one, names),
        second=_side(other, names),
        tokens=whole,
        explainers=tuple(_of_explainer(name, pairs, one, other) for name in names),
        left_out=left_out,
        boards=tuple(_boards(one, other, names)),
        largest_tokens=largest,
        largest_neurons=_largest_neurons(one, other, names),
    )


# ------------------------------------------------------------------------------------------------------------ checking


def _check_same(one: Results, other: Results) -> None:
    if one.task.digest != other.task.digest:
        raise NeuroglossError(
            f"the runs are of two tasks ({one.task.name} {one.task.digest[:12]}, {other.task.name} "
            f"{other.task.digest[:12]}); compare simulators on one."
        )
    apart = sorted(set(one.task.neurons) ^ set(other.task.neurons))
    if apart:
        raise NeuroglossError(
            f"the runs are of different neurons: {len(apart)} are in one of them only, {apart[0]} for example; run "
            "both with the same neurons= options."
        )
    if replace(one.simulator, note="") == replace(other.simulator, note=""):
        raise NeuroglossError(
            f"both runs have the simulator {one.simulator.name}; give two runs that differ in it: simulator=NAME."
        )


def _shared(one: Results, other: Results) -> tuple[list[str], tuple[str, ...]]:
    """The explainers that both simulators scored, and those of one run only.

    Raises:
        NeuroglossError: there is none.
    """
    rows = [[row.explainer for row in some.summaries if row.simulator == some.simulator.name] for some in (one, other)]
    shared = [name for name in rows[0] if name in rows[1]]
    if not shared:
        raise NeuroglossError(
            f"the runs share no explainer that was simulated ({', '.join(rows[0]) or 'none'} against "
            f"{', '.join(rows[1]) or 'none'}); run both with the same explainer=."
        )
    return shared, tuple(dict.fromkeys(name for name in (*rows[0], *rows[1]) if name not in shared))


def _check_explanations(one: Results, other: Results, names: Sequence[str]) -> None:
    for name in names:
        said, again = _said(one, name), _said(other, name)
        for which in (*said, *again):
            if said.get(which) != again.get(which):
                raise NeuroglossError(
                    f"{name} does not say the same of {which[0]} in both runs; simulators can only be compared on the "
                    "same explanations, so run again with one store, or from one table of explanations."
                )


def _said(run: Results, name: str) -> dict[tuple[NeuronId, str], tuple[str, str]]:
    return {
        (one.explanation.neuron, one.explanation.annotator): (one.explanation.text, one.explanation.outcome)
        for one in run.scored[name]
    }


# ------------------------------------------------------------------------------------------------------------- reading


def _pairs(first: tuple[Path, Results], second: tuple[Path, Results], names: Sequence[str]) -> list[Pair]:
    """The excerpts that both runs simulated, on one scale."""
    one, other = (_rows(folder, names) for folder, _ in (first, second))
    scales = [_scale(run) for _, run in (first, second)]
    shared = [key for key in one if key in other]
    if not shared:
        raise NeuroglossError("the runs have simulated no excerpt in common; run both with the same scores= options.")
    return [_pair(key, one[key], other[key], scales) for key in shared]


def _rows(folder: Path, names: Sequence[str]) -> dict[Key, dict[str, Any]]:
    path = folder / "simulations.parquet"
    try:
        rows = pq.read_table(path, filters=[("explainer", "in", list(names))]).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise NeuroglossError(f"{path} cannot be read ({error}); restore it or run again.") from error
    return {(row["explainer"], row["neuron"], row["annotator"], row["split"], row["source"]): row for row in rows}


def _scale(run: Results) -> float:
    """By what levels are multiplied so that the highest is 10; a simulator without a model uses that scale itself."""
    return HIGHEST / (run.simulator.levels - 1) if run.simulator.levels > 1 else 1.0


def _pair(key: Key, one: Mapping[str, Any], other: Mapping[str, Any], scales: Sequence[float]) -> Pair:
    if one["tokens"] != other["tokens"] or one["leading"] != other["leading"]:
        raise NeuroglossError(f"excerpt {key[-1]} of {key[1]} has other tokens in the second run; make it again.")
    leading, tokens = one["leading"], tuple(one["tokens"])
    query = Query(Explanation(NeuronId.parse(key[1]), key[0]), tokens[leading:])
    values = [_scored(row, leading, len(tokens), scale) for row, scale in zip((one, other), scales, strict=True)]
    return Pair(key[0], key[-1], leading, query, *values)


def _scored(row: Mapping[str, Any], leading: int, length: int, scale: float) -> Simulation:
    """The simulated levels at the scored positions; NaN where they are missing, all of them where nothing came."""
    values = row["simulated"] or [None] * length
    return Simulation(tuple(math.nan if value is None else scale * value for value in values[leading:]))


# ----------------------------------------------------------------------------------------------------------- comparing


def _tokens(pairs: Sequence[Pair]) -> tuple[TokenAgreement, tuple[TokenDifference, ...]]:
    found = _agreement(pairs)
    correlation = math.nan if found.correlation is None else found.correlation
    largest = tuple(
        TokenDifference(
            pair.explainer, one.neuron, pair.source, one.position + pair.leading, one.token, one.first, one.second
        )
        for one in found.largest
        for pair in [pairs[one.query]]
    )
    return TokenAgreement(found.tokens, found.missing, correlation, found.mean_absolute_difference), largest


def _agreement(pairs: Sequence[Pair]) -> Agreement:
    return agreement(
        [pair.query for pair in pairs], [pair.first for pair in pairs], [pair.second for pair in pairs], _LARGEST
    )


def _of_explainer(name: str, pairs: Sequence[Pair], one: Results, other: Results) -> ExplainerAgreement:
    own = [pair for pair in pairs if pair.explainer == name]
    by_neuron: dict[NeuronId, list[Pair]] = {}
    for pair in own:
        by_neuron.setdefault(pair.query.explanation.neuron, []).append(pair)
    within = [_agreement(some).correlation for some in by_neuron.values()]
    first, second = _both(one, other, name)
    difference = stats.paired_difference(first, second, one.seed)
    return ExplainerAgreement(
        explainer=name,
        tokens=_tokens(own)[0],
        within=stats.mean_interval([value for value in within if value is not None], one.seed),
        first=_mean(first),
        second=_mean(second),
        difference=difference.interval,
        p_value=difference.p_value,
        ranks=_spearman(list(first.values()), list(second.values())),
    )


def _both(one: Results, other: Results, name: str) -> tuple[dict[NeuronId, float], dict[NeuronId, float]]:
    """The headline scores of the neurons that both sides score, in one order."""
    first, second = (stats.by_neuron(run.scored[name]) for run in (one, other))
    shared = [neuron for neuron in first if neuron in second]
    return {neuron: first[neuron] for neuron in shared}, {neuron: second[neuron] for neuron in shared}


def _mean(values: Mapping[NeuronId, float]) -> float:
    return math.fsum(values.values()) / len(values) if values else math.nan


def _spearman(first: Sequence[float], second: Sequence[float]) -> float:
    return math.nan if _says_nothing(first, second) else float(scipy_stats.spearmanr(first, second).statistic)


def _kendall(first: Sequence[float], second: Sequence[float]) -> float:
    return math.nan if _says_nothing(first, second) else float(scipy_stats.kendalltau(first, second).statistic)


def _says_nothing(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether there is no rank correlation: of fewer than three values, or of equal ones."""
    return len(first) < 3 or min(len(set(first)), len(set(second))) < 2


def _boards(one: Results, other: Results, names: Sequence[str]) -> list[BoardAgreement]:
    rows = [{row.explainer: row.metrics for row in run.summaries} for run in (one, other)]
    metrics = dict.fromkeys(metric for name in names for metric in rows[0][name] if metric in rows[1][name])
    return [_board(metric, rows, names) for metric in metrics]


def _board(metric: str, rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> BoardAgreement:
    shared = [name for name in names if all(metric in some[name] for some in rows)]
    first, second = ([some[name][metric].mean for name in shared] for some in rows)
    return BoardAgreement(
        metric, _spearman(first, second), _kendall(first, second), _ordered(shared, first), _ordered(shared, second)
    )


def _ordered(names: Sequence[str], means: Sequence[float]) -> tuple[str, ...]:
    """Best first, ties by name."""
    return tuple(name for _, name in sorted(zip((-mean for mean in means), names, strict=True)))


def _largest_neurons(one: Results, other: Results, names: Sequence[str]) -> tuple[NeuronDifference, ...]:
    found = []
    for name in names:
        first, second = _both(one, other, name)
        found += [NeuronDifference(name, neuron, first[neuron], second[neuron]) for neuron in first]
    return tuple(sorted(found, key=lambda each: -abs(each.first - each.second))[:_LARGEST])


def _side(run: Results, names: Sequence[str]) -> Side:
    usage = sum((row.simulate_usage for row in run.summaries if row.explainer in names), Usage())
    stage = run.usage.get("simulate")
    fresh = stage is not None and not stage.saved.requests
    return Side(run.run_id, run.simulator, usage, run.seconds.get("simulate", math.nan) if fresh else math.nan)
