"""Kinds of units in words, as the page of a task says what its units are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.types import Unit


@dataclass(frozen=True)
class Words:
    """A kind of unit in words.

    Attributes:
        noun: what one of them is called.
        definition: sentences that say what it is, and how it is written.
    """

    noun: str
    definition: str


_SIDE = """\
A neuron side is the {sign} part of one coordinate of the input of the down projection of an MLP: {formula}, where a is
the coordinate; L12N345{side} is that of coordinate 345 of layer 12, both counted from 0."""
_NEURON = """\
A neuron is one coordinate of the input of the down projection of an MLP; L12N345 is coordinate 345 of layer 12, both counted
from 0."""  # noqa: E501  # pages of frozen tasks have this line
_HEAD = """\
L12H3 is attention head 3 of layer 12, both counted from 0. Its activation at a token is the length of what it writes
into the residual stream from each token that it attends to, summed over these; the first position is left out, as a
token and as what is attended to."""
_LATENT = """\
L12S345 is latent 345 of a dictionary that reads layer 12, both counted from 0; task.yaml names the dictionary, and the
revision of the subject covers its files."""
_DIRECTION = """\
The activation of a direction is its dot product with one site of the model; task.yaml names the file and the site, and
the revision of the subject covers both."""
_GROUP = """\
The activation of a group is the weighted sum of the activations of its units; task.yaml names the file, and the
revision of the subject covers it."""

_KINDS = {
    "N": Words("neuron", _NEURON),
    "N+": Words("neuron side", _SIDE.format(sign="positive", formula="max(a, 0)", side="+")),
    "N-": Words("neuron side", _SIDE.format(sign="negative", formula="max(-a, 0)", side="-")),
    "H": Words("head", _HEAD),
    "S": Words("latent", _LATENT),
    "direction": Words("direction", _DIRECTION),
    "circuit": Words("group", _GROUP),
}
"""The kind of a unit -> its words."""
_OTHER = Words("unit", "A unit is a part of the subject, whose kind task.yaml names.")


def words(units: Sequence[Unit]) -> Words:
    """Return units of one kind in words; a plugin's kind is just units."""
    kinds = {unit.kind for unit in units}
    return _KINDS.get(kinds.pop(), _OTHER) if len(kinds) == 1 else _OTHER


def whereabouts(units: Sequence[Unit]) -> str:
    """Return in which layers units are, or what those are called that have names."""
    names = [unit.name for unit in units if unit.name]
    places = sorted({unit.place for unit in units if not unit.name})
    return f"in layers {places[0]} to {places[-1]}" if places else ", ".join(names)
