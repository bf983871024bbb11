from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.tasks.puzzles import rules
from harness.tasks.puzzles.rules import HIGHEST, PARTIAL, Rule, compiled, on_tokens, pieces, read
from harness.types import NeuroglossError


def marked(node: dict[str, Any], string: str) -> list[str]:
    text = read(string)
    return [word.text for word, level in zip(text.words, compiled(node)(text), strict=True) if level > 0]


def levels(node: dict[str, Any], string: str) -> dict[str, float]:
    text = read(string)
    return {word.text: level for word, level in zip(text.words, compiled(node)(text), strict=True) if level > 0}


# ------------------------------------------------------------------------------------------------------------- reading


def test_words_numbers_and_marks_are_told_apart() -> None:
    text = read("Don't pay $1,250.50, said (well-fed) Zoë_2.")
    assert [word.text for word in text.words] == [
        *("Don", "'t", "pay", "$", "1,250.50", ",", "said", "(", "well", "-", "fed", ")", "Zoë", "_", "2", ".")
    ]
    assert [word.text for word in text.words if not word.spoken] == ["'t", "$", ",", "(", "-", ")", "_", "."]
    assert [word.place for word in text.words if word.spoken] == list(range(8))


@pytest.mark.parametrize(
    ("string", "sentences"),
    [
        ("One two. Three! Four? Five", [0, 0, 0, 1, 1, 2, 2, 3]),
        ('He said "go." Then (so?) he went.', [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2]),
        ("Wait... what", [0, 0, 0, 0, 1]),
        ("Really?! Yes", [0, 0, 0, 1]),
        ("see main.py now", [0, 0, 0, 0, 0]),
        ("a list\nof lines\n\nhere", [0, 0, 1, 1, 2]),
        ("costs 3.5 or more", [0, 0, 0, 0]),
        ("\n\nhello", [0]),
        ("", []),
    ],
)
def test_sentences_end_at_marks_before_white_space_and_at_line_ends(string: str, sentences: list[int]) -> None:
    assert [word.sentence for word in read(string).words] == sentences


# --------------------------------------------------------------------------------------------------- rules of one word


@pytest.mark.parametrize(
    ("node", "string", "expected"),
    [
        ({"words": ["cat", "May"]}, "CAT cat cats may May MAY", ["CAT", "cat", "May"]),
        ({"words": [7, "?"]}, "7 of 77?", ["7", "?"]),
        ({"prefix": ["un"]}, "Undo un under sun UNTIE", ["Undo", "under", "UNTIE"]),
        ({"prefix": ["un", "under"]}, "under undergo", ["under", "undergo"]),
        ({"suffix": ["ing"]}, "Sing ing ring ingot GOING", ["Sing", "ring", "GOING"]),
        ({"suffix": ["s", "ss"]}, "ss s less", ["ss", "less"]),
        ({"pattern": "[aeiou].*"}, "apple Apple pear e", ["apple", "e"]),
        ({"length": {"minimum": 3, "maximum": 4}}, "a at cat cats catty 1234 ...", ["cat", "cats"]),
        ({"length": {}}, "a, 1 b's ab", ["a", "b", "ab"]),
        ({"capital": {}}, "Anna met Bo and NATO. Carl I de Vries", ["Bo", "Vries"]),
        ({"upper": {}}, "NATO I Nato USA U", ["NATO", "USA"]),
    ],
)
def test_rules_of_one_word(node: dict[str, Any], string: str, expected: list[str]) -> None:
    assert marked(node, string) == expected


def test_values_of_numbers_in_digits_and_words() -> None:
    found = rules.values(read("3 million, two hundred thousand 1,250.5 million 1.2.3 a thousand 10² Seventeen"))
    np.testing.assert_array_equal(
        found,
        [3, 3e6, np.nan, 2, 200, 2e5, 1250.5, 1250.5e6, np.nan, np.nan, 1000, 10, np.nan, 17],
    )


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ({"number": {}}, ["9", "10", "ten", "thousand", "2,000"]),
        ({"number": {"above": 10}}, ["thousand", "2,000"]),
        ({"number": {"above": 9, "below": 1000}}, ["10", "ten"]),
        ({"number": {"below": 10}}, ["9"]),
    ],
)
def test_limits_of_numbers_are_strict(node: dict[str, Any], expected: list[str]) -> None:
    assert marked(node, "9 or 10 or ten, a thousand of 2,000 apples") == expected


