"""Potato: a configuration and the questions of a study, for labs that use it (github.com/davidjurgens/potato).

``potato start FOLDER/config.yaml`` serves it. Simulations are not written: Potato has no scale for each token.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from harness.guards.printing import harmless
from harness.humans.answers import (
    HIGHEST_CONFIDENCE,
    INTRUDERS_AMONG,
    Assignment,
    Choice,
    IntruderQuestion,
    Mode,
    RateQuestion,
)
from harness.humans.exchange.questions import Inquiry, Texts, key_of, paragraphs, write_key
from harness.humans.exchange.tables import put
from harness.types import NeuroglossError

_SCHEMES: dict[Mode, list[dict[str, Any]]] = {
    Mode.EXPLAIN: [
        {
            "annotation_type": "text",
            "name": "explanation",
            "description": "What do the shaded tokens have in common? Leave it empty if you see nothing.",
            "textarea": {"on": True, "rows": 3, "cols": 60},
        },
        {
            "annotation_type": "likert",
            "name": "confidence",
            "description": "How sure are you?",
            "min_label": "not at all",
            "max_label": "certain",
            "size": HIGHEST_CONFIDENCE,
            "sequential_key_binding": True,
            "label_requirement": {"required": True},
        },
    ],
    Mode.RATE: [
        {
            "annotation_type": "radio",
            "name": "choice",
            "description": "Which explanation fits the shaded tokens better?",
            "labels": [choice.value for choice in Choice],
            "sequential_key_binding": True,
            "label_requirement": {"required": True},
        }
    ],
    Mode.INTRUDER: [
        {
            "annotation_type": "radio",
            "name": "place",
            "description": "Which text does not belong?",
            "labels": [str(place) for place in range(1, INTRUDERS_AMONG + 1)],
            "sequential_key_binding": True,
            "label_requirement": {"required": True},
        }
    ],
}


def export(folder: Path, assignments: Iterable[Assignment], texts: Texts, people: int = 3) -> int:
    """Write ``config.yaml`` and ``data.jsonl`` for Potato, and ``key.json``, which stays here.

    Args:
        folder: where to write; a key that is there is not overwritten.
        assignments: whose questions are written, each once.
        texts: the excerpts of the study's task.
        people: that answer each question.

    Returns:
        The number of questions.

    Raises:
        NeuroglossError: there is nothing to ask, people simulate, or the files cannot be written.
    """
    if (folder / "key.json").exists():
        raise NeuroglossError(f"{folder} has a key already, which answers may need; export to a new folder.")
    key = key_of(assignments, texts.task)
    if key.mode not in _SCHEMES:
        raise NeuroglossError("Potato has no scale for each token of a text; export simulations to Label Studio.")
    rows = [{"id": name, "text": _text(item, texts)} for name, item in key.questions.items()]
    put(folder / "data.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    put(folder / "config.yaml", yaml.safe_dump(config(key.mode, people), sort_keys=False).encode())
    write_key(folder / "key.json", key)
    return len(rows)


def config(mode: Mode, people: int) -> dict[str, Any]:
    """Return Potato's configuration of a mode."""
    return {
        "annotation_task_name": f"neurogloss: {mode.value}",
        "task_dir": ".",
        "data_files": ["data.jsonl"],
        "item_properties": {"id_key": "id", "text_key": "text"},
        "output_annotation_dir": "annotation_output/",
        "output_annotation_format": "jsonl",
        "user_config": {"allow_all_users": True},
        "assignment_strategy": "random",
        "max_annotations_per_item": people,
        "annotation_schemes": _SCHEMES[mode],
    }


def _text(inquiry: Inquiry, texts: Texts) -> str:
    """Return a question as HTML, all of its texts escaped."""
    question, excerpts = inquiry.question, texts.shown(inquiry)
    if isinstance(question, IntruderQuestion):
        return "".join(f"<h4>{place}</h4>{paragraphs([tokens])}" for place, tokens in enumerate(excerpts, start=1))
    sides = {"Left": question.left, "Right": question.right} if isinstance(question, RateQuestion) else {}
    wordings = (f"<p><b>{side}:</b> {html.escape(harmless(wording.text))}</p>" for side, wording in sides.items())
    return paragraphs(excerpts) + "".join(wordings)
