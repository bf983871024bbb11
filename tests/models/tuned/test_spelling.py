"""Spelling: each token has the characters of its word up to its end, however the word is cut."""

from __future__ import annotations

from itertools import accumulate

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.models.tuned.spelling import FEATURES, Spelling, features

PIECES = ["", "The", " cat", "ch", "es", " ", "3", "4th", ",", "\ufffd", " na", "ïve", "<|end|>", "'s", "\n"]
WORDS = ["", "The", "cat", "catch", "catches", "", "3", "34th", "", "", "na", "naïve", "", "s", ""]


def made() -> Spelling:
    torch.manual_seed(0)
    spelling = Spelling(PIECES, hidden=6, width=5)
    torch.nn.init.normal_(spelling.out)
    return spelling


@torch.inference_mode()
def test_a_token_has_its_word_as_far_as_it_was_read() -> None:
    spelling, ids = made(), range(len(PIECES))
    found = spelling([list(ids)])[0]
    for vector, word in zip(found, WORDS, strict=True):
        alone = Spelling([word], 6, 5)
        alone.load_state_dict(spelling.state_dict())
        assert torch.allclose(vector, alone([[0]])[0, 0], atol=1e-5)
        assert bool(vector.any()) == bool(word)


@torch.inference_mode()
def test_sequences_are_spelled_side_by_side_as_they_are_alone() -> None:
    spelling = made()
    together = spelling([[2, 3, 4], [1], [2, 6]])
    assert together.shape == (3, 3, 5)
    for row, one in enumerate([[2, 3, 4], [1], [2, 6]]):
        assert torch.allclose(together[row, : len(one)], spelling([one])[0], atol=1e-6)
        assert not together[row, len(one) :].any()


@torch.inference_mode()
def test_what_goes_on_without_end_is_spelled_as_far_as_words_go() -> None:
    found = made()([[1] * 2000])[0]  # "TheTheThe" and so on
    assert torch.allclose(found[20], found[1999], atol=1e-4)
    assert not torch.allclose(found[5], found[8], atol=1e-2)


def test_it_begins_as_nothing() -> None:
    assert not Spelling(PIECES, 6, 5)([[1, 2, 3]]).any()


@pytest.mark.slow
@given(st.text(min_size=1, max_size=40).filter(str.isalnum))
def test_features_are_numbers_of_embeddings(word: str) -> None:
    assert all(0 <= one < FEATURES for one in features(word))
    assert len(features(word)) >= len(word) + 3  # its characters, a first one, a last one and their number


@pytest.mark.parametrize(
    ("one", "other"),
    [("ab", "ba"), ("ab", "aba"), ("a", "A"), ("Ab", "AB"), ("aB", "ab"), ("12", "21"), ("1", "2"), ("aab", "abb")],
)
def test_words_that_are_written_otherwise_differ(one: str, other: str) -> None:
    assert features(one) != features(other)


@given(st.text("abc1", min_size=1, max_size=30))
def test_each_character_counts_as_often_as_it_occurs(word: str) -> None:
    alone = {one: features(one)[0] for one in set(word)}
    assert all(features(word).count(feature) >= word.count(one) for one, feature in alone.items())
    longer = list(accumulate(word))
    assert len({features(one) for one in longer}) == len(longer)
