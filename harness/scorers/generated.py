"""Generated texts as a scorer: a writer writes texts of an explanation, and the subject is run on them.

No simulator has a part in it. The figures are those of :mod:`harness.scores.generated`. They depend on the writer, and
the scorer's description names it by its model and version: figures by two writers are not compared.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from typing_extensions import Protocol, runtime_checkable

from harness.scorers.writing import Writer, Writing
from harness.scores.generated import FIGURES, Peaks, figures, is_list, scale_of, stretches
from harness.tasks.puzzles.records import KIND as PUZZLE
from harness.types import (
    WRITTEN,
    Excerpt,
    ExcerptKind,
    Heading,
    Identity,
    NeuroglossError,
    Record,
    Scored,
    ScorerInfo,
    Scores,
    SimulatedExplanation,
    Unit,
)
from harness.types.grouping import regrouped

HEADINGS = (
    Heading("generated", "gener.", "generated: AUROC against near misses"),
    Heading("generated_corpus", "corpus", "generated: AUROC against the corpus"),
    Heading("generated_mad", "MAD", "generated: mean difference over the largest activation"),
    Heading("generated_share", ">p99", "generated: share above the 99th percentile"),
)
Activations = tuple[float, ...]
"""A unit's activation on each token of a text [tokens], in the subject's units."""


@dataclass(frozen=True, slots=True)
class TextReading:
    """A request to a subject: the activation of a unit on each token of a text.

    Attributes:
        unit: which.
        text: is put into tokens by the subject's own tokenizer.
        opening: token ids that the subject reads before the text.
        leading: number of positions before the text if there is no ``opening``: as many line ends stand there.
        tokens: the text is cut after so many.
    """

    unit: Unit
    text: str
    opening: tuple[int, ...]
    leading: int
    tokens: int


@runtime_checkable
class ReadSubject(Protocol):
    """A subject that tells through the store how its units respond to texts."""

    @property
    def identity(self) -> Identity:
        """The identity of the model."""
        ...

    def activations_of(self, readings: Sequence[TextReading]) -> list[Activations]:
        """Return the activations on each text, in order; none at all if the subject is not to be asked."""
        ...


@dataclass(eq=False)
class Generated:
    """Scores each explanation by what its unit does on texts that a writer wrote of it.

    Attributes:
        writer: writes the texts; none of the explainers that are compared should.
        subject: the model that is run on them.
        texts: number of texts that fit, and of near misses, for each explanation.
        minimum: number of different texts of each kind below which an explanation has no score.
    """

    writer: Writer
    subject: ReadSubject
    texts: int = 10
    minimum: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.texts:
            raise NeuroglossError(
                f"scores.generated.minimum is {self.minimum}; write a number from 1 to scores.generated.texts, which "
                f"is {self.texts}."
            )

    def describe(self) -> ScorerInfo:
        """Return which scorer this is, and which writer its figures are by."""
        return ScorerInfo("generated", self.writer.identity, self.writer.version, HEADINGS, WRITTEN)

    def score(self, explanations: Sequence[SimulatedExplanation]) -> list[Scored]:
        """Score each explanation, in order; writer and subject are each asked about all of them in one call."""
        writings = self._writings(explanations)
        groups = [self._readings(explanation, writings) for explanation in explanations]
        flat = [reading for group in groups for reading in group]
        activations = self.subject.activations_of(flat)
        is_silent = bool(flat) and not activations
        responses = [[] for _ in groups] if is_silent else regrouped(activations, groups)
        return [
            Scored(self._scores(explanation, writings, response, is_silent))
            for explanation, response in zip(explanations, responses, strict=True)
        ]

    def _writings(self, explanations: Sequence[SimulatedExplanation]) -> dict[str, Writing]:
        """Return what the writer writes of each explanation in words, by its text."""
        texts = [item.explanation.text for item in explanations if item.explanation.in_words]
        distinct = list(dict.fromkeys(texts))
        return dict(zip(distinct, self.writer.write(distinct, self.texts), strict=True))

    def _readings(self, explanation: SimulatedExplanation, writings: Mapping[str, Writing]) -> list[TextReading]:
        """Return what the subject is asked about an explanation: its fitting texts, then its near misses."""
        if self._why_missing(explanation, writings):
            return []
        writing, record = writings[explanation.explanation.text], explanation.record
        excerpts = excerpts_of(record)
        leading = max(excerpt.leading for excerpt in excerpts)
        tokens = max(len(excerpt.tokens) for excerpt in excerpts) - leading
        opening = opening_of(excerpts)
        return [TextReading(record.unit, text, opening, leading, tokens) for text in (*writing.fitting, *writing.near)]

    def _why_missing(self, explanation: SimulatedExplanation, writings: Mapping[str, Writing]) -> str:
        """Return why an explanation has no figures; empty if it has some."""
        if not explanation.explanation.in_words:
            return "there are no words to write texts of"
        if explanation.record.unit.kind == PUZZLE:
            return "a puzzle has no subject that could be run on texts"
        writing = writings[explanation.explanation.text]
        counts = (len(writing.fitting), len(writing.near))
        if not writing.problem and min(counts) < self.minimum:
            return f"the writer wrote {counts[0]} different fitting texts and {counts[1]} near misses of {self.texts}"
        return writing.problem

    def _scores(
        self,
        explanation: SimulatedExplanation,
        writings: Mapping[str, Writing],
        response: Sequence[Activations],
        is_silent: bool,
    ) -> Scores:
        reason = self._why_missing(explanation, writings) or ("the subject was not asked" if is_silent else "")
        if not reason and not all(response):
            reason = "a text has no tokens"
        if reason:
            return Scores({}, missing=dict.fromkeys(FIGURES, reason))
        writing, record = writings[explanation.explanation.text], explanation.record
        boundaries = record.source.quantile_boundaries if record.source else ()
        values, missing = figures(
            _peaks(record, response, len(writing.fitting)), scale_of(excerpts_of(record), boundaries)
        )
        lists = [is_list(text, explanation.explanation.text) for text in writing.fitting]
        return Scores({**values, "generated_listed": sum(lists) / len(lists)}, missing=missing)


def excerpts_of(record: Record) -> tuple[Excerpt, ...]:
    """Return all excerpts of a unit, with their weights in the whole corpus."""
    if record.source is not None:
        return (*record.source.top, *record.source.random)
    splits = record.splits
    return (*splits.train, *splits.calibration, *splits.valid, *splits.test)


def opening_of(excerpts: Sequence[Excerpt]) -> tuple[int, ...]:
    """Return the token ids at the leading positions of excerpts if all share them, such as a start token; else none."""
    openings = {excerpt.token_ids[: excerpt.leading] for excerpt in excerpts}
    return openings.pop() if len(openings) == 1 else ()


def _peaks(record: Record, response: Sequence[Activations], fitting: int) -> Peaks:
    """Return the largest activation of each text, and of stretches of the random valid and test excerpts.

    A stretch is as long as the median text that fits.
    """
    maxima = tuple(map(max, response))
    length = round(statistics.median(map(len, response[:fitting])))
    random = [excerpt for excerpt in (*record.splits.valid, *record.splits.test) if excerpt.kind is ExcerptKind.RANDOM]
    return Peaks(maxima[:fitting], maxima[fitting:], stretches(random, length))
