"""The folder of a run: written whole or not at all, and read back as it was written."""

from __future__ import annotations

import errno
import json
import math
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import files
from harness.results.run import (
    SCHEMA_VERSION,
    Results,
    compact,
    failure_path,
    read_run,
    write_failure,
    write_report,
    write_run,
)
from harness.results.tables import TABLES
from harness.results.vocabulary import ExplainerInfo, StageUsage, TaskInfo
from harness.types import (
    Calibration,
    CalibrationMethod,
    Candidate,
    Excerpt,
    ExcerptKind,
    Explanation,
    Heading,
    Identity,
    Judged,
    Judgement,
    NeuroglossError,
    Outcome,
    Role,
    RowKey,
    ScoredExplanation,
    ScorerInfo,
    Scores,
    SimulatedExcerpt,
    Simulation,
    TableKey,
    Unit,
    Usage,
    utf8,
)

Make = Callable[..., Results]
A, B = Unit("N", 0, 5), Unit("N", 3, 1)
MODEL = Identity("org/model", "abc123", dtype="float32", transport="prompt")
BENT = Calibration(method=CalibrationMethod.ISOTONIC, knots=((0.0, -0.5), (3.0, 2.5)))


def _words(calibration: Calibration = Calibration(0.5, 0.0, clipped=True)) -> ScoredExplanation:  # noqa: B008
    excerpt = Excerpt((" a", "\ufffd"), (1, 2), (0.5, 0.25), ExcerptKind.RANDOM, 12.5, "doc:7", 1)
    simulation = Simulation((math.nan, 3.0), mass=(0.0, 0.75), usage=Usage(requests=1, prompt_tokens=9))
    return ScoredExplanation(
        Explanation(A, "ends in\ud800 \n 語", prompt_version="v1", usage=Usage(1, 1, 100, 5, 0.25)),
        "",
        (SimulatedExcerpt("valid", excerpt, simulation, (math.nan, 1.5)),),
        calibration,
        Scores({"correlation": 0.0, "abs_dev": 0.5}, ("correlation",), {"ablation": "not asked"}, 1, 1),
        (Judged("detection", excerpt, (), True, Judgement(math.nan, Outcome.REFUSED)),),
    )


def _table() -> ScoredExplanation:
    explanation = Explanation(A, table={" a": 0.5, "b": 0.1}, default=0.01, table_key=TableKey.NEXT_TOKEN)
    return ScoredExplanation(explanation, "", (), None, Scores({"correlation": 0.5}))


def _refused() -> ScoredExplanation:
    candidates = (Candidate("no\ud800", Outcome.REFUSED), Candidate("", Outcome.EMPTY, 0.25))
    explanation = Explanation(B, outcome=Outcome.REFUSED, candidates=candidates)
    return ScoredExplanation(explanation, "", (), None, Scores({}, (), {"correlation": "refused"}))


@pytest.fixture
def results(make_results: Make) -> Results:
    """Results in which nothing has its default."""
    return make_results(
        {
            "words · model": (Role.EXPLAINER, (_words(), _refused())),
            RowKey("table", "lookup"): (Role.CEILING, (_table(),)),
        },
        task=TaskInfo("mini-v1", "feedface", 24, (A, B), {"L0N5": "early"}),
        explainers=(
            ExplainerInfo("words · model", "words", "model", Role.EXPLAINER, MODEL, "v1", 2, "c1"),
            ExplainerInfo("table", "table", "", Role.CEILING),
        ),
        scorers=(ScorerInfo("panel", headings=(Heading("correlation", "corr", "correlation", True),)),),
        seed=7,
        minimum_coverage=0.5,
        config={"task": {"name": "mini-v1"}, "places": [1, 2], "limit": None, "rate": 0.1, "on": True},
        provenance={"git": None, "packages": {"numpy": "2.0"}},
        seconds={"explain": 1.25},
        usage={"explain": StageUsage(Usage(2, 0, 10, 1, 0.5), Usage(1, 1, 5, 1, 0.25))},
    )


