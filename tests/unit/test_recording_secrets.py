"""No secret of a call stays in its recording, whatever a server makes of it."""

from __future__ import annotations

import base64
import html
import json
import re
from itertools import cycle
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.recording import RecordingWriter, read_recording
from tailrace.recording._secrets import Secrets

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HTML = [("Content-Type", "text/html")]
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

# Where a secret of ours is told to the server: the URL, the headers, the body, the variables.
SECRET = "Pa+ss/w0rd é\"&'=42"
PLACES: dict[str, tuple[str, dict[str, str], bytes | None, dict[str, str]]] = {
    "authorization": ("https://a.example/", {"Authorization": f"Bearer {SECRET}"}, None, {}),
    "own-header": ("https://a.example/", {"X-Shop": SECRET}, None, {}),
    "url-password": (
        f"https://someone:{quote(SECRET, safe='')}@a.example/",
        {},
        None,
        {},
    ),
    "url-user": (f"https://{quote(SECRET, safe='')}@a.example/", {}, None, {}),
    "url-key": (f"https://a.example/?key={quote_plus(SECRET)}", {}, None, {}),
    "url-field": (f"https://a.example/?k={quote(SECRET)}", {}, None, {}),
    "url-word": (f"https://a.example/?{quote(SECRET, safe='')}", {}, None, {}),
    "form": ("https://a.example/", FORM, f"pass={quote_plus(SECRET)}".encode(), {}),
    "json": ("https://a.example/", JSON, json.dumps({"api_key": SECRET}).encode(), {}),
    "variable": ("https://a.example/", {}, None, {"SHOP_TOKEN": SECRET}),
    "proxy-variable": (
        "https://a.example/",
        {},
        None,
        {"https_proxy": f"http://u:{quote(SECRET, safe='')}@proxy.example:3128"},
    ),
    "keys": ("https://a.example/", {}, None, {"TAILRACE_KEYS": f"me:{SECRET},you:x"}),
}
# How the server says it again.
ECHOES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "percent": lambda text: quote(text, safe=""),
    "percent-lower": lambda text: quote(text, safe="").lower().replace("pa", "Pa"),
    "every-byte": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "form": quote_plus,
    "html": html.escape,
    "html-php": lambda text: html.escape(text).replace("&#x27;", "&#039;"),
    "html-numbers": lambda text: "".join(f"&#{ord(letter)};" for letter in text),
    "html-hex": lambda text: "".join(f"&#x{ord(letter):X};" for letter in text),
    "json": json.dumps,
    "json-php": lambda text: json.dumps(text).replace("/", "\\/"),
    "json-in-attribute": lambda text: html.escape(json.dumps({"a": text})),
    "json-in-json": lambda text: json.dumps(json.dumps(text)),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64-urlsafe": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "basic": lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
    "basic-in-form": lambda text: quote(base64.b64encode(f"me:{text}".encode()).decode()),
    "inside-base64": lambda text: base64.b64encode(f"xx{text}yyy".encode()).decode(),
}


def recorded(
    path: Path, place: str, echo: str, *, size: int = 5, more: dict[str, Any] | None = None
) -> str:
    """Record a call that tells its secret at `place` and gets `echo`, in reads of `size`; returns
    the file, and behind it the bytes of all reads.
    """
    url, headers, body, environ = PLACES[place]
    with RecordingWriter(path, environ=environ, **(more or {})) as writer:
        exchange = writer.exchange("POST", url, headers, body)
        exchange.head(200, "OK", "https://a.example/", HTML)
        sent = f"<p>you said {echo}, did you</p>".encode()
        for at in range(0, len(sent), size):
            exchange.read(sent[at : at + size])
        exchange.end("complete")
    reads = read_recording(path).exchanges[0].reads
    assert [len(each.data) for each in reads[:-1]] == [size] * (len(reads) - 1)
    assert sum(len(each.data) for each in reads) == len(sent)
    return path.read_text("ascii") + b"".join(each.data for each in reads).decode()


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("place", PLACES)
def test_no_echo_of_a_secret_stays(tmp_path: Path, place: str, echo: str) -> None:
    said = ECHOES[echo](SECRET)
    everything = recorded(tmp_path / "a", place, said)
    assert said not in everything
    for spelling in ECHOES.values():
        assert spelling(SECRET) not in everything
    assert "w0rd" not in everything
    assert everything.endswith(", did you</p>")


