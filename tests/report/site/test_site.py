"""The site of a run holds what the run holds, escapes what others wrote, and works in a browser from disk alone."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from harness.guards.printing import harmless
from harness.report.page import Page
from harness.report.site import build, charts
from harness.report.site.data import board_data
from harness.results import unit_view
from harness.results.run import read_run
from tests.report.site.conftest import HOSTILE


def pages(run_folder: Path) -> dict[str, str]:
    return {name: (run_folder / "site" / name).read_text() for name in ("index.html", "unit.html")}


def test_every_row_and_unit_stands_on_the_board(run_folder: Path) -> None:
    text = html.unescape(pages(run_folder)["index.html"])
    results = read_run(run_folder)
    for row in results.rows:
        assert f'<td class="name">{row.summary.explainer}</td>' in text
        assert f"{row.summary.metrics['correlation'].mean:.3f}" in text
    for unit in results.task.units:
        assert f'<a href="unit.html#{unit}">{unit}</a>' in text


def test_shards_hold_the_levels_of_the_tables(run_folder: Path) -> None:
    shards: dict[str, Any] = {}
    for path in sorted((run_folder / "site" / "data").iterdir()):
        (document,) = re.findall(r"^loaded\(\d+, (.*)\);\n$", path.read_text(), re.DOTALL)
        shards |= json.loads(document)
    views = {view.unit: view for view in unit_view.read_all(run_folder)}
    assert list(shards) == list(views)
    for name, view in views.items():
        for shown, excerpt in zip(shards[name]["excerpts"], view.excerpts, strict=True):
            assert shown["tokens"] == [harmless(token) for token in excerpt.tokens]
            assert [int(digit, 16) for digit in shown["real"]] == [round(10 * share) for share in excerpt.real]


def test_nothing_on_a_page_drives_a_terminal_or_is_no_text(run_folder: Path, tmp_path: Path) -> None:
    board = Page(title="\x1b[2J", facts=(), tables=(), sentences=("\x9b\u202ea\ud800",))
    build.write(read_run(run_folder), board, run_folder, tmp_path / "site")
    text = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "\ufffd\ufffda\ufffd" in text
    assert text == harmless(text)


@pytest.mark.parametrize("name", ["index.html", "unit.html"])
def test_a_page_allows_its_own_script_and_style_alone(run_folder: Path, name: str) -> None:
    text = pages(run_folder)[name]
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    policy = html.unescape(policy)
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not re.search(r"(src|href)=\"(https?:)?//", text)
    assert not re.search(r"\son\w+=|style=", text)


def test_a_front_holds_what_no_cheaper_row_equals() -> None:
    assert charts.pareto([10, 20, 30, 40], [0.2, 0.1, 0.4, 0.4]) == [0, 2]
    assert charts.pareto([10, 10], [0.1, 0.3]) == [1]


def test_a_picture_of_a_board_stands_alone_and_has_a_line_for_each_row(run_folder: Path) -> None:
    data = board_data(read_run(run_folder))
    svg = ElementTree.fromstring(build.picture(data))
    space = "{http://www.w3.org/2000/svg}"
    labels = [element.text or "" for element in svg.iter(f"{space}text")]
    assert next(row.name[: charts.LETTERS] for row in data.rows if not row.control) in labels
    dots = [element.get("class") for element in svg.iter(f"{space}circle")]
    assert dots == ["mean"] * len(data.ranked) + ["control"] * (len(data.rows) - len(data.ranked))
    assert build.picture(dataclasses.replace(data, rows=())) == ""


# ------------------------------------------------------------------------------------------------------------ a browser


@pytest.fixture
def page(opened: Callable[[Path], Any], run_folder: Path) -> Any:
    """The board in a browser."""
    return opened(run_folder / "site" / "index.html")


def names(page: Any) -> list[str]:
    shown = page.locator("#rows tbody tr:visible td:first-child")
    return [str(text) for text in shown.all_text_contents()]


def test_the_board_sorts_filters_and_changes_its_metric(page: Any, run_folder: Path) -> None:
    results = read_run(run_folder)
    for metric in ("correlation", "auroc_top"):
        page.select_option("#metric", metric)
        means = {row.summary.explainer: row.summary.metrics[metric].mean for row in results.rows}
        assert [means[name] for name in names(page)] == sorted(means.values(), reverse=True)
    page.click("#mean")
    assert [means[name] for name in names(page)] == sorted(means.values())
    page.fill("#filter", "TOKEN")
    assert all("token" in name for name in names(page))
    page.fill("#filter", "")
    page.uncheck("#controls")
    assert set(names(page)) == {"max_activation", "token_activation · fake"}


def test_the_keyboard_alone_sorts(page: Any) -> None:
    page.focus("#rows thead th:first-child button")
    page.keyboard.press("Enter")
    assert page.get_attribute("#rows thead th:first-child", "aria-sort") == "descending"
    assert names(page) == sorted(names(page), reverse=True)


def test_a_unit_shows_what_others_wrote_as_text_and_leads_to_its_neighbours(page: Any, run_folder: Path) -> None:
    units = [str(unit) for unit in read_run(run_folder).task.units]
    page.click(f"a[href='unit.html#{units[0]}']")
    page.wait_for_selector(".map")
    assert page.title() == f"{units[0]} of tiny-v1"
    assert HOSTILE[:20] in page.inner_text("#rows")
    assert page.locator("#rows img").count() == 0
    page.click("#after")
    page.wait_for_selector(f"#title:has-text('Unit {units[1]} ')")
    page.select_option("#which", "max_activation")
    assert "shuffled" not in page.inner_text("#excerpts")


@pytest.mark.parametrize("width", [400, 1600])
def test_nothing_is_wider_than_the_window(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
