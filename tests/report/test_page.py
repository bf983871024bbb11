"""Pages on terminals of many widths: the names of the rows stand beside every column."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from harness.report.page import LEAST_NAMES, Page, Table, markdown_page, render, short, terminal_table, tokens
from harness.types import Usage

COLUMNS = tuple(
    (heading, heading)
    for heading in ("explainer", "rank", "score", "95 % interval", "random", "top", "expl.v.", "ablat.", "cover",
                    "const", "tokens", "cost")
)  # fmt: skip
CELLS = ("1–2", "0.074", "0.021 to 0.127", "0.081", "0.077", "-0.064", "0.333", "24/24", "0", "2.2k", "$0.02")
NAMES = ("token_activation · smollm2", "max_activation")
TABLE = Table("Explainers", COLUMNS, tuple((name, *CELLS) for name in NAMES), (("shuffled (floor)", *CELLS),))


def _printed(table: Table, width: int) -> list[str]:
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        console = Console(width=width, record=True, force_terminal=False, file=nowhere)
        console.print(terminal_table(table))
        return console.export_text().split("\n")


def _parts(lines: list[str]) -> list[list[str]]:
    """The lines of each part; a blank line stands between two."""
    parts: list[list[str]] = [[]]
    for line in lines[:-1]:
        if line.strip():
            parts[-1].append(line)
        else:
            parts.append([])
    return parts


def _names(part: list[str], width: int) -> str:
    """What stands in the column of names of a part, without the folds."""
    return "".join(line[:width].strip() for line in part).replace(" ", "")


@pytest.mark.parametrize(("width", "parts"), [(80, 2), (96, 1), (110, 1), (160, 1)])
def test_every_part_has_the_names_and_every_column_stands_in_one(width: int, parts: int) -> None:
    lines = _printed(TABLE, width)
    assert max(map(len, lines)) <= width
    assert len(_parts(lines)) == parts
    for part in _parts(lines):
        names_end = part[0].index(part[0].split()[1])  # where the heading of the first value begins
        assert all(name.replace(" ", "") in _names(part, names_end) for name in NAMES)
    headings = "\n".join(part[0] for part in _parts(lines))
    for heading, _ in COLUMNS[1:]:
        assert headings.count(heading) == 1
    for cell in CELLS:
        assert any(cell in line for line in lines)


def test_names_are_whole_where_there_is_room_and_folded_where_there_is_not() -> None:
    assert any(line.startswith("token_activation · smollm2 ") for line in _printed(TABLE, 110))
    narrow = _printed(TABLE, 96)
    assert any(line.startswith("token_activation ") and "0.074" in line for line in narrow)
    assert any(line.strip() == "· smollm2" for line in narrow)


@given(width=st.integers(30, 200), columns=st.integers(1, 12), length=st.integers(1, 60))
def test_no_line_is_too_long_no_cell_is_lost_and_no_name_narrower_than_promised(
    width: int, columns: int, length: int
) -> None:
    table = Table("", COLUMNS[:columns], (("n" * length, *CELLS[: columns - 1]),))
    lines = _printed(table, width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert all(cell in text for cell in CELLS[: columns - 1])
    parts = len(_parts(lines))
    assert text.count("n" * min(length, LEAST_NAMES)) >= parts
    assert text.count("explainer") == parts


def test_a_cell_that_is_wider_than_the_terminal_is_folded_beside_the_names() -> None:
    table = Table("", (("name", "name"), ("text", "text")), (("x" * 20, "a" * 50 + "z"),))
    lines = _printed(table, 40)
    assert max(map(len, lines)) <= 40
    assert "".join(line[14:].strip() for line in lines[1:]) == "a" * 50 + "z"


def test_controls_stand_below_their_label_in_each_part() -> None:
    lines = _printed(TABLE, 80)
    for part in _parts(lines):
        label = next(place for place, line in enumerate(part) if line.startswith("controls, not ranked"))
        assert part[label + 1].startswith("shuffled (floor)")


def test_text_is_never_markup() -> None:
    page = Page("[red]t[/red]", (("[b]", "<i>x</i>"),), (Table("", COLUMNS[:1], (("[red]x[/red]",),)),), ("[u]s[/u]",))
    console = Console(width=80, record=True, force_terminal=True)
    console.print(render(page))
    for text in ("[red]t[/red]", "[b]: <i>x</i>", "[red]x[/red]", "[u]s[/u]"):
        assert text in console.export_text(clear=False)
    assert "<i>" not in markdown_page(page).replace("\\<i\\>", "")


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (999, "999"), (1000, "1.0k"), (99_949, "99.9k"), (100_000, "100k"), (10**9, "1.0G")]
)
def test_tokens_fit_six_characters(count: int, text: str) -> None:
    assert short(count) == text
    assert tokens(Usage(prompt_tokens=count)) == text
