"""Settings: all that the config of a run, a collection, an audit or a training can say, on one page.

They are frozen dataclasses, which refuse values out of range. :mod:`harness.config.compose` derives from them the
schemas that the YAML in ``conf/`` is checked against. A *node* is a mapping that names its class by
``use: GROUP/NAME``; :mod:`harness.config.build` checks and builds it.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from harness.types import HIGHEST_LEVEL, CalibrationMethod, NeuroglossError

_MOST = (1 << 63) - 1
"""The largest whole number that is read back from records of a run."""

OPEN = "???"
"""The value of a key that a config must fill in."""

DESTINATIONS = ("run", "folder", "hub")
"""Values of ``publish.to``."""

MODES = ("explain", "rate", "simulate", "intruder")
"""Values of ``mode`` of a study: what people do."""

Node = dict[str, Any]
"""A mapping with ``use: GROUP/NAME`` and the arguments of that class."""

Nodes = dict[str, Any]
"""Nodes by the name that a config gives them."""


@dataclass(frozen=True)
class TaskSettings:
    """The frozen task of a run, and what differs between kinds of task.

    Attributes:
        name: of a folder among the tasks.
        path: of a folder elsewhere, or of a file of puzzles.
        minimum_count: occurrences of a token among the excerpts before a lookup has a mean of it.
        limit: of a task of puzzles, at most this many, spread evenly over it.
        controls: simulators that stand beside the run's own on the board.
        scores: scorers in place of the run's own.
    """

    name: str = OPEN
    path: str | None = None
    minimum_count: int = 3
    limit: int | None = None
    controls: Nodes = field(default_factory=dict)
    scores: Nodes = field(default_factory=dict)

    def __post_init__(self) -> None:
        _at_least("task.minimum_count", self.minimum_count, 1)
        _at_least("task.limit", self.limit, 1)


@dataclass(frozen=True)
class UnitSettings:
    """The units of the task that are explained: of ``places``, with these ``ids``, and at most ``limit`` of the rest.

    Attributes:
        places: keep the units of these places, such as layers.
        ids: keep these units, each as ``L12N345``.
        limit: keep at most this many, spread evenly over the rest.
    """

    places: list[int] | None = None
    ids: list[str] | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        _at_least("units.limit", self.limit, 1)
        for name, count in Counter(self.ids or ()).items():
            if count > 1:
                raise NeuroglossError(f"units.ids names {name} {count} times; write it once.")


@dataclass(frozen=True)
class CalibrationSettings:
    """The map from simulated units to activations.

    Attributes:
        method: ``linear``, ``percentile`` or ``isotonic``.
        top: top excerpts of the calibration split that are simulated for it, for each unit.
        random: random ones.
    """

    method: str = CalibrationMethod.LINEAR.value
    top: int = 2
    random: int = 2

    def __post_init__(self) -> None:
        _one_of("calibration.method", self.method, [method.value for method in CalibrationMethod])
        _at_least("calibration.top", self.top, 0)
        _at_least("calibration.random", self.random, 0)
        if self.top + self.random == 0:
            raise NeuroglossError(
                "calibration.top and calibration.random are 0, which leaves no excerpts to calibrate on; set one of "
                "them above 0."
            )


@dataclass(frozen=True)
class BoardSettings:
    """The statistics of a board.

    Attributes:
        resamples: bootstrap resamples behind each interval, rank and p-value.
        by_group: draw whole groups (layers) in them, for units of a group may be alike.
        minimum_coverage: share of the units that must have a headline score for a row to be ranked.
    """

    resamples: int = 9999
    by_group: bool = False
    minimum_coverage: float = 0.9

    def __post_init__(self) -> None:
        _at_least("board.resamples", self.resamples, 100)
        _in_range("board.minimum_coverage", self.minimum_coverage, 0.0, 1.0)


@dataclass(frozen=True)
class AskingSettings:
    """Sampling from explainer models, the same for all of a run: a best of few does not compare with a best of many.

    Attributes:
        candidates: explanations that each may try for a unit; the best on calibration excerpts is kept.
        temperature: above 0 where there are several candidates.
    """

    candidates: int = 1
    temperature: float = 0.0

    def __post_init__(self) -> None:
        _at_least("asking.candidates", self.candidates, 1)
        _in_range("asking.temperature", self.temperature, 0.0, math.inf)
        if self.candidates > 1 and self.temperature == 0.0:
            raise NeuroglossError(
                f"asking.candidates is {self.candidates} at asking.temperature 0, where all candidates are the same; "
                "set asking.temperature above 0."
            )


@dataclass(frozen=True)
class HumanSettings:
    """Explanations by people.

    Attributes:
        file: a CSV, JSONL or Parquet table; none where it is None.
        annotator: keep this person's; all where it is None.
    """

    file: str | None = field(default=None, metadata={"open": True})
    annotator: str | None = None


@dataclass(frozen=True)
class PublishSettings:
    """The places that a run's dataset goes to.

    Attributes:
        to: ``run`` (its own folder, nowhere else), ``folder`` (a copy there) or ``hub`` (the Hugging Face hub).
        folder: for ``to=folder``: the copy, which may replace an older dataset of ours and nothing else.
        repo_id: for ``to=hub``: ``account/name``.
        private: whether the repository on the hub is, or must be, private.
        token_env: the name of the environment variable that holds the hub's token.
        license: the licence of the task's texts, as the hub abbreviates it; it stands in the card.
        subject_license: the licence of the subject, likewise.
        shorten_paths: whether a path of this machine, where the config names one, is published as ``.../NAME``; it is
            refused otherwise.
        force: whether a publication of the same task, or of another run, is replaced.
    """

    to: str = "run"
    folder: str | None = None
    repo_id: str | None = None
    private: bool = True
    token_env: str = "HF_TOKEN"
    license: str = "unknown"
    subject_license: str = "unknown"
    shorten_paths: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        if self.to not in DESTINATIONS:
            raise NeuroglossError(f"publish.to is {self.to!r}; write publish=none, publish=local or publish=hub.")


@dataclass(frozen=True)
class BudgetSettings:
    """The most that may be spent on models; a run stops cleanly before it would pass either limit.

    Attributes:
        usd: US dollars; no limit where it is None.
        tokens: of prompts and completions together; no limit where it is None.
    """

    usd: float | None = None
    tokens: int | None = None

    def __post_init__(self) -> None:
        if self.usd is not None:
            _in_range("budget.usd", self.usd, 0.0, math.inf)
        _at_least("budget.tokens", self.tokens, 1)


@dataclass(frozen=True)
class RunSettings:
    """One run, complete: the same settings give the same results.

    Attributes:
        plugins: modules, ``.py`` files and entry points with classes, configs and prompts of one's own.
        subject: the model whose units are explained.
        task: the units and their excerpts.
        units: those of the task that are explained.
        explainer: methods.
        explainer_model: models that methods ask; each method has a row for each.
        simulator: simulators; each explainer has a row for each.
        scores: scorers.
        calibration: from simulated units to activations.
        board: statistics.
        asking: sampling from explainer models.
        human: explanations by people.
        track: trackers, which log the run.
        publish: copies of the run's dataset.
        budget: limits of what models may cost.
        seed: of every draw.
        output: the folder of runs.
        store: the file of all replies of models.
    """

    plugins: list[str] = field(default_factory=list)
    subject: Node = field(default_factory=dict)
    task: TaskSettings = field(default_factory=TaskSettings)
    units: UnitSettings = field(default_factory=UnitSettings)
    explainer: Nodes = field(default_factory=dict)
    explainer_model: Nodes = field(default_factory=dict)
    simulator: Nodes = field(default_factory=dict)
    scores: Nodes = field(default_factory=dict)
    calibration: CalibrationSettings = field(default_factory=CalibrationSettings)
    board: BoardSettings = field(default_factory=BoardSettings)
    asking: AskingSettings = field(default_factory=AskingSettings)
    human: HumanSettings = field(default_factory=HumanSettings)
    track: Nodes = field(default_factory=dict)
    publish: PublishSettings = field(default_factory=PublishSettings)
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    seed: int = 0
    output: str = "runs"
    store: str = "${output}/store.sqlite"

    def __post_init__(self) -> None:
        _named("output", self.output)
        _named("store", self.store)
        _at_least("seed", self.seed, 0)


@dataclass(frozen=True)
class LabelSettings:
    """Labels that stand for a simulation in an audit, and their judgement.

    Attributes:
        level: tokens of at least this level, of 10, are labelled; at 1 a token counts as firing for explainers too. The
            higher, the rarer labels are, and the fewer extra ones the excerpts of a task show.
        draws: corruptions of the labels of each unit.
        ablation_draws: of these draws, at most this many ask the subject; 0 leaves ablation out.
        least_drop: a score has dropped where it is lower by more than this.
        seed: of the draws.
    """

    level: int = 1
    draws: int = 20
    ablation_draws: int = 2
    least_drop: float = 0.001
    seed: int = 0

    def __post_init__(self) -> None:
        _in_range("labels.level", self.level, 1, HIGHEST_LEVEL)
        _at_least("labels.draws", self.draws, 1)
        _at_least("labels.ablation_draws", self.ablation_draws, 0)
        _in_range("labels.least_drop", self.least_drop, 0.0, math.inf)
        _at_least("labels.seed", self.seed, 0)


@dataclass(frozen=True)
class AuditSettings:
    """One audit of a run.

    Attributes:
        plugins: those that the run needs too; an audit loads none that only its run names.
        run: its folder; all that is not said here is as it was there.
        tests: to make, by their names in :class:`harness.results.audit.Test`.
        explanations: the explainer of the run that nulls are held against; the first of its board where it is None.
        labels: of the label tests.
        nulls: draws of each null.
        repeats: times that the simulator is asked again.
        ablation: ask the subject too, if the run did.
        final: score every explainer of the run on its test excerpts too, which is done once for a run.
        budget: limits of what models may cost.
        store: the file of replies; ``store.sqlite`` beside the run's folder where it is None.
        seed: of shuffles, random words, the re-initialised weights and intervals.
        allow: what of the run's config reaches a host, a file, a secret or code, repeated by the user.
    """

    plugins: list[str] = field(default_factory=list)
    run: str = "runs/latest"
    tests: list[str] = field(default_factory=list)
    explanations: str | None = None
    labels: LabelSettings = field(default_factory=LabelSettings)
    nulls: int = 2
    repeats: int = 2
    ablation: bool = True
    final: bool = False
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    store: str | None = None
    seed: int = 0
    allow: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _at_least("nulls", self.nulls, 1)
        _at_least("repeats", self.repeats, 1)
        _at_least("seed", self.seed, 0)


@dataclass(frozen=True)
class ExclusionSettings:
    """Whose answers are left out of the analysis of a study; a share of 0 leaves out nobody.

    Attributes:
        least_known: the share of pairs with a known answer that a rater must get right.
        least_repeats: the share of repeated pairs to which a rater must give the same answer.
        least_seconds: the median time that a person must take for an answer.
    """

    least_known: float = 0.0
    least_repeats: float = 0.0
    least_seconds: float = 0.0

    def __post_init__(self) -> None:
        _in_range("card.exclusion.least_known", self.least_known, 0.0, 1.0)
        _in_range("card.exclusion.least_repeats", self.least_repeats, 0.0, 1.0)
        _in_range("card.exclusion.least_seconds", self.least_seconds, 0.0, math.inf)


@dataclass(frozen=True)
class CardSettings:
    """The card of a study with people, which they read before they begin; empty fields are not shown.

    Attributes:
        title: of the study.
        consent: what people agree to; a blank line begins a paragraph.
        pay: what they get for it.
        irb: the ethics board that approved the study and the number of its approval, or why it needed none.
        contact: whom to ask.
        minutes: that it takes about.
        exclusion: whose answers are left out of the analysis, a rule that is fixed before the data.
    """

    title: str = ""
    consent: str = ""
    pay: str = ""
    irb: str = ""
    contact: str = ""
    minutes: int | None = None
    exclusion: ExclusionSettings = field(default_factory=ExclusionSettings)

    def __post_init__(self) -> None:
        _at_least("card.minutes", self.minutes, 1)


@dataclass(frozen=True)
class RateSettings:
    """Pairs of explanations that people are asked to rate.

    Attributes:
        pairs: of each unit.
        random: share of them that is drawn at random; the others are those that tell most.
        known: pairs with a known answer that each person is asked besides: an explanation against another unit's.
        repeats: earlier pairs that each person is asked again, with their sides swapped.
    """

    pairs: int = 1
    random: float = 0.3
    known: int = 2
    repeats: int = 2

    def __post_init__(self) -> None:
        _at_least("rate.pairs", self.pairs, 1)
        _in_range("rate.random", self.random, 0.0, 1.0)
        _at_least("rate.known", self.known, 0)
        _at_least("rate.repeats", self.repeats, 0)


@dataclass(frozen=True)
class SimulateSettings:
    """Excerpts that people simulate.

    Attributes:
        excerpts: so many are drawn for each unit, with replacement, the same for all explainers.
    """

    excerpts: int = 2

    def __post_init__(self) -> None:
        _at_least("simulate.excerpts", self.excerpts, 1)


@dataclass(frozen=True)
class IntruderSettings:
    """Questions for intruders.

    Attributes:
        level: from which on, of 10, a token is marked.
    """

    level: int = 3

    def __post_init__(self) -> None:
        _in_range("intruder.level", self.level, 1, HIGHEST_LEVEL)


@dataclass(frozen=True)
class ProlificSettings:
    """A study on Prolific.

    Attributes:
        study: its id there; None where it is not there.
        code: by which people say that they have completed it.
    """

    study: str | None = None
    code: str | None = None

    def __post_init__(self) -> None:
        if (self.study is None) != (self.code is None):
            raise NeuroglossError(
                "prolific.study and prolific.code belong together; give both: the study's id on Prolific, and its "
                "completion code."
            )


@dataclass(frozen=True)
class StudySettings:
    """One study with people: what they are asked, how many of them, and who gets in.

    Attributes:
        plugins: those that the run needs too.
        mode: ``explain``, ``rate``, ``simulate`` or ``intruder``.
        subject: what a task says of the kind of its units; no model is loaded.
        task: whose units.
        units: those of the task that people are asked about.
        run: rate and simulate: a run's folder, or the file of an entry, whose explanations are read.
        explainers: the rows of it, by name; where it is None, all that explain in words.
        people: that are asked each question.
        questions: at most so many of one person.
        card: what people read before they begin.
        rate: settings of that mode.
        simulate: settings of that mode.
        intruder: settings of that mode.
        host: the address to listen on; beyond loopback each person needs an invitation, or comes from Prolific.
        port: to listen on; 0 takes a free one.
        names: hosts by which browsers reach it beyond loopback, such as ``study.example.org``.
        prolific: people from Prolific.
        abandoned: minutes without a sign of a person after which the open questions go to others.
        store: the file of the study; where it is None, one under ``output`` that task and mode name.
        output: the folder of runs.
        seed: of every draw.
    """

    plugins: list[str] = field(default_factory=list)
    mode: str = OPEN
    subject: Node = field(default_factory=dict)
    task: TaskSettings = field(default_factory=TaskSettings)
    units: UnitSettings = field(default_factory=UnitSettings)
    run: str | None = None
    explainers: list[str] | None = None
    people: int = 3
    questions: int = 20
    card: CardSettings = field(default_factory=CardSettings)
    rate: RateSettings = field(default_factory=RateSettings)
    simulate: SimulateSettings = field(default_factory=SimulateSettings)
    intruder: IntruderSettings = field(default_factory=IntruderSettings)
    host: str = "127.0.0.1"
    port: int = 8765
    names: list[str] = field(default_factory=list)
    prolific: ProlificSettings = field(default_factory=ProlificSettings)
    abandoned: float = 60.0
    store: str | None = None
    output: str = "runs"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise NeuroglossError(f"mode is {self.mode!r}; it can be {', '.join(MODES)}.")
        _at_least("people", self.people, 1)
        _at_least("questions", self.questions, 1)
        _in_range("port", self.port, 0, (1 << 16) - 1)
        _in_range("abandoned", self.abandoned, 1.0, math.inf)
        _at_least("seed", self.seed, 0)
        if self.mode == "rate" and self.questions <= self.rate.known + self.rate.repeats:
            raise NeuroglossError(
                f"questions is {self.questions}, which rate.known and rate.repeats leave none of; raise it, or lower "
                "these."
            )


@dataclass(frozen=True)
class CollectSettings:
    """One collection, complete: what freezes a task.

    Where ``released`` is given, records that others have published are fetched, and no subject reads a corpus.

    Attributes:
        plugins: modules, ``.py`` files and entry points with classes and configs of one's own.
        subject: the model whose units are recorded.
        corpus: the text that it reads.
        sample: the units.
        collect: the excerpts of each unit.
        released: published records.
        name: of the task.
        description: a sentence for people.
        seed: of every draw.
        output: the folder of tasks.
        worker: the number of this process, from 0, among those that share the work.
        workers: processes that share the work.
        save_every: batches between two states that are saved.
    """

    plugins: list[str] = field(default_factory=list)
    subject: Node = field(default_factory=dict)
    corpus: Node = field(default_factory=dict)
    sample: Node = field(default_factory=dict)
    collect: Node = field(default_factory=dict)
    released: Node = field(default_factory=dict)
    name: str = OPEN
    description: str = ""
    seed: int = 0
    output: str = "tasks"
    worker: int = 0
    workers: int = 1
    save_every: int = 64

    def __post_init__(self) -> None:
        _at_least("seed", self.seed, 0)
        _at_least("workers", self.workers, 1)
        _in_range("worker", self.worker, 0, self.workers - 1)
        _at_least("save_every", self.save_every, 1)


@dataclass(frozen=True)
class TuneSettings:
    """One training of the tuned simulator, complete: what :mod:`harness.training` needs to make an adapter.

    Attributes:
        subject: the model that writes the texts.
        corpus: what it is asked to write.
        network: the additions to the base model.
        training: the training loop.
        judge: the questions to the judged simulators.
        judged: simulators that are judged when the training is finished.
        folder: of texts, checkpoints and the log.
        adapter: the file that comes out.
        start: the adapter to begin with, its name or its file; none where it is None.
        dtype: of the base model while training.
        seed: of texts and examples.
        threads: of torch; as many as there are cores where it is None.
    """

    subject: Node = field(default_factory=dict)
    corpus: Node = field(default_factory=dict)
    network: Node = field(default_factory=dict)
    training: Node = field(default_factory=dict)
    judge: Node = field(default_factory=dict)
    judged: Nodes = field(default_factory=dict)
    folder: str = OPEN
    adapter: str = OPEN
    start: str | None = None
    dtype: str = "float32"
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        _at_least("seed", self.seed, 0)
        _at_least("threads", self.threads, 1)


def _at_least(key: str, number: int | None, least: int) -> None:
    """Refuse a whole number that is too small, or larger than records of a run can hold."""
    if number is not None and number < least:
        raise NeuroglossError(f"{key} is {number}; write {least} or more.")
    if number is not None and number > _MOST:
        raise NeuroglossError(f"{key} is {number}; write {_MOST} or less.")


def _named(key: str, text: str) -> None:
    """Refuse an empty text where a place belongs, which would be the folder that the command runs in, or the root."""
    if not text:
        raise NeuroglossError(f"{key}= names nothing; write {key}=NAME, or leave it out.")


def _in_range(key: str, number: float, least: float, most: float) -> None:
    """Refuse a number that is out of range, infinite, or none at all."""
    if not (least <= number <= most and math.isfinite(number)):
        limits = f"{least:g} or more" if math.isinf(most) else f"a number from {least:g} to {most:g}"
        raise NeuroglossError(f"{key} is {number}; write {limits}.")


def _one_of(key: str, choice: str, options: list[str]) -> None:
    if choice not in options:
        raise NeuroglossError(f"{key} is {choice!r}; write one of {', '.join(options)}.")
