"""One planted neuron for every method of ``conf/explainer``: it fires on three tokens, and its subject says so too."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest

from harness.config import build
from harness.config.compose import composed, plain, settings_from
from harness.config.settings import RunSettings
from harness.explainers.max_activation import MaxActivation
from harness.jobs import gallery
from harness.jobs.explainers import ExplainerNode, explainer_nodes
from harness.models.fake import FakeModel
from harness.subjects.transformers_subject import TransformersSubject
from harness.types import (
    Completion,
    CompletionPrompt,
    Explainer,
    Identity,
    Outcome,
    Replacement,
    TokenEffects,
    Unit,
)

TOKENS = {"ember": 10.0, "kiln": 8.0, "forge": 6.0}
"""As in the fixture ``planted``, without the spaces before them."""


class Saying:
    """A model with one answer, which is an explanation and a sentence that tests it; keeps what it is asked."""

    identity = Identity("saying", "1")

    def __init__(self) -> None:
        self.asked: list[CompletionPrompt] = []

    def complete(self, prompts: Sequence[CompletionPrompt]) -> list[Completion]:
        self.asked += prompts
        return [Completion("yes: The ember glowed in the kiln by the forge") for _ in prompts]


class Planted:
    """A subject whose tokens are words: the neuron fires on the three, and makes them likelier."""

    words: tuple[str, ...] = ()

    def input_tokens(self, neuron: Unit, count: int) -> tuple[tuple[str, float], ...]:
        return tuple((f" {token}", value) for token, value in TOKENS.items())[:count]

    def output_tokens(self, neuron: Unit, count: int) -> TokenEffects:
        return TokenEffects(self.input_tokens(neuron, count), ((" ice", -2.0),))

    def changed_tokens(self, replacements: Sequence[Replacement], count: int) -> TokenEffects:
        return self.output_tokens(replacements[0].unit, count)

    def encode(self, text: str) -> tuple[int, ...]:
        self.words = tuple(re.findall(r" ?[^ ]+", text))
        return tuple(range(len(self.words)))

    def token_text(self, token_id: int) -> str:
        return self.words[token_id]

    def activations(self, neuron: Unit, sequences: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
        return [np.array([TOKENS.get(self.words[place].strip(), 0.0) for place in ids]) for ids in sequences]


def methods() -> dict[str, ExplainerNode]:
    """Every method of ``conf/explainer`` that asks a model, with its row for the fake one."""
    files = {"openai_file": "x", "neuronpedia": "x"}
    chosen = [f"explainer=[{','.join(gallery.options())}]", "explainer_model=[fake]"]
    chosen += [f"explainer.{name}.path={path}" for name, path in files.items()]
    settings = settings_from(RunSettings, plain(composed("run", chosen)))
    return {node.method: node for node in explainer_nodes(settings) if node.model}


METHODS = methods()


def built(method: str, model: Saying) -> Explainer:
    """The explainer as its file in ``conf/`` says, but for the model and the subject."""

    def planting(part: object, _: str) -> object:
        if isinstance(part, FakeModel):
            return model
        return Planted() if isinstance(part, TransformersSubject) else part

    explainer: Explainer = build.assemble(METHODS[method].node, wrap=planting)
    return explainer


def test_methods_that_ask_are_found() -> None:
    assert {"token_activation", "revision", "joined", "clusters"} <= set(METHODS)
    assert not {"max_activation", "people"} & set(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_shows_the_planted_tokens_and_takes_no_other_for_them(method: str, planted_with_ids) -> None:
    model = Saying()
    explanation = built(method, model).explain([planted_with_ids])[0]
    questions = "\n".join(request.messages[-1].content for request in model.asked)
    assert all(token in questions for token in TOKENS)
    marked = {token.strip() for token in re.findall(r"<<(.*?)(?::\d+)?>>", questions)}
    listed = {token.strip() for token in re.findall(r"^(.+?)\t(?:10|[1-9])(?:\t|$)", questions, re.MULTILINE)}
    assert marked in (set(), set(TOKENS))
    assert listed in (set(), set(TOKENS))
    assert explanation.explainer == "", "the pipeline names it"
    expected = Outcome.EMPTY if method == "chain_of_thought" else Outcome.OK
    assert explanation.outcome is expected, "reasoning without a conclusion is none"


def test_the_most_activating_tokens_are_the_planted_ones(planted) -> None:
    assert MaxActivation().explain([planted])[0].text == 'the token " ember" or " kiln" or " forge"'
