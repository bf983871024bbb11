"""The real client publishes to a hub on loopback: one commit, a tag, nothing half, nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.results.run import Results
from harness.share import dataset, publishing
from harness.share.dataset_tables import LEADERBOARD, UNITS, leaderboard_rows, unit_rows
from harness.types import NeuroglossError
from tests.share.conftest import HUB, RECORDS, Make, written
from tests.share.hub import TOKEN, Fault, Hub

At = Callable[[str], None]
NAME = "someone/some-set"
TAG = "tiny-v1-feedfacefeed"


def contents(folder: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in dataset.files_of(folder / "dataset").items()}


def published(hub: Hub, revision: str = TAG) -> dict[str, bytes]:
    files = hub.repositories[NAME].files(revision) or {}
    return {name: content for name, content in files.items() if name != ".gitattributes"}


@pytest.fixture(scope="module")
def folder(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its dataset, which no test changes."""
    return written(results, tmp_path_factory.mktemp("runs"), HUB)


def test_a_run_is_one_commit_with_a_tag_and_private(folder: Path, hub: Hub, at: At) -> None:
    at(hub.url)
    assert publishing.publish(folder, HUB) == f"{hub.url}/datasets/{NAME}/tree/{TAG}"
    repository = hub.repositories[NAME]
    assert repository.private
    assert repository.messages == ["initial commit", f"Publish run tiny-v1-0123 as {TAG}"]
    assert published(hub) == published(hub, "main") == contents(folder)
    assert hub.uploads() == 5, "each table goes to the store of large files once"
    assert not any(TOKEN.encode() in content for content in published(hub).values())


def test_load_dataset_reads_from_the_hub_what_the_run_holds(
    folder: Path, results: Results, hub: Hub, at: At, tmp_path: Path
) -> None:
    from datasets import load_dataset

    at(hub.url)
    publishing.publish(folder, HUB)

    def load(subset: str) -> list[dict[str, Any]]:
        back = load_dataset(NAME, subset, split="results", revision=TAG, token=TOKEN, cache_dir=str(tmp_path / "cache"))
        return list(back.to_list())

    for subset in ("explanations", "simulations", "scores"):
        assert load(subset) == pq.read_table(folder / f"{subset}.parquet").to_pylist()
    made = {"units": (unit_rows(RECORDS), UNITS), "leaderboard": (leaderboard_rows(results), LEADERBOARD)}
    for subset, (rows, schema) in made.items():
        assert load(subset) == pa.Table.from_pylist(list(rows), schema).to_pylist()
    assert [row["unit"] for row in load("units")] == [str(record.unit) for record in RECORDS]
    means = [summary.metrics["correlation"].mean if summary.metrics else None for summary in results.summaries]
    assert [row["mean"] for row in load("leaderboard")] == means


# ----------------------------------------------------------------------------------------------- failures in the middle


@pytest.mark.parametrize("kind", ["500", "dropped"])
@pytest.mark.parametrize(("method", "path"), [("PUT", "/large/"), ("POST", "/preupload/"), ("POST", "/commit/")])
def test_a_failure_before_the_commit_shows_nothing_and_the_second_try_goes_on(
    kind: str, method: str, path: str, folder: Path, hub: Hub, at: At
) -> None:
    at(hub.url)
    hub.faults = [Fault(method, path, kind)]
    with pytest.raises(NeuroglossError, match="did not take the dataset, and shows nothing of it") as refused:
        publishing.publish(folder, HUB)
    assert "\n" not in str(refused.value)
    assert str(folder / "dataset") in str(refused.value)
    assert published(hub, "main") == {}
    assert hub.repositories[NAME].tags == {}
    stored = len(hub.large)
    hub.faults.clear()
    hub.calls.clear()
    publishing.publish(folder, HUB)
    assert hub.uploads() == 5 - stored, "what is stored is not sent again"
    assert published(hub) == contents(folder)


