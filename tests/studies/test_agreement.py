"""Two simulators compared on the same explanations, with levels that are known, and runs that do not fit."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from harness import typed_json
from harness.report import agreement_page, page
from harness.results import agreement as agreement_results
from harness.results.agreement import Agreement, TokenAgreement
from harness.results.rows import Resampling, summarise
from harness.results.run import Results, write_run
from harness.results.vocabulary import ExplainerInfo, ResultRow, StageUsage, TaskInfo
from harness.scores import panel
from harness.studies import agreement
from harness.studies.agreement import SimulatedPair, largest_differences, token_agreement
from harness.types import (
    Excerpt,
    ExcerptKind,
    Explanation,
    Identity,
    Interval,
    NeuroglossError,
    Outcome,
    Role,
    RowKey,
    ScoredExplanation,
    Scores,
    SimulatedExcerpt,
    Simulation,
    SimulatorInfo,
    Unit,
    Usage,
)

NEURONS = tuple(Unit("N", layer, layer) for layer in range(6))
EXPLAINERS = ("good", "fair", "poor")
METRICS = ("correlation", "correlation_top", "explained_variance")
Change = Callable[[np.ndarray, str, Unit], Sequence[float]]
Compare = Callable[..., Agreement]


def _excerpts(neuron: Unit) -> list[Excerpt]:
    rng = np.random.default_rng(neuron.place)
    return [
        Excerpt(
            tuple(f"w{place}" for place in range(8)), (), tuple(rng.uniform(0, 1, 8).tolist()), kind, 1.0, f"{kind}", 1
        )
        for kind in (ExcerptKind.TOP, ExcerptKind.RANDOM)
    ]


def _levels(excerpt: Excerpt, explainer: str, neuron: Unit) -> np.ndarray:
    """What the first simulator says: near the truth for a good explanation, noise for a poor one."""
    share = {"good": 0.9, "fair": 0.5, "poor": 0.1}[explainer]
    rng = np.random.default_rng([neuron.place, len(explainer), len(excerpt.source)])
    return 10 * (share * np.array(excerpt.activations) + (1 - share) * rng.uniform(0, 1, 8))


@functools.cache
def _row(
    explainer: str,
    simulator: str,
    change: Change,
    texts: str = "says {}",
    cost: int = 10,
    neurons: tuple[Unit, ...] = NEURONS,
) -> ResultRow:
    """A row, made once: tests compare the same ones."""
    scored = []
    for neuron in neurons:
        simulated = tuple(
            SimulatedExcerpt("valid", excerpt, Simulation(values, usage=Usage(1, 0, cost)), values)
            for excerpt in _excerpts(neuron)
            for values in [tuple(map(float, change(_levels(excerpt, explainer, neuron), explainer, neuron)))]
        )
        explanation = Explanation(neuron, texts.format(explainer), explainer=explainer)
        usage = sum((part.simulation.usage for part in simulated), Usage())
        scored.append(
            ScoredExplanation(explanation, simulator, simulated, None, _scores(simulated), simulate_usage=usage)
        )
    return ResultRow(
        summarise(RowKey(explainer, simulator), Role.EXPLAINER, scored, Resampling(resamples=20)), tuple(scored)
    )


def _scores(simulated: Sequence[SimulatedExcerpt]) -> Scores:
    scores = panel.score(simulated, maximum_missing=0.2)
    return dataclasses.replace(
        scores, values={name: value for name, value in scores.values.items() if name in METRICS}, missing={}
    )


def _info(name: str, levels: int = 11) -> SimulatorInfo:
    return SimulatorInfo(name, Identity("m", "r"), "prompt", levels)


def _run(
    name: str, change: Change, levels: int = 11, neurons: tuple[Unit, ...] = NEURONS, **options: object
) -> Results:
    return Results(
        run_id=f"{name}-id",
        created="2025-01-02T03:04:05+00:00",
        task=TaskInfo("mini-v1", "feedface" * 2, 6, neurons),
        subject=Identity("s", "r"),
        simulators=(_info(name, levels),),
        explainers=tuple(ExplainerInfo(explainer, explainer, "", Role.EXPLAINER) for explainer in EXPLAINERS),
        scorers=(),
        rows=tuple(_row(explainer, name, change, neurons=neurons, **options) for explainer in EXPLAINERS),  # type: ignore[arg-type]
        seconds={f"simulate by {name}": 4.0},
        usage={f"simulate by {name}": StageUsage(Usage(6))},
    )


def _noisy(levels: np.ndarray, explainer: str, neuron: Unit) -> Sequence[float]:
    rng = np.random.default_rng([neuron.place, len(explainer), 7])
    values = 0.9 * np.clip(levels + rng.normal(0, 2, 8), 0, 10)
    if explainer == "fair":
        values[3] = math.nan
    return values.tolist()


def _with_rows(run: Results, change: Callable[[ResultRow], ResultRow]) -> Results:
    return dataclasses.replace(run, rows=tuple(map(change, run.rows)))


def _same(levels: np.ndarray, explainer: str, neuron: Unit) -> Sequence[float]:
    return levels.tolist()


def _opposite(levels: np.ndarray, explainer: str, neuron: Unit) -> Sequence[float]:
    return (10 - levels).tolist()


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    def comparing(
        first: Results, second: Results | None = None, simulators: tuple[str, str] | None = None
    ) -> Agreement:
        runs = [first] if second is None else [first, second]
        folders = [write_run(tmp_path / str(number), run, "") for number, run in enumerate(runs)]
        return agreement.compare(*folders, simulators=simulators)

    return comparing


def _page(comparison: Agreement) -> str:
    return page.markdown_page(agreement_page.build(comparison)).replace("\\", "")


# ------------------------------------------------------------------------------------------------------------- two runs


def test_simulators_that_say_the_same_agree_in_everything(compare: Compare) -> None:
    comparison = compare(_run("one", _same), _run("other", _same, cost=650))
    assert comparison.tokens == TokenAgreement(3 * 6 * 2 * 7, 0, pytest.approx(1.0), 0.0)
    assert [row.explainer for row in comparison.explainers] == list(EXPLAINERS)
    for row in comparison.explainers:
        assert (row.within.mean, row.ranks, row.difference.mean) == (pytest.approx(1.0), pytest.approx(1.0), 0.0)
    assert comparison.boards[0].metric == "correlation"
    assert comparison.boards[0].first == comparison.boards[0].second == EXPLAINERS
    assert (comparison.boards[0].spearman, comparison.boards[0].kendall) == (pytest.approx(1.0), pytest.approx(1.0))
    assert (comparison.first.usage.prompt_tokens, comparison.second.usage.prompt_tokens) == (360, 23400)
    assert (comparison.first.seconds, comparison.first.run_id) == (4.0, "one-id")
    text = _page(comparison)
    assert "other reads 65.0 times the tokens that one reads." in text
    assert "By correlation both boards put 3 rows in the same order: Spearman 1.000." in text


def test_the_figures_are_those_of_the_first_code_that_compared_simulators(compare: Compare) -> None:
    """The file holds what version 0.1.0 made of these runs, to the last digit that JSON has.

    Intervals are those of :func:`harness.stats.mean_ends` since, and explained variance is a median.
    """
    comparison = compare(_run("one", _same), _run("other", _noisy, levels=10))
    figures = json.loads(Path(__file__).with_name("agreement_figures.json").read_text())
    rows = [
        (row.explainer, row.tokens, row.within, row.first, row.second, row.difference, row.p_value, row.ranks)
        for row in comparison.explainers
    ]
    boards = [(board.metric, board.spearman, board.kendall, board.first, board.second) for board in comparison.boards]
    tokens = [
        (item.explainer, item.unit, item.source, item.position, item.token, item.first, item.second)
        for item in comparison.largest_tokens
    ]
    units = [(item.explainer, item.unit, item.first, item.second) for item in comparison.largest_units]
    values = {"tokens": comparison.tokens, "rows": rows, "boards": boards}
    values |= {"largest_tokens": tokens, "largest_units": units}
    assert list(_flat(values)) == [
        pytest.approx(value, rel=1e-12) if isinstance(value, float) else value for value in _flat(figures)
    ]


def _flat(values: object) -> Iterator[object]:
    """The numbers and texts of nested values, in order; of an interval, its mean and its ends."""
    if isinstance(values, Mapping):
        yield from (leaf for name in sorted(values) for leaf in _flat(values[name]))
    elif isinstance(values, Interval):
        yield from (values.mean, values.low, values.high)
    elif isinstance(values, TokenAgreement):
        yield from (values.tokens, values.missing, values.correlation, values.mean_absolute_difference)
    elif isinstance(values, list | tuple):
        yield from (leaf for value in values for leaf in _flat(value))
    else:
        yield str(values) if isinstance(values, Unit) else values


def test_fewer_levels_are_put_on_the_same_scale(compare: Compare) -> None:
    comparison = compare(_run("one", _same), _run("other", lambda levels, *_: (levels * 0.9).tolist(), levels=10))
    assert comparison.tokens.mean_absolute_difference == pytest.approx(0.0, abs=1e-12)


def test_an_opposite_simulator_turns_the_board_round(compare: Compare) -> None:
    comparison = compare(_run("one", _same), _run("other", _opposite))
    assert comparison.tokens.correlation == pytest.approx(-1.0)
    assert comparison.boards[0].spearman == pytest.approx(-1.0)
    assert comparison.boards[0].second == EXPLAINERS[::-1]
    good = comparison.explainers[0]
    assert good.first == pytest.approx(-good.second)
    assert good.difference.low > 0
    assert good.p_value == 2 / 2**6
    assert "good: one gives higher scores" in _page(comparison)


def test_a_difference_needs_its_p_value_too(compare: Compare) -> None:
    few = NEURONS[:4]  # of which the least p-value is 2 / 2**4
    comparison = compare(_run("one", _same, neurons=few), _run("other", _opposite, neurons=few))
    assert comparison.explainers[0].difference.low > 0
    assert "good: the scores cannot be told apart" in _page(comparison)


def test_what_differs_most_is_named(compare: Compare) -> None:
    def one_token(levels: np.ndarray, explainer: str, neuron: Unit) -> Sequence[float]:
        return (
            [*levels[:5], levels[5] + 30, *levels[6:]]
            if (explainer, neuron) == ("fair", NEURONS[2])
            else levels.tolist()
        )

    comparison = compare(_run("one", _same), _run("other", one_token))
    largest = comparison.largest_tokens[0]
    assert (largest.explainer, largest.unit, largest.position, largest.token) == ("fair", NEURONS[2], 5, "w5")
    assert largest.second - largest.first == pytest.approx(30)
    assert (comparison.largest_units[0].explainer, comparison.largest_units[0].unit) == ("fair", NEURONS[2])
    assert f"| fair | L2N2 | {largest.source} | 5 | w5 | {largest.first:.3f} | {largest.second:.1f} |" in _page(
        comparison
    )


def test_missing_tokens_are_counted_and_leading_ones_left_out(compare: Compare) -> None:
    run = _run("other", lambda levels, *_: [math.nan, math.nan, *levels[2:].tolist()])
    comparison = compare(_run("one", _same), run)
    assert comparison.tokens.missing == 3 * 6 * 2
    assert comparison.tokens.tokens == 3 * 6 * 2 * 6


def test_a_constant_simulator_has_no_correlation(compare: Compare) -> None:
    comparison = compare(_run("one", _same), _run("other", lambda levels, *_: [5.0] * len(levels)))
    assert math.isnan(comparison.tokens.correlation)
    assert math.isnan(comparison.explainers[0].ranks)


def test_a_metric_of_one_run_only_has_no_board(compare: Compare) -> None:
    def fewer(row: ResultRow) -> ResultRow:
        metrics = {name: row.summary.metrics[name] for name in ("correlation", "correlation_top")}
        return ResultRow(dataclasses.replace(row.summary, metrics=metrics), row.scored)

    comparison = compare(_run("one", _same), _with_rows(_run("other", _same), fewer))
    assert [board.metric for board in comparison.boards] == ["correlation", "correlation_top"]


def test_an_explainer_of_one_run_only_is_left_out(compare: Compare) -> None:
    second = _run("other", _same)
    comparison = compare(_run("one", _same), dataclasses.replace(second, rows=second.rows[:2]))
    assert [row.explainer for row in comparison.explainers] == ["good", "fair"]
    assert comparison.left_out == ("poor",)
    assert comparison.tokens.tokens == 2 * 6 * 2 * 7
    assert "scored by one of them only: poor" in _page(comparison)


def test_costs_that_the_store_paid_are_not_timed(compare: Compare) -> None:
    stored = {"simulate by other": StageUsage(saved=Usage(6, 6))}
    comparison = compare(_run("one", _same), dataclasses.replace(_run("other", _same), usage=stored))
    assert comparison.first.seconds == 4.0
    assert math.isnan(comparison.second.seconds)


def test_it_is_written_as_json_and_as_a_page(compare: Compare, tmp_path: Path) -> None:
    comparison = compare(_run("one", _same), _run("other", _same))
    agreement_results.write(tmp_path / "out", comparison, "page")
    document = typed_json.read_json(tmp_path / "out" / "agreement.json")
    assert document["tokens"]["tokens"] == comparison.tokens.tokens
    assert document["schema_version"] == agreement_results.SCHEMA_VERSION
    assert (tmp_path / "out" / "agreement.md").read_text() == "page"


def test_the_page_fits_a_terminal_of_80_columns(compare: Compare) -> None:
    stream = io.StringIO()
    built = agreement_page.build(compare(_run("one", _same), _run("other", _opposite)))
    Console(width=80, file=stream, force_terminal=False).print(page.render(built))
    assert max(map(len, stream.getvalue().splitlines())) <= 80
    for table in built.tables:
        assert all(cell in stream.getvalue() for row in table.rows for cell in row[1:])


# -------------------------------------------------------------------------------------------------------------- one run


def _two_simulators() -> Results:
    """A run of three simulators, the last of which is a control, and a table."""
    first, second = _run("one", _same), _run("other", _opposite)
    control = dataclasses.replace(_info("chance"), control=True)
    table = _row("good", "lookup", _same)
    rows = (*first.rows, *second.rows, _row("good", "chance", _same), table)
    return dataclasses.replace(first, simulators=(_info("one"), _info("other"), control), rows=rows)


def test_the_simulators_of_one_run_are_compared(compare: Compare) -> None:
    comparison = compare(_two_simulators())
    assert (comparison.first.simulator.name, comparison.second.simulator.name) == ("one", "other")
    assert comparison.first.run_id == comparison.second.run_id == "one-id"
    assert comparison.tokens.correlation == pytest.approx(-1.0)
    assert comparison.tokens.tokens == 3 * 6 * 2 * 7
    of_two_runs = compare(_run("one", _same), _run("other", _opposite))
    assert comparison.explainers == of_two_runs.explainers
    assert comparison.boards == of_two_runs.boards
    assert comparison.largest_tokens == of_two_runs.largest_tokens


def test_simulators_can_be_named(compare: Compare) -> None:
    comparison = compare(_two_simulators(), simulators=("chance", "other"))
    assert (comparison.first.simulator.name, comparison.second.simulator.name) == ("chance", "other")
    assert [row.explainer for row in comparison.explainers] == ["good"]
    assert comparison.left_out == ("fair", "poor")
    comparison = compare(_two_simulators(), _run("third", _same), ("other", "third"))
    assert comparison.tokens.correlation == pytest.approx(-1.0)


def test_several_explanations_of_one_unit_are_not_mixed_up(compare: Compare) -> None:
    def doubled(row: ResultRow) -> ResultRow:
        """Each unit with a second explanation, whose levels are turned round."""
        again = []
        for item in row.scored:
            simulated = tuple(
                dataclasses.replace(
                    part, simulation=Simulation(tuple(10 - value for value in part.simulation.expected))
                )
                for part in item.simulated
            )
            again += [item, dataclasses.replace(item, simulated=simulated)]
        return ResultRow(row.summary, tuple(again))

    comparison = compare(_with_rows(_run("one", _same), doubled), _with_rows(_run("other", _same), doubled))
    assert comparison.tokens.tokens == 2 * 3 * 6 * 2 * 7
    assert comparison.tokens.mean_absolute_difference == 0.0


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        (lambda: _run("one", _same), "both sides have the simulator one"),
        (lambda: _run("other", _same, texts="otherwise {}"), "good does not say the same of L0N0"),
        (lambda: _run("other", _same, neurons=NEURONS[:4]), "of different units: 2 are in one of them only, L4N4"),
        (
            lambda: dataclasses.replace(_run("other", _same), task=TaskInfo("b-v1", "0" * 16, 6, NEURONS)),
            "the runs are of two tasks",
        ),
    ],
)
def test_runs_that_do_not_fit_are_refused(compare: Compare, second: Callable[[], Results], sentence: str) -> None:
    with pytest.raises(NeuroglossError, match=sentence):
        compare(_run("one", _same), second())


def test_a_note_makes_no_other_simulator(compare: Compare) -> None:
    run = _run("one", _same)
    noted = dataclasses.replace(run, simulators=(dataclasses.replace(run.simulator, note="trained on rules"),))
    with pytest.raises(NeuroglossError, match="both sides have the simulator one"):
        compare(run, noted)


def test_runs_that_share_no_explainer_are_refused(compare: Compare) -> None:
    def renamed(row: ResultRow) -> ResultRow:
        return ResultRow(dataclasses.replace(row.summary, explainer=f"{row.summary.explainer}2"), row.scored)

    second = _with_rows(_run("other", _same), renamed)
    infos = tuple(dataclasses.replace(info, name=f"{info.name}2") for info in second.explainers)
    with pytest.raises(NeuroglossError, match="share no explainer that was simulated"):
        compare(_run("one", _same), dataclasses.replace(second, explainers=infos))


def test_a_single_simulator_or_one_that_is_not_there_is_refused(compare: Compare) -> None:
    with pytest.raises(NeuroglossError, match="has one simulator; give a second run"):
        compare(_run("one", _same))
    with pytest.raises(NeuroglossError, match="has no simulator 'nobody'; it has one, other, chance"):
        compare(_two_simulators(), simulators=("one", "nobody"))
    with pytest.raises(NeuroglossError, match="both sides have the simulator one"):
        compare(_two_simulators(), simulators=("one", "one"))


def test_a_refused_explanation_is_the_same_only_where_both_were_refused(compare: Compare) -> None:
    def refused(row: ResultRow) -> ResultRow:
        first = row.scored[0]
        explanation = dataclasses.replace(first.explanation, outcome=Outcome.REFUSED)
        return ResultRow(row.summary, (dataclasses.replace(first, explanation=explanation), *row.scored[1:]))

    with pytest.raises(NeuroglossError, match="does not say the same of L0N0"):
        compare(_run("one", _same), _with_rows(_run("other", _same), refused))
    assert compare(_with_rows(_run("one", _same), refused), _with_rows(_run("other", _same), refused)).explainers


# --------------------------------------------------------------------------------------------------------------- tokens

VALUES = st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=2, max_size=30)


def _pair(tokens: str, *levels: tuple[float, float], leading: int = 0) -> SimulatedPair:
    return SimulatedPair("x", Unit("N", 1, 2), "doc", leading, tuple(tokens), np.array(levels, dtype=np.float64))


def test_tokens_that_both_have_are_compared() -> None:
    pairs = [
        _pair("ab", (0.0, 1.0), (9.0, 6.0)),
        _pair("cde", (5.0, 5.0), (math.nan, 3.0), (1.0, math.nan), leading=2),
    ]
    tokens = token_agreement(pairs)
    assert (tokens.tokens, tokens.missing) == (3, 2)
    assert tokens.mean_absolute_difference == pytest.approx(4 / 3)
    assert tokens.correlation == pytest.approx(np.corrcoef([0, 9, 5], [1, 6, 5])[0, 1])
    largest = largest_differences(pairs, count=2)
    assert [(item.position, item.token, item.first, item.second) for item in largest] == [
        (1, "b", 9.0, 6.0),
        (0, "a", 0.0, 1.0),
    ]
    assert largest[0].unit == Unit("N", 1, 2)
    assert largest_differences(pairs)[2].position == 2  # of the whole excerpt


@pytest.mark.parametrize("constant", [0.0, 0.1 + 0.2, 1e30])
def test_a_constant_side_has_no_correlation(constant: float) -> None:
    assert math.isnan(token_agreement([_pair("abc", (constant, 1.0), (constant, 2.0), (constant, 3.0))]).correlation)


def test_nothing_to_compare_is_said() -> None:
    pairs = [_pair("a", (math.nan, math.nan))]
    tokens = token_agreement(pairs)
    assert (tokens.tokens, tokens.missing, largest_differences(pairs)) == (0, 1, ())
    assert math.isnan(tokens.correlation)
    assert math.isnan(tokens.mean_absolute_difference)
    assert token_agreement([]).tokens == 0


@given(values=VALUES)
def test_it_does_not_matter_which_comes_first(values: list[tuple[float, float]]) -> None:
    tokens = "x" * len(values)
    forwards = token_agreement([_pair(tokens, *values)])
    backwards = token_agreement([_pair(tokens, *((second, first) for first, second in values))])
    assert forwards.correlation == pytest.approx(backwards.correlation, nan_ok=True)
    assert forwards.mean_absolute_difference == backwards.mean_absolute_difference
    assert math.isnan(forwards.correlation) or abs(forwards.correlation) <= 1 + 1e-9
