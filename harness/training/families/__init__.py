"""Families of concepts: for each kind of rule a function that draws one concept of it.

A family is a function of what there is to draw from (:class:`Makers`) and a source of chance, and gives a
:class:`harness.training.concepts.Concept`. It is held out as a whole or not at all: the judge asks of kinds of rules
that were never trained. How each family words its explanations stands in ``data/wordings.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.training.families import combined, forms, marks, meanings, places, sentences
from harness.training.families.base import Chance, Family, Maker, Makers
from harness.training.families.tables import DATA
from harness.training.families.truths import listed_rule, settled, stretches

__all__ = [
    "DATA",
    "HELD_OUT",
    "TRAINED",
    "Chance",
    "Family",
    "Maker",
    "Makers",
    "listed_rule",
    "settled",
    "stretches",
]

TRAINED: Mapping[str, Family] = {
    "senses": sentences.senses,
    "topics": meanings.topics,
    "wordnet": meanings.wordnet,
    "words": forms.words,
    "endings": forms.endings,
    "letters": forms.letters,
    "shapes": forms.shapes,
    "parts_of_speech": forms.parts_of_speech,
    "numbers": marks.numbers,
    "punctuation": marks.punctuation,
    "after_words": places.after_words,
    "places": places.places,
    "rests": places.rests,
    "sentence_sets": sentences.sentence_sets,
    "sentence_kinds": sentences.sentence_kinds,
    "both": combined.both,
    "exceptions": combined.exceptions,
    "conjunctions": combined.conjunctions,
    "negations": combined.negations,
    "subcategories": combined.subcategories,
    "closed_classes": forms.closed_classes,
    "phrases": places.phrases,
    "neighbours": places.neighbours,
    "spans": places.spans,
    "occurrences": places.occurrences,
    "wrapped": places.wrapped,
    "echoes": places.echoes,
    "repeated": places.repeated,
    "number_range": marks.number_range,
    "starts_and_means": combined.starts_and_means,
}
"""Families that training draws from; their order decides what a seed draws."""

HELD_OUT: Mapping[str, Family] = {
    "inside_marks": places.inside_marks,
    "letters_inside": forms.letters_inside,
    "vowels": forms.vowels,
    "after_concept": places.after_concept,
    "first_of_concept": places.first_of_concept,
    "records": places.records,
    "number_digits": marks.number_digits,
    "mentioning_sentences": sentences.mentioning_sentences,
    "held_topics": meanings.held_topics,
}
"""Families for the judge, which no training example comes from."""
