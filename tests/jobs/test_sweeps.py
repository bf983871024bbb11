"""What is kept of a sweep, and what has become of each of its jobs: nothing is forgotten, and nothing runs for ever."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import cli
from harness.jobs import sweeps
from harness.jobs.sweeps import Place, State, SweptJob
from harness.results.run import write_failure
from harness.results.tables import TABLES
from harness.types import NeuroglossError
from tests.fixtures import Command


def place(output: Path, run_id: str = "0123456789ab") -> Place:
    return Place(output, run_id)


def finish(output: Path, run_id: str) -> Path:
    """What a run leaves behind, as far as a sweep looks."""
    folder = output / f"tiny-v1-{run_id}"
    folder.mkdir(parents=True)
    for name in ("results.json", *TABLES):
        (folder / name).write_text("")
    return folder


def state(output: Path, run_id: str = "0123456789ab") -> State:
    return sweeps.standing(SweptJob("", run_id, ""), place(output, run_id)).state


# --------------------------------------------------------------------------------------------------------- the record


def test_a_sweep_is_read_back_and_the_same_command_is_the_same_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_MINE_TOKEN", "not-of-any-shape")
    places = [place(tmp_path / "runs", "aa"), place(tmp_path / "other", "bb")]
    folder = sweeps.begin(["seed=0,1", "x=not-of-any-shape"], ["seed=0", "seed=1"], places)
    assert (tmp_path / "runs" / "sweeps" / "latest").resolve() == folder
    sweep = sweeps.read(folder)
    assert sweep.overrides == ("seed=0,1", "x=[OF_MINE_TOKEN]")
    assert sweep.jobs == (SweptJob("seed=0", "aa", "../.."), SweptJob("seed=1", "bb", "../../../other"))
    path = folder / "sweep.json"
    path.write_text(path.read_text().replace(sweep.created, "2026-01-01T00:00:00+00:00"))
    assert sweeps.begin(["seed=0,1"], ["seed=0", "seed=1"], places) == folder
    assert sweeps.read(folder).created == "2026-01-01T00:00:00+00:00"


@given(st.lists(st.text("0123456789abcdef", min_size=1), min_size=2, unique=True))
def test_the_name_of_a_sweep_tells_its_jobs(run_ids: list[str]) -> None:
    places = [place(Path("runs"), run_id) for run_id in run_ids]
    names = {
        sweeps.name_of(some) for some in (places, places[1:], [*reversed(places)], [place(Path("x")), *places[1:]])
    }
    assert len(names) == 4
    assert sweeps.name_of(places) == sweeps.name_of([*places])


def test_what_is_no_sweep_is_refused_in_a_sentence(tmp_path: Path, neurogloss: Command) -> None:
    for command in ("status", "board"):
        status, _, err = neurogloss("sweep", command, str(tmp_path))
        assert (status, err.count("\n")) == (cli.USER_ERROR, 1)
        assert "holds no sweep; give the folder that `neurogloss run -m` named at its end" in err
    folder = sweeps.begin([], ["all"], [place(tmp_path)])
    document = json.loads((folder / "sweep.json").read_text())
    (folder / "sweep.json").write_text(json.dumps({**document, "schema_version": 99}))
    with pytest.raises(NeuroglossError, match="schema version 99"):
        sweeps.read(folder)
    (folder / "sweep.json").write_text(json.dumps({**document, "jobs": [{"label": 3}]}))
    with pytest.raises(NeuroglossError, match=r"sweep\.json"):
        sweeps.read(folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(NeuroglossError, match=r"the sweep cannot be written .*set output=FOLDER"):
        sweeps.begin([], ["all"], [place(tmp_path / "file")])


# ---------------------------------------------------------------------------------------------------------- the state


def test_a_job_waits_runs_and_is_done(tmp_path: Path) -> None:
    job = place(tmp_path)
    assert state(tmp_path) is State.WAITING
    with sweeps.running(job):
        assert state(tmp_path) is State.RUNNING
        with sweeps.running(job):  # by another process, too
            assert state(tmp_path) is State.RUNNING
    assert state(tmp_path) is State.WAITING
    folder = finish(tmp_path, job.run_id)
    assert (state(tmp_path), job.folder) == (State.DONE, folder)
    (folder / TABLES[0]).unlink()
    assert (state(tmp_path), job.folder) == (State.WAITING, None)


def test_a_job_that_failed_keeps_its_reason_until_it_is_run_again(tmp_path: Path) -> None:
    job = place(tmp_path)
    write_failure(tmp_path, job.run_id, "the model is down.", {})
    standing = sweeps.standing(SweptJob("", job.run_id, ""), job)
    assert (standing.state, standing.sentence) == (State.FAILED, "the model is down.")
    with sweeps.running(job):
        assert state(tmp_path) is State.RUNNING
    finish(tmp_path, job.run_id)
    assert state(tmp_path) is State.DONE


def test_a_killed_job_does_not_run_for_ever(tmp_path: Path) -> None:
    work = (
        "import sys, time; from pathlib import Path; from harness.jobs import sweeps\n"
        "with sweeps.running(sweeps.Place(Path(sys.argv[1]), '0123456789ab')): print(flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", work, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    assert state(tmp_path) is State.RUNNING
    process.kill()
    process.wait()
    process.stdout.close()
    assert state(tmp_path) is State.KILLED
    write_failure(tmp_path, "0123456789ab", "an earlier reason.", {})
    assert state(tmp_path) is State.KILLED, "it was run again since"
    with sweeps.running(place(tmp_path)):
        assert state(tmp_path) is State.RUNNING
    assert state(tmp_path) is State.FAILED


# ------------------------------------------------------------------------------------------------------- the commands


@pytest.mark.slow
def test_a_sweep_says_what_became_of_its_jobs_and_runs_only_what_is_missing(
    neurogloss: Command, small: list[str], tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    words = [
        "run",
        "-m",
        *small,
        "explainer=[max_activation],[shuffled],[max_activation,token_lookup]",
        "units.limit=1",
    ]
    status, out, err = neurogloss(*words)
    assert status == cli.FAILED
    folder = Path(out.rpartition("sweep: ")[2].strip())
    assert folder.parent == runs / "sweeps"
    status, out, err = neurogloss("sweep", "status", str(runs / "sweeps" / "latest"))
    assert (status, err) == (0, "")
    first, *lines = out.splitlines()
    assert first.endswith(": 3 jobs: 2 done, 1 failed")
    assert lines[0].startswith("job 1: explainer=[max_activation]: done: ")
    assert lines[1].startswith("job 2: explainer=[shuffled]: failed: shuffled explanations need at least two")
    status, board, err = neurogloss("sweep", "board", str(folder), "--by", "spearman")
    assert (status, err) == (0, "")
    assert "Board of tiny-v1" in board
    assert "3 jobs: 2 done, 1 failed" in board
    assert [line for line in board.splitlines() if line.startswith("job")] == [lines[1]]

    done = {path: path.stat().st_mtime_ns for path in runs.glob("tiny-v1-*/results.json")}
    removed = Path(lines[2].rpartition(": ")[2]) / "results.json"
    removed.unlink()
    status, out, err = neurogloss(*words)
    assert "1 of 3 jobs are done, and are not run again." in out
    assert [line for line in out.splitlines() if " of 3: " in line] == [
        "job 2 of 3: explainer=[shuffled]",
        "job 3 of 3: explainer=[max_activation,token_lookup]",
    ]
    again = {path: path.stat().st_mtime_ns for path in runs.glob("tiny-v1-*/results.json")}
    assert {path for path in done if again[path] != done[path]} == {removed}


def test_a_sweep_without_a_job_that_is_done_has_no_board(neurogloss: Command, small: list[str], tmp_path: Path) -> None:
    status, out, _ = neurogloss("run", "-m", *small, "explainer=shuffled", "units.limit=1")
    assert (status, "sweep: " in out) == (cli.FAILED, True)
    status, _, err = neurogloss("sweep", "board", str(tmp_path / "runs" / "sweeps" / "latest"))
    assert (status, "(1 failed), so that it has no board" in err) == (cli.USER_ERROR, True)


@pytest.mark.slow
def test_the_runs_of_a_sweep_are_a_group_of_their_trackers(
    neurogloss: Command, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.jobs import run

    groups: list[tuple[str | None, str | None]] = []

    def note(plan: run.RunPlan, *_: object) -> None:
        nodes = plan.settings.track
        groups.append((nodes["wandb"]["group"], nodes["jsonl"].get("group")))
        raise NeuroglossError("that is all there is to see.")

    monkeypatch.setattr(run, "run", note)
    words = [*small, "explainer=max_activation", "track=[wandb,jsonl]"]
    neurogloss("run", "-m", *words, "seed=0,1")
    name = (tmp_path / "runs" / "sweeps" / "latest").resolve().name
    assert groups == [(name, None), (name, None)]
    groups.clear()
    neurogloss("run", "-m", *words, "seed=2", "track.wandb.group=mine")
    neurogloss("run", *words, "seed=3")
    assert groups == [("mine", None), (None, None)]


# ----------------------------------------------------------------------------------------------------- many processes

KILLER = """
import os, signal
from dataclasses import dataclass