def test_half_of_the_files_are_sent_once(folder: Path, hub: Hub, at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    at(hub.url)
    digest = dataset.file_digest(folder / "dataset" / "data" / "scores" / "results-00000-of-00001.parquet")
    hub.faults = [Fault("PUT", digest, "500")]
    with pytest.raises(NeuroglossError, match=r"uploading 'data/scores/"):
        publishing.publish(folder, HUB)
    stored = set(hub.large)
    assert digest not in stored
    hub.faults.clear()
    hub.calls.clear()
    publishing.publish(folder, HUB)
    assert hub.uploads() == 5 - len(stored)
    assert published(hub) == contents(folder)


def test_a_moment_of_failure_is_tried_again_by_itself(folder: Path, hub: Hub, at: At) -> None:
    at(hub.url)
    hub.faults = [Fault("PUT", "/large/", "500", times=1), Fault("POST", "/preupload/", "dropped", times=1)]
    publishing.publish(folder, HUB)
    assert published(hub) == contents(folder)


def test_a_commit_whose_answer_was_lost_is_not_made_twice(folder: Path, hub: Hub, at: At) -> None:
    at(hub.url)
    hub.faults = [Fault("POST", "/commit/", "lost")]
    with pytest.raises(NeuroglossError, match="run the same command again"):
        publishing.publish(folder, HUB)
    hub.faults.clear()
    publishing.publish(folder, HUB)
    assert len(hub.repositories[NAME].messages) == 2
    assert published(hub) == contents(folder)


@pytest.mark.parametrize("kind", ["500", "dropped", "lost"])
def test_a_tag_that_failed_is_set_by_the_second_try(kind: str, folder: Path, hub: Hub, at: At) -> None:
    at(hub.url)
    hub.faults = [Fault("POST", "/tag/", kind)]
    with pytest.raises(NeuroglossError, match=f"the hub took the dataset, but not its tag {TAG}"):
        publishing.publish(folder, HUB)
    hub.faults.clear()
    publishing.publish(folder, HUB)
    assert len(hub.repositories[NAME].messages) == 2
    assert published(hub) == contents(folder)


# ------------------------------------------------------------------------------------------------ what is there already


def test_the_same_publication_is_sent_once(folder: Path, make: Make, hub: Hub, at: At, tmp_path: Path) -> None:
    at(hub.url)
    publishing.publish(folder, HUB)
    again = written(make(created="2026-01-01T00:00:00+00:00"), tmp_path / "again", HUB)
    assert publishing.publish(again, HUB) == f"{hub.url}/datasets/{NAME}/tree/{TAG}"
    assert len(hub.repositories[NAME].messages) == 2
    assert hub.uploads() == 5


@pytest.mark.slow
def test_a_revision_is_overwritten_only_by_force_and_its_old_files_go(
    make: Make, hub: Hub, at: At, tmp_path: Path
) -> None:
    at(hub.url)
    later = written(make(run_id="ffff"), tmp_path / "later", HUB)
    dataset.write_dataset(make(), RECORDS, HUB, later, most=1)  # a shard for each row
    publishing.publish(later, HUB)
    first = published(hub)
    dataset.write_dataset(make(run_id="ffff"), RECORDS, HUB, later)
    with pytest.raises(NeuroglossError, match=f"{NAME} holds run tiny-v1-0123 as {TAG} already"):
        publishing.publish(later, HUB)
    assert published(hub) == published(hub, "main") == first
    publishing.publish(later, replace(HUB, force=True))
    assert published(hub) == published(hub, "main") == contents(later)
    assert len(first) > len(contents(later))


def test_an_untagged_publication_is_a_revision_too(folder: Path, make: Make, hub: Hub, at: At, tmp_path: Path) -> None:
    at(hub.url)
    hub.faults = [Fault("POST", "/tag/", "500")]
    with pytest.raises(NeuroglossError, match="but not its tag"):
        publishing.publish(folder, HUB)
    hub.faults.clear()
    with pytest.raises(NeuroglossError, match="never overwritten"):
        publishing.publish(written(make(run_id="ffff"), tmp_path / "later", HUB), HUB)


def test_another_version_of_the_task_is_a_revision_beside_it(
    folder: Path, make: Make, results: Results, hub: Hub, at: At, tmp_path: Path
) -> None:
    at(hub.url)
    publishing.publish(folder, HUB)
    changed = make(run_id="ffff", task=replace(results.task, name="tiny-v2", digest="c0ffee" * 10))
    later = written(changed, tmp_path / "later", HUB)
    publishing.publish(later, HUB)
    assert published(hub) == contents(folder)
    assert published(hub, "tiny-v2-c0ffeec0ffee") == published(hub, "main") == contents(later)


def test_files_of_another_kind_are_left_alone(folder: Path, hub: Hub, at: At) -> None:
    at(hub.url)
    hub.make(NAME).commit({"thesis.txt": b"years of work"}, "mine")
    with pytest.raises(NeuroglossError, match=r"holds files that are no dataset of neurogloss \(thesis\.txt\)"):
        publishing.publish(folder, HUB)
    assert published(hub, "main") == {"thesis.txt": b"years of work"}
    publishing.publish(folder, replace(HUB, force=True))
    assert published(hub, "main") == contents(folder)


@pytest.mark.parametrize("private", [True, False])
def test_a_repository_of_another_visibility_is_refused(private: bool, folder: Path, hub: Hub, at: At) -> None:
    at(hub.url)
    hub.make(NAME, private=not private)
    with pytest.raises(NeuroglossError, match="is public already" if private else "is private already"):
        publishing.publish(folder, replace(HUB, private=private))
    assert published(hub, "main") == {}


def test_a_public_dataset_is_public(folder: Path, hub: Hub, at: At) -> None:
    at(hub.url)
    publishing.publish(folder, replace(HUB, private=False))
    assert not hub.repositories[NAME].private


@pytest.mark.parametrize("refusal", [401, 403, None])
def test_a_hub_that_refuses_or_is_out_of_reach_is_one_sentence(
    refusal: int | None, folder: Path, hub: Hub, at: At
) -> None:
    at(hub.url if refusal else "http://127.0.0.1:9")
    hub.refusal = refusal or 0
    with pytest.raises(NeuroglossError, match="the hub did not take the dataset") as refused:
        publishing.publish(folder, HUB)
    assert str(folder / "dataset") in str(refused.value)
    assert TOKEN not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("variable", ["HF_TOKEN", "MINE"])
def test_a_token_in_the_dataset_stops_it_before_anything_is_sent(
    variable: str, results: Results, hub: Hub, at: At, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(hub.url)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setenv(variable, TOKEN)
    leaky = written(results, tmp_path, HUB)
    with (leaky / "dataset" / "README.md").open("a") as card:
        card.write(f"made with {TOKEN}\n")
    with pytest.raises(NeuroglossError, match=rf"README\.md, line \d+ holds the value of .* variable {variable}, a"):
        publishing.publish(leaky, replace(HUB, token_env=variable))
    assert hub.calls == []
