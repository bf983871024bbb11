"""What a study asks: the questions that a task, and a run's explanations, give rise to, dealt into blocks of slots."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from harness.config.settings import StudySettings
from harness.humans import blocks, pairs, sampling
from harness.humans.answers import (
    ExplainQuestion,
    IntruderQuestion,
    Mode,
    PairKind,
    Question,
    RateQuestion,
    SimulateQuestion,
    Wording,
)
from harness.results.run import Results
from harness.scorers.intruder import trials_of
from harness.scores.intruder import Trial
from harness.types import Excerpt, ExcerptKind, NeuroglossError, PuzzleTask, Record, Task, Unit

READING = (Mode.RATE, Mode.SIMULATE)
"""What people read explanations for."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A question that one person is to answer.

    Attributes:
        block: in which it stands; a person takes a block.
        treatment: what no person meets twice.
        unit: that it is about.
        kind: of a pair of explanations, which is chosen when it is shown; None in other modes.
        question: None where it is chosen when it is shown.
    """

    block: int
    treatment: str
    unit: Unit
    kind: PairKind | None = None
    question: Question | None = None


@dataclass(frozen=True, eq=False)
class Study:
    """A study that can begin: what it is, what it asks of whom, and what its pages show.

    Attributes:
        settings: all that its config says.
        task_digest: of the task, which is whole.
        records: the units that people can be asked about, by unit.
        wordings: the explanations of each unit that people read; empty where they read none.
        trials: the questions for intruders of each unit; empty in other modes.
        slots: all questions, or the place of each.
        identity: what tells this study from another; answers to another cannot stand in its file.
        left_out: units that people cannot be asked about, and why.
    """

    settings: StudySettings
    task_digest: str
    records: Mapping[Unit, Record]
    wordings: Mapping[Unit, tuple[Wording, ...]] = field(default_factory=dict)
    trials: Mapping[Unit, tuple[Trial, ...]] = field(default_factory=dict)
    slots: tuple[Slot, ...] = ()
    identity: Mapping[str, Any] = field(default_factory=dict)
    left_out: Mapping[Unit, str] = field(default_factory=dict)

    @property
    def mode(self) -> Mode:
        """What people do in it."""
        return Mode(self.settings.mode)

    def excerpts(self, unit: Unit, keys: Iterable[str]) -> tuple[Excerpt, ...]:
        """Return excerpts of a unit by their keys, in order."""
        splits = self.records[unit].splits
        by_key = {item.digest: item for item in (*splits.train, *splits.calibration, *splits.valid, *splits.test)}
        return tuple(by_key[key] for key in keys)

    def trial(self, unit: Unit, question: IntruderQuestion) -> Trial:
        """Return the marked excerpts of a question for an intruder."""
        return next(trial for trial in self.trials[unit] if _keys(trial) == question.excerpts)


def build(
    settings: StudySettings, task: Task | PuzzleTask, records: Sequence[Record], results: Results | None
) -> Study:
    """Return the study that settings describe.

    Args:
        settings: of it.
        task: whose units people are asked about.
        records: those units, dealt.
        results: of the run, or the entry, whose explanations are read; None where none are.

    Raises:
        NeuroglossError: explanations are needed and not there, are of another task, or no unit can be asked about.
    """
    mode = Mode(settings.mode)
    wordings = _wordings(settings, task, records, results)
    trials = {record.unit: tuple(trials_of(record, settings.intruder.level)) for record in records}
    reasons = {record.unit: _obstacle(mode, record, wordings, trials) for record in records}
    answerable = [record for record in records if not reasons[record.unit]]
    if not answerable:
        raise NeuroglossError(f"people cannot be asked about any unit of {task.name}: {next(iter(reasons.values()))}.")
    study = Study(
        settings=settings,
        task_digest=task.digest,
        records={record.unit: record for record in answerable},
        wordings=wordings,
        trials=trials if mode is Mode.INTRUDER else {},
        identity=_identity(settings, task, answerable, wordings),
        left_out={unit: reason for unit, reason in reasons.items() if reason},
    )
    return replace(study, slots=tuple(_slots(study)))


def _obstacle(
    mode: Mode,
    record: Record,
    wordings: Mapping[Unit, Sequence[Wording]],
    trials: Mapping[Unit, Sequence[Trial]],
) -> str:
    """Return why people cannot be asked about a unit; empty if they can."""
    if mode is Mode.EXPLAIN and not record.shown:
        return "it has no excerpts that explainers are shown"
    if mode in READING and not record.splits.valid:
        return "it has no valid excerpts"
    if mode is Mode.SIMULATE and not wordings[record.unit]:
        return "the run has no explanation of it in words"
    if mode is Mode.RATE and not pairs_of(wordings[record.unit]):
        return "the run has no two different explanations of it in words"
    if mode is Mode.INTRUDER and not trials[record.unit]:
        return "it has fewer than four excerpts in which it fires, or none in which it is silent"
    return ""


# -------------------------------------------------------------------------------------------------------- explanations


def _wordings(
    settings: StudySettings, task: Task | PuzzleTask, records: Sequence[Record], results: Results | None
) -> dict[Unit, tuple[Wording, ...]]:
    mode = Mode(settings.mode)
    if mode not in READING:
        return {}
    if results is None:
        raise NeuroglossError(
            f"mode={mode} needs explanations for people to read; add run=FOLDER, a run of task={task.name} or an entry."
        )
    if results.task.digest != task.digest:
        raise NeuroglossError(
            f"run={settings.run} is of the task {results.task.name} ({results.task.digest[:12]}), and the study of "
            f"{task.name} ({task.digest[:12]}); write task={results.task.name}, or give another run."
        )
    texts = _texts(settings, results)
    return {
        record.unit: tuple(
            Wording(by_unit[record.unit], author, record.unit)
            for author, by_unit in texts.items()
            if record.unit in by_unit
        )
        for record in records
    }


def _texts(settings: StudySettings, results: Results) -> dict[str, dict[Unit, str]]:
    """Return the explanations in words by explainer and unit, the first of several."""
    texts: dict[str, dict[Unit, str]] = {}
    for row in results.rows:
        for item in row.scored:
            if item.explanation.in_words:
                texts.setdefault(row.summary.explainer, {}).setdefault(item.unit, item.explanation.text)
    unknown = [name for name in settings.explainers or () if name not in texts]
    if unknown:
        raise NeuroglossError(
            f"explainers names {unknown[0]!r}, which explains nothing in words in {settings.run}; there are: "
            f"{', '.join(texts) or 'none'}."
        )
    return {name: by_unit for name, by_unit in texts.items() if name in (settings.explainers or texts)}


def pairs_of(wordings: Sequence[Wording]) -> list[tuple[Wording, Wording]]:
    """Return the pairs of explanations of one unit that differ in more than case and white space."""
    return [(first, second) for first, second in combinations(wordings, 2) if _plain(first.text) != _plain(second.text)]


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


# --------------------------------------------------------------------------------------------------------------- slots


@dataclass(frozen=True, slots=True)
class _Treatment:
    """What no person meets twice, and the questions that it stands for, one for each of its copies."""

    name: str
    unit: Unit
    questions: tuple[tuple[PairKind | None, Question | None], ...]


def _slots(study: Study) -> Iterable[Slot]:
    settings = study.settings
    treatments = [
        item for place, record in enumerate(study.records.values()) for item in _treatments(study, record, place)
    ]
    checks = settings.rate.known + settings.rate.repeats if study.mode is Mode.RATE else 0
    copies = [len(treatment.questions) for treatment in treatments]
    remaining = [list(treatment.questions) for treatment in treatments]
    for number, block in enumerate(blocks.deal(copies, settings.questions - checks, settings.seed)):
        for place in block:
            treatment = treatments[place]
            kind, question = remaining[place].pop()
            yield Slot(number, treatment.name, treatment.unit, kind, question)


def _treatments(study: Study, record: Record, place: int) -> list[_Treatment]:
    """Return the treatments of a unit, which stands at a place among those of the study."""
    match study.mode:
        case Mode.EXPLAIN:
            question = ExplainQuestion(tuple(excerpt.digest for excerpt in record.shown))
            return [_Treatment(str(record.unit), record.unit, ((None, question),) * study.settings.people)]
        case Mode.RATE:
            return _rating(study, record, place)
        case Mode.SIMULATE:
            return _simulating(study, record, place)
        case Mode.INTRUDER:
            return [_finding(study, record, place)]


def _rating(study: Study, record: Record, place: int) -> list[_Treatment]:
    """Return pairs yet to be chosen, of which over all units an exact share is drawn at random."""
    settings = study.settings
    first = place * settings.rate.pairs * settings.people
    kinds = [_kind(first + number, settings.rate.random) for number in range(settings.rate.pairs * settings.people)]
    return [
        _Treatment(
            f"{record.unit} {number}", record.unit, tuple((kind, None) for kind in kinds[number :: settings.rate.pairs])
        )
        for number in range(settings.rate.pairs)
    ]


def _kind(number: int, share: float) -> PairKind:
    """Return the kind of a pair by its number: a share of all, spread evenly, is random."""
    return PairKind.RANDOM if int((number + 1) * share) > int(number * share) else PairKind.ADAPTIVE


def _simulating(study: Study, record: Record, place: int) -> list[_Treatment]:
    """Return the excerpts of a unit that are drawn, the same for all explanations: differences between these are then
    differences on the same text."""
    rng = np.random.default_rng([study.settings.seed, place])
    return [
        _Treatment(
            f"{record.unit} {excerpt.digest}",
            record.unit,
            tuple(
                (None, SimulateQuestion(wording, excerpt.digest, weight))
                for wording in study.wordings[record.unit]
                for _ in range(study.settings.people)
            ),
        )
        for excerpt, weight in sampling.draw(record.splits.valid, study.settings.simulate.excerpts, rng)
    ]


def _finding(study: Study, record: Record, place: int) -> _Treatment:
    """Return one trial of a unit, taken in turn, so that over units the intruder stands at each place about equally
    often."""
    trials = study.trials[record.unit]
    trial = trials[place % len(trials)]
    question = IntruderQuestion(_keys(trial), trial.intruder)
    return _Treatment(str(record.unit), record.unit, ((None, question),) * study.settings.people)


def _keys(trial: Trial) -> tuple[str, ...]:
    return tuple(marked.excerpt.digest for marked in trial.excerpts)


# ------------------------------------------------------------------------------------------------------ chosen on show


@dataclass(frozen=True, slots=True)
class RatedBefore:
    """An earlier pair of the same person: its assignment, its unit and the pair."""

    assignment: str
    unit: Unit
    question: RateQuestion


@dataclass(frozen=True, slots=True)
class Ratings:
    """What is known when a pair is chosen: the pairs of the person who is asked, and what everybody answered so far,
    but for pairs with a known answer."""

    earlier: tuple[RatedBefore, ...] = ()
    outcomes: tuple[pairs.Outcome, ...] = ()


def pair(study: Study, unit: Unit, kind: PairKind, ratings: Ratings, seed: int) -> RateQuestion:
    """Choose a pair of explanations of a unit, drawn at random or because it tells most, with sides drawn at random.

    A pair that the person has rated already is not asked again as long as there is another.

    Args:
        study: whose explanations.
        unit: that they explain.
        kind: random or adaptive.
        ratings: what is known so far.
        seed: of draws.
    """
    rng = np.random.default_rng(seed)
    rated = {frozenset(item.question.authors) for item in ratings.earlier if item.unit == unit}
    candidates = pairs_of(study.wordings[unit])
    fresh = [item for item in candidates if frozenset(word.author for word in item) not in rated] or candidates
    if kind is PairKind.ADAPTIVE:
        by_authors = {(first.author, second.author): (first, second) for first, second in fresh}
        couple = by_authors[pairs.most_telling(list(by_authors), ratings.outcomes, seed)]
    else:
        couple = fresh[int(rng.integers(len(fresh)))]
    return _sided(study, unit, couple, kind, rng)


def known_pair(study: Study, seed: int) -> tuple[Unit, RateQuestion] | None:
    """Choose an explanation of a unit and, by the same author, one of another unit: which fits better is known.

    Returns:
        The unit and the pair; None where no author explains two units in different words.
    """
    rng = np.random.default_rng(seed)
    words = [wording for by_unit in study.wordings.values() for wording in by_unit]
    for place in rng.permutation(len(words)):
        fitting = words[place]
        foils = [
            wording
            for wording in words
            if wording.author == fitting.author and _plain(wording.text) != _plain(fitting.text)
        ]
        if foils and fitting.about in study.records:
            couple = (fitting, foils[int(rng.integers(len(foils)))])
            return fitting.about, _sided(study, fitting.about, couple, PairKind.KNOWN, rng)
    return None


def repeated_pair(earlier: Sequence[RatedBefore]) -> tuple[Unit, RateQuestion] | None:
    """Choose the pair that a person rated longest ago and was not asked again, with its sides swapped."""
    repeated_ids = {item.question.repeats for item in earlier}
    for item in earlier:
        if item.question.kind in (PairKind.ADAPTIVE, PairKind.RANDOM) and item.assignment not in repeated_ids:
            first = item.question
            return item.unit, RateQuestion(first.right, first.left, PairKind.REPEAT, first.excerpts, item.assignment)
    return None


def _sided(
    study: Study, unit: Unit, couple: tuple[Wording, Wording], kind: PairKind, rng: np.random.Generator
) -> RateQuestion:
    first, second = couple if rng.random() < 0.5 else (couple[1], couple[0])
    return RateQuestion(first, second, kind, tuple(item.digest for item in beside(study.records[unit])))


def beside(record: Record) -> tuple[Excerpt, ...]:
    """Return the excerpts that stand beside a pair of explanations: those of the valid split in which the unit fires
    most, which no explainer has seen."""
    top = [excerpt for excerpt in record.splits.valid if excerpt.kind is ExcerptKind.TOP] or record.splits.valid
    return tuple(sorted(top, key=lambda excerpt: -excerpt.maximum))


# ------------------------------------------------------------------------------------------------------------ identity


def _identity(
    settings: StudySettings,
    task: Task | PuzzleTask,
    records: Sequence[Record],
    wordings: Mapping[Unit, Sequence[Wording]],
) -> dict[str, Any]:
    """Return what may not change between two answers of one study, the rule on exclusions above all; the rest of the
    card, and who gets in, may."""
    words = [[str(unit), word.author, word.text] for unit, by_unit in wordings.items() for word in by_unit]
    return {
        "mode": settings.mode,
        "task": task.name,
        "task digest": task.digest,
        "units": [str(record.unit) for record in records],
        "explanations": hashlib.sha256(json.dumps(words).encode()).hexdigest() if words else "",
        "people": settings.people,
        "questions": settings.questions,
        "seed": settings.seed,
        "rate": {"pairs": settings.rate.pairs, "random": settings.rate.random},
        "simulate": settings.simulate.excerpts,
        "intruder": settings.intruder.level,
        "exclusion": asdict(settings.card.exclusion),
    }
