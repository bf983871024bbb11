"""Every reader of foreign data on mutants of good data: it is read or refused, and nothing is run, sent or written.

``make fuzz`` tries thousands of mutants a reader; ``make test`` tries a few, the same ones each time.
"""

from __future__ import annotations

import copy
import json
import math
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.config import build, compose, outside
from harness.config.settings import RunSettings
from harness.leaderboard import entries
from harness.models import store
from harness.models.server import slots, wire
from harness.models.server.capabilities import Capabilities
from harness.models.store import Store
from harness.results import unit_view
from harness.results.run import SCHEMA_VERSION, Results, read_results, read_run, write_run
from harness.tasks import catalog, frozen, openai_format
from harness.typed_json import dump, to_json
from harness.types import (
    Completion,
    LevelReading,
    Message,
    NeuroglossError,
    Outcome,
    SlottedPrompt,
    Unit,
    Usage,
)
from tests.tasks.test_foreign import _record, frozen_task

__all__ = ["frozen_task"]

IS_LONG = settings.default is not None and settings.default.max_examples >= 1000
SEEDS = st.integers(0, 2**48)
ODD: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        -1,
        0,
        1,
        2**40,
        2**62,
        -(2**62),
        1.5,
        -0.0,
        1e308,
        "",
        "x" * 3000,
        "\x1b[2J",
        "\u202e",
        "\ud800",
    ),
    *(
        "${oc.env:HOME}",
        "../../etc/passwd",
        "/etc/passwd",
        "http://127.0.0.1:9/x",
        "L0N1",
        "L999999999N0",
        "nan",
        "1e999",
    ),
    *({"use": "os.system"}, {"_target_": "os.system", "command": "true"}, {"use": "model/server", "name": "x"}),
    *({"use": "tracker/jsonl", "file": "boom"}, {"use": "explainer/people", "path": "/etc/passwd"}),
    *([], {}, [[]], [None], {"": None}, [0] * 300),
)


def tries(many: int, few: int = 25) -> settings:
    """Settings of a property: the number of mutants in ``make fuzz``, and in ``make test``."""
    return settings(max_examples=many if IS_LONG else few)


# -------------------------------------------------------------------------------------------------- what may not happen

_FORBIDDEN = (
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "socket.connect", "socket.sendto"),
    *("pickle.find_class", "shutil.", "os.remove", "os.rename", "os.rmdir", "webbrowser.open"),
)
_watching: list[str] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    is_write = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if event.startswith(_FORBIDDEN) or (is_write and not str(arguments[0]).startswith(tempfile.gettempdir())):
        _watching.append(f"{event} {arguments}")


sys.addaudithook(_hook)


@contextmanager
def harmless() -> Iterator[None]:
    """Refuse, within the context, whatever runs, sends or writes something."""
    _watching[:] = ["watching"]
    try:
        yield
    finally:
        events = _watching[1:]
        _watching.clear()
    assert not events


def read_or_refused(read: Callable[[], object]) -> bool:
    """Return whether a reader reads; the only other end is one sentence that is fit for a terminal."""
    with harmless():
        try:
            read()
        except NeuroglossError as refusal:
            sentences = str(refusal).splitlines()
        else:
            return True
    assert len(sentences) == 1
    return False


# -------------------------------------------------------------------------------------------------------------- mutants


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def mutant(document: Any, seed: int) -> Any:
    """Return a document with one to three values replaced, removed, repeated or exchanged."""
    draw = random.Random(seed)
    changed = copy.deepcopy(document)
    for _ in range(draw.randint(1, 3)):
        choices = list(places(changed))
        if not choices:
            return changed
        *steps, key = draw.choice(choices)
        part = changed
        for step in steps:
            part = part[step]
        _mutate(part, key, draw)
    return changed


