from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.config import plugins
from harness.config.build import check
from harness.config.compose import composed, config_hash, plain
from harness.config.registry import resolve
from harness.types import NeuroglossError


def test_a_package_brings_a_method_a_config_and_a_prompt(package: Path) -> None:
    config = plain(composed("run", ["plugins=[own_methods]", "explainer=one_excerpt", "explainer_model=fake"]))
    assert list(config["explainer"]) == ["one_excerpt"]
    assert config["plugins"] == ["own_methods"]
    check({**config["explainer"]["one_excerpt"], "model": config["explainer_model"]["fake"]}, "explainer.one_excerpt")
    assert resolve("explainer/one_excerpt", "x").__module__ == "own_methods.method"
    assert plugins.conf_folders() == [package / "conf"]
    assert plugins.prompt_folders() == [package / "deep" / "prompts"]


def test_a_module_of_a_package_is_a_plugin(package: Path) -> None:
    plugins.load(["own_methods.method"])
    assert resolve("explainer/one_excerpt", "x").__qualname__ == "OneExcerpt"
    assert plugins.conf_folders() == [package / "conf"]


def test_a_file_is_a_plugin(method_file: Path) -> None:
    overrides = [f"plugins=['{method_file}']", "explainer=[one_excerpt,shuffled]"]
    config = composed("run", overrides)
    assert list(config.explainer) == ["one_excerpt", "shuffled"]
    check({"use": "explainer/one_excerpt", "model": {"use": "model/fake"}, "threshold": 2}, "explainer.one_excerpt")
    assert plugins.prompt_folders() == [method_file.parent / "prompts"]


def test_a_file_is_named_from_the_working_directory(method_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(method_file.parent)
    config = composed("run", ["plugins=[./one_excerpt.py]", "explainer=one_excerpt"])
    assert list(config.explainer) == ["one_excerpt"]


def test_a_plugin_is_loaded_once(method_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugins.load([str(method_file)])
    cls = resolve("explainer/one_excerpt", "x")
    monkeypatch.chdir(method_file.parent)
    plugins.load(["one_excerpt.py", str(method_file)])
    assert resolve("explainer/one_excerpt", "x") is cls


def test_a_plugin_that_is_not_named_is_not_there(package: Path) -> None:
    with pytest.raises(NeuroglossError, match="there is no explainer called one_excerpt"):
        composed("run", ["explainer=one_excerpt"])
    assert "own_methods" not in sys.modules


def test_an_entry_point_is_imported_only_where_it_is_named(
    package: Path, entry_point: Callable[[str, str], None]
) -> None:
    entry_point("excerpts", "own_methods")
    entry_point("broken", "no_such_module")
    composed("run", [])
    assert "own_methods" not in sys.modules
    config = composed("run", ["plugins=[excerpts]", "explainer=one_excerpt"])
    assert "own_methods" in sys.modules
    assert list(config.explainer) == ["one_excerpt"]


def test_a_plugin_that_a_config_file_names_is_loaded(package: Path, tmp_path: Path) -> None:
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text("# @package _global_\nplugins: [own_methods]\n")
    composed("run", ["experiment=mine"], [tmp_path / "conf"])
    assert resolve("explainer/one_excerpt", "x").__qualname__ == "OneExcerpt"


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("1 / 0\n", "ZeroDivisionError: division by zero ({file}, line 1)."),
        ("\ndef f(:\n", "SyntaxError: invalid syntax ({file}, line 2)."),
        ("import no_such_library\n", "ModuleNotFoundError: No module named 'no_such_library' ({file}, line 1)."),
        ("raise SystemError\n", "SystemError: no message ({file}, line 1)."),
    ],
)
def test_a_file_that_cannot_be_imported_is_told_with_its_line(tmp_path: Path, code: str, answer: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(code)
    with pytest.raises(NeuroglossError) as refusal:
        plugins.load([str(file)])
    assert str(refusal.value) == f"plugin {file} cannot be imported: {answer.format(file=file)}"
    assert not [name for name in sys.modules if name.startswith("neurogloss_plugin_mine")]


def test_a_broken_module_is_not_taken_for_a_missing_one(package: Path) -> None:
    (package / "method.py").write_text("import own_metods\n")
    with pytest.raises(NeuroglossError, match=r"plugin own_methods cannot be imported: ModuleNotFoundError: .*line 1"):
        plugins.load(["own_methods"])


def test_a_plugin_that_does_not_exist_is_answered_with_those_installed(
    entry_point: Callable[[str, str], None], tmp_path: Path
) -> None:
    for name in ("nowhere", "nowhere.inner"):
        with pytest.raises(NeuroglossError, match=rf"plugin {name} cannot be imported: .* \(there are none\)\."):
            plugins.load([name])
    entry_point("excerpts", "own_methods")
    with pytest.raises(NeuroglossError, match=r"or name an installed plugin \(excerpts\)"):
        plugins.load(["nowhere"])
    with pytest.raises(NeuroglossError, match=rf"there is no file {tmp_path}/nowhere\.py"):
        plugins.load([str(tmp_path / "nowhere.py")])


def test_a_plugin_that_takes_a_name_of_ours_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from harness.config.registry import register\n@register('explainer/summary')\nclass Mine: pass\n")
    with pytest.raises(NeuroglossError, match=r"plugin .*mine\.py: the name explainer/summary is taken by harness\."):
        plugins.load([str(file)])


def test_a_file_of_ours_is_not_replaced_by_that_of_a_plugin(package: Path) -> None:
    (package / "conf" / "explainer" / "summary.yaml").write_text("summary: {use: explainer/one_excerpt}\n")
    config = composed("run", ["plugins=[own_methods]", "explainer=summary"])
    assert config.explainer.summary.use == "explainer/summary"


def test_other_code_is_another_run(method_file: Path) -> None:
    def name() -> str:
        return config_hash(plain(composed("run", [f"plugins=['{method_file}']"])))

    digest = name()
    assert name() == digest
    method_file.write_text(method_file.read_text() + "\n")
    assert name() != digest


def test_plugins_are_a_list() -> None:
    with pytest.raises(NeuroglossError, match=r"plugins takes a list, so write plugins=\[own_methods\]"):
        composed("run", ["plugins=own_methods"])


@pytest.mark.parametrize("name", ["collect", "audit"])
def test_other_commands_load_plugins_too(name: str, package: Path) -> None:
    composed(name, ["plugins=[own_methods]"])
    assert "own_methods" in sys.modules
