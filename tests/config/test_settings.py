from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest

from harness.config import settings
from harness.config.compose import SCHEMAS, composed, plain, settings_from
from harness.config.settings import (
    AuditSettings,
    CollectSettings,
    LabelSettings,
    RunSettings,
    TuneSettings,
    UnitSettings,
)
from harness.types import CalibrationMethod, NeuroglossError

KINDS: list[Any] = [
    kind for _, kind in inspect.getmembers(settings, inspect.isclass) if kind.__module__ == settings.__name__
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_settings_are_frozen_and_their_fields_described(kind: Any) -> None:
    assert kind.__dataclass_params__.frozen
    missing = [item.name for item in dataclasses.fields(kind) if f"{item.name}:" not in inspect.getdoc(kind)]
    assert not missing


@pytest.mark.parametrize(
    ("override", "answer"),
    [
        ("seed=-1", "seed is -1; write 0 or more."),
        ("seed=9223372036854775808", "seed is 9223372036854775808; write 9223372036854775807 or less."),
        ("task.minimum_count=0", "task.minimum_count is 0; write 1 or more."),
        ("task.limit=0", "task.limit is 0; write 1 or more."),
        ("units.limit=0", "units.limit is 0; write 1 or more."),
        ("calibration.method=cubic", "calibration.method is 'cubic'; write one of linear, percentile, isotonic."),
        ("calibration.top=-1", "calibration.top is -1; write 0 or more."),
        ("calibration.random=-1", "calibration.random is -1; write 0 or more."),
        ("board.resamples=99", "board.resamples is 99; write 100 or more."),
        ("board.minimum_coverage=1.1", "board.minimum_coverage is 1.1; write a number from 0 to 1."),
        ("board.minimum_coverage=nan", "board.minimum_coverage is nan; write a number from 0 to 1."),
        ("asking.candidates=0", "asking.candidates is 0; write 1 or more."),
        ("asking.temperature=-1", "asking.temperature is -1.0; write 0 or more."),
        ("asking.temperature=inf", "asking.temperature is inf; write 0 or more."),
        ("asking.candidates=2", "asking.candidates is 2 at asking.temperature 0"),
        ("budget.usd=-1", "budget.usd is -1.0; write 0 or more."),
        ("budget.usd=nan", "budget.usd is nan; write 0 or more."),
        ("budget.tokens=0", "budget.tokens is 0; write 1 or more."),
        ("publish.to=nowhere", "publish.to is 'nowhere'; write publish=none, publish=local or publish=hub."),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_key(override: str, answer: str) -> None:
    with pytest.raises(NeuroglossError) as refusal:
        settings_from(RunSettings, _values(override))
    assert answer in str(refusal.value)


@pytest.mark.parametrize(
    "override",
    [
        "seed=0",
        "task.limit=1",
        "units.limit=1",
        "calibration.top=0",
        "board.minimum_coverage=0",
        "board.minimum_coverage=1",
        "board.resamples=100",
        "budget.usd=0",
        "budget.tokens=1",
        *[f"calibration.method={method.value}" for method in CalibrationMethod],
    ],
)
def test_the_bounds_themselves_are_taken(override: str) -> None:
    settings_from(RunSettings, _values(override))


def _values(override: str) -> dict[str, Any]:
    """The values of an override, with its numbers as the schema makes them."""
    key, _, value = override.partition("=")
    section, _, name = key.rpartition(".")
    try:
        number: Any = float(value)
    except ValueError:
        number = value
    if key in ("board.minimum_coverage", "asking.temperature", "budget.usd") or isinstance(number, str):
        return {section: {name: number}}
    return {section: {name: int(value)}} if section else {name: int(value)}


def test_calibration_needs_an_excerpt() -> None:
    with pytest.raises(NeuroglossError, match=r"calibration\.top and calibration\.random are 0"):
        settings.CalibrationSettings(top=0, random=0)


@pytest.mark.parametrize(
    ("kind", "values", "key"),
    [
        (LabelSettings, {"level": 0}, "labels.level"),
        (LabelSettings, {"level": 11}, "labels.level"),
        (LabelSettings, {"draws": 0}, "labels.draws"),
        (LabelSettings, {"ablation_draws": -1}, "labels.ablation_draws"),
        (LabelSettings, {"least_drop": -0.1}, "labels.least_drop"),
        (LabelSettings, {"seed": -1}, "labels.seed"),
        (AuditSettings, {"nulls": 0}, "nulls"),
        (AuditSettings, {"repeats": 0}, "repeats"),
        (AuditSettings, {"seed": -1}, "seed"),
        (CollectSettings, {"worker": 1}, "worker"),
        (CollectSettings, {"worker": -1}, "worker"),
        (CollectSettings, {"workers": 0}, "workers"),
        (CollectSettings, {"save_every": 0}, "save_every"),
        (CollectSettings, {"seed": -1}, "seed"),
        (TuneSettings, {"threads": 0}, "threads"),
        (TuneSettings, {"seed": -1}, "seed"),
    ],
)
def test_other_settings_have_bounds_too(kind: Any, values: dict[str, Any], key: str) -> None:
    kind()
    with pytest.raises(NeuroglossError, match=rf"^{key} is {next(iter(values.values()))}; write "):
        kind(**values)


@pytest.mark.parametrize("key", ["output", "store"])
def test_no_run_is_written_where_nothing_is_named(key: str) -> None:
    with pytest.raises(NeuroglossError, match=f"^{key}= names nothing; write {key}=NAME, or leave it out"):
        RunSettings(**{key: ""})


def test_a_unit_is_named_once() -> None:
    assert UnitSettings(ids=["L0N1", "L0N2"]).ids == ["L0N1", "L0N2"]
    with pytest.raises(NeuroglossError, match=r"^units\.ids names L0N1 2 times; write it once"):
        UnitSettings(ids=["L0N1", "L0N2", "L0N1"])


@pytest.mark.parametrize("name", ["run", "collect", "audit", "tune"])
def test_settings_come_out_as_they_went_in(name: str) -> None:
    values = plain(composed(name, ["name=mine-v1"] if name == "collect" else []))
    chosen_settings = settings_from(SCHEMAS[name], values)
    assert isinstance(chosen_settings, SCHEMAS[name])
    assert dataclasses.asdict(chosen_settings) == values


def test_overrides_reach_the_settings() -> None:
    overrides = ["units.places=[1,2]", "scores=[panel]", "budget.usd=2", "units.ids=[L0N3]"]
    chosen_settings: RunSettings = settings_from(RunSettings, plain(composed("run", overrides)))
    assert chosen_settings.units == settings.UnitSettings(places=[1, 2], ids=["L0N3"], limit=12)
    assert list(chosen_settings.scores) == ["panel"]
    assert chosen_settings.budget.usd == 2.0
    assert chosen_settings.store == "runs/store.sqlite"


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        ({"foo": 1}, "there is no config key foo; there are: asking"),
        ({"task": {"nam": "x"}}, "there is no config key task.nam; did you mean task.name?"),
    ],
)
def test_a_key_that_hydra_lets_slip_in_is_refused(values: dict[str, Any], answer: str) -> None:
    with pytest.raises(NeuroglossError) as refusal:
        settings_from(RunSettings, values)
    assert answer in str(refusal.value)
