"""Audit and agreement by the command, on runs of a small task of a small random subject, with the scripted model."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import cli
from harness.results import audit
from harness.results.audit import Audit, Finding, Test, Verdict
from harness.results.run import read_run

Command = Callable[..., tuple[int, str, str]]
QUICK = ["labels.draws=3", "nulls=1", "repeats=1"]
FAKE = "model@simulator.tuned.model=fake"
DETECTION = ["scores=[panel,detection]", "model@scores.detection.model=fake", "scores.detection.level=1"]


@pytest.fixture
def neurogloss(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tiny_task: Path,
    tiny_llama: Path,
) -> Command:
    """Runs the command in this process, in a folder of its own; ``run`` is given the small task and models."""
    monkeypatch.chdir(tmp_path)
    small = [
        *(f"task.name={tiny_task.name}", f"task.path={tiny_task}"),
        *("subject=transformers", f"subject.name={tiny_llama}", "board.resamples=200"),
        "explainer=[max_activation,shuffled,token_lookup]",
    ]
    usual = {"run": small, "audit": [f"+allow.task.path={tiny_task}", f"+allow.subject.name={tiny_llama}"]}

    def command(*arguments: str) -> tuple[int, str, str]:
        words = [*arguments[:1], *usual.get(arguments[0], ()), *arguments[1:]]
        with pytest.raises(SystemExit) as end:
            cli.main(words)
        out, err = capfd.readouterr()
        return int(end.value.code or 0), out, err

    return command


def _audited(neurogloss: Command, *overrides: str) -> tuple[Audit, str]:
    status, out, err = neurogloss("audit", *overrides)
    assert status == 0, err
    result = audit.read(Path("runs/latest"))
    assert result is not None
    return result, out


def _verdict(result: Audit, metric: str, test: Test) -> Verdict:
    verdict = result.verdict(metric, test)
    assert verdict is not None
    return verdict


@pytest.mark.slow
def test_an_audit_tests_every_metric_and_the_board_shows_it(neurogloss: Command) -> None:
    assert neurogloss("run", FAKE)[0] == 0
    result, _ = _audited(neurogloss, *QUICK)
    assert result.tests == list(Test)
    assert {"correlation", "correlation_population", "explained_variance", "ablation"} <= set(result.metrics)
    assert len(result.verdicts) == len(result.tests) * len(result.metrics)
    assert result.explainer == "max_activation"

    retest = _verdict(result, "correlation", Test.RETEST)
    assert "says only that it is deterministic" in retest.sentence
    assert retest.figures["spread"] == pytest.approx(0.0)
    for null in (Test.SHUFFLED, Test.RANDOM):
        verdict = _verdict(result, "correlation", null)
        assert verdict.finding is Finding.UNTESTED
        assert "too few units to tell" in verdict.sentence
    for metric in ("ablation", "ablation_zero", "ablation_resample", "ablation_loss"):
        for test in (Test.MISSING_LABELS, Test.EXTRA_LABELS, Test.SHUFFLED, Test.RANDOM, Test.REINITIALISED):
            verdict = _verdict(result, metric, test)
            assert verdict.finding is not Finding.UNTESTED or verdict.figures, f"{metric} {test}"
    assert "loss_change" not in result.metrics
    assert {"re-initialised, simulate by tuned", "explanations, simulate by repeat 1"} <= result.seconds.keys()
    page = Path("runs/latest/audit.md").read_text()
    assert "| correlation |" in page.replace(" pass", "")
    assert "The metrics of a null are one family" in page
    assert "Whole groups" not in page
    assert f"{Finding.UNTESTED}, shuffled explanations: " in page

    status, board, _ = neurogloss("board", "runs/latest")
    assert status == 0
    assert "metric: correlation: " in board
    assert "not audited" not in board


@pytest.mark.slow
def test_test_excerpts_are_looked_at_once_and_the_gap_is_printed(neurogloss: Command) -> None:
    assert neurogloss("run", "simulator=token_overlap", "scores=panel")[0] == 0
    result, out = _audited(neurogloss, "tests=[shuffled]", "nulls=1", "final=true")
    assert [row.explainer for row in result.final] == ["max_activation", "shuffled"]  # a table is looked up
    assert "Final, on excerpts that nothing was chosen on" in out
    assert "Scores against each other, over units" in Path("runs/latest/audit.md").read_text()
    (record,) = Path("runs").glob("*.final.json")
    assert [row["explainer"] for row in json.loads(record.read_text())["rows"]] == ["max_activation", "shuffled"]
    before = record.read_bytes()
    assert neurogloss("run", "simulator=token_overlap", "scores=panel")[0] == 0
    status, _, err = neurogloss("audit", "tests=[shuffled]", "final=true")
    assert status == 2
    assert "looked at once, so leave final=true out" in err
    assert record.read_bytes() == before
    assert _audited(neurogloss, "tests=[shuffled]", "nulls=1")[0].final == ()


@pytest.mark.slow
def test_label_tests_ask_no_model_at_all(neurogloss: Command, tmp_path: Path) -> None:
    log = tmp_path / "asked"
    logged = [f"simulator.tuned.model.log={log}", f"scores.detection.model.log={log}"]
    assert neurogloss("run", FAKE, *DETECTION, *logged)[0] == 0
    requests = log.read_bytes()
    allowed = [f"+allow.{word}" for word in logged]
    result, _ = _audited(neurogloss, "tests=[extra_labels,missing_labels]", "labels.draws=2", *allowed)
    assert result.tests == [Test.MISSING_LABELS, Test.EXTRA_LABELS]
    assert (result.explainer, result.usage["labels"].spent.requests) == ("", 0)
    assert log.read_bytes() == requests
    missing = _verdict(result, "correlation", Test.MISSING_LABELS)
    assert missing.figures["labels"] > missing.figures["corrupted_labels"] > 0
    judged = _verdict(result, "detection", Test.MISSING_LABELS)
    assert judged.finding is Finding.UNTESTED
    assert "its scorer asks about words, and labels are none" in judged.sentence


@pytest.mark.slow
def test_the_subject_is_left_alone_where_it_is_not_to_be_asked_and_groups_are_drawn(neurogloss: Command) -> None:
    assert neurogloss("run", FAKE, "board.by_group=true")[0] == 0
    result, _ = _audited(neurogloss, "tests=[missing_labels,shuffled]", "ablation=false", *QUICK)
    for test in result.tests:
        ablated = _verdict(result, "ablation", test)
        assert ablated.finding is Finding.UNTESTED
        assert "the subject was not asked" in ablated.sentence
    assert result.by_group
    assert "Whole groups of units (layers) were the sample" in Path("runs/latest/audit.md").read_text()


@pytest.mark.slow
def test_a_seeded_simulator_fails_the_retest(neurogloss: Command) -> None:
    assert neurogloss("run", "simulator=chance")[0] == 0
    result, _ = _audited(neurogloss, "tests=[retest]", "repeats=2")
    verdict = _verdict(result, "correlation", Test.RETEST)
    assert verdict.finding is Finding.FAIL
    assert "with another seed" in verdict.sentence
    assert not math.isnan(verdict.figures["spread"])


@pytest.mark.slow
def test_each_repeat_asks_simulator_and_judge_past_the_store(neurogloss: Command, tmp_path: Path) -> None:
    """A run's own explanations are in the store; what is asked of a model in a retest is asked by repeats alone."""
    logs = {"simulator.tuned": tmp_path / "simulator", "scores.detection": tmp_path / "judge"}
    logged = [f"{place}.model.log={log}" for place, log in logs.items()]
    assert neurogloss("run", FAKE, *DETECTION, *logged, "explainer=[max_activation]")[0] == 0
    first = {place: Counter(log.read_text().split()) for place, log in logs.items()}
    result, _ = _audited(neurogloss, "tests=[retest]", "repeats=2", *(f"+allow.{word}" for word in logged))
    for place, log in logs.items():
        requests = Counter(log.read_text().split()) - first[place]
        again = {key: requests[key] for key in first[place]}  # what else is asked is of test excerpts, and once
        assert again == {key: 2 * count for key, count in first[place].items()}, place
        assert {count for key, count in requests.items() if key not in first[place]} == {1}, place
    assert _verdict(result, "correlation", Test.RETEST).figures["repeats"] == 3.0


