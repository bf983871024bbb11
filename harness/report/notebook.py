"""Boards and units as outputs of a notebook: HTML that stands alone, without scripts and without requests.

A notebook shows outputs within its own page. So every text of others is escaped, styles hold for our own elements only,
and colours are those of the site of a run.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType

from harness.guards.printing import harmless
from harness.report import page as pages
from harness.report import unit_page
from harness.report.html import environment
from harness.report.page import Page
from harness.report.site.data import unit_data
from harness.results.unit_view import ExcerptView, UnitView

COLUMNS = 110
"""The width of an output in words."""
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class BoardOutput:
    """A board: tables in a notebook, text in a terminal."""

    page: Page

    def __str__(self) -> str:
        return _text(pages.render(self.page))

    __repr__ = __str__

    def markdown(self) -> str:
        """Return it in Markdown, as ``board.md`` of a run has it."""
        return pages.markdown_page(self.page)

    def _repr_html_(self) -> str:
        return _render(board=self.page)


@dataclass(frozen=True, slots=True)
class UnitOutput:
    """A unit: explanations, scores and heat maps, with at most ``excerpts`` of each kind."""

    view: UnitView
    excerpts: int

    def __str__(self) -> str:
        return _text(unit_page.build(self.view, self.excerpts))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return _render(unit=self.shown())

    def shown(self) -> dict[str, Any]:
        """Return what is shown of it, as :func:`harness.report.site.data.unit_data` has it."""
        data = unit_data(UnitView(self.view.unit, self.view.metric, self.view.rows, self._excerpts()))
        return {**data, "metric": self.view.metric}

    def _excerpts(self) -> tuple[ExcerptView, ...]:
        kinds = dict.fromkeys(excerpt.kind for excerpt in self.view.excerpts)
        by_kind = [[excerpt for excerpt in self.view.excerpts if excerpt.kind == kind] for kind in kinds]
        return tuple(excerpt for excerpts in by_kind for excerpt in excerpts[: self.excerpts])


def page(board: BoardOutput, unit: UnitOutput) -> str:
    """Return a board and a unit below it as one output."""
    return _render(board=board.page, unit=unit.shown())


def _text(content: RenderableType) -> str:
    """Return what a terminal without colours would show."""
    console = Console(file=io.StringIO(), width=COLUMNS, color_system=None, force_jupyter=False, highlight=False)
    with console.capture() as capture:
        console.print(content)
    return harmless(capture.get()).rstrip()


def _render(board: Page | None = None, unit: dict[str, Any] | None = None) -> str:
    return environment(_HERE).get_template("notebook.html.j2").render(board=board, unit=unit)