# ----------------------------------------------------------------------------------------------------- rules of places


@pytest.mark.parametrize(
    ("node", "string", "expected"),
    [
        ({"first_in_sentence": {}}, '"One two. Three', ["One", "Three"]),
        ({"first_in_sentence": {"count": 2, "skip": 1}}, "a b c d. e. f g", ["b", "c", "g"]),
        ({"first_in_sentence": {"skip": 2}}, "I don't know. It's John's dog.", ["know", "dog"]),
        ({"first_in_text": {"count": 3}}, "I don’t know 'it' yet", ["I", "don", "know"]),
        (
            {"inside": {"opening": "the", "closing": ","}},
            "see the cat of the man, (then) go",
            ["cat", "of", "the", "man"],
        ),
        ({"first_in_text": {"count": 2}}, "(a. b) c", ["a", "b"]),
        ({"first_in_text": {"count": 2, "skip": 1}}, "a, b. c d", ["b", "c"]),
        ({"sentence_number": {"first": 2}}, "a b. c d! e", ["c", "d", "!"]),
        ({"sentence_number": {"first": 2, "last": 3}}, "a. b. c. d", ["b", ".", "c", "."]),
        ({"sentence_number": {"first": 2}}, "Well... yes. No.", ["yes", "."]),
        ({"repeated": {}}, "Then that, then That this the the", ["then", "That"]),
        ({"repeated": {"minimum_length": 2}}, "a a to to 12 12", ["to"]),
        ({"inside": {"opening": "(", "closing": ")"}}, "a (b, c) d (e", ["b", ",", "c", "e"]),
        ({"inside": {"opening": '"', "closing": '"'}}, '"a" b "c d" e', ["a", "c", "d"]),
        ({"inside": {"opening": "(", "closing": ")"}}, "a ) b", []),
    ],
)
def test_rules_of_places(node: dict[str, Any], string: str, expected: list[str]) -> None:
    assert marked(node, string) == expected


# -------------------------------------------------------------------------------------------- rules made of other rules

A, B = {"words": ["a", "b"]}, {"words": ["b", "c"]}


@pytest.mark.parametrize(
    ("node", "string", "expected"),
    [
        ({"any_of": [A, B]}, "a b c d", ["a", "b", "c"]),
        ({"all_of": [A, B]}, "a b c d", ["b"]),
        ({"but_not": [A, B]}, "a b c d", ["a"]),
        ({"but_not": [{"length": {}}, {"words": ["a"]}, {"words": ["c"]}]}, "a b c d", ["b", "d"]),
        ({"not": A}, "a b, c 1", ["c", "1"]),
        ({"after": {"of": A}}, "a x y b z. b. q", ["x", "z"]),
        ({"after": {"words": ["a", "b"]}}, "a b c", ["b", "c"]),
        ({"after": {"of": A, "count": 2}}, "a, x y z", ["x", "y"]),
        ({"after": {"of": A, "skip": 1}}, "a x y z", ["y"]),
        ({"after": {"of": {"words": [":", "$"]}, "count": 2}}, "so: one two three $5", ["one", "two", "5"]),
        ({"after": {"of": A, "count": 9}}, "x a", []),
        ({"rest_of_sentence": A}, "x a y, z. w b", ["y", ",", "z", "."]),
        ({"sentences_with": {"words": ["?"]}}, "x y. z w? v", ["z", "w", "?"]),
    ],
)
def test_rules_of_rules(node: dict[str, Any], string: str, expected: list[str]) -> None:
    assert marked(node, string) == expected


