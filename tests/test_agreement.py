"""Two simulators compared on the same explanations, with levels that are known, and runs that do not fit."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from harness import agreement, agreement_results, results, stats
from harness.report import agreement_page, page
from harness.results import ExplainerInfo, Results, SimulatorInfo, TaskInfo
from harness.scores import ScoreSettings, score
from harness.types import (
    Excerpt,
    ExcerptKind,
    Explanation,
    Identity,
    NeuroglossError,
    NeuronId,
    Outcome,
    Role,
    ScoredExplanation,
    SimulatedExcerpt,
    Simulation,
    Usage,
)

NEURONS = tuple(NeuronId(layer, layer) for layer in range(6))
EXPLAINERS = ("good", "fair", "poor")
SETTINGS = ScoreSettings(ablation=False)
Change = Callable[[np.ndarray, str, NeuronId], Sequence[float]]


def _excerpts(neuron: NeuronId) -> list[Excerpt]:
    rng = np.random.default_rng(neuron.layer)
    return [
        Excerpt(
            tuple(f"w{place}" for place in range(8)), (), tuple(rng.uniform(0, 1, 8).tolist()), kind, 1.0, f"{kind}", 1
        )
        for kind in (ExcerptKind.TOP, ExcerptKind.RANDOM)
    ]


def _levels(excerpt: Excerpt, explainer: str, neuron: NeuronId) -> np.ndarray:
    """What the first simulator says: near the truth for a good explanation, noise for a poor one."""
    share = {"good": 0.9, "fair": 0.5, "poor": 0.1}[explainer]
    rng = np.random.default_rng([neuron.layer, len(explainer), len(excerpt.source)])
    return 10 * (share * np.array(excerpt.activations) + (1 - share) * rng.uniform(0, 1, 8))


def _run(
    name: str,
    change: Change,
    levels: int = 11,
    texts: str = "says {}",
    cost: int = 10,
    neurons: Sequence[NeuronId] = NEURONS,
) -> Results:
    scored = {
        explainer: tuple(_scored(explainer, neuron, change, texts, cost) for neuron in neurons)
        for explainer in EXPLAINERS
    }
    return Results(
        run_id=f"{name}-id",
        created="2025-01-02T03:04:05+00:00",
        task=TaskInfo("mini-v1", "feedface" * 2, 6, tuple(neurons)),
        subject=Identity("s", "r"),
        simulator=SimulatorInfo(name, Identity("m", "r"), "prompt", levels),
        explainers=tuple(ExplainerInfo(explainer, Role.EXPLAINER) for explainer in EXPLAINERS),
        summaries=tuple(
            stats.summarise(explainer, Role.EXPLAINER, name, some, seed=0, resamples=200)
            for explainer, some in scored.items()
        ),
        scored=scored,
        seconds={"simulate": 4.0},
        usage={"simulate": results.StageUsage(Usage(6))},
    )


def _scored(explainer: str, neuron: NeuronId, change: Change, texts: str, cost: int) -> ScoredExplanation:
    simulated = tuple(
        SimulatedExcerpt("valid", excerpt, Simulation(values, usage=Usage(1, 0, cost)), values)
        for excerpt in _excerpts(neuron)
        for values in [tuple(map(float, change(_levels(excerpt, explainer, neuron), explainer, neuron)))]
    )
    return ScoredExplanation(
        Explanation(neuron, explainer, texts.format(explainer)), simulated, None, score(simulated, None, SETTINGS)
    )


def _same(levels: np.ndarray, explainer: str, neuron: NeuronId) -> Sequence[float]:
    return levels.tolist()


@pytest.fixture
def compare(tmp_path: Path) -> Callable[[Results, Results], agreement_results.SimulatorAgreement]:
    def comparing(one: Results, other: Results) -> agreement_results.SimulatorAgreement:
        folders = [results.write_run(tmp_path / side, run, "") for side, run in (("a", one), ("b", other))]
        return agreement.compare(*folders)

    return comparing


Compare = Callable[[Results, Results], agreement_results.SimulatorAgreement]


def test_simulators_that_say_the_same_agree_in_everything(compare: Compare) -> None:
    found = compare(_run("one", _same), _run("other", _same, cost=650))
    assert found.tokens == agreement_results.TokenAgreement(3 * 6 * 2 * 7, 0, pytest.approx(1.0), 0.0)
    for one in found.explainers:
        assert (one.within.mean, one.ranks, one.difference.mean) == (pytest.approx(1.0), pytest.approx(1.0), 0.0)
    assert found.boards[0].metric == "correlation"
    assert found.boards[0].first == found.boards[0].second == EXPLAINERS
    assert (found.boards[0].spearman, found.boards[0].kendall) == (pytest.approx(1.0), pytest.approx(1.0))
    assert (found.first.usage.prompt_tokens, found.second.usage.prompt_tokens) == (360, 23400)
    text = page.markdown_page(agreement_page.build(found))
    assert "other reads 65.0 times the tokens that one reads." in text
    assert "By correlation both boards put 3 rows in the same order: Spearman 1.000." in text


def test_fewer_levels_are_put_on_the_same_scale(compare: Compare) -> None:
    found = compare(_run("one", _same), _run("other", lambda levels, *_: (levels * 0.9).tolist(), levels=10))
    assert found.tokens.mean_absolute_difference == pytest.approx(0.0, abs=1e-12)


def test_an_opposite_simulator_turns_the_board_round(compare: Compare) -> None:
    found = compare(_run("one", _same), _run("other", lambda levels, *_: (10 - levels).tolist()))
    assert found.tokens.correlation == pytest.approx(-1.0)
    assert found.boards[0].spearman == pytest.approx(-1.0)
    assert found.boards[0].second == EXPLAINERS[::-1]
    good = found.explainers[0]
    assert good.first == pytest.approx(-good.second)
    assert good.difference.low > 0
    assert "one gives higher scores" in page.markdown_page(agreement_page.build(found))


def test_what_differs_most_is_named(compare: Compare) -> None:
    def one_token(levels: np.ndarray, explainer: str, neuron: NeuronId) -> Sequence[float]:
        return (
            [*levels[:5], levels[5] + 30, *levels[6:]]
            if (explainer, neuron) == ("fair", NEURONS[2])
            else levels.tolist()
        )

    found = compare(_run("one", _same), _run("other", one_token))
    largest = found.largest_tokens[0]
    assert (largest.explainer, largest.neuron, largest.position, largest.token) == ("fair", NEURONS[2], 5, "w5")
    assert largest.second - largest.first == pytest.approx(30)
    assert (found.largest_neurons[0].explainer, found.largest_neurons[0].neuron) == ("fair", NEURONS[2])


def test_missing_tokens_are_counted_and_leading_ones_left_out(compare: Compare) -> None:
    found = compare(_run("one", _same), _run("other", lambda levels, *_: [math.nan, math.nan, *levels[2:].tolist()]))
    assert found.tokens.missing == 3 * 6 * 2
    assert found.tokens.tokens == 3 * 6 * 2 * 6


def test_a_constant_simulator_has_no_correlation(compare: Compare) -> None:
    found = compare(_run("one", _same), _run("other", lambda levels, *_: [5.0] * len(levels)))
    assert math.isnan(found.tokens.correlation)
    assert math.isnan(found.explainers[0].ranks)


def test_a_metric_of_one_run_only_has_no_board(compare: Compare) -> None:
    other = _run("other", _same)
    rows = [
        dataclasses.replace(row, metrics={name: row.metrics[name] for name in ("correlation", "correlation_top")})
        for row in other.summaries
    ]
    found = compare(_run("one", _same), dataclasses.replace(other, summaries=tuple(rows)))
    assert [one.metric for one in found.boards] == ["correlation", "correlation_top"]


def test_costs_that_the_store_paid_are_not_timed(compare: Compare) -> None:
    stored = dataclasses.replace(_run("other", _same), usage={"simulate": results.StageUsage(saved=Usage(6, 6))})
    found = compare(_run("one", _same), stored)
    assert found.first.seconds == 4.0
    assert math.isnan(found.second.seconds)


def test_it_is_written_as_json_and_as_a_page(compare: Compare, tmp_path: Path) -> None:
    found = compare(_run("one", _same), _run("other", _same))
    agreement_results.write(tmp_path / "out", found, "page")
    document = results.read_json(tmp_path / "out" / "agreement.json")
    assert document["tokens"]["tokens"] == found.tokens.tokens
    assert (tmp_path / "out" / "agreement.md").read_text() == "page"


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (lambda: _run("one", _same), "both runs have the simulator one"),
        (lambda: _run("other", _same, texts="otherwise {}"), "good does not say the same of L0N0"),
        (lambda: _run("other", _same, neurons=NEURONS[:4]), "of different neurons: 2 are in one of them only, L4N4"),
        (
            lambda: dataclasses.replace(_run("other", _same), task=TaskInfo("b-v1", "0" * 16, 6, NEURONS)),
            "the runs are of two tasks",
        ),
    ],
)
def test_runs_that_do_not_fit_are_refused(compare: Compare, other: Callable[[], Results], sentence: str) -> None:
    with pytest.raises(NeuroglossError, match=sentence):
        compare(_run("one", _same), other())


def test_runs_that_share_no_explainer_are_refused(compare: Compare) -> None:
    other = _run("other", _same)
    renamed = [dataclasses.replace(row, explainer=f"{row.explainer}2") for row in other.summaries]
    with pytest.raises(NeuroglossError, match="share no explainer"):
        compare(
            _run("one", _same),
            dataclasses.replace(
                other, summaries=tuple(renamed), scored={f"{name}2": some for name, some in other.scored.items()}
            ),
        )


def test_a_refused_explanation_is_the_same_only_where_both_were_refused() -> None:
    run = _run("one", _same)
    one = run.scored["good"][0]
    refused = dataclasses.replace(one, explanation=dataclasses.replace(one.explanation, outcome=Outcome.REFUSED))
    other = dataclasses.replace(run, scored={**run.scored, "good": (refused, *run.scored["good"][1:])})
    with pytest.raises(NeuroglossError, match="does not say the same"):
        agreement._check_explanations(run, other, ["good"])
