from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.models.server.pace import Backoff, Rate, Window, retry_after_seconds

CHANCE = st.floats(0.0, 1.0, exclude_max=True)


@given(st.integers(1, 10_000), CHANCE)
def test_waits_grow_up_to_the_most(failures: int, chance: float) -> None:
    backoff = Backoff(first=0.5, most=60.0)
    wait = backoff.wait(failures, chance)
    assert 0.0 <= wait <= min(60.0, 0.5 * 2.0 ** min(failures - 1, 20))
    assert backoff.wait(failures + 1, chance) >= wait


@given(st.integers(1, 20), CHANCE, st.floats(0.0, 1e5))
def test_a_server_that_says_how_long_is_obeyed(failures: int, chance: float, asked: float) -> None:
    assert asked <= Backoff(first=0.5).wait(failures, chance, asked) <= asked + 0.5


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("0.25", 0.25),
        ("-1", 0.0),
        ("Tue, 05 Jan 2027 10:00:30 GMT", 30.0),
        ("Tue, 05 Jan 2027 09:00:00 GMT", 0.0),
        ("soon", None),
        ("inf", None),
        ("1e999", None),
        ("nan", None),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999999999", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, datetime(2027, 1, 5, 10, tzinfo=UTC)) == seconds


@given(st.integers(1, 200), st.lists(st.tuples(st.booleans(), st.floats(0.0, 100.0))))
def test_a_window_stays_between_one_and_its_most(most: int, events: list[tuple[bool, float]]) -> None:
    window = Window(most)
    assert window.size == most
    for congested, time in events:
        if congested:
            window.congested(time, time + 1.0)
        else:
            window.succeeded()
        assert 1 <= window.size <= most


def test_a_round_of_complaints_cuts_once_and_a_round_of_answers_makes_room_for_one() -> None:
    window = Window(64)
    for _ in range(20):
        window.congested(sent_at=1.0, now=2.0)
    assert window.size == 32
    window.congested(sent_at=2.5, now=3.0)
    assert window.size == 16
    for _ in range(17):
        window.succeeded()
    assert window.size == 17


@given(st.floats(1.0, 1e4), st.lists(st.floats(0.5, 50.0), min_size=1, max_size=60))
def test_no_minute_holds_more_than_its_rate(per_minute: float, amounts: list[float]) -> None:
    rate, now, sent = Rate(per_minute), 0.0, []
    for amount in amounts:
        now = max(now, rate.ready())
        rate.take(amount, now)
        sent.append((now, amount))
    for start, _ in sent:
        within = [(time, amount) for time, amount in sent if start <= time < start + 60.0]
        assert sum(amount for _, amount in within) - within[-1][1] <= per_minute * (1 + 1e-9)


def test_what_is_given_back_can_be_sent_again() -> None:
    rate = Rate(60.0)
    rate.take(10.0, now=0.0)
    rate.give_back(8.0)
    assert rate.ready() == pytest.approx(2.0)
    unlimited = Rate(None)
    unlimited.take(1e9, now=5.0)
    assert unlimited.ready() == float("-inf")
