"""How much people agree: Krippendorff's alpha, with intervals over units."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import krippendorff
import numpy as np

from harness.humans.analysis import resampling
from harness.humans.analysis.comparisons import Comparison, Preference
from harness.humans.answers import IntruderQuestion, Levels, Picked, Response, SimulateQuestion
from harness.types import FloatArray, Interval, Unit

Item = TypeVar("Item", bound=Hashable)


class Scale(StrEnum):
    """What the values of ratings are: names, places in an order, or numbers whose differences count."""

    NOMINAL = "nominal"
    ORDINAL = "ordinal"
    INTERVAL = "interval"


@dataclass(frozen=True, slots=True)
class Ratings:
    """Values that people gave to the same items.

    Attributes:
        values: of each person and item; NaN where a person was not asked [people, items].
        units: that each item is about [items].
        scale: what the values are.
    """

    values: FloatArray
    units: tuple[Unit, ...]
    scale: Scale

    @property
    def shared(self) -> int:
        """The number of items with the values of two people or more."""
        return int((np.isfinite(self.values).sum(axis=0) > 1).sum())


def alpha(values: FloatArray, scale: Scale) -> float:
    """Return Krippendorff's alpha: 1 for perfect agreement, 0 for that of chance, below 0 for less.

    ``alpha = 1 - observed disagreement / expected disagreement`` (Krippendorff 2004, chapter 11).

    Args:
        values: of each person and item, NaN where there is none [people, items].
        scale: what the values are.

    Returns:
        Alpha; NaN where no item has two values, or all values are the same, so that nothing could disagree.
    """
    shared = values[:, np.isfinite(values).sum(axis=0) > 1]
    domain, places = np.unique(shared[np.isfinite(shared)], return_inverse=True)
    if domain.size < 2:
        return math.nan
    items = np.nonzero(np.isfinite(shared))[1]
    counts = np.zeros((shared.shape[1], domain.size), dtype=np.int64)
    np.add.at(counts, (items, places), 1)
    return float(
        krippendorff.alpha(value_counts=counts, value_domain=domain.tolist(), level_of_measurement=scale.value)
    )


def alpha_interval(ratings: Ratings, seed: int, resamples: int = resampling.RESAMPLES) -> Interval:
    """Return alpha with its interval over units."""
    shared = np.flatnonzero(np.isfinite(ratings.values).sum(axis=0) > 1)
    values = ratings.values[:, shared]
    units = [ratings.units[place] for place in shared]
    return resampling.interval(lambda places: alpha(values[:, places], ratings.scale), units, seed, resamples)


# ------------------------------------------------------------------------------------------------ ratings from answers


def of_choices(compared: Sequence[Comparison]) -> Ratings:
    """Return what people said of the same two explanations of a unit: one of four names."""
    codes = {preference: float(code) for code, preference in enumerate(Preference)}
    cells = (((item.annotator, item.item, item.unit), codes[item.preference]) for item in compared)
    return _ratings(cells, Scale.NOMINAL)


def of_intruders(responses: Iterable[Response]) -> Ratings:
    """Return which of the same five excerpts people took for the intruder."""
    cells = []
    for response in responses:
        question, payload = response.assignment.question, response.answer.payload
        if isinstance(question, IntruderQuestion) and isinstance(payload, Picked):
            excerpts = sorted(question.excerpts)
            item = (response.answer.unit, tuple(excerpts))
            place = float(excerpts.index(question.excerpts[payload.place]))
            cells.append(((response.answer.annotator, item, response.answer.unit), place))
    return _ratings(cells, Scale.NOMINAL)


def of_levels(responses: Iterable[Response], leading: Mapping[str, int]) -> Ratings:
    """Return the levels that people gave to the tokens of the same excerpts under the same explanations.

    Args:
        responses: of any mode.
        leading: the number of first positions of each excerpt that count in no score, by its key; 0 where it is not.
    """
    cells = []
    for response in responses:
        question, payload = response.assignment.question, response.answer.payload
        if isinstance(question, SimulateQuestion) and isinstance(payload, Levels):
            for place in range(leading.get(question.excerpt, 0), len(payload.levels)):
                item = (response.answer.unit, question.explanation, question.excerpt, place)
                cells.append(((response.answer.annotator, item, response.answer.unit), float(payload.levels[place])))
    return _ratings(cells, Scale.INTERVAL)


def _ratings(cells: Iterable[tuple[tuple[str, Item, Unit], float]], scale: Scale) -> Ratings:
    """Return the table of values by person and item; of several by one person on one item the last holds."""
    by_cell = dict(cells)
    people = {annotator: row for row, annotator in enumerate(sorted({key[0] for key in by_cell}))}
    units = {item: unit for _, item, unit in by_cell}
    columns = {item: column for column, item in enumerate(units)}
    values = np.full((len(people), len(columns)), math.nan)
    for (annotator, item, _), value in by_cell.items():
        values[people[annotator], columns[item]] = value
    return Ratings(values, tuple(units.values()), scale)
