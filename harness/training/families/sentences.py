"""Families of sentences, by their purpose, topic, marks or words, and of words in a given sense."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from harness.tasks.puzzles import rules
from harness.tasks.puzzles.rules import Rule
from harness.training.concepts import Concept
from harness.training.families.base import Chance, Makers, always, each
from harness.training.families.meanings import topics
from harness.training.families.tables import said
from harness.training.families.truths import settled, stretches

_HELD: Mapping[str, tuple[str, ...]] = {
    "questions": ("?",),
    "exclamations": ("!",),
    "numbers": (),
    "negations": ("not", "never", "no", "'t", "nothing", "nobody"),
    "first person": ("I", "my", "me", "we", "our"),
}
"""Words or marks that each kind of sentence holds; sentences with numbers have a rule of their own."""

_ANCHORS: Mapping[str, frozenset[str]] = {
    "questions": frozenset("?"),
    "exclamations": frozenset("!"),
    "negations": frozenset(["not", "never", "no"]),
    "first person": frozenset(["my", "me", "we"]),
}


def sentence_set(makers: Makers, name: str) -> Concept:
    """Return the concept of all words of the sentences of a set."""
    entry = makers.sentence_sets[name]
    sentences = tuple(entry["sentences"])
    near_names = [near for near in entry.get("near", ()) if near in makers.sentence_sets]
    near = each(partial(sentence_set, makers), near_names)
    wordings = tuple(entry["explanations"])
    return Concept("sentence_sets", wordings, stretches(sentences), near=near, own_texts=sentences)


def sentence_sets(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of sentences with a given purpose or topic."""
    return sentence_set(makers, chance.choice(sorted(makers.sentence_sets)))


def sentence_kinds(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of sentences with a given final mark or a given word, or of long ones."""
    kind = chance.choice([*_HELD, *_BY_WORD, *_BY_WORD, "long"])
    word, count = makers.word(chance), chance.randint(5, 12)
    rule, anchors = _sentence_kind(makers, kind, word, count)
    wordings = said("sentence_kinds", kind, word=word, count=count)
    return Concept("sentence_kinds", wordings, rule, anchors, makers.near(sentence_kinds), sentence_start=True)


_BY_WORD = ("with a word", "beginning with a word")


def _sentence_kind(makers: Makers, kind: str, word: str, count: int) -> tuple[Rule, frozenset[str]]:
    """Return the rule of a kind, and words near which it may apply."""
    if kind == "long":
        return rules.first_in_sentence(500, count), frozenset()
    if kind == "numbers":
        return rules.sentences_with(rules.number()), makers.digits
    if kind in _HELD:
        return rules.sentences_with(rules.words(_HELD[kind])), _ANCHORS[kind]
    rule = rules.words([word])
    if kind == "beginning with a word":
        rule = rules.all_of(rule, rules.first_in_sentence())
    return rules.sentences_with(rule), frozenset([word])


def mentioning_sentences(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of sentences from a word of a given meaning on."""
    concept = topics(makers, chance)
    wordings = said("mentioning_sentences", name=concept.wordings[0])
    rule = rules.rest_of_sentence(settled(concept.rule))
    return Concept("mentioning_sentences", wordings, rule, concept.anchors, always(concept))


def sense(entry: Mapping[str, Any], number: int) -> Concept:
    """Return the concept of a word in a sense: its occurrences in the sentences of that sense."""
    sense_entry, lemma = entry["senses"][number], str(entry["word"]).lower()
    sentences, stem = tuple(sense_entry["sentences"]), lemma[: max(3, len(lemma) - 2)]
    rule = rules.all_of(stretches(sentences), rules.word_where(lambda word: word.lower.startswith(stem)))
    near = each(partial(sense, entry), [index for index in range(len(entry["senses"])) if index != number])
    return Concept("senses", tuple(sense_entry["explanations"]), rule, near=near, own_texts=sentences)


def senses(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of an ambiguous word in one of its senses."""
    entry = chance.choice(makers.sense_words)
    return sense(entry, chance.randrange(len(entry["senses"])))
