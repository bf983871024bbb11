"""A language model that reasons about marked excerpts before it explains; only its conclusion is kept."""

from __future__ import annotations

from dataclasses import dataclass

from harness.explainers.highlight import Highlight
from harness.explainers.shared.cleaning import explanation_of
from harness.types import Completion, Outcome


@dataclass(eq=False)
class ChainOfThought(Highlight):
    """Explainer that asks for reasoning and then a line that begins with the lead-in, and keeps the rest of it."""

    prompt: str = "chain_of_thought-v1"
    max_tokens: int = 300

    def parse(self, reply: Completion) -> tuple[str, Outcome]:
        """Return the conclusion of a reply; without one the outcome is empty, or truncated if the reply was."""
        start = reply.text.casefold().rfind(self._lead_in.casefold())
        if reply.outcome in (Outcome.OK, Outcome.TRUNCATED) and start < 0:
            return "", Outcome.EMPTY if reply.outcome is Outcome.OK else Outcome.TRUNCATED
        return explanation_of(Completion(reply.text[max(0, start) :], reply.outcome), self._lead_in)
