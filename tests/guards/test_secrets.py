from __future__ import annotations

import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.guards import secrets
from harness.progress import complain, show
from harness.results.provenance import provenance, redact
from harness.typed_json import dump
from harness.types import NeuroglossError

VALUE = 'p"a/ss w\u00f6rd-17'


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_WATCHED", set())
    monkeypatch.setenv("SOME_API_KEY", VALUE)
    monkeypatch.setenv("MY_VARIABLE", "watched-value")
    monkeypatch.setenv("SHORT_TOKEN", "abc")


@pytest.mark.parametrize("name", ["MY_KEY", "HF_TOKEN", "AWS_SECRET", "DB_PASSWORD", "my_api_key", "SECRETS"])
@pytest.mark.parametrize("value", ["plainwords", "12345678", "0f" * 16, "a b c d e f", "x-" * 30])
def test_a_value_of_any_shape_is_refused_by_place_and_never_repeated(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    configs: list[dict[str, object]] = [
        {"body": {"user": value}},
        {"body": {"user": [f"me:{value}!"]}},
        {"body": {value: 1}},
        *([{"body": {"user": int(value)}}] if value.isdigit() and value[0] != "0" else []),
    ]
    for config in configs:
        with pytest.raises(NeuroglossError, match=name) as refusal:
            redact(config)
        assert value not in str(refusal.value)
    with pytest.raises(NeuroglossError, match=name):
        provenance([f"+model.body.user={value}"])


def test_a_variable_that_a_config_names_holds_a_secret_from_then_on() -> None:
    assert redact({"note": "watched-value"}) == {"note": "watched-value"}
    with pytest.raises(NeuroglossError, match="MY_VARIABLE"):
        redact({"api_key_env": "MY_VARIABLE", "note": "watched-value"})
    assert secrets.scrubbed("x watched-value") == "x [MY_VARIABLE]"


def test_short_values_and_other_variables_are_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARMLESS", "harmless-value")
    assert redact({"a": "abc", "b": "harmless-value"}) == {"a": "abc", "b": "harmless-value"}


@given(st.text(), st.text())
def test_whatever_stands_around_it_a_secret_is_scrubbed(before: str, after: str) -> None:
    texts = [f"{before}{VALUE}{after}", html.escape(before + VALUE + after), html.escape(VALUE, quote=False)]
    texts += [json.dumps([before + VALUE + after], ensure_ascii=ascii_only) for ascii_only in (True, False)]
    texts += [form(VALUE) for form in (quote, quote_plus)]
    for text in texts:
        assert "[SOME_API_KEY]" in secrets.scrubbed(text)
        assert VALUE not in secrets.scrubbed(text)
        assert json.dumps(VALUE)[1:-1] not in secrets.scrubbed(text)
    assert secrets.scrubbed("nothing of the kind") == "nothing of the kind"


def test_no_secret_is_printed_or_written(capsys: pytest.CaptureFixture[str]) -> None:
    complain(f"status 401: your key {VALUE} is wrong")
    show(f"page: {VALUE}")
    captured = capsys.readouterr()
    assert VALUE not in captured.out + captured.err
    assert "[SOME_API_KEY]" in captured.err
    document = dump({VALUE: [VALUE]}).decode()
    assert json.loads(document) == {"[SOME_API_KEY]": ["[SOME_API_KEY]"]}
