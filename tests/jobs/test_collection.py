"""The command collects: by one worker or several, from recipes, and again from what a task says of itself."""

from __future__ import annotations

import shlex
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import cli, files, weights
from harness.collect.state import StateFile
from harness.config.compose import composed, plain
from harness.jobs import collection
from harness.results.run import read_run
from harness.subjects import sampling
from harness.subjects.transformers_subject import TransformersSubject
from harness.tasks import catalog, frozen, units
from harness.types import NeuroglossError
from tests.fixtures import TEXT

SMALL = (
    *("collect.excerpt_tokens=16", "collect.top=8", "collect.random=6", "collect.minimum_token_count=1"),
    *("collect.batch_size=4", "collect.excerpts=null"),
)


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_of:
        cli.main(arguments)
    return int(exit_of.value.code or 0)


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return captured.out + captured.err


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


def collecting(model: Path, text: Path, output: Path, *more: str) -> list[str]:
    sources = ("subject=transformers", f"subject.name={model}", "corpus=text_files", f"corpus.path={text}")
    return ["name=tiny-v1", f"output={output}", "sample.per_layer=1", *sources, *SMALL, *more]


def collect(model: Path, text: Path, output: Path, *more: str) -> int:
    return command("collect", *collecting(model, text, output, *more))


@pytest.mark.slow
def test_several_workers_freeze_the_same_task_as_one(
    tiny_llama: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert collect(tiny_llama, text, tmp_path / "alone") == 0
    shared = ("workers=3", "collect.quantile=0")
    for worker in (2, 0):
        assert collect(tiny_llama, text, tmp_path / "shared", *shared, f"worker={worker}") == 0
        assert "the worker that ends last freezes the task" in printed(capsys)
        assert catalog.list_tasks(tmp_path / "shared") == []
    assert collect(tiny_llama, text, tmp_path / "shared", *shared, "worker=1") == 0
    first_digest, second_digest = (frozen.read(tmp_path / where / "tiny-v1")["digest"] for where in ("alone", "shared"))
    assert first_digest == second_digest
    assert [path.name for path in (tmp_path / "shared").iterdir()] == ["tiny-v1"]


@pytest.mark.slow
def test_workers_that_end_together_freeze_one_task(
    tiny_llama: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert collect(tiny_llama, text, tmp_path / "alone") == 0
    shared, read, sealed = tmp_path / "shared", threading.Barrier(2, timeout=60), threading.Barrier(2, timeout=60)
    save, seal, first = StateFile.save, frozen.seal, iter([True, True])

    def save_together(*arguments: Any) -> None:
        save(*arguments)
        if arguments[-1] is not None:
            read.wait()

    def seal_together(*arguments: Any) -> Any:
        description = seal(*arguments)
        if next(first, False):
            sealed.wait()
            assert catalog.list_tasks(shared) == []
            sealed.wait()
        return description

    monkeypatch.setattr(StateFile, "save", save_together)
    monkeypatch.setattr(frozen, "seal", seal_together)
    words = collecting(tiny_llama, text, shared, "workers=2")
    plans = [collection.prepare(composed("collect", [*words, f"worker={worker}"])) for worker in (0, 1)]
    with ThreadPoolExecutor(2) as pool:
        sentences = list(pool.map(lambda plan: collection.run(plan, lambda *_: None), plans))
    assert sentences == [[f"task: {shared / 'tiny-v1'}"]] * 2
    assert [path.name for path in shared.iterdir()] == ["tiny-v1"]
    first_digest, second_digest = (frozen.read(where / "tiny-v1")["digest"] for where in (tmp_path / "alone", shared))
    assert first_digest == second_digest


@pytest.mark.slow
def test_another_task_that_was_frozen_meanwhile_is_no_success(tiny_llama: Path, text: Path, tmp_path: Path) -> None:
    plan = collection.prepare(composed("collect", collecting(tiny_llama, text, tmp_path, "seed=1")))
    assert collect(tiny_llama, text, tmp_path) == 0
    with pytest.raises(NeuroglossError, match="tiny-v1 exists, and a task is never changed"):
        collection.run(plan, lambda *_: None)


def test_a_worker_without_a_place_is_refused(
    tiny_llama: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert collect(tiny_llama, text, tmp_path, "workers=3", "worker=3") == 2
    assert "worker is 3; write a number from 0 to 2" in printed(capsys)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("collect.excerpts=-1", "collect.excerpts is -1, and a neuron needs 8 top and 6 random ones"),
        ("collect.excerpts=0", "collect.excerpts is 0, and a neuron needs 8 top and 6 random ones"),
        ("collect.excerpt_tokens=513", "collect.excerpt_tokens is 513, and the subject reads 512 tokens at most"),
        ("corpus.documents=-1", "corpus.documents is -1; write at least 1, or null"),
        ("seed=-1", "seed is -1; write 0 or more"),
        ("workers=0", "workers is 0; write 1 or more"),
        ("save_every=0", "save_every is 0; write 1 or more"),
        ("sample.spares=-1", "sample.spares is -1; write at least 0"),
        ("sample.per_layer=0", "sample.per_layer is 0; write at least 1"),
        ("sample=uniform sample.neurons=0", "sample.neurons is 0; write at least 1"),
        ("sample=uniform sample.neurons=-3", "sample.neurons is -3; write at least 1"),
        ("sample=uniform sample.neurons=1000", "the subject has 192 neurons; lower sample.neurons to at most that"),
        ("sample=listed sample.ids=[]", "sample.ids names no unit"),
        ("sample=listed sample.ids=[L9N9]", "there is no neuron L9N9"),
        ("corpus=smollm2_sampled corpus.seed=-1", "corpus.seed is -1; write at least 0"),
    ],
)
def test_what_cannot_be_collected_is_refused_with_a_sentence(
    tiny_gpt2: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str, sentence: str
) -> None:
    words = collecting(tiny_gpt2, text, tmp_path / "out")
    others = [word for word in words if word.split(".")[0] not in wrong.split("=")]
    assert command("collect", *others, *wrong.split()) == 2
    assert sentence in printed(capsys)


@pytest.mark.slow
def test_the_advice_of_an_error_can_be_followed(
    tiny_llama: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert collect(tiny_llama, text, tmp_path / "out", "collect.excerpts=1000") == 2
    assert "lower collect.excerpts" in printed(capsys)
    assert collect(tiny_llama, text, tmp_path / "out", "collect.excerpts=24") == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["tiny-v1"]


def test_an_empty_corpus_is_refused(tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("")
    assert collect(tiny_llama, empty, tmp_path) == 2
    assert "the corpus gives 0 distinct excerpts of 16 tokens" in printed(capsys)
    assert catalog.list_tasks(tmp_path) == []


@pytest.mark.slow
def test_a_collection_ends_with_the_next_command_which_runs(
    tiny_llama: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert collect(tiny_llama, text, Path("tasks"), "subject.batch_size=3") == 0
    (line,) = [line for line in printed(capsys).splitlines() if line.startswith("next: neurogloss ")]
    words = shlex.split(line)[2:]
    assert words == [
        "run",
        *("subject=transformers", f"subject.name={tiny_llama}", "subject.batch_size=3", "task=tiny-v1"),
    ]
    words += ("explainer=[max_activation]", "simulator=token_overlap", "board.resamples=200")
    assert command(*words) == 0, printed(capsys)
    assert read_run(tmp_path / "runs" / "latest").task.name == "tiny-v1"


@pytest.mark.slow
def test_a_task_elsewhere_is_run_by_its_path(tiny_llama: Path, text: Path, tmp_path: Path) -> None:
    plan = collection.prepare(composed("collect", collecting(tiny_llama, text, tmp_path / "my tasks")))
    assert f"'task.path={tmp_path / 'my tasks' / 'tiny-v1'}'" in collection.next_command(plan)


def test_the_default_subject_need_not_be_named(text: Path, tmp_path: Path) -> None:
    words = ["name=mine-v1", f"output={tmp_path}", "corpus=text_files", f"corpus.path={text}"]
    plan = collection.prepare(composed("collect", words))
    assert collection.next_command(plan) == f"neurogloss run task.path={tmp_path / 'mine-v1'}"


def repeated(task: Path) -> list[str]:
    """Return the options that repeat what the config of a task reaches outside by."""
    config = frozen.read(task)["made"]["config"]
    return ["--allow", f"subject.name={config['subject']['name']}", f"corpus.path={config['corpus']['path']}"]


def test_a_task_is_rebuilt_from_what_it_says(tiny_task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("tasks", "rebuild", str(tiny_task), *repeated(tiny_task)) == 0
    assert f"tiny-v1: collects to the same digest, {frozen.read(tiny_task)['digest']}" in printed(capsys)


def test_a_task_is_rebuilt_in_a_folder_of_its_own(
    tiny_task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--write", str(tmp_path / "new" / "other-v2"))
    assert command("tasks", "rebuild", str(tiny_task), *where, *repeated(tiny_task)) == 0
    assert "tiny-v1: collects to the same neurons and excerpts" in printed(capsys)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["other-v2"]
    task = units.read_task(tmp_path / "new" / "other-v2")
    assert task.name == "other-v2"
    assert [one.top for one in task.records] == [one.top for one in units.read_task(tiny_task).records]


def test_a_task_whose_corpus_has_changed_is_not_rebuilt(
    tiny_task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "tiny-v1"
    shutil.copytree(tiny_task, copy)
    described: dict[str, Any] = yaml.safe_load((copy / "task.yaml").read_text())
    (tmp_path / "other.txt").write_text(TEXT[::-1])
    described["made"]["config"]["corpus"]["path"] = str(tmp_path / "other.txt")
    described["digest"] = frozen.digest(described)
    (copy / "task.yaml").write_text(yaml.safe_dump(described))
    assert command("tasks", "rebuild", str(copy), *repeated(copy)) == 2
    assert "tiny-v1 collects to " in printed(capsys)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "model", "sample"),
    [
        ("gpt2-small-v1", "tiny_gpt2", "sample.neurons=4"),
        ("gpt2-xl-paper-v1", "tiny_gpt2", "sample.per_layer=1"),
        ("pythia-160m-v1", "tiny_neox", "sample.neurons=4"),
        ("qwen3-0.6b-v1", "tiny_llama", "sample.per_layer=1"),
    ],
)
def test_a_recipe_is_proven_on_a_small_model_of_its_kind(
    recipe: str, model: str, sample: str, text: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(model)
    local = (f"subject.name={folder}", "subject.revision=null", "corpus=text_files", f"corpus.path={text}")
    assert command("collect", f"recipe={recipe}", f"output={tmp_path / 'tasks'}", *local, *SMALL, sample) == 0
    task = units.read_task(tmp_path / "tasks" / recipe)
    assert all(len(record.by_quantile) == 5 for record in task.records)
    assert {len(record.top) for record in task.records} == {8}


@pytest.mark.parametrize("path", sorted((files.shipped("conf") / "recipe").iterdir()), ids=lambda path: path.stem)
def test_a_recipe_is_complete_and_pinned(path: Path) -> None:
    values = plain(composed("collect", [f"recipe={path.stem}"]))
    assert values["name"] == path.stem
    for where in ("released",) if values["released"] else ("subject", "corpus"):
        if values[where].get("name") == weights.EMBEDDED or values[where].get("use") == "corpus/sampled":
            continue  # a package has the one, and a seed makes the other
        assert len(values[where]["revision"]) == 40
        assert int(values[where]["revision"], 16)


def test_a_task_is_imported_and_exported(tiny_task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("tasks", "export", str(tiny_task), str(tmp_path / "out")) == 0
    assert "6 files of one unit each" in printed(capsys)
    where = ("--subject", "tiny", "--output", str(tmp_path / "tasks"))
    assert command("tasks", "import", "again-v1", str(tmp_path / "out"), *where) == 0
    text = printed(capsys)
    assert "6 random excerpts, not 15: calibration, valid and test get 2 each" in text
    assert f"next: neurogloss run task.path={tmp_path / 'tasks' / 'again-v1'} scores=panel" in text
    assert command("tasks", "export", str(tmp_path / "tasks" / "again-v1"), str(tmp_path / "out2")) == 0
    for path in (tmp_path / "out").rglob("*.json"):
        assert path.read_text() == (tmp_path / "out2" / path.relative_to(tmp_path / "out")).read_text()
    assert command("tasks", "import", "again-v1", str(tmp_path / "out"), *where) == 2
    assert "a task is never changed" in printed(capsys)
    assert command("tasks", "import", "../again-v1", str(tmp_path / "out"), *where) == 2
    assert "name is '../again-v1'; a task is named like mine-v1" in printed(capsys)


@pytest.mark.slow
def test_a_collection_that_was_killed_has_no_text_written_twice(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled = ("subject=transformers", f"subject.name={tiny_llama}", "corpus=smollm2_sampled", "corpus.documents=48")
    words = (*sampled, "corpus.document_tokens=64", "corpus.batch_size=8", "sample.per_layer=1", *SMALL)
    uninterrupted, killed = tmp_path / "whole", tmp_path / "killed"
    counts: list[int] = []
    write, read = sampling._continuations, TransformersSubject.visit

    def counted(model: Any, prompts: list[Any], *more: Any) -> Any:
        counts.append(len(prompts))
        return write(model, prompts, *more)

    def stopped(*arguments: Any) -> None:
        if sum(counts) > 24:
            raise KeyboardInterrupt
        read(*arguments)

    monkeypatch.setattr(sampling, "_continuations", counted)
    assert command("collect", "name=tiny-v1", f"output={uninterrupted}", *words) == 0
    counts.clear()
    with monkeypatch.context() as patch:
        patch.setattr(TransformersSubject, "visit", stopped)
        assert command("collect", "name=tiny-v1", f"output={killed}", *words) == cli.INTERRUPTED
    assert 24 < sum(counts) < 48
    assert command("collect", "name=tiny-v1", f"output={killed}", *words) == 0
    assert 48 <= sum(counts) < 48 + 8  # a batch of which not every text was kept is written again
    first_digest, second_digest = (frozen.read(where / "tiny-v1")["digest"] for where in (uninterrupted, killed))
    assert first_digest == second_digest
