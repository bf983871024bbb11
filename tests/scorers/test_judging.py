"""Judges ask one prompt a case, read a yes or a no, and are shown what they should be and nothing more."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from harness.models.backend import StoredModel
from harness.models.fake import FakeModel
from harness.models.prompts import load
from harness.models.store import Store
from harness.scorers import judging
from harness.scorers.detection import Detection
from harness.scorers.fuzzing import Fuzzing
from harness.scorers.judging import JudgeQuery, text_of
from harness.types import (
    Excerpt,
    ExcerptKind,
    Explanation,
    Heading,
    Identity,
    LevelReading,
    NeuroglossError,
    Outcome,
    Record,
    Scorer,
    ScorerInfo,
    SimulatedExplanation,
    SlottedPrompt,
    Splits,
    TokenSums,
    Unit,
    Usage,
)

EXPLANATION = Explanation(Unit("N", 0, 1), "words for\nthe sea")
JUDGES: list[type[Detection] | type[Fuzzing]] = [Detection, Fuzzing]


class Knowing:
    """Reads yes with 0.8 where the last message holds ``sign``, with 0.1 elsewhere; keeps what it is asked."""

    identity = Identity("knowing", "0", transport="prompt")

    def __init__(self, sign: str) -> None:
        self.sign = sign
        self.prompts: list[SlottedPrompt] = []

    def levels(self) -> int:
        return 11

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> list[LevelReading]:
        self.prompts += prompts
        return [self.reading(prompt) for prompt in prompts]

    def reading(self, prompt: SlottedPrompt) -> LevelReading:
        yes = 0.8 if self.sign in prompt.messages[-1].content else 0.1
        return LevelReading(((1 - yes, yes),), (1.0,), (2,), usage=Usage(1, 0, 10, 0))

    def complete(self, prompts: Sequence[object]) -> list[object]:
        raise AssertionError("a judge reads, and asks for no text")


def query(*tokens: str, marked: tuple[int, ...] = ()) -> JudgeQuery:
    return JudgeQuery(EXPLANATION, tokens, marked)


def test_text_shows_runs_of_marked_tokens_on_one_line() -> None:
    assert text_of(["a", " b", " c", "\n", " d"], (1, 2, 4)) == "a« b c»\\n« d»"
    assert text_of(["a", " b"]) == "a b"


@pytest.mark.parametrize("kind", JUDGES)
def test_a_case_is_one_prompt_with_one_slot_for_yes_or_no(kind: type[Detection]) -> None:
    model = Knowing("boat")
    judge = kind(model)
    judgements = judge.judge([query("a", " boat"), query("a", " tree", marked=(1,))])
    assert [judgement.probability for judgement in judgements] == [0.8, 0.1]
    assert [judgement.usage.prompt_tokens for judgement in judgements] == [10, 10]
    for prompt in model.prompts:
        assert (prompt.levels, len(prompt.parts)) == (2, 1)
        assert prompt.prompt_version == judge.describe().prompt_version
        assert prompt.messages[-1].content.startswith("The neuron fires on words for the sea\n")
        assert prompt.messages[:-1] == model.prompts[0].messages[:-1]  # the opening, which all share


@pytest.mark.parametrize("kind", JUDGES)
def test_a_judge_is_a_scorer_that_names_its_model_prompt_and_columns(kind: type[Detection]) -> None:
    judge = kind(Knowing(""))
    assert isinstance(judge, Scorer)
    version = load(judging.PROMPTS, f"{kind.name}-v1").version
    columns = (
        Heading(kind.name, kind.name, kind.name, with_interval=True, judged=True),
        Heading(f"{kind.name}_auroc", "AUROC", f"{kind.name} AUROC", judged=True),
        Heading(f"{kind.name}_hard", "hard", f"{kind.name}, hard negatives", judged=True),
    )
    assert judge.describe() == ScorerInfo(kind.name, Knowing.identity, version, columns)


def test_only_fuzzing_shows_marks() -> None:
    models = {kind: Knowing("") for kind in JUDGES}
    for kind, model in models.items():
        kind(model).judge([query("a", " boat", marked=(1,))])
    assert models[Detection].prompts[0].messages[-1].content.endswith("Text: a boat")
    assert models[Fuzzing].prompts[0].messages[-1].content.endswith("Text: a« boat»")


@pytest.mark.parametrize("kind", JUDGES)
def test_an_answer_that_was_not_given_is_missing_and_named(kind: type[Detection]) -> None:
    class Dumb(Knowing):
        def reading(self, prompt: SlottedPrompt) -> LevelReading:
            if self.sign in prompt.messages[-1].content:
                return LevelReading(((math.nan, math.nan),), (0.0,), (0,))
            return LevelReading((), (), (), Outcome.REFUSED)

    unread, refused = kind(Dumb("boat")).judge([query("a", " boat"), query("a", " tree")])
    assert math.isnan(unread.probability)
    assert math.isnan(refused.probability)
    assert (unread.outcome, refused.outcome) == (Outcome.EMPTY, Outcome.REFUSED)


def explained(*excerpts: Excerpt) -> SimulatedExplanation:
    sums = TokenSums(("boat", "sea"), np.array([1, 1]), np.array([9.0, 1.0]))
    record = Record(EXPLANATION.unit, Splits((), (), (), excerpts), (), sums, 0.0, 0.0)
    return SimulatedExplanation(EXPLANATION, record, "", (), None)


@pytest.mark.parametrize("kind", JUDGES)
def test_hard_excerpts_stand_in_place_of_false_cases_in_a_score_of_their_own(kind: type[Detection]) -> None:
    """The judge says yes to all that is about a boat: right but for the hard excerpt, which the plain score omits."""
    top = Excerpt((" in", "boat", " at"), (), (0.0, 9.0, 0.0), ExcerptKind.TOP)
    random = Excerpt((" in", " at", " on"), (), (0.0, 0.0, 0.0), ExcerptKind.RANDOM)
    hard = Excerpt(("boat", " at", "sea"), (), (0.0, 0.0, 1.0), ExcerptKind.HARD)
    judge = kind(Knowing("«boat»" if kind is Fuzzing else "boat"))
    (easy,), (both,) = judge.score([explained(top, random)]), judge.score([explained(top, random, hard)])
    assert easy.scores.values[kind.name] == both.scores.values[kind.name] == 1.0
    assert f"{kind.name}_hard" not in {**easy.scores.values, **easy.scores.missing}
    assert both.scores.values[f"{kind.name}_hard"] == 0.5
    assert both.scores.values[f"{kind.name}_hard_auroc"] == 0.5
    assert both.scores.judgements == easy.scores.judgements + 1


def test_nothing_to_ask_asks_nothing() -> None:
    model = Knowing("")
    assert Detection(model).judge([]) == []
    assert Detection(model).score([]) == []
    assert model.prompts == []


@pytest.mark.parametrize("kind", JUDGES)
def test_answers_come_from_the_store_the_second_time(kind: type[Detection], tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Store(tmp_path / "store.sqlite") as store:
        first, again = (
            kind(StoredModel(FakeModel(log=str(log)), store)).judge([query("a", " boat"), query("a", " sea")])
            for _ in range(2)
        )
    assert [judgement.probability for judgement in first] == [judgement.probability for judgement in again]
    assert len(log.read_text().split()) == 2
    assert [judgement.usage.stored for judgement in again] == [1, 1]


def test_a_failing_model_fails_its_cases_alone(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        queries = [query("a", f" word{number}") for number in range(30)]
        judgements = Detection(StoredModel(FakeModel(fail_every=2), store)).judge(queries)
    failed = [judgement for judgement in judgements if judgement.outcome is Outcome.FAILED]
    assert 0 < len(failed) < 30
    assert all(math.isnan(judgement.probability) is (judgement.outcome is Outcome.FAILED) for judgement in judgements)


@pytest.mark.parametrize(("kind", "marks"), [(Detection, False), (Fuzzing, True)])
def test_worked_examples_are_balanced_and_show_what_cases_show(kind: type[Detection], marks: bool) -> None:
    prompt = load(judging.PROMPTS, kind(Knowing("")).prompt)
    answers = [example["answer"] for example in prompt.examples]
    assert answers.count(1) == answers.count(0) > 1
    assert all(bool(re.search("«.+?»", example["text"])) is marks for example in prompt.examples)
    assert set(prompt.parts) == {"system", "user", "slot"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"split": "train"}, r"^scores\.fuzzing\.split is 'train'; write test or valid: "),
        ({"level": 0}, r"^scores\.fuzzing\.level is 0; write a level from 1 to 10\.$"),
        ({"level": 11}, r"^scores\.fuzzing\.level is 11; write a level from 1 to 10\.$"),
        ({"maximum_missing": -0.1}, r"^scores\.fuzzing\.maximum_missing is -0\.1; it is a share"),
        ({"maximum_missing": 5}, r"^scores\.fuzzing\.maximum_missing is 5; it is a share"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(NeuroglossError, match=message):
        Fuzzing(Knowing(""), **wrong)  # type: ignore[arg-type]


def test_a_judge_is_never_told_an_activation() -> None:
    assert set(JudgeQuery.__dataclass_fields__) == {"explanation", "tokens", "marked"}
