"""The stages, with a simulator that knows the answer: what goes in comes out where it should."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness import pipeline, stats, tasks
from harness.explainers.oracle import Oracle as QuantisedOracle
from harness.scores import ScoreSettings, correlation
from harness.types import (
    Candidate,
    Effect,
    Evidence,
    Explanation,
    NeuronId,
    NeuronRecord,
    Outcome,
    Query,
    Replacement,
    Role,
    Simulation,
    Usage,
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


def _effects(replacements: Sequence[Replacement]) -> list[Effect]:
    return [Effect(0.25, 0.5)] * len(replacements)


@pytest.fixture
def records(tiny_task: Path) -> list[NeuronRecord]:
    return tasks.select(tasks.read_task(tiny_task))


def test_a_perfect_simulation_gets_a_perfect_score_in_activation_units(records: list[NeuronRecord]) -> None:
    tools = pipeline.Instruments({"naming": Naming()}, Oracle(records), _effects)
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
    tools = pipeline.Instruments({"silent": Silent(), "naming": Naming()}, Oracle(records), _effects)
    found = pipeline.run(records, tools, SETTINGS, lambda _: None)
    assert all(not one.scores.values and "correlation" in one.scores.missing for one in found["silent"])
    assert all(one.scores.values for one in found["naming"])


def test_the_subject_is_left_alone_when_ablation_is_off(records: list[NeuronRecord]) -> None:
    def never(replacements: Sequence[Replacement]) -> list[Effect]:
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


class Guessing(Naming):
    """Offers several candidates of each neuron, one of which is its name."""

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        offers = (Candidate("no idea", Outcome.REFUSED), Candidate("anything"), Candidate("name"), Candidate("name"))
        return [
            Explanation(known.neuron, "", "anything", candidates=offers, usage=Usage(4, 0, 40, 4)) for known in evidence
        ]


class Choosy(Oracle):
    """Knows the activations where it is told ``name``, and says the opposite otherwise; keeps what it is asked."""

    def __init__(self, records: Sequence[NeuronRecord]) -> None:
        super().__init__(records)
        self.asked: list[Query] = []

    def _one(self, query: Query) -> Simulation:
        self.asked.append(query)
        if query.explanation.outcome is not Outcome.OK:
            return super()._one(query)
        real = self.known[str(query.explanation.neuron), query.tokens]
        sign = 1 if query.explanation.text == "name" else -1
        return Simulation(tuple(sign * value for value in real), usage=Usage(1, 0, 5, 0))


def test_the_best_candidate_is_chosen_on_calibration_excerpts_alone(records: list[NeuronRecord]) -> None:
    choosy = Choosy(records)
    said = pipeline.explain({"guessing": Guessing()}, [tasks.evidence(record) for record in records])
    held = {record.neuron: list(tasks.split_record(record).calibration) for record in records}
    found = pipeline.choose(choosy, said, held)
    for one in found:
        assert (one.text, one.outcome, one.explainer) == ("name", Outcome.OK, "guessing")
        assert one.candidates[0].score is None
        assert [rival.score for rival in one.candidates[1:]] == pytest.approx([-1.0, 1.0, 1.0])
        assert one.usage == Usage(4 + 3 * len(held[one.neuron]), 0, 40 + 15 * len(held[one.neuron]), 4)
    shown = {excerpt.tokens for some in held.values() for excerpt in some}
    assert {query.tokens for query in choosy.asked} <= shown


def test_a_run_chooses_before_it_reports(records: list[NeuronRecord]) -> None:
    tools = pipeline.Instruments({"guessing": Guessing(), "naming": Naming()}, Choosy(records), _effects)
    found = pipeline.run(records, tools, SETTINGS, lambda _: None)
    assert all(one.scores.values["correlation"] == pytest.approx(1.0) for one in found["guessing"])
    assert all(not one.explanation.candidates for one in found["naming"])


def test_without_a_score_nothing_is_chosen(records: list[NeuronRecord]) -> None:
    offers = (Candidate("", Outcome.EMPTY), Candidate("no", Outcome.REFUSED))
    said = [Explanation(records[0].neuron, "x", outcome=Outcome.EMPTY, candidates=offers)]
    held = {records[0].neuron: list(tasks.split_record(records[0]).calibration)}
    assert pipeline.choose(Oracle(records), said, held) == said


def test_a_control_that_knows_the_truth_is_told_what_it_is_scored_on(records: list[NeuronRecord]) -> None:
    tools = pipeline.Instruments({"oracle": QuantisedOracle()}, Oracle(records), _effects)
    found = pipeline.run(records, tools, SETTINGS, lambda _: None)["oracle"]
    for record, one in zip(records, found, strict=True):
        used = [excerpt for _, excerpt in pipeline.excerpts_used(record, SETTINGS)]
        largest = max(excerpt.maximum for excerpt in used)
        real = [value for part in tasks.split_record(record).valid for value in part.activations[part.scored]]
        known = [math.floor(10 * max(value, 0.0) / largest) for value in real]
        assert one.scores.values["correlation"] == pytest.approx(correlation(real, known))


class Failing(Oracle):
    """Knows every activation, and fails at every second call."""

    def __init__(self, records: Sequence[NeuronRecord]) -> None:
        super().__init__(records)
        self.calls = 0

    def _one(self, query: Query) -> Simulation:
        self.calls += 1
        nothing = Simulation((float("nan"),) * len(query.tokens), outcome=Outcome.FAILED)
        return nothing if self.calls % 2 else super()._one(query)


def test_a_perfect_simulator_that_fails_at_every_second_call_is_scored_on_no_neuron_and_ranked_nowhere(
    records: list[NeuronRecord],
) -> None:
    tools = pipeline.Instruments({"naming": Naming()}, Failing(records), _effects)
    found = {"naming": pipeline.run(records, tools, SETTINGS, lambda _: None)["naming"]}
    for one in found["naming"]:
        assert "correlation" not in one.scores.values
        assert re.search(r"\d of \d valid excerpts have no simulation .*failed", one.scores.missing["correlation"])
        assert one.scores.missing_tokens > 0
    row = stats.summarise("naming", Role.EXPLAINER, "oracle", found["naming"], seed=0, resamples=200)
    assert (row.scored, row.coverage) == (0, 0.0)
    assert row.missing_tokens > 0
    standing = stats.standing([row], found, "oracle", minimum_coverage=0.9, seed=0, resamples=200)
    assert standing.ranks == {}


def test_what_resamples_a_neuron_is_neither_valid_nor_test(records: list[NeuronRecord]) -> None:
    asked: list[Replacement] = []

    def effects(replacements: Sequence[Replacement]) -> list[Effect]:
        asked.extend(replacements)
        return _effects(replacements)

    record = records[0]
    tools = pipeline.Instruments({"naming": Naming()}, Oracle(records), effects)
    pipeline.run([record], tools, SETTINGS, lambda _: None)
    splits = tasks.split_record(record)
    resampled = asked[3 * len(asked) // 4 :]  # the last of four ways
    start = splits.valid[0].leading
    held = {excerpt.activations[start:] for excerpt in splits.calibration}
    assert {one.values[start:] for one in resampled} <= held
    assert not held & {excerpt.activations[start:] for excerpt in (*splits.valid, *splits.test)}
