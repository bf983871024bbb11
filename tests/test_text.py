"""Words and figures as pages and terminals show them."""

from __future__ import annotations

import math
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.markdown import Markdown

from harness.text import figure, markdown, number, percent, plain, span
from harness.types import Interval


@given(st.text())
def test_plain_text_cannot_drive_a_terminal(text: str) -> None:
    assert plain(text).isprintable()


def _shown(page: str) -> str:
    """What a reader of the rendered Markdown sees, in one line, with link targets and HTML shown if there are any."""
    console = Console(width=1000, record=True, force_terminal=False, color_system=None, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(Markdown(page, hyperlinks=False))
    return " ".join(console.export_text().split())


@pytest.mark.parametrize(
    "text",
    [
        "a|b",
        "<script>alert(1)</script>",
        "**bold** _it_ `code` ~~no~~",
        "[text](javascript:alert(1))",
        "![image](http://x.y/z.png)",
        "https://evil.example/x www.evil.example",
        "back\\slash \\| &amp; &lt;",
        "# heading",
        "- list",
        "max_activation of 3/4 (50%), 'so': a+b=c; -1.",
    ],
)
def test_markdown_shows_the_text_and_nothing_else(text: str) -> None:
    assert _shown(f"x {markdown(text)} y") == f"x {text} y"
    assert "|" not in markdown(text).replace("\\|", "")
    assert "://" not in markdown(text)


def test_markdown_leaves_ordinary_text_legible() -> None:
    assert markdown("max_activation of 3/4 (50 %), -1") == "max_activation of 3/4 (50 %), -1"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0.0, "0.000"), (-0.1234, "-0.123"), (-9.9994, "-9.999"), (-10.0, "-10.0"), (-12.34, "-12.3")),
        *((999.94, "999.9"), (1000.0, "1000"), (123456.0, "123456"), (1e6, "1e+06"), (-8e15, "-8e+15")),
        (math.nan, "–"),
    ],
)
def test_figures_fit_their_column(value: float, text: str) -> None:
    assert figure(value) == text
    assert len(text) <= 7


def test_an_interval_without_ends_is_a_dash() -> None:
    assert span(Interval(0.5, math.nan, math.nan, 1)) == "–"
    assert span(Interval(0.5, -0.25, 0.75, 9)) == "-0.250 to 0.750"


def test_a_share_is_a_percentage_and_nan_a_dash_or_null() -> None:
    assert (percent(0.934), percent(math.nan)) == ("93 %", "–")
    assert (number(0.5), number(math.nan)) == (0.5, None)