from harness.config.registry import register
from harness.explainers.max_activation import MaxActivation


@register("explainer/killer")
@dataclass
class Killer(MaxActivation):
    tokens: int = 3

    def explain(self, evidence):
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_job_that_is_killed_by_submitit_is_said_so_and_the_others_stand(
    neurogloss: Command, small: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    plugin = tmp_path / "killer.py"
    plugin.write_text(KILLER)
    (tmp_path / "conf" / "explainer").mkdir(parents=True)
    (tmp_path / "conf" / "explainer" / "killer.yaml").write_text("# Killed.\nkiller: {use: explainer/killer}\n")
    words = ["run", "-m", *small, f"plugins=[{plugin}]", "explainer=[max_activation],[killer]"]
    status, out, err = neurogloss(*words, "hydra/launcher=submitit_local")
    assert status == cli.FAILED
    assert "the launcher broke off" in err
    assert "job 2: explainer=[killer]: failed: it was killed; the same command runs it again" in out
    assert "Board of tiny-v1" in out
    status, out, err = neurogloss("sweep", "status", str(tmp_path / "runs" / "sweeps" / "latest"))
    assert "2 jobs: 1 done, 1 killed" in out


@pytest.mark.slow
def test_what_jobs_have_in_common_is_asked_once_by_however_many_processes(
    neurogloss: Command, small: list[str], tmp_path: Path
) -> None:
    """Explanations common to simulators, and simulations common to scorers' settings."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    log = tmp_path / "log"
    models = ("explainer_model.fake", "simulator.all_at_once.model")
    status, _, err = neurogloss(
        *("run", "-m", *small, "explainer=[token_activation,shuffled]", "simulator=all_at_once", "units.limit=3"),
        *("model@simulator.all_at_once.model=fake", "scores.panel.active_level=1,3", "seed=0"),
        *(f"{model}.{setting}" for model in models for setting in (f"log={log}", "delay=0.02")),
        *("hydra/launcher=processes", "hydra.launcher.n_jobs=2"),
    )
    assert status == 0, err
    keys = log.read_text().split()
    assert len(keys) == len(set(keys)) > 50
