"""Questions of a study for annotation tools of others: what people may see of them, and the key to the rest.

A tool is sent texts and an opaque name of each question. Authors of explanations, units, why a pair was chosen and
which excerpt is the intruder stand in the key alone, a file that stays here. Names are keyed hashes (HMAC-SHA-256), so
that neither questions nor people can be found out from what comes back without it.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.explainers.shared.levels import ShownTokens, shown_tokens
from harness.guards.printing import harmless
from harness.humans.answers import Assignment, IntruderQuestion, Mode, Question, SimulateQuestion
from harness.humans.exchange.tables import put
from harness.typed_json import dump, from_json, read_json, to_json
from harness.types import HIGHEST_LEVEL, Excerpt, NeuroglossError, Record, Unit


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A question about a unit."""

    unit: Unit
    question: Question


@dataclass(frozen=True, slots=True)
class Key:
    """What a tool is not sent.

    Attributes:
        secret: that names are made with, in hexadecimal.
        questions: by their names.
        task: the name of the task that they are about.
    """

    secret: str
    questions: Mapping[str, Inquiry]
    task: str = ""

    def name(self, kind: str, *parts: object) -> str:
        """Return the name of a question, a person, an answer or an assignment [16 hexadecimal digits]."""
        text = json.dumps([kind, *map(str, parts)])
        return hmac.new(bytes.fromhex(self.secret), text.encode(), hashlib.sha256).hexdigest()[:16]

    def name_of(self, inquiry: Inquiry) -> str:
        """Return the name of a question."""
        return self.name("question", json.dumps(to_json(inquiry), sort_keys=True))

    @property
    def mode(self) -> Mode:
        """What people are asked to do."""
        return mode_of(next(iter(self.questions.values())))


def mode_of(inquiry: Inquiry) -> Mode:
    """Return what a question asks people to do."""
    return Assignment("", "", inquiry.unit, 0, inquiry.question).mode


def key_of(assignments: Iterable[Assignment], task: str = "") -> Key:
    """Return a new key of the distinct questions among assignments.

    Raises:
        NeuroglossError: there are none, or they are of several modes.
    """
    inquiries = dict.fromkeys(Inquiry(assignment.unit, assignment.question) for assignment in assignments)
    modes = sorted({mode_of(item) for item in inquiries})
    if len(modes) != 1:
        raise NeuroglossError(
            f"the study has asked for {', '.join(modes) or 'nothing yet'}; questions of one mode are wanted."
        )
    key = Key(secrets.token_hex(32), {})
    return Key(key.secret, {key.name_of(item): item for item in inquiries}, task)


def write_key(path: Path, key: Key) -> None:
    """Write a key, which must not leave this machine."""
    put(path, dump(to_json(key)))
    path.chmod(0o600)


def read_key(path: Path) -> Key:
    """Read a key.

    Raises:
        NeuroglossError: it cannot be read, or holds no question.
    """
    key: Key = from_json(Key, read_json(path), str(path))
    if not key.questions:
        raise NeuroglossError(f"{path} holds no question; export the study again.")
    return key


# -------------------------------------------------------------------------------------------------------------- texts


@dataclass(frozen=True)
class Texts:
    """The excerpts of a task, by unit and key, and the name of the task."""

    excerpts: Mapping[Unit, Mapping[str, Excerpt]]
    task: str = ""

    @classmethod
    def of(cls, records: Iterable[Record], task: str) -> Texts:
        """Return the excerpts of the units of a task."""
        by_unit = {}
        for record in records:
            splits = record.splits
            members = (*splits.train, *splits.calibration, *splits.valid, *splits.test)
            by_unit[record.unit] = {excerpt.digest: excerpt for excerpt in members}
        return cls(by_unit, task)

    def shown(self, inquiry: Inquiry) -> list[ShownTokens]:
        """Return the excerpts of a question, in order, their tokens with levels.

        Excerpts to be simulated, and those among which an intruder is, have level 0 throughout: no mark tells them.

        Raises:
            NeuroglossError: the task has no such unit or excerpt.
        """
        question = inquiry.question
        if isinstance(question, SimulateQuestion):
            return _unmarked(self._excerpts(inquiry.unit, (question.excerpt,)))
        if isinstance(question, IntruderQuestion):
            return _unmarked(self._excerpts(inquiry.unit, question.excerpts))
        return list(shown_tokens(self._excerpts(inquiry.unit, question.excerpts)))

    def _excerpts(self, unit: Unit, keys: Iterable[str]) -> list[Excerpt]:
        everywhere = {key: item for by_key in self.excerpts.values() for key, item in by_key.items()}
        by_key = everywhere | dict(self.excerpts.get(unit, {}))  # an intruder is another unit's
        missing = [key for key in keys if key not in by_key]
        if missing:
            raise NeuroglossError(f"the task has no excerpt {missing[0][:12]} of {unit}; is it the study's own task?")
        return [by_key[key] for key in keys]


def _unmarked(excerpts: Iterable[Excerpt]) -> list[ShownTokens]:
    return [tuple((token, 0) for token in excerpt.tokens) for excerpt in excerpts]


def heat_map(tokens: ShownTokens) -> str:
    """Return an excerpt as HTML, escaped: a token with a level above 0 is shaded by it and bears it as a title."""
    return "".join(_shaded(html.escape(harmless(token)), level) for token, level in tokens)


def _shaded(token: str, level: int) -> str:
    shade = f"background-color: rgba(255, 140, 0, {level / HIGHEST_LEVEL:.1f})"
    return f'<span title="{level}" style="{shade}">{token}</span>' if level else token


def paragraphs(excerpts: Iterable[ShownTokens]) -> str:
    """Return excerpts as HTML, each a paragraph."""
    return "".join(f"<p>{heat_map(tokens)}</p>" for tokens in excerpts)
