"""Puzzles by the command, from the source to the leaderboard and to boards of explainers, with the scripted model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import cli, puzzle_results, tasks, trust
from harness.puzzles import task as puzzle_task

Command = Callable[..., tuple[int, str, str]]
EXPLAINERS = "explainer=[max_activation,shuffled,token_lookup]"


@pytest.fixture
def neurogloss(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, puzzle_source: Path, tmp_path: Path
) -> Command:
    """Runs the command in this process, where the only task is that of the two puzzles."""
    root = tmp_path / "tasks"
    root.mkdir()
    puzzle_source.rename(root / "puzzles-v1")
    monkeypatch.setattr(tasks, "tasks_folder", lambda: root)
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    return command


@pytest.fixture
def frozen(neurogloss: Command, tmp_path: Path) -> Path:
    status, _, err = neurogloss("tasks", "rebuild", "puzzles-v1")
    assert status == 0, err
    return tmp_path / "tasks" / "puzzles-v1"


def test_a_source_is_frozen_once_and_then_compared(neurogloss: Command, tmp_path: Path) -> None:
    status, out, _ = neurogloss("tasks", "rebuild", "puzzles-v1")
    digest = tasks.read(tmp_path / "tasks" / "puzzles-v1").digest
    assert status == 0
    assert f"written, digest {digest}" in out
    status, out, _ = neurogloss("tasks", "rebuild", "puzzles-v1")
    assert (status, out) == (0, f"puzzles-v1: compiles to the same digest, {digest}\n")
    path = tmp_path / "tasks" / "puzzles-v1" / "puzzles.json"
    before = path.read_bytes()
    status, out, _ = neurogloss("tasks", "rebuild", "puzzles-v1", "--write", str(tmp_path / "tasks" / "puzzles-v2"))
    assert status == 0
    assert path.read_bytes() == before
    assert neurogloss("tasks", "ls")[1].split()[::2] == ["puzzles-v1", "puzzles-v2"]


def test_a_compiler_that_changed_is_found(neurogloss: Command, frozen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(puzzle_task.source.rules, "HIGHEST", 9.0)
    status, _, err = neurogloss("tasks", "rebuild", "puzzles-v1")
    assert status == 2
    assert "compiles to the digest" in err
    assert "freeze it as a new version with --write FOLDER" in err


def test_it_is_shown_and_verified_like_any_task(neurogloss: Command, frozen: Path) -> None:
    assert "puzzles-v1: whole, 2 puzzles, digest" in neurogloss("tasks", "verify", "puzzles-v1")[1]
    shown = neurogloss("tasks", "show", str(frozen))[1]
    assert "pets  lexical, 12 texts: the words dog and cat" in shown
    (frozen / "puzzles.json").write_text("{}")
    assert "is not as it was published" in neurogloss("tasks", "verify", "puzzles-v1")[2]


def _run(neurogloss: Command, *overrides: str) -> str:
    status, out, err = neurogloss("run", "task=puzzles-v1", "scores.resamples=200", EXPLAINERS, *overrides)
    assert status == 0, err
    return out


def test_a_run_leaves_everything_and_prints_its_boards(neurogloss: Command, frozen: Path, tmp_path: Path) -> None:
    out = _run(neurogloss, "simulator=all_at_once", "model@simulator.model=fake")
    for words in ("can all_at_once be trusted?", "token_overlap", "chance", "morphological", "token_lookup (ceiling"):
        assert words in out
    folder = (tmp_path / "runs" / "latest").resolve()
    assert folder.name.startswith("puzzles-v1-")
    for name in ("results.json", "board.md", *puzzle_results.TABLES):
        assert (folder / name).is_file()
    found = puzzle_results.read_run(folder)
    assert found.task.digest == tasks.read(frozen).digest
    assert [row.simulator.name for row in found.simulators] == ["all_at_once", "token_overlap", "chance"]
    assert found.simulators[0].usage.requests == 2 * 5 * 12
    assert found.simulators[0].seconds > 0
    assert found.simulators[0].summary.calibration_error > 0
    assert {"git", "packages"} <= set(found.provenance)
    assert found.usage["simulate by all_at_once"].spent.requests == 2 * 5 * 12
    assert neurogloss("board", str(folder))[1].strip() in out

    # everything from the store: the same scores, no seconds
    again = _run(neurogloss, "simulator=all_at_once", "model@simulator.model=fake")
    resumed = puzzle_results.read_run(folder)
    assert [row.scores for row in resumed.simulators] == [row.scores for row in found.simulators]
    assert "answered from the store" in again
    assert resumed.usage["simulate by all_at_once"].spent.requests == 0


def test_an_overlap_of_words_knows_the_words_that_it_is_told(neurogloss: Command, frozen: Path, tmp_path: Path) -> None:
    _run(neurogloss, "simulator=token_overlap")
    own, chance = puzzle_results.read_run(tmp_path / "runs" / "latest").simulators
    assert (own.simulator.name, own.control, chance.simulator.name) == ("token_overlap", False, "chance")
    assert own.scores[0].correlation > 0.5
    assert own.classes[1].metrics["correlation"].mean < own.classes[0].metrics["correlation"].mean


def test_a_sweep_makes_a_run_of_each_simulator(neurogloss: Command, frozen: Path, tmp_path: Path) -> None:
    status, _, err = neurogloss(
        "run", "-m", "task=puzzles-v1", "simulator=token_overlap,chance", "explainer=max_activation", "task.limit=1"
    )
    assert status == 0, err
    runs = [puzzle_results.read_run(path) for path in (tmp_path / "runs").glob("puzzles-v1-*")]
    assert {run.simulators[0].simulator.name for run in runs} == {"token_overlap", "chance"}
    assert all(run.task.puzzles == ("ing",) and run.task.size == 2 for run in runs)


def test_a_file_in_the_public_format_runs(neurogloss: Command, frozen: Path, tmp_path: Path) -> None:
    item = json.loads((frozen / "puzzles.json").read_text())["pets"]
    path = tmp_path / "mine.json"
    public = {key: value for key, value in item.items() if key not in ("class", "near", "pair")}
    path.write_text(json.dumps({"one": public, "two": public}))
    status, _out, err = neurogloss(
        "run", "task=puzzles", f"task.path={path}", "simulator=token_overlap", "explainer=max_activation"
    )
    assert status == 0, err
    found = puzzle_results.read_run(tmp_path / "runs" / "latest")
    assert found.task.name == "mine"
    assert found.simulators[0].classes == ()
    assert {"beats_near", "beats_unrelated"} & set(found.simulators[0].summary.metrics) == set()
    assert "beats_unspecified" in found.simulators[0].summary.metrics


def test_an_entry_is_made_and_every_board_of_explainers_says_it(
    neurogloss: Command, frozen: Path, tmp_path: Path, tiny_task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "leaderboard_folder", lambda: tmp_path / "board")
    neurons = [
        *("run", f"task.path={tiny_task}", f"task.name={tiny_task.name}", "simulator=token_overlap"),
        *("explainer=[max_activation,shuffled]", "scores.ablation=false", "scores.resamples=200"),
        *("subject=transformers", "subject.name=unused"),
    ]
    out = neurogloss(*neurons, "output=elsewhere")
    assert "puzzles: not measured: neurogloss run task=puzzles-v1 simulator=token_overlap" in out[1], out[2]

    _run(neurogloss, "simulator=token_overlap")
    status, _, err = neurogloss("leaderboard", "add", "runs/latest", "--root", "board")
    assert status == 0, err
    assert (tmp_path / "board" / "entries" / "puzzles-v1" / "token_overlap.json").is_file()
    assert neurogloss("leaderboard", "build", "--root", "board")[0] == 0
    assert "Simulators: puzzles-v1" in (tmp_path / "board" / "README.md").read_text().replace("\\", "")

    page = neurogloss("board", "elsewhere/latest")[1]
    assert "given the truth, beats" in page
    assert "(puzzles-v1, 2 of 2 puzzles" in page.replace("\n", " ")


def test_what_a_run_of_puzzles_cannot_do_is_refused(neurogloss: Command, frozen: Path, tiny_task: Path) -> None:
    status, _, err = neurogloss("run", "task=puzzles-v1", "publish=local", "publish.folder=x")
    assert (status, "neither tracked nor published" in err) == (2, True)
    status, _, err = neurogloss("run", f"task.path={tiny_task}", "task.limit=2")
    assert (status, "task.limit is for puzzles; write neurons.limit" in err) == (2, True)
    status, _, err = neurogloss("run", "task=puzzles-v1", "task.limit=0", EXPLAINERS, "simulator=chance")
    assert (status, "no puzzle of puzzles-v1 is left" in err) == (2, True)
    status, _, err = neurogloss("run", "task=puzzles")
    assert (status, "task.path" in err) == (2, True)


def test_no_explainer_is_needed(neurogloss: Command, frozen: Path) -> None:
    status, out, err = neurogloss("run", "task=puzzles-v1", "simulator=chance", "explainer=[]")
    assert status == 0, err
    assert "Explainers" not in out


def test_a_budget_stops_it_and_the_next_run_goes_on(neurogloss: Command, frozen: Path, tmp_path: Path) -> None:
    simulator = ("simulator=all_at_once", "model@simulator.model=fake")
    arguments = ("run", "task=puzzles-v1", "explainer=max_activation", *simulator)
    status, _, err = neurogloss(*arguments, "budget.tokens=2000")
    assert status == 2
    assert "the budget of 2000 tokens is used up" in err
    status, _, err = neurogloss(*arguments)
    assert status == 0, err
    usage = puzzle_results.read_run(tmp_path / "runs" / "latest").usage["simulate by all_at_once"]
    assert usage.saved.requests > 0
    assert usage.saved.requests + usage.spent.requests == 2 * 5 * 12
