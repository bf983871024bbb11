"""The pages of a study: what people are sent, what they send, and who gets in."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.config.settings import CardSettings, ExclusionSettings, ProlificSettings
from harness.humans.answers import Explained, Levels, Mode, PairKind, Picked, Rated, RateQuestion, joined
from harness.humans.store import StudyStore, read
from harness.humans.web import app, forms, guard, pages
from harness.tasks import catalog
from harness.types import Excerpt, ExcerptKind, NeuroglossError, Task
from tests.humans.conftest import AUTHORS, Browser

Maker = Callable[..., app.Server]
REPLIES: dict[str, dict[str, str]] = {
    "explain": {"text": "  the word\n harbour ", "confidence": "4"},
    "rate": {"choice": "both"},
    "simulate": {"levels": "9,1,2,3,4,5,6,7,10"},
    "intruder": {"place": "2"},
}
KEPT = {
    "explain": Explained("the word harbour", 4),
    "rate": Rated("both"),  # type: ignore[arg-type]
    "simulate": Levels((0, 1, 2, 3, 4, 5, 6, 7, 10)),
    "intruder": Picked(2),
}


@pytest.mark.parametrize("mode", Mode)
def test_a_person_answers_everything_and_it_is_all_kept(make_server: Maker, mode: str) -> None:
    server = make_server(mode, people=1)
    browser = Browser(server)
    assert "An example" in browser.begin()
    for _ in range(60):
        browser.get("/work")
        if "Thank you" in browser.page:
            break
        if "check0" in browser.page:
            browser.understand()
            continue
        browser.post("/answer", **REPLIES[mode])
        assert browser.status == 200
    contents = read(server.store.path)
    responses = joined(contents.answers, contents.assignments)
    checks = 2 if mode == "rate" else 0
    assert len(responses) == len({slot.treatment for slot in server.study.slots}) + checks
    assert {response.answer.payload for response in responses} == {KEPT[mode]}
    assert {response.answer.page for response in responses} == {pages.version()}
    assert all(response.answer.seconds >= 0 for response in responses)
    assert f"all your questions, {len(responses)} of them" in browser.page


@pytest.mark.parametrize("mode", Mode)
def test_pages_hold_nothing_that_would_give_anything_away(make_server: Maker, mode: str) -> None:
    browser = Browser(make_server(mode))
    browser.begin()
    page = browser.understand()
    assert 'id="answer"' in page
    text = re.sub(r"(?s)<[^>]*>", "", page.split('<form method="post" action="answer"')[1])
    for secret in ("L0N", "L1N", "made-up-v1", "0.1", "adaptive", "random", "known", "trial"):
        assert secret not in text
    for author in AUTHORS:
        assert author not in page
    assert not re.search(r"(?i)\b(unit|layer|author|kind|weight|intruder|correct)=", page)
    assert ("intruder" in page) == (mode == "intruder")
    if mode == "explain":
        assert "in wording" not in page, "no explanation before one's own"
    if mode == "rate":
        assert page.count("in wording") == 2


def test_explainers_and_people_see_the_same_excerpts(make_server: Maker) -> None:
    server = make_server("explain")
    for record in server.study.records.values():
        slot = next(slot for slot in server.study.slots if slot.unit == record.unit)
        values = pages.question_values(server.study, record.unit, slot.question)  # type: ignore[arg-type]
        assert [[token.text for token in text] for text in values["texts"]] == [list(e.tokens) for e in record.shown]
        assert max(token.level for text in values["texts"] for token in text) == 10


def test_what_others_wrote_is_text_and_nothing_more(make_server: Maker) -> None:
    server = make_server("rate")
    hostile = "</p><script>alert(1)</script>\x1b[2J\u202e"
    wordings = {
        unit: tuple(replace(word, text=f"{hostile}{word.author}") for word in words)
        for unit, words in server.study.wordings.items()
    }
    browser = Browser(replace_study(server, wordings=wordings))
    browser.begin()
    page = browser.understand()
    assert "&lt;/p&gt;&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page


def replace_study(server: app.Server, **changes: Any) -> app.Server:
    return app.Server(replace(server.study, **changes), server.store)


def test_no_script_or_style_stands_in_a_page(make_server: Maker) -> None:
    browser = Browser(make_server("simulate"))
    for page in (browser.get("/"), browser.begin(), browser.understand()):
        assert not re.search(r"(?i)<script(?![^>]*src=\"static/human\.js\")|<style|\son\w+=|style=|javascript:", page)
        assert not re.search(r'(src|href|action)="(https?:)?//', page)
    headers = browser.client.get("/work").headers
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert browser.client.get("/nowhere").headers["x-content-type-options"] == "nosniff"


# ---------------------------------------------------------------------------------------------------- nothing is lost


def test_a_restart_and_a_reload_change_nothing(make_server: Maker) -> None:
    server = make_server("rate")
    browser = Browser(server)
    browser.begin()
    browser.understand()
    browser.post("/answer", choice="left")
    before = browser.get("/work")
    server.store.close()
    again = Browser(make_server("rate", path=server.store.path))
    again.client.cookies = browser.client.cookies
    after = again.get("/work")
    strip = re.compile(r'name="id" value="\w+"')
    assert strip.sub("", after) == strip.sub("", before)
    assert "Question 2 of" in after


def test_an_answer_sent_twice_is_one_and_a_later_one_corrects_it(make_server: Maker) -> None:
    server = make_server("explain")
    browser = Browser(server)
    browser.begin()
    browser.understand()
    form, assignment = browser.page, browser.assignment
    for _ in range(3):
        browser.page = form
        browser.post("/answer", text="first", confidence="1")
    page = browser.get(f"/work?at={assignment}")
    assert ">first</textarea>" in page
    assert "what you answer now takes its place" in page
    browser.post("/answer", text="second", confidence="2")
    rows = read(server.store.path).answers
    assert [(row.payload, row.corrects is not None) for row in rows] == [
        (Explained("first", 1), False),
        (Explained("second", 2), True),
    ]


def test_somebody_who_sees_no_pattern_says_so(make_server: Maker) -> None:
    server = make_server("explain")
    browser = Browser(server)
    browser.begin()
    browser.understand()
    browser.post("/answer", nothing="yes", text="ignored", confidence="1")
    assert [row.payload for row in read(server.store.path).answers] == [Explained("", 1)]


# -------------------------------------------------------------------------------------------------------- rated pairs


def test_pairs_are_of_every_kind_and_sides_are_drawn(make_server: Maker) -> None:
    server = make_server("rate", units=12)
    people = len({slot.block for slot in server.study.slots})
    for _ in range(people):
        browser = Browser(server)
        browser.begin()
        browser.understand()
        while 'id="answer"' in browser.page:
            assert browser.post("/answer", choice="left")
    contents = read(server.store.path)
    responses = joined(contents.answers, contents.assignments)
    by_kind: dict[PairKind, list[Any]] = {kind: [] for kind in PairKind}
    for response in responses:
        question = response.assignment.question
        assert isinstance(question, RateQuestion)
        by_kind[question.kind].append(response)
    slots = len(server.study.slots)
    assert len(by_kind[PairKind.RANDOM]) == int(slots * 0.3)
    assert len(by_kind[PairKind.ADAPTIVE]) == slots - int(slots * 0.3)
    assert (
        len(by_kind[PairKind.KNOWN])
        == len(by_kind[PairKind.REPEAT])
        == 4 * len({slot.block for slot in server.study.slots}) // 4
    )
    for response in by_kind[PairKind.KNOWN]:
        question, unit = response.assignment.question, response.assignment.unit
        assert question.left.author == question.right.author
        assert {question.left.about == unit, question.right.about == unit} == {True, False}
        assert response.assignment.correct in ("left", "right")
    questions = {response.assignment.id: response.assignment.question for response in responses}
    for response in by_kind[PairKind.REPEAT]:
        first = questions[response.assignment.question.repeats]
        assert (first.left, first.right) == (response.assignment.question.right, response.assignment.question.left)
    firsts = {question.left.author for question in questions.values()}
    assert len(firsts) > 1
    same = [
        q.left.author < q.right.author for q in questions.values() if q.kind in (PairKind.RANDOM, PairKind.ADAPTIVE)
    ]
    assert 0.2 < sum(same) / len(same) < 0.8, "sides do not tell authors"


# --------------------------------------------------------------------------------------------------------- who gets in


def test_a_form_from_elsewhere_is_refused(make_server: Maker) -> None:
    server = make_server("explain")
    browser, other = Browser(server), Browser(server)
    browser.begin()
    browser.understand()
    other.begin()
    stolen = browser.page
    for token in ("", "0" * 64, guard.csrf_of("guess")):
        browser.page = stolen
        browser.post("/answer", csrf=token, text="x", confidence="1")
        assert browser.status == 403
    other.page = stolen
    other.post("/answer", text="x", confidence="1")
    assert other.status == 403, "a form of another browser"
    assert Browser(server).client.post("/begin", data={"agree": "yes"}).status_code == 403
    assert read(server.store.path).answers == ()


def test_nobody_answers_a_question_of_somebody_else(make_server: Maker) -> None:
    server = make_server("explain")
    first, second = Browser(server), Browser(server)
    for browser in (first, second):
        browser.begin()
        browser.understand()
    second.post("/answer", assignment=first.assignment, text="x", confidence="1")
    assert second.status == 404
    assert "never put to you" in second.page
    assert second.get(f"/work?at={first.assignment}").count(first.assignment) == 0


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8765", 200),
        ("evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("", 400),
        ("[::1", 400),
    ],
)
def test_a_name_that_points_here_opens_nothing(make_server: Maker, host: str, status: int) -> None:
    browser = Browser(make_server("explain"))
    assert browser.client.get("/", headers={"Host": host}).status_code == status


def test_no_path_leads_to_another_file(make_server: Maker) -> None:
    client = Browser(make_server("explain")).client
    for name in pages.ASSETS:
        assert client.get(f"/static/{name}").status_code == 200
    for name in ("../app.py", "..%2fapp.py", "%2e%2e/%2e%2e/store.py", "app.py", "card.html.j2", "/etc/passwd", ""):
        assert client.get(f"/static/{name}").status_code == 404


@pytest.mark.parametrize("text", ["'); DROP TABLE answers; --", '" OR 1=1 --', "\x00", "\ud83d\ude00 ü"])
def test_what_is_sent_is_never_sql(make_server: Maker, text: str) -> None:
    server = make_server("explain")
    browser = Browser(server)
    browser.begin()
    browser.understand()
    browser.post(
        "/answer", text=text.encode("utf-8", "surrogatepass").decode("utf-8", "replace") or "x", confidence="3"
    )
    assert browser.status == 200
    assert len(read(server.store.path).answers) == 1
    for assignment in (text, "' OR '1'='1"):
        assert browser.get(f"/work?at={assignment.encode('utf-8', 'ignore').hex()}' OR '1'='1")
        assert (
            browser.client.post("/answer", data={"assignment": assignment.encode("utf-8", "ignore")}).status_code == 403
        )


def test_what_is_too_large_is_not_read(make_server: Maker) -> None:
    browser = Browser(make_server("explain"))
    browser.begin()
    browser.understand()
    browser.post("/answer", text="x" * forms.MOST_BYTES, confidence="3")
    assert browser.status == 413

    chunks = (b"text=" + b"x" * 8192 for _ in range(20))
    reply = browser.client.post("/answer", content=chunks, headers={"x-sent-by": "script"})
    assert (reply.status_code, "too large" in reply.text) == (422, True)
    browser.get("/work")
    browser.post("/answer", text="x" * 1001, confidence="3")
    assert "1000 are allowed" in browser.page


@pytest.mark.parametrize(
    ("mode", "fields", "words"),
    [
        ("explain", {"confidence": "3"}, "write what the unit responds to"),
        ("explain", {"text": "x"}, "say how sure you are"),
        ("explain", {"text": "x", "confidence": "9"}, "confidence is 9"),
        ("explain", {"text": "x", "confidence": "3", "id": "short"}, "no id of 8 to 64"),
        ("rate", {"choice": "middle"}, "choose one of the four"),
        ("simulate", {"levels": "1,2"}, "did not arrive whole"),
        ("simulate", {"levels": "0,1,2,3,4,5,6,7,11"}, "a level is 11"),
        ("simulate", {"levels": "0,1,2,3,4,5,6,7,-1"}, "did not arrive whole"),
        ("intruder", {"place": "5"}, "the place of an intruder is 5"),
        ("intruder", {}, "choose the text"),
    ],
)
def test_an_answer_that_is_none_is_refused_in_one_sentence(
    make_server: Maker, mode: str, fields: dict[str, str], words: str
) -> None:
    server = make_server(mode)
    browser = Browser(server)
    browser.begin()
    browser.understand()
    browser.post("/answer", **fields)
    assert browser.status == 422
    assert words in browser.page
    assert read(server.store.path).answers == ()


def test_a_field_sent_twice_is_refused() -> None:
    with pytest.raises(NeuroglossError, match="sent twice"):
        forms.parsed(b"a=1&a=2")
    with pytest.raises(NeuroglossError, match="no form"):
        forms.parsed(b"\xff")


def test_beyond_loopback_only_the_invited_get_in_and_nobody_guesses(make_server: Maker) -> None:
    server = make_server("explain", public=True)
    (token,) = server.store.invite(1)
    browser = Browser(server, ("study.example.org", "127.0.0.1"))
    assert 'name="token"' in browser.get("/")
    assert browser.begin()
    assert browser.status == 403
    for _ in range(9):
        browser.begin(token="wrong-token")
        assert browser.status == 403
    browser.begin(token=token)
    assert browser.status == 429, "not even with the right one"
    elsewhere = Browser(server, address="bob")
    assert "An example" in elsewhere.begin(token=f" {token} ")
    elsewhere.understand()
    first = elsewhere.assignment
    phone = Browser(server, address="bob")
    assert phone.begin(token=token)
    assert (phone.get("/work"), phone.assignment)[1] == first, "the same person goes on where they were"


def test_failures_are_forgotten_after_a_while() -> None:
    now = [0.0]
    attempts = guard.Attempts(2, 10.0, lambda: now[0])
    for _ in range(2):
        attempts.failed("a")
    assert (attempts.allows("a"), attempts.allows("b")) == (False, True)
    for place in range(18):
        attempts.failed(f"c{place}")
    assert not attempts.allows("b"), "nor from many places"
    now[0] = 10.1
    assert attempts.allows("a")


def test_people_from_prolific_get_in_get_their_code_and_stay_unknown(make_server: Maker) -> None:
    server = make_server("intruder", public=True, people=1, prolific=ProlificSettings("5" * 24, "C0DE-1"))
    participant, session = "6a" * 12, "7b" * 12
    browser = Browser(server, ("127.0.0.1",))
    query = f"/?PROLIFIC_PID={participant}&STUDY_ID={'5' * 24}&SESSION_ID={session}"
    assert 'name="token"' not in browser.get(query)
    browser.post("/begin", agree="yes")
    browser.understand()
    while 'id="answer"' in browser.page:
        assert "C0DE-1" not in browser.page
        browser.post("/answer", place="0")
    assert "https://app.prolific.com/submissions/complete?cc=C0DE-1" in browser.page
    again = Browser(server, ("127.0.0.1",))
    again.get(query)
    again.post("/begin", agree="yes")
    assert "C0DE-1" in again.get("/work"), "the same participant is the same person"
    files = b"".join(path.read_bytes() for path in server.store.path.parent.glob("intruder.sqlite*"))
    for secret in (participant, session):
        assert secret.encode() not in files
    for wrong in (query.replace("5" * 24, "4" * 24), query.replace(participant, "x' OR 1"), query.replace(session, "")):
        assert 'name="token"' in Browser(server, ("127.0.0.1",)).get(wrong)


def test_nobody_begins_without_agreeing_nor_works_without_having_understood(make_server: Maker) -> None:
    server = make_server("rate")
    browser = Browser(server)
    browser.get("/")
    assert "Say that you have read this" in browser.post("/begin")
    assert browser.get("/work").count("You agree to this."), "back at the card"
    browser.post("/begin", agree="yes")
    assert "Not all of these are right" in browser.post("/check", check0="0", check1="0", check2="0")
    assert 'id="answer"' not in browser.get("/work")
    query = "SELECT tries FROM annotators"
    assert sqlite3.connect(server.store.path).execute(query).fetchall() == [(1,)]
    assert 'id="answer"' in browser.understand()


def test_the_card_says_all_that_it_holds(make_server: Maker) -> None:
    page = Browser(make_server("explain")).get("/")
    for text in (
        "Title of the study",
        "You agree to this.",
        "And to that.",
        "9 pounds",
        "IRB 1",
        "ask@here",
        "7 minutes",
    ):
        assert text in page


def test_everybody_gets_other_questions_and_more_if_there_are_any(make_server: Maker) -> None:
    server = make_server("explain", people=1, questions=3)
    browser = Browser(server)
    browser.begin()
    browser.understand()
    for number in range(6):
        if number == 3:
            assert "Answer more questions" in browser.page
            browser.post("/more")
        browser.post("/answer", text=f"x{number}", confidence="3")
    assert "Answer more questions" not in browser.page
    assert len({row.unit for row in read(server.store.path).answers}) == 6
    late = Browser(server)
    late.begin()
    assert "There is nothing to answer at the moment" in late.understand()


def test_examples_are_no_texts_of_the_task() -> None:
    task = catalog.read(catalog.find_task("smollm2-v2"))
    assert isinstance(task, Task)
    corpus = "\n".join("".join(item.tokens) for record in task.records for item in (*record.top, *record.random))
    assert len(corpus) > 100_000
    for mode in Mode:
        for tokens in pages.instructions(mode)["example"]["texts"]:
            assert "".join(token.text for token in tokens[:8]) not in corpus


def test_white_space_of_a_text_can_be_seen_and_its_lines_are_kept() -> None:
    tokens = ("Once", " upon", "\n\n", "  ", "a\t", "\n  b")
    excerpt = Excerpt(tokens, (), (0.0,) * 6, ExcerptKind.TOP, leading=1)
    blanks = pages.blanks(excerpt)
    assert [blank.text for blank in blanks] == ["Once", " upon", "↵↵", "␣␣", "a⇥", "↵  b"]
    assert [blank.ends for blank in blanks] == [False, False, True, False, False, True]
    assert [blank.spoken for blank in blanks] == ["Once", "upon", "line break", "space", "a", "b"]
    assert [(blank.scored, blank.first) for blank in blanks[:3]] == [(False, False), (True, True), (True, False)]


def test_a_store_of_another_study_is_refused(make_server: Maker, make_study: Callable[..., Any]) -> None:
    server = make_server("explain")
    other = make_study("rate")
    with pytest.raises(NeuroglossError, match="holds another study"):
        StudyStore(server.store.path).prepare(other.identity, {}, other.slots)


def test_whose_answers_are_left_out_is_fixed_before_the_data(
    make_server: Maker, make_study: Callable[..., Any]
) -> None:
    server = make_server("explain")
    later = make_study("explain", card=CardSettings("another title", exclusion=ExclusionSettings(least_known=0.9)))
    with pytest.raises(NeuroglossError, match="its exclusion differs"):
        StudyStore(server.store.path).prepare(later.identity, {}, later.slots)
    retitled = make_study("explain", card=CardSettings("another title"))
    StudyStore(server.store.path).prepare(retitled.identity, {}, retitled.slots)
