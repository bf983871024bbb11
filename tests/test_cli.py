"""The command from end to end, on a small task of a small random subject, with the scripted model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest

from harness import cli
from harness.results import read_run

Command = Callable[..., tuple[int, str, str]]


ALL = [
    "explainer=[token_activation,max_activation,shuffled,token_lookup]",
    "model@explainer.token_activation.model=fake",
]


@pytest.fixture
def neurogloss(capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs the command in this process: (exit status, standard output, standard error)."""

    def command(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    return command


@pytest.fixture
def overrides(tiny_task: Path, tiny_llama: Path, tmp_path: Path) -> list[str]:
    """What makes a run of the default config small: the small task and subject, the scripted model."""
    return [
        f"task.name={tiny_task.name}",
        f"task.path={tiny_task}",
        "subject=transformers",
        f"subject.name={tiny_llama}",
        "model@simulator.model=fake",
        f"output={tmp_path / 'runs'}",
        "scores.resamples=200",
    ]


def test_a_run_leaves_everything_and_prints_its_board(
    neurogloss: Command, overrides: list[str], tmp_path: Path
) -> None:
    status, out, err = neurogloss("run", *overrides, *ALL)
    assert status == 0, err
    folder = (tmp_path / "runs" / "latest").resolve()
    for name in ("results.json", "board.md", "explanations.parquet", "simulations.parquet", "scores.parquet"):
        assert (folder / name).is_file()
    for row in ("token_activation", "max_activation", "shuffled", "token_lookup", "not collected"):
        assert row in out
        assert row in (folder / "board.md").read_text()
    assert str(folder.name) in out

    found = read_run(folder)
    assert [summary.explainer for summary in found.summaries] == [
        "token_activation",
        "max_activation",
        "shuffled",
        "token_lookup",
    ]
    assert all(summary.coverage == 1.0 for summary in found.summaries)
    lookup, shuffled = found.summaries[3].metrics["correlation"].mean, found.summaries[2].metrics["correlation"].mean
    assert lookup > shuffled
    assert {"ablation", "correlation_random", "r2_uncentred"} <= set(found.summaries[3].metrics)
    assert found.usage["simulate"].spent.requests > 0
    assert set(found.seconds) >= {"explain", "simulate", "calibrate", "ablate", "score"}
    scores = datasets.load_dataset(
        str(folder / "dataset"), "scores", split="results", cache_dir=str(tmp_path / "cache")
    )
    assert scores.num_rows == pq.read_table(folder / "scores.parquet").num_rows


def test_running_again_asks_nothing_and_gives_the_same(
    neurogloss: Command, overrides: list[str], tmp_path: Path
) -> None:
    assert neurogloss("run", *overrides, *ALL)[0] == 0
    folder = (tmp_path / "runs" / "latest").resolve()
    first = {name: (folder / name).read_bytes() for name in ("scores.parquet", "simulations.parquet")}
    assert neurogloss("run", *overrides, *ALL)[0] == 0
    assert {name: (folder / name).read_bytes() for name in first} == first
    usage = read_run(folder).usage
    assert all(stage.spent.requests == 0 for stage in usage.values())
    assert usage["simulate"].saved.requests > 0


JUDGED = [
    "scores=judged",
    *(f"model@scores.judges.{judge}.model=fake" for judge in ("detection", "fuzzing")),
    "explainer=[max_activation,shuffled,token_lookup]",
]


def test_judges_are_asked_where_they_are_chosen(neurogloss: Command, overrides: list[str], tmp_path: Path) -> None:
    status, out, err = neurogloss("run", *overrides, *JUDGED)
    assert status == 0, err
    assert "cases" in out
    found = read_run(tmp_path / "runs" / "latest")
    assert [(judge.name, judge.identity and judge.identity.backend) for judge in found.judges] == [
        ("detection", "fake"),
        ("fuzzing", "fake"),
    ]
    assert found.usage["judge"].spent.requests > 0
    told, _, table = found.summaries
    assert {"detection", "detection_auroc", "fuzzing", "fuzzing_auroc"} <= set(told.metrics)
    assert (told.judgements > 0, table.judgements) == (True, 0)
    rows = pq.read_table(tmp_path / "runs" / "latest" / "judgements.parquet").to_pylist()
    assert len(rows) == sum(row.judgements for row in found.summaries)
    status, out, err = neurogloss("board", str(tmp_path / "runs" / "latest"), "--by", "fuzzing")
    assert status == 0, err
    assert neurogloss("board", str(tmp_path / "runs" / "latest"), "--by", "loss_change")[0] == 2


def test_a_puzzle_has_nothing_to_judge(neurogloss: Command, tmp_path: Path) -> None:
    status, _, err = neurogloss("run", "task=puzzles-v1", "scores=judged", f"output={tmp_path}")
    assert status == cli.USER_ERROR
    assert "a puzzle has none; write scores=default" in err


def test_both_simulators_run(neurogloss: Command, overrides: list[str], tmp_path: Path) -> None:
    status, out, err = neurogloss(
        "run", *overrides, "simulator=one_at_a_time", "explainer=[max_activation,shuffled]", "neurons.limit=2"
    )
    assert status == 0, err
    assert "one_at_a_time" in out
    assert read_run(tmp_path / "runs" / "latest").simulator.name == "one_at_a_time"


def test_a_sweep_makes_a_run_for_each_value(neurogloss: Command, overrides: list[str], tmp_path: Path) -> None:
    status, _, err = neurogloss(
        "run", "-m", *overrides, "explainer=max_activation,token_lookup", "scores.ablation=false"
    )
    assert status == 0, err
    folders = [path for path in (tmp_path / "runs").glob("tiny-v1-*") if path.is_dir()]
    explainers = {read_run(folder).summaries[0].explainer for folder in folders}
    assert explainers == {"max_activation", "token_lookup"}


def test_a_failed_job_of_a_sweep_leaves_its_record_and_the_others_go_on(
    neurogloss: Command, overrides: list[str], tmp_path: Path
) -> None:
    status, _, err = neurogloss("run", "-m", *overrides, "explainer=shuffled,max_activation", "neurons.limit=1")
    assert status == 1
    assert "need at least two neurons" in err
    (record,) = (tmp_path / "runs" / "failures").glob("*.json")
    assert "need at least two neurons" in json.loads(record.read_text())["sentence"]
    assert read_run(tmp_path / "runs" / "latest").summaries[0].explainer == "max_activation"


def test_people_are_scored_by_the_same_code(neurogloss: Command, overrides: list[str], tmp_path: Path) -> None:
    status, out, _ = neurogloss("tasks", "show", overrides[1].partition("=")[2])
    neuron = next(word for word in out.split() if word.startswith("L0N"))
    table = tmp_path / "people.csv"
    table.write_text(f'neuron,text,annotator\n{neuron},"boats, and what floats",ada\n')
    status, out, err = neurogloss(
        "run", *overrides, "explainer=[people,max_activation]", "human=table", f"human.file={table}"
    )
    assert status == 0, err
    people = read_run(tmp_path / "runs" / "latest").summaries[0]
    assert (people.scored, people.outcomes["not collected"]) == (1, people.neurons - 1)


@pytest.mark.parametrize(
    ("wrong", "answer"),
    [
        (["neurons.limt=4"], "did you mean neurons.limit?"),
        (["neurons.ids=[L9N9]"], "L9N9"),
        (["neurons.limit=0"], "limit"),
        (["+explainer.max_activation.zz=1"], "no config key explainer.max_activation.zz"),
        (["explainer.max_activation.tokens=many"], "a whole number is wanted"),
        (["explainer.max_activation._target_=os.system"], "only classes of harness"),
        (["explainer=[]"], "no explainer is chosen"),
        (["explainer=max_activation,token_lookup"], "add -m"),
        (["task.path=/nowhere"], "/nowhere"),
        (["human=table", "human.file=/nowhere.csv", "explainer=people"], "/nowhere.csv"),
        (["track=wandb", "track.mode=online"], "WANDB_API_KEY"),
        (["publish=hub"], "publish.repo_id"),
        (["scores.ablation_top=0", "scores.ablation_random=0"], "scores.ablation=false"),
        (["budget.tokens=10"], "the budget of 10 tokens is used up"),
        (["subject.name=/nowhere/at/all"], "/nowhere/at/all"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(
    neurogloss: Command,
    overrides: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wrong: list[str],
    answer: str,
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    status, _, err = neurogloss("run", *overrides, *wrong)
    assert status == cli.USER_ERROR
    assert err.startswith("neurogloss: ")
    assert answer in err
    assert "Traceback" not in err
    assert err.count("\n") == 1
    assert not (tmp_path / "runs" / "latest").exists()
    assert not list((tmp_path / "runs").glob("tiny*"))
    assert not list((tmp_path / "runs").glob(".*tmp"))


def test_another_subject_than_the_tasks_is_refused(neurogloss: Command, overrides: list[str], tiny_gpt2: Path) -> None:
    status, _, err = neurogloss("run", *overrides, f"subject.name={tiny_gpt2}")
    assert status == cli.USER_ERROR
    assert "was recorded from" in err


def test_an_edited_task_is_refused(neurogloss: Command, overrides: list[str], tiny_task: Path, tmp_path: Path) -> None:
    edited = shutil.copytree(tiny_task, tmp_path / tiny_task.name)
    data = bytearray((edited / "records.parquet").read_bytes())
    data[len(data) // 2] ^= 1
    (edited / "records.parquet").write_bytes(data)
    status, _, err = neurogloss("run", *overrides, f"task.path={edited}")
    assert status == cli.USER_ERROR
    assert "records.parquet" in err


def test_the_name_of_a_task_that_ships_is_not_given_to_an_import(neurogloss: Command, tmp_path: Path) -> None:
    given = ("--subject", "gpt2", "--output", str(tmp_path / "tasks"))
    status, _, err = neurogloss("tasks", "import", "smollm2-mini-v1", str(tmp_path), *given)
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
    assert {"puzzles-v1", "smollm2-mini-v1"} <= set(out.split())
    assert "foreign" in out + error


def test_tasks_are_listed_shown_and_verified(neurogloss: Command, tiny_task: Path) -> None:
    status, out, _ = neurogloss("tasks", "ls")
    assert (status, "smollm2-mini-v1" in out) == (0, True)
    status, out, _ = neurogloss("tasks", "show", str(tiny_task))
    assert (status, out.count(" top and ")) == (0, 6)
    status, out, _ = neurogloss("tasks", "verify", str(tiny_task))
    assert (status, "whole" in out) == (0, True)
    status, _, err = neurogloss("tasks", "verify", "no-such-task")
    assert (status, "no-such-task" in err) == (cli.USER_ERROR, True)


def test_the_leaderboard_refuses_a_task_it_does_not_know(
    neurogloss: Command, overrides: list[str], tmp_path: Path
) -> None:
    assert neurogloss("run", *overrides, *ALL)[0] == 0
    root = tmp_path / "leaderboard"
    status, _, err = neurogloss("leaderboard", "add", str(tmp_path / "runs" / "latest"), "--root", str(root))
    assert (status, "is unknown here" in err) == (cli.USER_ERROR, True)
    assert neurogloss("leaderboard", "build", "--root", str(root))[0] == 0
    assert (root / "README.md").is_file()


def test_the_board_of_an_older_run_is_printed_again(neurogloss: Command, overrides: list[str], tmp_path: Path) -> None:
    _, first, _ = neurogloss("run", *overrides, *ALL)
    status, again, _ = neurogloss("board", str(tmp_path / "runs" / "latest"))
    assert status == 0
    assert again.strip() in first


def test_power_says_how_many_neurons_it_takes(neurogloss: Command, overrides: list[str], tmp_path: Path) -> None:
    assert neurogloss("run", *overrides, *ALL, "scores.ablation=false", "scores.by_layer=true")[0] == 0
    run = str(tmp_path / "runs" / "latest")
    assert read_run(Path(run)).standing is not None
    status, out, err = neurogloss(
        "power", run, "--difference", "0.1", "--explainers", "max_activation", "shuffled", "--metric", "spearman"
    )
    assert status == 0, err
    assert "To tell max_activation from shuffled where they differ by 0.1 takes about" in out
    status, _, err = neurogloss("power", run, "--difference", "0")
    assert (status, "difference of 0.0" in err, err.count("\n")) == (cli.USER_ERROR, True, 1)


def test_help_names_the_commands(neurogloss: Command) -> None:
    status, out, _ = neurogloss("--help")
    assert status == 0
    for command in ("run", "collect", "board", "power", "tasks", "leaderboard"):
        assert command in out
