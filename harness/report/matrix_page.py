"""The part of an audit's page on the scores of a run: each against the others, truth, and length."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from harness.report.page import Columns, Row, Table
from harness.report.standing_words import p_text
from harness.results.audit import Matrix, MatrixCell, MatrixScore
from harness.stats import SIGNIFICANT
from harness.text import figure, plain

READ = (
    "Two scores that measure the same thing rank alike: 1 is the same order, 0 none, -1 the reverse. Over units it is "
    "taken within each row of the board and averaged; over explainers it is that of the rows' means, which takes at "
    "least 4 rows."
)


def tables(matrix: Matrix) -> Iterator[Table]:
    """Yield a table of scores against each other over units, one over explainers where there are enough, and one of
    each against truth and length."""
    if len(matrix.scores) > 1:
        yield _square("Scores against each other, over units", matrix, lambda cell: cell.over_units)
        if any(not math.isnan(cell.over_rows) for cell in matrix.cells):
            yield _square("Scores against each other, over explainers", matrix, lambda cell: cell.over_rows)
    if matrix.scores:
        yield _outside(matrix)


def _square(title: str, matrix: Matrix, value: Callable[[MatrixCell], float]) -> Table:
    """Return a table with a row and a column, by its number, for each score."""
    names = [score.metric for score in matrix.scores]
    values = {(cell.first, cell.second): value(cell) for cell in matrix.cells}
    values |= {(second, first): figure for (first, second), figure in values.items()}
    columns: Columns = (("score", "score"), *((str(place), str(place)) for place in range(1, len(names) + 1)))
    rows: tuple[Row, ...] = tuple(
        (f"{place} {plain(name)}", *("" if name == other else figure(values[name, other]) for other in names))
        for place, name in enumerate(names, start=1)
    )
    return Table(title, columns, rows)


def _outside(matrix: Matrix) -> Table:
    columns: Columns = (
        ("score", "score"),
        ("truth", "true explanation outscores a false one"),
        ("units", "units of which the truth is known"),
        ("length", "rank correlation with the number of words"),
        ("p", "corrected p"),
    )
    return Table("Scores against truth and length", columns, tuple(map(_score, matrix.scores)))


def _score(score: MatrixScore) -> Row:
    truth = "–" if math.isnan(score.truth) else f"{score.truth:.0%}"
    return (plain(score.metric), truth, str(score.truth_units), figure(score.length), p_text(score.p_value))


def sentences(matrix: Matrix) -> Iterator[str]:
    """Yield how to read the tables, and what they show."""
    if len(matrix.scores) > 1:
        yield READ
    yield from findings(matrix)


def findings(matrix: Matrix) -> Iterator[str]:
    """Yield which scores follow length, and which fail to know the truth."""
    followers = [score for score in matrix.scores if score.p_value < SIGNIFICANT]
    for score in followers:
        words, way = ("longer", "more") if score.length > 0 else ("shorter", "fewer")
        yield (
            f"{score.metric} follows length: {words} explanations score higher (rank correlation "
            f"{figure(score.length)}, corrected p {p_text(score.p_value)}), so that an explainer could raise it by "
            f"writing {way} words."
        )
    if matrix.scores and not followers:
        yield "No score is seen to follow the number of words of explanations."
    for score in matrix.scores:
        if score.truth <= 0.5:
            yield (
                f"{score.metric} does not know the truth: the true explanation outscores a false one of its unit in "
                f"{score.truth:.0%} of the pairs ({score.truth_units} units), no more than by chance."
            )
