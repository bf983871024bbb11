"""A server that misbehaves: what is asked again, what is kept, what is counted, and how fast it is asked."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import itertools
import json
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.models.backend import StoredModel
from harness.models.meter import Meter
from harness.models.server.model import ServerModel, traffic
from harness.models.server.pace import Backoff
from harness.models.server.traffic import Rules
from harness.models.server.wire import LATER, FailedAttempt
from harness.models.store import Store
from harness.types import CompletionPrompt, Message, NeuroglossError, Outcome, SlottedPrompt


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """Ctrl-C is heard, whatever the tests were started by: behind some shells it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


FAST = Backoff(first=0.01, most=0.05)


def model(url: str, rules: Rules | None = None, **settings: Any) -> ServerModel:
    made = ServerModel("tiny", base_url=url, **settings)
    made.rules = rules or replace(made.rules, backoff=FAST, timeout=5.0)
    return made


def questions(count: int) -> list[CompletionPrompt]:
    return [CompletionPrompt((Message("user", f"question {index}"),), 8) for index in range(count)]


def right(question: str) -> str:
    return hashlib.sha256(question.encode()).hexdigest()[:12]


def answers(chat: Any, body: dict[str, Any]) -> dict[str, Any]:
    """The right reply to a question, with the log-probabilities of its tokens where they are asked for."""
    text = right(body["messages"][-1]["content"]) if not body.get("logprobs") else "5"
    return chat(text, [(text, {text: 0.5, "3": 0.25})] if body.get("logprobs") else None)


def faults(act: Any, chat: Any, body: dict[str, Any]) -> dict[str, Any]:
    """Every way to go wrong, by its name."""
    good = answers(chat, body)
    cut = json.dumps(good).encode()
    broken = json.loads(cut)
    del broken["choices"][0]["message"]
    short = json.loads(cut)
    short["choices"][0]["logprobs"] = {"content": []}
    endless = json.loads(cut)
    endless["choices"][0]["logprobs"] = {"content": [{"token": "5", "logprob": -(10**400), "top_logprobs": []}]}
    unreal = json.loads(cut)
    unreal["choices"][0]["logprobs"] = {"content": [{"token": "5", "logprob": float("nan"), "top_logprobs": []}]}
    return {
        "429 with Retry-After": act({"error": {"message": "slow"}}, 429, {"retry-after": "0.02"}),
        "429": act({"error": {"message": "slow"}}, 429),
        "500": act({"error": {"message": "oh"}}, 500),
        "503": act(b"<html>gone</html>", 503, content_type="text/html"),
        "429 with a Retry-After that never comes": act({"error": {"message": "slow"}}, 429, {"retry-after": "inf"}),
        "429 with a Retry-After of no place": act(
            {"error": {"message": "slow"}}, 429, {"retry-after": "Mon, 01 Jan 2024 00:00:00 +99999999999999999999"}
        ),
        "hanging": act(good, delay=3600.0),
        "dropped in its head": act(good, cut=0),
        "dropped in its body": act(good, cut=40),
        "malformed": act(cut[:-20]),
        "nested without end": act(b"[" * 100_000),
        "not JSON at all": act(b"<html>hello</html>", content_type="text/html"),
        "wrong schema": act(broken),
        "a list": act([good]),
        "an error in place of a reply": act({"error": {"message": "upstream"}}),
        "short log-probabilities": act(short),
        "NaN": act(unreal),
        "minus too much": act(endless),
        "no choices": act({**good, "choices": []}),
        "null choices": act({**good, "choices": None}),
        "wrong model": act({**good, "model": "somebody-else"}),
    }


NAMES = list(
    faults(
        lambda *a, **k: None, lambda text, tokens=None: {"choices": [{"message": {}}]}, {"messages": [{"content": ""}]}
    )
)


# the same is to be expected of every other request, so that a run in which none gets through is ended
SYSTEMATIC = [*NAMES[: NAMES.index("not JSON at all")], "wrong model"]


