"""The stages, with simulators that know the answer: rows over records, and over puzzles as records."""

from __future__ import annotations

import dataclasses
import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import pipeline
from harness.explainers.controls.oracle import Oracle as Ceiling
from harness.explainers.controls.shuffled import Shuffled
from harness.explainers.controls.token_lookup import TokenLookup
from harness.explainers.max_activation import MaxActivation
from harness.explainers.told import Told
from harness.pipeline import Fitting, Tools
from harness.results import truths
from harness.results.rows import Resampling, standing, summarise
from harness.results.vocabulary import ResultRow
from harness.scorers.ablation import Ablation
from harness.scorers.panel import Panel
from harness.scorers.truths import Truths
from harness.scores import correlation
from harness.simulators.chance import Chance
from harness.tasks import catalog
from harness.tasks.puzzles import source
from harness.tasks.puzzles.records import record as record_of
from harness.tasks.splits import split_record
from harness.tasks.units import read_task
from harness.types import (
    LOOKUP,
    Candidate,
    Effect,
    Evidence,
    ExcerptKind,
    Explainer,
    Explanation,
    Identity,
    Judged,
    Judgement,
    Knowing,
    NeuroglossError,
    Outcome,
    Puzzle,
    Query,
    Record,
    Replacement,
    Role,
    RowKey,
    Scored,
    ScoredExplanation,
    Scorer,
    ScorerInfo,
    Scores,
    SimulatedExplanation,
    Simulation,
    Simulator,
    SimulatorInfo,
    Unit,
    Usage,
    Validity,
)

FITTING = Fitting(top=1, random=2)
RESAMPLING = Resampling(resamples=200)
Reader = Callable[..., Any]


class Naming:
    """Explains a unit by its own name, and keeps what it was shown."""

    role = Role.EXPLAINER

    def __init__(self) -> None:
        self.shown: list[Evidence] = []

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        self.shown += evidence
        return [Explanation(item.unit, str(item.unit)) for item in evidence]


class Silent(Naming):
    """Explains nothing."""

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        return [Explanation(item.unit, outcome=Outcome.REFUSED) for item in evidence]


class Oracle:
    """Knows every activation of the records: a third of it, plus one, so that calibration has work to do."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.activations = {
            (str(record.unit), excerpt.tokens): excerpt.activations
            for record in records
            for excerpt in (*record.splits.calibration, *record.splits.valid)
        }
        self.queries: list[Query] = []

    def describe(self) -> SimulatorInfo:
        return SimulatorInfo("oracle")

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        self.queries += queries
        return [self.simulation(query) for query in queries]

    def simulation(self, query: Query) -> Simulation:
        if query.explanation.outcome is not Outcome.OK:
            return Simulation((math.nan,) * len(query.tokens), outcome=query.explanation.outcome)
        real = self.activations[query.explanation.text, query.tokens]
        return Simulation(tuple(value / 3 + 1 for value in real))


class Subject:
    """A subject on which every replacement has the same effect; it keeps what it is asked."""

    identity = Identity("subject", "1")

    def __init__(self) -> None:
        self.replacements: list[Replacement] = []

    def effects_of(self, replacements: Sequence[Replacement]) -> list[Effect]:
        self.replacements += replacements
        return [Effect(0.25, 0.5)] * len(replacements)


def scorers(subject: Subject | None = None) -> dict[str, Scorer]:
    return {"panel": Panel(), "ablation": Ablation(subject or Subject())}


def scored_by(
    explainers: Mapping[str, Explainer | Knowing],
    simulator: Simulator,
    records: Sequence[Record],
    used: Mapping[str, Scorer] | None = None,
) -> dict[str, list[ScoredExplanation]]:
    """The scored explanations of each explainer by one simulator."""
    tools = Tools(explainers, {"own": simulator}, used or scorers())
    rows = [RowKey(name, "own") for name in explainers]
    return {key.explainer: items for key, items in pipeline.run(records, tools, rows, FITTING, lambda _: None).items()}


@pytest.fixture
def records(tiny_task: Path) -> list[Record]:
    return catalog.records(read_task(tiny_task))


# ------------------------------------------------------------------------------------------------------------- stages


def test_a_perfect_simulation_gets_a_perfect_score_in_activation_units(records: list[Record]) -> None:
    tools = Tools({"naming": Naming()}, {"oracle": Oracle(records)}, scorers())
    stages: list[str] = []
    key = RowKey("naming", "oracle")
    scored = pipeline.run(records, tools, [key], FITTING, stages.append)
    assert stages == ["explain", "simulate by oracle", "score by panel", "score by ablation"]
    assert set(scored) == {key}
    assert [item.unit for item in scored[key]] == [record.unit for record in records]
    for item in scored[key]:
        assert (item.explanation.explainer, item.simulator) == ("naming", "oracle")
        assert item.calibration is not None
        assert item.calibration.slope == pytest.approx(3.0)
        assert item.scores.values["correlation"] == pytest.approx(1.0)
        assert item.scores.values["explained_variance"] == pytest.approx(1.0)
        assert item.scores.values["ablation"] == 0.0
        for part in item.simulated:
            assert part.calibrated == pytest.approx(part.excerpt.activations, abs=1e-5)


@given(st.integers(0, 2000))
def test_shards_are_all_units_in_order_and_even(size: int) -> None:
    shards = list(pipeline.shards(cast("list[Record]", list(range(size)))))
    assert [number for shard in shards for number in shard] == list(range(size))
    assert all(0 < len(shard) <= pipeline.UNITS_OF_A_SHARD for shard in shards)
    assert len(shards) == math.ceil(size / pipeline.UNITS_OF_A_SHARD)
    assert not shards or max(map(len, shards)) - min(map(len, shards)) <= 1


class Judging:
    """A scorer that puts a judge one case of each explanation."""

    def describe(self) -> ScorerInfo:
        return ScorerInfo("judging")

    def score(self, explanations: Sequence[SimulatedExplanation]) -> list[Scored]:
        judgement = Judgement(1.0, usage=Usage(1, 0, 9, 1))
        return [
            Scored(Scores({"judged": 1.0}), (Judged("j", item.excerpts[0].excerpt, (), True, judgement),))
            for item in explanations
        ]


def test_what_simulations_and_judgements_cost_stands_beside_the_scores(records: list[Record]) -> None:
    class Asking(Oracle):
        def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
            return [dataclasses.replace(reply, usage=Usage(1, 0, 5, 0)) for reply in super().simulate(queries)]

    scored = scored_by({"naming": Naming()}, Asking(records), records, {"panel": Panel(), "judging": Judging()})
    for item in scored["naming"]:
        assert item.simulate_usage == Usage(len(item.simulated), 0, 5 * len(item.simulated), 0)
        assert item.judge_usage == Usage(1, 0, 9, 1)


def test_an_explainer_sees_train_and_nothing_else(records: list[Record]) -> None:
    naming = Naming()
    (*explanations,) = pipeline.explain({"naming": naming}, records, FITTING)
    for record, evidence, explanation in zip(records, naming.shown, explanations, strict=True):
        assert record.source is not None
        splits = split_record(record.source)
        hidden = {excerpt.digest for excerpt in (*splits.calibration, *splits.valid, *splits.test)}
        assert evidence.excerpts == splits.train
        assert not {excerpt.digest for excerpt in evidence.excerpts} & hidden
        assert explanation.shown == tuple(excerpt.source for excerpt in splits.train)


def test_a_few_calibration_excerpts_and_all_valid_ones_are_used(records: list[Record]) -> None:
    used = pipeline.excerpts_used(records[0], FITTING)
    splits = records[0].splits
    assert tuple(excerpt for split, excerpt in used if split == "valid") == splits.valid
    fitted = [excerpt for split, excerpt in used if split == "calibration"]
    assert [str(excerpt.kind) for excerpt in fitted] == ["top", "random", "random"]
    assert set(fitted) <= set(splits.calibration)


@pytest.mark.parametrize(
    ("count", "ranks"), [(1, [2]), (2, [1, 3]), (3, [0, 2, 4]), (5, [0, 1, 2, 3, 4]), (9, [0, 1, 2, 3, 4])]
)
def test_calibration_excerpts_are_spread_over_the_ranks(records: list[Record], count: int, ranks: list[int]) -> None:
    one = records[0].splits.calibration[0]
    top = [dataclasses.replace(one, source=f"d:{rank}", kind=one.kind) for rank in range(5)]
    splits = dataclasses.replace(records[0].splits, calibration=tuple(top))
    used = pipeline.fitting_excerpts(dataclasses.replace(records[0], splits=splits), Fitting(top=count, random=0))
    assert [excerpt.source for excerpt in used] == [f"d:{rank}" for rank in ranks]


def test_a_unit_without_an_explanation_has_no_score(records: list[Record]) -> None:
    scored = scored_by({"silent": Silent(), "naming": Naming()}, Oracle(records), records)
    assert all(not item.scores.values and "correlation" in item.scores.missing for item in scored["silent"])
    assert all(item.scores.values for item in scored["naming"])


def test_the_subject_is_asked_by_its_scorer_alone(records: list[Record]) -> None:
    subject = Subject()
    scored = scored_by({"naming": Naming()}, Oracle(records), records, {"panel": Panel()})
    assert "ablation" not in {*scored["naming"][0].scores.values, *scored["naming"][0].scores.missing}
    scored_by({"naming": Naming()}, Oracle(records), records, scorers(subject))
    assert subject.replacements


def test_answers_come_back_in_the_order_of_the_questions_tables_among_them() -> None:
    text, table = Explanation(Unit("N", 0, 0), "x"), Explanation(Unit("N", 0, 1), table={"a": 7.0})

    class Counting:
        calls = 0

        def describe(self) -> SimulatorInfo:
            return SimulatorInfo("counting")

        def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
            self.calls += 1
            return [Simulation((float(len(query.tokens)),) * len(query.tokens)) for query in queries]

    simulator = Counting()
    groups = [[Query(text, ("a",)), Query(table, ("a", "b"))], [], [Query(table, ("a",)), Query(text, ("a", "b"))]]
    replies = pipeline.answers(simulator, groups)
    assert [[reply.expected for reply in group] for group in replies] == [
        [(1.0,), (7.0, 0.0)],
        [],
        [(7.0,), (2.0, 2.0)],
    ]
    assert simulator.calls == 1


def test_a_perfect_simulator_that_fails_at_every_second_call_is_scored_on_no_unit_and_ranked_nowhere(
    records: list[Record],
) -> None:
    class Failing(Oracle):
        calls = 0

        def simulation(self, query: Query) -> Simulation:
            self.calls += 1
            failed = Simulation((math.nan,) * len(query.tokens), outcome=Outcome.FAILED)
            return failed if self.calls % 2 else super().simulation(query)

    scored = scored_by({"naming": Naming()}, Failing(records), records)["naming"]
    for item in scored:
        assert "correlation" not in item.scores.values
        for metric in ("correlation", "ablation"):
            assert re.search(r"\d of \d valid excerpts have no simulation .*failed", item.scores.missing[metric])
        assert item.scores.missing_tokens > 0
    key = RowKey("naming", "own")
    row = summarise(key, Role.EXPLAINER, scored, RESAMPLING)
    assert (row.scored, row.coverage) == (0, 0.0)
    assert row.missing_tokens > 0
    assert standing([ResultRow(row, tuple(scored))], "own", 0.9, RESAMPLING).ranks == {}


def test_a_unit_is_resampled_from_neither_valid_nor_test_excerpts(records: list[Record]) -> None:
    subject, record = Subject(), records[0]
    scored_by({"naming": Naming()}, Oracle(records), [record], scorers(subject))
    resampled = subject.replacements[3 * len(subject.replacements) // 4 :]  # the last of four ways
    splits = record.splits
    start = splits.valid[0].leading
    calibrating = {excerpt.activations[start:] for excerpt in splits.calibration}
    assert {replacement.values[start:] for replacement in resampled} <= calibrating
    assert not calibrating & {excerpt.activations[start:] for excerpt in (*splits.valid, *splits.test)}


def test_a_control_that_knows_the_truth_is_shown_what_it_is_scored_on(records: list[Record]) -> None:
    scored = scored_by({"oracle": Ceiling()}, Oracle(records), records)["oracle"]
    for record, item in zip(records, scored, strict=True):
        used = [excerpt for _, excerpt in pipeline.excerpts_used(record, FITTING)]
        largest = max(excerpt.maximum for excerpt in used)
        valid = [excerpt for excerpt in record.splits.valid if excerpt.kind is not ExcerptKind.HARD]
        real = [value for excerpt in valid for value in excerpt.activations[excerpt.scored]]
        rounded = [math.floor(10 * max(value, 0.0) / largest) for value in real]
        assert item.simulator == LOOKUP
        assert item.explanation.shown == tuple(excerpt.source for excerpt in used)
        assert item.scores.values["correlation"] == pytest.approx(correlation(real, rounded))


# --------------------------------------------------------------------------------------------------------------- rows


class Tripled(Oracle):
    """An oracle of another scale."""

    def simulation(self, query: Query) -> Simulation:
        return Simulation(tuple(3 * value for value in super().simulation(query).expected))


def test_a_run_makes_the_rows_that_it_is_asked_for_and_no_other(records: list[Record]) -> None:
    first, second = Oracle(records), Tripled(records)
    tools = Tools({"naming": Naming(), "silent": Silent()}, {"first": first, "second": second}, {"panel": Panel()})
    rows = [RowKey("naming", "first"), RowKey("silent", "second"), RowKey("naming", "second")]
    scored = pipeline.run(records, tools, rows, FITTING, lambda _: None)
    assert set(scored) == set(rows)
    assert {query.explanation.explainer for query in first.queries} == {"naming"}
    assert [item.unit for item in scored[rows[2]]] == [record.unit for record in records]
    slopes = [scored[key][0].calibration.slope for key in (rows[0], rows[2])]  # type: ignore[union-attr]
    assert slopes == pytest.approx([3.0, 1.0])


def test_a_table_has_one_row_however_many_simulators_there_are(records: list[Record]) -> None:
    tools = Tools({"lookup": TokenLookup(1)}, {"first": Oracle(records), "second": Oracle(records)}, {"panel": Panel()})
    rows = [RowKey("lookup", "first"), RowKey("lookup", "second")]
    scored = pipeline.run(records, tools, rows, FITTING, lambda _: None)
    assert {key: len(items) for key, items in scored.items()} == {RowKey("lookup", "lookup"): len(records)}


class Twice(Naming):
    """Explains each unit by two people."""

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        return [Explanation(item.unit, str(item.unit), annotator=name) for item in evidence for name in ("a", "b")]


class Reversed(Naming):
    """Explains the units from the last to the first."""

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        return super().explain(evidence)[::-1]


class Forgetful(Naming):
    """Leaves out the last unit."""

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        return super().explain(evidence)[:-1]


class Rambling(Naming):
    """Explains all units, and then all of them again."""

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        return super().explain([*evidence, *evidence])


def test_several_explanations_of_a_unit_stand_side_by_side_in_one_row(records: list[Record]) -> None:
    scored = scored_by({"people": Twice()}, Oracle(records), records)["people"]
    assert [item.explanation.annotator for item in scored] == ["a", "b"] * len(records)


@pytest.mark.parametrize("explainer", [Reversed(), Forgetful(), Rambling()], ids=lambda item: type(item).__name__)
def test_an_explainer_that_leaves_the_order_of_units_is_refused_by_name(
    records: list[Record], explainer: Naming
) -> None:
    with pytest.raises(NeuroglossError, match=r"^explainer\.mine did not explain each unit, in order; mend it\.$"):
        pipeline.explain({"mine": explainer}, records, FITTING)


class Flat:
    """A scorer that gives the first explanations one metric."""

    def __init__(self, metric: str, count: int | None = None) -> None:
        self.metric, self.count = metric, count

    def describe(self) -> ScorerInfo:
        return ScorerInfo(self.metric)

    def score(self, explanations: Sequence[SimulatedExplanation]) -> list[Scored]:
        return [Scored(Scores({self.metric: 1.0})) for _ in explanations[: self.count]]


def test_what_scorers_give_is_joined(records: list[Record]) -> None:
    used: dict[str, Scorer] = {"panel": Panel(), "mine": Flat("length")}
    scored = scored_by({"naming": Naming()}, Oracle(records), records, used)["naming"]
    assert all({"correlation", "length"} <= set(item.scores.values) for item in scored)


@pytest.mark.parametrize(
    ("scorer", "message"),
    [
        (Flat("length", 1), r"^scores\.mine scored 1 of 2 explanations; mend it\.$"),
        (Flat("f1_top"), r"^scores\.panel and scores\.mine both give f1_top; leave one of them out\.$"),
    ],
)
def test_a_scorer_that_leaves_out_explanations_or_hides_the_scores_of_another_is_refused(
    records: list[Record], scorer: Flat, message: str
) -> None:
    with pytest.raises(NeuroglossError, match=message):
        scored_by({"naming": Naming()}, Oracle(records), records[:2], {"panel": Panel(), "mine": scorer})


# ---------------------------------------------------------------------------------------------------------- candidates


class Guessing(Naming):
    """Offers several candidates of each unit, one of which is its name."""

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        offers = (Candidate("no idea", Outcome.REFUSED), Candidate("anything"), Candidate("name"), Candidate("name"))
        return [Explanation(item.unit, "anything", candidates=offers, usage=Usage(4, 0, 40, 4)) for item in evidence]


class Choosy(Oracle):
    """Gives the activations for ``name``, and their opposite for any other text."""

    def simulation(self, query: Query) -> Simulation:
        if query.explanation.outcome is not Outcome.OK:
            return super().simulation(query)
        real = self.activations[str(query.explanation.unit), query.tokens]
        sign = -1 if query.explanation.text == "anything" else 1
        return Simulation(tuple(sign * value for value in real), usage=Usage(1, 0, 5, 0))


def test_the_best_candidate_is_chosen_on_the_fitting_excerpts_alone(records: list[Record]) -> None:
    choosy = Choosy(records)
    explanations = pipeline.explain({"guessing": Guessing()}, records, FITTING)
    for explanation in pipeline.choose(choosy, explanations, records, FITTING):
        assert (explanation.text, explanation.outcome, explanation.explainer) == ("name", Outcome.OK, "guessing")
        assert explanation.candidates[0].score is None
        assert [candidate.score for candidate in explanation.candidates[1:]] == pytest.approx([-1.0, 1.0, 1.0])
        assert explanation.usage == Usage(4 + 3 * 3, 0, 40 + 15 * 3, 4)
    fitting = {excerpt.tokens for record in records for excerpt in pipeline.fitting_excerpts(record, FITTING)}
    assert {query.tokens for query in choosy.queries} == fitting


def test_a_run_chooses_before_it_reports(records: list[Record]) -> None:
    scored = scored_by({"guessing": Guessing(), "naming": Naming()}, Choosy(records), records)
    assert all(item.scores.values["correlation"] == pytest.approx(1.0) for item in scored["guessing"])
    assert all(not item.explanation.candidates for item in scored["naming"])


def test_the_first_simulator_chooses(records: list[Record]) -> None:
    class Contrary(Choosy):
        def simulation(self, query: Query) -> Simulation:
            simulation = super().simulation(query)
            return dataclasses.replace(simulation, expected=tuple(-value for value in simulation.expected))

    rows = [RowKey("guessing", "first"), RowKey("guessing", "second")]
    for simulators, text in (((Choosy, Contrary), "name"), ((Contrary, Choosy), "anything")):
        named = dict(zip(("first", "second"), (simulator(records) for simulator in simulators), strict=True))
        tools = Tools({"guessing": Guessing()}, named, {"panel": Panel()})
        scored = pipeline.run(records, tools, rows, FITTING, lambda _: None)
        assert {item.explanation.text for key in rows for item in scored[key]} == {text}


def test_without_a_score_nothing_is_chosen_unless_it_is_settled(records: list[Record]) -> None:
    offers = (Candidate("", Outcome.EMPTY), Candidate("no", Outcome.REFUSED))
    explanations = [Explanation(records[0].unit, outcome=Outcome.EMPTY, candidates=offers, explainer="x")]
    assert pipeline.choose(Oracle(records), explanations, records, FITTING) == explanations

    def settle(explanation: Explanation) -> Explanation:
        return dataclasses.replace(explanation, text="settled")

    (settled,) = pipeline.choose(Oracle(records), explanations, records, FITTING, settle)
    assert settled.text == "settled"


# ------------------------------------------------------------------------------------------------------------- puzzles

UNFITTED = Fitting(top=0, random=0)
TOLD = {validity.value: Told(validity) for validity in (Validity.TRUE, Validity.NEAR, Validity.UNRELATED)}


@pytest.fixture
def puzzles(puzzle_source: Path) -> tuple[Puzzle, ...]:
    return source.read(puzzle_source / "puzzles.yaml")


class Telling:
    """Explains each puzzle by the truth, and keeps what it was shown."""

    role = Role.EXPLAINER

    def __init__(self, puzzles: Sequence[Puzzle]) -> None:
        self.truth = {f"puzzle:{puzzle.key}": puzzle.explanation for puzzle in puzzles}
        self.shown: list[Evidence] = []

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        self.shown += evidence
        return [Explanation(item.unit, self.truth[str(item.unit)]) for item in evidence]


class Keeping(Chance):
    """Noise that keeps what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.queries: list[Query] = []

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        self.queries += queries
        return super().simulate(queries)


