"""Texts that a subject reads for a scorer: after what, how far, and from the store the second time."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config import build
from harness.config.compose import composed, plain, settings_from
from harness.config.settings import RunSettings
from harness.jobs.estimate import Counting
from harness.jobs.run import read_records
from harness.jobs.tools import Remembering, StoredSubject, build_tools
from harness.models.backend import StoredModel
from harness.models.keyed import KeyedModel
from harness.models.meter import Meter
from harness.models.planned import Tally
from harness.models.store import Store
from harness.scorers.generated import Generated, TextReading
from harness.scorers.writers.prompted import PromptedWriter
from harness.scorers.writers.template import TemplateWriter
from harness.subjects.transformers_subject import TransformersSubject
from harness.types import NeuroglossError, Unit

UNIT, OTHER = Unit("N", 1, 2), Unit("N", 0, 3)
TEXT = "The boats and the crates"


def reading(unit: Unit = UNIT, text: str = TEXT, opening: tuple[int, ...] = (), tokens: int = 64) -> TextReading:
    return TextReading(unit, text, opening, leading=1, tokens=tokens)


def test_a_text_is_read_after_its_opening_or_a_line_end_and_only_so_far(tiny_llama: Path, tmp_path: Path) -> None:
    subject = TransformersSubject(str(tiny_llama))
    asked = StoredSubject(subject, Store(tmp_path / "store"), Meter())
    ids, line_end = subject.encode(TEXT), subject.encode("\n")
    readings = [reading(), reading(opening=(7, 8)), reading(tokens=3), reading(OTHER)]
    after_line, after_opening, short, other = asked.activations_of(readings)
    assert after_line == tuple(subject.activations(UNIT, [line_end + ids])[0][1:])
    assert after_opening == tuple(subject.activations(UNIT, [(7, 8, *ids)])[0][2:])
    assert short == pytest.approx(after_line[:3], abs=1e-5)
    assert other == tuple(subject.activations(OTHER, [line_end + ids])[0][1:])
    assert len({after_line, after_opening, other}) == 3


def test_what_was_read_is_not_read_again(tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = [reading(), reading(OTHER), reading()]
    with Store(tmp_path / "store") as store:
        first = StoredSubject(TransformersSubject(str(tiny_llama)), store, Meter()).activations_of(readings)
        monkeypatch.setattr(TransformersSubject, "activations", None)
        again = StoredSubject(TransformersSubject(str(tiny_llama)), store, Meter()).activations_of(readings)
    assert again == first
    assert first[0] == first[2]


def test_a_subject_whose_tokenizer_cannot_be_used_is_refused_in_one_sentence(tiny_llama: Path, tmp_path: Path) -> None:
    class Closed:
        identity = TransformersSubject(str(tiny_llama)).identity

    asked = StoredSubject(Closed(), Store(tmp_path / "store"), Meter())  # type: ignore[arg-type]
    with pytest.raises(NeuroglossError, match=r"^the tokenizer of .* cannot be used, so it reads no texts; leave gen"):
        asked.activations_of([reading()])


def test_a_plan_counts_the_writers_requests_and_does_not_ask_the_subject(
    tiny_task: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    settings = settings_of(tiny_task, tiny_llama, "writer@scores.generated.writer=prompted")
    task, records = read_records(settings)
    with Store(tmp_path / "store") as store:
        tools = build_tools(settings, task.subject, records, Counting(Tally(store)))  # type: ignore[union-attr]
    scorer = tools.tools.scorers["generated"]
    assert isinstance(scorer, Generated)
    assert scorer.subject.activations_of([reading()]) == []


def settings_of(task: Path, subject: Path, *overrides: str) -> RunSettings:
    words = [
        *(f"task.path={task}", "subject=transformers", f"subject.name={subject}", "scores=[generated]"),
        *("explainer=[max_activation]", "simulator=[token_overlap]", *overrides),
    ]
    settings: RunSettings = settings_from(RunSettings, plain(composed("run", words)))
    return settings


def test_the_writer_is_chosen_by_its_option_and_its_model_is_asked_by_way_of_the_store(
    tiny_task: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    with Store(tmp_path / "store") as store:
        scorers = []
        for overrides in ((), ("writer@scores.generated.writer=prompted", "model@scores.generated.writer.model=fake")):
            settings = settings_of(tiny_task, tiny_llama, *overrides)
            task, records = read_records(settings)
            tools = build_tools(settings, task.subject, records, Remembering(store, Meter()))  # type: ignore[union-attr]
            scorers.append(tools.tools.scorers["generated"])
        template, prompted = scorers
        assert isinstance(template, Generated)
        assert isinstance(template.writer, TemplateWriter)
        assert isinstance(template.subject, StoredSubject)
        assert isinstance(prompted, Generated)
        assert isinstance(prompted.writer, PromptedWriter)
        assert isinstance(prompted.writer.model, KeyedModel)
        assert isinstance(prompted.writer.model.model, StoredModel)
        assert template.describe().prompt_version != prompted.describe().prompt_version


def test_what_is_no_writer_is_refused_by_its_key(tiny_task: Path, tiny_llama: Path) -> None:
    settings = settings_of(tiny_task, tiny_llama, "scores.generated.writer.use=scorer/panel")
    with pytest.raises(NeuroglossError, match=r"^scores\.generated\.writer\.use is 'scorer/panel', which is no writer"):
        build.check(settings.scores["generated"], "scores.generated")