@pytest.mark.parametrize("name", NAMES)
def test_each_fault_is_asked_again(loopback: Any, act: Any, chat: Any, name: str) -> None:
    script = iter([lambda body: faults(act, chat, body)[name], lambda body: act(answers(chat, body))])
    loopback.script = lambda path, body: next(script)(body)
    rules = Rules(backoff=FAST, timeout=0.5 if name == "hanging" else 10.0)
    ((_, reply),) = model(loopback.url, rules).complete(questions(1))
    assert (reply.text, reply.outcome) == (right("question 0"), Outcome.OK)
    assert len(loopback.asked) == 2


@pytest.mark.parametrize("name", [name for name in NAMES if name != "hanging"])
def test_a_fault_that_does_not_end_is_a_named_outcome_or_a_sentence_and_never_a_zero(
    loopback: Any, act: Any, chat: Any, name: str
) -> None:
    def script(path: str, body: dict[str, Any]) -> Any:
        return faults(act, chat, body)[name]

    loopback.script = script
    prompt = SlottedPrompt((Message("user", "x"),), ("a\t",), "", 10)
    asked = model(loopback.url, Rules(attempts=2, backoff=FAST, timeout=10.0))
    asked._capabilities = Known
    if name in SYSTEMATIC:
        with pytest.raises(NeuroglossError, match="2 times in a row"):
            dict(asked.read_levels([prompt]))
    else:
        ((_, reading),) = asked.read_levels([prompt])
        assert (reading.outcome, reading.seen) == (Outcome.FAILED, (0,))
        assert str(reading.probabilities[0][0]) == "nan"
    assert len(loopback.asked) == 2


COUNT = 600


class Known:
    """What a probe would have found."""

    levels, problem = 10, ""


@pytest.mark.slow
def test_hundreds_of_requests_with_a_third_of_faults_lose_nothing_and_pay_nothing_twice(
    loopback: Any, act: Any, chat: Any, tmp_path: Path
) -> None:
    chance, paid, seen = random.Random(7), Counter[str](), Counter[str]()

    def script(path: str, body: dict[str, Any]) -> Any:
        question = body["messages"][-1]["content"]
        if chance.random() < 0.3:
            name = "hanging" if chance.random() < 0.03 else chance.choice([one for one in NAMES if one != "hanging"])
            seen[name] += 1
            return faults(act, chat, body)[name]
        paid[question] += 1
        return act(answers(chat, body), delay=0.02 * chance.random())

    loopback.script = script
    rules = Rules(concurrency=32, attempts=20, timeout=2.0, backoff=FAST)
    asked = questions(COUNT)
    meter = Meter()
    with Store(tmp_path / "store.sqlite") as store:
        replies = StoredModel(model(loopback.url, rules), store, meter).complete(asked)
        wrong = [one for one, reply in zip(asked, replies, strict=True) if reply.text != right(one.messages[0].content)]
        assert wrong == []
        assert all(reply.outcome is Outcome.OK for reply in replies)
        sent = len(loopback.asked)
        again = StoredModel(model(loopback.url, rules), store, Meter()).complete(asked)
    assert all(one.text == other.text for one, other in zip(again, replies, strict=True))
    assert len(loopback.asked) == sent, "everything is stored"
    assert set(paid.values()) == {1}
    assert len(paid) == COUNT
    assert set(seen) == set(NAMES)
    assert sum(seen.values()) / sent == pytest.approx(0.3, abs=0.04)
    unreadable = (
        "short log-probabilities",
        "NaN",
        "minus too much",
        "no choices",
        "null choices",
        "wrong model",
        "wrong schema",
    )
    wasted = sum(seen[name] for name in unreadable)
    assert meter.totals.spent.requests == COUNT + wasted, "what was paid for in vain is counted"


def test_a_server_that_is_not_there_is_one_sentence_and_not_a_run_of_missing_values() -> None:
    asked = model("http://127.0.0.1:9/v1", Rules(attempts=2, backoff=FAST))
    with pytest.raises(
        NeuroglossError, match=r"tiny at http://127\.0\.0\.1:9/v1 gives no connection.*2 times in a row"
    ):
        dict(asked.complete(questions(5)))


def test_a_server_that_is_not_there_is_said_to_be_down_at_each_try(caplog: pytest.LogCaptureFixture) -> None:
    asked = model("http://127.0.0.1:9/v1", Rules(attempts=3, backoff=FAST))
    with pytest.raises(NeuroglossError, match=r"is the server up, and model\.base_url right\?"):
        dict(asked.complete(questions(2)))
    said = [record.getMessage() for record in caplog.records]
    assert [text.partition(" gives ")[0] for text in said] == ["tiny at http://127.0.0.1:9/v1"] * 2
    assert [text[text.index("(try") :] for text in said] == [f"(try {n} of 3); trying again" for n in (1, 2)]


