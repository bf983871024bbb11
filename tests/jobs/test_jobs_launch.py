"""Jobs from a command line: one, those of a sweep, by a launcher of Hydra, with configs and classes of one's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness import cli
from harness.config import compose
from harness.jobs import jobs_launch
from harness.jobs import run as runs
from harness.jobs.jobs import JOBS
from harness.results.run import read_run
from tests.fixtures import Command


def folders_of(output: Path) -> list[Path]:
    return sorted(path for path in output.glob("tiny-v1-*") if path.is_dir())


# ---------------------------------------------------------------------------------------------------------- one job


def test_a_switch_may_stand_between_overrides() -> None:
    options = jobs_launch._options("run", ["seed=0", "-m", "units.limit=1,2", "--cfg", "job", "a=b"])
    assert (options.overrides, options.multirun, options.cfg) == (["seed=0", "units.limit=1,2", "a=b"], True, "job")


@pytest.mark.slow
def test_a_job_is_composed_and_prepared_once(
    neurogloss: Command, small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def counted(module: object, name: str) -> None:
        function = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *words: (calls.append(name), function(*words))[1])

    counted(jobs_launch, "composed")
    counted(compose, "compose")
    counted(runs, "prepare")
    assert neurogloss("run", *small)[0] == 0
    assert calls == ["composed", "compose", "prepare"]
    calls.clear()
    assert neurogloss("run", "-m", *small, "seed=0,1")[0] == 0
    assert calls == ["composed", "compose", "prepare"] * 2


@pytest.mark.slow
def test_overrides_of_hydra_itself_are_carried_out(
    neurogloss: Command, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = neurogloss("run", *small, "hydra.run.dir=elsewhere", "hydra.job.chdir=true")
    assert status == 0, err
    assert "Board of tiny-v1" in out
    assert (tmp_path / "elsewhere").is_dir()
    status, _, err = neurogloss("run", *small, "hydra.rum.dir=elsewhere")
    assert (status, err.startswith("neurogloss: Hydra: "), err.count("\n")) == (cli.USER_ERROR, True, 1)


@pytest.mark.slow
def test_a_config_is_printed_and_nothing_is_run(neurogloss: Command, small: list[str], tmp_path: Path) -> None:
    status, out, err = neurogloss("run", "--cfg", "job", *small)
    assert status == 0, err
    assert "max_activation:" in out
    assert not (tmp_path / "runs").exists()
    status, out, err = neurogloss("collect", "--cfg", "job")
    assert status == 0, err
    assert "name: ???" in out
    assert neurogloss("run", "--cfg", "job", "units.limt=2")[0] == cli.USER_ERROR


def test_a_config_that_is_printed_drives_no_terminal_and_shows_no_secret(
    neurogloss: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_MINE_TOKEN", "not-of-any-shape")
    status, out, err = neurogloss("run", "--cfg", "job", 'task.name="\u202enot-of-any-shape\x9b2J"')
    assert status == 0, err
    assert "[OF_MINE_TOKEN]" in out
    assert not {"\u202e", "\x9b", "\x1b"} & set(out)
    assert "not-of-any-shape" not in out + err


# ----------------------------------------------------------------------------------------------------------- a sweep


@pytest.mark.slow
def test_a_sweep_ends_with_one_board_and_a_line_for_each_job(
    neurogloss: Command, small: list[str], tmp_path: Path
) -> None:
    status, out, err = neurogloss("run", "-m", *small, "explainer=max_activation,token_lookup")
    assert status == 0, err
    folders = folders_of(tmp_path / "runs")
    assert {read_run(folder).summaries[0].explainer for folder in folders} == {"max_activation", "token_lookup"}
    assert out.count("Board of tiny-v1") == 1
    lines, board = out.split("Board of tiny-v1")
    for number, explainer in enumerate(("max_activation", "token_lookup"), start=1):
        (line,) = [text for text in lines.splitlines() if text.startswith(f"job {number}: explainer={explainer}: ")]
        assert Path(line.rpartition(": ")[2]) in folders
        assert explainer in board


@pytest.mark.slow
def test_a_failed_job_is_told_with_its_overrides_leaves_its_record_and_the_others_go_on(
    neurogloss: Command, small: list[str], tmp_path: Path
) -> None:
    status, out, err = neurogloss("run", "-m", *small, "explainer=shuffled,max_activation", "units.limit=1")
    assert status == cli.FAILED
    assert "neurogloss: explainer=shuffled: shuffled explanations need at least two" in err
    assert "job 1: explainer=shuffled: failed: shuffled explanations need at least two" in out
    assert "Board of tiny-v1" in out
    (record,) = (tmp_path / "runs" / "failures").glob("*.json")
    assert "need at least two" in json.loads(record.read_text())["sentence"]
    assert read_run(tmp_path / "runs" / "latest").summaries[0].explainer == "max_activation"


@pytest.mark.slow
def test_a_mistake_in_any_job_of_a_sweep_is_found_before_the_first_begins(
    neurogloss: Command, small: list[str], tmp_path: Path
) -> None:
    status, _, err = neurogloss("run", "-m", *small, "explainer=max_activation,[]")
    assert (status, "no explainer is chosen" in err) == (cli.USER_ERROR, True)
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_sweep_over_tasks_ends_with_a_board_for_each(
    neurogloss: Command,
    small: list[str],
    tiny_task: Path,
    puzzle_source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_task, tmp_path / "tasks" / "tiny-v1")
    assert neurogloss("tasks", "rebuild", str(puzzle_source), "--write", "tasks/pair-v1")[0] == 0
    words = [text for text in small if not text.startswith("task.")]
    status, out, err = neurogloss("run", "-m", *words, "explainer=max_activation", "task=tiny-v1,pair-v1")
    assert status == 0, err
    assert (out.count("Board of tiny-v1"), out.count("Board of pair-v1")) == (1, 1)


@pytest.mark.slow
def test_runs_that_share_no_unit_have_no_board_and_are_listed(neurogloss: Command, small: list[str]) -> None:
    status, out, err = neurogloss("run", "-m", *small, "explainer=max_activation", "units.places=[0],[1]")
    assert status == 0, err
    assert "job 2: units.places=[1]: " in out
    assert "no board over all 2 runs: the runs share no unit" in out


@pytest.mark.slow
def test_plans_of_a_sweep_are_printed_one_by_one(neurogloss: Command, small: list[str], tmp_path: Path) -> None:
    status, out, err = neurogloss("plan", "-m", *small, "explainer=summary,max_activation")
    assert status == 0, err
    assert out.count("would ask of models") == 2
    assert out.index("job 1 of 2: explainer=summary") < out.index("would ask of models")
    assert "job 2: explainer=max_activation: done" in out
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_jobs_of_a_launcher_run_in_processes_of_their_own(
    neurogloss: Command, small: list[str], tmp_path: Path, own_method: Path
) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    status, out, err = neurogloss(
        *("run", "-m", *small, f"plugins=[{own_method}]", "explainer=[mine]", "seed=0,1"),
        *("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    )
    assert status == 0, err
    assert len(folders_of(tmp_path / "runs")) == 2
    assert "job 2: seed=1: " in out
    assert "Board of tiny-v1" in out
    status, out, err = neurogloss("run", "-m", *small, "explainer=shuffled", "units.limit=1", "hydra/launcher=joblib")
    assert (status, "failed: shuffled explanations need at least two" in out) == (cli.FAILED, True)


@pytest.mark.slow
def test_a_launcher_that_is_not_installed_is_refused(
    neurogloss: Command, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, _, err = neurogloss("run", "-m", *small, "hydra/launcher=nowhere")
    assert (status, err.count("\n")) == (cli.USER_ERROR, 1)
    assert "there is no hydra/launcher called nowhere; there are: basic" in err
    status, _, err = neurogloss("run", "-m", *small, "hydra/sweeper=basic")
    assert (status, "hydra/sweeper=basic is not taken: a sweep takes every combination" in err) == (
        cli.USER_ERROR,
        True,
    )
    monkeypatch.setattr(jobs_launch.importlib.util, "find_spec", lambda name: None)
    for launcher, extra in (("processes", "parallel"), ("slurm", "slurm")):
        status, _, err = neurogloss("run", "-m", *small, f"hydra/launcher={launcher}")
        assert (status, f"needs what pip install 'neurogloss[{extra}]' brings" in err) == (cli.USER_ERROR, True)


@pytest.mark.slow
def test_where_there_is_no_slurm_its_jobs_wait(neurogloss: Command, small: list[str]) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    if shutil.which("srun"):
        pytest.skip("this machine has Slurm")
    status, out, err = neurogloss("run", "-m", *small, "hydra/launcher=slurm", "hydra.launcher.partition=gpu")
    assert (status, "neurogloss: the launcher broke off: " in err, "srun" in err) == (cli.FAILED, True, True)
    assert "failed: it has not begun; the same command runs it" in out


# ------------------------------------------------------------------------------------------------------- of one's own

OWN = """
from __future__ import annotations

