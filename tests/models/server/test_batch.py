"""Batch files: what is written is what would be sent, and what is read is checked as a live reply is."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.models.meter import Meter
from harness.models.server import batch
from harness.models.server.batch import BatchFile, BatchModel, Outbox, Questions, Receipt, receive
from harness.models.server.capabilities import Capabilities, Probe
from harness.models.server.model import ServerModel
from harness.models.store import CAPABILITIES, COMPLETIONS, LEVELS, Store, keep, key_of, stored_replies
from harness.types import Completion, CompletionPrompt, Message, NeuroglossError, Outcome, SlottedPrompt

URL = "http://127.0.0.1:9/v1"  # nobody listens there
PROMPTS = [CompletionPrompt((Message("user", f"what is number {number}?"),), 5) for number in range(3)]
LINES = SlottedPrompt((Message("user", "fires on storm"),), (" the\t", "\n storm\t"), "-", 10)
Line = dict[str, Any]


def model(**settings: Any) -> ServerModel:
    prices = {"usd_per_million_prompt_tokens": 2.0, "usd_per_million_completion_tokens": 10.0}
    return ServerModel("tiny", base_url=URL, **{**prices, **settings})


class Place:
    """A folder with a store, in which batches are written and read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store.sqlite"
        self.meter = Meter()

    def write(self, ask: Callable[[Callable[[ServerModel], BatchModel]], Any], name: str = "out.jsonl") -> Outbox:
        with (
            Store(self.store) as replies,
            Questions(self.store) as questions,
            Outbox(self.folder / name, questions, self.meter) as outbox,
        ):
            ask(lambda server: BatchModel(server, replies, outbox))
        return outbox

    def complete(self, server: ServerModel, prompts: Sequence[CompletionPrompt], name: str = "out.jsonl") -> Outbox:
        return self.write(lambda batched: batched(server).complete(prompts), name)

    def read(self, *contents: bytes) -> Receipt:
        paths = [self.folder / f"answers-{number}.jsonl" for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        with Store(self.store) as replies, Questions(self.store) as questions:
            return receive(paths, questions, replies)

    def stored(self, server: ServerModel, prompts: Sequence[CompletionPrompt]) -> list[Completion | None]:
        keys = [key_of(server.identity, COMPLETIONS.name, prompt) for prompt in prompts]
        with Store(self.store) as replies:
            found = stored_replies(replies, COMPLETIONS, keys)
        return [found.get(key) for key in keys]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def requests(file: BatchFile) -> list[Line]:
    return [json.loads(line) for line in file.path.read_text().splitlines()]


def answer(request: Line, body: Any, status: int = 200, error: Any = None) -> Line:
    return {"custom_id": request["custom_id"], "response": {"status_code": status, "body": body}, "error": error}


def jsonl(lines: Sequence[Line]) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


# ------------------------------------------------------------------------------------------------------------- writing


def test_a_line_is_the_request_that_would_be_sent_under_the_key_of_its_reply(
    place: Place, loopback: Any, act: Any, chat: Any
) -> None:
    loopback.script = lambda path, body: act(chat("rain"))
    live = ServerModel("tiny", base_url=loopback.url, api_key_env=None)
    dict(live.complete(PROMPTS[:1]))
    (file,) = place.complete(live, PROMPTS[:1]).files
    assert requests(file) == [
        {
            "custom_id": key_of(live.identity, COMPLETIONS.name, PROMPTS[0]),
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": loopback.asked[0][1],
        }
    ]


def test_a_base_model_is_asked_by_completions(place: Place) -> None:
    (file,) = place.complete(model(api="completions"), PROMPTS[:1]).files
    assert file.url == "/v1/completions"
    assert requests(file)[0]["url"] == "/v1/completions"
    assert "prompt" in requests(file)[0]["body"]


def test_equal_requests_stand_in_a_file_once(place: Place) -> None:
    assert [file.requests for file in place.complete(model(), PROMPTS * 2).files] == [3]


@pytest.mark.parametrize(("limit", "value"), [("MOST_REQUESTS", 2), ("MOST_BYTES", 600)])
def test_a_file_keeps_the_limits(place: Place, monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    monkeypatch.setattr(batch, limit, value)
    files = place.complete(model(), PROMPTS).files
    assert [file.path.name for file in files] == ["out.jsonl", "out-2.jsonl"]
    assert [file.requests for file in files] == [2, 1]
    for file in files:
        assert file.size == file.path.stat().st_size <= batch.MOST_BYTES
        assert len(requests(file)) == file.requests


def test_each_model_has_files_of_its_own(place: Place) -> None:
    def ask(batched: Callable[[ServerModel], BatchModel]) -> None:
        for name in ("a", "b"):
            batched(ServerModel(name, base_url=URL)).complete(PROMPTS)

    files = place.write(ask).files
    assert [{line["body"]["model"] for line in requests(file)} for file in files] == [{"a"}, {"b"}]


def test_one_model_that_is_asked_in_two_ways_has_one_file(place: Place) -> None:
    def ask(batched: Callable[[ServerModel], BatchModel]) -> None:
        batched(model()).complete(PROMPTS)
        batched(model(transport="text")).read_levels([LINES])

    assert [file.requests for file in place.write(ask).files] == [4]


def test_a_file_that_is_there_is_not_written_over(place: Place) -> None:
    place.complete(model(), PROMPTS)
    before = (place.folder / "out.jsonl").read_bytes()
    with pytest.raises(NeuroglossError, match="is there already"):
        place.complete(model(), PROMPTS)
    assert (place.folder / "out.jsonl").read_bytes() == before


def test_a_writer_that_breaks_off_leaves_no_file(place: Place) -> None:
    def ask(batched: Callable[[ServerModel], BatchModel]) -> None:
        batched(model()).complete(PROMPTS)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place.write(ask)
    assert [path.name for path in place.folder.glob("*jsonl*")] == []
    assert place.complete(model(), PROMPTS).files[0].requests == 3


def test_a_budget_that_does_not_suffice_is_refused_before_a_file_is_there(place: Place) -> None:
    place.meter = Meter(usd=model().batched().cost(PROMPTS[0]).usd * 1.5)
    with pytest.raises(NeuroglossError, match="the budget of"):
        place.complete(model(), PROMPTS)
    assert not (place.folder / "out.jsonl").exists()


def test_no_secret_is_written(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_KEY", "sk-very-secret")
    place.complete(model(api_key_env="SERVICE_KEY"), PROMPTS)
    for path in place.folder.iterdir():
        assert b"sk-very-secret" not in path.read_bytes()
    telling = replace(PROMPTS[0], messages=(Message("user", "what is sk-very-secret?"),))
    with pytest.raises(NeuroglossError, match="SERVICE_KEY"):
        place.complete(model(api_key_env="SERVICE_KEY"), [telling], "second.jsonl")
    assert not (place.folder / "second.jsonl").exists()


# ------------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize(
    ("text", "extra"),
    [
        ("rain, mostly", {}),
        ("half a sen", {"finish": "length"}),
        ("  ", {}),
        (None, {"refusal": "I will not."}),
        ("rain", {"usage": None}),
        ("rain", {"model": "org/tiny-2026-01-01"}),
    ],
)
def test_a_reply_is_read_as_a_live_one_at_half_the_price(
    place: Place, loopback: Any, act: Any, chat: Any, text: str | None, extra: dict[str, Any]
) -> None:
    loopback.script = lambda path, body: act(chat(text, **extra))
    live = ServerModel("tiny", base_url=loopback.url, usd_per_million_prompt_tokens=2.0)
    ((_, reply),) = live.complete(PROMPTS[:1])
    (file,) = place.complete(live, PROMPTS[:1]).files
    receipt = place.read(jsonl([answer(line, chat(text, **extra)) for line in requests(file)]))
    assert (receipt.stored, receipt.problems) == (1, [])
    (stored,) = place.stored(live, PROMPTS[:1])
    assert stored == replace(reply, usage=replace(reply.usage, usd=reply.usage.usd / 2))
    assert receipt.cost == reply.usage.__class__(**{**_fields(reply.usage), "usd": reply.usage.usd / 2})
    assert reply.usage.usd > 0


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def test_the_price_is_that_of_the_last_writing(place: Place, chat: Any) -> None:
    place.complete(model(batch_price=1.0), PROMPTS[:1])
    (file,) = place.complete(model(batch_price=0.25), PROMPTS[:1], "second.jsonl").files
    place.read(jsonl([answer(line, chat("rain")) for line in requests(file)]))
    (stored,) = place.stored(model(), PROMPTS[:1])
    assert stored is not None
    assert stored.usage.usd == pytest.approx((7 * 2 + 3 * 10) / 1e6 / 4)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_price_is_a_share(share: float) -> None:
    with pytest.raises(NeuroglossError, match="batch_price"):
        model(batch_price=share)


DAMAGE: dict[str, tuple[Callable[[Line, Any], bytes], str]] = {
    "cut": (lambda line, chat: json.dumps(line).encode()[:-9], "cannot be read as JSON"),
    "no UTF-8": (lambda line, chat: b'{"custom_id": "\xff"}', "not UTF-8"),
    "deep": (lambda line, chat: b"[" * 5000, "cannot be read as JSON"),
    "a list": (lambda line, chat: b"[]", "no JSON object"),
    "no id": (lambda line, chat: json.dumps({**line, "custom_id": None}).encode(), "has the custom_id None"),
    "a stranger's id": (lambda line, chat: json.dumps({**line, "custom_id": "x" * 500}).encode(), "of no request"),
    "no response": (lambda line, chat: json.dumps({**line, "response": None}).encode(), "no response with a status"),
    "a status of text": (lambda line, chat: jsonl([answer(line, {}, status="ok")])[:-1], "no response with a status"),  # type: ignore[arg-type]
    "expired": (
        lambda line, chat: json.dumps(
            {**line, "response": None, "error": {"code": "batch_expired", "message": "not run in time"}}
        ).encode(),
        r"has failed \(not run in time\)",
    ),
    "vLLM's error": (lambda line, chat: jsonl([answer(line, None, 400, "too long")])[:-1], r"has failed \(too long\)"),
    "a status of 500": (lambda line, chat: jsonl([answer(line, {}, 500)])[:-1], "holds status 500"),
    "a status of 400": (
        lambda line, chat: jsonl([answer(line, {"error": {"message": "bad field"}}, 400)])[:-1],
        r"refuses the request \(status 400: bad field\)",
    ),
    "no choices": (lambda line, chat: jsonl([answer(line, {"model": "tiny", "choices": []})])[:-1], "without choices"),
    "another form": (lambda line, chat: jsonl([answer(line, "rain")])[:-1], "no JSON object"),
    "another model": (lambda line, chat: jsonl([answer(line, chat("x", model="other"))])[:-1], "of the model 'other'"),
    "a giant": (lambda line, chat: b'{"custom_id": "' + b"x" * 20_000, "has more than 10,000 bytes"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_line_is_named_in_a_sentence_and_its_request_stays_open(
    place: Place, chat: Any, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr(batch, "MOST_LINE", 10_000)
    make, sentence = DAMAGE[damage]
    (file,) = place.complete(model(), PROMPTS).files
    good, bad, last = (answer(line, chat(f"reply to {line['custom_id'][:4]}")) for line in requests(file))
    receipt = place.read(b"\n".join([jsonl([good])[:-1], make(bad, chat), b"", jsonl([last])]))
    assert receipt.stored == 2
    (problem,) = receipt.problems
    assert "answers-0.jsonl, line 2" in problem
    assert re.search(sentence, problem), problem
    assert "\n" not in problem
    assert len(problem) < 600
    (rest,) = place.complete(model(), PROMPTS, "second.jsonl").files
    assert [line["custom_id"] for line in requests(rest)] == [bad["custom_id"]]


def test_a_second_answer_to_a_request_is_refused_and_the_first_kept(place: Place, chat: Any) -> None:
    (file,) = place.complete(model(), PROMPTS[:1]).files
    (line,) = requests(file)
    receipt = place.read(jsonl([answer(line, {}, 500), answer(line, chat("first"))]), jsonl([answer(line, chat("2"))]))
    assert receipt.stored == 1
    assert ["status 500" in problem for problem in receipt.problems] == [True, False]
    assert "again, and the first is kept" in receipt.problems[1]
    (stored,) = place.stored(model(), PROMPTS[:1])
    assert stored is not None
    assert stored.text == "first"


def test_a_file_that_is_read_again_adds_nothing(place: Place, chat: Any) -> None:
    (file,) = place.complete(model(), PROMPTS).files
    content = jsonl([answer(line, chat("rain")) for line in requests(file)])
    assert place.read(content).stored == 3
    receipt = place.read(content)
    assert (receipt.stored, receipt.repeated, receipt.problems) == (0, 3, [])


def test_a_refusal_of_the_provider_is_an_answer(place: Place) -> None:
    (file,) = place.complete(model(), PROMPTS[:1]).files
    error = {"error": {"message": "filtered", "code": "content_filter"}}
    assert place.read(jsonl([answer(line, error, 400) for line in requests(file)])).stored == 1
    (stored,) = place.stored(model(), PROMPTS[:1])
    assert stored is not None
    assert stored.outcome is Outcome.REFUSED


def test_a_secret_in_a_reply_is_scrubbed(place: Place, chat: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODDLY_CALLED", "hush-hush")  # a secret because the model names it
    server = model(api_key_env="ODDLY_CALLED")
    (file,) = place.complete(server, PROMPTS[:1]).files
    place.read(jsonl([answer(line, chat("it is hush-hush")) for line in requests(file)]))
    (stored,) = place.stored(server, PROMPTS[:1])
    assert stored is not None
    assert stored.text == "it is [ODDLY_CALLED]"


def test_what_replies_cost_that_cannot_be_used_is_said(place: Place, chat: Any) -> None:
    (file,) = place.complete(model(), PROMPTS[:1]).files
    broken = {**chat("x"), "choices": [{"message": {"content": 5}}]}
    receipt = place.read(jsonl([answer(line, broken) for line in requests(file)]))
    assert receipt.wasted.usd == pytest.approx((7 * 2 + 3 * 10) / 1e6 / 2)


def test_requests_of_another_version_are_refused(place: Place, chat: Any) -> None:
    (file,) = place.complete(model(), PROMPTS[:1]).files
    with Store(place.folder / "store.requests.sqlite") as records:
        ((key, text),) = records.get_many(list(records))
        records.replace(key, text.replace("what is number 0", "what was number 0"))
    receipt = place.read(jsonl([answer(line, chat("rain")) for line in requests(file)]))
    assert receipt.stored == 0
    assert "written by another version" in receipt.problems[0]


@settings(max_examples=20)
@given(st.lists(st.integers(0, 5), max_size=8), st.integers(0, 8))
def test_whatever_comes_back_in_whatever_order_the_rest_is_written_again(places: list[int], cut: int) -> None:
    def chat(number: int) -> dict[str, Any]:
        message = {"role": "assistant", "content": f"reply {number}"}
        return {"model": "tiny", "choices": [{"message": message, "finish_reason": "stop"}]}

    prompts = [CompletionPrompt((Message("user", f"number {number}"),)) for number in range(6)]
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        (file,) = place.complete(model(), prompts).files
        lines = requests(file)
        replies = [answer(lines[number], chat(number)) for number in places]
        receipt = place.read(jsonl(replies[:cut]), jsonl(replies[cut:]))
        assert receipt.stored == len(set(places))
        assert len(receipt.problems) == len(places) - len(set(places))
        texts = [reply.text if reply else None for reply in place.stored(model(), prompts)]
        assert texts == [f"reply {number}" if number in places else None for number in range(6)]
        rest = place.complete(model(), prompts, "second.jsonl")
        asked = [line["custom_id"] for file in rest.files for line in requests(file)]
        assert asked == [line["custom_id"] for number, line in enumerate(lines) if number not in places]
        assert rest.repeated == len(asked)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 600) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "message",
                    "content",
                    "logprobs",
                    "error",
                    "usage",
                    "model",
                    "top_logprobs",
                    "finish_reason",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def test_no_answer_however_odd_ends_the_reading(place: Place) -> None:
    first = place.write(lambda batched: batched(model(transport="text")).read_levels([LINES]))
    lines = [*requests(first.files[0]), *requests(place.complete(model(), PROMPTS[:1], "second.jsonl").files[0])]

    @settings(max_examples=100)
    @given(JSON, JSON, JSON | st.just({"choices": [{}]}), st.sampled_from(lines))
    def read(status: Any, error: Any, body: Any, line: Line) -> None:
        whole = answer(line, body, 200, error)
        odd = {**whole, "response": {"status_code": status, "body": body}}
        receipt = place.read(jsonl([odd, whole, {**whole, "response": body}, body]))
        assert receipt.stored + receipt.repeated + len(receipt.problems) == 4
        assert all("\n" not in problem for problem in receipt.problems)

    read()


# -------------------------------------------------------------------------------------------------------------- levels


def readings(place: Place, server: ServerModel, name: str = "out.jsonl") -> Outbox:
    return place.write(lambda batched: batched(server).read_levels([LINES]), name)


def test_a_server_is_tried_out_before_it_is_asked_for_levels(place: Place, chat: Any) -> None:
    first = readings(place, model())
    assert first.kinds == {CAPABILITIES.name: 1}
    (line,) = requests(first.files[0])
    receipt = place.read(jsonl([answer(line, chat("no log-probabilities"))]))
    assert "gives no log-probabilities" in receipt.problems[0]
    text = [("lamp\t", {"lamp\t": 0.9, "x": 0.1}), ("10", {"10": 0.9, "3": 0.1})]
    assert place.read(jsonl([answer(line, chat("lamp\t10", text))])).stored == 1
    assert readings(place, model(), "second.jsonl").kinds == {LEVELS.name: 1}


@pytest.mark.parametrize("text", [" the\t5\n storm\t7", " a\t5\n horse\t7", "5 7", "\n\n"])
def test_levels_are_read_as_live_ones_even_of_another_prompt(
    place: Place, loopback: Any, act: Any, chat: Any, text: str
) -> None:
    loopback.script = lambda path, body: act(chat(text))
    live = ServerModel("tiny", base_url=loopback.url, transport="text")
    ((_, reading),) = live.read_levels([LINES])
    (file,) = readings(place, live).files
    assert place.read(jsonl([answer(line, chat(text)) for line in requests(file)])).stored == 1
    key = key_of(live.identity, LEVELS.name, LINES)
    with Store(place.store) as replies:
        assert repr(stored_replies(replies, LEVELS, [key])[key]) == repr(reading)
    assert any(reading.seen) == ("storm" in text)


def test_numbers_in_text_need_no_trial(place: Place) -> None:
    assert readings(place, model(transport="text")).kinds == {LEVELS.name: 1}


def test_log_probabilities_of_prompts_are_tried_out_live(place: Place) -> None:
    server = model(transport="prompt", api="completions")
    with pytest.raises(NeuroglossError, match="ask it live about one unit"):
        readings(place, server)
    assert not (place.folder / "out.jsonl").exists()
    with Store(place.store) as replies:
        keep(replies, CAPABILITIES, key_of(server.identity, CAPABILITIES.name, Probe()), Capabilities(10))
    (file,) = readings(place, server).files
    (line,) = requests(file)
    assert line["body"]["echo"] is True
    tokens = ["another", " prompt"]
    logprobs = {"tokens": tokens, "token_logprobs": [None, -0.1], "top_logprobs": [None, {" prompt": -0.1}]}
    echo = {"text": "another prompt", "logprobs": logprobs, "finish_reason": "length"}
    receipt = place.read(jsonl([answer(line, {"model": "tiny", "choices": [echo]})]))
    assert receipt.stored == 0
    assert "log-probabilities of another prompt" in receipt.problems[0]
