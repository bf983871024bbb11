"""What a comparison of two simulators says: the values of its report, which is written as JSON and as a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness import results
from harness.results import SimulatorInfo, TaskInfo
from harness.types import Interval, NeuronId, Usage

SCHEMA_VERSION = 1
NAME = "agreement"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two runs.

    Attributes:
        run_id: which.
        simulator: its simulator.
        usage: of its simulations of the explanations compared, those from the store included.
        seconds: of all its simulating; NaN where the store answered for any of it.
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
        correlation: Pearson over them, pooled; NaN where a side is constant.
        mean_absolute_difference: in levels; NaN without tokens.
    """

    tokens: int
    missing: int
    correlation: float
    mean_absolute_difference: float


@dataclass(frozen=True, slots=True)
class ExplainerAgreement:
    """One explainer's explanations under both simulators.

    Attributes:
        explainer: its name.
        tokens: token by token.
        within: Pearson over the tokens of each neuron, averaged over neurons.
        first, second: the mean headline score that either gives, over neurons that both score.
        difference: of first minus second, paired by neuron, with its interval; ``p_value`` of no difference.
        ranks: Spearman of the two headline scores over neurons; NaN with fewer than three, or where a side is constant.
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
    """Both boards by one metric.

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
class TokenDifference:
    """A token on which the simulators differ: its position counts from 0 in its excerpt, levels are of 0 to 10."""

    explainer: str
    neuron: NeuronId
    source: str
    position: int
    token: str
    first: float
    second: float


@dataclass(frozen=True, slots=True)
class NeuronDifference:
    """A neuron whose headline score the simulators differ on."""

    explainer: str
    neuron: NeuronId
    first: float
    second: float


@dataclass(frozen=True, slots=True)
class SimulatorAgreement:
    """Two simulators compared on the same explanations of the same neurons.

    Attributes:
        created: when, ISO 8601 in UTC.
        task: which neurons.
        first, second: the runs.
        tokens: over all explainers.
        explainers: those that both runs have, in the order of the first; ``left_out`` are those of one run only.
        boards: by each metric that both have.
        largest_tokens, largest_neurons: where they differ most, largest difference first.
    """

    created: str
    task: TaskInfo
    first: Side
    second: Side
    tokens: TokenAgreement
    explainers: tuple[ExplainerAgreement, ...]
    left_out: tuple[str, ...]
    boards: tuple[BoardAgreement, ...]
    largest_tokens: tuple[TokenDifference, ...]
    largest_neurons: tuple[NeuronDifference, ...]


def write(folder: Path, found: SimulatorAgreement, page: str) -> None:
    """Write ``agreement.json`` and ``agreement.md`` into a folder, which is made where there is none.

    Raises:
        NeuroglossError: they cannot be written.
    """
    results.write_report(folder, NAME, {"schema_version": SCHEMA_VERSION, **results.to_json(found, NAME)}, page)
