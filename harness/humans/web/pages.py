"""The pages of a study as HTML: templates filled with what a person may see, and nothing else.

Names of units, layers, scores, authors and sources are nowhere in them.
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from harness.explainers.shared.levels import shown_tokens
from harness.guards.printing import harmless
from harness.humans.answers import (
    Choice,
    ExplainQuestion,
    IntruderQuestion,
    Mode,
    Question,
    RateQuestion,
    SimulateQuestion,
)
from harness.humans.design import Study
from harness.humans.web.forms import LONGEST
from harness.report import html as html_templates
from harness.report import site
from harness.types import Excerpt, Unit

HERE = Path(__file__).parent
ASSETS = {
    "site.css": (Path(site.__file__).parent / "site.css", "text/css"),
    "human.css": (HERE / "human.css", "text/css"),
    "human.js": (HERE / "human.js", "text/javascript"),
}
"""The files that pages load: each by its name, with its path and its type. No other file is ever sent."""
STRONG = 5
"""The level from which a screen reader names a token as marked most."""
MARKED = 7
"""The level as which a marked token is drawn where tokens are marked or not."""
CONFIDENCES = ((1, "guessing"), (2, "unsure"), (3, "fairly sure"), (4, "sure"), (5, "very sure"))
CHOICES = (
    ("1", Choice.LEFT, "Left fits better"),
    ("2", Choice.RIGHT, "Right fits better"),
    ("3", Choice.BOTH, "Both equally"),
    ("4", Choice.NEITHER, "Neither"),
)
KEYS: Mapping[Mode, Sequence[tuple[str, str]]] = {
    Mode.EXPLAIN: (("Tab", "to the next field"), ("← →", "change how sure you are"), ("Ctrl+Enter", "answer")),
    Mode.RATE: (("1", "left"), ("2", "right"), ("3", "both"), ("4", "neither")),
    Mode.SIMULATE: (
        *(("← →", "to another word"), ("0 to 9, x", "set a level; x is 10"), ("↑ ↓", "change the level")),
        ("Ctrl+Enter", "answer"),
    ),
    Mode.INTRUDER: (("1 to 5", "the text that does not belong"),),
}


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is drawn: its text, and its level from 0 to 10."""

    text: str
    level: int

    @property
    def lead(self) -> str:
        """The white space before a word, which is not marked: at the end of a line it would stand there alone."""
        return self.text[: len(self.text) - len(self.body)]

    @property
    def body(self) -> str:
        """The text without the white space before it; all of it where there is nothing else."""
        return self.text.lstrip() or self.text


@dataclass(frozen=True, slots=True)
class Blank:
    """A token whose level a person gives.

    Attributes:
        place: in the excerpt, from 0.
        text: with white space made visible.
        spoken: what a screen reader says.
        scored: whether it counts; leading ones do not, and take no level.
        first: whether it is the first that does.
        ends: whether a line of the text ends in it.
    """

    place: int
    text: str
    spoken: str
    scored: bool
    first: bool
    ends: bool


@lru_cache(maxsize=4096)
def heat_map(tokens: tuple[Token, ...], label: str) -> Markup:
    """Return a text as HTML whose tokens are marked by their levels, and what a screen reader says of it."""
    strongest = ", ".join(token.text.strip() for token in tokens if token.level >= STRONG) or "nothing"
    spoken = f"{label}: {''.join(token.text for token in tokens)} Marked most: {strongest}."
    marked = "".join(map(_marked, tokens))
    return Markup(f'<p class="map" role="img" aria-label="{html.escape(spoken)}">{marked}</p>')


def _marked(token: Token) -> str:
    if not token.level:
        return html.escape(token.text)
    return f'{html.escape(token.lead)}<span class="r{"0123456789a"[token.level]}">{html.escape(token.body)}</span>'


@cache
def version() -> str:
    """Return the version of the pages: a hash of every file that they are made of."""
    digest = hashlib.sha256()
    files = [path for path in HERE.rglob("*") if path.suffix in {".j2", ".yaml", ".css", ".js"}]
    for path in sorted({*files, *(path for path, _ in ASSETS.values())}):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return f"pages-{digest.hexdigest()[:12]}"


@cache
def instructions(mode: Mode) -> Mapping[str, Any]:
    """Return the instructions of a mode: title, paragraphs, a made-up example, and questions that check them."""
    text: dict[str, Any] = yaml.safe_load((HERE / "instructions" / f"{mode}.yaml").read_text(encoding="utf-8"))
    texts = [tuple(Token(token, level) for token, level in tokens) for tokens in text["example"]["texts"]]
    return {**text, "example": {**text["example"], "texts": texts}}


def passes(mode: Mode, form: Mapping[str, str]) -> bool:
    """Return whether all questions of the comprehension check are answered right."""
    return all(
        form.get(f"check{number}") == str(item["correct"]) for number, item in enumerate(instructions(mode)["check"])
    )


def render(template: str, **values: Any) -> str:
    """Return a page; what others wrote is escaped in it, and nothing in it drives a terminal or turns a line."""
    return _environment().get_template(f"{template}.html.j2").render(**values)


@cache
def _environment() -> jinja2.Environment:
    environment = html_templates.environment(HERE)
    environment.globals["heat"] = heat_map
    return environment


def question_values(study: Study, unit: Unit, question: Question) -> dict[str, Any]:
    """Return what the page of a question shows of it."""
    shared = {"mode": study.mode, "title": instructions(study.mode)["title"]}
    match question:
        case ExplainQuestion():
            excerpts = study.excerpts(unit, question.excerpts)
            return shared | {"texts": _heat_maps(excerpts), "confidences": CONFIDENCES, "longest": LONGEST}
        case RateQuestion():
            sides = (("left", harmless(question.left.text)), ("right", harmless(question.right.text)))
            texts = _heat_maps(study.excerpts(unit, question.excerpts))
            return shared | {"texts": texts, "sides": sides, "choices": CHOICES}
        case IntruderQuestion():
            marked = study.trial(unit, question).excerpts
            return shared | {
                "texts": [
                    tuple(
                        Token(harmless(token), MARKED * (place in item.marked))
                        for place, token in enumerate(item.excerpt.tokens)
                    )
                    for item in marked
                ]
            }
        case SimulateQuestion():
            (excerpt,) = study.excerpts(unit, (question.excerpt,))
            return shared | {"explanation": harmless(question.explanation.text), "tokens": blanks(excerpt)}


def _heat_maps(excerpts: Sequence[Excerpt]) -> list[tuple[Token, ...]]:
    """Return excerpts with the levels that a model is shown of them."""
    return [tuple(Token(harmless(token), level) for token, level in excerpt) for excerpt in shown_tokens(excerpts)]


def blanks(excerpt: Excerpt) -> list[Blank]:
    """Return the tokens of an excerpt for a person to give levels to."""
    return [
        Blank(
            place=place,
            text=harmless(token).replace("\n", "↵").replace("\t", "⇥") if token.strip(" ") else "␣" * len(token),
            spoken=harmless(token).strip() or ("line break" if "\n" in token else "space"),
            scored=place >= excerpt.leading,
            first=place == excerpt.leading,
            ends="\n" in token,
        )
        for place, token in enumerate(excerpt.tokens)
    ]
