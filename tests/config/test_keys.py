"""Messages of models name the keys that stand in the config."""

from __future__ import annotations

import pytest

from harness.config import keys
from harness.config.build import assemble
from harness.jobs.explainers import ExplainerNode
from harness.types import NeuroglossError

SERVER = {"use": "model/server", "name": "m", "base_url": "ftp://x"}


@pytest.mark.parametrize(
    ("sentence", "of_the_config"),
    [
        ("set model.chat=false.", "set writer.model.chat=false."),
        ("leave it out by 'model.body={seed: null}'", "leave it out by 'writer.model.body={seed: null}'"),
        ("simulator.tuned.model.base is wrong", "simulator.tuned.model.base is wrong"),
        ("model.safetensors of /a/model.bin is no model. Get it again", None),
        ("the new_model.name at http://model.example/v1", None),
    ],
)
def test_a_setting_is_named_by_its_key_and_nothing_else_is(sentence: str, of_the_config: str | None) -> None:
    assert keys.in_config(sentence, "writer.model") == (of_the_config or sentence)


def test_the_innermost_key_names_a_setting() -> None:
    with pytest.raises(NeuroglossError, match=r"^set a\.model\.chat$"), keys.named("b"), keys.named("a.model"):
        raise NeuroglossError("set model.chat")
    with pytest.raises(NeuroglossError, match=r"^set model\.chat$"), keys.named(""):
        raise NeuroglossError("set model.chat")


def test_what_a_constructor_refuses_is_named_by_its_key() -> None:
    node = {"use": "simulator/all_at_once", "model": SERVER}
    with pytest.raises(NeuroglossError, match=r"^simulator\.mine\.model\.base_url is 'ftp://x'"):
        assemble(node, "simulator.mine")


def test_the_model_that_methods_share_is_named_where_it_is_chosen() -> None:
    node = ExplainerNode("m · server", "m", "server", {}, ("explainer.m.model",))
    assert node.key_of("explainer.m.model") == "explainer_model.server"
    assert node.key_of("explainer.m.judge") == "explainer.m.judge"
