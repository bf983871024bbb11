"""Accounting of a run: requests, tokens and dollars, spent and saved, and the budget that limits them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.types import NeuroglossError, Progress, Usage


@dataclass(frozen=True, slots=True)
class Totals:
    """Usage ``spent`` on new replies, and usage ``saved`` by stored replies."""

    spent: Usage = field(default_factory=Usage)
    saved: Usage = field(default_factory=Usage)


class Meter:
    """A counter of a run's usage that reports progress and stops the run before it exceeds its budget.

    Args:
        usd: the most to spend, in dollars; None for no limit.
        tokens: the most tokens to use, of prompts and completions together; None for no limit.
        progress: called whenever a reply has arrived.
    """

    def __init__(self, usd: float | None = None, tokens: int | None = None, progress: Progress | None = None) -> None:
        self._usd = usd
        self._tokens = tokens
        self._progress = progress
        self._totals = Totals()
        self._committed = Usage()

    @property
    def totals(self) -> Totals:
        """The usage spent and saved so far."""
        return self._totals

    @property
    def limited(self) -> bool:
        """True if there is a budget."""
        return self._usd is not None or self._tokens is not None

    def spend(self, usage: Usage) -> None:
        """Count the usage of a new reply."""
        self._totals = Totals(self._totals.spent + usage, self._totals.saved)

    def save(self, usage: Usage) -> None:
        """Count the usage of a stored reply."""
        self._totals = Totals(self._totals.spent, self._totals.saved + usage)

    def show(self, stage: str, count: int, total: int) -> None:
        """Report progress: ``count`` of ``total``."""
        if self._progress is not None:
            self._progress(stage, count, total)

    def commit(self, costs: Sequence[Usage]) -> int:
        """Reserve the budget for the next requests, and return how many of them, in order, it allows.

        Args:
            costs: the most that each request can cost. Earlier reservations are dropped: no request is in flight.
        """
        self._committed = self._totals.spent
        return next((count for count, cost in enumerate(costs) if not self.reserve(cost)), len(costs))

    def reserve(self, cost: Usage) -> bool:
        """Reserve the budget for one more attempt at a request; return False if it does not suffice."""
        committed = self._committed + cost
        if self._exceeds(committed):
            return False
        self._committed = committed
        return True

    def refuse(self, stage: str, remaining: int) -> NeuroglossError:
        """Return the error that stops a run at its budget, with ``remaining`` requests not sent."""
        usage = self._totals.spent
        limits = [f"{self._usd:g} USD"] if self._usd is not None else []
        limits += [f"{self._tokens} tokens"] if self._tokens is not None else []
        return NeuroglossError(
            f"the budget of {' and '.join(limits)} is used up with {remaining} requests to go ({stage}): spent are "
            f"{usage.usd:.4f} USD and {usage.prompt_tokens + usage.completion_tokens} tokens, and the next request "
            "may take more than is left; replies paid for are stored, so raise the budget and run again."
        )

    def _exceeds(self, usage: Usage) -> bool:
        too_expensive = self._usd is not None and usage.usd > self._usd
        too_many_tokens = self._tokens is not None and usage.prompt_tokens + usage.completion_tokens > self._tokens
        return too_expensive or too_many_tokens
