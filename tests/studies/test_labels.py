"""The label tests: labels are corrupted as they say, and metrics known to see it, or not, are told apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config.settings import LabelSettings
from harness.pipeline import Fitting
from harness.results.audit import Finding, Test
from harness.results.rows import Resampling
from harness.scorers.ablation import Ablation
from harness.scorers.panel import Panel
from harness.studies import labels, verdicts
from harness.studies.labels import Drawn, Labelled, Labelling, Scoring
from harness.tasks.splits import deal
from harness.types import (
    Effect,
    ExcerptKind,
    Explanation,
    Identity,
    NeuroglossError,
    Query,
    Replacement,
    Scorer,
    Scores,
    Simulator,
    Unit,
    UnitRecord,
)

Make = Callable[..., UnitRecord]
RESAMPLING = Resampling(0, 200)
SETTINGS = LabelSettings(draws=8)
FITTING = Fitting(top=5, random=5)
SCORING = Scoring(FITTING, {"panel": Panel()})


class LoudSubject:
    """A subject whose output changes as far as the highest value in the unit's place is from 1; it notes requests."""

    identity = Identity("loud", "1")

    def __init__(self) -> None:
        self.requests: list[Replacement] = []

    def effects_of(self, replacements: Sequence[Replacement]) -> list[Effect]:
        self.requests.extend(replacements)
        return [Effect(abs(1 - max(replacement.values[1:])), 0.1) for replacement in replacements]


def _with_subject(subject: LoudSubject, fitting: Fitting = FITTING) -> Scoring:
    scorers: dict[str, Scorer] = {"panel": Panel(), "ablation": Ablation(subject, top=1, random=1)}
    return Scoring(fitting, scorers, frozenset({"ablation"}))


def _count(marks: labels.Labels) -> int:
    return sum(int(row.sum()) for row in marks)


# ------------------------------------------------------------------------------------------------------ making labels


def test_labels_are_where_the_unit_fires_and_never_leading(record: Make) -> None:
    source = record()
    for marks, excerpt in zip(labels.labelled(source, source.top, 5), source.top, strict=True):
        assert not marks[0]
        assert marks[1:].tolist() == [value >= 0.5 for value in excerpt.activations[1:]]


def test_a_unit_that_never_fires_has_no_labels(record: Make) -> None:
    source = record()
    silent = [
        type(excerpt)(excerpt.tokens, excerpt.token_ids, (0.0,) * 64, excerpt.kind, leading=1) for excerpt in source.top
    ]
    dead = UnitRecord(source.unit, tuple(silent), (), source.moments, source.token_sums)
    assert _count(labels.labelled(dead, silent, 1)) == 0
    assert labels.doubling(dead, 1) == 0.0


@given(seed=st.integers(0, 1000))
def test_half_of_each_kind_is_taken_away_and_nothing_added(record: Make, seed: int) -> None:
    source = record()
    excerpts = source.top + source.random
    true = labels.labelled(source, excerpts, 1)
    fewer = labels.missing(true, excerpts, np.random.default_rng(seed))
    for kind in ExcerptKind:
        places = [place for place, excerpt in enumerate(excerpts) if excerpt.kind is kind]
        counts = tuple(_count([marks[place] for place in places]) for marks in (true, fewer))
        assert counts[1] == counts[0] // 2
    assert all((row <= whole).all() for row, whole in zip(fewer, true, strict=True))


@given(seed=st.integers(0, 1000), probability=st.floats(0.0, 1.0))
def test_extra_labels_keep_the_true_ones_and_spare_leading_tokens(record: Make, seed: int, probability: float) -> None:
    source = record()
    true = labels.labelled(source, source.random, 1)
    more = labels.extra(true, source.random, probability, np.random.default_rng(seed))
    assert all((row >= marks).all() and not row[0] for row, marks in zip(more, true, strict=True))


def test_extra_labels_double_the_labels_of_the_corpus_not_of_the_excerpts(record: Make) -> None:
    source = record(weight=100.0)
    excerpts = source.top + source.random
    true, probability = labels.labelled(source, excerpts, 1), labels.doubling(source, 1)
    weights = np.array([excerpt.weight for excerpt in excerpts])
    rng = np.random.default_rng(0)

    def weighted(marks: labels.Labels) -> float:
        return float(weights @ [row.sum() for row in marks])

    more = np.mean([weighted(labels.extra(true, excerpts, probability, rng)) for _ in range(300)])
    assert more == pytest.approx(2 * weighted(true), rel=0.05)
    assert _count(labels.extra(true, excerpts, probability, rng)) < 2 * _count(true)


# ------------------------------------------------------------------------------------------------------- labels as rows


