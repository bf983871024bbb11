"""Runs of a few made-up units, their datasets, and a hub on loopback to publish them to."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.config.settings import PublishSettings
from harness.results.run import Results, write_run
from harness.results.vocabulary import ExplainerInfo, TaskInfo
from harness.share import dataset
from harness.types import (
    Calibration,
    Excerpt,
    ExcerptKind,
    Explanation,
    Identity,
    Moments,
    Outcome,
    Record,
    Role,
    RowKey,
    ScoredExplanation,
    Scores,
    SimulatedExcerpt,
    Simulation,
    SimulatorInfo,
    Splits,
    TokenSums,
    Unit,
    UnitRecord,
)
from tests.share.hub import TOKEN, Hub

Make = Callable[..., Results]
UNITS = (Unit("N", 0, 7), Unit("N", 29, 1535))
SMALL = Identity("HuggingFaceTB/SmolLM2-135M-Instruct", "0123abcd", transport="prompt")
SIMULATOR = SimulatorInfo("all_at_once", SMALL, "prompt", 11, "all-at-once-v1")
TOKENS = (" tea", "\n", "\ufffd", "日本", "a|b", "\t\r", "", "\ud800")
TASK = TaskInfo("tiny-v1", "feedface" * 8, 2, UNITS)
HUB = PublishSettings(to="hub", repo_id="someone/some-set")


def scored(text: str, annotator: str = "", unit: Unit = UNITS[0]) -> ScoredExplanation:
    """An explanation, one excerpt that it simulates but for a token, and one that failed."""
    real = tuple(0.5 * i - 1 for i in range(len(TOKENS)))
    expected = (math.nan, *(float(i) for i in range(1, len(TOKENS))))
    excerpt = Excerpt(TOKENS, (), real, ExcerptKind.RANDOM, weight=2.5, source="doc 1:0", leading=1)
    empty = Excerpt((), (), (), ExcerptKind.TOP)
    explanation = Explanation(unit, text, prompt_version="pairs-v1" * bool(text), annotator=annotator)
    simulated = (
        SimulatedExcerpt("valid", excerpt, Simulation(expected, mass=(0.5,) * len(TOKENS)), (math.nan, *real[1:])),
        SimulatedExcerpt("calibration", empty, Simulation((), outcome=Outcome.FAILED), ()),
    )
    scores = Scores(
        {"correlation": 0.25, "abs_dev": -3.5}, degenerate=("correlation",), missing={"ablation": "no, 0/0"}
    )
    return ScoredExplanation(explanation, "", simulated, Calibration(1.5, -0.25), scores)


def table(value: float | None = None) -> ScoredExplanation:
    """A table of tokens in the place of words."""
    explanation = Explanation(UNITS[1], table={" tea": 1.5, "\ufffd": -0.5}, default=0.125)
    scores = (
        Scores({}, missing={"correlation": "nothing to score"}) if value is None else Scores({"correlation": value})
    )
    return ScoredExplanation(explanation, "", (), None, scores)


@pytest.fixture(scope="session")
def make(make_results: Make) -> Make:
    """Makes results of two units: a method that asks a small model, and a lookup."""

    def results(rows: Mapping[str | RowKey, Any] | None = None, **changes: Any) -> Results:
        usual = {
            "summary · smollm2": (Role.EXPLAINER, (scored(" words\nabout “tea” | \ufffd"),)),
            RowKey("lookup", "lookup"): (Role.CEILING, (table(),)),
        }
        fields = {
            "run_id": "tiny-v1-0123456789ab",
            "task": TASK,
            "subject": SMALL,
            "simulators": (SIMULATOR,),
            "explainers": (
                ExplainerInfo("summary · smollm2", "summary", "smollm2", Role.EXPLAINER, SMALL, "pairs-v1"),
                ExplainerInfo("lookup", "lookup", "", Role.CEILING),
            ),
            "config": {"seed": 0, "model": {"api_key_env": "OPENAI_API_KEY"}},
            "provenance": {"neurogloss": "0.1.0", "git": {"commit": "c0ffee", "dirty": True}, "overrides": []},
        }
        return make_results(usual if rows is None else rows, **{**fields, **changes})

    return results


@pytest.fixture(scope="session")
def results(make: Make) -> Results:
    return make()


def record(unit: Unit, number: int = 0) -> Record:
    """A unit with an excerpt in each split, one by quantile, and moments of which one is unknown."""
    kinds = (ExcerptKind.TOP, ExcerptKind.TOP, ExcerptKind.RANDOM, ExcerptKind.HARD, ExcerptKind.QUANTILE)
    excerpts = [
        Excerpt((" tea", f"{number}", kind.value), (5, 6, place), (0.5, float(np.float32(0.1)), -place), kind,
                weight=1.5, source=f"doc {place}:0", leading=place % 2)
        for place, kind in enumerate(kinds)
    ]  # fmt: skip
    moments = Moments(1000, 0.25, 2.0, math.nan, 3.5, 0.125, 9.0)
    sums = TokenSums((), np.zeros(0, dtype=np.int64), np.zeros(0))
    source = UnitRecord(unit, (excerpts[0],), (excerpts[2],), moments, sums, ((excerpts[4],),), (0.5, 0.9))
    return Record(unit, Splits(*((excerpt,) for excerpt in excerpts[:4])), (), sums, 0.25, 0.25, source=source)


RECORDS: Sequence[Record] = tuple(map(record, UNITS, range(len(UNITS))))


def written(
    results: Results, root: Path, settings: PublishSettings | None = None, records: Sequence[Record] = RECORDS
) -> Path:
    """The folder of a run with its dataset, as a run writes it."""
    writer = partial(dataset.write_dataset, results, records, settings or PublishSettings())
    return write_run(root, results, "board", [writer])


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """``datasets.load_dataset`` with a cache of its own, cut off from the hub."""
    import datasets

    cache = tmp_path_factory.mktemp("cache")

    def load(folder: Path, subset: str | None = None) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
            patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
            return datasets.load_dataset(str(folder), subset, cache_dir=str(cache))

    return load


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes ``huggingface_hub`` and ``datasets`` in this process take an address for the hub's, as HF_ENDPOINT does."""
    import datasets

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)  # between tries
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # its storage speaks another protocol

    def point(url: str) -> None:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
        template = url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", url)

    return point
