"""How trackers hear of a run while it goes on: its stages, its costs, and the mean score so far.

Nothing of it changes the run. The mean so far is worked out from the store, as ``plan`` works out costs: a simulator is
asked once more, by models that answer with stored replies alone, for what it is working on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from harness.jobs.tools import Asking, Remembering
from harness.models.backend import Backend
from harness.models.meter import Totals
from harness.models.store import LEVELS, Store, key_of, stored_replies
from harness.pipeline import Tools
from harness.progress import complain
from harness.results.run import Results
from harness.scorers.ablation import AskedSubject
from harness.scorers.panel import Panel
from harness.share.tracker import Moment, RunningMean, Tracker
from harness.stats import HEADLINE
from harness.types import (
    Completion,
    CompletionPrompt,
    Excerpt,
    Explanation,
    Identity,
    LanguageModel,
    LevelReading,
    NeuroglossError,
    Outcome,
    Progress,
    Query,
    Record,
    RowKey,
    SimulatedExcerpt,
    SimulatedExplanation,
    Simulation,
    Simulator,
    SimulatorInfo,
    SlottedPrompt,
    Subject,
    Unit,
)

SECONDS = 5.0
"""Time between two moments of a stage that trackers hear of."""
_SHARE = 0.05
"""The most of a run's time that working out its running means may take."""


class Follower:
    """Tells trackers of a run.

    Args:
        trackers: by their names.
        progress: is told how far each stage is, as if nobody followed.
        seconds: between two moments of a stage.
    """

    def __init__(self, trackers: Mapping[str, Tracker], progress: Progress, seconds: float = SECONDS) -> None:
        self._trackers = trackers
        self._progress = progress
        self._seconds = seconds
        self._start = time.monotonic()
        self._told_at: dict[str, float] = {}
        self._totals: Callable[[], Totals] = Totals
        self._means: RunningMeans | None = None

    @contextmanager
    def following(self, run_id: str, config: Mapping[str, Any]) -> Iterator[None]:
        """Tell trackers that a run begins, and of its failure if the context ends in one."""
        listening: list[Tracker] = []
        try:
            for tracker in self._trackers.values():
                listening.append(tracker)
                tracker.begun(run_id, config)
            yield
        except BaseException as error:
            for tracker in listening:
                _fail(tracker, _sentence(error))
            raise

    def ended(self, results: Results, folder: Path) -> dict[str, str | None]:
        """Tell trackers that the run has ended; return where their records are.

        Raises:
            NeuroglossError: a tracker could not record it; the others have.
        """
        places, problems = {}, []
        for name, tracker in self._trackers.items():
            try:
                places[name] = tracker.ended(results, folder)
            except NeuroglossError as error:
                problems.append(error)
        if problems:
            raise problems[0]
        return places

    def stage(self, name: str) -> None:
        """Tell trackers that a stage begins."""
        for tracker in self._trackers.values():
            tracker.stage(name)

    def progress(self, stage: str, count: int, total: int) -> None:
        """Pass on how far a stage is; trackers hear of its first and last replies, and every few seconds."""
        self._progress(stage, count, total)
        now = time.monotonic()
        is_due = now - self._told_at.get(stage, -math.inf) >= self._seconds
        if self._trackers and (is_due or count >= total):
            self._told_at[stage] = now
            moment = self._moment(stage, count, total)
            for tracker in self._trackers.values():
                tracker.progressed(moment)

    def _moment(self, stage: str, count: int, total: int) -> Moment:
        means = self._means.so_far(is_last=count >= total) if self._means else {}
        totals = self._totals()
        return Moment(stage, count, total, time.monotonic() - self._start, totals.spent, totals.saved, means)

    # ------------------------------------------------------------------------------------------- what a run works with

    def counting(self, totals: Callable[[], Totals]) -> None:
        """Take what has been spent from a function."""
        self._totals = totals

    def asking(self, remembering: Remembering) -> Asking:
        """Return a way to ask models which the running means can be worked out by; the same if nobody follows."""
        return Recalling(remembering) if self._trackers else remembering

    def watched(self, tools: Tools, asking: Asking) -> Tools:
        """Return tools whose simulators are watched; the same if nobody follows, or nothing gives the headline."""
        panel = next((scorer for scorer in tools.scorers.values() if isinstance(scorer, Panel)), None)
        if panel is None or not isinstance(asking, Recalling):
            return tools
        self._means = means = RunningMeans(panel, asking)
        simulators: dict[str, Simulator] = {
            name: WatchedSimulator(name, simulator, means) for name, simulator in tools.simulators.items()
        }
        return replace(tools, simulators=simulators)

    def working_on(self, records: Sequence[Record]) -> None:
        """Take the units that go through the stages next."""
        if self._means is not None:
            self._means.work_on(records)


