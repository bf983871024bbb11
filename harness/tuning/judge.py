"""The judge of simulators: families of rules that no training example came from, with near misses and strangers.

For each concept a simulator is asked what the truth, its near misses and unrelated explanations say of the same texts,
and the correlation of each with the truth's levels is compared. Any simulator can be judged, so that a trained one
stands beside prompted ones and beside none at all.
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
from harness.scores import correlation
from harness.tuning.concepts import Concept
from harness.tuning.examples import IGNORED, Examples, Group
from harness.types import Explanation, FloatArray, NeuronId, Query, Simulator

_STRANGERS = 2
_RELATED = 0.1  # what says of the same texts something that correlates with the truth by more is no stranger
_TRIES = 20  # concepts drawn for each that is asked, at most: some families seldom apply

Reader = Callable[[Sequence[tuple[str, tuple[str, ...]]]], list[FloatArray]]
"""From (explanation, tokens of a text) pairs to the expected level of each token [tokens], NaN where it is missing."""


@dataclass(frozen=True)
class JudgeSettings:
    """How much is asked.

    Attributes:
        concepts: of each held-out family; a third of it, but at least 4, of each trained one.
        texts: that each concept is read on.
        seed: decides which concepts and texts.
    """

    concepts: int
    texts: int
    seed: int


@dataclass(frozen=True)
class Verdict:
    """How one concept was judged: correlation given the truth, and given each near miss and each stranger."""

    family: str
    explanation: str
    truth: float
    near: tuple[float, ...]
    unrelated: tuple[float, ...]


@dataclass(frozen=True)
class Figures:
    """Means over concepts: correlation given the truth, and how often it is above a near miss and a stranger."""

    truth: float
    beats_near: float
    beats_unrelated: float
    concepts: int


def questions(
    examples: Examples, families: Mapping[str, Callable[[random.Random], Concept]], settings: JudgeSettings
) -> Iterator[tuple[str, list[Group]]]:
    """For each concept its family and the groups to be read: the truth first, then near misses, then two strangers.

    What says the same of the texts as the truth is no near miss, and what says something that correlates with it is no
    stranger; a concept that applies nowhere in the texts is not asked.
    """
    for family, maker in families.items():
        chance = random.Random(f"{settings.seed} {family}")
        drawn = (
            _groups(examples, maker(chance), families, chance, settings.texts)
            for _ in range(_TRIES * settings.concepts)
        )
        yield from ((family, groups) for groups in islice(filter(None, drawn), settings.concepts))


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
    if not any((found > 0).any() for found in truth.levels):
        return []
    misses = [examples.group(one, chance.choice(one.wordings), windows) for one in near]
    strangers: list[Group] = []
    while len(strangers) < _STRANGERS:
        one = chance.choice(list(families.values()))(chance)
        group = examples.group(one, chance.choice(one.wordings), windows)
        strangers += [group] if abs(_between(group, truth)) <= _RELATED else []
    return [truth, *(one for one in misses if _differs(one, truth)), *strangers]


def _differs(one: Group, other: Group) -> bool:
    return any((a != b).any() for a, b in zip(one.levels, other.levels, strict=True))


def _between(one: Group, other: Group) -> float:
    """The correlation of what two explanations say of the same texts, where both are asked."""
    first, second = (np.concatenate(group.levels) for group in (one, other))
    return _agreement(first, np.where(second == IGNORED, np.nan, second))


def judged(asked: Sequence[tuple[str, Sequence[Group]]], read: Reader) -> list[Verdict]:
    """The verdict on each concept; all questions are asked in one call."""
    pairs = [(group.explanation, window.pieces) for _, groups in asked for group in groups for window in group.windows]
    answers = iter(read(pairs))
    verdicts = []
    for family, groups in asked:
        real = np.concatenate(groups[0].levels)
        simulated = [np.concatenate([next(answers) for _ in group.windows]) for group in groups]
        truth, *others = (_agreement(real, one) for one in simulated)
        verdicts.append(
            Verdict(family, groups[0].explanation, truth, tuple(others[:-_STRANGERS]), tuple(others[-_STRANGERS:]))
        )
    return verdicts


def _agreement(real: np.ndarray[Any, Any], simulated: FloatArray) -> float:
    """Correlation over the tokens that are asked about and answered."""
    kept = (real != IGNORED) & np.isfinite(simulated)
    return correlation(real[kept].astype(np.float64), simulated[kept])


def figures(verdicts: Sequence[Verdict]) -> Figures:
    """Their means; a tie counts one half."""
    near = [_above(one.truth, other) for one in verdicts for other in one.near]
    unrelated = [_above(one.truth, other) for one in verdicts for other in one.unrelated]
    return Figures(
        truth=float(np.mean([one.truth for one in verdicts])),
        beats_near=float(np.mean(near)) if near else float("nan"),
        beats_unrelated=float(np.mean(unrelated)),
        concepts=len(verdicts),
    )


def _above(truth: float, other: float) -> float:
    return 1.0 if truth > other else 0.5 if truth == other else 0.0


def reader(simulator: Simulator) -> Reader:
    """Reads expected levels by asking a simulator."""
    nobody = NeuronId(0, 0)

    def read(pairs: Sequence[tuple[str, tuple[str, ...]]]) -> list[FloatArray]:
        queries = [Query(Explanation(nobody, "", text=told), tokens) for told, tokens in pairs]
        return [np.array(found.expected, dtype=np.float64) for found in simulator.simulate(queries)]

    return read


def verdicts(simulators: Mapping[str, Simulator], examples: Examples, settings: JudgeSettings) -> dict[str, Any]:
    """For each simulator its figures on held-out families and on trained ones, as plain values, and each verdict."""
    fewer = dataclasses.replace(settings, concepts=max(4, settings.concepts // 3))
    asked = {
        "held out": list(questions(examples, examples.held_out, settings)),
        "trained": list(questions(examples, examples.trained, fewer)),
    }
    return {
        name: {kind: _shown(judged(some, reader(simulator))) for kind, some in asked.items()}
        for name, simulator in simulators.items()
    }


def _shown(found: Sequence[Verdict]) -> dict[str, Any]:
    families = dict.fromkeys(one.family for one in found)
    return {
        "figures": dataclasses.asdict(figures(found)),
        "families": {
            family: dataclasses.asdict(figures([one for one in found if one.family == family])) for family in families
        },
        "verdicts": [dataclasses.asdict(one) for one in found],
    }


# ------------------------------------------------------------------------------------------------------------ in words

_COLUMNS = (
    ("concepts", "concepts"),
    ("truth", "correlation given the truth"),
    ("near", "beats near misses"),
    ("strangers", "beats unrelated"),
)


def page_of(found: Mapping[str, Any]) -> Page:
    """What :func:`verdicts` found, as tables: the simulators beside each other, then the families of each."""
    together = Table(
        "Simulators",
        (("simulator, families", "simulator, families"), *_COLUMNS),
        tuple(
            (f"{name}, {kind}", *_cells(some["figures"]))
            for name, kinds in found.items()
            for kind, some in kinds.items()
        ),
    )
    apart = (
        Table(
            f"{name}, {kind} families",
            (("family", "family"), *_COLUMNS),
            tuple((family, *_cells(one)) for family, one in some["families"].items()),
        )
        for name, kinds in found.items()
        for kind, some in kinds.items()
    )
    return Page("The judge", (), (together, *apart), ("Held-out families are kinds of rules that were never trained.",))


def _cells(figures: Mapping[str, float]) -> tuple[str, ...]:
    wins = ["–" if math.isnan(figures[one]) else f"{figures[one]:.0%}" for one in ("beats_near", "beats_unrelated")]
    return str(figures["concepts"]), f"{figures['truth']:.3f}", *wins
