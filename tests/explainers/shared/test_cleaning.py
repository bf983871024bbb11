"""From replies to explanations: gentle cleaning, named outcomes."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.explainers.shared.cleaning import LONGEST, VERSION, explanation_of, is_copy
from harness.types import Completion, Outcome, utf8

LEAD_IN = "This neuron fires on"


KEPT = [
    ("olympics (2012)", "olympics (2012)"),
    (" words related to comparison.\n", "words related to comparison."),
    ("This neuron fires on names of rivers", "names of rivers"),
    ("this neuron fires on: names of rivers\n\nBecause they all flow.", "names of rivers"),
    ('"names of rivers"', "names of rivers"),
    ("“names of rivers”", "names of rivers"),
    ('"yes" and "no"', '"yes" and "no"'),
    ("'s and 't endings", "'s and 't endings"),
    ("the word 'to'", "the word 'to'"),
    ("<b>bold</b> &amp; tags", "<b>bold</b> &amp; tags"),
    ("form feeds \x0c and bells \x07 inside", "form feeds \x0c and bells \x07 inside"),
    ("Sure! Here is the explanation:\n\nnames of rivers", "names of rivers"),
    ("these tokens:", "these tokens:"),
    ("<think>Rivers?\nOr lakes?</think>\n\nnames of rivers", "names of rivers"),
    ("They flow.\nSo it is rivers.\n</think>\n\nnames of rivers", "names of rivers"),
    ("<thinking>Rivers?</thinking>names of rivers", "names of rivers"),
    ('the token "</think>"', 'the token "</think>"'),
    ("broken \ud83d pairs", "broken \ufffd pairs"),
    ("as a language of its own", "as a language of its own"),
    ("I cannot and other negations", "I cannot and other negations"),
    ("sorry and other apologies", "sorry and other apologies"),
    ("```text\nnames of rivers\n```", "names of rivers"),
    ("!", "!"),
]


@pytest.mark.parametrize(("reply", "text"), KEPT)
def test_what_is_said_is_kept(reply: str, text: str) -> None:
    assert explanation_of(Completion(reply), LEAD_IN) == (text, Outcome.OK)


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ("", Outcome.EMPTY),
        (" \n\t", Outcome.EMPTY),
        ("...", Outcome.EMPTY),
        ("```\n\n```", Outcome.EMPTY),
        ("This neuron fires on", Outcome.EMPTY),
        ("<think>It might be rivers, or", Outcome.EMPTY),
        ("It might be rivers, or lakes.\n</think>", Outcome.EMPTY),
        ("I'm sorry, but I can't help with that.", Outcome.REFUSED),
        ("I apologize, but the tokens are too few.", Outcome.REFUSED),
        ("Unfortunately, I cannot determine the pattern.", Outcome.REFUSED),
        ("As a language model, I have no neurons", Outcome.REFUSED),
        ("I cannot determine what this neuron does.", Outcome.REFUSED),
        ("As an AI language model, I do not", Outcome.REFUSED),
        ("Let me think.\n" + "The first token is 'a'. " * 200, Outcome.TRUNCATED),
    ],
)
def test_what_is_no_explanation_is_named(reply: str, outcome: Outcome) -> None:
    text, found = explanation_of(Completion(reply), LEAD_IN)
    assert found is outcome
    assert len(text) <= LONGEST


@pytest.mark.parametrize(
    ("reply", "text", "outcome"),
    [
        ("names of rivers\nand the reason is", "names of rivers", Outcome.OK),
        ("names of rivers. Also, it seems", "names of rivers.", Outcome.OK),
        ("names of rivers. Also lakes.", "names of rivers. Also lakes.", Outcome.OK),
        ("names of rivers such as the", "names of rivers such as the", Outcome.TRUNCATED),
        ('years, such as "1848", "2003", "20', 'years, such as "1848", "2003"', Outcome.OK),
        ('the token "a" or "b" and some', 'the token "a" or "b"', Outcome.OK),
        ('"a", "b', '"a", "b', Outcome.TRUNCATED),  # nothing is said of them
        ("", "", Outcome.TRUNCATED),
    ],
)
def test_a_reply_that_ran_into_its_limit(reply: str, text: str, outcome: Outcome) -> None:
    assert explanation_of(Completion(reply, Outcome.TRUNCATED), LEAD_IN) == (text, outcome)


def test_a_copy_is_one_whatever_its_case_and_punctuation() -> None:
    examples = ["words for bad weather", "numbers that follow a currency sign", ""]
    assert is_copy("Words for bad  weather.", examples)
    assert not is_copy("words for bad weather and rivers", examples)
    assert not is_copy('"$" or "€"', examples)  # without a word it is like no example
    assert not is_copy("rivers", [])


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.REFUSED, Outcome.EMPTY])
def test_an_outcome_that_the_backend_names_stays(outcome: Outcome) -> None:
    assert explanation_of(Completion("some text", outcome))[1] is outcome


def test_another_explanation_of_the_same_reply_is_another_version() -> None:
    outcomes = (Outcome.OK, Outcome.TRUNCATED)
    made = [explanation_of(Completion(reply, outcome), LEAD_IN) for reply, _ in KEPT for outcome in outcomes]
    digest = hashlib.sha256(repr([(text, outcome.value) for text, outcome in made]).encode()).hexdigest()
    assert (VERSION, digest[:12]) == ("cleaning-v4", "51652750a661")


ANNOUNCED = st.sampled_from(["", f"{LEAD_IN} ", f"{LEAD_IN}: ", "Sure, here it is:\n\n", "<think>Is it?</think>\n"])


@given(
    st.text(st.sampled_from("ab c()'\"<>&2.\x00\x07\x1b\r\x85\u2028\u200b"), min_size=1).map(lambda text: f"x{text}x")
)
def test_one_line_of_text_comes_back_whole(text: str) -> None:
    assert explanation_of(Completion(f"  {text} \n"), LEAD_IN) == (text, Outcome.OK)


PIECES = ["(2012)", "(in (other) words)", '"kiln"', "“river”", "'to'", "[1]", "<b>", "&amp;", "olympics", "of"]


@given(ANNOUNCED, st.lists(st.sampled_from(PIECES), min_size=2, max_size=7).map(" ".join))
def test_nothing_in_parentheses_or_quotes_is_lost(before: str, text: str) -> None:
    assert explanation_of(Completion(f"{before}{text}\n\nBecause (it is)."), LEAD_IN) == (text, Outcome.OK)


@given(ANNOUNCED, st.text("abc .,\n", min_size=1, max_size=60), st.sampled_from([Outcome.OK, Outcome.TRUNCATED]))
def test_kilobytes_of_reasoning_are_no_explanation(before: str, text: str, outcome: Outcome) -> None:
    reasoning = f"So {text}" * (1 + LONGEST // len(text))
    told, found = explanation_of(Completion(before + reasoning, outcome), LEAD_IN)
    assert found is Outcome.TRUNCATED
    assert len(told) <= LONGEST
    assert explanation_of(Completion(f"<think>{reasoning}</think>\nrivers"), LEAD_IN) == ("rivers", Outcome.OK)
    assert explanation_of(Completion(f"{reasoning}\n</think>\nrivers"), LEAD_IN) == ("rivers", Outcome.OK)
    assert explanation_of(Completion(f"<think>{reasoning}", outcome), LEAD_IN)[1] is not Outcome.OK


@settings(max_examples=settings().max_examples // 3)  # of long texts, each of which takes long to draw
@given(st.text(max_size=3 * LONGEST), st.sampled_from([Outcome.OK, Outcome.TRUNCATED]))
def test_any_reply_becomes_text_or_a_named_outcome(reply: str, outcome: Outcome) -> None:
    text, found = explanation_of(Completion(reply, outcome), LEAD_IN)
    assert "\n" not in text or found is not Outcome.OK
    assert text or found is not Outcome.OK
    assert utf8(text) == text


REFUSING = ("cannot", "can not", "can't", "can’t", "cant", "am unable to", "am not able to", "won't", "wont")


@pytest.mark.parametrize("before", ["I ", "Unfortunately, I ", "unfortunately I "])
@pytest.mark.parametrize("refusing", REFUSING)
def test_a_refusal_is_one_however_it_is_spelt(before: str, refusing: str) -> None:
    assert explanation_of(Completion(f"{before}{refusing} determine the pattern."))[1] is Outcome.REFUSED
    assert explanation_of(Completion(f"the words {before}{refusing}"))[1] is Outcome.OK
