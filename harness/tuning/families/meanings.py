"""Words by their meaning: topics of the lexicon, and categories of WordNet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from harness.tuning.concepts import Concept
from harness.tuning.families.base import Chance, Makers, each, of_words
from harness.tuning.families.tables import said, series
from harness.tuning.families.truths import listed_rule
from harness.tuning.wordnet import Category, Key, plural


def topic(makers: Makers, name: str) -> Concept:
    """A concept of the lexicon."""
    entry = makers.lexicon[name]
    wordings = tuple(str(one) for one in entry["explanations"])
    near = each(partial(topic, makers), [other for other in entry.get("near", ()) if other in makers.lexicon])
    return of_words("topics", wordings, [str(word) for word in entry["words"]], near)


def topics(makers: Makers, chance: Chance) -> Concept:
    """A trained topic; now and then named by some of its words."""
    return _by_example(topic(makers, chance.choice(makers.topics)), chance)


def held_topics(makers: Makers, chance: Chance) -> Concept:
    """Topics and qualities of the lexicon that training never meets, not even as near misses."""
    return topic(makers, chance.choice(makers.held_topics)).named("held_topics")


def _by_example(concept: Concept, chance: Chance) -> Concept:
    if chance.random() > 0.12 or len(concept.listed) < 6:
        return concept
    some = chance.sample(concept.listed, chance.choice([2, 3, 3, 4, 5]))
    return replace(concept, wordings=(chance.choice(said("by_example", words=series(some, "and"))),))


def category(makers: Makers, key: Key) -> Concept:
    """A synset of WordNet and all below it."""
    found = makers.category(key)
    clear = [word for word, share in found.shares.items() if share >= 0.4]
    listed = sorted((word for word in clear if makers.counts.get(word, 0)), key=lambda word: -makers.counts[word])
    near = [one for one in found.siblings if one[0] == key[0] and one in makers.near_keys]
    return Concept(
        family="wordnet",
        wordings=_category_wordings(found, listed),
        rule=listed_rule(found.shares),
        anchors=frozenset(listed),
        near=each(partial(category, makers), near[:12]),
        listed=tuple(listed[:60]),
    )


def _category_wordings(found: Category, listed: Sequence[str]) -> tuple[str, ...]:
    name, gloss = found.names[0], found.gloss.split(";")[0]
    wordings = (gloss, gloss, *found.names[:3])
    wordings += said("wordnet", found.key[0], name=name, gloss=gloss, plural=plural(name))
    if len(listed) < 3:
        return wordings
    three, four = series(listed[:3], "and"), series(listed[:4], "and")
    return wordings + said("wordnet", "some of its words", name=name, three=three, four=four)


def wordnet(makers: Makers, chance: Chance) -> Concept:
    """A category of WordNet, mostly nouns; small ones are drawn less often than their number asks for."""
    part = chance.choices(["n", "v", "a"], [0.55, 0.27, 0.18])[0]
    options = [chance.choice(makers.category_keys[part]) for _ in range(2)]
    widest = max(options, key=lambda one: len(makers.wordnet.synsets[one].below))
    key = widest if chance.random() < 0.6 else options[0]
    return _by_example(category(makers, key), chance)


def below(makers: Makers, chance: Chance) -> tuple[Concept, Concept]:
    """A category of WordNet, and one of those right below it."""
    key = chance.choice(makers.divided)
    return category(makers, key), category(makers, chance.choice(makers.parts(key)))


def overlapping(makers: Makers, chance: Chance) -> tuple[Concept, Concept]:
    """Two trained topics that share some words, and not all of the first one's."""
    one, other = chance.choice(makers.overlaps)
    return topic(makers, one), topic(makers, other)


def meaning(makers: Makers, chance: Chance) -> Concept:
    """A concept of words by their meaning, to make others of: a topic or a category."""
    return topics(makers, chance) if chance.random() < 0.6 else wordnet(makers, chance)