def test_levels_are_kept_by_rules_of_rules() -> None:
    faint = {"graded": {"of": {"words": ["faint"]}, "level": 3}}
    full = {"words": ["full"]}
    both = {"any_of": [full, faint]}
    assert levels(both, "full faint none") == {"full": 10.0, "faint": 3.0}
    assert levels({"all_of": [both, {"length": {}}]}, "full faint") == {"full": 10.0, "faint": 3.0}
    assert levels({"but_not": [{"length": {}}, faint]}, "full faint") == {"full": 10.0}
    assert levels({"after": both}, "faint x full y") == {"x": 3.0, "y": 10.0}
    assert levels({"after": {"of": both, "count": 2}}, "faint full x y") == {"full": 3.0, "x": 10.0, "y": 10.0}
    assert levels({"rest_of_sentence": both}, "faint x full y") == {"x": 3.0, "full": 3.0, "y": 10.0}
    assert levels({"sentences_with": both}, "faint x. full y faint") == {
        **{"x": 3.0, ".": 3.0},
        **{"full": 10.0, "y": 10.0, "faint": 10.0},
    }


# --------------------------------------------------------------------------------------------------- from plain values


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"word": ["a"]}, "there is no rule 'word'; there are after, all_of"),
        ({}, "a mapping with one key"),
        ({"words": ["a"], "length": {}}, "a mapping with one key"),
        (["words"], "a mapping with one key"),
        ({"any_of": [["a"]]}, "a mapping with one key"),
        ({"length": {"least": 3}}, "the rule length cannot be made of"),
        ({"graded": {"of": {"length": {}}}}, "the rule graded cannot be made of"),
        ({"pattern": "("}, "the rule pattern cannot be made of"),
        ({"pattern": 3}, "the rule pattern cannot be made of"),
        ({"after": 3}, "the rule after cannot be made of"),
        ({"any_of": []}, "the rule any_of cannot be made of"),
        ({"all_of": []}, "the rule all_of cannot be made of"),
        ({"but_not": [{"length": {}}]}, "the rule but_not cannot be made of"),
        ({"words": "dog"}, "a list of words is wanted"),
        ({"words": [True]}, "quotes around yes, no, on and off"),
        ({"prefix": "un"}, "a list of words is wanted"),
        ({"suffix": [False]}, "quotes around yes, no, on and off"),
        ({"not": {"after": {"of": {"nothing": {}}}}}, "there is no rule 'nothing'"),
    ],
)
def test_what_is_no_rule_is_named(node: Any, message: str) -> None:
    with pytest.raises(NeuroglossError) as caught:
        compiled(node)
    assert message in str(caught.value)


def test_a_mapping_is_not_changed_by_compiling() -> None:
    node = {"after": {"of": {"words": ["a"]}, "count": 2}}
    compiled(node)
    assert node == {"after": {"of": {"words": ["a"]}, "count": 2}}


# ----------------------------------------------------------------------------------------------------- onto the tokens


def projected(string: str, node: dict[str, Any], tokens: list[str]) -> list[float]:
    assert "".join(tokens) == string
    text = read(string)
    return list(on_tokens(text, compiled(node)(text), np.cumsum([len(token) for token in tokens]).tolist()))


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (["the", " catfish", " sat"], [0, 10, 0]),
        (["the", " cat", "fish", " sat"], [0, PARTIAL, 10, 0]),
        (["the", " ", "catfish", " ", "sat"], [0, 0, 10, 0, 0]),
        (["th", "e cat", "fish sat"], [0, PARTIAL, 0]),
        (["the catfish s", "at"], [0, 0]),
        (["the catfish sat"], [0]),
        (["the catfish", " sat"], [10, 0]),
    ],
)
def test_a_token_has_the_level_of_the_last_word_it_ends(tokens: list[str], expected: list[float]) -> None:
    assert projected("the catfish sat", {"words": ["catfish"]}, tokens) == expected


