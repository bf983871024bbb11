"""Studies of made-up units, with explanations of made-up explainers: `make_study`, and `Browser`, which visits them."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from harness.config.settings import (
    CardSettings,
    IntruderSettings,
    ProlificSettings,
    RateSettings,
    SimulateSettings,
    StudySettings,
    TaskSettings,
)
from harness.humans import design
from harness.humans.design import Study
from harness.humans.keys import KeyFile, key_path
from harness.humans.store import StudyStore
from harness.humans.web import app, guard, pages
from harness.results.run import Results
from harness.results.vocabulary import TaskInfo
from harness.tasks.splits import deal
from harness.types import (
    Excerpt,
    ExcerptKind,
    Explanation,
    Identity,
    Moments,
    Record,
    Role,
    ScoredExplanation,
    Scores,
    Task,
    TokenSums,
    Unit,
    UnitRecord,
)

WORDS = ("harbour", "crate", "ferry", "Monday", "lamp", "letter", "rain", "school", "river", "bottle", "paper", "stove")
AUTHORS = ("summary · one", "summary · two", "max_activation", "shuffled")
TOKENS = 9


def unit_record(number: int) -> UnitRecord:
    """A unit that fires on one word, with 20 top and 15 random excerpts that all differ."""
    rng = np.random.default_rng(number)
    word = WORDS[number % len(WORDS)]

    def excerpt(kind: ExcerptKind, place: int) -> Excerpt:
        others = [f" {WORDS[index]}{number}{place}" for index in rng.integers(len(WORDS), size=TOKENS)]
        activations = np.zeros(TOKENS)
        if kind is ExcerptKind.TOP:
            hit = 2 + int(rng.integers(TOKENS - 2))
            others[hit], activations[hit] = f" {word}", 4.0 - place / 10
        return Excerpt(tuple(others), (), tuple(activations), kind, source=f"{number}:{place}", leading=1)

    return UnitRecord(
        Unit("N", number // 4, number),
        tuple(excerpt(ExcerptKind.TOP, place) for place in range(20)),
        tuple(excerpt(ExcerptKind.RANDOM, 20 + place) for place in range(15)),
        Moments(0, 0.1, 1.0, 0.0, 3.0, 0.1, 4.0),
        TokenSums((), np.zeros(0, dtype=np.int64), np.zeros(0)),
    )


def made_up_task(units: int) -> tuple[Task, list[Record]]:
    sources = tuple(map(unit_record, range(units)))
    task = Task("made-up-v1", "d" * 64, Identity("org/subject", "r1"), sources, TOKENS, 1)
    return task, list(map(deal, sources))


def explained(make_results: Callable[..., Results], units: tuple[Unit, ...], digest: str = "d" * 64) -> Results:
    """Results of a run in which each author explains each unit in words of its own; the last in another unit's."""

    def scored(author: str, place: int, unit: Unit) -> ScoredExplanation:
        word = WORDS[(place + (author == "shuffled")) % len(WORDS)]
        return ScoredExplanation(
            Explanation(unit, f"{word}, in wording {AUTHORS.index(author)}"),
            "s",
            (),
            None,
            Scores({"correlation": 0.1 * place}),
        )

    rows = {
        author: (Role.EXPLAINER, [scored(author, place, unit) for place, unit in enumerate(units)])
        for author in AUTHORS
    }
    return make_results(rows, task=TaskInfo("made-up-v1", digest, len(units), units))


@pytest.fixture(scope="session")
def make_study(make_results: Callable[..., Results]) -> Callable[..., Study]:
    """Makes a study of a mode; the rest of its settings can be named."""

    def make(mode: str, units: int = 6, **changes: Any) -> Study:
        task, records = made_up_task(units)
        reads = mode in design.READING
        results = explained(make_results, tuple(record.unit for record in records)) if reads else None
        card = CardSettings(
            "Title of the study", "You agree to this.\n\nAnd to that.", "9 pounds", "IRB 1", "ask@here", 7
        )
        fields: dict[str, Any] = {
            "card": card,
            "rate": RateSettings(known=1, repeats=1),
            "simulate": SimulateSettings(1),
            "intruder": IntruderSettings(),
            "people": 2,
            "prolific": ProlificSettings(),
        }
        settings = StudySettings(mode=mode, task=TaskSettings("made-up-v1"), **{**fields, **changes})
        return design.build(settings, task, records, results)

    return make


class Browser:
    """Somebody who visits a study: follows links, and sends the forms of the page that was read last."""

    def __init__(self, server: app.Server, hosts: tuple[str, ...] = guard.LOOPBACK, address: str = "ada") -> None:
        self.server = server
        self.client = TestClient(app.app(server, hosts), base_url="http://127.0.0.1", client=(address, 1))
        self.page = ""
        self.status = 0

    def get(self, place: str) -> str:
        reply = self.client.get(place)
        self.page, self.status = reply.text, reply.status_code
        return self.page

    def post(self, place: str, /, **fields: str) -> str:
        """Send the hidden fields of the page with others; a field that is empty is left out."""
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', self.page))
        data = {name: html.unescape(value) for name, value in {**hidden, **fields}.items() if value}
        reply = self.client.post(place, data=data)
        self.page, self.status = reply.text, reply.status_code
        return self.page

    def begin(self, **fields: str) -> str:
        self.get("/")
        return self.post("/begin", agree="yes", **fields)

    def understand(self) -> str:
        checks = pages.instructions(self.server.study.mode)["check"]
        return self.post("/check", **{f"check{place}": str(item["correct"]) for place, item in enumerate(checks)})

    @property
    def assignment(self) -> str:
        return re.findall(r'data-assignment="(\w+)"', self.page)[0]


@pytest.fixture
def make_server(make_study: Callable[..., Study], tmp_path: Path) -> Iterator[Callable[..., app.Server]]:
    """Makes the server of a study in a new file, or in the one of an earlier server."""
    opened: list[Any] = []

    def make(mode: str, *, public: bool = False, path: Path | None = None, **settings: Any) -> app.Server:
        study = make_study(mode, **settings)
        path = path or tmp_path / f"{mode}.sqlite"
        store = StudyStore(path)
        store.prepare(study.identity, {}, study.slots)
        keys = KeyFile(key_path(path)) if study.settings.prolific.code else None
        opened.extend(item for item in (store, keys) if item is not None)
        return app.Server(study, store, keys, public)

    yield make
    for item in opened:
        item.close()
