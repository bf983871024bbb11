from __future__ import annotations

import dataclasses
import errno
import json
import math
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.markdown import Markdown

from harness import results as results_module
from harness.results import (
    ExplainerInfo,
    JudgeInfo,
    Results,
    SimulatorInfo,
    StageUsage,
    TaskInfo,
    compact,
    failure_path,
    figure,
    markdown,
    plain,
    read_run,
    safe_name,
    span,
    write_failure,
    write_run,
)
from harness.types import (
    Calibration,
    CalibrationMethod,
    Candidate,
    Comparison,
    Excerpt,
    ExcerptKind,
    Explanation,
    Identity,
    Interval,
    Judged,
    Judgement,
    NeuroglossError,
    NeuronId,
    Outcome,
    RankRange,
    Role,
    ScoredExplanation,
    Scores,
    SimulatedExcerpt,
    Simulation,
    Standing,
    Summary,
    TableKey,
    Usage,
)

A, B = NeuronId(0, 5), NeuronId(3, 1)
MODEL = Identity("org/model", "abc123", dtype="float32", transport="prompt")


def _words() -> ScoredExplanation:
    excerpt = Excerpt((" a", "\ufffd"), (1, 2), (0.5, 0.25), ExcerptKind.RANDOM, 12.5, "doc:7", 1)
    simulation = Simulation((math.nan, 3.0), mass=(0.0, 0.75), usage=Usage(requests=1, prompt_tokens=9))
    return ScoredExplanation(
        Explanation(A, "words", "ends in\ud800 \n 語", prompt_version="v1", usage=Usage(1, 1, 100, 5, 0.25)),
        (SimulatedExcerpt("valid", excerpt, simulation, (math.nan, 1.5)),),
        Calibration(0.5, 0.0, clipped=True),
        Scores({"correlation": 0.0, "abs_dev": 0.5}, ("correlation",), {"ablation": "not asked"}, 1, 1),
    )


def _table() -> ScoredExplanation:
    explanation = Explanation(A, "table", table={" a": 0.5, "b": 0.1}, default=0.01, table_key=TableKey.NEXT_TOKEN)
    return ScoredExplanation(explanation, (), None, Scores({"correlation": 0.5}))


def _refused() -> ScoredExplanation:
    candidates = (Candidate("no\ud800", Outcome.REFUSED), Candidate("", Outcome.EMPTY, 0.25))
    explanation = Explanation(B, "words", outcome=Outcome.REFUSED, candidates=candidates)
    return ScoredExplanation(explanation, (), None, Scores({}, (), {"correlation": "refused"}))


@pytest.fixture
def results() -> Results:
    return Results(
        run_id="0123456789abcdef",
        created="2025-01-02T03:04:05+00:00",
        task=TaskInfo("mini-v1", "feedface", 24, (A, B)),
        subject=MODEL,
        simulator=SimulatorInfo("all_at_once", MODEL, "prompt", 11, "all_at_once-v1"),
        explainers=(ExplainerInfo("words", Role.EXPLAINER, MODEL, "v1"), ExplainerInfo("table", Role.CEILING)),
        summaries=(
            Summary("words", Role.EXPLAINER, "all_at_once", {"correlation": Interval(0.1, 0.0, 0.25, 2)}, 2, 1),
            Summary("table", Role.CEILING, "lookup", {}, 2, 0, outcomes={"ok": 2}, explain_usage=Usage(3)),
        ),
        scored={"words": (_words(), _refused()), "table": (_table(),)},
        seed=7,
        config={"task": {"name": "mini-v1"}, "layers": [1, 2], "limit": None, "rate": 0.1, "on": True},
        provenance={"git": None, "packages": {"numpy": "2.0"}},
        seconds={"explain": 1.25},
        usage={"explain": StageUsage(Usage(2, 0, 10, 1, 0.5), Usage(1, 1, 5, 1, 0.25))},
    )


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------------------------------------------------- round trip


def test_a_run_is_read_back_as_it_was_written(tmp_path: Path, results: Results) -> None:
    folder = write_run(tmp_path / "runs", results, "# Board\n")
    assert folder == tmp_path / "runs" / "mini-v1-0123456789ab"
    assert read_run(folder) == compact(results)
    assert compact(results).scored["words"][0].explanation == results.scored["words"][0].explanation
    assert (folder / "board.md").read_text() == "# Board\n"
    assert sorted(_files(folder)) == sorted(
        ["results.json", "board.md", "explanations.parquet", "simulations.parquet", "scores.parquet"]
    )


