from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness.tasks.puzzles import source
from harness.types import NeuroglossError, Validity


def test_texts_become_tokens_and_levels(puzzle_source: Path) -> None:
    pets, ing = source.read(puzzle_source / "puzzles.yaml")
    assert (pets.key, pets.kind, pets.pair, ing.pair) == ("pets", "lexical", "", "pets")
    assert pets.texts[0].tokens == ("The", " dog", " saw", " a", " cat", ".")
    assert pets.texts[0].levels == (0, 10, 0, 0, 10, 0)
    assert ing.texts[0].levels == (0, 0, 7, 0)
    assert [told.validity for told in ing.false_explanations] == [Validity.NEAR] * 3 + [Validity.UNRELATED]


def test_a_token_that_ends_inside_a_word_has_level_0() -> None:
    text = source.levelled("It cost 12345 pounds.", source.rules.compiled({"number": {"above": 1000}}))
    assert "".join(text.tokens) == "It cost 12345 pounds."
    assert dict(zip(text.tokens, text.levels, strict=True)) == {
        "It": 0,
        " cost": 0,
        " 123": 0,
        "45": 10,
        " pounds": 0,
        ".": 0,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class": "odd"}, r"puzzle 1 has class 'odd'; there are lexical"),
        ({"explanation": ""}, "puzzle 1 has explanation: ''; a text is wanted"),
        ({"near": None}, "puzzle 1 has near: None; a number is wanted"),
        ({"rule": {"wrods": ["dog"]}}, r"puzzle 1 \(pets\): there is no rule 'wrods'"),
        ({"near": True}, "puzzle 1 has near: True; a whole number from 0 to"),
        ({"near": 7}, "puzzle 1 has near: 7; a whole number from 0 to"),
        ({"near": -1}, "puzzle 1 has near: -1; a whole number from 0 to"),
        ({"rule": {"number": {"above": "1,000"}}}, r"puzzle 1 \(pets\): its rule cannot be used"),
        ({"rule": {"length": {"minimum": "3"}}}, r"puzzle 1 \(pets\): its rule cannot be used"),
        ({"rule": {"first_in_sentence": {"count": "x"}}}, r"puzzle 1 \(pets\): its rule cannot be used"),
        ({"rule": {"words": ["sang"]}}, "applies to nothing in one half of its texts"),
        ({"name": "ing"}, "two puzzles named ing"),
        ({"pair": "nobody"}, "pets is the pair of 'nobody', which is not there"),
    ],
)
def test_a_puzzle_that_is_not_whole_is_named(puzzle_source: Path, change: dict[str, object], message: str) -> None:
    path = puzzle_source / "puzzles.yaml"
    first, *others = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump([{**first, **change}, *others]))
    with pytest.raises(NeuroglossError, match=message):
        source.read(path)


def test_a_file_that_is_no_list_of_puzzles_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "puzzles.yaml"
    with pytest.raises(NeuroglossError, match="cannot be read as YAML"):
        source.read(path)
    path.write_text("name: x")
    with pytest.raises(NeuroglossError, match="holds no list of puzzles"):
        source.read(path)


BOMB = "- &a [x, x]\n" + "".join(
    f"- &{new} [*{old}, *{old}, *{old}, *{old}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- name: 2024-01-01\n", "date"),
        ("- !!binary aGk=\n", "tag"),
        ("- {1: x}\n", "which is no text; quote it"),
        ("[" * 3000, "nested too deeply"),
        (f"- near: {'1' * 5000}\n", "int|digits"),
        (BOMB, "repeats itself by aliases"),
        ("- &a [*a]\n", "repeats itself by aliases|cannot be read"),
        ("- \x1b[2J", "cannot be read as YAML"),
        ("\ufffe", "cannot be read as YAML"),
    ],
)
def test_a_source_of_a_stranger_is_read_within_bounds(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "puzzles.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(NeuroglossError, match=sentence) as raised:
        source.read(path)
    assert str(raised.value).isprintable()
