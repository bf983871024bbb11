from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import pytest

from harness.config import build, outside, registry, sentences
from harness.config.outside import Permission, check
from harness.types import NeuroglossError

NOTHING = Permission.of({})
MODEL = {"use": "model/server", "name": "gpt", "base_url": "http://127.0.0.1:8000/v1", "api_key_env": "GITHUB_TOKEN"}
INSIDE = {
    *(
        "answers_as",
        "api",
        "annotator",
        "cut",
        "config",
        "device",
        "digest",
        "dtype",
        "entity",
        "group",
        "ids",
        "ids_field",
    ),
    *("max_tokens_field", "method", "mode", "neurons", "openings", "project", "prompt", "replies", "revision"),
    *(
        "separator",
        "side",
        "site",
        "source",
        "split",
        "subject",
        "tags",
        "text",
        "text_field",
        "transport",
        "sha256",
        "writes",
    ),
}
"""Arguments of our classes that hold texts, and reach nothing by them: each has been looked at."""


def simulator(**arguments: Any) -> dict[str, Any]:
    return {
        "simulator": {"mine": {"use": "simulator/all_at_once", "model": {"use": "model/transformers", **arguments}}}
    }


def test_what_ships_may_be_named_by_anybody() -> None:
    check(simulator(name="embedded:smollm2-135m-instruct", dtype="float32", trust_remote_code=False), "a run", NOTHING)
    check(simulator(revision=None), "a run", NOTHING)
    check(
        {"simulator": {"tuned": {"model": {"use": "model/tuned", "adapter": _default("model/tuned", "adapter")}}}},
        "",
        NOTHING,
    )


def _default(short_name: str, argument: str) -> object:
    return build.parameters(registry.resolve(short_name, ""))[argument].default


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "someone/weights"),
        ("name", "/home/me/weights"),
        ("trust_remote_code", True),
        ("base_url", "http://127.0.0.1:1/v1"),
        ("api_key_env", "GITHUB_TOKEN"),
        ("body", {"user": "me"}),
        ("headers", {"x": {"y": 1}}),
        ("log", "/tmp/log"),
        ("paths", ["/etc/passwd"]),
        ("store", "/tmp/store"),
        ("hub_token_env", "HF_TOKEN"),
        ("tokenizer", "someone/weights"),
    ],
)
def test_what_reaches_outside_is_the_users_to_say(key: str, value: object) -> None:
    config = simulator(**{key: value})
    with pytest.raises(NeuroglossError, match=rf"a run names .*simulator\.mine\.model\.{key}.*add to the command: "):
        check(config, "a run", NOTHING)
    nested: dict[str, Any] = {"simulator": {"mine": {"model": {key: value}}}}
    check(config, "a run", Permission.of(nested))


def test_only_the_very_value_is_allowed() -> None:
    for value in ("http://127.0.0.1:8000/v2", True, None, {"x": 1}):
        allow = {"model": {**MODEL, "base_url": value}}
        with pytest.raises(
            NeuroglossError, match=r"add to the command: \+allow\.model\.base_url=http://127\.0\.0\.1:8000"
        ):
            check({"model": MODEL}, "a run", Permission.of(allow))


def test_the_words_of_the_sentence_allow_all_of_it() -> None:
    config = {
        "model": {**MODEL, "body": {"user": "it's, me", "n": 2, "flag": True, "stop": ["a b", "c"], "empty": None}},
        "corpus": {"use": "corpus/text_files", "path": "/data/a file {1}"},
    }
    with pytest.raises(NeuroglossError) as refusal:
        check(config, "a run", NOTHING)
    words = shlex.split(str(refusal.value).partition("add to the command: ")[2])
    overrides = [sentences.parsed(word.removeprefix("+allow.")) for word in words]
    check(config, "a run", Permission({item.key_or_group: item.value() for item in overrides}))


@pytest.mark.parametrize(
    "config",
    [
        {"subject": {"use": "subject/transformers", "device": "${oc.env:SECRET}"}},
        {"subject": {"use": "subject/transformers", "device": "x${now:%Y}"}},
        {"a": [{"b": ["${c}"]}]},
        {"a": {"${oc.env:HOME}": 1}},
        {"zz": {"_target_": "shutil.copyfile"}},
        {"a": [{"_partial_": True}]},
        {"a": {"": 1}},
        {"a": {"b\x1b[2J": 1}},
        {"a": {3: 1}},
    ],
)
def test_what_a_config_language_would_act_on_is_refused(config: Mapping[str, Any]) -> None:
    with pytest.raises(NeuroglossError) as refusal:
        check(config, "a run", NOTHING)
    assert "\x1b" not in str(refusal.value)


def test_arguments_of_plugins_are_known_by_their_names() -> None:
    class Plugin:
        def __init__(self, server_url: str = "", cache_folder: str = "", **options: str) -> None:
            pass

    registry.register("model/reaching")(Plugin)
    for key in ("server_url", "cache_folder", "proxy", "KEY", "plugin"):
        with pytest.raises(NeuroglossError, match=key):
            check({"model": {"use": "model/reaching", key: "x"}}, "a run", NOTHING)


@pytest.mark.parametrize("short_name", [name for name in registry.CLASSES if not name.startswith("training/")])
def test_each_text_argument_of_our_classes_is_known_to_stay_inside_or_to_reach_outside(short_name: str) -> None:
    cls = registry.resolve(short_name, "")
    hints = build._hints(cls, "")
    texts = {name for name in build.parameters(cls) if "str" in str(hints[name]) or "Mapping" in str(hints[name])}
    undecided = {name for name in texts if not registry.reaches_outside(name)} - INSIDE
    assert not undecided, "decide whether it reaches outside: REACHES_OUTSIDE"


def test_a_nested_output_of_an_explainer_is_a_node_and_no_file() -> None:
    joined = {
        "use": "explainer/joined",
        "input": {"use": "explainer/oracle"},
        "output": {"use": "explainer/constant", "text": "x"},
    }
    outside.check({"explainer": {"joined": joined}}, "a run", NOTHING)


def test_a_node_that_stands_in_several_places_is_repeated_once() -> None:
    subject = {"use": "subject/transformers", "name": "/data/model"}
    config = {"subject": subject, "scores": {"ablation": {"use": "scorer/ablation", "subject": subject}}}
    with pytest.raises(NeuroglossError) as refusal:
        check(config, "a run", NOTHING)
    assert str(refusal.value).endswith("add to the command: +allow.subject.name=/data/model")
    check(config, "a run", Permission.of({"subject": {"name": "/data/model"}}))
    other = {**config, "scores": {"ablation": {"use": "scorer/ablation", "subject": {**subject, "name": "/other"}}}}
    with pytest.raises(NeuroglossError, match=r"command: \+allow\.scores\.ablation\.subject\.name=/other$"):
        check(other, "a run", Permission.of({"subject": {"name": "/data/model"}}))