@settings(max_examples=50)
@given(
    secret=st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=6, max_size=30),
    spellings=st.lists(st.integers(0, 3), min_size=1, max_size=6),
    layers=st.lists(st.integers(0, 2), max_size=2),
)
def test_no_secret_stays_however_its_letters_are_spelled(
    secret: str, spellings: list[int], layers: list[int]
) -> None:
    """Each letter in its own way, as no server does it, and layers around them all."""
    ways = cycle(LETTERS[each] for each in spellings)
    text = "".join(way(letter) for way, letter in zip(ways, secret, strict=False))
    for layer in layers:
        text = LAYERS[layer](text)
    secrets = Secrets()
    secrets.add(secret)
    sent = f"<<{text}>>".encode()
    left = secrets.out_of(sent)
    assert len(left) == len(sent)
    assert (left[:2], left[-2:]) == (b"<<", b">>")
    assert text.encode() not in left


LETTERS: list[Callable[[str], str]] = [
    lambda letter: "".join(f"%{byte:02X}" for byte in letter.encode()),
    lambda letter: f"&#{ord(letter)};",
    lambda letter: f"&#x{ord(letter):x};",
    lambda letter: json.dumps(letter)[1:-1],
]
LAYERS: list[Callable[[str], str]] = [quote, html.escape, json.dumps]


def test_a_secret_in_a_form_field_of_another_name_is_replaced(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "a", environ={}, keep_messages=True) as writer:
        headers = {**FORM, "Authorization": "Bearer k3y5"}
        writer.exchange("POST", "https://a.example/?k=abcd3", headers, b"x=abcd3&message=abcd3+a")
        more = {**FORM, "X-Key": "longer-key-1"}
        writer.exchange("POST", "https://a.example/", more, b"url=http%3A%2F%2Fa%2F%3Flonger-key-1")
    text = (tmp_path / "a").read_text()
    assert "x=abcd3" not in text
    assert "k=abcd3" not in text
    assert "k3y5" not in text
    assert "longer-key-1" not in text


def test_ids_of_a_conversation_go_wherever_they_come_from(tmp_path: Path) -> None:
    ours, theirs = "11111111-aaaa-4bbb-8ccc-222222222222", "33333333-aaaa-4bbb-8ccc-444444444444"
    with RecordingWriter(tmp_path / "a", environ={}) as writer:
        post = writer.exchange(
            "POST", "https://a.example/", FORM, f"conversation_uuid={ours}&post_id=12".encode()
        )
        post.head(200, "OK", "https://a.example/", [("Content-Type", "application/json")])
        reply = {"data": {"conversation_uuid": theirs, "message": f"{ours} is yours"}}
        post.read(json.dumps(reply).encode())
        again = writer.exchange("POST", "https://a.example/", FORM, f"x={theirs}".encode())
        again.head(200, "OK", "https://a.example/", [("Content-Type", "text/event-stream")])
        again.read(f'data: {{"session_id":"{theirs[:20]}","text":"{theirs}"}}\n\n'.encode())
    recording = read_recording(tmp_path / "a")
    reads = b"".join(read.data for each in recording.exchanges for read in each.reads).decode()
    for left in (ours, theirs, theirs[:20]):
        assert left not in (tmp_path / "a").read_text() + reads
    assert "post_id=12" in (tmp_path / "a").read_text()


KEY = "s3cr3tVALUE99"
UUID = "0af3c1d2-1111-4222-8333-444455556666"


def everything_of(
    path: Path,
    echo: str,
    *,
    url: str = "https://a.example/",
    headers: dict[str, str] | None = None,
    environ: dict[str, str] | None = None,
    answered: tuple[tuple[str, str], ...] = (("Content-Type", "text/html"),),
) -> str:
    """Record a call whose answer is `echo`; returns the file, and behind it what was read."""
    with RecordingWriter(path, environ=environ or {}) as writer:
        body = f"field={quote(echo)}".encode()
        exchange = writer.exchange("POST", url, {**FORM, **(headers or {})}, body)
        exchange.head(200, "OK", "https://a.example/", answered)
        exchange.read(echo.encode())
    (read,) = read_recording(path).exchanges[0].reads
    return path.read_text("ascii") + read.data.decode()


