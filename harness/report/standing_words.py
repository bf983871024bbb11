"""Sentences on how the rows of a board stand to each other, to their floor and to their ceiling."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.report.resolution import in_words, too_few
from harness.results import rows
from harness.stats import SHAPES_HELD, SIGNIFICANT, differs, unbounded
from harness.text import figure, plain, span
from harness.types import Comparison, Interval, Outcome, Standing, Summary


@dataclass(frozen=True, slots=True)
class Ends:
    """The two ends between which a board's scores are read, each a name and a score; None where there is none."""

    floor: tuple[str, float] | None
    ceiling: tuple[str, float] | None

    @property
    def height(self) -> float:
        """How far the ceiling is above the floor; NaN without either."""
        return math.nan if self.floor is None or self.ceiling is None else self.ceiling[1] - self.floor[1]


def compared(standing: Standing) -> Iterator[str]:
    """Yield how rows were compared, and how many can be told apart."""
    if not standing.comparisons:
        return
    pairs = len(standing.comparisons)
    apart = sum(map(_told_apart, standing.comparisons))
    sample = "each layer" if standing.by_group else "each unit"
    yield (
        f"Explainers are compared on the same units; p is that of a test that flips the sign of the difference on "
        f"{sample}. Its null is that the two are exchangeable on each, which is more than equal means. It is corrected "
        f"for all comparisons by the step-down minimum over the same flips (Westfall and Young). {apart} of {pairs} "
        f"can be told apart (corrected p below {SIGNIFICANT}, interval without 0)."
    )
    if any(too_few(comparison.least) for comparison in standing.comparisons):
        yield "Where the units are too few for any corrected p to pass, nothing is said of whether rows differ."


def intervals(metric: str, by_group: bool) -> str:
    """Return what the interval of a metric is, and for which shapes of scores it holds."""
    sample = "whole layers" if by_group else "units"
    if unbounded(metric):
        return (
            f"{plain(metric)} has no lower bound, so that a mean would be that of the worst unit: its figures are "
            f"medians over units, with intervals by order statistics over {sample}, which hold for every shape."
        )
    return (
        f"The interval is the wider of Student's and Hall's, which corrects for skewness, over {sample}. {SHAPES_HELD} "
        "(benchmarks/intervals.py)."
    )


def read_from(ends: Ends, floors: Sequence[str]) -> str:
    """Return between which two scores a row is to be read; ``floors`` are the run's, with a score or without."""
    if ends.floor is None and floors:
        return (
            f"The floor of this run ({', '.join(map(plain, floors))}) has no score, so nothing says what a meaningless "
            "explanation would score here, and a missing explanation costs nothing."
        )
    if ends.floor is None:
        return (
            "There is no floor in this run, so nothing says what a meaningless explanation would score here, and a "
            "missing explanation costs nothing; add shuffled to explainer=[...] before concluding anything."
        )
    name, floor = ends.floor
    words = (
        f"Read a score from its floor, {figure(floor)} ({plain(name)}), which explanations that have nothing to do "
        "with the unit get"
    )
    if ends.ceiling is None:
        return words + ", not from 0."
    name, ceiling = ends.ceiling
    return words + f", to its ceiling, {figure(ceiling)} ({plain(name)})."


def charged(standing: Standing, summaries: Mapping[str, Summary]) -> Iterator[str]:
    """Yield of each ranked row on how many units its explainer gave no explanation, and what that costs."""
    for name, mean in standing.means.items():
        given = summaries[name].metrics.get(standing.metric)
        silent = summaries[name].abstained
        if silent and given is not None:
            yield (
                f"{plain(name)} gave no explanation of {silent} of {summaries[name].units} units "
                f"({_outcomes(summaries[name])}). There the floor's score stands for its own: it is ranked by "
                f"{figure(mean.mean)}; over the {given.units} units that it explained it has {figure(given.mean)}."
            )


def _outcomes(row: Summary) -> str:
    words = {Outcome.COPIED.value: "copied from the examples of its prompt"}
    counts = [(count, words.get(name, name)) for name, count in row.outcomes.items() if name in set(rows.ABSTENTIONS)]
    return ", ".join(f"{count} {name}" for count, name in counts)


def verdicts(ends: Ends, names: Sequence[str], standing: Standing) -> Iterator[str]:
    """Yield of each row whether it can be told from the floor, on the same units."""
    if ends.floor is None:
        return
    floor = ends.floor[0]
    over_all = {item.first: item for item in standing.comparisons if item.second == floor}
    on_random = {item.first: item for item in standing.on_random if item.second == floor}
    for name in names:
        yield f"{plain(name)} {_verdict(over_all[name], on_random.get(name), standing.metric, ends.height)}"


def _verdict(over_all: Comparison, on_random: Comparison | None, metric: str, height: float) -> str:
    """Return what the differences from the floor allow to say; ``height`` is that of the ceiling above the floor."""
    difference = over_all.difference
    if not _told_apart(over_all):
        return f"cannot be told from the floor ({_figures(over_all)}): {_resolution(over_all, metric)}."
    if difference.mean < 0:
        return f"is below the floor ({_figures(over_all)}): its explanations mislead the simulator."
    share = f"; it goes {difference.mean / height:.0%} of the way to the ceiling" if height > 0 else ""
    if on_random is None:
        return f"is above the floor ({_figures(over_all)}){share}."
    if _told_apart(on_random) and on_random.difference.mean > 0:
        return f"is above the floor ({_figures(over_all)}), on random excerpts too ({_figures(on_random)}){share}."
    return (
        f"is above the floor on its top excerpts only: over all excerpts it is ({_figures(over_all)}{share}), over "
        f"random ones alone it cannot be told from it ({_figures(on_random)}; {_resolution(on_random, metric)})."
    )


def _resolution(comparison: Comparison, metric: str) -> str:
    return in_words(comparison.difference, comparison.least, comparison.deviation, metric)


def _told_apart(comparison: Comparison) -> bool:
    return differs(comparison.difference, comparison.corrected)


def _figures(comparison: Comparison) -> str:
    difference: Interval = comparison.difference
    p_value = p_text(comparison.corrected)
    equals = "" if p_value.startswith("<") else "= "
    return f"difference {figure(difference.mean)}, 95 % interval {span(difference)}, corrected p {equals}{p_value}"


def p_text(p_value: float) -> str:
    """Return a p-value for a table."""
    return "< 0.001" if p_value < 0.001 else figure(p_value)
