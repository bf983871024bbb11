"""Made-up runs: one of 24 neurons with a good explainer, a weak one, their floor and their ceiling; one of puzzles."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from harness.results import merge, truths
from harness.results.rows import Resampling, summarise
from harness.results.run import Results
from harness.results.vocabulary import ExplainerInfo, ResultRow, StageUsage, TaskInfo
from harness.types import (
    Explanation,
    Heading,
    Identity,
    Outcome,
    Role,
    RowKey,
    ScoredExplanation,
    ScorerInfo,
    Scores,
    SimulatorInfo,
    Unit,
    Usage,
)

NEURONS = tuple(Unit("N", layer, 3 * layer) for layer in range(24))
MODEL = Identity("HuggingFaceTB/SmolLM2-135M-Instruct", "0123456789abcdef0123", dtype="float32", transport="prompt")
SIMULATOR = SimulatorInfo("all_at_once", MODEL, "prompt", 11, "all_at_once-v1")
PANEL = ScorerInfo(
    "panel",
    headings=(
        Heading("correlation_random", "random", "random only"),
        Heading("correlation_top", "top", "top only"),
        Heading("explained_variance", "expl.v.", "explained variance"),
    ),
)
ABLATION = ScorerInfo("ablation", MODEL, headings=(Heading("ablation", "ablat.", "ablation"),))
RESAMPLING = Resampling()
Make = Callable[..., Results]


def _explained(name: str, simulator: str, neuron: Unit, value: float | None) -> ScoredExplanation:
    usage = Usage(requests=1, prompt_tokens=1000, completion_tokens=20, usd=0.001)
    outcome = Outcome.OK if value is not None else Outcome.FAILED
    scores = (
        Scores({}, missing={"correlation": "failed"})
        if value is None
        else Scores(
            {"correlation": value, "correlation_random": value / 2, "correlation_top": value / 3, "ablation": -123.456}
        )
    )
    explanation = Explanation(neuron, "words", outcome=outcome, usage=usage, explainer=name)
    return ScoredExplanation(explanation, simulator, (), None, scores)


def info(name: str, role: Role) -> ExplainerInfo:
    """An explainer as its row is named: ``METHOD · MODEL``, or ``METHOD``."""
    method, _, model = name.partition(" · ")
    return ExplainerInfo(name, method, model, role)


@pytest.fixture(scope="session")
def make() -> Make:
    """Results of rows: name -> (role, simulator, mean score), with the same made-up noise of neurons under each."""

    def results(
        explainers: Mapping[str, tuple[Role, str, float]],
        scored_neurons: int = 24,
        by_group: bool = False,
        **changes: object,
    ) -> Results:
        noise = np.random.default_rng(7).normal(0.0, 0.05, (len(explainers), len(NEURONS)))
        resampling = Resampling(by_group=by_group)
        rows = []
        for place, (name, (role, simulator, mean)) in enumerate(explainers.items()):
            scored = tuple(
                _explained(name, simulator, neuron, float(mean + noise[place, j]) if j < scored_neurons else None)
                for j, neuron in enumerate(NEURONS)
            )
            rows.append(ResultRow(summarise(RowKey(name, simulator), role, scored, resampling), scored))
        fields = {
            "run_id": "0123456789ab",
            "created": "2025-01-02T03:04:05+00:00",
            "task": TaskInfo("smollm2-v2", "feedfacecafe0000", 24, NEURONS),
            "subject": MODEL,
            "simulators": (SIMULATOR,),
            "explainers": tuple(info(name, role) for name, (role, _, _) in explainers.items()),
            "scorers": (PANEL, ABLATION),
            "rows": tuple(rows),
        }
        return merge.ranked(Results(**{**fields, **changes}), resampling)  # type: ignore[arg-type]

    return results


@pytest.fixture(scope="session")
def usual(make: Make) -> Results:
    """The explainers of the default run, with scores such as it might have."""
    return make(
        {
            "token_activation · smollm2": (Role.EXPLAINER, "all_at_once", 0.05),
            "max_activation": (Role.EXPLAINER, "all_at_once", 0.24),
            "shuffled": (Role.FLOOR, "all_at_once", 0.05),
            "token_lookup": (Role.CEILING, "lookup", 0.52),
        }
    )


# ------------------------------------------------------------------------------------------------------------- puzzles

PUZZLES = {"pets": "lexical", "ing": "morphological", "ly": "morphological"}
TUNED = SimulatorInfo("tuned", Identity("org/model", "0123456789abcdef", transport="prompt"), "prompt", 11, "v1")
CONTROLS = (SimulatorInfo("token_overlap", control=True), SimulatorInfo("chance", control=True))
TRUTHS = ScorerInfo(
    "truths",
    headings=(Heading("truth", "truth", "truth's"), Heading("difference", "minus truth", "minus truth", True)),
)
TOLD = {"true": 0.0, "near": -0.2, "unrelated": -0.5}
"""Kind of explanation that comes with a puzzle -> how much lower than the true one it scores."""
GIVEN_TRUTH = {"tuned": (0.9, 0.7, 0.8), "token_overlap": (0.5, 0.3, 0.1), "chance": (0.1, -0.1, 0.0)}
"""Simulator -> its correlation given the truth, by puzzle."""
EXPLAINED = {"max_activation": (Role.EXPLAINER, "tuned"), "shuffled": (Role.FLOOR, "tuned"),
             "token_lookup": (Role.CEILING, "lookup")}  # fmt: skip


def _told(validity: str, simulator: str) -> ResultRow:
    scored = tuple(
        ScoredExplanation(
            Explanation(Unit("puzzle", name=key), f"{validity} of {key}", explainer=validity),
            simulator,
            (),
            None,
            Scores(
                {"correlation": truth + TOLD[validity], **({"auroc": 1.0} if validity == "true" else {})}, tokens=50
            ),
            simulate_usage=Usage(requests=1, prompt_tokens=100),
        )
        for key, truth in zip(PUZZLES, GIVEN_TRUTH[simulator], strict=True)
    )
    return ResultRow(summarise(RowKey(validity, simulator), Role.TOLD, scored, RESAMPLING), scored)


def _of_puzzles(name: str, role: Role, simulator: str) -> ResultRow:
    """A row whose score is half of the truth's."""
    scored = tuple(
        ScoredExplanation(
            Explanation(Unit("puzzle", name=key), "words", explainer=name),
            simulator,
            (),
            None,
            Scores({"correlation": truth / 2, "truth": truth, "difference": -truth / 2}),
        )
        for key, truth in zip(PUZZLES, GIVEN_TRUTH["tuned"], strict=True)
    )
    return ResultRow(summarise(RowKey(name, simulator), role, scored, RESAMPLING), scored)


