"""What a run would ask of models, before it asks: every prompt is rendered, none is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import build, pipeline, puzzle_experiment, puzzle_pipeline, tasks
from harness.config import BudgetSettings, Plan
from harness.models.backend import Backend
from harness.models.planned import Asked, PlannedModel, Tally
from harness.models.store import Store
from harness.report.page import Columns, Page, Table, short
from harness.results import plain
from harness.types import Explanation, PuzzleTask, Simulator, Task, Usage

_COLUMNS: Columns = (
    ("stage", "stage"),
    ("model", "model"),
    ("requests", "requests"),
    ("stored", "answered by the store"),
    ("prompt", "prompt tokens at most"),
    ("reply", "reply tokens at most"),
    ("USD", "dollars at most"),
)


def asked(plan: Plan) -> list[Asked]:
    """What each stage of a run would ask of each model, at the most that it can cost.

    The prompts of explainers, and those about stored explanations, are exact. An explanation that is not known yet is
    taken to be as long as it may be.

    Raises:
        NeuroglossError: the task or the store cannot be read.
    """
    settings = plan.settings
    task = tasks.read(tasks.find_task(settings.task.name, settings.task.path))
    with Store(settings.store if Path(settings.store).exists() else ":memory:") as store:
        tally = Tally(store)
        if isinstance(task, PuzzleTask):
            _puzzles(plan, task, tally)
        else:
            _neurons(plan, task, tally)
        return tally.rows()


def _neurons(plan: Plan, task: Task, tally: Tally) -> None:
    settings = plan.settings
    neurons = settings.neurons
    records = tasks.select(task, neurons.layers, neurons.ids, neurons.limit)
    explainers = {name: _built(node, tally) for name, node in settings.explainer.items()}
    simulator: Simulator = _built(settings.simulator, tally)
    tally.begin("explain")
    chosen = pipeline.explain_and_choose(explainers, simulator, records, settings.scores)
    explanations = [_longest(explanation) for explanation in chosen]
    tally.begin("simulate")
    pipeline.simulate(simulator, explanations, records, settings.scores)
    tally.begin("judge")
    judges = [_built(node, tally) for node in settings.scores.judges.values()]
    pipeline.judge(judges, explanations, records, settings.scores)


def _longest(explanation: Explanation) -> Explanation:
    """``explanation``; where it is not known which of its candidates is the best, with the text of the longest."""
    rivals = explanation.candidates
    if not rivals or any(rival.score is not None for rival in rivals):
        return explanation
    longest = max(rivals, key=lambda rival: len(rival.text))
    return replace(explanation, text=longest.text, outcome=longest.outcome)


def _puzzles(plan: Plan, task: PuzzleTask, tally: Tally) -> None:
    settings = plan.settings
    own: Simulator = _built(settings.simulator, tally)
    controls: list[Simulator] = [_built(node, tally) for node in settings.task.controls.values()]
    simulators = {own.name: own} | {one.name: one for one in controls if one.name != own.name}
    explainers = {name: _built(node, tally) for name, node in settings.explainer.items()}
    puzzles = puzzle_experiment.select(task, settings.task.limit)
    tools = puzzle_pipeline.Instruments(simulators, explainers)
    puzzle_pipeline.run(puzzles, tools, settings.scores.maximum_missing, tally.begin)


def _built(node: Mapping[str, Any], tally: Tally) -> Any:
    """What a node of the config names, with models that count in place of those that answer."""
    return build.assemble(node, lambda built: PlannedModel(built, tally) if isinstance(built, Backend) else built)


def page(plan: Plan, rows: Sequence[Asked]) -> Page:
    """The plan of a run for a reader: a row for each stage and model, and whether the budget will do."""
    new, saved = (sum(usages, Usage()) for usages in ([row.new for row in rows], [row.saved for row in rows]))
    cells = [_cells(row.stage, row.model.name, row.new, row.saved) for row in rows]
    return Page(
        title=f"What run {plan.run_id} would ask of models",
        facts=(("task", plain(plan.settings.task.name)), ("store", plain(plan.settings.store))),
        tables=(Table("at most", _COLUMNS, (*cells, _cells("all", "", new, saved))),),
        sentences=(_budget(plan.settings.budget, new), *_SENTENCES),
    )


_SENTENCES = (
    "Nothing was sent. A model on a server is counted a token for each byte, which is an upper bound and often four "
    "times too high, unless its tokenizer is named (tokenizer=). A reply is taken to be as long as it may be.",
    "An explanation that is not known yet is taken to be as long as it may be.",
)


def _cells(stage: str, model: str, new: Usage, saved: Usage) -> tuple[str, ...]:
    counts = (short(count) for count in (new.prompt_tokens, new.completion_tokens))
    return (plain(stage), plain(model), str(new.requests), str(saved.requests), *counts, f"{new.usd:.4f}")


def _budget(budget: BudgetSettings, new: Usage) -> str:
    tokens = new.prompt_tokens + new.completion_tokens
    limits = [
        (name, limit, needed)
        for name, limit, needed in (("budget.usd", budget.usd, new.usd), ("budget.tokens", budget.tokens, tokens))
        if limit is not None
    ]
    if not limits:
        return "There is no budget; set budget.usd or budget.tokens to stop a run before it passes one."
    short_of = [
        f"{name} is {limit:g}, and {needed:g} may be needed" for name, limit, needed in limits if needed > limit
    ]
    return f"{'; '.join(short_of)}: the run stops before it passes that." if short_of else "The budget will do."
