"""One-at-a-time asks once for each token, with the text up to it; and where both simulators must agree, they do."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate, pairwise

import pytest

from harness.simulators.all_at_once import AllAtOnce
from harness.simulators.one_at_a_time import OneAtATime
from harness.types import Outcome, Simulator, SlottedPrompt


def truncations(prompt: SlottedPrompt) -> list[SlottedPrompt]:
    """For each slot of a prompt, the prompt that ends there and has no other."""
    return [
        replace(prompt, parts=(text,)) for text in accumulate(prompt.parts, lambda a, b: a + prompt.placeholder + b)
    ]


def test_there_is_one_prompt_a_token_with_the_text_up_to_it(hashing, query) -> None:
    model = hashing()
    OneAtATime(model).simulate([query(tokens=("The", " storm", "\n", "ing"))])
    assert [prompt.parts for prompt in model.asked] == [("",)] * 4
    ends = [prompt.messages[-1].content.partition("words for weather\n")[2] for prompt in model.asked]
    texts, tails = zip(*(end.rsplit("\n", 1) for end in ends), strict=True)
    assert texts == ("The", "The storm", "The storm\n", "The storm\ning")
    assert [tail.rpartition(":")[2] for tail in tails] == ["The", " storm", r"\n", "ing"]


def test_consecutive_prompts_share_all_but_their_end(hashing, query) -> None:
    model = hashing()
    OneAtATime(model).simulate([query()])
    for one, other in pairwise(model.asked):
        assert one.messages[:-1] == other.messages[:-1]
        before, after = one.messages[-1].content, other.messages[-1].content
        assert next(n for n in range(len(before)) if before[n] != after[n]) > len(before) - 40


@pytest.mark.parametrize(("levels", "shown"), [(10, "9"), (11, "10")])
def test_worked_examples_use_the_levels_that_are_read(hashing, query, levels: int, shown: str) -> None:
    model = hashing(levels)
    OneAtATime(model).simulate([query()])
    answers = [message.content for message in model.asked[0].messages if message.role == "assistant"]
    assert shown in answers
    assert "0" in answers


def test_simulations_come_back_in_order_and_nothing_empty_is_asked(hashing, query) -> None:
    model = hashing()
    queries = [query("a"), query("", outcome=Outcome.FAILED), query("b", ("x", "y"))]
    found = OneAtATime(model).simulate(queries)
    assert [one.outcome for one in found] == [Outcome.OK, Outcome.FAILED, Outcome.OK]
    assert [len(one.expected) for one in found] == [10, 10, 2]
    assert [one.usage.requests for one in found] == [10, 0, 2]
    assert len(model.asked) == 12
    assert found[2] == OneAtATime(hashing()).simulate([queries[2]])[0]
    assert isinstance(OneAtATime(model), Simulator)
    assert OneAtATime(model).prompt_version == model.asked[0].prompt_version


def test_both_ways_of_placing_slots_read_the_same_where_the_text_is_the_same(hashing, query) -> None:
    """A slot read with others before it equals the same slot read alone, at the end of the same text."""
    model = hashing()
    ((whole,),) = AllAtOnce(model).requests([query()], model.levels())
    together = model.read(whole)
    alone = model.read_levels(truncations(whole))
    assert together.probabilities == tuple(reading.probabilities[0] for reading in alone)
