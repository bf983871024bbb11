"""Tasks that others have made: what is sealed is all that is read, and what is read is what a task can hold."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from harness import cli
from harness.config.tasks import task_options
from harness.tasks import catalog, frozen, frozen_records
from harness.tasks.collected import Collection, CollectionSettings
from harness.tasks.units import read_task, write_task
from harness.types import Excerpt, ExcerptKind, Identity, Moments, NeuroglossError, TokenSums, Unit, UnitRecord

LENGTH = 4


def _record(unit: Unit) -> UnitRecord:
    excerpts = [
        Excerpt(
            ("a", "b", "c", f"d{index}"),
            (1, 2, 3, 10 + index),
            (0.0, 1.0 * index, 0.5, 0.25),
            kind,
            source=f"s{index}:0",
        )
        for index, kind in enumerate([ExcerptKind.TOP] * 8 + [ExcerptKind.RANDOM] * 6)
    ]
    sums = TokenSums(("a", "b"), np.array([14, 14], dtype=np.int64), np.array([0.0, 91.0]))
    return UnitRecord(unit, tuple(excerpts[:8]), tuple(excerpts[8:]), Moments(56, 1.0, 2.0, 0.1, 3.0, 0.5, 13.0), sums)


@pytest.fixture(scope="module")
def frozen_task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frozen") / "theirs-v1"
    settings = CollectionSettings(excerpt_tokens=LENGTH, leading=1, top=8, random=6)
    records = tuple(map(_record, (Unit("N", 0, 1), Unit("N", 1, 2))))
    write_task(folder, Collection(Identity("m", "r"), settings, records, (), 99, 2, 1), "About.")
    return folder


@pytest.fixture
def folder(frozen_task: Path, tmp_path: Path) -> Path:
    shutil.copytree(frozen_task, tmp_path / "tasks" / frozen_task.name)
    return tmp_path / "tasks" / frozen_task.name


def seal(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the description of a task, and seal it again, as its maker could have."""
    described = yaml.safe_load((folder / "task.yaml").read_text())
    change(described)
    described["digest"] = frozen.digest(described)
    (folder / "task.yaml").write_text(yaml.safe_dump(described))


def rewrite(folder: Path, name: str, change: Callable[[list[dict[str, Any]]], object]) -> None:
    table = pq.read_table(folder / name)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), folder / name)
    seal(folder, lambda described: described["files"].update({name: frozen.file_digest(folder / name)}))


