"""The label tests: labels are corrupted as they say, and metrics known to see it, or not, are told apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.audit import labels, verdicts
from harness.audit.labels import Drawn, Labelled, LabelSettings
from harness.audit_results import Finding, Test
from harness.scores import ScoreSettings
from harness.types import Effect, ExcerptKind, NeuroglossError, NeuronId, NeuronRecord, Replacement, Scores

Make = Callable[..., NeuronRecord]
BY = verdicts.Resampling(0, 200)
SETTINGS = LabelSettings(draws=8)


def _count(found: labels.Labels) -> int:
    return sum(int(each.sum()) for each in found)


def test_labels_are_where_the_neuron_fires_and_never_leading(record: Make) -> None:
    one = record()
    found = labels.labelled(one, one.top, 5)
    for each, excerpt in zip(found, one.top, strict=True):
        assert not each[0]
        assert each[1:].tolist() == [value >= 0.5 for value in excerpt.activations[1:]]


def test_a_neuron_that_never_fires_has_no_labels(record: Make) -> None:
    one = record()
    silent = [
        type(excerpt)(excerpt.tokens, excerpt.token_ids, (0.0,) * 64, excerpt.kind, leading=1) for excerpt in one.top
    ]
    dead = NeuronRecord(one.neuron, tuple(silent), (), one.moments, one.token_sums)
    assert _count(labels.labelled(dead, silent, 1)) == 0
    assert labels.doubling(dead, 1) == 0.0


@given(seed=st.integers(0, 1000))
def test_half_of_each_kind_is_taken_away_and_nothing_added(record: Make, seed: int) -> None:
    one = record()
    excerpts = one.top + one.random
    true = labels.labelled(one, excerpts, 1)
    left = labels.missing(true, excerpts, np.random.default_rng(seed))
    for kind in ExcerptKind:
        of = [place for place, excerpt in enumerate(excerpts) if excerpt.kind is kind]
        before, after = (_count([some[place] for place in of]) for some in (true, left))
        assert after == before // 2
    assert all((each <= all_).all() for each, all_ in zip(left, true, strict=True))


@given(seed=st.integers(0, 1000), probability=st.floats(0.0, 1.0))
def test_extra_labels_keep_the_true_ones_and_spare_leading_tokens(record: Make, seed: int, probability: float) -> None:
    one = record()
    true = labels.labelled(one, one.random, 1)
    more = labels.extra(true, one.random, probability, np.random.default_rng(seed))
    assert all((each >= some).all() and not each[0] for each, some in zip(more, true, strict=True))


def test_extra_labels_double_the_labels_of_the_corpus_not_of_the_excerpts(record: Make) -> None:
    one = record(weight=100.0)
    excerpts = one.top + one.random
    true, probability = labels.labelled(one, excerpts, 1), labels.doubling(one, 1)
    weights = np.array([excerpt.weight for excerpt in excerpts])
    rng = np.random.default_rng(0)

    def weighted(found: labels.Labels) -> float:
        return float(weights @ [each.sum() for each in found])

    more = np.mean([weighted(labels.extra(true, excerpts, probability, rng)) for _ in range(300)])
    assert more == pytest.approx(2 * weighted(true), rel=0.05)
    assert _count(labels.extra(true, excerpts, probability, rng)) < 2 * _count(true)


def test_metrics_that_see_both_mistakes_pass_and_ablation_is_not_asked(record: Make) -> None:
    drawn = [labels.draw(record(NeuronId(0, seed), seed=seed), SETTINGS, ScoreSettings()) for seed in range(4)]
    for test, corrupted in ((Test.MISSING_LABELS, _missing), (Test.EXTRA_LABELS, _extra)):
        for metric in ("correlation", "correlation_population", "correlation_random", "explained_variance"):
            found = verdicts.of_labels(metric, test, labels.drops(metric, drawn, corrupted, 0.001), BY)
            assert found.finding is Finding.PASS, found.sentence
        assert "ablation" not in drawn[0].true.scores.values


def test_rare_labels_are_doubled_where_top_excerpts_do_not_show_it(record: Make) -> None:
    """The finding of Oikarinen et al.: what is wrong all over the corpus is hardly seen in top excerpts."""
    rare = [
        labels.draw(record(NeuronId(0, seed), rate=0.002, weight=100.0, seed=seed), SETTINGS, ScoreSettings())
        for seed in range(6)
    ]
    found = verdicts.of_labels(
        "correlation_top", Test.EXTRA_LABELS, labels.drops("correlation_top", rare, _extra, 0.001), BY
    )
    assert found.finding is Finding.FAIL
    assert "not more than 90 %" in found.sentence


def test_draws_are_seeded_and_do_not_depend_on_other_neurons(record: Make) -> None:
    one, other = record(), record(NeuronId(1, 1), seed=1)
    assert labels.draw(one, SETTINGS, ScoreSettings()) == labels.draw(one, SETTINGS, ScoreSettings())
    again = labels.draw(one, LabelSettings(draws=8, seed=1), ScoreSettings())
    assert again.true == labels.draw(one, SETTINGS, ScoreSettings()).true
    assert again.missing != labels.draw(one, SETTINGS, ScoreSettings()).missing
    assert labels.seed_of(one.neuron, 0) != labels.seed_of(other.neuron, 0)


def _missing(one: Drawn) -> tuple[Labelled, ...]:
    return one.missing


def _extra(one: Drawn) -> tuple[Labelled, ...]:
    return one.extra


def _labelled(value: float | None, degenerate: bool = False, count: int = 4) -> Labelled:
    values = {} if value is None else {"m": value}
    return Labelled(count, Scores(values, degenerate=("m",) if degenerate else ()))


def test_drops_are_counted_by_neuron_and_unsound_ones_left_out() -> None:
    a, b, c = (NeuronId(0, index) for index in range(3))
    drawn = [
        Drawn(a, _labelled(0.8), (_labelled(0.5, count=2), _labelled(0.7995, count=2)), ()),
        Drawn(b, _labelled(0.0, degenerate=True), (_labelled(0.5, count=2),), ()),
        Drawn(c, _labelled(None), (_labelled(0.5, count=2),), ()),
    ]
    found = labels.drops("m", drawn, _missing, 0.001)
    assert found.shares == {a: 0.5}
    assert found.changes[a] == pytest.approx(-0.15025)
    assert (found.untested, found.labels, found.corrupted) == (2, 4.0, 2.0)


@pytest.mark.parametrize("wrong", [{"level": 0}, {"level": 11}, {"draws": 0}, {"least_drop": -1.0}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(NeuroglossError, match=f"labels.{next(iter(wrong))} is"):
        LabelSettings(**wrong)  # type: ignore[arg-type]


def test_the_subject_is_asked_under_the_true_labels_and_the_first_draws(record: Make) -> None:
    asked: list[Replacement] = []

    def effects(replacements: Sequence[Replacement]) -> list[Effect]:
        """A subject whose output changes as far as what stands in the neuron's place is from 1."""
        asked.extend(replacements)
        return [Effect(abs(1 - max(one.values[1:])), 0.1) for one in replacements]

    one, by = record(), ScoreSettings(ablation_top=1, ablation_random=1)
    found = labels.draw(one, dataclasses.replace(SETTINGS, ablation_draws=2), by, effects)
    assert ["ablation" in some.scores.values for some in (found.true, *found.missing, *found.extra)] == (
        [True] + 2 * ([True] * 2 + [False] * 6)
    )
    assert len(asked) == 5 * 4 * 2  # labellings, ways, excerpts
    plain = labels.draw(one, SETTINGS, by)
    assert [some.labels for some in (*found.missing, *found.extra)] == [
        some.labels for some in (*plain.missing, *plain.extra)
    ]
    assert not {"ablation"} & {*plain.true.scores.values, *plain.true.scores.missing}
    drops = labels.drops("ablation", [found], lambda drawn: drawn.missing, 0.0)
    assert set(drops.shares) == {one.neuron}


def test_fewer_draws_than_those_of_ablation_are_all_asked(record: Make) -> None:
    by = ScoreSettings(ablation_top=1, ablation_random=1)
    few = dataclasses.replace(SETTINGS, draws=1, ablation_draws=2)
    found = labels.draw(record(), few, by, lambda asked: [Effect(0.5, 0.1)] * len(asked))
    assert (len(found.missing), len(found.extra)) == (1, 1)
    assert all("ablation" in some.scores.values for some in (*found.missing, *found.extra))
    with pytest.raises(NeuroglossError, match="ablation_draws is -1"):
        LabelSettings(ablation_draws=-1)
