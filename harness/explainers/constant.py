"""The same sentence for every neuron: a floor. What it scores is what the simulator's habits score by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.types import Evidence, Explanation, NeuroglossError, Role


@dataclass(eq=False)
class Constant:
    """Says ``text`` of every neuron."""

    text: str = "words that matter in the text"
    role: Role = field(default=Role.FLOOR, init=False)

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise NeuroglossError("the text of the constant explainer is empty; write what it says of every neuron.")

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """The same for each neuron."""
        return [Explanation(known.neuron, "", text=self.text) for known in evidence]
