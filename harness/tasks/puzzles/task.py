"""Frozen task of puzzles: a folder with its source, the compiled puzzles, and the digests of both.

``puzzles.yaml`` is the source; ``puzzles.json`` holds the puzzles in the public format
(:mod:`harness.tasks.puzzles.files`), with the levels that rules or marks give. Compiling the source again must give the
same digest.
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

from harness.guards import reading
from harness.tasks import frozen
from harness.tasks.puzzles import files, source
from harness.types import NeuroglossError, Puzzle, PuzzleTask

KIND = "puzzles"
SOURCE, PUZZLES, PAGE = "puzzles.yaml", "puzzles.json", "README.md"
ABOUT = (
    "Made-up neurons whose true explanation is known: a rule gives the level of every token. Each has four false "
    "explanations, most of them near misses. They tell which simulator can be trusted."
)
_PAGE = Path(__file__).with_name("readme.md")


def read(folder: Path) -> PuzzleTask:
    """Read a frozen task of puzzles and verify its digests.

    Raises:
        NeuroglossError: a file is missing, was changed or has the wrong layout.
    """
    description = frozen.read(folder)
    try:
        frozen.check_files(folder, description)
        name, digest, about = description["name"], description["digest"], description["description"]
    except KeyError as error:
        raise NeuroglossError(f"{folder} is not laid out as a task of puzzles: it lacks {error}.") from error
    return PuzzleTask(name, digest, files.read(folder / PUZZLES), about)


def read_file(path: Path) -> PuzzleTask:
    """Return a file in the public format as a task, named like the file; its digest is that of the file."""
    content = reading.bytes_of(path)
    puzzles = files.parsed(reading.parsed_json(reading.decoded(content, path, "JSON"), str(path)), str(path))
    return PuzzleTask(path.stem, hashlib.sha256(content).hexdigest(), puzzles, f"the puzzles of {path.name}")


def write(folder: Path, target: Path) -> str:
    """Compile the source in ``folder`` and freeze the result as a task in ``target``.

    Args:
        folder: folder with ``puzzles.yaml``; a ``README.md`` there replaces the generated one, and its first paragraph
            describes the task.
        target: a folder that does not exist; or ``folder`` itself, if it is not frozen yet.

    Returns:
        The digest of the task.

    Raises:
        NeuroglossError: the source is invalid, or the target is a task already.
    """
    puzzles = source.read(folder / SOURCE)
    if target.resolve() == folder.resolve():
        return _fill(target, folder, puzzles)
    with frozen.whole(target) as draft:
        return _fill(draft, folder, puzzles, target.name)


def digest(folder: Path) -> str:
    """Return the digest that compiling the source in ``folder`` gives; nothing is written there."""
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}-") as scratch:
        return _fill(Path(scratch), folder, source.read(folder / SOURCE), folder.name)


def _fill(target: Path, folder: Path, puzzles: Sequence[Puzzle], name: str = "") -> str:
    """Write every file of the task to ``target``, the description last: it turns the folder into a task."""
    if (target / frozen.DESCRIPTION).exists():
        raise NeuroglossError(f"{target} is a task already, and a task is never changed; write to a new folder.")
    page = reading.text_of(folder / PAGE) if (folder / PAGE).is_file() else ""
    description = _described(name or folder.name, _first_paragraph(page) or ABOUT, puzzles)
    (target / PUZZLES).write_text(files.dumped(puzzles), encoding="utf-8", newline="\n")
    if target != folder:
        shutil.copyfile(folder / SOURCE, target / SOURCE)
    (target / PAGE).write_text(page or _page(description, puzzles), encoding="utf-8", newline="\n")
    return str(frozen.seal(target, description, (PUZZLES, SOURCE, PAGE))["digest"])


def _first_paragraph(page: str) -> str:
    """Return the first paragraph of a Markdown page that is no heading, on one line; empty if there is none."""
    paragraphs = (paragraph for paragraph in page.split("\n\n") if not paragraph.lstrip().startswith("#"))
    return " ".join(next(paragraphs, "").split())


def _described(name: str, about: str, puzzles: Sequence[Puzzle]) -> dict[str, Any]:
    """Return the content of ``task.yaml`` without the digests, which need the files."""
    return {
        "schema": frozen.SCHEMA,
        "kind": KIND,
        "name": name,
        "description": about,
        "puzzles": len(puzzles),
        "classes": dict(Counter(puzzle.kind for puzzle in puzzles)),
    }


def _page(description: Mapping[str, Any], puzzles: Sequence[Puzzle]) -> str:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, autoescape=False)
    page = environment.from_string(_PAGE.read_text(encoding="utf-8"))
    return page.render(task=description, puzzles=puzzles) + "\n"
