"""What a comparison of two simulators says, in ``agreement.json`` and ``agreement.md``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness import typed_json
from harness.results import run
from harness.results.vocabulary import TaskInfo
from harness.types import Interval, SimulatorInfo, Unit, Usage

SCHEMA_VERSION = 2
NAME = "agreement"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two simulators.

    Attributes:
        run_id: of the run that it is of.
        simulator: which.
        usage: of its simulations of the explanations compared, those from the store included.
        seconds: of all its simulating; NaN if the store answered for any of it.
    """

    run_id: str
    simulator: SimulatorInfo
    usage: Usage
    seconds: float


@dataclass(frozen=True, slots=True)
class TokenAgreement:
    """The simulated levels of both sides, on a scale of 0 to 10, over the scored tokens that both have a value for.

    Attributes:
        tokens: how many those are; ``missing`` is how many of the rest lack one value or both.
        correlation: Pearson over them, pooled; NaN if a side is constant.
        mean_absolute_difference: in levels; NaN without tokens.
    """

    tokens: int
    missing: int
    correlation: float
    mean_absolute_difference: float


@dataclass(frozen=True, slots=True)
class RowAgreement:
    """One explainer's rows by both simulators.

    Attributes:
        explainer: its name.
        tokens: token by token.
        within: Pearson over the tokens of each unit, averaged over units.
        first, second: the mean headline score that either gives, over units that both score.
        difference: of first minus second, paired by unit, with its interval; ``p_value`` of no difference.
        ranks: Spearman of the two headline scores over units; NaN with fewer than three, or if a side is constant.
    """

    explainer: str
    tokens: TokenAgreement
    within: Interval
    first: float
    second: float
    difference: Interval
    p_value: float
    ranks: float


@dataclass(frozen=True, slots=True)
class BoardAgreement:
    """Both orders of the rows by one metric.

    Attributes:
        metric: which.
        spearman, kendall: rank correlations of the rows' means; NaN with fewer than three rows.
        first, second: the names of the rows, best first.
    """

    metric: str
    spearman: float
    kendall: float
    first: tuple[str, ...]
    second: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """A unit whose headline score the simulators differ on, or a token whose level they differ on.

    Attributes:
        explainer, unit: of which explanation.
        first, second: the score, or the level of 0 to 10, by either.
        source, position, token: of a token: its excerpt, its place there counted from 0, and its text.
    """

    explainer: str
    unit: Unit
    first: float
    second: float
    source: str = ""
    position: int = 0
    token: str = ""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two simulators compared on the same explanations of the same units.

    Attributes:
        created: when, ISO 8601 in UTC.
        task: which units.
        first, second: the simulators.
        tokens: over all explainers.
        explainers: those that both scored, in the order of the first; ``left_out`` are those of one side only.
        boards: by each metric that both have.
        largest_tokens, largest_units: where they differ most, largest difference first.
    """

    created: str
    task: TaskInfo
    first: Side
    second: Side
    tokens: TokenAgreement
    explainers: tuple[RowAgreement, ...]
    left_out: tuple[str, ...]
    boards: tuple[BoardAgreement, ...]
    largest_tokens: tuple[Difference, ...]
    largest_units: tuple[Difference, ...]


def write(folder: Path, agreement: Agreement, page: str) -> None:
    """Write ``agreement.json`` and ``agreement.md`` into a folder, which is made if there is none.

    Raises:
        NeuroglossError: they cannot be written.
    """
    run.write_report(folder, NAME, {"schema_version": SCHEMA_VERSION, **typed_json.to_json(agreement, NAME)}, page)
