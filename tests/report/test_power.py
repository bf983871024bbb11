from __future__ import annotations

import io
import statistics
from collections.abc import Callable

import pytest
from rich.console import Console

from harness import stats
from harness.report import page, power
from harness.report.power import PowerSettings
from harness.results import rows
from harness.results.run import Results
from harness.types import NeuroglossError, Role, RowKey

Make = Callable[..., Results]
EXPLAINER, FLOOR = Role.EXPLAINER, Role.FLOOR
WEAK = "token_activation · smollm2"


def test_each_two_explainers_have_a_row_and_the_first_a_sentence(usual: Results) -> None:
    built = power.build(usual, PowerSettings(0.05))
    (table,) = built.tables
    assert [row[0] for row in table.rows] == [
        f"{WEAK} - max_activation",
        f"{WEAK} - shuffled",
        "max_activation - shuffled",
    ]
    a, b = (rows.by_unit(usual.scored[RowKey(name, "all_at_once")]) for name in (WEAK, "max_activation"))
    differences = [a[unit] - b[unit] for unit in a]
    needed = stats.units_needed(statistics.variance(differences), 0.05)
    _, seen, deviation, units, cell, span, smallest = table.rows[0]
    assert (seen, units, cell) == (f"{statistics.fmean(differences):.3f}", "24", str(needed))
    assert deviation == f"{statistics.stdev(differences):.3f}"
    few, many = map(int, span.split(" to "))
    assert few < needed < many
    assert float(smallest) == pytest.approx(2.8016 * statistics.stdev(differences) / 24**0.5, abs=1e-3)
    assert f"takes about {needed} units, with a chance of 80% to see it and of 5%" in built.sentences[0]


def test_power_alpha_metric_and_explainers_can_be_asked_for(usual: Results) -> None:
    def needed(**asked: object) -> int:
        chosen = PowerSettings(0.05, explainers=("max_activation", "shuffled"), **asked)  # type: ignore[arg-type]
        (row,) = power.build(usual, chosen).tables[0].rows
        return int(row[4])

    assert needed(power=0.95) > needed() < needed(alpha=0.001)
    assert needed(metric="correlation_random") == pytest.approx(needed() / 4, abs=1)  # made as half of it


def test_it_fits_a_terminal(usual: Results) -> None:
    stream = io.StringIO()
    Console(width=100, file=stream, force_terminal=False).print(page.render(power.build(usual, PowerSettings(0.05))))
    assert max(map(len, stream.getvalue().splitlines())) <= 100
    assert "units tell" in " ".join(stream.getvalue().split())


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            PowerSettings(0.05, explainers=("nobody",)),
            "no explainer 'nobody'; it has token_activation · smollm2, max_activation",
        ),
        (PowerSettings(0.05, explainers=(WEAK,)), "scores of 1 explainer"),
        (PowerSettings(0.05, explainers=(WEAK, "token_lookup")), "scored by all_at_once and lookup"),
        (PowerSettings(0.05, metric="beauty"), "no scores by 'beauty'; it has ablation, correlation"),
        (PowerSettings(0.05, metric="ablation"), "differ by the same on every unit"),
        (PowerSettings(0.0), "a difference of 0.0"),
        (PowerSettings(0.05, power=2), "power is 2"),
    ],
)
def test_what_the_run_cannot_answer_is_refused(usual: Results, asked: PowerSettings, message: str) -> None:
    with pytest.raises(NeuroglossError, match=message):
        power.build(usual, asked)


def test_too_few_neurons_or_explainers_are_refused(make: Make) -> None:
    two = {"x": (EXPLAINER, "all_at_once", 0.2), "shuffled": (FLOOR, "all_at_once", 0.0)}
    with pytest.raises(NeuroglossError, match="x and shuffled share 2 units"):
        power.build(make(two, scored_neurons=2), PowerSettings(0.05))
    with pytest.raises(NeuroglossError, match="a difference of 0"):  # told first, as no run can answer it
        power.build(make(two, scored_neurons=2), PowerSettings(0.0))
    with pytest.raises(NeuroglossError, match="scores of 1 explainer under all_at_once"):
        power.build(make({"x": (EXPLAINER, "all_at_once", 0.2)}), PowerSettings(0.05))
