"""Provenance says what made a result and never who or where; the guard refuses secrets without repeating them."""

from __future__ import annotations

import getpass
import json
import os
import platform
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.results.provenance import git_state, provenance, redact, version
from harness.types import NeuroglossError

# Assembled here so that no scanner of the repository takes them for real ones.
SECRETS = [
    "sk-" + "proj-abcdefghijklmnop1234",
    "sk-" + "ant-api03-Abcdefghijklmnopqrs",
    "hf" + "_AbCdEfGhIjKlMnOpQrSt",
    "gh" + "p_abcdefghijklmnopqrstuvwxyz0123456789",
    "AK" + "IAIOSFODNN7EXAMPLE",
    "wandb" + "_v1_abcdefghijklmnopqrstuv",
    "Bearer " + "abcdefghijklmnop.qrstuv",
    "https://me:" + "hunter2@models.example/v1",
    "https://" + "abcdefghij0123456789@models.example/v1",
    "https://models.example/v1?api_key=" + "abcdefgh1234",
    "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc",
    "aB3" * 20,
]
HARMLESS = [
    "smollm2",
    "HuggingFaceTB/SmolLM2-135M-Instruct",
    "12fd25f77366fa6b3b4b768ec3050bf629380bac",  # a hub commit has the shape of an old W&B key: only names tell
    "sha256:" + "0f" * 32,
    "https://api.openai.com/v1",
    "http://127.0.0.1:8000/v1",
    "hf://datasets/someone/some-set@main",
    "harness.explainers.token_activation.TokenActivation",
    "task-with-a-rather-long-name-v1",
    "meta-llama/Llama-3.1-8B-Instruct",
    "the basic interpretability of risk-taking-neurons-in-models",
    "user@example.org writes: see http://example.org/a:b@c",
]


def checkout(folder: Path, name: str = "neurogloss") -> Path:
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(f'[project]\nname = "{name}"\nversion = "9"\n', encoding="utf-8")
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def test_says_what_made_the_result() -> None:
    said = provenance(["seed=1", "neurons.limit=4"])
    assert said["neurogloss"] == version() != "unknown"
    assert said["python"] == platform.python_version()
    assert said["cpus"] == os.cpu_count()
    assert said["overrides"] == ["seed=1", "neurons.limit=4"]
    packages = said["packages"]
    assert isinstance(packages, dict)
    assert packages["numpy"] == np.__version__
    assert all(packages.values())


def test_is_plain_json() -> None:
    said = provenance(["a=b"])
    assert json.loads(json.dumps(said, allow_nan=False)) == said


def test_says_neither_who_nor_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROGLOSS_TEST_MARK", "must-not-appear")
    text = json.dumps(provenance([f"human.file={Path.home()}/people.csv"]))
    words = text.replace('"', " ").replace("/", " ").split()
    assert platform.node() not in words
    assert getpass.getuser() not in words
    assert str(Path.home()) not in text
    assert "human.file=~/people.csv" in text
    assert "must-not-appear" not in text


def test_git_state_of_a_clean_and_a_changed_checkout(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "project")
    clean = git_state(folder)
    assert clean is not None
    assert len(str(clean["commit"])) == 40
    assert clean["dirty"] is False
    (folder / "new.py").write_text("", encoding="utf-8")
    assert git_state(folder) == {"commit": clean["commit"], "dirty": True}


def test_git_state_is_not_misled_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, other = checkout(tmp_path / "project"), checkout(tmp_path / "other", "something-else")
    expected = git_state(folder)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert git_state(folder) == expected


def test_git_state_is_none_wherever_the_commit_is_not_this_codes(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "project")
    installed = folder / "venv" / "site-packages"
    installed.mkdir(parents=True)
    assert git_state(installed) is None
    # even a copy of this project inside another repository has no commit of its own
    (installed / "pyproject.toml").write_text((folder / "pyproject.toml").read_text(), encoding="utf-8")
    assert git_state(installed) is None
    assert git_state(checkout(tmp_path / "vendored", "something-else")) is None
    unborn = tmp_path / "unborn"
    unborn.mkdir()
    (unborn / "pyproject.toml").write_text('[project]\nname = "neurogloss"\n', encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=unborn, check=True)
    assert git_state(unborn) is None


def test_git_state_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkout(tmp_path / "project")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(folder) is None


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("place", ["name", "api_key_env", "header"])
def test_secrets_are_refused_by_place_and_never_repeated(secret: str, place: str) -> None:
    config = {"simulator": {"model": [{"ok": 1}, {place: secret}]}}
    with pytest.raises(NeuroglossError) as refused:
        redact(config)
    assert f"simulator.model[1].{place}" in str(refused.value)
    assert secret not in str(refused.value)
    assert secret[-8:] not in str(refused.value)


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_in_overrides_are_refused(secret: str) -> None:
    with pytest.raises(NeuroglossError, match=r"explainer\.gpt\.model") as refused:
        provenance([f"explainer.gpt.model={secret}"])
    assert secret not in str(refused.value)


@pytest.mark.parametrize("key", ["api_key", "API_KEY", "X-Api-Key", "token", "hf_token", "password", "Authorization"])
def test_entries_named_like_secrets_are_refused_whatever_they_hold(key: str) -> None:
    with pytest.raises(NeuroglossError, match="api_key_env") as refused:
        redact({"model": {key: "opensesame"}})
    assert "opensesame" not in str(refused.value)
    assert redact({"model": {key: None}}) == {"model": {key: None}}


def test_a_secret_used_as_a_key_is_not_repeated_either() -> None:
    with pytest.raises(NeuroglossError) as refused:
        redact({"model": {SECRETS[2]: "x"}})
    assert SECRETS[2] not in str(refused.value)


@pytest.mark.parametrize("text", HARMLESS)
def test_ordinary_values_pass_unchanged(text: str) -> None:
    config = {"a": {"b": [text, 1, None, True, 0.5]}}
    assert redact(config) == config
    assert provenance([f"a.b={text}"])["overrides"] == [f"a.b={text}"]


def test_names_of_variables_and_counts_of_tokens_pass() -> None:
    config = {"api_key_env": "OPENAI_API_KEY", "max_tokens": 64, "tokens": "all", "token_env": "HF_TOKEN"}
    assert redact(config) == config


def test_the_home_folder_is_shortened_and_only_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    config = {"a": "/home/alice/runs", "b": "/home/alice", "c": "/home/alicerun", "d": "/mnt/home/alice/x"}
    assert redact(config) == {"a": "~/runs", "b": "~", "c": "/home/alicerun", "d": "/mnt/home/alice/x"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text("abc /._-", max_size=12),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz", min_size=1), inner, max_size=3),
        max_leaves=8,
    )
)
def test_redacting_twice_is_redacting_once(value: object) -> None:
    once = redact({"root": value})
    assert redact(once) == once
    assert json.loads(json.dumps(once)) == once
