"""The frozen task of puzzles: a folder with its source, what the source compiles to, and the digests of both.

``puzzles.yaml`` is what people wrote; ``puzzles.json`` the puzzles in the public format (:mod:`harness.puzzles.files`),
with the levels that the rules gave. Compiling the source again must give the same digest.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from harness import frozen
from harness.puzzles import files, source
from harness.types import NeuroglossError, Puzzle, PuzzleTask

KIND = "puzzles"
SOURCE, PUZZLES, PAGE = "puzzles.yaml", "puzzles.json", "README.md"
ABOUT = (
    "Made-up neurons whose true explanation is known: a rule gives the level of every token. Each has four false "
    "explanations, most of them near misses. They tell which simulator can be trusted."
)
_PAGE = Path(__file__).with_name("readme.md")


def read(folder: Path) -> PuzzleTask:
    """Read a frozen task of puzzles and check that it is the one that was published.

    Raises:
        NeuroglossError: a file is missing or changed, or is not what the task says it is.
    """
    described = frozen.read(folder)
    try:
        frozen.check_files(folder, described)
        name, digest, about = described["name"], described["digest"], described["description"]
    except KeyError as error:
        raise NeuroglossError(f"{folder} is not laid out as a task of puzzles: it lacks {error}.") from error
    return PuzzleTask(name, digest, files.read(folder / PUZZLES), about)


def read_file(path: Path) -> PuzzleTask:
    """A file in the public format as a task: it is named like the file, and its digest is the file's."""
    puzzles = files.read(path)
    return PuzzleTask(path.stem, hashlib.sha256(path.read_bytes()).hexdigest(), puzzles, f"the puzzles of {path.name}")


def write(folder: Path, target: Path) -> str:
    """Compile the source in ``folder`` and freeze what comes out as a task in ``target``.

    Args:
        folder: holds ``puzzles.yaml``, and a ``README.md`` if the task is to have another than is written by itself.
        target: a folder that does not exist, or ``folder`` itself, where nothing is frozen yet.

    Returns:
        The digest of the task.

    Raises:
        NeuroglossError: the source is not whole, or the target has a task already.
    """
    puzzles = source.read(folder / SOURCE)
    if target.resolve() == folder.resolve():
        return _fill(target, folder, puzzles)
    with frozen.whole(target) as draft:
        return _fill(draft, folder, puzzles, target.name)


def digest(folder: Path) -> str:
    """The digest that compiling the source in ``folder`` gives; nothing is left behind."""
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}-") as scratch:
        return _fill(Path(scratch), folder, source.read(folder / SOURCE), folder.name)


def _fill(target: Path, folder: Path, puzzles: Sequence[Puzzle], name: str = "") -> str:
    """Put every file of the task into ``target``, the description last: with it a folder becomes a task."""
    if (target / frozen.DESCRIPTION).exists():
        raise NeuroglossError(f"{target} is a task already, and a task is never changed; write to a new folder.")
    described = _described(name or folder.name, puzzles)
    (target / PUZZLES).write_text(files.dumped(puzzles), encoding="utf-8", newline="\n")
    if target != folder:
        shutil.copyfile(folder / SOURCE, target / SOURCE)
    page = (folder / PAGE).read_text(encoding="utf-8") if (folder / PAGE).is_file() else _page(described, puzzles)
    (target / PAGE).write_text(page, encoding="utf-8", newline="\n")
    return str(frozen.seal(target, described, (PUZZLES, SOURCE, PAGE))["digest"])


def _described(name: str, puzzles: Sequence[Puzzle]) -> dict[str, Any]:
    """All of ``task.yaml`` but the digests, which need the files."""
    return {
        "schema": frozen.SCHEMA,
        "kind": KIND,
        "name": name,
        "description": ABOUT,
        "puzzles": len(puzzles),
        "classes": dict(Counter(puzzle.kind for puzzle in puzzles)),
    }


def _page(described: Mapping[str, Any], puzzles: Sequence[Puzzle]) -> str:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, autoescape=False)
    page = environment.from_string(_PAGE.read_text(encoding="utf-8"))
    return page.render(task=described, puzzles=puzzles) + "\n"
