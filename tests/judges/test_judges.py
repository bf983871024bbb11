"""Judges ask one prompt a case, read a yes or a no, and are shown what they should be and nothing more."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.judges import asking
from harness.judges.asking import Judging, text_of
from harness.judges.detection import Detection
from harness.judges.fuzzing import Fuzzing
from harness.models.backend import StoredModel
from harness.models.fake import FakeModel
from harness.models.prompts import load
from harness.models.store import Store
from harness.types import (
    Explanation,
    Identity,
    Judge,
    JudgeQuery,
    LevelReading,
    NeuronId,
    Outcome,
    SlottedPrompt,
    Usage,
)

TOLD = Explanation(NeuronId(0, 1), "x", text="words for\nthe sea")
KINDS: list[type[Detection] | type[Fuzzing]] = [Detection, Fuzzing]


class Knowing:
    """Reads yes with 0.8 where the last message holds ``sign``, with 0.1 elsewhere; keeps what it was asked."""

    identity = Identity("knowing", "0", transport="prompt")

    def __init__(self, sign: str) -> None:
        self.sign = sign
        self.asked: list[SlottedPrompt] = []

    def levels(self) -> int:
        return 11

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> list[LevelReading]:
        self.asked += prompts
        return [self._one(prompt) for prompt in prompts]

    def _one(self, prompt: SlottedPrompt) -> LevelReading:
        yes = 0.8 if self.sign in prompt.messages[-1].content else 0.1
        return LevelReading(((1 - yes, yes),), (1.0,), (2,), usage=Usage(1, 0, 10, 0))

    def complete(self, prompts: Sequence[object]) -> list[object]:
        raise AssertionError("a judge reads, and asks for no text")


def query(*tokens: str, marked: tuple[int, ...] = ()) -> JudgeQuery:
    return JudgeQuery(TOLD, tokens, marked)


def test_text_shows_runs_of_marked_tokens_on_one_line() -> None:
    assert text_of(["a", " b", " c", "\n", " d"], (1, 2, 4)) == "a« b c»\\n« d»"
    assert text_of(["a", " b"]) == "a b"


@pytest.mark.parametrize("kind", KINDS)
def test_a_case_is_one_prompt_with_one_slot_for_yes_or_no(kind: type[Detection]) -> None:
    model = Knowing("boat")
    judge = kind(model)
    assert isinstance(judge, Judge)
    found = judge.judge([query("a", " boat"), query("a", " tree", marked=(1,))])
    assert [one.probability for one in found] == [0.8, 0.1]
    assert [one.usage.prompt_tokens for one in found] == [10, 10]
    for prompt in model.asked:
        assert (prompt.levels, len(prompt.parts)) == (2, 1)
        assert prompt.prompt_version == judge.prompt_version
        assert prompt.messages[-1].content.startswith("The neuron fires on words for the sea\n")
        assert prompt.messages[:-1] == model.asked[0].messages[:-1]  # the opening, which all share


def test_only_fuzzing_shows_marks() -> None:
    asked = {kind: Knowing("") for kind in KINDS}
    for kind, model in asked.items():
        kind(model).judge([query("a", " boat", marked=(1,))])
    assert asked[Detection].asked[0].messages[-1].content.endswith("Text: a boat")
    assert asked[Fuzzing].asked[0].messages[-1].content.endswith("Text: a« boat»")


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_was_not_given_is_missing_and_named(kind: type[Detection]) -> None:
    class Dumb(Knowing):
        def _one(self, prompt: SlottedPrompt) -> LevelReading:
            if self.sign in prompt.messages[-1].content:
                return LevelReading(((math.nan, math.nan),), (0.0,), (0,))
            return LevelReading((), (), (), Outcome.REFUSED)

    unread, refused = kind(Dumb("boat")).judge([query("a", " boat"), query("a", " tree")])
    assert math.isnan(unread.probability)
    assert math.isnan(refused.probability)
    assert (unread.outcome, refused.outcome) == (Outcome.EMPTY, Outcome.REFUSED)


def test_nothing_to_ask_asks_nothing() -> None:
    model = Knowing("")
    assert Detection(model).judge([]) == []
    assert model.asked == []


@pytest.mark.parametrize("kind", KINDS)
def test_answers_come_from_the_store_the_second_time(kind: type[Detection], tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Store(tmp_path / "store.sqlite") as store:
        first, again = (
            kind(StoredModel(FakeModel(log=str(log)), store)).judge([query("a", " boat"), query("a", " sea")])
            for _ in range(2)
        )
    assert [one.probability for one in first] == [one.probability for one in again]
    assert len(log.read_text().split()) == 2
    assert [one.usage.stored for one in again] == [1, 1]


def test_a_failing_model_fails_its_cases_alone(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        queries = [query("a", f" word{number}") for number in range(30)]
        found = Detection(StoredModel(FakeModel(fail_every=2), store)).judge(queries)
    failed = [one for one in found if one.outcome is Outcome.FAILED]
    assert 0 < len(failed) < 30
    assert all(math.isnan(one.probability) is (one.outcome is Outcome.FAILED) for one in found)


@pytest.mark.parametrize(("kind", "marks"), [(Detection, False), (Fuzzing, True)])
def test_worked_examples_are_balanced_and_show_what_cases_show(kind: type[Judging], marks: bool) -> None:
    prompt = load(asking.PROMPTS, kind(Knowing("")).prompt)  # type: ignore[abstract]
    answers = [example["answer"] for example in prompt.examples]
    assert answers.count(1) == answers.count(0) > 1
    assert all(bool(re.search("«.+?»", example["text"])) is marks for example in prompt.examples)
    assert set(prompt.parts) == {"system", "user", "slot"}
