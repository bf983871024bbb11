"""Hands: every frame of every turn can be filled, and some hands never write for training."""

from __future__ import annotations

import random

from harness.training import hands


def test_every_hand_writes_in_every_turn() -> None:
    chance = random.Random(0)
    for hand in hands.hands():
        for turn in hands.TURNS:
            for _ in range(20):
                text = hand.write(turn, chance, x="boats", y="trains", ex="raft")
                assert "boats" in text, (hand.name, turn)
                assert ("trains" in text) == (turn in ("without", "aside", "both")), (hand.name, text)
                assert not set("{}") & set(text)


def test_some_hands_are_held_out() -> None:
    held = {hand.name for hand in hands.hands() if hand.held}
    assert held == {"report", "conditional"}
    assert len(hands.hands()) > 3 * len(held)


def test_a_padded_explanation_still_says_what_it_said() -> None:
    chance = random.Random(1)
    for _ in range(20):
        text = hands.padded("boats at night", hands.padding(), chance)
        assert "boats at night." in text.lower()
        assert len(text) > len("boats at night.")


def test_words_are_listed_whatever_the_way() -> None:
    chance = random.Random(2)
    for _ in range(30):
        text = hands.listed(["raft", "ferry", "barge"], chance)
        assert all(word in text for word in ("raft", "ferry", "barge"))


def test_case_is_all_that_changes() -> None:
    chance = random.Random(3)
    cased = {hands.cased("words for Boats", chance) for _ in range(80)}
    assert cased == {"words for Boats", "Words for Boats", "WORDS FOR BOATS", "words for boats"}