def test_labels_are_simulators_that_know_the_real_activations_of_their_unit(record: Make) -> None:
    target = deal(record())
    simulators = labels.simulators(target, LabelSettings(draws=2, level=5), FITTING)
    assert list(simulators) == ["labels", "missing labels 0", "missing labels 1", "extra labels 0", "extra labels 1"]
    assert all(isinstance(simulator, Simulator) for simulator in simulators.values())
    excerpts = target.splits.valid[::-1]  # in any order: an excerpt is known by its tokens
    queries = [Query(Explanation(target.unit), excerpt.tokens) for excerpt in excerpts]
    for reply, excerpt in zip(simulators["labels"].simulate(queries), excerpts, strict=True):
        assert reply.expected[0] == 0.0
        assert reply.expected[1:] == tuple(10.0 * (value >= 0.5) for value in excerpt.activations[1:])


def test_a_text_of_which_no_labels_are_known_is_an_error(record: Make) -> None:
    with pytest.raises(KeyError):
        Labelling({}).simulate([Query(Explanation(record().unit), ("a",))])


def test_puzzles_have_no_labels_to_add(record: Make) -> None:
    puzzle = dataclasses.replace(deal(record()), source=None)
    with pytest.raises(NeuroglossError, match="comes from no corpus"):
        labels.simulators(puzzle, SETTINGS, FITTING)


def test_metrics_that_see_both_mistakes_pass_and_the_subject_is_not_asked(record: Make) -> None:
    draws = [labels.draw(deal(record(Unit("N", 0, seed), seed=seed)), SETTINGS, SCORING) for seed in range(4)]
    for test in labels.TESTS:
        for metric in ("correlation", "correlation_population", "correlation_random", "explained_variance"):
            verdict = verdicts.of_labels(metric, test, labels.drops(metric, draws, test, 0.001), RESAMPLING)
            assert verdict.finding is Finding.PASS, verdict.sentence
    assert "ablation" not in draws[0].true.scores.values


@pytest.mark.slow
def test_rare_labels_are_doubled_where_top_excerpts_do_not_show_it(record: Make) -> None:
    """The finding of Oikarinen et al.: a mistake all over the corpus is hardly seen in top excerpts."""
    rare = [
        labels.draw(deal(record(Unit("N", 0, seed), rate=0.002, weight=100.0, seed=seed)), SETTINGS, SCORING)
        for seed in range(6)
    ]
    drops = labels.drops("correlation_top", rare, Test.EXTRA_LABELS, 0.001)
    verdict = verdicts.of_labels("correlation_top", Test.EXTRA_LABELS, drops, RESAMPLING)
    assert verdict.finding is Finding.FAIL
    assert "not more than 90 %" in verdict.sentence


def test_draws_are_seeded(record: Make) -> None:
    target = deal(record())
    first, second = (labels.draw(target, SETTINGS, SCORING) for _ in range(2))
    assert first == second
    reseeded = labels.draw(target, LabelSettings(draws=8, seed=1), SCORING)
    assert reseeded.true == first.true
    assert all(reseeded.corrupted[test] != first.corrupted[test] for test in labels.TESTS)


EXPECTED = {
    Test.MISSING_LABELS: {
        "correlation": (-0.32058804888088777, -0.30723355530526425, -0.3206315451319461),
        "auroc_random": (-0.25, -0.2556818181818182, -0.253125),
        "explained_variance_population": (-0.583874531549432, -0.5236354474451855, -0.5228475447711016),
        "ablation": (-0.011218634992303855, 0.0287560995243325, -0.0008657248373359905),
    },
    Test.EXTRA_LABELS: {
        "correlation": (-0.21885003931285146, -0.2164424648692932, -0.21393271088506005),
        "auroc_random": (-0.03844572368421052, -0.03618421052631578, -0.04194915254237287),
        "explained_variance_population": (-0.8509402406607821, -0.6532251365790144, -0.5390906810011964),
        "ablation": (-0.29225133221758715, 0.10850991555843331, -0.4280882267070588),
    },
}
"""Mean changes of three units' scores, held; until calibration excerpts were spread over the ranks they were those of
the time before labels were rows (642e785)."""


def test_draws_and_scores_are_those_of_earlier_versions(record: Make) -> None:
    scoring = _with_subject(LoudSubject(), Fitting(top=2, random=2))
    settings = LabelSettings(draws=8, seed=3)
    draws = [labels.draw(deal(record(Unit("N", seed, 7), seed=seed)), settings, scoring) for seed in range(3)]
    for test, by_metric in EXPECTED.items():
        for metric, changes in by_metric.items():
            drops = labels.drops(metric, draws, test, 0.001)
            assert tuple(drops.changes.values()) == pytest.approx(changes, rel=0, abs=1e-12), (test, metric)
            assert drops.labels == pytest.approx(250 / 3)
            assert drops.corrupted == pytest.approx(994 / 24 if test is Test.MISSING_LABELS else 3016 / 24)


