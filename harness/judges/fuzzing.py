"""Fuzzing: told the explanation, does the judge know which tokens of a text the neuron fires on?"""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.judges.asking import Judging, text_of
from harness.types import JudgeQuery


@dataclass(eq=False)
class Fuzzing(Judging):
    """Shows a text with tokens marked, and asks whether those are the ones that the neuron fires on."""

    prompt: str = "fuzzing-v1"
    name: str = field(default="fuzzing", init=False)

    def shown(self, query: JudgeQuery) -> str:
        """The text, with the case's tokens marked."""
        return text_of(query.tokens, query.marked)
