"""Commands on answers of people: ``neurogloss human report``, ``import`` and ``export``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.progress import show
from harness.types import NeuroglossError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.humans.answers import Assignment, Response
    from harness.humans.exchange.questions import Texts

# ruff: noqa: PLC0415  # a command imports what it works with, so that no other waits for it


def report(options: argparse.Namespace) -> None:
    """Print what the answers of a study say, and write it where ``--write`` asks for it.

    Raises:
        NeuroglossError: the study or the run cannot be read, or the libraries are not installed.
    """
    from harness.report import page

    try:
        from harness.humans.analysis import report as reports
    except ImportError as error:
        raise NeuroglossError(f"neurogloss human report needs {error.name}; install neurogloss[human].") from error
    document = reports.build(reports.read(options.study), reports.read_of(options.run) if options.run else None)
    show(page.render(document))
    if options.write is not None:
        from harness.humans.exchange.tables import put

        put(options.write, page.markdown_page(document).encode("utf-8", "replace"))
        show("", f"page: {options.write}")


def export(options: argparse.Namespace) -> None:
    """Write what a study asked and was answered, for others.

    Raises:
        NeuroglossError: the study cannot be read, there is nothing to write, or it cannot be written.
    """
    from harness.humans.answers import joined
    from harness.humans.exchange import explanations, label_studio, potato, tables

    responses = _every_row(options.study)
    if options.form == "answers":
        tables.write(options.to, responses)
        show(f"{options.to}: {len(responses)} answers, corrections included")
    elif options.form == "explanations":
        standing = joined((row.answer for row in responses), (row.assignment for row in responses))
        written = explanations.write(options.to, standing)
        show(
            f"{options.to}: {written.rows} explanations by {len(written.people)} people; {written.without_words} more "
            "answers see no pattern",
            f"next: neurogloss run 'explainer=[people,shuffled]' human=table human.file={options.to}",
        )
    else:
        assignments, texts = _questions(options.study)
        if options.form == "label-studio":
            number = label_studio.export(options.to, responses, assignments, texts)
        else:
            number = potato.export(options.to, assignments, texts)
        show(f"{options.to}: {number} questions; key.json says whose texts they are, and stays here")


def import_answers(options: argparse.Namespace) -> None:
    """Read answers that were given elsewhere, and write them as a table that reports read.

    Raises:
        NeuroglossError: a row cannot be read and ``--skip-bad`` was not given, or the table cannot be written.
    """
    from harness.humans.exchange import label_studio, questions, tables

    if options.key is None:
        imported = tables.read(options.file, options.skip_bad)
    else:
        key = questions.read_key(options.key)
        imported = label_studio.read(options.file, key, _texts(key.task), options.skip_bad)
    if not imported.responses:
        reason = f": {imported.refused[0]}" if imported.refused else "."
        raise NeuroglossError(f"{options.file} holds no answer{reason}")
    tables.write(options.to, imported.responses)
    show(*(f"left out: {reason}" for reason in imported.refused))
    show(f"{options.to}: {len(imported.responses)} answers, {len(imported.refused)} rows left out")


def _every_row(study: Path) -> Sequence[Response]:
    """Return all rows of answers of a study's file or a table, those that were corrected too."""
    from harness.humans import store
    from harness.humans.answers import Response
    from harness.humans.exchange import tables

    if study.suffix.lower() in tables.SUFFIXES:
        return tables.read(study).responses
    contents = store.read(study)
    by_id = {assignment.id: assignment for assignment in contents.assignments}
    return [Response(answer, by_id[answer.assignment]) for answer in contents.answers]


def _questions(study: Path) -> tuple[Sequence[Assignment], Texts]:
    from harness.humans import store

    contents = store.read(study)
    texts = _texts(str(contents.identity.get("task")), contents.identity.get("task digest"))
    return contents.assignments, texts


def _texts(name: str, digest: object = None) -> Texts:
    """Return the excerpts of a task."""
    from harness.humans.exchange.questions import Texts
    from harness.tasks import catalog
    from harness.types import PuzzleTask

    task = catalog.read(catalog.find_task(name))
    if digest is not None and digest != task.digest:
        raise NeuroglossError(
            f"the study is of another {name} (digest {str(digest)[:12]}) than is here; restore that task."
        )
    records = catalog.puzzle_records(task) if isinstance(task, PuzzleTask) else catalog.records(task)
    return Texts.of(records, name)
