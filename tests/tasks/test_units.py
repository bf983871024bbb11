"""A task is written whole or not at all, read back equal, and refused when anything in it has changed."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.jobs.collection import export_records, import_records
from harness.tasks import catalog, frozen, frozen_records, units
from harness.tasks.catalog import find_task, list_tasks
from harness.tasks.collected import Collection, CollectionSettings
from harness.tasks.compare import compare
from harness.tasks.splits import deal, evidence, split_record
from harness.tasks.units import read_task, write_task
from harness.types import (
    Excerpt,
    ExcerptKind,
    Identity,
    Moments,
    NeuroglossError,
    Task,
    TokenSums,
    Unit,
    UnitRecord,
)

TEXTS = [" the", "\n", "\t", "�", '"', "<start>", "unknown", " Ünïcode", "\r\n", "0", " "]
LENGTH = 6


def record(neuron: Unit, top: int = 8, random: int = 6, seed: int = 0) -> UnitRecord:
    """A record whose sums by token are those of its own excerpts and of nothing else."""
    generator = np.random.default_rng((seed, neuron.place, neuron.index))

    def excerpt(kind: ExcerptKind, number: int) -> Excerpt:
        ids = tuple(int(one) for one in generator.integers(0, len(TEXTS), LENGTH - 2))
        ids = (*ids, number % len(TEXTS), number // len(TEXTS))  # no two alike
        values = tuple(float(one) for one in generator.normal(0, 1, LENGTH).astype(np.float32))
        weight = 1.0 if kind is ExcerptKind.TOP else 2.5
        return Excerpt(tuple(TEXTS[one] for one in ids), ids, values, kind, weight, f"d{number}:0", leading=1)

    excerpts = [
        excerpt(ExcerptKind.TOP if number < top else ExcerptKind.RANDOM, number) for number in range(top + random)
    ]
    found: dict[str, list[float]] = {text: [] for text in sorted(TEXTS)}
    for one in excerpts:
        for token, value in zip(one.tokens[one.scored], one.activations[one.scored], strict=True):
            found[token].append(value)
    every = [value for values in found.values() for value in values]
    token_sums = TokenSums(
        tuple(found),
        np.array([len(values) for values in found.values()], dtype=np.int64),
        np.array([sum(values) for values in found.values()]),
    )
    moments = Moments(len(every), float(np.mean(every)), float(np.var(every)), 0.1, 3.0, 0.5, max(every))
    return UnitRecord(neuron, tuple(excerpts[:top]), tuple(excerpts[top:]), moments, token_sums)


NEURONS = [Unit("N", layer, 7 * layer) for layer in range(5)]


@pytest.fixture
def collection() -> Collection:
    records = [record(neuron) for neuron in NEURONS]
    shared = records[0].token_sums
    return Collection(
        subject=Identity("some/model", "abc", dtype="float32"),
        settings=CollectionSettings(excerpt_tokens=LENGTH, leading=1, top=8, random=6),
        records=tuple(
            dataclasses.replace(one, token_sums=dataclasses.replace(one.token_sums, counts=shared.counts))
            for one in records
        ),
        rejected=(Unit("N", 1, 1),),
        excerpts=123,
        distinct_tokens=len(shared.tokens),
        threads=2,
    )


@pytest.fixture
def folder(tmp_path: Path, collection: Collection) -> Path:
    made = tmp_path / "tasks" / "some-v1"
    write_task(made, collection, "Some neurons.", {"config": {"seed": 0, "corpus": {"top_p": 0.95, "path": None}}})
    return made


def rewritten(folder: Path, name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change a table of a task and make the digests fit: a task that somebody else has built wrong."""
    pq.write_table(change(pq.read_table(folder / name)), folder / name)
    described = yaml.safe_load((folder / "task.yaml").read_text())
    described["files"][name] = frozen.file_digest(folder / name)
    described["digest"] = frozen.digest(described)
    (folder / "task.yaml").write_text(yaml.safe_dump(described))


