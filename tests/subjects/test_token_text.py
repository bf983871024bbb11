"""A token's text is what the tokenizer gives for its bytes, and tokens' texts join to the text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from harness.subjects.token_text import token_text


def sentencepiece_like() -> PreTrainedTokenizerFast:
    """A tokenizer that marks words by the space before them, writes unknown bytes out, and decodes as Llama 2's."""
    pieces = [
        "<s>",
        "\u2581",
        "\u2581the",
        "\u2581a",
        "a",
        "the",
        "cat",
        ".",
        "\n",
        *(f"<0x{n:02X}>" for n in range(256)),
    ]
    tokenizer = Tokenizer(models.BPE({piece: number for number, piece in enumerate(pieces)}, [], byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", clean_up_tokenization_spaces=False)


def test_a_tokens_text_is_what_it_adds_and_not_what_it_is_alone() -> None:
    tokenizer = sentencepiece_like()
    texts = {piece: token_text(tokenizer, number) for piece, number in tokenizer.get_vocab().items()}
    assert texts["\u2581the"] == " the"
    assert tokenizer.decode([tokenizer.get_vocab()["\u2581the"]]) == "the"
    assert (texts["\u2581"], texts["the"], texts["\n"], texts["<0x0A>"], texts["<s>"]) == (
        " ",
        "the",
        "\n",
        "\n",
        "<s>",
    )
    assert texts["<0xE2>"] == "\ufffd"


@given(st.text(min_size=1, max_size=20))
def test_the_texts_of_tokens_join_to_the_text(string: str) -> None:
    """Of a tokenizer of bytes: a whole character stays, whatever it is; one that is cut in pieces is unreadable."""
    tokenizer = byte_level()
    ids = tokenizer.encode(string, add_special_tokens=False)
    joined = "".join(token_text(tokenizer, one) for one in ids)
    if string.isascii():
        assert joined == string
    assert joined.replace("\ufffd", "") == "".join(one for one in string if one.isascii())


def byte_level() -> PreTrainedTokenizerFast:
    """A tokenizer of single bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({byte: number for number, byte in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False)
