"""Pages of facts, tables and sentences, for a terminal and in Markdown; their texts are never read as markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

from harness.text import markdown
from harness.types import Usage

Row = tuple[str, ...]
"""One cell for each column, plain text."""
Columns = tuple[tuple[str, str], ...]
"""The heading of each column, short for the terminal and long for a page."""
LEAST_NAMES = 14
"""The least width of a column of names on a terminal."""
CONTROLS = "controls, not ranked"


@dataclass(frozen=True, slots=True)
class Table:
    """Table with ``rows``, and below them ``controls`` for comparison."""

    title: str
    columns: Columns
    rows: tuple[Row, ...]
    controls: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Page with ``facts`` (name, value), tables, and ``sentences`` on how to read them."""

    title: str
    facts: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...]
    sentences: tuple[str, ...]


def render(page: Page) -> Group:
    """Return the page for a terminal; tables that are too wide for it stand in parts."""
    parts: list[RenderableType] = [Text(page.title, style="bold"), *facts(page.facts), Text()]
    for table in page.tables:
        parts += [Text(table.title, style="bold"), terminal_table(table), Text()]
    return Group(*parts, *map(Text, page.sentences))


def markdown_page(page: Page) -> str:
    """Return the page in Markdown."""
    parts = [f"# {markdown(page.title)}", "\n".join(f"* {name}: {markdown(value)}" for name, value in page.facts)]
    for table in page.tables:
        parts += [f"## {markdown(table.title)}", markdown_table(table.columns, (*table.rows, *table.controls))]
    parts += ["## How to read it", "\n".join(f"* {markdown(sentence)}" for sentence in page.sentences)]
    return "\n\n".join(parts) + "\n"


def facts(pairs: tuple[tuple[str, str], ...]) -> list[Text]:
    """Return one line for each fact."""
    return [Text.assemble((f"{name}: ", "dim"), value) for name, value in pairs]


def terminal_table(table: Table) -> RenderableType:
    """Return the table for a terminal of any width, in as many parts below each other as its columns need.

    The first column, of names, stands in each part: whole if there is room, else folded, and never narrower than
    :data:`LEAST_NAMES`. Controls are dim.
    """
    return _TerminalTable(table)


@dataclass(frozen=True)
class _TerminalTable:
    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        names, *values = self._widths()
        names_width = _names_width(names, values, options.max_width)
        room = max(1, options.max_width - names_width)
        for number, columns in enumerate(_parts(values, room)):
            if number:
                yield Text()
            yield self._part(names_width, [(column + 1, min(values[column], max(1, room - 1))) for column in columns])

    def _widths(self) -> list[int]:
        """Return the width of each column as its heading and cells would have it [columns]."""
        label = (CONTROLS, *[""] * (len(self.table.columns) - 1))
        headings = tuple(heading for heading, _ in self.table.columns)
        lines = [headings, *self.table.rows, *([label, *self.table.controls] if self.table.controls else [])]
        return [max(map(cell_len, cells)) for cells in zip(*lines, strict=True)]

    def _part(self, names_width: int, columns: Sequence[tuple[int, int]]) -> RichTable:
        """Return some of the columns, each with its width, behind the names."""
        grid = RichTable(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
        grid.add_column(Text(self.table.columns[0][0]), overflow="fold", width=names_width)
        for column, width in columns:
            grid.add_column(Text(self.table.columns[column][0]), justify="right", overflow="fold", width=width)
        positions = [0, *(column for column, _ in columns)]
        for row in self.table.rows:
            grid.add_row(*(Text(row[position]) for position in positions))
        if self.table.controls:
            grid.add_section()
            grid.add_row(Text(CONTROLS, style="dim"))
        for row in self.table.controls:
            grid.add_row(*(Text(row[position], style="dim") for position in positions))
        return grid


def _names_width(names: int, values: Sequence[int], width: int) -> int:
    """Return the width of the column of names: what the others leave if all fit beside it, else a third at most."""
    beside = width - sum(values) - len(values)
    return max(LEAST_NAMES, min(names, beside if beside >= LEAST_NAMES else width // 3))


def _parts(widths: Sequence[int], room: int) -> list[list[int]]:
    """Return the columns of each part: as many as there is room for, each behind a space, and one at least."""
    parts: list[list[int]] = [[]]
    free = room
    for column, width in enumerate(widths):
        if parts[-1] and width + 1 > free:
            parts.append([])
            free = room
        parts[-1].append(column)
        free -= width + 1
    return parts


def markdown_table(columns: Columns, rows: tuple[Row, ...]) -> str:
    """Return the lines of a table in Markdown."""
    lines = [[heading for _, heading in columns], ["---", *["---:"] * (len(columns) - 1)]]
    lines += [[markdown(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def short(count: int) -> str:
    """Return a number of tokens in at most 6 characters."""
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= unit:
            return f"{count / unit:.1f}{name}" if count < 100 * unit else f"{count / unit:.0f}{name}"
    return str(count)


def tokens(usage: Usage) -> str:
    """Return the number of tokens of prompts and completions in total, in at most 6 characters."""
    return short(usage.prompt_tokens + usage.completion_tokens)
