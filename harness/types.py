"""The vocabulary of the benchmark: the values that pass between stages, and the protocols that stages ask for.

Everything here is a plain, immutable value; nothing here imports another module of the package. The words are those of
Bills et al., "Language models can explain neurons in language models" (2023): a *subject* model's neuron is shown to an
*explainer* on *excerpts*, a *simulator* predicts its activations from the explanation alone, and the agreement is
*scored*.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class NeuroglossError(Exception):
    """A mistake or a condition that the user can mend: one sentence that says what is wrong, where, and what to do."""


def utf8(text: str) -> str:
    """``text`` with lone surrogates, which no file and no tokenizer takes, as U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def are_float32(values: Sequence[float]) -> bool:
    """Whether each of some numbers is a finite one in float32 as well."""
    with np.errstate(over="ignore"):
        return bool(np.isfinite(np.asarray(values, dtype=np.float32)).all())


# ------------------------------------------------------------------------------------------------- neurons and excerpts


@dataclass(frozen=True, slots=True, order=True)
class NeuronId:
    """One coordinate of the input of a layer's MLP down projection, both counted from 0. Written ``L12N345``."""

    layer: int
    index: int

    def __str__(self) -> str:
        return f"L{self.layer}N{self.index}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``L12N345``, ``12:345`` or ``12/345``; anything else is a :class:`NeuroglossError`."""
        match = re.fullmatch(r"\s*(?:L(\d{1,9})N(\d{1,9})|(\d{1,9})[:/](\d{1,9}))\s*", text)
        if match is None:
            raise NeuroglossError(f"{text!r} is not a neuron; write a layer and an index, for example L12N345.")
        layer, index = (group for group in match.groups() if group is not None)
        return cls(int(layer), int(index))


class ExcerptKind(StrEnum):
    """How an excerpt was chosen: among the neuron's largest maxima, uniformly among the rest of the corpus, or
    uniformly among the excerpts whose maximum lies between two quantiles."""

    TOP = "top"
    RANDOM = "random"
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
    """

    count: int
    mean: float
    variance: float
    skewness: float
    kurtosis: float
    fraction_active: float
    maximum: float


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
class NeuronRecord:
    """What a task holds of one neuron: top excerpts (largest maximum first), random excerpts, statistics.

    ``by_quantile`` has excerpts of each stratum of maxima, the lowest first, cut at ``quantile_boundaries``; both are
    empty where none were collected, and in imported records each can be by itself. They are dealt into no split, and
    may stand among the top or the random ones too.
    """

    neuron: NeuronId
    top: tuple[Excerpt, ...]
    random: tuple[Excerpt, ...]
    moments: Moments
    token_sums: TokenSums
    by_quantile: tuple[tuple[Excerpt, ...], ...] = ()
    quantile_boundaries: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Splits:
    """A record dealt into four disjoint sets: explain on ``train`` (top only), calibrate on ``calibration``, report on
    ``valid`` (top, then random), keep ``test`` for final claims."""

    train: tuple[Excerpt, ...]
    calibration: tuple[Excerpt, ...]
    valid: tuple[Excerpt, ...]
    test: tuple[Excerpt, ...]


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
    """

    name: str
    digest: str
    subject: Identity
    records: tuple[NeuronRecord, ...]
    excerpt_tokens: int
    leading: int
    description: str = ""

    @property
    def size(self) -> str:
        """How much it holds, in words."""
        return f"{len(self.records)} neurons"

    @property
    def contents(self) -> list[tuple[str, str]]:
        """The name of each neuron, and what there is of it."""
        return [
            (
                str(record.neuron),
                f"{len(record.top)} top and {len(record.random)} random excerpts, largest activation "
                f"{max((one.maximum for one in record.top), default=0.0):.3g}",
            )
            for record in self.records
        ]


# -------------------------------------------------------------------------------------------------------------- puzzles


