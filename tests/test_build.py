from __future__ import annotations

import pytest

from harness.build import assemble, check, unknown_key
from harness.explainers.max_activation import MaxActivation
from harness.explainers.shuffled import Shuffled
from harness.types import NeuroglossError

SHUFFLED = {
    "_target_": "harness.explainers.shuffled.Shuffled",
    "explainer": {"_target_": "harness.explainers.max_activation.MaxActivation"},
    "seed": 4,
}


def test_a_node_is_built_children_first() -> None:
    check(SHUFFLED, "explainer.shuffled")
    built = assemble(SHUFFLED)
    assert isinstance(built, Shuffled)
    assert isinstance(built.explainer, MaxActivation)
    assert built.seed == 4


def test_what_is_built_can_be_wrapped() -> None:
    seen: list[object] = []

    def wrap(built: object) -> object:
        seen.append(built)
        return built

    assemble(SHUFFLED, wrap)
    assert [type(one) for one in seen] == [MaxActivation, Shuffled]


@pytest.mark.parametrize("target", ["os.system", "subprocess.Popen", "harnessed.Thing", None, "", 3])
def test_only_classes_of_this_package_are_built(target: object) -> None:
    with pytest.raises(NeuroglossError, match="only classes of harness"):
        check({"_target_": target}, "simulator")


def test_a_nested_node_is_checked_too() -> None:
    node = {**SHUFFLED, "explainer": {"_target_": "os.system", "command": "true"}}
    with pytest.raises(NeuroglossError, match=r"explainer\.shuffled\.explainer\._target_"):
        check(node, "explainer.shuffled")


def test_a_class_that_does_not_exist_is_named() -> None:
    with pytest.raises(NeuroglossError, match=r"harness\.explainers\.nothing\.Nothing, which is not a class"):
        check({"_target_": "harness.explainers.nothing.Nothing"}, "explainer.x")


def test_an_unknown_key_is_answered_with_the_one_that_was_meant() -> None:
    with pytest.raises(NeuroglossError, match=r"did you mean explainer\.shuffled\.seed\?"):
        check({**SHUFFLED, "sead": 1}, "explainer.shuffled")


def test_a_missing_key_is_named() -> None:
    node = {key: value for key, value in SHUFFLED.items() if key != "explainer"}
    with pytest.raises(NeuroglossError, match=r"explainer\.shuffled needs explainer"):
        check(node, "explainer.shuffled")


@pytest.mark.parametrize(("value", "words"), [("four", "a whole number"), (1.5, "a whole number"), (True, "a whole")])
def test_a_value_of_another_type_is_refused(value: object, words: str) -> None:
    with pytest.raises(NeuroglossError, match=words):
        check({**SHUFFLED, "seed": value}, "explainer.shuffled")


def test_a_plain_value_where_an_object_belongs_is_refused() -> None:
    with pytest.raises(NeuroglossError, match="a node that builds a Explainer"):
        check({**SHUFFLED, "explainer": "max_activation"}, "explainer.shuffled")


def test_unknown_key_lists_what_there_is_when_nothing_is_close() -> None:
    assert unknown_key("zzz", ["seed", "task"]) == "there is no config key zzz; there are: seed, task."


def test_what_a_method_inherits_is_checked_like_its_own() -> None:
    node = {
        "_target_": "harness.explainers.highlight.Highlight",
        "model": {"_target_": "harness.models.fake.FakeModel"},
    }
    check({**node, "threshold": 3, "max_tokens": 5}, "explainer.highlight")
    for key in ("threshold", "max_tokens"):
        with pytest.raises(NeuroglossError, match=f"explainer.highlight.{key} is 'x', but a whole number is wanted"):
            check({**node, key: "x"}, "explainer.highlight")
