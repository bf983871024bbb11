"""The site of a leaderboard: a page of all tables, and for each ranking a board with a page for each unit.

The excerpts of a unit stand in the frozen task, the simulations beside each entry: a ranking on a task that is not here
has a board, and no pages of units.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from harness.files import safe_name
from harness.guards.printing import harmless
from harness.leaderboard import pages, simulations
from harness.leaderboard.tables import Explained, Leaderboard, Ranking, Table
from harness.report.page import Page
from harness.report.site import build
from harness.report.site.build import rendered, write_board
from harness.report.site.data import DIGITS, BoardData, RowData, board_of, digits, row_of
from harness.results.run import Results
from harness.results.unit_view import shares
from harness.stats import HEADLINE
from harness.types import HIGHEST_LEVEL, Excerpt, Explanation, Outcome, ScoredExplanation, Unit

Valid = Mapping[Unit, Sequence[Excerpt]]
"""The valid excerpts of each unit of a task."""
ValidOf = Callable[[str, str], Valid | None]
"""Returns the valid excerpts of the frozen task of a name and a digest; None if it is not here."""
_Place = tuple[str, str, str]
"""An explainer, a simulator and a unit, by their names."""
SENTENCES = (
    "The score is the correlation of real and simulated activations over all tokens of the valid excerpts, averaged "
    "over units; a unit of which a method gave no explanation counts as the floor of the ranking does.",
    "A rank is a range wherever another draw of units, the same for all rows, could have given another. Whether two "
    "rows can be told apart is for neurogloss leaderboard compare to say, which corrects for their number.",
    "Other metrics are those of each entry by itself; their means leave out the units that have none.",
)


@dataclass(frozen=True)
class Section:
    """A table of the first page, and the folder of its board; empty if it has none."""

    table: Table
    folder: str = ""


@dataclass(frozen=True)
class _Row:
    """A row of a board: its name there, its rank (empty if it has none), and the entry's row."""

    name: str
    rank: str
    item: Explained

    def place(self, unit: Unit) -> _Place:
        """Return what its simulations of a unit are found by."""
        return (self.item.row.summary.explainer, self.item.row.summary.simulator, str(unit))


def write(folder: Path, leaderboard: Leaderboard, valid_of: ValidOf) -> list[Path]:
    """Write the site, in place of the one that is there.

    Args:
        folder: of the site.
        leaderboard: with its entries.
        valid_of: finds the excerpts of their tasks.

    Returns:
        The page of each board, that of all tables first.

    Raises:
        NeuroglossError: the simulations of an entry cannot be read.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".site-", dir=folder.parent) as scratch:
        draft = Path(scratch) / folder.name
        draft.mkdir()
        boards = _write_boards(draft, leaderboard, valid_of)
        (draft / "index.html").write_text(_home(leaderboard, boards), encoding="utf-8")
        if folder.exists():
            folder.rename(Path(scratch) / "before")
        shutil.move(draft, folder)
    return [folder / "index.html", *(folder / section.folder / "index.html" for section in boards)]


def picture(leaderboard: Leaderboard) -> str:
    """Return a picture of the first ranking of explainers; empty if there is none."""
    first = next(iter(leaderboard.rankings), None)
    return "" if first is None else build.picture(_board(first.first.entry.task.name, _rows(first)))


def _write_boards(folder: Path, leaderboard: Leaderboard, valid_of: ValidOf) -> list[Section]:
    files = {_key(entry): path for path, entry in leaderboard.entries.items()}
    sections = []
    for ranking in leaderboard.rankings:
        info, rows = ranking.first.entry.task, _rows(ranking)
        valid = valid_of(info.name, info.digest)
        section = Section(ranking.table(), _folder_name(ranking))
        page = Page(ranking.title, ranking.facts, (), SENTENCES)
        units = () if valid is None else _units(rows, valid, files)
        write_board(_board(info.name, rows), page, units, folder / section.folder, home="../index.html")
        sections.append(section)
    return sections


def _key(entry: Results) -> tuple[str, str]:
    return entry.task.name, entry.run_id


def _folder_name(ranking: Ranking) -> str:
    first = ranking.first
    digest = hashlib.sha256("\n".join(first.group).encode()).hexdigest()[:8]
    return f"{safe_name(first.entry.task.name)}-{safe_name(first.simulator.name)}-{digest}"


def _home(leaderboard: Leaderboard, boards: Sequence[Section]) -> str:
    """Return the first page: rankings of explainers, simulators, entries."""
    simulators = [Section(table) for table in leaderboard.simulators]
    entries_table = [Section(pages.table_of(leaderboard.entries))] if leaderboard.entries else []
    return rendered(
        "home.html.j2", "", introduction=pages.INTRODUCTION, sections=[*boards, *simulators, *entries_table]
    )


# -------------------------------------------------------------------------------------------------------------- boards


def _rows(ranking: Ranking) -> list[_Row]:
    """Return the rows of a ranking; one of several of a name has the beginning of its run's id behind it."""
    ranked = [*ranking.ranked, *(("", item) for _, item in ranking.unranked)]
    counts = Counter(item.row.summary.explainer for _, item in ranked)

    def name(item: Explained) -> str:
        own = item.row.summary.explainer
        return own if counts[own] == 1 else f"{own} ({item.entry.run_id[:6]})"

    return [_Row(name(item), rank, item) for rank, item in ranked]