@pytest.mark.slow
def test_of_several_simulators_the_run_s_own_is_audited(neurogloss: Command) -> None:
    assert neurogloss("run", "simulator=[token_overlap,chance]", "scores=panel")[0] == 0
    result, _ = _audited(neurogloss, "tests=[shuffled]", *QUICK)
    assert result.simulator.name == "token_overlap"
    assert [stage for stage in result.seconds if "simulate" in stage] == ["explanations, simulate by token_overlap"]
    rows = {(row.key.explainer, row.key.simulator): row for row in read_run(Path("runs/latest")).rows}
    mean = rows["max_activation", "token_overlap"].summary.metrics["correlation"].mean
    assert _verdict(result, "correlation", Test.SHUFFLED).figures["own"] == pytest.approx(mean, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("tests=[labels]", "there is no test labels; there are: missing_labels"),
        ("tests=[]", "tests= is empty; there are: missing_labels"),
        ("explanations=smollm2", "the run has no explanations in words by smollm2"),
        ("explanations=token_lookup", "the run has no explanations in words by token_lookup"),
        ("run=elsewhere", "is not a whole run"),
        ("nulls=0", "nulls is 0; write 1 or more"),
        ("labels.level=0", "labels.level is 0"),
        ("label.level=3", "there is no config key label"),
    ],
)
def test_an_audit_that_cannot_be_made_is_refused_in_one_sentence(
    neurogloss: Command, override: str, sentence: str
) -> None:
    if override != "run=elsewhere":
        assert neurogloss("run", "simulator=token_overlap", "units.limit=2", "scores=panel")[0] == 0
    status, _, err = neurogloss("audit", override)
    assert status == 2
    assert sentence in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_people_are_not_asked_about_a_subject_that_they_never_saw(neurogloss: Command, tmp_path: Path) -> None:
    assert neurogloss("run", "simulator=token_overlap", "scores=panel")[0] == 0
    units = read_run(Path("runs/latest")).task.units
    table = tmp_path / "people.csv"
    table.write_text("neuron,text,annotator\n" + "".join(f"{unit},harbour {unit},anna\n" for unit in units))
    people = ["explainer=[max_activation,people]", "human=table", f"human.file={table}"]
    status, _, err = neurogloss("run", "simulator=token_overlap", "scores=panel", *people)
    assert status == 0, err
    status, _, err = neurogloss("audit", "tests=[reinitialised]", "explanations=people")
    assert (status, "people cannot be asked to explain the re-initialised subject" in err) == (2, True), err
    result, _ = _audited(neurogloss, "tests=[shuffled]", "explanations=people", *QUICK)
    assert result.explainer == "people"


