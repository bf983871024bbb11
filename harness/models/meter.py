"""What models cost, by stage: counted, shown as progress, and kept within a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.types import NeuroglossError, Progress, Usage


def _silent(what: str, done: int, total: int) -> None:
    pass


@dataclass
class Meter:
    """Counts the replies of every model of a run.

    Attributes:
        progress: told how many of a stage's requests are answered.
        usd: what may be spent in all; None for no limit.
        tokens: how many tokens, prompt and completion, may be spent in all.
        spent: by stage, on fresh replies.
        saved: by stage, what replies from the store did cost when they were fresh.
    """

    progress: Progress = _silent
    usd: float | None = None
    tokens: int | None = None
    spent: dict[str, Usage] = field(default_factory=dict)
    saved: dict[str, Usage] = field(default_factory=dict)
    stage: str = "ask"
    _done: int = 0
    _expected: int = 0

    def begin(self, stage: str) -> None:
        """Count for ``stage`` from here on."""
        self.stage, self._done, self._expected = stage, 0, 0

    def expect(self, requests: int) -> None:
        """So many more requests are to be answered in this stage."""
        self._expected += requests

    def count(self, usage: Usage, *, stored: bool) -> None:
        """A reply is here: a fresh one, or one from the store."""
        by_stage = self.saved if stored else self.spent
        by_stage[self.stage] = by_stage.get(self.stage, Usage()) + usage
        self._done += 1
        self.progress(self.stage, self._done, self._expected)

    def admitted(self, estimates: Sequence[Usage]) -> int:
        """How many of these requests, from the first, fit what is left of the budget, each at its most expensive.

        Raises:
            NeuroglossError: not even the first; nothing more is asked, and what was answered is stored.
        """
        total = sum(self.spent.values(), Usage())
        for number, estimate in enumerate(estimates):
            total += estimate
            if self._over(total):
                if number == 0:
                    raise NeuroglossError(self._stopped(estimate))
                return number
        return len(estimates)

    def _over(self, total: Usage) -> bool:
        tokens = total.prompt_tokens + total.completion_tokens
        return (self.usd is not None and total.usd > self.usd) or (self.tokens is not None and tokens > self.tokens)

    def _stopped(self, estimate: Usage) -> str:
        spent = sum(self.spent.values(), Usage())
        used = spent.prompt_tokens + spent.completion_tokens
        return (
            f"the budget ends here: {used:,} tokens and {spent.usd:.4f} dollars are spent, the next request may need "
            f"{estimate.prompt_tokens + estimate.completion_tokens:,} tokens and {estimate.usd:.4f} dollars, and the "
            f"limits are budget.tokens={self.tokens} and budget.usd={self.usd}; raise them and run again to go on, for "
            "every reply so far is stored."
        )
