from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import leaderboard, stats, trust
from harness.results import ExplainerInfo, Results, SimulatorInfo, TaskInfo, write_run
from harness.types import Explanation, Identity, NeuroglossError, NeuronId, Role, ScoredExplanation, Scores

ROOT = Path(__file__).parent.parent / "leaderboard"
DIGEST = "feedface" * 8
TASKS = {"mini-v1": DIGEST}
MODEL = Identity("org/simulator", "s1", dtype="float32", transport="prompt")
NEURONS = tuple(NeuronId(layer, layer) for layer in range(24))
USUAL = {"good": (Role.EXPLAINER, 0.5), "bad": (Role.EXPLAINER, 0.1), "shuffled": (Role.FLOOR, 0.0)}
Change = Callable[[dict[str, Any]], object]


def _run(run_id: str = "aaaa", explainers: Mapping[str, tuple[Role, float]] = USUAL, **changes: Any) -> Results:
    """A made-up run: every explainer's scores lie around its mean, rising with the layer, those of "close" falling."""
    spread = np.linspace(-0.04, 0.04, len(NEURONS))
    scored = {
        name: tuple(
            ScoredExplanation(Explanation(neuron, name), (), None, Scores({"correlation": float(mean + noise)}))
            for neuron, noise in zip(NEURONS, -spread if name == "close" else spread, strict=True)
        )
        for name, (_, mean) in explainers.items()
    }
    results = Results(
        run_id=run_id,
        created="2025-01-02T03:04:05+00:00",
        task=TaskInfo("mini-v1", DIGEST, 24, NEURONS),
        subject=Identity("org/subject", "r1"),
        simulator=SimulatorInfo("all_at_once", MODEL, "prompt", 11, "v1"),
        explainers=tuple(ExplainerInfo(name, role) for name, (role, _) in explainers.items()),
        summaries=tuple(
            stats.summarise(name, role, "all_at_once", scored[name], seed=0, resamples=200)
            for name, (role, _) in explainers.items()
        ),
        scored=scored,
        provenance={
            "neurogloss": "0.1.0",
            "python": "3.11",
            "packages": {},
            "git": {"commit": "c0ffee" * 6, "dirty": False},
        },
    )
    return dataclasses.replace(results, **changes)


def _add(results: Results, tmp_path: Path) -> Path:
    return leaderboard.add(write_run(tmp_path / "runs", results, ""), tmp_path / "board", TASKS)


def _page(tmp_path: Path) -> str:
    leaderboard.build(tmp_path / "board")
    return (tmp_path / "board" / "README.md").read_text().replace("\\", "")


def _rows(page: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]


# ------------------------------------------------------------------------------------------------------ adding


def test_an_added_run_is_a_valid_entry(tmp_path: Path) -> None:
    path = _add(_run(), tmp_path)
    assert path == tmp_path / "board" / "entries" / "mini-v1" / "aaaa.json"
    entry = leaderboard.validate(path)
    assert [line.explainer.name for line in entry.lines] == list(USUAL)
    assert entry.lines[0].scores["L23N23"] == pytest.approx(0.54)
    assert entry.provenance["packages"] == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": TaskInfo("mini-v1", "edited", 24, NEURONS)}, "digest edited, which is another one here"),
        ({"task": TaskInfo("other-v1", DIGEST, 24, NEURONS)}, "'other-v1' .* which is unknown here"),
        ({"task": TaskInfo("mini-v1", "", 24, NEURONS)}, "task digest is empty"),
        ({"task": TaskInfo("mini-v1", DIGEST, 100, NEURONS)}, "covers 24 of the task's 100 neurons"),
        ({"provenance": {}}, "does not give 'neurogloss'"),
        ({"provenance": {"neurogloss": "unknown", "python": "3", "packages": {}, "git": None}}, "give 'neurogloss'"),
        ({"subject": Identity("org/subject", "")}, "subject revision is empty"),
        ({"simulator": SimulatorInfo("all_at_once", Identity("m", ""), "prompt", 11)}, "simulator revision is empty"),
        ({"simulator": SimulatorInfo("all_at_once", MODEL, "", 11)}, "transport is empty"),
    ],
)
def test_a_run_that_cannot_be_compared_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(NeuroglossError, match=message):
        _add(_run(**changes), tmp_path)
    assert not (tmp_path / "board").exists()


