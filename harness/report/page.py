"""A page of facts, tables and sentences, for a terminal and in Markdown. No text in either is markup."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from harness.results import markdown
from harness.types import Usage

Row = tuple[str, ...]
"""One cell for each column, plain text."""
Columns = tuple[tuple[str, str], ...]
"""The heading of each column, short for the terminal and long for a page."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its ``rows``, and ``controls`` that stand below to read the others against."""

    title: str
    columns: Columns
    rows: tuple[Row, ...]
    controls: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """What is shown: ``facts`` (name, value), tables, and ``sentences`` on how to read them."""

    title: str
    facts: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...]
    sentences: tuple[str, ...]


def render(page: Page) -> Group:
    """The page for a terminal of at least 100 columns."""
    parts: list[RenderableType] = [Text(page.title, style="bold"), *facts(page.facts), Text()]
    for table in page.tables:
        parts += [Text(table.title, style="bold"), terminal_table(table), Text()]
    return Group(*parts, *map(Text, page.sentences))


def markdown_page(page: Page) -> str:
    """The page in Markdown."""
    parts = [f"# {markdown(page.title)}", "\n".join(f"* {name}: {markdown(value)}" for name, value in page.facts)]
    for table in page.tables:
        parts += [f"## {markdown(table.title)}", markdown_table(table.columns, (*table.rows, *table.controls))]
    parts += ["## How to read it", "\n".join(f"* {markdown(sentence)}" for sentence in page.sentences)]
    return "\n\n".join(parts) + "\n"


def facts(pairs: tuple[tuple[str, str], ...]) -> list[Text]:
    """A line for each fact."""
    return [Text.assemble((f"{name}: ", "dim"), value) for name, value in pairs]


def terminal_table(table: Table) -> RichTable:
    """The table for a terminal: the first column may be folded, controls are dim."""
    shown = RichTable(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for position, (heading, _) in enumerate(table.columns):
        if position == 0:
            shown.add_column(Text(heading), overflow="fold", min_width=14, max_width=26)
        else:
            shown.add_column(Text(heading), justify="right", no_wrap=True)
    for row in table.rows:
        shown.add_row(*map(Text, row))
    if table.controls:
        shown.add_section()
        shown.add_row(Text("controls, not ranked", style="dim"))
    for row in table.controls:
        shown.add_row(*(Text(cell, style="dim") for cell in row))
    return shown


def markdown_table(columns: Columns, rows: tuple[Row, ...]) -> str:
    """The lines of a table in Markdown."""
    lines = [[heading for _, heading in columns], ["---", *["---:"] * (len(columns) - 1)]]
    lines += [[markdown(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def short(count: int) -> str:
    """A number of tokens in at most 6 characters."""
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= unit:
            return f"{count / unit:.1f}{name}" if count < 100 * unit else f"{count / unit:.0f}{name}"
    return str(count)


def tokens(usage: Usage) -> str:
    """The tokens of prompts and completions together."""
    return short(usage.prompt_tokens + usage.completion_tokens)
