"""Families of words by position: after other words, at places in a sentence or text, between marks, or repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from harness.tasks.puzzles import rules
from harness.tasks.puzzles.rules import Rule, Word
from harness.training import retold
from harness.training.concepts import Concept, Retold
from harness.training.families.base import Chance, Makers, always
from harness.training.families.forms import endings, letters, shapes
from harness.training.families.meanings import topics
from harness.training.families.tables import (
    CLOSED_CLASSES,
    FINAL_MARKS,
    FUNCTION_LIST,
    MARKS,
    PHRASES,
    REST_AFTER,
    SPANS,
    WRAPPINGS,
    in_words,
    option,
    ordinal,
    said,
    series,
)
from harness.training.families.truths import (
    compared,
    echoing,
    every,
    growing,
    line_beginnings,
    occurring,
    on_line,
    pairs_again,
    phrase,
    record,
    settled,
)

_NAMES: Mapping[str, str] = {":": "a colon", ",": "a comma"}
_BETWEEN = (("(", ")", "brackets"), ("(", ")", "parentheses"), ('"', '"', "quotation marks"), ('"', '"', "quotes"))
_KINDS_BEFORE = (
    ("a number", rules.number()),
    ("a number in digits", rules.pattern(r"\d.*")),
    ("a number above 100", rules.number(above=100)),
    ("a number below 20", rules.number(below=20)),
    ("a word in capitals", rules.upper()),
    ("a capitalised word", rules.capital()),
    ("a word of ten letters or more", rules.length(10)),
)


Opener = tuple[str, Rule, frozenset[str]]
"""Word, mark or kind of word that a concept refers to: its name, its rule, and its words."""


def after_words(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of the words after a word, a mark or a kind of word."""
    name, rule, anchors = _before(makers, chance)
    kind = chance.choice(["one", "one", "one", "one", "several", "several", "second"])
    count = chance.choice([2, 3]) if kind == "several" else 1
    wordings = said("after_words", kind, name=name, count=count, in_words=in_words(count))
    opener = Concept("words", said("words", "what stands before", name=name), rule, anchors)
    near = always(opener) + makers.near(after_words)
    following = rules.after(rule, count, skip=1 if kind == "second" else 0)
    return Concept("after_words", wordings, following, anchors, near)


def _before(makers: Makers, chance: Chance) -> Opener:
    """Draw an opener of any kind."""
    return chance.choices(list(_OPENERS), list(_OPENERS.values()))[0](makers, chance)


def _word(makers: Makers, chance: Chance) -> Opener:
    word = chance.choice(FUNCTION_LIST) if chance.random() < 0.6 else makers.word(chance)
    return f'"{word}"', rules.words([word]), frozenset([word])


def _words(makers: Makers, chance: Chance) -> Opener:
    words = makers.some_words(chance, [2, 2, 3, 4])
    return series([f'"{word}"' for word in words], "or"), rules.words(words), frozenset(words)


def _phrase(_: Makers, chance: Chance) -> Opener:
    words = chance.choice(PHRASES)
    return f'"{words}"', phrase(words), frozenset(words.lower().split()[-1:])


def _closed_class(_: Makers, chance: Chance) -> Opener:
    kind = chance.choice(list(CLOSED_CLASSES))
    return said("closed_classes", kind)[0], rules.words(CLOSED_CLASSES[kind]), frozenset(CLOSED_CLASSES[kind])


def _mark(_: Makers, chance: Chance) -> Opener:
    mark = chance.choice([mark for mark in MARKS if mark not in FINAL_MARKS])  # no word of the sentence follows those
    return chance.choice([mark, f'"{MARKS[mark][0]}"']), rules.words(MARKS[mark]), frozenset(MARKS[mark])


def _spelling(makers: Makers, chance: Chance) -> Opener:
    concept = chance.choice((endings, letters, shapes))(makers, chance)
    return chance.choice(concept.wordings), concept.rule, concept.anchors


def _kind(_: Makers, chance: Chance) -> Opener:
    return *chance.choice(_KINDS_BEFORE), frozenset()


