from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra import initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from harness.config import compose, sentences
from harness.config.compose import composed, config_hash, file_digests, jobs, plain
from harness.files import shipped
from harness.types import NeuroglossError

LIST = ["token_activation", "max_activation", "shuffled", "token_lookup"]


@pytest.mark.parametrize(
    ("override", "key", "names"),
    [
        ("explainer=[]", "explainer", []),
        ("explainer=summary", "explainer", ["summary"]),
        ("explainer=[summary,shuffled]", "explainer", ["summary", "shuffled"]),
        ("explainer_model=[]", "explainer_model", []),
        ("explainer_model=fake", "explainer_model", ["fake"]),
        ("explainer_model=[fake,smollm2]", "explainer_model", ["fake", "smollm2"]),
        ("simulator=tuned", "simulator", ["tuned"]),
        ("simulator=[tuned,token_overlap]", "simulator", ["tuned", "token_overlap"]),
        ("scores=[panel]", "scores", ["panel"]),
        ("scores=[panel,ablation,detection,fuzzing]", "scores", ["panel", "ablation", "detection", "fuzzing"]),
        ("track=[]", "track", []),
        ("track=jsonl", "track", ["jsonl"]),
        ("track=[wandb,jsonl]", "track", ["wandb", "jsonl"]),
        ("+model@explainer_model.b=server", "explainer_model", ["smollm2", "b"]),
        ("+explainer_model.b={use: model/server, name: b, base_url: u}", "explainer_model", ["smollm2", "b"]),
    ],
)
def test_what_is_chosen_stands_there_by_its_name(override: str, key: str, names: list[str]) -> None:
    config = composed("run", [override])
    assert list(config[key]) == names
    for name in names:
        assert config[key][name].use.endswith(f"/{name}") or key in ("explainer_model", "track")


def test_the_default_run() -> None:
    config = composed("run", [])
    assert list(config.explainer) == LIST
    assert (list(config.explainer_model), list(config.simulator)) == (["smollm2"], ["tuned"])
    assert (list(config.scores), list(config.track)) == (["panel", "ablation"], [])
    assert config.units.limit == 12
    assert OmegaConf.to_container(config.calibration) == {"method": "linear", "top": 2, "random": 2}


def test_the_model_of_a_simulator_and_of_a_scorer_can_be_another() -> None:
    overrides = ["simulator=all_at_once", "model@simulator.all_at_once.model=fake"]
    overrides += ["scores=[detection]", "model@scores.detection.model=fake"]
    config = composed("run", overrides)
    assert config.simulator.all_at_once.model.use == "model/fake"
    assert config.scores.detection.model.use == "model/fake"


def test_a_method_can_have_a_model_of_its_own() -> None:
    config = composed("run", ["explainer=summary", "+model@explainer.summary.model=fake"])
    assert config.explainer.summary.model.use == "model/fake"


def test_ablation_asks_the_subject_of_the_run() -> None:
    config = plain(composed("run", ["subject.batch_size=3"]))
    assert config["scores"]["ablation"]["subject"] == config["subject"]
    assert config["subject"]["batch_size"] == 3


def test_a_model_is_chosen_by_its_group_where_no_other_model_is() -> None:
    with pytest.raises(NeuroglossError) as refusal:
        composed("run", ["simulator=token_overlap", "model=fake"])
    assert (
        str(refusal.value) == "'model=fake' does not fit: the models of explainers are chosen by explainer_model=NAME."
    )


def test_an_entry_of_the_leaderboard_scores_everything() -> None:
    config = plain(composed("run", ["experiment=full"]))
    assert (config["calibration"]["top"], config["calibration"]["random"]) == (5, 5)
    assert (config["scores"]["ablation"]["top"], config["scores"]["ablation"]["random"]) == (5, 5)
    assert config["units"]["limit"] is None


