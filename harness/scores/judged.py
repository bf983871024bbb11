"""Detection and fuzzing (Paulo et al., arXiv 2410.13928): the cases of a judge, and scores of its answers.

A token is *active* if its activation is at least ``level`` tenths of the largest over the excerpts that are judged.

* *detection*: each excerpt is a case; yes is right if any of its tokens is active.
* *fuzzing*: each excerpt with active tokens makes two cases. Yes is right if the active tokens are marked, and wrong if
  as many others of the same excerpt are. These are drawn by a seed that depends on the excerpt alone, so that all
  explainers get the same cases.

Each gives two scores, named ``detection`` and ``detection_auroc``, ``fuzzing`` and ``fuzzing_auroc``:

* balanced accuracy, a probability of at least one half being a yes: 0 to 1, 0.5 for a judge whose answer is constant;
* AUROC of the probability of yes (:func:`harness.scores.ranking.auroc`): 0 to 1, 0.5 for a constant one; missing if the
  judge writes its answer and gives no probability.

Where a unit has hard excerpts (tokens that it fires on elsewhere, and not in these), both stand there once more, as
``detection_hard`` and ``fuzzing_hard`` with their AUROC: over the true cases as before, with hard excerpts in place of
the false ones. In fuzzing, the tokens marked in them are those of highest mean activation over the corpus.

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
from harness.types import HIGHEST_LEVEL, Excerpt, Judged

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Case:
    """An excerpt, the places of the tokens ``marked`` in it, and whether yes is the right answer (``truth``)."""

    excerpt: Excerpt
    marked: tuple[int, ...]
    truth: bool


def detection(excerpts: Sequence[Excerpt], level: int) -> list[Case]:
    """Return a case for each excerpt, with nothing marked."""
    return [
        Case(excerpt, (), bool(fires.any())) for excerpt, fires in zip(excerpts, active(excerpts, level), strict=True)
    ]


def fuzzing(excerpts: Sequence[Excerpt], level: int) -> list[Case]:
    """Return two cases, the right and the wrong one, for each excerpt with active and with silent scored tokens."""
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


def detection_hard(easy: Sequence[Excerpt], hard: Sequence[Excerpt], level: int) -> list[Case]:
    """Return a case for each hard excerpt; a token is active in it from the same activation on as in ``easy``."""
    fires_in = active([*easy, *hard], level)[len(easy) :]
    return [Case(excerpt, (), bool(fires.any())) for excerpt, fires in zip(hard, fires_in, strict=True)]


def fuzzing_hard(
    easy: Sequence[Excerpt], hard: Sequence[Excerpt], level: int, means: Mapping[str, float]
) -> list[Case]:
    """Return a false case for each hard excerpt: its silent tokens of highest mean activation are marked.

    As many are marked as in the true case of the same rank; there are none if there is no true case.

    Args:
        easy: the other excerpts of the split, which make the true cases.
        hard: the hard ones.
        level: from which a token is active.
        means: mean activation of each token over the corpus.
    """
    numbers = [len(case.marked) for case in fuzzing(easy, level) if case.truth]
    cases = []
    for place, (excerpt, fires) in enumerate(zip(hard, active([*easy, *hard], level)[len(easy) :], strict=True)):
        silent = [position for position in range(len(fires))[excerpt.scored] if not fires[position]]
        silent.sort(key=lambda position: -means.get(excerpt.tokens[position], -math.inf))
        if numbers and silent:
            cases.append(Case(excerpt, tuple(sorted(silent[: numbers[place % len(numbers)]])), False))
    return cases


def active(excerpts: Sequence[Excerpt], level: int) -> list[BoolArray]:
    """Return whether each token of each excerpt is active [excerpts][tokens]; leading tokens never are."""
    threshold = level / HIGHEST_LEVEL * max((excerpt.maximum for excerpt in excerpts), default=0.0)
    by_excerpt = []
    for excerpt in excerpts:
        fires = (np.array(excerpt.activations) >= threshold) & (threshold > 0)
        fires[: excerpt.leading] = False
        by_excerpt.append(fires)
    return by_excerpt


def balanced_accuracy(truth: npt.ArrayLike, answers: npt.ArrayLike) -> float:
    """Return the mean of two shares: of true cases that are answered yes, and of false ones that are answered no.

    Args:
        truth: whether yes is right [cases].
        answers: whether the judge answers yes [cases].

    Returns:
        A number in [0, 1]; 0.5 for a constant answer, however many cases are true.

    Raises:
        UndefinedScoreError: no case is true, or all are.
        ScoreInputError: unequal lengths, or no cases.
    """
    positive, yes = np.asarray(truth, dtype=bool), np.asarray(answers, dtype=bool)
    if positive.ndim != 1 or positive.shape != yes.shape or not positive.size:
        raise ScoreInputError(
            f"balanced accuracy has {positive.size} cases and {yes.size} answers; each case needs one, and there must "
            "be some."
        )
    if positive.all() or not positive.any():
        raise UndefinedScoreError("balanced accuracy is undefined where no case is true, or all are.")
    return float((yes[positive].mean() + (~yes[~positive]).mean()) / 2)


def figures(
    name: str, judged: Sequence[Judged], maximum_missing: float, probabilities: bool = True
) -> tuple[dict[str, float], dict[str, str]]:
    """Return the scores of a judge's answers on one explanation.

    Args:
        name: of the judge, which the names of its scores begin with.
        judged: its cases and judgements.
        maximum_missing: share of them that may lack an answer. If more do, the scores are missing; if fewer do, these
            cases are left out.
        probabilities: whether it gives probabilities, not only a yes or no.

    Returns:
        The scores that have a value, and the reason for each that has none.
    """
    answered = [case for case in judged if not math.isnan(case.judgement.probability)]
    reason = _why_missing(judged, answered, maximum_missing)
    if reason:
        return {}, dict.fromkeys((name, f"{name}_auroc"), reason)
    truth = np.array([case.truth for case in answered])
    shares = np.array([case.judgement.probability for case in answered])
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
    failed = Counter(case.judgement.outcome.value for case in judged if math.isnan(case.judgement.probability))
    if len(answered) == len(judged) or (answered and failed.total() <= maximum_missing * len(judged)):
        return None
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(failed.items()))
    return f"{failed.total()} of {len(judged)} judgements are missing (outcomes: {outcomes})"
