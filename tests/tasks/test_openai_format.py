"""Neuron records in the public format come back exactly, and what is wrong with a file is said with its name."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.tasks import openai_format
from harness.tasks.openai_format import Decimals, dumped, parsed
from harness.types import ExcerptKind, NeuroglossError, Unit

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
MOMENTS = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))


@st.composite
def activations(draw: st.DrawFn) -> dict[str, Any]:
    tokens = draw(st.lists(st.text(max_size=3), min_size=2, max_size=4))
    values = draw(st.lists(FLOATS, min_size=len(tokens), max_size=len(tokens)))
    return {"dataclass_name": "ActivationRecord", "tokens": tokens, "activations": values}


@st.composite
def objects(draw: st.DrawFn) -> dict[str, Any]:
    sample = st.lists(activations(), max_size=2)
    strata = draw(st.one_of(st.none(), st.lists(sample, min_size=5, max_size=5)))
    edges = st.one_of(st.none(), st.lists(st.floats(-5, 5), min_size=4, max_size=4))
    return {
        "dataclass_name": "NeuronRecord",
        "neuron_id": {"dataclass_name": "NeuronId", "layer_index": draw(st.integers(0, 47)), "neuron_index": 9},
        "random_sample": draw(sample),
        "random_sample_by_quantile": strata,
        "quantile_boundaries": draw(edges),
        **{name: draw(MOMENTS) for name in ("mean", "variance", "skewness", "kurtosis")},
        "most_positive_activation_records": draw(sample),
    }


@given(objects(), st.sampled_from(Decimals))
def test_a_record_comes_back_exactly(made: dict[str, Any], decimals: Decimals) -> None:
    text = dumped(parsed(made), decimals)
    if decimals is Decimals.BINARY:
        assert json.loads(text) == made
    assert dumped(parsed(json.loads(text)), decimals) == text
    nearest = parsed(json.loads(text))
    for mine, theirs in zip(
        openai_format.every_excerpt(parsed(made)), openai_format.every_excerpt(nearest), strict=True
    ):
        np.testing.assert_array_equal(np.float32(mine.activations), np.float32(theirs.activations))


def example(layer: int = 3, **changes: Any) -> dict[str, Any]:
    def sample(first: int, number: int) -> list[dict[str, Any]]:
        return [
            {"tokens": [" a", "\n", str(one)], "activations": [0.5, -0.25, one]} for one in range(first, first + number)
        ]

    made: dict[str, Any] = {
        "neuron_id": {"layer_index": layer, "neuron_index": 7},
        "random_sample": sample(50, 10),
        "random_sample_by_quantile": None,
        "quantile_boundaries": None,
        "mean": 0.1,
        "variance": 1.0,
        "skewness": None,
        "kurtosis": 3.0,
        "most_positive_activation_records": sample(100, 20),
        "something else": 1,
    }
    return {**made, **changes}


def files(folder: Path, *made: dict[str, Any]) -> Path:
    for number, one in enumerate(made):
        (folder / f"{number}.json").write_text(json.dumps(one))
    return folder


def test_files_are_read_in_the_order_of_neurons(tmp_path: Path) -> None:
    later = example(neuron_id={"layer": "1", "idx": 2})
    found = openai_format.read([files(tmp_path, example(), later)])
    assert [record.unit for record in found.records] == [Unit("N", 1, 2), Unit("N", 3, 7)]
    assert [path.name for path in found.paths] == ["1.json", "0.json"]
    record = found.records[1]
    assert (len(record.top), len(record.random)) == (20, 10)
    assert {one.kind for one in record.random} == {ExcerptKind.RANDOM}
    assert record.moments.maximum == 119
    assert math.isnan(record.moments.skewness)
    assert (found.decimals, found.rounded) == (Decimals.BINARY, 0)


@pytest.mark.parametrize(
    ("number", "decimals", "rounded"),
    [
        (0.1, Decimals.SHORTEST, 0),
        (float(np.float32(0.1)), Decimals.BINARY, 0),
        (0.123456789012, Decimals.SHORTEST, 1),
    ],
)
def test_both_ways_of_writing_a_float32_are_known(
    tmp_path: Path, number: float, decimals: Decimals, rounded: int
) -> None:
    made = example(random_sample=[{"tokens": ["a"], "activations": [number]}])
    found = openai_format.read([files(tmp_path, made)])
    assert (found.decimals, found.rounded) == (decimals, rounded)
    again = json.loads(dumped(found.records[0], found.decimals))
    assert (again["random_sample"][0]["activations"] == [number]) == (not rounded)


@pytest.mark.parametrize("key", ["neuron_id", "random_sample", "mean", "most_positive_activation_records"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    made = example()
    del made[key]
    with pytest.raises(NeuroglossError, match=rf"0\.json lacks the key '{key}'"):
        openai_format.read([files(tmp_path, made)])


def test_what_is_wrong_is_said_with_the_file(tmp_path: Path) -> None:
    wrong = {
        "is not a finite number": example(random_sample=[{"tokens": ["a"], "activations": [None]}]),
        "has 2 tokens but 1 activations": example(random_sample=[{"tokens": ["a", "b"], "activations": [0]}]),
        "5 samples by quantile and 3 boundaries": example(
            random_sample_by_quantile=[[]] * 5, quantile_boundaries=[1, 2, 3]
        ),
        "excerpt random-0:0 holds an activation that is not a finite number in float32": example(
            random_sample=[{"tokens": ["a"], "activations": [1e39]}]
        ),
        r"excerpt top-1:0 has the token '\\ud83d', which is no text; fetch it again": example(
            most_positive_activation_records=[
                {"tokens": [token], "activations": [1]} for token in ("\U0001f600", "\ud83d")
            ]
        ),
        "excerpt random-0:0 has the token 3, which is no text": example(
            random_sample=[{"tokens": [3], "activations": [1]}]
        ),
        "excerpt random-0:0 has the token None, which is no text": example(
            random_sample=[{"tokens": [None], "activations": [1]}]
        ),
        "'-1:7' is not a unit": example(layer=-1),
    }
    for sentence, made in wrong.items():
        with pytest.raises(NeuroglossError, match=rf"0\.json: .*{sentence}"):
            openai_format.read([files(tmp_path, made)])
    with pytest.raises(NeuroglossError, match=r"1\.json is of neuron L3N7, as another file is"):
        openai_format.read([files(tmp_path, example(), example())])
    (tmp_path / "0.json").write_text("[1, 2")
    with pytest.raises(NeuroglossError, match=r"0\.json cannot be read as JSON"):
        openai_format.read([tmp_path])
    with pytest.raises(NeuroglossError, match=r"there is no \.json file to import"):
        openai_format.read([])
    with pytest.raises(NeuroglossError, match=r"nowhere\.json cannot be read"):
        openai_format.read([tmp_path / "nowhere.json"])


def test_records_are_written_by_layer_and_never_over_others(tmp_path: Path) -> None:
    found = openai_format.read([files(tmp_path, example(), example(layer=4))])
    paths = openai_format.write(found.records, tmp_path / "out", found.decimals)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == ["out/3/7.json", "out/4/7.json"]
    with pytest.raises(NeuroglossError, match=r"out cannot be written .*give a new folder"):
        openai_format.write(found.records, tmp_path / "out", found.decimals)
