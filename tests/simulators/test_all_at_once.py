"""All-at-once places one slot a token in one prompt, and shares all it can with the next prompt."""

from __future__ import annotations

import pytest

from harness.simulators.all_at_once import AllAtOnce
from harness.types import NeuroglossError, Outcome


def test_each_token_has_a_line_with_a_slot(hashing, query) -> None:
    model = hashing()
    AllAtOnce(model).simulate([query(tokens=("The", " storm", "\n", "\t", "�", "a\\t"))])
    parts = model.asked[0].parts
    assert parts == ("The\t", "\n storm\t", "\n\\n\t", "\n\\t\t", "\n�\t", "\na\\\\t\t")
    assert (model.asked[0].placeholder, model.asked[0].levels) == ("-", 10)
    assert model.asked[0].prompt_version.startswith("all_at_once-v1+")


def test_only_the_last_message_differs_between_explanations(hashing, query) -> None:
    model = hashing()
    AllAtOnce(model).simulate([query("words for weather"), query("a list\nof (two) lines")])
    first, second = (prompt.messages for prompt in model.asked)
    assert first[:-1] == second[:-1]
    assert "words for weather" in first[-1].content
    assert "a list of (two) lines" in second[-1].content
    assert not any("words for weather" in message.content for message in first[:-1])


@pytest.mark.parametrize(("levels", "shown"), [(10, "40\t9"), (11, "40\t10")])
def test_worked_examples_use_the_levels_that_are_read(hashing, query, levels: int, shown: str) -> None:
    model = hashing(levels)
    simulated = AllAtOnce(model).simulate([query()])[0]
    answers = "\n".join(message.content for message in model.asked[0].messages if message.role == "assistant")
    assert f"{shown}\n" in answers
    assert f"to {levels - 1}." in model.asked[0].messages[0].content
    assert len((simulated.probabilities or ())[0]) == levels


def test_worked_examples_are_written_like_the_lines_that_are_read(hashing, query) -> None:
    model = hashing()
    AllAtOnce(model).simulate([query(tokens=("She", " paid"))])
    answer = next(m.content for m in model.asked[0].messages if m.role == "assistant" and m.content.startswith("She"))
    placed = "0".join(model.asked[0].parts)
    assert answer.startswith(placed)


def test_simulations_come_back_in_order_and_nothing_empty_is_asked(hashing, query) -> None:
    model = hashing()
    queries = [query("a"), query(""), query("b", ("x", "y")), query("", outcome=Outcome.REFUSED), query("c", ())]
    found = AllAtOnce(model).simulate(queries)
    assert [one.outcome for one in found] == [Outcome.OK, Outcome.EMPTY, Outcome.OK, Outcome.REFUSED, Outcome.EMPTY]
    assert [len(one.expected) for one in found] == [10, 10, 2, 10, 0]
    assert len(model.asked) == 2
    assert found[2] == AllAtOnce(hashing()).simulate([queries[2]])[0]
    assert [one.usage.requests for one in found] == [1, 0, 1, 0, 0]


def test_a_model_is_not_woken_for_nothing(query) -> None:
    class Asleep:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(f"{name} was used")

    assert AllAtOnce(Asleep()).simulate([query("")])[0].outcome is Outcome.EMPTY
    assert AllAtOnce(Asleep()).simulate([]) == []


def test_a_missing_prompt_is_found_before_any_work(hashing) -> None:
    with pytest.raises(NeuroglossError, match="no prompt 'all-v1'"):
        AllAtOnce(hashing(), "all-v1")
