"""Entries that are worked out again: what was forged, by a careless hand or a careful one, is named."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness import cli
from harness.config.compose import composed
from harness.jobs import commands, run, verifying
from harness.leaderboard import checks, entries, pages, simulations
from harness.results import merge, rows
from harness.results.run import SCHEMA_VERSION, Results, read_results
from harness.results.vocabulary import ResultRow
from harness.typed_json import dump, to_json
from harness.types import NeuroglossError, ScoredExplanation

Command = Callable[..., tuple[int, str, str]]
EXPLAINERS = "explainer=[max_activation,shuffled,token_lookup]"


@pytest.fixture(scope="module")
def entered(tmp_path_factory: pytest.TempPathFactory, tiny_task: Path) -> Path:
    """The entry of a run over all units of a small task."""
    folder = tmp_path_factory.mktemp("entered")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tiny_task.parent.parent)
        words = [f"task.path={tiny_task}", f"task.name={tiny_task.name}", EXPLAINERS, "simulator=token_overlap"]
        words += ["scores=panel", "units=all", "board.resamples=200", f"output={folder / 'runs'}"]
        made = run.run(run.prepare(composed("run", words)), words, lambda *_: None)
        digest = commands._known_task(tiny_task.name)
        assert digest is not None
        return entries.add(made.folder, folder / "board", {tiny_task.name: digest.digest}, commands._known_task)


@pytest.fixture
def entry(entered: Path, tiny_task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which a test may forge."""
    monkeypatch.chdir(tiny_task.parent.parent)
    board = tmp_path / "board"
    shutil.copytree(entered.parents[2], board)
    return board / entered.relative_to(entered.parents[2])


def verify(entry: Path, *, simulate: bool = False) -> verifying.Verification:
    return verifying.verify(entry, commands._known_task, simulate)


def test_what_a_run_made_is_worked_out_again_to_the_bit(entry: Path) -> None:
    verification = verify(entry, simulate=True)
    document = json.loads(entry.read_text())
    assert verification.explanations == sum(len(row["scored"]) for row in document["rows"])
    assert verification.scores > 20 * verification.explanations
    assert (verification.largest, verification.unverified) == (0.0, ())
    assert 0 < verification.remade < verification.simulations, "tables are looked up"
    assert verification.furthest == 0.0
    words = verifying.in_words(entry, verification)
    assert f"{verification.remade:,} simulations were made again" in words
    assert "was not tried" in verifying.in_words(entry, verify(entry))


# ------------------------------------------------------------------------------------------------------ a careless hand


def test_an_entry_is_verified_once_its_simulations_were_made_again_and_until_it_changes(
    entry: Path, neurogloss: Command
) -> None:
    assert checks.standing(entry) == "self-reported"
    status, _, err = neurogloss("leaderboard", "verify", str(entry), "--record")
    assert (status, "write --simulate too" in err) == (cli.USER_ERROR, True)
    status, out, _ = neurogloss("leaderboard", "verify", str(entry), "--simulate", "--record")
    assert status == 0
    check = checks.read(entry)
    assert check is not None
    assert f"check: {checks.path_of(entry)}" in out
    assert checks.standing(entry) == f"verified ({check.id})"
    assert (check.scores > 0, check.simulations > 0, check.largest, check.furthest) == (True, True, 0.0, 0.0)
    root = entry.parents[2]
    pages.build(root, pages.read(root, commands._known_task))
    assert f"verified ({check.id})" in (root / "README.md").read_text()
    entry.write_bytes(entry.read_bytes() + b"\n")
    with pytest.raises(NeuroglossError, match="is the check of another entry than"):
        checks.standing(entry)
    checks.path_of(entry).write_text("{}")
    with pytest.raises(NeuroglossError, match="entry"):
        checks.standing(entry)


def _scored(document: dict[str, Any], row: int = 0, place: int = 0) -> Any:
    return document["rows"][row]["scored"][place]