@pytest.mark.parametrize(
    "header",
    [
        ("Cookie", f"sid={KEY}=="),
        ("Referer", f"https://a.example/?x={KEY}"),
        ("Origin", f"https://u:{KEY}@a.example"),
        ("X-Auth", f'{{"k":"{KEY}"}}'),
        ("X-Data", f"id={KEY};v=1"),
        ("X-Upstream", f"Bearer {KEY}"),
        ("X-Where", f"https://b.example/?key={KEY}"),
    ],
)
def test_a_part_of_a_header_is_a_secret_too(tmp_path: Path, header: tuple[str, str]) -> None:
    assert KEY not in everything_of(tmp_path / "a", KEY, headers=dict([header]))


@pytest.mark.parametrize(
    "url",
    [
        f"https://a.example/?a=1;token={KEY}",
        f"https://a.example/?u=https%3A%2F%2Fb.example%2F%3Fkey%3D{KEY}",
        f"https://a.example/p;jsessionid={KEY}",
    ],
)
def test_a_field_within_a_field_of_a_url_is_a_secret_too(tmp_path: Path, url: str) -> None:
    assert KEY not in everything_of(tmp_path / "a", KEY, url=url)


def test_a_short_number_that_is_a_password_goes(tmp_path: Path) -> None:
    url = "https://a.example/?otp=482913"
    assert "482913" not in everything_of(tmp_path / "a", "code 482913", url=url)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, KEY) for name in ("MYTOKEN", "KEY2", "openaiApiKey", "PGPASSWORD", "DBPASS")),
        *((name, KEY) for name in ("API-KEY", "my.api.key", "SLACK_WEBHOOK", "SENTRY_DSN")),
        ("GOOGLE_CREDENTIALS", json.dumps({"type": "x", "api_key": KEY})),
        ("API_KEY", f'"{KEY}"'),
        ("API_TOKEN", f"Bearer {KEY}"),
        ("API_KEYS", f"a={KEY};b=other"),
        ("HTTP_PROXY", f"bob:{KEY}@proxy.example:80"),
        ("DATABASE_URL", f"postgres://h.example/db?sslmode=require&password={KEY}"),
    ],
)
def test_a_variable_is_secret_by_its_name_or_form(tmp_path: Path, name: str, value: str) -> None:
    assert KEY not in everything_of(tmp_path / "a", KEY, environ={name: value})


