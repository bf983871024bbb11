"""Sweeps: which jobs one has, how far each of them is, and the runs of those that are done.

A sweep leaves ``runs/sweeps/<name>/sweep.json``, whose name is a hash of its jobs: the same command is the same sweep.
What has become of a job is never written there. It is read from what runs leave: the folder of one that is done, the
record of one that has failed, and a mark that is locked for as long as the process of a job lives, wherever it runs.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from harness.files import point, safe_name, write_whole
from harness.guards.secrets import scrubbed
from harness.results.run import failure_path
from harness.results.tables import TABLES
from harness.typed_json import dump, from_json, read_json, to_json
from harness.types import NeuroglossError

NAME = "sweep.json"
SCHEMA_VERSION = 1
_MOST_BYTES = 1 << 26


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run leaves what it leaves: the folder of runs, and the hash of its config."""

    output: Path
    run_id: str

    @property
    def folder(self) -> Path | None:
        """The folder of the run, None if it is not done."""
        folders = self.output.glob(f"*-{self.run_id[:12]}")
        return next((folder for folder in sorted(folders) if _is_whole(folder)), None)

    @property
    def mark(self) -> Path:
        """The file that is locked while the run goes on, and gone when it has ended."""
        return self.output / "running" / safe_name(self.run_id)


class State(StrEnum):
    """What has become of a job; a killed one began and did not end, a waiting one has not begun."""

    DONE = "done"
    FAILED = "failed"
    RUNNING = "running"
    KILLED = "killed"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class SweptJob:
    """A job of a sweep.

    Attributes:
        label: the overrides that tell it from the others.
        run_id: the hash of its config.
        output: the folder of runs, relative to that of the sweep.
    """

    label: str
    run_id: str
    output: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep, as ``sweep.json`` holds it.

    Attributes:
        name: a hash of its jobs.
        created: when its command was first given, ISO 8601 in UTC.
        overrides: of its command.
        jobs: in the order of the sweep.
    """

    name: str
    created: str
    overrides: tuple[str, ...]
    jobs: tuple[SweptJob, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """A job and its state: with the folder of one that is done, and the sentence on one that has failed."""

    job: SweptJob
    state: State
    folder: Path | None = None
    sentence: str = ""


# ----------------------------------------------------------------------------------------------------------- the record


def begin(overrides: Sequence[str], labels: Sequence[str], places: Sequence[Place]) -> Path:
    """Write which jobs a sweep has, and return its folder; one that was begun before keeps when that was.

    Args:
        overrides: of the command.
        labels: of each job.
        places: of each job; the folder of runs of the first holds the sweep.

    Raises:
        NeuroglossError: it cannot be written.
    """
    name = name_of(places)
    folder = places[0].output / "sweeps" / name
    jobs = tuple(
        SweptJob(scrubbed(label), place.run_id, os.path.relpath(place.output, folder))
        for label, place in zip(labels, places, strict=True)
    )
    now = datetime.now(UTC).isoformat(timespec="seconds")
    created = read(folder).created if (folder / NAME).exists() else now
    sweep = Sweep(name, created, tuple(map(scrubbed, overrides)), jobs)
    try:
        write_whole(folder / NAME, dump({"schema_version": SCHEMA_VERSION, **to_json(sweep)}))
        point(folder.parent / "latest", name)
    except OSError as error:
        raise NeuroglossError(
            f"the sweep cannot be written to {folder} ({error.strerror or error}); set output=FOLDER."
        ) from error
    return folder


def name_of(places: Sequence[Place]) -> str:
    """Return the name of the sweep over some jobs: 12 hexadecimal digits."""
    jobs = [[place.run_id, str(place.output)] for place in places]
    return hashlib.sha256(json.dumps(jobs).encode()).hexdigest()[:12]


def read(folder: Path) -> Sweep:
    """Read the record of a sweep.

    Raises:
        NeuroglossError: there is none, it is damaged, or another version of this package wrote it.
    """
    path = folder / NAME
    if not path.is_file():
        raise NeuroglossError(
            f"{folder} holds no sweep; give the folder that `neurogloss run -m` named at its end, below runs/sweeps/."
        )
    document = read_json(path, _MOST_BYTES)
    version = document.pop("schema_version", None)
    if version != SCHEMA_VERSION:
        raise NeuroglossError(
            f"{path} is a sweep of schema version {version}, but this version reads {SCHEMA_VERSION}; give the command "
            "of the sweep again."
        )
    sweep: Sweep = from_json(Sweep, document, str(path))
    return sweep


# ------------------------------------------------------------------------------------------------------------ the state


@contextmanager
def running(place: Place) -> Iterator[None]:
    """Mark a run as one that goes on within the context; the mark of a process that is killed is known to be dead.

    Raises:
        NeuroglossError: the mark cannot be written.
    """
    try:
        place.mark.parent.mkdir(parents=True, exist_ok=True)
        mark = place.mark.open("ab")
    except OSError as error:
        raise NeuroglossError(
            f"{place.mark} cannot be written ({error.strerror or error}); set output=FOLDER."
        ) from error
    with mark:
        fcntl.flock(mark, fcntl.LOCK_SH)  # two processes may do the same run
        try:
            yield
        finally:
            place.mark.unlink(missing_ok=True)


def standings(folder: Path) -> list[Standing]:
    """Return the state of each job of a sweep, in order."""
    return [standing(job, Place(_resolved(folder, job.output), job.run_id)) for job in read(folder).jobs]


def standing(job: SweptJob, place: Place) -> Standing:
    """Return the state of a job."""
    if _is_locked(place.mark):
        return Standing(job, State.RUNNING)
    folder = place.folder
    if folder is not None:
        return Standing(job, State.DONE, folder)
    if place.mark.exists():
        return Standing(job, State.KILLED)
    record = failure_path(place.output, place.run_id)
    if record.is_file():
        return Standing(job, State.FAILED, sentence=str(read_json(record, _MOST_BYTES).get("sentence", "")))
    return Standing(job, State.WAITING)


def counts(jobs: Sequence[Standing]) -> str:
    """Return how many jobs are in each state that any is in, in words."""
    numbers = Counter(job.state for job in jobs)
    return ", ".join(f"{numbers[state]} {state}" for state in State if numbers[state])


def _resolved(folder: Path, output: str) -> Path:
    """Return a folder of runs as a sweep names it, in as few words as it can be reached by from here."""
    path = (folder.resolve() / output).resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _is_whole(folder: Path) -> bool:
    """Return whether a folder holds a run: it is written whole or not at all."""
    return all((folder / name).is_file() for name in ("results.json", *TABLES))


def _is_locked(mark: Path) -> bool:
    try:
        with mark.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
