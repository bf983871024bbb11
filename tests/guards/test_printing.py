from __future__ import annotations

from pathlib import Path

import pytest

from harness import cli
from harness.guards.printing import harmless, plain, shortened
from harness.progress import ProgressReporter, complain, show, terminal

EVIL = {
    "clears the screen": "\x1b[2J",
    "sets a title": "\x1b]0;owned\x07",
    "C1 control sequence": "\x9b31m",
    "right to left": "\u202egnp.exe",
    "isolates": "\u2066x\u2069",
    "carriage return": "safe\rEVIL",
    "backspace": "a\x08b",
    "unseen": "a\u200bb\ufeff",
    "tag letters": "\U000e0041",
    "surrogate": "\udc9b",
}


@pytest.mark.parametrize("text", EVIL.values(), ids=EVIL)
def test_what_drives_a_terminal_is_replaced(text: str) -> None:
    for cleaned in (harmless(text), plain(text), shortened(text, 4)):
        assert not set(cleaned) & set("\x1b\x07\x9b\u202e\u2066\r\x08\u200b\ufeff\U000e0041\udc9b")
    assert harmless("größer\tals\nзначение 日本 é") == "größer\tals\nзначение 日本 é"


@pytest.mark.parametrize("text", EVIL.values(), ids=EVIL)
def test_no_way_to_print_lets_it_through(text: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    complain(text)
    show(text)
    with ProgressReporter(terminal()) as progress:
        progress(text, 1, 1)
    for words in (
        ["tasks", "show", f"x{text}"],
        ["board", f"x{text}"],
        ["run", f"zz{text}=1"],
        [f"x{text}"],
        ["power", f"--x{text}"],
    ):
        with pytest.raises(SystemExit) as end:
            cli.main(words)
        assert end.value.code
    captured = capsys.readouterr()
    printed = captured.out + captured.err
    assert not set(printed) & set("\x1b\x07\x9b\u202e\u2066\r\x08\u200b\ufeff\U000e0041\udc9b")
