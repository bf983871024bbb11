"""A planted neuron that fires on one word: who is told the word is judged right, who is told another is not."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from harness import pipeline, stats, tasks
from harness.judges.detection import Detection
from harness.judges.fuzzing import Fuzzing
from harness.scores import ScoreSettings, unscored, with_judgements
from harness.types import (
    Excerpt,
    ExcerptKind,
    Explanation,
    Identity,
    JudgeQuery,
    LevelReading,
    Moments,
    NeuronId,
    NeuronRecord,
    Outcome,
    Role,
    ScoredExplanation,
    SlottedPrompt,
    TokenSums,
    Usage,
)

NEURON = NeuronId(1, 2)
SETTINGS = ScoreSettings(ablation=False, judges={"detection": {}, "fuzzing": {}}, maximum_missing=0.0)


class Literal:
    """A model that takes an explanation for a word, and looks whether it is in the text, or is what is marked there."""

    def __init__(self, transport: str = "prompt", fails: str = "nowhere") -> None:
        self.identity = Identity("literal", "0", transport=transport)
        self.fails = fails

    def levels(self) -> int:
        return 11

    def complete(self, prompts: Sequence[object]) -> list[object]:
        raise AssertionError("a judge reads")

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> list[LevelReading]:
        return [self._read(prompt.messages[-1].content) for prompt in prompts]

    def _read(self, question: str) -> LevelReading:
        said, text = re.fullmatch(r"The neuron fires on (.*)\nText: (.*)", question).groups()  # type: ignore[union-attr]
        if self.fails in text:
            return LevelReading((), (), (), Outcome.REFUSED)
        marked = re.findall("«(.*?)»", text)
        yes = all(said in mark for mark in marked) if marked else said in text
        share = 0.9 if yes else 0.2
        return LevelReading(((1 - share, share),), (1.0,), (2,), usage=Usage(1, 0, 5))


def excerpt(number: int, kind: ExcerptKind, fires: bool) -> Excerpt:
    words = [f" {kind}{number}", " on", " sea" if fires else " land", " a", " tree", " grew"]
    activations = [0.0, 0.0, 9.0 if fires else 0.0, 0.1, 0.0, 0.2]
    return Excerpt(tuple(words), (), tuple(activations), kind)


@pytest.fixture
def record() -> NeuronRecord:
    top = tuple(excerpt(number, ExcerptKind.TOP, True) for number in range(12))
    random = tuple(excerpt(number, ExcerptKind.RANDOM, False) for number in range(9))
    moments = Moments(100, 0.1, 1.0, 0.0, 3.0, 0.1, 9.0)
    return NeuronRecord(NEURON, top, random, moments, TokenSums((), np.zeros(0, dtype=np.int64), np.zeros(0)))


def judged(record: NeuronRecord, model: Literal, *told: Explanation) -> list[ScoredExplanation]:
    judges = [Detection(model), Fuzzing(model)]
    says = {judge.name: pipeline.gives_probabilities(judge) for judge in judges}
    return [
        ScoredExplanation(one, (), None, with_judgements(unscored("no simulator here"), some, SETTINGS, says), some)
        for one, some in zip(told, pipeline.judge(judges, told, [record], SETTINGS), strict=True)
    ]


SEA, TREE = (Explanation(NEURON, "x", text=text) for text in ("sea", "tree"))


def test_the_true_explanation_is_judged_right_and_a_false_one_at_chance(record: NeuronRecord) -> None:
    true, false = judged(record, Literal(), SEA, TREE)
    assert true.scores.values == dict.fromkeys(("detection", "detection_auroc", "fuzzing", "fuzzing_auroc"), 1.0)
    # The tree stands in every text, and is never all that is marked.
    assert false.scores.values["detection"] == false.scores.values["detection_auroc"] == 0.5
    assert false.scores.values["fuzzing"] <= 0.5
    assert (true.scores.judgements, true.scores.missing_judgements) == (6 + 6, 0)


@pytest.mark.parametrize("split", ["test", "valid"])
def test_judges_are_asked_about_the_chosen_split_and_nothing_else(record: NeuronRecord, split: str) -> None:
    settings = dataclasses.replace(SETTINGS, judged_split=split)
    (found,) = pipeline.judge([Detection(Literal()), Fuzzing(Literal())], [SEA], [record], settings)
    dealt = tasks.split_record(record)
    assert {one.excerpt.digest for one in found} == {one.digest for one in getattr(dealt, split)}
    shown = {one.digest for one in (*dealt.train, *dealt.calibration)}
    assert not shown & {one.excerpt.digest for one in found}


def test_weak_firing_is_not_firing_below_the_judged_level(record: NeuronRecord) -> None:
    weak = dataclasses.replace(
        record, random=tuple(dataclasses.replace(one, activations=(2.0,) * 6) for one in record.random)
    )
    for level, firing in ((1, 6), (3, 3)):
        settings = dataclasses.replace(SETTINGS, judged_level=level, active_level=10)
        (found,) = pipeline.judge([Detection(Literal())], [SEA], [weak], settings)
        assert sum(one.truth for one in found) == firing


def test_a_judge_is_never_told_an_activation() -> None:
    assert set(JudgeQuery.__dataclass_fields__) == {"explanation", "tokens", "marked"}


@pytest.mark.parametrize(
    "wordless",
    [
        Explanation(NEURON, "x", outcome=Outcome.REFUSED),
        Explanation(NEURON, "x", table={" sea": 9.0}),
        Explanation(NEURON, "x", text=" \n"),
    ],
)
def test_what_has_no_words_is_not_judged_and_has_no_score(record: NeuronRecord, wordless: Explanation) -> None:
    found, told = judged(record, Literal(), wordless, SEA)
    assert (found.judged, found.scores.values, found.scores.judgements) == ((), {}, 0)
    assert found.scores.missing["detection"] == "there are no words, or no cases, to judge"
    assert told.scores.values["detection"] == 1.0  # its neighbour gets its own answers


def test_a_perfect_judge_that_refuses_some_texts_has_no_score_and_says_so(record: NeuronRecord) -> None:
    (found,) = judged(record, Literal(fails="land"), SEA)
    assert set(found.scores.values) == {"fuzzing", "fuzzing_auroc"}  # asked about texts with the sea only
    assert found.scores.missing["detection"] == "3 of 6 judgements are missing (outcomes: 3 refused)"
    assert (found.scores.judgements, found.scores.missing_judgements) == (12, 3)


def test_written_answers_have_no_auroc(record: NeuronRecord) -> None:
    (found,) = judged(record, Literal(transport="text"), SEA)
    assert set(found.scores.values) == {"detection", "fuzzing"}


def test_a_row_counts_what_judges_did_and_cost(record: NeuronRecord) -> None:
    row = stats.summarise("x", Role.EXPLAINER, "s", judged(record, Literal(fails="land"), SEA), seed=0)
    assert (row.judgements, row.missing_judgements) == (12, 3)
    assert row.judge_usage == Usage(9, 0, 45)
    assert row.usage == row.judge_usage
    assert row.metrics["fuzzing"].mean == 1.0


def test_the_same_cases_are_put_to_every_explainer(record: NeuronRecord) -> None:
    found = pipeline.judge([Fuzzing(Literal())], [SEA, TREE, SEA], [record], SETTINGS)
    assert all(
        [(a.excerpt, a.marked) for a in left] == [(b.excerpt, b.marked) for b in right]
        for left, right in pairwise(found)
    )
