"""A run as one call: it is the command's, takes objects of the program, and refuses in the command's sentences."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neurogloss
from harness.api import Results, evaluate, objects
from harness.explainers.max_activation import MaxActivation
from harness.models.fake import FakeModel
from harness.simulators.token_overlap import TokenOverlap
from harness.types import (
    Evidence,
    Explanation,
    NeuroglossError,
    Outcome,
    Query,
    Role,
    RowKey,
    Simulation,
    SimulatorInfo,
)
from tests.api.conftest import QUICK, TASK, quoting
from tests.fixtures import Command


@dataclass
class Saying:
    """An explainer that says the same of each unit."""

    words: str = "cats"
    role: Role = field(default=Role.EXPLAINER, init=False)

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        return [Explanation(item.unit, self.words) for item in evidence]


class Silent:
    """A simulator that gives 0 everywhere."""

    def describe(self) -> SimulatorInfo:
        return SimulatorInfo("silent")

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        return [Simulation((0.0,) * len(query.tokens)) for query in queries]


def quick(explainers: Any = None, models: Any = None, simulator: Any = "token_overlap", **rest: Any) -> Results:
    """Evaluate the two puzzles."""
    return evaluate(TASK, explainers, models, simulator, **{"overrides": QUICK, **rest})


# ----------------------------------------------------------------------------------------------------- as the command


@pytest.mark.slow
def test_it_is_what_the_command_does_and_prints_nothing(
    place: Path, neurogloss: Command, capfd: pytest.CaptureFixture[str]
) -> None:
    of_python = quick(["max_activation", "token_lookup"], ["fake"], units=["puzzle:pets"])
    assert capfd.readouterr() == ("", "")
    words = ["explainer=[max_activation,token_lookup]", "explainer_model=[fake]", "simulator=[token_overlap]"]
    status, _, err = neurogloss("run", f"task={TASK}", *words, "units.ids=['puzzle:pets']", *QUICK)
    assert status == 0, err
    of_command = Results(Path("runs/latest"))
    assert of_command.folder == of_python.folder
    assert of_command.values.scored == of_python.values.scored
    assert of_command.values.provenance["overrides"] == of_python.values.provenance["overrides"]


@pytest.mark.slow
def test_replies_are_kept_and_not_asked_for_again(place: Path, tmp_path: Path) -> None:
    log = tmp_path / "asked"
    call = {"models": {"mine": FakeModel("mine", log=str(log))}, "output": tmp_path / "runs"}
    first = quick("token_activation", **call)
    asked = log.read_text()
    assert len(asked.splitlines()) == 2
    info = first.values.explainers[0]
    assert (info.name, info.identity) == ("token_activation · mine", FakeModel("mine").identity)
    again = quick("token_activation", **call)
    assert log.read_text() == asked
    assert again.to_pandas().equals(first.to_pandas())
    assert (tmp_path / "runs" / "store.sqlite").is_file()


@pytest.mark.slow
def test_progress_is_told_of_every_stage(place: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    models = {"mine": FakeModel("told")}
    quick("token_activation", models, progress=lambda *event: told.append(event), output=tmp_path)
    assert ("explain, completions", 2, 2) in told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("units", "names"),
    [(1, ["puzzle:ing"]), (["puzzle:pets"], ["puzzle:pets"]), ("all", ["puzzle:ing", "puzzle:pets"])],
)
def test_units_are_a_number_or_names_or_an_option(place: Path, units: Any, names: list[str]) -> None:
    task = quick(quoting, units=units).values.task
    assert sorted(map(str, task.units)) == names


def test_names_of_neurogloss_are_those_of_the_api() -> None:
    assert neurogloss.evaluate is evaluate
    assert neurogloss.Results is Results
    assert neurogloss.NeuroglossError is NeuroglossError


# ---------------------------------------------------------------------------------------------- objects of the program


@pytest.mark.slow
def test_a_function_an_object_and_an_option_are_rows_in_their_order(place: Path) -> None:
    results = quick([quoting, "max_activation", Saying("dogs")])
    assert [info.name for info in results.values.explainers][:3] == ["quoting", "max_activation", "Saying"]
    texts = {
        key.explainer: [item.explanation.text for item in items]
        for key, items in results.values.scored.items()
        if key.explainer in ("quoting", "Saying")
    }
    assert texts["Saying"] == ["dogs", "dogs"]
    assert all(text.startswith('the word "') for text in texts["quoting"])


@pytest.mark.slow
def test_a_mapping_names_rows(place: Path) -> None:
    results = quick({"cats": Saying("cats"), "dogs": Saying("dogs"), "shuffled": "shuffled"})
    assert [info.name for info in results.values.explainers][:3] == ["cats", "dogs", "shuffled"]
    scores = results.to_pandas().groupby("explainer")["correlation"].mean()
    assert scores["cats"] != scores["dogs"]


@pytest.mark.slow
def test_the_first_simulator_is_the_runs_own(place: Path) -> None:
    results = quick([quoting], simulator=[Silent(), "token_overlap"])
    assert [info.name for info in results.values.simulators][:2] == ["Silent", "token_overlap"]
    scored = results.values.scored
    assert {item.scores.values["correlation"] for item in scored[RowKey("quoting", "Silent")]} == {0.0}
    assert any(item.scores.values["correlation"] > 0 for item in scored[RowKey("quoting", "token_overlap")])


def test_a_node_names_a_class_by_its_short_name(place: Path) -> None:
    node = {"use": "explainer/constant", "text": "the word dog"}
    (row,) = [row for row in quick({"always": node}).values.rows if row.key.explainer == "always"]
    assert {item.explanation.text for item in row.scored} == {"the word dog"}


@pytest.mark.slow
def test_a_function_without_words_has_no_explanation(place: Path) -> None:
    (row,) = [row for row in quick({"none": lambda _: None}).values.rows if row.key.explainer == "none"]
    assert {item.explanation.outcome for item in row.scored} == {Outcome.EMPTY}


@pytest.mark.slow
def test_a_config_that_names_an_object_says_whose_it_is(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = quick([Saying("birds")]).values.config["explainer"]["Saying"]  # type: ignore[index]
    assert node["use"] == "explainer/python_object"
    assert node["kind"].endswith("test_evaluation.Saying")
    monkeypatch.setattr(objects, "_OBJECTS", {})
    sentence = r"names \S+\.Saying, an object of the program that made the run; give it to neurogloss.evaluate again"
    with pytest.raises(NeuroglossError, match=sentence):
        quick({"Saying": node})


@pytest.mark.slow
@settings(max_examples=10)
@given(st.text(), st.text())
def test_objects_are_the_same_to_a_run_if_their_settings_are(first: str, second: str) -> None:
    assert (objects.digest_of(Saying(first)) == objects.digest_of(Saying(second))) == (first == second)


def test_functions_differ_by_all_that_they_were_made_of() -> None:
    def enclosing(words: str) -> Any:
        return lambda _: words

    def defaulting(words: str) -> Any:
        return lambda _, said=words: said

    def of_an_object(words: str) -> Any:
        return Saying(words).explain

    def with_an_argument(words: str) -> Any:
        return partial(lambda said, _: said, words)

    def enclosing_a_function(words: str) -> Any:
        inner = enclosing(words)
        return lambda evidence: f"{inner(evidence)}."

    def enclosing_numbers(words: str) -> Any:
        numbers, names = np.array([len(words), ord(words[0])]), {words}
        return lambda _: f"{numbers} {names}"

    for make in (enclosing, defaulting, of_an_object, with_an_argument, enclosing_a_function, enclosing_numbers):
        assert objects.digest_of(make("cats")) == objects.digest_of(make("cats"))
        assert objects.digest_of(make("cats")) != objects.digest_of(make("dogs"))
    assert objects.digest_of(quoting) != objects.digest_of(MaxActivation())


# ------------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            {"explainers": ["max_activatoin"]},
            "there is no explainer called max_activatoin .*did you mean max_activation",
        ),
        ({"simulator": "none"}, "there is no simulator called none"),
        ({"overrides": ["seeds=1"]}, "there is no config key seeds; did you mean seed"),
        ({"overrides": "seed=1"}, r"overrides is a list of texts; write overrides=\[\"seed=1\"\]"),
        ({"explainers": Saying}, "explainers.* is the class Saying; give an object: Saying"),
        ({"explainers": 3}, "is 3, but an object with the methods of harness.types.methods.Explainer, or a function"),
        ({"simulator": Saying()}, "but an object with the methods of harness.types.methods.Simulator is wanted there"),
        ({"models": [TokenOverlap()]}, "but an object with the methods of harness.models.backend.Backend is wanted"),
        ({"explainers": ["max_activation"] * 2}, "explainers has two parts called max_activation"),
        ({"explainers": [lambda _: "x"]}, "names '<lambda>', which can be no name"),
        ({"explainers": ["a b"]}, "names 'a b', which can be no name"),
        ({"scores": ["pa]nel"]}, "names 'pa]nel', which can be no name"),
        ({"explainers": {"mine": "shuffled"}}, r"keep their names, so write explainers=\['shuffled'\]"),
        ({"explainers": [{"use": "explainer/constant"}]}, "explainers lists a node that has no name"),
        ({"explainers": {"mine": {"use": "explainer/constant", "text": Silent()}}}, "is not of plain values"),
        ({"explainers": {"mine": {"use": "explainer/constant", "txt": ""}}}, "no config key explainer.mine.txt; did"),
        ({"explainers": {"mine": lambda _: 3}}, "returned 3 for puzzle:.*; return the text of an explanation, or None"),
        ({"units": True}, "units is True; write a number, a list of names, or units='all'"),
        ({"units": 1.5}, "units is 1.5; write a number"),
        ({"scores": 3}, "scores names 3, which can be no name"),
        ({"config_dir": "nowhere"}, "there is no folder .*nowhere of configs"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(place: Path, call: dict[str, Any], sentence: str) -> None:
    with pytest.raises(NeuroglossError, match=sentence):
        quick(**{"explainers": ["max_activation"], **call})


@pytest.mark.parametrize("task", ["tasks/pets-v1", Path("pets-v1"), 3, ""])
def test_a_task_is_named(task: Any) -> None:
    with pytest.raises(NeuroglossError, match=r'which can be no name; .* or overrides=\["task.path=FOLDER"\]'):
        evaluate(task, [quoting])


# ----------------------------------------------------------------------------------------- within an event loop


@pytest.mark.slow
def test_it_works_where_an_event_loop_runs(place: Path, tmp_path: Path) -> None:
    """A notebook runs one, and a model on a server needs one of its own."""

    def loop_of_its_own(evidence: Evidence) -> str:
        threads.add(threading.current_thread())
        return asyncio.run(asyncio.sleep(0, "cats"))

    async def cell() -> Results:
        return quick({"mine": loop_of_its_own}, output=tmp_path)

    threads: set[threading.Thread] = set()
    results = asyncio.run(cell())
    assert {item.explanation.text for item in results.values.rows[0].scored} == {"cats"}
    assert threading.current_thread() not in threads


def test_an_interrupt_within_an_event_loop_leaves_no_work_behind(place: Path, tmp_path: Path) -> None:
    log = tmp_path / "asked"
    models = {"mine": FakeModel("slow", log=str(log), delay=0.2)}

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    async def cell() -> None:
        quick(["token_activation", "summary", "top_tokens"], models, progress=interrupt, output=tmp_path)

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(cell())
    assert threading.active_count() == before
    assert 0 < len(log.read_text().splitlines()) < 6
