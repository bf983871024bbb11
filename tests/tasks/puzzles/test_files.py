from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.tasks.puzzles import files, source, task
from harness.types import NeuroglossError, Puzzle, PuzzleText, ToldExplanation, Validity

PUBLIC: dict[str, Any] = {
    "colours": {
        "name": "Colours",
        "explanation": "words for colours",
        "sentences": [["A", [" red", 10], " hat"], [["Blue", 7]]],
        "false_explanations": ["fruit", "words"],
        "dataclass_name": "Puzzle",
    }
}


def test_the_public_format_is_read() -> None:
    (puzzle,) = files.parsed(PUBLIC, "x")
    assert puzzle == Puzzle(
        key="colours",
        name="Colours",
        explanation="words for colours",
        texts=(PuzzleText(("A", " red", " hat"), (0, 10, 0)), PuzzleText(("Blue",), (7,))),
        false_explanations=(
            ToldExplanation(Validity.UNSPECIFIED, "fruit"),
            ToldExplanation(Validity.UNSPECIFIED, "words"),
        ),
    )


def test_ours_says_which_are_near_misses() -> None:
    (puzzle,) = files.parsed({"c": {**PUBLIC["colours"], "near": 1, "class": "lexical", "pair": "d"}}, "x")
    assert puzzle.false_explanations == (
        ToldExplanation(Validity.NEAR, "fruit"),
        ToldExplanation(Validity.UNRELATED, "words"),
    )
    assert (puzzle.kind, puzzle.pair) == ("lexical", "d")


words = st.text(max_size=8)
texts = st.lists(st.tuples(words, st.integers(0, 10)), max_size=6).map(
    lambda pairs: PuzzleText(tuple(token for token, _ in pairs), tuple(level for _, level in pairs))
)


@st.composite
def puzzles(draw: st.DrawFn) -> Puzzle:
    false = draw(st.lists(words, max_size=4))
    near = draw(st.one_of(st.none(), st.integers(0, len(false))))
    kinds = [
        Validity.UNSPECIFIED if near is None else Validity.NEAR if i < near else Validity.UNRELATED for i in range(4)
    ]
    return Puzzle(
        key=draw(words),
        name=draw(words),
        explanation=draw(words),
        texts=tuple(draw(st.lists(texts, min_size=1, max_size=3))),
        false_explanations=tuple(map(ToldExplanation, kinds, false)),
        kind=draw(words),
        pair=draw(words),
    )


@given(st.lists(puzzles(), min_size=1, max_size=3, unique_by=lambda puzzle: puzzle.key))
def test_what_is_written_is_read_back_exactly(drawn: list[Puzzle]) -> None:
    text = files.dumped(drawn)
    again = files.parsed(json.loads(text), "x")
    assert list(again) == drawn
    assert files.dumped(again) == text


def test_a_file_on_the_disk_too(puzzle_source: Path) -> None:
    found, path = source.read(puzzle_source / "puzzles.yaml"), puzzle_source / "puzzles.json"
    path.write_text(files.dumped(found), encoding="utf-8")
    assert files.read(path) == found


@pytest.mark.parametrize("key", ["name", "explanation", "sentences", "false_explanations"])
def test_a_missing_key_is_named(key: str) -> None:
    item = {name: value for name, value in PUBLIC["colours"].items() if name != key}
    with pytest.raises(NeuroglossError, match=f"x: colours lacks the key '{key}'"):
        files.parsed({"colours": item}, "x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"sentences": [["A", [" red", 11]]]},
            r"sentences\[0\]\[1\] is not a token, or \[token, level\] with a whole level",
        ),
        ({"sentences": [["A", [" red", 0.5]]]}, r"sentences\[0\]\[1\]"),
        ({"sentences": [["A", [" red", True]]]}, r"sentences\[0\]\[1\]"),
        ({"sentences": [["A", [" red", float("nan")]]]}, r"sentences\[0\]\[1\]"),
        ({"sentences": ["A red hat"]}, r"sentences\[0\] is not a list of tokens"),
        ({"sentences": []}, "sentences is not a list of sentences"),
        ({"near": 3}, "near is not a whole number from 0 to 2"),
        ({"name": 7}, "name is not a text"),
        ({"false_explanations": "fruit"}, "false_explanations is not a list of texts"),
    ],
)
def test_what_is_something_else_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(NeuroglossError, match=message):
        files.parsed({"colours": {**PUBLIC["colours"], **change}}, "x")


def test_what_the_format_cannot_say_is_not_written() -> None:
    (puzzle,) = files.parsed(PUBLIC, "x")
    with pytest.raises(NeuroglossError, match="two puzzles have one key"):
        files.dumped([puzzle, puzzle])
    mixed = (ToldExplanation(Validity.UNRELATED, "a"), ToldExplanation(Validity.NEAR, "b"))
    with pytest.raises(NeuroglossError, match="near miss after an unrelated explanation"):
        files.dumped([Puzzle("k", "k", "e", puzzle.texts, mixed)])


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("{")
    with pytest.raises(NeuroglossError, match=r"x\.json cannot be read as JSON"):
        files.read(path)
    path.write_text("[]")
    with pytest.raises(NeuroglossError, match=r"x\.json is not a mapping of puzzles"):
        files.read(path)


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"a": {"name": "one"}, "a": {"name": "other"}}')
    with pytest.raises(NeuroglossError, match="the key 'a' stands there twice"):
        files.read(path)


@pytest.mark.parametrize(
    "text", ['{"a": 1e999}', '{"a": NaN}', f'{{"a": 1{"0" * 400}}}', '{"a": ' + "[" * 3000, "\ud800"]
)
def test_odd_json_is_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    for read in (files.read, task.read_file):
        with pytest.raises(NeuroglossError, match=r"x\.json cannot be read as JSON"):
            read(path)