def _named(value: object, *keys: str) -> Callable[[dict[str, Any]], object]:
    def change(described: dict[str, Any]) -> None:
        for key in keys[:-1]:
            described = described[key]
        described[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_named({}, "files"), "lacks the digest of README.md"),
        (lambda described: described["files"].pop("records.parquet"), "lacks the digest of records.parquet"),
        (_named("0" * 64, "files", "../../etc/passwd"), "names a file that no task has"),
        (_named("0" * 64, "files", "more.parquet"), "names a file that no task has"),
        (_named(7, "files", "records.parquet"), "files.records.parquet is 7"),
        (_named([], "files"), "files is"),
        (_named("circuits", "kind"), "holds circuits, and this version reads neurons, puzzles"),
        (_named(-1, "leading"), "leading -1"),
        (_named(LENGTH, "leading"), f"leading {LENGTH}"),
        (_named("1", "leading"), "leading is '1', not a whole number"),
        (_named(2**40, "excerpt_tokens"), "excerpt_tokens"),
        (_named(float("nan"), "neurons", "L0N1", "mean"), "its moments of L0N1 are no numbers"),
        (_named(None, "neurons", "L0N1", "kurtosis"), "its moments of L0N1 are no numbers"),
        (_named(-1.0, "neurons", "L0N1", "variance"), "its moments of L0N1 are those of no activation"),
        (_named(2.0, "neurons", "L0N1", "fraction_active"), "its moments of L0N1 are those of no activation"),
        (_named("many", "neurons", "L0N1", "count"), "neurons.L0N1.count is 'many'"),
        (_named({}, "neurons", "L0N1"), "neurons.L0N1 lacks"),
        (_named({"count": 1}, "neurons", "os.system"), "is not a unit"),
        (_named("x", "subject"), "subject is 'x'"),
        (_named({"name": "x"}, "subject"), "subject lacks revision"),
        (_named(["x"], "description"), "description is ['x']"),
        (_named("../evil", "name"), "gives the name '../evil'"),
        (_named("a\x1b[2Jb", "name"), "which no task has"),
        (_named({"L0N1": 10**9}, "strata"), "strata of L0N1"),
        (_named({"L0N1": [2.0, 1.0]}, "quantile_boundaries"), "quantiles.parquet"),
        (lambda described: described.pop("subject"), "lacks subject"),
        (lambda described: described.pop("neurons"), "lacks neurons"),
        (_named(99, "schema"), "has layout 99"),
    ],
)
def test_a_task_that_is_sealed_again_is_checked(
    folder: Path, change: Callable[[dict[str, Any]], object], sentence: str
) -> None:
    seal(folder, change)
    with pytest.raises(NeuroglossError) as refusal:
        catalog.read(folder)
    assert sentence in str(refusal.value)
    assert "\x1b" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("records.parquet", lambda rows: rows[0].update(kind="other")),
        ("records.parquet", lambda rows: rows[0].update(neuron="L9N9")),
        ("records.parquet", lambda rows: rows[0].update(neuron=None)),
        ("records.parquet", lambda rows: rows[0].update(weight=-1.0)),
        ("records.parquet", lambda rows: rows[0].update(weight=float("nan"))),
        ("records.parquet", lambda rows: rows[0].update(token_ids=[1, 2, 3, 99])),
        ("records.parquet", lambda rows: rows[0].update(token_ids=None)),
        ("records.parquet", lambda rows: rows[0].update(activations=[0.0, None, 1.0, 1.0])),
        ("records.parquet", lambda rows: rows[0].update(activations=[0.0, float("inf"), 1.0, 1.0])),
        ("records.parquet", lambda rows: rows[0].update(source=None)),
        ("tokens.parquet", lambda rows: rows.clear()),
        ("sums.parquet", lambda rows: rows[0].update(L0N1=float("inf"))),
        ("sums.parquet", lambda rows: rows[0].update(count=-1)),
        ("sums.parquet", lambda rows: rows[0].update(text=None)),
    ],
)
def test_records_that_no_collection_makes_are_refused(
    folder: Path, name: str, change: Callable[[list[dict[str, Any]]], object]
) -> None:
    rewrite(folder, name, change)
    with pytest.raises(NeuroglossError, match="is not laid out as a task"):
        read_task(folder)


def test_records_that_decode_to_much_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen_records, "table_of", partial(frozen_records.table_of, most=1 << 23))
    count = 1_000_000
    ids = pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), pa.nulls(count, pa.int32()))
    values = pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), pa.nulls(count, pa.float32()))
    row = {
        "neuron": ["L0N1"],
        "kind": ["top"],
        "weight": [1.0],
        "source": ["x"],
        "token_ids": ids,
        "activations": values,
    }
    table = pa.table(row)
    with pq.ParquetWriter(folder / "records.parquet", table.schema) as writer:
        for _ in range(20):
            writer.write_table(table)
    assert (folder / "records.parquet").stat().st_size < 1_000_000
    seal(folder, lambda d: d["files"].update({"records.parquet": frozen.file_digest(folder / "records.parquet")}))
    with pytest.raises(NeuroglossError, match="decoded, it has more than"):
        read_task(folder)


@pytest.mark.parametrize(
    "text", ["description: 2024-01-01\n", "a: &a [*a]\n", "- " * 3000 + "x", "a: !!binary aGVs\n", "2: x\n"]
)
def test_odd_yaml_is_one_sentence_wherever_tasks_are_read(
    folder: Path, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder.parent.parent)
    (folder / "task.yaml").write_text(text)
    for words in (["tasks", "ls"], ["tasks", "verify", str(folder)], ["tasks", "rebuild", str(folder)]):
        with pytest.raises(SystemExit) as end:
            cli.main(words)
        err = capsys.readouterr().err
        assert (end.value.code, len(err.splitlines()), "Traceback" in err) == (2, 1, False), err
    assert "theirs-v1" in task_options([])


def test_a_folder_whose_name_means_something_to_a_config_is_no_option(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent.parent)
    folder.rename(folder.with_name("${oc.env:HOME}"))
    assert not [name for name in task_options([]) if "$" in name]
    for name in ("../tasks", "..", ".", "", "a/b", "/etc", "a\nb"):
        with pytest.raises(NeuroglossError, match=r"is no name of a task|no task at"):
            catalog.find_task(name)
