"""How many neurons it takes to tell explainers apart, from the differences that a run has seen."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from harness import stats
from harness.report.page import Page, Row, Table
from harness.results import Results, figure, plain
from harness.types import NeuroglossError, NeuronId

COLUMNS = (
    ("explainers", "explainers"),
    ("seen", "difference seen"),
    ("deviation", "deviation of differences"),
    ("neurons", "neurons of both"),
    ("needed", "neurons needed"),
    ("95 % range", "95 % range of these"),
    ("smallest", "smallest difference now"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be planned: ``difference`` is to be seen with chance ``power``, and no difference to be taken for one
    with chance ``alpha``, by ``metric``; ``explainers`` keeps those that are named, two at least."""

    difference: float
    power: float = 0.8
    alpha: float = 0.05
    metric: str = stats.HEADLINE
    explainers: tuple[str, ...] = ()


def build(results: Results, asked: Asked) -> Page:
    """A row for each two explainers that one simulator scored.

    Raises:
        NeuroglossError: the run cannot answer: it has fewer than two such explainers, an explainer or metric is not in
            it, or two explainers share fewer than three neurons, or always differ by the same.
    """
    scores = _scores(results, asked)
    pairs = list(combinations(scores, 2))
    rows = [_row(a, b, _differences(a, b, scores), asked) for a, b in pairs]
    return Page(
        title=f"Neurons needed on {plain(results.task.name)}",
        facts=(
            ("run", f"{plain(results.run_id)}, {len(results.task.neurons)} neurons"),
            ("asked", f"a difference of {asked.difference:g} in {plain(asked.metric)}"),
        ),
        tables=(Table("Each two explainers", COLUMNS, tuple(rows)),),
        sentences=(_answer(pairs[0], scores, asked), *_how_to_read(asked)),
    )


def _scores(results: Results, asked: Asked) -> dict[str, dict[NeuronId, float]]:
    """The scores of the explainers in question, by neuron."""
    simulators = {row.explainer: row.simulator for row in results.summaries}
    unknown = [name for name in asked.explainers if name not in simulators]
    if unknown:
        raise NeuroglossError(f"the run has no explainer {unknown[0]!r}; it has {', '.join(simulators)}.")
    names = asked.explainers or [name for name, one in simulators.items() if one == results.simulator.name]
    by = sorted({simulators[name] for name in names})
    if len(by) > 1:
        raise NeuroglossError(
            f"{' and '.join(names)} were scored by {' and '.join(by)}, and scores by two simulators cannot be "
            "compared; name explainers that one simulator scored."
        )
    scores = {name: stats.by_neuron(results.scored[name], asked.metric) for name in names}
    _check_metric(scores, results, asked)
    found = {name: some for name, some in scores.items() if some}
    if len(found) < 2:
        raise NeuroglossError(
            f"the run has scores of {len(found)} explainer under {results.simulator.name}, and a difference needs two; "
            "run it again with another explainer, explainer=[max_activation,shuffled] for instance."
        )
    return found


def _check_metric(scores: Mapping[str, Mapping[NeuronId, float]], results: Results, asked: Asked) -> None:
    known = sorted({name for row in results.summaries for name in row.metrics})
    if scores and not any(scores.values()) and known:
        raise NeuroglossError(f"the run has no scores by {asked.metric!r}; it has {', '.join(known)}.")


def _differences(a: str, b: str, scores: Mapping[str, Mapping[NeuronId, float]]) -> list[float]:
    both = sorted(scores[a].keys() & scores[b].keys())
    if len(both) < 3:
        raise NeuroglossError(
            f"{a} and {b} share {len(both)} neurons with a score, and how differences vary cannot be seen in fewer "
            "than 3; run them on more neurons."
        )
    return [scores[a][neuron] - scores[b][neuron] for neuron in both]


def _row(a: str, b: str, differences: Sequence[float], asked: Asked) -> Row:
    variance, neurons = _variance(a, b, differences), len(differences)
    few, many = (_needed(end, asked) for end in stats.variance_range(variance, neurons))
    return (
        plain(f"{a} - {b}"),
        figure(statistics.fmean(differences)),
        figure(variance**0.5),
        str(neurons),
        str(_needed(variance, asked)),
        f"{few} to {many}",
        figure(stats.smallest_difference(variance, neurons, asked.power, asked.alpha)),
    )


def _variance(a: str, b: str, differences: Sequence[float]) -> float:
    variance = statistics.variance(differences)
    if variance <= 1e-24:  # float noise of scores, which lie between -1 and 1
        raise NeuroglossError(
            f"{a} and {b} differ by the same on every neuron, so nothing follows from this run for another number of "
            "neurons; compare other explainers."
        )
    return variance


def _needed(variance: float, asked: Asked) -> int:
    return stats.neurons_needed(variance, asked.difference, asked.power, asked.alpha)


def _answer(pair: tuple[str, str], scores: Mapping[str, Mapping[NeuronId, float]], asked: Asked) -> str:
    """The first row in words."""
    a, b = pair
    differences = _differences(a, b, scores)
    variance = _variance(a, b, differences)
    least = stats.smallest_difference(variance, len(differences), asked.power, asked.alpha)
    return (
        f"To tell {plain(a)} from {plain(b)} where they differ by {asked.difference:g} takes about "
        f"{_needed(variance, asked)} neurons, with a chance of {asked.power:.0%} to see it and of {asked.alpha:.0%} to "
        f"see one that is not there; this run's {len(differences)} neurons tell {figure(least)} apart."
    )


def _how_to_read(asked: Asked) -> tuple[str, ...]:
    return (
        "Needed is (z of 1 - alpha/2 + z of the power) squared, times the variance of the differences between the two "
        "on the same neurons, over the difference squared.",
        "The range is that of the variance, which so few neurons do not tell exactly; it takes differences to be "
        "normal.",
        f"alpha ({asked.alpha:g}) is that of one comparison: for a board that corrects for k comparisons, ask with "
        "alpha / k.",
    )
