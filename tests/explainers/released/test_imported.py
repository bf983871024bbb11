"""Released explanations: read as they were written, and what cannot be read is named."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.explainers.released.neuronpedia import Neuronpedia
from harness.explainers.released.openai_file import OpenAIFile
from harness.types import Explainer, NeuroglossError, Outcome, Unit


def openai_line(layer: object, index: int, *texts: str) -> str:
    """A line as it was released, NaN included."""
    scored = [
        {"explanation": text, "scored_simulation": {"ev_correlation_score": float("nan"), "rsquared_score": None}}
        for text in texts
    ]
    return json.dumps(
        {
            "dataclass_name": "NeuronSimulationResults",
            "neuron_id": {"dataclass_name": "Unit", "layer_index": layer, "neuron_index": index},
            "scored_explanations": scored,
        }
    )


def told(explainer, evidence, *indices: int) -> list[tuple[str, Outcome]]:
    return [(one.text, one.outcome) for one in explainer.explain([evidence(index) for index in indices])]


def test_a_file_in_the_format_of_openai(tmp_path: Path, evidence) -> None:
    path = tmp_path / "all.jsonl"
    lines = [openai_line(0, 7, ' words (2012) related to "comparison".', "later"), openai_line("0", 8, " "), ""]
    path.write_text("\n".join([*lines, openai_line(3, 9, "another layer"), openai_line(0, 10)]))
    explainer = OpenAIFile(str(path))
    assert isinstance(explainer, Explainer)
    assert told(explainer, evidence, 8, 7, 9, 10) == [
        ("", Outcome.EMPTY),
        ('words (2012) related to "comparison".', Outcome.OK),
        ("", Outcome.NOT_COLLECTED),
        ("", Outcome.NOT_COLLECTED),
    ]


def test_a_folder_as_openai_laid_it_out(tmp_path: Path, evidence) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "7.jsonl").write_text(openai_line(0, 7, " rivers"))
    (tmp_path / "0" / "8.jsonl").write_text("never read")
    assert told(OpenAIFile(str(tmp_path)), evidence, 7, 1) == [("rivers", Outcome.OK), ("", Outcome.NOT_COLLECTED)]


def test_the_names_of_the_later_debugger_are_known(tmp_path: Path, evidence) -> None:
    row = {
        "neuron_id": {"layer": 0, "idx": 3},
        "scored_explanation_or_baseline_list": [{"explanation_or_baseline": " lakes", "unknown": 1}],
    }
    (tmp_path / "x.jsonl").write_text(json.dumps(row))
    assert told(OpenAIFile(str(tmp_path / "x.jsonl")), evidence, 3) == [("lakes", Outcome.OK)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: this is not JSON"),
        ("[1]", "line 1: a line must be a JSON object"),
        ("{}", "line 1: the key neuron_id is missing"),
        ('{"neuron_id": 3}', "line 1: the key layer_index is missing"),
        ('{"neuron_id": {"layer_index": 0}}', "line 1: the key neuron_index is missing"),
        ('{"neuron_id": {"layer_index": true, "neuron_index": 0}}', "line 1: True is no layer"),
        ('{"neuron_id": {"layer_index": "%s", "neuron_index": 0}}' % ("9" * 5000), "is no layer"),
        ('{"neuron_id": {"layer_index": -1, "neuron_index": 0}}', "line 1: -1 is no layer"),
        ('{"neuron_id": {"layer_index": 0, "neuron_index": 0}}', "line 1: the key scored_explanations is missing"),
        (
            '{"neuron_id": {"layer_index": 0, "neuron_index": 0}, "scored_explanations": [{"explanation": 4}]}',
            "line 1: explanation is 4, and a text is wanted",
        ),
        ('{"neuron_id": {"layer_index": 0, "neuron_index": 0}, "scored_explanations": 1}', "is no list"),
    ],
)
def test_a_line_that_lacks_what_it_needs_is_named(tmp_path: Path, evidence, line: str, message: str) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text(line)
    with pytest.raises(NeuroglossError, match=message) as raised:
        OpenAIFile(str(path)).explain([evidence()])
    assert str(path) in str(raised.value)


def neuronpedia_line(layer: str, index: str, text: object, method: str = "np_max-act", model: str = "m1") -> str:
    row = {"modelId": "gpt2-small", "layer": layer, "index": index, "authorId": "a", "description": text}
    return json.dumps({**row, "embedding": None, "typeName": method, "explanationModelName": model})


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Two batches, whose numbers have nothing to do with the indices in them."""
    lines = [
        neuronpedia_line("0", "10", " rivers <b>(all)</b> "),
        neuronpedia_line("0", "9", "lakes", "oai_token-act-pair", "m2"),
        neuronpedia_line("0-res-jb", "9", "a feature, no neuron"),
    ]
    (tmp_path / "batch-0.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    (tmp_path / "batch-1.jsonl").write_text(
        neuronpedia_line("0", "9", "seas") + "\n" + neuronpedia_line("0", "2", None)
    )
    return tmp_path


