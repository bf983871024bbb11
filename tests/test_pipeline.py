"""The stages, with a simulator that knows the answer: what goes in comes out where it should."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness import pipeline, tasks
from harness.scores import ScoreSettings
from harness.types import (
    Evidence,
    Explanation,
    NeuronId,
    NeuronRecord,
    Outcome,
    Query,
    Replacement,
    Role,
    Simulation,
)

SETTINGS = ScoreSettings(calibration_top=1, calibration_random=2, resamples=200)


class Naming:
    """Explains a neuron by its own name, and keeps what it was shown."""

    role = Role.EXPLAINER

    def __init__(self) -> None:
        self.shown: list[Evidence] = []

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        self.shown += evidence
        return [Explanation(known.neuron, "", text=str(known.neuron)) for known in evidence]


class Silent(Naming):
    """Explains nothing."""

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        return [Explanation(known.neuron, "", outcome=Outcome.EMPTY) for known in evidence]


class Oracle:
    """Knows every activation of the records: a third of it, plus one, so that calibration has work to do."""

    name = "oracle"

    def __init__(self, records: Sequence[NeuronRecord]) -> None:
        self.known = {
            (str(record.neuron), excerpt.tokens): excerpt.activations
            for record in records
            for excerpt in record.top + record.random
        }

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        return [self._one(query) for query in queries]

    def _one(self, query: Query) -> Simulation:
        if query.explanation.outcome is not Outcome.OK:
            return Simulation((float("nan"),) * len(query.tokens), outcome=query.explanation.outcome)
        real = self.known[query.explanation.text, query.tokens]
        return Simulation(tuple(value / 3 + 1 for value in real))


def _divergences(replacements: Sequence[Replacement]) -> list[float]:
    return [0.25] * len(replacements)


@pytest.fixture
def records(tiny_task: Path) -> list[NeuronRecord]:
    return tasks.select(tasks.read_task(tiny_task))


def test_a_perfect_simulation_gets_a_perfect_score_in_activation_units(records: list[NeuronRecord]) -> None:
    tools = pipeline.Instruments({"naming": Naming()}, Oracle(records), _divergences)
    begun: list[str] = []
    found = pipeline.run(records, tools, SETTINGS, begun.append)["naming"]
    assert begun == ["explain", "simulate", "calibrate", "ablate", "score"]
    assert [one.explanation.neuron for one in found] == [record.neuron for record in records]
    for one in found:
        assert one.explanation.explainer == "naming"
        assert one.calibration is not None
        assert one.calibration.slope == pytest.approx(3.0)
        assert one.scores.values["correlation"] == pytest.approx(1.0)
        assert one.scores.values["explained_variance"] == pytest.approx(1.0)
        assert one.scores.values["ablation"] == 0.0
        for part in one.simulated:
            assert part.calibrated == pytest.approx(part.excerpt.activations, abs=1e-5)


def test_an_explainer_sees_train_and_nothing_else(records: list[NeuronRecord]) -> None:
    naming = Naming()
    pipeline.explain({"naming": naming}, [tasks.evidence(record) for record in records])
    for record, known in zip(records, naming.shown, strict=True):
        splits = tasks.split_record(record)
        hidden = {excerpt.digest for excerpt in (*splits.calibration, *splits.valid, *splits.test)}
        assert known.excerpts == splits.train
        assert not {excerpt.digest for excerpt in known.excerpts} & hidden


def test_the_excerpts_used_are_a_few_to_calibrate_and_all_valid_ones(records: list[NeuronRecord]) -> None:
    used = pipeline.excerpts_used(records[0], SETTINGS)
    splits = tasks.split_record(records[0])
    assert tuple(excerpt for split, excerpt in used if split == "valid") == splits.valid
    fitted = [excerpt for split, excerpt in used if split == "calibration"]
    assert [str(excerpt.kind) for excerpt in fitted] == ["top", "random", "random"]
    assert set(fitted) <= set(splits.calibration)


def test_a_neuron_without_an_explanation_has_no_score(records: list[NeuronRecord]) -> None:
    tools = pipeline.Instruments({"silent": Silent(), "naming": Naming()}, Oracle(records), _divergences)
    found = pipeline.run(records, tools, SETTINGS, lambda _: None)
    assert all(not one.scores.values and "correlation" in one.scores.missing for one in found["silent"])
    assert all(one.scores.values for one in found["naming"])


def test_the_subject_is_left_alone_when_ablation_is_off(records: list[NeuronRecord]) -> None:
    def never(replacements: Sequence[Replacement]) -> list[float]:
        raise AssertionError("the subject was asked")

    tools = pipeline.Instruments({"naming": Naming()}, Oracle(records), never)
    found = pipeline.run(records, tools, replace(SETTINGS, ablation=False), lambda _: None)
    assert "ablation" not in found["naming"][0].scores.values


def test_answers_come_back_in_the_order_of_the_questions_tables_among_them() -> None:
    said, table = (Explanation(NeuronId(0, 0), "", text="x"), Explanation(NeuronId(0, 1), "", table={"a": 7.0}))

    class Counting:
        name = "counting"
        calls = 0

        def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
            self.calls += 1
            return [Simulation((float(len(query.tokens)),) * len(query.tokens)) for query in queries]

    simulator = Counting()
    groups = [[Query(said, ("a",)), Query(table, ("a", "b"))], [], [Query(table, ("a",)), Query(said, ("a", "b"))]]
    found = pipeline.answers(simulator, groups)
    assert [[one.expected for one in some] for some in found] == [[(1.0,), (7.0, 0.0)], [], [(7.0,), (2.0, 2.0)]]
    assert simulator.calls == 1
