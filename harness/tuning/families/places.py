"""Where words stand: after others, at places of a sentence or a text, between marks, or for the second time."""

from __future__ import annotations

from collections.abc import Mapping

from harness.puzzles import rules
from harness.puzzles.rules import Rule
from harness.tuning.concepts import Concept
from harness.tuning.families.base import Chance, Makers, always
from harness.tuning.families.meanings import topics
from harness.tuning.families.tables import (
    CLOSED_CLASSES,
    FINAL_MARKS,
    FUNCTION_LIST,
    MARKS,
    PHRASES,
    REST_AFTER,
    SPANS,
    in_words,
    option,
    said,
)
from harness.tuning.families.truths import compared, line_beginnings, phrase, settled

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
    kind = chance.choice(["one", "one", "one", "one", "several", "several", "second"])
    count = chance.choice([2, 3]) if kind == "several" else 1
    wordings = said("after_words", kind, name=name, count=count, in_words=in_words(count))
    same = Concept("words", said("words", "what stands before", name=name), rule, anchors)
    near = always(same) + makers.near(after_words)
    following = rules.after(rule, count, skip=1 if kind == "second" else 0)
    return Concept("after_words", wordings, following, anchors, near)


def _before(makers: Makers, chance: Chance) -> tuple[str, Rule, frozenset[str]]:
    """What something may follow: its name, its rule, and the words that it is."""
    chosen = chance.random()
    if chosen < 0.5:
        word = chance.choice(FUNCTION_LIST) if chance.random() < 0.6 else makers.word(chance)
        return f'"{word}"', rules.words([word]), frozenset([word])
    if chosen < 0.6:
        some = chance.choice(PHRASES)
        return f'"{some}"', phrase(some), frozenset(some.lower().split()[-1:])
    if chosen < 0.68:
        kind = chance.choice(list(CLOSED_CLASSES))
        return said("closed_classes", kind)[0], rules.words(CLOSED_CLASSES[kind]), frozenset(CLOSED_CLASSES[kind])
    if chosen >= 0.85:
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


def phrases(makers: Makers, chance: Chance) -> Concept:
    """Phrases of a few words: their last word, since those before it may yet go on otherwise."""
    words = chance.choice(PHRASES)
    last = words.split()[-1]
    near = always(Concept("words", said("words", "what stands before", name=f'"{last}"'), rules.words([last.lower()])))
    anchors = frozenset([last.lower()])
    return Concept("phrases", said("phrases", phrase=words), phrase(words), anchors, near + makers.near(phrases))


def neighbours(makers: Makers, chance: Chance) -> Concept:
    """Words that stand in some relation to the word before them."""
    wordings, rule = option("neighbours", _NEIGHBOURS, chance)
    return Concept("neighbours", wordings, rule, near=makers.near(neighbours))


_NEIGHBOURS: Mapping[str, Rule] = {
    "same first letter": compared(lambda one, other: one.lower[0] == other.lower[0]),
    "longer": compared(lambda one, other: len(one.text) < len(other.text)),
    "shorter": compared(lambda one, other: len(one.text) > len(other.text)),
    "short after long": compared(lambda one, other: len(one.text) > 6 and len(other.text) < 4),
    "long after short": compared(lambda one, other: len(one.text) < 3 and len(other.text) > 6),
    "second capital": compared(lambda one, other: one.text[0].isupper() and other.text[0].isupper()),
    "same word": compared(lambda one, other: one.lower == other.lower),
    "after a final s": compared(lambda one, _: one.lower.endswith("s")),
}


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
        "nth word": rules.first_in_sentence(1, count - 1),
        "from the nth word": rules.first_in_sentence(500, count * 2),
        "nth word of the text": rules.first_in_text(1, count * 3 - 1),
        "third sentence": rules.sentence_number(3),
        "first two sentences": rules.sentence_number(1, 2),
        "line beginnings": line_beginnings,
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


def spans(makers: Makers, chance: Chance) -> Concept:
    """What stands between a word or a mark and the next one of another."""
    opening, opens, closing, closes = chance.choice(SPANS)
    rule, names = rules.inside(opening, closing), {"opening": opens, "closing": closes}
    outside = Concept("spans", said("spans", "outside", **names), rules.no(rule))
    only_next = Concept(
        "after_words", said("after_words", "the next only", name=opens), rules.after(rules.words([opening]))
    )
    near = always(outside, only_next) + makers.near(spans)
    return Concept("spans", said("spans", "inside", **names), rule, frozenset([opening.lower()]), near)


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
