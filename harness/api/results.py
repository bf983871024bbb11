"""What a run left behind, as a notebook wants it: its board, tables of pandas, and units with heat maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness.guards.parquet import rows_where
from harness.jobs import boards
from harness.report import notebook
from harness.report.notebook import BoardOutput, UnitOutput
from harness.report.site.data import board_data
from harness.results import unit_view
from harness.results.run import Results as RunResults
from harness.results.run import read_run
from harness.results.tables import TABLES
from harness.results.vocabulary import ExplainerInfo
from harness.stats import HEADLINE
from harness.types import NeuroglossError, ScoredExplanation

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = (
    "explainer",
    "method",
    "model",
    "simulator",
    "unit",
    "group",
    "annotator",
    "explanation",
    "outcome",
    "prompt_tokens",
    "completion_tokens",
    "usd",
)
"""The columns of :meth:`Results.to_pandas` that stand before those of the metrics."""


@dataclass(frozen=True, eq=False)
class Results:
    """A finished run. ``Results("runs/latest")`` opens one that was made before, by whichever way.

    Attributes:
        folder: that holds its files.
        places: where else it is, by the name of the tracker, or ``published``.

    Raises:
        NeuroglossError: the folder holds no run, or another version of neurogloss wrote it.
    """

    folder: Path
    places: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # ``latest`` will point elsewhere after the next run; what is open stays the same.
        object.__setattr__(self, "folder", Path(self.folder).resolve())
        assert self.values

    @cached_property
    def values(self) -> RunResults:
        """Everything that the run says about itself: rows, standings, identities, provenance, costs."""
        return read_run(self.folder)

    def board(self, by: str = HEADLINE) -> BoardOutput:
        """Return the board, as ``neurogloss board`` prints it; a notebook shows it as tables.

        Args:
            by: the metric to rank by.

        Raises:
            NeuroglossError: the run has no such metric.
        """
        return BoardOutput(boards.board([self.folder], by))

    def unit(self, name: str | None = None, excerpts: int = 3) -> UnitOutput:
        """Return a unit: what each row said of it, and heat maps of real and simulated activations.

        Args:
            name: of the unit, such as ``L12N345``; None for the one that is explained best, controls left out.
            excerpts: at most so many of each kind (top, random, hard).

        Raises:
            NeuroglossError: the run has no such unit.
        """
        if excerpts < 1:
            raise NeuroglossError(f"excerpts is {excerpts}; write 1 or more.")
        return UnitOutput(unit_view.read(self.folder, name or self._best_unit()), excerpts)

    def _best_unit(self) -> str | None:
        """Return the unit with the highest score that is not a control's; None where no unit has one."""
        lines = [line for line in board_data(self.values).units if line.best]
        return max(lines, key=lambda line: line.score).unit if lines else None

    def to_pandas(self) -> DataFrame:
        """Return one line for each row of the board and unit: what was said, what it cost, and a column for each score.

        The columns are those of :data:`COLUMNS`, and the metrics in the order of the scorers. ``group`` is the layer of
        the unit. ``explanation`` is empty where there is none, as ``outcome`` says, and where it is a table. A score
        that is missing is NaN; :meth:`scores` says why. Several explanations of a unit by one row have a line each.
        """
        import pandas as pd  # noqa: PLC0415  # it takes a second that other calls need not wait

        infos = {info.name: info for info in self.values.explainers}
        items = [(infos[row.key.explainer], item) for row in self.values.rows for item in row.scored]
        metrics = dict.fromkeys(metric for _, item in items for metric in (*item.scores.values, *item.scores.missing))
        lines = [
            _line(info, item) | {metric: item.scores.values.get(metric) for metric in metrics} for info, item in items
        ]
        floats = dict.fromkeys(metrics, "float64")
        return pd.DataFrame(lines, columns=[*COLUMNS, *metrics]).astype(floats)

    def explanations(self) -> DataFrame:
        """Return ``explanations.parquet``: a line an explanation, with its table, candidates, calibration and cost."""
        return self._table("explanations")

    def scores(self) -> DataFrame:
        """Return ``scores.parquet``: a line a score, or the reason why there is none."""
        return self._table("scores")

    def simulations(self) -> DataFrame:
        """Return ``simulations.parquet``: a line an excerpt, with its tokens and real and simulated activations."""
        return self._table("simulations")

    def _table(self, name: str) -> DataFrame:
        assert f"{name}.parquet" in TABLES
        table: DataFrame = rows_where(self.folder / f"{name}.parquet", None).to_pandas()
        return table

    def __repr__(self) -> str:
        rows, units = len(self.values.rows), len(self.values.task.units)
        return f"Results(task={self.values.task.name!r}, rows={rows}, units={units}, folder={str(self.folder)!r})"

    def _repr_html_(self) -> str:
        """Return the board and the unit that is explained best, as one page without scripts or requests."""
        return notebook.page(self.board(), self.unit())


def _line(info: ExplainerInfo, item: ScoredExplanation) -> dict[str, object]:
    """Return what stands before the scores of an explanation."""
    explanation, usage = item.explanation, item.explanation.usage
    values = (
        *(info.name, info.method, info.model, item.simulator, str(item.unit), item.unit.group),
        *(explanation.annotator, explanation.text, explanation.outcome.value),
        *(usage.prompt_tokens, usage.completion_tokens, usage.usd),
    )
    return dict(zip(COLUMNS, values, strict=True))
