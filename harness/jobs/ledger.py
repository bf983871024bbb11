"""The costs of a run so far, by stage."""

from __future__ import annotations

import time
from collections.abc import Callable

from harness.config.settings import BudgetSettings
from harness.models.meter import Meter
from harness.results.vocabulary import StageUsage
from harness.types import Progress


class Ledger:
    """Seconds, tokens and dollars by stage.

    Args:
        progress: is told how far each stage is.
        budget: limits of what may be spent.
        announce: is told the name of each stage as it begins.
    """

    def __init__(
        self,
        progress: Progress,
        budget: BudgetSettings,
        announce: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.meter = Meter(budget.usd, budget.tokens, self._report)
        self.seconds: dict[str, float] = {}
        self.usage: dict[str, StageUsage] = {}
        self._progress = progress
        self._announce = announce
        self._stage = ""
        self._start = time.monotonic()
        self._totals_at_start = self.meter.totals

    def begin(self, stage: str) -> None:
        """End the stage before, and begin ``stage``, which may have been begun before: each shard goes through all."""
        now, totals = time.monotonic(), self.meter.totals
        if self._stage:
            so_far = self.usage.get(self._stage, StageUsage())
            self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + now - self._start
            self.usage[self._stage] = StageUsage(
                spent=so_far.spent + totals.spent - self._totals_at_start.spent,
                saved=so_far.saved + totals.saved - self._totals_at_start.saved,
            )
        self._stage, self._start, self._totals_at_start = stage, now, totals
        self._announce(stage)

    def _report(self, kind: str, count: int, total: int) -> None:
        """Pass on that ``count`` of ``total`` requests of a kind are answered."""
        self._progress(f"{self._stage}, {kind}", count, total)