@dataclass(frozen=True, slots=True)
class PuzzleText:
    """A text of a puzzle: its tokens, and the level of each, a whole number from 0 to 10 [tokens]."""

    tokens: tuple[str, ...]
    levels: tuple[int, ...]


class Falseness(StrEnum):
    """How a false explanation errs: it is nearly true, it has nothing to do with the puzzle, or nobody says which."""

    NEAR = "near"
    UNRELATED = "unrelated"
    UNSPECIFIED = "unspecified"


@dataclass(frozen=True, slots=True)
class Puzzle:
    """A made-up neuron whose explanation is known to be true, beside explanations that are known to be false.

    Attributes:
        key: what names it in its file.
        name: what people call it.
        explanation: the true one.
        texts: what it fires on, and what it does not.
        false_explanations: with how each is false.
        kind: the class of rule behind it (``lexical``, ``positional``, ...); empty where the file does not say.
        pair: the key of a puzzle of which it is a variant; empty where there is none.
    """

    key: str
    name: str
    explanation: str
    texts: tuple[PuzzleText, ...]
    false_explanations: tuple[tuple[Falseness, str], ...] = ()
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


@dataclass(frozen=True, slots=True)
class RivalScore:
    """What the simulator makes of one false explanation: its ``correlation`` with the puzzle's levels, NaN where the
    simulation is missing, and ``won``: 1 where the truth outscores it, 0 where not, one half for a tie, NaN where
    either is missing."""

    falseness: Falseness
    correlation: float
    won: float


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Tokens whose predicted level lies in one tenth of the scale: their number, and the sums of predicted and of
    actual levels, both as shares of the highest level."""

    tokens: int = 0
    predicted: float = 0.0
    actual: float = 0.0


@dataclass(frozen=True, slots=True)
class PuzzleScore:
    """How one simulator does on one puzzle.

    Attributes:
        puzzle: its key; ``kind`` its class.
        correlation, auroc, auprc: of the simulation given the true explanation, over all tokens of all texts pooled;
            NaN where it is missing, or (the latter two) where nothing or everything fires.
        margin: mean over the false explanations of truth's correlation minus theirs; NaN where there is none.
        degenerate: whether the correlation is 0 by convention, because one side is constant.
        rivals: one for each false explanation, in order.
        reliability: ten bins, from 0 to 1; none where the simulator gives no probabilities.
        tokens: of the puzzle's texts; ``missing_tokens`` of them have no simulation given the truth.
    """

    puzzle: str
    kind: str
    correlation: float
    auroc: float
    auprc: float
    margin: float
    degenerate: bool
    rivals: tuple[RivalScore, ...]
    reliability: tuple[ReliabilityBin, ...]
    tokens: int
    missing_tokens: int

    @property
    def figures(self) -> dict[str, float]:
        """The metrics that this puzzle has a value of, by the names of :mod:`harness.puzzles.summaries`."""
        found = {"correlation": self.correlation, "auroc": self.auroc, "auprc": self.auprc, "margin": self.margin}
        for falseness in Falseness:
            wins = [one.won for one in self.rivals if one.falseness is falseness and not math.isnan(one.won)]
            found[f"beats_{falseness}"] = math.fsum(wins) / len(wins) if wins else math.nan
        return {name: value for name, value in found.items() if not math.isnan(value)}


@dataclass(frozen=True, slots=True)
class PuzzleSummary:
    """A simulator's scores over the puzzles of one class, or over all of them where ``kind`` is empty.

    Attributes:
        metrics: name -> interval over the puzzles that have it; see :mod:`harness.puzzles.summaries`.
        calibration_error: of all tokens of its puzzles; NaN where the simulator gives no probabilities.
        puzzles: puzzles asked; ``scored`` of them have a correlation, ``degenerate`` of these are 0 by convention.
        missing_tokens: of all ``tokens``, those without a simulation given the truth.
    """

    kind: str
    metrics: Mapping[str, Interval]
    calibration_error: float
    puzzles: int
    scored: int
    degenerate: int
    tokens: int
    missing_tokens: int


# -------------------------------------------------------------------------------------------- explaining and simulating


class Outcome(StrEnum):
    """What became of a request. Anything but ``ok`` is counted as missing, by name, and is never a zero."""

    OK = "ok"
    EMPTY = "empty"
    REFUSED = "refused"
    TRUNCATED = "truncated"
    FAILED = "failed"
    NOT_COLLECTED = "not collected"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and dollars of the replies behind a value; ``stored`` counts replies that the store answered, free."""

    requests: int = 0
    stored: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.requests + other.requests,
            self.stored + other.stored,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.usd + other.usd,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            self.requests - other.requests,
            self.stored - other.stored,
            self.prompt_tokens - other.prompt_tokens,
            self.completion_tokens - other.completion_tokens,
            self.usd - other.usd,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """All that an explainer may know of a neuron: train excerpts, and corpus statistics cleared of valid and test."""

    neuron: NeuronId
    excerpts: tuple[Excerpt, ...]
    token_sums: TokenSums
    mean: float


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What a control may know, and no method: the ``excerpts`` that a neuron's explanation is simulated on."""

    neuron: NeuronId
    excerpts: tuple[Excerpt, ...]


