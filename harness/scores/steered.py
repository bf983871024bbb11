"""Steering: is what an explanation names what a unit writes?

The unit is raised and lowered by equal amounts at all positions of text that is not about it, by so much that the
next-token distributions of every unit move equally far: weak units would always lose otherwise. The half difference of
the log-probabilities of the next token, between raised and lowered, orders the vocabulary by what the unit promotes.

``steered`` is the share of the vocabulary that lies below a token that the explanation names (ties half), averaged over
what it names: 0.5 is chance, 1 the most promoted token. No simulator and no judge has a part in it. It sees what a unit
writes: a true explanation of what a unit fires on, which says nothing of its output, is at chance. (After Gur-Arieh et
al., arXiv 2501.08319, who ask a judge about continuations.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.scores.metrics import ScoreInputError

FACTORS = tuple(2.0**power for power in range(-3, 8))
"""By how many times the unit's largest activation it may be raised, least first."""


def promoted_by(raised: Mapping[str, float], lowered: Mapping[str, float]) -> dict[str, float]:
    """Return how much raising a unit promotes each token over lowering it (nats), by the token's text.

    Args:
        raised: change of the log-probability of the next token where the unit is raised.
        lowered: the same where it is lowered by as much; a token that is in one of the two only did not change there.
    """
    texts = dict.fromkeys([*raised, *lowered])
    return {text: (raised.get(text, 0.0) - lowered.get(text, 0.0)) / 2 for text in texts}


def standing(changes: Mapping[str, float], names: Sequence[str]) -> tuple[float, ...]:
    """Return the share of all tokens that lies below each of some, a tie counting one half; 0.5 for one of no change.

    Raises:
        ScoreInputError: no token changed, so that there is no order.
    """
    values = np.sort(np.array(list(changes.values())))
    if not values.size:
        raise ScoreInputError("no token changed its probability, so that none stands above another.")
    places = []
    for name in names:
        value = changes.get(name, 0.0)
        below, upto = np.searchsorted(values, value, "left"), np.searchsorted(values, value, "right")
        places.append(float((below + upto) / (2 * values.size)))
    return tuple(places)


def enough(divergences: Sequence[float], target: float) -> int:
    """Return the place of the first divergence that reaches a target, or of the largest if none does."""
    for place, divergence in enumerate(divergences):
        if divergence >= target:
            return place
    return int(np.argmax(divergences))
