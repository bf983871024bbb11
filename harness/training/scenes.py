"""Scenes: short texts from templates in which the words of many kinds are marked, in prose, code and other languages.

A template is text with slots: ``{city}`` is filled with one of the cities and marked ``city`` and with the further tags
of cities, ``{var#a:assigned}`` is filled the same way wherever ``var#a`` stands and marked ``assigned`` too, and
``{'return':keyword}`` is the word itself. Braces of the text are doubled. All occurrences of a kind are marked, so a
concept is a tag, and the marks tell where it applies.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import yaml

FOLDER = Path(__file__).with_name("data") / "scenes"
GROUPS: Mapping[str, str] = {"prose": " ", "roles": " ", "code": "\n\n", "foreign": " ", "senses": " "}
"""Groups of scenes, and what stands between two scenes of a text."""

_SLOT = re.compile(r"\{\{|\}\}|\{('[^']*'|\"[^\"]*\"|\w+(?:#\w+)?)(?::([\w+]+))?\}")


@dataclass(frozen=True, slots=True)
class Mark:
    """A stretch of a text, in characters, and the kinds that it belongs to."""

    start: int
    end: int
    tags: frozenset[str]


@dataclass(frozen=True, slots=True)
class Scene:
    """A text and its marks, in order."""

    string: str
    marks: tuple[Mark, ...]

    def words(self, tag: str) -> list[str]:
        """Return the marked stretches of a kind."""
        return [self.string[mark.start : mark.end] for mark in self.marks if tag in mark.tags]


@dataclass(frozen=True, slots=True)
class Kind:
    """What can be asked about the scenes of a group: a tag, its wordings, the tags close to it.

    ``open`` are words, in lower case, that are left open where they are not marked as this kind, ``ambiguous`` words
    that are left open where they are not marked as any kind.
    """

    group: str
    tag: str
    say: tuple[str, ...]
    near: tuple[str, ...]
    open: frozenset[str] = frozenset()
    ambiguous: frozenset[str] = frozenset()
    held: bool = False


def joined(scenes: Sequence[Scene], between: str) -> Scene:
    """Return one scene of several, with ``between`` between them."""
    string, marks = "", []
    for scene in scenes:
        start = len(string) + len(between) * bool(string)
        string = f"{string}{between}{scene.string}" if string else scene.string
        marks += [Mark(mark.start + start, mark.end + start, mark.tags) for mark in scene.marks]
    return Scene(string, tuple(marks))


@dataclass(eq=False)
class Scenes:
    """Templates, fillers and kinds, from the data files; every draw comes from ``chance``."""

    folder: Path = FOLDER
    _tags: dict[str, frozenset[str]] = field(default_factory=dict, init=False)

    @cached_property
    def kinds(self) -> dict[tuple[str, str], Kind]:
        """Kinds by group and tag."""
        groups = yaml.safe_load((self.folder / "tags.yaml").read_text("utf-8"))
        return {
            (group, tag): Kind(
                group,
                tag,
                tuple(entry["say"]),
                tuple(entry["near"]),
                frozenset(str(entry.get("open", "")).split()),
                _ambiguous(group, tag),
                entry.get("held", False),
            )
            for group, entries in groups.items()
            for tag, entry in entries.items()
        }

    @cached_property
    def templates(self) -> dict[str, tuple[str, ...]]:
        """Templates of each group."""
        texts = {group: (self.folder / f"{group}.txt").read_text("utf-8").rstrip("\n") for group in GROUPS}
        return {
            group: tuple(text.split("\n---\n") if group == "code" else text.splitlines())
            for group, text in texts.items()
        }

    @cached_property
    def with_tag(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """Templates in which a tag is marked, by group and tag."""
        return {
            (group, tag): tuple(
                template
                for template in self.templates[group]
                if any(tag in self._of_slot(*slot) for slot in _slots(template))
            )
            for group, tag in self.kinds
        }

    @cached_property
    def fillers(self) -> dict[str, tuple[str, ...]]:
        """What fills each slot that is no number."""
        entries = yaml.safe_load((self.folder / "fillers.yaml").read_text("utf-8"))
        self._also = {name: frozenset(tags) for name, tags in entries.pop("also").items()}
        return {
            name: tuple(item.strip() for item in (text.split(";") if ";" in text else text.split()))
            for name, text in entries.items()
        }

    def scene(self, group: str, tags: Sequence[str], chance: random.Random, size: int) -> Scene:
        """Return a text of about ``size`` characters that holds the tags, in any order, if they fit."""
        wanted = [chance.choice(self.with_tag[group, tag]) for tag in tags if self.with_tag.get((group, tag))]
        scenes = [self.filled(template, chance) for template in wanted[:2]]
        while sum(len(scene.string) for scene in scenes) < size:
            scenes.append(self.filled(chance.choice(self.templates[group]), chance))
        if len(scenes) > 1 and sum(len(scene.string) for scene in scenes) > 1.4 * size:
            scenes.pop()
        chance.shuffle(scenes)
        return joined(scenes, "\n" if group != "code" and chance.random() < 0.15 else GROUPS[group])

    def filled(self, template: str, chance: random.Random) -> Scene:
        """Return a template with its slots filled, and the marks of the slots."""
        string, marks, end, kept = "", [], 0, dict[str, str]()
        for match in _SLOT.finditer(template):
            string += template[end : match.start()]
            end = match.end()
            if match.group() in ("{{", "}}"):
                string += match.group()[0]
                continue
            text = self._text(match[1], kept, chance, at_start=not string)
            marks.append(Mark(len(string), len(string) + len(text), self._of_slot(match[1], match[2] or "")))
            string += text
        return Scene(string + template[end:], tuple(marks))

    def _text(self, slot: str, kept: dict[str, str], chance: random.Random, *, at_start: bool) -> str:
        if slot[0] in "'\"":
            return slot[1:-1]
        name = slot.partition("#")[0]
        text = kept.get(slot) or (NUMBERS[name](chance) if name in NUMBERS else chance.choice(self.fillers[name]))
        if "#" in slot:
            kept[slot] = text
        return text[0].upper() + text[1:] if at_start and name in _CAPITALISED else text

    def _of_slot(self, slot: str, more: str) -> frozenset[str]:
        """Return the tags of a slot, its own name among them, and of the tags written after it."""
        assert self.fillers
        name = slot.partition("#")[0]
        tags = frozenset(more.split("+")) - {""}
        return tags if slot[0] in "'\"" else tags | {name} | self._also.get(name, frozenset())


def levels(scene: Scene, kind: Kind, ends: Sequence[int], *, full: int, unknown: int) -> Iterator[int]:
    """Yield the level of each token: ``full`` in a mark of the kind, ``unknown`` where it cannot be told, else 0.

    A token is not asked about while the first word of a mark is unfinished, and where a word is open.

    Args:
        scene: the text.
        kind: what is asked.
        ends: character at which each token ends, ascending [tokens].
        full: level of a token that fires.
        unknown: level of a token that is not asked about.
    """
    marks = [(mark.start, mark.end) for mark in scene.marks if kind.tag in mark.tags]
    opened = list(_opened(scene, kind))
    start = 0
    for end in ends:
        mark = next((mark for mark in marks if start < mark[1] and _first(scene.string, start, end) < mark[1]), None)
        if (
            mark
            and end > mark[0]
            and (end > start)
            and scene.string[max(start, mark[0]) : end].strip(_blank(mark, scene))
        ):
            yield full if end >= _word_end(scene.string, mark) else unknown
        else:
            yield unknown if any(first < end and start < last for first, last in opened) else 0
        start = end


def _opened(scene: Scene, kind: Kind) -> Iterator[tuple[int, int]]:
    """Yield the stretches whose level cannot be told."""
    for match in _WORDS.finditer(scene.string):
        word = match.group().lower()
        marked = any(mark.start < match.end() and match.start() < mark.end for mark in scene.marks)
        if word in kind.open or (word in kind.ambiguous and not marked):
            yield match.span()


_WORDS = re.compile(r"[^\W\d_]+")
_CAPITALISED = frozenset(
    [
        "noun",
        "actor",
        "verb_ing",
        "adjective",
        "ordinal",
        "hedge",
        "praise",
        "disease",
        "emotion",
        "greeting",
        "apology",
        "thanks",
        "company",
        "team",
    ]
)
"""Slots whose filler gets a capital at the beginning of a scene."""


def _first(string: str, start: int, end: int) -> int:
    """Return where the first character of a token is that is no space, or its beginning if it has none."""
    text = string[start:end]
    return start + len(text) - len(text.lstrip()) if text.strip() else start


def _blank(mark: tuple[int, int], scene: Scene) -> str | None:
    """Return what does not count as text of a mark: white space, but nothing if the mark is white space itself."""
    return None if scene.string[mark[0] : mark[1]].strip() else "\0"


def _word_end(string: str, mark: tuple[int, int]) -> int:
    """Return where the first word of a mark ends."""
    text = string[mark[0] : mark[1]]
    if not text.strip():
        return mark[0] + 1
    match = re.match(r"\s*(?:[^\W\d_]+|\d+(?:[.,:]\d+)*|\S)", text)
    return mark[0] + (match.end() if match else 1)


def _slots(template: str) -> Iterator[tuple[str, str]]:
    for match in _SLOT.finditer(template):
        if match[1]:
            yield match[1], match[2] or ""


def _ambiguous(group: str, tag: str) -> frozenset[str]:
    """Return the word whose senses are told apart, which is open where no sense is marked."""
    word = tag.partition("_")[0]
    return frozenset([word, *(("has", "had") if word == "have" else ())]) if group == "senses" else frozenset()


# -------------------------------------------------------------------------------------------------------------- numbers


def _price(chance: random.Random) -> str:
    amount = int(10 ** chance.uniform(0, 6))
    forms = (f"${amount:,}", f"£{amount}", f"€{amount}", f"${amount}.{chance.randint(0, 99):02d}", f"{amount} dollars")
    return chance.choice(forms)


def _clock(chance: random.Random) -> str:
    hour, minute = chance.randint(1, 12), chance.choice([0, 5, 10, 15, 20, 30, 40, 45, 50])
    forms = (f"{hour}:{minute:02d}", f"{hour} pm", f"{hour}am", f"{hour + 11}:{minute:02d}", f"{hour} o'clock")
    return chance.choice(forms)


def _phone(chance: random.Random) -> str:
    digits = "".join(str(chance.randint(0, 9)) for _ in range(10))
    return chance.choice(
        [f"{digits[:3]}-{digits[3:7]}", f"({digits[:3]}) {digits[3:6]}-{digits[6:]}", f"0{digits[:9]}"]
    )


def _email(chance: random.Random) -> str:
    name = chance.choice(["anna", "info", "j.smith", "office", "kenji42", "sales", "r_novak", "help"])
    return f"{name}@{chance.choice(['example.com', 'mail.org', 'acme.net', 'post.de', 'uni.edu'])}"


def _url(chance: random.Random) -> str:
    name = chance.choice(["example", "acme", "citynews", "museum", "openmaps", "bluefox"])
    return chance.choice(["https://{}.com", "www.{}.org", "http://{}.net/page", "{}.com/help"]).format(name)


NUMBERS: Mapping[str, Callable[[random.Random], str]] = {
    "house_number": lambda chance: f"{chance.randint(1, 999)}{chance.choice(['', '', '', '', 'a', 'B'])}",
    "year": lambda chance: str(chance.choice([chance.randint(1500, 1899), chance.randint(1900, 2025)])),
    "decade": lambda chance: f"{chance.choice([18, 19])}{chance.randint(1, 9)}0s",
    "day": lambda chance: str(chance.randint(1, 31)),
    "price": _price,
    "age": lambda chance: str(chance.randint(3, 99)),
    "percent": lambda chance: chance.choice(["{}%", "{} percent", "{}.5%"]).format(chance.randint(1, 99)),
    "clock": _clock,
    "temperature": lambda chance: chance.choice(["{}°C", "{} degrees", "-{}°C", "{}°F"]).format(chance.randint(1, 99)),
    "phone": _phone,
    "count": lambda chance: chance.choice([str(chance.randint(2, 99)), f"{int(10 ** chance.uniform(2, 6)):,}"]),
    "page": lambda chance: str(chance.randint(2, 499)),
    "version": lambda chance: ".".join(str(chance.randint(0, 12)) for _ in range(chance.choice([2, 3]))),
    "score": lambda chance: f"{chance.randint(0, 6)}-{chance.randint(0, 6)}",
    "distance": lambda chance: chance.choice(["{} km", "{} miles", "{} metres", "{}m"]).format(chance.randint(2, 900)),
    "weight": lambda chance: chance.choice(["{} kg", "{} grams", "{}g", "{} pounds"]).format(chance.randint(2, 900)),
    "room": lambda chance: str(chance.randint(1, 699)),
    "flight": lambda chance: f"{chance.choice(['LH', 'BA', 'AF', 'UA', 'KL'])}{chance.randint(10, 2999)}",
    "zip": lambda chance: str(chance.randint(10000, 99999)),
    "email": _email,
    "url": _url,
    "handle": lambda chance: "@" + chance.choice(["anna_b", "citynews", "kenji42", "mr_fox", "teamblue", "rosa.v"]),
    "hashtag": lambda chance: (
        "#" + chance.choice(["monday", "love", "jobs", "rip", "foodie", "win", "blessed", "news"])
    ),
    "number_code": lambda chance: chance.choice(
        [str(chance.randint(0, 9)), str(chance.randint(10, 9999)), "0.5", "3.14"]
    ),
}
"""How slots of numbers, and of identifiers made of several parts, are filled."""