def test_another_model_is_known_by_its_second_reply(loopback: Any, act: Any, chat: Any) -> None:
    loopback.script = lambda path, body: act(chat("x", model="somebody-else"))
    with pytest.raises(NeuroglossError, match=r"2 times in a row; set model\.answers_as"):
        dict(model(loopback.url, Rules(attempts=8, concurrency=1, backoff=FAST)).complete(questions(9)))
    assert len(loopback.asked) == 2


def test_another_model_s_replies_are_refused_with_what_to_write(loopback: Any, act: Any, chat: Any) -> None:
    loopback.script = lambda path, body: act(chat("x", model="somebody-else"))
    rules = Rules(attempts=2, backoff=FAST)
    with pytest.raises(NeuroglossError, match=r"'somebody-else'.*model\.answers_as"):
        dict(model(loopback.url, rules).complete(questions(2)))
    ((_, reply),) = model(loopback.url, rules, answers_as="somebody-else").complete(questions(1))
    assert reply.text == "x"


@pytest.mark.slow
def test_only_complaints_and_timeouts_lower_how_much_is_asked_at_once(loopback: Any, act: Any, chat: Any) -> None:
    sizes = {}

    def script(body: dict[str, Any], statuses: Iterator[int]) -> Any:
        status = next(statuses, 200)
        return act(answers(chat, body), status, delay=0.0 if status == 200 else 1.5)  # in which all 16 arrive

    for status in (429, 500):
        statuses = iter([status] * 16)
        loopback.script = lambda path, body, statuses=statuses: script(body, statuses)
        loopback.most_at_once, before = 0, len(loopback.asked)
        rules = Rules(concurrency=16, attempts=9, backoff=Backoff(0.0, 0.0))
        assert len(dict(model(loopback.url, rules).complete(questions(16)))) == 16
        assert loopback.most_at_once == 16
        sizes[status] = len(loopback.asked) - before
    assert sizes == {429: 32, 500: 32}


async def _instantly(request: int) -> int:
    return request


