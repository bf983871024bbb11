from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.files import shipped
from harness.tasks.puzzles import files, task, wordings
from harness.types import NeuroglossError

FOLDER = shipped("tasks") / "puzzles-away-v1"
ITEM: dict[str, Any] = {
    "explanation": "pets",
    "wordings": dict(
        zip(wordings.STYLES, ("pets", "mentions of pets", "pet tokens", "cat, dog", "It is pets."), strict=True)
    ),
    "examples": ["cat", "dog", "hamster"],
    "wrong_examples": ["oak", "elm", "ash"],
    "distractors": ["the farm", "hay", "milk"],
}


def test_every_kind_of_wording_says_the_truth_in_its_way() -> None:
    texts = wordings.variants(ITEM, "pets")
    assert list(texts)[:5] == list(wordings.STYLES)
    assert texts["capitals"] == "PETS"
    assert texts["padded"].endswith(": pets")
    assert texts["true_examples"] == "pets (for example “cat”, “dog” and “hamster”)"
    assert texts["wrong_examples"] == "pets (for example “oak”, “elm” and “ash”)"
    assert texts["distractors"] == "pets (it does not fire on “the farm”, “hay” or “milk”)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wordings": None}, "here lacks wordings, by the styles terse, mentions"),
        ({"wordings": {"terse": "pets"}}, "here lacks wordings"),
        ({"explanation": "animals"}, "an explanation that is none of its wordings"),
        ({"examples": ["cat"]}, r"here has examples: \['cat'\]; three texts are wanted"),
        ({"distractors": None}, "here has distractors: None"),
    ],
)
def test_what_is_missing_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(NeuroglossError, match=message):
        wordings.variants({**ITEM, **change}, "here")


def test_each_wording_is_a_puzzle_with_the_same_texts(tmp_path: Path) -> None:
    path = tmp_path / "wordings.json"
    wordings.main([str(FOLDER), str(path)])
    puzzles = task.read(FOLDER).puzzles
    reworded = {puzzle.key: puzzle for puzzle in files.read(path)}
    kinds = [*wordings.STYLES, "padded", "capitals", "true_examples", "wrong_examples", "distractors"]
    assert list(reworded) == [f"{puzzle.key}@{kind}" for kind in kinds for puzzle in puzzles]
    first = reworded[f"{puzzles[0].key}@capitals"]
    assert (first.texts, first.kind, first.false_explanations) == (puzzles[0].texts, "capitals", ())
    assert first.explanation == puzzles[0].explanation.upper()


def test_a_wrong_number_of_arguments_is_refused() -> None:
    with pytest.raises(SystemExit, match="give the folder of a task and a file"):
        wordings.main(["tasks"])