def test_the_name_of_a_header_holds_no_secret_either(tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    assert KEY not in everything_of(
        tmp_path / "a", "", headers=headers, answered=((f"X-{KEY}", "1"),)
    )


@pytest.mark.parametrize(
    "echo",
    [
        KEY.encode().hex(),
        KEY.encode().hex().upper(),
        "".join(f"&#{ord(letter):09};" for letter in KEY),
        "".join(f"%u{ord(letter):04x}" for letter in KEY),
    ],
)
def test_rarer_spellings_are_found(tmp_path: Path, echo: str) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    assert echo not in everything_of(tmp_path / "a", f"a {echo} b", headers=headers)


@pytest.mark.parametrize("kind", ["text/html", "text/event-stream", "application/json"])
@pytest.mark.parametrize(
    "text",
    [
        "\\u0022conversation_uuid\\u0022:\\u0022{}\\u0022",
        "%22conversation_uuid%22%3A%22{}%22",
        '{{"conversationUuid":"{}"}}',
        '<div data-conversation-uuid="{}">',
        "<div data-conversation_uuid={}>",
        '<input value="{}" name="conversation_uuid">',
        '<input name="conversation_uuid" type="hidden" value="{}">',
        "?conversation_uuid={}&x",
        '\\\\\\"conversation_uuid\\\\\\":\\\\\\"{}\\\\\\"',
        "conversation_uuid = {};",
    ],
)
def test_the_id_of_a_conversation_goes_however_it_is_told(
    tmp_path: Path, text: str, kind: str
) -> None:
    answered = (("Content-Type", kind),)
    assert UUID not in everything_of(tmp_path / "a", text.format(UUID), answered=answered)


def test_the_id_of_a_conversation_goes_from_plain_text_too(tmp_path: Path) -> None:
    answered = (("Content-Type", "text/plain; charset=UTF-8"),)
    text = f'{{"conversation_uuid":"{UUID}"}}'
    assert UUID not in everything_of(tmp_path / "a", text, answered=answered)


def test_the_nonce_of_a_hidden_field_goes_in_any_order_of_attributes(tmp_path: Path) -> None:
    text = '<input value="0a1b2c3d4e" type="hidden" name="_wpnonce">'
    assert "0a1b2c3d4e" not in everything_of(tmp_path / "a", text)


def test_a_secret_that_is_escaped_itself_is_found_as_it_is_meant(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "a", environ={}) as writer:
        writer.secret("user%7Csess%2Bion")  # a cookie, which the page shows decoded
        config = quote('{"nonce":"0a1b2c3d4e"}')
        get = writer.exchange("POST", "https://a.example/", FORM, f"config={config}".encode())
        get.head(200, "OK", "https://a.example/", HTML)
        get.read(b"user|sess+ion user%7csess%2bion 0a1b2c3d4e")
    text = (tmp_path / "a").read_text()
    (read,) = read_recording(tmp_path / "a").exchanges[0].reads
    assert re.fullmatch(rb"1\d{12} 1\d{16} 1\d{9}", read.data)
    assert "0a1b2c3d4e" not in text


def test_heads_of_responses_keep_no_secret_either(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "a", environ={}) as writer:
        get = writer.exchange("GET", "https://a.example/", {"X-Key": "header-secret"})
        get.head(
            403,
            "no header-secret\x1b[31m\udc80",
            "https://a.example/header-secret?token=abc",
            [
                ("Server", "header-secret\x01"),
                ("Location", "https://u:p@a.example/header-secret?x=1"),
                ("Set-Cookie", 'sid="cookie-secret"; Path=/'),
            ],
        )
        get.read(b"cookie-secret")
    text = (tmp_path / "a").read_text()
    head = read_recording(tmp_path / "a").exchanges[0].head
    assert "-secret" not in text
    assert head is not None
    assert head.reason == "no 1000000000001 [31m?"
    assert read_recording(tmp_path / "a").exchanges[0].reads[0].data == b"1000000000003"


def test_any_number_of_secrets_is_found() -> None:
    """A page may hold thousands, whose spellings are not sought one by one."""
    nonces = [f"a+{number:04}b" for number in range(2000)]
    secrets = Secrets()
    for nonce in nonces:
        secrets.add(nonce)
    spellings: tuple[Callable[[str], str], ...] = (
        str,
        quote,
        quote_plus,
        html.escape,
        lambda text: base64.b64encode(text.encode()).decode(),
        lambda text: quote(quote(text)),
    )
    body = ", ".join(spell(nonce) for spell, nonce in zip(cycle(spellings), nonces, strict=False))
    left = secrets.out_of_text(body)
    assert len(left) == len(body)
    assert set(left) <= set("0123456789, =g")  # the last letter of base64 belongs to the next word


def test_harmless_words_stay(tmp_path: Path) -> None:
    """What is no secret is kept, or a recording would be of no use."""
    environ = {
        "HOME": "/home/me",
        "PWD": "/somewhere/else",
        "KEYBOARD": "keyboard-layout",
        "LANG": "en_US.UTF-8",
        "SITE": "https://a.example/",
    }
    page = b"/home/me /somewhere/else keyboard-layout en_US.UTF-8 https://a.example/ true null"
    with RecordingWriter(tmp_path / "a", environ=environ) as writer:
        headers = {"Origin": "https://a.example", "Accept-Encoding": "gzip, deflate, br"}
        get = writer.exchange("GET", "https://a.example/?page_id=12&lang=en_US&a=1", headers)
        get.head(200, "OK", "https://a.example/?page_id=12&lang=en_US&a=1", HTML)
        get.read(page)
        body = {"model": "gpt-4o-mini-2024-07-18", "max_tokens": 100, "key": 12345678}
        writer.exchange("POST", "https://a.example/", JSON, json.dumps(body).encode())
    first, second = read_recording(tmp_path / "a").exchanges
    assert first.request.url == "https://a.example/?page_id=12&lang=en_US&a=1"
    assert dict(first.request.headers) == headers
    assert first.reads[0].data == page
    assert json.loads(second.request.body or "") == {**body, "key": "10000001"}


def test_stand_ins_tell_secrets_apart_and_stay_json() -> None:
    secrets = Secrets()
    values = [f"{number:06}-secret" for number in range(300)] + ["123456789"]
    stand_ins = [secrets.add(value) for value in values]
    assert len(set(stand_ins)) == len(values)
    data = json.dumps({"text": values, "number": 123456789}).encode()
    assert json.loads(secrets.out_of(data)) == {"text": stand_ins, "number": int(stand_ins[-1])}
