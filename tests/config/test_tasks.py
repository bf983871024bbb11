from __future__ import annotations

from pathlib import Path

import pytest

from harness.config.compose import composed
from harness.config.tasks import task_options
from harness.types import NeuroglossError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with tasks of three kinds."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("mine-v1", "name: mine-v1\n"), ("riddles-v1", "kind: puzzles\n"), ("odd-v1", "kind: later\n")):
        _freeze(tmp_path, name, text)
    return tmp_path


def _freeze(folder: Path, name: str, text: str) -> None:
    place = folder / "tasks" / name
    place.mkdir(parents=True)
    (place / "task.yaml").write_text(text)


def test_a_task_of_ones_own_is_run_by_its_name(folder: Path) -> None:
    task = composed("run", ["task=mine-v1"]).task
    assert (task.name, task.path, task.minimum_count) == ("mine-v1", None, 3)
    assert not task.scores


def test_puzzles_of_ones_own_bring_what_their_kind_needs(folder: Path) -> None:
    task = composed("run", ["task=riddles-v1", "task.limit=3"]).task
    assert (task.name, task.path, task.minimum_count, task.limit) == ("riddles-v1", None, 1, 3)
    assert list(task.controls) == ["token_overlap", "chance"]
    assert list(task.scores) == ["truths"]


def test_the_kind_of_a_task_is_judged_when_it_is_read(folder: Path) -> None:
    assert composed("run", ["task=odd-v1"]).task.name == "odd-v1"
    (folder / "tasks" / "odd-v1" / "task.yaml").write_bytes(b"\xff: [")
    assert composed("run", ["task=odd-v1"]).task.name == "odd-v1"


def test_tasks_are_among_the_options_while_they_are_there(folder: Path) -> None:
    with pytest.raises(NeuroglossError) as refusal:
        composed("run", ["task=nothing-v1"])
    names = "mine-v1, odd-v1, puzzles, puzzles-away-v1, puzzles-v1, riddles-v1, smollm2-v2"
    assert f"there are: {names}." in str(refusal.value)
    (folder / "tasks" / "mine-v1" / "task.yaml").unlink()
    with pytest.raises(NeuroglossError, match="there is no task called mine-v1"):
        composed("run", ["task=mine-v1"])


@pytest.mark.parametrize(
    ("use", "unit"),
    [
        ("unit/neuron_side", {"use": "unit/neuron_side", "side": "+-"}),
        ("unit/head", {"use": "unit/head"}),
        ("unit/latent", {"use": "unit/neuron"}),  # a file defines them, and a task names no file
        ("${oc.env:HOME}", {"use": "unit/neuron"}),
        ("[unit/head]", {"use": "unit/neuron"}),
    ],
)
def test_the_kind_of_units_comes_with_the_task_where_the_model_defines_it(
    folder: Path, use: str, unit: dict[str, str]
) -> None:
    _freeze(folder, "sides-v1", f"name: sides-v1\nmade: {{config: {{subject: {{unit: {{use: '{use}'}}}}}}}}\n")
    assert composed("run", ["task=sides-v1"]).subject.unit == unit
    assert composed("run", ["task=sides-v1", "unit=neuron"]).subject.unit == {"use": "unit/neuron"}


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("name: own-v1\n", "unit/neuron"),
        ("made: {config: {subject: {unit: {use: unit/head}}}}\n", "unit/head"),
        ("made: {config: {subject: {unit: {use: unit/latent}}}}\n", "unit/neuron_side"),  # as the default task
        ("kind: puzzles\n", "unit/neuron_side"),
        ("[", "unit/neuron_side"),
    ],
)
def test_a_task_that_is_named_by_its_folder_says_how_its_units_are_read(tmp_path: Path, text: str, unit: str) -> None:
    _freeze(tmp_path, "own-v1", text)
    path = f"task.path={tmp_path}/tasks/own-v1"
    assert composed("run", [path]).subject.unit.use == unit
    assert composed("run", ["task.name=own-v1", path, "unit=direction"]).subject.unit.use == "unit/direction"


def test_an_unfinished_task_is_none(folder: Path) -> None:
    _freeze(folder, ".half-v1.draft", "name: half-v1\n")
    (folder / "tasks" / "empty-v1").mkdir()
    assert set(task_options([])) >= {"mine-v1", "riddles-v1", "odd-v1", "puzzles-v1"}
    assert not {".half-v1.draft", "empty-v1"} & set(task_options([]))


@pytest.mark.slow
def test_a_name_that_ships_means_what_ships(folder: Path) -> None:
    _freeze(folder, "smollm2-v2", "kind: puzzles\n")
    _freeze(folder, "puzzles-v1", "name: puzzles-v1\n")
    assert not composed("run", ["task=smollm2-v2"]).task.scores
    assert list(composed("run", ["task=puzzles-v1"]).task.scores) == ["truths"]
    assert task_options([])["puzzles-v1"]["defaults"] == ["puzzles@task", "_self_"]


def test_a_file_of_conf_says_more_than_the_task(folder: Path) -> None:
    (folder / "conf" / "task").mkdir(parents=True)
    (folder / "conf" / "task" / "mine-v1.yaml").write_text("name: mine-v1\nminimum_count: 2\n")
    assert composed("run", ["task=mine-v1"], [folder / "conf"]).task.minimum_count == 2
    assert composed("run", ["task=mine-v1"]).task.minimum_count == 3
