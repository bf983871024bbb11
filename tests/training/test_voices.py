"""Voices: what an explanation names beside its concept changes the levels as the explanation says."""

from __future__ import annotations

import random

import numpy as np
import pytest

from harness.tasks.puzzles import rules
from harness.training.concepts import Concept
from harness.training.examples import IGNORED, Examples, window_of
from harness.training.hands import Hand, hands
from harness.training.scenes import Scenes
from harness.training.voices import Desk, Extent, Levels, Voices, nominal, quoted_concept


@pytest.fixture(scope="module")
def voices(examples: Examples) -> Voices:
    return Voices(examples, Scenes())


def concept_of(word: str) -> Concept:
    return Concept("words", (f"the word for a {word}",), rules.words([word]), frozenset([word]), members=(word,))


@pytest.fixture
def desk(examples: Examples) -> Desk:
    windows = [window_of("A boat and a ferry met a boat.", examples.tokenizer, 40)]
    return Desk(windows, hands()[0], random.Random(0))


def phrased(voices: Voices, desk: Desk, turn: str) -> tuple[str, Levels]:
    text, (levels,) = voices.phrased(concept_of("boat"), concept_of("ferry"), turn, desk)
    return text, levels


def test_a_plain_explanation_means_its_concept(voices: Voices, desk: Desk) -> None:
    text, levels = phrased(voices, desk, "plain")
    assert "boat" in text
    assert (levels == voices.levels(concept_of("boat"), desk.windows)[0]).all()


def test_what_is_named_as_silent_is_silent_and_what_is_added_fires(voices: Voices, desk: Desk) -> None:
    boats, ferries = (voices.levels(concept_of(word), desk.windows)[0] for word in ("boat", "ferry"))
    for turn in ("without", "aside"):
        text, levels = phrased(voices, desk, turn)
        assert "ferry" in text
        assert (levels == boats).all()
    text, levels = phrased(voices, desk, "both")
    assert "ferry" in text
    assert ((levels > 0) == ((boats > 0) | (ferries > 0))).all()


def test_a_wrong_example_is_not_asked_about(voices: Voices, desk: Desk) -> None:
    boats = voices.levels(concept_of("boat"), desk.windows)[0]
    for turn in ("partly", "wrong"):
        for seed in range(5):
            text, levels = phrased(voices, Desk(desk.windows, desk.hand, random.Random(seed)), turn)
            assert text
            assert ((levels == boats) | (levels == IGNORED)).all()
            assert (levels > 0).sum() == (boats > 0).sum()


def test_an_exception_that_is_the_concept_itself_is_not_written(voices: Voices, desk: Desk) -> None:
    text, (levels,) = voices.phrased(concept_of("boat"), concept_of("boat"), "without", desk)
    assert "but not" not in text
    assert (levels > 0).any()


def test_a_unit_is_three_explanations_on_the_same_texts(voices: Voices, examples: Examples) -> None:
    chance = random.Random(4)
    for _ in range(60):
        unit = voices.unit(chance, examples.pools[0], 3)
        assert len(unit) == 3
        assert len({tuple(map(id, group.windows)) for group in unit}) == 1
        for group in unit:
            assert group.explanation.strip()
            for window, levels in zip(group.windows, group.levels, strict=True):
                assert len(levels) == len(window.ids) == len(window.ends)
                assert ((levels >= IGNORED) & (levels <= 10)).all()


def test_training_meets_no_kind_and_no_hand_that_the_judge_asks_about(voices: Voices, examples: Examples) -> None:
    judge = Voices(examples, Scenes(), held=True)
    names = {(kind.group, kind.tag) for kinds in voices.kinds.values() for kind in kinds}
    held = {(kind.group, kind.tag) for kinds in judge.kinds.values() for kind in kinds}
    assert not names & held
    assert len(held) > 30
    assert not {hand.name for hand in voices.hands} & {hand.name for hand in judge.hands}
    chance = random.Random(5)
    for _ in range(200):
        for group in voices.unit(chance, examples.pools[0], 2):
            assert group.concept.kind is None or not group.concept.kind.held


def test_the_first_text_of_a_scene_concept_holds_it(voices: Voices) -> None:
    chance = random.Random(6)
    for kind in voices.kinds["prose"][:20]:
        concept = voices.concept(kind)
        windows = voices.scene_windows(concept, concept, chance, Extent(200, 2, capitals=False))
        assert any((levels > 0).any() for levels in voices.levels(concept, windows)), kind.tag


def test_only_noun_phrases_are_put_into_frames() -> None:
    chance = random.Random(7)
    assert nominal(Concept("f", ("This fires on boats.",), rules.words([])), chance) is None
    assert (
        nominal(Concept("f", ("This fires on boats.", "words for boats"), rules.words([])), chance) == "words for boats"
    )


def test_quoted_words_fire_in_any_case() -> None:
    rule = quoted_concept(["Boat"]).rule
    assert np.array_equal(rule(rules.read("boat BOAT boats")) > 0, [True, True, False])


def test_every_hand_can_write_for_every_trained_kind(voices: Voices) -> None:
    chance = random.Random(8)
    hand: Hand
    for kinds in voices.kinds.values():
        for kind in kinds[::4]:
            concept = voices.concept(kind)
            said = nominal(concept, chance)
            assert said is not None, kind.tag
            for hand in voices.hands:
                assert said in hand.write("plain", chance, x=said)
