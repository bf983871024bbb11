"""The commands that publish and export a finished run: what they print, what they refuse, what arrives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from harness.results.run import Results, write_run
from harness.results.vocabulary import TaskInfo
from harness.share.dataset import files_of
from harness.tasks import catalog
from tests.fixtures import Command
from tests.share.conftest import at, hub  # noqa: F401  # fixtures
from tests.share.hub import TOKEN, Hub

RUN = "runs/puzzles-v1-feedfacecafe"
NAME = "someone/some-set"


@pytest.fixture(autouse=True)
def results(
    puzzle_results: Callable[..., Results],
    puzzle_source: Path,
    neurogloss: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Results:
    """A run on two puzzles in the working folder, and its task beside it; no dataset is there yet."""
    made = puzzle_results()
    root = tmp_path / "tasks"
    root.mkdir()
    puzzle_source.rename(root / "puzzles-v1")
    monkeypatch.setattr(catalog, "tasks_folder", lambda: root)
    monkeypatch.chdir(tmp_path)
    status, _, err = neurogloss("tasks", "rebuild", "puzzles-v1")
    assert status == 0, err
    digest = catalog.read(root / "puzzles-v1").digest
    task = TaskInfo("puzzles-v1", digest, 2, made.task.units, made.task.categories)
    published = replace(made, task=task)
    write_run(Path("runs"), published, "board")
    return published


def tag(results: Results) -> str:
    return f"puzzles-v1-{results.task.digest[:12]}"


def test_a_dry_run_prints_the_card_and_every_file_and_writes_nothing(neurogloss: Command, results: Results) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()}
    status, out, err = neurogloss("publish", RUN, "--to", "hub", NAME, "--license", "cc0-1.0", "--dry-run")
    assert (status, err) == (0, "")
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()} == before
    card, _, listing = out.partition("\nREADME.md ")
    assert "license: cc0-1.0" in card
    assert f'load_dataset("{NAME}", "scores", split="results", revision="{tag(results)}")' in card
    for subset in ("units", "explanations", "simulations", "scores", "leaderboard"):
        assert f"data/{subset}/results-00000-of-00001.parquet" in listing
    assert " bytes in 7 files\n" in listing
    assert f"to: private, https://huggingface.co/datasets/{NAME}/tree/{tag(results)}\n" in listing
    assert listing.endswith("nothing was sent or written\n")
    assert "to: public" in neurogloss("publish", RUN, "--to", "hub", NAME, "--public", "--dry-run")[1]


def test_a_run_is_published_afterwards_with_its_units(neurogloss: Command, results: Results) -> None:
    status, out, err = neurogloss("publish", RUN)
    assert (status, err) == (0, "")
    assert f"{RUN}/dataset\n" in out
    status, out, err = neurogloss("publish", RUN, "--to", "local", "copy", "--license", "cc0-1.0")
    assert (status, err) == (0, "")
    assert f"revision: {tag(results)}\n" in out
    assert {name: path.read_bytes() for name, path in files_of(Path("copy")).items()} == {
        name: path.read_bytes() for name, path in files_of(Path(RUN) / "dataset").items()
    }
    units = pq.read_table("copy/data/units/results-00000-of-00001.parquet")
    assert units["unit"].to_pylist() == [str(unit) for unit in results.task.units]
    manifest = json.loads(Path("copy/run.json").read_text())
    assert manifest["publication"] == {"tag": tag(results), "license": "cc0-1.0", "subject_license": "unknown"}


@pytest.mark.slow
def test_what_is_there_is_replaced_by_force_alone(neurogloss: Command) -> None:
    assert neurogloss("publish", RUN, "--to", "local", "copy")[0] == 0
    assert neurogloss("publish", RUN, "--to", "local", "copy")[0] == 0, "the same again"
    status, _, err = neurogloss("publish", RUN, "--to", "local", "copy", "--license", "mit")
    assert status == 2
    assert "a revision is never overwritten; give another place, or replace it (--force" in err
    assert neurogloss("publish", RUN, "--to", "local", "copy", "--license", "mit", "--force")[0] == 0
    assert "license: mit" in Path("copy/README.md").read_text()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("publish", RUN, "--to", "moon", "x"), "--to moon is no place; write --to local FOLDER, or --to hub"),
        (("publish", RUN, "--to", "hub", "a/b/c"), "publish.repo_id is 'a/b/c'; write ACCOUNT/NAME."),
        (("publish", RUN, "--to", "hub", "a/b/c", "--dry-run"), "publish.repo_id is 'a/b/c'; write ACCOUNT/NAME."),
        (("publish", RUN, "--to", "hub", "a/b", "--token-env", "NONE"), "the environment variable NONE is not set"),
        (("publish", RUN, "--to", "local", "tasks"), "holds something else, or files that were changed"),
        (("publish", "runs/none"), "is not a whole run"),
        (("publish", RUN, "--task", "runs"), "there is no task at runs"),
        (("export", RUN, "out", "--as", "openai"), "puzzle:pets is none of the neurons that the format holds"),
    ],
)
def test_a_mistake_is_one_sentence(neurogloss: Command, words: tuple[str, ...], sentence: str) -> None:
    status, _, err = neurogloss(*words)
    assert status == 2
    assert sentence in err
    assert err.count("\n") == 1


def test_another_version_of_the_task_is_refused(neurogloss: Command, results: Results) -> None:
    other = replace(results, run_id="0" * 12, task=replace(results.task, digest="0" * 64))
    folder = write_run(Path("runs"), other, "board")
    status, _, err = neurogloss("publish", str(folder))
    assert status == 2
    assert (
        f"has the digest {results.task.digest[:12]}, and the run is on puzzles-v1 with the digest 000000000000" in err
    )


def test_a_config_of_another_person_names_no_task_that_is_read(neurogloss: Command, results: Results) -> None:
    config = {"task": {"name": "puzzles-v1", "path": "elsewhere"}}
    folder = write_run(Path("runs"), replace(results, run_id="1" * 12, config=config), "board")
    assert neurogloss("publish", str(folder))[0] == 0
    Path("tasks/puzzles-v1").rename("elsewhere")
    status, _, err = neurogloss("publish", str(folder))
    assert (status, "there is no task at tasks/puzzles-v1" in err.replace(str(Path.cwd()) + "/", "")) == (2, True)
    assert neurogloss("publish", str(folder), "--task", "elsewhere")[0] == 0


def test_a_run_goes_to_the_hub(
    neurogloss: Command,
    results: Results,
    hub: Hub,  # noqa: F811
    at: Callable[[str], None],  # noqa: F811
) -> None:
    at(hub.url)
    status, out, err = neurogloss("publish", RUN, "--to", "hub", NAME, "--license", "cc0-1.0")
    assert status == 0, err
    assert f"published: {hub.url}/datasets/{NAME}/tree/{tag(results)}\n" in out
    files = hub.repositories[NAME].files(tag(results)) or {}
    assert {name: path.read_bytes() for name, path in files_of(Path(RUN) / "dataset").items()} == {
        name: content for name, content in files.items() if name != ".gitattributes"
    }
    assert hub.repositories[NAME].private


@pytest.mark.slow
def test_the_command_of_a_user_reads_its_own_environment(results: Results, hub: Hub, tmp_path: Path) -> None:  # noqa: F811
    """``huggingface_hub`` reads HF_ENDPOINT and its other variables once, in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    variables = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "MINE": TOKEN, "HF_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "harness", "publish", RUN, "--to", "hub", NAME, "--token-env", "MINE"]
    process = subprocess.run(
        [*command, "--task", "tasks/puzzles-v1"],
        env={**environment, **variables, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert f"published: {hub.url}/datasets/{NAME}/tree/{tag(results)}" in process.stdout
    assert f"Bearer {TOKEN}" in hub.tokens
    assert TOKEN not in process.stdout + process.stderr
    assert len(hub.repositories[NAME].messages) == 2