# ------------------------------------------------------------------------------------------------ writing and reading


def test_a_task_is_read_back_equal(folder: Path, collection: Collection) -> None:
    task = read_task(folder)
    assert (task.name, task.description, task.leading, task.excerpt_tokens) == ("some-v1", "Some neurons.", 1, LENGTH)
    assert task.subject == collection.subject
    for found, given_ in zip(task.records, collection.records, strict=True):
        assert found.unit == given_.unit
        assert found.top == given_.top
        assert found.random == given_.random
        assert found.moments == given_.moments
        assert found.token_sums.tokens == given_.token_sums.tokens
        np.testing.assert_array_equal(found.token_sums.counts, given_.token_sums.counts)
        np.testing.assert_allclose(found.token_sums.sums, given_.token_sums.sums, rtol=1e-6)


def test_hard_excerpts_and_the_share_of_each_side_are_read_back_equal(tmp_path: Path, collection: Collection) -> None:
    with_hard = tuple(
        dataclasses.replace(
            one,
            hard=tuple(dataclasses.replace(excerpt, kind=ExcerptKind.HARD, weight=7.5) for excerpt in one.random),
            moments=dataclasses.replace(one.moments, positive_share=0.75),
        )
        for one in collection.records
    )
    task = write_task(tmp_path / "hard-v1", dataclasses.replace(collection, records=with_hard))
    assert [one.hard for one in task.records] == [one.hard for one in with_hard]
    assert [one.moments.positive_share for one in task.records] == [0.75] * len(NEURONS)
    described = yaml.safe_load((tmp_path / "hard-v1" / "task.yaml").read_text())
    assert described["splits"]["valid"] == {"top": 2, "random": 2, "hard": 2}
    page = (tmp_path / "hard-v1" / "README.md").read_text()
    assert "8 top, 6 random and up to 15 hard ones of 6 tokens" in page
    assert "valid: 2 top, 2 random, 2 hard;" in page
    assert compare(task, task).startswith("hard-v1: collects to the same digest")


def test_a_task_without_hard_excerpts_has_none(folder: Path) -> None:
    task = read_task(folder)
    assert {(len(one.hard), one.moments.positive_share) for one in task.records} == {(0, None)}
    assert {excerpt.kind for excerpt in deal(task.records[0]).splits.test} == {ExcerptKind.TOP, ExcerptKind.RANDOM}


def test_the_same_collection_has_the_same_digest_and_another_another(
    tmp_path: Path, folder: Path, collection: Collection
) -> None:
    made = {"config": {"seed": 0, "corpus": {"top_p": 0.95, "path": None}}}
    again = write_task(tmp_path / "again" / "some-v1", collection, "Some neurons.", made)
    assert again.digest == read_task(folder).digest
    others = [
        write_task(tmp_path / "other" / "some-v1", collection, "Some neurons.", {}),
        write_task(tmp_path / "other" / "some-v2", collection, "Some neurons.", made),
        write_task(tmp_path / "third" / "some-v1", dataclasses.replace(collection, threads=1), "Some neurons.", made),
    ]
    assert len({again.digest, *(task.digest for task in others)}) == 4


def test_a_task_says_how_it_was_made(folder: Path) -> None:
    described = yaml.safe_load((folder / "task.yaml").read_text())
    assert described["made"]["config"]["corpus"]["top_p"] == 0.95
    assert described["rejected"] == ["L1N1"]
    assert described["corpus"] == {"excerpts": 123, "distinct_tokens": 11}
    assert described["splits"]["valid"] == {"top": 2, "random": 2, "hard": 0}
    assert described["collection"]["minimum_token_count"] == 3
    assert sorted(described["files"]) == ["README.md", "records.parquet", "sums.parquet", "tokens.parquet"]
    page = (folder / "README.md").read_text()
    assert "# some-v1" in page
    assert "| neurons | 5, in layers 0 to 4 |" in page


