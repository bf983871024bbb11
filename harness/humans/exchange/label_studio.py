"""Label Studio, both ways: tasks and a labelling configuration for it, and the answers of its JSON export.

Format: labelstud.io/guide/task_format and /guide/export, as JSON and not "JSON-MIN". A task is a question, an
annotation an answer; simulated levels are labels on stretches of text. Who answered is a keyed hash of Label Studio's
``completed_by``: no address and no name gets through. Answers that were given here go along as annotations, with the
ids and times that Label Studio has no field for as JSON in a hidden text, by which they come back as they were. (Levels
of tokens without a text do not: there is nothing to label.)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from harness.guards import reading
from harness.guards.printing import harmless, shortened
from harness.humans.answers import (
    INTRUDERS_AMONG,
    Answer,
    Assignment,
    Choice,
    Explained,
    IntruderQuestion,
    Levels,
    Mode,
    Payload,
    Picked,
    Rated,
    RateQuestion,
    Response,
    SimulateQuestion,
)
from harness.humans.exchange.questions import Inquiry, Key, Texts, key_of, mode_of, paragraphs, write_key
from harness.humans.exchange.tables import MOST_BYTES, Imported, Placed, Row, check_random, put, taken
from harness.types import HIGHEST_LEVEL, NeuroglossError

PAGE = "Label Studio"
"""The version of the pages of answers that were given there."""
Region = dict[str, Any]
"""An item of the ``result`` of an annotation."""
_HIDDEN = '<View style="display:none"><TextArea name="row" toName="{text}"/></View>'
_CONTROLS = {
    Mode.EXPLAIN: '<TextArea name="text" toName="text_shown" maxSubmissions="1" required="true" '
    'placeholder="What does it respond to?"/>'
    '<Header value="How sure are you? 1 is not at all, 5 is certain."/>'
    '<Rating name="confidence" toName="text_shown" maxRating="5" required="true"/>',
    Mode.RATE: '<Header value="Which explanation fits these texts better?"/>'
    '<Text name="left" value="Left: $left"/><Text name="right" value="Right: $right"/>'
    '<Choices name="choice" toName="text_shown" choice="single" required="true">'
    + "".join(f'<Choice value="{choice.value}"/>' for choice in Choice)
    + "</Choices>",
    Mode.SIMULATE: '<Text name="explanation" value="$explanation"/>'
    '<Header value="Label each token on which it responds, from 1 (hardly) to 10 (most)."/>'
    '<Labels name="level" toName="text_shown">'
    + "".join(f'<Label value="{level}"/>' for level in range(1, HIGHEST_LEVEL + 1))
    + "</Labels>",
    Mode.INTRUDER: '<Header value="Which text does not belong?"/>'
    '<Choices name="place" toName="text_shown" choice="single" required="true">'
    + "".join(f'<Choice value="{place}"/>' for place in range(1, INTRUDERS_AMONG + 1))
    + "</Choices>",
}


# ------------------------------------------------------------------------------------------------------------- writing


def export(folder: Path, responses: Sequence[Response], assignments: Iterable[Assignment], texts: Texts) -> int:
    """Write ``tasks.json`` and ``config.xml`` for Label Studio, and ``key.json``, which stays here.

    Args:
        folder: where to write; a key that is there is not overwritten, for answers may be on their way to it.
        responses: answers that go along.
        assignments: whose questions are written, each once.
        texts: the excerpts of the study's task.

    Returns:
        The number of tasks.

    Raises:
        NeuroglossError: there is nothing to ask, the task is another one, or the files cannot be written.
    """
    if (folder / "key.json").exists():
        raise NeuroglossError(f"{folder} has a key already, which answers may need; export to a new folder.")
    key = key_of(assignments, texts.task)
    responses_by_question: dict[str, list[Response]] = {}
    for response in responses:
        responses_by_question.setdefault(
            key.name_of(Inquiry(response.answer.unit, response.assignment.question)), []
        ).append(response)
    tasks = [
        {
            "data": _data(name, item, texts),
            "annotations": [_annotation(answer, texts) for answer in responses_by_question.get(name, [])],
        }
        for name, item in key.questions.items()
    ]
    put(folder / "tasks.json", json.dumps(tasks, ensure_ascii=False, indent=1).encode())
    put(folder / "config.xml", labelling_config(key.mode).encode())
    write_key(folder / "key.json", key)
    return len(tasks)


def labelling_config(mode: Mode) -> str:
    """Return the labelling configuration of a mode."""
    control = "Text" if mode is Mode.SIMULATE else "HyperText"
    text = f'<{control} name="text_shown" value="$text"/>'
    return f"<View>{text}{_CONTROLS[mode]}{_HIDDEN.format(text='text_shown')}</View>\n"


def _data(name: str, inquiry: Inquiry, texts: Texts) -> dict[str, str]:
    """Return what is sent of a question: texts and its name."""
    question, excerpts = inquiry.question, texts.shown(inquiry)
    data = {"question": name, "text": paragraphs(excerpts)}
    if isinstance(question, RateQuestion):
        return data | {"left": harmless(question.left.text), "right": harmless(question.right.text)}
    if isinstance(question, SimulateQuestion):
        text = "".join(harmless(token) for token, _ in excerpts[0])
        return data | {"text": text, "explanation": harmless(question.explanation.text)}
    if isinstance(question, IntruderQuestion):
        numbered = (f"<h4>{place}</h4>{paragraphs([tokens])}" for place, tokens in enumerate(excerpts, start=1))
        return data | {"text": "".join(numbered)}
    return data


def _annotation(response: Response, texts: Texts) -> dict[str, Any]:
    answer, assignment = response.answer, response.assignment
    row = {
        "id": answer.id,
        "annotator": answer.annotator,
        "assignment": assignment.id,
        "place": assignment.place,
        "shown_at": answer.shown_at,
        "answered_at": answer.answered_at,
        "page": answer.page,
        "corrects": answer.corrects,
    }
    regions = [*_regions(response, texts), _region("row", "textarea", {"text": [json.dumps(row)]})]
    created = datetime.fromtimestamp(answer.answered_at, UTC).isoformat()
    return {"result": regions, "was_cancelled": False, "created_at": created, "lead_time": answer.seconds}


def _regions(response: Response, texts: Texts) -> Iterator[Region]:
    payload = response.answer.payload
    if isinstance(payload, Explained):
        yield _region("text", "textarea", {"text": [payload.text]})
        yield _region("confidence", "rating", {"rating": payload.confidence})
    elif isinstance(payload, Rated):
        yield _region("choice", "choices", {"choices": [payload.choice.value]})
    elif isinstance(payload, Picked):
        yield _region("place", "choices", {"choices": [str(payload.place + 1)]})
    else:
        spans = _spans(Inquiry(response.answer.unit, response.assignment.question), texts)
        for level, (start, end, token) in zip(payload.levels, spans, strict=True):
            if level and token:
                value = {"start": start, "end": end, "text": token, "labels": [str(level)]}
                yield _region(f"level-{start}", "labels", value) | {"from_name": "level"}


def _region(name: str, kind: str, value: Mapping[str, object]) -> Region:
    return {"id": name, "from_name": name, "to_name": "text_shown", "type": kind, "value": dict(value)}


def _spans(inquiry: Inquiry, texts: Texts) -> list[tuple[int, int, str]]:
    """Return where each token of an excerpt begins and ends in its text, and the token."""
    (tokens,) = texts.shown(inquiry)
    spans, start = [], 0
    for token, _ in tokens:
        spans.append((start, start + len(harmless(token)), harmless(token)))
        start += len(harmless(token))
    return spans


# ------------------------------------------------------------------------------------------------------------- reading


def read(path: Path, key: Key, texts: Texts, skip_bad: bool = False) -> Imported:
    """Return the answers of a JSON export of Label Studio.

    An annotation that was cancelled (skipped) is no answer.

    Args:
        path: the export.
        key: that was written beside the tasks.
        texts: the excerpts of the study's task.
        skip_bad: whether annotations that cannot be read are left out.

    Raises:
        NeuroglossError: the export cannot be read, or an annotation of it; its place and the reason are named.
    """
    document = reading.json_of(path, MOST_BYTES)
    if not isinstance(document, list):
        raise NeuroglossError(f"{path} is no list of tasks; export as JSON in Label Studio, not as JSON-MIN or CSV.")
    return taken(_annotations(document, path), partial(_response, key, texts), skip_bad)


def _annotations(tasks: Sequence[object], path: Path) -> Iterator[Placed]:
    """Yield the annotations that are answers, a correction after what it corrects, each with its task."""
    for number, task in enumerate(tasks, start=1):
        where = f"{path}, task {number}"
        annotations = task.get("annotations") if isinstance(task, dict) else None
        if not isinstance(task, dict) or not isinstance(annotations, list):
            yield where, partial(_no_task, where)
            continue
        for place, annotation in enumerate(annotations, start=1):
            if not (isinstance(annotation, dict) and annotation.get("was_cancelled")):
                yield f"{where}, annotation {place}", partial(dict, task=task, annotation=annotation)


def _no_task(where: str) -> Row:
    raise NeuroglossError(f"{where}: it has no list of annotations; export as JSON in Label Studio.")


def _response(key: Key, texts: Texts, row: Row, where: str) -> Response:
    task, annotation = row["task"], row["annotation"]
    name = task["data"].get("question") if isinstance(task.get("data"), dict) else None
    inquiry = key.questions.get(name) if isinstance(name, str) else None
    if inquiry is None:
        raise NeuroglossError(
            f"{where}: its question {shortened(repr(name))} is none of the key; is it another study's?"
        )
    regions = _by_name(annotation, where)
    payload = _payload(inquiry, regions, texts, where)
    fields = _kept(regions, where) or _named(key, str(name), annotation, where)
    check_random(fields.get("annotator"), where)
    try:
        answer = Answer(
            fields["id"], fields["annotator"], fields["assignment"], inquiry.unit, float(fields["shown_at"]),
            float(fields["answered_at"]), fields["page"], payload, fields["corrects"],
        )  # fmt: skip
        assignment = Assignment(
            fields["assignment"], fields["annotator"], inquiry.unit, int(fields["place"]), inquiry.question
        )
    except (KeyError, TypeError, ValueError) as error:
        raise NeuroglossError(
            f"{where}: its hidden row was changed ({shortened(repr(error))}); export it again."
        ) from error
    return Response(answer, assignment)


def _by_name(annotation: object, where: str) -> dict[str, list[Region]]:
    """Return the values of an annotation by the names of their controls."""
    result = annotation.get("result") if isinstance(annotation, dict) else None
    by_name: dict[str, list[Region]] = {}
    for region in result if isinstance(result, list) else [None]:
        if not isinstance(region, dict) or not isinstance(region.get("value"), dict):
            raise NeuroglossError(f"{where}: its result is no list of values; export as JSON in Label Studio.")
        by_name.setdefault(str(region.get("from_name")), []).append(region["value"])
    return by_name


def _payload(inquiry: Inquiry, regions: Mapping[str, Sequence[Region]], texts: Texts, where: str) -> Payload:
    mode = mode_of(inquiry)
    try:
        if mode is Mode.EXPLAIN:
            lines = [str(line) for region in regions.get("text", []) for line in region["text"]]
            return Explained("\n".join(lines), int(_only(regions, "confidence", where)["rating"]))
        if mode is Mode.RATE:
            (choice,) = _only(regions, "choice", where)["choices"]
            return Rated(Choice(choice))
        if mode is Mode.INTRUDER:
            (place,) = _only(regions, "place", where)["choices"]
            return Picked(int(place) - 1)
        return Levels(_levels(regions.get("level", []), _spans(inquiry, texts), where))
    except (KeyError, TypeError, ValueError) as error:
        raise NeuroglossError(f"{where}: its answer is none of the mode {mode} ({shortened(str(error))}).") from error


def _only(regions: Mapping[str, Sequence[Region]], name: str, where: str) -> Region:
    if len(regions.get(name, [])) != 1:
        raise NeuroglossError(f"{where}: it has {len(regions.get(name, []))} answers to {name}; 1 is wanted.")
    return regions[name][0]


def _levels(labels: Sequence[Region], spans: Sequence[tuple[int, int, str]], where: str) -> tuple[int, ...]:
    """Return the level of each token: that of the label that reaches into it; the highest where several do."""
    text = "".join(token for _, _, token in spans)
    levels = [0] * len(spans)
    for label in labels:
        start, end = _place_in(text, label, where)
        (level,) = label["labels"]
        for place, (first, last, _) in enumerate(spans):
            if start < last and first < end:
                levels[place] = max(levels[place], int(level))
    return tuple(levels)


def _place_in(text: str, label: Region, where: str) -> tuple[int, int]:
    """Return where a label begins and ends; browsers count characters beyond U+FFFF as two."""
    start, end, labelled = int(label["start"]), int(label["end"]), label.get("text")
    wide = text.encode("utf-16-le", "surrogatepass")
    if isinstance(labelled, str) and text[start:end] != labelled:
        if wide[2 * start : 2 * end].decode("utf-16-le", "replace") != labelled:
            raise NeuroglossError(f"{where}: the label on {shortened(labelled)} does not stand in the text there.")
        start, end = (len(wide[: 2 * place].decode("utf-16-le", "replace")) for place in (start, end))
    return start, end


def _kept(regions: Mapping[str, Sequence[Region]], where: str) -> dict[str, Any] | None:
    """Return what an answer from here took along; None for one that was given there."""
    if not regions.get("row"):
        return None
    texts = regions["row"][0].get("text")
    text = texts[0] if isinstance(texts, list) and len(texts) == 1 else texts
    document = reading.parsed_json(text, f"{where}: its hidden row") if isinstance(text, str) else None
    if not isinstance(document, dict):
        raise NeuroglossError(f"{where}: its hidden row was changed; export it again.")
    return document


def _named(key: Key, question: str, annotation: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return ids and times of an answer that was given there."""
    completed_by = annotation.get("completed_by")
    person = completed_by.get("id", completed_by.get("email")) if isinstance(completed_by, dict) else completed_by
    if not isinstance(person, int | str):
        raise NeuroglossError(f"{where}: nothing says who completed it; export with completed_by.")
    annotator = key.name("person", person)
    try:
        sent_at = datetime.fromisoformat(annotation["created_at"]).timestamp()
        seconds = float(annotation.get("lead_time") or 0.0)
    except (KeyError, TypeError, ValueError) as error:
        raise NeuroglossError(f"{where}: its created_at or lead_time is no time ({shortened(repr(error))}).") from error
    return {
        "id": key.name("answer", question, annotator, annotation.get("id")),
        "annotator": annotator,
        "assignment": key.name("assignment", question, annotator, annotation.get("id")),
        "place": list(key.questions).index(question),
        "shown_at": sent_at - seconds,
        "answered_at": sent_at,
        "page": PAGE,
        "corrects": None,
    }
