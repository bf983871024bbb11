"""A tokenizer in which each word of planted neurons is one token, and a model planted with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, PreTrainedTokenizerFast

from harness.tasks.planted.draw import vocabulary
from harness.tasks.planted.folder import plant


@pytest.fixture(scope="session")
def wordy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a byte-level tokenizer that has learnt all words, beside a config and a file of no weights."""
    groups = (vocabulary()["classes"], vocabulary()["endings"])
    text = " ".join(["", *(word for group in groups for words in group.values() for word in words)])
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=3000,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text], trainer)
    folder = tmp_path_factory.mktemp("wordy") / "tokenizer"
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", clean_up_tokenization_spaces=False
    )
    wrapped.save_pretrained(folder)
    GPT2Config().save_pretrained(folder)
    (folder / "model.safetensors").touch()
    return folder


@pytest.fixture(scope="session")
def planted_folder(wordy: Path) -> Path:
    """A planted model with a small corpus."""
    folder = wordy.parent / "planted"
    plant(folder, str(wordy), seed=5, documents=40)
    return folder