class TableKey(StrEnum):
    """What a table is looked up by: a token's text, the text of the token after it, or its place in its excerpt."""

    TOKEN = "token"
    NEXT_TOKEN = "next token"
    PLACE = "place"

    def of(self, tokens: Sequence[str]) -> list[str | None]:
        """The key of each token of one excerpt [tokens]; None where it has none, as the last has no next token."""
        if self is TableKey.TOKEN:
            return list(tokens)
        if self is TableKey.NEXT_TOKEN:
            return [*tokens[1:], None] if tokens else []
        digest = content_digest(tokens)[:16]
        return [f"{digest}:{place}" for place in range(len(tokens))]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of several explanations of a neuron among which one is chosen; ``score`` is its correlation on calibration
    excerpts, None where it has none."""

    text: str
    outcome: Outcome = Outcome.OK
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What an explainer says of a neuron: a ``text``, or a ``table`` of activation by ``table_key`` (with ``default``
    for keys it does not have). ``outcome`` names why there is none; ``prompt_version`` is empty if no model was asked.
    ``candidates`` are all that it said, in order, where more than one was asked for. ``shown`` are the sources of the
    excerpts that its explainer was handed."""

    neuron: NeuronId
    explainer: str
    text: str = ""
    table: Mapping[str, float] | None = None
    default: float = 0.0
    outcome: Outcome = Outcome.OK
    prompt_version: str = ""
    annotator: str = ""
    usage: Usage = Usage()
    table_key: TableKey = TableKey.TOKEN
    candidates: tuple[Candidate, ...] = ()
    shown: tuple[str, ...] = ()

    @property
    def in_words(self) -> bool:
        """Whether there is anything for a reader to read."""
        return self.outcome is Outcome.OK and self.table is None and bool(self.text.strip())


@dataclass(frozen=True, slots=True)
class Query:
    """A question to a simulator: an explanation and the tokens of one excerpt. It never holds a real activation."""

    explanation: Explanation
    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Simulation:
    """A simulator's answer to a :class:`Query`.

    Attributes:
        expected: predicted activation of each token [tokens]; NaN where it is missing.
        probabilities: probability of each level at each token, renormalised [tokens][levels]; None for a table.
        mass: share of the model's probability that fell on levels, by token [tokens]: the coverage of the reading.
        units: ``levels`` (0..levels-1) or ``activations``.
        outcome: why the whole simulation is missing, where it is.
    """

    expected: tuple[float, ...]
    probabilities: tuple[tuple[float, ...], ...] | None = None
    mass: tuple[float, ...] | None = None
    units: str = "levels"
    outcome: Outcome = Outcome.OK
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class JudgeQuery:
    """A question to a judge: an explanation, the tokens of an excerpt, and which of them are marked. It never holds a
    real activation."""

    explanation: Explanation
    tokens: tuple[str, ...]
    marked: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judge's answer: the ``probability`` of yes, NaN where it gave none, and ``outcome`` says why."""

    probability: float
    outcome: Outcome = Outcome.OK
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class Judged:
    """A case that a judge was put: an excerpt, the tokens ``marked`` in it, and whether yes is right (``truth``)."""

    judge: str
    excerpt: Excerpt
    marked: tuple[int, ...]
    truth: bool
    judgement: Judgement


