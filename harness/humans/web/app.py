"""The server of a study: a person reads the card, passes the check, and answers one question after the other."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from harness.humans import design
from harness.humans.answers import Answer, Mode, PairKind, Question, SimulateQuestion
from harness.humans.design import Study
from harness.humans.keys import KeyFile
from harness.humans.store import Person, StudyStore, Turn
from harness.humans.web import forms, guard, pages
from harness.types import NeuroglossError, Unit

PROLIFIC = ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID")
"""The parameters that Prolific adds to the address of a study."""
_PROLIFIC_ID = re.compile(r"[0-9A-Za-z]{8,64}")
COOKIE_SECONDS = 90 * 24 * 3600
GIVEN = ("text", "confidence", "choice", "place", "levels")
"""What an answer can hold, in any mode."""
LAST = 1 << 30
"""A place behind every question."""


@dataclass(eq=False)
class Server:
    """What the pages work with.

    Attributes:
        study: what is asked.
        store: where it is kept.
        keys: of participants from Prolific; None where the study is not there.
        public: whether it can be reached beyond loopback, so that each person needs an invitation.
        attempts: failures to get in.
    """

    study: Study
    store: StudyStore
    keys: KeyFile | None = None
    public: bool = False
    attempts: guard.Attempts = field(default_factory=guard.Attempts)

    @property
    def cookie(self) -> str:
        """The name of the cookie, another for each study: browsers share cookies between ports of one host."""
        return f"study-{self.study.task_digest[:6]}-{self.study.mode}-{self.store.path.stem[-20:]}"


@dataclass(frozen=True)
class Visit:
    """A request of a browser: the secret of its session, who it is if anybody, and the form that it sent."""

    server: Server
    request: Request
    session: str
    person: Person | None
    form: forms.Form

    @property
    def csrf(self) -> str:
        """The token that its forms carry."""
        return guard.csrf_of(self.session)

    @property
    def by_script(self) -> bool:
        """Whether the script of a page sent it, which reads a status and a sentence and no page."""
        return "x-sent-by" in self.request.headers


class RefusalError(NeuroglossError):
    """A request that is answered with a sentence and a status."""

    def __init__(self, sentence: str, status: int = 422) -> None:
        super().__init__(sentence)
        self.status = status


def app(server: Server, hosts: tuple[str, ...]) -> Starlette:
    """Return the application.

    Args:
        server: what it works with.
        hosts: that it answers for.
    """
    routes = [
        Route("/", _endpoint(server, front)),
        Route("/begin", _endpoint(server, begin), methods=["POST"]),
        Route("/instructions", _endpoint(server, read_instructions)),
        Route("/check", _endpoint(server, check), methods=["POST"]),
        Route("/work", _endpoint(server, work)),
        Route("/answer", _endpoint(server, answer), methods=["POST"]),
        Route("/more", _endpoint(server, more), methods=["POST"]),
        Route("/static/{name}", asset),
    ]
    return Starlette(routes=routes, middleware=[Middleware(guard.Guard, hosts=hosts)])


def _endpoint(server: Server, page: Callable[[Visit], Response]) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a page, which waits for the disk in a thread."""

    async def endpoint(request: Request) -> Response:
        try:
            form = forms.parsed(await guard.body_of(request)) if request.method == "POST" else {}
            return await run_in_threadpool(_answered, server, request, form, page)
        except NeuroglossError as error:
            status = error.status if isinstance(error, RefusalError) else 422
            if "x-sent-by" in request.headers:
                return PlainTextResponse(str(error), status)
            return HTMLResponse(pages.render("message", title="That did not work", sentence=str(error)), status)

    return endpoint


