"""Entries are results of runs: what is left out of them, and what in them is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.config import registry
from harness.files import REPOSITORY
from harness.leaderboard import entries, pages
from harness.results.run import Results, write_run
from harness.results.vocabulary import TaskInfo
from harness.types import (
    Explanation,
    Identity,
    NeuroglossError,
    Role,
    RowKey,
    ScoredExplanation,
    Scores,
    SimulatorInfo,
    Unit,
)

Make = Callable[..., Results]
Add = Callable[[Results], Path]
Change = Callable[[dict[str, Any]], object]
Command = Callable[..., tuple[int, str, str]]
DIGEST = "feedface" * 8
UNITS = tuple(Unit("N", layer, layer) for layer in range(24))
MODEL = Identity("org/simulator", "s1", dtype="float32", transport="prompt")
SIMULATOR = SimulatorInfo("all_at_once", MODEL, "prompt", 11, "v1")


# -------------------------------------------------------------------------------------------------------------- adding


def test_an_added_run_is_a_valid_entry(board: Path, add: Add, make_results: Make) -> None:
    results = make_results(run_id="aaaa")
    path = add(results)
    assert path == board / "entries" / "mini-v1" / "aaaa.json"
    entry = entries.validate(path)
    assert entry.rows == results.rows
    assert entry.rows[0].scored[-1].scores.values["correlation"] == pytest.approx(0.54)
    assert (entry.task, entry.simulators, entry.explainers) == (results.task, results.simulators, results.explainers)
    assert entry.provenance["packages"] == {}


def test_a_run_of_puzzles_is_a_valid_entry_too(board: Path, add: Add, puzzle_results: Make) -> None:
    path = add(puzzle_results())
    assert path == board / "entries" / "puzzles-v1" / "feedfacecafe.json"
    assert [info.name for info in entries.validate(path).simulators] == ["oracle", "token_overlap", "chance"]
    assert add(puzzle_results()) == path


def test_an_entry_has_no_config_no_times_and_no_people(add: Add, make_results: Make) -> None:
    scored = [
        ScoredExplanation(Explanation(unit, "words", annotator=name), "", (), None, Scores({"correlation": 0.5}))
        for unit in UNITS
        for name in ("Zoe Zander", "Ann")
    ]
    results = make_results(
        {"people": (Role.HUMAN, scored)},
        config={"human": {"annotator": "Zoe Zander"}},
        seconds={"explain": 1.0},
        provenance={"neurogloss": "0.1.0", "python": "3", "packages": {}, "git": None, "overrides": ["a=Zoe Zander"]},
    )
    path = add(results)
    assert "Zander" not in path.read_text()
    entry = entries.validate(path)
    assert [item.explanation.annotator for item in entry.rows[0].scored[:3]] == [
        "annotator 1",
        "annotator 2",
        "annotator 1",
    ]
    assert dict(entry.config) == {"calibration": {}, "scores": {}}
    assert (dict(entry.seconds), entry.standings) == ({}, ())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": TaskInfo("mini-v1", "", 24, UNITS)}, "task digest is empty"),
        ({"task": TaskInfo("mini-v1", DIGEST, 100, UNITS)}, "covers 24 of the task's 100 units; at least 90%"),
        ({"provenance": {}}, "does not give 'neurogloss'"),
        ({"provenance": {"neurogloss": "unknown", "python": "3", "packages": {}, "git": None}}, "give 'neurogloss'"),
        ({"subject": Identity("org/subject", "")}, "subject revision is empty"),
        ({"subject": None}, "its subject is empty"),
        ({"simulators": (replace(SIMULATOR, identity=Identity("m", "")),)}, "revision of simulator 'all_at_once' is"),
        ({"simulators": (replace(SIMULATOR, transport=""),)}, "transport of simulator 'all_at_once' is empty"),
        ({"simulators": (replace(SIMULATOR, control=True),)}, "no simulator, but for controls"),
        ({"simulators": (SIMULATOR, SIMULATOR)}, "two simulators of one name"),
        ({"simulators": (SIMULATOR, SimulatorInfo("lookup"))}, "one that is named lookup"),
        ({"run_id": ""}, "run id is empty"),
    ],
)
def test_a_run_that_cannot_be_compared_is_refused(
    board: Path, add: Add, make_results: Make, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(NeuroglossError, match=message):
        add(make_results(**changes))
    assert not board.exists()


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (TaskInfo("mini-v1", "edited", 24, UNITS), "digest edited, which is another one here"),
        (TaskInfo("other-v1", DIGEST, 24, UNITS), "'other-v1' .* which is unknown here"),
    ],
)
def test_only_a_task_as_it_was_frozen_is_taken(
    tmp_path: Path, board: Path, make_results: Make, task: TaskInfo, message: str
) -> None:
    folder = write_run(tmp_path / "runs", make_results(task=task), "")
    with pytest.raises(NeuroglossError, match=message):
        entries.add(folder, board, {"mini-v1": DIGEST})
    assert not board.exists()


def test_what_is_no_run_is_said_to_be_none(tmp_path: Path, board: Path) -> None:
    with pytest.raises(NeuroglossError, match="nowhere is not a whole run"):
        entries.add(tmp_path / "nowhere", board, {"mini-v1": DIGEST})


def test_a_run_of_some_of_the_puzzles_is_refused(add: Add, puzzle_results: Make) -> None:
    results = puzzle_results()
    with pytest.raises(NeuroglossError, match="covers 2 of the task's 3 units; at least 100%"):
        add(replace(results, task=replace(results.task, size=3)))


@pytest.mark.slow
def test_a_leaderboard_of_ones_own_takes_tasks_of_ones_own(
    tmp_path: Path, tiny_task: Path, small: list[str], neurogloss: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, _, error = neurogloss("run", "explainer=[max_activation,shuffled]", *small)
    assert status == 0, error
    run = str(tmp_path / "runs" / "latest")
    monkeypatch.chdir(tmp_path)
    status, _, error = neurogloss("leaderboard", "add", run, "--root", "mine")
    assert (status, "is unknown here" in error) == (2, True)
    shutil.copytree(tiny_task, tmp_path / "tasks" / tiny_task.name)  # where `collect` leaves it
    status, output, error = neurogloss("leaderboard", "add", run, "--root", "mine")
    assert status == 0, error
    assert "neurogloss leaderboard build --root mine" in output
    assert neurogloss("leaderboard", "build", "--root", "mine")[0] == 0
    assert f"## {tiny_task.name}, simulated by token" in (tmp_path / "mine" / "README.md").read_text()
    status, _, error = neurogloss("leaderboard", "add", run, "--root", str(REPOSITORY / "leaderboard"))
    assert (status, "is unknown here" in error) == (2, True)


def test_untrusted_names_stay_inside_the_entries(board: Path, add: Add, make_results: Make) -> None:
    path = add(make_results(run_id="../../x", task=TaskInfo("../evil", DIGEST, 24, UNITS)))
    assert path.resolve().is_relative_to((board / "entries").resolve())
    entries.validate(path)


# ---------------------------------------------------------------------------------------------------------- validating


def _spoil(path: Path, change: Change) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def _row(entry: dict[str, Any], explainer: str, simulator: str = "") -> dict[str, Any]:
    """The first row of an explainer, or the one by a simulator."""
    return next(
        row
        for row in entry["rows"]
        if row["summary"]["explainer"] == explainer and simulator in ("", row["summary"]["simulator"])
    )


def _metrics(entry: dict[str, Any], explainer: str) -> Any:
    return _row(entry, explainer)["summary"]["metrics"]


def _scores(entry: dict[str, Any], explainer: str, place: int = 0, simulator: str = "") -> Any:
    return _row(entry, explainer, simulator)["scored"][place]["scores"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entry: entry.update(schema_version=1), "schema version 1, but this version reads 2"),
        (lambda entry: entry.pop("subject"), "lacks subject"),
        (lambda entry: entry["rows"][0].update(scored={}), r"rows\[0\]\.scored is \{\}, not a list"),
        (lambda entry: entry.update(run_id="bbbb"), "belongs at mini-v1/bbbb.json"),
        (
            lambda entry: _metrics(entry, "bad")["correlation"].update(mean=0.99, low=0.98, high=1.0),
            "'bad' by 'all_at_once' has the mean 0.990 of correlation and an interval that its scores cannot have",
        ),
        (lambda entry: _metrics(entry, "bad")["correlation"].update(high=0.9), "an interval that its scores cannot"),
        (lambda entry: _metrics(entry, "bad")["correlation"].update(units=23), "an interval that its scores cannot"),
        (lambda entry: _metrics(entry, "bad").clear(), "has the mean none of correlation"),
        (lambda entry: _metrics(entry, "bad").update(ablation=_metrics(entry, "bad")["correlation"]), "of ablation"),
        (lambda entry: _scores(entry, "bad")["values"].update(correlation=1.5), "correlation of 1.5 on L0N0"),
        (lambda entry: _scores(entry, "bad")["values"].update(correlation=None), "correlation of nan on L0N0"),
        (lambda entry: _scores(entry, "bad")["values"].update(auroc_top=-0.5), "auroc_top of -0.5 on L0N0"),
        (lambda entry: _scores(entry, "bad")["values"].update(detection_auroc=2.0), "detection_auroc of 2 on L0N0"),
        (lambda entry: _scores(entry, "bad")["values"].update(spearman=0.5), "has the mean none of spearman"),
        (lambda entry: _scores(entry, "bad")["values"].clear(), "counts its scored wrongly"),
        (lambda entry: _scores(entry, "bad")["degenerate"].append("correlation"), "counts its degenerate wrongly"),
        (lambda entry: _scores(entry, "bad").update(missing_tokens=9), "counts its missing_tokens wrongly"),
        (lambda entry: _scores(entry, "bad").update(judgements=9), "counts its judgements wrongly"),
        (lambda entry: _row(entry, "bad")["summary"].update(outcomes={"ok": 23}), "counts its outcomes wrongly"),
        (lambda entry: _row(entry, "bad")["summary"].update(units=48), "counts its units wrongly"),
        (lambda entry: _row(entry, "bad")["scored"].pop(), "has explanations of 23 units, and 24 were asked for"),
        (lambda entry: _row(entry, "bad")["scored"][0]["explanation"].update(unit="L99N9"), "unit that was not asked"),
        (lambda entry: _row(entry, "bad")["scored"][0]["explanation"].update(unit="0:0"), "write L0N0"),
        (lambda entry: _row(entry, "bad")["scored"][0]["explanation"].update(explainer="x"), "explanations of another"),
        (lambda entry: _row(entry, "bad")["scored"][0].update(simulator="x"), "explanations of another"),
        (lambda entry: _row(entry, "bad")["summary"].update(simulator="x"), "is by no simulator of this run"),
        (lambda entry: entry["explainers"][1].update(role="human"), "is of another role than its explainer"),
        (lambda entry: _row(entry, "bad")["summary"].update(explainer="x"), "a row without an explainer"),
        (lambda entry: entry["rows"].pop(), "an explainer without a row"),
        (lambda entry: entry["rows"].append(entry["rows"][0]), "no row, or two of one explainer and simulator"),
        (lambda entry: entry["explainers"].append(entry["explainers"][0]), "two explainers of one name"),
        (lambda entry: entry.update(rows=[], explainers=[]), "it has no row"),
        (lambda entry: entry.update(simulators=[]), "it has no simulator"),
        (lambda entry: entry["task"].update(units=["L0N0"] * 24), "names a unit twice"),
        (lambda entry: entry["task"].update(size=23), "or more than the task has"),
        (lambda entry: entry["provenance"].pop("git"), "does not give 'git'"),
    ],
)
def test_a_wrong_entry_is_refused_and_nothing_is_built(
    board: Path, add: Add, make_results: Make, change: Change, message: str
) -> None:
    path = add(make_results(run_id="aaaa"))
    _spoil(path, change)
    with pytest.raises(NeuroglossError, match=message):
        entries.validate(path)
    with pytest.raises(NeuroglossError, match=message):
        pages.build(board, pages.read(board))
    assert not (board / "README.md").exists()


def _truth(entry: dict[str, Any], place: int = 0) -> Any:
    """A summary of the first simulator over known truths: of all units, or of a category."""
    return entry["truths"][place]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entry: _truth(entry)["metrics"]["correlation"].update(mean=0.5), "'oracle' has a mean of correlation"),
        (lambda entry: _truth(entry)["metrics"]["beats_near"].update(mean=0.5), "'oracle' has a mean of beats_near"),
        (lambda entry: _truth(entry)["metrics"].pop("auroc"), "'oracle' has a mean of auroc"),
        (lambda entry: _truth(entry).update(calibration_error=0.0), "'oracle' has another calibration error"),
        (lambda entry: _truth(entry).update(scored=1), "'oracle' counts its units or tokens wrongly"),
        (lambda entry: _truth(entry).update(missing_tokens=1), "'oracle' counts its units or tokens wrongly"),
        (lambda entry: _truth(entry, 1)["metrics"]["margin"].update(mean=0.1), "'oracle' has a mean of margin"),
        (lambda entry: entry["truths"].pop(1), "'oracle' has summaries of other categories"),
        (lambda entry: entry.update(truths=[]), "'oracle' has summaries of other categories"),
        (lambda entry: entry["truths"].append({**_truth(entry), "simulator": "x"}), "summary of no simulator"),
        (lambda entry: _row(entry, "true")["scored"].reverse(), "'true' by 'oracle' has not one true explanation of"),
        (
            lambda entry: _row(entry, "true")["scored"].append(_row(entry, "true")["scored"][0]),
            "'true' by 'oracle' has not one true explanation of each unit",
        ),
        (lambda entry: _scores(entry, "true")["values"].update(correlation=-1.5), "correlation of -1.5 on puzzle:pets"),
        (lambda entry: _scores(entry, "true")["values"].update(auroc=1.5), "auroc of 1.5 on puzzle:pets"),
        (lambda entry: _scores(entry, "near")["values"].update(correlation=0.5), "has the mean 0.000 of correlation"),
        (
            lambda entry: _scores(entry, "max_activation")["values"].update(difference=0.1),
            "another difference from the truth on puzzle:pets",
        ),
        (
            lambda entry: _row(entry, "near")["scored"][0]["explanation"].update(text="easy"),
            "not every simulator was told the same 'near' explanations",
        ),
        (
            lambda entry: entry["rows"].remove(_row(entry, "near", "oracle")),
            "not every simulator was told the same 'near' explanations",
        ),
        (
            lambda entry: entry.update(
                rows=[row for row in entry["rows"] if row["summary"]["explainer"] != "true"],
                explainers=[info for info in entry["explainers"] if info["name"] != "true"],
            ),
            "it has no true explanations",
        ),
    ],
)
def test_a_boast_about_a_simulator_is_refused(add: Add, puzzle_results: Make, change: Change, message: str) -> None:
    path = add(puzzle_results())
    _spoil(path, change)
    with pytest.raises(NeuroglossError, match=message):
        entries.validate(path)


def test_explanations_that_come_with_units_have_the_names_of_their_kinds(add: Add, puzzle_results: Make) -> None:
    path = add(puzzle_results())
    path.write_text(path.read_text().replace('"near"', '"easy"'))
    with pytest.raises(NeuroglossError, match="named otherwise than explanations that come with units: true, near"):
        entries.validate(path)


def test_a_mean_over_too_few_puzzles_is_refused(add: Add, puzzle_results: Make) -> None:
    """A simulator that leaves its worst puzzle out, together with its controls, is still refused."""
    path = add(puzzle_results())

    def leave_out(entry: dict[str, Any]) -> None:
        for row in entry["rows"]:
            row["scored"] = [item for item in row["scored"] if item["explanation"]["unit"] != "puzzle:ing"]
        entry["task"]["units"].remove("puzzle:ing")

    _spoil(path, leave_out)
    with pytest.raises(NeuroglossError, match="covers 1 of the task's 2 units; at least 100%"):
        entries.validate(path)


def test_an_entry_stands_under_its_own_name(add: Add, puzzle_results: Make) -> None:
    path = add(puzzle_results())
    with pytest.raises(NeuroglossError, match=r"belongs at puzzles-v1/feedfacecafe\.json"):
        entries.validate(path.rename(path.with_name("better.json")))


def test_a_lookup_and_several_explanations_of_a_unit_are_no_contradiction(add: Add, make_results: Make) -> None:
    scored = [
        ScoredExplanation(Explanation(unit, f"{word}"), "", (), None, Scores({"correlation": value}))
        for unit in UNITS
        for word, value in (("tea", 0.25), ("cups", 0.75))
    ]
    entry = entries.validate(
        add(make_results({"people": (Role.HUMAN, scored), RowKey("table", "lookup"): (Role.CEILING, 0.5)}))
    )
    assert entry.rows[0].summary.metrics["correlation"].mean == 0.5


# ------------------------------------------------------------------------------------------- what an entry cannot say


KNOWN = entries.KnownTask(DIGEST, frozenset(UNITS), "r1")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": TaskInfo("mini-v1", "0" * 64, 24, UNITS)}, "another digest here, feedfacefeed"),
        ({"task": TaskInfo("mini-v1", DIGEST, 22, UNITS[:22])}, "22 units, and that has 24"),
        ({"task": TaskInfo("mini-v1", DIGEST, 24, (*UNITS[:23], Unit("N", 99, 9)))}, "a unit that its task has not"),
        ({"task": TaskInfo("mini-v1", DIGEST, 24, UNITS, {str(UNITS[0]): "easy"})}, "another category"),
        ({"subject": Identity("org/subject", "r2")}, "another model than its task's"),
    ],
)
def test_of_a_task_an_entry_says_nothing_that_the_task_does_not(
    make_results: Make, changes: dict[str, Any], message: str
) -> None:
    results = make_results(**changes)
    entries.check(make_results(), "x", lambda name: KNOWN)
    entries.check(make_results(), "x", lambda name: None)
    with pytest.raises(NeuroglossError, match=message):
        entries.check(results, "x", lambda name: KNOWN)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x" * 61, "has more than 60 characters"),
        ("a\x1b[2Jb", "cannot be printed"),
        ("a\u202eb", "cannot be printed"),
        ("a\u200bb", "cannot be printed"),
        ("\u0430bc", "mixes CYRILLIC and LATIN letters"),
    ],
)
def test_names_are_printable_short_and_of_one_script(make_results: Make, name: str, message: str) -> None:
    with pytest.raises(NeuroglossError, match=message) as refusal:
        entries.check(make_results({name: (Role.EXPLAINER, 0.5)}), "x")
    assert str(refusal.value).isprintable()
    for fine in ("x" * 60, "значение", "説明", "method · model-1.5 (größer)"):
        entries.check(make_results({fine: (Role.EXPLAINER, 0.5)}), "x")


def test_a_control_of_ours_is_no_explainer(make_results: Make) -> None:
    with pytest.raises(NeuroglossError, match="it has shuffled, a control, in the role of explainer"):
        entries.check(make_results({"shuffled": (Role.EXPLAINER, 0.5)}), "x")


def test_roles_of_controls_are_those_of_their_classes() -> None:
    for method, roles in entries.CONTROLS.items():
        cls = registry.resolve(f"explainer/{method}", "x")
        role = getattr(cls, "role", None) or cls.__dataclass_fields__["role"].default
        assert str(role) in roles


def test_rows_and_bytes_are_capped(make_results: Make, add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    path = add(make_results())
    monkeypatch.setattr(entries, "MOST_ROWS", 2)
    with pytest.raises(NeuroglossError, match="too many rows"):
        entries.validate(path)
    monkeypatch.setattr(entries, "MOST_BYTES", 100)
    with pytest.raises(NeuroglossError, match="more than 100 bytes"):
        entries.validate(path)


def test_another_entry_is_never_replaced(make_results: Make, add: Add) -> None:
    path = add(make_results())
    content = path.read_bytes()
    assert add(make_results()) == path
    with pytest.raises(NeuroglossError, match="an entry is never replaced: remove that file first if it is yours"):
        add(make_results({"good · large": (Role.EXPLAINER, 0.9)}))
    assert path.read_bytes() == content
