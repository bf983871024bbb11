"""Worked examples of explanations: made-up neurons, of which each prompt is dealt a few of its own.

A weak model repeats the examples that it is shown. Where all units share them, such copies look like explanations, and
some are even true. So the examples of each unit are drawn from a pool, by the unit's name alone. An entry of a pool has
``texts``, in which ``{TOKEN=LEVEL}`` is one token with its level, and the ``explanation`` of them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.types import Evidence, Excerpt, ExcerptKind, TokenSums, Unit

_PIECE = re.compile(r"\{(?P<token>[^{}]+)=(?P<level>\d+)\}|(?P<silent> ?\w+| ?[^\w\s{}]|\s)")
_NO_SUMS = TokenSums((), np.zeros(0, dtype=np.int64), np.zeros(0))


@dataclass(frozen=True)
class WorkedNeuron:
    """Made-up neuron: all that an explainer would know of it, and the explanation that it should give."""

    evidence: Evidence
    explanation: str


def deal(pool: Sequence[Mapping[str, Any]], count: int, unit: Unit, draw: int) -> list[WorkedNeuron]:
    """Return ``count`` different entries of a pool: the same for the same unit and draw, whatever else is explained."""
    return [_worked(entry) for entry in random.Random(f"{unit} {draw}").sample(pool, count)]


def _worked(entry: Mapping[str, Any]) -> WorkedNeuron:
    excerpts = tuple(map(_excerpt, entry["texts"]))
    return WorkedNeuron(Evidence(Unit("worked", name="example"), excerpts, _NO_SUMS, mean=0.0), entry["explanation"])


def _excerpt(text: str) -> Excerpt:
    """Return a text of an entry as an excerpt; a level stands for an activation."""
    pieces = list(_PIECE.finditer(text))
    return Excerpt(
        tokens=tuple(piece["token"] or piece["silent"] for piece in pieces),
        token_ids=(),
        activations=tuple(float(piece["level"] or 0) for piece in pieces),
        kind=ExcerptKind.TOP,
    )
