"""Judge of robustness: held-out concepts in the words of held-out hands, and what changes in wording do to a reading.

A simulator reads the same texts under five wordings of a concept, under one of them padded, in capitals, with right
and with wrong example words, beside something named that does not fire, and under near misses and strangers.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from harness.report.page import Table
from harness.training import hands
from harness.training.concepts import Concept
from harness.training.examples import Group, Window
from harness.training.judge import Reader, agreement, between, differs
from harness.training.voices import Desk, Extent, Voices
from harness.types import FloatArray

WORDINGS = 5
"""Wordings of each concept."""
_RELATED = 0.1
_TRIES = 12
_TEXTS_LIMIT = 64  # tokens


@dataclass(frozen=True)
class Trial:
    """A concept and its groups on the same texts.

    Attributes:
        family: of the concept.
        groups: by their part: ``wordings`` (the first is the one that the others change), ``padded``, ``capitals``,
            ``examples``, ``wrong``, ``aside``, ``without``, ``near`` and ``unrelated``.
        named: tokens of each text that the concept leaves silent and that ``aside`` and ``without`` name.
    """

    family: str
    groups: Mapping[str, list[Group]]
    named: list[np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Figures:
    """Means over the concepts of a judge.

    Attributes:
        concepts: their number.
        truth: correlation given a true wording.
        spread: standard deviation of it over the wordings of a concept.
        capitals, padded, wrong: how much lower it is in capitals, with padding, with wrong example words.
        examples: how much higher it is with right example words.
        raised: how many levels higher the words are read that are named as not firing.
        near: share of (wording, near miss) pairs in which the wording's correlation is higher.
        worst: share of near misses that even the worst wording exceeds.
        unrelated: share of (wording, stranger) pairs in which the wording's correlation is higher.
    """

    concepts: int
    truth: float
    spread: float
    capitals: float
    padded: float
    wrong: float
    examples: float
    raised: float
    near: float
    worst: float
    unrelated: float


# ------------------------------------------------------------------------------------------------------------ questions


def trials(voices: Voices, each: int, texts: int, seed: int) -> Iterator[Trial]:
    """Yield a trial of each held-out kind of the scenes, and ``each`` of every held-out family.

    Args:
        voices: of held-out hands and kinds.
        each: number of concepts of a family.
        texts: number of texts of a concept.
        seed: decides every draw.
    """
    for kind in (kind for kinds in voices.kinds.values() for kind in kinds):
        chance = random.Random(f"{seed} {kind.group} {kind.tag}")
        concept = voices.concept(kind)
        near = concept.near[0](chance) if concept.near else concept
        windows = voices.scene_windows(concept, near, chance, Extent(_TEXTS_LIMIT, texts, capitals=False))
        yield from _trial(voices, concept, windows, chance)
    for family, maker in voices.examples.held_out.items():
        chance = random.Random(f"{seed} {family}")
        candidates = (_of_family(voices, maker(chance), chance, texts) for _ in range(_TRIES * each))
        applying = (trial for found in candidates for trial in found)
        yield from (trial for trial, _ in zip(applying, range(each), strict=False))


def _of_family(voices: Voices, concept: Concept, chance: random.Random, texts: int) -> list[Trial]:
    near = chance.choice(concept.near)(chance) if concept.near else concept
    windows = voices.examples.texts(concept, near, chance, voices.examples.pools[1], texts)
    return _trial(voices, concept, windows, chance)


def _trial(voices: Voices, concept: Concept, windows: Sequence[Window], chance: random.Random) -> list[Trial]:
    """Return the trial of a concept, or nothing if it does not apply in its texts."""
    levels = [voices.examples.levels(concept, window) for window in windows]
    if not any((reading > 0).any() for reading in levels):
        return []
    near = [make(chance) for make in chance.sample(concept.near, min(2, len(concept.near)))]
    rival = near[0] if near else voices.stranger(concept, chance)

    def group(drawn: Concept, turn: str, other: Concept = rival) -> Group:
        text, read = voices.phrased(drawn, other, turn, Desk(windows, chance.choice(voices.hands), chance))
        return Group(drawn, text, tuple(windows), tuple(read if turn == "plain" else voices.levels(drawn, windows)))

    wordings = _different(group, concept)
    misses = [miss for miss in (group(concept_near, "plain") for concept_near in near) if differs(miss, wordings[0])]
    strangers: list[Group] = []
    while len(strangers) < 2:
        stranger = group(voices.stranger(concept, chance), "plain")
        strangers += [stranger] if abs(between(stranger, wordings[0])) <= _RELATED else []
    first = wordings[0]
    changed = {
        "padded": [_said(first, hands.padded(first.explanation, voices.padding, chance))],
        "capitals": [_said(first, first.explanation.upper())],
        **{turn: [group(concept, turn)] for turn in ("examples", "wrong", "aside", "without")},
    }
    others = voices.levels(rival, windows)
    named = [(mine == 0) & (theirs > 0) for mine, theirs in zip(levels, others, strict=True)]
    groups = {"wordings": wordings, **changed, "near": misses, "unrelated": strangers}
    return [Trial(concept.family, groups, named)]


def _different(group: Any, concept: Concept) -> list[Group]:
    """Return groups of a concept in different wordings; equal ones remain if there are not enough."""
    drawn = [group(concept, "plain") for _ in range(6 * WORDINGS)]
    distinct = list({wording.explanation: wording for wording in drawn}.values())
    return (distinct + drawn)[:WORDINGS]


def _said(group: Group, explanation: str) -> Group:
    return Group(group.concept, explanation, group.windows, group.levels)


# -------------------------------------------------------------------------------------------------------------- figures


def judged(asked: Sequence[Trial], read: Reader) -> list[dict[str, Any]]:
    """Return what a simulator's readings give for each trial; ``read`` is called once."""
    pairs = [
        (group.explanation, window.pieces)
        for trial in asked
        for groups in trial.groups.values()
        for group in groups
        for window in group.windows
    ]
    answers = iter(read(pairs))
    return [_result(trial, _answered(trial, answers)) for trial in asked]