def test_judgements_are_a_table_where_there_are_any(tmp_path: Path, results: Results) -> None:
    excerpt = Excerpt((" a", "\ud800"), (), (0.5, 0.25), ExcerptKind.TOP, source="doc:7")
    judged = (
        Judged("detection", excerpt, (), True, Judgement(0.25, usage=Usage(1))),
        Judged("fuzzing", excerpt, (1,), False, Judgement(math.nan, Outcome.REFUSED)),
    )
    scored = {"words": (dataclasses.replace(_words(), judged=judged), _refused()), "table": (_table(),)}
    found = dataclasses.replace(results, scored=scored, judges=(JudgeInfo("detection", MODEL, "detection-v1"),))
    folder = write_run(tmp_path / "runs", found, "# Board\n")
    assert read_run(folder) == compact(found)
    first, second = pq.read_table(folder / "judgements.parquet").to_pylist()
    assert (first["explainer"], first["neuron"], first["kind"], first["source"]) == ("words", "L0N5", "top", "doc:7")
    assert (first["judge"], first["marked"], first["truth"], first["probability"]) == ("detection", [], True, 0.25)
    assert (second["judge"], second["marked"], second["truth"], second["probability"]) == ("fuzzing", [1], False, None)
    assert (second["outcome"], second["tokens"]) == ("refused", [" a", "\ufffd"])


def test_the_standing_of_the_rows_is_kept_and_older_runs_have_none(tmp_path: Path, results: Results) -> None:
    difference = Interval(0.1, math.nan, math.nan, 1)
    standing = Standing(
        "correlation", False, {"words": RankRange(1, 2)}, (Comparison("words", "table", difference, 0.5, 1.0),)
    )
    folder = write_run(tmp_path, dataclasses.replace(results, standing=standing), "")
    assert read_run(folder).standing == standing
    document = json.loads((folder / "results.json").read_text())
    assert document["standing"]["comparisons"][0]["difference"]["low"] is None
    del document["standing"]  # as runs were written before there was one
    (folder / "results.json").write_text(json.dumps(document))
    assert read_run(folder).standing is None


def test_the_knots_of_a_calibration_are_in_its_table(tmp_path: Path, results: Results) -> None:
    bent = Calibration(method=CalibrationMethod.ISOTONIC, knots=((0.0, -0.5), (3.0, 2.5)))
    item = dataclasses.replace(results.scored["words"][0], calibration=bent)
    folder = write_run(tmp_path, dataclasses.replace(results, scored={**results.scored, "words": (item,)}), "")
    kept = read_run(folder).scored["words"][0].calibration
    assert kept == Calibration(method=CalibrationMethod.ISOTONIC)
    row = pq.read_table(folder / "explanations.parquet").to_pylist()[0]
    assert (row["calibration"], row["slope"], row["clipped"]) == ("isotonic", None, False)
    assert (row["knots_simulated"], row["knots_real"]) == ([0.0, 3.0], [-0.5, 2.5])


def test_nan_is_null_in_strict_json(tmp_path: Path, results: Results) -> None:
    undefined = dataclasses.replace(results.summaries[0], metrics={"correlation": Interval(0.1, math.nan, math.nan, 1)})
    folder = write_run(tmp_path, dataclasses.replace(results, summaries=(undefined,)), "")
    text = (folder / "results.json").read_text()
    document = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert document["schema_version"] == results_module.SCHEMA_VERSION
    assert document["summaries"][0]["metrics"]["correlation"]["low"] is None
    assert document["task"]["neurons"] == ["L0N5", "L3N1"]
    assert math.isnan(read_run(folder).summaries[0].metrics["correlation"].high)


def test_tables_hold_every_explanation_simulation_and_score(tmp_path: Path, results: Results) -> None:
    folder = write_run(tmp_path, results, "")
    explanations = pq.read_table(folder / "explanations.parquet").to_pylist()
    assert [(row["explainer"], row["neuron"], row["outcome"]) for row in explanations] == [
        ("words", "L0N5", "ok"),
        ("words", "L3N1", "refused"),
        ("table", "L0N5", "ok"),
    ]
    assert explanations[0]["text"] == "ends in\ufffd \n 語"
    assert (explanations[0]["slope"], explanations[0]["clipped"], explanations[2]["slope"]) == (0.5, True, None)
    assert (explanations[2]["table_tokens"], explanations[2]["table_values"]) == ([" a", "b"], [0.5, 0.1])
    assert [row["table_key"] for row in explanations] == [None, None, "next token"]
    assert explanations[0]["candidates"] == []
    assert explanations[1]["candidates"] == [
        {"text": "no\ufffd", "outcome": "refused", "score": None},
        {"text": "", "outcome": "empty", "score": 0.25},
    ]
    (simulation,) = pq.read_table(folder / "simulations.parquet").to_pylist()
    expected = {
        "explainer": "words",
        "neuron": "L0N5",
        "split": "valid",
        "kind": "random",
        "source": "doc:7",
        "weight": 12.5,
        "leading": 1,
        "tokens": [" a", "\ufffd"],
        "real": [0.5, 0.25],
        "simulated": [None, 3.0],
        "calibrated": [None, 1.5],
        "mass": [0.0, 0.75],
        "outcome": "ok",
    }
    assert expected.items() <= simulation.items()
    scores = pq.read_table(folder / "scores.parquet").to_pylist()
    found = [
        (row["explainer"], row["layer"], row["metric"], row["value"], row["degenerate"], row["reason"])
        for row in scores
    ]
    assert found == [
        ("words", 0, "correlation", 0.0, True, None),
        ("words", 0, "abs_dev", 0.5, False, None),
        ("words", 0, "ablation", None, False, "not asked"),
        ("words", 3, "correlation", None, False, "refused"),
        ("table", 0, "correlation", 0.5, False, None),
    ]


