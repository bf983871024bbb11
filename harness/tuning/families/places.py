"""Where words stand: after others, at places of a sentence or a text, between marks, or for the second time."""

from __future__ import annotations

from collections.abc import Mapping

from harness.puzzles import rules
from harness.puzzles.rules import Rule
from harness.tuning.concepts import Concept
from harness.tuning.families.base import Chance, Makers, always
from harness.tuning.families.meanings import topics
from harness.tuning.families.tables import FINAL_MARKS, FUNCTION_LIST, MARKS, REST_AFTER, in_words, option, said
from harness.tuning.families.truths import settled

_NAMES: Mapping[str, str] = {":": "a colon", ",": "a comma"}
_BETWEEN = (("(", ")", "brackets"), ("(", ")", "parentheses"), ('"', '"', "quotation marks"), ('"', '"', "quotes"))
_KINDS_BEFORE = (
    ("a number", rules.number()),
    ("a word in capitals", rules.upper()),
    ("a capitalised word", rules.capital()),
    ("a word of ten letters or more", rules.length(10)),
)


def after_words(makers: Makers, chance: Chance) -> Concept:
    """What follows a word, a mark or a kind of word."""
    name, rule, anchors = _before(makers, chance)
    count = chance.choice([1, 1, 1, 1, 2, 3])
    kind = "one" if count == 1 else "several"
    wordings = said("after_words", kind, name=name, count=count, in_words=in_words(count))
    same = Concept("words", said("words", "what stands before", name=name), rule, anchors)
    near = always(same) + makers.near(after_words)
    return Concept("after_words", wordings, rules.after(rule, count), anchors, near)


def _before(makers: Makers, chance: Chance) -> tuple[str, Rule, frozenset[str]]:
    """What something may follow: its name, its rule, and the words that it is."""
    chosen = chance.random()
    if chosen < 0.6:
        word = chance.choice(FUNCTION_LIST) if chance.random() < 0.6 else makers.word(chance)
        return f'"{word}"', rules.words([word]), frozenset([word])
    if chosen >= 0.8:
        return *chance.choice(_KINDS_BEFORE), frozenset()
    mark = chance.choice(list(MARKS))
    name = chance.choice([mark, f'"{MARKS[mark][0]}"'])
    if mark in FINAL_MARKS:  # nothing follows it in its sentence
        return _before(makers, chance)
    return name, rules.words(MARKS[mark]), frozenset(MARKS[mark])


def after_concept(makers: Makers, chance: Chance) -> Concept:
    """What follows a word of some meaning."""
    concept = topics(makers, chance)
    wordings = said("after_concept", name=concept.wordings[0])
    rule = rules.after(settled(concept.rule))
    return Concept("after_concept", wordings, rule, concept.anchors, always(concept))


def places(makers: Makers, chance: Chance) -> Concept:
    """Places in sentences and in the text."""
    count = chance.randint(2, 6)
    numbers = {"double": count * 2, "triple": count * 3, "double_in_words": in_words(count * 2)}
    wordings, rule = option("places", _places(count), chance, count=count, in_words=in_words(count), **numbers)
    return Concept("places", wordings, rule, near=makers.near(places), whole=True)


def _places(count: int) -> Mapping[str, Rule]:
    """The rule of each kind, in the order in which kinds are drawn."""
    return {
        "first word": rules.first_in_sentence(),
        "second word": rules.first_in_sentence(1, 1),
        "third word": rules.first_in_sentence(1, 2),
        "first words": rules.first_in_sentence(count),
        "later words": rules.first_in_sentence(500, count),
        "first of the text": rules.first_in_text(count * 2),
        "first word of the text": rules.first_in_text(1),
        "first sentence": rules.sentence_number(1),
        "second sentence": rules.sentence_number(2),
        "later sentences": rules.sentence_number(2, 99),
        "later in the text": rules.first_in_text(999, count * 3),
        "sentence ends": rules.words([".", "!", "?"]),
    }


def rests(makers: Makers, chance: Chance) -> Concept:
    """All that follows a word or a mark in its sentence."""
    word = chance.choice(REST_AFTER)
    name = _NAMES.get(word, f'"{word}"')
    base, anchors = rules.words([word]), frozenset([word])
    next_only = Concept("after_words", said("after_words", "the next only", name=name), rules.after(base), anchors)
    near = always(next_only) + makers.near(rests)
    return Concept("rests", said("rests", name=name), rules.rest_of_sentence(base), anchors, near)


def inside_marks(_: Makers, chance: Chance) -> Concept:
    """What stands in brackets or in quotation marks."""
    opening, closing, name = chance.choice(_BETWEEN)
    rule = rules.inside(opening, closing)
    outside = Concept("inside_marks", said("inside_marks", "outside", name=name), rules.no(rule))
    wordings = said("inside_marks", "inside", name=name)
    return Concept("inside_marks", wordings, rule, frozenset([opening]), always(outside))


def repeated(_: Makers, chance: Chance) -> Concept:
    """Words that stood in the text before."""
    size = chance.choice([4, 5])
    rule = rules.repeated(size)
    first = Concept("repeated", said("repeated", "first"), rules.but_not(rules.length(size), rule))
    return Concept("repeated", said("repeated", "again", size=size), rule, near=always(first))
