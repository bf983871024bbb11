"""Words by their meaning: topics of the lexicon, and categories of WordNet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from harness.training.concepts import Concept
from harness.training.families.base import Chance, Makers, each, of_words
from harness.training.families.tables import said, series
from harness.training.families.truths import listed_rule
from harness.training.wordnet import Category, Key, plural


def topic(makers: Makers, name: str) -> Concept:
    """Return a concept of the lexicon."""
    entry = makers.lexicon[name]
    wordings = tuple(str(wording) for wording in entry["explanations"])
    near = each(partial(topic, makers), [near for near in entry.get("near", ()) if near in makers.lexicon])
    return of_words("topics", wordings, [str(word) for word in entry["words"]], near)


def topics(makers: Makers, chance: Chance) -> Concept:
    """Draw a trained topic, sometimes worded by examples of its words."""
    return _by_example(topic(makers, chance.choice(makers.topics)), chance)


def held_topics(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of the lexicon that training never meets, not even as a near miss."""
    return topic(makers, chance.choice(makers.held_topics)).named("held_topics")


def _by_example(concept: Concept, chance: Chance) -> Concept:
    if chance.random() > 0.12 or len(concept.members) < 6:
        return concept
    words = chance.sample(concept.members, chance.choice([2, 3, 3, 4, 5]))
    return replace(concept, wordings=(chance.choice(said("by_example", words=series(words, "and"))),))


def category(makers: Makers, key: Key) -> Concept:
    """Return the concept of a synset of WordNet and of all below it."""
    words = makers.category(key)
    clear = [word for word, share in words.shares.items() if share >= 0.4]
    members = sorted((word for word in clear if makers.counts.get(word, 0)), key=lambda word: -makers.counts[word])
    near = [sibling for sibling in words.siblings if sibling[0] == key[0] and sibling in makers.near_keys]
    return Concept(
        family="wordnet",
        wordings=_category_wordings(words, members),
        rule=listed_rule(words.shares),
        anchors=frozenset(members),
        near=each(partial(category, makers), near[:12]),
        members=tuple(members[:60]),
    )


def _category_wordings(category: Category, members: Sequence[str]) -> tuple[str, ...]:
    name, gloss = category.names[0], category.gloss.split(";")[0]
    wordings = (gloss, gloss, *category.names[:3])
    wordings += said("wordnet", category.key[0], name=name, gloss=gloss, plural=plural(name))
    if len(members) < 3:
        return wordings
    three, four = series(members[:3], "and"), series(members[:4], "and")
    return wordings + said("wordnet", "some of its words", name=name, three=three, four=four)


def wordnet(makers: Makers, chance: Chance) -> Concept:
    """Draw a category of WordNet, mostly of nouns; those with many categories below them are preferred."""
    part_of_speech = chance.choices(["n", "v", "a"], [0.55, 0.27, 0.18])[0]
    options = [chance.choice(makers.category_keys[part_of_speech]) for _ in range(2)]
    widest = max(options, key=lambda option: len(makers.wordnet.synsets[option].below))
    key = widest if chance.random() < 0.6 else options[0]
    return _by_example(category(makers, key), chance)


def below(makers: Makers, chance: Chance) -> tuple[Concept, Concept]:
    """Draw a category of WordNet, and a category directly below it."""
    key = chance.choice(makers.divided)
    return category(makers, key), category(makers, chance.choice(makers.parts(key)))


def overlapping(makers: Makers, chance: Chance) -> tuple[Concept, Concept]:
    """Draw two trained topics that share some words, but not all words of the first."""
    first, second = chance.choice(makers.overlaps)
    return topic(makers, first), topic(makers, second)


def meaning(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of words by their meaning, a topic or a category, for use in combinations."""
    return topics(makers, chance) if chance.random() < 0.6 else wordnet(makers, chance)
