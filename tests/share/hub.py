"""A hub on loopback: the part of the Hugging Face hub's HTTP API that publishing and ``load_dataset`` speak.

Repositories hold commits (path -> content), a main branch and tags, as git does; large files go by their digest to a
store of their own first. It answers whoever has the token, and fails when it is told to.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "a-token-that-must-not-appear"
ATTRIBUTES = b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"


@dataclass
class Fault:
    """A failure of every request whose method and path match, as often as ``times``.

    Attributes:
        method, path: of the requests; the path is a regular expression.
        kind: ``500``, or ``dropped`` before the request was heeded, or ``lost``: heeded, and its answer never came.
        times: how often.
    """

    method: str
    path: str
    kind: str
    times: int = 100


@dataclass
class Repository:
    """A repository: its commits by their digests, its main branch, and its tags."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    head: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], message: str) -> str:
        content = repr((self.head, sorted(files.items()), message)).encode()
        self.head = hashlib.sha1(content).hexdigest()
        self.commits[self.head] = files
        self.messages.append(message)
        return self.head

    def files(self, revision: str) -> dict[str, bytes] | None:
        return self.commits.get({"main": self.head, **self.tags}.get(revision, revision))


class Hub(ThreadingHTTPServer):
    """The server; ``files`` are those of a revision of the one repository that tests publish to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.calls: list[tuple[str, str]] = []
        self.tokens: set[str] = set()
        self.faults: list[Fault] = []
        self.refusal = 0

    def make(self, name: str, private: bool = True) -> Repository:
        self.repositories[name] = Repository(private)
        self.repositories[name].commit({".gitattributes": ATTRIBUTES}, "initial commit")
        return self.repositories[name]

    def fault(self, method: str, path: str) -> str:
        for fault in self.faults:
            if fault.times and fault.method == method and re.search(fault.path, path):
                fault.times -= 1
                return fault.kind
        return ""

    def uploads(self) -> int:
        return sum(method == "PUT" for method, _ in self.calls)


def is_large(path: str) -> bool:
    return path.endswith(".parquet")


def oid(path: str, content: bytes) -> str:
    """The digest by which git knows a file, or the store of large ones."""
    if is_large(path):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def entry(path: str, content: bytes) -> dict[str, Any]:
    digest = oid(path, content)
    large = {"lfs": {"oid": digest, "size": len(content), "pointerSize": 130}} if is_large(path) else {}
    return {"type": "file", "oid": digest, "size": len(content), "path": path, **large}


class Answer(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.heed()

    def do_PUT(self) -> None:
        self.heed()

    def do_GET(self) -> None:
        self.heed()

    def do_HEAD(self) -> None:
        self.heed()

    def do_DELETE(self) -> None:
        self.heed()

    def heed(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        self.server.calls.append((self.command, path))
        self.server.tokens.add(self.headers.get("Authorization", ""))
        kind = self.server.fault(self.command, path)
        if kind == "dropped":
            return self.hang_up()
        if self.server.refusal or kind == "500":
            return self.reply({"error": "not now"}, self.server.refusal or 500)
        answer = self.answer(path, body)
        return self.hang_up() if kind == "lost" else self.reply(*answer)

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def answer(self, path: str, body: bytes) -> tuple[Any, int, dict[str, str]]:
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if path == "/api/validate-yaml":
            return {"errors": [], "warnings": []}, 200, {}
        if match := re.fullmatch("/large/([0-9a-f]{64})", path):
            if hashlib.sha256(body).hexdigest() != match[1]:
                return {"error": "another file"}, 400, {}
            self.server.large[match[1]] = body
            return b"", 200, {}
        match = re.match(r"(?:/api)?/datasets/([\w.-]+/[\w-]+)(?:\.git)?(/.*)?$", path)
        repository = self.server.repositories.get(match[1]) if match else None
        if match is None or repository is None or (repository.private and not self.is_known()):
            return {"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"}
        return self.of_repository(match[1], repository, match[2] or "", body, is_api=path.startswith("/api"))

    def is_known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def create(self, asked: dict[str, Any]) -> tuple[Any, int, dict[str, str]]:
        name = f"{asked.get('organization') or 'someone'}/{asked['name']}"
        url = {"url": f"{self.server.url}/datasets/{name}"}
        if not self.is_known():
            return {"error": "Invalid credentials"}, 401, {}
        if name in self.server.repositories:
            return {"error": "You already created this dataset repo", **url}, 409, {}
        self.server.make(name, asked.get("private") is True or asked.get("visibility") == "private")
        return url, 200, {}

    def of_repository(
        self, name: str, repository: Repository, path: str, body: bytes, is_api: bool
    ) -> tuple[Any, int, dict[str, str]]:
        verb, _, rest = path.strip("/").partition("/")
        if verb == "refs":
            refs = {kind: [] for kind in ("branches", "converts", "pullRequests")}
            tags = [
                {"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": sha} for tag, sha in repository.tags.items()
            ]
            return {**refs, "tags": tags}, 200, {}
        if verb == "info":
            return self.batch(json.loads(body)), 200, {}
        if verb == "tag":
            return self.tag(repository, rest, body)
        revision, _, place = rest.partition("/")
        files = repository.files(revision or "main")
        if files is None:
            return {"error": "Invalid rev id"}, 404, {"X-Error-Code": "RevisionNotFound"}
        sha = {"main": repository.head, **repository.tags}.get(revision or "main", revision)
        if verb in ("", "revision") and is_api:
            siblings = [{"rfilename": path} for path in sorted(files)]
            info = {"id": name, "private": repository.private, "sha": sha, "siblings": siblings, "tags": []}
            return {**info, "lastModified": "2025-01-02T03:04:05.000Z"}, 200, {}
        return {
            "preupload": self.preupload,
            "commit": self.commit,
            "tree": self.tree,
            "paths-info": self.paths_info,
            "resolve": self.resolve,
        }[verb](repository, files, place, body, sha)

    def preupload(
        self, repository: Repository, files: dict[str, bytes], place: str, body: bytes, sha: str
    ) -> tuple[Any, int, dict[str, str]]:
        uploads = [
            {
                "path": item["path"],
                "uploadMode": "lfs" if is_large(item["path"]) else "regular",
                "shouldIgnore": False,
                "oid": oid(item["path"], files[item["path"]]) if item["path"] in files else None,
            }
            for item in json.loads(body)["files"]
        ]
        return {"files": uploads}, 200, {}

    def batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Say where each large file goes, and nothing of one that is stored already."""
        return {
            "transfer": "basic",
            "objects": [
                item
                if item["oid"] in self.server.large
                else {**item, "actions": {"upload": {"href": f"{self.server.url}/large/{item['oid']}"}}}
                for item in asked["objects"]
            ],
        }

    def commit(
        self, repository: Repository, files: dict[str, bytes], place: str, body: bytes, sha: str
    ) -> tuple[Any, int, dict[str, str]]:
        lines = [json.loads(line) for line in body.decode().splitlines()]
        header = lines[0]["value"]
        if header.get("parentCommit") not in (None, repository.head):
            return {"error": "The branch has moved"}, 412, {}
        after = dict(files)
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                after[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                after[value["path"]] = self.server.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del after[value["path"]]
        sha = repository.commit(after, header["summary"])
        url = self.server.url + urlsplit(self.path).path.removeprefix("/api").partition("/commit/")[0]
        return {"commitUrl": f"{url}/commit/{sha}", "commitOid": sha}, 200, {}

    def tag(self, repository: Repository, name: str, body: bytes) -> tuple[Any, int, dict[str, str]]:
        if self.command == "DELETE":
            return ({}, 200, {}) if repository.tags.pop(name, None) else ({"error": "no tag"}, 404, {})
        tag = json.loads(body)["tag"]
        if tag in repository.tags:
            return {"error": "Tag reference exists already"}, 409, {}
        repository.tags[tag] = {"main": repository.head}.get(name, name)
        return {}, 200, {}

    def tree(
        self, repository: Repository, files: dict[str, bytes], place: str, body: bytes, sha: str
    ) -> tuple[Any, int, dict[str, str]]:
        below = {path: content for path, content in files.items() if not place or path.startswith(f"{place}/")}
        if not below:
            return {"error": "no such folder"}, 404, {"X-Error-Code": "EntryNotFound"}
        start = len(place) + 1 if place else 0
        if parse_qs(urlsplit(self.path).query).get("recursive") == ["True"]:
            folders = {path[:i] for path in below for i, letter in enumerate(path) if letter == "/" and i > start}
            listed = below
        else:
            folders = {path[: path.index("/", start)] for path in below if "/" in path[start:]}
            listed = {path: content for path, content in below.items() if "/" not in path[start:]}
        entries = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": path} for path in sorted(folders)]
        return entries + [entry(path, content) for path, content in sorted(listed.items())], 200, {}

    def paths_info(
        self, repository: Repository, files: dict[str, bytes], place: str, body: bytes, sha: str
    ) -> tuple[Any, int, dict[str, str]]:
        asked = parse_qs(body.decode()).get("paths") if not body.startswith(b"{") else json.loads(body)["paths"]
        folders = [path for path in asked or () if any(name.startswith(f"{path}/") for name in files)]
        entries = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": path} for path in folders]
        return entries + [entry(path, files[path]) for path in asked or () if path in files], 200, {}

    def resolve(
        self, repository: Repository, files: dict[str, bytes], place: str, body: bytes, sha: str
    ) -> tuple[Any, int, dict[str, str]]:
        if place not in files:
            return {"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"}
        return files[place], 200, {"ETag": f'"{oid(place, files[place])}"', "X-Repo-Commit": sha}

    def reply(self, answer: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass
