"""The panel as a scorer: its settings reach the metrics, and impossible ones are refused."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from harness.scorers.panel import Panel
from harness.scores import panel
from harness.types import NeuroglossError, Scorer, SimulatedExplanation

Make = Callable[..., SimulatedExplanation]


def test_it_gives_every_explanation_the_metrics_of_its_excerpts(simulated: Make) -> None:
    explanations = [simulated((4.0, 1.0), (0.0, 1.0)), simulated((1.0, 2.0), (3.0, 0.0))]
    scored = Panel().score(explanations)
    assert [item.scores for item in scored] == [panel.score(item.excerpts) for item in explanations]
    assert scored[0].scores != scored[1].scores


def test_its_settings_reach_the_metrics(simulated: Make) -> None:
    loud = simulated((4.0, 0.0), (0.0, 2.0))  # the real levels are 4, 1, 0 and 1
    auroc = {level: Panel(active_level=level).score([loud])[0].scores.values["auroc"] for level in (1, 10)}
    assert auroc == {1: pytest.approx(5 / 6), 10: 1.0}
    holed = simulated((4.0, math.nan), (0.0, 1.0))
    assert Panel(maximum_missing=0.25).score([holed])[0].scores.values
    assert not Panel(maximum_missing=0.2).score([holed])[0].scores.values


def test_it_is_a_scorer_that_asks_nothing_and_names_columns_of_its_metrics() -> None:
    assert isinstance(Panel(), Scorer)
    info = Panel().describe()
    assert (info.name, info.identity, info.prompt_version) == ("panel", None, "")
    assert {heading.metric for heading in info.headings} < {*panel.METRICS, *panel.HARD_METRICS}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"active_level": 0}, r"^scores\.panel\.active_level is 0; write a level from 1 to 10\.$"),
        ({"active_level": 11}, r"^scores\.panel\.active_level is 11; write a level from 1 to 10\.$"),
        ({"maximum_missing": -0.1}, r"^scores\.panel\.maximum_missing is -0\.1; it is a share"),
        ({"maximum_missing": 5}, r"^scores\.panel\.maximum_missing is 5; it is a share"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(NeuroglossError, match=message):
        Panel(**wrong)  # type: ignore[arg-type]
