"""What a run has cost so far, by stage."""

from __future__ import annotations

import time

from harness.config import BudgetSettings
from harness.models.meter import Meter
from harness.results import StageUsage
from harness.types import Progress


class Ledger:
    """Seconds, tokens and dollars by stage; it is told the name of each stage as it begins."""

    def __init__(self, progress: Progress, budget: BudgetSettings) -> None:
        self.meter = Meter(budget.usd, budget.tokens, self._show)
        self.seconds: dict[str, float] = {}
        self.usage: dict[str, StageUsage] = {}
        self._progress = progress
        self._stage = ""
        self._since = time.monotonic()
        self._before = self.meter.totals

    def begin(self, stage: str) -> None:
        """End the stage before, and begin ``stage``."""
        now, totals = time.monotonic(), self.meter.totals
        if self._stage:
            self.seconds[self._stage] = now - self._since
            self.usage[self._stage] = StageUsage(
                spent=totals.spent - self._before.spent, saved=totals.saved - self._before.saved
            )
        self._stage, self._since, self._before = stage, now, totals

    def _show(self, what: str, done: int, total: int) -> None:
        self._progress(f"{self._stage}, {what}", done, total)
