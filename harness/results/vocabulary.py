"""The values that results are made of: which task and explainers, rows, and how simulators do on known truths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.types import Identity, Interval, Role, RowKey, ScoredExplanation, Summary, Unit, Usage


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """The task of a run.

    Attributes:
        name, digest: which, exactly.
        size: how many units it holds.
        units: those that were asked for.
        categories: the class of each unit that has one, by its name.
    """

    name: str
    digest: str
    size: int
    units: tuple[Unit, ...]
    categories: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExplainerInfo:
    """An explainer of a run.

    Attributes:
        name: of its row: the method, and the model that it asks.
        method: its key in the config.
        model: the name of the model that it asks; empty if it asks none.
        role: what its rows stand for.
        identity: of that model; None if it asks none.
        prompt_version: of its prompts.
        candidates: how many explanations it might try for a unit, 0 if no model was asked.
        cleaning: the version of what made explanations of the replies.
    """

    name: str
    method: str
    model: str
    role: Role
    identity: Identity | None = None
    prompt_version: str = ""
    candidates: int = 0
    cleaning: str = ""


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A row of the board of a run, with its scored explanations: one for each unit, or several."""

    summary: Summary
    scored: tuple[ScoredExplanation, ...]

    @property
    def key(self) -> RowKey:
        """The name of the row."""
        return RowKey(self.summary.explainer, self.summary.simulator)


@dataclass(frozen=True, slots=True)
class StageUsage:
    """What a stage asked of models: ``spent`` on fresh replies, ``saved`` by the replies that the store had."""

    spent: Usage = field(default_factory=Usage)
    saved: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class TruthSummary:
    """How a simulator does on the units of one category whose explanation is known, or on all of them.

    Attributes:
        simulator: its name.
        category: the class of units; empty for all.
        metrics: metric name -> interval over the units that have it; see :mod:`harness.results.truths`.
        calibration_error: of all tokens of its units; NaN if the simulator gives no probabilities.
        units: units asked; ``scored`` of them have a correlation, ``degenerate`` of these are 0 by convention.
        tokens: of the units' texts; ``missing_tokens`` of them have no simulation given the truth.
    """

    simulator: str
    category: str
    metrics: Mapping[str, Interval]
    calibration_error: float
    units: int
    scored: int
    degenerate: int
    tokens: int
    missing_tokens: int
