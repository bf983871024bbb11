"""The set away from home: its shape, its labels, and that none of it stands in other puzzles or in training data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.config.compose import composed
from harness.files import shipped
from harness.tasks import catalog
from harness.tasks.puzzles import source, task, wordings
from harness.types import Puzzle, PuzzleText, Validity

NAME = "puzzles-away-v1"
FOLDER = shipped("tasks") / NAME
TRAINING = Path(__file__).parents[3] / "harness" / "training"
WINDOW = 40
"""Letters in a row that no text of the set may share with another source."""

PUZZLES = task.read(FOLDER).puzzles
ITEMS: dict[str, dict[str, Any]] = {item["name"]: item for item in source.items(FOLDER / task.SOURCE)}
each_puzzle = pytest.mark.parametrize("puzzle", PUZZLES, ids=lambda puzzle: puzzle.key)


def letters(string: str) -> str:
    """Return the letters of a text in small ones, without anything between them."""
    return re.sub(r"[\W\d_]+", "", string.lower())


def levels_at(text: PuzzleText, phrase: str) -> Iterator[list[int]]:
    """Yield, for each place of a whole ``phrase`` in a text, the levels of the tokens it covers."""
    string = "".join(text.tokens)
    bounded = (r"\b" * phrase[0].isalnum()) + re.escape(phrase) + (r"\b" * phrase[-1].isalnum())
    for match in re.finditer(bounded, string):
        end, levels = 0, []
        for token, level in zip(text.tokens, text.levels, strict=True):
            start, end = end + len(token) - len(token.lstrip()), end + len(token)
            if start < match.end() and match.start() < end:
                levels.append(level)
        yield levels


def test_the_task_is_one_of_those_that_ship() -> None:
    assert NAME in catalog.list_tasks()
    assert catalog.read(FOLDER).digest == task.digest(FOLDER)
    settings = composed("run", [f"task={NAME}"]).task
    assert (settings.name, list(settings.scores), list(settings.controls)) == (
        NAME,
        ["truths"],
        ["token_overlap", "chance"],
    )


def test_there_are_enough_puzzles_spread_over_the_classes() -> None:
    assert len(PUZZLES) >= 60
    kinds = [puzzle.kind for puzzle in PUZZLES]
    assert set(kinds) == {
        *(
            "sense",
            "role",
            "semantic",
            "discourse",
            "number",
            "format",
            "language",
            "morphological",
            "prediction",
            "code",
        )
    }
    assert all(4 <= kinds.count(kind) <= 10 for kind in kinds)


@each_puzzle
def test_a_puzzle_has_texts_that_fire_and_texts_that_do_not_in_both_halves(puzzle: Puzzle) -> None:
    firing = [any(text.levels) for text in puzzle.texts]
    assert len(firing) == 10
    for half in (firing[:5], firing[5:]):
        assert 0 < sum(half) < len(half)
    assert 4 <= sum(firing) <= 7
    assert all(8 <= len(text.tokens) <= 64 for text in puzzle.texts)
    assert any(not all(text.levels) for text in puzzle.texts if any(text.levels)), "every token of a firing text fires"


@each_puzzle
def test_false_explanations_stand_in_their_order_and_are_not_the_truth(puzzle: Puzzle) -> None:
    validities = [explanation.validity for explanation in puzzle.false_explanations]
    assert validities == [Validity.NEAR] * 4 + [Validity.UNRELATED]
    texts = [letters(explanation.text) for explanation in puzzle.false_explanations]
    truths = [letters(text) for text in ITEMS[puzzle.key]["wordings"].values()]
    assert len({*texts, *truths}) == 10


@each_puzzle
def test_examples_and_distractors_say_what_the_labels_say(puzzle: Puzzle) -> None:
    item = ITEMS[puzzle.key]
    for phrase in item["distractors"]:
        places = [levels for text in puzzle.texts for levels in levels_at(text, phrase)]
        assert places, f"{phrase} is in no text"
        assert not any(map(any, places)), f"{phrase} fires"
    for phrase in item["examples"]:
        assert all(any(levels) for text in puzzle.texts for levels in levels_at(text, phrase)), phrase
    for phrase in item["wrong_examples"]:
        assert not any(any(levels) for text in puzzle.texts for levels in levels_at(text, phrase)), phrase


def test_every_style_of_wording_is_the_explanation_of_about_every_fifth_puzzle() -> None:
    styles = [
        style for item in ITEMS.values() for style, text in item["wordings"].items() if text == item["explanation"]
    ]
    assert len(styles) == len(PUZZLES)
    assert {styles.count(style) for style in wordings.STYLES} <= {12, 13, 14}


@pytest.mark.slow
def test_no_text_and_no_truth_stands_elsewhere() -> None:
    """Any stretch of letters that is shared with the home puzzles, or with what simulators are trained on, is found."""
    paths = [path for path in TRAINING.rglob("*") if path.suffix in {".py", ".txt", ".yaml", ".json", ".jsonl"}]
    paths.append(shipped("tasks") / "puzzles-v1" / task.SOURCE)
    elsewhere = "\n".join(letters(path.read_text(encoding="utf-8", errors="ignore")) for path in paths)
    shared = [
        f"{puzzle.key}: {window}"
        for puzzle in PUZZLES
        for text in puzzle.texts
        for window in _windows(letters("".join(text.tokens)))
        if window in elsewhere
    ]
    assert not shared


def _windows(string: str) -> list[str]:
    return [string[start : start + WINDOW] for start in range(max(1, len(string) - WINDOW + 1)) if len(string) >= 20]
