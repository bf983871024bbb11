"""Intruder: a judge finds, without any explanation, which of five excerpts is none of the unit's."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.models.prompts import load
from harness.scorers.generated import excerpts_of
from harness.scorers.judging import PROMPTS, text_of
from harness.scorers.settings import check_level, check_share
from harness.scores.intruder import SIZE, Trial, trials
from harness.types import (
    ExcerptKind,
    Judged,
    Judgement,
    LanguageModel,
    LevelReading,
    Message,
    Outcome,
    Record,
    Scored,
    ScorerInfo,
    Scores,
    SimulatedExplanation,
    SlottedPrompt,
    Unit,
)
from harness.types.grouping import regrouped

NAME = "intruder"


@dataclass(eq=False)
class Intruder:
    """Measure of units by the share of trials in which ``model`` finds the intruder (:mod:`harness.scores.intruder`).

    A unit is judged once, and all its explanations have the same value, for it depends on none of them. The cases stand
    with the first of them.

    Attributes:
        model: the language model that judges.
        prompt: the name of a file in ``prompts/`` with the parts system, user and slot.
        level: the level, from 1 to 10, from which a token is active, and marked.
        maximum_missing: share of a unit's trials that may lack an answer before it has no value.
    """

    model: LanguageModel
    prompt: str = "intruder-v1"
    level: int = 3
    maximum_missing: float = 0.05

    def __post_init__(self) -> None:
        check_level(f"scores.{NAME}.level", self.level)
        check_share(f"scores.{NAME}.maximum_missing", self.maximum_missing)
        self._prompt = load(PROMPTS, self.prompt)

    def describe(self) -> ScorerInfo:
        """Return which scorer this is, and the model that it asks; its value is none of a row, so it has no column."""
        return ScorerInfo(NAME, self.model.identity, self._prompt.version)

    def score(self, explanations: Sequence[SimulatedExplanation]) -> list[Scored]:
        """Return the value of each explanation's unit, in order; the model is asked about all units in one call."""
        records = {explanation.record.unit: explanation.record for explanation in explanations}
        scored = self._measured(list(records.values()))
        seen: set[Unit] = set()
        values = []
        for explanation in explanations:
            unit = explanation.record.unit
            item = scored[unit]
            values.append(Scored(Scores(item.scores.values, missing=item.scores.missing)) if unit in seen else item)
            seen.add(unit)
        return values

    def _measured(self, records: Sequence[Record]) -> dict[Unit, Scored]:
        groups = [trials_of(record, self.level) for record in records]
        prompts = [self._asking(trial) for group in groups for trial in group]
        readings = regrouped(self.model.read_levels(prompts) if prompts else [], groups)
        return {
            record.unit: self._scored(group, answers)
            for record, group, answers in zip(records, groups, readings, strict=True)
        }

    def _asking(self, trial: Trial) -> SlottedPrompt:
        texts = [text_of(marked.excerpt.tokens, marked.marked) for marked in trial.excerpts]
        question = Message("user", self._prompt.render("user", {"texts": texts}))
        return SlottedPrompt(
            messages=(*self._prompt.opening({}, self._example_reply), question),
            parts=(self._prompt.render("slot", {}),),
            placeholder="",
            levels=SIZE + 1,
            prompt_version=self._prompt.version,
        )

    def _example_reply(self, example: Mapping[str, Any]) -> str:
        """Return the assistant's turn of a worked example."""
        return self._prompt.render("slot", {}) + str(example["answer"])

    def _scored(self, group: Sequence[Trial], readings: Sequence[LevelReading]) -> Scored:
        answers = [places(reading) for reading in readings]
        cases = tuple(
            Judged(NAME, trial.excerpts[trial.intruder].excerpt, trial.excerpts[trial.intruder].marked, True,
                   Judgement(answer[trial.intruder] if answer else math.nan, _outcome(reading, answer), reading.usage))
            for trial, reading, answer in zip(group, readings, answers, strict=True)
        )  # fmt: skip
        given = [(answer, trial.intruder) for answer, trial in zip(answers, group, strict=True) if answer]
        silent = len(group) - len(given)
        if not given or silent > self.maximum_missing * len(group):
            reason = _why_missing(cases)
            return Scored(Scores({}, missing={NAME: reason}, judgements=len(group), missing_judgements=silent), cases)
        hits = [share_of_hit(answer, place) for answer, place in given]
        value = math.fsum(hits) / len(hits)
        return Scored(Scores({NAME: value}, judgements=len(group), missing_judgements=silent), cases)


def trials_of(record: Record, level: int) -> list[Trial]:
    """Return the trials of a unit, made of all its excerpts: no explanation is in play that could have seen any."""
    excerpts = excerpts_of(record)
    of_kind = {kind: [excerpt for excerpt in excerpts if excerpt.kind is kind] for kind in ExcerptKind}
    return trials(of_kind[ExcerptKind.TOP], of_kind[ExcerptKind.RANDOM], level)


def places(reading: LevelReading) -> tuple[float, ...]:
    """Return the probability of each place, 1 to 5, of a reading of the digits 0 to 5; empty if it has none."""
    if reading.outcome is not Outcome.OK or not reading.seen[0]:
        return ()
    shares = reading.probabilities[0][1:]
    total = math.fsum(shares)
    return tuple(share / total for share in shares) if total > 0 else ()


def share_of_hit(answer: Sequence[float], place: int) -> float:
    """Return 1 if a place has the highest probability, its share if several have, else 0."""
    best = [position for position, share in enumerate(answer) if share == max(answer)]
    return 1 / len(best) if place in best else 0.0


def _outcome(reading: LevelReading, answer: Sequence[float]) -> Outcome:
    return reading.outcome if answer or reading.outcome is not Outcome.OK else Outcome.EMPTY


def _why_missing(cases: Sequence[Judged]) -> str:
    if not cases:
        return "the unit has too few excerpts with active tokens, or none without, for a trial"
    failed = Counter(case.judgement.outcome.value for case in cases if math.isnan(case.judgement.probability))
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(failed.items()))
    return f"{failed.total()} of {len(cases)} trials have no answer (outcomes: {outcomes})"
