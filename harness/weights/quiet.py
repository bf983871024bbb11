"""Transformers and the hub without progress bars, and their errors as one line."""

from __future__ import annotations

from transformers.utils import logging as transformers_logging


def quieten() -> None:
    """Turn off progress bars and warnings of transformers and the hub."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def first_line(error: Exception | str) -> str:
    """Return the first line of what an error says, or its class if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
