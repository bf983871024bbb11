"""Exports: our importers read them back, and they hold what the formats of other tools ask for."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.explainers.released.imported import Imported
from harness.explainers.released.neuronpedia import Neuronpedia
from harness.explainers.released.openai_file import OpenAIFile
from harness.results.run import Results, write_run
from harness.results.vocabulary import ExplainerInfo, TaskInfo
from harness.share.exports import write as exporting
from harness.types import Evidence, NeuroglossError, Outcome, Record, Role, RowKey, TokenSums, Unit
from tests.share.conftest import TOKENS, Make, record, scored, table

UNITS = (Unit("N", 0, 7), Unit("N", 0, 10), Unit("N", 29, 1535))
TEXTS = {UNITS[0]: " words\nabout “tea” | \ufffd", UNITS[1]: "numbers", UNITS[2]: "x" * 600}
WORSE = {unit: f"no. {place}" for place, unit in enumerate(UNITS)}
INFOS = (
    ExplainerInfo("token_activation_pairs · a/B", "token_activation_pairs", "a/B", Role.EXPLAINER),
    ExplainerInfo("max_activation", "max_activation", "", Role.EXPLAINER),
    ExplainerInfo("lookup", "lookup", "", Role.CEILING),
    ExplainerInfo("shuffled", "shuffled", "", Role.FLOOR),
)
Exported = Callable[..., Path]


def rows(units: Sequence[Unit] = UNITS) -> Mapping[str | RowKey, Any]:
    texts, worse = [{unit: told[known] for unit, known in zip(units, UNITS, strict=True)} for told in (TEXTS, WORSE)]
    return {
        "token_activation_pairs · a/B": (Role.EXPLAINER, [scored(text, unit=unit) for unit, text in texts.items()]),
        "max_activation": (Role.EXPLAINER, [scored(text, unit=unit) for unit, text in worse.items()]),
        RowKey("lookup", "lookup"): (Role.CEILING, [table()]),
        "shuffled": (Role.FLOOR, [scored("a control", unit=unit) for unit in units]),
    }


@pytest.fixture
def exported(make: Make, tmp_path: Path) -> Exported:
    """Writes a run of some units, and exports it; the folder."""

    def export(form: str, units: Sequence[Unit] = UNITS, source: str = "", **changes: Any) -> Path:
        task = TaskInfo("tiny-v1", "feedface", len(units), tuple(units))
        results: Results = make(rows(units), **{"task": task, "explainers": INFOS, **changes})
        run = write_run(tmp_path / "runs", results, "board")
        records: list[Record] = [record(unit) for unit in units]
        exporting.write(results, records, run, tmp_path / "out", form, source)
        return tmp_path / "out"

    return export


def read(importer: Imported, units: Sequence[Unit] = UNITS) -> dict[Unit, str]:
    """What an importer tells of some units."""
    sums = TokenSums((), np.zeros(0, dtype=np.int64), np.zeros(0))
    told = importer.explain([Evidence(unit, (), sums, mean=0.0) for unit in units])
    return {item.unit: item.text for item in told if item.outcome is Outcome.OK}


def stripped(texts: Mapping[Unit, str]) -> dict[Unit, str]:
    return {unit: text.strip() for unit, text in texts.items()}


# ------------------------------------------------------------------------------------------------------------ OpenAI's


def test_openais_files_read_back_row_by_row(exported: Exported) -> None:
    folder = exported("openai")
    assert read(OpenAIFile(str(folder / "max_activation" / "all_at_once"))) == stripped(WORSE)
    (method,) = folder.glob("token_activation_pairs/*/all_at_once")
    assert read(OpenAIFile(str(method))) == stripped(TEXTS)
    assert sorted(path.name for path in folder.iterdir()) == ["max_activation", "token_activation_pairs"], "no control"


def test_openais_files_hold_scores_and_simulations_under_their_names(exported: Exported) -> None:
    path = exported("openai") / "max_activation" / "all_at_once" / "0" / "7.jsonl"
    (line,) = path.read_text().splitlines()
    document = json.loads(line)
    assert document["dataclass_name"] == "NeuronSimulationResults"
    assert document["neuron_id"] == {"dataclass_name": "NeuronId", "layer_index": 0, "neuron_index": 7}
    (explanation,) = document["scored_explanations"]
    simulation = explanation["scored_simulation"]
    assert (explanation["explanation"], simulation["ev_correlation_score"]) == ("no. 0", 0.25)
    assert (simulation["rsquared_score"], simulation["absolute_dev_explained_score"]) == (None, -3.5)
    (sequence,) = simulation["scored_sequence_simulations"]
    real = [0.5 * place - 1 for place in range(len(TOKENS))]
    assert sequence["true_activations"] == real
    calibrated, simulated = sequence["simulation"], sequence["simulation"]["uncalibrated_simulation"]
    assert calibrated["expected_activations"] == [None, *real[1:]]
    assert (calibrated["activation_scale"], calibrated["tokens"][:2]) == ("neuron_activations", [" tea", "\n"])
    assert simulated["expected_activations"] == [None, *map(float, range(1, len(TOKENS)))]
    assert simulated["activation_scale"] == "simulated_normalized_activations"
    assert sequence["ev_correlation_score"] == pytest.approx(1.0), "over the positions that count"
    assert (sequence["rsquared_score"], sequence["absolute_dev_explained_score"]) == (1.0, 1.0)


def test_scores_of_a_sequence_that_are_undefined_are_null() -> None:
    from harness.share.exports import openai

    silent = {"tokens": ["a", "b"], "units": "levels", "leading": 0, "real": [0.0, 0.0], "simulated": [1.0, 2.0],
              "calibrated": [1.0, 2.0]}  # fmt: skip
    names = ("ev_correlation_score", "rsquared_score", "absolute_dev_explained_score")
    assert [openai._sequence(silent)[name] for name in names] == [None, None, None]
    uncalibrated = openai._sequence({**silent, "real": [0.0, 1.0], "calibrated": []})
    assert [uncalibrated[name] for name in names] == [1.0, None, None]
    assert uncalibrated["simulation"]["activation_scale"] == "simulated_normalized_activations"
    assert uncalibrated["simulation"]["uncalibrated_simulation"] is None
    assert openai._sequence({**silent, "simulated": [None, None]})["ev_correlation_score"] is None
    sink = {**silent, "leading": 1, "real": [99.0, 0.0, 1.0, 2.0], "simulated": [0.0, 0.0, 1.0, 2.0]}
    assert openai._sequence({**sink, "calibrated": sink["simulated"]})["ev_correlation_score"] == pytest.approx(1.0)


# ------------------------------------------------------------------------------------------------------- Neuronpedia's


def test_neuronpedias_export_reads_back_by_method_and_model(exported: Exported) -> None:
    folder = exported("neuronpedia")
    assert read(Neuronpedia(str(folder))) == stripped(TEXTS), "the first row is the first explanation"
    assert read(Neuronpedia(str(folder), method="oai_token-act-pair", model_name="a/B")) == stripped(TEXTS)
    assert read(Neuronpedia(str(folder), method="max_activation")) == stripped(WORSE)


def test_neuronpedias_export_has_the_activations_beside(exported: Exported) -> None:
    layer = exported("neuronpedia") / "smollm2-135m-instruct" / "0"
    lines = gzip.decompress((layer / "activations" / "batch-0.jsonl.gz").read_bytes()).decode().splitlines()
    entries = [json.loads(line) for line in lines]
    assert {entry["index"] for entry in entries} == {"7", "10"}
    assert len({entry["id"] for entry in entries}) == len(entries)
    first = next(entry for entry in entries if entry["index"] == "7")
    assert first["tokens"] == [" tea", "0", "top"]
    assert (first["values"], first["maxValue"], first["minValue"]) == ([0.5, float(np.float32(0.1)), 0.0], 0.5, 0.0)
    assert first["maxValueTokenIndex"] == 0
    assert "hard" not in {entry["tokens"][2] for entry in entries}, "the test split stays out"
    explanations = gzip.decompress((layer / "explanations" / "batch-0.jsonl.gz").read_bytes()).decode().splitlines()
    keys = ["id", "modelId", "layer", "index", "authorId", "description", "embedding", "typeName",
            "explanationModelName", "umap_x", "umap_y", "umap_cluster", "umap_log_feature_sparsity"]  # fmt: skip
    assert [list(json.loads(line)) for line in explanations] == [keys] * 4


def test_an_upload_reads_back_and_keeps_to_neuronpedias_bounds(exported: Exported) -> None:
    folder = exported("neuronpedia-upload")
    told = read(Neuronpedia(str(folder), method="oai_token-act-pair", model_name="a/b"))
    assert told == {**stripped(TEXTS), UNITS[2]: "x" * 511 + "…"}
    assert read(Neuronpedia(str(folder), method="max_activation")) == stripped(WORSE)
    body = json.loads((folder / "0" / "batch-0.json").read_text())
    assert (body["modelId"], body["source"]) == ("smollm2-135m-instruct", "0")
    (first, second) = body["features"]
    assert (first["index"], second["index"], first["density"]) == (7, 10, 0.125)
    assert first["explanations"][1] == {"text": "no. 0", "methodName": "max_activation"}
    assert all(len(item["tokens"]) == len(item["values"]) > 0 for item in first["activations"])


def test_batches_of_an_upload_hold_no_more_than_it_takes(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.share.exports import neuronpedia

    monkeypatch.setattr(neuronpedia, "FEATURES_OF_A_BATCH", 1)
    folder = exported("neuronpedia-upload")
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.json")) == [
        "0/batch-0.json",
        "0/batch-1.json",
        "29/batch-0.json",
    ]
    assert read(Neuronpedia(str(folder), method="max_activation")) == stripped(WORSE)


@pytest.mark.parametrize("form", ["neuronpedia", "neuronpedia-upload"])
def test_latents_are_features_of_a_source(form: str, exported: Exported) -> None:
    latents = [replace(unit, kind="S") for unit in UNITS]
    folder = exported(form, latents, "res-jb")
    assert list(folder.rglob("0-res-jb"))
    told = read(Neuronpedia(str(folder), source="-res-jb", method="max_activation"), latents)
    assert told == {unit: WORSE[known] for unit, known in zip(latents, UNITS, strict=True)}


# -------------------------------------------------------------------------------------------------- what cannot be held


@pytest.mark.parametrize("form", exporting.FORMATS)
def test_the_positive_side_of_a_neuron_is_written_as_the_neuron(form: str, exported: Exported) -> None:
    sides = [Unit("N+", 0, 7), Unit("N-", 0, 7), Unit("N+", 29, 1535)]
    folder = exported(form, sides)
    importer = (
        OpenAIFile(str(folder / "max_activation" / "all_at_once"))
        if form == "openai"
        else Neuronpedia(str(folder), method="max_activation")
    )
    assert read(importer, sides) == {sides[0]: "no. 0", sides[2]: "no. 2"}


@pytest.mark.parametrize("form", exporting.FORMATS)
@pytest.mark.parametrize("unit", [Unit("H", 0, 7), Unit("puzzle", name="pets")])
def test_units_that_a_format_does_not_know_are_refused(form: str, unit: Unit, exported: Exported) -> None:
    with pytest.raises(NeuroglossError, match=f"{unit} is none of the neurons"):
        exported(form, [unit, *UNITS[1:]])


def test_a_run_of_controls_has_nothing_to_export(make: Make, tmp_path: Path) -> None:
    results = make({"shuffled": (Role.FLOOR, [scored("words")])}, explainers=INFOS[3:])
    run = write_run(tmp_path / "runs", results, "board")
    with pytest.raises(NeuroglossError, match="has no explanation in words by a method or by people"):
        exporting.write(results, [], run, tmp_path / "out", "openai")
    assert not (tmp_path / "out").exists()


def test_only_a_new_folder_is_written_to_and_never_a_secret(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "numbers")
    with pytest.raises(NeuroglossError, match="the value of the environment variable MY_API_KEY"):
        exported("neuronpedia")
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    with pytest.raises(NeuroglossError, match="exists already; give a new folder"):
        exported("openai")


def test_what_is_missing_in_results_is_null_and_never_nan(exported: Exported) -> None:
    for path in exported("openai").rglob("*.jsonl"):
        assert not any(
            isinstance(value, float) and math.isnan(value) for value in json.loads(path.read_text()).values()
        )
        assert "NaN" not in path.read_text()
