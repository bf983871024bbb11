"""The notebook runs from its first cell to its last, and what it shows is what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "quickstart.ipynb"


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The cells of the notebook that have code, once it has been run in an empty folder."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    folder = tmp_path_factory.mktemp("notebook")
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(cell: Any, kind: str) -> list[str]:
    return [output["data"][kind] for output in cell.outputs if kind in output.get("data", {})]


@pytest.mark.slow
def test_it_runs_and_shows_boards_tables_and_heat_maps(cells: list[Any]) -> None:
    shown = {word: cell for cell in cells for word in cell.source.split("\n")[-1:]}
    (board,) = outputs(shown["results"], "text/html")[-1:]
    assert "Board of smollm2-v2" in board
    assert '<span class="ra">' in board
    (unit,) = outputs(shown["results.unit(best, excerpts=2)"], "text/html")
    assert "top excerpt" in unit
    (own,) = outputs(shown["mine.board()"], "text/html")[-1:]
    assert "loudest_words" in own
    assert outputs(cells[-1], "text/plain") == ["True"]


@pytest.mark.slow
def test_cells_print_nothing(cells: list[Any]) -> None:
    assert [output for cell in cells for output in cell.outputs if output.output_type == "stream"] == []


def test_it_is_kept_without_outputs() -> None:
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in notebook.cells)
