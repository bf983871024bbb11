"""Recipes: their commands compose, their files can be read, and what can be run here runs."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import re
import shlex
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from harness import cli
from harness.config.compose import composed, jobs
from harness.jobs import run
from harness.jobs.jobs import JOBS
from harness.models.server.capabilities import ORDER
from tests.docs.conftest import ROOT, commands

RECIPES = ROOT / "recipes"
PAGES = sorted(RECIPES.glob("*.md"))
SKY = yaml.safe_load((RECIPES / "skypilot.yaml").read_text())
SHELL = {"vllm.sbatch": (RECIPES / "vllm.sbatch").read_text(), "skypilot.yaml": SKY["run"]}


def in_shell(text: str) -> list[str]:
    """What a shell script has neurogloss do, with the model of SkyPilot's file and no further arguments."""
    filled = text.replace("$MODEL", SKY["envs"]["MODEL"]).replace('"$@"', "")
    return re.findall(r"neurogloss (run .*)", filled)


LINES = sorted(
    {line for page in PAGES for line in commands(page)} | {line for text in SHELL.values() for line in in_shell(text)}
)


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_a_recipe_is_taken(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words = shlex.split(line)
    job = next((name for name in JOBS if words[: len(name.split())] == name.split()), None)
    if job is None:
        options = cli._parser().parse_args(words)
        overrides, folder = getattr(options, "overrides", []), getattr(options, "config_dir", None)
    else:
        parser = argparse.ArgumentParser()
        parser.add_argument("--config-dir", type=Path)
        parser.add_argument("-m", action="store_true")
        parser.add_argument("overrides", nargs="*")
        options = parser.parse_args(words[1:])
        overrides, folder = options.overrides, options.config_dir
    ours = [text for text in overrides if not text.startswith("hydra")]
    for overrides_of_job in jobs(ours):
        run.prepare(composed("run", overrides_of_job, [folder] if folder else []))


def test_recipes_have_commands() -> None:
    assert len(LINES) > 10
    assert all(in_shell(text) for text in SHELL.values())


def test_links_and_files_that_recipes_name_are_there() -> None:
    links = {(page, link) for page in PAGES for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text())}
    named = {(ROOT / "x", name) for page in PAGES for name in re.findall(r"\brecipes/[\w./-]+\w", page.read_text())}
    assert len(links) > 8
    assert [link for page, link in links | named if not (page.parent / link).exists()] == []
    assert {page.name for page in PAGES} - {"README.md"} <= {link for page, link in links if page.name == "README.md"}


def test_settings_of_the_launcher_are_those_of_submitit() -> None:
    launcher = pytest.importorskip("hydra_plugins.hydra_submitit_launcher.config")
    text = (RECIPES / "slurm.md").read_text()
    names = set(re.findall(r"hydra\.launcher\.(\w+)=", text))
    assert len(names) == 4
    assert names <= {field.name for field in dataclasses.fields(launcher.SlurmQueueConf)}


def test_the_option_that_vllm_needs_is_named_where_prompts_are_read() -> None:
    (option,) = re.findall(r"--no-enable-[a-z-]+", ORDER)
    for name in ("vllm.md", "vllm.sbatch", "skypilot.yaml"):
        assert option in (RECIPES / name).read_text()
    plan = run.prepare(composed("run", ["explainer_model=vllm", "simulator=vllm"], [RECIPES / "conf"]))
    assert plan.settings.simulator["all_at_once"]["model"]["transport"] == "prompt"


def test_what_skypilot_reads_has_the_keys_of_its_specification() -> None:
    assert set(SKY) <= {"name", "workdir", "num_nodes", "resources", "envs", "secrets", "file_mounts", "setup", "run"}
    assert set(SKY["resources"]) <= {"infra", "accelerators", "cpus", "memory", "disk_size", "use_spot", "autostop"}
    for text in (SKY["setup"], SKY["run"]):
        subprocess.run(["bash", "-n", "-c", text], check=True)


