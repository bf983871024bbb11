"""A leaderboard in a folder of its own: runs are written and entered, and its page is read back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.leaderboard import entries, pages, trust
from harness.results.run import Results, write_run
from tests.fixtures import DIGEST


@pytest.fixture(autouse=True)
def _made_up_puzzles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the made-up puzzles for those that ship."""
    monkeypatch.setattr(trust, "puzzles_digest", lambda _: DIGEST)


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """The folder of the leaderboard."""
    return tmp_path / "board"


@pytest.fixture
def add(tmp_path: Path, board: Path) -> Callable[[Results], Path]:
    """Writes a run, and enters it on a leaderboard that knows its task as it is."""

    def add_run(results: Results) -> Path:
        folder = write_run(tmp_path / "runs", results, "")
        return entries.add(folder, board, {results.task.name: results.task.digest})

    return add_run


@pytest.fixture
def page(board: Path) -> Callable[[], str]:
    """Builds the leaderboard, and returns its page of Markdown, unescaped."""

    def build() -> str:
        pages.build(board, pages.read(board))
        return (board / "README.md").read_text().replace("\\", "")

    return build


@pytest.fixture
def cells(page: Callable[[], str]) -> Callable[[], list[list[list[str]]]]:
    """Builds the leaderboard, and returns the cells of its rankings, without their headings."""

    def build() -> list[list[list[str]]]:
        sections = [section for section in page().split("\n## ")[1:] if not section.startswith("Entries\n")]
        return [
            [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line[:2] == "| "][2:]
            for section in sections
        ]

    return build
