"""The wheel holds all that a run needs, and works where there is no repository beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("conf", "tasks", "leaderboard/entries")
Run = Callable[..., subprocess.CompletedProcess[str]]


def files(folder: str) -> set[str]:
    """Every file below a folder of the repository, as the wheel should name it."""
    found = (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in found}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("neurogloss-*.whl")
    return path


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel installed into it, and nothing else of this repository in reach."""
    target = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--no-deps", "--no-index", "--no-compile", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(wheel)], check=True)
    return target


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Run:
    """Runs Python in an empty folder with the installed package, whether or not the repository is installed too."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "PYTHON"))}
        kept |= {"PYTHONPATH": str(installed), "COLUMNS": "200"}
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True, timeout=60, check=False)

    return call


def package() -> set[str]:
    """Return the files of the package that the wheel should hold: all but those of the training."""
    return {name for name in files("harness") if not name.startswith("harness/training/")} | set(files("neurogloss"))


def test_the_package_is_whole(names: set[str]) -> None:
    assert package() - names == set()
    assert {"harness/py.typed", "neurogloss/py.typed"} <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def travelling(folder: str) -> set[str]:
    """Return where the wheel has the files of a folder of the repository."""
    return {f"harness/_data/{name}" for name in files(folder)}


@pytest.mark.parametrize("folder", FOLDERS)
def test_configs_tasks_and_what_simulators_scored_travel_with_it(folder: str, names: set[str]) -> None:
    expected = travelling(folder)
    assert expected - names == set()
    assert expected


def test_nothing_else_travels(names: set[str]) -> None:
    expected = package().union(*map(travelling, FOLDERS))
    assert {name for name in names - expected if ".dist-info/" not in name} == set()


def test_the_wheel_is_small(wheel: Path, names: set[str]) -> None:
    assert not {name for name in names if name.startswith("harness/training/")}
    assert {name for name in names if name.endswith(".safetensors")} == {
        "harness/models/tuned/adapters/smollm2-simulator-v6.safetensors",
        "harness/subjects/dictionaries/smollm2-layer15/sae_weights.safetensors",
    }
    assert wheel.stat().st_size < 22e6


def test_a_run_needs_nothing_of_the_training(run: Run) -> None:
    """The names of its configs stand in the table of short names, and say so where it is not there."""
    script = "import pkgutil, harness; print([m.name for m in pkgutil.iter_modules(harness.__path__)])"
    assert "training" not in run("-c", script).stdout
    script = "from harness.config import registry; registry.resolve('training/loop', 'training')"
    assert "training uses training/loop, which cannot be imported" in run("-c", script).stderr


@pytest.mark.slow
def test_the_command_composes_the_default_run_in_any_folder(run: Run, installed: Path) -> None:
    done = run(str(installed / "bin" / "neurogloss"), "run", "--cfg", "job")
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load(done.stdout)
    assert config["task"]["name"] == "smollm2-v2"
    assert config["track"] == {}
    assert config["publish"]["to"] == "run"


def test_an_installed_wheel_claims_no_commit(run: Run, installed: Path) -> None:
    done = run("-c", "from harness.results import provenance as p; print(p.__file__); print(p.provenance()['git'])")
    place, commit = done.stdout.splitlines()
    assert Path(place).is_relative_to(installed)
    assert commit == "None"
