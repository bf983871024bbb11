"""What Weights & Biases is handed of a run, as plain JSON values: its figures, tables, plots and heat maps."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.results.rows import by_unit
from harness.results.run import Results
from harness.results.stored import explanation_numbers, simulated_excerpts
from harness.results.vocabulary import ResultRow
from harness.share.tracker import Moment
from harness.stats import HEADLINE
from harness.typed_json import to_json
from harness.types import RowKey, Summary

Table = dict[str, list[Any]]
"""``columns``, their names, and ``data``, a list of rows."""
HEAT_MAP = "heat map"
"""The column of the table of units that holds HTML."""


def figures(moment: Moment) -> dict[str, float | int | str]:
    """Return a moment of a run that goes on: its stage and costs as ``run/...``, and the mean of each row so far."""
    spent, saved = moment.spent, moment.saved
    return {
        "run/stage": moment.stage,
        "run/count": moment.count,
        "run/total": moment.total,
        "run/seconds": moment.seconds,
        "run/requests": spent.requests,
        "run/tokens": spent.prompt_tokens + spent.completion_tokens,
        "run/usd": spent.usd,
        "run/tokens_saved": saved.prompt_tokens + saved.completion_tokens,
        **{
            f"so_far/{row.explainer}/{row.simulator}/{name}": value
            for row, running in moment.means.items()
            for name, value in ((HEADLINE, running.mean), ("units", running.units))
        },
    }


def summary(summaries: Sequence[Summary]) -> dict[str, float | int | None]:
    """Return the board as flat figures: ``explainer/simulator/metric``, a mean, and ``.../low``, ``.../high`` of it."""
    return {f"{row.explainer}/{row.simulator}/{name}": value for row in summaries for name, value in _row_figures(row)}


def _row_figures(row: Summary) -> Iterator[tuple[str, float | int | None]]:
    for name, interval in row.metrics.items():
        yield name, _finite(interval.mean)
        yield f"{name}/low", _finite(interval.low)
        yield f"{name}/high", _finite(interval.high)
    usage = row.usage
    yield "coverage", row.coverage
    yield "degenerate", row.degenerate
    yield "missing_tokens", row.missing_tokens
    yield "tokens", usage.prompt_tokens + usage.completion_tokens
    yield "usd", usage.usd


def origin(results: Results) -> dict[str, Any]:
    """Return what the config does not say: the exact task, what made the results, and what each stage cost."""
    return {
        "task_digest": results.task.digest,
        "provenance": to_json(results.provenance),
        "seconds": dict(results.seconds),
        "usage": {stage: to_json(usage) for stage, usage in results.usage.items()},
    }


# ------------------------------------------------------------------------------------------------------------- tables


def board_table(results: Results) -> Table:
    """Return the board: one row for each explainer and simulator, one column for each figure of any of them."""
    infos = {info.name: info for info in results.explainers}
    summaries = [row.summary for row in results.rows]
    by_row = [dict(_row_figures(row)) for row in summaries]
    names = list(dict.fromkeys(name for values in by_row for name in values))
    data = [
        [
            row.explainer,
            infos[row.explainer].method,
            infos[row.explainer].model,
            str(row.role),
            row.simulator,
            row.units,
            row.scored,
            *(values.get(name) for name in names),
        ]
        for row, values in zip(summaries, by_row, strict=True)
    ]
    return {"columns": ["explainer", "method", "model", "role", "simulator", "units", "scored", *names], "data": data}


Place = tuple[RowKey, int]
"""An explanation of a run: its row, and its place there."""


def unit_table(results: Results, heat_maps: Mapping[Place, str]) -> Table:
    """Return every explanation with its scores; an empty cell is a score that could not be computed.

    Args:
        results: of the run.
        heat_maps: HTML of some explanations, see :func:`heat_maps_of`.
    """
    infos = {info.name: info for info in results.explainers}
    scored = [((row.key, number), item) for row in results.rows for number, item in enumerate(row.scored)]
    metrics = list(dict.fromkeys(name for _, item in scored for name in item.scores.values))
    data = [
        [
            item.explanation.explainer,
            infos[item.explanation.explainer].method,
            infos[item.explanation.explainer].model,
            item.simulator,
            str(item.unit),
            item.unit.group,
            item.explanation.text,
            str(item.explanation.outcome),
            heat_maps.get(place),
            *(_finite(item.scores.values.get(name)) for name in metrics),
        ]
        for place, item in scored
    ]
    names = ["explainer", "method", "model", "simulator", "unit", "group", "explanation", "outcome", HEAT_MAP]
    return {"columns": [*names, *metrics], "data": data}


def heat_maps_of(results: Results, folder: Path, most: int) -> dict[Place, str]:
    """Return the heat map of at most so many explanations, spread evenly over all of a run, from its tables."""
    numbers = explanation_numbers(folder)
    places = [(key, place) for key in results.scored for place in range(len(numbers.get(key, [])))]
    members = [places[place * len(places) // most] for place in range(most) if places]
    by_number = {numbers[key][place]: (key, place) for key, place in members}
    excerpts: dict[Place, list[dict[str, Any]]] = {}
    for row in simulated_excerpts(folder, by_number):
        if row["split"] == "valid":
            excerpts.setdefault(by_number[row["explanation"]], []).append(row)
    return {place: heat_map(rows) for place, rows in excerpts.items()}


def heat_map(excerpts: Sequence[Mapping[str, Any]]) -> str:
    """Return real and simulated activations of the strongest of some excerpts, one above the other, as HTML.

    Each line is as dark as its own largest absolute value at most: red above 0, blue below, grey where a simulation is
    missing.
    """
    strongest = max(excerpts, key=lambda row: max(map(abs, row["real"]), default=0.0))
    lines = [("real", strongest["real"]), ("simulated", _levels(strongest))]
    return "".join(
        f'<div style="font-family:monospace"><b>{name}</b> {_marked(strongest["tokens"], values)}</div>'
        for name, values in lines
    )


def _levels(excerpt: Mapping[str, Any]) -> Sequence[float]:
    values = excerpt["simulated"] or [None] * len(excerpt["tokens"])
    return [math.nan if value is None else value for value in values]


def _marked(tokens: Sequence[str], values: Sequence[float]) -> str:
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0) or 1.0
    return "".join(
        f'<span title="{value:.3g}" style="background:{_colour(value / largest)}">{html.escape(token)}</span>'
        for token, value in zip(tokens, values, strict=True)
    )


def _colour(share: float) -> str:
    if not math.isfinite(share):
        return "#ddd"
    red, green, blue = (220, 38, 38) if share >= 0 else (37, 99, 235)
    return f"rgba({red},{green},{blue},{abs(share):.2f})"


# -------------------------------------------------------------------------------------------------------------- plots


def plots(results: Results) -> dict[str, dict[str, Any]]:
    """Return the headline by place in the subject and against cost: for each plot its table, axes and title."""
    lines: dict[str, Any] = {"x": "layer", "y": HEADLINE, "stroke": "row", "title": "Score by layer"}
    points: dict[str, Any] = {"x": "tokens", "y": HEADLINE, "stroke": None, "title": "Score against cost"}
    drawn = {
        "score_by_layer": {"table": score_by_layer(results.rows), **lines},
        "score_against_cost": {"table": score_against_cost(results), **points},
    }
    return {name: plot for name, plot in drawn.items() if plot["table"]["data"]}


def score_by_layer(rows: Sequence[ResultRow]) -> Table:
    """Return the mean headline of each row over the units of each layer; units that have a name have no layer."""
    data = []
    for row in rows:
        by_layer: dict[int, list[float]] = {}
        for unit, value in by_unit(row.scored).items():
            if not unit.name:
                by_layer.setdefault(unit.place, []).append(value)
        data += [[layer, math.fsum(scores) / len(scores), _label(row)] for layer, scores in sorted(by_layer.items())]
    return {"columns": ["layer", HEADLINE, "row"], "data": data}


def score_against_cost(results: Results) -> Table:
    """Return the tokens and dollars of each row that has a headline, beside it."""
    figures_by_row = [(row, dict(_row_figures(row.summary))) for row in results.rows]
    data = [
        [_label(row), values["tokens"], values["usd"], values[HEADLINE]]
        for row, values in figures_by_row
        if values.get(HEADLINE) is not None
    ]
    return {"columns": ["row", "tokens", "usd", HEADLINE], "data": data}


def _label(row: ResultRow) -> str:
    return f"{row.summary.explainer} / {row.summary.simulator}"


def task_artifact(results: Results) -> dict[str, Any]:
    """Return the task as an artefact: its name and what tells it from any other, by which runs of one task meet."""
    subject = to_json(results.subject) if results.subject else None
    content = {
        "name": results.task.name,
        "digest": results.task.digest,
        "size": results.task.size,
        "subject": subject,
    }
    return {"name": results.task.name, "content": content}


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
