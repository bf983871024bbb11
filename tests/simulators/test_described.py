"""Every simulator says what its scores depend on: the model, how it is read, and the prompt."""

from __future__ import annotations

import pytest

from harness.config import registry
from harness.simulators import tuned
from harness.simulators.all_at_once import AllAtOnce
from harness.simulators.chance import Chance
from harness.simulators.lookup import Lookup
from harness.simulators.one_at_a_time import OneAtATime
from harness.simulators.token_overlap import TokenOverlap
from harness.simulators.tuned import Tuned
from harness.types import Simulator, SimulatorInfo

ASKING = [AllAtOnce, OneAtATime, Tuned]
UNASKING = [Chance, TokenOverlap]


def test_every_simulator_of_the_table_is_described_here() -> None:
    names = [name for name in registry.CLASSES if name.startswith("simulator/")]
    assert {registry.resolve(name, "") for name in names} == {*ASKING, *UNASKING}


@pytest.mark.parametrize("kind", ASKING, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("levels", [10, 11])
def test_a_simulator_that_asks_a_model_names_it_and_how_it_is_read(hashing, query, kind, levels: int) -> None:
    model = hashing(levels)
    simulator = kind(model)
    assert isinstance(simulator, Simulator)
    simulator.simulate([query()])
    info = simulator.describe()
    assert (info.identity, info.transport, info.levels) == (model.identity, "prompt", levels)
    assert info.prompt_version == model.asked[0].prompt_version
    assert info.name == info.prompt_version.partition("-v1")[0]
    assert info.note == (tuned.NOTE if kind is Tuned else "")


@pytest.mark.parametrize(
    ("simulator", "name"), [(Chance(), "chance"), (TokenOverlap(), "token_overlap"), (Lookup(), "lookup")]
)
def test_a_simulator_that_asks_no_model_has_a_name_alone(simulator: Simulator, name: str) -> None:
    assert isinstance(simulator, Simulator)
    assert simulator.describe() == SimulatorInfo(name)
