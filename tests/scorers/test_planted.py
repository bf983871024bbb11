"""A planted neuron that fires on one word: the true explanation is judged right, a false one at chance."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from harness import pipeline
from harness.results.rows import Resampling, summarise
from harness.scorers.detection import Detection
from harness.scorers.fuzzing import Fuzzing
from harness.tasks.splits import deal
from harness.types import (
    Excerpt,
    ExcerptKind,
    Explanation,
    Identity,
    LevelReading,
    Moments,
    Outcome,
    Record,
    Role,
    RowKey,
    ScoredExplanation,
    Scorer,
    SimulatedExplanation,
    SlottedPrompt,
    TokenSums,
    Unit,
    UnitRecord,
    Usage,
)

NEURON = Unit("N", 1, 2)


class Literal:
    """A model that takes an explanation for a word, and looks for it in the text, or in what is marked there."""

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
        match = re.fullmatch(r"The neuron fires on (.*)\nText: (.*)", question)
        assert match is not None
        word, text = match.groups()
        if self.fails in text:
            return LevelReading((), (), (), Outcome.REFUSED)
        marks = re.findall("«(.*?)»", text)
        yes = all(word in mark for mark in marks) if marks else word in text
        share = 0.9 if yes else 0.2
        return LevelReading(((1 - share, share),), (1.0,), (2,), usage=Usage(1, 0, 5))


def excerpt(number: int, kind: ExcerptKind, fires: bool) -> Excerpt:
    words = [f" {kind}{number}", " on", " sea" if fires else " land", " a", " tree", " grew"]
    activations = [0.0, 0.0, 9.0 if fires else 0.0, 0.1, 0.0, 0.2]
    return Excerpt(tuple(words), (), tuple(activations), kind)


@pytest.fixture
def source() -> UnitRecord:
    top = tuple(excerpt(number, ExcerptKind.TOP, True) for number in range(12))
    random = tuple(excerpt(number, ExcerptKind.RANDOM, False) for number in range(9))
    moments = Moments(100, 0.1, 1.0, 0.0, 3.0, 0.1, 9.0)
    return UnitRecord(NEURON, top, random, moments, TokenSums((), np.zeros(0, dtype=np.int64), np.zeros(0)))


@pytest.fixture
def record(source: UnitRecord) -> Record:
    return deal(source)


def judges(model: Literal, maximum_missing: float = 0.0) -> dict[str, Scorer]:
    return {
        "detection": Detection(model, maximum_missing=maximum_missing),
        "fuzzing": Fuzzing(model, maximum_missing=maximum_missing),
    }


def scored(record: Record, scorers: dict[str, Scorer], *explanations: Explanation) -> list[ScoredExplanation]:
    simulated = [SimulatedExplanation(explanation, record, "none", (), None) for explanation in explanations]
    return pipeline.score(scorers, simulated, lambda _: None)


SEA, TREE = (Explanation(NEURON, text, explainer="x") for text in ("sea", "tree"))


def test_the_true_explanation_is_judged_right_and_a_false_one_at_chance(record: Record) -> None:
    true, false = scored(record, judges(Literal()), SEA, TREE)
    assert true.scores.values == dict.fromkeys(("detection", "detection_auroc", "fuzzing", "fuzzing_auroc"), 1.0)
    # The tree stands in every text, and is never all that is marked.
    assert false.scores.values["detection"] == false.scores.values["detection_auroc"] == 0.5
    assert false.scores.values["fuzzing"] <= 0.5
    assert (true.scores.judgements, true.scores.missing_judgements) == (6 + 6, 0)


@pytest.mark.parametrize("split", ["test", "valid"])
def test_judges_are_asked_about_the_chosen_split_and_nothing_else(record: Record, split: str) -> None:
    scorers = {"detection": Detection(Literal(), split=split), "fuzzing": Fuzzing(Literal(), split=split)}
    (item,) = scored(record, scorers, SEA)
    assert {case.judge for case in item.judged} == {"detection", "fuzzing"}
    digests = {case.excerpt.digest for case in item.judged}
    assert digests == {excerpt.digest for excerpt in getattr(record.splits, split)}
    assert not digests & {excerpt.digest for excerpt in (*record.splits.train, *record.splits.calibration)}


def test_weak_firing_is_not_firing_below_the_judged_level(source: UnitRecord) -> None:
    random = tuple(dataclasses.replace(excerpt, activations=(2.0,) * 6) for excerpt in source.random)
    weak = deal(dataclasses.replace(source, random=random))
    for level, firing in ((1, 6), (3, 3)):
        (item,) = scored(weak, {"detection": Detection(Literal(), level=level)}, SEA)
        assert sum(case.truth for case in item.judged) == firing


@pytest.mark.parametrize(
    "wordless",
    [
        Explanation(NEURON, outcome=Outcome.REFUSED, explainer="x"),
        Explanation(NEURON, table={" sea": 9.0}, explainer="x"),
        Explanation(NEURON, " \n", explainer="x"),
    ],
)
def test_an_explanation_without_words_is_not_judged_and_has_no_score(record: Record, wordless: Explanation) -> None:
    item, neighbour = scored(record, judges(Literal()), wordless, SEA)
    assert (item.judged, item.scores.values, item.scores.judgements) == ((), {}, 0)
    assert item.scores.missing["detection"] == "there are no words, or no cases, to judge"
    assert neighbour.scores.values["detection"] == 1.0  # each gets its own answers


def test_a_perfect_judge_that_refuses_some_texts_has_no_score_and_says_so(record: Record) -> None:
    (item,) = scored(record, judges(Literal(fails="land")), SEA)
    assert set(item.scores.values) == {"fuzzing", "fuzzing_auroc"}  # asked about texts with the sea only
    assert item.scores.missing["detection"] == "3 of 6 judgements are missing (outcomes: 3 refused)"
    assert (item.scores.judgements, item.scores.missing_judgements) == (12, 3)
    (item,) = scored(record, judges(Literal(fails="land"), maximum_missing=0.5), SEA)
    assert item.scores.missing == {
        "detection": "all cases have the same right answer",
        "detection_auroc": "all cases have the same right answer",
    }


def test_written_answers_have_no_auroc(record: Record) -> None:
    (item,) = scored(record, judges(Literal(transport="text")), SEA)
    assert set(item.scores.values) == {"detection", "fuzzing"}


def test_a_row_counts_what_judges_did_and_cost(record: Record) -> None:
    items = scored(record, judges(Literal(fails="land")), SEA)
    row = summarise(RowKey("x", "none"), Role.EXPLAINER, items, Resampling())
    assert (row.judgements, row.missing_judgements) == (12, 3)
    assert row.judge_usage == Usage(9, 0, 45)
    assert row.usage == row.judge_usage
    assert row.metrics["fuzzing"].mean == 1.0


def test_the_same_cases_are_put_to_every_explainer(record: Record) -> None:
    items = scored(record, {"fuzzing": Fuzzing(Literal())}, SEA, TREE, SEA)
    cases = [[(case.excerpt, case.marked) for case in item.judged] for item in items]
    assert all(first == second for first, second in pairwise(cases))
    assert cases[0]
