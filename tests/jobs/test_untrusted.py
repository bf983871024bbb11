"""Runs and tasks of others: whatever stands in them, nothing is executed, sent or written but what the user named."""

from __future__ import annotations

import json
import pickle
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import cli
from harness.tasks import frozen

Command = Callable[..., tuple[int, str, str]]
SECRET = "value-of-the-variable-123"
PLACES = ("simulator.token_overlap", "explainer.max_activation", "scores.panel", "subject", "subject.unit")


class Bomb:
    """Something that would run a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("boom").touch, ())


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """The address of a server on loopback, and all that it was asked."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(f"{self.path} {self.headers}")
            self.send_response(200)
            self.end_headers()
            self.wfile.write(pickle.dumps(Bomb()))

        do_POST = do_HEAD = do_GET  # noqa: N815  # the names that the library calls

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_address[1]}", requests
    http.shutdown()
    http.server_close()


@pytest.fixture
def neurogloss(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.setenv("GITHUB_TOKEN", SECRET)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def command(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            cli.main(list(arguments))
        return int(end.value.code or 0), *capfd.readouterr()

    return command


@pytest.fixture(scope="module")
def run_of_a_stranger(tiny_task: Path, tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without a store, whose subject is a local folder: audited with :data:`ALLOWED`."""
    root = tmp_path_factory.mktemp("strangers")
    words = [
        *(f"task.name={tiny_task.name}", f"task.path={tiny_task}", "simulator=token_overlap", "units.limit=2"),
        *("subject=transformers", f"subject.name={tiny_llama}", "scores=panel", "board.resamples=200"),
        *("explainer=max_activation", f"output={root}"),
    ]
    with pytest.raises(SystemExit) as end:
        cli.main(["run", *words])
    assert not end.value.code
    return (root / "latest").resolve()


@pytest.fixture
def changed(run_of_a_stranger: Path, tmp_path: Path) -> Callable[[str, object], Path]:
    """Copies the run, with a value at a dotted place of its config."""

    def change(place: str, value: object) -> Path:
        folder = tmp_path / "runs" / "theirs"
        shutil.copytree(run_of_a_stranger, folder)
        document = json.loads((folder / "results.json").read_text())
        part = document["config"]
        *steps, key = place.split(".")
        for step in steps:
            part = part[step]
        part[key] = value
        (folder / "results.json").write_text(json.dumps(document))
        return folder

    return change


@pytest.fixture
def allowed(tiny_task: Path, tiny_llama: Path) -> list[str]:
    return [f"+allow.task.path={tiny_task}", f"+allow.subject.name={tiny_llama}"]


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(neurogloss: Command, folder: Path, allowed: list[str], tests: str = "shuffled,reinitialised") -> str:
    """Return the sentence with which an audit refuses a run, after which nothing has changed."""
    before = everything(folder.parent.parent)
    status, out, err = neurogloss("audit", f"run={folder}", f"tests=[{tests}]", "labels.draws=1", "nulls=1", *allowed)
    assert (status, "Traceback" in err, len(err.splitlines())) == (2, False, 1), err
    assert everything(folder.parent.parent) == before
    assert SECRET not in out + err
    return err


@pytest.mark.slow
def test_the_run_itself_is_audited_with_what_its_sentence_says(
    neurogloss: Command, changed: Callable[[str, object], Path], allowed: list[str]
) -> None:
    folder = changed("seed", 0)
    sentence = refused(neurogloss, folder, [])
    assert all(word in sentence for word in allowed)
    status, _, err = neurogloss("audit", f"run={folder}", "tests=[shuffled]", "nulls=1", *allowed)
    assert status == 0, err


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_no_code_is_named_by_a_run(
    place: str,
    neurogloss: Command,
    changed: Callable[[str, object], Path],
    allowed: list[str],
    server: Any,
    tmp_path: Path,
) -> None:
    url, requests = server
    (tmp_path / "secret").write_text("x")
    nodes = [
        {"_target_": "pandas.read_pickle", "filepath_or_buffer": f"{url}/x.pkl"},
        {"_target_": "shutil.copyfile", "src": str(tmp_path / "secret"), "dst": str(tmp_path / "copy")},
        {"use": "shutil.copyfile", "src": str(tmp_path / "secret"), "dst": str(tmp_path / "copy")},
        {"use": "pandas:read_pickle", "filepath_or_buffer": f"{url}/x.pkl"},
        {"use": "harness.config.build:json", "x": 1},
        {"use": "tracker/jsonl", "file": str(tmp_path / "copy")},
        {"use": ["model/fake"]},
        {"use": "simulator/chance", "_target_": "os.system"},
        [{"use": "model/fake"}],
        "os.system",
    ]
    for node in nodes:
        refused(neurogloss, changed(place, node), allowed)
        shutil.rmtree(tmp_path / "runs")
    assert requests == []


def test_a_node_beside_the_others_is_not_built(
    neurogloss: Command, changed: Callable[[str, object], Path], allowed: list[str], server: Any
) -> None:
    url, requests = server
    refused(neurogloss, changed("explainer.zz", {"_target_": "pandas.read_pickle", "filepath_or_buffer": url}), allowed)
    assert requests == []


@pytest.mark.parametrize(
    ("place", "value", "key"),
    [
        ("subject.trust_remote_code", True, "subject.trust_remote_code"),
        ("subject.name", "attacker/weights", "subject.name"),
        ("task.path", "/elsewhere/task-v1", "task.path"),
        ("task.name", "../../elsewhere", None),
        ("store", "/elsewhere/store.sqlite", None),
        ("store", "${output}/store.sqlite", None),
        ("output", "/elsewhere", None),
        ("subject.device", "${oc.env:GITHUB_TOKEN}", None),
        ("scores.panel.maximum_missing", "${oc.env:GITHUB_TOKEN}", None),
        ("seed", "${oc.env:GITHUB_TOKEN}", None),
        ("board.resamples", "many", None),
        ("board", 3, None),
        ("units", {"limit": [1]}, None),
        ("simulator", [], None),
        (
            "simulator.token_overlap",
            {"use": "simulator/all_at_once", "model": {"use": "model/fake", "log": "x"}},
            "log",
        ),
    ],
)
def test_nothing_that_reaches_outside_is_named_by_a_run(
    place: str,
    value: object,
    key: str | None,
    neurogloss: Command,
    changed: Callable[[str, object], Path],
    allowed: list[str],
) -> None:
    folder = changed("task", {"name": value}) if place == "task.name" else changed(place, value)
    sentence = refused(neurogloss, folder, allowed)
    assert key is None or f"{key}" in sentence


def test_no_key_goes_to_a_server_that_a_run_names(
    neurogloss: Command, changed: Callable[[str, object], Path], allowed: list[str], server: Any
) -> None:
    url, requests = server
    model = {"use": "model/server", "name": "x", "base_url": f"{url}/v1", "api_key_env": "GITHUB_TOKEN", "attempts": 1}
    folder = changed("simulator.token_overlap", {"use": "simulator/all_at_once", "model": model})
    sentence = refused(neurogloss, folder, allowed)
    for key, value in model.items():
        assert key in ("use", "attempts") or f"+allow.simulator.token_overlap.model.{key}={value}" in sentence
    partly = [f"+allow.simulator.token_overlap.model.{key}={model[key]}" for key in ("name", "base_url")]
    refused(neurogloss, folder, [*allowed, *partly])
    assert requests == []


@pytest.mark.slow
def test_a_store_is_opened_beside_the_run_or_where_the_user_says(
    neurogloss: Command, changed: Callable[[str, object], Path], allowed: list[str], tmp_path: Path
) -> None:
    folder = changed("store", str(tmp_path / "evil.sqlite"))
    assert "add store=FILE" in refused(neurogloss, folder, allowed)
    mine = tmp_path / "mine.sqlite"
    status, _, err = neurogloss("audit", f"run={folder}", f"store={mine}", "tests=[shuffled]", "nulls=1", *allowed)
    assert (status, mine.exists(), (tmp_path / "evil.sqlite").exists()) == (0, True, False), err


# ---------------------------------------------------------------------------------------------------------- tasks


@pytest.fixture
def task_of_a_stranger(tiny_task: Path, tmp_path: Path) -> Callable[[str, object], Path]:
    """Copies the small task, with a value at a dotted place of the config that it holds, sealed again."""

    def change(place: str, value: object) -> Path:
        folder = tmp_path / "theirs" / tiny_task.name
        shutil.copytree(tiny_task, folder, dirs_exist_ok=True)
        described = yaml.safe_load((folder / "task.yaml").read_text())
        part = described["made"]["config"]
        *steps, key = place.split(".")
        for step in steps:
            part = part[step]
        part[key] = value
        described["digest"] = frozen.digest(described)
        (folder / "task.yaml").write_text(yaml.safe_dump(described))
        return folder

    return change


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        ("plugins", ["plugin.py"], "--plugins plugin.py"),
        ("plugins", "plugin.py", "made.config.plugins is 'plugin.py'"),
        ("subject.trust_remote_code", True, "--allow subject.trust_remote_code=true"),
        ("subject.device", "${oc.env:GITHUB_TOKEN}", "may hold ${"),
        ("seed", "${oc.env:GITHUB_TOKEN}", "made.config.seed is"),
        ("description", "${oc.env:GITHUB_TOKEN}", "may hold ${"),
        ("corpus.path", "/etc/passwd", "--allow corpus.path=/etc/passwd"),
        ("corpus", {"use": "corpus/hub_dataset", "name": "a/b", "revision": "0" * 40}, "--allow corpus.name=a/b"),
        ("corpus", {"_target_": "os.system", "command": "touch boom"}, "the key corpus._target_"),
        ("corpus", {"use": "os.system", "command": "touch boom"}, "is 'os.system', which"),
        ("sample", {"use": "tracker/jsonl", "file": "boom"}, "sample.file=boom"),
        ("released", {"use": "released/openai", "url": "SERVER", "subject": "x", "neurons": ["L0N0"]}, "released.url"),
        ("zz", {"use": "model/fake"}, "there is no config key"),
    ],
)
def test_nothing_that_reaches_outside_is_named_by_a_task(
    place: str,
    value: object,
    sentence: str,
    neurogloss: Command,
    task_of_a_stranger: Callable[[str, object], Path],
    server: Any,
    tmp_path: Path,
    tiny_task: Path,
    tiny_llama: Path,
) -> None:
    url, requests = server
    Path("plugin.py").write_text("from pathlib import Path\nPath('boom').touch()\n")
    if isinstance(value, dict) and "url" in value:
        value = {**value, "url": url}
    corpus = yaml.safe_load((tiny_task / "task.yaml").read_text())["made"]["config"]["corpus"]["path"]
    allow = ["--allow", f"subject.name={tiny_llama}", *([] if place == "corpus.path" else [f"corpus.path={corpus}"])]
    folder = task_of_a_stranger(place, value)
    status, out, err = neurogloss("tasks", "rebuild", str(folder), *allow)
    assert (status, "Traceback" in err, len(err.splitlines())) == (2, False, 1), err
    assert sentence in err
    assert requests == []
    assert SECRET not in out + err
    assert not Path("boom").exists()
    assert [path.name for path in tmp_path.rglob("*.state-*")] == []


def test_a_plugin_that_the_user_repeats_is_loaded(
    neurogloss: Command, task_of_a_stranger: Callable[[str, object], Path], tiny_llama: Path
) -> None:
    Path("plugin_that_is_repeated.py").write_text("from pathlib import Path\nPath('boom').touch()\n")
    folder = task_of_a_stranger("plugins", ["plugin_that_is_repeated.py"])
    neurogloss("tasks", "rebuild", str(folder), "--plugins", "plugin_that_is_repeated.py")
    assert Path("boom").exists()
