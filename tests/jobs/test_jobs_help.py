"""The help of each job names its groups with all of their options, and examples that compose."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from harness.config.compose import composed, jobs
from harness.files import shipped
from harness.jobs import jobs_help
from harness.jobs.jobs import JOBS

CONF = shipped("conf")


def groups_of(config: str) -> set[str]:
    """The groups in the defaults list of a config."""
    defaults = yaml.safe_load((CONF / f"{config}.yaml").read_text())["defaults"]
    keys = [key for item in defaults if isinstance(item, dict) for key in item]
    return {key for key in keys if not key.startswith("override ")}


@pytest.mark.parametrize("name", JOBS)
def test_the_groups_of_a_job_are_those_of_its_config(name: str) -> None:
    groups = {group for group, _ in jobs_help.HELP[name].groups}
    assert groups - {"model"} == groups_of(JOBS[name].config)
    for group in groups:
        assert {path.stem for path in (CONF / group).glob("*.yaml")} <= set(jobs_help.options(group, [CONF]))


@pytest.mark.parametrize("name", JOBS)
def test_every_option_and_every_example_is_shown(name: str) -> None:
    text = jobs_help.text(name)
    words = set(re.findall(r"[\w.-]+", text))
    for group, _ in jobs_help.HELP[name].groups:
        assert {path.stem for path in (CONF / group).glob("*.yaml")} <= words
    assert all(command.startswith(f"neurogloss {name}") for command, _ in jobs_help.HELP[name].examples)
    assert len({jobs_help.text(other) for other in JOBS}) == len(JOBS)


def examples() -> list[tuple[str, tuple[str, ...]]]:
    """The config and the overrides of each job of an example that needs no file of one's own."""
    commands = [(name, shlex.split(command)) for name, job in jobs_help.HELP.items() for command, _ in job.examples]
    overrides = [
        (JOBS[name].config, [word for word in words if "=" in word and not word.startswith(("hydra/", "hydra."))])
        for name, words in commands
        if not any(word.startswith(("plugins=", "--config-dir")) for word in words)
    ]
    return list(dict.fromkeys((config, tuple(job)) for config, chosen in overrides for job in jobs(chosen)))


@pytest.mark.parametrize(("config", "overrides"), examples(), ids=lambda value: " ".join(value)[:60])
def test_an_example_composes(config: str, overrides: tuple[str, ...]) -> None:
    assert composed(config, overrides)


def test_tasks_that_were_frozen_here_are_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tasks" / "mine-v1").mkdir(parents=True)
    (tmp_path / "tasks" / "mine-v1" / "task.yaml").write_text("name: mine-v1")
    assert "mine-v1" in jobs_help.text("run")
