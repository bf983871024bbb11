"""Two explainers as one: their explanations of a neuron, joined (the concatenated ensemble of 2501.08319)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from harness.types import Candidate, Evidence, Explainer, Explanation, Outcome, Role, Usage


@dataclass(eq=False)
class Joined:
    """Explainer that joins the explanations of an ``input`` and an ``output`` view; a missing one is left out."""

    input: Explainer
    output: Explainer
    separator: str = "; "
    role: Role = field(default=Role.EXPLAINER, init=False)

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """Return one explanation for each neuron, in order; if both are missing, the outcome is the input view's."""
        pairs = zip(self.input.explain(evidence), self.output.explain(evidence), strict=True)
        return [combine(pair, self.separator) for pair in pairs]


def combine(parts: Sequence[Explanation], separator: str) -> Explanation:
    """Return explanations of one neuron as one, with their cost; parts without a text are left out.

    First candidates are joined with first, second with second, up to the largest number of any part.

    Args:
        parts: at least one.
        separator: the text between two explanations; equal explanations appear once.
    """
    candidates = zip_longest(*(part.candidates for part in parts), fillvalue=Candidate("", Outcome.EMPTY))
    candidate = _combine_candidates([Candidate(part.text, part.outcome) for part in parts], separator)
    return replace(
        parts[0],
        text=candidate.text,
        outcome=candidate.outcome,
        prompt_version=" ".join(dict.fromkeys(part.prompt_version for part in parts if part.prompt_version)),
        usage=sum((part.usage for part in parts), Usage()),
        candidates=tuple(_combine_candidates(group, separator) for group in candidates),
    )


def _combine_candidates(parts: Sequence[Candidate], separator: str) -> Candidate:
    texts = dict.fromkeys(part.text for part in parts if part.outcome is Outcome.OK)
    return Candidate(separator.join(texts)) if texts else parts[0]
