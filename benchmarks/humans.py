"""Fifty people answer a study at once on loopback: is anything lost, and how long do they wait?

    python benchmarks/humans.py              # 50 people, 12 explanations each, a second for each
    python benchmarks/humans.py --pause 0    # each asks for the next page the moment that it has one

A real server (uvicorn, SQLite with every answer synchronised to disk) runs in a process of its own and asks about a
made-up task; each person is a thread with a connection of its own, who opens the card, passes the check, and answers
one question after the other, each after a second on average. The last line is JSON: requests, the median, 95th
percentile and longest wait in milliseconds, the load of the machine, and how many answers were sent and are in the
file.
"""

from __future__ import annotations

import argparse
import html
import http.client
import json
import multiprocessing
import os
import random
import re
import socket
import sqlite3
import statistics
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import uvicorn

from harness.config.settings import CardSettings, StudySettings, TaskSettings
from harness.humans import blocks
from harness.humans.answers import ExplainQuestion, Mode
from harness.humans.design import Slot, Study
from harness.humans.store import StudyStore, read
from harness.humans.web import app, guard, pages
from harness.types import Excerpt, ExcerptKind, Record, Splits, TokenSums, Unit


def made_up_study(people: int, questions: int) -> Study:
    """A study that asks each of the people as many questions as they are to answer."""
    units = max(questions, people)
    records = {}
    for number in range(units):
        tokens = tuple(f" w{number}x{place}" for place in range(64))
        excerpts = tuple(
            Excerpt((f"e{index}", *tokens), (), (0.0, *(float(place % 9) for place in range(64))), ExcerptKind.TOP)
            for index in range(5)
        )
        sums = TokenSums((), np.zeros(0, dtype=np.int64), np.zeros(0))
        records[Unit("N", 0, number)] = Record(
            Unit("N", 0, number), Splits(excerpts, (), (), ()), excerpts, sums, 0.0, 0.0
        )
    copies = [people * questions // units] * units
    slots = tuple(
        Slot(
            number,
            str(place),
            Unit("N", 0, place),
            None,
            ExplainQuestion(tuple(item.digest for item in records[Unit("N", 0, place)].shown)),
        )
        for number, block in enumerate(blocks.deal(copies, questions, 0))
        for place in block
    )
    settings = StudySettings(
        mode="explain", task=TaskSettings("made-up-v1"), card=CardSettings("t", "c"), questions=questions
    )
    return Study(settings, "0" * 64, records, slots=slots, identity={"mode": "explain", "task": "made-up-v1"})


def prepared(study: Study, path: Path) -> uvicorn.Server:
    """The server of a study, which a thread or a process then runs."""
    store = StudyStore(path)
    store.prepare(study.identity, {}, study.slots)
    application = app.app(app.Server(study, store), guard.LOOPBACK)
    return uvicorn.Server(uvicorn.Config(application, log_level="warning", lifespan="off", access_log=False))


def serve(study: Study, path: Path, port: multiprocessing.Queue[int]) -> None:
    """Serve the study on a free port of loopback."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    server = prepared(study, path)
    port.put(listener.getsockname()[1])
    server.run(sockets=[listener])


class Person(threading.Thread):
    """Somebody who answers everything that they are asked, and measures each wait."""

    def __init__(self, port: int, start: threading.Barrier, pause: float = 0.0) -> None:
        super().__init__(daemon=True)
        self.port, self.start_together, self.pause = port, start, pause
        self.waits: list[float] = []
        self.sent = 0
        self.page = ""
        self.cookie = ""

    def run(self) -> None:
        """Take part."""
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self.start_together.wait()
        self.request("GET", "/")
        self.post("/begin", agree="yes")
        self.request("GET", "/work")
        checks = pages.instructions(Mode.EXPLAIN)["check"]
        self.post("/check", **{f"check{place}": str(item["correct"]) for place, item in enumerate(checks)})
        self.request("GET", "/work")
        while 'id="answer"' in self.page:
            time.sleep(random.uniform(0.0, self.pause))
            if self.post("/answer", text=f"answer {self.sent}", confidence="3") == 303:
                self.sent += 1
            self.request("GET", "/work")

    def post(self, place: str, **fields: str) -> int:
        """Send the form of the page that was read last."""
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', self.page))
        return self.request(
            "POST", place, urlencode({name: html.unescape(value) for name, value in {**hidden, **fields}.items()})
        )

    def request(self, method: str, place: str, body: str | None = None) -> int:
        """Wait for a reply, and keep its page."""
        begun = time.perf_counter()
        self.connection.request(method, place, body, {"Cookie": self.cookie} if self.cookie else {})
        reply = self.connection.getresponse()
        text = reply.read().decode()
        self.waits.append(time.perf_counter() - begun)
        self.cookie = (reply.getheader("set-cookie") or self.cookie).partition(";")[0]
        self.page = text if reply.status == 200 else self.page
        return reply.status


def take_part(port: int, people: int, pause: float = 0.0) -> list[Person]:
    """Let so many people take part at once, and return them when all have ended."""
    gate = threading.Barrier(people)
    visitors = [Person(port, gate, pause) for _ in range(people)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    return visitors


def kept(path: Path, visitors: list[Person]) -> dict[str, int]:
    """Return how many answers were sent and are in the file, of how many people, and the most that one slot has."""
    answers = read(path).answers
    return {
        "sent": sum(visitor.sent for visitor in visitors),
        "kept": len(answers),
        "people": len({answer.annotator for answer in answers}),
        "most_of_one_slot": max(_answers_of_slots(path)),
    }


def measure(people: int, questions: int, pause: float, folder: Path) -> dict[str, float]:
    """Let people answer a study at once, and return what they waited and what was kept."""
    spawning = multiprocessing.get_context("spawn")
    ports: multiprocessing.Queue[int] = spawning.Queue()
    path = folder / "study.sqlite"
    server = spawning.Process(target=serve, args=(made_up_study(people, questions), path, ports), daemon=True)
    server.start()
    try:
        port = ports.get(timeout=300)
        begun = time.perf_counter()
        visitors = take_part(port, people, pause)
        seconds = time.perf_counter() - begun
    finally:
        server.terminate()
        server.join()
    waits = sorted(wait for visitor in visitors for wait in visitor.waits)
    return {
        "requests": len(waits),
        "seconds": round(seconds, 2),
        "median_ms": round(1000 * statistics.median(waits), 1),
        "p95_ms": round(1000 * waits[int(0.95 * len(waits))], 1),
        "longest_ms": round(1000 * waits[-1], 1),
        "load": round(os.getloadavg()[0], 1),
        **kept(path, visitors),
    }


def _answers_of_slots(path: Path) -> list[int]:
    """Return how many answers each slot has."""
    query = "SELECT count(*) FROM answers r JOIN assignments a ON a.id = r.assignment GROUP BY a.slot"
    return [count for (count,) in sqlite3.connect(path).execute(query)]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--questions", type=int, default=12)
    parser.add_argument("--pause", type=float, default=2.0, help="the longest, in seconds; half of it on average (2)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(options.people, options.questions, options.pause, Path(folder))))


if __name__ == "__main__":
    main()