def test_a_stretch_goes_on_inside_words_and_between_them() -> None:
    node = {"rest_of_sentence": {"words": ["but"]}}
    tokens = ["no", " but", " some", "thing", " ", "else", ".", " Af", "ter"]
    assert projected("no but something else. After", node, tokens) == [0, 0, PARTIAL, 10, 10, 10, 10, 0, 0]


def test_white_space_has_the_smaller_level_of_its_neighbours() -> None:
    node = {"any_of": [{"words": ["full"]}, {"graded": {"of": {"words": ["faint"]}, "level": 3}}]}
    assert projected("full \n faint ", node, ["full", " ", "\n", " faint", " "]) == [10, 3, 3, 3, 0]


def test_a_text_without_words_has_tokens_without_levels() -> None:
    assert projected("  \n", {"not": {"words": ["a"]}}, ["  ", "\n"]) == [0, 0]
    assert projected("", {"length": {}}, []) == []


def test_pieces_cut_as_a_tokenizer_does() -> None:
    assert pieces("It's $12,345 (a_b)...  end\n") == [
        *("It", "'", "s", " $", "12", ",", "345", " (", "a", "_", "b", ")...", " ", " end", "\n")
    ]
    assert pieces("1234567") == ["123", "456", "7"]


# ---------------------------------------------------------------------------------------------------------- properties

VOCABULARY = (
    *("the", "The", "cat", "Cats", "singing", "because", "but", "Anna", "NATO", "I", "not", "seven", "million", "x"),
    *("1,250", "42", "don't", "it's", "$5", "well-known", "über"),
)
GLUE = (" ", " ", " ", ", ", ". ", "! ", "? ", "... ", ": ", " (", ") ", ' "', '" ', '." ', "\n", ".\n\n")
strings = st.lists(st.tuples(st.sampled_from(VOCABULARY), st.sampled_from(GLUE)), max_size=20).map(
    lambda pairs: "".join(word + glue for word, glue in pairs)
)

SIMPLE: tuple[dict[str, Any], ...] = (
    {"words": ["cat", "but", ":", "I"]},
    {"prefix": ["c", "s"]},
    {"suffix": ["s", "ing"]},
    {"pattern": "[A-Z].*"},
    {"length": {"minimum": 3}},
    {"number": {"above": 5}},
    {"first_in_sentence": {"count": 2}},
    {"first_in_text": {"count": 3, "skip": 1}},
    {"sentence_number": {"first": 2}},
    {"repeated": {"minimum_length": 2}},
    {"inside": {"opening": "(", "closing": ")"}},
    {"inside": {"opening": '"', "closing": '"'}},
    {"capital": {}},
    {"upper": {}},
)