def read_back(results: Results) -> Results:
    """Results as a run gives them back: of texts what UTF-8 can hold, and not how many replies the store had."""

    def from_tables(item: ScoredExplanation) -> ScoredExplanation:
        explanation = item.explanation
        candidates = tuple(replace(candidate, text=utf8(candidate.text)) for candidate in explanation.candidates)
        explanation = replace(
            explanation,
            text=utf8(explanation.text),
            shown=tuple(map(utf8, explanation.shown)),
            candidates=candidates,
            usage=replace(explanation.usage, stored=0),
        )
        return replace(item, explanation=explanation)

    rows = tuple(replace(row, scored=tuple(map(from_tables, row.scored))) for row in compact(results).rows)
    return replace(results, rows=rows)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------------------------------------------------- round trip


def test_a_run_is_read_back_as_it_was_written(tmp_path: Path, results: Results) -> None:
    folder = write_run(tmp_path / "runs", results, "# Board\n")
    assert folder == tmp_path / "runs" / "mini-v1-0123456789ab"
    assert read_run(folder) == read_back(results)
    assert (folder / "board.md").read_text() == "# Board\n"
    tables = ("explanations.parquet", "simulations.parquet", "judgements.parquet", "scores.parquet")
    assert sorted(_files(folder)) == sorted(["results.json", "board.md", *tables])


def test_a_run_of_puzzles_is_read_back_too(tmp_path: Path, puzzle_results: Make) -> None:
    results = puzzle_results()
    folder = write_run(tmp_path / "runs", results, "# Board\n")
    assert folder.name == "puzzles-v1-feedfacecafe"
    read = read_run(folder)
    assert read.rows == compact(results).rows
    assert read.subject is None
    assert read.standings == results.standings
    assert read.truths[0].metrics == results.truths[0].metrics
    assert math.isnan(read.truths[0].calibration_error)
    assert [unit.name for unit in read.task.units] == ["pets", "ing"]


def test_compact_leaves_out_what_stands_in_tables_and_nothing_else(results: Results) -> None:
    bent = replace(results.rows[0], scored=(replace(results.rows[0].scored[0], calibration=BENT),))
    small = compact(replace(results, rows=(bent, results.rows[1])))
    words, table = (row.scored[0] for row in small.rows)
    assert (words.simulated, words.judged, table.explanation.table) == ((), (), None)
    assert words.calibration == Calibration(method=CalibrationMethod.ISOTONIC)
    assert words.explanation == results.rows[0].scored[0].explanation
    assert words.scores == results.rows[0].scored[0].scores
    assert [row.summary for row in small.rows] == [row.summary for row in results.rows]
    assert replace(small, rows=results.rows) == results


def test_rows_name_their_explainer_and_simulator(results: Results) -> None:
    assert list(results.scored) == [RowKey("words · model", "all_at_once"), RowKey("table", "lookup")]
    assert results.simulator.name == "all_at_once"


def test_told_rows_are_no_part_of_the_board(puzzle_results: Make) -> None:
    results = puzzle_results()
    assert [row.explainer for row in results.summaries] == ["max_activation", "shuffled", "token_lookup"]
    assert RowKey("true", "chance") in results.scored


def test_nan_is_null_in_strict_json(tmp_path: Path, results: Results) -> None:
    folder = write_run(tmp_path, results, "")
    text = (folder / "results.json").read_text()
    document = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert document["schema_version"] == SCHEMA_VERSION
    assert document["rows"][0]["summary"]["metrics"]["correlation"]["low"] is None
    assert document["task"]["units"] == ["L0N5", "L3N1"]
    assert math.isnan(read_run(folder).rows[0].summary.metrics["correlation"].high)


def test_a_run_answered_by_the_store_has_the_same_tables(tmp_path: Path, results: Results) -> None:
    def stored(item: ScoredExplanation) -> ScoredExplanation:
        usage = replace(item.explanation.usage, stored=item.explanation.usage.requests)
        return replace(item, explanation=replace(item.explanation, usage=usage))

    rows = tuple(replace(row, scored=tuple(map(stored, row.scored))) for row in results.rows)
    first = _files(write_run(tmp_path / "a", results, "x"))
    second = _files(write_run(tmp_path / "b", replace(results, rows=rows, seconds={}), "x"))
    assert {name for name in first if first[name] != second[name]} == {"results.json"}


# ------------------------------------------------------------------------------------------------- whole or not at all


