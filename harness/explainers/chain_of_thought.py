"""A language model that may think aloud over marked excerpts before it explains; only its conclusion is kept."""

from __future__ import annotations

from dataclasses import dataclass

from harness.explainers.cleaning import explanation_of
from harness.explainers.highlight import Highlight
from harness.types import Completion, Outcome


@dataclass(eq=False)
class ChainOfThought(Highlight):
    """Asks for reasoning that ends in a line which begins with the prompt's lead-in, and takes what follows it."""

    prompt: str = "chain_of_thought-v1"
    max_tokens: int = 300

    def told(self, reply: Completion) -> tuple[str, Outcome]:
        """The conclusion in a reply; without one it is empty, or truncated where the reply ran into its limit."""
        start = reply.text.casefold().rfind(self._lead_in.casefold())
        if reply.outcome in (Outcome.OK, Outcome.TRUNCATED) and start < 0:
            return "", Outcome.EMPTY if reply.outcome is Outcome.OK else Outcome.TRUNCATED
        return explanation_of(Completion(reply.text[max(0, start) :], reply.outcome), self._lead_in)