def _board(task: str, rows: Sequence[_Row]) -> BoardData:
    units = dict.fromkeys(unit for row in rows for unit in row.item.entry.task.units)
    return board_of(task, HEADLINE, tuple(map(_row_data, rows)), list(units))


def _row_data(row: _Row) -> RowData:
    item = row.item
    means = {HEADLINE: item.headline} if item.scores else {}
    return row_of(item.row, row.rank, {str(unit): score for unit, score in item.scores.items()}, means, row.name)


# --------------------------------------------------------------------------------------------------------------- units


def _units(rows: Sequence[_Row], valid: Valid, files: Mapping[tuple[str, str], Path]) -> Iterator[dict[str, Any]]:
    """Yield each unit of a task that a row explains, as its shard holds it."""
    largest = {unit: max((excerpt.maximum for excerpt in excerpts), default=0.0) for unit, excerpts in valid.items()}
    entries = {_key(row.item.entry) for row in rows}
    simulated = {key: _levels_of(files[key], {str(unit): value for unit, value in largest.items()}) for key in entries}
    explained = [_by_unit(row.item.row.scored) for row in rows]
    for unit, excerpts in valid.items():
        present = [(row, by_unit[unit]) for row, by_unit in zip(rows, explained, strict=True) if unit in by_unit]
        levels = [simulated[_key(row.item.entry)].get(row.place(unit), {}) for row, _ in present]
        if present:
            yield {
                "unit": str(unit),
                "rows": [_row_of_unit(row, scored) for row, scored in present],
                "excerpts": [_excerpt(excerpt, largest[unit], levels) for excerpt in excerpts],
            }


def _row_of_unit(row: _Row, scored: ScoredExplanation) -> dict[str, Any]:
    score = row.item.scores.get(scored.unit)
    return {
        "name": row.name,
        "simulator": row.item.row.summary.simulator,
        "text": harmless(_words(scored.explanation)),
        "score": None if score is None else round(score, 4),
    }


def _excerpt(excerpt: Excerpt, largest: float, levels: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    return {
        "kind": str(excerpt.kind),
        "source": excerpt.source,
        "tokens": [harmless(token) for token in excerpt.tokens],
        "real": digits(shares(excerpt.activations, largest)),
        "simulated": [of_row.get(excerpt.source, "") for of_row in levels],
    }


def _by_unit(scored: Sequence[ScoredExplanation]) -> dict[Unit, ScoredExplanation]:
    """Return the explanation of each unit; of several, those of people, the first."""
    return {item.unit: item for item in reversed(scored)}


def _words(explanation: Explanation) -> str:
    """Return the words of an explanation, or what stands in their place: an entry keeps no tables."""
    if explanation.in_words:
        return explanation.text
    return "a table" if explanation.outcome is Outcome.OK else f"none ({explanation.outcome})"


def _levels_of(entry: Path, largest: Mapping[str, float]) -> dict[_Place, dict[str, str]]:
    """Return the simulated levels of each valid excerpt of an entry, as :data:`DIGITS`, by its source.

    What is simulated in activations is read as shares of the unit's largest.
    """
    table = simulations.table(entry)
    table = table.filter(pc.equal(table["split"], "valid")).combine_chunks()
    if not len(table):
        return {}
    values = table["simulated"].chunk(0)
    ends = values.offsets.to_numpy()
    counts = np.diff(ends)
    units, kinds = table["unit"].to_pylist(), table["units"].to_pylist()
    wholes = np.array(
        [HIGHEST_LEVEL if kind == "levels" else largest.get(unit, 0.0) for unit, kind in zip(units, kinds, strict=True)]
    )
    flat = np.nan_to_num(values.values.to_numpy(zero_copy_only=False)[ends[0] : ends[-1]])
    with np.errstate(divide="ignore", invalid="ignore"):
        of_whole = np.nan_to_num(np.clip(flat / np.repeat(wholes, counts), 0.0, 1.0))
    text = _digits_of(of_whole)
    starts = (ends - ends[0]).tolist()
    by_place: dict[_Place, dict[str, str]] = {}
    places = zip(*(table[name].to_pylist() for name in ("explainer", "simulator", "unit", "source")), strict=True)
    for number, (explainer, simulator, unit, source) in enumerate(places):
        levels = text[starts[number] : starts[number + 1]]
        by_place.setdefault((explainer, simulator, unit), {}).setdefault(source, levels)
    return by_place


def _digits_of(shares: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    levels = np.rint(shares * HIGHEST_LEVEL).astype(np.uint8)
    return str(np.frombuffer(DIGITS.encode(), dtype=np.uint8)[levels].tobytes(), "ascii")