def test_latest_points_to_the_newest_and_writers_add_files(tmp_path: Path, results: Results) -> None:
    def dataset(folder: Path) -> None:
        (folder / "dataset").mkdir()
        (folder / "dataset" / "card.md").write_text("card")

    first = write_run(tmp_path, results, "one", [dataset])
    assert (first / "dataset" / "card.md").read_text() == "card"
    other = write_run(tmp_path, replace(results, run_id="ffff"), "two")
    assert (tmp_path / "latest").resolve() == other
    assert (tmp_path / "latest").readlink() == Path(other.name)  # relative: the folder of runs may be moved
    write_run(tmp_path, results, "three")
    assert (tmp_path / "latest" / "board.md").read_text() == "three"
    assert not (first / "dataset").exists()  # replaced, not merged
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", first.name, other.name]


def _full(folder: Path) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def test_a_full_disk_is_one_sentence_and_leaves_the_old_run(
    tmp_path: Path, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_run(tmp_path, results, "old")
    before = _files(folder)
    with pytest.raises(NeuroglossError, match=r"cannot be written to .*No space left.*free some space"):
        write_run(tmp_path, results, "new", [_full])
    monkeypatch.setattr(os, "fsync", _full)
    with pytest.raises(NeuroglossError, match="No space left"):
        write_run(tmp_path, results, "new")
    assert _files(folder) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", folder.name]


def test_any_failure_of_a_writer_leaves_nothing(tmp_path: Path, results: Results) -> None:
    def broken(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        write_run(tmp_path, results, "new", [broken])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path, results: Results) -> None:
    (tmp_path / "runs").write_text("a file stands here")
    with pytest.raises(NeuroglossError, match="output=FOLDER"):
        write_run(tmp_path / "runs", results, "")


def _hang(folder: Path) -> None:
    (folder / "half").write_text("half")
    time.sleep(60)


@pytest.mark.parametrize("there_before", [False, True])
def test_killed_while_writing_then_written_again(tmp_path: Path, results: Results, there_before: bool) -> None:
    if there_before:
        write_run(tmp_path, results, "old")
    # fork: the child needs nothing but this module, and is killed before it does anything else.
    writer = multiprocessing.get_context("fork").Process(target=write_run, args=(tmp_path, results, "lost", [_hang]))
    writer.start()
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob(".*.tmp/half")) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert writer.pid is not None
    concurrent = write_run(tmp_path, results, "beside it")  # does not disturb the other writer
    assert list(tmp_path.glob(".*.tmp/half"))
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    assert (concurrent / "board.md").read_text() == "beside it"
    folder = write_run(tmp_path, results, "again")
    assert (folder / "board.md").read_text() == "again"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", folder.name]


def test_killed_between_the_renames_nothing_is_lost(tmp_path: Path, results: Results) -> None:
    folder = write_run(tmp_path, results, "old")
    aside = files.set_aside(folder)
    folder.rename(aside)  # what a kill leaves after the first rename
    assert read_run(folder) == read_back(results)
    write_run(tmp_path, replace(results, seed=8), "new")
    assert read_run(folder).seed == 8
    folder.rename(aside)
    write_run(tmp_path, results, "newer")
    assert not aside.exists()


# ----------------------------------------------------------------------------------------------------------- bad files


def _spoil(folder: Path, change: Any) -> None:
    path = folder / "results.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: run.update(schema_version=99), "schema version 99, but this version reads 2"),
        (lambda run: run.pop("schema_version"), "schema version None"),
        (lambda run: run.pop("subject"), "lacks subject"),
        (lambda run: run["task"].pop("digest"), r"\.task lacks digest"),
        (
            lambda run: run["rows"][0]["summary"].update(scored="two"),
            r"rows\[0\]\.summary\.scored is 'two', not a whole number",
        ),
        (lambda run: run["rows"][0]["summary"].update(scored=True), "scored is True, not a whole number"),
        (lambda run: run["rows"][0]["summary"].update(role="king"), "role is 'king'; it can be explainer, human"),
        (lambda run: run["task"].update(units=["5"]), "'5' is not a unit"),
        (lambda run: run["task"].update(units=["0:5"]), r"units\[0\] is '0:5'; write L0N5"),
        (lambda run: run["task"].update(units="L0N5"), "not a list"),
        (lambda run: run.update(seconds={"explain": "fast"}), "seconds.explain is 'fast', not a number"),
        (lambda run: run.update(rows={}), r"rows is \{\}, not a list"),
    ],
)
def test_a_damaged_run_is_refused_with_the_place(tmp_path: Path, results: Results, change: Any, message: str) -> None:
    folder = write_run(tmp_path, results, "")
    _spoil(folder, change)
    with pytest.raises(NeuroglossError, match=message):
        read_run(folder)


