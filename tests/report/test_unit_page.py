"""A unit of a run is shown with its explanations, its scores, and heat maps of real and simulated activations."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from harness import cli
from harness.report import unit_page
from harness.results import unit_view
from harness.types import NeuroglossError, RowKey

ROW = RowKey("max_activation", "token_overlap")


@pytest.fixture(scope="module")
def folder(tiny_task: Path, tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of three units, which no test changes."""
    output = tmp_path_factory.mktemp("runs")
    with pytest.raises(SystemExit) as ended:
        cli.main(
            [
                *("run", f"task.name={tiny_task.name}", f"task.path={tiny_task}", "units.limit=3", f"output={output}"),
                *("subject=transformers", f"subject.name={tiny_llama}", "explainer_model=[fake]", "scores=panel"),
                *("explainer=[max_activation,shuffled,token_lookup]", "simulator=token_overlap", "board.resamples=200"),
            ]
        )
    assert not ended.value.code
    return (output / "latest").resolve()


def printed(content: object, colours: bool) -> str:
    stream = io.StringIO()
    Console(file=stream, width=100, force_terminal=colours, color_system="truecolor" if colours else None).print(
        content
    )
    return stream.getvalue()


def test_shares_are_those_of_the_tables(folder: Path) -> None:
    view = unit_view.read(folder)
    rows = pq.read_table(folder / "simulations.parquet", filters=[("unit", "=", view.unit)]).to_pylist()
    valid = [row for row in rows if row["split"] == "valid" and row["explainer"] == "max_activation"]
    largest = max(max(row["real"][row["leading"] :]) for row in valid)
    assert [excerpt.source for excerpt in view.excerpts] == [row["source"] for row in valid]
    for excerpt, row in zip(view.excerpts, valid, strict=True):
        assert excerpt.simulated[ROW] == tuple(value / 10 for value in row["simulated"])
        assert excerpt.real == tuple(min(max(value, 0.0) / largest, 1.0) for value in row["real"])


def test_without_a_name_the_unit_that_a_method_explains_best_is_shown(folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folder, tmp_path / "run"))
    table = pq.read_table(folder / "scores.parquet", filters=[("metric", "=", "correlation")])
    rows = table.to_pylist()
    best = rows[-1]["unit"]
    for row in rows:  # a control explains the others best
        values = {"max_activation": 0.5 if row["unit"] == best else 0.1, "shuffled": 0.0}
        row["value"] = values.get(row["explainer"], 0.0 if row["unit"] == best else 2.0)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), folder / "scores.parquet")
    view = unit_view.read(folder)
    assert view.unit == best
    assert 0.5 in [row.score for row in view.rows]


def test_a_unit_that_is_not_there_is_refused_with_those_that_are(folder: Path) -> None:
    with pytest.raises(NeuroglossError, match=r"the run has no unit L99N1; it has L0N"):
        unit_view.read(folder, "L99N1")


def test_levels_are_colours_on_a_terminal_and_numbers_in_a_file(folder: Path) -> None:
    view = unit_view.read(folder)
    in_file, on_terminal = (printed(unit_page.build(view, 1), colours) for colours in (False, True))
    assert "[10]" in in_file
    assert "\x1b" not in in_file
    assert "48;2;200;90;20m" in on_terminal
    assert "[10]" not in on_terminal
    for text in ("max_activation · token_overlap", "shuffled · token_overlap", "token_lookup · lookup", "a table of"):
        assert text in in_file


def test_the_command_prints_as_many_excerpts_as_are_wanted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wanted in (1, 2):
        with pytest.raises(SystemExit) as ended:
            cli.main(["show", str(folder), "--excerpts", str(wanted)])
        out = capsys.readouterr().out
        assert not ended.value.code
        assert out.count("top excerpt") == wanted
    with pytest.raises(SystemExit) as ended:
        cli.main(["show", str(folder), "--excerpts", "0"])
    assert (ended.value.code, "--excerpts is 0; write 1 or more" in capsys.readouterr().err) == (cli.USER_ERROR, True)


@pytest.mark.parametrize("place", ["nowhere", "file"])
def test_what_is_no_run_is_said_to_be_none(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    for read in (unit_view.read, lambda folder: next(unit_view.read_all(folder))):
        with pytest.raises(
            NeuroglossError, match=rf"{place} is not a whole run: results\.json is missing; give a folder"
        ):
            read(tmp_path / place)
