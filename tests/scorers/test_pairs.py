"""A judge of pairs is asked about one pair a prompt, of heads alone, and sees no activation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from harness.jobs.estimate import SilentSubject
from harness.jobs.tools import StoredSubject
from harness.models.meter import Meter
from harness.models.store import Store
from harness.scorers.pairs import PairActivations, PairReading, Pairs, pair_text
from harness.subjects.heads import Heads
from harness.subjects.transformers_subject import TransformersSubject
from harness.types import (
    Excerpt,
    ExcerptKind,
    Explanation,
    Identity,
    LevelReading,
    NeuroglossError,
    Outcome,
    Record,
    SimulatedExplanation,
    SlottedPrompt,
    Splits,
    TokenSums,
    Unit,
    Usage,
)

TOKENS = ("<s>", " the", " cat", " sat", " on", " the", " mat", " and", " the", " cat")
HEAD = Unit("H", 1, 2)


class Back:
    """A head that attends from each "the" to the last cat before it."""

    identity = Identity("back", "0")

    def __init__(self) -> None:
        self.readings: list[PairReading] = []

    def pairs_of(self, readings: Sequence[PairReading]) -> list[PairActivations]:
        self.readings += readings
        pairs = np.zeros((10, 10))
        pairs[5, 2], pairs[8, 2] = 2.0, 1.0
        rows = tuple(tuple(map(float, row[: query + 1])) for query, row in enumerate(pairs))
        return [rows for _ in readings]


class Judge:
    """Says yes with 0.9 where "the" attends to "cat", and 0.2 elsewhere; nothing at all if it is ``silent``."""

    def __init__(self, silent: bool = False, transport: str = "prompt") -> None:
        self.identity = Identity("judge", "0", transport=transport)
        self.silent, self.prompts = silent, list[SlottedPrompt]()

    def levels(self) -> int:
        return 11

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> list[LevelReading]:
        self.prompts += prompts
        return [self.reading(prompt.messages[-1].content) for prompt in prompts]

    def reading(self, text: str) -> LevelReading:
        yes = 0.9 if "« cat»" in text and "[[ the]]" in text else 0.2
        outcome = Outcome.FAILED if self.silent else Outcome.OK
        return LevelReading(((1 - yes, yes),), (1.0,), (2,), outcome=outcome, usage=Usage(1, 0, 10, 0))

    def complete(self, prompts: Sequence[object]) -> list[object]:
        raise AssertionError("a judge reads, and asks for no text")


def explained(unit: Unit = HEAD, text: str = "the last animal", excerpts: int = 2) -> SimulatedExplanation:
    members = tuple(
        Excerpt(TOKENS, tuple(range(10)), (0.5,) * 10, ExcerptKind.TOP, source=f"{number}", leading=1)
        for number in range(excerpts)
    )
    record = Record(
        unit, Splits((), (), (), members), (), TokenSums((), np.zeros(0, dtype=np.int64), np.zeros(0)), 0.0, 0.0
    )
    return SimulatedExplanation(Explanation(unit, text), record, "s", (), None)


def test_a_judge_that_knows_has_the_best_figures_and_is_shown_both_marks() -> None:
    judge, subject = Judge(), Back()
    (scored,) = Pairs(judge, subject).score([explained()])
    assert scored.scores.values == {"pairs": 1.0, "pairs_key": 1.0, "pairs_distance": 1.0, "pairs_random": 1.0}
    assert subject.readings == [PairReading(HEAD, tuple(range(10)))] * 2
    assert (len(judge.prompts), scored.scores.judgements) == (8, 8)
    assert judge.prompts[0].messages[-1].content == (
        "The head attends to the last animal\nText: <s> the« cat» sat on[[ the]] mat and the cat"
    )
    assert [case.truth for case in scored.judged[:4]] == [True, False, False, False]
    assert scored.judged[0].marked == (2, 5)


def test_a_token_that_attends_to_itself_has_both_marks() -> None:
    assert pair_text(["a", "\n"], 1, 1) == "a[[«\\n»]]"


@pytest.mark.parametrize(
    ("judge", "explanation", "reason"),
    [
        (Judge(), explained(Unit("N", 1, 2)), "the unit is no attention head"),
        (Judge(), explained(text=""), "there are no words to judge"),
        (Judge(), explained(excerpts=0), "no excerpt has token ids and a pair that is attended"),
        (Judge(transport="text"), explained(), "the judge writes its answers, and gives no probabilities"),
        (Judge(silent=True), explained(), "8 of 8 judgements are missing"),
    ],
)
def test_what_has_no_figure_says_why(judge: Judge, explanation: SimulatedExplanation, reason: str) -> None:
    (scored,) = Pairs(judge, Back()).score([explanation])
    assert scored.scores.values == {}
    assert set(scored.scores.missing.values()) == {reason}


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(NeuroglossError, match=r"scores\.pairs\.split is 'train'; write test or valid"):
        Pairs(Judge(), Back(), split="train")
    with pytest.raises(NeuroglossError, match=r"scores\.pairs\.level is 0; write a level"):
        Pairs(Judge(), Back(), level=0)


def test_a_plan_counts_as_many_prompts_without_asking_the_subject() -> None:
    judge = Judge()
    Pairs(judge, SilentSubject(TransformersSubject("nowhere"))).score([explained()])  # which is never loaded
    assert len(judge.prompts) == 8


def test_a_subject_tells_its_pairs_through_the_store(tiny_llama: Path, tmp_path: Path) -> None:
    """They sum to the activations of tokens, and are read once."""
    subject = TransformersSubject(str(tiny_llama), unit=Heads())
    ids = (5, 17, 300, 2, 44, 9)
    with Store(tmp_path / "store.sqlite") as store:
        stored = StoredSubject(subject, store, Meter())
        readings = [PairReading(HEAD, ids), PairReading(Unit("H", 0, 1), ids[:4]), PairReading(HEAD, ids[::-1])]
        answers = stored.pairs_of(readings)
        broken = dataclasses.replace(stored, subject=_Unread(subject.identity))
        assert broken.pairs_of(readings) == answers
    for reading, rows in zip(readings, answers, strict=True):
        assert [len(row) for row in rows] == list(range(1, len(reading.token_ids) + 1))
        (expected,) = subject.activations(reading.unit, [reading.token_ids])
        np.testing.assert_allclose([sum(row) for row in rows], expected, rtol=1e-5, atol=1e-6)
        assert all(row[0] == 0 for row in rows)


class _Unread:
    """A subject that must not be asked anything."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity


def test_neurons_attend_to_nothing(tiny_llama: Path) -> None:
    with pytest.raises(NeuroglossError, match="L1N3 is a neuron, which attends to no token; use unit=head"):
        TransformersSubject(str(tiny_llama)).pairs(Unit("N", 1, 3), [(5, 17)])
