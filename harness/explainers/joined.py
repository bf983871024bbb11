"""Two explainers as one: what each says of a neuron, in one sentence (the concatenated ensemble of 2501.08319)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from harness.types import Candidate, Evidence, Explainer, Explanation, Outcome, Role, Usage


@dataclass(eq=False)
class Joined:
    """Joins the explanations of an ``input`` and an ``output`` view; where one has none, the other stands alone."""

    input: Explainer
    output: Explainer
    separator: str = "; "
    role: Role = field(default=Role.EXPLAINER, init=False)

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """One explanation for each neuron, in order; without any text the outcome is that of the input view."""
        pairs = zip(self.input.explain(evidence), self.output.explain(evidence), strict=True)
        return [together(pair, self.separator) for pair in pairs]


def together(parts: Sequence[Explanation], separator: str) -> Explanation:
    """Several explanations of one neuron as one, with what they cost; parts without a text are left out.

    The candidates of the parts are joined first with first, second with second: as many as one part has.

    Args:
        parts: at least one.
        separator: what stands between their texts; a text that was said before is not said again.
    """
    candidates = zip_longest(*(part.candidates for part in parts), fillvalue=Candidate("", Outcome.EMPTY))
    whole = _one([Candidate(part.text, part.outcome) for part in parts], separator)
    return replace(
        parts[0],
        text=whole.text,
        outcome=whole.outcome,
        prompt_version=" ".join(dict.fromkeys(part.prompt_version for part in parts if part.prompt_version)),
        usage=sum((part.usage for part in parts), Usage()),
        candidates=tuple(_one(some, separator) for some in candidates),
    )


def _one(parts: Sequence[Candidate], separator: str) -> Candidate:
    said = dict.fromkeys(part.text for part in parts if part.outcome is Outcome.OK)
    return Candidate(separator.join(said)) if said else parts[0]
