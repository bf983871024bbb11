"""Explainers of one run are handed the same excerpts, try as many candidates, and are cleaned alike; results say so."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from harness.config.compose import composed
from harness.explainers.shared.cleaning import VERSION
from harness.jobs import run
from harness.results.run import read_run
from harness.tasks import catalog
from harness.tasks.units import read_task

METHODS = ["highlight", "token_space", "clusters", "joined", "revision"]


@pytest.mark.slow
def test_results_say_on_which_terms_each_explainer_worked(tiny_task: Path, small: list[str]) -> None:
    chosen = [*small, f"explainer=[{','.join(METHODS)},max_activation,oracle]", "units.limit=2"]
    chosen += ["asking.candidates=3", "asking.temperature=0.7"]
    folder = run.run(run.prepare(composed("run", chosen)), chosen, lambda *_: None).folder
    results = read_run(folder)

    assert [info.method for info in results.explainers] == [*METHODS, "max_activation", "oracle"]
    for info in results.explainers:
        assert (info.candidates, info.cleaning) == ((3, VERSION) if info.method in METHODS else (0, ""))

    rows = pq.read_table(folder / "explanations.parquet").to_pylist()
    for record in catalog.records(read_task(tiny_task), limit=2):
        by_explainer = {row["explainer"]: row for row in rows if row["unit"] == str(record.unit)}
        for name in (*(f"{method} · fake" for method in METHODS), "max_activation"):
            assert by_explainer[name]["shown"] == [excerpt.source for excerpt in record.splits.train]
        assert set(by_explainer["oracle"]["shown"]) >= {excerpt.source for excerpt in record.splits.valid}
        assert {len(by_explainer[f"{method} · fake"]["candidates"]) for method in METHODS} == {3}
