"""A pickle becomes safetensors in a process of its own, which calls nothing that the file names."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from harness.subjects import unpickled
from harness.subjects.checkpoints import read

Command = Callable[..., tuple[int, str, str]]
WEIGHTS = {
    "encoder.weight": torch.randn(6, 4, generator=torch.Generator().manual_seed(0)),
    "encoder.bias": torch.zeros(6),
    "decoder.weight": torch.randn(4, 6, generator=torch.Generator().manual_seed(1)),
    "b_dec": torch.ones(4),
    "k": torch.tensor(3),
}


def published(folder: Path) -> Path:
    """A dictionary of dictionary_learning as it is saved."""
    folder.mkdir()
    torch.save(WEIGHTS, folder / "ae.pt")
    trainer = {"dict_class": "AutoEncoderTopK", "layer": 2, "submodule_name": "resid_post_layer_2", "k": 3}
    (folder / "config.json").write_text(json.dumps({"trainer": trainer}))
    return folder / "ae.pt"


@pytest.mark.slow
def test_a_pickle_is_converted_with_its_settings_and_its_digest(tmp_path: Path, neurogloss: Command) -> None:
    source, folder = published(tmp_path / "trainer_0"), tmp_path / "converted"
    status, out, err = neurogloss("dictionary", "convert", str(source), str(folder))
    assert status == 0, err
    assert "6 latents that read vectors of 4" in out
    tensors = load_file(folder / "ae.safetensors")
    assert tensors.keys() == WEIGHTS.keys()
    assert all(torch.equal(tensors[name], WEIGHTS[name]) for name in WEIGHTS)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert json.loads((folder / "source.json").read_text()) == {
        "folder": "trainer_0",
        "file": "ae.pt",
        "sha256": digest,
    }
    checkpoint = read(folder)
    assert (checkpoint.dictionary.k, checkpoint.reads) == (3, "blocks.2.hook_resid_post")
    status, _, err = neurogloss("dictionary", "convert", str(source), str(folder))
    assert status == 2
    assert "exists, and nothing is written over it" in err


class Evil:
    """Its pickle calls a function of ours when it is read without care."""

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (Path(self.mark),)

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)


@pytest.mark.slow
def test_a_pickle_that_would_run_code_is_refused_and_leaves_nothing(tmp_path: Path, neurogloss: Command) -> None:
    mark = tmp_path / "called"
    (tmp_path / "ae.pt").write_bytes(pickle.dumps(Evil(mark)))
    pickle.loads((tmp_path / "ae.pt").read_bytes())  # noqa: S301  # what the file does where it is trusted
    assert mark.exists()
    mark.unlink()
    before = sorted(tmp_path.iterdir())
    status, _, err = neurogloss("dictionary", "convert", str(tmp_path / "ae.pt"), str(tmp_path / "converted"))
    assert status == 2
    assert "cannot be converted: torch reads no tensors alone from it" in err
    assert "Traceback" not in err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_what_is_no_dictionary_is_not_kept(tmp_path: Path, neurogloss: Command) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "model.pt")
    status, _, err = neurogloss("dictionary", "convert", str(tmp_path / "model.pt"), str(tmp_path / "converted"))
    assert status == 2
    assert "holds no dictionary that is known here" in err
    assert not (tmp_path / "converted").exists()
    status, _, err = neurogloss("dictionary", "convert", str(tmp_path / "ae.txt"), str(tmp_path / "converted"))
    assert (status, "is no file of .pt" in err) == (2, True)


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ({"a": {"b": torch.ones(2), "c": 3}}, {"a.b", "a.c"}),
        ({"a": torch.ones(2), "b": torch.ones(2)}, {"a", "b"}),
    ],
)
def test_names_within_names_are_joined(content: object, names: set[str], tmp_path: Path) -> None:
    torch.save(content, tmp_path / "it.pt")
    assert unpickled.tensors(tmp_path / "it.pt").keys() == names


def test_a_text_among_the_tensors_is_refused_by_name(tmp_path: Path) -> None:
    torch.save({"a": {"name": "text"}}, tmp_path / "it.pt")
    with pytest.raises(ValueError, match=r"a\.name is of the type str, and neither tensor nor number"):
        unpickled.tensors(tmp_path / "it.pt")