@pytest.mark.parametrize(
    ("override", "answer"),
    [
        ("units.limt=4", "no config key units.limt; did you mean units.limit?"),
        ("explianer=summary", "no config key explianer; did you mean explainer?"),
        ("simulatr.prompt=x", "no config key simulatr; did you mean simulator?"),
        ("explainer.token_activation.max_tokns=4", "did you mean explainer.token_activation.max_tokens?"),
        ("simulator.foo=1", "there is no config key simulator.foo; there are: tuned."),
        ("track.foo=1", "there is no config key track.foo."),
        ("simulator.tuned.foo=1", "write +simulator.tuned.foo=VALUE for another argument of its class."),
        ("neurons=all", "there is no config key neurons; did you mean units?"),
        (
            "explainer=zzz",
            "no explainer called zzz (a model is chosen by explainer_model=NAME); there are: chain_of_thought, ",
        ),
        ("explainer=sumary", "did you mean summary? there are: chain_of_thought"),
        ("explainer=smollm2", "no explainer called smollm2, but a model; write explainer_model=smollm2."),
        ("explainer=[summary,zzz]", "no explainer called zzz"),
        ("explainer=[summary,summary]", "explainer names summary twice; write it once."),
        ("explainer=", "explainer= chooses nothing; write explainer=[] for none; there are: chain_of_thought"),
        ("explainer=null", "explainer=null is no choice; write explainer=[] for none; there are: chain_of_thought"),
        ("simulator=null", "simulator=null is no choice; there are: all_at_once, chance,"),
        ("track=null", "track=null is no choice; write track=[] for none; there are: jsonl, wandb."),
        ("track=none", "there is no track called none; write track=[] for none; there are: jsonl, wandb."),
        ("human=null", "human=null is no choice; write human=none."),
        ("subject=null", "subject=null is no choice; there are: smollm2, transformers."),
        ("subject=[smollm2]", "subject is a single choice, not a list; write subject=NAME of: smollm2, transformers."),
        ("scores=none", "no scores called none; write scores=[] for none; there are: ablation, detection"),
        ("units=4", "there is no units called 4; there are: all, few."),
        ("~track", "'~track' does not fit: write track=[]."),
        ("~simulator", "'~simulator' does not fit: a run needs one, so write simulator=NAME."),
        ("run.seed=1", "there is no config key run.seed; did you mean seed?"),
        ("seed=x", "Value 'x' of type 'str' could not be converted to Integer."),
        ("seed=null", "'seed=null' does not fit: seed needs a value."),
        ("board.by_group=maybe", "Value 'maybe' is not a valid bool"),
        ("units.places=4", "units.places takes a list, so write units.places=[4]."),
        ("units.ids=L0N198", "units.ids takes a list, so write units.ids=[L0N198]."),
        ("model=fake", "explainer_model=NAME, those of simulators and scorers by model@simulator.tuned.model=NAME."),
        ("model@simulator.modl=fake", "those of simulators and scorers by model@simulator.tuned.model=NAME."),
        (
            "model@explainer.token_activation.model=fake",
            "a single one by +model@explainer.token_activation.model=fake.",
        ),
        (
            "model@explainer_model.b=server",
            "no model of that name is chosen, so add it by +model@explainer_model.b=server.",
        ),
        ("explainer.token_activation.model=x", "a single one by +model@explainer.token_activation.model=NAME."),
        ("simulator@x=tuned", "nothing is chosen there, so write simulator=tuned."),
        ("foo", "an override is written key=value."),
        ("=1", "an override is written key=value."),
        ("é=1", "a key has letters from a to z, digits, _ and . alone."),
        ("explainer=[[max_activation]]", "explainer is a list of names; write explainer=[NAME,NAME]."),
        ("scores=[panel,{a:1}]", "scores is a list of names; write scores=[NAME,NAME]."),
        ("explainer=[summary", "a bracket is not closed: [ needs ], and the shell needs quotes around them."),
        ("+x={a: 1", "a bracket is not closed: { needs }"),
        ("output='a", "a quotation mark is not closed."),
        ("task.name=a=b", "quote its value: 'task.name=\"a=b\"'."),
        ("plugins=[nowhere]", "plugin nowhere cannot be imported: there is no module of that name"),
    ],
)
def test_a_wrong_override_is_answered_with_what_to_write(override: str, answer: str) -> None:
    with pytest.raises(NeuroglossError) as refusal:
        composed("run", ["units.limit=3", override])
    assert answer in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("place", [0, 2, 4])
