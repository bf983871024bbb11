"""Detection: told the explanation, does the judge know in which texts the neuron fires?"""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.judges.asking import Judging, text_of
from harness.types import JudgeQuery


@dataclass(eq=False)
class Detection(Judging):
    """Shows a text as it is, and asks whether the neuron fires somewhere in it."""

    prompt: str = "detection-v1"
    name: str = field(default="detection", init=False)

    def shown(self, query: JudgeQuery) -> str:
        """The text, with nothing marked."""
        return text_of(query.tokens)
