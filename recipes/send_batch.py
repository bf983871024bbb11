"""Send a file of requests to OpenAI, or whoever OPENAI_BASE_URL names, as a batch; wait, and write the answers.

python send_batch.py REQUESTS ANSWERS

The batch's id is kept beside ANSWERS, so that the same command goes on waiting for the same batch and sends nothing
twice. The key is read from OPENAI_API_KEY.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from openai import OpenAI

ENDED = ("completed", "failed", "expired", "cancelled")


def send(client: OpenAI, requests: Path) -> str:
    """Send a file, and return the id of its batch."""
    with requests.open(encoding="utf-8") as lines:
        endpoint = json.loads(next(lines))["url"]
    file = client.files.create(file=requests, purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h").id


def wait(client: OpenAI, batch_id: str, answers: Path, seconds: float) -> str:
    """Wait for the end of a batch, write what came back, errors included, and return how it ended."""
    while (batch := client.batches.retrieve(batch_id)).status not in ENDED:
        print(f"{batch_id}: {batch.status}", flush=True)
        time.sleep(seconds)
    files = [file for file in (batch.output_file_id, batch.error_file_id) if file]
    answers.write_bytes(b"".join(client.files.content(file).content for file in files))
    for error in (batch.errors and batch.errors.data) or []:
        print(f"{batch_id}: line {error.line}: {error.message}", file=sys.stderr)
    return batch.status


def main() -> None:
    """Send, wait, and write; the exit status is 1 unless all of the batch was run."""
    requests, answers = map(Path, sys.argv[1:])
    client, note = OpenAI(), answers.with_name(f"{answers.name}.batch")
    if not note.exists():
        note.write_text(send(client, requests), encoding="utf-8")
    status = wait(client, note.read_text(encoding="utf-8"), answers, float(os.environ.get("SECONDS_BETWEEN", "60")))
    print(f"{answers}: {status}")
    raise SystemExit(status != "completed")


if __name__ == "__main__":
    main()