def solved(
    puzzles: Sequence[Puzzle],
    simulators: Mapping[str, Simulator],
    explainers: Mapping[str, Explainer | Knowing] | None = None,
) -> dict[RowKey, list[ScoredExplanation]]:
    """The rows of a run of puzzles: told explanations by every simulator, explainers by the first."""
    explainers = explainers or {}
    tools = Tools({**explainers, **TOLD}, simulators, {"truths": Truths()})
    rows = [RowKey(name, next(iter(simulators))) for name in explainers]
    rows += [RowKey(name, simulator) for name in TOLD for simulator in simulators]
    return pipeline.run([*map(record_of, puzzles)], tools, rows, UNFITTED, lambda _: None)


def truths_of(scored: Mapping[RowKey, Sequence[ScoredExplanation]], simulator: str) -> list[truths.Truth]:
    rows = [
        ResultRow(summarise(key, Role.TOLD, items, RESAMPLING), tuple(items))
        for key, items in scored.items()
        if key.explainer in TOLD
    ]
    return truths.truths(rows, simulator)


def test_a_simulator_that_knows_scores_1_and_wins_and_chance_does_not(
    puzzles: tuple[Puzzle, ...], oracle: Reader
) -> None:
    scored = solved(puzzles, {"oracle": oracle(puzzles), "chance": Chance()})
    for truth in truths_of(scored, "oracle"):
        assert truth.correlation == pytest.approx(1.0)
        assert truth.scores.values["auroc"] == truth.scores.values["auprc"] == 1.0
        assert {name: value for name, value in truth.figures.items() if name.startswith("beats")} == {
            "beats_near": 1.0,
            "beats_unrelated": 1.0,
        }
    assert all(abs(truth.correlation) < 0.9 for truth in truths_of(scored, "chance"))


