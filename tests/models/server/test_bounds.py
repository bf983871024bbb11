"""What a server may not do: lead elsewhere, answer without end, answer for another model or with what cannot be."""

from __future__ import annotations

import gzip
import logging
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from harness.models.backend import StoredModel
from harness.models.meter import Meter
from harness.models.server import bounds, model, wire
from harness.models.server.model import ServerModel
from harness.models.server.pace import Backoff
from harness.models.store import Store
from harness.types import CompletionPrompt, Message, NeuroglossError, Outcome, SlottedPrompt

QUESTION = CompletionPrompt((Message("user", "question"),), 8)
SLOTS = SlottedPrompt((Message("user", "question"),), ("a\t",), "-", 10, "v1")


def server(url: str, **settings: Any) -> ServerModel:
    built = ServerModel("tiny", base_url=url, **{"attempts": 2, **settings})
    built.rules = replace(built.rules, backoff=Backoff(0.0, 0.0))
    return built


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 300])
def test_no_prompt_follows_a_redirect(status: int, loopback: Any, act: Any, chat: Any) -> None:
    elsewhere = f"{loopback.url}/elsewhere"

    def script(path: str, body: dict[str, Any]) -> Any:
        return act(chat("stolen")) if "elsewhere" in path else act({}, status, {"location": elsewhere})

    loopback.script = script
    with pytest.raises(NeuroglossError, match=rf"answers with a redirect \(status {status}, to http.*model\.base_url"):
        list(server(loopback.url).complete([QUESTION]))
    assert [path for path, _ in loopback.asked] == ["/chat/completions"]


def test_a_reply_without_end_is_cut(loopback: Any, act: Any, chat: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MOST_BYTES", 10_000)
    loopback.script = lambda path, body: act(chat("x" * 20_000))
    with pytest.raises(NeuroglossError, match="a reply of more than 10,000 bytes"):
        list(server(loopback.url).complete([QUESTION]))


def test_a_compressed_reply_is_not_asked_for_and_not_unpacked(loopback: Any, act: Any) -> None:
    bomb = gzip.compress(b"[" + b" " * 50_000_000 + b"]")
    loopback.script = lambda path, body: act(bomb, 200, {"content-encoding": "gzip"})
    with pytest.raises(NeuroglossError, match="a compressed reply, which was not asked for"):
        list(server(loopback.url).complete([QUESTION]))


def test_a_server_cannot_make_a_run_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    for stated, seconds in (("1e9", 600.0), ("601", 600.0), ("599", 599.0)):
        failure = wire.trouble(429, {"retry-after": stated}.get, {}, "tiny at x")
        assert isinstance(failure, wire.FailedAttempt)
        assert failure.retry_after == seconds
    assert Counter(record.message for record in caplog.records) == {
        "tiny at x asks to wait 1e+09 s; the next attempt is made after 600 s.": 1,
        "tiny at x asks to wait 601 s; the next attempt is made after 600 s.": 1,
    }


def test_probabilities_that_add_up_to_too_much_are_never_stored(loopback: Any, act: Any, chat: Any) -> None:
    certain = {str(level): 1.0 for level in range(10)}
    loopback.script = lambda path, body: act(chat("5", [("5", certain)]))
    backend = server(loopback.url)
    backend._capabilities = model.Capabilities(11)
    with Store(":memory:") as store:
        (reading,) = StoredModel(backend, store, Meter()).read_levels([SLOTS])
        stored = [text for _, text in store.get_many(store)]
    assert reading.outcome is Outcome.FAILED
    assert not any("probabilities" in text for text in stored)
    assert len(loopback.asked) >= 2


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o", "gpt-4o-2024-08-06"),
        ("gpt-4-0613", "gpt-4"),
        ("openai/gpt-4o", "gpt-4o"),
        ("gpt-4o", "openai/gpt-4o"),
        ("llama3:latest", "llama3"),
        ("claude-3-5-sonnet-20241022", "claude-3-5-sonnet-latest"),
        ("mistral-small-2503", "mistral-small-latest"),
        ("/models/SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct"),
        ("C:\\models\\tiny.gguf", "tiny"),
        ("tiny@0a1b2c3d", "tiny"),
        ("Tiny", "tiny"),
    ],
)
def test_another_spelling_of_a_name(actual: str, expected: str) -> None:
    assert bounds.is_name_of(actual, expected)


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        ("gpt-4o-mini", "gpt-4o"),
        ("gpt-4o", "gpt-4o-mini"),
        ("gpt-4", "gpt-4o"),
        ("tiny", "tiny-chat"),
        ("other", "tiny"),
        ("llama-3-70b", "llama-3-7"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-08-06"),
        ("mistral-large-2503", "mistral-small-latest"),
        ("x/tiny-evil", "x/tiny"),
        ("tinyx", "tiny"),
    ],
)
def test_the_name_of_another_model(actual: str, expected: str, loopback: Any, act: Any, chat: Any) -> None:
    assert not bounds.is_name_of(actual, expected)
    if expected == "tiny":
        loopback.script = lambda path, body: act(chat("hello", model=actual))
        with pytest.raises(NeuroglossError, match=r"replies of the model .* set model\.answers_as"):
            list(server(loopback.url).complete([QUESTION]))


def test_no_reply_or_error_of_a_server_holds_a_key(
    loopback: Any, act: Any, chat: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_MINE", "not-of-any-shape")
    loopback.script = lambda path, body: act(chat("your key is not-of-any-shape"))
    ((_, completion),) = server(loopback.url, api_key_env="OF_MINE").complete([QUESTION])
    assert completion.text == "your key is [OF_MINE]"
    loopback.script = lambda path, body: act({"error": {"message": "bad key not-of-any-shape \x1b[2J"}}, 401)
    with pytest.raises(NeuroglossError) as refusal:
        list(server(loopback.url, api_key_env="OF_MINE").complete([QUESTION]))
    assert "bad key [OF_MINE]" in str(refusal.value)
    assert "\x1b" not in str(refusal.value)


def test_a_key_over_plain_http_to_another_machine_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    for url in ("http://127.0.0.1:1/v1", "http://localhost/v1", "http://[::1]/v1", "https://models.example/v1"):
        ServerModel("tiny", base_url=url, api_key_env="OF_MINE")
    ServerModel("tiny", base_url="http://models.example/v1")
    assert not caplog.records
    for _ in range(2):
        ServerModel("tiny", base_url="http://models.example/v1", api_key_env="OF_MINE")
    assert [record.message for record in caplog.records] == [
        "the key goes to http://models.example/v1 over plain http, where others can read it; write https."
    ]


def test_a_field_allocates_no_more_than_it_takes(chat: Any) -> None:
    document = chat("5", [("5", {"5": 0.5})])
    document["choices"][0]["logprobs"]["content"][0]["bytes"] = 10**12
    with pytest.raises(wire.FailedAttempt, match="no list"):
        wire.answer(document, wire.CHAT)