@pytest.mark.slow
def test_another_task_of_the_same_name_is_refused(neurogloss: Command) -> None:
    assert neurogloss("run", "simulator=token_overlap", "scores=panel")[0] == 0
    path = Path("runs/latest/results.json")
    document = json.loads(path.read_text())
    document["task"]["digest"] = "0" * 64
    path.write_text(json.dumps(document))
    status, _, err = neurogloss("audit", "tests=[missing_labels]")
    assert (status, "with the digest 000000000000, and the task here has" in err) == (2, True), err


def test_puzzles_are_not_audited(neurogloss: Command) -> None:
    puzzles = ["task=puzzles-v1", "task.name=puzzles-v1", "task.path=null", "task.limit=2", "explainer=[]"]
    assert neurogloss("run", *puzzles, "simulator=token_overlap")[0] == 0
    status, _, err = neurogloss("audit", "tests=[missing_labels]")
    assert (status, "is a run of puzzles, which come from no corpus" in err) == (2, True), err


@pytest.mark.slow
def test_agreement_reports_two_simulators_and_refuses_one(neurogloss: Command) -> None:
    folders = []
    for simulator in ("token_overlap", "chance"):
        assert neurogloss("run", f"simulator={simulator}", "scores=panel")[0] == 0
        folders.append(str(Path("runs/latest").resolve()))
    status, out, err = neurogloss("agreement", *folders)
    assert status == 0, err
    assert "Do token_overlap and chance agree?" in out
    (folder,) = Path("runs").glob("agreement-*")
    document = json.loads((folder / "agreement.json").read_text())
    assert [row["explainer"] for row in document["explainers"]] == ["max_activation", "shuffled"]
    assert abs(document["tokens"]["correlation"]) < 0.2
    assert "max" in (folder / "agreement.md").read_text()
    status, _, err = neurogloss("agreement", folders[0], folders[0])
    assert status == 2
    assert "token_overlap" in err
