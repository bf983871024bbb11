"""Writers: the template writer by its words and shapes, and the prompted one by what it makes of replies."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from harness.scorers.writers.prompted import PromptedWriter, items
from harness.scorers.writers.template import TemplateWriter, inserted, material, named
from harness.scorers.writing import Writer, distinct
from harness.types import Completion, CompletionPrompt, Identity, LevelReading, NeuroglossError, Outcome, SlottedPrompt


def test_distinct_texts_are_told_apart_without_case() -> None:
    assert distinct(["A cat", "a CAT", "a dog", "a cow"], 2) == ("A cat", "a dog")


# ------------------------------------------------------------------------------------------------------------- template


def test_what_an_explanation_names_is_what_it_quotes_or_its_words_with_a_meaning() -> None:
    assert named('the token " sea" or "\\n" or " sea"') == (" sea", "\n")
    assert named("words that refer to the Sea, or to the sea's waves") == ("Sea", "sea's", "waves")
    assert named("the tokens of the text") == ()


def test_a_name_stands_in_a_sentence_as_the_token_that_it_is() -> None:
    assert inserted(" sea") == "sea"
    assert inserted("ing") == 'ing, or "ing"'
    assert inserted(";") == "this; or that"


def test_a_near_miss_is_the_same_sentence_with_another_word_of_the_same_shape() -> None:
    (writing,) = TemplateWriter().write(['the token " Sea"'], 10)
    assert len(writing.fitting) == len(writing.near) == 10
    for fitting, near in zip(writing.fitting, writing.near, strict=True):
        before, _, after = fitting.partition("Sea")
        word = near.removeprefix(before).removesuffix(after)
        assert before + word + after == near
        assert word.istitle()
        assert word != "Sea"
        assert abs(len(word) - 3) <= 2


@pytest.mark.parametrize(
    ("explanation", "shape"),
    [
        ('the token "1987"', r"[1-9]{4}"),
        ('the token " NASA"', r"[A-Z]{2,6}"),
        ('the token ";"', r"this[^\w\s] or that"),
    ],
)
def test_numbers_capitals_and_signs_keep_their_shape(explanation: str, shape: str) -> None:
    (writing,) = TemplateWriter().write([explanation], 10)
    (name,) = named(explanation)
    assert all(name.strip() in text for text in writing.fitting)
    for text in writing.near:
        assert name.strip() not in text
        assert any(text == frame.replace("{}", words) for frame in material().frames for words in [_words(frame, text)])
        assert re.search(shape, text)


def _words(frame: str, text: str) -> str:
    before, _, after = frame.partition("{}")
    return text.removeprefix(before).removesuffix(after)


def test_every_word_is_used_and_none_of_them_stands_in_a_near_miss() -> None:
    (writing,) = TemplateWriter().write(["ships, harbours and lighthouses"], 10)
    for word in ("ships", "harbours", "lighthouses"):
        assert sum(word in text for text in writing.fitting) >= 3
        assert not any(word in text for text in writing.near)


def test_no_near_miss_holds_a_word_that_the_explanation_names_among_others() -> None:
    short = [word for word in material().words if len(word) <= 5]
    explanation = " or ".join(f'" {word}"' for word in short[2:])
    (writing,) = TemplateWriter().write([explanation], 10)
    for frame, text in zip(material().frames, writing.near, strict=False):
        assert _words(frame, text) not in short[2:]


def test_more_texts_than_sentences_are_different_ones_as_far_as_words_go() -> None:
    (writing,) = TemplateWriter().write(["ships and harbours"], 20)
    assert len(writing.fitting) == 20
    (writing,) = TemplateWriter().write(["ships"], 20)
    assert len(writing.fitting) == len(material().frames)


def test_the_template_writer_asks_nobody_writes_the_same_again_and_says_which_it_is() -> None:
    writer = TemplateWriter()
    assert isinstance(writer, Writer)
    assert writer.identity is None
    assert writer.version.startswith("template-v1+")
    assert writer.write(["ships", "x y"], 5) == TemplateWriter().write(["ships", "x y"], 5)
    (writing,) = writer.write(["the tokens of the text"], 5)
    assert writing.problem == "the explanation names no word that could be put into a sentence"


# ------------------------------------------------------------------------------------------------------------- prompted


class Model:
    """Replies in order; keeps what it is asked."""

    identity = Identity("model", "0")

    def __init__(self, *replies: str | Completion) -> None:
        self.replies = [reply if isinstance(reply, Completion) else Completion(reply) for reply in replies]
        self.prompts: list[CompletionPrompt] = []

    def levels(self) -> int:
        return 11

    def complete(self, prompts: Sequence[CompletionPrompt]) -> list[Completion]:
        self.prompts += prompts
        return self.replies

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> list[LevelReading]:
        raise AssertionError("a writer writes")


def test_a_numbered_list_becomes_texts() -> None:
    reply = 'Sure, here they are:\n1. The cat slept.\n 2) "A dog barked."\n(3) **Cows graze here.**\n\nEnough?\n4. word'
    assert items(Completion(reply)) == ["The cat slept.", "A dog barked.", "Cows graze here."]
    cut = Completion("1. The cat slept.\n2. A dog bar", Outcome.TRUNCATED)
    assert items(cut) == ["The cat slept."]


def test_two_requests_an_explanation_ask_for_fitting_texts_and_near_misses() -> None:
    model = Model("1. The cat slept.\n2. Cats run.", "1. A dog ran.\n2. A cow ran.", "1. A b.", "1. B a.")
    writer = PromptedWriter(model)
    first, second = writer.write(["cats", "letters"], 2)
    assert first.fitting == ("The cat slept.", "Cats run.")
    assert first.near == ("A dog ran.", "A cow ran.")
    assert (second.fitting, second.near) == (("A b.",), ("B a.",))
    questions = [prompt.messages[-1].content for prompt in model.prompts]
    assert [("cats" in text, "in which it fires" in text, "must stay silent" in text) for text in questions] == [
        *[(True, True, False), (True, False, True)],
        *[(False, True, False), (False, False, True)],
    ]
    assert {prompt.prompt_version for prompt in model.prompts} == {writer.version}
    assert (writer.identity, isinstance(writer, Writer)) == (Model.identity, True)


def test_repeated_texts_copies_of_examples_and_texts_of_both_lists_do_not_count() -> None:
    copied = (
        "1. By noon the fog had lifted and we could see the road again.\n2. The cat ran.\n3. the cat ran.\n4. It ran."
    )
    (writing,) = PromptedWriter(Model(copied, "1. It ran.\n2. A dog ran.")).write(["cats"], 5)
    assert (writing.fitting, writing.near) == (("The cat ran.",), ("A dog ran.",))


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (Completion("I'm sorry, but I cannot help with that."), "the writer refused"),
        (Completion("Cats are nice."), "the writer wrote no numbered list"),
        (Completion("", Outcome.REFUSED), "the writer gave no texts (outcome: refused)"),
        (Completion("", Outcome.FAILED), "the writer gave no texts (outcome: failed)"),
    ],
)
def test_a_reply_without_texts_says_why(reply: Completion, problem: str) -> None:
    for replies in ((reply, "1. A dog ran."), ("1. A cat ran.", reply)):
        (writing,) = PromptedWriter(Model(*replies)).write(["cats"], 2)
        assert (writing.fitting, writing.near, writing.problem) == ((), (), problem)


def test_nothing_to_write_asks_nothing_and_settings_are_checked() -> None:
    model = Model()
    assert PromptedWriter(model).write([], 5) == []
    assert model.prompts == []
    with pytest.raises(NeuroglossError, match=r"^scores\.generated\.writer has tokens_of_each=0 and temperature=0\.0;"):
        PromptedWriter(model, tokens_of_each=0)