class CalibrationMethod(StrEnum):
    """How simulated units are mapped to activation units; see :mod:`harness.simulators.calibration`."""

    LINEAR = "linear"
    PERCENTILE = "percentile"
    ISOTONIC = "isotonic"


@dataclass(frozen=True, slots=True)
class Calibration:
    """Maps simulated units to activation units, and never what is simulated higher to something lower.

    Attributes:
        slope, intercept: of the line ``slope * simulated + intercept``, slope >= 0; NaN where the map is none.
        clipped: least squares asked for a negative slope, which would have flattered a bad simulation.
        method: how it was fitted.
        knots: of another map than a line, its corners (simulated, real) from left to right, by straight lines between
            them and flat beyond the outer ones.
    """

    slope: float = math.nan
    intercept: float = math.nan
    clipped: bool = False
    method: CalibrationMethod = CalibrationMethod.LINEAR
    knots: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class SimulatedExcerpt:
    """An excerpt and its simulation: ``split`` is ``calibration`` or ``valid``, ``calibrated`` in activation units."""

    split: str
    excerpt: Excerpt
    simulation: Simulation
    calibrated: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Scores:
    """One explanation's scores, by metric name; a metric that could not be computed is absent and named in ``missing``.

    Attributes:
        values: metric name -> score.
        degenerate: metrics for which an input was constant, so that the score is 0 by convention (method: Pearson).
        missing: metric name -> why it has no value.
        tokens: number of token positions that entered the scores.
        missing_tokens: number of scored positions for which the simulator gave nothing.
        judgements: number of cases that judges were put.
        missing_judgements: number of those to which they gave no answer.
    """

    values: Mapping[str, float]
    degenerate: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    tokens: int = 0
    missing_tokens: int = 0
    judgements: int = 0
    missing_judgements: int = 0


@dataclass(frozen=True, slots=True)
class ScoredExplanation:
    """One neuron under one explainer, from explanation to scores."""

    explanation: Explanation
    simulated: tuple[SimulatedExcerpt, ...]
    calibration: Calibration | None
    scores: Scores
    judged: tuple[Judged, ...] = ()


