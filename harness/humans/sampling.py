"""Which excerpts people simulate: few, drawn more often where they decide a score, with the weights that undo this.

A score such as a correlation is made of sums over tokens of the real activation times something else, so an excerpt on
which the unit is silent hardly moves it. Excerpts are drawn with replacement with a probability that is half uniform,
and half proportional to the root mean square of the unit's activation (importance sampling of excerpts for people:
Oikarinen et al., arXiv 2506.07985, whose proposal is a model's guess; here it is the unit's own activation). The
uniform half bounds every weight by twice that of uniform draws.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from harness.types import Excerpt, FloatArray, NeuroglossError

UNIFORM = 0.5
"""Share of the draws that is uniform."""


def probabilities(excerpts: Sequence[Excerpt]) -> FloatArray:
    """Return the probability of each excerpt at one draw [excerpts].

    Raises:
        NeuroglossError: there is no excerpt.
    """
    if not excerpts:
        raise NeuroglossError("there is no excerpt to draw from; the task has no valid ones.")
    sizes = np.array([_root_mean_square(excerpt) for excerpt in excerpts])
    uniform = np.full(len(excerpts), 1 / len(excerpts))
    return uniform if sizes.sum() <= 0 else UNIFORM * uniform + (1 - UNIFORM) * sizes / sizes.sum()


def draw(excerpts: Sequence[Excerpt], number: int, rng: np.random.Generator) -> list[tuple[Excerpt, float]]:
    """Draw excerpts, and return the different ones that came up, each with its weight.

    The sum over them of weight times x estimates the mean of x over all excerpts without bias: the weight is the share
    of the draws that hit an excerpt over how often they would at ``len(excerpts)`` times its probability.

    Args:
        excerpts: all that could be asked about.
        number: of draws, with replacement.
        rng: of the draws.
    """
    chances = probabilities(excerpts)
    hits = Counter(rng.choice(len(excerpts), size=number, p=chances).tolist())
    return [(excerpts[place], hits[place] / (number * len(excerpts) * float(chances[place]))) for place in sorted(hits)]


def _root_mean_square(excerpt: Excerpt) -> float:
    activations = np.maximum(np.asarray(excerpt.activations[excerpt.scored], dtype=np.float64), 0.0)
    return float(np.sqrt(np.mean(activations**2))) if activations.size else 0.0
