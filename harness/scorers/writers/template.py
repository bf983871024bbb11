"""The template writer: the words that an explanation names, put into neutral sentences. No model is asked.

It knows no meaning. What an explanation names in quotation marks is taken as it stands there, as tokens with their
spaces; of one without quotation marks all words are taken but those without a meaning of their own. A near miss is the
same sentence with another word of the same shape in that place, so that a unit that fires on the sentence itself fires
on both. An explanation by its place in the text, or by what it is not, is beyond this writer.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import yaml

from harness.scorers.writing import Writing, distinct
from harness.types import Identity

_QUOTED = re.compile(r'"([^"]+)"|“([^”]+)”')
_ESCAPE = re.compile(r"\\(?:\\|[tnr]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
_WORD = re.compile(r"\w+(?:['’-]\w+)*")
_SIGNS = ",;:!?-/&%*+=@#$()[]<>|~^_"
_FRAGMENT = 4  # most letters of a quoted text without a space that may be a piece of a word
_NEAR_IN_LENGTH = 2  # letters by which a word of the same shape may be longer or shorter
_FILE = Path(__file__).with_name("template.yaml")


@dataclass(frozen=True, slots=True)
class Material:
    """What is written with: sentences with a place ``{}``, words that are not what an explanation is about, words for
    near misses, and a digest of them all."""

    frames: tuple[str, ...]
    unnamed: frozenset[str]
    words: tuple[str, ...]
    digest: str


@cache
def material() -> Material:
    """Read the file beside this module."""
    text = _FILE.read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    return Material(
        frames=tuple(content["frames"]),
        unnamed=frozenset(content["unnamed"].split()),
        words=tuple(content["words"].split()),
        digest=hashlib.sha256(text.encode()).hexdigest()[:8],
    )


@dataclass(eq=False)
class TemplateWriter:
    """Writer without a model, so that the score exists offline."""

    @property
    def identity(self) -> Identity | None:
        """None: no model is asked."""
        return None

    @property
    def version(self) -> str:
        """The name of the writer, and a digest of its sentences and words."""
        return f"template-v1+{material().digest}"

    def write(self, explanations: Sequence[str], count: int) -> list[Writing]:
        """Return ``count`` sentences of each kind for each explanation, in order.

        The i-th near miss is the i-th fitting one with another word.
        """
        return [_writing(explanation, count) for explanation in explanations]


def _writing(explanation: str, count: int) -> Writing:
    names = named(explanation)
    if not names:
        return Writing(problem="the explanation names no word that could be put into a sentence")
    frames = material().frames
    places = [(number % len(frames), (number + number // len(frames)) % len(names)) for number in range(count)]
    fitting = [_sentence(frames[frame], inserted(names[name])) for frame, name in places]
    near = [
        _sentence(frames[frame], inserted(_other(names, name, f"{explanation}\0{number}")))
        for number, (frame, name) in enumerate(places)
    ]
    return Writing(distinct(fitting, count), distinct(near, count))


def _sentence(frame: str, words: str) -> str:
    """Return a frame with words in its place; the first letter stays as it is written."""
    return frame.replace("{}", words)


def named(explanation: str) -> tuple[str, ...]:
    r"""Return what an explanation names, each once: texts in quotation marks, or else its words with a meaning.

    Escapes, as in ``"\n"``, are undone.
    """
    quotations = [first or second for first, second in _QUOTED.findall(explanation)]
    if quotations:
        return tuple(dict.fromkeys(map(_unescaped, quotations)))
    words = (word for word in _WORD.findall(explanation) if word.lower() not in material().unnamed)
    return tuple({word.lower(): word for word in reversed(list(words))}.values())[::-1]


def inserted(name: str) -> str:
    """Return what stands in a sentence for a name, after a space.

    A name that begins with a space is a token by itself. One without may be a word or a piece of one, so that it stands
    there twice, after a space and after a quotation mark. Signs stand where signs do.
    """
    if not any(character.isalnum() for character in name):
        return f"this{name} or that"
    if name.startswith(" "):
        return name.strip()
    return f'{name}, or "{name}"'


def _other(names: Sequence[str], place: int, seed: str) -> str:
    """Return a word of the shape of a name that none of the names is: its case, its length, its spaces."""
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest()[:8]))
    excluded = {name.strip().lower() for name in names}
    name = names[place]
    core = name.strip()
    options = [option for option in _options(name, core, rng) if option.lower() not in excluded]
    choice = str(rng.choice(options)) if options else "otherwise"
    return name.replace(core, _in_case_of(core, choice)) if core else f" {choice}"


def _options(name: str, core: str, rng: np.random.Generator) -> list[str]:
    """Return what could stand for the ``core`` of a name, which is the name without spaces around it."""
    if core.isdigit():
        return ["".join(map(str, rng.integers(1, 10, len(core)))) for _ in range(4)]
    if not any(character.isalnum() for character in core):
        return list(_SIGNS)
    words = material().words
    if name == core and len(core) <= _FRAGMENT:
        return sorted({word[-len(core) :] for word in words if len(word) > len(core) + 1})
    longest = max(map(len, words))
    return [word for word in words if abs(len(word) - min(len(core), longest)) <= _NEAR_IN_LENGTH]


def _in_case_of(core: str, word: str) -> str:
    """Return a word in capitals, with a capital, or as it is, as another one is written."""
    if core.isupper() and len(core) > 1:
        return word.upper()
    return word.capitalize() if core[:1].isupper() else word


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: match.group().encode("ascii").decode("unicode_escape"), text)