def test_a_task_is_never_overwritten(folder: Path, collection: Collection) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(NeuroglossError, match=r"some-v1 exists, and a task is never changed"):
        write_task(folder, collection)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("fails_at", [0, 1, 2])
def test_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, collection: Collection, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    write, calls = pq.ParquetWriter.write_table, iter(range(9))

    def failing(writer: pq.ParquetWriter, table: pa.Table, **options: Any) -> None:
        if next(calls) == fails_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(writer, table, **options)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", failing)
    with pytest.raises(NeuroglossError, match=r"some-v1 cannot be written \(No space left on device\)"):
        write_task(tmp_path / "some-v1", collection)
    assert list(tmp_path.iterdir()) == []


def test_records_of_wrong_length_or_with_nan_are_not_written(tmp_path: Path, collection: Collection) -> None:
    settings_ = dataclasses.replace(collection.settings, excerpt_tokens=LENGTH + 1)
    with pytest.raises(NeuroglossError, match="excerpt d0:0 of unit L0N0 has 6 tokens"):
        write_task(tmp_path / "some-v1", dataclasses.replace(collection, settings=settings_))
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------------ broken tasks


@pytest.mark.parametrize("name", ["records.parquet", "tokens.parquet", "sums.parquet", "README.md", "task.yaml"])
@pytest.mark.parametrize("how", ["missing", "cut", "edited", "empty"])
def test_a_broken_file_is_named_with_what_to_do(folder: Path, name: str, how: str) -> None:
    path = folder / name
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes({"cut": content[: len(content) // 2], "edited": content[:-2] + b"~\n", "empty": b""}[how])
    with pytest.raises(NeuroglossError, match=rf"{name} .*(cannot be read|digest differs).*git checkout") as raised:
        read_task(folder)
    assert str(raised.value).count("\n") == 0


def test_a_changed_figure_in_the_description_is_noticed(folder: Path) -> None:
    path = folder / "task.yaml"
    path.write_text(path.read_text().replace("leading: 1", "leading: 2"))
    with pytest.raises(NeuroglossError, match=r"task.yaml is not as it was published"):
        read_task(folder)


def test_a_later_layout_is_refused(folder: Path) -> None:
    described = yaml.safe_load((folder / "task.yaml").read_text())
    described["schema"] = 2
    described["digest"] = frozen.digest(described)
    (folder / "task.yaml").write_text(yaml.safe_dump(described))
    with pytest.raises(NeuroglossError, match=r"layout 2, and this version reads layout 1; update neurogloss"):
        read_task(folder)


def test_an_excerpt_of_another_length_is_named(folder: Path) -> None:
    def shorter(table: pa.Table) -> pa.Table:
        rows = table.to_pylist()
        rows[3]["token_ids"] = rows[3]["token_ids"][:-1]
        rows[3]["activations"] = rows[3]["activations"][:-1]
        return pa.Table.from_pylist(rows, schema=table.schema)

    rewritten(folder, "records.parquet", shorter)
    with pytest.raises(NeuroglossError, match=r"excerpt d3:0 of unit L0N0 has 5 tokens .* excerpts have 6"):
        read_task(folder)


def test_nan_is_named_with_layer_and_neuron(folder: Path) -> None:
    def broken(table: pa.Table) -> pa.Table:
        rows = table.to_pylist()
        rows[16]["activations"][2] = float("nan")
        return pa.Table.from_pylist(rows, schema=table.schema)

    rewritten(folder, "records.parquet", broken)
    with pytest.raises(NeuroglossError, match=r"excerpt d2:0 of unit L1N7 holds an activation that is not"):
        read_task(folder)


@pytest.mark.parametrize("name", ["records.parquet", "sums.parquet", "tokens.parquet"])
def test_a_task_laid_out_otherwise_is_refused(folder: Path, name: str) -> None:
    rewritten(folder, name, lambda table: table.rename_columns([f"x{index}" for index in range(table.num_columns)]))
    with pytest.raises(NeuroglossError, match=r"is not laid out as a task"):
        read_task(folder)


# ---------------------------------------------------------------------------------------------------------- finding


def test_a_task_is_found_by_name_or_path(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(catalog, "tasks_folder", lambda: folder.parent)
    assert list_tasks() == ["some-v1"]
    assert find_task("some-v1") == folder
    assert find_task("whatever", str(folder)) == folder
    with pytest.raises(NeuroglossError, match=r"no task at .*other-v1; there are: some-v1"):
        find_task("other-v1")
    with pytest.raises(NeuroglossError, match=r"no task at .*nowhere; it needs a task.yaml"):
        find_task("some-v1", str(folder / "nowhere"))


def test_a_task_of_ones_own_is_found_beside_those_that_ship(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder, tmp_path / "tasks" / "own-v1")
    shutil.copytree(folder, tmp_path / "tasks" / "smollm2-v2")
    assert {"own-v1", "smollm2-v2", "puzzles-v1"} <= set(list_tasks())
    assert find_task("own-v1") == Path("tasks/own-v1")
    assert find_task("smollm2-v2") == catalog.tasks_folder() / "smollm2-v2"
    assert find_task("own-v1", str(folder)) == folder
    with pytest.raises(NeuroglossError, match="as that of a task that ships"):
        catalog.check_free("smollm2-v2")
    catalog.check_free("own-v1")


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_task_read_in_parts_is_the_task(
    folder: Path, collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    whole = read_task(folder)
    for module in (frozen_records, units):
        monkeypatch.setattr(module, "UNITS_OF_A_PART", size)
    in_parts = write_task(tmp_path / "parts-v1", collection)
    assert pq.ParquetFile(tmp_path / "parts-v1" / "records.parquet").num_row_groups == math.ceil(5 / size)
    assert "agree to 0.0e+00" in compare(whole, in_parts)
    assert in_parts.records[-1].unit == in_parts.units[-1]
    assert [record.unit for record in in_parts.records[1:4]] == list(whole.units[1:4])


def test_only_the_parts_asked_for_last_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen_records, "UNITS_OF_A_PART", 1)
    records = read_task(folder).records
    assert records[4] is records[4]
    first, _, _ = records[:3]
    assert records[0] is not first


def test_rows_of_a_unit_stand_together(folder: Path) -> None:
    """A stranger's task is refused before anything of it is read by its rows."""
    rewritten(folder, "records.parquet", lambda rows: rows.take([*range(13), 14, 13, *range(15, rows.num_rows)]))
    with pytest.raises(NeuroglossError, match="do not stand together"):
        read_task(folder)


def test_units_may_stand_in_another_order_than_their_rows(folder: Path) -> None:
    whole = read_task(folder)
    rewritten(folder, "records.parquet", lambda rows: rows.take([*range(28, 42), *range(28), *range(42, 70)]))
    assert "agree to 0.0e+00" in compare(whole, read_task(folder))


def test_neurons_are_selected_by_layer_by_name_and_by_number(folder: Path) -> None:
    task = read_task(folder)

    def names(**how: Any) -> list[str]:
        return [str(one.unit) for one in catalog.records(task, **how)]

    assert names() == ["L0N0", "L1N7", "L2N14", "L3N21", "L4N28"]
    assert names(places=[3, 1]) == ["L1N7", "L3N21"]
    assert names(units=["L4N28", "0:0"]) == ["L0N0", "L4N28"]
    assert names(limit=1) == ["L2N14"]
    assert names(limit=2) == ["L1N7", "L3N21"]
    assert names(limit=9) == names()
    assert names(places=[0, 1, 2, 3], limit=2) == ["L1N7", "L3N21"]


@given(st.integers(1, 40), st.integers(1, 40))
def test_a_limit_spreads_evenly(size: int, limit: int) -> None:
    records = tuple(dataclasses.replace(SOME, unit=Unit("N", layer, 0)) for layer in range(size))
    found = [one.unit.place for one in catalog.records(Task("t", "", Identity("m", ""), records, 6, 1), limit=limit)]
    assert len(found) == len(set(found)) == min(limit, size)
    gaps = {after - before for before, after in itertools.pairwise(found)}
    assert not gaps or max(gaps) - min(gaps) <= 1
    assert abs(found[0] - (size - 1 - found[-1])) <= 1


SOME = record(Unit("N", 0, 0))


def test_unknown_neurons_and_layers_are_refused_with_some_that_exist(folder: Path) -> None:
    task = read_task(folder)
    with pytest.raises(NeuroglossError, match=r"no unit L0N1; it has L0N0, L1N7"):
        catalog.records(task, units=["L0N1"])
    with pytest.raises(NeuroglossError, match=r"no place 9; it has 0, 1, 2, 3, 4\."):
        catalog.records(task, places=[0, 9])
    for nothing in ({"limit": 0}, {"limit": -1}, {"places": [0], "units": ["L1N7"]}):
        with pytest.raises(NeuroglossError, match="no unit of some-v1 is left"):
            catalog.records(task, **nothing)


# ------------------------------------------------------------------------------------------------------------ splits


@settings(max_examples=settings().max_examples // 2)
@given(st.integers(4, 22), st.integers(3, 17), st.integers(0, 99))
def test_splits_share_no_excerpt_and_evidence_holds_nothing_hidden(top: int, random: int, seed: int) -> None:
    one = record(Unit("N", 1, 2), top, random, seed)
    splits = split_record(one)
    dealt = [splits.train, splits.calibration, splits.valid, splits.test]
    digests = [{excerpt.digest for excerpt in split} for split in dealt]
    assert len(set.union(*digests)) == sum(map(len, dealt)) == top // 4 * 4 + random // 3 * 3
    assert all(excerpt.kind is ExcerptKind.TOP for excerpt in splits.train)
    for split in dealt[1:]:
        kinds = [excerpt.kind for excerpt in split]
        assert kinds == [ExcerptKind.TOP] * (top // 4) + [ExcerptKind.RANDOM] * (random // 3)

    shown = evidence(deal(one))
    hidden = digests[2] | digests[3]
    assert shown.excerpts == splits.train
    assert not hidden & {excerpt.digest for excerpt in shown.excerpts}
    open_ = [excerpt for excerpt in one.top + one.random if excerpt.digest not in hidden]
    values = [value for excerpt in open_ for value in excerpt.activations[excerpt.scored]]
    assert shown.mean == pytest.approx(np.mean(values), abs=1e-9)
    assert shown.token_sums.counts.sum() == len(values)
    for token, total in zip(shown.token_sums.tokens, shown.token_sums.sums, strict=True):
        own = [
            value
            for excerpt in open_
            for text, value in zip(excerpt.tokens[excerpt.scored], excerpt.activations[excerpt.scored], strict=True)
            if text == token
        ]
        assert total == pytest.approx(sum(own), abs=1e-6)


def test_an_excerpt_that_stands_again_is_dealt_once() -> None:
    one = record(Unit("N", 1, 2))
    again = dataclasses.replace(one.top[2], kind=ExcerptKind.RANDOM)
    doubled = dataclasses.replace(one, top=(*one.top, one.top[0]), random=(again, *one.random))
    assert split_record(doubled) == split_record(one)
    few = dataclasses.replace(one, top=(*one.top[:3], one.top[1]))
    with pytest.raises(NeuroglossError, match="unit L1N2 has 3 different top and"):
        split_record(few)


# ------------------------------------------------------------------------------------------------- excerpts by quantile


def with_quantiles(collection: Collection) -> Collection:
    """The same with a stratum of each sort: some excerpts, none, and one that stands among the top too."""
    records = []
    for one in collection.records:
        few = tuple(dataclasses.replace(excerpt, kind=ExcerptKind.QUANTILE, weight=7.5) for excerpt in one.random[:2])
        last = (dataclasses.replace(one.top[0], kind=ExcerptKind.QUANTILE),)
        records.append(dataclasses.replace(one, by_quantile=(few, (), last), quantile_boundaries=(-np.inf, 0.25)))
    return dataclasses.replace(collection, records=tuple(records))


def test_excerpts_by_quantile_are_read_back_equal_and_dealt_into_no_split(
    tmp_path: Path, collection: Collection
) -> None:
    made = with_quantiles(collection)
    task = write_task(tmp_path / "some-v1", made, "Some neurons.")
    for found, given_ in zip(task.records, made.records, strict=True):
        assert found.by_quantile == given_.by_quantile
        assert found.quantile_boundaries == given_.quantile_boundaries
        splits = split_record(found)
        assert {one.kind for one in splits.valid} == {ExcerptKind.TOP, ExcerptKind.RANDOM}
    assert "quantiles.parquet" in (tmp_path / "some-v1" / "README.md").read_text()


# ----------------------------------------------------------------------------------------------------------- comparing


def changed(task: Task, **changes: Any) -> Task:
    first = dataclasses.replace(task.records[0], **changes)
    return dataclasses.replace(task, digest="another", records=(first, *task.records[1:]))


def test_a_task_collected_again_agrees_up_to_rounding(folder: Path) -> None:
    task = read_task(folder)
    assert "collects to the same digest" in compare(task, task)
    moments = dataclasses.replace(task.records[0].moments, mean=task.records[0].moments.mean + 1e-7)
    said = compare(task, changed(task, moments=moments))
    assert "collects to the same neurons and excerpts" in said
    assert "e-08 of their scale" in said or "e-07 of their scale" in said


def test_activations_are_compared_on_the_scale_of_the_largest(folder: Path) -> None:
    task = read_task(folder)
    one = task.records[0]
    for maximum, variance in ((1000.0, 1.0), (-1000.0, 1.0), (1.0, 1e6)):
        scaled = changed(task, moments=dataclasses.replace(one.moments, maximum=maximum, variance=variance))
        record = scaled.records[0]
        last = record.top[0].activations[-1]
        for apart, agrees in ((0.05, True), (0.5, False)):
            moved = dataclasses.replace(record.top[0], activations=(*record.top[0].activations[:-1], last + apart))
            again = dataclasses.replace(changed(scaled, top=(moved, *record.top[1:])), digest="a third")
            if agrees:
                assert "agree to 5.0e-05 of their scale" in compare(scaled, again)
            else:
                with pytest.raises(NeuroglossError, match="other figures"):
                    compare(scaled, again)


def test_a_task_that_collects_to_something_else_is_refused(folder: Path) -> None:
    task = read_task(folder)
    one = task.records[0]
    louder = dataclasses.replace(one.top[0], activations=(*one.top[0].activations[:-1], 99.0))
    other = dataclasses.replace(one.top[0], source="elsewhere:0")
    sums = dataclasses.replace(one.token_sums, sums=one.token_sums.sums + 1)
    for changes, sentence in (
        ({"top": (other, *one.top[1:])}, "another excerpt of neuron L0N0, elsewhere:0 in place of d0:0"),
        ({"top": (louder, *one.top[1:])}, "other figures of neuron L0N0"),
        ({"moments": dataclasses.replace(one.moments, kurtosis=3.1)}, "other figures of neuron L0N0"),
        ({"token_sums": sums}, "other figures of neuron L0N0"),
        ({"unit": Unit("N", 0, 1)}, "other neurons"),
        ({"top": one.top[1:]}, "another number of excerpts of neuron L0N0"),
    ):
        with pytest.raises(NeuroglossError, match=sentence):
            compare(task, changed(task, **changes))


# ----------------------------------------------------------------------------------------------- importing, exporting


def neuron_file(layer: int, random: int = 15, number: float = 0.1) -> str:
    """A neuron record as others write it: decimals that are no binary fraction, tokens that are hard to keep."""

    def sample(first: int, size: int) -> list[dict[str, Any]]:
        return [
            {
                "dataclass_name": "ActivationRecord",
                "tokens": [*TEXTS, str(one)],
                "activations": [number, -1.5, *[0.0] * (len(TEXTS) - 2), one / 100],
            }
            for one in range(first, first + size)
        ]

    made = {
        "dataclass_name": "NeuronRecord",
        "neuron_id": {"dataclass_name": "NeuronId", "layer_index": layer, "neuron_index": 7},
        "random_sample": sample(0, random),
        "random_sample_by_quantile": [sample(1000 * (1 + place), 2) for place in range(5)],
        "quantile_boundaries": [0.1, 0.2, 0.3, 0.4],
        "mean": 0.123456789,
        "variance": 1.0,
        "skewness": None,
        "kurtosis": 3.0,
        "most_positive_activation_records": sample(100, 20),
    }
    return json.dumps(made)


def test_imported_records_are_exported_exactly(tmp_path: Path) -> None:
    texts = {f"{layer}/7.json": neuron_file(layer) for layer in (2, 11)}
    for name, text in texts.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        (tmp_path / "in" / name).write_text(text)
    (sentence,) = import_records([tmp_path / "in"], tmp_path / "tasks" / "them-v1", Identity("gpt2-xl", "abc"))
    assert "them-v1, 2 units" in sentence
    task = read_task(tmp_path / "tasks" / "them-v1")
    assert [str(one.unit) for one in task.records] == ["L2N7", "L11N7"]
    assert task.subject.name == "gpt2-xl"
    assert task.records[0].top[0].tokens[:-1] == tuple(TEXTS)
    assert task.records[0].top[0].token_ids == ()
    export_records(str(tmp_path / "tasks" / "them-v1"), tmp_path / "out")
    assert {name: (tmp_path / "out" / name).read_text() for name in texts} == texts


@pytest.mark.parametrize("strata", [0, 5])
@pytest.mark.parametrize("boundaries", [0, 4])
def test_samples_by_quantile_and_their_boundaries_come_back_each_by_itself(
    tmp_path: Path, strata: int, boundaries: int
) -> None:
    """Whether or not another record of the task has both."""
    made = json.loads(neuron_file(3))
    for name, number in (("random_sample_by_quantile", strata), ("quantile_boundaries", boundaries)):
        made[name] = made[name][:number] or None
    texts = {"2/7.json": neuron_file(2), "3/7.json": json.dumps(made)}
    for name, text in texts.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        (tmp_path / "in" / name).write_text(text)
    import_records([tmp_path / "in"], tmp_path / "them-v1", Identity("gpt2-xl", ""))
    export_records(str(tmp_path / "them-v1"), tmp_path / "out")
    assert {name: (tmp_path / "out" / name).read_text() for name in texts} == texts


def test_records_that_repeat_an_excerpt_are_kept_as_they_are_and_dealt_once(tmp_path: Path) -> None:
    made = json.loads(neuron_file(3))
    made["random_sample"][-1] = made["most_positive_activation_records"][1]
    (tmp_path / "3.json").write_text(json.dumps(made))
    said = import_records([tmp_path / "3.json"], tmp_path / "them-v1", Identity("gpt2-xl", ""))
    assert "1 excerpts stand again in the same record" in " ".join(said)
    assert f"its records have {len(made['random_sample']) - 1} random excerpts" in " ".join(said)
    export_records(str(tmp_path / "them-v1"), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "3" / "7.json").read_text()) == made


def test_records_that_make_no_task_are_named_by_their_file(tmp_path: Path) -> None:
    short, twice = (json.loads(neuron_file(layer)) for layer in (3, 4))
    short["random_sample"][2] = {"tokens": ["a"], "activations": [1.0]}
    twice["random_sample"] = [twice["random_sample"][1]] * 4
    (tmp_path / "2.json").write_text(neuron_file(2))
    for layer, made, sentence in (
        (3, short, r"excerpt random-2:0 has 1 tokens, and others have 12"),
        (4, twice, r"unit L4N7 has \d+ different top and 1 other random excerpts"),
    ):
        path = tmp_path / f"{layer}.json"
        path.write_text(json.dumps(made))
        with pytest.raises(NeuroglossError, match=rf"{layer}\.json: {sentence}"):
            import_records([tmp_path / "2.json", path], tmp_path / "them-v1", Identity("gpt2-xl", ""))


def test_what_cannot_be_read_back_is_not_frozen(tmp_path: Path, collection: Collection) -> None:
    one = dataclasses.replace(collection.records[0], unit=Unit("N", -1, 7))
    with pytest.raises(NeuroglossError, match="is not a unit"):
        write_task(tmp_path / "some-v1", dataclasses.replace(collection, records=(one,)))
    assert list(tmp_path.iterdir()) == []


def test_what_an_explainer_sees_of_an_imported_record_is_open(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(neuron_file(2))
    import_records([tmp_path / "a.json"], tmp_path / "them-v1", Identity("gpt2-xl", ""))
    (one,) = read_task(tmp_path / "them-v1").records
    splits = split_record(one)
    values = [value for excerpt in splits.train + splits.calibration for value in excerpt.activations]
    assert evidence(deal(one)).mean == pytest.approx(np.mean(values))


def test_old_files_with_ten_random_records_work_and_say_so(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(neuron_file(2, random=10))
    said = import_records([tmp_path / "a.json"], tmp_path / "them-v1", Identity("gpt2-xl", ""))
    assert said[1] == "its records have 10 random excerpts, not 15: calibration, valid and test get 3 each."
    assert "calibration: 5 top, 3 random" in (tmp_path / "them-v1" / "README.md").read_text()
    assert len(split_record(read_task(tmp_path / "them-v1").records[0]).valid) == 8


@pytest.mark.parametrize("mark", ["\u0120", "\u2581"])
def test_tokens_spelled_as_in_a_vocabulary_are_kept_and_named(tmp_path: Path, mark: str) -> None:
    record = json.loads(neuron_file(2))
    for sample in (*record["random_sample"], *record["most_positive_activation_records"]):
        sample["tokens"] = [f"{mark}{token.strip()}" for token in sample["tokens"]]
    record["random_sample_by_quantile"] = []
    (tmp_path / "a.json").write_text(json.dumps(record))
    sentences = import_records([tmp_path / "a.json"], tmp_path / "them-v1", Identity("gpt2-xl", ""))
    total = 35 * (len(TEXTS) + 1)
    assert sentences[-1].startswith(f"{total} of {total} tokens begin with \u0120 or \u2581, which vocabularies write")
    (source,) = read_task(tmp_path / "them-v1").records
    assert source.top[0].tokens[0].startswith(mark)


def test_too_few_or_too_exact_records_are_said(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(neuron_file(2, random=2))
    with pytest.raises(
        NeuroglossError, match="L2N7 has 20 different top and 2 other random excerpts; at least 4 and 3"
    ):
        import_records([tmp_path / "a.json"], tmp_path / "them-v1", Identity("gpt2-xl", ""))
    (tmp_path / "a.json").write_text(neuron_file(2, number=0.12345678901))
    said = import_records([tmp_path / "a.json"], tmp_path / "them-v1", Identity("gpt2-xl", ""))
    assert said[1].startswith("45 activations were written with more digits")