def test_a_run_answered_by_the_store_has_the_same_tables(tmp_path: Path, results: Results) -> None:
    def stored(item: ScoredExplanation) -> ScoredExplanation:
        usage = dataclasses.replace(item.explanation.usage, stored=item.explanation.usage.requests)
        return dataclasses.replace(item, explanation=dataclasses.replace(item.explanation, usage=usage))

    again = {name: tuple(map(stored, scored)) for name, scored in results.scored.items()}
    first = _files(write_run(tmp_path / "a", results, "x"))
    second = _files(write_run(tmp_path / "b", dataclasses.replace(results, scored=again, seconds={}), "x"))
    assert {name for name in first if first[name] != second[name]} == {"results.json"}


# ------------------------------------------------------------------------------------------------- whole or not at all


def test_latest_points_to_the_newest_and_writers_add_files(tmp_path: Path, results: Results) -> None:
    def dataset(folder: Path) -> None:
        (folder / "dataset").mkdir()
        (folder / "dataset" / "card.md").write_text("card")

    first = write_run(tmp_path, results, "one", [dataset])
    assert (first / "dataset" / "card.md").read_text() == "card"
    other = write_run(tmp_path, dataclasses.replace(results, run_id="ffff"), "two")
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
    aside = folder.with_name(f".{folder.name}.old")
    folder.rename(aside)  # what a kill leaves after the first rename
    assert read_run(folder) == compact(results)
    write_run(tmp_path, dataclasses.replace(results, seed=8), "new")
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
        (lambda run: run.update(schema_version=99), "schema version 99, but this version reads 1"),
        (lambda run: run.pop("schema_version"), "schema version None"),
        (lambda run: run.pop("subject"), "lacks subject"),
        (lambda run: run["task"].pop("digest"), r"\.task lacks digest"),
        (lambda run: run["summaries"][0].update(scored="two"), r"summaries\[0\]\.scored is 'two', not a whole number"),
        (lambda run: run["summaries"][0].update(scored=True), "scored is True, not a whole number"),
        (lambda run: run["summaries"][0].update(role="king"), "role is 'king'; it can be explainer, human"),
        (lambda run: run["task"].update(neurons=["5"]), "'5' is not a neuron"),
        (lambda run: run["task"].update(neurons=["0:5"]), r"neurons\[0\] is '0:5'; write L0N5"),
        (lambda run: run["task"].update(neurons="L0N5"), "not a list"),
        (lambda run: run.update(seconds={"explain": "fast"}), "seconds.explain is 'fast', not a number"),
        (lambda run: run.update(scored=[]), "scored is \\[\\], not a mapping"),
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
    assert read_run(folder) == compact(results)


@pytest.mark.parametrize("text", ["", "{", '{"a": NaN}', "[1]", "\udcff", "[" * 100_000])
def test_what_is_not_json_is_refused(tmp_path: Path, results: Results, text: str) -> None:
    folder = write_run(tmp_path, results, "")
    (folder / "results.json").write_text(text, errors="surrogateescape")
    with pytest.raises(NeuroglossError, match=r"results\.json"):
        read_run(folder)


@pytest.mark.parametrize("name", ["results.json", *results_module.TABLES])
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
        write_run(tmp_path, dataclasses.replace(results, config={"a": [0, value]}), "")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------------------ failures


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


# --------------------------------------------------------------------------------------------------- names and figures


@given(st.text())
def test_a_file_name_is_always_safe_and_never_shared(text: str) -> None:
    name = safe_name(text)
    assert name
    assert len(name) <= 80
    assert name[0] != "."
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert safe_name(name) == name
    assert safe_name(text + "/") != name


def test_an_ordinary_name_stays_as_it_is() -> None:
    assert safe_name("smollm2-mini-v1_0.2") == "smollm2-mini-v1_0.2"
    assert safe_name("../../etc/passwd").startswith("etc-passwd-")


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
    [(0.0, "0.000"), (-0.1234, "-0.123"), (-12.34, "-12.3"), (123456.0, "123456"), (-8e15, "-8e+15"), (math.nan, "–")],
)
def test_figures_fit_their_column(value: float, text: str) -> None:
    assert figure(value) == text
    assert len(text) <= 7


def test_an_interval_without_ends_is_a_dash() -> None:
    assert span(Interval(0.5, math.nan, math.nan, 1)) == "–"
    assert span(Interval(0.5, -0.25, 0.75, 9)) == "-0.250 to 0.750"
