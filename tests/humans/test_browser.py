"""A whole annotator in a real browser, by keyboard alone, through a restart of the server in the middle."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from harness.config.settings import RateSettings
from harness.humans.answers import Explained, Levels, Picked, Rated, joined
from harness.humans.store import read
from harness.humans.web import app, guard, pages

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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    driver = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    with driver.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


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
    for place, item in enumerate(pages.instructions(pages.Mode(mode))["check"]):
        reach(page, f"[name=check{place}]")
        page.keyboard.press("Space")
        for _ in range(item["correct"]):
            page.keyboard.press("ArrowDown")
    reach(page, "button.main")
    page.keyboard.press("Enter")
    page.wait_for_selector("#answer")


def question(page: Any) -> str:
    page.wait_for_selector("#answer")
    page.wait_for_function("document.activeElement !== document.body")
    return str(page.get_attribute("#answer", "data-assignment"))


def onward(page: Any, assignment: str) -> None:
    """Wait until another question, or the end, is there."""
    page.wait_for_function(
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
            page.wait_for_function("document.getElementById('status').textContent.startsWith('No connection.')")
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


def test_twenty_ratings_through_a_restart_of_the_browser_and_the_server(
    page: Any, make_server: Callable[..., app.Server]
) -> None:
    served = Served(make_server, "rate", units=16, people=1, rate=RateSettings(known=2, repeats=2))
    address = served.start()
    begin(page, address, "rate")
    for number in range(20):
        assignment = question(page)
        if number == 10:  # the connection goes, the answer is given, the page is closed before it is back
            page.context.set_offline(True)
            page.keyboard.press("4")
            page.wait_for_function("document.getElementById('status').textContent.startsWith('No connection.')")
            served.stop()
            served.start()
            page.context.set_offline(False)
            page.goto(f"{address}work")
        else:
            page.keyboard.press(str(1 + number % 4))
        onward(page, assignment)
    assert "all your questions, 20 of them" in page.inner_text("main")
    choices = ["left", "right", "both", "neither"]
    expected = [choices[3 if number == 10 else number % 4] for number in range(20)]
    assert answers(served) == [Rated(choice) for choice in expected]  # type: ignore[arg-type]
    served.stop()


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
