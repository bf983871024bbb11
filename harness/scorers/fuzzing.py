"""Fuzzing: the judge says, from the explanation, on which tokens of a text the neuron fires."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.scorers.judging import JudgeQuery, Judging, text_of
from harness.scores import judged
from harness.scores.judged import Case
from harness.types import Excerpt, TokenSums


@dataclass(eq=False)
class Fuzzing(Judging):
    """Judge that asks whether the neuron fires on the marked tokens of a text."""

    name = "fuzzing"
    prompt: str = "fuzzing-v1"

    def cases(self, excerpts: Sequence[Excerpt]) -> list[Case]:
        """Return the cases of :func:`harness.scores.judged.fuzzing`."""
        return judged.fuzzing(excerpts, self.level)

    def hard_cases(self, easy: Sequence[Excerpt], hard: Sequence[Excerpt], sums: TokenSums) -> list[Case]:
        """Return the cases of :func:`harness.scores.judged.fuzzing_hard`."""
        return judged.fuzzing_hard(easy, hard, self.level, sums.means())

    def case_text(self, query: JudgeQuery) -> str:
        """Return the text with the tokens of the case marked."""
        return text_of(query.tokens, query.marked)