def test_the_override_at_fault_is_found_at_once_among_others(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    composed_again: list[list[str]] = []

    def composing(name: str, overrides: list[str]) -> DictConfig:
        composed_again.append(overrides)
        return hydra.compose(name, overrides)

    monkeypatch.setattr(sentences, "compose", composing)
    others = ["units=few", "units.limit=3", "seed=1", "scores=[panel]"]
    with pytest.raises(NeuroglossError, match=r"no config key units\.limt; did you mean units\.limit"):
        composed("run", [*others[:place], "units.limt=4", *others[place:]])
    assert composed_again == [others]


@pytest.mark.parametrize(
    ("override", "answer"),
    [
        ("subject=transformers", "the config leaves subject.name open; add subject.name=VALUE to the command."),
        ("human=table", "the config leaves human.file open; add human.file=VALUE to the command."),
        ("store=${nope}", "the config cannot be resolved: store: Interpolation key 'nope' not found."),
    ],
)
def test_what_a_config_leaves_open_is_asked_for(override: str, answer: str) -> None:
    with pytest.raises(NeuroglossError) as refusal:
        plain(composed("run", [override, "explainer=[people]"]))
    assert str(refusal.value) == answer


def test_advice_can_be_followed(tmp_path: Path) -> None:
    overrides = [
        "+simulator.tuned.foo=VALUE",
        "units.ids=[L0N198]",
        "+model@explainer.token_activation.model=fake",
        "simulator=tuned",
        "+model@explainer_model.b=server",
        'task.name="a=b"',
        "explainer_model=smollm2",
        "human.file=x",
        "~scores.ablation",
    ]
    composed("run", overrides)


def test_a_sweep_has_a_job_for_each_combination() -> None:
    assert jobs(["explainer=a,b", "seed=1,2", "task.name=t"]) == [
        ["explainer=a", "seed=1", "task.name=t"],
        ["explainer=a", "seed=2", "task.name=t"],
        ["explainer=b", "seed=1", "task.name=t"],
        ["explainer=b", "seed=2", "task.name=t"],
    ]


def test_a_list_is_one_job() -> None:
    assert jobs(["explainer=[a,b]"]) == [["explainer=[a,b]"]]


@pytest.fixture
def config_dir(tmp_path: Path) -> Path:
    """A folder of configs with a variant of an explainer."""
    (tmp_path / "mine" / "explainer").mkdir(parents=True)
    (tmp_path / "mine" / "explainer" / "one_excerpt.yaml").write_text(
        "one_excerpt: {use: explainer/highlight, threshold: 5}\n"
    )
    return tmp_path / "mine"


@pytest.mark.slow
def test_a_folder_of_configs_is_searched_for_one_composition(config_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(config_dir.parent)
    for folder in (config_dir, Path("mine")):
        config = composed("run", ["explainer=[one_excerpt,shuffled]"], [folder])
        assert config.explainer.one_excerpt.threshold == 5
        assert list(config.explainer) == ["one_excerpt", "shuffled"]
    with (
        initialize_config_dir(str(shipped("conf")), version_base="1.3"),
        pytest.raises(HydraException, match="one_exc"),
    ):
        hydra.compose("run", ["explainer=one_excerpt"])
    with pytest.raises(NeuroglossError, match="no explainer called one_excerpt"):
        composed("run", ["explainer=one_excerpt"])


def test_a_folder_of_configs_may_be_named_as_hydra_names_it(config_dir: Path) -> None:
    config = composed("run", [f"hydra.searchpath=['file://{config_dir}']", "explainer=one_excerpt"])
    assert config.explainer.one_excerpt.threshold == 5


def test_a_folder_of_configs_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        NeuroglossError, match=rf"there is no folder {tmp_path}/nowhere of configs; correct --config-dir"
    ):
        composed("run", [], [tmp_path / "nowhere"])
    composed("run", [])


@pytest.mark.slow
def test_hydra_launches_what_was_checked(config_dir: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command hands over to Hydra, which composes again by itself."""
    (package / "conf" / "explainer" / "own.yaml").write_text("own: {use: explainer/one_excerpt}\n")
    overrides = ["plugins=[own_methods]", "explainer=[one_excerpt,own]", "task=puzzles-v1"]
    checked = composed("run", overrides, [config_dir])
    launched: list[Any] = []
    monkeypatch.setattr(sys, "argv", ["neurogloss run", *overrides, "--config-dir", str(config_dir)])
    monkeypatch.chdir(config_dir)
    compose.register([config_dir])

    def job(config: DictConfig) -> None:
        launched.append(OmegaConf.to_container(config))

    hydra.main(version_base="1.3", config_path=str(shipped("conf")), config_name="run")(job)()
    assert launched == [OmegaConf.to_container(checked)]


def _name(*overrides: str) -> str:
    return config_hash(plain(composed("run", list(overrides))))


@pytest.mark.slow
def test_a_run_is_named_by_what_can_change_it_and_by_nothing_else() -> None:
    name = _name()
    assert name == _name("output=elsewhere", "track=wandb", "publish=none")
    assert len({name, _name("seed=1"), _name("units.limit=3"), _name("scores=[panel]")}) == 4


@pytest.mark.parametrize(
    "place", ["human.file", "task.path", "explainer.x.path", "explainer.x.explainer.path", "plugins"]
)
def test_a_run_is_named_by_the_content_of_its_files_too(tmp_path: Path, place: str) -> None:
    file = tmp_path / "data.jsonl"
    *parents, key = place.split(".")
    config: dict[str, Any] = {key: [str(file)] if key == "plugins" else str(file)}
    for parent in reversed(parents):
        config = {parent: config}
    missing = config_hash(config)
    file.write_text("a")
    first = config_hash(config)
    file.write_text("b")
    assert len({missing, first, config_hash(config)}) == 3
    file.write_text("a")
    assert config_hash(config) == first


def test_a_run_is_named_by_all_files_of_a_folder_that_it_names(tmp_path: Path) -> None:
    config = {"explainer": {"x": {"path": str(tmp_path)}}}
    names = [config_hash(config)]
    (tmp_path / "deep").mkdir()
    for name, text in (("a.jsonl", "a"), ("deep/b.jsonl", "a"), ("a.jsonl", "b")):
        (tmp_path / name).write_text(text)
        names.append(config_hash(config))
    assert len(set(names)) == 4
    assert file_digests(config).keys() == {"explainer.x.path"}


def test_a_file_is_found_from_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    missing = config_hash({"file": "~/data.csv"})
    (tmp_path / "data.csv").write_text("a")
    assert config_hash({"file": "~/data.csv"}) != missing


def test_files_that_results_do_not_depend_on_name_no_run(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    config = {"track": {"jsonl": {"file": str(file)}}, "store": str(file), "output": str(file)}
    digest = config_hash(config)
    file.write_text("x")
    assert config_hash(config) == digest


def test_only_keys_of_files_name_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    digest = config_hash({"task": {"name": "data"}})
    (tmp_path / "data").write_text("x")
    assert config_hash({"task": {"name": "data"}}) == digest


def test_a_large_file_is_not_read_into_memory(tmp_path: Path) -> None:
    import tracemalloc

    file = tmp_path / "large.jsonl"
    with file.open("wb") as handle:
        handle.truncate(64 << 20)
    tracemalloc.start()
    config_hash({"human": {"file": str(file)}})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("x")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(NeuroglossError, match=rf"human\.file names {file}, which cannot be read: Permission denied"):
        config_hash({"human": {"file": str(file)}})
