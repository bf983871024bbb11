"""Categories of words, read from files in WordNet's format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from harness.training.wordnet import WordNet, forms, plural
from harness.types import NeuroglossError

VESSEL, MOVE, LARGE = ("n", 1000), ("v", 1008), ("a", 1013)


def test_a_category_holds_the_words_of_all_that_is_below_it_in_all_their_forms(wordnet: WordNet) -> None:
    category = wordnet.category(VESSEL)
    assert set(category.shares) == {
        *(
            "vessel",
            "vessels",
            "boat",
            "boats",
            "ferry",
            "ferries",
            "raft",
            "rafts",
            "barge",
            "barges",
            "canoe",
            "canoes",
        ),
    }
    assert set(category.shares.values()) == {1.0}
    assert category.gloss == "a thing that floats"


def test_irregular_forms_stand_for_regular_ones(wordnet: WordNet) -> None:
    shares = wordnet.category(MOVE).shares
    assert {"ran", "running", "walked", "carried", "sails"} <= set(shares)
    assert "runned" not in shares


def test_adjectives_gather_what_is_similar_and_know_their_opposite(wordnet: WordNet) -> None:
    category = wordnet.category(LARGE)
    assert set(category.shares) == {"large", "huge", "vast", "giant"}
    assert ("a", 1017) in category.siblings


def test_a_word_of_two_meanings_belongs_as_far_as_it_is_used_so(
    tagged_wordnet: Callable[[Mapping[tuple[int, str], int]], WordNet],
) -> None:
    known = tagged_wordnet({(6, "bank"): 4})
    money, river = (known.category(("n", 1000 + number)).shares["bank"] for number in (6, 7))
    assert money == pytest.approx(5 / 5.5)
    assert money + river == pytest.approx(1.0)


def test_examples_are_kept_apart_from_the_gloss(wordnet: WordNet) -> None:
    assert wordnet.examples == ["the vessel left the harbour", "they moved to the coast"]


def test_a_folder_without_wordnet_is_refused_with_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(NeuroglossError, match="install Debian's package wordnet-base"):
        WordNet(tmp_path)


@pytest.mark.parametrize(
    ("word", "expected"),
    [("box", "boxes"), ("city", "cities"), ("day", "days"), ("church", "churches"), ("cat", "cats")],
)
def test_plurals_are_spelled_by_the_rules(word: str, expected: str) -> None:
    assert plural(word) == expected


@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        ("make", {"make", "makes", "making", "maked"}),
        ("stop", {"stop", "stops", "stopping", "stopped"}),
        ("try", {"try", "tries", "trying", "tried"}),
    ],
)
def test_verbs_are_inflected_by_the_rules(verb: str, expected: set[str]) -> None:
    assert forms(verb, "v", {}) == expected


def test_irregular_pasts_are_taken_from_the_list() -> None:
    assert forms("run", "v", {("v", "run"): ["ran"]}) == {"run", "runs", "running", "ran"}
