"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_PACKAGE = Path(__file__).resolve().parent
REPOSITORY = _PACKAGE.parent
"""The folder that holds the package; the repository's own where it runs from a clone."""
_DRAFT = re.compile(r"\..+\.[0-9a-f]{16}\.neurogloss\.tmp")
"""The names of the files and folders that are being written; what has another name was not written here, and stays."""
STALE_SECONDS = 3600.0
"""The age at which a temporary file can have no writer any more."""


def shipped(name: str) -> Path:
    """Return the folder of data that ships as ``name`` (``conf``, ``tasks``): the repository's own beside the package,
    else the wheel's copy."""
    beside = REPOSITORY / name
    return beside if (REPOSITORY / "pyproject.toml").is_file() and beside.is_dir() else _PACKAGE / "_data" / name


def safe_name(text: str) -> str:
    """``text`` as a file name: letters, digits, ``.``, ``_`` and ``-``, no leading dot, at most 80 characters.

    A name that had to be changed ends in a hash of the original, so that two names never share a file.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip(".-")[:80]
    if name and name == text:
        return name
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name[:71]}-{digest}" if name else digest


def write_whole(path: Path, content: bytes) -> None:
    """Write a file by way of a temporary one in the same folder, so that it is never seen half-written.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    with whole_file(path) as file:
        file.write(content)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a temporary file in the same folder, which takes the place of ``path`` when the context ends well.

    Several writers of one path do not meet; the last one to end has written it. Remains of writers that were killed
    are removed after an hour.

    Raises:
        OSError: it cannot be written; what was at ``path`` is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep_files(path)
    draft = _draft_of(path)
    try:
        with draft.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    _sync(path.parent)


def _draft_of(path: Path) -> Path:
    """Return a new path beside another, at which it is written."""
    return path.with_name(f".{path.name}.{os.urandom(8).hex()}.neurogloss.tmp")


def _sweep_files(path: Path) -> None:
    for remains in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with suppress(FileNotFoundError):  # its writer, or another sweep, was faster
            if _DRAFT.fullmatch(remains.name) and time.time() - remains.stat().st_mtime > STALE_SECONDS:
                remains.unlink()


@contextmanager
def unfinished(folder: Path) -> Iterator[Path]:
    """A new folder beside ``folder`` to build in, removed on any failure; remains of killed writers are swept away.

    Whatever those writers were building: a name is not always asked for twice. Each writer holds a lock on its own
    unfinished folder, which the system lets go when the writer dies.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for remains in folder.parent.iterdir():
        if _DRAFT.fullmatch(remains.name) and remains.is_dir() and not remains.is_symlink():
            _sweep(remains, though_empty=remains.name.startswith(f".{folder.name}."))
    draft, lock = _locked_draft(folder)
    try:
        yield draft
    finally:
        os.close(lock)
        if draft.exists():
            shutil.rmtree(draft)


def _locked_draft(folder: Path) -> tuple[Path, int]:
    """Return a new folder beside ``folder``, and the descriptor that locks it.

    Another writer may sweep it away between its making and its locking; then another one is made.
    """
    while True:
        draft = _draft_of(folder)
        draft.mkdir()
        try:
            lock = os.open(draft, os.O_RDONLY)
        except FileNotFoundError:
            continue
        fcntl.flock(lock, fcntl.LOCK_EX)
        if draft.exists():
            return draft, lock
        os.close(lock)


def _sweep(remains: Path, though_empty: bool) -> None:
    """Remove an unfinished folder whose writer is gone; one that is new and empty may have a writer without a lock."""
    try:
        lock = os.open(remains, os.O_RDONLY)
    except FileNotFoundError:  # another writer swept it first
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if though_empty or any(remains.iterdir()):
            shutil.rmtree(remains)
    except (BlockingIOError, FileNotFoundError):
        pass  # its writer is alive, or has ended
    finally:
        os.close(lock)


def put(draft: Path, folder: Path) -> None:
    """Rename ``draft`` to ``folder``; a folder that is there is set aside first, and removed last."""
    aside = set_aside(folder)
    if aside.exists() and not folder.exists():  # a writer was killed between its two renames
        aside.rename(folder)
    if aside.exists():
        shutil.rmtree(aside)
    if folder.exists():
        folder.rename(aside)
    draft.rename(folder)
    _sync(folder.parent)
    if aside.exists():
        shutil.rmtree(aside)


def set_aside(folder: Path) -> Path:
    """Return where a folder stands while another takes its place."""
    return folder.with_name(f".{folder.name}.neurogloss.old")


def point(link: Path, target: str) -> None:
    """Make ``link`` a symbolic link to ``target``, in one step.

    Raises:
        OSError: something that is no link stands there, or it cannot be made.
    """
    if link.exists() and not link.is_symlink():
        raise FileExistsError(errno.EEXIST, "something that is no link of ours stands there", str(link))
    draft = _draft_of(link)
    draft.symlink_to(target)
    try:
        draft.replace(link)
    finally:
        draft.unlink(missing_ok=True)


def sync_tree(folder: Path) -> None:
    """Bring every file below ``folder``, and the folders themselves, to disk."""
    for path in sorted(folder.rglob("*")):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