def _fail(tracker: Tracker, sentence: str) -> None:
    """Tell a tracker of a failure; that it cannot record it does not hide the failure itself."""
    try:
        tracker.failed(sentence)
    except NeuroglossError as error:
        complain(str(error))


def _sentence(error: BaseException) -> str:
    return "it was stopped" if isinstance(error, KeyboardInterrupt) else str(error) or repr(error)


# --------------------------------------------------------------------------------------------------- the store alone


@dataclass(eq=False)
class Recalling:
    """Asks as a run does, or, within :meth:`recall`, takes what the store has and asks nothing.

    Attributes:
        remembering: how the run asks.
        missing: readings that the store did not have.
        reads: whether a model of the run is reading levels: nothing is to be recalled before, for it may be probed.
        recalls: whether nothing is asked for now.
    """

    remembering: Remembering
    missing: int = field(default=0, init=False)
    reads: bool = field(default=False, init=False)
    recalls: bool = field(default=False, init=False)

    @property
    def store(self) -> Store:
        """The store of the run."""
        return self.remembering.store

    @contextmanager
    def recall(self) -> Iterator[None]:
        """Ask nothing within the context."""
        self.recalls = True
        try:
            yield
        finally:
            self.recalls = False

    def model(self, backend: Backend) -> LanguageModel:
        """Return a model that answers as the run's does, and from the store alone while nothing is asked."""
        return RecallingModel(self.remembering.model(backend), self)

    def subject(self, subject: Subject) -> AskedSubject:
        """Return the run's own."""
        return self.remembering.subject(subject)


@dataclass(frozen=True, eq=False)
class RecallingModel:
    """A model that answers as another does; where nothing is asked, a reading that is not stored is missing."""

    model: LanguageModel
    recalling: Recalling

    @property
    def identity(self) -> Identity:
        """The model that answers, and its transport."""
        return self.model.identity

    def levels(self) -> int:
        """Return the model's number of levels."""
        return self.model.levels()

    def complete(self, prompts: Sequence[CompletionPrompt]) -> list[Completion]:
        """Answer each prompt with text, in order."""
        return self.model.complete(prompts)

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> list[LevelReading]:
        """Read the distribution over the levels at every slot of each prompt, in order."""
        if not self.recalling.recalls:
            return self._read(prompts)
        keys = [key_of(self.identity, LEVELS.name, prompt) for prompt in prompts]
        replies = stored_replies(self.recalling.store, LEVELS, dict.fromkeys(keys))
        self.recalling.missing += sum(key not in replies for key in keys)
        return [replies.get(key, _NOT_COLLECTED) for key in keys]

    def _read(self, prompts: Sequence[SlottedPrompt]) -> list[LevelReading]:
        self.model.levels()  # which probes it, where that is needed
        self.recalling.reads = True
        try:
            return self.model.read_levels(prompts)
        finally:
            self.recalling.reads = False


_NOT_COLLECTED = LevelReading((), (), (), Outcome.NOT_COLLECTED)


# ------------------------------------------------------------------------------------------------------ running means


@dataclass(frozen=True, eq=False)
class WatchedSimulator:
    """A simulator that says what it is about to work on."""

    name: str
    simulator: Simulator
    means: RunningMeans

    def describe(self) -> SimulatorInfo:
        """Return which simulator it is."""
        return self.simulator.describe()

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        """Return one simulation for each query, in order."""
        with self.means.watching(self.name, self.simulator, queries):
            simulations = self.simulator.simulate(queries)
            self.means.take(simulations)
            return simulations


@dataclass(frozen=True, eq=False)
class _Pending:
    """An explanation that is being simulated: the places of its queries on valid excerpts among all, these queries, and
    these excerpts."""

    explanation: Explanation
    places: tuple[int, ...]
    queries: tuple[Query, ...]
    excerpts: tuple[Excerpt, ...]


