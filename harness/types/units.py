"""Units, excerpts, records and tasks."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import total_ordering
from typing import Self

import numpy as np
import numpy.typing as npt

from harness.types.errors import NeuroglossError

FloatArray = npt.NDArray[np.float64]

HIGHEST_LEVEL = 10
"""The highest level of an activation; explainers are shown, simulators predict, and puzzles hold levels from 0 on."""


def are_float32(values: Sequence[float]) -> bool:
    """Whether each of some numbers is a finite one in float32 as well."""
    with np.errstate(over="ignore"):
        return bool(np.isfinite(np.asarray(values, dtype=np.float32)).all())


@total_ordering
@dataclass(frozen=True, slots=True)
class Unit:
    """A part of a subject that is explained, or a puzzle that stands in the place of one.

    Attributes:
        kind: the capital letters of its kind (``N``: one coordinate of the input of a layer's MLP down projection),
            with a sign where it is one side of such a unit (``N-``), or a word for units that have names (``puzzle``).
        place: the layer, counted from 0.
        index: the coordinate within its place, counted from 0.
        name: of a unit that has no place, and then 0 for both of these; empty for all others.

    It is written ``L12N345``, ``L12N345-`` for one side of it, or ``puzzle:NAME``. Each side has a name of its own, for
    its activation is another: ``L12N345`` is negative where ``L12N345-`` is positive. Units are in the order of their
    kinds, places and indices, and the sides of one stand side by side.
    """

    kind: str
    place: int = 0
    index: int = 0
    name: str = ""

    def __str__(self) -> str:
        letters = self.kind.rstrip("+-")
        return f"{self.kind}:{self.name}" if self.name else f"L{self.place}{letters}{self.index}{self.side}"

    def __lt__(self, other: Unit) -> bool:
        return self._order < other._order

    @property
    def _order(self) -> tuple[str, int, int, str, str]:
        return (self.kind.rstrip("+-"), self.place, self.index, self.name, self.side)

    @property
    def side(self) -> str:
        """``+`` or ``-`` for one side of a unit; empty for a whole one."""
        return self.kind[len(self.kind.rstrip("+-")) :]

    @property
    def as_released(self) -> Unit:
        """The unit by whose name others explain this one: the positive side of a neuron is what they explain of it.

        The negative side is itself, which nobody else names.
        """
        return Unit("N", self.place, self.index) if self.kind == "N+" else self

    @property
    def is_puzzle(self) -> bool:
        """Whether it stands in the place of a unit, and is of no subject."""
        return self.kind == "puzzle"

    @property
    def group(self) -> str:
        """The units that are alike, and drawn together where whole groups are resampled: those of one place."""
        return str(self) if self.name else f"L{self.place}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a unit as it is written; ``12:345`` and ``12/345`` are neurons too.

        Raises:
            NeuroglossError: the text is no unit.
        """
        numbered = re.fullmatch(r"\s*(?:L(\d{1,9})([A-Z]+)|(\d{1,9})[:/])(\d{1,9})([+-]?)\s*", text)
        if numbered is not None:
            place, kind, bare_place, index, side = numbered.groups()
            return cls((kind or "N") + side, int(place or bare_place), int(index))
        named = re.fullmatch(r"\s*([a-z]+):(\S(?:.*\S)?)\s*", text)
        if named is None:
            raise NeuroglossError(f"{text!r} is not a unit; write a layer, a kind and an index, for example L12N345.")
        return cls(named[1], name=named[2])


class ExcerptKind(StrEnum):
    """How an excerpt was chosen: among the neuron's largest maxima, uniformly among the rest of the corpus, as one that
    holds tokens on which the neuron fires elsewhere and on which it does not fire here, or uniformly among the excerpts
    whose maximum lies between two quantiles."""

    TOP = "top"
    RANDOM = "random"
    HARD = "hard"
    QUANTILE = "quantile"


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Consecutive tokens of one document and a neuron's activation on each.

    Attributes:
        tokens: the text of each token: what it adds to a text that goes on with it (a byte fragment is U+FFFD).
        token_ids: the subject's ids of the same tokens; empty where a record was imported without them.
        activations: the real activation on each token, float32 values in the subject's units.
        kind: how the excerpt was chosen.
        weight: inverse of its inclusion probability, so that weighted sums estimate sums over the whole corpus.
        source: where it came from, ``document:first token``.
        leading: number of first positions left out of ranking, display and scoring: the first position of a sequence
            often carries a huge activation that says nothing about the text.
    """

    tokens: tuple[str, ...]
    token_ids: tuple[int, ...]
    activations: tuple[float, ...]
    kind: ExcerptKind
    weight: float = 1.0
    source: str = ""
    leading: int = 0

    def __post_init__(self) -> None:
        if len(self.tokens) != len(self.activations):
            raise NeuroglossError(
                f"excerpt {self.source or '?'} has {len(self.tokens)} tokens but {len(self.activations)} activations; "
                "each token needs exactly one."
            )
        if self.token_ids and len(self.token_ids) != len(self.tokens):
            raise NeuroglossError(
                f"excerpt {self.source or '?'} has {len(self.tokens)} tokens but {len(self.token_ids)} token ids."
            )
        if not are_float32(self.activations):
            raise NeuroglossError(
                f"excerpt {self.source or '?'} holds an activation that is not a finite number in float32; collect it, "
                "or fetch it, again."
            )

    @property
    def scored(self) -> slice:
        """The positions that count: all but the leading ones."""
        return slice(self.leading, len(self.tokens))

    @property
    def maximum(self) -> float:
        """The largest activation over the scored positions (0 where there are none)."""
        return max(self.activations[self.scored], default=0.0)

    @property
    def digest(self) -> str:
        """A hash of the content (the tokens), by which two excerpts are the same."""
        return content_digest(self.tokens)


def content_digest(tokens: Iterable[str]) -> str:
    """A hash of the texts of some tokens, in hexadecimal."""
    return hashlib.sha256("\x00".join(tokens).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Moments:
    """A neuron's activation over every scored position of the corpus.

    ``kurtosis`` is the fourth standardised moment (3 for a normal); ``fraction_active`` the share of positions above 0.
    ``positive_share`` is the sum of activations above 0 over that of absolute ones: the part that the positive side of
    the neuron has, of which the negative one has the rest; None where the activation has one side, or nobody counted.
    """

    count: int
    mean: float
    variance: float
    skewness: float
    kurtosis: float
    fraction_active: float
    maximum: float
    positive_share: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TokenSums:
    """Sums of a neuron's activation by token over the corpus, from which means by token follow.

    Attributes:
        tokens: distinct token texts [tokens]; one tuple is shared by all neurons of a task.
        counts: how often each token stands at a scored position of the corpus [tokens]; shared likewise.
        sums: the sum of the neuron's activations at those positions [tokens].
    """

    tokens: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    sums: FloatArray

    def without(self, excerpts: Iterable[Excerpt]) -> TokenSums:
        """The same sums as if ``excerpts``, each counted once, had not been in the corpus: what a fair lookup uses."""
        position = {token: index for index, token in enumerate(self.tokens)}
        counts, sums = self.counts.copy(), self.sums.copy()
        for excerpt in excerpts:
            for token, activation in zip(
                excerpt.tokens[excerpt.scored], excerpt.activations[excerpt.scored], strict=True
            ):
                index = position.get(token)
                if index is not None:
                    counts[index] -= 1
                    sums[index] -= activation
        return TokenSums(self.tokens, counts, sums)

    def means(self, minimum_count: int = 1) -> dict[str, float]:
        """Mean activation of each token seen at least ``minimum_count`` times, largest first, ties by text."""
        seen = np.flatnonzero(self.counts >= max(1, minimum_count))
        pairs = [(self.tokens[i], float(self.sums[i] / self.counts[i])) for i in seen]
        return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


@dataclass(frozen=True, slots=True, eq=False)
class UnitRecord:
    """A unit as a collection leaves it: top excerpts (largest maximum first), random excerpts, statistics.

    ``hard`` has excerpts with the unit's most confusable tokens, the hardest first; it is empty if none were collected.
    ``by_quantile`` has excerpts of each stratum of maxima, the lowest first, cut at ``quantile_boundaries``; both are
    empty if none were collected, and in imported records each can be by itself. They are dealt into no split, and
    may stand among the top or the random ones too.
    """

    unit: Unit
    top: tuple[Excerpt, ...]
    random: tuple[Excerpt, ...]
    moments: Moments
    token_sums: TokenSums
    by_quantile: tuple[tuple[Excerpt, ...], ...] = ()
    quantile_boundaries: tuple[float, ...] = ()
    hard: tuple[Excerpt, ...] = ()


@dataclass(frozen=True, slots=True)
class Splits:
    """Excerpts dealt into four disjoint sets: explain on ``train`` (top only), calibrate on ``calibration``, report on
    ``valid`` (top, then random, then hard), keep ``test`` for final claims."""

    train: tuple[Excerpt, ...]
    calibration: tuple[Excerpt, ...]
    valid: tuple[Excerpt, ...]
    test: tuple[Excerpt, ...]


class Validity(StrEnum):
    """What is known of a told explanation: it is true, nearly true, about something else, or false in a way that nobody
    says."""

    TRUE = "true"
    NEAR = "near"
    UNRELATED = "unrelated"
    UNSPECIFIED = "unspecified"


@dataclass(frozen=True, slots=True)
class ToldExplanation:
    """An explanation that comes with a unit, and what is known of it."""

    validity: Validity
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A unit as a run sees it: its excerpts, dealt once, and what may be known of it.

    Attributes:
        unit: which.
        splits: its excerpts, dealt.
        shown: the excerpts that explainers are shown, the strongest first.
        token_sums: sums by token that explainers may know; nothing of them comes from a valid or a test excerpt.
        mean: the unit's mean activation as explainers may know it, cleared likewise.
        corpus_mean: its mean activation over the whole corpus, by which it is silenced.
        told: the explanations that come with it, the true one first; only puzzles have any.
        category: the class of rule behind a puzzle (``lexical``, ``positional``, ...); empty if there is none.
        source: the record as it was collected; None for a puzzle.
    """

    unit: Unit
    splits: Splits
    shown: tuple[Excerpt, ...]
    token_sums: TokenSums
    mean: float
    corpus_mean: float
    told: tuple[ToldExplanation, ...] = ()
    category: str = ""
    source: UnitRecord | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Which model, exactly: ``name`` as configured, ``revision`` a content digest or hub commit, and how it is run.

    Every field can change a reply, so every field is part of the store's key.
    """

    name: str
    revision: str
    backend: str = "transformers"
    dtype: str = ""
    base_url: str = ""
    transport: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A frozen set of neurons and excerpts: what every explainer on a board is measured on.

    ``digest`` covers every file of the task and is checked on reading; ``subject`` is the model that was recorded.
    ``records`` may be more than memory holds: they are read when they are asked for, and ``units`` says whose they are.
    """

    name: str
    digest: str
    subject: Identity
    records: Sequence[UnitRecord]
    excerpt_tokens: int
    leading: int
    description: str = ""

    @property
    def units(self) -> tuple[Unit, ...]:
        """Its units, in order."""
        units: tuple[Unit, ...] | None = getattr(self.records, "units", None)
        return tuple(record.unit for record in self.records) if units is None else units

    @property
    def size(self) -> str:
        """How much it holds, in words."""
        return f"{len(self.records)} units"

    @property
    def contents(self) -> list[tuple[str, str]]:
        """The name of each neuron, and what there is of it."""
        return [
            (
                str(record.unit),
                f"{len(record.top)} top and {len(record.random)} random excerpts, largest activation "
                f"{max((one.maximum for one in record.top), default=0.0):.3g}",
            )
            for record in self.records
        ]


@dataclass(frozen=True, slots=True)
class PuzzleText:
    """A text of a puzzle: its tokens, and the level of each, a whole number from 0 to 10 [tokens]."""

    tokens: tuple[str, ...]
    levels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Puzzle:
    """A made-up neuron whose explanation is known to be true, beside explanations that are known to be false.

    Attributes:
        key: what names it in its file.
        name: what people call it.
        explanation: the true one.
        texts: what it fires on, and what it does not.
        false_explanations: with what is known of each.
        kind: the class of rule behind it (``lexical``, ``positional``, ...); empty where the file does not say.
        pair: the key of a puzzle of which it is a variant; empty where there is none.
    """

    key: str
    name: str
    explanation: str
    texts: tuple[PuzzleText, ...]
    false_explanations: tuple[ToldExplanation, ...] = ()
    kind: str = ""
    pair: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class PuzzleTask:
    """A frozen set of puzzles: what every simulator on a board is measured on. ``digest`` is as that of a
    :class:`Task`, or that of the one file that they were read from."""

    name: str
    digest: str
    puzzles: tuple[Puzzle, ...]
    description: str = ""

    @property
    def size(self) -> str:
        """How much it holds, in words."""
        return f"{len(self.puzzles)} puzzles"

    @property
    def contents(self) -> list[tuple[str, str]]:
        """The name of each puzzle, and what it is."""
        return [
            (puzzle.key, f"{puzzle.kind or 'no class'}, {len(puzzle.texts)} texts: {puzzle.explanation}")
            for puzzle in self.puzzles
        ]
