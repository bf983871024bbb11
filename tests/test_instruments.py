from __future__ import annotations

from harness.explainers.joined import Joined
from harness.explainers.max_activation import MaxActivation
from harness.explainers.shuffled import Shuffled
from harness.explainers.summary import Summary
from harness.instruments import explainer_info, needs_subject, sharing, simulator_info
from harness.models.fake import FakeModel
from harness.results import SimulatorInfo
from harness.simulators.chance import Chance


class Noted(Chance):
    """A simulator with something to say to its readers."""

    note = "trained on rules"


def test_a_simulator_without_a_model_has_a_name_and_its_note() -> None:
    assert simulator_info(Chance()) == SimulatorInfo("chance")
    assert simulator_info(Noted()) == SimulatorInfo("chance", note="trained on rules")


def test_the_model_of_an_explainer_is_found_within_it() -> None:
    summary = Summary(FakeModel("writer"))  # type: ignore[arg-type]  # only its identity is asked for
    for explainer in (summary, Shuffled(summary), Joined(MaxActivation(), Shuffled(summary))):
        identity = explainer_info("x", explainer, []).identity
        assert identity is not None
        assert identity.name == "writer"
    assert explainer_info("x", Joined(MaxActivation(), MaxActivation()), []).identity is None


class Settings:
    """Stands for a subject: what is told apart is how it was set."""

    def __init__(self, name: str) -> None:
        self.name = name


def test_subjects_that_are_set_alike_are_one() -> None:
    subject = Settings("a")
    wrap = sharing(subject, lambda built: ("wrapped", built))  # type: ignore[arg-type]
    other, model = Settings("b"), FakeModel()
    assert wrap(Settings("a")) is subject
    assert wrap(other) == ("wrapped", other)
    assert wrap(model) == ("wrapped", model)
    subject.loaded = True  # type: ignore[attr-defined]
    assert wrap(Settings("a")) is subject, "what was loaded since does not tell them apart"


def test_what_looks_into_the_subject_is_seen_at_any_depth() -> None:
    assert needs_subject({"_target_": "x", "subject": {"_target_": "y"}})
    assert needs_subject({"input": {"explainer": {"subject": {}}}})
    assert not needs_subject({"explainer": {"model": {"name": "subject"}}})
