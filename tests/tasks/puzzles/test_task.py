from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness.tasks import catalog
from harness.tasks import frozen as frozen_tasks
from harness.tasks.puzzles import files, source, task
from harness.types import NeuroglossError, PuzzleTask


@pytest.fixture
def frozen(puzzle_source: Path) -> Path:
    task.write(puzzle_source, puzzle_source)
    return puzzle_source


def test_a_source_is_frozen_beside_itself_and_reads_back(frozen: Path) -> None:
    found = catalog.read(frozen)
    assert isinstance(found, PuzzleTask)
    assert found.puzzles == source.read(frozen / "puzzles.yaml")
    described = yaml.safe_load((frozen / "task.yaml").read_text())
    assert described["kind"] == "puzzles"
    assert described["classes"] == {"lexical": 1, "morphological": 1}
    assert set(described["files"]) == {"puzzles.json", "puzzles.yaml", "README.md"}
    assert "2" in (frozen / "README.md").read_text()
    assert found.digest == described["digest"] == task.digest(frozen)


def test_the_same_source_freezes_to_the_same_bytes_elsewhere(frozen: Path, tmp_path: Path) -> None:
    target = tmp_path / "again" / frozen.name
    assert task.write(frozen, target) == catalog.read(frozen).digest
    for path in frozen.iterdir():
        assert (target / path.name).read_bytes() == path.read_bytes()
    renamed = tmp_path / "puzzles-v2"
    assert task.write(frozen, renamed) != catalog.read(frozen).digest


def test_a_task_is_never_written_over(frozen: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in frozen.iterdir()}
    with pytest.raises(NeuroglossError, match="is a task already"):
        task.write(frozen, frozen)
    (tmp_path / "there").mkdir()
    with pytest.raises(NeuroglossError, match="exists, and a task is never changed"):
        task.write(frozen, tmp_path / "there")
    assert {path.name: path.read_bytes() for path in frozen.iterdir()} == before


@pytest.mark.parametrize("name", ["puzzles.json", "puzzles.yaml", "README.md", "task.yaml"])
def test_a_changed_file_is_named(frozen: Path, name: str) -> None:
    path = frozen / name
    path.write_text(path.read_text().replace("dog", "cow").replace("puzzles", "riddles"))
    with pytest.raises(NeuroglossError, match=f"{name} is not as it was published"):
        catalog.read(frozen)


def test_another_rule_gives_another_digest(frozen: Path) -> None:
    path = frozen / "puzzles.yaml"
    path.write_text(path.read_text().replace("words: [dog, cat]", "words: [dog]"))
    with pytest.raises(NeuroglossError, match="is not as it was published"):
        catalog.read(frozen)
    assert task.digest(frozen) != yaml.safe_load((frozen / "task.yaml").read_text())["digest"]


def test_a_readme_that_people_wrote_is_kept(puzzle_source: Path) -> None:
    (puzzle_source / "README.md").write_text("# Mine\n")
    task.write(puzzle_source, puzzle_source)
    assert (puzzle_source / "README.md").read_text() == "# Mine\n"


def test_a_file_in_the_public_format_is_a_task(frozen: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes((frozen / "puzzles.json").read_bytes())
    found = catalog.read(catalog.find_task("puzzles", str(path)))
    assert isinstance(found, PuzzleTask)
    assert (found.name, found.puzzles) == ("mine", files.read(path))
    before = found.digest
    path.write_text(path.read_text().replace("dog", "cow"))
    assert catalog.read(path).digest != before


def test_a_kind_that_nobody_knows_is_refused(frozen: Path) -> None:
    described = yaml.safe_load((frozen / "task.yaml").read_text())
    described["kind"] = "riddles"
    frozen_tasks.seal(frozen, {k: v for k, v in described.items() if k not in ("files", "digest")}, ("README.md",))
    with pytest.raises(NeuroglossError, match="holds riddles, and this version reads neurons, puzzles"):
        catalog.read(frozen)
