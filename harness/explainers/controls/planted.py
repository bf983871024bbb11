"""The truth of planted neurons, or a near miss of it, from the file beside their model: a control, never a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.guards import reading
from harness.types import Explanation, NeuroglossError, Outcome, Role, Truth, Unit


@dataclass(eq=False)
class Planted:
    """Explainer that knows what was planted: the true explanation of each unit, or with ``near`` its first near miss.

    Attributes:
        path: ``truth.json`` of the planted model, or its folder.
        near: whether near misses are recalled.
    """

    path: str
    near: bool = False

    @property
    def role(self) -> Role:
        """A ceiling for truths; near misses are controls that are neither floor nor ceiling."""
        return Role.NULL if self.near else Role.CEILING

    def recall(self, truths: Sequence[Truth]) -> list[Explanation]:
        """Return one explanation for each unit, in order; a unit in which nothing was planted has none.

        Raises:
            NeuroglossError: the file cannot be read, or says nothing of any of the units.
        """
        texts = self._texts()
        if not any(str(truth.unit) in texts for truth in truths):
            raise NeuroglossError(
                f"{self._file} holds the truth of none of the units; name that of the task's subject."
            )
        return [_explanation(truth.unit, texts.get(str(truth.unit), "")) for truth in truths]

    @property
    def _file(self) -> Path:
        place = Path(self.path)
        return place / "truth.json" if place.is_dir() else place

    def _texts(self) -> Mapping[str, str]:
        """Return the text of each unit that the file names."""
        content = reading.json_of(self._file)
        planted = content.get("units") if isinstance(content, dict) else None
        if not isinstance(planted, dict):
            raise NeuroglossError(
                f"{self._file} holds no truths of planted neurons; name the one of `neurogloss plant`."
            )
        return {name: self._text(name, entry) for name, entry in planted.items()}

    def _text(self, name: str, entry: Any) -> str:
        """Return the truth of a unit or its first near miss; empty if it has none."""
        texts = [entry.get("truth"), *_list(entry.get("near"))] if isinstance(entry, dict) else [None]
        if not all(isinstance(text, str) for text in texts):
            raise NeuroglossError(f"{self._file} says of {name} what is no truth of a planted neuron; make it anew.")
        candidates = texts[1:] if self.near else texts
        return str(candidates[0]) if candidates else ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _explanation(unit: Unit, text: str) -> Explanation:
    return Explanation(unit, text=text) if text else Explanation(unit, outcome=Outcome.NOT_COLLECTED)
