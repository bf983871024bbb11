"""Rules drawn by a seed: fresh words, strengths and places for each release, so that nobody can have learnt them.

Words come from ``words.yaml`` as far as they are single tokens of a tokenizer. A set of a class holds three of its
words, each with and without a space before it where that is a token; the other words of the class make near misses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from harness.tasks.planted.rules import (
    EARLY,
    WEAKEST,
    Conjunction,
    Feature,
    Literal,
    Planted,
    PlantedNeuron,
    Source,
)
from harness.types import NeuroglossError, Unit

WORDS = 3
"""The number of words of a set."""
SCATTERED = 4
"""The number of sets without a meaning, each of one token in eight."""
STRONGEST = 14.0
_FILE = Path(__file__).with_name("words.yaml")


@cache
def vocabulary() -> Mapping[str, Any]:
    """Read the file of words."""
    content: Mapping[str, Any] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return content


@dataclass(frozen=True)
class Words:
    """A set of words: the plural ``noun`` of their class, those that are in the set, and some that are ``absent``."""

    noun: str
    members: tuple[str, ...]
    absent: tuple[str, ...]

    def __str__(self) -> str:
        return f"the {self.noun} {alternatives(self.members)}"

    @property
    def near(self) -> str:
        """The same of words that are not in the set."""
        return f"the {self.noun} {alternatives(self.absent)}"


def alternatives(words: Sequence[str]) -> str:
    """Return words in quotation marks, as ``"a", "b" or "c"``."""
    *firsts, last = [f'"{word}"' for word in words]
    return f"{', '.join(firsts)} or {last}" if firsts else last


@dataclass
class Draw:
    """What has been drawn so far.

    Attributes:
        rng: draws everything.
        encode: token ids of a text.
        classes: class -> its words that are single tokens, in the order in which they are drawn.
        sets: name -> token ids.
        neurons: drawn so far, without places yet.
    """

    rng: np.random.Generator
    encode: Callable[[str], Sequence[int]]
    classes: dict[str, list[str]]
    sets: dict[str, frozenset[int]] = field(default_factory=dict)

    def words(self) -> tuple[Words, str]:
        """Draw a set of words of a class that was not drawn before, and return it with its name."""
        noun = sorted(self.classes)[int(self.rng.integers(len(self.classes)))]
        order = [str(word) for word in self.rng.permutation(self.classes.pop(noun))]
        words = Words(noun, tuple(order[:WORDS]), tuple(order[WORDS : 2 * WORDS]))
        self.sets[noun] = frozenset(token for word in words.members for token in single_tokens(word, self.encode))
        return words, noun

    def strength(self) -> float:
        """Draw a strength, a multiple of one half."""
        return float(self.rng.integers(2 * int(WEAKEST), 2 * int(STRONGEST) + 1)) / 2

    def conjunction(self, *literals: Literal) -> Conjunction:
        """Return literals with a strength."""
        return Conjunction(literals, self.strength())


def single_tokens(word: str, encode: Callable[[str], Sequence[int]]) -> list[int]:
    """Return the tokens that are a word, with a space before it and without."""
    encoded = [tuple(encode(text)) for text in (f" {word}", word)]
    return [ids[0] for ids in encoded if len(ids) == 1]


def draw(tokens: Sequence[str], encode: Callable[[str], Sequence[int]], seed: int, neurons: int) -> Planted:
    """Draw the planted neurons of a model.

    Args:
        tokens: the text of each token, by its id.
        encode: token ids of a text.
        seed: of everything that is drawn.
        neurons: the width of each of the two layers.

    Raises:
        NeuroglossError: too few words are single tokens, or a layer is too narrow.
    """
    rng = np.random.default_rng(seed)
    classes = {
        noun: [word for word in words if len(tuple(encode(f" {word}"))) == 1]
        for noun, words in vocabulary()["classes"].items()
    }
    usable = {noun: words for noun, words in classes.items() if len(words) >= 2 * WORDS}
    drawing = Draw(rng, encode, usable)
    for number in range(SCATTERED):
        drawing.sets[f"scattered {number}"] = frozenset(np.flatnonzero(rng.random(len(tokens)) < 1 / 8).tolist())
    if len(usable) < CLASSES_NEEDED:
        raise NeuroglossError(
            f"the tokenizer has only {len(usable)} classes with {2 * WORDS} words that are single tokens, and "
            f"{CLASSES_NEEDED} are needed; choose another tokenizer."
        )
    drafts = [draft for family in FAMILIES for draft in family(drawing, tokens)]
    return Planted(tuple(_placed(drafts, rng, neurons)), drawing.sets, len(tokens))


def _placed(drafts: Sequence[PlantedNeuron], rng: np.random.Generator, neurons: int) -> Iterator[PlantedNeuron]:
    """Give each neuron an index in its layer; those of layer 1 that promote nothing yet write to a scattered set."""
    for layer in (0, 1):
        members = [draft for draft in drafts if draft.unit.place == layer]
        indices = sorted(rng.permutation(neurons)[: len(members)].tolist())
        if len(members) > len(indices):
            raise NeuroglossError(f"neurons is {neurons}, and {len(members)} are planted in layer {layer}; raise it.")
        for draft, index in zip(members, indices, strict=True):
            scattered = f"scattered {int(rng.integers(SCATTERED))}"
            promotes = draft.promotes or (scattered if layer and draft.cases else "")
            unit = Unit("N", layer, index)
            yield PlantedNeuron(unit, draft.family, draft.cases, draft.truth, draft.near, promotes, draft.by_output)


# ------------------------------------------------------------------------------------------------------------- families


def _draft(family: str, layer: int, cases: tuple[Conjunction, ...], truth: str, *near: str) -> PlantedNeuron:
    return PlantedNeuron(Unit("N", layer, 0), family, cases, truth, near)


def _of(source: Source, tokens: str = "", holds: bool = True) -> Literal:
    return Literal(Feature(source, tokens), holds)


def token_sets(drawing: Draw, _: Sequence[str]) -> Iterator[PlantedNeuron]:
    """Yield neurons that fire on three words of a class: one that writes nothing, and two that write."""
    for layer in (0, 1, 1):
        words, name = drawing.words()
        yield _draft("token set", layer, (drawing.conjunction(_of(Source.TOKEN, name)),), str(words), words.near)


def mixtures(drawing: Draw, _: Sequence[str]) -> Iterator[PlantedNeuron]:
    """Yield neurons with two meanings, words of two classes, at two strengths."""
    for _number in range(2):
        (first, first_name), (second, second_name) = drawing.words(), drawing.words()
        cases = tuple(drawing.conjunction(_of(Source.TOKEN, name)) for name in (first_name, second_name))
        yield _draft("mixture", 1, cases, f"{first}, and {second}", f"{first.near}, and {second.near}")


def suffixes(drawing: Draw, tokens: Sequence[str]) -> Iterator[PlantedNeuron]:
    """Yield neurons that fire on tokens that end in certain letters."""
    endings = [str(ending) for ending in drawing.rng.permutation(sorted(vocabulary()["endings"]))]
    for ending, near in ((endings[0], endings[1]), (endings[2], endings[3])):
        name = f"ending {ending}"
        drawing.sets[name] = frozenset(token for token, text in enumerate(tokens) if text.endswith(ending))
        case = drawing.conjunction(_of(Source.TOKEN, name))
        yield _draft("suffix", 0, (case,), f'tokens that end in "{ending}"', f'tokens that end in "{near}"')


def bigrams(drawing: Draw, _: Sequence[str]) -> Iterator[PlantedNeuron]:
    """Yield neurons that fire on a word of one class right after a word of another."""
    for _number in range(2):
        (first, first_name), (second, second_name) = drawing.words(), drawing.words()
        case = drawing.conjunction(_of(Source.PREVIOUS, first_name), _of(Source.TOKEN, second_name))
        pairs, swapped = (
            [f"{before} {word}" for before in pair[0] for word in pair[1]]
            for pair in ((first.members, second.members), (second.members, first.members))
        )
        opening = "the second word of"
        yield _draft("bigram", 1, (case,), f"{opening} {alternatives(pairs)}", f"{opening} {alternatives(swapped)}")


def negations(drawing: Draw, _: Sequence[str]) -> Iterator[PlantedNeuron]:
    """Yield a neuron that fires on words of one class unless a word of another stands right before."""
    (words, name), (modifier, modifier_name) = drawing.words(), drawing.words()
    case = drawing.conjunction(_of(Source.TOKEN, name), _of(Source.PREVIOUS, modifier_name, holds=False))
    truth = f"{words}, unless {alternatives(modifier.members)} stands right before"
    yield _draft("negation", 1, (case,), truth, f"{words}, where {alternatives(modifier.members)} stands right before")


def conjunctions(drawing: Draw, _: Sequence[str]) -> Iterator[PlantedNeuron]:
    """Yield a neuron that fires on words that are repeated, and one on words at the beginning of a text."""
    words, name = drawing.words()
    case = drawing.conjunction(_of(Source.TOKEN, name), _of(Source.REPEATED))
    truth, near = (f"{words}, where the same word {end} in the text before" for end in ("stood", "never stood"))
    yield _draft("conjunction", 1, (case,), truth, near)
    words, name = drawing.words()
    case = drawing.conjunction(_of(Source.TOKEN, name), _of(Source.EARLY))
    truth, near = (f"{words} {place} first {EARLY} tokens of a text" for place in ("among the", "after the"))
    yield _draft("conjunction", 1, (case,), truth, near)


def places(drawing: Draw, _: Sequence[str]) -> Iterator[PlantedNeuron]:
    """Yield a neuron that fires at the beginning of a text."""
    case = drawing.conjunction(_of(Source.EARLY))
    yield _draft("position", 0, (case,), f"the first {EARLY} tokens of a text", f"the last {EARLY} tokens of a text")


def inductions(drawing: Draw, _: Sequence[str]) -> Iterator[PlantedNeuron]:
    """Yield a neuron that fires on tokens that have stood in the text before."""
    case = drawing.conjunction(_of(Source.REPEATED))
    truth, near = (f"tokens that {verb} in the text before" for verb in ("have stood", "never stood"))
    yield _draft("induction", 1, (case,), truth, near)


def outputs(drawing: Draw, _: Sequence[str]) -> Iterator[PlantedNeuron]:
    """Yield neurons that fire on tokens that have nothing in common, and promote three words of a class."""
    for number in range(2):
        words, name = drawing.words()
        case = drawing.conjunction(_of(Source.TOKEN, f"scattered {number}"))
        unit = Unit("N", 1, 0)
        truth, near = (f"makes {each} likelier as the next token" for each in (str(words), words.near))
        yield PlantedNeuron(unit, "output", (case,), truth, (near,), promotes=name, by_output=True)


def dead(_: Draw, __: Sequence[str]) -> Iterator[PlantedNeuron]:
    """Yield a neuron in each layer that never fires."""
    for layer in (0, 1):
        yield _draft("dead", layer, (), "nothing: it never fires")


FAMILIES = (
    token_sets,
    mixtures,
    suffixes,
    bigrams,
    negations,
    conjunctions,
    places,
    inductions,
    outputs,
    dead,
)
"""What is planted, in order."""
CLASSES_NEEDED = 17
"""The classes of words that all families draw together."""
