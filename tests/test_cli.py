"""The command from end to end, on a small task of a small random subject, with the scripted model."""

from __future__ import annotations

import importlib
import inspect
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest

from harness import cli, stats
from harness.progress import show
from harness.results.run import read_run
from tests.fixtures import Command

ALL = ["explainer=[token_activation,max_activation,shuffled,token_lookup]", "scores=[panel,ablation]"]
ASKED = ["simulator=all_at_once", "model@simulator.all_at_once.model=fake"]


@pytest.fixture(scope="module")
def whole_run(tiny_task: Path, tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The words of a command that was carried out once, the last of which names the folder of its runs."""
    output = tmp_path_factory.mktemp("whole")
    words = [f"task.name={tiny_task.name}", f"task.path={tiny_task}", "subject=transformers"]
    words += [f"subject.name={tiny_llama}", "explainer_model=[fake]", "board.resamples=200", *ALL, *ASKED]
    words += [f"output={output}"]
    with (output / "printed.txt").open("w") as printed, redirect_stdout(printed), pytest.raises(SystemExit) as ended:
        cli.main(["run", *words])
    assert not ended.value.code
    return words


def test_a_run_leaves_everything_and_prints_its_board(whole_run: list[str], tmp_path: Path) -> None:
    output = Path(whole_run[-1].partition("=")[2])
    folder, out = (output / "latest").resolve(), (output / "printed.txt").read_text()
    for name in ("results.json", "board.md", "explanations.parquet", "simulations.parquet", "scores.parquet"):
        assert (folder / name).is_file()
    for row in ("token_activation", "max_activation", "shuffled", "token_lookup"):
        assert row in out
        assert row in (folder / "board.md").read_text().replace("\\", "")
    assert str(folder.name) in out

    results = read_run(folder)
    assert [summary.explainer for summary in results.summaries] == [
        "token_activation · fake",
        "max_activation",
        "shuffled",
        "token_lookup",
    ]
    assert all(summary.coverage == 1.0 for summary in results.summaries)
    lookup, shuffled = (row.metrics["correlation"].mean for row in (results.summaries[3], results.summaries[2]))
    assert lookup > shuffled
    assert {"ablation", "correlation_random", "r2_uncentred"} <= set(results.summaries[3].metrics)
    assert results.usage["simulate by all_at_once"].spent.requests > 0
    assert {"explain", "simulate by all_at_once", "score by panel", "score by ablation"} <= set(results.seconds)
    scores = datasets.load_dataset(
        str(folder / "dataset"), "scores", split="results", cache_dir=str(tmp_path / "cache")
    )
    assert scores.num_rows == pq.read_table(folder / "scores.parquet").num_rows


def test_running_again_asks_nothing_and_gives_the_same(
    neurogloss: Command, whole_run: list[str], tmp_path: Path
) -> None:
    *words, output = whole_run
    shutil.copytree(output.partition("=")[2], tmp_path / "runs", symlinks=True)
    folder = (tmp_path / "runs" / "latest").resolve()
    first = {name: (folder / name).read_bytes() for name in ("scores.parquet", "simulations.parquet")}
    assert read_run(folder).usage["simulate by all_at_once"].spent.requests > 0
    assert neurogloss("run", *words, f"output={tmp_path / 'runs'}")[0] == 0
    assert {name: (folder / name).read_bytes() for name in first} == first
    usage = read_run(folder).usage
    assert all(stage.spent.requests == 0 for stage in usage.values())
    assert usage["simulate by all_at_once"].saved.requests > 0


@pytest.mark.slow
def test_each_method_has_a_row_for_each_model_that_it_asks(
    neurogloss: Command, small: list[str], tmp_path: Path
) -> None:
    models = ["explainer_model=[fake]", "+model@explainer_model.other=fake", "explainer_model.other.name=other"]
    status, out, err = neurogloss("run", *small, *models, "explainer=[summary,token_activation,shuffled]")
    assert status == 0, err
    results = read_run(tmp_path / "runs" / "latest")
    assert [(info.name, info.method, info.model) for info in results.explainers] == [
        ("summary · fake", "summary", "fake"),
        ("summary · other", "summary", "other"),
        ("token_activation · fake", "token_activation", "fake"),
        ("token_activation · other", "token_activation", "other"),
        ("shuffled", "shuffled", ""),
    ]
    (standing,) = results.standings
    assert len(standing.comparisons) == 4 * 3 / 2 + 4, "every pair of rows, and each with the floor"
    assert "summary · other" in out


@pytest.mark.slow
def test_judges_are_asked_if_they_are_chosen(neurogloss: Command, small: list[str], tmp_path: Path) -> None:
    judges = [
        "scores=[panel,detection,fuzzing]",
        *(f"model@scores.{judge}.model=fake" for judge in ("detection", "fuzzing")),
    ]
    status, out, err = neurogloss("run", *small, *judges, "explainer=[max_activation,shuffled,token_lookup]")
    assert status == 0, err
    assert "cases" in out
    folder = tmp_path / "runs" / "latest"
    results = read_run(folder)
    assert [(scorer.name, scorer.identity and scorer.identity.backend) for scorer in results.scorers[1:]] == [
        ("detection", "fake"),
        ("fuzzing", "fake"),
    ]
    assert results.usage["score by detection"].spent.requests > 0
    explained, _, table = results.summaries
    assert {"detection", "detection_auroc", "fuzzing", "fuzzing_auroc"} <= set(explained.metrics)
    assert (explained.judgements > 0, table.judgements) == (True, 0)
    rows = pq.read_table(folder / "judgements.parquet").to_pylist()
    assert len(rows) == sum(row.judgements for row in results.summaries)
    status, out, err = neurogloss("board", str(folder), "--by", "fuzzing")
    assert status == 0, err
    assert neurogloss("board", str(folder), "--by", "loss_change")[0] == cli.USER_ERROR


@pytest.mark.slow
def test_several_simulators_have_a_row_each(neurogloss: Command, small: list[str], tmp_path: Path) -> None:
    simulators = ["simulator=[token_overlap,one_at_a_time]", "model@simulator.one_at_a_time.model=fake"]
    status, out, err = neurogloss("run", *small, *simulators, "explainer=[max_activation,shuffled]", "units.limit=2")
    assert status == 0, err
    assert "Explainers by one_at_a_time" in out
    results = read_run(tmp_path / "runs" / "latest")
    assert [info.name for info in results.simulators] == ["token_overlap", "one_at_a_time"]
    assert len(results.rows) == 4


@pytest.mark.slow
def test_people_are_scored_by_the_same_code(neurogloss: Command, small: list[str], tmp_path: Path) -> None:
    status, out, _ = neurogloss("tasks", "show", small[1].partition("=")[2])
    unit = next(word for word in out.split() if word.startswith("L0N"))
    table = tmp_path / "people.csv"
    table.write_text(f'neuron,text,annotator\n{unit},"boats, and what floats",ada\n')
    status, out, err = neurogloss(
        "run", *small, "explainer=[people,max_activation]", "human=table", f"human.file={table}"
    )
    assert status == 0, err
    people = read_run(tmp_path / "runs" / "latest").summaries[0]
    assert (people.scored, people.outcomes["not collected"]) == (1, people.units - 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "answer"),
    [
        (["units.limt=4"], "did you mean units.limit?"),
        (["units.ids=[L9N9]"], "L9N9"),
        (["units.limit=0"], "units.limit is 0; write 1 or more"),
        (["seed=-1"], "seed is -1; write 0 or more"),
        (["+foo=1"], "there is no config key foo"),
        (["explainer=null"], "explainer=null is no choice"),
        (["+explainer.max_activation.zz=1"], "no config key explainer.max_activation.zz"),
        (["explainer.max_activation.tokens=many"], "a whole number is wanted"),
        (["explainer.max_activation.use=os.system"], "explainer.max_activation.use is 'os.system'"),
        (["explainer=[]"], "no explainer is chosen"),
        (["explainer=max_activation,token_lookup"], "add -m"),
        (["task.path=/nowhere"], "/nowhere"),
        (["task.limit=2"], "task.limit is for puzzles; write units.limit"),
        (["human=table", "human.file=/nowhere.csv", "explainer=people"], "/nowhere.csv"),
        (["track=wandb", "track.wandb.mode=online"], "WANDB_API_KEY"),
        (["publish=hub"], "publish.repo_id"),
        (["scores=[panel,ablation]", "scores.ablation.top=0", "scores.ablation.random=0"], "scores.ablation"),
        (["explainer=summary", "budget.tokens=10"], "the budget of 10 tokens is used up"),
        (["scores=[panel,ablation]", "subject.name=/nowhere/at/all"], "/nowhere/at/all"),
        (["--config-name=other"], "--config-name is not taken"),
        (["--config-dir=/nowhere"], "there is no folder /nowhere of configs"),
        (["plugins=[/nowhere.py]"], "there is no file /nowhere.py"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(
    neurogloss: Command,
    small: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wrong: list[str],
    answer: str,
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    groups = {text.partition("=")[0] for text in wrong}
    status, _, err = neurogloss("run", *(text for text in small if text.partition("=")[0] not in groups), *wrong)
    assert status == cli.USER_ERROR
    assert err.startswith("neurogloss: ")
    assert answer in err
    assert "Traceback" not in err
    assert err.count("\n") == 1
    assert not (tmp_path / "runs" / "latest").exists()
    assert not list((tmp_path / "runs").glob("tiny*"))
    assert not list((tmp_path / "runs").glob(".*tmp"))


def test_another_subject_than_the_tasks_is_refused(neurogloss: Command, small: list[str], tiny_gpt2: Path) -> None:
    status, _, err = neurogloss("run", *small, "scores=[panel,ablation]", f"subject.name={tiny_gpt2}")
    assert status == cli.USER_ERROR
    assert "was recorded from" in err


def test_an_edited_task_is_refused(neurogloss: Command, small: list[str], tiny_task: Path, tmp_path: Path) -> None:
    edited = shutil.copytree(tiny_task, tmp_path / tiny_task.name)
    data = bytearray((edited / "records.parquet").read_bytes())
    data[len(data) // 2] ^= 1
    (edited / "records.parquet").write_bytes(data)
    status, _, err = neurogloss("run", *small, f"task.path={edited}")
    assert status == cli.USER_ERROR
    assert "records.parquet" in err


# ---------------------------------------------------------------------------------------------------- boards of runs


@pytest.mark.slow
def test_the_board_of_an_older_run_is_printed_again(neurogloss: Command, small: list[str], tmp_path: Path) -> None:
    _, first, _ = neurogloss("run", *small)
    status, board, _ = neurogloss("board", str(tmp_path / "runs" / "latest"))
    assert status == 0
    assert board.strip() in first


@pytest.mark.slow
def test_several_runs_have_one_board_with_tests_between_all_rows(
    neurogloss: Command, small: list[str], tmp_path: Path
) -> None:
    folders = []
    for explainer in ("[max_activation,shuffled]", "[summary,shuffled]"):
        assert neurogloss("run", *small, f"explainer={explainer}")[0] == 0
        folders.append(str((tmp_path / "runs" / "latest").resolve()))
    status, out, err = neurogloss("board", *folders, "--by", "spearman")
    assert status == 0, err
    assert out.count("Board of tiny-v1, by spearman") == 1
    assert "max_activation - summary · fake" in out
    rows = re.findall(r"^shuffled.*–", out, re.MULTILINE)
    assert len(rows) == 1, "the same row of both runs stands once"
    assert neurogloss("board", folders[0], folders[0], "--by", "spearman")[0] == 0


@pytest.mark.slow
def test_runs_of_two_tasks_have_no_board(neurogloss: Command, small: list[str], tmp_path: Path) -> None:
    folders = []
    puzzles = ["task=puzzles-v1", "task.limit=1", "simulator=chance", "explainer=[]", f"output={tmp_path / 'runs'}"]
    for overrides in (small, puzzles):
        status, _, err = neurogloss("run", *overrides)
        assert status == 0, err
        folders.append(str((tmp_path / "runs" / "latest").resolve()))
    status, _, err = neurogloss("board", *folders)
    assert (status, "the runs are of two tasks" in err) == (cli.USER_ERROR, True)


def test_power_says_how_many_units_it_takes(neurogloss: Command, small: list[str], tmp_path: Path) -> None:
    assert neurogloss("run", *small, "explainer=[max_activation,shuffled,token_lookup]", "board.by_group=true")[0] == 0
    run = str(tmp_path / "runs" / "latest")
    assert read_run(Path(run)).standings
    status, out, err = neurogloss(
        "power", run, "--difference", "0.1", "--explainers", "max_activation", "shuffled", "--metric", "auroc"
    )
    assert status == 0, err
    assert "To tell max_activation from shuffled where they differ by 0.1 takes about" in out
    status, _, err = neurogloss("power", run, "--difference", "0")
    assert (status, "difference of 0.0" in err, err.count("\n")) == (cli.USER_ERROR, True, 1)


# ------------------------------------------------------------------------------------------- tasks and the leaderboard


def test_the_name_of_a_task_that_ships_is_not_given_to_an_import(neurogloss: Command, tmp_path: Path) -> None:
    options = ("--subject", "gpt2", "--output", str(tmp_path / "tasks"))
    status, _, err = neurogloss("tasks", "import", "smollm2-v2", str(tmp_path), *options)
    assert (status, "as that of a task that ships" in err) == (cli.USER_ERROR, True)
    assert not (tmp_path / "tasks").exists()


def test_a_task_that_cannot_be_read_hides_no_other(
    neurogloss: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tasks" / "foreign").mkdir(parents=True)
    (tmp_path / "tasks" / "foreign" / "task.yaml").write_text("a: 1")
    status, out, error = neurogloss("tasks", "ls")
    assert status == cli.USER_ERROR
    assert {"puzzles-v1", "smollm2-v2"} <= set(out.split())
    assert "foreign" in out + error


def test_tasks_are_listed_shown_and_verified(neurogloss: Command, tiny_task: Path, tmp_path: Path) -> None:
    status, out, _ = neurogloss("tasks", "ls")
    assert status == 0
    assert "smollm2-v2  1c566e50735e  120 units of embedded:smollm2-135m-instruct" in out
    assert "puzzles-v1  8adf2afbf077  56 puzzles" in out
    status, out, _ = neurogloss("tasks", "show", str(tiny_task))
    assert (status, out.count(" top and ")) == (0, 6)
    status, out, _ = neurogloss("tasks", "verify", str(tiny_task))
    assert (status, "whole" in out) == (0, True)
    status, _, err = neurogloss("tasks", "verify", "no-such-task")
    assert (status, "no-such-task" in err) == (cli.USER_ERROR, True)


def test_a_task_whose_files_changed_is_not_listed_as_whole(
    neurogloss: Command, tiny_task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    copy = shutil.copytree(tiny_task, tmp_path / "tasks" / "tiny-v1")
    assert "6 units" in neurogloss("tasks", "ls")[1]
    (copy / "README.md").write_text("another page")
    status, out, err = neurogloss("tasks", "ls")
    assert (status, "tiny-v1" in out, "is not as it was published" in err) == (cli.USER_ERROR, False, True)


def test_a_leaderboard_without_a_ranking_has_no_picture(neurogloss: Command, tmp_path: Path) -> None:
    (tmp_path / "board.svg").write_text("of entries that went")
    status, out, _ = neurogloss("leaderboard", "build", "--root", str(tmp_path))
    assert (status, "picture:" in out, (tmp_path / "board.svg").exists()) == (0, False, False)
    assert (tmp_path / "site" / "index.html").is_file()


@pytest.mark.slow
def test_ones_own_leaderboard_takes_the_tasks_that_are_here_and_no_others(
    neurogloss: Command, small: list[str], tiny_task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert neurogloss("run", *small)[0] == 0
    add = ("leaderboard", "add", str(tmp_path / "runs" / "latest"), "--root", "mine")
    status, _, err = neurogloss(*add)
    assert (status, "is unknown here" in err) == (cli.USER_ERROR, True)
    shutil.copytree(tiny_task, tmp_path / "tasks" / "tiny-v1")
    status, out, err = neurogloss(*add)
    assert status == 0, err
    assert "neurogloss leaderboard build --root mine" in out
    assert neurogloss("leaderboard", "build", "--root", "mine")[0] == 0
    assert "tiny-v1" in (tmp_path / "mine" / "README.md").read_text()


# ------------------------------------------------------------------------------------------------- what is quick to say


HEAVY = {
    "datasets",
    "hydra",
    "jinja2",
    "numpy",
    "omegaconf",
    "pyarrow",
    "rich",
    "scipy",
    "torch",
    "transformers",
    "yaml",
}
IMPORTED = """
import sys
from harness.cli import main
try:
    main()
except SystemExit:
    print(*sys.modules)
"""


def imported(*words: str) -> set[str]:
    """The packages that a command imports, in a process of its own."""
    process = subprocess.run([sys.executable, "-c", IMPORTED, *words], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in process.stdout.splitlines()[-1].split()}


@pytest.mark.parametrize("words", ["--help", "run --help", "audit -h", "tasks --help", "board --help"])
def test_help_imports_nothing_heavy(words: str) -> None:
    assert not imported(*words.split()) & HEAVY


@pytest.mark.slow
def test_listing_tasks_imports_no_more_than_it_needs() -> None:
    assert imported("tasks", "ls") & HEAVY == {"numpy", "rich", "yaml"}


def test_help_names_the_commands(neurogloss: Command) -> None:
    status, out, _ = neurogloss("--help")
    assert status == 0
    for command in (*(job.split()[0] for job in cli.JOBS), *cli.GROUPS, "board", "explainers", "agreement", "power"):
        assert command in out
    assert neurogloss("--version")[1].startswith("neurogloss ")
    assert neurogloss("nonsense")[0] == cli.USER_ERROR


@pytest.mark.parametrize("command", cli.COMMANDS, ids=lambda command: command.name)
def test_every_command_has_its_function(command: cli.Command) -> None:
    module, _, name = command.function.partition(":")
    assert list(inspect.signature(getattr(importlib.import_module(module), name)).parameters) in (["options"], ["_"])


def test_boards_are_ranked_by_the_headline_unless_another_metric_is_named() -> None:
    assert cli.METRIC == stats.HEADLINE


READY = """
import signal, sys
from harness.cli import main

class Ready:
    def find_spec(self, name, path=None, target=None):
        if name == "hydra":  # imported within the command, which answers for an interrupt from then on
            print("ready", flush=True)

signal.signal(signal.SIGINT, signal.default_int_handler)  # which processes that run behind ignore
sys.meta_path.insert(0, Ready())
main(sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 1.0, 4.0])
def test_an_interrupt_is_one_sentence(seconds: float, small: list[str]) -> None:
    words = ["run", *small, "explainer=summary", "explainer_model.fake.delay=30"]
    process = subprocess.Popen(
        [sys.executable, "-c", READY, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode in (cli.INTERRUPTED, -signal.SIGINT), "which is 130 to a shell, too"
    assert err.startswith("neurogloss: stopped;")
    assert err.count("\n") == 1


# ---------------------------------------------------------------------------------------------------- standard streams


def _printing(text: str, monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    """Run a command that prints a text; return its exit status."""

    def dispatch(_: object) -> int:
        show(text)
        print(text)
        return 0

    monkeypatch.setattr(cli, "_dispatch", dispatch)
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    return ended.value.code


def test_what_an_encoding_lacks_is_printed_as_a_question_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert _printing("95 % – 雨", monkeypatch) == 0
    assert written.getvalue() == b"95 % ? ?\n" * 2


def test_a_command_without_standard_output_does_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert _printing("x", monkeypatch) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_output_without_room_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.FileIO("/dev/full", "w"), encoding="utf-8"))
    monkeypatch.setattr(sys, "__stdout__", None)
    assert _printing("x", monkeypatch) == cli.USER_ERROR
    sentence = "neurogloss: what is printed cannot be written (No space left on device); make room and run again, "
    assert capfd.readouterr().err.startswith(sentence)


def test_a_reader_that_has_gone_ends_a_command_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(sys, "stdout", os.fdopen(writer, "w", encoding="utf-8"))
    monkeypatch.setattr(sys, "__stdout__", None)
    monkeypatch.setattr(cli, "_dispatch", lambda _: print("x") or 0)
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code == cli.FAILED
    assert not capfd.readouterr().err


def test_other_errors_of_the_system_are_not_told_as_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> int:
        raise ConnectionRefusedError("a defect of ours")

    monkeypatch.setattr(cli, "_dispatch", fail)
    with pytest.raises(ConnectionRefusedError):
        cli.main([])
