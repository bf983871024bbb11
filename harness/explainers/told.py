"""The explanations that come with a unit: the true one of a puzzle, or its false ones of one kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.types import Explanation, Role, Truth, Validity


@dataclass(eq=False)
class Told:
    """Says what came with each unit of one ``validity``; a unit may have several such explanations, or none."""

    validity: Validity
    role: Role = field(default=Role.TOLD, init=False)

    def recall(self, truths: Sequence[Truth]) -> list[Explanation]:
        """Return the told explanations of each unit, in order."""
        return [
            Explanation(truth.unit, text=told.text)
            for truth in truths
            for told in truth.told
            if told.validity is self.validity
        ]
