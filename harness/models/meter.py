"""What a run asks of models: requests, tokens and dollars, spent and saved, and the budget that they are kept under."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.types import NeuroglossError, Progress, Usage


@dataclass(frozen=True, slots=True)
class Totals:
    """``spent`` on replies that were asked for; ``saved`` by replies that the store gave for nothing."""

    spent: Usage = field(default_factory=Usage)
    saved: Usage = field(default_factory=Usage)


class Meter:
    """Counts what a run asks, reports its progress, and stops it before a budget is passed.

    Args:
        usd: the most that may be spent, in dollars; None for no limit.
        tokens: the most tokens, of prompts and completions together, that may be asked for.
        progress: called whenever a reply has come.
    """

    def __init__(self, usd: float | None = None, tokens: int | None = None, progress: Progress | None = None) -> None:
        self._usd = usd
        self._tokens = tokens
        self._progress = progress
        self._totals = Totals()
        self._committed = Usage()

    @property
    def totals(self) -> Totals:
        """What has been spent and saved so far."""
        return self._totals

    @property
    def limited(self) -> bool:
        """Whether there is a budget at all."""
        return self._usd is not None or self._tokens is not None

    def spend(self, usage: Usage) -> None:
        """Count a reply that was asked for."""
        self._totals = Totals(self._totals.spent + usage, self._totals.saved)

    def save(self, usage: Usage) -> None:
        """Count a reply that the store gave."""
        self._totals = Totals(self._totals.spent, self._totals.saved + usage)

    def show(self, what: str, done: int, total: int) -> None:
        """Report progress, where anybody wants it."""
        if self._progress is not None:
            self._progress(what, done, total)

    def commit(self, costs: Sequence[Usage]) -> int:
        """How many of the next requests, in order, can be sent without passing the budget, if each costs its most.

        Nothing else is under way; from now on these are.
        """
        self._committed = self._totals.spent
        return next((count for count, cost in enumerate(costs) if not self.bears(cost)), len(costs))

    def bears(self, cost: Usage) -> bool:
        """Whether one more request, or one more attempt at one, can be paid besides all that is under way; if so, it is
        under way from now on."""
        after = self._committed + cost
        if self._passes(after):
            return False
        self._committed = after
        return True

    def refuse(self, what: str, left: int) -> NeuroglossError:
        """The error that stops a run at its budget, with ``left`` requests not sent."""
        spent = self._totals.spent
        limits = [f"{self._usd:g} USD"] if self._usd is not None else []
        limits += [f"{self._tokens} tokens"] if self._tokens is not None else []
        return NeuroglossError(
            f"the budget of {' and '.join(limits)} is used up with {left} requests to go ({what}): spent are "
            f"{spent.usd:.4f} USD and {spent.prompt_tokens + spent.completion_tokens} tokens; "
            "what was paid for is in the store, so raise the budget and run again."
        )

    def _passes(self, after: Usage) -> bool:
        too_dear = self._usd is not None and after.usd > self._usd
        too_many = self._tokens is not None and after.prompt_tokens + after.completion_tokens > self._tokens
        return too_dear or too_many
