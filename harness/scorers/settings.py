"""Checks of settings that several scorers have."""

from __future__ import annotations

from harness.types import HIGHEST_LEVEL, NeuroglossError


def check_level(key: str, level: int) -> None:
    """Refuse a level that is none of 1 to the highest."""
    if not 1 <= level <= HIGHEST_LEVEL:
        raise NeuroglossError(f"{key} is {level}; write a level from 1 to {HIGHEST_LEVEL}.")


def check_share(key: str, share: float) -> None:
    """Refuse a share that is not between 0 and 1."""
    if not 0.0 <= share <= 1.0:
        raise NeuroglossError(f"{key} is {share}; it is a share, so write a number from 0 to 1.")
