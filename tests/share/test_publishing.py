"""A dataset goes where it is asked to, and there replaces nothing that was not asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.config.settings import PublishSettings
from harness.results.run import Results
from harness.share import dataset, publishing
from harness.types import NeuroglossError
from tests.share.conftest import HUB, RECORDS, Make, written
from tests.share.hub import TOKEN


def test_by_default_nothing_leaves_the_runs_folder(results: Results, tmp_path: Path) -> None:
    folder = written(results, tmp_path)
    assert publishing.publish(folder, PublishSettings()) is None


def test_a_copy_may_replace_an_older_dataset_and_nothing_else(results: Results, tmp_path: Path) -> None:
    folder, target = written(results, tmp_path / "runs"), tmp_path / "far" / "copy"
    settings = PublishSettings(to="folder", folder=str(target))
    for _ in range(2):
        assert publishing.publish(folder, settings) == str(target)
        copied = {path.relative_to(target) for path in target.rglob("*")}
        assert copied == {path.relative_to(folder / "dataset") for path in (folder / "dataset").rglob("*")}
    (target / "run.json").unlink()
    with pytest.raises(NeuroglossError, match="holds something else"):
        publishing.check(settings)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (PublishSettings(to="folder"), r"publish\.folder=FOLDER"),
        (PublishSettings(to="hub"), r"publish\.repo_id=ACCOUNT/NAME"),
        (PublishSettings(repo_id="someone/some-set"), "publish=hub as well"),
        (PublishSettings(folder="somewhere"), "publish=local as well"),
        (PublishSettings(to="hub", repo_id="a/b/c"), "ACCOUNT/NAME"),
        (HUB, "HF_TOKEN is not set"),
        (replace(HUB, token_env="MY_TOKEN"), "MY_TOKEN is not set"),
    ],
)
def test_impossible_settings_are_refused_before_work(
    settings: PublishSettings, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(NeuroglossError, match=sentence):
        publishing.check(settings)


def test_no_other_place_can_be_named() -> None:
    with pytest.raises(NeuroglossError, match="publish=none, publish=local or publish=hub"):
        PublishSettings(to="nowhere")


def test_an_offline_hub_is_refused_before_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    publishing.check(HUB)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(NeuroglossError, match="HF_HUB_OFFLINE is set"):
        publishing.check(HUB)


@pytest.mark.parametrize("name", ["notes.txt", "data/scores/mine.parquet", "data/README.md"])
def test_a_folder_that_holds_anything_else_is_left_as_it_is(results: Results, tmp_path: Path, name: str) -> None:
    folder, target = written(results, tmp_path / "runs"), tmp_path / "copy"
    settings = PublishSettings(to="folder", folder=str(target))
    publishing.publish(folder, settings)
    (target / name).write_text("mine")
    for work in (lambda: publishing.check(settings), lambda: publishing.publish(folder, settings)):
        with pytest.raises(NeuroglossError, match="holds something else"):
            work()
    assert (target / name).read_text() == "mine"


def test_a_run_json_alone_gives_nobody_leave_to_replace_a_folder(results: Results, tmp_path: Path) -> None:
    folder, target = written(results, tmp_path / "runs"), tmp_path / "thesis"
    target.mkdir()
    for name, text in {"run.json": "{}", "thesis.tex": "years of work"}.items():
        (target / name).write_text(text)
    settings = PublishSettings(to="folder", folder=str(target))
    with pytest.raises(NeuroglossError, match="holds something else"):
        publishing.publish(folder, settings)
    (target / "thesis.tex").unlink()
    with pytest.raises(NeuroglossError, match="holds something else"):
        publishing.publish(folder, settings)
    (target / "run.json").unlink()
    (target / "link").symlink_to("/etc")
    with pytest.raises(NeuroglossError, match="holds something else"):
        publishing.publish(folder, settings)


def test_a_file_of_ours_that_was_changed_is_not_replaced(results: Results, tmp_path: Path) -> None:
    folder, target = written(results, tmp_path / "runs"), tmp_path / "copy"
    settings = PublishSettings(to="folder", folder=str(target))
    publishing.publish(folder, settings)
    with (target / "README.md").open("a") as card:
        card.write("my own words")
    with pytest.raises(NeuroglossError, match="holds something else, or files that were changed"):
        publishing.publish(folder, settings)


def test_another_publication_is_replaced_only_if_that_is_asked_for(
    make: Make, results: Results, tmp_path: Path
) -> None:
    settings = PublishSettings(to="folder", folder=str(tmp_path / "copy"))
    publishing.publish(written(results, tmp_path / "runs"), settings)
    first = (tmp_path / "copy" / "run.json").read_bytes()
    later = written(make(run_id="ffff"), tmp_path / "later")
    for work in (lambda: publishing.check(settings, "ffff"), lambda: publishing.publish(later, settings)):
        with pytest.raises(NeuroglossError, match="holds run tiny-v1-0123 as tiny-v1-feedfacefeed already"):
            work()
    assert (tmp_path / "copy" / "run.json").read_bytes() == first
    publishing.publish(later, replace(settings, force=True))
    manifest = dataset.read_manifest(tmp_path / "copy" / "run.json")
    assert manifest is not None
    assert manifest.run_id == "ffff"


def test_the_same_publication_stays_as_it_is_whenever_it_was_made(make: Make, results: Results, tmp_path: Path) -> None:
    settings = PublishSettings(to="folder", folder=str(tmp_path / "copy"))
    publishing.publish(written(results, tmp_path / "runs"), settings)
    first = (tmp_path / "copy" / "run.json").read_bytes()
    again = written(make(created="2026-01-01T00:00:00+00:00"), tmp_path / "again")
    assert publishing.publish(again, settings) == str(tmp_path / "copy")
    assert (tmp_path / "copy" / "run.json").read_bytes() == first
    relicensed = written(results, tmp_path / "other", PublishSettings(license="mit"))
    with pytest.raises(NeuroglossError, match="never overwritten"):
        publishing.publish(relicensed, settings)


def test_a_path_of_this_machine_is_refused_before_the_run_and_shortened_if_asked(make: Make, tmp_path: Path) -> None:
    config = {"task": {"path": "/data/tasks/tiny-v1"}, "output": "/data/runs"}
    settings = PublishSettings(to="folder", folder=str(tmp_path / "copy"))
    with pytest.raises(
        NeuroglossError, match=r"task\.path holds the local path /data/tasks/tiny-v1.*shorten_paths=true"
    ):
        publishing.check(settings, "", config)
    publishing.check(PublishSettings(), "", config)
    publishing.check(replace(settings, shorten_paths=True), "", config)
    results = make(config=config, provenance={"overrides": ["task.path=/data/tasks/tiny-v1", "seed=0"]})
    folder = written(results, tmp_path / "runs")
    sentence = r"run\.json, config\.task\.path holds the local path /data/tasks/tiny-v1 \(1 further places\)"
    with pytest.raises(NeuroglossError, match=sentence):
        publishing.publish(folder, settings)
    assert not (tmp_path / "copy").exists()
    asked = replace(settings, shorten_paths=True)
    dataset.write_dataset(results, RECORDS, asked, folder)
    publishing.publish(folder, asked)
    text = (tmp_path / "copy" / "run.json").read_text()
    assert "/data/" not in text
    assert '"path": ".../tiny-v1"' in text
    assert '"task.path=.../tiny-v1"' in text


def test_a_run_without_a_dataset_says_how_to_make_one(results: Results, tmp_path: Path) -> None:
    folder = written(results, tmp_path)
    (folder / "dataset" / "run.json").write_text("{}")
    with pytest.raises(NeuroglossError, match="is no dataset of a run; make it again: neurogloss publish"):
        publishing.publish(folder, PublishSettings(to="folder", folder=str(tmp_path / "copy")))


def test_a_listing_names_every_file_and_its_size(results: Results, tmp_path: Path) -> None:
    folder = written(results, tmp_path) / "dataset"
    files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    assert dict(publishing.listing(folder)) == files
    assert len(files) == 7
