"""Released records are fetched whole from a server that misbehaves, checked against what they were, and frozen."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.collect import released as released_module
from harness.collect.released import Released, digest_of
from harness.models.server.pace import Backoff
from harness.tasks import units as tasks
from harness.types import NeuroglossError
from tests.jobs.test_collection import command, printed
from tests.tasks.test_openai_format import example

NEURONS = ["L0N7", "L1N7", "L2N7"]
FAST = Backoff(first=0.001, most=0.001)


class Publisher(ThreadingHTTPServer):
    """Serves records; ``faults`` holds, for each path, what goes wrong with the next requests for it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {f"/data/{layer}/7.json": json.dumps(example(layer)).encode() for layer in range(3)}
        self.faults: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.agents: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/data"


class Handler(BaseHTTPRequestHandler):
    server: Publisher

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.agents.add(self.headers["user-agent"])
        faults = self.server.faults.get(self.path, [])
        fault = faults.pop(0) if faults else None
        body = self.server.files.get(self.path)
        if body is None or fault in ("503", "302"):
            self.send_response(404 if body is None else int(fault or 503))
            self.send_header("retry-after", "0.01")
            self.send_header("location", "/data/1/7.json")
            self.send_header("content-length", "0")
            self.end_headers()
            return
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.send_header("content-md5", base64.b64encode(digest).decode())
        self.end_headers()
        self.wfile.write(body[:100] if fault == "drop" else body.replace(b"0.5", b"0.7") if fault == "bytes" else body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with Publisher() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def digests(publisher: Publisher) -> dict[str, str]:
    return {
        name.removeprefix("/data/"): hashlib.sha256(content or b"").hexdigest()
        for name, content in publisher.files.items()
    }


def released(publisher: Publisher, attempts: int = 4, digest: str | None = "") -> Released:
    digest = digest_of(digests(publisher)) if digest == "" else digest
    return Released(publisher.url, "gpt2-xl", NEURONS, pause=0.0, attempts=attempts, digest=digest)


def fetch(made: Released, folder: Path) -> list[Path]:
    return made.fetch(folder / "files", folder / "lock", lambda *_: None, FAST)


def test_files_come_whole_whatever_goes_wrong_meanwhile(publisher: Publisher, tmp_path: Path) -> None:
    publisher.faults = {"/data/0/7.json": ["503", "drop", "bytes"], "/data/2/7.json": ["drop"]}
    paths = fetch(released(publisher), tmp_path)
    assert [path.read_bytes() for path in paths] == list(publisher.files.values())
    assert [publisher.asked.count(name) for name in publisher.files] == [4, 1, 2]
    assert all(agent.startswith("neurogloss") for agent in publisher.agents)
    assert json.loads((tmp_path / "lock").read_text()) == digests(publisher)


def test_a_first_download_is_not_trusted_before_its_digest_is_repeated(publisher: Publisher, tmp_path: Path) -> None:
    digest = digest_of(digests(publisher))
    for _ in range(2):
        with pytest.raises(NeuroglossError, match=rf"3 files .* for the first time.*add .*released\.digest={digest}"):
            fetch(released(publisher, digest=None), tmp_path)
        assert not (tmp_path / "lock").exists()
    assert len(publisher.asked) == 3, "what has come is kept"
    with pytest.raises(NeuroglossError, match=f"have the digest {digest} together, and released.digest is 0000"):
        fetch(released(publisher, digest="0" * 64), tmp_path)
    assert not (tmp_path / "lock").exists()
    assert len(fetch(released(publisher), tmp_path)) == 3
    assert len(fetch(released(publisher, digest=None), tmp_path)) == 3, "the lock file vouches for them from now on"
    assert len(publisher.asked) == 3


def test_a_file_that_was_changed_here_before_it_was_confirmed_is_fetched_or_refused(
    publisher: Publisher, tmp_path: Path
) -> None:
    with pytest.raises(NeuroglossError):
        fetch(released(publisher, digest=None), tmp_path)
    first, second, _ = (tmp_path / "files" / str(layer) / "7.json" for layer in range(3))
    first.write_text("no record")
    assert len(fetch(released(publisher), tmp_path)) == 3
    (tmp_path / "lock").unlink()
    second.write_bytes(second.read_bytes() + b" ")
    with pytest.raises(NeuroglossError, match=f"remove {tmp_path / 'files'} to fetch them again"):
        fetch(released(publisher), tmp_path)


def test_no_redirect_is_followed_and_no_file_without_end_is_read(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.faults = {"/data/0/7.json": ["302"]}
    with pytest.raises(NeuroglossError, match=r"answers with status 302; check released\.url"):
        fetch(released(publisher), tmp_path)
    monkeypatch.setattr(released_module.reading, "MOST_BYTES", 100)
    with pytest.raises(NeuroglossError, match=r"has more than 100 bytes; check released\.url"):
        fetch(released(publisher), tmp_path)


@pytest.mark.parametrize(
    ("fault", "reason"), [("503", "status 503"), ("drop", "peer closed"), ("bytes", "do not have the digest")]
)
def test_a_file_that_never_comes_ends_the_download_and_the_next_one_goes_on(
    publisher: Publisher, tmp_path: Path, fault: str, reason: str
) -> None:
    publisher.faults = {"/data/1/7.json": [fault] * 4}
    with pytest.raises(NeuroglossError, match=f"1/7.json did not come in 4 attempts .*{reason}.* run the same command"):
        fetch(released(publisher), tmp_path)
    publisher.asked.clear()
    assert len(fetch(released(publisher), tmp_path)) == 3
    assert publisher.asked == ["/data/1/7.json", "/data/2/7.json"]
    fetch(released(publisher), tmp_path)
    assert len(publisher.asked) == 2


def test_what_has_changed_since_the_first_download_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    paths = fetch(released(publisher), tmp_path)
    paths[1].write_bytes(b"damaged here")
    fetch(released(publisher), tmp_path)
    assert paths[1].read_bytes() == publisher.files["/data/1/7.json"]
    paths[1].unlink()
    publisher.files["/data/1/7.json"] += b" "
    with pytest.raises(NeuroglossError, match="is not what it was when its digest was written into the lock file"):
        fetch(released(publisher), tmp_path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "status 404"),
        (b"<html>", "holds no neuron record"),
        (json.dumps(example(9)).encode(), "holds neuron L9N7"),
    ],
)
def test_what_is_no_such_record_is_not_asked_for_again(
    publisher: Publisher, tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    publisher.files["/data/0/7.json"] = content  # type: ignore[assignment]
    with pytest.raises(NeuroglossError, match=f"/data/0/7.json .*{sentence}"):
        fetch(released(publisher), tmp_path)
    assert publisher.asked == ["/data/0/7.json"]
    assert not (tmp_path / "lock").exists()


def test_a_server_that_is_not_there_or_asks_for_too_long_a_wait_is_left(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(released_module, "PATIENCE", 0.0)
    publisher.faults = {"/data/0/7.json": ["503"]}
    with pytest.raises(NeuroglossError, match="asks to wait"):
        fetch(released(publisher), tmp_path)
    monkeypatch.undo()
    gone = Released("http://127.0.0.1:9/data", "gpt2-xl", NEURONS, attempts=2)
    with pytest.raises(NeuroglossError, match="did not come in 2 attempts"):
        fetch(gone, tmp_path)


def test_a_damaged_lock_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("[]")
    with pytest.raises(NeuroglossError, match="is no file of digests"):
        fetch(released(publisher), tmp_path)


def test_the_recipe_freezes_a_task(publisher: Publisher, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = (f"released.url={publisher.url}", f"released.neurons=[{','.join(NEURONS)}]", "released.pause=0")
    own += (f"released.digest={digest_of(digests(publisher))}",)
    asked = ("collect", "recipe=gpt2-xl-released-v1", f"output={tmp_path}", *own)
    publisher.faults = {"/data/2/7.json": ["503"]}
    assert command(*asked) == 0, printed(capsys)
    assert "10 random excerpts, not 15: calibration, valid and test get 3 each" in printed(capsys)
    task = tasks.read_task(tmp_path / "gpt2-xl-released-v1")
    assert [str(record.unit) for record in task.records] == NEURONS
    assert task.subject.name == "openai-community/gpt2-xl"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gpt2-xl-released-v1", "gpt2-xl-released-v1.lock"]
