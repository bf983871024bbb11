"""Units in the voices of several hands: concepts of the families and of the scenes, with what they are set against.

A unit is several explanations on the same texts. One may name another concept as something that does not fire, as a
mere aside, or as something that fires too, so that the words of an explanation alone do not tell what it asks for.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from harness.tasks.puzzles import rules
from harness.training import hands
from harness.training.concepts import Concept, worded
from harness.training.examples import IGNORED, Examples, Group, Pool, Window, window_of
from harness.training.hands import Hand
from harness.training.scenes import Kind, Scene, Scenes

Levels = np.ndarray[Any, Any]
"""Level of each token of a text, or :data:`harness.training.examples.IGNORED`."""

GROUP_WEIGHTS: Mapping[str, float] = {"prose": 4.0, "roles": 2.2, "code": 2.6, "foreign": 1.4, "senses": 2.0}
"""Weights by which groups of scenes are drawn."""

_SCENES = 0.5  # share of units that are about scenes
_CAPITALS = 0.05  # share of texts in capitals
_PADDED = 0.12  # share of explanations with sentences that say nothing
_MOST = 90  # the most words of a text's explanation parts, in characters
_NOMINAL = re.compile(r"[a-z\"'(<>+*@#0-9àâéèA-Z-][^.!?]*")
_SENTENCE = re.compile(r"(This|The neuron|It |Fires|Any|Tokens that|A person|The speaker)")
_CASELESS = frozenset(
    [
        "topics",
        "wordnet",
        "words",
        "after_words",
        "phrases",
        "senses",
        "sentence_sets",
        "closed_classes",
        "endings",
        "parts_of_speech",
        "letters",
    ]
)
"""Families whose rules do not depend on capitals."""


def nominal(concept: Concept, chance: random.Random) -> str | None:
    """Return a wording that fits into a frame, or None if all wordings are sentences."""
    wordings = [text for text in concept.wordings if _NOMINAL.fullmatch(text) and not _SENTENCE.match(text)]
    return chance.choice(wordings) if wordings else None


def quoted_concept(words: Sequence[str]) -> Concept:
    """Return the concept of given words, in any case."""
    members = tuple(word.lower() for word in words)
    return Concept("words", (", ".join(words),), rules.words(members), frozenset(members), members=members)


@dataclass(frozen=True)
class Extent:
    """How much text a unit has: ``count`` texts of at most ``limit`` tokens, some in capitals if ``capitals``."""

    limit: int
    count: int
    capitals: bool = True


@dataclass(frozen=True, eq=False)
class Desk:
    """What an explanation is written with: the texts that it is read on, the hand that writes, and chance."""

    windows: Sequence[Window]
    hand: Hand
    chance: random.Random


@dataclass(eq=False)
class Voices:
    """Source of units over the examples' families and the scenes.

    Attributes:
        examples: families, texts and tokenizer.
        scenes: templates of texts whose kinds are marked.
        held: whether held-out kinds and hands are drawn, in place of the trained ones.
    """

    examples: Examples
    scenes: Scenes
    held: bool = False

    @cached_property
    def hands(self) -> tuple[Hand, ...]:
        """Hands that write."""
        return tuple(hand for hand in hands.hands() if hand.held == self.held)

    @cached_property
    def kinds(self) -> dict[str, list[Kind]]:
        """Kinds that are drawn, by group."""
        kinds = [kind for kind in self.scenes.kinds.values() if kind.held == self.held]
        return {group: [kind for kind in kinds if kind.group == group] for group in GROUP_WEIGHTS}

    @cached_property
    def padding(self) -> tuple[str, ...]:
        """Sentences that say nothing."""
        return hands.padding()

    # ------------------------------------------------------------------------------------------------------- drawing

    def unit(self, chance: random.Random, pool: Pool, count: int, growth: float = 1.0) -> list[Group]:
        """Return three groups on the same texts, of a concept and of others that are set against it."""
        if chance.random() < _SCENES:
            concept, near, windows = self._of_scenes(chance, pool, count)
        else:
            concept, near, windows = self._of_families(chance, pool, count, growth)
        drawn = self._turns(concept, near, chance)
        return [self._group(*turn, Desk(windows, chance.choice(self.hands), chance)) for turn in drawn]

    def _turns(self, concept: Concept, near: Concept, chance: random.Random) -> list[tuple[Concept, Concept, str]]:
        """Return who is asked, who is set against it, and the turn, for each explanation of a unit."""
        names, weights = list(hands.TURNS), list(hands.TURNS.values())
        turn, again, last = chance.choices(names, weights, k=3)
        opposite = {"without": "both", "both": "without", "aside": "both"}.get(turn, again)
        second = chance.choice([(near, concept, again), (near, concept, again), (concept, near, opposite)])
        third = (concept, near, last) if second[0] is near else (near, concept, last)
        return [(concept, near, turn), second, third]

    def _of_scenes(self, chance: random.Random, pool: Pool, count: int) -> tuple[Concept, Concept, tuple[Window, ...]]:
        group = chance.choices(list(GROUP_WEIGHTS), list(GROUP_WEIGHTS.values()))[0]
        concept = self.concept(chance.choice(self.kinds[group]))
        near = chance.choice(concept.near)(chance) if concept.near else self.concept(chance.choice(self.kinds[group]))
        return concept, near, self.scene_windows(concept, near, chance, Extent(pool.limit, count))

    def _of_families(
        self, chance: random.Random, pool: Pool, count: int, growth: float
    ) -> tuple[Concept, Concept, tuple[Window, ...]]:
        concept = self.examples.any(chance, growth)
        near = self.examples.decoy(concept, chance, growth)
        windows = self.examples.texts(concept, near, chance, pool, count)
        if concept.family in _CASELESS and near.family in _CASELESS:
            windows = tuple(self._capitals(window) if chance.random() < _CAPITALS else window for window in windows)
        return concept, near, windows

    def concept(self, kind: Kind) -> Concept:
        """Return the concept of a kind that is marked in scenes."""
        near = [self.scenes.kinds[kind.group, name] for name in kind.near]
        makers = tuple(partial(self._near, other) for other in near if kind.held or not other.held)
        return Concept(f"scenes of {kind.group}", kind.say, _nothing, near=makers, kind=kind)

    def stranger(self, concept: Concept, chance: random.Random) -> Concept:
        """Return any concept of the kinds or families that are drawn, to be read on the texts of another concept."""
        if concept.kind:
            return self.concept(
                chance.choice([kind for kind in self.scenes.kinds.values() if kind.group == concept.kind.group])
            )
        makers = self.examples.held_out if self.held else self.examples.trained
        return chance.choice(list(makers.values()))(chance)

    def levels(self, concept: Concept, windows: Sequence[Window]) -> list[Levels]:
        """Return the levels of a concept on windows."""
        return [self.examples.levels(concept, window) for window in windows]

    def _near(self, kind: Kind, _: random.Random) -> Concept:
        return self.concept(kind)

    def scene_windows(
        self, concept: Concept, near: Concept, chance: random.Random, extent: Extent
    ) -> tuple[Window, ...]:
        """Return texts of scenes; the first holds both kinds, most of the others at least one of them."""
        kinds = [drawn.kind for drawn in (concept, near) if drawn.kind]
        group, tags = kinds[0].group, tuple(kind.tag for kind in kinds)
        drawn = [tags, *(chance.choice([tags, tags[:1], tags[:1], tags[1:], ()]) for _ in range(extent.count - 1))]
        size = (2.4 if group in ("code", "foreign") else 3.6) * extent.limit
        windows = []
        for wanted in drawn:
            scene = self.scenes.scene(group, wanted, chance, int(size * chance.uniform(0.5, 1.0)))
            window = self.scene_window(scene, extent.limit)
            plain = extent.capitals and group in ("prose", "roles", "senses")
            windows.append(self._capitals(window) if plain and chance.random() < _CAPITALS else window)
        chance.shuffle(windows)
        return tuple(windows)

    def scene_window(self, scene: Scene, limit: int) -> Window:
        """Return a scene, cut to ``limit`` tokens, as a window."""
        window = window_of(scene.string, self.examples.tokenizer, limit)
        return replace(window, scene=scene)

    def _capitals(self, window: Window) -> Window:
        """Return a window whose tokens are those of its text in capitals; its words stay as they were."""
        string = window.text.string
        if len(string.upper()) != len(string):
            return window
        ids, ends = self.examples.tokenizer.encode(string.upper())
        limit = 2 * len(window.ids)
        return replace(window, ids=ids[:limit], ends=ends[:limit])

    # ------------------------------------------------------------------------------------------------------- phrasing

    def _group(self, concept: Concept, other: Concept, turn: str, desk: Desk) -> Group:
        text, levels = self.phrased(concept, other, turn, desk)
        if desk.chance.random() < _PADDED:
            text = hands.padded(text, self.padding, desk.chance)
        return Group(concept, hands.cased(text, desk.chance), tuple(desk.windows), tuple(levels))

    def phrased(self, concept: Concept, other: Concept, turn: str, desk: Desk) -> tuple[str, list[Levels]]:
        """Return an explanation of a concept in a turn of a hand, and the levels that it means on each window.

        A turn that does not fit, because there are no example words or the concepts overlap, is a plain one.
        """
        levels, said = self.levels(concept, desk.windows), nominal(concept, desk.chance)
        if said is None or len(said) > _MOST or concept.tokens:
            return worded(concept, desk.chance), levels
        if turn in ("examples", "partly", "wrong"):
            phrased = self._with_examples((concept, other), turn, said, desk)
        else:
            phrased = self._with_another(other, turn, said, levels, desk) if turn != "plain" else None
        return phrased or (desk.hand.write("plain", desk.chance, x=said), levels)

    def _with_another(
        self, other: Concept, turn: str, said: str, levels: Sequence[Levels], desk: Desk
    ) -> tuple[str, list[Levels]] | None:
        named = self._named(other, desk)
        if named is None:
            return None
        phrase, rival = named
        others = self.levels(rival, desk.windows)
        if turn != "both" and _overlap(levels, others):
            return None
        text = desk.hand.write(turn, desk.chance, x=said, y=phrase)
        return text, [_combined(turn, mine, theirs) for mine, theirs in zip(levels, others, strict=True)]

    def _named(self, other: Concept, desk: Desk) -> tuple[str, Concept] | None:
        """Return how another concept is named, by a wording or by some of its words, and what is then meant."""
        chance = desk.chance
        words = self.instances(other, desk, chance.choice([1, 1, 2, 3])) if chance.random() < 0.4 else []
        words = [word for word in words if word.isalpha()]
        if words:
            quoted = [f'"{word}"' for word in words]
            phrase = hands.listed(words, chance) if chance.random() < 0.5 else " or ".join(quoted)
            lead = chance.choice(["", "", "the word ", "words like "]) if len(words) == 1 else ""
            return lead + phrase, quoted_concept(words)
        said = nominal(other, chance)
        return (said, other) if said and len(said) <= _MOST and not other.tokens else None

    def _with_examples(
        self, concepts: tuple[Concept, Concept], turn: str, said: str, desk: Desk
    ) -> tuple[str, list[Levels]] | None:
        """Return an explanation with example words; wrong ones are of the second concept, or any words."""
        concept, other = concepts
        chance, levels = desk.chance, self.levels(concept, desk.windows)
        right = self.instances(concept, desk, chance.choice([2, 3, 3, 4]))
        if not right:
            return None
        wrong = self.instances(other, desk, 3) if turn != "examples" and chance.random() < 0.5 else []
        wrong = wrong or [self.examples.makers.word(chance, 3) for _ in range(3)]
        words = {"examples": right, "partly": [*right[:2], wrong[0]], "wrong": wrong}[turn]
        chance.shuffle(words)
        if turn != "examples":
            rule = rules.words([part.lower() for word in wrong for part in word.split()])
            levels = [_opened(mine, rule, window) for mine, window in zip(levels, desk.windows, strict=True)]
        return desk.hand.write(turn, chance, x=said, ex=hands.listed(words, chance)), levels

    def instances(self, concept: Concept, desk: Desk, count: int) -> list[str]:
        """Return up to ``count`` different words or stretches to which a concept applies; some stand in the windows."""
        windows, chance = desk.windows, desk.chance
        if concept.kind:
            scenes = [window.scene for window in windows if window.scene and chance.random() < 0.5]
            scenes += [self.scenes.scene(concept.kind.group, [concept.kind.tag], chance, 60) for _ in range(3)]
            words = [word for scene in scenes for word in scene.words(concept.kind.tag)]
        elif concept.members:
            words = list(concept.members)
        else:
            words = [
                word.text
                for window in windows
                for word, level in zip(window.text.words, concept.rule(window.text), strict=True)
                if level > 0
            ]
        different = list(dict.fromkeys(word.strip() for word in words if word.strip() and "\n" not in word))
        return chance.sample(different, min(count, len(different)))


def _nothing(text: rules.Text) -> Any:
    return np.zeros(len(text.words))


def _opened(levels: Levels, rule: rules.Rule, window: Window) -> Levels:
    """Return levels in which the words of a rule are not asked about unless they fire."""
    named = rules.on_tokens(window.text, rule(window.text), window.ends) != 0
    return np.where(named & (levels == 0), IGNORED, levels)


def _overlap(levels: Sequence[Levels], others: Sequence[Levels]) -> bool:
    """Return whether more than a fifth of the tokens that fire are also the other's."""
    firing, shared = (
        sum(int((mine > 0).sum()) for mine in levels),
        sum(int(((mine > 0) & (theirs != 0)).sum()) for mine, theirs in zip(levels, others, strict=True)),
    )
    return shared > 0.2 * firing


def _combined(turn: str, mine: Levels, theirs: Levels) -> Levels:
    """Return the levels [tokens] that a turn means, from those of the two concepts."""
    if turn == "both":
        either = np.maximum(mine, theirs)
        unknown = (mine == IGNORED) | (theirs == IGNORED)
        return np.where(unknown & (either <= 0), IGNORED, either)
    if turn == "without":
        return np.where(theirs > 0, 0, mine)
    return mine