@pytest.mark.slow
def test_chance_is_near_0_over_many_puzzles(puzzles: tuple[Puzzle, ...]) -> None:
    many = [
        dataclasses.replace(
            puzzles[0],
            key=str(number),
            explanation=f"rule {number}",
            false_explanations=tuple(
                dataclasses.replace(told, text=f"{told.text} {number}") for told in puzzles[0].false_explanations
            ),
        )
        for number in range(150)
    ]
    figures = [truth.figures for truth in truths_of(solved(many, {"chance": Chance()}), "chance")]
    means = {name: np.mean([values[name] for values in figures]) for name in figures[0]}
    assert abs(means["correlation"]) < 0.05
    assert means["beats_near"] == pytest.approx(0.5, abs=0.1)
    assert means["auroc"] == pytest.approx(0.5, abs=0.05)


def test_the_order_of_puzzles_changes_no_score(puzzles: tuple[Puzzle, ...]) -> None:
    shuffled = random.Random(1).sample(puzzles, len(puzzles))[::-1]
    in_order, out_of_order = (
        {truth.unit: truth for truth in truths_of(solved(some, {"chance": Chance()}), "chance")}
        for some in (puzzles, shuffled)
    )
    assert in_order == out_of_order


def test_a_simulator_is_asked_about_every_text_under_every_told_explanation(puzzles: tuple[Puzzle, ...]) -> None:
    keeping = Keeping()
    solved(puzzles, {"keeping": keeping})
    assert len(keeping.queries) == 2 * 5 * 12
    assert {(query.explanation.text, query.tokens) for query in keeping.queries} == {
        (explanation, text.tokens)
        for puzzle in puzzles
        for explanation in (puzzle.explanation, *(told.text for told in puzzle.false_explanations))
        for text in puzzle.texts
    }