def _put(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Return what puts a value where a path of keys and places leads."""

    def forge(document: Any) -> None:
        *parts, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        for part in parts:
            document = document[part]
        assert document[last] != value, "nothing is forged"
        document[last] = value

    return forge


CARELESS = {
    "mean": _put("rows.0.summary.metrics.correlation.mean", 0.99),
    "interval": _put("rows.0.summary.metrics.correlation.low", 0.99),
    "scored": _put("rows.0.summary.scored", 99),
    "outcomes": _put("rows.0.summary.outcomes", {"ok": 98}),
    "units": _put("rows.0.summary.units", 1),
    "missing tokens": _put("rows.0.summary.missing_tokens", 7),
    "score": _put("rows.0.scored.0.scores.values.correlation", 0.987),
    "top score": _put("rows.0.scored.0.scores.values.spearman_top", 0.987),
    "dropped score": lambda document: _scored(document)["scores"]["values"].pop("f1"),
    "tokens": _put("rows.0.scored.0.scores.tokens", 5),
    "tokens without a simulation": _put("rows.0.scored.0.scores.missing_tokens", 5),
    "degenerate": _put("rows.0.scored.0.scores.degenerate", ["auroc"]),
    "slope": _put("rows.0.scored.0.calibration.slope", 123.0),
    "intercept": _put("rows.0.scored.0.calibration.intercept", 123.0),
    "no calibration": _put("rows.0.scored.0.calibration", None),
    "unit": _put("rows.0.scored.0.explanation.unit", "L9N9"),
    "unit left out": lambda document: document["rows"][0]["scored"].pop(),
    "unit twice": lambda document: document["rows"][0]["scored"].append(_scored(document)),
    "explainer": _put("rows.0.scored.0.explanation.explainer", "mine"),
    "simulator": _put("rows.0.scored.0.simulator", "mine"),
    "rows": lambda document: document["rows"].reverse() or document["rows"].pop(),
    "role": _put("explainers.1.role", "explainer"),
    "task": _put("task.digest", "0" * 64),
    "size": _put("task.size", 1),
    "subject": _put("subject.revision", "0" * 40),
    "simulations": _put("provenance.simulations", "0" * 64),
    "how it is calibrated": _put("config.calibration.top", 1),
    "the level that is active": _put("config.scores.panel.active_level", 9),
    "no scorer": _put("config.scores", {}),
    "another scorer": _put("config.scores.panel.use", "scorer/ablation"),
    "no method": _put("config.calibration.method", "wishful"),
}


@pytest.mark.parametrize("name", CARELESS)
def test_what_is_changed_in_an_entry_is_named(entry: Path, name: str) -> None:
    document = json.loads(entry.read_text())
    CARELESS[name](document)
    entry.write_text(json.dumps(document))
    with pytest.raises(NeuroglossError):
        verify(entry)


# ------------------------------------------------------------------------------------------------------- a careful hand


def _rewrite(entry: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """Change the simulations of an entry, and their digest in it."""
    file = simulations.path_of(entry)
    table = pq.read_table(file)
    simulated = table.to_pylist()
    change(simulated)
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(simulated, table.schema), buffer)
    file.write_bytes(buffer.getvalue())
    document = json.loads(entry.read_text())
    document["provenance"][simulations.KEY] = simulations.digest(buffer.getvalue())
    entry.write_text(json.dumps(document))


def _swap(first: int, second: int) -> Callable[[list[dict[str, Any]]], None]:
    def change(simulated: list[dict[str, Any]]) -> None:
        simulated[first], simulated[second] = simulated[second], simulated[first]

    return change


def _raise_valid(simulated: list[dict[str, Any]]) -> None:
    row = next(row for row in simulated if row["split"] == "valid")
    row["simulated"] = [value + place for place, value in enumerate(row["simulated"])]


CAREFUL: dict[str, tuple[Callable[[list[dict[str, Any]]], object], str]] = {
    "values": (_raise_valid, "worked out again"),
    "dropped": (lambda simulated: simulated.pop(0), "in its place"),
    "last dropped": (lambda simulated: simulated.pop(), "in its place"),
    "twice": (lambda simulated: simulated.insert(0, simulated[0]), "in its place"),
    "one more": (lambda simulated: simulated.append(simulated[-1]), "more excerpts"),
    "order": (_swap(0, 1), "in its place"),
    "split": (lambda simulated: simulated[0].update(split="valid"), "in its place"),
    "source": (lambda simulated: simulated[0].update(source="elsewhere"), "in its place"),
    "explainer": (lambda simulated: simulated[0].update(explainer="shuffled"), "in its place"),
    "unit": (lambda simulated: simulated[0].update(unit="L9N9"), "in its place"),
    "length": (lambda simulated: simulated[-1].update(simulated=[1.0]), "another length"),
    "outcome": (lambda simulated: simulated[0].update(outcome="splendid"), "none of ours"),
    "nothing": (lambda simulated: simulated[-1].update(simulated=[None] * 64), "worked out again|other"),
}


@pytest.mark.parametrize("name", CAREFUL)
def test_simulations_that_were_changed_do_not_give_the_scores(entry: Path, name: str) -> None:
    change, sentence = CAREFUL[name]
    _rewrite(entry, change)
    with pytest.raises(NeuroglossError, match=sentence):
        verify(entry)


def test_simulations_that_are_missing_or_others_are_refused(entry: Path) -> None:
    file = simulations.path_of(entry)
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(NeuroglossError, match="other simulations than"):
        verify(entry)
    file.unlink()
    with pytest.raises(NeuroglossError, match="has its simulations there"):
        verify(entry)


def _consistent(results: Results, forge: Callable[[ScoredExplanation], ScoredExplanation]) -> Results:
    """Return results whose first row was forged, with every mean and interval made of the forged scores."""
    first, *others = results.rows
    scored = tuple(map(forge, first.scored))
    summary = rows.summarise(first.key, first.summary.role, scored, merge.resampling_of(results))
    return dataclasses.replace(results, rows=(ResultRow(summary, scored), *others))


def _write(entry: Path, results: Results) -> None:
    entry.write_bytes(dump({"schema_version": SCHEMA_VERSION, **to_json(results, "entry")}, sort_keys=True))


def test_better_scores_with_means_to_match_are_caught(entry: Path) -> None:
    def better(item: ScoredExplanation) -> ScoredExplanation:
        values = {**item.scores.values, "correlation": min(1.0, item.scores.values["correlation"] + 1e-6)}
        return dataclasses.replace(item, scores=dataclasses.replace(item.scores, values=values))

    _write(entry, _consistent(read_results(entry), better))
    entries.validate(entry, commands._known_task)
    with pytest.raises(NeuroglossError, match="worked out again"):
        verify(entry)


def test_another_explanation_than_was_simulated_is_caught_by_simulating_it(entry: Path) -> None:
    def finer(item: ScoredExplanation) -> ScoredExplanation:
        return dataclasses.replace(
            item, explanation=dataclasses.replace(item.explanation, text="the quay and the list")
        )

    _write(entry, _consistent(read_results(entry), finer))
    verify(entry)
    with pytest.raises(NeuroglossError, match="its simulator does not make"):
        verify(entry, simulate=True)


def test_another_simulator_of_the_same_name_is_not_asked(entry: Path) -> None:
    results = read_results(entry)
    other = dataclasses.replace(results.simulators[0], prompt_version="another")
    _write(entry, dataclasses.replace(results, simulators=(other, *results.simulators[1:])))
    verify(entry)
    with pytest.raises(NeuroglossError, match="by another token_overlap than there is here"):
        verify(entry, simulate=True)
