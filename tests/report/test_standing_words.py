"""What a board says of its rows is no more than the scores of a made-up run support."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from harness.report import board
from harness.results import merge
from harness.results.rows import Resampling, summarise
from harness.results.run import Results
from harness.results.vocabulary import ResultRow
from harness.types import Explanation, Outcome, Role, RowKey, ScoredExplanation, Scores, Unit

Make = Callable[..., Results]
SIMULATOR = "all_at_once"
RNG = np.random.default_rng(5)
NOISE = RNG.normal(0, 0.05, 12)


def _row(
    name: str, role: Role, values: Mapping[str, Sequence[float | None]], outcome: Outcome = Outcome.REFUSED
) -> ResultRow:
    """A row with the values of each metric, by unit; where the headline is None there is no explanation."""
    scored = []
    for place, headline in enumerate(values["correlation"]):
        scores = {metric: column[place] for metric, column in values.items() if column[place] is not None}
        explanation = Explanation(
            Unit("N", place, 1), "words", explainer=name, outcome=Outcome.OK if headline is not None else outcome
        )
        scored.append(ScoredExplanation(explanation, SIMULATOR, (), None, Scores(scores)))  # type: ignore[arg-type]
    return ResultRow(summarise(RowKey(name, SIMULATOR), role, scored, Resampling()), tuple(scored))


def _sentences(usual: Results, *rows: ResultRow) -> list[str]:
    results = dataclasses.replace(usual, rows=rows)
    return list(board.build(merge.ranked(results, Resampling())).sentences)


def _of(name: str, sentences: Sequence[str]) -> str:
    (sentence,) = (item for item in sentences if item.startswith(f"{name} is") or item.startswith(f"{name} cannot"))
    return sentence


def _values(headline: float, random: float, count: int = 12) -> dict[str, list[float]]:
    ceiling = [0.9] * count
    return {
        "correlation": (headline + NOISE[:count]).tolist(),
        "correlation_random": (random - NOISE[:count]).tolist(),
        "correlation_ceiling": ceiling,
    }


FLOOR = _row("shuffled", Role.FLOOR, {"correlation": [0.0] * 12, "correlation_random": [0.0] * 12})


def test_above_the_floor_is_said_only_of_what_is_so_on_random_excerpts_too(usual: Results) -> None:
    both, top = _row("both", Role.EXPLAINER, _values(0.3, 0.2)), _row("top", Role.EXPLAINER, _values(0.3, 0.0))
    sentences = _sentences(usual, both, top, FLOOR)
    assert "is above the floor (difference 0.297" in _of("both", sentences)
    assert "on random excerpts too (difference 0.2" in _of("both", sentences)
    assert "is above the floor on its top excerpts only" in _of("top", sentences)
    assert "random ones alone it cannot be told from it" in _of("top", sentences)


def test_the_ceiling_is_the_units_own_levels_in_any_run(usual: Results) -> None:
    sentences = _sentences(usual, _row("x", Role.EXPLAINER, _values(0.45, 0.3)), FLOOR)
    mean = 0.45 + NOISE.mean()
    assert any("to its ceiling, 0.900 (the units' own activations, rounded to levels)" in item for item in sentences)
    assert f"it goes {mean / 0.9:.0%} of the way to the ceiling" in _of("x", sentences)


def test_five_units_are_too_few_and_nothing_is_said_of_no_sign(usual: Results) -> None:
    floor = _row("shuffled", Role.FLOOR, {"correlation": [0.0] * 5})
    sentence = _of("x", _sentences(usual, _row("x", Role.EXPLAINER, {"correlation": [0.2, 0.3, 0.4, 0.5, 0.6]}), floor))
    assert "too few units to tell: whatever the signs, the corrected p is at least 0.062" in sentence
    assert "a difference such as the one seen, 0.400, takes about 6" in sentence
    assert "no sign" not in sentence


def test_what_cannot_be_told_apart_says_which_difference_would_have_been_seen(usual: Results) -> None:
    sentence = _of("x", _sentences(usual, _row("x", Role.EXPLAINER, {"correlation": NOISE.tolist()}), FLOOR))
    assert "12 units show a difference of 0.0" in sentence
    assert "no sign" not in sentence


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.EMPTY, Outcome.TRUNCATED, Outcome.COPIED])
def test_abstaining_on_the_worst_units_gains_nothing(usual: Results, outcome: Outcome) -> None:
    honest = sorted((0.3 + NOISE).tolist())
    silent = [None, None, None, *honest[3:]]
    floor = _row("shuffled", Role.FLOOR, {"correlation": [0.01] * 12})
    rows = (
        _row("honest", Role.EXPLAINER, {"correlation": honest}),
        _row("silent", Role.EXPLAINER, {"correlation": silent}, outcome),
        floor,
    )
    results = merge.ranked(dataclasses.replace(usual, rows=rows), Resampling())
    (standing,) = results.standings
    assert standing.means["silent"].mean == pytest.approx((3 * 0.01 + sum(honest[3:])) / 12)
    assert list(standing.ranks) == ["honest", "silent"]
    sentences = board.build(results).sentences
    (charged,) = (sentence for sentence in sentences if sentence.startswith("silent gave no explanation"))
    words = "copied from the examples of its prompt" if outcome is Outcome.COPIED else outcome.value
    given = sum(honest[3:]) / 9
    assert f"of 3 of 12 units (3 {words})" in charged
    assert f"ranked by {standing.means['silent'].mean:.3f}" in charged
    assert f"over the 9 units that it explained it has {given:.3f}" in charged
    table = board.build(results).tables[0]
    assert ("given", "mean over those given") in table.columns


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.NOT_COLLECTED])
def test_what_failed_on_the_way_is_no_abstaining(usual: Results, outcome: Outcome) -> None:
    row = _row("x", Role.EXPLAINER, {"correlation": [None, *(0.3 + NOISE[1:]).tolist()]}, outcome)
    results = merge.ranked(dataclasses.replace(usual, rows=(row, FLOOR)), Resampling())
    assert row.summary.abstained == 0
    assert results.standings[0].means["x"] == row.summary.metrics["correlation"]


def test_an_unbounded_metric_is_ranked_by_its_median(usual: Results) -> None:
    values = {"correlation": NOISE.tolist(), "ablation": [-15.0, *(0.4 + NOISE[1:]).tolist()]}
    floor = _row("shuffled", Role.FLOOR, {"correlation": [0.0] * 12, "ablation": [0.0] * 12})
    results = dataclasses.replace(usual, rows=(_row("x", Role.EXPLAINER, values), floor))
    page = board.build(merge.ranked(results, Resampling()), by="ablation")
    median = float(np.median(values["ablation"]))
    assert page.tables[0].rows[0][2] == f"{median:.3f}"
    assert dict(page.tables[0].columns)["score"] == "median ablation"
    assert any("medians over units, with intervals by order statistics" in sentence for sentence in page.sentences)
