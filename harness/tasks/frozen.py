"""Frozen folders of tasks: a description, the digest of every file, and a digest of both.

``task.yaml`` describes a task: its ``kind`` (``neurons`` if it is missing) and the digest of each file beside it. Its
own digest covers all of that. A folder is written completely or not at all, and checked when it is read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness import files
from harness.guards import reading
from harness.guards.printing import shortened
from harness.typed_json import from_json
from harness.types import NeuroglossError

SCHEMA = 1
"""Version of the layout of a task's folder."""
DESCRIPTION = "task.yaml"


class ExistsError(NeuroglossError):
    """Error for a new task whose folder exists already."""


def read(folder: Path) -> dict[str, Any]:
    """Return the content of ``task.yaml`` after a check of its own digest; the files are not checked.

    Raises:
        NeuroglossError: it cannot be read, was changed, or has the layout of another version of this package.
    """
    path = folder / DESCRIPTION
    try:
        described = reading.yaml_of(path)
    except NeuroglossError as error:
        raise NeuroglossError(f"{str(error).rstrip('.')}; {restore(path)}") from error
    if not isinstance(described, dict) or described.get("digest") != digest(described):
        raise NeuroglossError(f"{path} is not as it was published: its digest differs; {restore(path)}")
    if described.get("schema") != SCHEMA:
        raise NeuroglossError(
            f"{path} has layout {shortened(str(described.get('schema')))}, and this version reads layout {SCHEMA}; "
            "update neurogloss."
        )
    _check(from_json(Description, described, str(path)), bool(described.get("quantile_boundaries")), path)
    return described


@dataclass(frozen=True)
class Description:
    """What ``task.yaml`` says of any task.

    Attributes:
        name: of the task.
        description: a sentence for people.
        files: name -> digest of each file of the folder but ``task.yaml``.
        digest: of the rest.
        kind: ``neurons`` or ``puzzles``.
    """

    name: str
    description: str
    files: Mapping[str, str]
    digest: str
    kind: str = "neurons"


FILES = {
    "neurons": ("records.parquet", "tokens.parquet", "sums.parquet", "README.md"),
    "puzzles": ("puzzles.json", "puzzles.yaml", "README.md"),
}
"""The files of each kind of task."""
QUANTILES = "quantiles.parquet"
"""A further file of a task of units that has excerpts by quantile."""
_NAME = re.compile(r"[^\W_][\w.-]{0,79}")


def _check(description: Description, has_quantiles: bool, path: Path) -> None:
    """Refuse a description of an unknown kind, or one that leaves out a file that is opened or names another."""
    if description.kind not in FILES:
        kind = shortened(description.kind)
        raise NeuroglossError(f"{path} holds {kind}, and this version reads {', '.join(FILES)}; update neurogloss.")
    if not _NAME.fullmatch(description.name):
        raise NeuroglossError(f"{path} gives the name {shortened(repr(description.name))}, which no task has.")
    needed = {*FILES[description.kind], *([QUANTILES] if has_quantiles else [])}
    differing = sorted(needed ^ set(description.files))
    if differing:
        problem = "lacks the digest of" if differing[0] in needed else "names a file that no task has:"
        raise NeuroglossError(f"{path} {problem} {shortened(differing[0])}; {restore(path)}")


def check_files(folder: Path, described: Mapping[str, Any]) -> None:
    """Refuse a folder with a missing or changed file.

    Raises:
        NeuroglossError: a file is missing or changed; the message names it.
    """
    for name, expected in described["files"].items():
        _check_file(folder / name, expected)


def seal(folder: Path, described: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Write ``task.yaml`` with the digests of the files ``names`` of a folder, and return its content."""
    sealed = {**described, "files": {name: file_digest(folder / name) for name in names}}
    sealed["digest"] = digest(sealed)
    text = yaml.safe_dump(sealed, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    (folder / DESCRIPTION).write_text(text, encoding="utf-8", newline="\n")
    files.sync_tree(folder)
    return sealed


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """Yield a draft folder that is renamed to ``folder`` at the end of the context, or removed after an error.

    Raises:
        ExistsError: the folder exists, or another process has created it meanwhile.
        NeuroglossError: the folder cannot be written, for example because the disk is full.
    """
    _check_free(folder)
    try:
        with files.unfinished(folder) as draft:
            yield draft
            draft.rename(folder)
    except OSError as error:
        _check_free(folder)
        raise NeuroglossError(
            f"{folder} cannot be written ({error.strerror or error}); make room there and collect again, "
            "nothing was left behind."
        ) from error


def restore(path: Path) -> str:
    """Return the advice for a file that differs from its published version."""
    return f"restore it, for example with `git checkout -- {path}`, or collect a new task under a new name."


def digest(described: Mapping[str, Any]) -> str:
    """Return the digest of a task: SHA-256 of the content of ``task.yaml``, including the digests of the files."""
    content = {key: value for key, value in described.items() if key != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_free(folder: Path) -> None:
    if folder.exists():
        raise ExistsError(f"{folder} exists, and a task is never changed; choose a new name, such as the next -v<k>.")


def _check_file(path: Path, expected: str) -> None:
    try:
        actual = file_digest(path)
    except OSError as error:
        raise NeuroglossError(f"{path} cannot be read ({error.strerror}); {restore(path)}") from error
    if actual != expected:
        raise NeuroglossError(f"{path} is not as it was published: its digest differs; {restore(path)}")
