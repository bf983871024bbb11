"""The two tables of a published dataset that no run keeps: its units as they were recorded, and its board."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pyarrow as pa

from harness.results.run import Results
from harness.results.tables import FLOAT, INT, TEXT, Rows, columns
from harness.stats import HEADLINE, differs
from harness.text import number
from harness.types import Excerpt, Interval, Record, Role, Standing, Summary, utf8

ACTIVATION = pa.float32()
"""Activations of excerpts: float32 values, as a collection keeps them."""
_EXCERPT = pa.struct(
    {
        "split": TEXT,
        "kind": TEXT,
        "source": TEXT,
        "weight": FLOAT,
        "leading": INT,
        "tokens": pa.list_(TEXT),
        "token_ids": pa.list_(INT),
        "activations": pa.list_(ACTIVATION),
    }
)
MOMENTS = ("count", "mean", "variance", "skewness", "kurtosis", "fraction_active", "maximum", "positive_share")
UNITS = columns(
    unit=TEXT,
    unit_kind=TEXT,
    group=TEXT,
    place=INT,
    index=INT,
    category=TEXT,
    **{name: INT if name == "count" else FLOAT for name in MOMENTS},
    quantile_boundaries=pa.list_(FLOAT),
    excerpts=pa.list_(_EXCERPT),
)
"""A row a unit: its moments over the corpus, null where nobody counted, and its excerpts by split."""
_METRIC = pa.struct({"metric": TEXT, "mean": FLOAT, "low": FLOAT, "high": FLOAT, "units": INT})
LEADERBOARD = columns(
    explainer=TEXT,
    method=TEXT,
    model=TEXT,
    role=TEXT,
    simulator=TEXT,
    ranked_by=TEXT,
    best_rank=INT,
    worst_rank=INT,
    mean=FLOAT,
    low=FLOAT,
    high=FLOAT,
    units=INT,
    scored=INT,
    abstained=INT,
    degenerate=INT,
    missing_tokens=INT,
    prompt_tokens=INT,
    completion_tokens=INT,
    usd=FLOAT,
    warnings=pa.list_(TEXT),
    metrics=pa.list_(_METRIC),
)
"""A row of the board a row: the ranks that it can have, what it is ranked by, and every metric with its interval."""


def unit_rows(records: Sequence[Record]) -> Rows:
    """Yield the row of each unit in :data:`UNITS`.

    An excerpt by quantile is dealt into no split, and may be among the others too.
    """
    for record in records:
        unit, source = record.unit, record.source
        yield {
            "unit": utf8(str(unit)),
            "unit_kind": unit.kind,
            "group": utf8(unit.group),
            "place": None if unit.name else unit.place,
            "index": None if unit.name else unit.index,
            "category": record.category or None,
            **({} if source is None else {name: _present(getattr(source.moments, name)) for name in MOMENTS}),
            "quantile_boundaries": [] if source is None else list(source.quantile_boundaries),
            "excerpts": list(_excerpts(record)),
        }


def _present(value: float | None) -> float | None:
    return None if value is None else number(value)


def _excerpts(record: Record) -> Rows:
    for split in ("train", "calibration", "valid", "test"):
        yield from (_excerpt(excerpt, split) for excerpt in getattr(record.splits, split))
    for stratum in record.source.by_quantile if record.source else ():
        yield from (_excerpt(excerpt, None) for excerpt in stratum)


def _excerpt(excerpt: Excerpt, split: str | None) -> dict[str, object]:
    return {
        "split": split,
        "kind": excerpt.kind.value,
        "source": utf8(excerpt.source),
        "weight": excerpt.weight,
        "leading": excerpt.leading,
        "tokens": [utf8(token) for token in excerpt.tokens],
        "token_ids": list(excerpt.token_ids),
        "activations": list(excerpt.activations),
    }


# ------------------------------------------------------------------------------------------------------------ the board


def leaderboard_rows(results: Results) -> Rows:
    """Yield each row of the board in :data:`LEADERBOARD`, the explanations that came with units last."""
    infos = {info.name: info for info in results.explainers}
    for summary in [row.summary for row in sorted(results.rows, key=lambda row: row.summary.role is Role.TOLD)]:
        standing = standing_of(results, summary)
        metric = HEADLINE if standing is None else standing.metric
        rank = None if standing is None else standing.ranks.get(summary.explainer)
        yield {
            "explainer": utf8(summary.explainer),
            "method": utf8(infos[summary.explainer].method),
            "model": utf8(infos[summary.explainer].model),
            "role": summary.role.value,
            "simulator": utf8(summary.simulator),
            "ranked_by": metric,
            "best_rank": rank and rank.best,
            "worst_rank": rank and rank.worst,
            **_interval(ranked_mean(summary, standing, metric)),
            **{name: getattr(summary, name) for name in ("units", "scored", "abstained", "degenerate")},
            "missing_tokens": summary.missing_tokens,
            "prompt_tokens": summary.usage.prompt_tokens,
            "completion_tokens": summary.usage.completion_tokens,
            "usd": summary.usage.usd,
            "warnings": list(warnings(results, summary)),
            "metrics": [
                {"metric": name, **_interval(interval), "units": interval.units}
                for name, interval in summary.metrics.items()
            ],
        }


def standing_of(results: Results, summary: Summary) -> Standing | None:
    """Return how the rows of a row's simulator stand to each other; None where none are compared."""
    return next((standing for standing in results.standings if standing.simulator == summary.simulator), None)


def ranked_mean(summary: Summary, standing: Standing | None, metric: str) -> Interval | None:
    """Return the mean that a row is ranked by, in which a floor's score stands for a missing explanation.

    A row that is not ranked has the mean of what it has; None where it has nothing.
    """
    means = {} if standing is None else standing.means
    return means.get(summary.explainer) or summary.metrics.get(metric)


def _interval(interval: Interval | None) -> dict[str, float | None]:
    values = (math.nan,) * 3 if interval is None else (interval.mean, interval.low, interval.high)
    return dict(zip(("mean", "low", "high"), map(number, values), strict=True))


def warnings(results: Results, summary: Summary) -> Iterator[str]:
    """Yield what a reader must know of a row before quoting its score, a sentence each."""
    standing = standing_of(results, summary)
    if summary.role in (Role.EXPLAINER, Role.HUMAN):
        yield from _against_floors(results, summary, standing)
        info = next(info for info in results.explainers if info.name == summary.explainer)
        if info.candidates > 1:
            yield f"Chosen among up to {info.candidates} explanations of a unit by their score."
    if summary.scored < summary.units:
        yield f"Only {summary.scored} of {summary.units} units have a score."
    if summary.abstained:
        yield f"No explanation of {summary.abstained} units, for which the floor's score stands in the ranked mean."
    if summary.degenerate:
        yield f"{summary.degenerate} scores are 0 by convention, for an input was constant."
    if summary.missing_tokens:
        yield f"{summary.missing_tokens} tokens have no simulation."


def _against_floors(results: Results, summary: Summary, standing: Standing | None) -> Iterator[str]:
    floors = {row.summary.explainer for row in results.rows if row.summary.role is Role.FLOOR}
    comparisons = [
        comparison
        for comparison in (() if standing is None else standing.comparisons)
        if comparison.first == summary.explainer and comparison.second in floors
    ]
    if not comparisons:
        yield "Compared with no floor: nothing says what a meaningless explanation would score."
    for comparison in comparisons:
        if not differs(comparison.difference, comparison.corrected):
            yield f"Cannot be told from the floor ({comparison.second})."
        elif comparison.difference.mean < 0:
            yield f"Below the floor ({comparison.second})."