class Role(StrEnum):
    """What a row of the board stands for: a method under test, a person, or a control to read the others against."""

    EXPLAINER = "explainer"
    HUMAN = "human"
    FLOOR = "floor"
    CEILING = "ceiling"


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over neurons, or over puzzles, with the ends of its 95 % bootstrap interval and their number."""

    mean: float
    low: float
    high: float
    neurons: int


@dataclass(frozen=True, slots=True)
class Summary:
    """One row of a board: an explainer's scores over the neurons of a run.

    Attributes:
        explainer: its name in the config.
        role: what the row stands for.
        simulator: the simulator that scored it (a table is always scored by ``lookup``).
        metrics: metric name -> interval over the neurons that have it.
        neurons: neurons asked for; ``scored`` of them have the headline score; coverage = scored / neurons.
        degenerate: neurons whose headline is 0 by convention because an input was constant.
        outcomes: explanations by outcome.
        missing_tokens: scored positions for which the simulator gave nothing.
        explain_usage, simulate_usage, judge_usage: what the explanations, their simulations and judgements cost.
        judgements: cases that judges were put; ``missing_judgements`` of them got no answer.
    """

    explainer: str
    role: Role
    simulator: str
    metrics: Mapping[str, Interval]
    neurons: int
    scored: int
    degenerate: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    missing_tokens: int = 0
    explain_usage: Usage = Usage()
    simulate_usage: Usage = Usage()
    judge_usage: Usage = Usage()
    judgements: int = 0
    missing_judgements: int = 0

    @property
    def usage(self) -> Usage:
        """All that the row cost."""
        return self.explain_usage + self.simulate_usage + self.judge_usage

    @property
    def coverage(self) -> float:
        """Share of the neurons asked for that have a headline score."""
        return self.scored / self.neurons if self.neurons else 0.0


@dataclass(frozen=True, slots=True)
class RankRange:
    """The best and the worst rank (from 1) that a row can have."""

    best: int
    worst: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """How much higher ``first`` scores than ``second`` on the neurons that both have.

    Attributes:
        first, second: the names of two explainers.
        difference: the mean paired difference and its interval; ``neurons`` counts those that both have.
        p_value: of no difference, two-sided, by flipping signs; NaN with fewer than two neurons.
        corrected: the same, corrected for the number of comparisons on the board (Holm).
    """

    first: str
    second: str
    difference: Interval
    p_value: float
    corrected: float


@dataclass(frozen=True, slots=True)
class Standing:
    """How the rows of a board stand to each other by ``metric``.

    Attributes:
        metric: what the rows are compared by.
        by_layer: whether resamples drew whole layers.
        ranks: explainer -> the ranks that it can have, of those that are ranked, best first.
        comparisons: the ranked rows with each other, best first, then with the floors.
    """

    metric: str
    by_layer: bool
    ranks: Mapping[str, RankRange]
    comparisons: tuple[Comparison, ...]


# ------------------------------------------------------------------------------------------------------ language models


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation: ``role`` is ``system``, ``user`` or ``assistant``."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class CompletionPrompt:
    """A request for text. Sampling belongs to the request: every field enters the store's key.

    ``repeat`` tells apart several samples of one prompt; a temperature above 0 needs it.
    """

    messages: tuple[Message, ...]
    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0
    repeat: int = 0
    prompt_version: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's text, with what became of the request."""

    text: str
    outcome: Outcome = Outcome.OK
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class SlottedPrompt:
    """A conversation whose last, assistant turn is written by us and has slots in which a level is read.

    The assistant turn is ``parts[0] SLOT parts[1] SLOT ... parts[n-1] SLOT``: each part is the text before one slot, so
    a prompt has as many slots as parts. In the text after a slot, ``placeholder`` stands where the level would stand
    (the last slot ends the prompt). Slots are known by construction, never searched for in text.

    ``levels`` is how many levels 0..levels-1 are read; see :meth:`LanguageModel.levels`.
    """

    messages: tuple[Message, ...]
    parts: tuple[str, ...]
    placeholder: str
    levels: int
    prompt_version: str = ""


@dataclass(frozen=True, slots=True)
class LevelReading:
    """What a model gives at the slots of one prompt.

    Attributes:
        probabilities: renormalised over the levels seen [slots][levels]; all NaN at a slot where none was seen.
        mass: the total probability of the levels before renormalising [slots].
        seen: how many levels were among the returned ones [slots]; 0 is a missing slot, never a zero.
    """

    probabilities: tuple[tuple[float, ...], ...]
    mass: tuple[float, ...]
    seen: tuple[int, ...]
    outcome: Outcome = Outcome.OK
    usage: Usage = Usage()


@runtime_checkable
class LanguageModel(Protocol):
    """What explainers and simulators ask: replies in the order of the requests, from the store where it has them."""

    @property
    def identity(self) -> Identity:
        """Which model answers, and by which transport."""
        ...

    def levels(self) -> int:
        """11 (levels 0..10) where the model's tokenizer writes each level as one token in place, else 10 (0..9)."""
        ...

    def complete(self, prompts: Sequence[CompletionPrompt]) -> list[Completion]:
        """Answer each prompt with text."""
        ...

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> list[LevelReading]:
        """Read the distribution over the levels at every slot of each prompt."""
        ...