@pytest.fixture(scope="session")
def of_puzzles() -> Make:
    """Results of a run of three puzzles: a simulator beside two controls, and explainers by the first."""

    def results(explainers: bool = True, **changes: object) -> Results:
        rows = [_of_puzzles(name, *row) for name, row in EXPLAINED.items()] if explainers else []
        rows += [_told(validity, simulator) for validity in TOLD for simulator in GIVEN_TRUTH]
        names = {row.summary.explainer: row.summary.role for row in rows}
        simulators = (TUNED, *CONTROLS)
        fields = {
            "run_id": "feedfacecafe",
            "created": "2025-01-02T03:04:05+00:00",
            "task": TaskInfo("puzzles-v1", "feedface" * 8, 3, tuple(Unit("puzzle", name=key) for key in PUZZLES),
                             {f"puzzle:{key}": category for key, category in PUZZLES.items()}),
            "subject": None,
            "simulators": simulators,
            "explainers": tuple(info(name, role) for name, role in names.items()),
            "scorers": (TRUTHS,),
            "rows": tuple(rows),
            "seconds": {f"simulate by {simulator.name}": 1.0 for simulator in simulators},
            "usage": {f"simulate by {simulator.name}": StageUsage(Usage(9)) for simulator in simulators},
        }  # fmt: skip
        fields |= changes
        run = Results(**fields)  # type: ignore[arg-type]
        summaries = [
            summary
            for simulator in run.simulators
            for summary in truths.summaries(run.rows, simulator.name, run.task.categories, RESAMPLING)
        ]
        return merge.ranked(Results(**{"truths": tuple(summaries), **fields}), RESAMPLING)  # type: ignore[arg-type]

    return results
