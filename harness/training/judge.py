"""Judge of simulators: families of rules that no training example came from, with near misses and strangers.

A simulator reads the same texts under a true explanation, its near misses, and unrelated ones (strangers). The
correlations of its answers with the true levels are compared. Any simulator can be judged, trained or prompted.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from harness.report.page import Page, Table
from harness.scores.metrics import correlation
from harness.training.concepts import Concept
from harness.training.examples import IGNORED, Examples, Group
from harness.types import Explanation, FloatArray, Query, Simulator, Unit

_STRANGERS = 2
_RELATED = 0.1  # the largest correlation, in absolute value, of a stranger's levels with the true levels
_TRIES = 20  # the most concepts drawn for each concept that is judged: some families seldom apply

Reader = Callable[[Sequence[tuple[str, tuple[str, ...]]]], list[FloatArray]]
"""Maps (explanation, tokens of a text) pairs to the expected level of each token [tokens], NaN if it is missing."""


@dataclass(frozen=True)
class JudgeSettings:
    """Size of the judge's test.

    Attributes:
        concepts: number of concepts of each held-out family; of each trained one a third as many, but at least 4.
        texts: number of texts that each concept is read on.
        seed: decides which concepts and texts are drawn.
    """

    concepts: int
    texts: int
    seed: int


@dataclass(frozen=True)
class Verdict:
    """Result of one concept: correlation given the true explanation, each near miss and each stranger."""

    family: str
    explanation: str
    truth: float
    near: tuple[float, ...]
    unrelated: tuple[float, ...]


@dataclass(frozen=True)
class Figures:
    """Means over concepts: correlation given the truth, and the shares of near misses and strangers that it exceeds."""

    truth: float
    beats_near: float
    beats_unrelated: float
    concepts: int


def questions(
    examples: Examples, families: Mapping[str, Callable[[random.Random], Concept]], settings: JudgeSettings
) -> Iterator[tuple[str, list[Group]]]:
    """Yield the family and the groups of each concept to judge: the truth first, then near misses, then two strangers.

    A near miss has other levels on the texts than the truth; the levels of a stranger hardly correlate with the truth.
    A concept that applies nowhere in its texts is passed over.
    """
    for family, maker in families.items():
        chance = random.Random(f"{settings.seed} {family}")
        candidates = (
            _groups(examples, maker(chance), families, chance, settings.texts)
            for _ in range(_TRIES * settings.concepts)
        )
        yield from ((family, groups) for groups in islice(filter(None, candidates), settings.concepts))


def _groups(
    examples: Examples,
    concept: Concept,
    families: Mapping[str, Callable[[random.Random], Concept]],
    chance: random.Random,
    texts: int,
) -> list[Group]:
    near = [make(chance) for make in chance.sample(concept.near, min(2, len(concept.near)))]
    pool = examples.pools[1]
    windows = examples.texts(concept, near[0] if near else concept, chance, pool, texts)
    truth = examples.group(concept, chance.choice(concept.wordings), windows)
    if not any((levels > 0).any() for levels in truth.levels):
        return []
    misses = [examples.group(miss, chance.choice(miss.wordings), windows) for miss in near]
    strangers: list[Group] = []
    while len(strangers) < _STRANGERS:
        stranger = chance.choice(list(families.values()))(chance)
        group = examples.group(stranger, chance.choice(stranger.wordings), windows)
        strangers += [group] if abs(between(group, truth)) <= _RELATED else []
    return [truth, *(miss for miss in misses if differs(miss, truth)), *strangers]


def differs(group: Group, truth: Group) -> bool:
    """Return whether two groups on the same texts have different levels."""
    return any((a != b).any() for a, b in zip(group.levels, truth.levels, strict=True))


def between(group: Group, truth: Group) -> float:
    """Return the correlation of the levels of two groups on the same texts, over tokens that both ask about."""
    first, second = (np.concatenate(levels) for levels in (group.levels, truth.levels))
    return agreement(first, np.where(second == IGNORED, np.nan, second))


def judged(questions: Sequence[tuple[str, Sequence[Group]]], read: Reader) -> list[Verdict]:
    """Return the verdict on each concept of :func:`questions`; ``read`` is called once."""
    pairs = [
        (group.explanation, window.pieces) for _, groups in questions for group in groups for window in group.windows
    ]
    answers = iter(read(pairs))
    verdicts = []
    for family, groups in questions:
        real = np.concatenate(groups[0].levels)
        simulated = [np.concatenate([next(answers) for _ in group.windows]) for group in groups]
        truth, *correlations = (agreement(real, levels) for levels in simulated)
        near, unrelated = tuple(correlations[:-_STRANGERS]), tuple(correlations[-_STRANGERS:])
        verdicts.append(Verdict(family, groups[0].explanation, truth, near, unrelated))
    return verdicts


def agreement(real: np.ndarray[Any, Any], simulated: FloatArray) -> float:
    """Return the correlation over the tokens that are asked about and answered."""
    mask = (real != IGNORED) & np.isfinite(simulated)
    return correlation(real[mask].astype(np.float64), simulated[mask])


def figures(verdicts: Sequence[Verdict]) -> Figures:
    """Return the means over verdicts; a tie counts one half."""
    near = [_above(verdict.truth, score) for verdict in verdicts for score in verdict.near]
    unrelated = [_above(verdict.truth, score) for verdict in verdicts for score in verdict.unrelated]
    return Figures(
        truth=float(np.mean([verdict.truth for verdict in verdicts])),
        beats_near=float(np.mean(near)) if near else float("nan"),
        beats_unrelated=float(np.mean(unrelated)),
        concepts=len(verdicts),
    )


def _above(truth: float, rival: float) -> float:
    return 1.0 if truth > rival else 0.5 if truth == rival else 0.0


def reader(simulator: Simulator) -> Reader:
    """Return a reader that asks a simulator for the expected levels."""
    neuron = Unit("N", 0, 0)  # explanations here belong to no neuron

    def read(pairs: Sequence[tuple[str, tuple[str, ...]]]) -> list[FloatArray]:
        queries = [Query(Explanation(neuron, text=text), tokens) for text, tokens in pairs]
        return [np.array(simulation.expected, dtype=np.float64) for simulation in simulator.simulate(queries)]

    return read


def verdicts(simulators: Mapping[str, Simulator], examples: Examples, settings: JudgeSettings) -> dict[str, Any]:
    """Return the figures and verdicts of each simulator, on held-out and on trained families, as plain values."""
    smaller = dataclasses.replace(settings, concepts=max(4, settings.concepts // 3))
    questions_by_kind = {
        "held out": list(questions(examples, examples.held_out, settings)),
        "trained": list(questions(examples, examples.trained, smaller)),
    }
    return {
        name: {kind: _plain(judged(concepts, reader(simulator))) for kind, concepts in questions_by_kind.items()}
        for name, simulator in simulators.items()
    }


def _plain(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    by_family: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        by_family.setdefault(verdict.family, []).append(verdict)
    return {
        "figures": dataclasses.asdict(figures(verdicts)),
        "families": {family: dataclasses.asdict(figures(members)) for family, members in by_family.items()},
        "verdicts": [dataclasses.asdict(verdict) for verdict in verdicts],
    }


# ------------------------------------------------------------------------------------------------------------ in words

_COLUMNS = (
    ("concepts", "concepts"),
    ("truth", "correlation given the truth"),
    ("near", "beats near misses"),
    ("strangers", "beats unrelated"),
)


def page_of(results: Mapping[str, Any]) -> Page:
    """Return the result of :func:`verdicts` as tables: one of all simulators, then one of the families of each."""
    overview = Table(
        "Simulators",
        (("simulator, families", "simulator, families"), *_COLUMNS),
        tuple(
            (f"{name}, {kind}", *_cells(result["figures"]))
            for name, kinds in results.items()
            for kind, result in kinds.items()
        ),
    )
    details = (
        Table(
            f"{name}, {kind} families",
            (("family", "family"), *_COLUMNS),
            tuple((family, *_cells(figures)) for family, figures in result["families"].items()),
        )
        for name, kinds in results.items()
        for kind, result in kinds.items()
    )
    notes = ("Held-out families are kinds of rules that were never trained.",)
    return Page("The judge", (), (overview, *details), notes)


def _cells(figures: Mapping[str, float]) -> tuple[str, ...]:
    wins = ["–" if math.isnan(figures[key]) else f"{figures[key]:.0%}" for key in ("beats_near", "beats_unrelated")]
    return str(figures["concepts"]), f"{figures['truth']:.3f}", *wins