def _mutate(part: Any, key: Any, draw: random.Random) -> None:
    action = draw.randrange(5)
    if action == 0:
        del part[key]
    elif action == 1 and isinstance(part, dict):
        part[draw.choice(["${a}", "_target_", "use", "", "\x1b", "L0N1"])] = part.pop(key)
    elif action == 2 and isinstance(part, list):
        part.extend(part[: draw.randint(0, 3)])
    elif action == 3 and isinstance(part[key], int | float):
        part[key] = draw.choice([-1, 10]) * part[key]
    else:
        part[key] = copy.deepcopy(draw.choice(ODD))


def garbled(content: bytes, seed: int) -> bytes:
    """Return bytes of which a few are changed, left out or repeated."""
    draw, changed = random.Random(seed), bytearray(content)
    for _ in range(draw.randint(1, 4)):
        start = draw.randrange(len(changed) + 1)
        end = min(len(changed), start + draw.randint(0, 8))
        changed[start:end] = draw.choice(
            [b"", draw.randbytes(3), bytes(changed[start:end] * 2), b"[" * 200, b"9" * 400]
        )
    return bytes(changed)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


# -------------------------------------------------------------------------------------------------------------- readers


@pytest.fixture(scope="module")
def entry(make_results: Callable[..., Results]) -> dict[str, Any]:
    document: dict[str, Any] = {"schema_version": SCHEMA_VERSION, **to_json(entries.entry_of(make_results(), "0" * 64))}
    for row in document["rows"]:
        assert row["scored"]
    return document


@tries(10_000)
@given(seed=SEEDS)
def test_entries(seed: int, entry: dict[str, Any], place: Path) -> None:
    path = place / "mini-v1" / "0123456789abcdef.json"
    path.parent.mkdir(exist_ok=True)
    content = json.dumps(mutant(entry, seed)).encode()
    path.write_bytes(garbled(content, seed) if seed % 4 == 0 else content)
    read_or_refused(lambda: entries.validate(path))


@tries(2000)
@given(seed=SEEDS)
def test_results(seed: int, entry: dict[str, Any], place: Path) -> None:
    path = place / "results.json"
    path.write_bytes(json.dumps(mutant(entry, seed)).encode())
    read_or_refused(lambda: dump(to_json(read_results(path))))


