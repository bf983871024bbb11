"""Outputs of a notebook hold no script, no request and no style for others, whatever strangers wrote."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.report import board
from harness.report.notebook import BoardOutput, UnitOutput, page
from harness.results.run import Results
from harness.results.unit_view import ExcerptView, RowView, UnitView
from harness.types import Role, RowKey

HOSTILE = "<script>alert(1)</script><img src=https://host/x onerror=y> </style><style>*{background:url(//host)}"
ELEMENTS = {"div", "style", "p", "b", "i", "ul", "li", "span", "table", "thead", "tbody", "tr", "th", "td", "details"}
ELEMENTS |= {"summary"}


class Elements(HTMLParser):
    """Counts elements and attributes, and keeps texts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: Counter[str] = Counter()
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def unit(text: str = "cats", tokens: tuple[str, ...] = (" a", " cat", " sat"), name: str = "method") -> UnitOutput:
    key = RowKey(name, "simulator")
    shares = tuple(index / max(len(tokens) - 1, 1) for index in range(len(tokens)))
    excerpts = tuple(ExcerptView("top", f"document:{n}", tokens, shares, {key: shares}) for n in range(3))
    return UnitOutput(UnitView("L1N2", "correlation", (RowView(key, text, 0.5),), excerpts), excerpts=2)


def test_a_page_stands_alone(make_results: Callable[..., Results]) -> None:
    html = page(BoardOutput(board.build(make_results())), unit())
    parsed = Elements(html)
    assert set(parsed.elements) == ELEMENTS
    assert parsed.attributes == {"class", "title"}
    assert not re.search(r"url\(|@import|https?:|//", html)
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    selectors = [part.strip() for rule in re.findall(r"([^{}]+)\{", style) for part in rule.split(",")]
    assert selectors
    assert all(selector.startswith(".neurogloss") for selector in selectors)


def test_tokens_are_coloured_by_their_levels() -> None:
    html = unit()._repr_html_()
    assert html.count('<span class="ra"> sat</span>') == 2
    assert html.count('<span class="m5"> cat</span>') == 2
    assert html.count("<span> a</span>") == 4
    assert "top excerpt, document:1" in html
    assert "document:2" not in html


@pytest.mark.slow
@settings(max_examples=25)
@given(st.text() | st.just(HOSTILE), st.text() | st.just(HOSTILE))
def test_no_text_of_others_is_markup(text: str, token: str) -> None:
    usual = Elements(unit()._repr_html_())
    parsed = Elements(unit(text, (token, " cat", " sat"))._repr_html_())
    assert parsed.elements == usual.elements
    assert parsed.attributes == usual.attributes


def test_the_name_of_a_row_is_no_markup(make_results: Callable[..., Results]) -> None:
    results = make_results({HOSTILE: (Role.EXPLAINER, 0.5)})
    parsed = Elements(BoardOutput(board.build(results))._repr_html_())
    assert set(parsed.elements) <= ELEMENTS
    assert any("alert(1)" in text for text in parsed.texts)


def test_what_drives_a_terminal_is_shown_as_none() -> None:
    for shown in (unit("a\x1b[2Jb"), unit(tokens=("\u202ecat", "x", "y")), unit(name="meth\x9bod")):
        for text in (shown._repr_html_(), str(shown)):
            assert not {"\x1b", "\u202e", "\x9b"} & set(text)
            assert "\ufffd" in text
