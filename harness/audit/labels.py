"""The missing-labels and extra-labels tests: labels made of the real activations stand for a simulation.

Oikarinen et al. 2025 (arXiv 2506.05774) give a metric the labels of a concept that fits the neuron, then labels that
are wrong in a known way. A metric that can be trusted drops:

* *missing labels*: half of the labels are taken away, as an explanation does that is too narrow;
* *extra labels*: tokens drawn from the whole corpus are labelled too, until there are twice as many, as an explanation
  does that is too broad.

Here a token is labelled where its level, on the scale of the neuron's largest activation in the task, is at least
``level``. Of the top and of the random excerpts each, half of the labels (rounded up) are taken away, so that a metric
that reads only one kind loses half of what it reads. Extra labels go to each other token with the probability
``q = N+ / (N - N+)``, where ``N+`` of ``N`` tokens of the corpus are labelled, estimated by the excerpts' weights: the
excerpts of a task are no uniform sample, and how little of a mistake shows in them is what the test is about.

Labels are scored as a simulation is: calibrated on the calibration excerpts, then scored on the valid ones, by the very
functions of a run. Whatever metric joins the panel is audited too. No model is asked but the subject, for ablation: it
runs with the labels in the neuron's place, on fewer draws, for it takes longer than all the rest.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness import pipeline, scores
from harness.scores import ScoreSettings
from harness.types import (
    CalibrationMethod,
    Excerpt,
    ExcerptKind,
    Explanation,
    NeuroglossError,
    NeuronId,
    NeuronRecord,
    Scores,
    Simulation,
)

HIGHEST = 10.0
"""The level that a labelled token is given; any other gets 0."""

Labels = list[npt.NDArray[np.bool_]]
"""Whether each token of each excerpt is labelled [excerpts][tokens]; leading tokens never are."""


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """How labels are made and judged.

    Attributes:
        level: tokens of at least this level, of 10, are labelled; at 1 a token counts as firing for explainers too. The
            higher, the rarer labels are, and the fewer extra ones the excerpts of a task show.
        draws: how often labels are corrupted, for each neuron.
        ablation_draws: for how many of these draws, at most, the subject is asked; 0 leaves ablation out.
        least_drop: a score has dropped where it is lower by more than this.
        seed: of the draws.
    """

    level: int = 1
    draws: int = 20
    ablation_draws: int = 2
    least_drop: float = 0.001
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.level <= HIGHEST:
            raise NeuroglossError(f"labels.level is {self.level}; a level at which a token fires is 1 to 10.")
        if self.draws < 1:
            raise NeuroglossError(f"labels.draws is {self.draws}; write 1 or more.")
        if self.ablation_draws < 0:
            raise NeuroglossError(f"labels.ablation_draws is {self.ablation_draws}; write 0 or more.")
        if not 0.0 <= self.least_drop < math.inf:
            raise NeuroglossError(f"labels.least_drop is {self.least_drop}; write 0 or more.")


@dataclass(frozen=True, slots=True)
class Drops:
    """What one corruption did to one metric.

    Attributes:
        shares: of each neuron's draws, the share in which the score dropped.
        changes: the mean change of each neuron's score.
        untested: neurons that the metric gives no sound score under their true labels.
        labels: how many labels the valid excerpts of a neuron hold, on average, and ``corrupted``, how many they hold
            then.
    """

    shares: Mapping[NeuronId, float]
    changes: Mapping[NeuronId, float]
    untested: int
    labels: float
    corrupted: float


def missing(labels: Labels, excerpts: Sequence[Excerpt], rng: np.random.Generator) -> Labels:
    """Half of the labels, rounded up, taken away from the excerpts of each kind."""
    left = [each.copy() for each in labels]
    for kind in ExcerptKind:
        places = _places(labels, [excerpt.kind is kind for excerpt in excerpts])
        for row in rng.permutation(len(places))[: (len(places) + 1) // 2]:
            excerpt, token = places[row]
            left[excerpt][token] = False
    return left


def extra(labels: Labels, excerpts: Sequence[Excerpt], probability: float, rng: np.random.Generator) -> Labels:
    """Every scored token without a label gets one with ``probability``."""
    more = [each.copy() for each in labels]
    for each, excerpt in zip(more, excerpts, strict=True):
        each[excerpt.scored] |= rng.random(len(excerpt.tokens))[excerpt.scored] < probability
    return more


def labelled(record: NeuronRecord, excerpts: Sequence[Excerpt], level: int) -> Labels:
    """The tokens at which the neuron fires at ``level`` of 10 or more, its largest activation in the task being 10."""
    largest = max((excerpt.maximum for excerpt in record.top + record.random), default=0.0)
    return [_fires(excerpt, largest * level / HIGHEST) for excerpt in excerpts]


def doubling(record: NeuronRecord, level: int) -> float:
    """The probability by which labelling other tokens of the corpus doubles the labels; at most 1."""
    excerpts = record.top + record.random
    labels = labelled(record, excerpts, level)
    positive = math.fsum(excerpt.weight * int(each.sum()) for excerpt, each in zip(excerpts, labels, strict=True))
    tokens = math.fsum(excerpt.weight * len(excerpt.tokens[excerpt.scored]) for excerpt in excerpts)
    return min(1.0, positive / (tokens - positive)) if tokens > positive else 1.0


@dataclass(frozen=True)
class Labelled:
    """Labels of a neuron, scored: ``labels`` is how many of them the valid excerpts hold."""

    labels: int
    scores: Scores


@dataclass(frozen=True)
class Drawn:
    """One neuron under its true labels, and under each draw of missing and of extra ones."""

    neuron: NeuronId
    true: Labelled
    missing: tuple[Labelled, ...]
    extra: tuple[Labelled, ...]


def draw(
    record: NeuronRecord,
    settings: LabelSettings,
    scored_by: ScoreSettings,
    effects: pipeline.Effects | None = None,
) -> Drawn:
    """Score a neuron's labels as a run scores a simulation.

    Args:
        record: the neuron.
        settings: how its labels are made.
        scored_by: how the run scores.
        effects: the subject, asked under the true labels and the first few draws; None leaves ablation out.
    """
    used = pipeline.excerpts_used(record, scored_by)
    excerpts = [excerpt for _, excerpt in used]
    true, probability = labelled(record, excerpts, settings.level), doubling(record, settings.level)
    rng = np.random.default_rng(seed_of(record.neuron, settings.seed))
    less = [missing(true, excerpts, rng) for _ in range(settings.draws)]
    more = [extra(true, excerpts, probability, rng) for _ in range(settings.draws)]
    first = min(settings.ablation_draws, settings.draws) if effects else 0
    asked, unasked = [true, *less[:first], *more[:first]], [*less[first:], *more[first:]]
    scored = _scored(record, asked, scored_by, effects if first else None) + _scored(record, unasked, scored_by, None)
    drawn, rest = scored[1 : len(asked)], scored[len(asked) :]
    split = settings.draws - first
    return Drawn(record.neuron, scored[0], (*drawn[:first], *rest[:split]), (*drawn[first:], *rest[split:]))


def _scored(
    record: NeuronRecord, told: Sequence[Labels], scored_by: ScoreSettings, effects: pipeline.Effects | None
) -> list[Labelled]:
    """Each of several labellings of a neuron, scored; the subject is asked about all of them in one call."""
    scored_by = dataclasses.replace(scored_by, ablation=effects is not None)
    used = pipeline.excerpts_used(record, scored_by)
    calibrated = []
    for labels in told:
        simulations = tuple(Simulation(tuple((HIGHEST * each).tolist())) for each in labels)
        simulated = pipeline.Simulated(Explanation(record.neuron, "labels"), record, used, simulations)
        calibrated.append(pipeline.calibrate(simulated, CalibrationMethod(scored_by.calibration)))
    measured = pipeline.ablate(effects, calibrated, scored_by) if effects else [None] * len(calibrated)
    return [
        Labelled(_in_valid(labels, used), scores.score(item.excerpts, measure, scored_by))
        for labels, item, measure in zip(told, calibrated, measured, strict=True)
    ]


def _in_valid(labels: Labels, used: Sequence[tuple[str, Excerpt]]) -> int:
    """How many labels the valid excerpts hold."""
    return sum(int(each.sum()) for (split, _), each in zip(used, labels, strict=True) if split == "valid")


def drops(
    metric: str, drawn: Sequence[Drawn], corrupted: Callable[[Drawn], tuple[Labelled, ...]], least: float
) -> Drops:
    """How often a metric is lower by more than ``least`` under corrupted labels than under the true ones.

    Args:
        metric: its name in the panel.
        drawn: what :func:`draw` gave of each neuron.
        corrupted: which of a neuron's draws are meant.
        least: the least drop.
    """
    sound = [one for one in drawn if metric in one.true.scores.values and metric not in one.true.scores.degenerate]
    moved = {
        one.neuron: [
            some.scores.values[metric] - one.true.scores.values[metric]
            for some in corrupted(one)
            if metric in some.scores.values
        ]
        for one in sound
    }
    tested = {neuron: changes for neuron, changes in moved.items() if changes}
    return Drops(
        shares={
            neuron: sum(change < -least for change in changes) / len(changes) for neuron, changes in tested.items()
        },
        changes={neuron: math.fsum(changes) / len(changes) for neuron, changes in tested.items()},
        untested=len(drawn) - len(tested),
        labels=_mean([one.true.labels for one in drawn]),
        corrupted=_mean([some.labels for one in drawn for some in corrupted(one)]),
    )


def _mean(counts: Sequence[int]) -> float:
    return sum(counts) / len(counts) if counts else math.nan


def _fires(excerpt: Excerpt, threshold: float) -> npt.NDArray[np.bool_]:
    """Nothing fires where the largest activation is not above 0."""
    activations = np.array(excerpt.activations)
    fires = (activations >= threshold) & (activations > 0)
    fires[: excerpt.leading] = False
    return fires


def _places(labels: Labels, kept: Sequence[bool]) -> list[tuple[int, int]]:
    """(excerpt, token) of each label in the excerpts that are kept."""
    return [
        (number, int(token))
        for number, (each, keep) in enumerate(zip(labels, kept, strict=True))
        if keep
        for token in np.flatnonzero(each)
    ]


def seed_of(neuron: NeuronId, seed: int) -> int:
    """A seed of the neuron's own, so that other neurons do not change its draws."""
    return int.from_bytes(hashlib.sha256(f"{seed} {neuron}".encode()).digest()[:8])