def _answered(trial: Trial, answers: Iterator[FloatArray]) -> dict[str, list[FloatArray]]:
    return {
        part: [np.concatenate([next(answers) for _ in group.windows]) for group in groups]
        for part, groups in trial.groups.items()
    }


def _result(trial: Trial, read: Mapping[str, list[FloatArray]]) -> dict[str, Any]:
    real = np.concatenate(trial.groups["wordings"][0].levels)
    named = np.concatenate(trial.named)
    scores = {part: [agreement(real, levels) for levels in readings] for part, readings in read.items()}
    first = read["wordings"][0]
    raised = [float((read[turn][0] - first)[named].mean()) for turn in ("aside", "without") if named.any()]
    return {
        "family": trial.family,
        "explanation": trial.groups["wordings"][0].explanation,
        **scores,
        "raised": raised,
    }


def figures(results: Sequence[Mapping[str, Any]]) -> Figures:
    """Return the means over trials."""
    pairs = [(result, wording) for result in results for wording in result["wordings"]]

    def cost(part: str) -> float:
        return _mean([result["wordings"][0] - result[part][0] for result in results])

    return Figures(
        concepts=len(results),
        truth=_mean([_mean(result["wordings"]) for result in results]),
        spread=_mean([float(np.std(result["wordings"])) for result in results]),
        capitals=cost("capitals"),
        padded=cost("padded"),
        wrong=cost("wrong"),
        examples=-cost("examples"),
        raised=_mean([value for result in results for value in result["raised"]]),
        near=_mean([float(wording > score) for result, wording in pairs for score in result["near"]]),
        worst=_mean([float(min(result["wordings"]) > score) for result in results for score in result["near"]]),
        unrelated=_mean([float(wording > score) for result, wording in pairs for score in result["unrelated"]]),
    )


def plain(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures of all trials and of those of each family, as plain values."""
    families = dict.fromkeys(result["family"] for result in results)
    return {
        "all": asdict(figures(results)),
        "families": {
            family: asdict(figures([result for result in results if result["family"] == family])) for family in families
        },
    }


def table(results: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return the figures of :func:`plain` of several simulators as a table."""
    names = [field.name for field in fields(Figures)]
    rows = tuple(
        (f"{name}, {part}", *(_cell(figure[key]) for key in names))
        for name, result in results.items()
        for part, figure in {"all": result["all"], **result["families"]}.items()
    )
    columns = (("simulator", "simulator, concepts"), *((name, _COLUMNS[name]) for name in names))
    return Table("Held-out hands and kinds", columns, rows)


_COLUMNS: Mapping[str, str] = {
    "concepts": "concepts",
    "truth": "correlation given the truth",
    "spread": "its standard deviation over wordings",
    "capitals": "cost of capitals",
    "padded": "cost of padding",
    "wrong": "cost of wrong examples",
    "examples": "gain by true examples",
    "raised": "levels that named words rise",
    "near": "beats near misses",
    "worst": "worst wording beats near misses",
    "unrelated": "beats unrelated",
}


def _cell(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