def test_a_window_that_was_cut_holds_back_what_follows() -> None:
    under_way, most, rejected = 0, [], iter([True] * 8)

    async def send(request: int) -> int:
        nonlocal under_way
        under_way += 1
        most.append(under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        if next(rejected, False):
            raise FailedAttempt("status 429", congested=True)
        return request

    rules = Rules(concurrency=8, backoff=Backoff(0.0, 0.0))
    delivered = [one.reply for one in traffic.deliver(range(12), send, rules)]
    assert sorted(delivered) == list(range(12))
    assert max(most[:8]) == 8
    assert max(most[8:12]) <= 4


def test_requests_are_spread_over_the_minute() -> None:
    began = time.monotonic()
    rules = Rules(requests_per_minute=600.0)
    assert len(list(traffic.deliver(range(6), _instantly, rules))) == 6
    assert time.monotonic() - began >= 0.5
    began = time.monotonic()
    rules = Rules(tokens_per_minute=6000.0)
    assert (
        len(list(traffic.deliver(range(4), _instantly, rules, tokens=lambda _: 6000, reply_tokens=lambda _: 10))) == 4
    )
    assert 0.3 <= time.monotonic() - began <= 60.0, "what was not used is given back"


def test_a_stop_keeps_what_is_under_way_and_sends_no_more(loopback: Any, act: Any, chat: Any, tmp_path: Path) -> None:
    def script(path: str, body: dict[str, Any]) -> Any:
        if len(loopback.asked) == 12:
            threading.Timer(0.05, signal.raise_signal, [signal.SIGINT]).start()
        return act(answers(chat, body), delay=0.3 if len(loopback.asked) > 8 else 0.0)

    loopback.script = script
    with Store(tmp_path / "store.sqlite") as store:
        with pytest.raises(KeyboardInterrupt):
            StoredModel(model(loopback.url, Rules(concurrency=4)), store).complete(questions(100))
        assert len(store) == len(loopback.asked) == 12
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_keeps_what_is_under_way_too(loopback: Any, act: Any, chat: Any, tmp_path: Path) -> None:
    def script(path: str, body: dict[str, Any]) -> Any:
        if len(loopback.asked) == 6:
            return act({"error": {"message": "no"}}, 401)
        return act(answers(chat, body), delay=0.2)

    loopback.script = script
    with Store(tmp_path / "store.sqlite") as store:
        with pytest.raises(NeuroglossError, match="status 401"):
            StoredModel(model(loopback.url, Rules(concurrency=8)), store).complete(questions(100))
        assert len(store) == 7
    assert len(loopback.asked) == 8


def test_a_model_on_a_server_is_not_asked_inside_an_event_loop() -> None:
    async def wrong() -> None:
        list(traffic.deliver([1], _instantly, Rules()))

    with pytest.raises(NeuroglossError, match="call it in a thread"):
        asyncio.run(wrong())


def test_what_nobody_answers_is_given_up_where_others_are_answered() -> None:
    async def send(request: int) -> int:
        if request == 1:
            raise FailedAttempt("status 500", remedy=LATER)
        return request

    rules = Rules(attempts=3, concurrency=1, backoff=Backoff(0.0, 0.0))
    found = {one.index: one.reply for one in traffic.deliver([0, 1, 2, 3], send, rules)}
    assert [found[index] for index in (0, 2, 3)] == [0, 2, 3]
    assert isinstance(found[1], FailedAttempt)


def failing(*bad: int) -> Any:
    """An attempt that some requests never get through."""

    async def send(request: int) -> int:
        await asyncio.sleep(0.001)
        if request in bad:
            raise FailedAttempt("status 500", remedy=LATER)
        return request

    return send


def test_what_fails_while_others_are_answered_stops_no_run_though_it_outlives_them() -> None:
    rules = Rules(attempts=3, concurrency=4, backoff=Backoff(0.05, 0.2))
    found = {one.index: one.reply for one in traffic.deliver(range(100), failing(5, 6, 7), rules)}
    assert [index for index, reply in found.items() if isinstance(reply, FailedAttempt)] != []
    assert sorted(index for index, reply in found.items() if isinstance(reply, FailedAttempt)) == [5, 6, 7]
    assert len(found) == 100


@pytest.mark.parametrize("bad", [1, 3])
def test_a_run_that_ended_with_missing_values_can_be_run_again(
    loopback: Any, act: Any, chat: Any, tmp_path: Path, bad: int
) -> None:
    def script(path: str, body: dict[str, Any]) -> Any:
        number = int(body["messages"][-1]["content"].split()[-1])
        return act({"error": {"message": "bug"}}, 500) if number < bad else act(answers(chat, body))

    loopback.script = script
    rules = Rules(attempts=2, concurrency=8, backoff=FAST)
    with Store(tmp_path / "store.sqlite") as store:
        runs = [StoredModel(model(loopback.url, rules), store).complete(questions(40)) for _ in range(2)]
    for replies in runs:
        assert [reply.outcome for reply in replies] == [Outcome.FAILED] * bad + [Outcome.OK] * (40 - bad)


def test_a_model_that_was_answered_before_is_not_out_of_reach_for_one_bad_prompt(
    loopback: Any, act: Any, chat: Any
) -> None:
    loopback.script = lambda path, body: act(answers(chat, body))
    asked = model(loopback.url, Rules(attempts=2, backoff=FAST))
    assert dict(asked.complete(questions(1)))[0].outcome is Outcome.OK
    loopback.script = lambda path, body: act({"error": {"message": "bug"}}, 500)
    assert [dict(asked.complete(questions(1)))[0].outcome for _ in range(2)] == [Outcome.FAILED] * 2
    with pytest.raises(NeuroglossError, match="nothing else meanwhile"):
        dict(asked.complete(questions(1)))


def test_an_outage_stops_a_run_that_goes_on_from_stored_replies(
    loopback: Any, act: Any, chat: Any, tmp_path: Path
) -> None:
    loopback.script = lambda path, body: act(answers(chat, body))
    rules = Rules(attempts=2, backoff=FAST)
    with Store(tmp_path / "store.sqlite") as store:
        StoredModel(model(loopback.url, rules), store).complete(questions(40))
        loopback.script = lambda path, body: act({"error": {"message": "bug"}}, 500)
        with pytest.raises(NeuroglossError, match="2 times in a row"):
            StoredModel(model(loopback.url, rules), store).complete(questions(60))


@pytest.mark.parametrize("limit", [60, 250, 1200])
def test_attempts_that_are_billed_and_useless_do_not_pass_the_budget(
    loopback: Any, act: Any, chat: Any, tmp_path: Path, limit: int
) -> None:
    billed, count = {}, itertools.count(1)

    def script(path: str, body: dict[str, Any]) -> Any:
        number = next(count)
        billed[number] = 30
        reply = chat(right(body["messages"][-1]["content"]), usage=(25, 5))
        return act(reply if number % 8 == 0 else {**reply, "choices": []})

    loopback.script = script
    meter = Meter(tokens=limit)
    rules = Rules(attempts=8, concurrency=3, backoff=FAST)
    with Store(tmp_path / "store.sqlite") as store:
        asked = StoredModel(model(loopback.url, rules), store, meter)
        with pytest.raises(NeuroglossError, match=f"budget of {limit} tokens is used up"):
            asked.complete(questions(40))
        assert len(store) == len(loopback.asked) // 8
    spent = meter.totals.spent
    assert spent.prompt_tokens + spent.completion_tokens == sum(billed.values())
    assert limit - 80 < sum(billed.values()) <= limit, "a question costs 36 tokens at most"


def test_what_could_not_be_paid_again_at_once_is_asked_when_it_can_be(loopback: Any, act: Any, chat: Any) -> None:
    useless = iter([True] * 3)

    def script(path: str, body: dict[str, Any]) -> Any:
        reply = chat(right(body["messages"][-1]["content"]), usage=(1, 1))
        return act({**reply, "choices": []} if next(useless, False) else reply)

    loopback.script = script
    with Store(":memory:") as store:
        asked = StoredModel(model(loopback.url, Rules(concurrency=4, backoff=FAST)), store, Meter(tokens=4 * 36))
        assert [reply.outcome for reply in asked.complete(questions(4))] == [Outcome.OK] * 4
    assert len(loopback.asked) == 7


def test_requests_that_wait_for_their_turn_are_not_sent_after_a_stop() -> None:
    sent: list[int] = []

    async def send(request: int) -> int:
        sent.append(request)
        if request == 0:
            raise NeuroglossError("status 401.")
        await asyncio.sleep(0.01)
        return request

    with pytest.raises(NeuroglossError, match="status 401"):
        list(traffic.deliver(range(1000), send, Rules(concurrency=200)))
    assert len(sent) < 5


@pytest.mark.parametrize("last", [1, 3])
def test_a_stop_while_a_reply_is_handled_is_heard(last: int) -> None:
    handled: list[int] = []

    def handle(one: traffic.Delivered[int]) -> None:
        handled.append(one.index)
        if len(handled) == last:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        list(map(handle, traffic.deliver(range(3), _instantly, Rules(concurrency=1))))
    assert handled[:last] == list(range(last))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", [0, 1, 5])
def test_a_request_that_cannot_be_made_ends_a_run_in_good_order(bad: int) -> None:
    def requests() -> Iterator[int]:
        for number in range(10):
            if number == bad:
                raise NeuroglossError("it cannot be made.")
            yield number

    async def close() -> None:
        closed.append(True)

    closed: list[bool] = []
    with pytest.raises(NeuroglossError, match="cannot be made"):
        list(traffic.deliver(requests(), _instantly, Rules(concurrency=2), close=close))
    gc.collect()
    assert closed == [True]


@pytest.mark.slow
def test_a_reply_that_came_while_the_caller_was_busy_is_no_timeout(loopback: Any, act: Any, chat: Any) -> None:
    def script(path: str, body: dict[str, Any]) -> Any:
        return act(answers(chat, body), delay=0.0 if body["messages"][-1]["content"].endswith("0") else 0.3)

    loopback.script = script
    rules = Rules(concurrency=4, attempts=2, timeout=1.0, backoff=FAST)
    for one in model(loopback.url, rules).complete(questions(4)):
        if one[0] == 0:
            time.sleep(1.5)
        assert one[1].outcome is Outcome.OK
    assert len(loopback.asked) == 4
