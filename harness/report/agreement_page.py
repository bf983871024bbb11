"""The page of a comparison of two simulators: what they cost, how far they agree, and where they do not."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.report.page import Page, Row, Table, short, tokens
from harness.results.agreement import Agreement, BoardAgreement, Difference, RowAgreement, Side
from harness.stats import differs
from harness.text import figure, plain, span


def build(agreement: Agreement) -> Page:
    """Return the page of a comparison."""
    first, second = _names(agreement)
    return Page(
        title=f"Do {first} and {second} agree?",
        facts=tuple((name, plain(value)) for name, value in _facts(agreement)),
        tables=(_costs(agreement), *_agreements(agreement), *_differences(agreement)),
        sentences=tuple(plain(sentence) for sentence in _sentences(agreement)),
    )


def _names(agreement: Agreement) -> tuple[str, str]:
    """Return the simulators' names, told apart by their runs if they are the same."""
    first, second = agreement.first, agreement.second
    if first.simulator.name == second.simulator.name:
        return plain(f"{first.simulator.name} ({first.run_id[:6]})"), plain(
            f"{second.simulator.name} ({second.run_id[:6]})"
        )
    return plain(first.simulator.name), plain(second.simulator.name)


def _facts(agreement: Agreement) -> Iterator[tuple[str, str]]:
    task = agreement.task
    runs = " and ".join(dict.fromkeys((agreement.first.run_id, agreement.second.run_id)))
    yield "task", f"{task.name}, digest {task.digest[:12]}, {len(task.units)} units"
    yield "runs", f"{runs}, compared {agreement.created}"
    if agreement.left_out:
        yield "scored by one of them only", ", ".join(agreement.left_out)


# -------------------------------------------------------------------------------------------------------------- tables


def _costs(agreement: Agreement) -> Table:
    columns = (
        ("simulator", "simulator"),
        ("read by", "transport"),
        ("levels", "levels"),
        ("requests", "requests"),
        ("tokens", "tokens"),
        ("cost", "cost"),
        ("sec.", "seconds"),
    )
    sides = zip(_names(agreement), (agreement.first, agreement.second), strict=True)
    return Table("Costs", columns, tuple(_cost(name, side) for name, side in sides))


def _cost(name: str, side: Side) -> Row:
    return (
        name,
        plain(side.simulator.transport) or "–",
        str(side.simulator.levels or "–"),
        str(side.usage.requests),
        tokens(side.usage),
        f"${side.usage.usd:.2f}",
        "–" if math.isnan(side.seconds) else f"{side.seconds:.0f}",
    )


def _agreements(agreement: Agreement) -> Iterator[Table]:
    """Yield the tables of explainers and of metrics."""
    first, second = _names(agreement)
    columns = (
        ("explainer", "explainer"),
        ("tokens r", "correlation over tokens"),
        ("levels apart", "mean absolute difference in levels"),
        ("within units", "mean correlation within units"),
        ("1st", f"score by {first}"),
        ("2nd", f"score by {second}"),
        ("95 % of 1st-2nd", "95 % interval of the difference"),
        ("units rho", "Spearman of scores over units"),
    )
    yield Table("Agreement by explainer", columns, tuple(map(_row, agreement.explainers)))
    columns_of_boards = (
        ("metric", "metric"),
        ("rho", "Spearman of the rows"),
        ("tau", "Kendall of the rows"),
        ("same order", "same order"),
        ("best by 1st", "best by the first"),
        ("best by 2nd", "best by the second"),
    )
    yield Table("The boards they give", columns_of_boards, tuple(map(_board, agreement.boards)))


def _row(row: RowAgreement) -> Row:
    return (
        plain(row.explainer),
        figure(row.tokens.correlation),
        figure(row.tokens.mean_absolute_difference),
        figure(row.within.mean),
        figure(row.first),
        figure(row.second),
        span(row.difference),
        figure(row.ranks),
    )


def _board(board: BoardAgreement) -> Row:
    best = (plain(names[0]) if names else "–" for names in (board.first, board.second))
    order = "yes" if board.first == board.second else "no"
    return (plain(board.metric), figure(board.spearman), figure(board.kendall), order, *best)


def _differences(agreement: Agreement) -> Iterator[Table]:
    """Yield the tables of the units and of the tokens on which they differ most."""
    first, second = _names(agreement)
    unit = (("explainer", "explainer"), ("unit", "unit"))
    scores = (("1st", f"score by {first}"), ("2nd", f"score by {second}"))
    yield Table("Units on which they differ most", (*unit, *scores), tuple(map(_difference, agreement.largest_units)))
    place = (("excerpt", "excerpt"), ("place", "position"), ("token", "token"))
    levels = (("1st", f"level by {first}"), ("2nd", f"level by {second}"))
    lines = tuple(_difference(item, *_place(item)) for item in agreement.largest_tokens)
    yield Table("Tokens on which they differ most", (*unit, *place, *levels), lines)


def _difference(item: Difference, *place: str) -> Row:
    return (plain(item.explainer), str(item.unit), *place, figure(item.first), figure(item.second))


def _place(item: Difference) -> Row:
    return plain(item.source), str(item.position), plain(item.token)[:16] or "(space)"


# ----------------------------------------------------------------------------------------------------------- sentences


def _sentences(agreement: Agreement) -> Iterator[str]:
    first, second = _names(agreement)
    yield f"1st is {first}, 2nd is {second}; levels are put on a scale of 0 to 10."
    overall = agreement.tokens
    missing = f"; {overall.missing} more lack a value of either" if overall.missing else ""
    yield (
        f"Over {short(overall.tokens)} tokens their levels correlate by {figure(overall.correlation)} and differ by "
        f"{figure(overall.mean_absolute_difference)} on average{missing}."
    )
    yield from map(_on_board, agreement.boards[:1])
    for row in agreement.explainers:
        yield f"{row.explainer}: {_on_scores(row, first, second)}"
    yield _on_costs(agreement)


def _on_board(board: BoardAgreement) -> str:
    rows = len(board.first)
    if rows < 3:
        return f"The boards have {rows} rows in common; a rank correlation needs three."
    order = (
        "in the same order"
        if board.first == board.second
        else f"in another order ({' > '.join(board.first)} against {' > '.join(board.second)})"
    )
    return f"By {board.metric} both boards put {rows} rows {order}: Spearman {figure(board.spearman)}."


def _on_scores(row: RowAgreement, first: str, second: str) -> str:
    verdict = "the scores cannot be told apart"
    if differs(row.difference, row.p_value):
        verdict = f"{first if row.difference.mean > 0 else second} gives higher scores"
    figures = f"difference {figure(row.difference.mean)}, 95 % interval {span(row.difference)}"
    return f"{verdict} ({figures}, p = {figure(row.p_value)})."


def _on_costs(agreement: Agreement) -> str:
    counts = [side.usage.prompt_tokens + side.usage.completion_tokens for side in (agreement.first, agreement.second)]
    names = _names(agreement)
    if not all(counts):
        free = " and ".join(name for name, count in zip(names, counts, strict=True) if not count)
        return f"{free} asks no model, and costs no tokens."
    dear, cheap = names if counts[0] >= counts[1] else reversed(names)
    return f"{dear} reads {max(counts) / min(counts):.1f} times the tokens that {cheap} reads."
