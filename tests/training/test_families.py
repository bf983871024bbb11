"""Every family makes concepts whose wording and rule belong together, and what is held out is never trained."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import numpy as np
import pytest
import yaml

from harness.tasks.puzzles import rules
from harness.tasks.puzzles.rules import HIGHEST, PARTIAL
from harness.training import examples as drawing
from harness.training.concepts import Concept, worded
from harness.training.examples import IGNORED, Examples
from harness.training.families import DATA, HELD_OUT, listed_rule, truths
from harness.training.families.meanings import topic
from harness.training.families.tables import ordinal

COMBINED = frozenset(["exceptions", "both", "conjunctions", "subcategories"])
FAMILIES = sorted({*drawing.WEIGHTS, *HELD_OUT})
TEXT = rules.read(
    'The dog ran (very fast). "But 12 cats, 3 million birds and a BOAT walked on," said the man; the end.'
)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_makes_concepts_that_apply_to_words_and_can_be_said(family: str, examples: Examples) -> None:
    makers = {**examples.trained, **examples.held_out}
    for seed in range(25):
        chance = random.Random(seed)
        concept = makers[family](chance)
        levels = concept.rule(TEXT)
        assert concept.family == family
        assert levels.shape == (len(TEXT.words),)
        assert ((levels == PARTIAL) | ((levels >= 0) & (levels <= HIGHEST))).all()
        assert concept.wordings
        assert worded(concept, chance).strip()
        for make in concept.near:
            assert make(chance).rule(TEXT).shape == levels.shape


def test_what_is_held_out_is_never_trained(examples: Examples) -> None:
    assert set(examples.held_out) == set(HELD_OUT)
    assert set(examples.trained) == set(drawing.WEIGHTS)
    assert not set(examples.trained) & set(HELD_OUT)
    makers = examples.makers
    named = {near for name in makers.topics for near in makers.lexicon[name]["near"]}
    assert makers.held_topics
    assert not (set(makers.topics) | named) & set(makers.held_topics)
    held = {topic(makers, name).wordings for name in makers.held_topics}
    for seed in range(200):
        assert examples.trained["topics"](random.Random(seed)).wordings not in held


@pytest.mark.parametrize(
    "family",
    ["shapes", "numbers", "letters", "places", "occurrences", "echoes", "neighbours", "sentence_kinds", "conjunctions"],
)
def test_every_kind_of_a_family_that_has_wordings_is_drawn(family: str, examples: Examples) -> None:
    kinds = yaml.safe_load((DATA / "wordings.yaml").read_text("utf-8"))[family]
    drawn = [wording for seed in range(240) for wording in examples.trained[family](random.Random(seed)).wordings]
    for kind, templates in kinds.items():
        for template in templates:
            like = re.compile(".+".join(map(re.escape, re.split(r"{\w+}", template))))
            assert any(like.fullmatch(one) for one in drawn), (kind, template)


@pytest.mark.parametrize(
    ("rule", "fired"),
    [
        (truths.on_line(1, 1), "One two ."),
        (truths.on_line(2, 3), "Three four . Five"),
        (truths.every(2), "two four"),
        (truths.occurring(rules.suffix("e"), 2, 2), "Three"),
        (truths.occurring(rules.suffix("e"), 2, 99), "Three Five"),
        (truths.echoing(lambda one, other: one.lower[-1] == other.lower[-1]), "Three Five"),
        (truths.pairs_again, ""),
    ],
)
def test_rules_that_count_fire_where_they_say(rule: rules.Rule, fired: str) -> None:
    text = rules.read("One two.\n\nThree four.\nFive")
    assert " ".join(word.text for word, level in zip(text.words, rule(text), strict=True) if level) == fired


def test_levels_that_grow_begin_at_nothing_and_end_at_the_highest() -> None:
    levels = truths.growing(rules.read("a, " * 14))
    assert levels[::2].tolist() == [*range(11), 10, 10, 10]
    assert not levels[1::2].any()


@pytest.mark.parametrize(
    ("number", "shown"),
    [(1, {"first", "1st"}), (2, {"second", "2nd"}), (12, {"twelfth", "12th"}), (13, {"13th"}), (23, {"23rd"})],
)
def test_an_ordinal_is_said_in_words_or_in_digits(number: int, shown: set[str]) -> None:
    assert {ordinal(number, random.Random(seed)) for seed in range(40)} == shown


def test_the_same_seed_makes_the_same_concept(examples: Examples) -> None:
    for family, maker in examples.trained.items():
        one, other = maker(random.Random(f"{family}")), maker(random.Random(f"{family}"))
        assert one.wordings == other.wordings
        assert np.array_equal(one.rule(TEXT), other.rule(TEXT))


def test_words_that_seldom_mean_it_are_left_open() -> None:
    levels = listed_rule({"dog": 0.9, "ran": 0.2, "man": 0.0})(TEXT)
    found = {word.text: level for word, level in zip(TEXT.words, levels, strict=True) if level}
    assert found == {"dog": HIGHEST, "ran": PARTIAL}


def test_an_exception_and_its_inverse_share_nothing_and_make_up_the_whole(examples: Examples) -> None:
    for seed in range(40):
        chance = random.Random(seed)
        concept = examples.trained["exceptions"](chance)
        whole, inverse = (make(chance) for make in concept.near)
        text = rules.read(" ".join([*concept.members, "and", *concept.members[:3]]))
        kept, cut, every = concept.rule(text), inverse.rule(text), np.maximum(whole.rule(text), 0)
        assert (np.minimum(kept, cut) == 0).all()
        assert np.array_equal(np.where(cut > 0, every, kept), every)
        assert (cut <= every).all()  # what is cut by levels, as by length, has those


def test_a_token_concept_asks_about_the_exact_token_only(examples: Examples) -> None:
    window = examples.pools[0].windows[0]
    piece = window.pieces[1]
    concept = examples.token_maker(random.Random(1))
    concept.tokens.clear()
    concept.tokens[piece] = HIGHEST
    levels = examples.levels(concept, window)
    assert "".join(window.pieces) == window.text.string
    for text, level in zip(window.pieces, levels, strict=True):
        same = text.strip().lower() == piece.strip().lower() != ""
        assert level == (HIGHEST if text == piece else IGNORED if same else 0)


def test_a_pair_of_words_is_found_again_whatever_stands_between() -> None:
    text = rules.read("The old man, I say. An old man: the old, old man.")
    found = truths.pairs_again(text)
    assert [number for number, level in enumerate(found) if level] == [9, 12, 15]


def mixed_texts(examples: Examples) -> list[rules.Text]:
    """Texts of eight sentences of words of a few topics each, of numbers of every size and of marks, at random."""
    return [rules.read(mixed_text(examples, random.Random(seed))) for seed in range(40)]


def mixed_text(examples: Examples, chance: random.Random) -> str:
    topics = chance.sample(sorted(examples.makers.lexicon), 12)
    words = [str(word) for name in topics for word in examples.makers.lexicon[name]["words"]]
    words += 3 * ["the", "of", "and", "with", "in", "on", "under", "near", "by", "from"]
    sentences = []
    for _ in range(8):
        some = chance.choices(words, k=chance.randint(4, 12))
        some += [str(int(10 ** (6 * chance.random()))), f"({chance.choice(words)} {chance.choice(words)})"]
        some += [f'"{chance.choice(words)}"', chance.choice(some)]
        chance.shuffle(some)
        sentences.append(" ".join(some).capitalize() + chance.choice(".!?"))
    return " ".join(sentences)


def levels_on(concept: Concept, texts: list[rules.Text]) -> bytes:
    """Where a concept applies in all the texts, as one value."""
    return np.concatenate([truths.settled(concept.rule)(text) for text in texts]).tobytes()


@pytest.mark.slow
def test_no_trained_concept_says_what_a_held_out_one_says(examples: Examples) -> None:
    """Not by its name, but by where it applies: a rule that is trained under another name is not held out."""
    texts, chance = mixed_texts(examples), random.Random(0)
    trained = {}
    for name, maker in examples.trained.items():
        for concept in (maker(chance) for _ in range(150 if name in COMBINED else 25)):
            trained[levels_on(concept, texts)] = name, concept.wordings[0]
    for name, maker in examples.held_out.items():
        held = {levels_on(one, texts): one.wordings[0] for one in (maker(chance) for _ in range(25))}
        firing = {levels for levels in held if np.count_nonzero(np.frombuffer(levels)) > 2}
        assert firing, name
        met = firing & set(trained)
        assert not met, [(held[one], trained[one]) for one in met]


def fired(rule: rules.Rule, string: str) -> str:
    text = rules.read(string)
    return " ".join(word.text for word, level in zip(text.words, rule(text), strict=True) if level)


def test_a_line_begins_with_its_first_word_whatever_marks_stand_before_it() -> None:
    assert fired(truths.line_beginnings, "He came.\n- She left us.\n\n* It was") == "He She It"


@pytest.mark.parametrize(("within_sentence", "found"), [(True, "bee bear bears"), (False, "bee bear bears")])
def test_a_new_longest_word_has_a_word_before_it(within_sentence: bool, found: str) -> None:
    assert fired(truths.record(within_sentence), "A bee saw. One bear bears cubs") == found


def test_a_word_may_be_the_longest_of_its_sentence_and_not_of_the_text() -> None:
    text = "A beehive. A bee saw"
    assert (fired(truths.record(True), text), fired(truths.record(False), text)) == ("beehive bee", "beehive")


@pytest.mark.parametrize(
    ("family", "said", "text", "found"),
    [
        ("shapes", "words whose second letter is a vowel", "A tall oak, bound to TRY", "tall oak bound to"),
        ("shapes", "words that end with two consonants", "Cold air and ice, a mast", "Cold and mast"),
        ("shapes", "words with two vowels in a row", "Our boat is safe", "Our boat"),
        ("shapes", "words with three consonants in a row", "A strong branch, three crabs", "strong branch three"),
        (
            "shapes",
            "words of four letters or more in which vowels and consonants take turns",
            "Lemon, tree, pan, Amen, list",
            "Lemon Amen",
        ),
        ("numbers", "numbers of three digits", "7, 70, 700, 7000, seven 701", "700 701"),
        ("numbers", "four-digit numbers", "700 7000 7,001 70,000 1999", "7000 7,001 1999"),
        ("letters", "words whose last letter comes before their first one in the alphabet", "To sea, eggs", "To sea"),
        (
            "neighbours",
            "words that come after the word before them in the alphabet",
            "An apple. Bees are sure, still idle",
            "apple sure",
        ),
        ("neighbours", "words that come before the previous word in the alphabet", "Bees are so, so old", "are old"),
        (
            "echoes",
            "words that are longer than the first word of their sentence",
            "The old house. It is not so",
            "house not",
        ),
        ("echoes", "words with fewer letters than the word that their sentence begins with", "Many of us", "of us"),
    ],
)
def test_a_rule_applies_where_its_wording_says(
    family: str, said: str, text: str, found: str, examples: Examples
) -> None:
    drawn = (examples.trained[family](random.Random(seed)) for seed in range(2000))
    assert fired(next(one for one in drawn if said in one.wordings).rule, text) == found


@pytest.mark.parametrize(
    ("family", "said", "holds"),
    [
        ("letters", 'words that have the letter "(.)" exactly once', lambda word, one: word.count(one) == 1),
        (
            "letters",
            "words with the letters (.) and (.) in them, .*",
            lambda word, one, two: one in word and two in word,
        ),
        ("letters", "words that contain (.), (.) or (.)", lambda word, *some: any(one in word for one in some)),
        (
            "letters",
            "words of at least (.) letters, no two of which are the same",
            lambda word, count: len(word) >= int(count) and len(set(word)) == len(word),
        ),
        ("letters", "words with at least (.) different letters", lambda word, count: len(set(word)) >= int(count)),
        ("numbers", "numbers that end in (.)", lambda word, digit: word.endswith(digit)),
    ],
)
def test_a_rule_of_letters_or_digits_applies_to_those_that_its_wording_names(
    family: str, said: str, holds: Callable[..., bool], examples: Examples
) -> None:
    shown = "a jazz box queue of twelve vexing bookkeepers and the unforgivable equation 3 31 1,203 9.1 47 58 66 25 894"
    concepts = [examples.trained[family](random.Random(seed)) for seed in range(600)]
    matches = [(one, found) for one in concepts for told in one.wordings if (found := re.fullmatch(said, told))]
    assert len(matches) > 5
    for concept, match in matches:
        wanted = [
            word
            for word in shown.split()
            if holds(word, *match.groups()) and (family, word.isalpha()) != ("letters", False)
        ]
        assert fired(concept.rule, shown).split() == wanted, match.group()


def test_words_of_a_concept_that_come_again_are_put_into_its_texts(examples: Examples) -> None:
    chance = random.Random(0)
    concept = next(
        one
        for one in (examples.trained["occurrences"](chance) for _ in range(200))
        if one.retold and 1 < len(one.anchors) < 6 and " " not in "".join(one.anchors)
    )
    told = [concept.retold("It was so, and then it was not.", random.Random(seed)) for seed in range(20)]
    put = {word for text in told for word in re.findall(r"[\w']+|\S", text.lower())} & concept.anchors
    assert len(put) > 1
