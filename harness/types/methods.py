"""Explanations, simulations, judgements and scores, and the protocols of the methods that make them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from typing_extensions import Protocol, runtime_checkable

from harness.types.units import Excerpt, Identity, Record, TokenSums, ToldExplanation, Unit, content_digest


class Outcome(StrEnum):
    """What became of a request. Anything but ``ok`` is counted as missing, by name, and is never a zero.

    ``copied`` is a reply that repeats an example of its own prompt.
    """

    OK = "ok"
    EMPTY = "empty"
    REFUSED = "refused"
    TRUNCATED = "truncated"
    FAILED = "failed"
    NOT_COLLECTED = "not collected"
    COPIED = "copied"


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

    unit: Unit
    excerpts: tuple[Excerpt, ...]
    token_sums: TokenSums
    mean: float


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What a control may know, and no method: the ``excerpts`` that a unit's explanation is simulated on, and the
    explanations that come with the unit."""

    unit: Unit
    excerpts: tuple[Excerpt, ...]
    told: tuple[ToldExplanation, ...] = ()


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
    """An explanation of a unit, in words or as a table.

    Attributes:
        unit: which.
        text: the words; empty for a table.
        table: activation by key, in place of words.
        default: the activation of keys that the table does not have.
        outcome: why there is no explanation, where there is none.
        prompt_version: of the prompt that a model was asked by; empty if none was asked.
        annotator: the person who wrote it; empty for a method.
        usage: what it cost.
        table_key: what the table is looked up by.
        candidates: all that a model replied, in order, where more than one reply was asked for.
        shown: the sources of the excerpts that its explainer was handed; filled in by the pipeline.
        explainer: the name of its explainer on the board; filled in by the pipeline.
    """

    unit: Unit
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
    explainer: str = ""

    @property
    def in_words(self) -> bool:
        """Whether there are words to read."""
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
        probabilities: probability of each level at each token, renormalised [tokens, levels]; None for a table.
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
        error: standard error over excerpts of a line's slope, by which that was shrunk; NaN if it was not.
    """

    slope: float = math.nan
    intercept: float = math.nan
    clipped: bool = False
    method: CalibrationMethod = CalibrationMethod.LINEAR
    knots: tuple[tuple[float, ...], ...] = ()
    error: float = math.nan


@dataclass(frozen=True, slots=True)
class SimulatedExcerpt:
    """An excerpt and its simulation: ``split`` is ``calibration`` or ``valid``, ``calibrated`` in activation units."""

    split: str
    excerpt: Excerpt
    simulation: Simulation
    calibrated: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Tokens whose predicted level lies in one tenth of the scale: their number, and the sums of predicted and of
    actual levels, both as shares of the highest level."""

    tokens: int = 0
    predicted: float = 0.0
    actual: float = 0.0


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
        reliability: bins of predicted levels, of a told truth under a simulator that gives probabilities.
    """

    values: Mapping[str, float]
    degenerate: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    tokens: int = 0
    missing_tokens: int = 0
    judgements: int = 0
    missing_judgements: int = 0
    reliability: tuple[ReliabilityBin, ...] = ()

    def joined(self, other: Scores) -> Scores:
        """The scores of two scorers together; tokens are counted by the one that counts any."""
        return Scores(
            {**self.values, **other.values},
            (*self.degenerate, *other.degenerate),
            {**self.missing, **other.missing},
            self.tokens or other.tokens,
            self.missing_tokens or other.missing_tokens,
            self.judgements + other.judgements,
            self.missing_judgements + other.missing_judgements,
            self.reliability or other.reliability,
        )


@dataclass(frozen=True, slots=True)
class ScoredExplanation:
    """One unit under one row of a board, from explanation to scores; ``simulator`` is the one that was asked, or
    ``lookup`` for a table. What its simulations and judgements cost stands here too, as they are not kept for long."""

    explanation: Explanation
    simulator: str
    simulated: tuple[SimulatedExcerpt, ...]
    calibration: Calibration | None
    scores: Scores
    judged: tuple[Judged, ...] = ()
    simulate_usage: Usage = Usage()
    judge_usage: Usage = Usage()

    @property
    def unit(self) -> Unit:
        """The unit that is explained."""
        return self.explanation.unit


class Role(StrEnum):
    """What a row of the board stands for: a method under test, a person, a control to read the others against (a table
    is a method without words), or the explanations that come with a unit."""

    EXPLAINER = "explainer"
    HUMAN = "human"
    FLOOR = "floor"
    CEILING = "ceiling"
    TABLE = "without words"
    NULL = "null"
    TOLD = "told"


@runtime_checkable
class Explainer(Protocol):
    """A method that explains units. Its name on a board is its key in the config."""

    role: Role

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """Explain each unit, in order; several explanations of one stand side by side."""
        ...


@runtime_checkable
class Knowing(Protocol):
    """A control that is told the truth where an explainer is shown evidence: a ceiling, and never a method."""

    role: Role

    def recall(self, truths: Sequence[Truth]) -> list[Explanation]:
        """Explain each unit, in order, as :meth:`Explainer.explain` does."""
        ...


@dataclass(frozen=True, slots=True)
class SimulatorInfo:
    """A simulator of a run, exactly.

    Attributes:
        name: its key in the config.
        identity: of the model that it asks; None if it asks none.
        transport: how levels are read.
        levels: how many of them are read; 0 without a model.
        prompt_version: of the prompt that it asks by; empty if there is none.
        note: what a reader must know before trusting it; boards print it.
        control: whether it stands on the board only to read the others against.
    """

    name: str
    identity: Identity | None = None
    transport: str = ""
    levels: int = 0
    prompt_version: str = ""
    note: str = ""
    control: bool = False


@runtime_checkable
class Simulator(Protocol):
    """A method that predicts activations from an explanation."""

    def describe(self) -> SimulatorInfo:
        """Return which simulator this is: all by which its scores can be compared with others'."""
        ...

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        """Answer each query, in order."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedExplanation:
    """What a scorer is handed: an explanation, its unit's record, and its simulations in activation units."""

    explanation: Explanation
    record: Record
    simulator: str
    excerpts: tuple[SimulatedExcerpt, ...]
    calibration: Calibration | None


