"""Every file of ``conf/`` composes, and every class that one names takes the keys that it gives."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from harness import build, config, experiment
from harness.config import RunSettings
from harness.hydra_config import composed
from harness.types import NeuroglossError

CONF = config.folder("conf")
GROUPS = {
    "run": [
        "budget",
        "experiment",
        "explainer",
        "human",
        "neurons",
        "publish",
        "scores",
        "simulator",
        "subject",
        "task",
        "track",
    ],
    "collect": ["corpus", "recipe", "sample", "subject"],
}
OPTIONS = [
    (name, group, path.stem) for name, groups in GROUPS.items() for group in groups for path in (CONF / group).iterdir()
]


def test_every_group_is_tried() -> None:
    folders = {path.name for path in CONF.iterdir() if path.is_dir()}
    assert folders == {group for groups in GROUPS.values() for group in groups} | {"model"}


@pytest.mark.parametrize(("name", "group", "option"), OPTIONS, ids=lambda value: value)
def test_every_option_composes_and_is_taken_by_its_class(name: str, group: str, option: str) -> None:
    found = composed(name, [f"{group}={option}"])
    complete = not OmegaConf.missing_keys(found)
    nodes = OmegaConf.to_container(found, resolve=complete)
    assert isinstance(nodes, dict)
    nodes = nodes.get(group, nodes)
    for where, node in {group: nodes, **{f"{group}.{key}": value for key, value in nodes.items()}}.items():
        if isinstance(node, dict) and "_target_" in node:
            _check(node, where)


@pytest.mark.parametrize("option", [path.stem for path in (CONF / "model").iterdir()])
def test_every_model_fits_both_places(option: str) -> None:
    found = composed("run", [f"model@simulator.model={option}", f"model@explainer.smollm2.model={option}"])
    for node in (found.simulator.model, found.explainer.smollm2.model):
        values = OmegaConf.to_container(node)
        assert isinstance(values, dict)
        _check(values, "model")


def _check(node: dict[str, object], where: str) -> None:
    """Values that the user must fill in, or that other keys decide, are left out: only their names are known here."""
    open_ = {key for key, value in node.items() if isinstance(value, str) and ("${" in value or value == "???")}
    with suppress(_OpenKeyError):
        _check_filled({key: value for key, value in node.items() if key not in open_}, where, open_)


class _OpenKeyError(Exception):
    pass


def _check_filled(node: dict[str, object], where: str, open_: set[str]) -> None:
    try:
        build.check(node, where)
    except NeuroglossError as error:
        if any(f"needs {key}" in str(error) for key in open_):
            raise _OpenKeyError from error
        raise


def test_settings_come_out_as_they_went_in() -> None:
    values = config.plain(composed("run", ["neurons.layers=[1,2]", "scores.ablation=false", "budget.usd=2"]))
    settings: RunSettings = config.settings_from(RunSettings, values)
    assert settings.neurons.layers == [1, 2]
    assert settings.scores.ablation is False
    assert settings.budget.usd == 2.0
    assert settings.store == "runs/store.sqlite"


def test_what_a_file_leaves_open_is_asked_for() -> None:
    with pytest.raises(NeuroglossError, match=r"leaves subject\.name open; add subject\.name=VALUE"):
        config.plain(composed("run", ["subject=transformers"]))


def test_a_run_is_named_by_what_can_change_it_and_by_nothing_else() -> None:
    def name(*overrides: str) -> str:
        return config.config_hash(config.plain(composed("run", list(overrides))))

    assert name() == name() == name("output=elsewhere", "track=wandb", "publish=none")
    assert len({name(), name("seed=1"), name("neurons.limit=3"), name("scores.resamples=500")}) == 4


def test_every_file_says_what_it_is_for() -> None:
    for path in sorted(CONF.rglob("*.yaml")):
        text = Path(path).read_text()
        assert text.startswith("#") or path.parent.name == "task", f"{path} begins with no comment"
        yaml.safe_load(text)


@pytest.mark.parametrize("option", ["puzzles-v1", "puzzles"])
def test_puzzles_bring_their_controls_and_a_lookup_that_trusts_one_token(option: str) -> None:
    found = composed("run", [f"task={option}"])
    controls = OmegaConf.to_container(found.task.controls)
    assert isinstance(controls, dict)
    assert list(controls) == ["token_overlap", "chance"]
    for name, node in controls.items():
        _check(node, f"task.controls.{name}")
    assert found.explainer.token_lookup.minimum_count == 1
    assert composed("run", []).explainer.token_lookup.minimum_count == 3


EXPLAINERS = [path.stem for path in (CONF / "explainer").iterdir()]


@pytest.mark.parametrize("option", EXPLAINERS)
def test_every_explainer_asks_on_equal_terms(option: str) -> None:
    found = composed("run", [f"explainer={option}", "asking.candidates=3", "asking.temperature=0.7", "seed=5"])
    nodes = [OmegaConf.to_container(found.explainer[option])]
    asking = []
    while nodes:
        node = nodes.pop()
        assert isinstance(node, dict)
        nodes += [value for value in node.values() if isinstance(value, dict)]
        asking += [node] if "prompt" in node else []
    for node in asking:
        assert (node["candidates"], node["temperature"]) == ("${asking.candidates}", "${asking.temperature}")
        assert node["seed"] == "${seed}"


def test_puzzles_have_no_subject_to_look_into() -> None:
    with pytest.raises(NeuroglossError, match=r"explainer\.joined looks into the subject, and a puzzle has none"):
        experiment.prepare(composed("run", ["task=puzzles-v1", "explainer=[max_activation,joined]"]))