_OPENERS: Mapping[Callable[[Makers, Chance], Opener], float] = {
    _word: 0.4,
    _words: 0.08,
    _phrase: 0.1,
    _closed_class: 0.08,
    _mark: 0.12,
    _spelling: 0.13,
    _kind: 0.09,
}


def after_concept(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of the word after a word of a meaning."""
    concept = topics(makers, chance)
    wordings = said("after_concept", name=concept.wordings[0])
    rule = rules.after(settled(concept.rule))
    return Concept("after_concept", wordings, rule, concept.anchors, always(concept))


def phrases(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of the last word of a phrase; the phrase cannot be recognised at earlier words."""
    words = chance.choice(PHRASES)
    last = words.split()[-1]
    near = always(Concept("words", said("words", "what stands before", name=f'"{last}"'), rules.words([last.lower()])))
    anchors = frozenset([last.lower()])
    return Concept("phrases", said("phrases", phrase=words), phrase(words), anchors, near + makers.near(phrases))


def neighbours(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of words in a relation to the previous word."""
    wordings, rule = option("neighbours", _NEIGHBOURS, chance)
    return Concept("neighbours", wordings, rule, near=makers.near(neighbours), retold=retold.doubled)


_NEIGHBOURS: Mapping[str, Rule] = {
    "same first letter": compared(lambda previous, word: previous.lower[0] == word.lower[0]),
    "longer": compared(lambda previous, word: len(previous.text) < len(word.text)),
    "shorter": compared(lambda previous, word: len(previous.text) > len(word.text)),
    "short after long": compared(lambda previous, word: len(previous.text) > 6 and len(word.text) < 4),
    "long after short": compared(lambda previous, word: len(previous.text) < 3 and len(word.text) > 6),
    "second capital": compared(lambda previous, word: previous.text[0].isupper() and word.text[0].isupper()),
    "same word": compared(lambda previous, word: previous.lower == word.lower),
    "same length": compared(lambda previous, word: len(previous.text) == len(word.text)),
    "same last letter": compared(lambda previous, word: previous.lower[-1] == word.lower[-1]),
    "last letter goes on": compared(lambda previous, word: previous.lower[-1] == word.lower[0]),
    "later in the alphabet": compared(lambda previous, word: previous.lower < word.lower),
    "earlier in the alphabet": compared(lambda previous, word: previous.lower > word.lower),
    "after a final s": compared(lambda previous, _: previous.lower.endswith("s")),
}


def places(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of places in sentences, in lines or in the text."""
    word, far, sentence = chance.randint(1, 8), chance.randint(2, 24), chance.randint(1, 4)
    more = chance.randint(1, 4)
    numbers = {"word": word, "last": word + more, "far": far, "farther": far + 2 * more, "sentence": sentence}
    numbers |= {"until": sentence + min(more, 2), "step": chance.randint(2, 4)}
    ordinals = {f"{name}_nth": ordinal(number, chance) for name, number in numbers.items()}
    counts = {f"{name}_count": in_words(number) for name, number in numbers.items()}
    kinds = list(_places(numbers).items())
    kind, rule = chance.choices(kinds, [_OFTEN.get(kind, 1.0) for kind, _ in kinds])[0]
    wordings = said("places", kind, **numbers, **ordinals, **counts)
    return Concept("places", wordings, rule, near=makers.near(places), sentence_start=True, retold=_retold(kind))


_OFTEN: Mapping[str, float] = {"first word": 2.0, "nth word": 3.0, "nth sentence": 3.0, "first sentence": 2.0}
"""Weights of kinds that are drawn more often; the others have weight 1."""


def _retold(kind: str) -> Retold | None:
    return retold.lines if "line" in kind else None


def _places(at: Mapping[str, int]) -> dict[str, Rule]:
    """Return the rule of each kind: of words in a sentence, of words in the text, of sentences, of lines."""
    word, last, far, farther = at["word"], at["last"], at["far"], at["farther"]
    sentence, until = at["sentence"], at["until"]
    return {
        "first word": rules.first_in_sentence(),
        "not the first word": rules.first_in_sentence(500, 1),
        "nth word": rules.first_in_sentence(1, word - 1),
        "first words": rules.first_in_sentence(last),
        "later words": rules.first_in_sentence(500, word),
        "words from to": rules.first_in_sentence(last - word + 1, word - 1),
        "every nth word": every(at["step"]),
        "the farther the stronger": growing,
        "first word of the text": rules.first_in_text(1),
        "nth word of the text": rules.first_in_text(1, far - 1),
        "first of the text": rules.first_in_text(far),
        "later in the text": rules.first_in_text(999, far),
        "text from to": rules.first_in_text(farther - far + 1, far - 1),
        "first sentence": rules.sentence_number(1),
        "nth sentence": rules.sentence_number(sentence),
        "first sentences": rules.sentence_number(1, until),
        "later sentences": rules.sentence_number(sentence + 1, 99),
        "sentences from to": rules.sentence_number(sentence, until),
        "sentence ends": rules.words([".", "!", "?"]),
        "line beginnings": line_beginnings,
        "nth line": on_line(sentence, sentence),
        "later lines": on_line(sentence + 1, 99),
    }


def occurrences(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of some occurrences of a word, a mark or a kind of word: the n-th, or all from the n-th on."""
    name, base, anchors = _before(makers, chance)
    first = chance.choice([1, 1, 2, 2, 2, 3])
    kind = chance.choice(["nth", "nth", "from the nth on"]) if first > 1 else chance.choice(["first", "first", "again"])
    last = first if kind in ("nth", "first") else 999
    start = 2 if kind == "again" else first
    rule = occurring(base, start, last)
    wordings = said("occurrences", kind, name=name, nth=ordinal(first, chance))
    unlimited = Concept("words", said("words", "what stands before", name=name), base, anchors)
    inverse = Concept("occurrences", said("occurrences", "first", name=name), occurring(base, 1, 1), anchors)
    near = always(unlimited, *([inverse] if start > 1 else [])) + makers.near(occurrences)
    return Concept("occurrences", wordings, rule, anchors, near, sentence_start=True, retold=_again(anchors))


def _again(anchors: frozenset[str]) -> Retold | None:
    """Return a change that puts more of the words or marks into a text, since most texts hold one of them only."""
    return partial(retold.inserted, additions=tuple(sorted(anchors))) if anchors else None


def echoes(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of words in a relation to an earlier word: the same word, letter or ending, or the length."""
    wordings, rule = option("echoes", _ECHOES, chance)
    return Concept(
        "echoes", wordings, rule, near=makers.near(echoes, neighbours), sentence_start=True, retold=retold.echoed
    )


def _same(earlier: Word, word: Word) -> bool:
    return earlier.lower == word.lower


_ECHOES: Mapping[str, Rule] = {
    "of the sentence before": echoing(
        lambda earlier, word: earlier.sentence == word.sentence - 1 and _same(earlier, word) and len(earlier.text) > 3
    ),
    "of its sentence": echoing(
        lambda earlier, word: earlier.sentence == word.sentence and _same(earlier, word) and len(earlier.text) > 2
    ),
    "first word again": echoing(
        lambda earlier, word: earlier.place == 0 and earlier.sentence == word.sentence and _same(earlier, word)
    ),
    "beginning again": echoing(lambda earlier, word: earlier.place == word.place == 0 and _same(earlier, word)),
    "letter of the first word": echoing(
        lambda earlier, word: (
            earlier.place == 0 and earlier.sentence == word.sentence and earlier.lower[0] == word.lower[0]
        )
    ),
    "longer than the first word": echoing(
        lambda earlier, word: (
            earlier.place == 0 and earlier.sentence == word.sentence and len(earlier.text) < len(word.text)
        )
    ),
    "shorter than the first word": echoing(
        lambda earlier, word: (
            earlier.place == 0 and earlier.sentence == word.sentence and len(earlier.text) > len(word.text)
        )
    ),
    "ending again": echoing(
        lambda earlier, word: (
            earlier.sentence == word.sentence
            and len(earlier.text) > 3 < len(word.text)
            and not _same(earlier, word)
            and earlier.lower[-3:] == word.lower[-3:]
        )
    ),
    "pair again": pairs_again,
}


def wrapped(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of the words between two marks that are rare in prose."""
    opening, closing, name = chance.choice(WRAPPINGS)
    rule = rules.inside(opening, closing)
    outside = Concept("wrapped", said("wrapped", "outside", name=name), rules.no(rule))
    only_next = Concept(
        "after_words",
        said("after_words", "the next only", name=f'"{opening}"'),
        rules.after(rules.words([opening])),
    )
    marks = Concept("punctuation", said("wrapped", "marks", name=name), rules.words([opening, closing]))
    near = always(outside, only_next, marks) + makers.near(wrapped)
    wordings = said("wrapped", "inside", name=name, opening=opening, closing=closing)
    return Concept(
        "wrapped", wordings, rule, near=near, retold=partial(retold.wrapped, opening=opening, closing=closing)
    )


def rests(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of all words after a word or a mark in its sentence."""
    if chance.random() < 0.5:
        word = chance.choice(REST_AFTER)
        name, base, anchors = _NAMES.get(word, f'"{word}"'), rules.words([word]), frozenset([word])
    else:
        name, base, anchors = _before(makers, chance)
    next_only = Concept("after_words", said("after_words", "the next only", name=name), rules.after(base), anchors)
    near = always(next_only) + makers.near(rests)
    return Concept("rests", said("rests", name=name), rules.rest_of_sentence(base), anchors, near)


def spans(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of the words between a word or mark and a later one."""
    opening, opening_name, closing, closing_name = chance.choice(SPANS)
    rule, names = rules.inside(opening, closing), {"opening": opening_name, "closing": closing_name}
    outside = Concept("spans", said("spans", "outside", **names), rules.no(rule))
    only_next = Concept(
        "after_words", said("after_words", "the next only", name=opening_name), rules.after(rules.words([opening]))
    )
    near = always(outside, only_next) + makers.near(spans)
    return Concept("spans", said("spans", "inside", **names), rule, frozenset([opening.lower()]), near)


def inside_marks(_: Makers, chance: Chance) -> Concept:
    """Draw a concept of the words in brackets or in quotation marks."""
    opening, closing, name = chance.choice(_BETWEEN)
    rule = rules.inside(opening, closing)
    outside = Concept("inside_marks", said("inside_marks", "outside", name=name), rules.no(rule))
    wordings = said("inside_marks", "inside", name=name)
    return Concept("inside_marks", wordings, rule, frozenset([opening]), always(outside))


def repeated(_: Makers, chance: Chance) -> Concept:
    """Draw a concept of words that occurred earlier in the text."""
    size = chance.choice([4, 5])
    rule = rules.repeated(size)
    first = Concept("repeated", said("repeated", "first"), rules.but_not(rules.length(size), rule))
    return Concept("repeated", said("repeated", "again", size=size), rule, near=always(first))


def records(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of words that are longer than all earlier ones of the sentence or of the text."""
    kinds = {"sentence": record(True), "text": record(False)}
    kind, opposite = chance.sample(sorted(kinds), 2)
    near = always(Concept("records", said("records", opposite), kinds[opposite])) + makers.near(neighbours)
    return Concept("records", said("records", kind), kinds[kind], near=near, sentence_start=True)


def first_of_concept(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of the first word of a meaning in a text."""
    concept = topics(makers, chance)
    base = settled(concept.rule)
    later = Concept(
        "first_of_concept", said("first_of_concept", "later", name=concept.wordings[0]), occurring(base, 2, 999)
    )
    wordings = said("first_of_concept", "first", name=concept.wordings[0])
    near = always(concept, later)
    return Concept("first_of_concept", wordings, occurring(base, 1, 1), concept.anchors, near, sentence_start=True)
