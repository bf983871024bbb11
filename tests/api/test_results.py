"""What a run left behind, as tables and pages: they say what its files say."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from harness.api import Results
from harness.api.results import COLUMNS
from harness.types import NeuroglossError
from tests.api.conftest import TASK
from tests.fixtures import Command


def test_a_table_has_a_line_for_each_explanation_with_its_scores(results: Results) -> None:
    table = results.to_pandas()
    assert tuple(table.columns[: len(COLUMNS)]) == COLUMNS
    items = [(row.key, item) for row in results.values.rows for item in row.scored]
    assert len(table) == len(items)
    for line, (key, item) in zip(table.to_dict("records"), items, strict=True):
        assert (line["explainer"], line["simulator"]) == (key.explainer, key.simulator)
        assert (line["unit"], line["explanation"]) == (str(item.unit), item.explanation.text)
        scores = {name: line[name] for name in table.columns[len(COLUMNS) :] if not math.isnan(line[name])}
        assert scores == {name: value for name, value in item.scores.values.items() if not math.isnan(value)}


def test_a_row_with_several_explanations_of_a_unit_has_a_line_for_each(results: Results) -> None:
    near = results.to_pandas().query("explainer == 'near' and unit == 'puzzle:pets' and simulator == 'token_overlap'")
    assert near["explanation"].tolist() == ["the word dog", "the words cat and bird", "all animals"]


def test_the_files_of_the_run_are_tables(results: Results) -> None:
    scores, explanations = results.scores(), results.explanations()
    own = scores.query("explainer == 'quoting' and metric == 'correlation'").set_index("unit")["value"]
    wide = results.to_pandas().query("explainer == 'quoting'").set_index("unit")["correlation"]
    assert own.to_dict() == wide.to_dict()
    assert explanations["text"].tolist() == results.to_pandas()["explanation"].tolist()
    assert {"tokens", "real", "simulated"} <= set(results.simulations().columns)


def test_the_board_is_that_of_the_command(results: Results, place: Path, neurogloss: Command) -> None:
    printed = neurogloss("board", str(results.folder))[1]
    assert str(results.board()).split() == printed.split()
    assert results.board().markdown().startswith(f"# Board of {TASK}")
    assert "by difference" in str(results.board("difference"))
    with pytest.raises(NeuroglossError, match="the run has no scores by nothing; it has"):
        results.board("nothing")


def test_a_unit_is_that_of_the_command(results: Results, place: Path, neurogloss: Command) -> None:
    printed = neurogloss("show", str(results.folder), "puzzle:pets", "--excerpts", "1")[1]
    assert str(results.unit("puzzle:pets", excerpts=1)).split() == printed.split()
    methods = results.to_pandas().query("explainer in ['max_activation', 'quoting']")
    assert results.unit().view.unit == methods.sort_values("correlation")["unit"].iloc[-1]
    with pytest.raises(NeuroglossError, match=r"the run has no unit L1N1; it has puzzle:"):
        results.unit("L1N1")
    with pytest.raises(NeuroglossError, match="excerpts is 0; write 1 or more"):
        results.unit(excerpts=0)


def test_a_notebook_shows_the_board_and_the_best_unit(results: Results) -> None:
    html = results._repr_html_()
    assert f"Board of {TASK}" in html
    assert f"Unit {results.unit().view.unit}" in html
    assert 'class="ra"' in html
    assert repr(results).startswith(f"Results(task='{TASK}', rows=")


def test_a_run_that_was_made_before_is_opened_and_stays_the_same(results: Results) -> None:
    link = results.folder.parent / "latest"
    before = link.resolve()
    link.unlink()
    link.symlink_to(results.folder.name)
    opened = Results(link)
    link.unlink()
    link.symlink_to(before.name)
    assert opened.folder == results.folder
    assert opened.values.scored == results.values.scored


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NeuroglossError, match=r"is not a whole run: results\.json is missing"):
        Results(tmp_path)
