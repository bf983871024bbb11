"""The same sentence for every neuron: a floor, whose score shows the bias of the simulator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.types import Evidence, Explanation, NeuroglossError, Role


@dataclass(eq=False)
class Constant:
    """Explainer that gives ``text`` for every neuron."""

    text: str = "words that matter in the text"
    role: Role = field(default=Role.FLOOR, init=False)

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise NeuroglossError("the text of the constant explainer is empty; write a sentence for every neuron.")

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """Return the same explanation for each neuron."""
        return [Explanation(item.unit, text=self.text) for item in evidence]
