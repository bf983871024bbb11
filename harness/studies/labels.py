"""The missing-labels and extra-labels tests: labels made of the real activations stand for a simulation.

Oikarinen et al. 2025 (arXiv 2506.05774) give a metric the labels of a concept that fits the unit, then labels that are
wrong in a known way. A draw that corrupted none of the valid excerpts is no trial. A metric that can be trusted
drops:

* *missing labels*: half of the labels are taken away, as an explanation does that is too narrow;
* *extra labels*: tokens drawn from the whole corpus are labelled too, until there are twice as many, as an explanation
  does that is too broad.

Here a token is labelled where its level, on the scale of the unit's largest activation in the task, is at least
``level``. Of the top and of the random excerpts each, half of the labels (rounded up) are taken away, so that a metric
that reads only one kind loses half of what it reads. Extra labels go to each other token with the probability
``q = N+ / (N - N+)``, where ``N+`` of ``N`` tokens of the corpus are labelled, estimated by the excerpts' weights: the
excerpts of a task are no uniform sample, and how little of a mistake shows in them is what the test is about.

Labels are a row of a run: an explainer that says nothing, by simulators that know the truth. The scorers of the run
score them, so that whatever metric joins the panel is audited too. No model is asked but the subject, for ablation: it
runs with the labels in the unit's place, on fewer draws, for it takes longer than all the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness import pipeline
from harness.config.settings import LabelSettings
from harness.pipeline import Fitting, Tools
from harness.results.audit import Test
from harness.studies.by_simulator import BySimulator
from harness.studies.nulls import Saying, seed_of
from harness.types import (
    HIGHEST_LEVEL,
    Excerpt,
    ExcerptKind,
    Explanation,
    NeuroglossError,
    Query,
    Record,
    Role,
    RowKey,
    ScoredExplanation,
    Scorer,
    Scores,
    Simulation,
    SimulatorInfo,
    Unit,
    UnitRecord,
    content_digest,
)

HIGHEST = float(HIGHEST_LEVEL)
"""The level that a labelled token is given; any other gets 0."""

NAME = "labels"
"""The explainer of the rows of labels, and the simulator that knows the true ones."""

TESTS = (Test.MISSING_LABELS, Test.EXTRA_LABELS)
"""The tests that corrupt labels."""

Labels = list[npt.NDArray[np.bool_]]
"""Whether each token of each excerpt is labelled [excerpts][tokens]; leading tokens never are."""


# ------------------------------------------------------------------------------------------------------ making labels


def missing(labels: Labels, excerpts: Sequence[Excerpt], rng: np.random.Generator) -> Labels:
    """Return labels without half of them, rounded up, in the excerpts of each kind."""
    fewer = [marks.copy() for marks in labels]
    for kind in ExcerptKind:
        places = _places(labels, [excerpt.kind is kind for excerpt in excerpts])
        for row in rng.permutation(len(places))[: (len(places) + 1) // 2]:
            excerpt, token = places[row]
            fewer[excerpt][token] = False
    return fewer


def extra(labels: Labels, excerpts: Sequence[Excerpt], probability: float, rng: np.random.Generator) -> Labels:
    """Return labels and more of them: every other scored token gets a label with ``probability``."""
    more = [marks.copy() for marks in labels]
    for marks, excerpt in zip(more, excerpts, strict=True):
        marks[excerpt.scored] |= rng.random(len(excerpt.tokens))[excerpt.scored] < probability
    return more


def labelled(source: UnitRecord, excerpts: Sequence[Excerpt], level: int) -> Labels:
    """Return the tokens at which the unit fires at ``level`` or more, its largest activation in the task being 10."""
    largest = max((excerpt.maximum for excerpt in source.top + source.random), default=0.0)
    return [_fires(excerpt, largest * level / HIGHEST) for excerpt in excerpts]


def doubling(source: UnitRecord, level: int) -> float:
    """Return the probability by which labelling other tokens of the corpus doubles the labels; at most 1."""
    excerpts = source.top + source.random
    labels = labelled(source, excerpts, level)
    positive = math.fsum(excerpt.weight * int(marks.sum()) for excerpt, marks in zip(excerpts, labels, strict=True))
    tokens = math.fsum(excerpt.weight * len(excerpt.tokens[excerpt.scored]) for excerpt in excerpts)
    return min(1.0, positive / (tokens - positive)) if tokens > positive else 1.0


def _fires(excerpt: Excerpt, threshold: float) -> npt.NDArray[np.bool_]:
    """Return where the activation reaches a threshold; nothing fires if the largest activation is not above 0."""
    activations = np.array(excerpt.activations)
    fires = (activations >= threshold) & (activations > 0)
    fires[: excerpt.leading] = False
    return fires


def _places(labels: Labels, mask: Sequence[bool]) -> list[tuple[int, int]]:
    """Return (excerpt, token) of each label in the excerpts of a mask."""
    return [
        (number, int(token))
        for number, (marks, is_member) in enumerate(zip(labels, mask, strict=True))
        if is_member
        for token in np.flatnonzero(marks)
    ]


# ------------------------------------------------------------------------------------------------------- labels as rows


@dataclass(frozen=True, eq=False)
class Labelling:
    """Simulator that knows where one unit fires: level 10 at each labelled token, and 0 at any other.

    Attributes:
        levels: of each excerpt of the unit, by its digest [tokens].
    """

    levels: Mapping[str, tuple[float, ...]]

    def describe(self) -> SimulatorInfo:
        """Return which simulator this is."""
        return SimulatorInfo(NAME)

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        """Return the labels of each excerpt, in order, whatever its explanation."""
        return [Simulation(self.levels[content_digest(query.tokens)]) for query in queries]


def simulators(record: Record, settings: LabelSettings, fitting: Fitting) -> dict[str, Labelling]:
    """Return simulators that know a unit's labels: the true ones first, then each draw of missing and of extra ones.

    Args:
        record: the unit; its excerpts share no text, so that each is known by its digest.
        settings: how its labels are made.
        fitting: how simulations are calibrated, and so on which excerpts.

    Raises:
        NeuroglossError: the unit is a puzzle, of which no corpus was read.
    """
    if record.source is None:
        raise NeuroglossError(f"{record.unit} comes from no corpus, so that nobody knows how many labels to add.")
    excerpts = [excerpt for _, excerpt in pipeline.excerpts_used(record, fitting)]
    true, probability = labelled(record.source, excerpts, settings.level), doubling(record.source, settings.level)
    rng = np.random.default_rng(seed_of(record.unit, settings.seed))
    draws = [missing(true, excerpts, rng) for _ in range(settings.draws)]
    draws += [extra(true, excerpts, probability, rng) for _ in range(settings.draws)]
    names = [name for test in TESTS for name in _names(test, settings.draws)]
    return {
        name: Labelling(_levels(excerpts, labels)) for name, labels in zip((NAME, *names), (true, *draws), strict=True)
    }


def _names(test: Test, draws: int) -> list[str]:
    """Return the names of the simulators of a test."""
    return [f"{test.words} {number}" for number in range(draws)]


def _levels(excerpts: Sequence[Excerpt], labels: Labels) -> dict[str, tuple[float, ...]]:
    return {excerpt.digest: tuple((HIGHEST * marks).tolist()) for excerpt, marks in zip(excerpts, labels, strict=True)}


@dataclass(frozen=True)
class Labelled:
    """Labels of a unit, scored: ``labels`` is the number of them in the valid excerpts."""

    labels: int
    scores: Scores


@dataclass(frozen=True)
class Drawn:
    """A unit under its true labels, and under each draw of each corruption of them."""

    unit: Unit
    true: Labelled
    corrupted: Mapping[Test, tuple[Labelled, ...]]


@dataclass(frozen=True, eq=False)
class Scoring:
    """How labels are scored.

    Attributes:
        fitting: how simulations are calibrated.
        scorers: those of the run that need no words.
        slow: the names of those that look into the subject; they score the true labels and the first few draws.
    """

    fitting: Fitting
    scorers: Mapping[str, Scorer]
    slow: frozenset[str] = frozenset()


def draw(record: Record, settings: LabelSettings, scoring: Scoring) -> Drawn:
    """Score a unit's labels as a run scores simulations.

    Units are drawn one at a time, for the levels of all draws of all units would take much memory.

    Raises:
        NeuroglossError: the unit is a puzzle.
    """
    labellings = simulators(record, settings, scoring.fitting)
    silent = Saying({record.unit: Explanation(record.unit, explainer=NAME)}, Role.CEILING)
    tools = Tools({NAME: silent}, labellings, dict(_scorers(settings, scoring)))
    rows = [RowKey(NAME, name) for name in labellings]
    scored = pipeline.run([record], tools, rows, scoring.fitting, lambda _: None)
    by_name = {row.simulator: _labelled(item) for row, (item,) in scored.items()}
    corrupted = {test: tuple(by_name[name] for name in _names(test, settings.draws)) for test in TESTS}
    return Drawn(record.unit, by_name[NAME], corrupted)


def _scorers(settings: LabelSettings, scoring: Scoring) -> Iterator[tuple[str, Scorer]]:
    """Yield the scorers by name; slow ones are asked about few labellings, and left out if there are none."""
    number = min(settings.ablation_draws, settings.draws)
    asked_about = [NAME, *(name for test in TESTS for name in _names(test, number))]
    for name, scorer in scoring.scorers.items():
        if name not in scoring.slow:
            yield name, scorer
        elif number:
            yield name, BySimulator(scorer, dict.fromkeys(asked_about, scorer))


def _labelled(item: ScoredExplanation) -> Labelled:
    valid = [part.simulation.expected for part in item.simulated if part.split == "valid"]
    return Labelled(sum(level > 0 for levels in valid for level in levels), item.scores)


# ---------------------------------------------------------------------------------------------------------------- drops


@dataclass(frozen=True, slots=True)
class Drops:
    """The effect of one corruption on one metric.

    Attributes:
        shares: of each unit's draws, the share in which the score dropped.
        changes: the mean change of each unit's score.
        untested: units that the metric gives no sound score under their true labels, or that no draw corrupted.
        idle: share of the draws that corrupted no label of the valid excerpts; they are no trials, and are left out.
        labels: number of labels in the valid excerpts of a unit, on average.
        corrupted: the same of its corrupted labels.
    """

    shares: Mapping[Unit, float]
    changes: Mapping[Unit, float]
    untested: int
    labels: float
    corrupted: float
    idle: float = 0.0


def drops(metric: str, draws: Sequence[Drawn], test: Test, least: float) -> Drops:
    """Return how often a metric is lower by more than ``least`` under corrupted labels than under the true ones.

    Args:
        metric: its name.
        draws: the units, each with its draws.
        test: which corruption.
        least: the least drop.
    """
    trials = {item.unit: _trials(item, test) for item in draws}
    draws_of_test = sum(len(item.corrupted[test]) for item in draws)
    changes = {item.unit: _changes(metric, item.true.scores, trials[item.unit]) for item in draws}
    by_unit = {unit: differences for unit, differences in changes.items() if differences}
    return Drops(
        shares={unit: sum(change < -least for change in changes) / len(changes) for unit, changes in by_unit.items()},
        changes={unit: math.fsum(changes) / len(changes) for unit, changes in by_unit.items()},
        untested=len(draws) - len(by_unit),
        labels=_mean([item.true.labels for item in draws]),
        corrupted=_mean([labels.labels for item in draws for labels in item.corrupted[test]]),
        idle=1.0 - sum(map(len, trials.values())) / draws_of_test if draws_of_test else 0.0,
    )


def _trials(item: Drawn, test: Test) -> list[Labelled]:
    """Return the draws that corrupted a label of the valid excerpts."""
    return [labels for labels in item.corrupted[test] if labels.labels != item.true.labels]


def _changes(metric: str, true: Scores, trials: Sequence[Labelled]) -> list[float]:
    """Return the change of a unit's score in each trial that has one; none without a sound score to begin with."""
    if metric not in true.values or metric in true.degenerate:
        return []
    values = [labels.scores.values for labels in trials]
    return [scores[metric] - true.values[metric] for scores in values if metric in scores]


def _mean(counts: Sequence[int]) -> float:
    return sum(counts) / len(counts) if counts else math.nan
