"""Every file of ``conf/`` composes, and every class that one names takes the keys that it gives."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import DictConfig, OmegaConf

from harness.config import build
from harness.config.compose import SCHEMAS, composed, open_keys, plain, settings_from
from harness.config.registry import CLASSES
from harness.config.settings import RunSettings
from harness.files import shipped
from harness.jobs.explainers import explainer_nodes

CONF = shipped("conf")
GROUPS = {
    "run": [
        "budget",
        "experiment",
        "explainer",
        "explainer_model",
        "human",
        "publish",
        "scores",
        "simulator",
        "subject",
        "task",
        "track",
        "units",
    ],
    "collect": ["corpus", "recipe", "sample", "subject"],
    "audit": ["budget"],
    "study": ["card", "task", "units"],
    "tune": ["corpus", "subject"],
}
TAKEN_TOGETHER = ("explainer", "explainer_model", "scores", "simulator", "track")
"""Groups of which a run takes several options, so that all are composed at once."""
CHOOSES_OTHERS = ("experiment", "recipe", "task")
"""Groups whose options choose those of other groups, so that each is composed alone."""


def choices(group: str) -> list[str]:
    """An override for each option of a group."""
    options = sorted(path.stem for path in (CONF / group).iterdir())
    return [f"{group}={option}" for option in ([f"[{','.join(options)}]"] if group in TAKEN_TOGETHER else options)]


def composing(groups: Sequence[str]) -> list[list[str]]:
    """Overrides that try every option of every group, those of different groups in one composition where they can."""
    alone = [[choice] for group in groups if group in CHOOSES_OTHERS for choice in choices(group)]
    beside = itertools.zip_longest(*(choices(group) for group in groups if group not in CHOOSES_OTHERS))
    return alone + [[choice for choice in chosen if choice] for chosen in beside]


COMPOSED = [(name, overrides) for name, groups in GROUPS.items() for overrides in composing(groups)]
GROUP_OF_CLASSES = {"explainer_model": "model", "scores": "scorer", "track": "tracker", "controls": "simulator"}
"""The group of the classes that nodes under a key name, where it is not the key."""


def test_every_group_is_tried() -> None:
    folders = {path.name for path in CONF.iterdir() if path.is_dir()}
    assert folders == {group for groups in GROUPS.values() for group in groups} | {"hydra", "model", "unit", "writer"}


def test_every_option_is_tried() -> None:
    for name, groups in GROUPS.items():
        tried = [choice for command, overrides in COMPOSED if command == name for choice in overrides]
        assert sorted(tried) == sorted(choice for group in groups for choice in choices(group))


@pytest.mark.parametrize(("name", "overrides"), COMPOSED)
def test_every_option_composes_and_is_taken_by_its_class(name: str, overrides: list[str]) -> None:
    settings = settings_from(SCHEMAS[name], plain(_filled(name, [*_needed(name), *overrides])))
    for where, kind, node in _nodes(settings):
        build.check(node, where, kind)
    if isinstance(settings, RunSettings):
        assert explainer_nodes(settings)


def _needed(name: str) -> list[str]:
    return {"collect": ["name=mine-v1"], "study": ["mode=explain"]}.get(name, [])


def _filled(name: str, overrides: list[str]) -> DictConfig:
    """The config of a command with values for the keys that it leaves to the user."""
    config = composed(name, overrides)
    numbers = ("neurons", "usd_per_million_prompt_tokens", "usd_per_million_completion_tokens")
    values: dict[str, Any] = {**dict.fromkeys(numbers, 3.0), "ids": ["L0N1"], "base_url": "http://localhost:8000/v1"}
    for key in open_keys(config):
        last = key.rpartition(".")[2]
        OmegaConf.update(config, key, values.get(last, "x"))
    return config


def _nodes(settings: Any) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield the key, the group and the node of all that settings choose; methods are the business of their job."""
    for key, value in vars(settings).items():
        kind = GROUP_OF_CLASSES.get(key, key)
        if isinstance(value, dict) and build.USE in value:
            yield key, {"network": "training", "judge": "training"}.get(key, kind), value
        elif isinstance(value, dict) and key != "explainer":
            yield from (
                (f"{key}.{name}", {"judged": "simulator", "subject": name}.get(key, kind), node)
                for name, node in value.items()
            )
    if isinstance(settings, RunSettings):
        for key in ("controls", "scores"):
            nodes = getattr(settings.task, key)
            yield from ((f"task.{key}.{name}", GROUP_OF_CLASSES[key], node) for name, node in nodes.items())


