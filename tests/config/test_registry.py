from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from harness.config import registry
from harness.config.registry import CLASSES, register, resolve
from harness.explainers.max_activation import MaxActivation
from harness.types import NeuroglossError


@pytest.mark.parametrize("short_name", CLASSES)
def test_every_short_name_is_that_of_a_class(short_name: str) -> None:
    cls = resolve(short_name, "x")
    assert inspect.isclass(cls)
    assert f"{cls.__module__}:{cls.__qualname__}" == CLASSES[short_name], "the table names where the class stands"


def test_nothing_is_imported_for_a_table() -> None:
    heavy = ("torch", "transformers", "scipy", "pyarrow", "datasets", "pandas")
    command = f"import sys, harness.config.compose; print([name for name in {heavy} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_a_class_is_registered_by_a_decorator_or_a_call() -> None:
    @register("explainer/decorated")
    class Decorated:
        pass

    class Called:
        pass

    assert register("model/called")(Called) is Called
    assert resolve("explainer/decorated", "x") is Decorated
    assert resolve("model/called", "x") is Called
    assert {"explainer/decorated", "explainer/highlight"} <= set(registry.names("explainer"))
    assert "model/called" not in registry.names("explainer")


@pytest.mark.parametrize("short_name", ["explainer/highlight", "explainer/mine"])
def test_a_name_that_is_taken_is_refused(short_name: str) -> None:
    register("explainer/mine")(MaxActivation)
    with pytest.raises(NeuroglossError, match=rf"{short_name} is taken by harness\.explainers\..*; register Own by"):
        register(short_name)(type("Own", (), {}))


def test_a_module_that_is_loaded_again_replaces_its_class() -> None:
    first, second = (type("Own", (), {"__module__": "mine"}) for _ in range(2))
    register("explainer/mine")(first)
    register("explainer/mine")(second)
    assert resolve("explainer/mine", "x") is second


@pytest.mark.parametrize("short_name", ["highlight", "explainer/", "explainer/a b", "/x", "", "Explainer/x"])
def test_what_is_no_short_name_cannot_be_registered(short_name: str) -> None:
    with pytest.raises(NeuroglossError, match="is no short name; register a class as GROUP/NAME"):
        register(short_name)


def test_an_unknown_group_cannot_be_registered() -> None:
    with pytest.raises(NeuroglossError, match=r"the group explaner, which does not exist; did you mean explainer\?"):
        register("explaner/x")


def test_an_unknown_name_is_answered_with_the_nearest_and_all_of_its_group() -> None:
    with pytest.raises(NeuroglossError) as refusal:
        resolve("explainer/highlite", "explainer.x")
    message = str(refusal.value)
    assert message.startswith("explainer.x.use is 'explainer/highlite', which does not exist; did you mean explainer/")
    assert "explainer/highlight," in message
    assert "explainer/top_tokens" in message
    assert "model/" not in message


@pytest.mark.parametrize(
    "short_name", ["highlight", "explaner/highlight", "os.system", "harness.models.fake:FakeModel"]
)
def test_a_name_of_no_group_is_answered_with_the_groups(short_name: str) -> None:
    with pytest.raises(NeuroglossError, match=r"x\.use is .*; write GROUP/NAME, with a group of: collect, corpus, exp"):
        resolve(short_name, "x")


def test_a_class_that_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CLASSES, "model/gone", "harness.models.gone:Gone")
    with pytest.raises(NeuroglossError, match=r"x uses model/gone, which cannot be imported: No module named"):
        resolve("model/gone", "x")