# ---------------------------------------------------------------------------------------------------------- the subject


@dataclass(frozen=True, slots=True)
class Replacement:
    """A request to a subject: replace one neuron's activation on the scored positions of one sequence.

    ``values`` has one entry for each token; the first ``leading`` positions keep their real activation.
    """

    neuron: NeuronId
    token_ids: tuple[int, ...]
    values: tuple[float, ...]
    leading: int = 0


@dataclass(frozen=True, slots=True)
class Effect:
    """What a replacement does to a subject's next-token distributions, averaged over the positions of the sequence.

    Attributes:
        divergence: the Jensen-Shannon divergence (nats) between the distributions with and without it.
        loss_change: next-token loss with it less that without it (nats), over the positions that have a next token; NaN
            where the sequence has one token.
    """

    divergence: float
    loss_change: float


@runtime_checkable
class Subject(Protocol):
    """A causal language model whose MLP neurons can be read and replaced."""

    @property
    def identity(self) -> Identity:
        """Which model, at which revision, in which number format."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """(layers, neurons in each layer)."""
        ...

    def activations(self, neuron: NeuronId, sequences: Sequence[tuple[int, ...]]) -> list[FloatArray]:
        """The neuron's activation on each token of each sequence [sequences][tokens]."""
        ...

    def effects(self, replacements: Sequence[Replacement]) -> Iterator[tuple[int, Effect]]:
        """For each replacement its index and what it does; yielded as they are computed, in any order."""
        ...


@dataclass(frozen=True, slots=True)
class TokenEffects:
    """What a neuron does to the next token: those that it makes likelier and those that it makes less likely, each a
    (text, effect), the largest effect of either sign first."""

    promoted: tuple[tuple[str, float], ...]
    suppressed: tuple[tuple[str, float], ...]


@runtime_checkable
class OpenSubject(Subject, Protocol):
    """A subject whose weights can be looked into, and whose tokenizer can be used."""

    def input_tokens(self, neuron: NeuronId, count: int) -> tuple[tuple[str, float], ...]:
        """The ``count`` tokens whose embedding excites the neuron most, each a (text, activation) above 0."""
        ...

    def output_tokens(self, neuron: NeuronId, count: int) -> TokenEffects:
        """The ``count`` tokens of either sign that the neuron's output direction points at (logit lens)."""
        ...

    def changed_tokens(self, replacements: Sequence[Replacement], count: int) -> TokenEffects:
        """The ``count`` tokens of either sign whose next-token log-probability the replacements change most, on the
        mean over all replaced positions."""
        ...

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of ``text``, with no token put before or after it."""
        ...

    def token_text(self, token_id: int) -> str:
        """The text of one token: what it adds to a text that goes on with it."""
        ...


# ----------------------------------------------------------------------------------------------------------- the stages


@runtime_checkable
class Explainer(Protocol):
    """A method that explains neurons. Its name on a board is its key in the config."""

    role: Role

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """One explanation for each neuron, in order; ``explainer`` is left empty and filled in by the pipeline."""
        ...


@runtime_checkable
class Knowing(Protocol):
    """A control that is told the truth where an explainer is shown evidence: a ceiling, and never a method."""

    role: Role

    def recall(self, truths: Sequence[Truth]) -> list[Explanation]:
        """One explanation for each neuron, in order, as of :meth:`Explainer.explain`."""
        ...


@runtime_checkable
class Simulator(Protocol):
    """A method that predicts activations from an explanation."""

    name: str

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        """One simulation for each query, in order."""
        ...


@runtime_checkable
class Judge(Protocol):
    """A method that answers yes or no about excerpts, given an explanation; ``name`` says which cases it is put."""

    name: str

    def judge(self, queries: Sequence[JudgeQuery]) -> list[Judgement]:
        """One judgement for each query, in order."""
        ...


Progress = Callable[[str, int, int], None]
"""Called as (what, done, total) whenever work of a stage is done."""
