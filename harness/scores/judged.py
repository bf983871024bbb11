"""Detection and fuzzing (Paulo et al., arXiv 2410.13928): the cases a judge is put, and what its answers are worth.

A token is *active* where its activation is at least ``level`` tenths of the largest over the excerpts that are judged.

* *detection*: each excerpt is a case; yes is right where any of its tokens is active.
* *fuzzing*: each excerpt with active tokens makes two cases. Yes is right where the active tokens are marked; it is
  wrong where as many others of the same excerpt are, drawn by a seed that is the excerpt's own, so that every
  explainer is put the same cases.

Two figures come of each, named ``detection`` and ``detection_auroc``, ``fuzzing`` and ``fuzzing_auroc``:

* balanced accuracy, a yes being a probability of at least one half: 0 to 1, 0.5 for a judge that always says the same;
* AUROC of the probability of yes (:func:`harness.scores.ranking.auroc`): 0 to 1, 0.5 for one that does not vary;
  missing where the judge writes its answer and gives no probability.

A judgement that failed is never an answer: see :func:`figures`.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.scores.metrics import ScoreInputError, UndefinedScoreError
from harness.scores.ranking import auroc
from harness.types import Excerpt, Judged

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Case:
    """An excerpt, the tokens that are marked in it, and whether yes is the right answer."""

    excerpt: Excerpt
    marked: tuple[int, ...]
    truth: bool


def detection(excerpts: Sequence[Excerpt], level: int) -> list[Case]:
    """A case for each excerpt, with nothing marked."""
    return [
        Case(excerpt, (), bool(fires.any())) for excerpt, fires in zip(excerpts, active(excerpts, level), strict=True)
    ]


def fuzzing(excerpts: Sequence[Excerpt], level: int) -> list[Case]:
    """Two cases for each excerpt in which some scored tokens are active and some are not: the right and the wrong."""
    cases = []
    for excerpt, fires in zip(excerpts, active(excerpts, level), strict=True):
        right = np.flatnonzero(fires)
        silent = [place for place in range(len(fires))[excerpt.scored] if not fires[place]]
        if right.size and silent:
            rng = np.random.default_rng(int.from_bytes(hashlib.sha256(excerpt.digest.encode()).digest()[:8]))
            wrong = np.sort(rng.choice(silent, size=min(right.size, len(silent)), replace=False))
            marks = [(tuple(map(int, places)), truth) for places, truth in ((right, True), (wrong, False))]
            cases += [Case(excerpt, places, truth) for places, truth in marks]
    return cases


CASES: Mapping[str, Callable[[Sequence[Excerpt], int], list[Case]]] = {"detection": detection, "fuzzing": fuzzing}
"""The cases that each kind of judge is put, by its name."""
FIGURES = tuple(name + figure for name in CASES for figure in ("", "_auroc"))
"""The names of what comes of them."""


def active(excerpts: Sequence[Excerpt], level: int) -> list[BoolArray]:
    """Whether each token of each excerpt is active [excerpts][tokens]; leading ones and silent neurons never are."""
    threshold = level / 10 * max((excerpt.maximum for excerpt in excerpts), default=0.0)
    found = []
    for excerpt in excerpts:
        fires = (np.array(excerpt.activations) >= threshold) & (threshold > 0)
        fires[: excerpt.leading] = False
        found.append(fires)
    return found


def balanced_accuracy(truth: npt.ArrayLike, said: npt.ArrayLike) -> float:
    """The mean of the share of true cases that are said to be true and of false ones that are said to be false.

    Args:
        truth: whether yes is right [cases].
        said: whether the judge says yes [cases].

    Returns:
        A number in [0, 1]; 0.5 for a constant answer, however many cases are true.

    Raises:
        UndefinedScoreError: no case is true, or all are.
        ScoreInputError: unequal lengths, or no cases.
    """
    right, answers = np.asarray(truth, dtype=bool), np.asarray(said, dtype=bool)
    if right.ndim != 1 or right.shape != answers.shape or not right.size:
        raise ScoreInputError(
            f"balanced accuracy has {right.size} cases and {answers.size} answers; each case needs one, and there must "
            "be some."
        )
    if right.all() or not right.any():
        raise UndefinedScoreError("balanced accuracy is undefined where no case is true, or all are.")
    return float((answers[right].mean() + (~answers[~right]).mean()) / 2)


def figures(
    name: str, judged: Sequence[Judged], maximum_missing: float, probabilities: bool = True
) -> tuple[dict[str, float], dict[str, str]]:
    """What a judge's answers on one explanation are worth.

    Args:
        name: of the judge, which its figures begin with.
        judged: its cases and judgements.
        maximum_missing: share of them that may lack an answer; with more the figures are missing, with fewer these are
            left out.
        probabilities: whether it gives probabilities, not only its word.

    Returns:
        The figures that have a value, and for each other why it has none.
    """
    answered = [one for one in judged if not math.isnan(one.judgement.probability)]
    reason = _why_missing(judged, answered, maximum_missing)
    if reason:
        return {}, dict.fromkeys((name, f"{name}_auroc"), reason)
    truth = np.array([one.truth for one in answered])
    shares = np.array([one.judgement.probability for one in answered])
    values, missing = {}, {}
    compute: dict[str, Callable[[], float]] = {name: lambda: balanced_accuracy(truth, shares >= 0.5)}
    if probabilities:
        compute[f"{name}_auroc"] = lambda: auroc(truth, shares)
    else:
        missing[f"{name}_auroc"] = "the judge writes its answers, and gives no probabilities"
    for figure, value in compute.items():
        try:
            values[figure] = value()
        except UndefinedScoreError:
            missing[figure] = "all cases have the same right answer"
    return values, missing


def _why_missing(judged: Sequence[Judged], answered: Sequence[Judged], maximum_missing: float) -> str | None:
    if not judged:
        return "there are no words, or no cases, to judge"
    failed = Counter(one.judgement.outcome.value for one in judged if math.isnan(one.judgement.probability))
    if len(answered) == len(judged) or (answered and failed.total() <= maximum_missing * len(judged)):
        return None
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(failed.items()))
    return f"{failed.total()} of {len(judged)} judgements are missing (outcomes: {outcomes})"