def test_an_explainer_is_asked_on_one_half_and_scored_on_the_other(puzzles: tuple[Puzzle, ...], oracle: Reader) -> None:
    telling = Telling(puzzles)
    scored = solved(puzzles, {"oracle": oracle(puzzles)}, {"telling": telling, "silent": Silent()})
    for puzzle, evidence, item in zip(puzzles, telling.shown, scored[RowKey("telling", "oracle")], strict=True):
        hidden = [text.tokens for text in puzzle.texts[6:]]
        assert not {excerpt.tokens for excerpt in evidence.excerpts} & set(hidden)
        assert [part.excerpt.tokens for part in item.simulated] == hidden
        assert item.calibration is None
        assert all(math.isnan(value) for part in item.simulated for value in part.calibrated)
        assert dict(item.scores.values) == pytest.approx({"correlation": 1.0, "truth": 1.0, "difference": 0.0})
    for item in scored[RowKey("silent", "oracle")]:
        assert not item.scores.values
        assert "refused" in item.scores.missing["correlation"]


def test_truth_is_taken_on_the_second_half_only(puzzles: tuple[Puzzle, ...], oracle: Reader) -> None:
    reader = oracle(puzzles)
    firsts = {text.tokens for puzzle in puzzles for text in puzzle.texts[:6]}
    reader.levels = {key: levels for key, levels in reader.levels.items() if key[1] in firsts}
    scored = solved(puzzles, {"oracle": reader}, {"telling": Telling(puzzles)})
    assert all(truth.correlation > 0.3 for truth in truths_of(scored, "oracle"))
    assert [item.scores.values["truth"] for item in scored[RowKey("telling", "oracle")]] == [0.0, 0.0]


