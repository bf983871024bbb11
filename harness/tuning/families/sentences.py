"""Sentences by what they do, say or hold, and words by the sense that they have in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from harness.puzzles import rules
from harness.puzzles.rules import Rule
from harness.tuning.concepts import Concept
from harness.tuning.families.base import Chance, Makers, always, each
from harness.tuning.families.meanings import topics
from harness.tuning.families.tables import said
from harness.tuning.families.truths import settled, stretches

_HELD: Mapping[str, tuple[str, ...]] = {
    "questions": ("?",),
    "exclamations": ("!",),
    "numbers": (),
    "negations": ("not", "never", "no", "'t", "nothing", "nobody"),
    "first person": ("I", "my", "me", "we", "our"),
}
"""The kinds of sentences by the words that they hold; those with numbers have a rule of their own."""

_ANCHORS: Mapping[str, frozenset[str]] = {
    "questions": frozenset("?"),
    "exclamations": frozenset("!"),
    "negations": frozenset(["not", "never", "no"]),
    "first person": frozenset(["my", "me", "we"]),
}


def sentence_set(makers: Makers, name: str) -> Concept:
    """All words of the sentences of a set."""
    entry = makers.sentence_sets[name]
    sentences = tuple(entry["sentences"])
    others = [other for other in entry.get("near", ()) if other in makers.sentence_sets]
    near = each(partial(sentence_set, makers), others)
    wordings = tuple(entry["explanations"])
    return Concept("sentence_sets", wordings, stretches(sentences), near=near, own_texts=sentences)


def sentence_sets(makers: Makers, chance: Chance) -> Concept:
    """Sentences by what they do or are about."""
    return sentence_set(makers, chance.choice(sorted(makers.sentence_sets)))


def sentence_kinds(makers: Makers, chance: Chance) -> Concept:
    """Sentences by the mark at their end, or by a word in them."""
    kind = chance.choice([*_HELD, *_BY_WORD, *_BY_WORD, "long"])
    word, count = makers.word(chance), chance.randint(5, 12)
    rule, anchors = _sentence_kind(makers, kind, word, count)
    wordings = said("sentence_kinds", kind, word=word, count=count)
    return Concept("sentence_kinds", wordings, rule, anchors, makers.near(sentence_kinds), whole=True)


_BY_WORD = ("with a word", "beginning with a word")


def _sentence_kind(makers: Makers, kind: str, word: str, count: int) -> tuple[Rule, frozenset[str]]:
    """The rule of a kind, and words near which it may apply."""
    if kind == "long":
        return rules.first_in_sentence(500, count), frozenset()
    if kind == "numbers":
        return rules.sentences_with(rules.number()), makers.digits
    if kind in _HELD:
        return rules.sentences_with(rules.words(_HELD[kind])), _ANCHORS[kind]
    held = rules.words([word])
    if kind == "beginning with a word":
        held = rules.all_of(held, rules.first_in_sentence())
    return rules.sentences_with(held), frozenset([word])


def mentioning_sentences(makers: Makers, chance: Chance) -> Concept:
    """Sentences that hold a word of some meaning, from that word on."""
    concept = topics(makers, chance)
    wordings = said("mentioning_sentences", name=concept.wordings[0])
    rule = rules.rest_of_sentence(settled(concept.rule))
    return Concept("mentioning_sentences", wordings, rule, concept.anchors, always(concept))


def sense(entry: Mapping[str, Any], number: int) -> Concept:
    """A word in one of its senses: where it stands in the sentences of that sense."""
    found, word = entry["senses"][number], str(entry["word"]).lower()
    sentences, stem = tuple(found["sentences"]), word[: max(3, len(word) - 2)]
    rule = rules.all_of(stretches(sentences), rules.word_where(lambda one: one.lower.startswith(stem)))
    near = each(partial(sense, entry), [other for other in range(len(entry["senses"])) if other != number])
    return Concept("senses", tuple(found["explanations"]), rule, near=near, own_texts=sentences)


def senses(makers: Makers, chance: Chance) -> Concept:
    """A word in one of its senses."""
    entry = chance.choice(makers.sense_words)
    return sense(entry, chance.randrange(len(entry["senses"])))
