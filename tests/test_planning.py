"""``neurogloss plan`` on a small task, with models that must not be asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness import cli, planning
from harness.types import Candidate, Explanation, NeuronId


@pytest.fixture
def overrides(tiny_task: Path, tiny_llama: Path, tmp_path: Path) -> list[str]:
    return [
        *(f"task.name={tiny_task.name}", f"task.path={tiny_task}", "subject=transformers"),
        *(f"subject.name={tiny_llama}", f"output={tmp_path / 'runs'}", "scores.ablation=false"),
        *("scores.resamples=200", "neurons.limit=2", "explainer=[token_activation,max_activation]"),
    ]


def server(where: str) -> list[str]:
    """A server that is not there."""
    return [
        f"model@{where}=server",
        *(f"{where}.{setting}" for setting in ("name=tiny", "base_url=http://127.0.0.1:9/v1")),
        f"{where}.usd_per_million_prompt_tokens=2.0",
    ]


def plan(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> list[list[str]]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["plan", *arguments])
    out, err = capfd.readouterr()
    assert not ended.value.code, err
    return [line.split() for line in out.splitlines()]


@pytest.mark.parametrize("simulator", ["all_at_once", "one_at_a_time"])
def test_a_run_on_servers_is_planned_by_stage_and_model(
    overrides: list[str], capfd: pytest.CaptureFixture[str], tmp_path: Path, simulator: str
) -> None:
    where = ("explainer.token_activation.model", "simulator.model")
    both = [*overrides, f"simulator={simulator}", *server(where[0]), *server(where[1])]
    lines = plan([*both, "budget.tokens=10"], capfd)
    rows = {line[0]: line for line in lines if line and line[0] in ("explain", "simulate", "all")}
    assert rows["explain"][1:4] == ["tiny", "2", "0"]
    assert int(rows["simulate"][2]) > 2
    assert float(rows["all"][-1]) == pytest.approx(float(rows["explain"][-1]) + float(rows["simulate"][-1]), abs=2e-4)
    assert any("budget.tokens" in line for line in lines)
    assert not (tmp_path / "runs").exists()


def test_what_a_run_has_stored_is_not_planned_again(overrides: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    fakes = ["model@explainer.token_activation.model=fake", "simulator=all_at_once", "model@simulator.model=fake"]
    before = {line[0]: line for line in plan([*overrides, *fakes], capfd) if line}
    assert int(before["all"][1]) > 4
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", *overrides, *fakes])
    assert not ended.value.code
    capfd.readouterr()
    after = {line[0]: line for line in plan([*overrides, *fakes], capfd) if line}
    assert after["all"][1:3] == ["0", before["all"][1]]


def test_all_that_choosing_among_candidates_asks_is_planned(
    overrides: list[str], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    fakes = ["model@explainer.token_activation.model=fake", "simulator=all_at_once", "model@simulator.model=fake"]
    logged = [f"{where}.model.log={log}" for where in ("explainer.token_activation", "simulator")]
    several = [*overrides, *fakes, *logged, "asking.candidates=3", "asking.temperature=0.7"]
    planned = {line[0]: line for line in plan(several, capfd) if line}
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", *several])
    assert not ended.value.code
    assert int(planned["all"][1]) == len(log.read_text().split())


def test_a_candidate_that_may_be_chosen_is_planned_at_its_longest() -> None:
    said = Explanation(NeuronId(0, 0), "x", text="a", candidates=(Candidate("a"), Candidate("abc"), Candidate("ab")))
    assert planning._longest(said).text == "abc"
    scored = replace(said, candidates=tuple(replace(one, score=0.5) for one in said.candidates))
    assert planning._longest(scored).text == "a"


def test_puzzles_are_planned(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["task=puzzles-v1", "task.limit=2", "simulator=all_at_once", "explainer=[max_activation]"]
    lines = plan([*arguments, "model@simulator.model=fake", f"output={tmp_path / 'runs'}"], capfd)
    stages = [" ".join(line[:3]) for line in lines if line[:1] == ["simulate"]]
    assert stages == ["simulate by all_at_once", "simulate explanations fake"]
