"""Compiler of a source of puzzles: texts become tokens, and a rule or marks in the texts give their levels.

The source is a YAML list of ``{name, class, explanation, false_explanations, near, rule, pair, texts}``. The first
``near`` false explanations are near misses, the others are unrelated to the explanation. A puzzle with a ``rule``
(:mod:`harness.tasks.puzzles.rules`) has plain texts; one without has marked texts (:mod:`harness.tasks.puzzles.marks`).
Other keys are for other readers, for example :mod:`harness.tasks.puzzles.wordings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

from harness.guards import reading
from harness.tasks.puzzles import marks, rules
from harness.types import NeuroglossError, Puzzle, PuzzleText, ToldExplanation, Validity

CLASSES = (
    *("lexical", "morphological", "contextual", "semantic", "positional", "compound", "sentence"),
    *("sense", "role", "discourse", "number", "format", "language", "prediction", "code"),
)
"""Classes of what fires: by the word, its form, the words before it, its meaning, its place, several of these, the
whole sentence; one sense of a word, a part of the sentence, a part of the conversation, a kind of number, a form of
writing, another language, what comes next, a part of a program."""
_KEYS = {
    "name": str,
    "class": str,
    "explanation": str,
    "false_explanations": list,
    "near": int,
    "texts": list,
}


def read(path: Path) -> tuple[Puzzle, ...]:
    """Compile every puzzle of a source.

    Raises:
        NeuroglossError: the file cannot be read, or a puzzle in it is invalid; the puzzle is named.
    """
    puzzles = tuple(compiled(item, f"{path}, puzzle {number}") for number, item in enumerate(items(path), start=1))
    _check_names(puzzles, path)
    return puzzles


def items(path: Path) -> list[Any]:
    """Return the items of a source as YAML has them, unchecked.

    Raises:
        NeuroglossError: the file cannot be read, or is no list.
    """
    document = reading.yaml_of(path)
    if not isinstance(document, list) or not document:
        raise NeuroglossError(f"{path} holds no list of puzzles.")
    return document


def compiled(item: Mapping[str, Any], where: str) -> Puzzle:
    """Return the puzzle of one item of a source, with the levels that its rule or its marks give to its texts.

    Raises:
        NeuroglossError: a key is missing or of the wrong type, the rule or a mark is invalid, or nothing fires in one
            half of the texts; one half is needed for explaining and one for scoring.
    """
    _check(item, where)
    where = f"{where} ({item['name']})"
    texts = _texts(item, where)
    half = len(texts) // 2
    if not (any(any(text.levels) for text in texts[:half]) and any(any(text.levels) for text in texts[half:])):
        raise NeuroglossError(
            f"{where}: its rule applies to nothing in one half of its texts; add a text on which it does."
            if "rule" in item
            else f"{where}: nothing is marked in one half of its texts; mark {{{{what fires}}}}, or add a rule."
        )
    return Puzzle(
        key=item["name"],
        name=item["name"],
        explanation=item["explanation"],
        texts=texts,
        false_explanations=tuple(
            ToldExplanation(Validity.NEAR if number < item["near"] else Validity.UNRELATED, str(text))
            for number, text in enumerate(item["false_explanations"])
        ),
        kind=item["class"],
        pair=item.get("pair") or "",
    )


def _texts(item: Mapping[str, Any], where: str) -> tuple[PuzzleText, ...]:
    try:
        if "rule" not in item:
            return tuple(marks.levelled(str(text)) for text in item["texts"])
        rule = rules.compiled(item["rule"])
        return tuple(levelled(str(text), rule) for text in item["texts"])
    except NeuroglossError as error:
        raise NeuroglossError(f"{where}: {error}") from error
    except TypeError as error:  # a value of a wrong type that shows only when the rule is used
        raise NeuroglossError(f"{where}: its rule cannot be used ({error}); check the kinds of its values.") from error


def levelled(string: str, rule: rules.Rule) -> PuzzleText:
    """Return a text's tokens and their levels; a token that ends inside a word has level 0."""
    text, tokens = rules.read(string), rules.pieces(string)
    levels = rules.on_tokens(text, rule(text), list(accumulate(map(len, tokens))))
    return PuzzleText(tuple(tokens), tuple(max(0, round(float(level))) for level in levels))


def _check(item: Mapping[str, Any], where: str) -> None:
    if not isinstance(item, Mapping):
        raise NeuroglossError(f"{where} is not a mapping with name, class, explanation and so on.")
    for key, kind in _KEYS.items():
        if not isinstance(item.get(key), kind) or item[key] in ("", []):
            raise NeuroglossError(f"{where} has {key}: {item.get(key)!r}; a {_words(kind)} is wanted there.")
    if item["class"] not in CLASSES:
        raise NeuroglossError(f"{where} has class {item['class']!r}; there are {', '.join(CLASSES)}.")
    count = len(item["false_explanations"])
    if isinstance(item["near"], bool) or not 0 <= item["near"] <= count:
        raise NeuroglossError(f"{where} has near: {item['near']!r}; a whole number from 0 to {count} is wanted there.")


def _words(kind: type) -> str:
    return {str: "text", list: "list of texts", int: "number"}[kind]


def _check_names(puzzles: tuple[Puzzle, ...], path: Path) -> None:
    names = [puzzle.key for puzzle in puzzles]
    for puzzle in puzzles:
        if names.count(puzzle.key) > 1:
            raise NeuroglossError(f"{path} has two puzzles named {puzzle.key}; rename one.")
        if puzzle.pair and puzzle.pair not in names:
            raise NeuroglossError(f"{path}: {puzzle.key} is the pair of {puzzle.pair!r}, which is not there.")
