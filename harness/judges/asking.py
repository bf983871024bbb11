"""What judges share: one prompt for each case, in whose single slot a 1 (yes) or a 0 (no) is read."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.models.prompts import Prompt, load, visible
from harness.types import Judgement, JudgeQuery, LanguageModel, LevelReading, Message, Outcome, SlottedPrompt

PROMPTS = Path(__file__).parent / "prompts"
ANSWERS = 2
"""The levels that are read: 0 for no and 1 for yes."""


@dataclass(eq=False)
class Judging(ABC):
    """Asks ``model`` about one case at a time, so that no answer hangs on another.

    Instructions, worked examples and explanation come first, the text last: all but the text is shared by the cases of
    an explanation, and computed once.

    Attributes:
        model: the language model that judges.
        prompt: the name of a prompt file in this room; it has the parts system, user and slot.
    """

    model: LanguageModel
    prompt: str = ""

    def __post_init__(self) -> None:
        self._prompt: Prompt = load(PROMPTS, self.prompt)

    @property
    def prompt_version(self) -> str:
        """The prompt file's name and a hash of its content."""
        return self._prompt.version

    @abstractmethod
    def shown(self, query: JudgeQuery) -> str:
        """The text of a case, as the judge sees it."""

    def judge(self, queries: Sequence[JudgeQuery]) -> list[Judgement]:
        """One judgement for each case, in order; its probability is NaN where the model gives none."""
        opening = self._prompt.opening({}, self._worked)
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
        variables = {"explanation": query.explanation.text, "text": self.shown(query)}
        return Message("user", self._prompt.render("user", variables))

    def _worked(self, example: Mapping[str, Any]) -> str:
        """The assistant's turn of a worked example."""
        return self._prompt.render("slot", {}) + str(example["answer"])


def _judgement(reading: LevelReading) -> Judgement:
    """What was read in the single slot; an answer that is neither yes nor no is empty."""
    if reading.outcome is not Outcome.OK:
        return Judgement(math.nan, reading.outcome, reading.usage)
    if not reading.seen[0]:
        return Judgement(math.nan, Outcome.EMPTY, reading.usage)
    return Judgement(reading.probabilities[0][1], Outcome.OK, reading.usage)


def text_of(tokens: Sequence[str], marked: Sequence[int] = ()) -> str:
    """Tokens as one line of text; runs of marked ones stand between « and »."""
    inside = set(marked)
    pieces = []
    for place, token in enumerate(tokens):
        begins = place in inside and place - 1 not in inside
        ends = place in inside and place + 1 not in inside
        pieces.append("«" * begins + visible(token) + "»" * ends)
    return "".join(pieces)