@dataclass(frozen=True, slots=True)
class Scored:
    """What a scorer says of one explanation: its scores, and the cases that a judge was put for them."""

    scores: Scores
    judged: tuple[Judged, ...] = ()


@dataclass(frozen=True, slots=True)
class Heading:
    """The column of a metric on boards.

    Attributes:
        metric: which.
        short: its heading on a terminal; ``long`` on a page.
        with_interval: whether its interval stands beside its mean.
        judged: whether it stands in the table of judges, apart from the others.
    """

    metric: str
    short: str
    long: str
    with_interval: bool = False
    judged: bool = False


LOOKUP = "lookup"
"""The simulator of rows whose explanations are tables."""
JUDGED, WRITTEN = "judged", "written"
"""What the model of a scorer does: it judges, or it writes texts that a subject reads."""


@dataclass(frozen=True, slots=True)
class ScorerInfo:
    """A scorer of a run.

    Attributes:
        name: its key in the config.
        identity: of the model that it asks; None if it asks none.
        prompt_version: of the prompt that it asks by.
        headings: the columns that it gives to boards.
        part: what its model does: scores are ``judged`` by it, or texts are ``written``.
    """

    name: str
    identity: Identity | None = None
    prompt_version: str = ""
    headings: tuple[Heading, ...] = ()
    part: str = JUDGED


@runtime_checkable
class Scorer(Protocol):
    """A way to score explanations. Its name is its key in the config; it may ask a model or the subject."""

    def describe(self) -> ScorerInfo:
        """Return which scorer this is, and its columns on boards."""
        ...

    def score(self, explanations: Sequence[SimulatedExplanation]) -> list[Scored]:
        """Score each explanation, in order; all that is asked for them is asked in one call."""
        ...


Progress = Callable[[str, int, int], None]
"""Called as (what, done, total) whenever work of a stage is done."""
