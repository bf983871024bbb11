"""One-at-a-time asks once for each token, with the text up to it; and where both simulators must agree, they do."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate, pairwise

import pytest

from harness.models.local.model import LocalModel
from harness.simulators.all_at_once import AllAtOnce
from harness.simulators.one_at_a_time import OneAtATime
from harness.types import Outcome, SlottedPrompt


def truncations(prompt: SlottedPrompt) -> list[SlottedPrompt]:
    """For each slot of a prompt, the prompt that ends there and has no other."""
    return [
        replace(prompt, parts=(text,)) for text in accumulate(prompt.parts, lambda a, b: a + prompt.placeholder + b)
    ]


def test_there_is_one_prompt_a_token_with_the_text_up_to_it(hashing, query) -> None:
    model = hashing()
    OneAtATime(model).simulate([query(tokens=("The", " storm", "\n", "ing"))])
    assert [prompt.parts for prompt in model.asked] == [("The\t",), (" storm\t",), ("\\n\t",), ("ing\t",)]
    texts = [prompt.messages[-1].content.partition("words for weather\n")[2] for prompt in model.asked]
    assert texts == ["The", "The storm", "The storm\n", "The storm\ning"]


def test_consecutive_prompts_share_all_but_their_end(hashing, query) -> None:
    model = hashing()
    OneAtATime(model).simulate([query()])
    for one, other in pairwise(model.asked):
        assert one.messages[:-1] == other.messages[:-1]
        before, after = one.messages[-1].content, other.messages[-1].content
        assert after.startswith(before)


@pytest.mark.parametrize(("levels", "shown"), [(10, "9"), (11, "10")])
def test_worked_examples_use_the_levels_that_are_read(hashing, query, levels: int, shown: str) -> None:
    model = hashing(levels)
    OneAtATime(model).simulate([query()])
    answers = [message.content for message in model.asked[0].messages if message.role == "assistant"]
    assert f"40\t{shown}" in answers
    assert "3\t0" in answers


def test_simulations_come_back_in_order_and_nothing_empty_is_asked(hashing, query) -> None:
    model = hashing()
    queries = [query("a"), query("", outcome=Outcome.FAILED), query("b", ("x", "y"))]
    found = OneAtATime(model).simulate(queries)
    assert [one.outcome for one in found] == [Outcome.OK, Outcome.FAILED, Outcome.OK]
    assert [len(one.expected) for one in found] == [10, 10, 2]
    assert [one.usage.requests for one in found] == [10, 0, 2]
    assert len(model.asked) == 12
    assert found[2] == OneAtATime(hashing()).simulate([queries[2]])[0]
    assert OneAtATime(model).describe().prompt_version == model.asked[0].prompt_version


def test_both_ways_of_placing_slots_read_the_same_where_the_text_is_the_same(hashing, query) -> None:
    """A slot read with others before it equals the same slot read alone, at the end of the same text."""
    model = hashing()
    ((whole,),) = AllAtOnce(model).requests([query()], model.levels())
    together = model.read(whole)
    alone = model.read_levels(truncations(whole))
    assert together.probabilities == tuple(reading.probabilities[0] for reading in alone)


@pytest.mark.parametrize("family", ["tiny_llama", "tiny_gpt2"])
def test_a_real_model_reads_the_same_where_the_text_is_the_same(hashing, query, request, family: str) -> None:
    """A slot reads the same without the later ones, and alone after the same text."""
    model = LocalModel(str(request.getfixturevalue(family)), dtype="float32")
    asked = query(tokens=("The", " storm", " had", " passed", ",", "\t", " fog"))
    ((whole,),) = AllAtOnce(hashing()).requests([asked], model.levels())
    first = [replace(whole, parts=whole.parts[: count + 1]) for count in range(len(whole.parts))]
    together, *readings = (reading for _, reading in sorted(model.read_levels([whole, *first, *truncations(whole)])))
    slots = list(enumerate(together.probabilities))
    assert len({shares for _, shares in slots}) == len(slots), "the slots must differ for this to prove anything"
    for count, shares in slots:
        assert readings[count].probabilities[-1] == pytest.approx(shares, abs=1e-5)
        assert readings[len(slots) + count].probabilities == (pytest.approx(shares, abs=1e-5),)
