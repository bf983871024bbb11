"""Progress in a notebook, and work beside the event loop that a notebook runs in."""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from html import escape
from queue import SimpleQueue
from typing import Any, TypeVar

from harness.guards.printing import harmless
from harness.guards.secrets import scrubbed
from harness.types import Progress

Done = TypeVar("Done")

SECONDS_BETWEEN_UPDATES = 0.2


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook; IPython is not imported to find out."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None


def silent(_stage: str, _count: int, _total: int) -> None:
    """Show nothing."""


class NotebookBars:
    """A :data:`harness.types.Progress`: a bar for each stage below the cell of a notebook."""

    def __init__(self) -> None:
        self._handle: Any = importlib.import_module("IPython.display").DisplayHandle()  # which notebooks alone have
        self._stages: dict[str, tuple[int, int]] = {}
        self._updated_at = float("-inf")

    def __call__(self, stage: str, count: int, total: int) -> None:
        """Show that ``count`` of ``total`` items of a stage are finished."""
        is_new = not self._stages
        self._stages[stage] = (count, total)
        now = time.monotonic()
        if is_new or count >= total or now - self._updated_at >= SECONDS_BETWEEN_UPDATES:
            self._updated_at = now
            show = self._handle.display if is_new else self._handle.update
            show({"text/html": self.html(), "text/plain": self.text()}, raw=True)

    def html(self) -> str:
        """Return all bars."""
        return "".join(
            f'<div><progress value="{count}" max="{total}"></progress> {escape(_shown(stage))}: {count}/{total}</div>'
            for stage, (count, total) in self._stages.items()
        )

    def text(self) -> str:
        """Return all bars in words."""
        return "\n".join(f"{_shown(stage)}: {count}/{total}" for stage, (count, total) in self._stages.items())


def _shown(stage: str) -> str:
    return harmless(scrubbed(stage))


def beside_event_loop(work: Callable[[Progress], Done], progress: Progress) -> Done:
    """Do work that runs event loops of its own, in a thread if this one runs an event loop, as that of a notebook does.

    Progress is told in this thread. Ctrl-C, or the button that interrupts the kernel, ends the work at its next
    progress, after which nothing of it is left running.
    """
    if not _loop_runs():
        return work(progress)
    events: SimpleQueue[tuple[str, int, int] | None] = SimpleQueue()
    stopped = threading.Event()

    def tell(*event: Any) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        events.put(event)

    with ThreadPoolExecutor(1, "neurogloss") as pool:
        future = pool.submit(work, tell)
        future.add_done_callback(lambda _: events.put(None))
        try:
            for event in iter(events.get, None):
                progress(*event)
        except BaseException:
            stopped.set()
            raise
    return future.result()


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
