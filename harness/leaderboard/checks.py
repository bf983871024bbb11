"""Checks of entries: the file ``checks/<task>/<run id>.json`` by which an entry is *verified*, and not *self-reported*.

It is written by whoever takes an entry in, after every score and every simulation of it was made again, and names the
bytes that were checked: an entry that is changed afterwards is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.typed_json import dump, from_json, read_json, to_json
from harness.types import NeuroglossError

MOST_BYTES = 1 << 20
SELF_REPORTED = "self-reported"


@dataclass(frozen=True, slots=True)
class Check:
    """What was made again of an entry, and where.

    Attributes:
        entry: SHA-256 of the file of the entry, which names that of its simulations.
        scores: how many were worked out again.
        simulations: how many were made again.
        largest: difference of a score.
        furthest: difference of a simulated value, in levels.
        provenance: of the code and the packages that did it.
    """

    entry: str
    scores: int
    simulations: int
    largest: float
    furthest: float
    provenance: Mapping[str, Any]

    @property
    def content(self) -> bytes:
        """The bytes of its file."""
        return dump(to_json(self, "check"), sort_keys=True)

    @property
    def id(self) -> str:
        """What it is called: the beginning of the SHA-256 of its file."""
        return hashlib.sha256(self.content).hexdigest()[:12]


def path_of(entry: Path) -> Path:
    """Return where the check of an entry is, which is ``entries/<task>/<run id>.json``."""
    return entry.parents[2] / "checks" / entry.parent.name / entry.name


def digest(entry: Path) -> str:
    """Return the SHA-256 of the file of an entry."""
    return hashlib.sha256(entry.read_bytes()).hexdigest()


def read(entry: Path) -> Check | None:
    """Return the check of an entry; None if nobody has checked it.

    Raises:
        NeuroglossError: it cannot be read, or is of other bytes than the entry has.
    """
    path = path_of(entry)
    if not path.exists():
        return None
    check: Check = from_json(Check, read_json(path, MOST_BYTES), str(path))
    if check.entry != digest(entry):
        raise NeuroglossError(
            f"{path} is the check of another entry than {entry} is now; remove it, or verify the entry again."
        )
    return check


def standing(entry: Path) -> str:
    """Return what an entry is: verified, by which check, or self-reported."""
    check = read(entry)
    return SELF_REPORTED if check is None else f"verified ({check.id})"
