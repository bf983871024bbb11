"""Audit and agreement by the command, on runs of a small task of a small random subject, with the scripted model."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import audit_results, cli
from harness.audit_results import Audit, Finding, Test

Command = Callable[..., tuple[int, str, str]]
QUICK = ["labels.draws=3", "nulls=1", "repeats=1"]


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
        *("subject=transformers", f"subject.name={tiny_llama}", "scores.resamples=200"),
        "explainer=[max_activation,shuffled,token_lookup]",
    ]

    def command(*arguments: str) -> tuple[int, str, str]:
        given = [*arguments[:1], *(small if arguments[0] == "run" else ()), *arguments[1:]]
        with pytest.raises(SystemExit) as ended:
            cli.main(given)
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    return command


def _audited(neurogloss: Command, *overrides: str) -> tuple[Audit, str]:
    status, out, err = neurogloss("audit", *overrides)
    assert status == 0, err
    found = audit_results.read(Path("runs/latest"))
    assert found is not None
    return found, out


def test_an_audit_tests_every_metric_and_the_board_shows_it(neurogloss: Command) -> None:
    assert neurogloss("run", "model@simulator.model=fake")[0] == 0
    found, out = _audited(neurogloss, *QUICK)
    assert found.tests == list(Test)
    assert {"correlation", "correlation_population", "explained_variance", "ablation"} <= set(found.metrics)
    assert len(found.verdicts) == len(found.tests) * len(found.metrics)
    assert found.explainer == "max_activation"

    retest = found.verdict("correlation", Test.RETEST)
    assert retest is not None
    assert (retest.finding, retest.figures["spread"]) == (Finding.PASS, pytest.approx(0.0))
    for null in (Test.SHUFFLED, Test.RANDOM):
        verdict = found.verdict("correlation", null)
        assert verdict is not None
        assert verdict.finding is Finding.FAIL, "a simulator that understands nothing cannot tell a null apart"
    for name in ("ablation", "ablation_zero", "ablation_resample", "ablation_loss"):
        for test in Test:
            ablated = found.verdict(name, test)
            assert ablated is not None
            assert ablated.finding is not Finding.UNTESTED, f"{name} {test}"
    assert "loss_change" not in found.metrics
    assert "re-initialised, simulate" in found.seconds
    page = Path("runs/latest/audit.md").read_text()
    assert "| correlation |" in page.replace(" pass", "")
    assert "corrected for all metrics of the panel (Holm)" in page
    assert "Whole layers" not in page
    assert "fail, shuffled explanations" in out

    status, board, _ = neurogloss("board", "runs/latest")
    assert status == 0
    assert "metric: correlation: fails" in board


def test_label_tests_ask_no_model_at_all(neurogloss: Command, tmp_path: Path) -> None:
    log = tmp_path / "asked"
    assert neurogloss("run", "model@simulator.model=fake", f"simulator.model.log={log}")[0] == 0
    asked = log.read_bytes()
    found, _ = _audited(neurogloss, "tests=[extra_labels,missing_labels]", "labels.draws=2")
    assert found.tests == [Test.MISSING_LABELS, Test.EXTRA_LABELS]
    assert (found.explainer, found.usage["labels"].spent.requests) == ("", 0)
    assert log.read_bytes() == asked
    tested = found.verdict("correlation", Test.MISSING_LABELS)
    assert tested is not None
    assert tested.figures["labels"] > tested.figures["corrupted_labels"] > 0


def test_the_subject_is_left_alone_where_it_is_not_to_be_asked_and_layers_are_drawn(neurogloss: Command) -> None:
    assert neurogloss("run", "model@simulator.model=fake", "scores.by_layer=true")[0] == 0
    found, _ = _audited(neurogloss, "tests=[missing_labels,shuffled]", "ablation=false", *QUICK)
    for test in found.tests:
        ablated = found.verdict("ablation", test)
        assert ablated is not None
        assert ablated.finding is Finding.UNTESTED
        assert "the subject was not asked" in ablated.sentence
    assert found.by_layer
    assert "Whole layers were drawn and flipped" in Path("runs/latest/audit.md").read_text()


def test_a_seeded_simulator_fails_the_retest(neurogloss: Command) -> None:
    assert neurogloss("run", "simulator=chance")[0] == 0
    found, _ = _audited(neurogloss, "tests=[retest]", "repeats=2")
    verdict = found.verdict("correlation", Test.RETEST)
    assert verdict is not None
    assert verdict.finding is Finding.FAIL
    assert "with another seed" in verdict.sentence
    assert not math.isnan(verdict.figures["spread"])


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("tests=[labels]", "there is no test labels; there are: missing_labels"),
        ("explanations=smollm2", "the run has no explanations in words by smollm2"),
        ("explanations=token_lookup", "the run has no explanations in words by token_lookup"),
        ("run=elsewhere", "is not a whole run"),
        ("nulls=0", "nulls is 0; write 1 or more"),
        ("labels.level=0", "labels.level is 0"),
        ("label.level=3", "there is no config key label"),
    ],
)
def test_what_cannot_be_audited_is_refused_in_one_sentence(neurogloss: Command, override: str, sentence: str) -> None:
    if override != "run=elsewhere":
        assert neurogloss("run", "simulator=token_overlap", "neurons.limit=2", "scores.ablation=false")[0] == 0
    status, _, err = neurogloss("audit", override)
    assert status == 2
    assert sentence in err
    assert "Traceback" not in err


def test_agreement_reports_two_simulators_and_refuses_one(neurogloss: Command) -> None:
    folders = []
    for simulator in ("token_overlap", "chance"):
        assert neurogloss("run", f"simulator={simulator}", "scores.ablation=false")[0] == 0
        folders.append(str(Path("runs/latest").resolve()))
    status, out, err = neurogloss("agreement", *folders)
    assert status == 0, err
    assert "Do token_overlap and chance agree?" in out
    (written,) = Path("runs").glob("agreement-*")
    document = json.loads((written / "agreement.json").read_text())
    assert [one["explainer"] for one in document["explainers"]] == ["max_activation", "shuffled"]
    assert abs(document["tokens"]["correlation"]) < 0.2
    assert "| max\\_activation |" in (written / "agreement.md").read_text().replace(
        "max_activation", "max\\_activation"
    )
    status, _, err = neurogloss("agreement", folders[0], folders[0])
    assert status == 2
    assert "both runs have the simulator token_overlap" in err
