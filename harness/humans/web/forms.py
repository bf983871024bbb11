"""What browsers send: forms of a bounded size, and the answers in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl

from harness.guards.printing import harmless
from harness.humans.answers import Choice, Explained, Levels, Mode, Payload, Picked, Rated
from harness.types import NeuroglossError

MOST_BYTES = 1 << 16
"""Bytes of a form."""
LONGEST = 1000
"""Characters of an explanation."""
_ID = re.compile(r"[A-Za-z0-9-]{8,64}")

Form = Mapping[str, str]


def parsed(body: bytes) -> Form:
    """Return the fields of a form.

    Raises:
        NeuroglossError: it is no form, or a field stands in it twice.
    """
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError as error:
        raise NeuroglossError(f"what was sent is no form ({error}).") from error
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise NeuroglossError("a field of the form was sent twice.")
    return fields


def answer_id(form: Form) -> str:
    """Return the id that a browser gave an answer.

    Raises:
        NeuroglossError: it is none.
    """
    key = form.get("id", "")
    if not _ID.fullmatch(key):
        raise NeuroglossError("the answer has no id of 8 to 64 letters, digits and hyphens; load the page again.")
    return key


class Extent(NamedTuple):
    """What a simulation is of: an excerpt of so many tokens, of which the first so many count in no score."""

    tokens: int = 0
    leading: int = 0


def payload(mode: Mode, form: Form, extent: Extent = Extent()) -> Payload:  # noqa: B008  # it is immutable
    """Return the answer in a form.

    Args:
        mode: what was asked.
        form: the fields.
        extent: of the excerpt that is simulated.

    Raises:
        NeuroglossError: something is missing or out of range, with what to do about it.
    """
    match mode:
        case Mode.EXPLAIN:
            return _explained(form)
        case Mode.RATE:
            choice = form.get("choice", "")
            if choice not in list(Choice):
                raise NeuroglossError("choose one of the four: left, right, both or neither.")
            return Rated(Choice(choice))
        case Mode.SIMULATE:
            return _levels(form, extent)
        case Mode.INTRUDER:
            return Picked(_number(form, "place", "choose the text that does not belong"))


def _explained(form: Form) -> Explained:
    text = "" if form.get("nothing") == "yes" else " ".join(harmless(form.get("text", "")).split())
    if not text and form.get("nothing") != "yes":
        raise NeuroglossError("write what the unit responds to, or say that you see no pattern.")
    if len(text) > LONGEST:
        raise NeuroglossError(f"the explanation has {len(text)} characters; {LONGEST} are allowed.")
    return Explained(text, _number(form, "confidence", "say how sure you are"))


def _levels(form: Form, extent: Extent) -> Levels:
    parts = form.get("levels", "").split(",")
    if len(parts) != extent.tokens or not all(re.fullmatch(r"\d{1,2}", part, re.ASCII) for part in parts):
        raise NeuroglossError("the levels of the text did not arrive whole; load the page again.")
    levels = [int(part) for part in parts]
    return Levels((0,) * extent.leading + tuple(levels[extent.leading :]))


def _number(form: Form, name: str, advice: str) -> int:
    value = form.get(name, "")
    if not re.fullmatch(r"\d{1,3}", value, re.ASCII):
        raise NeuroglossError(f"{advice}.")
    return int(value)
