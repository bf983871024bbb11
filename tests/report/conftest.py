"""A made-up run of 24 neurons: a good explainer, a weak one, their floor and their ceiling."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from harness import stats
from harness.results import ExplainerInfo, Results, SimulatorInfo, TaskInfo
from harness.types import Explanation, Identity, NeuronId, Outcome, Role, ScoredExplanation, Scores, Usage

NEURONS = tuple(NeuronId(layer, 3 * layer) for layer in range(24))
MODEL = Identity("HuggingFaceTB/SmolLM2-135M-Instruct", "0123456789abcdef0123", dtype="float32", transport="prompt")
Values = Mapping[NeuronId, float]
Make = Callable[..., Results]


def _explained(name: str, neuron: NeuronId, value: float | None) -> ScoredExplanation:
    usage = Usage(requests=1, prompt_tokens=1000, completion_tokens=20, usd=0.001)
    outcome = Outcome.OK if value is not None else Outcome.REFUSED
    scores = (
        Scores({}, missing={"correlation": "refused"})
        if value is None
        else Scores(
            {"correlation": value, "correlation_random": value / 2, "correlation_top": value / 3, "ablation": -123.456}
        )
    )
    return ScoredExplanation(Explanation(neuron, name, "words", outcome=outcome, usage=usage), (), None, scores)


@pytest.fixture(scope="session")
def make() -> Make:
    """Results of explainers: name -> (role, simulator, mean score), with the same made-up neurons under each."""

    def results(explainers: Mapping[str, tuple[Role, str, float]], scored_neurons: int = 24) -> Results:
        noise = np.random.default_rng(7).normal(0.0, 0.05, (len(explainers), len(NEURONS)))
        scored = {
            name: tuple(
                _explained(name, neuron, float(mean + noise[i, j]) if j < scored_neurons else None)
                for j, neuron in enumerate(NEURONS)
            )
            for i, (name, (_, _, mean)) in enumerate(explainers.items())
        }
        return Results(
            run_id="0123456789ab",
            created="2025-01-02T03:04:05+00:00",
            task=TaskInfo("smollm2-mini-v1", "feedfacecafe0000", 24, NEURONS),
            subject=MODEL,
            simulator=SimulatorInfo("all_at_once", MODEL, "prompt", 11, "all_at_once-v1"),
            explainers=tuple(ExplainerInfo(name, role) for name, (role, _, _) in explainers.items()),
            summaries=tuple(
                stats.summarise(name, role, simulator, scored[name], seed=0)
                for name, (role, simulator, _) in explainers.items()
            ),
            scored=scored,
        )

    return results


@pytest.fixture(scope="session")
def usual(make: Make) -> Results:
    """The explainers of the default experiment, with scores such as it might have."""
    return make(
        {
            "smollm2": (Role.EXPLAINER, "all_at_once", 0.05),
            "max_activation": (Role.EXPLAINER, "all_at_once", 0.24),
            "shuffled": (Role.FLOOR, "all_at_once", 0.05),
            "token_lookup": (Role.CEILING, "lookup", 0.52),
        }
    )