# ---------------------------------------------------------------------------------------------------- what can be run

VLLM = """#!/usr/bin/env python3
import http.server, sys
(RECORD := open({record!r}, "w")).write(" ".join(sys.argv[1:])) and RECORD.flush()
if "broken" in sys.argv: raise SystemExit(3)
class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
    log_message = lambda *_: None
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[-1])), Healthy).serve_forever()
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with stand-ins: a vllm that says it is healthy, and a neurogloss that says what it was told."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "vllm").write_text(VLLM.format(record=str(tmp_path / "served")))
    (folder / "neurogloss").write_text('#!/bin/sh\necho "told: $*"\nexit 7\n')
    for path in folder.iterdir():
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return folder


def free_port() -> int:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        return server.server_port


def shell(programs: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PORT": str(free_port())}
    return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_job_serves_a_model_runs_beside_it_and_ends_both(programs: Path, tmp_path: Path) -> None:
    ended = shell(programs, "bash", "recipes/vllm.sbatch", "units.limit=2", "seed=0")
    assert ended.stdout == "told: run --config-dir recipes/conf units.limit=2 seed=0\n"
    assert ended.returncode == 7  # the run's own
    served = (tmp_path / "served").read_text()
    assert re.fullmatch(r"serve Qwen/\S+ --no-enable-prefix-caching --port \d+", served)
    with pytest.raises(OSError, match="refused"), socket.socket() as client:
        client.connect(("127.0.0.1", int(served.split()[-1])))


def test_a_server_that_does_not_start_ends_the_job(programs: Path) -> None:
    ended = shell(programs, "recipes/with_vllm.sh", "model broken", "neurogloss", "run")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "the server has ended before it answered" in ended.stderr


class Provider(ThreadingHTTPServer):
    """The part of OpenAI's API that batches need; a batch is done when it is looked at the second time."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Batches)
        self.uploads: list[bytes] = []
        self.batches: list[dict[str, Any]] = []
        self.looks = 0


class _Batches(BaseHTTPRequestHandler):
    server: Provider

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/files":
            self.server.uploads.append(content)
            self._answer({"id": "file-1", "object": "file", "purpose": "batch", "bytes": 1, "created_at": 1})
        else:
            self.server.batches.append(json.loads(content))
            self._answer(self._batch("validating"))

    def do_GET(self) -> None:
        if self.path == "/v1/batches/batch-1":
            self.server.looks += 1
            self._answer(self._batch("completed" if self.server.looks > 1 else "in_progress"))
        else:
            self._answer({"custom_id": self.path.split("/")[-2]})

    def _batch(self, status: str) -> dict[str, Any]:
        files = {"output_file_id": "file-2", "error_file_id": "file-3"} if status == "completed" else {}
        return {"id": "batch-1", "object": "batch", "status": status, "created_at": 1, **files}

    def _answer(self, document: dict[str, Any]) -> None:
        content = json.dumps(document).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[Provider]:
    server = Provider()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def script() -> ModuleType:
    specification = importlib.util.spec_from_file_location("send_batch", RECIPES / "send_batch.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_a_batch_is_sent_once_waited_for_and_written(
    provider: Provider, script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests, answers = tmp_path / "requests.jsonl", tmp_path / "answers.jsonl"
    requests.write_text('{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n')
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{provider.server_port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "key-of-the-test")
    monkeypatch.setenv("SECONDS_BETWEEN", "0")
    monkeypatch.setattr("sys.argv", ["send_batch.py", str(requests), str(answers)])
    for _ in range(2):  # the second time nothing is sent
        with pytest.raises(SystemExit) as ended:
            script.main()
        assert ended.value.code == 0
    assert len(provider.uploads) == 1
    assert requests.read_bytes() in provider.uploads[0]
    assert provider.batches == [
        {"input_file_id": "file-1", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    ]
    ids = [json.loads(line)["custom_id"] for line in answers.read_text().splitlines()]
    assert ids == ["file-2", "file-3"]
