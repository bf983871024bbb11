"""Base class of judges: scorers with one prompt a case, whose single slot is read as 1 (yes) or 0 (no)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from harness.models.prompts import Prompt, load, visible
from harness.scorers.settings import check_judging
from harness.scores.judged import Case, figures
from harness.types import (
    Excerpt,
    ExcerptKind,
    Explanation,
    Heading,
    Judged,
    Judgement,
    LanguageModel,
    LevelReading,
    Message,
    Outcome,
    Scored,
    ScorerInfo,
    Scores,
    SimulatedExplanation,
    SlottedPrompt,
    TokenSums,
)
from harness.types.grouping import regrouped

PROMPTS = Path(__file__).parent / "prompts"
ANSWERS = 2
"""The number of levels of a slot: 0 for no and 1 for yes."""


@dataclass(frozen=True, slots=True)
class JudgeQuery:
    """A question to a judge: an explanation, the tokens of an excerpt, and the places of those that are ``marked``.

    It never holds a real activation.
    """

    explanation: Explanation
    tokens: tuple[str, ...]
    marked: tuple[int, ...] = ()


@dataclass(eq=False)
class Judging(ABC):
    """Judge that asks ``model`` about one case at a time, so that answers are independent.

    Instructions, worked examples and explanation come first and the text last: all but the text is common to the cases
    of an explanation, and computed once.

    Attributes:
        name: of the judge, which the names of its scores begin with.
        model: the language model that judges.
        prompt: the name of a file in ``prompts/`` with the parts system, user and slot.
        split: the excerpts that cases are made of, ``test`` or ``valid``: nothing of them was explained or calibrated
            on.
        level: the level, from 1 to 10, from which a token is active in a case. Most neurons of an MLP reach level 1
            somewhere in any text, so that at this level no text differs from another.
        maximum_missing: share of an explanation's cases that may lack an answer before it has no score.
    """

    name: ClassVar[str]
    model: LanguageModel
    prompt: str = ""
    split: str = "test"
    level: int = 3
    maximum_missing: float = 0.05

    def __post_init__(self) -> None:
        check_judging(self.name, self.split, self.level, self.maximum_missing)
        self._prompt: Prompt = load(PROMPTS, self.prompt)

    @abstractmethod
    def cases(self, excerpts: Sequence[Excerpt]) -> list[Case]:
        """Return the cases that excerpts make."""

    @abstractmethod
    def hard_cases(self, easy: Sequence[Excerpt], hard: Sequence[Excerpt], sums: TokenSums) -> list[Case]:
        """Return the cases that hard excerpts make beside the others of their split."""

    @abstractmethod
    def case_text(self, query: JudgeQuery) -> str:
        """Return the text of a case, as the judge sees it."""

    def describe(self) -> ScorerInfo:
        """Return which scorer this is, the model that it asks, and its columns on boards."""
        headings = (
            Heading(self.name, self.name, self.name, with_interval=True, judged=True),
            Heading(f"{self.name}_auroc", "AUROC", f"{self.name} AUROC", judged=True),
            Heading(f"{self.name}_hard", "hard", f"{self.name}, hard negatives", judged=True),
        )
        return ScorerInfo(self.name, self.model.identity, self._prompt.version, headings)

    def score(self, explanations: Sequence[SimulatedExplanation]) -> list[Scored]:
        """Score each explanation, in order; those without words make no cases. All cases are asked in one call."""
        groups = [self._cases_of(explanation) for explanation in explanations]
        queries = [
            JudgeQuery(explanation.explanation, case.excerpt.tokens, case.marked)
            for explanation, cases in zip(explanations, groups, strict=True)
            for case in cases
        ]
        judgements = regrouped(self.judge(queries), groups)
        return [self._scored(*pair) for pair in zip(groups, judgements, strict=True)]

    def _cases_of(self, explanation: SimulatedExplanation) -> list[Case]:
        if not explanation.explanation.in_words:
            return []
        record = explanation.record
        excerpts = record.splits.test if self.split == "test" else record.splits.valid
        easy = [excerpt for excerpt in excerpts if excerpt.kind is not ExcerptKind.HARD]
        hard = [excerpt for excerpt in excerpts if excerpt.kind is ExcerptKind.HARD]
        return [*self.cases(easy), *(self.hard_cases(easy, hard, record.token_sums) if hard else ())]

    def _scored(self, cases: Sequence[Case], judgements: Sequence[Judgement]) -> Scored:
        judged = tuple(
            Judged(self.name, case.excerpt, case.marked, case.truth, judgement)
            for case, judgement in zip(cases, judgements, strict=True)
        )
        probabilities = self.model.identity.transport != "text"
        easy = [case for case in judged if case.excerpt.kind is not ExcerptKind.HARD]
        values, missing = figures(self.name, easy, self.maximum_missing, probabilities)
        if len(easy) < len(judged):
            hard = [case for case in judged if case.truth or case.excerpt.kind is ExcerptKind.HARD]
            hard_values, hard_missing = figures(f"{self.name}_hard", hard, self.maximum_missing, probabilities)
            values, missing = values | hard_values, missing | hard_missing
        silent = sum(math.isnan(case.judgement.probability) for case in judged)
        scores = Scores(values, missing=missing, judgements=len(judged), missing_judgements=silent)
        return Scored(scores, judged)

    def judge(self, queries: Sequence[JudgeQuery]) -> list[Judgement]:
        """Return one judgement for each case, in order; its probability is NaN if the model gives none."""
        opening = self._prompt.opening({}, self._example_reply)
        prompts = [
            SlottedPrompt(
                messages=(*opening, self._question(query)),
                parts=(self._prompt.render("slot", {}),),
                placeholder="",
                levels=ANSWERS,
                prompt_version=self._prompt.version,
            )
            for query in queries
        ]
        readings = self.model.read_levels(prompts) if prompts else []
        return list(map(_judgement, readings))

    def _question(self, query: JudgeQuery) -> Message:
        variables = {"explanation": query.explanation.text, "text": self.case_text(query)}
        return Message("user", self._prompt.render("user", variables))

    def _example_reply(self, example: Mapping[str, Any]) -> str:
        """Return the assistant's turn of a worked example."""
        return self._prompt.render("slot", {}) + str(example["answer"])


def _judgement(reading: LevelReading) -> Judgement:
    """Return the judgement from the single slot; the outcome is empty if it holds neither yes nor no."""
    if reading.outcome is not Outcome.OK:
        return Judgement(math.nan, reading.outcome, reading.usage)
    if not reading.seen[0]:
        return Judgement(math.nan, Outcome.EMPTY, reading.usage)
    return Judgement(reading.probabilities[0][1], Outcome.OK, reading.usage)


def text_of(tokens: Sequence[str], marked: Sequence[int] = ()) -> str:
    """Return tokens as one line of text, with runs of ``marked`` positions between « and »."""
    inside = set(marked)
    pieces = []
    for place, token in enumerate(tokens):
        begins = place in inside and place - 1 not in inside
        ends = place in inside and place + 1 not in inside
        pieces.append("«" * begins + visible(token) + "»" * ends)
    return "".join(pieces)
