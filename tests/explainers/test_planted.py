"""One planted neuron for every method of ``conf/explainer``: it fires on three tokens, and its subject says so too."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
from omegaconf import OmegaConf

from harness import build, gallery
from harness.explainers.max_activation import MaxActivation
from harness.hydra_config import composed
from harness.models.fake import FakeModel
from harness.subjects.transformers_subject import TransformersSubject
from harness.types import (
    Completion,
    CompletionPrompt,
    Explainer,
    Identity,
    NeuronId,
    Outcome,
    Replacement,
    TokenEffects,
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

    def input_tokens(self, neuron: NeuronId, count: int) -> tuple[tuple[str, float], ...]:
        return tuple((f" {token}", value) for token, value in TOKENS.items())[:count]

    def output_tokens(self, neuron: NeuronId, count: int) -> TokenEffects:
        return TokenEffects(self.input_tokens(neuron, count), ((" ice", -2.0),))

    def changed_tokens(self, replacements: Sequence[Replacement], count: int) -> TokenEffects:
        return self.output_tokens(replacements[0].neuron, count)

    def encode(self, text: str) -> tuple[int, ...]:
        self.words = tuple(re.findall(r" ?[^ ]+", text))
        return tuple(range(len(self.words)))

    def token_text(self, token_id: int) -> str:
        return self.words[token_id]

    def activations(self, neuron: NeuronId, sequences: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
        return [np.array([TOKENS.get(self.words[place].strip(), 0.0) for place in ids]) for ids in sequences]


def built(option: str, model: Saying) -> Explainer:
    """The explainer as its file in ``conf/`` says, but for the model and the subject."""

    def planting(made: object) -> object:
        if isinstance(made, FakeModel):
            return model
        return Planted() if isinstance(made, TransformersSubject) else made

    fakes = [f"model@{place}=fake" for place in gallery.places(option, "model")]
    node = OmegaConf.to_container(composed("run", [f"explainer={option}", *fakes]).explainer[option], resolve=True)
    assert isinstance(node, dict)
    explainer: Explainer = build.assemble(node, planting)
    return explainer


@pytest.mark.parametrize("option", [name for name in gallery.options() if gallery.places(name, "model")])
def test_a_method_shows_the_planted_tokens_and_takes_no_other_for_them(option: str, planted_with_ids) -> None:
    model = Saying()
    told = built(option, model).explain([planted_with_ids])[0]
    questions = "\n".join(request.messages[-1].content for request in model.asked)
    assert all(token in questions for token in TOKENS)
    marked = {token.strip() for token in re.findall(r"<<(.*?)>>", questions)}
    listed = {token.strip() for token in re.findall(r"^(.+?)\t(?:10|[1-9])(?:\t|$)", questions, re.MULTILINE)}
    assert marked in (set(), set(TOKENS))
    assert listed in (set(), set(TOKENS))
    assert told.outcome is (Outcome.EMPTY if option == "chain_of_thought" else Outcome.OK), "it draws no conclusion"


def test_the_most_activating_tokens_are_the_planted_ones(planted) -> None:
    assert MaxActivation().explain([planted])[0].text == 'the token " ember" or " kiln" or " forge"'
