from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from harness.config import registry
from harness.config.build import assemble, check, unknown_key
from harness.explainers.controls.shuffled import Shuffled
from harness.explainers.max_activation import MaxActivation
from harness.types import NeuroglossError

SHUFFLED = {"use": "explainer/shuffled", "explainer": {"use": "explainer/max_activation"}, "seed": 4}


def test_a_node_is_built_children_first() -> None:
    check(SHUFFLED, "explainer.shuffled")
    shuffled = assemble(SHUFFLED)
    assert isinstance(shuffled, Shuffled)
    assert isinstance(shuffled.explainer, MaxActivation)
    assert shuffled.seed == 4


def test_what_is_built_can_be_wrapped() -> None:
    parts: list[tuple[type, str]] = []

    def wrap(instance: object, key: str) -> object:
        parts.append((type(instance), key))
        return instance

    assemble(SHUFFLED, "explainer.mine", wrap)
    assert parts == [(MaxActivation, "explainer.mine.explainer"), (Shuffled, "explainer.mine")]


def test_what_a_wrapper_returns_takes_the_place() -> None:
    inner = MaxActivation(tokens=7)
    shuffled = assemble(SHUFFLED, wrap=lambda instance, _: inner if isinstance(instance, MaxActivation) else instance)
    assert shuffled.explainer is inner


@pytest.mark.parametrize("name", ["os.system", "subprocess:Popen", "harness.models.fake.FakeModel", ""])
def test_only_registered_classes_are_built(name: str) -> None:
    with pytest.raises(NeuroglossError, match=r"simulator\.x\.use is .*, which does not exist"):
        check({"use": name}, "simulator.x")


@pytest.mark.parametrize("node", [{}, {"use": None}, {"use": 3}, {"_target_": "os.system"}])
def test_a_node_without_a_class_is_refused(node: dict[str, Any]) -> None:
    with pytest.raises(
        NeuroglossError, match=r"scores\.ablation names no class; add \+scores\.ablation\.use=scorer/NAME"
    ):
        check(node, "scores.ablation", "scorer")


def test_what_is_no_node_is_refused() -> None:
    with pytest.raises(NeuroglossError, match=r"explainer\.x is 3, but a mapping with use: explainer/NAME"):
        check(3, "explainer.x", "explainer")  # type: ignore[arg-type]


def test_a_class_of_another_group_is_refused() -> None:
    with pytest.raises(NeuroglossError, match=r"x\.use is 'simulator/chance', which is no explainer; there are: expl"):
        check({"use": "simulator/chance"}, "x", "explainer")


def test_a_path_is_an_unknown_key() -> None:
    with pytest.raises(NeuroglossError, match=r"no config key explainer\.x\._target_"):
        check({**SHUFFLED, "_target_": "os.system"}, "explainer.x")


def test_a_nested_node_is_checked_too() -> None:
    node = {**SHUFFLED, "explainer": {"use": "explainer/max_activation", "tokns": 3}}
    with pytest.raises(NeuroglossError, match=r"did you mean explainer\.shuffled\.explainer\.tokens\?"):
        check(node, "explainer.shuffled")


def test_an_unknown_key_is_answered_with_the_one_that_was_meant() -> None:
    with pytest.raises(NeuroglossError, match=r"did you mean explainer\.shuffled\.seed\?"):
        check({**SHUFFLED, "sead": 1}, "explainer.shuffled")


def test_a_missing_key_is_named() -> None:
    node = {key: value for key, value in SHUFFLED.items() if key != "explainer"}
    with pytest.raises(NeuroglossError, match=r"explainer\.shuffled needs explainer; add \+explainer\.shuffled\.expl"):
        check(node, "explainer.shuffled")


@pytest.mark.parametrize(("value", "words"), [("four", "a whole number"), (1.5, "a whole number"), (True, "a whole")])
def test_a_value_of_another_type_is_refused(value: object, words: str) -> None:
    with pytest.raises(NeuroglossError, match=words):
        check({**SHUFFLED, "seed": value}, "explainer.shuffled")


def test_a_plain_value_where_an_object_belongs_is_refused() -> None:
    with pytest.raises(NeuroglossError, match="a node that builds an Explainer is wanted there"):
        check({**SHUFFLED, "explainer": "max_activation"}, "explainer.shuffled")
    with pytest.raises(NeuroglossError, match="a node that builds a LanguageModel is wanted there"):
        check({"use": "explainer/highlight", "model": "fake"}, "explainer.highlight")


def test_unknown_key_lists_what_there_is_when_nothing_is_close() -> None:
    assert unknown_key("zzz", ["seed", "task"]) == "there is no config key zzz; there are: seed, task."
    assert unknown_key("simulator.zzz", []) == "there is no config key simulator.zzz."


def test_what_a_method_inherits_is_checked_like_its_own() -> None:
    node = {"use": "explainer/highlight", "model": {"use": "model/fake"}}
    check({**node, "threshold": 3, "max_tokens": 5}, "explainer.highlight")
    for key in ("threshold", "max_tokens"):
        with pytest.raises(NeuroglossError, match=f"explainer.highlight.{key} is 'x', but a whole number is wanted"):
            check({**node, key: "x"}, "explainer.highlight")


@dataclass
class Annotated:
    """Arguments of every type that a plugin may write."""

    mode: Literal["a", "b"] = "a"
    texts: Sequence[str] = ()
    bare: list | None = None  # type: ignore[type-arg]
    table: Mapping[str, int] | None = None
    share: float = 0.5
    anything: Any = None


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("mode", "b", "c"),
        ("texts", ["x"], "x"),
        ("bare", [], {}),
        ("table", {"x": 1}, [1]),
        ("share", 1, "1"),
        ("share", 0.1, True),
    ],
)
def test_types_of_arguments(key: str, good: object, bad: object) -> None:
    registry.register("model/annotated")(Annotated)
    check({"use": "model/annotated", key: good, "anything": object()}, "x")
    with pytest.raises(NeuroglossError, match=rf"x\.{key} is .*is wanted there\."):
        check({"use": "model/annotated", key: bad}, "x")


def test_a_class_may_take_any_key() -> None:
    class Open:
        def __init__(self, name: str, *parts: str, **options: int) -> None:
            self.options = options

    registry.register("model/open")(Open)
    check({"use": "model/open", "name": "x", "more": 3}, "x")
    assert assemble({"use": "model/open", "name": "x", "more": 3}).options == {"more": 3}
    with pytest.raises(NeuroglossError, match="x needs name"):
        check({"use": "model/open"}, "x")


def test_annotations_that_cannot_be_read_are_told() -> None:
    class Untold:
        def __init__(self, model: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
            pass

    registry.register("model/untold")(Untold)
    with pytest.raises(NeuroglossError, match=r"x: the annotations of .*Untold cannot be read .*Nowhere"):
        check({"use": "model/untold", "model": 1}, "x")
