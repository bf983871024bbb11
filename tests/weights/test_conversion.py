"""GGUF files are converted once and whole; what an interruption leaves is swept."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness import files, weights
from harness.types import NeuroglossError
from harness.weights import conversion, reading
from tests.weights.damage import cut_weights, lost_tensor, no_config


@pytest.mark.slow
def test_the_converted_tokenizer_is_the_one_of_the_gguf_file(smollm2: weights.Loaded) -> None:
    location = weights.locate(weights.EMBEDDED)
    assert location.gguf is not None
    original = AutoTokenizer.from_pretrained(location.gguf.parent, gguf_file=location.gguf.name)
    converted = smollm2.tokenizer
    assert converted.get_vocab() == original.get_vocab()
    assert converted.chat_template == original.chat_template
    assert converted.special_tokens_map == original.special_tokens_map
    text = "The\t10 boats\n\n  lay – quiet, naïve \U0001f600 <|im_end|> don't 2023x\r\n" * 3
    for split in (False, True):
        ids = original(text, split_special_tokens=split).input_ids
        assert converted(text, split_special_tokens=split).input_ids == ids
        assert converted.decode(ids) == original.decode(ids)
    singles = range(0, len(original), 7)
    assert [converted.decode([one]) for one in singles] == [original.decode([one]) for one in singles]


@pytest.fixture
def embedded(tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[weights.Location, list[Path]]:
    """An embedded model whose file is small, and the list of its conversions."""
    conversions: list[Path] = []
    gguf = tmp_path / "model.gguf"
    gguf.write_bytes(b"weights")

    def read(_: weights.Location, source: Path) -> tuple[object, object]:
        conversions.append(source)
        return AutoModelForCausalLM.from_pretrained(tiny_llama), AutoTokenizer.from_pretrained(tiny_llama)

    monkeypatch.setattr(conversion, "_read_gguf", read)
    folder = tmp_path / "cache" / "weights" / "0123-5.0"
    location = weights.Location("embedded:small", "0123", folder, gguf)
    monkeypatch.setattr(reading, "locate", lambda _name, _revision=None: location)
    return location, conversions


def left_behind(location: weights.Location) -> list[str]:
    return [path.name for path in location.folder.parent.iterdir()] if location.folder.parent.exists() else []


def test_conversion_happens_once(embedded: tuple[weights.Location, list[Path]], tiny_llama: Path) -> None:
    location, conversions = embedded
    loaded = weights.load("embedded:small")
    weights.load_tokenizer("embedded:small")
    assert len(conversions) == 1
    assert left_behind(location) == [location.folder.name]
    for name, tensor in AutoModelForCausalLM.from_pretrained(tiny_llama).state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor)


@pytest.mark.parametrize("damage", [lost_tensor, cut_weights, no_config])
def test_a_cache_that_is_not_whole_is_made_again(
    embedded: tuple[weights.Location, list[Path]], damage: Callable[[Path], None]
) -> None:
    location, conversions = embedded
    weights.load("embedded:small")
    damage(location.folder)
    weights.load("embedded:small")
    assert len(conversions) == 2
    assert left_behind(location) == [location.folder.name]


def test_a_cache_of_the_right_size_that_cannot_be_read_is_named(
    embedded: tuple[weights.Location, list[Path]],
) -> None:
    location, _ = embedded
    weights.load("embedded:small")
    path = location.folder / "model.safetensors"
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(NeuroglossError, match=f"delete {location.folder} and run again"):
        weights.load("embedded:small")


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_an_interrupted_conversion_leaves_nothing(
    embedded: tuple[weights.Location, list[Path]], monkeypatch: pytest.MonkeyPatch, interruption: BaseException
) -> None:
    location, _ = embedded

    def stop(_: int) -> None:
        assert left_behind(location)
        raise interruption

    monkeypatch.setattr(os, "fsync", stop)
    expected = KeyboardInterrupt if isinstance(interruption, KeyboardInterrupt) else NeuroglossError
    with pytest.raises(expected) as caught:
        weights.load("embedded:small")
    assert left_behind(location) == []
    if expected is NeuroglossError:
        assert "No space left on device); free 0.0 GB there" in str(caught.value)


def test_two_processes_may_convert_at_once(
    embedded: tuple[weights.Location, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one finishes while this one is about to: its folder stays, and this one's goes."""
    location, _ = embedded
    write, others = conversion._write_converted, []

    def overtaken(where: weights.Location, gguf: Path, folder: Path) -> None:
        write(where, gguf, folder)
        if not others:
            others.append(shutil.copytree(folder, location.folder))

    monkeypatch.setattr(conversion, "_write_converted", overtaken)
    weights.load("embedded:small")
    assert left_behind(location) == [location.folder.name]


def test_what_a_killed_conversion_left_is_swept_later(embedded: tuple[weights.Location, list[Path]]) -> None:
    location, _ = embedded
    remains = location.folder.parent / f".{location.folder.name}.0123456789abcdef.neurogloss.tmp"
    with files.unfinished(location.folder) as draft:  # of a conversion that goes on
        remains.mkdir(parents=True)
        weights.load("embedded:small")
        assert sorted(left_behind(location)) == sorted([location.folder.name, draft.name])