class RunningMeans:
    """The mean headline score of each row so far, over explanations all of whose simulations are stored.

    Args:
        panel: the run's own scorer of the headline.
        recalling: how the run's models are asked.
    """

    def __init__(self, panel: Panel, recalling: Recalling) -> None:
        self._records: dict[Unit, Record] = {}
        self._valid: dict[tuple[Unit, tuple[str, ...]], Excerpt] = {}
        self._panel = panel
        self._recalling = recalling
        self._name = ""
        self._simulator: Simulator | None = None
        self._pending: list[_Pending] = []
        self._scores: dict[RowKey, dict[Unit, list[float]]] = {}
        self._next_look = 0.0

    def work_on(self, records: Sequence[Record]) -> None:
        """Take the units that are asked about next; the scores of those before count on."""
        self._records = {record.unit: record for record in records}
        self._valid = {(record.unit, excerpt.tokens): excerpt for record in records for excerpt in record.splits.valid}

    @contextmanager
    def watching(self, name: str, simulator: Simulator, queries: Sequence[Query]) -> Iterator[None]:
        """Take what a simulator is asked within the context for what the means are over."""
        self._name, self._simulator, self._pending = name, simulator, list(self._explanations(queries))
        try:
            yield
        finally:
            self._simulator, self._pending = None, []

    def take(self, simulations: Sequence[Simulation]) -> None:
        """Score what is still to be scored by all simulations of the queries, in their order."""
        for pending in self._pending:
            self._score(pending, [simulations[place] for place in pending.places])
        self._pending = []

    def so_far(self, is_last: bool) -> dict[RowKey, RunningMean]:
        """Return the mean of each row; it is worked out anew where that was not done just now, or a stage is over."""
        may_look = self._recalling.reads and not self._recalling.recalls
        if may_look and (is_last or time.monotonic() >= self._next_look):
            self._look()
        return {row: _mean(scores) for row, scores in self._scores.items()}

    def _explanations(self, queries: Sequence[Query]) -> Iterator[_Pending]:
        """Yield each explanation that is asked about on valid excerpts."""
        for _, members in groupby(enumerate(queries), key=lambda pair: id(pair[1].explanation)):
            valid = [(place, query) for place, query in members if _key(query) in self._valid]
            if valid:
                places, of_explanation = zip(*valid, strict=True)
                excerpts = tuple(self._valid[_key(query)] for query in of_explanation)
                yield _Pending(of_explanation[0].explanation, places, of_explanation, excerpts)

    def _look(self) -> None:
        """Score what is simulated by now."""
        start = time.monotonic()
        with self._recalling.recall():
            self._pending = [pending for pending in self._pending if not self._recalled(pending)]
        now = time.monotonic()
        self._next_look = now + (now - start) / _SHARE

    def _recalled(self, pending: _Pending) -> bool:
        """Score an explanation if all of its simulations are stored, and return whether they are."""
        assert self._simulator is not None
        missing = self._recalling.missing
        simulations = self._simulator.simulate(pending.queries)
        if self._recalling.missing > missing:
            return False
        self._score(pending, simulations)
        return True

    def _score(self, pending: _Pending, simulations: Sequence[Simulation]) -> None:
        explanation = pending.explanation
        excerpts = tuple(
            SimulatedExcerpt("valid", excerpt, simulation, (math.nan,) * len(excerpt.tokens))
            for excerpt, simulation in zip(pending.excerpts, simulations, strict=True)
        )
        simulated = SimulatedExplanation(explanation, self._records[explanation.unit], self._name, excerpts, None)
        (scored,) = self._panel.score([simulated])
        if HEADLINE in scored.scores.values:
            row = self._scores.setdefault(RowKey(explanation.explainer, self._name), {})
            row.setdefault(explanation.unit, []).append(scored.scores.values[HEADLINE])


def _key(query: Query) -> tuple[Unit, tuple[str, ...]]:
    return query.explanation.unit, query.tokens


def _mean(scores: Mapping[Unit, Sequence[float]]) -> RunningMean:
    """Return the mean over units; several explanations of one are averaged first."""
    by_unit = [math.fsum(values) / len(values) for values in scores.values()]
    return RunningMean(math.fsum(by_unit) / len(by_unit), len(by_unit))
