from __future__ import annotations

from harness.instruments import simulator_info
from harness.results import SimulatorInfo
from harness.simulators.chance import Chance


class Noted(Chance):
    """A simulator with something to say to its readers."""

    note = "trained on rules"


def test_a_simulator_without_a_model_has_a_name_and_its_note() -> None:
    assert simulator_info(Chance()) == SimulatorInfo("chance")
    assert simulator_info(Noted()) == SimulatorInfo("chance", note="trained on rules")
