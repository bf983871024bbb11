"""Pages of the leaderboard: always the same for the same entries, safe to open, and a schema that says what is read."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.leaderboard import entries, pages
from harness.leaderboard.tables import Leaderboard
from harness.results.run import SCHEMA_VERSION, Results, read_results, write_run
from harness.types import Identity, NeuroglossError, Role

Make = Callable[..., Results]
Add = Callable[[Results], Path]
ROOT = Path(__file__).parents[2] / "leaderboard"


def test_same_entries_make_the_same_bytes(tmp_path: Path, make_results: Make, puzzle_results: Make) -> None:
    runs = [
        *(make_results(run_id=run_id) for run_id in ("aaaa", "bbbb")),
        make_results(run_id="cccc", subject=Identity("org/subject", "r2")),
        puzzle_results(),
    ]
    contents = []
    for name, order in (("a", runs), ("b", runs[::-1])):
        board = tmp_path / name / "board"
        for run in order:
            folder = write_run(tmp_path / name / "runs", run, "")
            entries.add(folder, board, {run.task.name: run.task.digest})
        pages.build(board, pages.read(board))
        contents.append({path.name: path.read_bytes() for path in board.iterdir() if path.is_file()})
    assert contents[0] == contents[1]
    assert set(contents[0]) == {"README.md", "schema.json"}


def test_a_leaderboard_without_entries_says_so(board: Path) -> None:
    pages.build(board, pages.read(board))
    assert "No entries yet." in (board / "README.md").read_text()


def test_names_are_only_text_and_unranked_rows_stand_last(board: Path, add: Add, make_results: Make) -> None:
    evil = "<script>alert(1)</script>|`[x](http://x)`"
    add(make_results({evil: (Role.EXPLAINER, 0.5), "b": (Role.EXPLAINER, 0.1), "shuffled": (Role.FLOOR, 0.9)}))
    pages.build(board, pages.read(board))
    markdown = (board / "README.md").read_text()
    assert "<script>" not in markdown.replace("\\<", "")
    assert markdown.index("alert") < markdown.index("| b |") < markdown.index("| shuffled |")


def test_the_pages_of_this_repository_are_those_of_its_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the puzzles that ship are asked about, and no made-up ones
    board = tmp_path / "board"
    for folder in ("entries", "simulations"):
        shutil.copytree(ROOT / folder, board / folder)
    for page in pages.build(board, pages.read(board)):
        assert page.read_bytes() == (ROOT / page.name).read_bytes(), f"leaderboard/{page.name}: run leaderboard build"


# -------------------------------------------------------------------------------------------------------------- schema


def _fits(value: Any, schema: Any, definitions: dict[str, Any]) -> bool:  # noqa: C901, PLR0911
    """Whether a value fits a JSON Schema of the few keywords that ours uses, and no other."""
    keywords = {"$ref", "anyOf", "type", "items", "additionalProperties", "pattern", "enum", "const", "required"}
    if schema is True:
        return True
    assert set(schema) - {"$schema", "$defs", "default"} <= keywords | {"properties"}
    if "$ref" in schema and not _fits(value, definitions[schema["$ref"].rpartition("/")[2]], definitions):
        return False
    if "anyOf" in schema and not any(_fits(value, option, definitions) for option in schema["anyOf"]):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    types = {
        "string": isinstance(value, str),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
        "boolean": isinstance(value, bool),
        "null": value is None,
        "array": isinstance(value, list),
        "object": isinstance(value, dict),
    }
    if "type" in schema and not types[schema["type"]]:
        return False
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return False
    items = [(item, schema["items"]) for item in value] if "items" in schema else []
    if isinstance(value, dict):
        if not set(schema.get("required", [])) <= set(value):
            return False
        properties, additional = schema.get("properties", {}), schema.get("additionalProperties", {})
        items += [(item, properties.get(name, additional)) for name, item in value.items()]
    return all(_fits(item, subschema, definitions) for item, subschema in items)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inside for place in _places(item, (*path, key)))]


def _changed(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at a place; without the place where the value is Ellipsis."""
    changed = copy.deepcopy(document)
    target = changed
    for key in place[:-1]:
        target = target[key]
    if value is ...:
        del target[place[-1]]
    else:
        target[place[-1]] = value
    return changed


def _is_read(path: Path, document: Any) -> bool:
    path.write_text(json.dumps(document))
    try:
        read_results(path)
    except NeuroglossError:
        return False
    return True


@pytest.mark.slow
def test_the_schema_accepts_and_refuses_what_the_reader_does(
    tmp_path: Path, add: Add, make_results: Make, puzzle_results: Make
) -> None:
    scored = make_results().rows[0].scored[:2]
    entry = make_results({"good": (Role.EXPLAINER, scored)}, task=make_results().task)
    path = write_run(tmp_path / "runs", entry, "") / "results.json"
    document, schema = json.loads(path.read_text()), pages.schema()
    verdicts = set()
    values: tuple[Any, ...] = (..., "text", 7, None, [], {}, True, 0.5)
    for place in _places(document)[1:]:
        for value in values:
            changed = _changed(document, place, value)
            read = _is_read(tmp_path / "changed.json", changed)
            assert _fits(changed, schema, schema["$defs"]) == read, (place, value)
            verdicts.add(read)
    assert verdicts == {True, False}
    puzzles = json.loads(add(puzzle_results()).read_text())
    assert puzzles["schema_version"] == SCHEMA_VERSION
    assert _fits(puzzles, schema, schema["$defs"])


def test_no_page_is_written_where_the_folder_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "board").write_text("")
    with pytest.raises(NeuroglossError, match="cannot be written"):
        pages.build(tmp_path / "board", Leaderboard({}))
