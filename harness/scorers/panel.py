"""The correlation panel as a scorer: it asks nothing, and compares simulated with real activations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.scorers.settings import check_level, check_share
from harness.scores import panel
from harness.types import Heading, Scored, ScorerInfo, SimulatedExplanation

HEADINGS = (
    Heading("correlation_random", "random", "random only"),
    Heading("correlation_top", "top", "top only"),
    Heading("correlation_hard", "hard", "top and hard"),
    Heading("auroc_hard", "AUROC h.", "AUROC, top and hard"),
    Heading("correlation_clipped", "clipped", "clipped at 0"),
    Heading("explained_variance", "expl.v.", "explained variance (median)"),
)


@dataclass(eq=False)
class Panel:
    """Scores each explanation by every metric of :mod:`harness.scores.panel`.

    Attributes:
        active_level: the level, from 1 to 10, from which a token counts as active (auroc, auprc, f1).
        maximum_missing: share of a unit's tokens that may lack a simulation before the unit has no score.
    """

    active_level: int = 1
    maximum_missing: float = 0.05

    def __post_init__(self) -> None:
        check_level("scores.panel.active_level", self.active_level)
        check_share("scores.panel.maximum_missing", self.maximum_missing)

    def describe(self) -> ScorerInfo:
        """Return which scorer this is."""
        return ScorerInfo("panel", headings=HEADINGS)

    def score(self, explanations: Sequence[SimulatedExplanation]) -> list[Scored]:
        """Score each explanation, in order."""
        return [
            Scored(panel.score(explanation.excerpts, self.active_level, self.maximum_missing))
            for explanation in explanations
        ]