@pytest.fixture(scope="module")
def run_folder(make_results: Callable[..., Results], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that somebody else has made; only its tables are changed."""
    return write_run(tmp_path_factory.mktemp("runs"), make_results(), "")


@tries(2000, few=15)
@given(seed=SEEDS)
def test_tables_of_runs(seed: int, run_folder: Path) -> None:
    draw = random.Random(seed)
    path = run_folder / f"{draw.choice(['explanations', 'scores', 'simulations'])}.parquet"
    content = path.read_bytes()
    table = pq.read_table(path)
    rows = mutant(table.to_pylist(), seed)
    with suppress(pa.ArrowException, TypeError, ValueError, OverflowError):  # what the columns cannot hold
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema if seed % 3 else None), path)
    if seed % 5 == 0:
        path.write_bytes(garbled(content, seed))
    try:
        read_or_refused(lambda: dump(to_json(read_run(run_folder))))
        read_or_refused(lambda: list(unit_view.read_all(run_folder)))
    finally:
        path.write_bytes(content)


@tries(5000)
@given(seed=SEEDS)
def test_records(seed: int, place: Path) -> None:
    document = json.loads(openai_format.dumped(_record(Unit("N", 0, 1))))
    path = place / "record.json"
    content = json.dumps(mutant(document, seed)).encode()
    path.write_bytes(garbled(content, seed) if seed % 4 == 0 else content)
    read_or_refused(lambda: openai_format.read([path]))


@tries(5000, few=15)
@given(seed=SEEDS)
def test_tasks(seed: int, frozen_task: Path, place: Path) -> None:
    folder = place / frozen_task.name
    if not folder.exists():
        shutil.copytree(frozen_task, folder)
    described = mutant(yaml.safe_load((frozen_task / "task.yaml").read_text()), seed)
    if isinstance(described, dict):
        with suppress(TypeError, ValueError):
            described["digest"] = frozen.digest(described)
    text = yaml.safe_dump(described, allow_unicode=False)
    (folder / "task.yaml").write_bytes(garbled(text.encode(), seed) if seed % 8 == 0 else text.encode())
    read_or_refused(lambda: catalog.read(folder))


CONFIG: dict[str, Any] = {
    "subject": {
        "use": "subject/transformers",
        "name": "embedded:smollm2-135m-instruct",
        "unit": {"use": "unit/neuron"},
    },
    "task": {"name": "smollm2-v2", "path": None, "controls": {}, "scores": {}},
    "units": {"limit": 2, "ids": ["L0N1"]},
    "explainer": {"max_activation": {"use": "explainer/max_activation", "tokens": 3}},
    "simulator": {"tuned": {"use": "simulator/tuned", "model": {"use": "model/tuned"}}},
    "scores": {"ablation": {"use": "scorer/ablation", "subject": {"use": "subject/transformers"}}},
    "board": {"resamples": 200},
    "seed": 0,
}


def _built(config: Mapping[str, Any]) -> None:
    """Check a recorded config as an audit does, and build what needs no weights."""
    run = compose.settings_from(RunSettings, config)
    outside.check(
        {"subject": run.subject, "simulator": run.simulator, "scores": run.scores}, "x", outside.Permission({})
    )
    for group, nodes in (("explainer", run.explainer), ("simulator", run.simulator), ("scorer", run.scores)):
        for name, node in nodes.items():
            build.check(node, name, group)
            build.assemble(node)


@tries(5000)
@given(seed=SEEDS)
def test_configs(seed: int) -> None:
    read_or_refused(lambda: _built(json.loads(json.dumps(mutant(CONFIG, seed)))))


def _reply() -> dict[str, Any]:
    top = [{"token": "5", "bytes": [53], "logprob": -0.7}, {"token": "3", "bytes": [51], "logprob": -1.2}]
    token = {"token": "5", "bytes": [53], "logprob": -0.7, "top_logprobs": top}
    choice = {"message": {"content": "5", "refusal": None}, "finish_reason": "stop", "logprobs": {"content": [token]}}
    echo = [None, {"7": {"logprob": -0.1, "decoded_token": "a"}, "8": {"logprob": -3.0, "decoded_token": "b"}}]
    return {
        "model": "tiny",
        "choices": [choice],
        "prompt_logprobs": echo,
        "usage": {"prompt_tokens": 7, "completion_tokens": 1},
    }


@tries(5000)
@given(seed=SEEDS)
def test_replies(seed: int) -> None:
    document = mutant(_reply(), seed)
    with harmless():
        try:
            answer = wire.answer(document, wire.CHAT if seed % 3 else wire.COMPLETIONS)
            found = slots.positions_of_lines(answer.positions or (), [""])
            reading = slots.reading(found, 10, answer.usage or Usage())
        except (wire.FailedAttempt, NeuroglossError):
            return
    assert all(sum(shares) <= 1.0 + 1e-9 or math.isnan(shares[0]) for shares in reading.probabilities)
    assert all(math.isnan(mass) or 0 <= mass <= slots.MOST_MASS for mass in reading.mass)


ONE_SLOT = SlottedPrompt((Message("user", "x"),), ("a\t",), "-", 2)


@tries(2000)
@given(seed=SEEDS)
def test_stores(seed: int) -> None:
    replies = {
        store.COMPLETIONS: Completion("text", Outcome.OK, Usage(1, 0, 3, 4)),
        store.LEVELS: LevelReading(((0.5, 0.5),), (0.9,), (2,)),
        store.CAPABILITIES: Capabilities(),
    }
    kind, reply = list(replies.items())[seed % 3]  # type: ignore[misc]
    with Store(":memory:") as kept:
        kept.put("key", json.dumps(mutant([kind.encode(reply)], seed)[:1] or [None])[1:-1])
        read_or_refused(lambda: store._stored_replies(kept, kind, {"key": ONE_SLOT}, store.Meter()))
