"""Figures of generated texts: does a unit fire on texts that fit its explanation, and not on others?

A text has one activation, the largest over its scored tokens. Texts that fit are compared with near misses, which share
the topic and should not fit, and with stretches of random corpus excerpts that are as long as the texts: the maximum
over more tokens would be larger by length alone. Sources: CoSy (arXiv 2405.20331: AUROC, and a difference of means),
FADE (2502.16994: near texts of the same concept) and Gur-Arieh et al. (2501.08319: texts that fit against texts that do
not).

===========================  =====================================================================================
figure                       definition
===========================  =====================================================================================
``generated``                AUROC of texts that fit against near misses: 0 to 1, 0.5 by chance
``generated_auprc``          AUPRC of the same, at equal weights of both: 0.5 for a constant activation
``generated_mad``            mean activation difference of the same, as a share of the unit's largest activation
``generated_corpus``         AUROC of texts that fit against the corpus
``generated_corpus_auprc``   AUPRC of the same, at equal weights of both
``generated_corpus_mad``     mean activation difference of the same, as a share of the unit's largest activation
``generated_share``          share of the texts that fit on which the unit exceeds its 99th percentile
``generated_listed``         share of the texts that fit which only list words of the explanation: no score
===========================  =====================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.scores.metrics import UndefinedScoreError
from harness.scores.ranking import auprc_balanced, auroc
from harness.types import Excerpt, FloatArray

FIGURES = (
    "generated",
    "generated_auprc",
    "generated_mad",
    "generated_corpus",
    "generated_corpus_auprc",
    "generated_corpus_mad",
    "generated_share",
    "generated_listed",
)
"""The names of all figures."""
PERCENTILE = 0.99
_WORD = re.compile(r"\w+")
_SHORTEST = 4  # letters of a word that counts in a list


@dataclass(frozen=True, slots=True)
class Peaks:
    """The largest activation of each text, in the subject's units: of those that fit [texts], of near misses [texts],
    and of stretches of the corpus [stretches]."""

    fitting: tuple[float, ...]
    near: tuple[float, ...]
    corpus: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Scale:
    """What a unit's activations are read against, in the subject's units: its ``maximum`` over all collected excerpts,
    and the 99th ``percentile`` of its maxima over the corpus."""

    maximum: float
    percentile: float


def figures(peaks: Peaks, scale: Scale) -> tuple[dict[str, float], dict[str, str]]:
    """Return the figures of one explanation but for ``generated_listed``.

    Args:
        peaks: the activations of its texts.
        scale: of its unit.

    Returns:
        The figures that have a value, and the reason for each that has none.
    """
    values = {"generated_share": float(np.mean(np.asarray(peaks.fitting) > scale.percentile))}
    missing: dict[str, str] = {}
    for name, contrast, noun in (
        ("generated", peaks.near, "near misses"),
        ("generated_corpus", peaks.corpus, "random excerpts of the corpus"),
    ):
        try:
            values |= _against(name, peaks.fitting, contrast, scale)
        except UndefinedScoreError:
            missing |= dict.fromkeys((name, f"{name}_auprc", f"{name}_mad"), f"there are no {noun}")
    if scale.maximum <= 0:
        unscaled = [name for name in values if name.endswith("_mad")]
        values = {name: value for name, value in values.items() if name not in unscaled}
        missing |= dict.fromkeys(unscaled, "the unit is nowhere above 0")
    return values, missing


def _against(name: str, fitting: Sequence[float], contrast: Sequence[float], scale: Scale) -> dict[str, float]:
    """Return AUROC, AUPRC and mean difference of two groups of activations.

    Raises:
        UndefinedScoreError: one of the groups is empty.
    """
    fits = np.repeat([True, False], [len(fitting), len(contrast)])
    activations = np.array([*fitting, *contrast])
    area, precision = auroc(fits, activations), auprc_balanced(fits, activations)
    difference = float(activations[fits].mean() - activations[~fits].mean())
    return {name: area, f"{name}_auprc": precision, f"{name}_mad": difference / (scale.maximum or 1.0)}


def scale_of(excerpts: Sequence[Excerpt], boundaries: Sequence[float] = ()) -> Scale:
    """Return the scale of a unit.

    Args:
        excerpts: all that were collected of it, top and random, each with its weight.
        boundaries: of its strata of maxima, near the quantiles 0.5, 0.9, 0.99 and 0.999 of the corpus; empty where none
            were collected.

    Returns:
        The scale. Its percentile is the third boundary. Without boundaries it is the inverse of the weighted empirical
        distribution: the least maximum that excerpts of 99 % of the weight do not exceed. With 20 top and 15 random
        excerpts of a large corpus that is about the largest random maximum.
    """
    maxima = np.array([excerpt.maximum for excerpt in excerpts])
    weights = np.array([excerpt.weight for excerpt in excerpts])
    third = boundaries[2] if len(boundaries) == 4 else weighted_quantile(maxima, weights, PERCENTILE)
    return Scale(float(maxima.max()), float(third))


def weighted_quantile(values: FloatArray, weights: FloatArray, share: float) -> float:
    """Return the least of ``values`` [values] that those of ``share`` of the weight do not exceed."""
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order]) / weights.sum()
    place = min(int(np.searchsorted(cumulative, share - 1e-12)), len(values) - 1)
    return float(values[order][place])


def stretches(excerpts: Sequence[Excerpt], length: int) -> tuple[float, ...]:
    """Return the largest activation of each stretch of ``length`` consecutive scored tokens of some excerpts.

    Stretches begin one after the other, from the first scored token on. What remains at the end of an excerpt is left
    out, unless the excerpt is shorter than one stretch.
    """
    maxima = []
    for excerpt in excerpts:
        activations = excerpt.activations[excerpt.scored]
        firsts = range(0, max(len(activations) - length, 0) + 1, length)
        maxima += [max(activations[first : first + length]) for first in firsts if activations]
    return tuple(maxima)


def is_list(text: str, explanation: str) -> bool:
    """Return whether a text only lists words of its explanation, and puts them into no sentence.

    That is the case if each of its words of four letters or more stands in the explanation, without regard to case and
    to a final "s", and there is such a word.
    """
    words = _long_words(text)
    return bool(words) and words <= _long_words(explanation)


def _long_words(text: str) -> set[str]:
    return {word.lower().removesuffix("s") for word in _WORD.findall(text) if len(word) >= _SHORTEST}
