"""Checks of settings that several scorers have."""

from __future__ import annotations

from harness.types import HIGHEST_LEVEL, NeuroglossError

SPLITS = ("test", "valid")
"""The splits that may be judged: nothing of them was explained or calibrated on."""


def check_level(key: str, level: int) -> None:
    """Refuse a level that is none of 1 to the highest."""
    if not 1 <= level <= HIGHEST_LEVEL:
        raise NeuroglossError(f"{key} is {level}; write a level from 1 to {HIGHEST_LEVEL}.")


def check_share(key: str, share: float) -> None:
    """Refuse a share that is not between 0 and 1."""
    if not 0.0 <= share <= 1.0:
        raise NeuroglossError(f"{key} is {share}; it is a share, so write a number from 0 to 1.")


def check_judging(name: str, split: str, level: int, maximum_missing: float) -> None:
    """Refuse settings of a judge that are none: ``name`` is its key among the scores."""
    if split not in SPLITS:
        raise NeuroglossError(
            f"scores.{name}.split is {split!r}; write {' or '.join(SPLITS)}: what was explained or calibrated on is "
            "never judged."
        )
    check_level(f"scores.{name}.level", level)
    check_share(f"scores.{name}.maximum_missing", maximum_missing)
