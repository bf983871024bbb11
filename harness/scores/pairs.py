"""Cases of a judge of attention heads: is this pair of tokens one that the head attends by?

The activation of a pair is the length of what the head writes at the attending token (query) from the attended one
(key); see :mod:`harness.subjects.heads`. Leading positions, the first of a sequence above all, are left out on both
axes: most heads rest there. Of each excerpt the strongest pair is a case where yes is right. In three cases it is
wrong, each drawn among pairs below a tenth of the largest activation, by a seed that depends on the excerpt alone:

* the same key token, attended from another query, at the same place or another;
* the same distance between query and key, elsewhere;
* any pair.

The first two are hard: a judge that looks at the attended token alone, or at the distance alone, cannot tell them.
After OpenAI's transformer-debugger, which has neither (attention_head_scoring.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from harness.scores.ranking import auroc
from harness.types import HIGHEST_LEVEL, Excerpt, FloatArray

BoolArray = npt.NDArray[np.bool_]


class PairKind(StrEnum):
    """What is special about the pair of a case."""

    ATTENDED = "attended"
    SAME_KEY = "same key token"
    SAME_DISTANCE = "same distance"
    RANDOM = "random"


FIGURES: Mapping[str, tuple[PairKind, ...]] = {
    "pairs": (PairKind.SAME_KEY, PairKind.SAME_DISTANCE),
    "pairs_key": (PairKind.SAME_KEY,),
    "pairs_distance": (PairKind.SAME_DISTANCE,),
    "pairs_random": (PairKind.RANDOM,),
}
"""A score -> the false cases that its true ones are told from."""


@dataclass(frozen=True, slots=True)
class PairCase:
    """A pair of tokens of an excerpt: the place of the attending one (``query``) and of the attended one (``key``)."""

    excerpt: Excerpt
    query: int
    key: int
    kind: PairKind


def cases(excerpts: Sequence[Excerpt], activations: Sequence[FloatArray], level: int) -> list[PairCase]:
    """Return the cases of some excerpts of one head.

    Args:
        excerpts: those that are judged.
        activations: that of each pair of each excerpt [excerpts][queries, keys].
        level: the level, from 1 to 10 in tenths of the largest activation, from which a pair counts as attended; an
            excerpt that has none makes no case.
    """
    scored = [np.where(_allowed(excerpt), pairs, 0.0) for excerpt, pairs in zip(excerpts, activations, strict=True)]
    largest = max((float(pairs.max(initial=0.0)) for pairs in scored), default=0.0)
    return [
        case
        for excerpt, pairs in zip(excerpts, scored, strict=True)
        if largest > 0 and pairs.max(initial=0.0) >= largest * level / HIGHEST_LEVEL
        for case in _cases_of(excerpt, pairs, _allowed(excerpt) & (pairs < largest / HIGHEST_LEVEL))
    ]


def _allowed(excerpt: Excerpt) -> BoolArray:
    """Return which pairs are scored [queries, keys]: none of a leading token, and none that looks ahead."""
    places = np.arange(len(excerpt.tokens))
    scored = places >= max(1, excerpt.leading)
    return (places[:, None] >= places) & scored[:, None] & scored


def _cases_of(excerpt: Excerpt, pairs: FloatArray, silent: BoolArray) -> list[PairCase]:
    """Return the strongest pair of an excerpt, and one of the ``silent`` pairs [queries, keys] of each kind."""
    query, key = map(int, np.unravel_index(int(pairs.argmax()), pairs.shape))
    places = np.arange(len(excerpt.tokens))
    same_token = np.array([token == excerpt.tokens[key] for token in excerpt.tokens])
    choices = {
        PairKind.SAME_KEY: silent & same_token & (places != query)[:, None],
        PairKind.SAME_DISTANCE: silent & (places[:, None] - places == query - key),
        PairKind.RANDOM: silent,
    }
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(excerpt.digest.encode()).digest()[:8]))
    chosen = [PairCase(excerpt, query, key, PairKind.ATTENDED)]
    for kind, is_choice in choices.items():
        candidates = np.argwhere(is_choice)
        if len(candidates):
            query, key = map(int, candidates[rng.integers(len(candidates))])
            chosen.append(PairCase(excerpt, query, key, kind))
    return chosen


def figures(kinds: Sequence[PairKind], probabilities: Sequence[float]) -> tuple[dict[str, float], dict[str, str]]:
    """Return the scores of a judge's answers on one explanation: AUROC of the probability of yes.

    Args:
        kinds: of the cases.
        probabilities: of yes [cases].

    Returns:
        The scores that have a value, and the reason for each that has none.
    """
    values: dict[str, float] = {}
    missing: dict[str, str] = {}
    for name, negatives in FIGURES.items():
        rows = [row for row, kind in enumerate(kinds) if kind in (PairKind.ATTENDED, *negatives)]
        truth = np.array([kinds[row] is PairKind.ATTENDED for row in rows], dtype=bool)
        if truth.any() and not truth.all():
            values[name] = auroc(truth, np.array(probabilities)[rows])
        else:
            missing[name] = "there are no such pairs to tell apart"
    return values, missing
