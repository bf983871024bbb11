"""Files of puzzles in the public format (OpenAI neuron-explainer), read and written.

``{key: {name, explanation, sentences: [["tok" | ["tok", level]]], false_explanations: [text]}}``; a bare text is a
token of level 0. This version adds ``class``, ``near`` (number of near misses, which come first among the false
explanations) and ``pair``. Other keys are ignored; without ``near``, the kind of a false explanation is unspecified.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.guards import reading
from harness.types import HIGHEST_LEVEL, NeuroglossError, Puzzle, PuzzleText, ToldExplanation, Validity


def read(path: Path) -> tuple[Puzzle, ...]:
    """Read a file of puzzles.

    Raises:
        NeuroglossError: the file cannot be read, or a puzzle lacks a key or has a wrong value; the place is named.
    """
    return parsed(reading.json_of(path), str(path))


def parsed(document: Any, where: str) -> tuple[Puzzle, ...]:
    """Return the puzzles of a parsed JSON document; errors name ``where``."""
    _expect(isinstance(document, Mapping) and bool(document), where, "a mapping of puzzles")
    return tuple(_puzzle(key, item, f"{where}: {key}") for key, item in document.items())


def dumped(puzzles: Sequence[Puzzle]) -> str:
    """Return the text of a file of puzzles, a line for each sentence; :func:`parsed` returns the same puzzles.

    Raises:
        NeuroglossError: near misses do not come first among a puzzle's false explanations, or two puzzles have one key.
    """
    if len({puzzle.key for puzzle in puzzles}) < len(puzzles):
        raise NeuroglossError("two puzzles have one key, and a file of puzzles holds each key once; rename one.")
    parts = (f"{_json(puzzle.key)}: {_item(puzzle)}" for puzzle in puzzles)
    return "{\n" + ",\n".join(parts) + "\n}\n"


# ------------------------------------------------------------------------------------------------------------- reading


def _puzzle(key: str, item: Any, where: str) -> Puzzle:
    _expect(isinstance(item, Mapping), where, "a mapping")
    for name in ("name", "explanation", "sentences", "false_explanations"):
        if name not in item:
            raise NeuroglossError(f"{where} lacks the key {name!r}; a puzzle needs it.")
    for name, value in (("name", item["name"]), ("explanation", item["explanation"]), ("class", item.get("class", ""))):
        _expect(isinstance(value, str), f"{where}.{name}", "a text")
    explanations = item["false_explanations"]
    _expect(
        _is_list(explanations) and all(isinstance(text, str) for text in explanations),
        f"{where}.false_explanations",
        "a list of texts",
    )
    _expect(_is_list(item["sentences"]) and bool(item["sentences"]), f"{where}.sentences", "a list of sentences")
    return Puzzle(
        key=key,
        name=item["name"],
        explanation=item["explanation"],
        texts=tuple(_text(text, f"{where}.sentences[{index}]") for index, text in enumerate(item["sentences"])),
        false_explanations=tuple(map(ToldExplanation, _validities(item, where), explanations)),
        kind=item.get("class", ""),
        pair=item.get("pair") or "",
    )


def _validities(item: Mapping[str, Any], where: str) -> list[Validity]:
    count, near = len(item["false_explanations"]), item.get("near")
    if near is None:
        return [Validity.UNSPECIFIED] * count
    _expect(type(near) is int and 0 <= near <= count, f"{where}.near", f"a whole number from 0 to {count}")
    return [Validity.NEAR] * near + [Validity.UNRELATED] * (count - near)


def _text(sentence: Any, where: str) -> PuzzleText:
    _expect(_is_list(sentence), where, "a list of tokens")
    pairs = [_token(token, f"{where}[{index}]") for index, token in enumerate(sentence)]
    return PuzzleText(tuple(token for token, _ in pairs), tuple(level for _, level in pairs))


def _token(value: Any, where: str) -> tuple[str, int]:
    if isinstance(value, str):
        return value, 0
    fits = _is_list(value) and len(value) == 2 and isinstance(value[0], str) and _is_level(value[1])
    _expect(fits, where, f"a token, or [token, level] with a whole level from 0 to {HIGHEST_LEVEL}")
    return value[0], int(value[1])


def _is_level(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= HIGHEST_LEVEL and value == int(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _expect(fits: bool, where: str, expectation: str) -> None:
    if not fits:
        raise NeuroglossError(f"{where} is not {expectation}.")


# ------------------------------------------------------------------------------------------------------------- writing


def _item(puzzle: Puzzle) -> str:
    sentences = ",\n".join("  " + _json(_tokens(text)) for text in puzzle.texts)
    fields = {
        "name": _json(puzzle.name),
        **({"class": _json(puzzle.kind)} if puzzle.kind else {}),
        "explanation": _json(puzzle.explanation),
        "false_explanations": _json([told.text for told in puzzle.false_explanations]),
        **_near(puzzle),
        **({"pair": _json(puzzle.pair)} if puzzle.pair else {}),
        "sentences": f"[\n{sentences}\n ]",
    }
    return "{\n" + ",\n".join(f' "{name}": {value}' for name, value in fields.items()) + "\n}"


def _near(puzzle: Puzzle) -> dict[str, str]:
    """Return ``near``, if it is known, as the format requires: a number, with near misses first."""
    kinds = [told.validity for told in puzzle.false_explanations]
    near = kinds.count(Validity.NEAR)
    if not kinds or set(kinds) == {Validity.UNSPECIFIED}:
        return {}
    if kinds != [Validity.NEAR] * near + [Validity.UNRELATED] * (len(kinds) - near):
        raise NeuroglossError(f"puzzle {puzzle.key} has a near miss after an unrelated explanation; put it first.")
    return {"near": str(near)}


def _tokens(text: PuzzleText) -> list[str | list[str | int]]:
    return [[token, level] if level else token for token, level in zip(text.tokens, text.levels, strict=True)]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