def _made_of(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    several = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(
        *(several.map(lambda some, name=name: {name: some}) for name in ("any_of", "all_of", "but_not")),
        inner.map(lambda one: {"not": one}),
        inner.map(lambda one: {"rest_of_sentence": one}),
        st.builds(lambda one, level: {"graded": {"of": one, "level": level}}, inner, st.integers(1, 9)),
        st.builds(
            lambda one, count, skip: {"after": {"of": one, "count": count, "skip": skip}},
            inner,
            st.integers(1, 3),
            st.integers(0, 2),
        ),
    )


quick = settings(max_examples=settings().max_examples // 2)
simple = st.sampled_from(SIMPLE)
causal = st.recursive(simple, _made_of, max_leaves=4)
anything = st.one_of(causal, causal.map(lambda one: {"sentences_with": one}))


def same(string: str, one: Rule, other: Rule) -> None:
    text = read(string)
    np.testing.assert_array_equal(one(text), other(text))


@quick
@given(st.text())
def test_reading_loses_nothing_but_white_space(string: str) -> None:
    text = read(string)
    assert "".join(word.text for word in text.words) == "".join(string.split())
    assert all(string[word.start : word.end] == word.text for word in text.words)
    numbers = [word.sentence for word in text.words]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(len(set(numbers))))


@quick
@given(st.text())
def test_pieces_make_up_the_text(string: str) -> None:
    assert "".join(pieces(string)) == string


@quick
@given(anything, st.one_of(strings, st.text(), st.text("²٣五0a. '\n")))
def test_every_rule_gives_each_word_a_level(node: dict[str, Any], string: str) -> None:
    text = read(string)
    found = compiled(node)(text)
    assert found.shape == (len(text.words),)
    assert np.all((found >= 0) & (found <= HIGHEST))


@quick
@given(causal, strings, st.data())
def test_causal_rules_know_only_what_came_before(node: dict[str, Any], string: str, data: st.DataObject) -> None:
    text = read(string)
    known = data.draw(st.integers(0, len(text.words)))
    beginning = read(string[: text.words[known - 1].end] if known else "")
    assert beginning.words == text.words[:known]
    rule = compiled(node)
    np.testing.assert_array_equal(rule(beginning), rule(text)[:known])


@quick
@given(causal, causal, causal, strings)
def test_any_and_all_are_union_and_intersection(
    first: dict[str, Any], second: dict[str, Any], third: dict[str, Any], string: str
) -> None:
    a, b, c = map(compiled, (first, second, third))
    union, section = rules.any_of, rules.all_of
    for combine in (union, section):
        same(string, combine(a), a)
        same(string, combine(a, a), a)
        same(string, combine(a, b), combine(b, a))
        same(string, combine(a, combine(b, c)), combine(a, b, c))
    same(string, union(a, section(a, b)), a)
    same(string, section(a, union(a, b)), a)
    same(string, section(a, union(b, c)), union(section(a, b), section(a, c)))


@quick
@given(simple, simple, simple, strings)
def test_but_not_is_the_difference(
    first: dict[str, Any], second: dict[str, Any], third: dict[str, Any], string: str
) -> None:
    a, b, c = map(compiled, (first, second, third))
    union, section, minus, no = rules.any_of, rules.all_of, rules.but_not, rules.no
    assert not minus(a, a)(read(string)).any()
    assert not section(minus(a, b), b)(read(string)).any()
    same(string, union(minus(a, b), section(a, b)), a)
    same(string, minus(a, b, c), minus(minus(a, b), c))
    same(string, minus(a, b, c), minus(a, union(b, c)))
    same(string, minus(union(a, b), c), union(minus(a, c), minus(b, c)))
    same(string, no(union(a, b)), section(no(a), no(b)))
    same(string, no(section(a, b)), union(no(a), no(b)))


@quick
@given(causal, st.integers(1, 10), strings)
def test_grading_keeps_the_places(node: dict[str, Any], level: int, string: str) -> None:
    text, rule = read(string), compiled(node)
    graded = rules.graded(rule, level)(text)
    np.testing.assert_array_equal(graded > 0, rule(text) > 0)
    assert np.all(graded <= level)


@quick
@given(anything, strings)
def test_whole_sentences_hold_the_rule_and_are_level(node: dict[str, Any], string: str) -> None:
    text, rule = read(string), compiled(node)
    whole = rules.sentences_with(rule)
    assert np.all(whole(text) >= rule(text))
    same(string, rules.sentences_with(whole), whole)


@quick
@given(anything, strings)
def test_on_tokens_of_single_characters_every_word_end_has_its_level(node: dict[str, Any], string: str) -> None:
    text = read(string)
    found = compiled(node)(text)
    tokens = on_tokens(text, found, range(1, len(string) + 1))
    np.testing.assert_array_equal(tokens[[word.end - 1 for word in text.words]], found)


@quick
@given(anything, strings, st.data())
def test_on_tokens_a_token_does_not_depend_on_later_tokens(
    node: dict[str, Any], string: str, data: st.DataObject
) -> None:
    text = read(string)
    found = compiled(node)(text)
    ends = sorted(data.draw(st.sets(st.integers(1, max(1, len(string))), max_size=12)))
    known = data.draw(st.integers(0, len(ends)))
    np.testing.assert_array_equal(on_tokens(text, found, ends)[:known], on_tokens(text, found, ends[:known]))
