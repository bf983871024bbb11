"""Families that combine concepts: unions, exceptions, intersections and negations."""

from __future__ import annotations

from collections.abc import Mapping

from harness.tasks.puzzles import rules
from harness.tasks.puzzles.rules import HIGHEST, Rule
from harness.training.concepts import Concept
from harness.training.families.base import Chance, Family, Makers, always
from harness.training.families.forms import closed_classes, doubled_letter, endings, letters, shapes, words
from harness.training.families.marks import numbers, punctuation
from harness.training.families.meanings import below, meaning, overlapping, topics
from harness.training.families.places import after_words, places
from harness.training.families.tables import RIGHT_AFTER, said, series
from harness.training.families.truths import otherwise, settled

_SIMPLE: tuple[Family, ...] = (meaning, meaning, words, endings, numbers, punctuation, after_words, letters)
_WHOLE: tuple[Family, ...] = (meaning, meaning, meaning, closed_classes, endings, numbers)
_EXCEPTED: tuple[Family, ...] = (letters, shapes, endings, places, after_words)
_NEGATED: tuple[Family, ...] = (shapes, numbers, punctuation, topics, letters)


def both(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of two meanings; sometimes the second applies at a lower level."""
    first, second = (chance.choice(_SIMPLE)(makers, chance) for _ in range(2))
    names = {"one": chance.choice(first.wordings[:3]), "other": chance.choice(second.wordings[:3])}
    lower = chance.choice([3.0, 5.0, 7.0]) if chance.random() < 0.3 else HIGHEST
    wording = chance.choice(said("both", "equal", **names))
    if lower < HIGHEST:
        wording = chance.choice(said("both", "unequal", **names))
    rule = rules.any_of(settled(first.rule), rules.graded(settled(second.rule), lower))
    anchors, members = first.anchors | second.anchors, first.members[:30] + second.members[:30]
    return Concept("both", (wording,), rule, anchors, always(first, second), members)


def exceptions(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of a kind of words, except some of them, or except a form or place that overlaps with it."""
    concept = chance.choice(_WHOLE)(makers, chance)
    name, base = concept.wordings[0], settled(concept.rule)
    excepted, exception = _excepted(concept, makers, chance)
    wording = chance.choice(said("exceptions", "except", name=name, excepted=excepted))
    only = said("exceptions", "only", name=name, excepted=excepted)
    inverse = Concept("exceptions", only, rules.all_of(base, exception), concept.anchors)
    near = always(concept, inverse)
    return Concept("exceptions", (wording,), rules.but_not(base, exception), concept.anchors, near, concept.members)


def _excepted(concept: Concept, makers: Makers, chance: Chance) -> tuple[str, Rule]:
    """Return the wording and the rule of an exception from a concept."""
    if len(concept.members) >= 6 and chance.random() < 0.5:
        words = chance.sample(concept.members[:30], min(len(concept.members) // 2, chance.randint(1, 3)))
        return series([f'"{word}"' for word in words], "and"), rules.words(words)
    exception = chance.choice((numbers,) if concept.family == "numbers" else _EXCEPTED)(makers, chance)
    return exception.wordings[0], exception.rule


def subcategories(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of a meaning without a narrower or overlapping one, or of the intersection of the two."""
    concept, narrower = below(makers, chance) if chance.random() < 0.6 else overlapping(makers, chance)
    names = {"name": _shortly(concept, chance), "excepted": _shortly(narrower, chance)}
    broad, narrow = settled(concept.rule), settled(narrower.rule)
    kinds = {"except": rules.but_not(broad, narrow), "only": rules.all_of(broad, narrow)}
    kind, opposite = chance.sample(sorted(kinds), 2)
    wordings, members = said("subcategories", kind, **names), concept.members[:30] + narrower.members[:30]
    inverse = Concept("subcategories", said("subcategories", opposite, **names), kinds[opposite], narrower.anchors)
    near = always(inverse, concept, narrower)
    return Concept("subcategories", wordings, kinds[kind], concept.anchors, near, members)


def _shortly(concept: Concept, chance: Chance) -> str:
    """Return a wording of less than 50 characters, or the shortest if there is no such wording."""
    short = [wording for wording in concept.wordings if len(wording) < 50]
    return chance.choice(short or [min(concept.wordings, key=len)])


def conjunctions(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of a kind of words for which a condition holds too."""
    concept = chance.choice(_WHOLE)(makers, chance)
    word = chance.choice(RIGHT_AFTER)
    letter = chance.choice(concept.members)[-1].lower() if concept.members else "s"
    kind, conditions = chance.choice(list(_conditions(word, letter).items()))
    wordings = said("conjunctions", kind, name=concept.wordings[0], word=word, letter=letter)
    side, opposite = (0, 1) if chance.random() >= 0.5 else (1, 0)
    sides = [rules.all_of(settled(concept.rule), condition) for condition in conditions]
    twin = Concept("conjunctions", (wordings[opposite],), sides[opposite], concept.anchors)
    near = always(twin, concept)
    return Concept("conjunctions", (wordings[side],), sides[side], concept.anchors, near, concept.members)


def _conditions(word: str, letter: str) -> Mapping[str, tuple[Rule, Rule]]:
    """Return each kind of condition and its opposite, in the order in which kinds are drawn."""
    return {
        "right after": _either(rules.after(rules.words([word]))),
        "capital": (
            rules.word_where(lambda candidate: candidate.text[0].isupper()),
            rules.word_where(lambda candidate: candidate.text.islower()),
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
    """Draw a concept of words of a meaning that begin with a letter that at least one of them begins with."""
    concept = _many_words(makers, chance)
    letter = chance.choice(concept.members)[0].lower()
    name, base = concept.wordings[0], settled(concept.rule)
    begins = rules.word_where(lambda word: word.lower.startswith(letter))
    wordings = said("starts_and_means", "beginning", name=name, letter=letter)
    inverse_wordings = said("starts_and_means", "not beginning", name=name, letter=letter)
    inverse = Concept("starts_and_means", inverse_wordings, rules.but_not(base, begins), concept.anchors)
    rule, near = rules.all_of(base, begins), always(concept, inverse)
    return Concept("starts_and_means", wordings, rule, concept.anchors, near, concept.members)


def _many_words(makers: Makers, chance: Chance) -> Concept:
    """Draw a topic of more than four words."""
    while True:
        concept = topics(makers, chance)
        if len(concept.members) > 4:
            return concept


def negations(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of all words to which another concept does not apply."""
    concept = chance.choice(_NEGATED)(makers, chance)
    wordings = said("negations", name=concept.wordings[0])
    return Concept("negations", wordings, rules.no(settled(concept.rule)), concept.anchors, always(concept))