def _answered(server: Server, request: Request, form: forms.Form, page: Callable[[Visit], Response]) -> Response:
    session = request.cookies.get(server.cookie, "")
    if request.method == "POST" and not guard.is_own_form(session, form.get("csrf", "")):
        raise RefusalError(
            "this form is not from a page of this study; load the page again, and allow its cookie.", 403
        )
    is_new = not session
    session = session or secrets.token_urlsafe(32)
    visit = Visit(server, request, session, None if is_new else server.store.person(session), form)
    response = page(visit)
    if is_new:
        response.set_cookie(
            server.cookie,
            session,
            max_age=COOKIE_SECONDS,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
    return response


async def asset(request: Request) -> Response:
    """Send one of the files that pages load; names are looked up, and never joined to a path."""
    path, kind = pages.ASSETS.get(request.path_params["name"], (None, ""))
    return PlainTextResponse("There is no such file.", 404) if path is None else FileResponse(path, media_type=kind)


# --------------------------------------------------------------------------------------------------------- who gets in


def front(visit: Visit) -> Response:
    """Show the card to who is new, and the work to who is not."""
    return _to("work") if visit.person else _card(visit, _prolific(visit, visit.request.query_params))


def _card(visit: Visit, prolific: Mapping[str, str], problem: str = "", status: int = 200) -> Response:
    server = visit.server
    card = server.study.settings.card
    page = pages.render(
        "card",
        title=card.title or "A study",
        card=card,
        csrf=visit.csrf,
        prolific=prolific,
        asks_token=server.public and not prolific,
        problem=problem,
    )
    return HTMLResponse(page, status)


def _prolific(visit: Visit, parameters: Mapping[str, str]) -> dict[str, str]:
    """Return Prolific's parameters, if all are there and of this study; else nothing."""
    values = {name: parameters.get(name, "") for name in PROLIFIC}
    is_ours = values["STUDY_ID"] == visit.server.study.settings.prolific.study
    is_whole = all(_PROLIFIC_ID.fullmatch(value) for value in values.values())
    return values if visit.server.keys is not None and is_ours and is_whole else {}


def begin(visit: Visit) -> Response:
    """Let a person in who agrees to the card, and has an invitation where one is needed."""
    server, form = visit.server, visit.form
    client = visit.request.client.host if visit.request.client else ""
    if not server.attempts.allows(client):
        raise RefusalError("too many attempts; wait five minutes.", 429)
    prolific = _prolific(visit, form)
    if form.get("agree") != "yes":
        return _card(visit, prolific, "Say that you have read this and take part, or leave the page.", 422)
    token = form.get("token", "").strip() if server.public and not prolific else ""
    if server.public and not prolific and not server.store.knows(token):
        server.attempts.failed(client)
        return _card(visit, prolific, "This is no invitation to the study; copy it whole from where you got it.", 403)
    holder = server.keys.annotator(*(prolific[name] for name in PROLIFIC)) if prolific and server.keys else ""
    server.store.admit(visit.session, pages.version(), token, holder)
    return _to("work")


def read_instructions(visit: Visit) -> Response:
    """Show the instructions again."""
    return _instructions(visit, _somebody(visit))


def _instructions(visit: Visit, person: Person, problem: str = "") -> Response:
    text = pages.instructions(visit.server.study.mode)
    page = pages.render(
        "instructions",
        title=text["title"],
        text=text,
        keys=pages.KEYS[visit.server.study.mode],
        csrf=visit.csrf,
        understood=person.understood,
        problem=problem,
    )
    return HTMLResponse(page, 422 if problem else 200)


def check(visit: Visit) -> Response:
    """Check whether the instructions are understood."""
    person = _somebody(visit)
    is_right = pages.passes(visit.server.study.mode, visit.form)
    visit.server.store.check(person, is_right)
    if is_right:
        return _to("work")
    return _instructions(visit, person, "Not all of these are right: read the instructions once more, and try again.")


# --------------------------------------------------------------------------------------------------------------- work


def work(visit: Visit) -> Response:
    """Show the next question of a person, or the one that they want to answer anew."""
    if visit.person is None:
        return _to("./")
    person, store = visit.person, visit.server.store
    if not person.understood:
        return _instructions(visit, person)
    at = visit.request.query_params.get("at")
    turn = store.turn(person, at) if at else _next(visit, person)
    if turn is None:
        return _to("work") if at else _done(visit, person)
    return HTMLResponse(_question(visit, person, turn))


def _next(visit: Visit, person: Person) -> Turn | None:
    """Return the next turn of a person, whose question is recorded as shown; somebody new is given a block first."""
    store = visit.server.store
    store.release(visit.server.study.settings.abandoned * 60)
    store.retake(person)
    if store.standing(person).questions == 0:
        _claim(visit.server, person)
    while (turn := store.next_turn(person)) is not None:
        if turn.shown_at is not None:
            return turn
        selection = _chosen(visit.server, person, turn)
        if selection is not None:
            return store.show(turn, *selection)
        store.drop(turn)
    return None


def _claim(server: Server, person: Person) -> int:
    settings = server.study.settings
    known_pairs, repeats = (settings.rate.known, settings.rate.repeats) if server.study.mode is Mode.RATE else (0, 0)
    return server.store.claim(person, settings.questions - known_pairs - repeats, known_pairs, repeats)


def _chosen(server: Server, person: Person, turn: Turn) -> tuple[Unit, Question] | None:
    """Return the unit and the question of a turn, chosen now if they are open; None if there is nothing to ask."""
    if turn.unit is not None and turn.question is not None:
        return turn.unit, turn.question
    ratings, seed = server.store.ratings(person), int(turn.assignment, 16)
    if turn.kind is PairKind.KNOWN:
        return design.known_pair(server.study, seed)
    if turn.unit is None or turn.kind is None:
        return design.repeated_pair(ratings.earlier)
    return turn.unit, design.pair(server.study, turn.unit, turn.kind, ratings, seed)


def _question(visit: Visit, person: Person, turn: Turn) -> str:
    assert turn.unit is not None
    assert turn.question is not None
    server, standing = visit.server, visit.server.store.standing(person)
    earlier, payload = server.store.answered_before(person, turn.place), server.store.answer_of(turn)
    return pages.render(
        "question",
        **pages.question_values(server.study, turn.unit, turn.question),
        assignment=turn.assignment,
        answer_id=secrets.token_hex(16),
        csrf=visit.csrf,
        number=standing.answers + (payload is None),
        questions=standing.questions,
        answered=standing.answers,
        back=earlier.assignment if earlier else "",
        again=payload is not None,
        given=dict.fromkeys(GIVEN) | dict(payload or {}),
    )


def answer(visit: Visit) -> Response:
    """Keep an answer; the script of a page is told that it is kept, anything else is led to the next question."""
    person, server, form = _somebody(visit), visit.server, visit.form
    turn = server.store.turn(person, form.get("assignment", ""))
    if turn is None or turn.unit is None or turn.question is None or turn.shown_at is None:
        raise RefusalError("this question was never put to you; load the page again.", 404)
    server.store.put(
        Answer(
            id=forms.answer_id(form),
            annotator=person.id,
            assignment=turn.assignment,
            unit=turn.unit,
            shown_at=turn.shown_at,
            answered_at=server.store.clock(),
            page=pages.version(),
            payload=forms.payload(server.study.mode, form, _extent(server.study, turn.unit, turn.question)),
        )
    )
    return Response(status_code=204) if visit.by_script else _to("work")


def _extent(study: Study, unit: Unit, question: Question) -> forms.Extent:
    if not isinstance(question, SimulateQuestion):
        return forms.Extent()
    (excerpt,) = study.excerpts(unit, (question.excerpt,))
    return forms.Extent(len(excerpt.tokens), excerpt.leading)


def more(visit: Visit) -> Response:
    """Give a person who has answered everything another block."""
    person = _somebody(visit)
    standing = visit.server.store.standing(person)
    if person.understood and standing.answers == standing.questions:
        _claim(visit.server, person)
    return _to("work")


def _done(visit: Visit, person: Person) -> Response:
    server, store = visit.server, visit.server.store
    number = store.standing(person).answers
    code = server.study.settings.prolific.code
    last = store.answered_before(person, LAST)
    page = pages.render(
        "done",
        title="Thank you",
        answered=number,
        code=code if code and number else "",
        more=not code and bool(number) and store.has_more(person),
        csrf=visit.csrf,
        back=last.assignment if last else "",
    )
    return HTMLResponse(page)


def _somebody(visit: Visit) -> Person:
    if visit.person is None:
        raise RefusalError("you have not begun in this browser; open the address of the study.", 403)
    return visit.person


def _to(place: str) -> Response:
    return RedirectResponse(place, 303)
