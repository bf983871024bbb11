"""Nothing is published in which a secret or a path of this machine stands; texts of strangers are no such thing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.results.run import Results
from harness.share import leaks
from harness.types import NeuroglossError, Role, Unit
from tests.share.conftest import RECORDS, Make, scored, written

SECRET = "a-key-that-nobody-may-see"


@pytest.mark.parametrize(
    "text",
    [
        "/data/models/llama",
        "key=/data/x",
        "[/a/b,2]",
        "~/models",
        "~alice/x/y",
        r"C:\Users\alice",
        "\\\\host\\share",
    ],
)
def test_paths_of_a_machine_are_found_and_shortened(text: str) -> None:
    (found,) = leaks.in_document({"a": ["x", {"b": text}]})
    assert found[0] == "a[1].b"
    assert "the local path" in found[1]
    assert list(leaks.in_document(leaks.shortened({"a": text}))) == []


@pytest.mark.parametrize(
    "text",
    ["https://host/a/b", "org/name", "datasets/a/b/c", "http://localhost:8000/v1", "<b>x</b>", "1/2/3", "/no_think",
     "and/or", ".../x/y", "tasks/smollm2-v2", "../shared/x", "embedded:a/b/c", "-/-/-"],
)  # fmt: skip
def test_what_is_no_path_of_a_machine_stays(text: str) -> None:
    assert list(leaks.in_document({"a": text, text: 1})) == []
    assert leaks.shortened({text: [text]}) == {text: [text]}


@settings(max_examples=50)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("ab/~. "),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab/~. "), inner)))  # fmt: skip
def test_a_shortened_document_holds_no_path(document: object) -> None:
    short = leaks.shortened(document)
    assert list(leaks.in_document(short)) == []
    assert leaks.shortened(short) == short


def test_a_path_with_spaces_is_known_if_it_is_on_this_machine(tmp_path: Path) -> None:
    (tmp_path / "my models").mkdir()
    (found,) = leaks.in_document({"a": str(tmp_path / "my models")})
    assert found[0] == "a"
    assert leaks.shortened(str(tmp_path / "my models")) == ".../my models"


def test_a_dataset_of_ours_has_no_leak(results: Results, tmp_path: Path) -> None:
    leaks.refuse(written(results, tmp_path) / "dataset")


@pytest.mark.parametrize("field", ["text", "candidates.text", "annotator"])
def test_the_value_of_a_key_in_a_table_is_named_by_file_and_column(
    field: str, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.types import Candidate, Outcome

    item = scored(f"about {SECRET}" if field == "text" else "words", SECRET if field == "annotator" else "")
    if field == "candidates.text":
        explanation = replace(item.explanation, candidates=(Candidate(f"or {SECRET}", Outcome.OK, 0.5),))
        item = replace(item, explanation=explanation)
    folder = written(make({"summary · smollm2": (Role.EXPLAINER, (item,))}), tmp_path)
    leaks.refuse(folder / "dataset")
    monkeypatch.setenv("MY_API_KEY", SECRET)
    if field == "annotator":
        leaks.refuse(folder / "dataset")  # people have numbers
        return
    sentence = rf"^data/explanations/results-00000-of-00001\.parquet, column {field} holds the value of .* MY_API_KEY"
    with pytest.raises(NeuroglossError, match=sentence) as refused:
        leaks.refuse(folder / "dataset")
    assert SECRET not in str(refused.value)


def test_a_key_that_tokens_are_made_of_is_found_across_them(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = RECORDS[0]
    excerpt = replace(record.splits.test[0], tokens=("see a-key-", "that-nobody", "-may-see"))
    records = [replace(record, splits=replace(record.splits, test=(excerpt,)))]
    folder = written(results, tmp_path, records=records)
    monkeypatch.setenv("MY_API_KEY", SECRET)
    with pytest.raises(NeuroglossError, match=r"^data/units/.*, column excerpts\.tokens holds the value"):
        leaks.refuse(folder / "dataset")


def test_texts_may_hold_the_paths_of_strangers_and_not_those_of_this_user(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home" / "alice"
    home.mkdir(parents=True)
    text = "files like /etc/ssh/config and sk-0123456789abcdef0123"
    stranger = written(make({"summary · smollm2": (Role.EXPLAINER, (scored(text),))}), tmp_path / "a")
    leaks.refuse(stranger / "dataset")
    mine = written(make({"summary · smollm2": (Role.EXPLAINER, (scored(f"files in {home}/x"),))}), tmp_path / "b")
    leaks.refuse(mine / "dataset")
    monkeypatch.setenv("HOME", str(home))
    with pytest.raises(NeuroglossError, match=r"column text holds the local path"):
        leaks.refuse(mine / "dataset")


def test_names_in_tables_are_read_strictly(make: Make, tmp_path: Path) -> None:
    unit = Unit("circuit", name="/data/circuits/one.json")
    folder = written(make({"summary · smollm2": (Role.EXPLAINER, (scored("words", unit=unit),))}), tmp_path)
    with pytest.raises(NeuroglossError, match=r"explanations/.*, column unit holds the local path /data/circuits/one"):
        leaks.refuse(folder / "dataset")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("README.md", "one\ntwo /data/models/x", r"README\.md, line 2 holds the local path /data/models/x"),
        ("README.md", "hf_" + "AbCdEfGhIjKlMnOpQr", r"README\.md, line 1 holds what looks like a secret"),
        ("run.json", json.dumps({"/data/x/y": 1}), r"run\.json, a key of the document holds the local path"),
        (
            "run.json",
            json.dumps({"a": [{"b": "sk-" + "0" * 20}]}),
            r"run\.json, a\[0\]\.b holds what looks like a secret",
        ),
        (".env", "A=1", r"\.env, the file itself holds what no dataset of ours has"),
    ],
)
def test_pages_documents_and_strange_files_are_read_too(
    name: str, content: str, sentence: str, results: Results, tmp_path: Path
) -> None:
    folder = written(results, tmp_path) / "dataset"
    (folder / name).write_text(content)
    with pytest.raises(NeuroglossError, match=sentence):
        leaks.refuse(folder)


def test_a_link_is_not_followed(results: Results, tmp_path: Path) -> None:
    folder = written(results, tmp_path) / "dataset"
    (folder / "data" / "more.md").symlink_to(tmp_path)
    with pytest.raises(NeuroglossError, match=r"data/more\.md, the file itself"):
        leaks.refuse(folder)
