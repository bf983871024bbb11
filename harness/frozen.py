"""Frozen folders: a description, the digest of every file, and a digest of both. What any task is kept in.

``task.yaml`` says what a task is, which ``kind`` of task (``neurons`` where it does not say), and the digest of each
file beside it; its own digest covers all of that. A folder is written whole or not at all, and checked when it is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from harness.types import NeuroglossError

SCHEMA = 1
"""Version of the layout of a task's folder."""
DESCRIPTION = "task.yaml"


class ExistsError(NeuroglossError):
    """There is something under the name that a task was to have."""


def read(folder: Path) -> dict[str, Any]:
    """The content of ``task.yaml``, whose own digest is checked; the files are not looked at.

    Raises:
        NeuroglossError: it cannot be read, it was changed, or another version of this package reads it.
    """
    path = folder / DESCRIPTION
    try:
        described = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise NeuroglossError(f"{path} cannot be read; {restore(path)}") from error
    if not isinstance(described, dict) or described.get("digest") != digest(described):
        raise NeuroglossError(f"{path} is not as it was published: its digest differs; {restore(path)}")
    if described.get("schema") != SCHEMA:
        raise NeuroglossError(
            f"{path} has layout {described.get('schema')}, and this version reads layout {SCHEMA}; update neurogloss."
        )
    return described


def check_files(folder: Path, described: Mapping[str, Any]) -> None:
    """Refuse a folder of which a file is missing or changed.

    Raises:
        NeuroglossError: naming the file.
    """
    for name, expected in described["files"].items():
        _check_file(folder / name, expected)


def seal(folder: Path, described: Mapping[str, Any], files: tuple[str, ...]) -> dict[str, Any]:
    """Write ``task.yaml`` over the files that stand in a folder; what it says is returned."""
    sealed = {**described, "files": {name: file_digest(folder / name) for name in files}}
    sealed["digest"] = digest(sealed)
    text = yaml.safe_dump(sealed, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    (folder / DESCRIPTION).write_text(text, encoding="utf-8", newline="\n")
    _sync(folder)
    return sealed


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """A draft folder that becomes ``folder`` at the end of the context, or vanishes where it ends otherwise.

    Raises:
        ExistsError: the folder exists, or another process has made it meanwhile.
        NeuroglossError: the disk is full.
    """
    _check_free(folder)
    draft = folder.with_name(f".{folder.name}.draft-{secrets.token_hex(8)}")
    try:
        draft.mkdir(parents=True)
        yield draft
        draft.rename(folder)
    except OSError as error:
        _check_free(folder)
        raise NeuroglossError(
            f"{folder} cannot be written ({error.strerror or error}); make room there and collect again, "
            "nothing was left behind."
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def restore(path: Path) -> str:
    """What to do about a file that is not as it was published."""
    return f"restore it, for example with `git checkout -- {path}`, or collect a new task under a new name."


def digest(described: Mapping[str, Any]) -> str:
    """The digest of a task: of all that ``task.yaml`` says, the digests of the files included."""
    content = {key: value for key, value in described.items() if key != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_free(folder: Path) -> None:
    if folder.exists():
        raise ExistsError(f"{folder} exists, and a task is never changed; choose a new name, such as the next -v<k>.")


def _check_file(path: Path, expected: str) -> None:
    try:
        found = file_digest(path)
    except OSError as error:
        raise NeuroglossError(f"{path} cannot be read ({error.strerror}); {restore(path)}") from error
    if found != expected:
        raise NeuroglossError(f"{path} is not as it was published: its digest differs; {restore(path)}")


def _sync(folder: Path) -> None:
    """Have the disk hold every file of a folder before the folder gets its name."""
    for path in folder.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
