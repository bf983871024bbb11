"""A small version of benchmarks/humans.py, without its clock: many people at once on a real server lose nothing."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from benchmarks import humans


def test_people_who_answer_at_once_lose_nothing(tmp_path: Path) -> None:
    people, questions = 8, 4
    path = tmp_path / "study.sqlite"
    server = humans.prepared(humans.made_up_study(people, questions), path)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        visitors = humans.take_part(listener.getsockname()[1], people)
    finally:
        server.should_exit = True
        thread.join(timeout=30)
    answers = people * questions
    assert humans.kept(path, visitors) == {"sent": answers, "kept": answers, "people": people, "most_of_one_slot": 1}
