"""The judge of a simulator in training: families of rules that no example came from, with near misses and strangers.

For each concept it is asked what the truth, its near misses and unrelated explanations say of the same texts, and the
correlation of each with the truth's levels is compared.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch

from harness.models.tuned_network import TunedNetwork
from harness.scores import correlation
from harness.tuning.calibrate import Fitted
from harness.tuning.concepts import Concept
from harness.tuning.examples import IGNORED, Examples, Group
from harness.tuning.train import expected
from harness.types import FloatArray

_TRIES = 20  # concepts drawn for each that is asked, at most: some families seldom apply

Reader = Callable[[Sequence[tuple[str, str]]], list[FloatArray]]
"""From (explanation, text) pairs to the expected level of each of the text's tokens."""


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

    A near miss that says the same of the texts as the truth, or a concept that applies nowhere in them, is not asked.
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
    strangers = [chance.choice(list(families.values()))(chance) for _ in range(2)]
    others = [examples.group(one, chance.choice(one.wordings), windows) for one in (*near, *strangers)]
    kept = [one for one in others[: len(near)] if _differs(one, truth)]
    return [truth, *kept, *others[len(near) :]]


def _differs(one: Group, other: Group) -> bool:
    return any((a != b).any() for a, b in zip(one.levels, other.levels, strict=True))


def judged(family: str, groups: Sequence[Group], read: Reader) -> Verdict:
    """The verdict on one concept."""
    truth = groups[0]
    pairs = [(group.explanation, window.text.string) for group in groups for window in group.windows]
    answers = iter(read(pairs))
    scores = []
    for group in groups:
        simulated = np.concatenate([next(answers) for _ in group.windows])
        real = np.concatenate(truth.levels)
        asked = real != IGNORED
        scores.append(correlation(real[asked].astype(np.float64), simulated[asked]))
    return Verdict(family, truth.explanation, scores[0], tuple(scores[1:-2]), tuple(scores[-2:]))


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


def reader(network: TunedNetwork, examples: Examples, fitted: Fitted) -> Reader:
    """Reads expected levels with a network in training."""
    bias = torch.tensor(fitted.bias)

    def read(pairs: Sequence[tuple[str, str]]) -> list[FloatArray]:
        explanations = {one: number for number, one in enumerate(dict.fromkeys(told for told, _ in pairs))}
        texts = {one: number for number, one in enumerate(dict.fromkeys(text for _, text in pairs))}
        ids = [examples.tokenizer.text(examples.tokenizer.encode(text)[0]) for text in texts]
        told = [examples.tokenizer.explanation(one) for one in explanations]
        with torch.inference_mode():
            logits = network(told, ids, [(explanations[one], texts[text]) for one, text in pairs])
        levels = expected(logits / fitted.temperature + bias)[:, 1:].double().numpy()
        return [found[: len(ids[texts[text]]) - 1] for found, (_, text) in zip(levels, pairs, strict=True)]

    return read


def verdicts(network: TunedNetwork, examples: Examples, fitted: Fitted, settings: JudgeSettings) -> dict[str, Any]:
    """The figures of every held-out family and of every trained one, as plain values, and each verdict behind them."""
    read = reader(network, examples, fitted)
    found: dict[str, list[Verdict]] = {}
    fewer = dataclasses.replace(settings, concepts=max(4, settings.concepts // 3))
    for kind, families, asked in (
        ("held out", examples.held_out, settings),
        ("trained", examples.trained, fewer),
    ):
        every = list(questions(examples, families, asked))
        found[kind] = [judged(family, groups, read) for family, groups in every]
    return {
        "figures": {kind: dataclasses.asdict(figures(some)) for kind, some in found.items()},
        "families": {
            kind: {
                family: dataclasses.asdict(figures([one for one in some if one.family == family]))
                for family in dict.fromkeys(one.family for one in some)
            }
            for kind, some in found.items()
        },
        "verdicts": [dataclasses.asdict(one) for some in found.values() for one in some],
    }
