"""The site of a leaderboard shows its entries as the sites of their runs do, and works in a browser from disk alone."""

from __future__ import annotations

import dataclasses
import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.leaderboard import entries, pages
from harness.leaderboard.tables import Leaderboard
from harness.report.site import leaderboard
from harness.results.run import Results, read_run
from harness.tasks import catalog
from harness.tasks.splits import split_record
from harness.types import Identity, Role, Task
from tests.report.site.conftest import HOSTILE

Make = Callable[..., Results]


@pytest.fixture(scope="module")
def root(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A leaderboard with the run as its one entry."""
    folder = tmp_path_factory.mktemp("board") / "leaderboard"
    task = read_run(run_folder).task
    entries.add(run_folder, folder, {task.name: task.digest})
    return folder


@pytest.fixture(scope="module")
def boards(root: Path, tiny_task: Path) -> list[Path]:
    """The pages of its site: the first page, and a board for each simulator."""
    task = catalog.read(tiny_task)
    assert isinstance(task, Task)
    valid = {record.unit: split_record(record).valid for record in task.records}
    return leaderboard.write(root / "site", pages.read(root), lambda name, digest: valid)


def _file(folder: Path, name: str) -> Path:
    """Where the entry of a run would be."""
    return folder / "board" / "entries" / "mini-v1" / f"{name}.json"


def shards(site: Path) -> dict[str, Any]:
    units: dict[str, Any] = {}
    for path in sorted((site / "data").iterdir()):
        (document,) = re.findall(r"^loaded\(\d+, (.*)\);\n$", path.read_text(), re.DOTALL)
        units |= json.loads(document)
    return units


def by_name(unit: dict[str, Any]) -> Any:
    """What a shard says of a unit, whatever the order of its rows."""
    order = sorted(range(len(unit["rows"])), key=lambda at: unit["rows"][at]["name"])
    excerpts = [{**one, "simulated": [one["simulated"][at] for at in order]} for one in unit["excerpts"]]
    return [unit["rows"][at] for at in order], excerpts


def test_units_are_shown_as_on_the_site_of_the_run(boards: list[Path], run_folder: Path) -> None:
    ours, runs = shards(boards[1].parent), shards(run_folder / "site")
    assert ours.keys() == runs.keys()
    for name, unit in runs.items():
        rows, excerpts = by_name(ours[name])
        of_run, excerpts_of_run = by_name(unit)
        assert excerpts == excerpts_of_run
        assert [(row["name"], row["simulator"], row["text"]) for row in rows] == [
            (row["name"], row["simulator"], "a table" if row["name"] == "token_lookup" else row["text"])
            for row in of_run
        ]
        charged = {row["name"] for row in of_run if row["score"] is None}
        for row, of_this in zip(rows, of_run, strict=True):
            assert row["score"] == of_this["score"] or row["name"] in charged


def test_the_first_page_leads_to_each_board_and_back(boards: list[Path]) -> None:
    text = boards[0].read_text()
    for board in boards[1:]:
        assert f'href="{board.parent.name}/index.html"' in text
        assert 'href="../index.html"' in board.read_text()
    assert "max_activation" in text
    assert "Entries" in text
    assert "resolution" in text


def test_what_others_wrote_is_only_text(tmp_path: Path, make_results: Make) -> None:
    evil = make_results({HOSTILE: (Role.EXPLAINER, 0.5)}, subject=Identity(HOSTILE, HOSTILE))
    entry = dataclasses.replace(evil, provenance={"neurogloss": "0", "git": None})
    for page in leaderboard.write(
        tmp_path / "site", Leaderboard({_file(tmp_path, "a"): entry}), lambda name, digest: None
    ):
        text = page.read_text()
        assert "<img" not in text
        assert html.unescape(text).count(HOSTILE[-20:]) > 1
        assert "unsafe" not in text


def test_without_the_task_units_have_no_pages(tmp_path: Path, root: Path) -> None:
    _, board = leaderboard.write(tmp_path / "site", pages.read(root), lambda name, digest: None)
    assert "unit.html#" not in board.read_text()
    assert list((board.parent / "data").iterdir()) == []


def test_rows_of_one_name_are_told_apart_by_their_run(tmp_path: Path, make_results: Make) -> None:
    provenance = {"neurogloss": "0", "git": None}
    runs = {
        _file(tmp_path, run_id): dataclasses.replace(make_results(run_id=run_id), provenance=provenance)
        for run_id in ("a" * 12, "b" * 12)
    }
    _, board = leaderboard.write(tmp_path / "site", Leaderboard(runs), lambda name, digest: None)
    assert {"bad (aaaaaa)", "bad (bbbbbb)"} <= set(re.findall(r'<td class="name">([^<]*)</td>', board.read_text()))


def test_the_site_is_replaced_whole(tmp_path: Path, make_results: Make) -> None:
    (tmp_path / "site" / "old").mkdir(parents=True)
    entry = dataclasses.replace(make_results(), provenance={"neurogloss": "0", "git": None})
    leaderboard.write(tmp_path / "site", Leaderboard({_file(tmp_path, "a"): entry}), lambda name, digest: None)
    assert not (tmp_path / "site" / "old").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_the_picture_is_of_the_first_ranking(root: Path) -> None:
    svg = leaderboard.picture(pages.read(root))
    assert "max_activation" in svg
    assert leaderboard.picture(Leaderboard({})) == ""


def test_a_site_without_entries_says_so(tmp_path: Path) -> None:
    (page,) = leaderboard.write(tmp_path / "site", Leaderboard({}), lambda name, digest: None)
    assert "No entries yet." in page.read_text()


def test_a_reader_goes_from_the_first_page_to_a_unit_and_back(
    opened: Callable[[Path], Any], boards: list[Path], tiny_task: Path
) -> None:
    page = opened(boards[0])
    page.click("section a")
    page.wait_for_selector("#rows")
    page.click("a[href^='unit.html#']")
    page.wait_for_selector(".map")
    assert HOSTILE[:20] in page.inner_text("#rows")
    assert page.locator("#rows img").count() == 0
    page.click("nav a")
    page.wait_for_selector("#metric")
    page.click("nav a")
    page.wait_for_selector("text=neurogloss leaderboard")
    for width in (400, 1600):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
