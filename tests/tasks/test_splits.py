"""No excerpt is in two splits, by content, and nothing of a valid or test excerpt reaches explainer or calibrator.

The second is shown by changing every valid and test excerpt of a record, its text and its activations, as if the corpus
had been another one there: an explainer is handed the same, and every calibration comes out the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import pipeline
from harness.pipeline import Fitting, Tools
from harness.tasks.splits import apart, deal, split_record
from harness.types import (
    CalibrationMethod,
    Evidence,
    Excerpt,
    ExcerptKind,
    Explanation,
    Moments,
    NeuroglossError,
    Query,
    Role,
    RowKey,
    ScoredExplanation,
    Simulation,
    SimulatorInfo,
    Splits,
    TokenSums,
    Unit,
    UnitRecord,
)

NEURON = Unit("N", 0, 0)
tokens = st.lists(st.sampled_from("abcd"), min_size=3, max_size=3)


def _record(top: Sequence[Excerpt], random: Sequence[Excerpt]) -> UnitRecord:
    """A record of a corpus that is these excerpts and nothing else."""
    pairs = [pair for one in (*top, *random) for pair in zip(one.tokens, one.activations, strict=True)]
    texts = tuple(sorted({text for text, _ in pairs}))
    counts = np.array([sum(text == token for token, _ in pairs) for text in texts])
    sums = np.array([sum(value for token, value in pairs if text == token) for text in texts], dtype=np.float64)
    values = [value for _, value in pairs]
    moments = Moments(len(values), float(np.mean(values)), 1.0, 0.0, 3.0, 0.5, max(values))
    return UnitRecord(NEURON, tuple(top), tuple(random), moments, TokenSums(texts, counts, sums))


def _excerpts(texts: Sequence[Sequence[str]], kind: ExcerptKind, draw: np.random.Generator) -> list[Excerpt]:
    return [Excerpt(tuple(text), (), tuple(draw.uniform(0, 9, len(text)).tolist()), kind) for text in texts]


def _drawn(seed: int, top: int = 8, random: int = 6) -> UnitRecord:
    """A record of so many excerpts, each of its own five tokens of a small vocabulary."""
    draw = np.random.default_rng(seed)
    texts = [[f"x{place}", *draw.choice(list("abcdef"), 4)] for place in range(top + random)]
    return _record(_excerpts(texts[:top], ExcerptKind.TOP, draw), _excerpts(texts[top:], ExcerptKind.RANDOM, draw))


def _changed(record: UnitRecord, splits: tuple[str, ...], seed: int) -> UnitRecord:
    """The same record with other texts and activations in some splits."""
    draw, dealt = np.random.default_rng(seed), split_record(record)
    hidden = {one.digest for split in splits for one in getattr(dealt, split)}

    def other(one: Excerpt) -> Excerpt:
        if one.digest not in hidden:
            return one
        texts = (f"y{draw.integers(10**9)}", *draw.choice(list("abcdef"), len(one.tokens) - 1))
        return replace(one, tokens=tuple(map(str, texts)), activations=tuple(draw.uniform(0, 9, len(texts)).tolist()))

    return _record(list(map(other, record.top)), list(map(other, record.random)))


def _hard(texts: Sequence[Sequence[str]]) -> tuple[Excerpt, ...]:
    return tuple(_excerpts(texts, ExcerptKind.HARD, np.random.default_rng(0)))


def test_hard_excerpts_are_dealt_like_random_ones_behind_them() -> None:
    record = replace(_drawn(0), hard=_hard([[f"h{place}", "a", "b", "c", "d"] for place in range(7)]))
    splits, without = split_record(record), split_record(_drawn(0))
    assert [one.tokens[0] for one in splits.valid if one.kind is ExcerptKind.HARD] == ["h1", "h4"]
    assert splits.train == without.train
    for dealt, before in zip(
        (splits.calibration, splits.valid, splits.test), (without.calibration, without.valid, without.test), strict=True
    ):
        assert dealt[: len(before)] == before
        assert [one.weight for one in dealt[len(before) :]] == pytest.approx([3.5, 3.5])


def test_too_few_hard_excerpts_are_in_no_split() -> None:
    assert split_record(replace(_drawn(0), hard=_hard([["h", *"abcd"]] * 2))) == split_record(_drawn(0))


@given(st.lists(st.lists(st.sampled_from("ab"), min_size=9, max_size=12), min_size=6, max_size=20))
def test_no_run_of_eight_tokens_of_a_hard_excerpt_is_in_another_excerpt(texts: list[list[str]]) -> None:
    hard = _hard(texts)
    ends = [set(zip(*(one.tokens[shift:] for shift in range(8)), strict=False)) for one in apart(hard, ())]
    assert sum(map(len, ends)) == len(set().union(*ends))
    assert apart(hard, hard[:1])[:1] != hard[:1]
    assert apart(hard, ())[:1] == hard[:1]


class Spy:
    """An explainer that remembers what it was handed."""

    role = Role.EXPLAINER

    def __init__(self) -> None:
        self.seen: list[Evidence] = []

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        self.seen += evidence
        return [Explanation(one.unit, "something") for one in evidence]


class Speller:
    """A simulator that says of each token how it is spelt."""

    def describe(self) -> SimulatorInfo:
        return SimulatorInfo("speller")

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        return [Simulation(tuple(float(sum(map(ord, token)) % 11) for token in one.tokens)) for one in queries]


def _run(record: UnitRecord, method: CalibrationMethod) -> tuple[Evidence, ScoredExplanation]:
    spy = Spy()
    row = RowKey("spy", "speller")
    tools = Tools({"spy": spy}, {"speller": Speller()}, {})
    (scored,) = pipeline.run([deal(record)], tools, [row], Fitting(method), lambda _: None)[row]
    return spy.seen[0], scored


def _all(splits: Splits) -> list[Excerpt]:
    return [*splits.train, *splits.calibration, *splits.valid, *splits.test]


# ----------------------------------------------------------------------------------------------------------- the splits


@given(st.lists(tokens, min_size=4, max_size=10), st.lists(tokens, min_size=3, max_size=8))
def test_no_excerpt_is_in_two_splits_by_content(top: list[list[str]], random: list[list[str]]) -> None:
    draw = np.random.default_rng(0)
    record = _record(_excerpts(top, ExcerptKind.TOP, draw), _excerpts(random, ExcerptKind.RANDOM, draw))
    texts = set(map(tuple, top))
    if len(texts) < 4 or len(set(map(tuple, random)) - texts) < 3:
        with pytest.raises(NeuroglossError, match="at least 4 and 3 are needed"):
            split_record(record)
        return
    dealt = _all(split_record(record))
    assert len({one.digest for one in dealt}) == len(dealt)
    assert {one.tokens for one in dealt} <= {tuple(text) for text in top + random}


@given(st.integers(4, 23), st.integers(3, 17), st.floats(1, 1000))
def test_each_split_stands_for_the_whole_corpus(top: int, random: int, weight: float) -> None:
    record = _drawn(0, top, random)
    record = replace(record, random=tuple(replace(one, weight=weight) for one in record.random))
    splits = split_record(record)
    assert sum(one.weight for one in splits.train) == pytest.approx(top)  # top excerpts only
    for split in (splits.calibration, splits.valid, splits.test):
        of_kind = {
            kind: sum(one.weight for one in split if one.kind is kind) for kind in (ExcerptKind.TOP, ExcerptKind.RANDOM)
        }
        assert of_kind == {ExcerptKind.TOP: pytest.approx(top), ExcerptKind.RANDOM: pytest.approx(random * weight)}


# ------------------------------------------------------------------------------------------------------ what they reach


@pytest.mark.parametrize("method", CalibrationMethod)
@settings(max_examples=settings().max_examples // 10)
@given(st.integers(0, 10**6), st.integers(4, 12), st.integers(3, 9))
def test_nothing_of_valid_and_test_reaches_explainer_or_calibrator(
    method: CalibrationMethod, seed: int, top: int, random: int
) -> None:
    record = _drawn(seed, top, random)
    changed = _changed(record, ("valid", "test"), seed + 1)
    assert split_record(changed).valid != split_record(record).valid
    (evidence, scored), (other, again) = (_run(one, method) for one in (record, changed))
    assert other.excerpts == evidence.excerpts == split_record(record).train
    assert other.token_sums.tokens != evidence.token_sums.tokens  # the corpus is another one
    assert other.mean == pytest.approx(evidence.mean)
    assert other.token_sums.means() == pytest.approx(evidence.token_sums.means())
    assert again.calibration == scored.calibration is not None


@pytest.mark.parametrize(("split", "moves"), [("train", "evidence"), ("calibration", "calibration")])
def test_what_is_meant_to_reach_them_does(split: str, moves: str) -> None:
    """The test above can fail: a change of their own split is seen."""
    record = _drawn(7)
    changed = _changed(record, (split,), 8)
    (evidence, scored), (other, again) = (_run(one, CalibrationMethod.LINEAR) for one in (record, changed))
    assert (other.excerpts != evidence.excerpts) == (moves == "evidence")
    assert (again.calibration != scored.calibration) == (moves == "calibration")


def test_a_simulator_is_asked_with_tokens_and_never_with_activations() -> None:
    assert set(Query.__dataclass_fields__) == {"explanation", "tokens"}
