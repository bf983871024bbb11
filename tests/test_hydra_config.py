from __future__ import annotations

import pytest

from harness.hydra_config import composed, jobs
from harness.types import NeuroglossError


@pytest.mark.parametrize(
    ("override", "answer"),
    [
        ("neurons.limt=4", "no config key neurons.limt; did you mean neurons.limit?"),
        ("explianer=smollm2", "no config key explianer; did you mean explainer?"),
        ("simulatr.prompt=x", "no config key simulatr; did you mean simulator?"),
        ("explainer.smollm2.max_tokns=4", "did you mean explainer.smollm2.max_tokens?"),
        ("explainer=zzz", "no explainer called zzz; there are: chain_of_thought, clusters, constant"),
        ("scores=none", "no scores called none; there are: default, judged."),
        ("seed=x", "Value 'x' of type 'str' could not be converted to Integer."),
        ("neurons.layers=4", "int is not a ListConfig, list or tuple."),
        ("model@simulator.modl=fake", "model@simulator.model?"),
        ("foo", "an override is written key=value."),
    ],
)
def test_a_wrong_override_is_answered_with_what_to_write(override: str, answer: str) -> None:
    with pytest.raises(NeuroglossError) as refused:
        composed("run", ["neurons.limit=3", override])
    assert answer in str(refused.value)
    assert "\n" not in str(refused.value)


def test_overrides_compose() -> None:
    config = composed("run", ["explainer=token_lookup", "simulator=one_at_a_time", "neurons.limit=4"])
    assert list(config.explainer) == ["token_lookup"]
    assert config.simulator._target_ == "harness.simulators.one_at_a_time.OneAtATime"
    assert config.neurons.limit == 4


def test_a_sweep_has_a_job_for_each_combination() -> None:
    assert jobs(["explainer=a,b", "seed=1,2", "task.name=t"]) == [
        ["explainer=a", "seed=1", "task.name=t"],
        ["explainer=a", "seed=2", "task.name=t"],
        ["explainer=b", "seed=1", "task.name=t"],
        ["explainer=b", "seed=2", "task.name=t"],
    ]


def test_a_list_is_one_job() -> None:
    assert jobs(["explainer=[a,b]"]) == [["explainer=[a,b]"]]
