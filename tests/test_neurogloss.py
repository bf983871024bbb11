"""The package can be imported by the name under which it is installed, and is one with harness."""

from __future__ import annotations

import subprocess
import sys

import pytest

import neurogloss


def test_its_modules_are_those_of_harness() -> None:
    from harness import types, weights
    from neurogloss import types as types_by_name

    assert types_by_name is types
    assert neurogloss.weights is weights
    assert {"pipeline", "scores", "stats", "tasks"} <= set(dir(neurogloss))


def test_what_it_does_not_have_is_named() -> None:
    with pytest.raises(AttributeError, match="neurogloss has no 'nothing'; it has NeuroglossError, Results, api, "):
        neurogloss.nothing  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        from neurogloss import nothing  # noqa: F401


def test_it_runs_as_the_command() -> None:
    command = [sys.executable, "-m", "neurogloss", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("neurogloss ")
