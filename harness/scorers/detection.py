"""Detection: the judge says, from the explanation, in which texts the neuron fires."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.scorers.judging import JudgeQuery, Judging, text_of
from harness.scores import judged
from harness.scores.judged import Case
from harness.types import Excerpt, TokenSums


@dataclass(eq=False)
class Detection(Judging):
    """Judge that asks whether the neuron fires anywhere in a text."""

    name = "detection"
    prompt: str = "detection-v1"

    def cases(self, excerpts: Sequence[Excerpt]) -> list[Case]:
        """Return the cases of :func:`harness.scores.judged.detection`."""
        return judged.detection(excerpts, self.level)

    def hard_cases(self, easy: Sequence[Excerpt], hard: Sequence[Excerpt], sums: TokenSums) -> list[Case]:  # noqa: ARG002
        """Return the cases of :func:`harness.scores.judged.detection_hard`."""
        return judged.detection_hard(easy, hard, self.level)

    def case_text(self, query: JudgeQuery) -> str:
        """Return the text without marks."""
        return text_of(query.tokens)
