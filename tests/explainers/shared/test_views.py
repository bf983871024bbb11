"""Excerpts as text, with marks that cannot be mistaken for what they hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.explainers.shared.views import FIRING, GAP, Fired, focused, marked, strongest, text

TOKENS = st.lists(st.tuples(st.text("ab <>\\\n", min_size=1, max_size=3), st.integers(0, 10)), max_size=8)


def test_runs_of_firing_tokens_stand_between_one_pair_of_marks() -> None:
    excerpt = (("un", 5), ("happy", 3), (" and", 2), (" sad", 9))
    assert marked(excerpt) == "<<unhappy>> and<< sad>>"
    assert marked(excerpt, threshold=11) == "unhappy and sad"
    assert marked(()) == ""


def test_marks_in_the_text_itself_are_escaped() -> None:
    assert marked((("a << b", 0), (">>", 5))) == r"a \<\< b<<\>\>>>"
    assert text(["a\\", "\n<"]) == "a\\\\\\n<"


def test_a_bracket_beside_a_mark_is_told_from_the_mark() -> None:
    assert marked((("a<", 0), ("b", 9))) == r"a\<<<b>>"
    assert marked((("a", 0), ("<b", 9))) == r"a<<\<b>>"
    assert marked((("x>", 9), ("y", 0))) == r"<<x\>>>y"
    assert marked((("x", 9), (">y", 0))) == r"<<x>>\>y"


@given(st.text("a<>\\", min_size=1, max_size=6), st.data())
def test_two_places_of_one_text_are_marked_apart(characters: str, data: st.DataObject) -> None:
    places = st.lists(st.booleans(), min_size=len(characters), max_size=len(characters))
    first, second = data.draw(places), data.draw(places)
    views = [marked(tuple((c, 9 * fires) for c, fires in zip(characters, row, strict=True))) for row in (first, second)]
    assert (views[0] == views[1]) == (first == second)


@given(TOKENS)
def test_without_its_marks_a_marked_excerpt_is_the_text(excerpt) -> None:
    if not any("<" in token or ">" in token for token, _ in excerpt):
        assert marked(tuple(excerpt)).replace("<<", "").replace(">>", "") == text(token for token, _ in excerpt)


def test_each_token_is_named_once_where_it_fires_most() -> None:
    excerpts = [(("a", 2), ("b", 0)), (("x", 0), ("a", 7), ("y", 1), ("z", 0)), (("q", 7),)]
    assert strongest(excerpts) == [Fired("a", 7, "x<<a>>yz"), Fired("q", 7, "<<q>>"), Fired("y", 1, "xa<<y>>z")]


@pytest.mark.slow
@given(st.lists(TOKENS.map(tuple), max_size=4))
def test_all_that_fires_is_named_and_nothing_else(excerpts) -> None:
    found = strongest(excerpts)
    assert {one.token for one in found} == {token for some in excerpts for token, level in some if level > 0}
    assert [one.level for one in found] == sorted((one.level for one in found), reverse=True)


def test_only_the_text_around_what_fires_is_shown() -> None:
    silent = [(str(number), 0) for number in range(200)]
    excerpt = [*silent]
    for place, level in ((50, 9), (60, 3), (120, 10), (160, 2)):
        excerpt[place] = (str(place), level)
    shown = focused(tuple(excerpt))
    expected = [GAP, *excerpt[34:67], GAP, *excerpt[104:127], GAP]
    assert list(shown) == expected
    assert focused(tuple(excerpt), threshold=11) == tuple(excerpt)  # nothing fires so much, and all of it stays
    whole = ((" a", 5), (" b", 0))
    assert focused(whole) == whole


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 10)), max_size=120))
def test_what_is_shown_of_an_excerpt_holds_all_that_fires_in_its_order(excerpt: list[tuple[str, int]]) -> None:
    shown = [pair for pair in focused(tuple(excerpt)) if pair != GAP]
    firing = [pair for pair in excerpt if pair[1] >= FIRING]
    assert [pair for pair in shown if pair[1] >= FIRING] == firing
    assert len(shown) == len(excerpt) or (firing and len(shown) < len(excerpt))
