"""What is changed in a text is what the change says, and everything else stays as it was."""

from __future__ import annotations

import random
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.tasks.puzzles import rules
from harness.training import retold
from harness.training.concepts import Retold

TEXT = "The dog ran to the bank. It was late! Nobody saw the raft, and nobody asked. Was it gone?"
CHANGES: dict[str, Retold] = {
    "lines": retold.lines,
    "wrapped": partial(retold.wrapped, opening="[", closing="]"),
    "capitals": retold.capitals,
    "doubled": retold.doubled,
    "inserted": partial(retold.inserted, additions=(";", "moreover")),
    "numbered": retold.numbered,
    "numbered around": partial(retold.numbered, around=50),
    "echoed": retold.echoed,
}
WORDS = st.text("ab .!?", max_size=40)


def several(change: Retold, count: int = 60) -> list[str]:
    return [change(TEXT, random.Random(seed)) for seed in range(count)]


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_decided_by_its_chance_and_is_made_now_and_then(name: str) -> None:
    assert several(CHANGES[name]) == several(CHANGES[name])
    assert len(set(several(CHANGES[name]))) > 5


@given(text=WORDS, seed=st.integers(0, 999), name=st.sampled_from(sorted(CHANGES)))
def test_any_text_can_be_changed(text: str, seed: int, name: str) -> None:
    assert isinstance(CHANGES[name](text, random.Random(seed)), str)


def test_lines_end_where_sentences_end_and_nowhere_else() -> None:
    for found in several(retold.lines):
        for line in found.split("\n")[:-1]:
            assert line.strip(" -*") == "" or line.rstrip()[-1] in ".!?"
        assert found.replace("\n- ", " ").replace("\n* ", " ").split() == TEXT.split()


def test_what_is_wrapped_opens_before_it_closes_and_the_words_stay() -> None:
    for found in several(CHANGES["wrapped"]):
        assert found.replace("[", " ").replace("]", " ").split() == TEXT.split()
        assert 0 <= found.index("[") < found.index("]")
        assert rules.inside("[", "]")(rules.read(found)).any()


def test_capitals_change_case_only() -> None:
    assert {found.lower() for found in several(retold.capitals)} == {TEXT.lower()}


def test_a_doubled_word_stands_twice_in_a_row() -> None:
    for found in several(retold.doubled):
        words = found.split(" ")
        assert [word for word, before in zip(words, ["", *words], strict=False) if word != before] == TEXT.split(" ")


def test_what_is_inserted_is_all_that_is_new() -> None:
    for found in several(CHANGES["inserted"]):
        more = found.count(";") + found.split().count("moreover")
        assert 1 <= more <= 3
        assert [word.rstrip(";") for word in found.split() if word.rstrip(";") not in ("", "moreover")] == TEXT.split()


def test_inserted_numbers_are_numbers_and_all_that_is_new() -> None:
    put_in = []
    for found in several(retold.numbered):
        words = iter(TEXT.split(" "))
        expected = next(words)
        for word in found.split(" "):
            if word.startswith(expected):  # an amount in dollars may stand right behind it
                put_in.append(word.removeprefix(expected))
                expected = next(words, "nothing more")
            else:
                put_in.append(word)
        assert expected == "nothing more"
    new = [one for one in put_in if one]
    assert len(new) > 20
    assert all(one.strip("$,.0123456789") == "" and any(map(str.isdecimal, one)) for one in new)


def test_what_is_echoed_stood_before_and_all_words_stay() -> None:
    words = TEXT.split(" ")
    for found in several(retold.echoed):
        assert set(found.split(" ")) == set(words)
        assert len(found.split(" ")) > len(words)
        remaining = iter(found.split(" "))
        assert all(word in remaining for word in words)


def test_half_of_the_numbers_stand_near_what_is_asked() -> None:
    values = rules.values
    found = [
        value
        for text in several(partial(retold.numbered, around=300_000), 200)
        for value in values(rules.read(text))
        if value == value  # noqa: PLR0124  # not NaN
    ]
    near = sum(75_000 <= value <= 1_200_000 for value in found)
    assert 0.35 < near / len(found) < 0.65


def test_numbers_stand_apart_from_the_words_around_them() -> None:
    for text in several(retold.numbered, 200):
        assert set(TEXT.split(" ")) <= set(text.split(" "))
