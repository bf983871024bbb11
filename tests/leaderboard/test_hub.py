"""The leaderboard as the hub has it: one result for each model and method, where its page looks for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import parse_eval_result_entries

from harness import files
from harness.leaderboard import hub
from harness.results.run import Results
from harness.results.vocabulary import ExplainerInfo
from harness.types import Identity, NeuroglossError, Role
from harness.weights.places import EMBEDDED, PUBLISHER

Make = Callable[..., Results]
Add = Callable[[Results], Path]
GIT = {"neurogloss": "0.1.0", "python": "3.11", "packages": {}, "git": {"commit": "c0ffee" * 6, "dirty": False}}
PUBLISHERS = {EMBEDDED: PUBLISHER}
SMALL = Identity("org/small", "s1", dtype="float32")
QUANTISED = Identity("org/Large-GGUF:large-q4_k_m.gguf", "l1", dtype="float32")
LOCAL = Identity("/home/someone/model", "x1")


def entry(make_results: Make, run_id: str, created: str, **models: tuple[str, Identity, float]) -> Results:
    rows = {name: (Role.EXPLAINER, mean) for name, (_, _, mean) in models.items()}
    results = make_results({**rows, "shuffled": (Role.FLOOR, 0.02)}, run_id=run_id, provenance=GIT, created=created)
    asked = {name: (method, model) for name, (method, model, _) in models.items()}
    explainers = tuple(
        replace(info, method=asked[info.name][0], model=info.name, identity=asked[info.name][1])
        if info.name in asked
        else info
        for info in results.explainers
    )
    assert all(isinstance(info, ExplainerInfo) for info in explainers)
    return replace(results, explainers=explainers)


@pytest.fixture
def exported(add: Add, make_results: Make, tmp_path: Path) -> Path:
    path = add(
        entry(
            make_results,
            "aaaa",
            "2026-01-02T00:00:00+00:00",
            small=("summary", SMALL, 0.1),
            large=("summary", QUANTISED, 0.3),
            larger=("highlight", QUANTISED, 0.4),
            local=("summary", LOCAL, 0.2),
        )
    )
    add(entry(make_results, "bbbb", "2026-02-02T00:00:00+00:00", again=("summary", SMALL, 0.15)))
    folder = tmp_path / "hub"
    result = hub.export(path.parents[2], folder, "my-lab", {})
    assert result.elsewhere == (LOCAL.name,)
    assert sorted(result.files) == sorted(file for file in folder.rglob("*") if file.is_file())
    return folder


def test_each_model_has_one_result_for_each_method_and_the_newest(exported: Path) -> None:
    found = {
        path.parents[1].relative_to(exported / "models").as_posix(): {
            result.task_id: result for result in parse_eval_result_entries(yaml.safe_load(path.read_text()))
        }
        for path in (exported / "models").rglob("*.yaml")
    }
    assert {name: sorted(results) for name, results in found.items()} == {
        "org/small": ["summary"],
        "org/Large-GGUF": ["highlight", "summary"],
    }
    newest = found["org/small"]["summary"]
    assert newest.value == pytest.approx(0.15, abs=0.05)
    assert (newest.date, "run bbbb" in str(newest.notes)) == ("2026-02-02T00:00:00+00:00", True)
    assert "weights org/Large-GGUF:large-q4_k_m.gguf l1 (float32)" in str(found["org/Large-GGUF"]["highlight"].notes)
    (file,) = (exported / "datasets").rglob("eval.yaml")
    dataset = file.parent.relative_to(exported / "datasets").as_posix()
    assert {result.dataset_id for results in found.values() for result in results.values()} == {dataset}
    benchmark = yaml.safe_load(file.read_text())
    assert benchmark["evaluation_framework"] == "neurogloss"
    assert [task["id"] for task in benchmark["tasks"]] == ["highlight", "summary"]


def test_no_path_of_a_person_is_exported(exported: Path) -> None:
    assert not [path for path in exported.rglob("*.yaml") if "someone" in path.read_text()]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Identity("embedded:smollm2-135m-instruct", "b1"), "HuggingFaceTB/SmolLM2-135M-Instruct"),
        (Identity("org/model", "1"), "org/model"),
        (Identity("org/model:file.gguf", "1"), "org/model"),
        (Identity("org/model", "1", base_url="http://127.0.0.1:1/v1"), None),
        (Identity("gpt-4o", "1"), None),
        (Identity("/home/a/model", "1"), None),
        (Identity("../../model", "1"), None),
        (Identity("a/b/c", "1"), None),
    ],
)
def test_only_what_is_on_the_hub_has_a_repository(model: Identity, expected: str | None) -> None:
    assert hub.repository(model, PUBLISHERS) == expected


def test_what_cannot_be_exported_is_said_in_a_sentence(add: Add, make_results: Make, tmp_path: Path) -> None:
    root = add(make_results(run_id="aaaa", provenance=GIT)).parents[2]
    with pytest.raises(NeuroglossError, match="has a ranked row whose method asked a model; enter a run first"):
        hub.export(root, tmp_path / "hub", "me", {})
    assert not (tmp_path / "hub").exists()
    with pytest.raises(NeuroglossError, match="exists; name a new folder"):
        hub.export(root, tmp_path, "me", {})
    for owner in ("a/b", "", "../x", "ø"):
        with pytest.raises(NeuroglossError, match="write a name as the hub has it"):
            hub.export(root, tmp_path / "hub", owner, {})


def test_the_entries_that_ship_can_be_exported(tmp_path: Path) -> None:
    exported = hub.export(files.shipped("leaderboard"), tmp_path / "hub", "neurogloss", PUBLISHERS)
    assert tmp_path / "hub/models" / PUBLISHERS[EMBEDDED] / ".eval_results/smollm2-v2.yaml" in exported.files
    assert not exported.elsewhere
