"""A whole annotator in a real browser, by keyboard alone, through a restart of the server in the middle."""

from __future__ import annotations

import contextlib
import math
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import playwright.sync_api as playwright
import pytest
import uvicorn

from harness.config.settings import RateSettings
from harness.humans.analysis import report, strengths
from harness.humans.analysis.comparisons import comparisons
from harness.humans.answers import Explained, Levels, Mode, Picked, joined
from harness.humans.store import read
from harness.humans.web import app, guard, pages
from harness.report.page import markdown_page
from harness.text import figure
from tests.humans.conftest import AUTHORS, Browser

pytestmark = pytest.mark.slow


class Served:
    """A study on a port of loopback, whose server can be stopped and started again on the same file and port."""

    def __init__(self, make: Callable[..., app.Server], mode: str, **settings: Any) -> None:
        self.make, self.mode, self.settings = make, mode, settings
        self.path: Path | None = None
        self.port = 0

    def start(self) -> str:
        server = self.make(self.mode, path=self.path, **self.settings)
        self.path = server.store.path
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(app.app(server, guard.LOOPBACK), log_level="warning", lifespan="off")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, args=([listener],), daemon=True)
        self.thread.start()
        return f"http://127.0.0.1:{self.port}/"

    def stop(self) -> None:
        self.server.should_exit = self.server.force_exit = True
        self.thread.join(timeout=30)
        assert not self.thread.is_alive()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page of a phone's width; a violation of the policy, or an error of the script, fails the test."""
    context = browser.new_context(viewport={"width": 400, "height": 800})
    opened, complaints = context.new_page(), []
    opened.set_default_timeout(60_000)
    opened.on("console", lambda m: complaints.append(m.text) if "Failed to load resource" not in m.text else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    assert complaints == []
    context.close()


def reach(page: Any, selector: str, key: str = "Tab") -> None:
    """Press a key until an element of this kind has the focus."""
    for _ in range(200):
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press(key)
    raise AssertionError(f"the keyboard does not reach {selector}")


def begin(page: Any, address: str, mode: str) -> None:
    """Agree, and pass the check, by keyboard."""
    page.goto(address)
    reach(page, "[name=agree]")
    page.keyboard.press("Space")
    reach(page, "button.main")
    page.keyboard.press("Enter")
    page.wait_for_selector("[name=check0]")
    for place, item in enumerate(pages.instructions(Mode(mode))["check"]):
        reach(page, f"[name=check{place}]")
        page.keyboard.press("Space")
        for _ in range(item["correct"]):
            page.keyboard.press("ArrowDown")
    reach(page, "button.main")
    page.keyboard.press("Enter")
    page.wait_for_selector("#answer")


def until(page: Any, condition: str, arg: object = None) -> None:
    """Wait until a condition holds; the page is asked from outside, for its policy lets it evaluate no text itself."""
    for _ in range(300):
        with contextlib.suppress(playwright.Error):  # a page that is being left
            if page.evaluate(condition, arg):
                return
        time.sleep(0.1)
    raise AssertionError(condition)


def question(page: Any) -> str:
    page.wait_for_selector("#answer")
    until(page, "document.activeElement !== document.body")
    return str(page.get_attribute("#answer", "data-assignment"))


def onward(page: Any, assignment: str) -> None:
    """Wait until another question, or the end, is there."""
    until(
        page,
        "(before) => document.querySelector('#answer')?.dataset.assignment !== before && document.readyState === "
        "'complete'",
        arg=assignment,
    )


def explain(page: Any, text: str) -> None:
    page.keyboard.type(text)
    reach(page, "[name=confidence]")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Control+Enter")


def answers(served: Served) -> list[Any]:
    assert served.path is not None
    contents = read(served.path)
    return [response.answer.payload for response in joined(contents.answers, contents.assignments)]


def test_ten_explanations_through_a_restart(page: Any, make_server: Callable[..., app.Server]) -> None:
    served = Served(make_server, "explain", units=10, people=1)
    begin(page, served.start(), "explain")
    for number in range(10):
        assignment = question(page)
        if number == 3:  # a reload loses nothing that was written
            page.keyboard.type("half of ")
            page.reload()
            question(page)
            assert page.input_value("#text") == "half of "
            page.keyboard.press("End")
            explain(page, "an answer")
        elif number == 6:  # nor does an answer that is sent to a server that is away
            served.stop()
            explain(page, "sent to nobody")
            until(page, "document.getElementById('status').textContent.startsWith('No connection.')")
            time.sleep(1)
            served.start()
        else:
            explain(page, f"answer {number}")
        onward(page, assignment)
    assert "all your questions, 10 of them" in page.inner_text("main")
    texts = [f"answer {number}" for number in range(10)]
    texts[3], texts[6] = "half of an answer", "sent to nobody"
    assert answers(served) == [Explained(text, 2) for text in texts]
    served.stop()


STRENGTHS = dict(zip(AUTHORS, (1.5, 0.5, -0.5, -1.5), strict=True))
"""Of the explainers, in logits: the stated process by which the rater below chooses."""


CHOICES = {"1": "left", "2": "right"}


def preferred(texts: Sequence[str], rng: np.random.Generator) -> str:
    """Return the key of a choice between two explanations by Bradley and Terry's model."""
    odds = [math.exp(STRENGTHS[AUTHORS[int(text.rpartition(" ")[2])]]) for text in texts]
    return "1" if rng.random() < odds[0] / sum(odds) else "2"


def rated_by_others(served: Served, people: int, rng: np.random.Generator) -> None:
    """Let more people rate by the same process, without a browser."""
    server = served.make(served.mode, path=served.path, **served.settings)
    for number in range(people):
        person = Browser(server, address=f"person-{number}")
        person.begin()
        person.understand()
        while texts := re.findall(r'class="wording">([^<]*)', person.get("/work")):
            person.post("/answer", choice=CHOICES[preferred(texts, rng)])


def test_twenty_ratings_through_a_restart_and_the_report_recovers_what_made_the_choices(
    page: Any, make_server: Callable[..., app.Server]
) -> None:
    served = Served(make_server, "rate", units=18, people=12, rate=RateSettings(known=1, repeats=1))
    rng = np.random.default_rng(5)
    address, keys = served.start(), []
    begin(page, address, "rate")
    for number in range(20):
        assignment = question(page)
        keys.append(preferred(page.locator(".wording").all_inner_texts(), rng))
        if number == 10:  # the connection goes, the answer is given, the page is closed before it is back
            page.context.set_offline(True)
            page.keyboard.press(keys[-1])
            until(page, "document.getElementById('status').textContent.startsWith('No connection.')")
            page.goto("about:blank")
            served.stop()
            served.start()
            page.context.set_offline(False)
            page.goto(f"{address}work")
        else:
            page.keyboard.press(keys[-1])
        onward(page, assignment)
    assert "all your questions, 20 of them" in page.inner_text("main")
    assert [answer.choice for answer in answers(served)] == [CHOICES[key] for key in keys]
    served.stop()

    rated_by_others(served, 11, rng)
    assert served.path is not None
    study = report.read(served.path)
    fit = strengths.fit(comparisons(study.responses))
    assert fit.comparisons == 12 * 18  # neither pairs with a known answer nor repeated ones
    assert [row.author for row in fit.rows] == list(AUTHORS)
    for row in fit.rows:  # intervals of 95 %, twice as wide: a test that never fails by chance
        assert abs(STRENGTHS[row.author] - row.interval.mean) < row.interval.high - row.interval.low
    printed = markdown_page(report.build(study)).replace("\\", "")
    assert all(figure(row.interval.mean) in printed for row in fit.rows)


def test_five_intruders_and_two_simulations(page: Any, make_server: Callable[..., app.Server]) -> None:
    served = Served(make_server, "intruder", units=5, people=1)
    begin(page, served.start(), "intruder")
    for number in range(5):
        assignment = question(page)
        page.keyboard.press(str(number + 1))
        onward(page, assignment)
    assert answers(served) == [Picked(number) for number in range(5)]
    served.stop()

    served = Served(make_server, "simulate", units=2, people=1, questions=2)
    begin(page, served.start(), "simulate")
    for _ in range(2):
        assignment = question(page)
        for key in (
            "7",
            "ArrowRight",
            "x",
            "ArrowRight",
            "ArrowUp",
            "ArrowUp",
            "ArrowDown",
            "End",
            "3",
            "Control+Enter",
        ):
            page.keyboard.press(key)
        onward(page, assignment)
    assert answers(served) == [Levels((0, 7, 10, 1, 0, 0, 0, 0, 3))] * 2
    served.stop()


def test_levels_are_painted_by_mouse_too(page: Any, make_server: Callable[..., app.Server]) -> None:
    served = Served(make_server, "simulate", units=2, people=1, questions=1)
    begin(page, served.start(), "simulate")
    assignment = question(page)
    page.set_viewport_size({"width": 1600, "height": 900})
    boxes = [page.locator(".token").nth(place).bounding_box() for place in (2, 4)]
    page.locator(".chip span").nth(6).click()
    page.mouse.move(boxes[0]["x"] + 5, boxes[0]["y"] + 5)
    page.mouse.down()
    page.mouse.move(boxes[1]["x"] + 5, boxes[1]["y"] + 5, steps=40)
    page.mouse.up()
    page.click("button.main")
    onward(page, assignment)
    assert answers(served) == [Levels((0, 0, 6, 6, 6, 0, 0, 0, 0))]
    served.stop()


@pytest.mark.parametrize("mode", ["explain", "rate", "simulate", "intruder"])
def test_nothing_is_wider_than_the_window_and_everything_has_a_name(
    page: Any, make_server: Callable[..., app.Server], mode: str
) -> None:
    served = Served(make_server, mode)
    begin(page, served.start(), mode)
    for width in (320, 400, 1600):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    unnamed = page.evaluate(
        """[...document.querySelectorAll('input:not([type=hidden]), textarea, button, a, [role]')].filter((element) =>
        !(element.labels?.length || element.textContent.trim() || element.getAttribute('aria-label')
        || element.id === 'status')).length"""
    )
    assert unnamed == 0
    served.stop()
