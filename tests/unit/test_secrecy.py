"""What was sent as a secret, left out of texts and errors; and what is no secret, left as it is."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest

from tailrace._secrecy import SentSecrets
from tailrace.errors import (
    MAX_RAW_BYTES,
    NetworkError,
    RateLimitError,
    RedirectError,
    RetryProviderError,
    StreamError,
    TailraceError,
)

KEY = 'sk-"proj"/0123456789+ä='


def secrets(*values: str) -> SentSecrets:
    sent = SentSecrets()
    sent.add(*values)
    return sent


@pytest.mark.parametrize(
    "said",
    [
        KEY,
        json.dumps(KEY),
        json.dumps(json.dumps({"key": KEY}, ensure_ascii=False)),
        quote(KEY, safe=""),
        quote_plus(quote_plus(KEY)),
        html.escape(KEY),
        html.escape(json.dumps(KEY)),
        KEY.encode().hex(),
        *(base64.b64encode(f"{'u' * n}:{KEY}:".encode()).decode() for n in range(3)),
        *(base64.urlsafe_b64encode(f"{'u' * n}{KEY}".encode()).decode() for n in range(3)),
    ],
)
def test_every_spelling_is_left_out(said: str) -> None:
    text = f"so it said: {said}, and was done"
    left = secrets(KEY).out_of(text)
    assert "[secret]" in left
    assert "0123456789" not in left
    assert said not in left
    assert left.startswith("so it said: ")
    assert left.endswith(", and was done")


@pytest.mark.parametrize("key", ["", "x", "test", "EMPTY", "none", "sk-12"])
def test_a_short_one_is_not_looked_for(key: str) -> None:
    text = f"a test of {key} x: EMPTY, none of sk-12"
    assert secrets(key).out_of(text) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("pass hunter22, please", "pass [secret], please"),
        ("'hunter22'…", "'[secret]'…"),
        ("密码hunter22错误", "密码[secret]错误"),
        ("hunter222 and xhunter22 and _hunter22_", "hunter222 and xhunter22 and _hunter22_"),
        (r"{\"e\":\"no\nhunter22\"}", r"{\"e\":\"no\n[secret]\"}"),
        (base64.b64encode(b"me:hunter22:me").decode(), "bWU6[secret]I6bWU="),
    ],
)
def test_one_of_less_than_16_bytes_stands_alone(text: str, left: str) -> None:
    assert secrets("hunter22").out_of(text) == left


@pytest.mark.parametrize("key", ["ollama", "not-needed", "invalid"])
def test_a_word_is_left_out_where_it_is_named_a_secret(key: str) -> None:
    sent = secrets(key)
    for text in (f"{key} runner: the {key} of this is {key}ly {key}.", f'{{"error": "{key}"}}'):
        assert sent.out_of(text) == text
    for text in (
        "Incorrect API key provided: {}. You can",
        "Authorization: Bearer {} Accept: */*",
        'x-api-key: "{}"',
        '{{"api_key": "{}"}}',
        "the password {} is wrong",
    ):
        assert sent.out_of(text.format(key)) == text.format("[secret]")


def test_what_a_machine_made_is_no_word() -> None:
    sent = secrets()
    sent.add("xvuoatpdwj", is_random=True)
    assert sent.out_of("so: xvuoatpdwj, axvuoatpdwj") == "so: [secret], axvuoatpdwj"


def test_a_masked_key_stays() -> None:
    text = "Incorrect API key provided: sk-proj-********************QrSt."
    assert secrets("sk-proj-0123456789012345QrSt").out_of(text) == text


def test_beginnings_that_were_cut_are_left_out() -> None:
    for size in range(3, len(KEY)):
        left = secrets(KEY).out_of(f"the key {KEY[:size]}… and more")
        assert left == "the key [secret]… and more"
    assert secrets(KEY).out_of("the key sk… and more") == "the key sk… and more"
    for key, size in ((KEY, 9), ("sk-" + "0123456789" * 500, 4000)):
        raw = "x" * (MAX_RAW_BYTES - size) + key[:size]
        assert secrets(key).out_of(raw) == "x" * (MAX_RAW_BYTES - size) + "[secret]"


def test_what_is_secret_of_a_request() -> None:
    sent = SentSecrets.of_request(
        "https://me:pass%2Fword9@site.example/v1?model=gpt-4o-2024-08-06&key=AIza-01234",
        {
            "Authorization": "Bearer sk-0123456789abc",
            "X-Gate-Token": "gate-0123456789",
            "Anthropic-Beta": "prompt-caching-2024-07-31",
            "OpenAI-Organization": "org-0123456789",
        },
        {"seen": "crumb-0123456789"},
        ("you", "opens-0123456789"),
    )
    harmless = "gpt-4o-2024-08-06, prompt-caching-2024-07-31, org-0123456789 at site.example/v1"
    assert sent.out_of(harmless) == harmless
    basic = base64.b64encode(b"me:pass/word9").decode()
    for each in (
        *("pass/word9", "pass%2Fword9", basic, "AIza-01234", "sk-0123456789abc"),
        *("gate-0123456789", "crumb-0123456789", "opens-0123456789"),
    ):
        assert sent.out_of(f"so: {each}.") == "so: [secret]."
    assert sent.out_of("Bearer sk-0123456789abc") == "Bearer [secret]"


def test_secret_fields_of_a_body() -> None:
    sent = SentSecrets()
    sent.add_fields({"a": [{"api_key": "sk-0123456789"}, {"b": "plain-0123456789"}], "seed": 7})
    assert sent.out_of("sk-0123456789 plain-0123456789") == "[secret] plain-0123456789"


def test_an_error_and_all_that_it_holds() -> None:
    key = "sk-0123456789abc"
    first = RateLimitError("upstream", f"no {key}", status=429, code=key, raw=f'{{"k":"{key}"}}')
    first.add_note(f"asked with {key}")
    listed = RetryProviderError([("A", first)])
    listed.attempts = (NetworkError(f"broke at {key}"),)
    listed.__cause__ = RedirectError(f"to /{key}", f"https://site.example/{key}")
    listed.__cause__.__context__ = listed
    assert secrets(key).out_of_error(listed) is listed
    texts = [str(listed), str(first), repr(first), first.raw, *first.__notes__]
    texts += [str(listed.attempts[0]), str(listed.__cause__), listed.__cause__.target]
    assert all("[secret]" in text and key not in text for text in texts)
    assert (first.code, first.status, first.message) == ("[secret]", 429, "no [secret]")


def test_what_stands_for_a_secret_passes_no_limit() -> None:
    said = ", ".join(["abc123"] * 37)
    error = StreamError("upstream", said, code=said[:100], raw="abc123 " * (MAX_RAW_BYTES // 7))
    secrets("abc123").out_of_error(error)
    assert len(error.message) <= 300
    assert len(error.code or "") <= 100
    assert len(error.raw.encode()) <= MAX_RAW_BYTES


def test_an_error_of_others_is_not_touched() -> None:
    error = ValueError("sk-0123456789abc")
    assert secrets("sk-0123456789abc").out_of_error(error).args == ("sk-0123456789abc",)
    wrapped = TailraceError("sk-0123456789abc")
    wrapped.__cause__ = error
    assert str(secrets("sk-0123456789abc").out_of_error(wrapped)) == "[secret]"
    assert error.args == ("sk-0123456789abc",)
