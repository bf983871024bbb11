"""A simulator's scores over puzzles. The unit is the puzzle: every interval is a seeded bootstrap over puzzles.

====================  ==============================================================================================
metric                mean over the puzzles that have it of
====================  ==============================================================================================
correlation           the correlation of simulated and real levels, given the true explanation
auroc, auprc          how well the simulation, given the true explanation, ranks the tokens that fire
margin                truth's correlation minus a false explanation's, averaged over the puzzle's false explanations
beats_near            the share of the puzzle's near misses that the truth outscores, ties counting one half
beats_unrelated       the same of the explanations that have nothing to do with the puzzle
beats_unspecified     the same of those of which nobody says how they are false
====================  ==============================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness import stats
from harness.types import PuzzleScore, PuzzleSummary


def summarise(scores: Sequence[PuzzleScore], kind: str = "", *, seed: int, resamples: int) -> PuzzleSummary:
    """The summary of some puzzles; ``kind`` only names them."""
    rows = [one.figures for one in scores]
    names = dict.fromkeys(name for row in rows for name in row)
    return PuzzleSummary(
        kind=kind,
        metrics={
            name: stats.mean_interval([row[name] for row in rows if name in row], seed, resamples=resamples)
            for name in names
        },
        calibration_error=stats.calibration_error(stats.together(one.reliability for one in scores)),
        puzzles=len(scores),
        scored=sum(not math.isnan(one.correlation) for one in scores),
        degenerate=sum(one.degenerate for one in scores),
        tokens=sum(one.tokens for one in scores),
        missing_tokens=sum(one.missing_tokens for one in scores),
    )


def by_class(scores: Sequence[PuzzleScore], *, seed: int, resamples: int) -> tuple[PuzzleSummary, ...]:
    """A summary for each class, in order of their first puzzle; none where the puzzles have no classes."""
    kinds = dict.fromkeys(one.kind for one in scores if one.kind)
    return tuple(
        summarise([one for one in scores if one.kind == kind], kind, seed=seed, resamples=resamples) for kind in kinds
    )
