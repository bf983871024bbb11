"""A study with people, served until it is stopped: ``neurogloss human serve``, and invitations to it."""

from __future__ import annotations

import argparse
import errno
import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from omegaconf import DictConfig

from harness.config import compose
from harness.config.settings import StudySettings
from harness.files import safe_name
from harness.humans import design
from harness.humans.answers import Mode
from harness.humans.design import Study
from harness.humans.keys import KeyFile, key_path
from harness.humans.store import StudyStore, read
from harness.jobs.run import read_records
from harness.progress import show
from harness.results.run import Results, read_run_or_entry
from harness.types import NeuroglossError

MOST_INVITATIONS = 10_000


def prepare(composed: DictConfig) -> Study:
    """Return the study that a config describes, with every question that it asks.

    Raises:
        NeuroglossError: it cannot be served, as far as can be said before a browser comes.
    """
    settings: StudySettings = compose.settings_from(StudySettings, compose.plain(composed))
    _check_reach(settings)
    task, records = read_records(settings)
    return design.build(settings, task, records, _results(settings))


def _results(settings: StudySettings) -> Results | None:
    """Return the results of the run, or the entry, whose explanations are read."""
    if settings.run is None or Mode(settings.mode) not in design.READING:
        return None
    return read_run_or_entry(Path(settings.run))


def is_public(settings: StudySettings) -> bool:
    """Return whether a study can be reached beyond loopback, by its own address or through another server."""
    return not _is_loopback(settings.host) or bool(settings.names)


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _check_reach(settings: StudySettings) -> None:
    if not _is_loopback(settings.host) and not settings.names:
        raise NeuroglossError(
            f"host={settings.host} opens the study beyond this machine; name the hosts by which browsers reach it: "
            "names=[study.example.org]."
        )
    if is_public(settings) and not (settings.card.consent.strip() and settings.card.contact.strip()):
        raise NeuroglossError(
            "a study beyond this machine needs a card that says what people agree to and whom to ask: write "
            "card.consent and card.contact in a file conf/card/mine.yaml, and add --config-dir conf card=mine."
        )


def store_path(settings: StudySettings) -> Path:
    """Return the file of a study."""
    name = safe_name(f"{settings.task.name}-{settings.mode}")
    return Path(settings.store) if settings.store else Path(settings.output) / "human" / f"{name}.sqlite"


def serve(study: Study) -> Path:
    """Serve a study until Ctrl-C, and return its file.

    Raises:
        NeuroglossError: the port is taken, the file is that of another study, or the server is not installed.
    """
    settings, path = study.settings, store_path(study.settings)
    with _listening(settings) as listener, _stores(study, path) as (store, keys):
        host, port = listener.getsockname()[:2]
        show(*sentences(study, path, f"http://{f'[{host}]' if ':' in host else host}:{port}/"))
        _run(study, store, keys, listener)
    return path


def _run(study: Study, store: StudyStore, keys: KeyFile | None, listener: socket.socket) -> None:
    try:
        import uvicorn  # noqa: PLC0415  # an extra of its own

        from harness.humans.web import app, guard  # noqa: PLC0415
    except ImportError as error:
        raise NeuroglossError(f"neurogloss human serve needs {error.name}; install neurogloss[human].") from error
    public = is_public(study.settings)
    server = app.Server(study, store, keys, public)
    hosts = (*guard.LOOPBACK, *study.settings.names)
    config = uvicorn.Config(
        app.app(server, hosts),
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        proxy_headers=public,
        timeout_graceful_shutdown=5,
    )
    with suppress(KeyboardInterrupt):  # Ctrl-C is how a study ends
        uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def _listening(settings: StudySettings) -> Iterator[socket.socket]:
    """Listen on the address of a study."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(512)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise NeuroglossError(
                f"port {settings.port} is taken; write port=0 for any that is free, or end what has it."
            ) from error
        raise NeuroglossError(f"host={settings.host} port={settings.port} cannot be used: {error.strerror}.") from error
    with listener:
        yield listener


@contextmanager
def _stores(study: Study, path: Path) -> Iterator[tuple[StudyStore, KeyFile | None]]:
    """Open the file of a study, and the key of its participants if they come from Prolific."""
    store = StudyStore(path)
    try:
        store.prepare(study.identity, asdict(study.settings.card), study.slots)
        keys = KeyFile(key_path(path)) if study.settings.prolific.code else None
        try:
            yield store, keys
        finally:
            if keys is not None:
                keys.close()
    finally:
        store.close()


def sentences(study: Study, path: Path, address: str) -> Iterator[str]:
    """Yield what is said of a study when it begins: where it is, and how many people it needs."""
    settings, people = study.settings, len({slot.block for slot in study.slots})
    yield (
        f"{study.mode} study of {settings.task.name}: {len(study.slots)} answers on {len(study.records)} units, which "
        f"takes {people} people who answer at most {settings.questions} questions each."
    )
    for unit, reason in study.left_out.items():
        yield f"left out: {unit}, for {reason}."
    yield f"answers: {path}"
    if is_public(settings):
        yield f"invitations: neurogloss human invite {path} NUMBER"
    yield f"open {address} (Ctrl-C ends it, and the same command goes on from there)"


def invite(options: argparse.Namespace) -> None:
    """Make invitations to a study, and print their tokens, which are kept nowhere.

    Raises:
        NeuroglossError: there is no such study, or the number is out of range.
    """
    if not 1 <= options.number <= MOST_INVITATIONS:
        raise NeuroglossError(f"NUMBER is {options.number}; write 1 to {MOST_INVITATIONS}.")
    read(options.study)
    store = StudyStore(options.study)
    try:
        show(*store.invite(options.number))
    finally:
        store.close()


def in_words(path: Path) -> Iterator[str]:
    """Yield what a study holds when its server ends."""
    contents = read(path)
    people = {answer.annotator for answer in contents.answers}
    yield f"{len(contents.answers)} answers by {len(people)} people: {path}"