def test_untrusted_names_stay_inside_the_entries(tmp_path: Path) -> None:
    evil = _run("../../x", task=TaskInfo("../evil", DIGEST, 24, NEURONS))
    folder = write_run(tmp_path / "runs", evil, "")
    path = leaderboard.add(folder, tmp_path / "board", {"../evil": DIGEST})
    assert path.resolve().is_relative_to((tmp_path / "board" / "entries").resolve())
    leaderboard.validate(path)


# ---------------------------------------------------------------------------------------------------- validating


def _spoiled(path: Path, change: Change) -> Path:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


def _boast(entry: dict[str, Any]) -> None:
    entry["lines"][1]["summary"]["metrics"]["correlation"].update(mean=0.99, low=0.98, high=1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entry: entry.update(schema_version=2), "not an entry of schema version 1"),
        (lambda entry: entry.pop("subject"), "lacks subject"),
        (lambda entry: entry["lines"][0].update(scores=[1]), r"lines\[0\]\.scores is \[1\], not a mapping"),
        (lambda entry: entry.update(run_id="bbbb"), "belongs at mini-v1/bbbb.json"),
        (_boast, "'bad' has the mean 0.990 and an interval that its scores cannot have"),
        (
            lambda entry: entry["lines"][0]["summary"]["metrics"]["correlation"].update(high=0.9),
            "an interval that its scores cannot have",
        ),
        (lambda entry: entry["lines"][0]["scores"].update(L9N9=1.5), "outside -1 to 1"),
        (lambda entry: entry["lines"][0]["scores"].update(L9N9=None), "outside -1 to 1"),
        (lambda entry: entry["lines"][0]["scores"].pop("L9N9"), "24 of 24 neurons have a score, but gives 23"),
        (lambda entry: entry["lines"][0]["scores"].update(L99N9=0.5), "a neuron that was not asked for"),
        (lambda entry: entry["lines"][0]["scores"].update({"9:9": 0.5}), "a neuron that was not asked for"),
        (lambda entry: entry["lines"][0]["explainer"].update(role="human"), "summary of another"),
        (lambda entry: entry["lines"][0]["summary"]["metrics"].clear(), "scores without a mean"),
        (lambda entry: entry["lines"].append(entry["lines"][0]), "two of one name"),
        (lambda entry: entry.update(lines=[]), "no explainer"),
        (lambda entry: entry["task"].update(neurons=["L0N0"] * 24), "names a neuron twice"),
        (lambda entry: entry["provenance"].pop("git"), "does not give 'git'"),
    ],
)
def test_a_wrong_entry_is_refused_and_nothing_is_built(tmp_path: Path, change: Change, message: str) -> None:
    path = _spoiled(_add(_run(), tmp_path), change)
    with pytest.raises(NeuroglossError, match=message):
        leaderboard.validate(path)
    with pytest.raises(NeuroglossError, match=message):
        leaderboard.build(tmp_path / "board")
    assert not (tmp_path / "board" / "README.md").exists()


# ------------------------------------------------------------------------------------------------------ ranking


def test_ranks_are_apart_or_shared_by_the_same_neurons(tmp_path: Path) -> None:
    _add(_run(), tmp_path)
    others = {"close": (Role.EXPLAINER, 0.495), "worse": (Role.EXPLAINER, 0.095), "shuffled": (Role.FLOOR, 0.02)}
    _add(_run("bbbb", others), tmp_path)
    rows = _rows(_page(tmp_path))[2:]
    assert [row[:2] for row in rows] == [
        ["1–2", "good"],
        ["1–2", "close"],
        ["3", "bad"],
        ["4", "worse"],  # by 0.005 only, but on every neuron
        ["floor", "shuffled"],
        ["floor", "shuffled"],
    ]
    assert "c0ffeec0ffee" in rows[0][-1]


@pytest.mark.parametrize(
    "changes",
    [
        {"simulator": SimulatorInfo("one_at_a_time", MODEL, "prompt", 11, "v1")},
        {"simulator": SimulatorInfo("all_at_once", MODEL, "generated", 11, "v1")},
        {"simulator": SimulatorInfo("all_at_once", MODEL, "prompt", 10, "v1")},
        {"simulator": SimulatorInfo("all_at_once", MODEL, "prompt", 11, "v2")},
        {"simulator": SimulatorInfo("all_at_once", dataclasses.replace(MODEL, revision="s2"), "prompt", 11, "v1")},
        {"simulator": SimulatorInfo("all_at_once", dataclasses.replace(MODEL, dtype="bfloat16"), "prompt", 11, "v1")},
        {"simulator": SimulatorInfo("all_at_once", dataclasses.replace(MODEL, name="other"), "prompt", 11, "v1")},
        {"subject": Identity("org/subject", "r2")},
    ],
)
def test_what_differs_is_never_in_one_table(tmp_path: Path, changes: dict[str, Any]) -> None:
    _add(_run(), tmp_path)
    _add(_run("bbbb", **changes), tmp_path)
    page = _page(tmp_path)
    assert len(re.findall("^## ", page, re.MULTILINE)) == 2
    for table in page.split("\n## ")[1:]:
        assert len({row[-1] for row in _rows(table)[2:]}) == 1  # one run in each


def test_another_digest_of_the_task_is_another_table(tmp_path: Path) -> None:
    _add(_run(), tmp_path)
    run = write_run(tmp_path / "runs", _run("bbbb", task=TaskInfo("mini-v1", "0" * 64, 24, NEURONS)), "")
    leaderboard.add(run, tmp_path / "board", {"mini-v1": "0" * 64})
    assert len(re.findall("^## ", _page(tmp_path), re.MULTILINE)) == 2


def test_a_partial_row_is_shown_without_averages_and_not_ranked(tmp_path: Path) -> None:
    full = _run()
    kept = {**full.scored, "good": full.scored["good"][:12]}
    summary = stats.summarise("good", Role.EXPLAINER, "all_at_once", kept["good"], seed=0, neurons=24, resamples=200)
    _add(dataclasses.replace(full, scored=kept, summaries=(summary, *full.summaries[1:])), tmp_path)
    rows = _rows(_page(tmp_path))[2:]
    assert [row[:2] for row in rows] == [["1", "bad"], ["partial", "good"], ["floor", "shuffled"]]
    assert rows[1][2:7] == ["–", "–", "–", "–", "12/24"]


def test_a_table_says_how_far_its_simulator_can_be_trusted(tmp_path: Path) -> None:
    noted = SimulatorInfo("all_at_once", MODEL, "prompt", 11, "v1", "trained on rules")
    _add(_run(simulator=noted), tmp_path)
    page = _page(tmp_path)
    assert "* puzzles: not measured: neurogloss run task=puzzles-v1 simulator=all_at_once" in page
    assert "* note: all_at_once: trained on rules" in page


def test_tables_by_simulators_that_the_puzzles_trust_more_stand_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {"a": None, "b": 0.2, "c": 0.6, "d": -0.1}
    monkeypatch.setattr(trust, "score", lambda simulator, _: scores[simulator.name])
    for name in scores:
        _add(_run(4 * name, simulator=SimulatorInfo(name, MODEL, "prompt", 11, "v1")), tmp_path)
    _add(_run("eeee", simulator=SimulatorInfo("b", MODEL, "prompt", 11, "v1"), subject=Identity("a/b", "r")), tmp_path)
    titles = re.findall("^## (.*)", _page(tmp_path), re.MULTILINE)
    assert titles == [f"mini-v1, simulated by {name} on org/simulator" for name in "bcbda"]
    assert _page(tmp_path).index("* subject: a/b") < _page(tmp_path).index("* subject: org/subject")


def test_a_dirty_checkout_shows(tmp_path: Path) -> None:
    dirty = {**_run().provenance, "git": {"commit": "beef" * 10, "dirty": True}}
    _add(_run(provenance=dirty), tmp_path)
    assert "with uncommitted changes" in _page(tmp_path)


# -------------------------------------------------------------------------------------------------------- pages


def test_same_entries_make_the_same_bytes(tmp_path: Path) -> None:
    runs = [_run(), _run("bbbb"), _run("cccc", subject=Identity("org/subject", "r2"))]
    for name, order in (("a", runs), ("b", runs[::-1])):
        for run in order:
            _add(run, tmp_path / name)
        leaderboard.build(tmp_path / name / "board")
    pages = [
        {path.name: path.read_bytes() for path in (tmp_path / name / "board").iterdir() if path.is_file()}
        for name in ("a", "b")
    ]
    assert pages[0] == pages[1]
    assert set(pages[0]) == {"README.md", "index.html", "schema.json"}


class _Reader(HTMLParser):
    """What a browser would make of a page: its elements, the addresses in them, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_one_file_in_which_names_are_only_text(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    run = _run(
        explainers={evil: (Role.EXPLAINER, 0.5), "{{ 7 * 7 }}": (Role.EXPLAINER, 0.1)}, subject=Identity(evil, evil)
    )
    _add(run, tmp_path)
    leaderboard.build(tmp_path / "board")
    reader = _Reader()
    reader.feed((tmp_path / "board" / "index.html").read_text())
    assert not reader.tags & {"script", "img", "link", "iframe", "object", "a"}
    assert not reader.attributes & {"src", "href", "onerror", "style"}
    assert reader.text.count(evil) == 3
    assert "{{ 7 * 7 }}" in reader.text
    assert "<script>" not in (tmp_path / "board" / "README.md").read_text().replace("\\<", "")


def test_the_pages_of_this_repository_are_those_of_its_entries(tmp_path: Path) -> None:
    board = tmp_path / "board"
    for path in (ROOT / "entries").glob("*/*.json"):
        copied = board / "entries" / path.parent.name / path.name
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_bytes(path.read_bytes())
    for page in leaderboard.build(board):
        assert page.read_bytes() == (ROOT / page.name).read_bytes(), f"leaderboard/{page.name}: run leaderboard build"


# ------------------------------------------------------------------------------------------------------- schema


def _fits(value: Any, schema: dict[str, Any], definitions: dict[str, Any]) -> bool:  # noqa: PLR0911
    """Whether a value fits a JSON Schema of the few keywords that ours uses, and no other."""
    known = {"$ref", "anyOf", "type", "items", "additionalProperties", "pattern", "enum", "required", "properties"}
    assert set(schema) - {"$schema", "$defs"} <= known
    if "$ref" in schema:
        return _fits(value, definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return any(_fits(value, option, definitions) for option in schema["anyOf"])
    if "enum" in schema and value not in schema["enum"]:
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
    wanted = schema.get("type", [])
    if wanted and not any(types[name] for name in ([wanted] if isinstance(wanted, str) else wanted)):
        return False
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return False
    parts = [(item, schema["items"]) for item in value] if "items" in schema else []
    if isinstance(value, dict):
        if not set(schema.get("required", [])) <= set(value):
            return False
        properties, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        parts += [(item, properties.get(name, others)) for name, item in value.items()]
    return all(_fits(item, part, definitions) for item, part in parts)


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


def test_the_schema_accepts_and_refuses_what_the_reader_does(tmp_path: Path) -> None:
    path = _add(_run(explainers={"good": (Role.EXPLAINER, 0.5)}), tmp_path)
    document, schema = json.loads(path.read_text()), leaderboard.schema()
    assert _fits(document, schema, schema["$defs"])
    verdicts = set()
    for place in _places(document)[1:]:
        if place[0] == "lines" and place[2:3] == ("scores",) and len(place) > 4:
            continue
        for value in (..., "text", 7, None, [], {}, True, 0.5):
            changed = _changed(document, place, value)
            read = True
            try:
                leaderboard.from_json(leaderboard.Entry, changed, "x")
            except NeuroglossError:
                read = False
            assert _fits(changed, schema, schema["$defs"]) == read, (place, value)
            verdicts.add(read)
    assert verdicts == {True, False}