def test_unknown_keys_are_passed_over(tmp_path: Path, results: Results) -> None:
    folder = write_run(tmp_path, results, "")
    _spoil(folder, lambda run: (run.update(later=1), run["task"].update(later=1)))
    assert read_run(folder) == read_back(results)


@pytest.mark.parametrize("text", ["", "{", '{"a": NaN}', "[1]", "\udcff", "[" * 100_000])
def test_what_is_not_json_is_refused(tmp_path: Path, results: Results, text: str) -> None:
    folder = write_run(tmp_path, results, "")
    (folder / "results.json").write_text(text, errors="surrogateescape")
    with pytest.raises(NeuroglossError, match=r"results\.json"):
        read_run(folder)


@pytest.mark.parametrize("name", ["results.json", *TABLES])
def test_a_run_without_one_of_its_files_is_refused(tmp_path: Path, results: Results, name: str) -> None:
    folder = write_run(tmp_path, results, "")
    (folder / name).unlink()
    with pytest.raises(NeuroglossError, match=f"{name} is missing"):
        read_run(folder)
    with pytest.raises(NeuroglossError, match=r"not a whole run: results\.json"):
        read_run(tmp_path / "nowhere")


@pytest.mark.parametrize("value", [math.inf, {1, 2}, Path("x"), b"x"])
def test_what_json_cannot_hold_is_refused_by_name(tmp_path: Path, results: Results, value: object) -> None:
    with pytest.raises(NeuroglossError, match=r"results\.config\.a\[1\] is .*cannot be written"):
        write_run(tmp_path, replace(results, config={"a": [0, value]}), "")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------ failures and reports


def test_a_failure_leaves_a_record_that_success_removes(tmp_path: Path, results: Results) -> None:
    path = write_failure(tmp_path, results.run_id, "the wheel is missing.", results.config)
    assert path == failure_path(tmp_path, results.run_id)
    record = json.loads(path.read_text())
    assert (record["run_id"], record["sentence"]) == (results.run_id, "the wheel is missing.")
    assert record["config"] == results.config
    other = write_failure(tmp_path, "ffff", "no.", {})
    write_run(tmp_path, results, "")
    assert not path.exists()
    assert other.exists()


def test_a_report_is_added_to_a_folder_and_a_disk_that_is_full_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report(tmp_path / "new", "audit", {"a": 1}, "# Audit \ud800\n")
    assert json.loads((tmp_path / "new" / "audit.json").read_text()) == {"a": 1}
    assert (tmp_path / "new" / "audit.md").read_text() == "# Audit ?\n"
    monkeypatch.setattr(os, "fsync", _full)
    with pytest.raises(NeuroglossError, match="No space left"):
        write_report(tmp_path / "new", "audit", {"a": 2}, "")
    assert json.loads((tmp_path / "new" / "audit.json").read_text()) == {"a": 1}


def test_a_run_that_takes_the_place_of_another_keeps_what_others_put_there(
    tmp_path: Path, make_results: Callable[..., Results]
) -> None:
    folder = write_run(tmp_path, make_results(), "first")
    (folder / "notes.txt").write_text("mine")
    (folder / "plots" / "deep").mkdir(parents=True)
    (folder / "plots" / "deep" / "x.svg").write_text("mine")
    (folder / "audit.md").write_text("of the earlier results")
    assert write_run(tmp_path, make_results(), "second") == folder
    assert (folder / "board.md").read_text() == "second"
    assert (folder / "notes.txt").read_text() == (folder / "plots" / "deep" / "x.svg").read_text() == "mine"
    assert not (folder / "audit.md").exists()
