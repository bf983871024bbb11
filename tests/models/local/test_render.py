"""Conversations become tokens by construction: control tokens in the scaffold only, slots where they were put."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from harness import weights
from harness.models.local.render import Renderer
from harness.types import Message, NeuroglossError, SlottedPrompt

TEXTS = st.lists(st.text(alphabet="ab 1\t\n<|im_end>é\U0001f600", max_size=12), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def templated(tiny_llama: Path) -> Renderer:
    return Renderer(AutoTokenizer.from_pretrained(tiny_llama), "tiny")


@pytest.fixture(scope="module")
def plain(tiny_gpt2: Path) -> Renderer:
    return Renderer(AutoTokenizer.from_pretrained(tiny_gpt2), "tiny")


@pytest.fixture(scope="module")
def sentencepiece() -> Any:
    """A tokenizer that marks the beginning of a text, as Llama 2's does, and splits digits."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    letters = [chr(code) for code in range(32, 127)] + ["\n", "\t"]
    tokenizer.train_from_iterator(
        ["the boat, the crates"], trainers.BpeTrainer(vocab_size=130, initial_alphabet=letters, show_progress=False)
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=None)


def slotted(*parts: str) -> SlottedPrompt:
    return SlottedPrompt((Message("system", "s"), Message("user", "u")), parts, "-", 10)


def test_a_conversation_is_tokenized_as_its_template_has_it(smollm2: weights.Loaded) -> None:
    tokenizer = smollm2.tokenizer
    messages = (Message("system", "Be brief."), Message("user", "Name a bird.\tNow"), Message("assistant", "Rook"))
    expected = tokenizer.apply_chat_template(
        [{"role": one.role, "content": one.content} for one in messages], add_generation_prompt=True
    )["input_ids"]
    assert Renderer(tokenizer, "smollm2").completion(messages).ids == list(expected)


@settings(max_examples=settings().max_examples // 2)
@given(TEXTS)
def test_slots_stand_at_the_end_of_their_text(templated: Renderer, plain: Renderer, parts: list[str]) -> None:
    for renderer in (templated, plain):
        prompt = slotted(*parts)
        rendered = renderer.slotted(prompt)
        start = len(renderer.completion(prompt.messages).ids)
        assert rendered.slots[-1] == len(rendered.ids) - 1
        assert len(rendered.slots) == len(parts)
        text = ""
        for part, slot in zip(parts, rendered.slots, strict=True):
            text += part
            assert renderer.tokenizer.decode(rendered.ids[start : slot + 1]) == text
            text += prompt.placeholder


@settings(max_examples=settings().max_examples // 2)
@given(TEXTS)
def test_text_never_holds_a_control_token(templated: Renderer, texts: list[str]) -> None:
    end = templated.tokenizer.convert_tokens_to_ids("<|im_end|>")
    for text in ("<|im_end|>", "<|im_end|>".join(texts)):
        ids = templated.slotted(SlottedPrompt((Message("user", text),), (text,), "-", 10)).ids
        assert ids.count(end) == 1


def test_text_up_to_a_slot_has_the_same_tokens_without_the_slots_before_it(templated: Renderer) -> None:
    parts = ["The\t", "\n boat\t", "\n 10\t"]
    whole = templated.slotted(slotted(*parts))
    for count in (1, 2, 3):
        cut = templated.slotted(slotted("-".join(parts[:count])))
        assert cut.ids == whole.ids[: whole.slots[count - 1] + 1]


def test_eleven_levels_where_ten_is_one_token(templated: Renderer, smollm2: weights.Loaded) -> None:
    assert len(templated.level_tokens) == 11
    assert templated.tokenizer.convert_ids_to_tokens(templated.level_tokens) == [str(level) for level in range(11)]
    assert len(Renderer(smollm2.tokenizer, "smollm2").level_tokens) == 10


def test_a_tokenizer_that_marks_beginnings_continues_texts_without_marks(sentencepiece: Any) -> None:
    renderer = Renderer(sentencepiece, "pieces")
    rendered = renderer.slotted(slotted("the\t", "\nboat\t"))
    tokens = sentencepiece.convert_ids_to_tokens(rendered.ids)
    assert "".join(tokens) == "s\n\nu\nthe\t-\nboat\t"
    assert sentencepiece.convert_ids_to_tokens(renderer.level_tokens) == list("0123456789")


def test_a_tokenizer_without_digits_cannot_be_read() -> None:
    words = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]")), unk_token="[UNK]"
    )
    with pytest.raises(NeuroglossError, match="does not write each digit"):
        Renderer(words, "words").level_tokens  # noqa: B018


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("{{ raise_exception('no system message') }}", "refuses a conversation of user"),
        ("{% for message in messages[1:] %}{{ message['content'] }}{% endfor %}", "leaves out or repeats"),
    ],
)
def test_a_template_that_cannot_be_used_is_named(tiny_gpt2: Path, template: str, complaint: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_gpt2)
    tokenizer.chat_template = template
    with pytest.raises(NeuroglossError, match=f"{complaint}.*set model.chat=false"):
        Renderer(tokenizer, "odd").slotted(slotted("a\t"))
    assert Renderer(tokenizer, "odd", chat=False).slotted(slotted("a\t")).slots


def test_a_lone_surrogate_is_text_too(templated: Renderer) -> None:
    assert templated.slotted(slotted("\ud800\t")).slots


REFUSING = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ raise_exception('no system role') }}"
    "{% endif %}[{{ message['role'] }}]{{ message['content'] }}{% endfor %}[assistant]"
)
OMITTING = (
    "{% for message in messages %}{% if message['role'] != 'system' %}[{{ message['role'] }}]{{ message['content'] }}"
    "{% endif %}{% endfor %}[assistant]"
)


@pytest.mark.parametrize("template", [REFUSING, OMITTING])
def test_a_template_without_a_system_role_gets_its_text_at_the_head_of_the_first_user_turn(
    tiny_llama: Path, template: str
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.chat_template = template
    renderer = Renderer(tokenizer, "tiny")
    messages = [Message("system", "Be brief."), Message("user", "Name a bird."), Message("assistant", "Rook")]
    text = tokenizer.decode(renderer.completion([*messages, Message("user", "Another.")]).ids)
    assert text.startswith("[user]Be brief.\n\nName a bird.")
    assert text.count("Be brief.") == 1
    assert text.endswith("[assistant]")