def test_controls_stand_where_they_should(puzzles: tuple[Puzzle, ...], oracle: Reader) -> None:
    explainers: dict[str, Explainer | Knowing] = {"shuffled": Shuffled(MaxActivation()), "lookup": TokenLookup(1)}
    scored = solved(puzzles, {"oracle": oracle(puzzles)}, explainers)
    lookup, shuffled = (
        [item.scores.values["correlation"] for item in scored[key]]
        for key in (RowKey("lookup", "lookup"), RowKey("shuffled", "oracle"))
    )
    assert lookup[0] > 0.9  # a rule of single words is what a table can hold
    assert np.mean(lookup) > np.mean(shuffled)


class Offering(Telling):
    """Offers a lie beside the truth."""

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        return [
            dataclasses.replace(truth, text="no", candidates=(Candidate("no"), Candidate(truth.text)))
            for truth in super().explain(evidence)
        ]


def test_candidates_are_chosen_on_the_first_half_of_a_puzzle(puzzles: tuple[Puzzle, ...], oracle: Reader) -> None:
    reader = oracle(puzzles)
    explainers: dict[str, Explainer | Knowing] = {"offering": Offering(puzzles), "knowing": Ceiling()}
    scored = solved(puzzles, {"oracle": reader}, explainers)
    for puzzle, item in zip(puzzles, scored[RowKey("offering", "oracle")], strict=True):
        assert item.explanation.text == puzzle.explanation
        assert [candidate.score for candidate in item.explanation.candidates] == pytest.approx([0.0, 1.0])
    assert [item.scores.values["correlation"] for item in scored[RowKey("knowing", "lookup")]] == pytest.approx([1, 1])
    firsts = {text.tokens for puzzle in puzzles for text in puzzle.texts[:6]}
    reader.levels = {key: levels for key, levels in reader.levels.items() if key[1] not in firsts}
    blind = solved(puzzles, {"oracle": reader}, explainers)
    assert [item.explanation.text for item in blind[RowKey("offering", "oracle")]] == ["no", "no"]
