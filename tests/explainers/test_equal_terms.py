"""Explainers of one run are handed the same excerpts, try as many candidates, and are cleaned alike; results say so."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq

from harness import experiment, gallery, tasks
from harness.explainers.cleaning import VERSION
from harness.hydra_config import composed

METHODS = ["highlight", "token_space", "clusters", "joined", "revision"]


def test_results_say_on_which_terms_each_explainer_worked(tiny_task: Path, tiny_llama: Path, tmp_path: Path) -> None:
    chosen = [f"task.path={tiny_task}", f"output={tmp_path}", "subject=transformers", f"subject.name={tiny_llama}"]
    chosen += ["simulator=token_overlap", "scores.ablation=false", "neurons.limit=2"]
    chosen += [f"explainer=[{','.join(METHODS)},max_activation,oracle]"]
    chosen += ["asking.candidates=3", "asking.temperature=0.7"]
    chosen += [f"model@{place}=fake" for name in METHODS for place in gallery.places(name, "model")]
    folder, _ = experiment.run(experiment.prepare(composed("run", chosen)), chosen, lambda *_: None)

    for info in json.loads((folder / "results.json").read_text())["explainers"]:
        asks = info["name"] in METHODS
        assert (info["candidates"], info["cleaning"]) == ((3, VERSION) if asks else (0, ""))

    rows = pq.read_table(folder / "explanations.parquet").to_pylist()
    for record in tasks.select(tasks.read_task(tiny_task), limit=2):
        splits = tasks.split_record(record)
        told = {row["explainer"]: row for row in rows if row["neuron"] == str(record.neuron)}
        for name in (*METHODS, "max_activation"):
            assert told[name]["shown"] == [excerpt.source for excerpt in splits.train]
        assert set(told["oracle"]["shown"]) >= {excerpt.source for excerpt in splits.valid}
        assert {len(told[name]["candidates"]) for name in METHODS} == {3}