def test_the_subject_is_asked_under_the_true_labels_and_the_first_draws(record: Make) -> None:
    subject, target = LoudSubject(), deal(record())
    scored = labels.draw(target, dataclasses.replace(SETTINGS, ablation_draws=2), _with_subject(subject))
    assert "ablation" in scored.true.scores.values
    for test in labels.TESTS:
        by_subject = ["ablation" in labelled.scores.values for labelled in scored.corrupted[test]]
        assert by_subject == [True] * 2 + [False] * 6
    assert len(subject.requests) == 5 * 4 * 2  # labellings, ways, excerpts
    plain = labels.draw(target, SETTINGS, SCORING)
    for test in labels.TESTS:
        counts = [[labelled.labels for labelled in item.corrupted[test]] for item in (scored, plain)]
        assert counts[0] == counts[1]
    assert not {"ablation"} & {*plain.true.scores.values, *plain.true.scores.missing}
    assert set(labels.drops("ablation", [scored], Test.MISSING_LABELS, 0.0).shares) == {target.unit}


def test_fewer_draws_than_those_of_ablation_are_all_asked(record: Make) -> None:
    settings = dataclasses.replace(SETTINGS, draws=1, ablation_draws=2)
    scored = labels.draw(deal(record()), settings, _with_subject(LoudSubject()))
    for test in labels.TESTS:
        (labelled,) = scored.corrupted[test]
        assert "ablation" in labelled.scores.values


def test_without_draws_of_ablation_the_subject_is_not_asked_at_all(record: Make) -> None:
    subject = LoudSubject()
    scored = labels.draw(deal(record()), dataclasses.replace(SETTINGS, ablation_draws=0), _with_subject(subject))
    assert not subject.requests
    assert not {"ablation"} & {*scored.true.scores.values, *scored.true.scores.missing}


# ---------------------------------------------------------------------------------------------------------------- drops


def _labelled(value: float | None, degenerate: bool = False, count: int = 4) -> Labelled:
    values = {} if value is None else {"m": value}
    return Labelled(count, Scores(values, degenerate=("m",) if degenerate else ()))


def test_drops_are_counted_by_unit_and_unsound_ones_left_out() -> None:
    a, b, c = (Unit("N", 0, index) for index in range(3))
    test = Test.MISSING_LABELS
    draws = [
        Drawn(a, _labelled(0.8), {test: (_labelled(0.5, count=2), _labelled(0.7995, count=2))}),
        Drawn(b, _labelled(0.0, degenerate=True), {test: (_labelled(0.5, count=2),)}),
        Drawn(c, _labelled(None), {test: (_labelled(0.5, count=2),)}),
    ]
    drops = labels.drops("m", draws, test, 0.001)
    assert drops.shares == {a: 0.5}
    assert drops.changes[a] == pytest.approx(-0.15025)
    assert (drops.untested, drops.labels, drops.corrupted) == (2, 4.0, 2.0)


def test_a_draw_without_a_score_is_left_out_and_a_unit_without_any_is_not_tested() -> None:
    a, b = (Unit("N", 0, index) for index in range(2))
    test = Test.EXTRA_LABELS
    draws = [
        Drawn(a, _labelled(0.8), {test: (_labelled(0.5, count=5), _labelled(None, count=5))}),
        Drawn(b, _labelled(0.8), {test: (_labelled(None, count=5), _labelled(None, count=5))}),
    ]
    drops = labels.drops("m", draws, test, 0.001)
    assert (drops.shares, drops.untested) == ({a: 1.0}, 1)


def test_a_draw_that_corrupted_nothing_is_no_trial() -> None:
    a, b, test = Unit("N", 0, 0), Unit("N", 0, 1), Test.EXTRA_LABELS
    idle = _labelled(0.8)
    draws = [Drawn(a, idle, {test: (_labelled(0.5, count=6), idle)}), Drawn(b, idle, {test: (idle, idle)})]
    drops = labels.drops("m", draws, test, 0.001)
    assert (drops.shares, drops.untested, drops.idle) == ({a: 1.0}, 1, 0.75)
    sentence = verdicts.of_labels("m", test, drops, RESAMPLING).sentence
    assert "75 % of the draws corrupted nothing, and are left out" in sentence


@pytest.mark.parametrize("wrong", [{"level": 0}, {"level": 11}, {"draws": 0}, {"ablation_draws": -1}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(NeuroglossError, match=f"labels.{next(iter(wrong))} is"):
        LabelSettings(**wrong)


def test_a_drop_is_never_negative() -> None:
    with pytest.raises(NeuroglossError, match=r"labels.least_drop is -1"):
        LabelSettings(least_drop=-1.0)
