"""Another neuron's explanation: the floor, which is the score of any well-formed but unrelated explanation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from harness.types import Evidence, Explainer, Explanation, NeuroglossError, Role, Unit


@dataclass(eq=False)
class Shuffled:
    """Explainer that gives each neuron the explanation by ``explainer`` of another one, chosen by ``seed``.

    If that has several candidates, the best for this neuron is chosen among them, as for any explainer: a best of k
    has a higher floor.
    """

    explainer: Explainer
    seed: int = 0
    role: Role = field(default=Role.FLOOR, init=False)

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """Return one explanation for each neuron, in order, each about a different neuron."""
        partner = partners((item.unit for item in evidence), self.seed)
        explanations = {explanation.unit: explanation for explanation in self.explainer.explain(evidence)}
        return [replace(explanations[partner[item.unit]], unit=item.unit) for item in evidence]


def partners(neurons: Iterable[Unit], seed: int) -> dict[Unit, Unit]:
    """Return another neuron for each neuron, each used once, independent of their order.

    The neurons stand in a circle in the order of a seeded hash, and the partner of each is the next.
    """
    circle = sorted(set(neurons), key=lambda neuron: hashlib.sha256(f"{seed} {neuron}".encode()).digest())
    if len(circle) < 2:
        raise NeuroglossError(
            "shuffled explanations need at least two neurons; add neurons or leave the shuffled explainer out."
        )
    return dict(zip(circle, circle[1:] + circle[:1], strict=True))
