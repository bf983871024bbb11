"""The page of a comparison of two simulators: what they cost, how far they agree, and where they do not."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.agreement_results import ExplainerAgreement, Side, SimulatorAgreement
from harness.report.page import Page, Table, short, tokens
from harness.results import figure, plain, span


def build(found: SimulatorAgreement) -> Page:
    """The page of a comparison."""
    first, second = _names(found)
    tables = [_costs(found), _explainers(found, first, second), _boards(found), _neurons(found, first, second)]
    return Page(
        title=f"Do {first} and {second} agree?",
        facts=tuple((name, plain(value)) for name, value in _facts(found)),
        tables=(*tables, _token_table(found, first, second)),
        sentences=tuple(plain(sentence) for sentence in _sentences(found, first, second)),
    )


def _names(found: SimulatorAgreement) -> tuple[str, str]:
    """The simulators' names, told apart by their runs where they are the same."""
    first, second = found.first.simulator.name, found.second.simulator.name
    if first == second:
        return plain(f"{first} ({found.first.run_id[:6]})"), plain(f"{second} ({found.second.run_id[:6]})")
    return plain(first), plain(second)


def _facts(found: SimulatorAgreement) -> Iterator[tuple[str, str]]:
    yield "task", f"{found.task.name}, digest {found.task.digest[:12]}, {len(found.task.neurons)} neurons"
    yield "runs", f"{found.first.run_id} and {found.second.run_id}, compared {found.created}"
    if found.left_out:
        yield "in one run only", ", ".join(found.left_out)


# -------------------------------------------------------------------------------------------------------------- tables


def _costs(found: SimulatorAgreement) -> Table:
    columns = (
        ("simulator", "simulator"),
        ("read by", "transport"),
        ("levels", "levels"),
        ("requests", "requests"),
        ("tokens", "tokens"),
        ("cost", "cost"),
        ("sec.", "seconds"),
    )
    names = _names(found)
    rows = (_cost(name, side) for name, side in zip(names, (found.first, found.second), strict=True))
    return Table("Costs", columns, tuple(rows))


def _cost(name: str, side: Side) -> tuple[str, ...]:
    return (
        name,
        plain(side.simulator.transport) or "–",
        str(side.simulator.levels or "–"),
        str(side.usage.requests),
        tokens(side.usage),
        f"${side.usage.usd:.2f}",
        "–" if math.isnan(side.seconds) else f"{side.seconds:.0f}",
    )


def _explainers(found: SimulatorAgreement, first: str, second: str) -> Table:
    columns = (
        ("explainer", "explainer"),
        ("tokens r", "correlation over tokens"),
        ("levels apart", "mean absolute difference in levels"),
        ("within neurons", "mean correlation within neurons"),
        ("1st", f"score by {first}"),
        ("2nd", f"score by {second}"),
        ("95 % of 1st-2nd", "95 % interval of the difference"),
        ("neurons rho", "Spearman of scores over neurons"),
    )
    return Table("Agreement by explainer", columns, tuple(_explainer(one) for one in found.explainers))


def _explainer(one: ExplainerAgreement) -> tuple[str, ...]:
    return (
        plain(one.explainer),
        figure(one.tokens.correlation),
        figure(one.tokens.mean_absolute_difference),
        figure(one.within.mean),
        figure(one.first),
        figure(one.second),
        span(one.difference),
        figure(one.ranks),
    )


def _boards(found: SimulatorAgreement) -> Table:
    columns = (
        ("metric", "metric"),
        ("rho", "Spearman of the rows"),
        ("tau", "Kendall of the rows"),
        ("same order", "same order"),
        ("best by 1st", "best by the first"),
        ("best by 2nd", "best by the second"),
    )
    rows = tuple(
        (
            plain(one.metric),
            figure(one.spearman),
            figure(one.kendall),
            "yes" if one.first == one.second else "no",
            plain(one.first[0]) if one.first else "–",
            plain(one.second[0]) if one.second else "–",
        )
        for one in found.boards
    )
    return Table("The boards they give", columns, rows)


def _neurons(found: SimulatorAgreement, first: str, second: str) -> Table:
    columns = (
        ("explainer", "explainer"),
        ("neuron", "neuron"),
        ("1st", f"score by {first}"),
        ("2nd", f"score by {second}"),
    )
    rows = tuple(
        (plain(one.explainer), str(one.neuron), figure(one.first), figure(one.second)) for one in found.largest_neurons
    )
    return Table("Neurons on which they differ most", columns, rows)


def _token_table(found: SimulatorAgreement, first: str, second: str) -> Table:
    columns = (
        ("explainer", "explainer"),
        ("neuron", "neuron"),
        ("excerpt", "excerpt"),
        ("place", "position"),
        ("token", "token"),
        ("1st", f"level by {first}"),
        ("2nd", f"level by {second}"),
    )
    rows = tuple(
        (
            plain(one.explainer),
            str(one.neuron),
            plain(one.source),
            str(one.position),
            plain(one.token)[:16] or "(space)",
            figure(one.first),
            figure(one.second),
        )
        for one in found.largest_tokens
    )
    return Table("Tokens on which they differ most", columns, rows)


# ----------------------------------------------------------------------------------------------------------- sentences


def _sentences(found: SimulatorAgreement, first: str, second: str) -> Iterator[str]:
    yield f"1st is {first}, 2nd is {second}; levels are put on a scale of 0 to 10."
    whole = found.tokens
    missing = f"; {whole.missing} more lack a value of either" if whole.missing else ""
    yield (
        f"Over {short(whole.tokens)} tokens their levels correlate by {figure(whole.correlation)} and differ by "
        f"{figure(whole.mean_absolute_difference)} on average{missing}."
    )
    board = next(iter(found.boards), None)
    if board is not None:
        yield _on_boards(board.first, board.second, board.spearman, board.metric)
    for one in found.explainers:
        yield f"{one.explainer}: {_on_scores(one, first, second)}"
    yield _on_costs(found, first, second)


def _on_boards(first: tuple[str, ...], second: tuple[str, ...], rho: float, metric: str) -> str:
    if len(first) < 3:
        return f"The boards have {len(first)} rows in common; a rank correlation needs three."
    order = (
        "in the same order"
        if first == second
        else f"in another order ({' > '.join(first)} against {' > '.join(second)})"
    )
    return f"By {metric} both boards put {len(first)} rows {order}: Spearman {figure(rho)}."


def _on_scores(one: ExplainerAgreement, first: str, second: str) -> str:
    told = (
        "the scores cannot be told apart"
        if not (one.difference.low > 0 or one.difference.high < 0)
        else f"{first if one.difference.mean > 0 else second} gives higher scores"
    )
    figures = f"difference {figure(one.difference.mean)}, 95 % interval {span(one.difference)}"
    return f"{told} ({figures}, p = {figure(one.p_value)})."


def _on_costs(found: SimulatorAgreement, first: str, second: str) -> str:
    spent = [side.usage.prompt_tokens + side.usage.completion_tokens for side in (found.first, found.second)]
    if not all(spent):
        free = " and ".join(name for name, count in zip((first, second), spent, strict=True) if not count)
        return f"{free} asks no model, and costs no tokens."
    dear, cheap = (first, second) if spent[0] >= spent[1] else (second, first)
    return f"{dear} reads {max(spent) / min(spent):.1f} times the tokens that {cheap} reads."
