"""Another neuron's explanation: the floor. What it scores is what any well-formed explanation scores by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from harness.types import Evidence, Explainer, Explanation, NeuroglossError, NeuronId, Role


@dataclass(eq=False)
class Shuffled:
    """Gives each neuron what ``explainer`` says of another one; ``seed`` chooses which.

    Where it says several things the best for this neuron is chosen among them, as for any explainer: a best of k has
    a higher floor.
    """

    explainer: Explainer
    seed: int = 0
    role: Role = field(default=Role.FLOOR, init=False)

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """One explanation for each neuron, in order, each about a different neuron than its own."""
        partner = partners((known.neuron for known in evidence), self.seed)
        explained = {told.neuron: told for told in self.explainer.explain(evidence)}
        return [replace(explained[partner[known.neuron]], neuron=known.neuron) for known in evidence]


def partners(neurons: Iterable[NeuronId], seed: int) -> dict[NeuronId, NeuronId]:
    """Another neuron for each neuron, every one used once, whatever order they come in.

    They are put in a circle in the order of a seeded hash, and each is given the next.
    """
    circle = sorted(set(neurons), key=lambda neuron: hashlib.sha256(f"{seed} {neuron}".encode()).digest())
    if len(circle) < 2:
        raise NeuroglossError(
            "shuffled explanations need at least two neurons; add neurons or leave the shuffled explainer out."
        )
    return dict(zip(circle, circle[1:] + circle[:1], strict=True))