@pytest.mark.parametrize("option", [path.stem for path in sorted((CONF / "model").iterdir())])
def test_every_model_fits_every_place(option: str) -> None:
    overrides = ["simulator=all_at_once", f"model@simulator.all_at_once.model={option}", "scores=[detection]"]
    overrides += [f"model@scores.detection.model={option}", f"+model@explainer_model.b={option}"]
    config = plain(_filled("run", overrides))
    for node in (
        config["simulator"]["all_at_once"]["model"],
        config["scores"]["detection"]["model"],
        config["explainer_model"]["b"],
    ):
        build.check(node, "model", "model")


def test_every_model_that_can_explain_is_an_option() -> None:
    options = {path.stem for path in (CONF / "explainer_model").iterdir()}
    writing = [path.stem for path in (CONF / "model").iterdir() if "use: model/tuned\n" not in path.read_text()]
    assert options == set(writing)
    for option in options:
        (choice,) = yaml.safe_load((CONF / "explainer_model" / f"{option}.yaml").read_text())["defaults"]
        assert choice == {f"/model@{option}": option}


def _files() -> list[Path]:
    return sorted(CONF.rglob("*.yaml"))


def test_every_file_says_in_one_sentence_what_it_is_for() -> None:
    for path in _files():
        comment = itertools.takewhile(lambda line: line.startswith("#"), path.read_text().splitlines())
        sentence = " ".join(line.lstrip("# ") for line in comment if not line.startswith("# @package"))
        assert sentence.endswith((".", "?")), path
        assert ". " not in sentence.replace("et al. ", "").replace("et al., ", ""), (
            f"{path} begins with several sentences"
        )
        yaml.safe_load(path.read_text())


def test_no_file_names_a_module() -> None:
    for path in _files():
        text = path.read_text()
        assert "_target_" not in text, path
        assert "harness." not in text, path


def test_every_class_of_the_table_is_used_by_a_config() -> None:
    text = "\n".join(path.read_text() for path in _files())
    of_audits = {"subject/reinitialised"}  # an audit puts it in the place of the run's own subject
    assert {name for name in CLASSES if f"use: {name}\n" not in text} == of_audits


@pytest.mark.parametrize("option", ["puzzles-v1", "puzzles"])
def test_puzzles_bring_their_controls_their_scores_and_a_lookup_that_trusts_one_token(option: str) -> None:
    config = composed("run", [f"task={option}"])
    assert list(config.task.controls) == ["token_overlap", "chance"]
    assert OmegaConf.to_container(config.task.scores) == {"truths": {"use": "scorer/truths", "maximum_missing": 0.05}}
    assert config.task.name == option
    assert config.explainer.token_lookup.minimum_count == 1
    assert composed("run", []).explainer.token_lookup.minimum_count == 3


@pytest.mark.parametrize("option", [path.stem for path in sorted((CONF / "explainer").iterdir())])
def test_an_explainer_is_named_like_its_file_and_brings_no_model(option: str) -> None:
    config = yaml.safe_load((CONF / "explainer" / f"{option}.yaml").read_text())
    assert list(config) == [option]
    assert config[option]["use"] == f"explainer/{option}"
    assert "model" not in yaml.safe_dump(config).replace("model_name", "").replace("source", "")


@pytest.mark.parametrize("option", [path.stem for path in sorted((CONF / "explainer").iterdir())])
def test_every_explainer_asks_on_equal_terms(option: str) -> None:
    nodes = list(yaml.safe_load((CONF / "explainer" / f"{option}.yaml").read_text()).values())
    while nodes:
        node = nodes.pop()
        nodes += [value for value in node.values() if isinstance(value, dict)]
        if "prompt" in node:
            assert (node["candidates"], node["temperature"]) == ("${asking.candidates}", "${asking.temperature}")
            assert node["seed"] == "${seed}"
