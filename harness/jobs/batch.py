"""Batch files as one more way to send: write what a run would ask of servers, read what they answered.

Writing goes through the run's own stages: whatever the store holds is answered by it, models in this process are asked
as in a run, and what a server would be asked stands in a file. Stages whose requests depend on replies go on when these
are read, so that a batch is written, sent and read once for each: explanations first, then their simulations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import pipeline
from harness.jobs.estimate import unknown_prices
from harness.jobs.ledger import Ledger
from harness.jobs.run import RunPlan, fitting_of, read_records, subject_of
from harness.jobs.tools import Remembering, build_tools
from harness.models.backend import Backend
from harness.models.server.batch import BatchFile, BatchModel, Outbox, Questions, Receipt, receive
from harness.models.server.model import ServerModel
from harness.models.store import CAPABILITIES, Store
from harness.report.page import short
from harness.text import plain
from harness.types import Explanation, LanguageModel, NeuroglossError, Outcome, Progress, Unit

MOST_PROBLEMS = 20
"""Lines of answers that cannot be used, of which each is named."""


@dataclass(frozen=True, eq=False)
class Posting(Remembering):
    """Asks as a run does, but writes what it would ask of servers."""

    outbox: Outbox

    def model(self, backend: Backend) -> LanguageModel:
        """Return a model that answers from the store, and writes the rest if it is on a server."""
        if isinstance(backend, ServerModel):
            return BatchModel(backend, self.store, self.outbox)
        return super().model(backend)


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        files: of requests.
        kinds: the number of requests of each kind.
        repeated: how many of them stand in earlier files too.
        waiting: explanations that wait for replies.
    """

    files: tuple[BatchFile, ...]
    kinds: Mapping[str, int]
    repeated: int
    waiting: int


def write(plan: RunPlan, path: Path, progress: Progress) -> Written:
    """Write what a run would ask of servers and the store does not hold.

    Args:
        plan: of the run.
        path: the first file; there are more where several models are asked, or their limits take it.
        progress: is told how far each stage is.

    Raises:
        NeuroglossError: the run cannot be done, the budget does not allow the requests, or a file is there already or
            has another ending than .jsonl, by which providers know it.
    """
    if path.suffix != ".jsonl":
        raise NeuroglossError(f"{path} is no file of requests; end the command with a new file such as requests.jsonl.")
    settings = plan.settings
    task, records = read_records(settings)
    ledger = Ledger(progress, settings.budget)
    with (
        Store(settings.store) as replies,
        Questions(replies.path) as questions,
        Outbox(path, questions, ledger.meter) as outbox,
    ):
        asking = Posting(replies, ledger.meter, outbox)
        tools = build_tools(settings, subject_of(task), records, asking)
        fitting = fitting_of(settings.calibration, task)
        prompted = {built.name for built in tools.explainers if built.models}
        waiting: set[tuple[str, Unit]] = set()
        for shard in pipeline.shards(records):
            rows = pipeline.run(shard, tools.tools, tools.rows, fitting, ledger.begin, _undecided)
            waiting |= {
                (row.explainer, item.explanation.unit)
                for row, items in rows.items()
                for item in items
                if row.explainer in prompted and item.explanation.outcome is Outcome.NOT_COLLECTED
            }
    return Written(tuple(outbox.files), outbox.kinds, outbox.repeated, len(waiting))


def _undecided(explanation: Explanation) -> Explanation:
    """Return an explanation, of whose candidates the best is not known yet, as one that nobody has."""
    return replace(explanation, text="", outcome=Outcome.NOT_COLLECTED)


def read(files: Sequence[Path], store: Path) -> Receipt:
    """Store the replies in files of answers.

    Raises:
        NeuroglossError: nothing was written for this store, or a file or the store cannot be used.
    """
    if not store.exists():
        raise NeuroglossError(f"there is no store {store}, so that no batch was written for it; see --store.")
    with Store(store) as replies, Questions(store) as questions:
        return receive(files, questions, replies)


# ----------------------------------------------------------------------------------------------------------- in words


def lines_of_written(plan: RunPlan, written: Written) -> list[str]:
    """Return what was written and what comes next, a line each; prices that are unknown are said."""
    prices = unknown_prices(plan) if written.files else []
    return [*map(_line, written.files), *prices, _next_step(written)]


def _line(batch: BatchFile) -> str:
    tokens = short(batch.cost.prompt_tokens + batch.cost.completion_tokens)
    return (
        f"{batch.path}: {batch.requests} requests to {plain(batch.model)} at {plain(batch.base_url)}, "
        f"{batch.url}, {batch.size / 1e6:.2f} MB, at most {tokens} tokens and {batch.cost.usd:.4f} USD"
    )


def _next_step(written: Written) -> str:
    count = sum(written.kinds.values())
    if not count:
        return (
            "0 requests written: the store answers all of them; neurogloss run, with the same settings, does the rest."
        )
    kinds = ", ".join(f"{number} {kind}" for kind, number in written.kinds.items())
    repeated = f", of which {written.repeated} stand in earlier files too: send them once" if written.repeated else ""
    return (
        f"{count} requests written ({kinds}){repeated}; read their replies (neurogloss batch read FILE) and "
        f"{_follows(written)}."
    )


def _follows(written: Written) -> str:
    """Return what to do when the replies are read."""
    if written.waiting:
        return f"write again: simulations of {written.waiting} explanations will follow"
    if CAPABILITIES.name in written.kinds:
        return "write again: readings of levels will follow the trial"
    return "run, or write again to see that nothing is missing"


def lines_of_receipt(receipt: Receipt) -> list[str]:
    """Return what was read, a line each."""
    tokens = short(receipt.cost.prompt_tokens + receipt.cost.completion_tokens)
    wasted = f" ({receipt.wasted.usd:.4f} USD more for replies that cannot be used)" if receipt.wasted.usd else ""
    unnamed = len(receipt.problems) - MOST_PROBLEMS
    return [
        *receipt.problems[:MOST_PROBLEMS],
        *([f"... and {unnamed} lines more that cannot be used"] if unnamed > 0 else []),
        f"{receipt.stored} replies stored, {tokens} tokens, {receipt.cost.usd:.4f} USD{wasted}; "
        f"{receipt.repeated} were there already",
    ]


def check(receipt: Receipt) -> None:
    """Refuse a reading some of whose lines cannot be used.

    Raises:
        NeuroglossError: how many there are, and what becomes of their requests.
    """
    if receipt.problems:
        raise NeuroglossError(
            f"{len(receipt.problems)} lines hold no reply that can be used; their requests stay open, and "
            "neurogloss batch write writes them again."
        )
