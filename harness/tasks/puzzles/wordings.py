"""Other wordings of a puzzle's explanation, by which the robustness of a simulator is measured.

An item of a source may have these keys beside those of :mod:`harness.tasks.puzzles.source`:

==================  ================================================================================================
``wordings``        five true explanations of one meaning, by style (:data:`STYLES`); ``explanation`` is one of them
``examples``        three true examples
``wrong_examples``  three examples that are wrong
``distractors``     three words or phrases of the texts that do not fire
==================  ================================================================================================

Each wording becomes a puzzle of its own (:func:`puzzles`), whose class is the kind of wording: a run of them prints the
truth's correlation by wording. ``python -m harness.tasks.puzzles.wordings FOLDER FILE.json`` writes them for
``neurogloss run task=puzzles task.path=FILE.json``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.tasks.puzzles import files, source, task
from harness.types import NeuroglossError, Puzzle

STYLES = ("terse", "mentions", "tokens", "examples", "sentence")
"""Styles of the five wordings: a phrase, "mentions of ...", "tokens that ...", examples alone, a padded sentence."""
SEPARATOR = "@"
"""Between the key of a puzzle and the kind of wording, in the key of a puzzle with another wording."""
_LISTS = ("examples", "wrong_examples", "distractors")


def puzzles(folder: Path) -> tuple[Puzzle, ...]:
    """Return a puzzle for each wording of each puzzle of a task, wording by wording, without false explanations.

    Raises:
        NeuroglossError: the task cannot be read, or its source lacks the wordings of a puzzle.
    """
    path = folder / task.SOURCE
    texts = {item["name"]: variants(item, f"{path} ({item['name']})") for item in source.items(path)}
    by_key = {puzzle.key: puzzle for puzzle in task.read(folder).puzzles}
    kinds = next(iter(texts.values()))
    return tuple(_reworded(puzzle, kind, texts[key][kind]) for kind in kinds for key, puzzle in by_key.items())


def variants(item: Mapping[str, Any], where: str) -> dict[str, str]:
    """Return every wording of the explanation of an item of a source, by kind.

    The first five are the styles. The others are derived from the explanation: padded, in capitals, with true and with
    wrong examples, with words named that do not fire.

    Raises:
        NeuroglossError: a wording or a list is missing; the error names ``where``.
    """
    _check(item, where)
    truth = item["explanation"]
    return {
        **{style: item["wordings"][style] for style in STYLES},
        "padded": f"Looking closely at all the excerpts, what this neuron mainly responds to is the following: {truth}",
        "capitals": truth.upper(),
        "true_examples": f"{truth} (for example {_listed(item['examples'], 'and')})",
        "wrong_examples": f"{truth} (for example {_listed(item['wrong_examples'], 'and')})",
        "distractors": f"{truth} (it does not fire on {_listed(item['distractors'], 'or')})",
    }


def main(arguments: Sequence[str]) -> None:
    """Write the puzzles with other wordings of a task's folder to a file in the public format."""
    if len(arguments) != 2:
        raise SystemExit("give the folder of a task and a file to write: tasks/puzzles-away-v1 wordings.json")
    folder, path = map(Path, arguments)
    path.write_text(files.dumped(puzzles(folder)), encoding="utf-8", newline="\n")


def _reworded(puzzle: Puzzle, kind: str, explanation: str) -> Puzzle:
    key = f"{puzzle.key}{SEPARATOR}{kind}"
    return replace(puzzle, key=key, name=key, explanation=explanation, kind=kind, false_explanations=(), pair="")


def _listed(words: Sequence[str], conjunction: str) -> str:
    *first, last = (f"“{word}”" for word in words)
    return f"{', '.join(first)} {conjunction} {last}"


def _check(item: Mapping[str, Any], where: str) -> None:
    wordings = item.get("wordings")
    if not isinstance(wordings, Mapping) or tuple(wordings) != STYLES:
        raise NeuroglossError(f"{where} lacks wordings, by the styles {', '.join(STYLES)} in this order.")
    if item["explanation"] not in wordings.values():
        raise NeuroglossError(f"{where} has an explanation that is none of its wordings.")
    for key in _LISTS:
        if not isinstance(item.get(key), list) or len(item[key]) != 3:
            raise NeuroglossError(f"{where} has {key}: {item.get(key)!r}; three texts are wanted there.")


if __name__ == "__main__":
    main(sys.argv[1:])
