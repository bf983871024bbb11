"""What a run would ask of models, before it asks: every prompt is rendered, none is sent to a server.

How long models in this process take is measured on the first requests of each stage, whose replies are thrown away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import pipeline
from harness.config.prices import PRICES, uncounted, unpriced
from harness.config.settings import BudgetSettings
from harness.jobs.run import RunPlan, fitting_of, read_records, subject_of
from harness.jobs.tools import build_tools
from harness.models.backend import Backend
from harness.models.planned import Asked, PlannedModel, Tally
from harness.models.store import Store
from harness.report.page import Columns, Page, Table, short
from harness.scorers.ablation import AskedSubject
from harness.scorers.generated import Activations, TextReading
from harness.scorers.pairs import PairActivations, PairReading
from harness.scorers.steered import Steered, Steering
from harness.text import plain
from harness.types import Effect, Explanation, Identity, LanguageModel, Replacement, Subject, Usage

_COLUMNS: Columns = (
    ("stage", "stage"),
    ("model", "model"),
    ("requests", "requests"),
    ("stored", "answered by the store"),
    ("prompt", "prompt tokens at most"),
    ("reply", "reply tokens at most"),
    ("time", "time of models in this process"),
    ("USD", "dollars at most"),
)


@dataclass(frozen=True, eq=False)
class Counting:
    """Counts what models would be asked, and does not ask the subject."""

    tally: Tally

    def model(self, backend: Backend) -> LanguageModel:
        """Return a model that counts."""
        return PlannedModel(backend, self.tally)

    def subject(self, subject: Subject) -> AskedSubject:
        """Return a subject that says nothing: it runs in this process and costs no tokens."""
        return SilentSubject(subject)


@dataclass(frozen=True, eq=False)
class SilentSubject:
    """A subject that is not asked."""

    unasked: Subject

    @property
    def identity(self) -> Identity:
        """Which model it would be."""
        return self.unasked.identity

    def effects_of(self, replacements: Sequence[Replacement]) -> list[Effect]:  # noqa: ARG002  # the protocol's
        """Return no effects."""
        return []

    def activations_of(self, readings: Sequence[TextReading]) -> list[Activations]:  # noqa: ARG002  # as above
        """Return no activations."""
        return []

    def steered(self, steerings: Sequence[Steering]) -> list[Steered]:  # noqa: ARG002  # as above
        """Return no answers."""
        return []

    def pairs_of(self, readings: Sequence[PairReading]) -> list[PairActivations]:  # noqa: ARG002  # as above
        """Return no activations of pairs."""
        return []


def estimate(plan: RunPlan) -> list[Asked]:
    """Return what each stage of a run would ask of each model, at the most that it can cost, and the time it takes.

    The run's own stages are gone through with models that count. The prompts of explainers, and those about stored
    explanations, are exact. An explanation that is not known yet is taken to be as long as it may be.

    Raises:
        NeuroglossError: the task or the store cannot be read.
    """
    settings = plan.settings
    task, records = read_records(settings)
    with Store(settings.store if Path(settings.store).exists() else ":memory:") as store:
        tally = Tally(store)
        tools = build_tools(settings, subject_of(task), records, Counting(tally))
        fitting = fitting_of(settings.calibration, task)
        for shard in pipeline.shards(records):
            pipeline.run(shard, tools.tools, tools.rows, fitting, tally.begin, _longest)
        return tally.timed_rows()


def _longest(explanation: Explanation) -> Explanation:
    """Return an explanation, of whose candidates nobody knows the best, with the text of the longest."""
    longest = max(explanation.candidates, key=lambda candidate: len(candidate.text))
    return replace(explanation, text=longest.text, outcome=longest.outcome)


def page(plan: RunPlan, questions: Sequence[Asked]) -> Page:
    """Return the plan of a run for a reader: a row for each stage and model, and whether the budget will do."""
    new, stored = (
        sum(usages, Usage()) for usages in ([row.new for row in questions], [row.saved for row in questions])
    )
    cells = [_cells(row.stage, row.model.name, row.new, row.saved, row.seconds) for row in questions]
    times = [row.seconds for row in questions if row.seconds is not None]
    return Page(
        title=f"What run {plan.run_id} would ask of models",
        facts=(("task", plain(plan.settings.task.name)), ("store", plain(plan.settings.store))),
        tables=(Table("at most", _COLUMNS, (*cells, _cells("all", "", new, stored, sum(times) if times else None))),),
        sentences=(_budget(plan.settings.budget, new), *unknown_prices(plan), *_tokenizers(plan), *_SENTENCES),
    )


_MINUTE, _HOUR = 60, 3600
_SENTENCES = (
    "Nothing was sent to a server. A reply, and an explanation that is not known yet, are taken to be as long as they "
    "may be.",
    "The time is that of models in this process on this machine as it is now, at the pace of the first requests of "
    "each stage, whose replies were thrown away. How long servers take is unknown before they are asked, and the "
    "passes of the subject, as for ablation, come on top.",
)


def unknown_prices(plan: RunPlan) -> list[str]:
    """Return which prices are unknown, so that the dollars leave them out."""
    return [
        f"The prices of {where} are unknown, so that the dollars leave them out; set "
        f"{' and '.join(f'{where}.{price}' for price in PRICES)}."
        for where in unpriced(plan.config)
    ]


def _tokenizers(plan: RunPlan) -> list[str]:
    """Return which models' prompts are counted in bytes."""
    return [
        f"A prompt to {where} is counted a token for each byte, which is an upper bound and often four times too high; "
        f"{where}.tokenizer=NAME, the model's tokenizer on the hub or in a folder, counts its tokens."
        for where in uncounted(plan.config)
    ]


def _cells(stage: str, model: str, new: Usage, stored: Usage, seconds: float | None) -> tuple[str, ...]:
    counts = (short(count) for count in (new.prompt_tokens, new.completion_tokens))
    requests = (str(new.requests), str(stored.requests))
    return (plain(stage), plain(model), *requests, *counts, _duration(seconds), f"{new.usd:.4f}")


def _duration(seconds: float | None) -> str:
    """Return a time in seconds, minutes or hours; a dash if nobody knows it."""
    if seconds is None:
        return "–"
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / _MINUTE:.0f} min" if seconds < 2 * _HOUR else f"{seconds / _HOUR:.1f} h"


def _budget(budget: BudgetSettings, new: Usage) -> str:
    tokens = new.prompt_tokens + new.completion_tokens
    limits = [
        (name, limit, maximum)
        for name, limit, maximum in (("budget.usd", budget.usd, new.usd), ("budget.tokens", budget.tokens, tokens))
        if limit is not None
    ]
    if not limits:
        return "There is no budget; set budget.usd or budget.tokens to stop a run before it passes one."
    exceeded = [
        f"{name} is {limit:g}, and up to {maximum:g} may be used" for name, limit, maximum in limits if maximum > limit
    ]
    return f"{'; '.join(exceeded)}: the run stops before it passes that." if exceeded else "The budget will do."