from dataclasses import dataclass, field

from harness.config.registry import register
from harness.types import Explanation, Role


@register("explainer/mine")
@dataclass
class Mine:
    words: str = "boats"
    role: Role = field(default=Role.EXPLAINER, init=False)

    def explain(self, evidence):
        return [Explanation(unit.unit, text=self.words) for unit in evidence]
"""


@pytest.fixture(scope="module")
def own_method(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A method of one's own in a file, with its config beside it; a name can be registered once in a process."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "conf" / "explainer").mkdir(parents=True)
    (folder / "conf" / "explainer" / "mine.yaml").write_text("# Mine.\nmine: {use: explainer/mine}\n")
    (folder / "mine.py").write_text(OWN)
    return folder / "mine.py"


@pytest.mark.slow
def test_a_method_of_ones_own_runs_from_a_file(
    neurogloss: Command, small: list[str], tmp_path: Path, own_method: Path
) -> None:
    status, out, err = neurogloss("run", *small, f"plugins=[{own_method}]", "explainer=[mine,shuffled]")
    assert status == 0, err
    results = read_run(tmp_path / "runs" / "latest")
    assert results.rows[0].scored[0].explanation.text == "boats"
    assert "mine" in out


@pytest.mark.slow
def test_configs_of_ones_own_are_found_by_every_job(neurogloss: Command, small: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "configs"
    (folder / "explainer").mkdir(parents=True)
    (folder / "explainer" / "five.yaml").write_text("# Five.\nfive: {use: explainer/max_activation, tokens: 5}\n")
    for option in ([f"--config-dir={folder}"], ["--config-dir", str(folder)], ["-cd", str(folder)]):
        status, out, err = neurogloss("plan", *option, *small, "explainer=five")
        assert status == 0, err
    status, out, err = neurogloss("run", "-m", "--config-dir", str(folder), *small, "explainer=five,max_activation")
    assert status == 0, err
    assert "five - max_activation" in out or "max_activation - five" in out
    assert "five" in neurogloss("run", "--config-dir", str(folder), "--help")[1]
    status, out, err = neurogloss("run", *small, "explainer=five")
    assert (status, "there is no explainer called five" in err) == (cli.USER_ERROR, True)
    status, out, _ = neurogloss("run", "--cfg", "job", "--config-dir", str(folder), *small, "explainer=five")
    assert (status, "tokens: 5" in out) == (0, True)


def test_every_job_has_a_config() -> None:
    assert list(JOBS) == list(cli.JOBS)
    assert {job.config for job in JOBS.values()} <= set(compose.SCHEMAS)
