"""Runs by the command: of puzzles, from the source to the leaderboard and to boards of explainers, and what follows
them: trackers and the dataset."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from harness.leaderboard import trust
from harness.results.run import Results, read_run
from harness.results.tables import TABLES
from harness.tasks import catalog
from harness.tasks.puzzles import task as puzzle_task
from harness.types import Role, RowKey, Unit
from tests.fixtures import Command

METHODS = "explainer=[max_activation,shuffled,token_lookup]"
ASKED = ("simulator=all_at_once", "model@simulator.all_at_once.model=fake")
TOLD = ("true", "near", "unrelated")
LATEST = Path("runs/latest")


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, puzzle_source: Path) -> Path:
    """A working directory where the source of the two puzzles is the only task."""
    root = tmp_path / "tasks"
    root.mkdir()
    puzzle_source.rename(root / "puzzles-v1")
    monkeypatch.setattr(catalog, "tasks_folder", lambda: root)
    monkeypatch.chdir(tmp_path)
    return root


@pytest.fixture
def frozen(neurogloss: Command, root: Path) -> Path:
    status, _, err = neurogloss("tasks", "rebuild", "puzzles-v1")
    assert status == 0, err
    return root / "puzzles-v1"


def run(neurogloss: Command, *overrides: str) -> tuple[str, Results]:
    """What a run of the two puzzles prints, and its results."""
    status, out, err = neurogloss("run", "task=puzzles-v1", "board.resamples=200", METHODS, *overrides)
    assert status == 0, err
    return out, read_run(LATEST)


# ------------------------------------------------------------------------------------------------ from the source


def test_a_source_is_frozen_once_and_then_compared(neurogloss: Command, root: Path) -> None:
    status, out, _ = neurogloss("tasks", "rebuild", "puzzles-v1")
    digest = catalog.read(root / "puzzles-v1").digest
    assert status == 0
    assert f"written, digest {digest}" in out
    status, out, _ = neurogloss("tasks", "rebuild", "puzzles-v1")
    assert (status, out) == (0, f"puzzles-v1: compiles to the same digest, {digest}\n")
    path = root / "puzzles-v1" / "puzzles.json"
    content = path.read_bytes()
    status, out, _ = neurogloss("tasks", "rebuild", "puzzles-v1", "--write", str(root / "puzzles-v2"))
    assert status == 0
    assert path.read_bytes() == content
    lines = neurogloss("tasks", "ls")[1].splitlines()
    assert [line.split(maxsplit=2)[::2] for line in lines] == [
        ["puzzles-v1", "2 puzzles"],
        ["puzzles-v2", "2 puzzles"],
    ]


def test_a_compiler_that_changed_is_found(neurogloss: Command, frozen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(puzzle_task.source.rules, "HIGHEST", 9.0)
    status, _, err = neurogloss("tasks", "rebuild", "puzzles-v1")
    assert status == 2
    assert "compiles to the digest" in err
    assert "freeze it as a new version with --write FOLDER" in err


def test_it_is_shown_and_verified_like_any_task(neurogloss: Command, frozen: Path) -> None:
    assert "puzzles-v1: whole, 2 puzzles, digest" in neurogloss("tasks", "verify", "puzzles-v1")[1]
    page = neurogloss("tasks", "show", str(frozen))[1]
    assert "pets  lexical, 12 texts: the words dog and cat" in page
    (frozen / "puzzles.json").write_text("{}")
    assert "is not as it was published" in neurogloss("tasks", "verify", "puzzles-v1")[2]


# ------------------------------------------------------------------------------------------------- a run of puzzles


@pytest.mark.slow
def test_a_run_leaves_everything_and_prints_its_boards(neurogloss: Command, frozen: Path) -> None:
    out, results = run(neurogloss, *ASKED)
    for words in ("Simulators", "token_overlap", "chance", "morphological", "token_lookup"):
        assert words in out
    folder = LATEST.resolve()
    assert folder.name.startswith("puzzles-v1-")
    for name in ("results.json", "board.md", *TABLES):
        assert (folder / name).is_file()
    assert results.task.digest == catalog.read(frozen).digest
    assert [info.name for info in results.simulators] == ["all_at_once", "token_overlap", "chance"]
    assert {key for key in results.scored if key.explainer in TOLD} == {
        RowKey(name, info.name) for name in TOLD for info in results.simulators
    }
    (overall,) = [truth for truth in results.truths if (truth.simulator, truth.category) == ("all_at_once", "")]
    assert overall.calibration_error > 0
    assert {"git", "packages"} <= set(results.provenance)
    # 5 explanations of each puzzle on 12 texts, and those of max_activation and shuffled on the 6 of the second half
    assert results.usage["simulate by all_at_once"].spent.requests >= 2 * 5 * 12
    assert neurogloss("board", str(folder))[1].strip() in out

    # everything from the store: the same scores, no seconds
    board, resumed = run(neurogloss, *ASKED)
    assert [row.scored for row in resumed.rows] == [row.scored for row in results.rows]
    assert "answered from the store" in board
    assert resumed.usage["simulate by all_at_once"].spent.requests == 0


def test_an_overlap_of_words_knows_the_words_that_it_is_told(neurogloss: Command, frozen: Path) -> None:
    _, results = run(neurogloss, "simulator=token_overlap")
    assert [(info.name, info.control) for info in results.simulators] == [("token_overlap", False), ("chance", True)]
    truths = {item.unit: item.scores.values["correlation"] for item in results.scored[RowKey("true", "token_overlap")]}
    assert truths[Unit.parse("puzzle:pets")] > 0.5
    by_category = {truth.category: truth.metrics["correlation"].mean for truth in results.truths[:3]}
    assert by_category["morphological"] < by_category["lexical"]


def test_a_sweep_makes_a_run_of_each_simulator_and_one_board(neurogloss: Command, frozen: Path) -> None:
    status, out, err = neurogloss(
        "run", "-m", "task=puzzles-v1", "simulator=token_overlap,chance", "explainer=max_activation", "task.limit=1"
    )
    assert status == 0, err
    results = [read_run(path) for path in Path("runs").glob("puzzles-v1-*")]
    assert {run.simulator.name for run in results} == {"token_overlap", "chance"}
    assert all(run.task.units == (Unit.parse("puzzle:ing"),) and run.task.size == 2 for run in results)
    assert out.count("Board of puzzles-v1") == 1


def test_a_file_in_the_public_format_runs(neurogloss: Command, frozen: Path, tmp_path: Path) -> None:
    item = json.loads((frozen / "puzzles.json").read_text())["pets"]
    path = tmp_path / "mine.json"
    public = {key: value for key, value in item.items() if key not in ("class", "near", "pair")}
    path.write_text(json.dumps({"one": public, "two": public}))
    status, _out, err = neurogloss(
        "run", "task=puzzles", f"task.path={path}", "simulator=token_overlap", "explainer=max_activation"
    )
    assert status == 0, err
    results = read_run(LATEST)
    assert results.task.name == "mine"
    assert {truth.category for truth in results.truths} == {""}
    assert {"beats_near", "beats_unrelated"} & set(results.truths[0].metrics) == set()
    assert "beats_unspecified" in results.truths[0].metrics


def test_explainers_of_puzzles_have_several_methods_models_and_simulators(neurogloss: Command, frozen: Path) -> None:
    models = ("+model@explainer_model.other=fake", "explainer_model.other.name=other", "explainer_model=[fake]")
    out, results = run(neurogloss, "explainer=[summary]", "simulator=[token_overlap,chance]", *models)
    rows = {(row.summary.explainer, row.summary.simulator) for row in results.rows if row.summary.role is not Role.TOLD}
    assert rows == {(f"summary · {model}", name) for model in ("fake", "other") for name in ("token_overlap", "chance")}
    assert "Explainers by chance" in out


@pytest.mark.slow
def test_what_runs_of_puzzles_could_not_do_before(neurogloss: Command, frozen: Path, tmp_path: Path) -> None:
    """A run of puzzles is tracked, published, and ranked by another metric, as any other."""
    log, copy = tmp_path / "log.jsonl", tmp_path / "copy"
    followed = ("track=[jsonl]", f"track.jsonl.file={log}", "publish=local", f"publish.folder={copy}")
    _, results = run(neurogloss, "simulator=token_overlap", *followed)
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [event["event"] for event in events][:2] == ["begun", "stage"]
    assert events[-1]["event"] == "ended"
    assert len(events[-1]["rows"]) == len(results.rows)
    assert {"explain", "simulate by token_overlap", "score by truths"} <= {event.get("stage") for event in events}
    published = pq.read_table(copy / "data" / "scores" / "results-00000-of-00001.parquet")
    assert published.num_rows == pq.read_table(LATEST / "scores.parquet").num_rows
    status, out, err = neurogloss("board", "--by", "difference")
    assert status == 0, err
    assert "Board of puzzles-v1, by difference" in out


@pytest.mark.slow
def test_an_entry_is_made_and_every_board_of_explainers_says_it(
    neurogloss: Command, frozen: Path, tmp_path: Path, small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "shipped", lambda _: tmp_path / "board")
    monkeypatch.setattr(trust, "puzzles_digest", lambda _: catalog.read(frozen).digest)
    units = [*(text for text in small if not text.startswith("output=")), "explainer=[max_activation,shuffled]"]
    status, out, err = neurogloss("run", *units, "output=elsewhere")
    assert status == 0, err
    assert "puzzles: not measured: neurogloss run task=puzzles-away-v1 simulator=token_overlap" in out

    run(neurogloss, "simulator=token_overlap")
    status, _, err = neurogloss("leaderboard", "add", "runs/latest", "--root", "board")
    assert status == 0, err
    assert len(list((tmp_path / "board" / "entries" / "puzzles-v1").glob("*.json"))) == 1
    assert neurogloss("leaderboard", "build", "--root", "board")[0] == 0
    assert "puzzles-v1" in (tmp_path / "board" / "README.md").read_text().replace("\\", "")

    page = neurogloss("board", "elsewhere/latest")[1]
    assert "given the truth, beats" in page
    assert "(puzzles-v1, 2 of 2 puzzles" in page.replace("\n", " ")


@pytest.mark.slow
def test_what_a_run_of_puzzles_cannot_do_is_refused(neurogloss: Command, frozen: Path, small: list[str]) -> None:
    status, _, err = neurogloss("run", *small, "task.limit=2")
    assert (status, "task.limit is for puzzles; write units.limit" in err) == (2, True)
    status, _, err = neurogloss("run", "task=puzzles-v1", "task.limit=0", METHODS, "simulator=chance")
    assert (status, "task.limit is 0; write 1 or more" in err) == (2, True)
    status, _, err = neurogloss("run", "task=puzzles-v1", "units.ids=['puzzle:nobody']", METHODS, "simulator=chance")
    assert (status, "has no puzzle puzzle:nobody" in err) == (2, True)
    status, _, err = neurogloss("run", "task=puzzles")
    assert (status, "task.path" in err) == (2, True)
    status, _, err = neurogloss("run", "task=puzzles-v1", "explainer=[logit_lens]", "explainer_model=[fake]")
    assert (status, "puzzles, which have no subject" in err) == (2, True)


@pytest.mark.slow
def test_no_explainer_is_needed(neurogloss: Command, frozen: Path) -> None:
    status, out, err = neurogloss("run", "task=puzzles-v1", "simulator=chance", "explainer=[]")
    assert status == 0, err
    assert "Explainers" not in out


@pytest.mark.slow
def test_a_budget_stops_it_and_the_next_run_goes_on(neurogloss: Command, frozen: Path) -> None:
    arguments = ("run", "task=puzzles-v1", "explainer=max_activation", *ASKED)
    status, _, err = neurogloss(*arguments, "budget.tokens=2000")
    assert status == 2
    assert "the budget of 2000 tokens is used up" in err
    status, _, err = neurogloss(*arguments)
    assert status == 0, err
    usage = read_run(LATEST).usage["simulate by all_at_once"]
    assert usage.saved.requests > 0
    assert usage.saved.requests + usage.spent.requests >= 2 * 5 * 12
