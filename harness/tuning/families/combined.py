"""Concepts that are made of others: two at once, all but some, and those where something else holds too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from harness.puzzles import rules
from harness.puzzles.rules import HIGHEST, Rule
from harness.tuning.concepts import Concept
from harness.tuning.families.base import Chance, Family, Makers, always
from harness.tuning.families.forms import closed_classes, doubled_letter, endings, letters, shapes, words
from harness.tuning.families.marks import numbers, punctuation
from harness.tuning.families.meanings import below, meaning, overlapping, topics
from harness.tuning.families.places import after_words, places
from harness.tuning.families.tables import RIGHT_AFTER, said, series
from harness.tuning.families.truths import otherwise, settled

_SIMPLE: tuple[Family, ...] = (meaning, meaning, words, endings, numbers, punctuation, after_words, letters)
_WHOLE: tuple[Family, ...] = (meaning, meaning, meaning, closed_classes, endings, numbers)
_EXCEPTED: tuple[Family, ...] = (letters, shapes, endings, places, after_words)
_NEGATED: tuple[Family, ...] = (shapes, numbers, punctuation, topics, letters)


def both(makers: Makers, chance: Chance) -> Concept:
    """Two meanings in one explanation; now and then the second one applies at a lower level."""
    one, other = (chance.choice(_SIMPLE)(makers, chance) for _ in range(2))
    names = {"one": chance.choice(one.wordings[:3]), "other": chance.choice(other.wordings[:3])}
    lower = chance.choice([3.0, 5.0, 7.0]) if chance.random() < 0.3 else HIGHEST
    wording = chance.choice(said("both", "equal", **names))
    if lower < HIGHEST:
        wording = chance.choice(said("both", "unequal", **names))
    rule = rules.any_of(settled(one.rule), rules.graded(settled(other.rule), lower))
    anchors, listed = one.anchors | other.anchors, one.listed[:30] + other.listed[:30]
    return Concept("both", (wording,), rule, anchors, always(one, other), listed)


def exceptions(makers: Makers, chance: Chance) -> Concept:
    """Words of some kind, but not some of them, or not a form or a place that overlaps with it."""
    concept = chance.choice(_WHOLE)(makers, chance)
    name, base = concept.wordings[0], settled(concept.rule)
    excepted, out = _excepted(concept, makers, chance)
    wording = chance.choice(said("exceptions", "except", name=name, excepted=excepted))
    only = said("exceptions", "only", name=name, excepted=excepted)
    inverse = Concept("exceptions", only, rules.all_of(base, out), concept.anchors)
    near = always(concept, inverse)
    return Concept("exceptions", (wording,), rules.but_not(base, out), concept.anchors, near, concept.listed)


def _excepted(concept: Concept, makers: Makers, chance: Chance) -> tuple[str, Rule]:
    if len(concept.listed) >= 6 and chance.random() < 0.5:
        out = chance.sample(concept.listed[:30], min(len(concept.listed) // 2, chance.randint(1, 3)))
        return series([f'"{one}"' for one in out], "and"), rules.words(out)
    other = chance.choice((numbers,) if concept.family == "numbers" else _EXCEPTED)(makers, chance)
    return other.wordings[0], other.rule


def subcategories(makers: Makers, chance: Chance) -> Concept:
    """A meaning, but not a narrower one or one that overlaps with it, or only what is of both."""
    concept, other = below(makers, chance) if chance.random() < 0.6 else overlapping(makers, chance)
    names = {"name": _shortly(concept, chance), "excepted": _shortly(other, chance)}
    whole, part = settled(concept.rule), settled(other.rule)
    kinds = {"except": rules.but_not(whole, part), "only": rules.all_of(whole, part)}
    kind, inverse = chance.sample(sorted(kinds), 2)
    made = [
        Concept("subcategories", said("subcategories", one, **names), kinds[one], some, listed=listed)
        for one, some, listed in (
            (kind, concept.anchors, concept.listed[:30] + other.listed[:30]),
            (inverse, other.anchors, ()),
        )
    ]
    return replace(made[0], near=always(made[1], concept, other))


def _shortly(concept: Concept, chance: Chance) -> str:
    """Any wording that is not long, or the shortest."""
    short = [one for one in concept.wordings if len(one) < 50]
    return chance.choice(short or [min(concept.wordings, key=len)])


def conjunctions(makers: Makers, chance: Chance) -> Concept:
    """Words of some kind where something else holds too."""
    concept = chance.choice(_WHOLE)(makers, chance)
    word = chance.choice(RIGHT_AFTER)
    letter = chance.choice(concept.listed)[-1].lower() if concept.listed else "s"
    kind, conditions = chance.choice(list(_conditions(word, letter).items()))
    wordings = said("conjunctions", kind, name=concept.wordings[0], word=word, letter=letter)
    chosen, opposite = (0, 1) if chance.random() >= 0.5 else (1, 0)
    some = [rules.all_of(settled(concept.rule), condition) for condition in conditions]
    twin = Concept("conjunctions", (wordings[opposite],), some[opposite], concept.anchors)
    near = always(twin, concept)
    return Concept("conjunctions", (wordings[chosen],), some[chosen], concept.anchors, near, concept.listed)


def _conditions(word: str, letter: str) -> Mapping[str, tuple[Rule, Rule]]:
    """What else may hold, and its opposite, in the order in which conditions are drawn."""
    return {
        "right after": _either(rules.after(rules.words([word]))),
        "capital": (
            rules.word_where(lambda one: one.text[0].isupper()),
            rules.word_where(lambda one: one.text.islower()),
        ),
        "number before": _either(rules.rest_of_sentence(rules.number())),
        "word before": _either(rules.rest_of_sentence(rules.words([word]))),
        "sentence beginning": _either(rules.first_in_sentence()),
        "first sentence": _either(rules.sentence_number(1)),
        "length": (rules.length(7), rules.length(1, 6)),
        "final s": _either(rules.suffix("s")),
        "final letter": _either(rules.suffix(letter)),
        "doubled letter": _either(doubled_letter),
    }


def _either(rule: Rule) -> tuple[Rule, Rule]:
    return rule, otherwise(rule)


def starts_and_means(makers: Makers, chance: Chance) -> Concept:
    """Words of some meaning that begin with some letter, one that some of them begin with."""
    concept = _many_words(makers, chance)
    letter = chance.choice(concept.listed)[0].lower()
    name, base = concept.wordings[0], settled(concept.rule)
    begins = rules.word_where(lambda word: word.lower.startswith(letter))
    wordings = said("starts_and_means", "beginning", name=name, letter=letter)
    others = said("starts_and_means", "not beginning", name=name, letter=letter)
    other = Concept("starts_and_means", others, rules.but_not(base, begins), concept.anchors)
    rule, near = rules.all_of(base, begins), always(concept, other)
    return Concept("starts_and_means", wordings, rule, concept.anchors, near, concept.listed)


def _many_words(makers: Makers, chance: Chance) -> Concept:
    while True:
        concept = topics(makers, chance)
        if len(concept.listed) > 4:
            return concept


def negations(makers: Makers, chance: Chance) -> Concept:
    """All words but some."""
    concept = chance.choice(_NEGATED)(makers, chance)
    wordings = said("negations", name=concept.wordings[0])
    return Concept("negations", wordings, rules.no(settled(concept.rule)), concept.anchors, always(concept))
