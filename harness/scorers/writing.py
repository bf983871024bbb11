"""What a writer writes of an explanation: texts that fit it, and near misses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from typing_extensions import Protocol, runtime_checkable

from harness.types import Identity


@dataclass(frozen=True, slots=True)
class Writing:
    """The texts of one explanation.

    Attributes:
        fitting: texts that fit it, each once.
        near: texts that share its topic or its form and should not fit, each once.
        problem: why there are none, where the writer gave none.
    """

    fitting: tuple[str, ...] = ()
    near: tuple[str, ...] = ()
    problem: str = ""


@runtime_checkable
class Writer(Protocol):
    """A way to write texts of an explanation. It sees the words of the explanation, and nothing of its unit."""

    @property
    def identity(self) -> Identity | None:
        """The model that writes; None if none is asked."""
        ...

    @property
    def version(self) -> str:
        """What the texts depend on beside the model: the writer's name, and a digest of its prompt or its words."""
        ...

    def write(self, explanations: Sequence[str], count: int) -> list[Writing]:
        """Write ``count`` texts of each kind for each explanation, in order; fewer where it cannot."""
        ...


def distinct(texts: Iterable[str], count: int) -> tuple[str, ...]:
    """Return at most ``count`` texts, each once without regard to case, in order."""
    firsts: dict[str, str] = {}
    for text in texts:
        firsts.setdefault(text.casefold(), text)
    return tuple(firsts.values())[:count]