def test_an_export_of_neuronpedia_is_joined_by_index(export: Path, evidence) -> None:
    assert told(Neuronpedia(str(export)), evidence, 9, 10, 2, 1) == [
        ("lakes", Outcome.OK),
        ("rivers <b>(all)</b>", Outcome.OK),
        ("", Outcome.EMPTY),
        ("", Outcome.NOT_COLLECTED),
    ]


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ({"method": "np_max-act"}, "seas"),
        ({"model_name": "m2"}, "lakes"),
        ({"source": "-res-jb"}, "a feature, no neuron"),
    ],
)
def test_one_method_model_or_source_can_be_chosen(export: Path, evidence, choice, text: str) -> None:
    assert told(Neuronpedia(str(export), **choice), evidence, 9) == [(text, Outcome.OK)]


def test_a_choice_that_leaves_nothing_says_what_there_is(export: Path, evidence) -> None:
    with pytest.raises(NeuroglossError, match=r"no explanation of these neurons.*typeName oai_token-act-pair"):
        Neuronpedia(str(export), method="human").explain([evidence(9)])


def test_uploads_are_read_too_and_what_they_lack_is_named(tmp_path: Path, evidence) -> None:
    explanations = [{"text": " lakes", "methodName": "np_max-act"}, {"text": "seas", "modelName": "m1"}]
    upload = {"modelId": "x", "source": "0", "features": [{"index": 3, "explanations": explanations}, {"index": 4}]}
    for folder in ("", "activations"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "batch-0.json").write_text(json.dumps(upload).replace("lakes", folder or "lakes"))
    assert told(Neuronpedia(str(tmp_path)), evidence, 3, 4) == [("lakes", Outcome.OK), ("", Outcome.NOT_COLLECTED)]
    assert told(Neuronpedia(str(tmp_path), model_name="m1"), evidence, 3) == [("seas", Outcome.OK)]
    for changes, message in (
        ({"features": [{}]}, "feature 1: the key index is missing"),
        ({"features": 3}, "features is no list"),
        ({"features": [{"index": 3, "explanations": [{}]}]}, "feature 1: the key text is missing"),
        ({"features": [{"index": 3, "explanations": 3}]}, "feature 1: explanations is no list"),
    ):
        (tmp_path / "batch-0.json").write_text(json.dumps({**upload, **changes}))
        with pytest.raises(NeuroglossError, match=message):
            Neuronpedia(str(tmp_path)).explain([evidence(3)])


def test_a_neuron_that_was_explained_is_the_positive_side_and_not_the_negative_one(tmp_path: Path, evidence) -> None:
    (tmp_path / "x.jsonl").write_text(openai_line(0, 3, " lakes"))
    (tmp_path / "y.jsonl").write_text(neuronpedia_line("0", "3", "lakes"))
    sides = [replace(evidence(3), unit=Unit(kind, 0, 3)) for kind in ("N+", "N-", "N")]
    for importer in (OpenAIFile(str(tmp_path / "x.jsonl")), Neuronpedia(str(tmp_path / "y.jsonl"))):
        explanations = importer.explain(sides)
        assert [(item.unit.kind, item.text) for item in explanations] == [("N+", "lakes"), ("N-", ""), ("N", "lakes")]


def test_what_is_no_export_is_named(tmp_path: Path, evidence) -> None:
    with pytest.raises(NeuroglossError, match=r"holds no \.jsonl"):
        Neuronpedia(str(tmp_path)).explain([evidence()])
    with pytest.raises(NeuroglossError, match=r"holds no <layer>/<neuron>\.jsonl"):
        OpenAIFile(str(tmp_path)).explain([evidence()])
    whole = gzip.compress(b"x" * 999)
    for broken in (b"not gzip", whole[:-9], whole[:12] + b"\xff" * 20, gzip.compress(b"\xff\xfe")):
        (tmp_path / "a.jsonl.gz").write_bytes(broken)
        with pytest.raises(NeuroglossError, match="cannot be read"):
            Neuronpedia(str(tmp_path)).explain([evidence()])
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"layer": "0", "index": "1", "tokens": []}'))
    with pytest.raises(NeuroglossError, match="the key description is missing"):
        Neuronpedia(str(tmp_path)).explain([evidence()])
    for importer in (Neuronpedia, OpenAIFile):
        with pytest.raises(NeuroglossError, match="no file or folder"):
            importer(str(tmp_path / "nowhere"))


def test_neurons_are_told_apart_by_layer_too(tmp_path: Path, evidence) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(neuronpedia_line("4", "1", "elsewhere"))
    assert Neuronpedia(str(path)).texts({Unit("N", 0, 1)}) == {}
    assert Neuronpedia(str(path)).texts({Unit("N", 4, 1)}) == {Unit("N", 4, 1): "elsewhere"}


def test_the_retired_export_is_one_list(tmp_path: Path, evidence) -> None:
    rows = [{"modelId": "x", "layer": "0", "index": "3", "description": " lakes"}]
    (tmp_path / "x.json").write_text(json.dumps(rows))
    assert told(Neuronpedia(str(tmp_path / "x.json")), evidence, 3) == [("lakes", Outcome.OK)]
    (tmp_path / "x.json").write_text("[3]")
    with pytest.raises(NeuroglossError, match=r"x\.json, entry 1: an entry must be a JSON object"):
        told(Neuronpedia(str(tmp_path / "x.json")), evidence, 3)
