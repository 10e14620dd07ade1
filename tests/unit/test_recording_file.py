"""The file of a recording: what it keeps, what never reaches it, and how a wrong one is refused."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tailrace.errors import InvalidRequestError, RecordingError, RedirectError, TailraceError
from tailrace.recording import REDACTED, RecordedEnd, RecordedRead, RecordingWriter, read_recording
from tailrace.replica._replay import Replay, _replace_origin, _sent_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

NONCE = "0a1b2c3d4e"
PAGE = (
    f'<div class="wpaicg-chat-shortcode" data-nonce="{NONCE}" '
    'data-x="{&quot;nonce&quot;:&quot;ffff00001111&quot;}">'
)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


def ticking() -> Callable[[], float]:
    """A clock that goes on by half a second at each look."""
    moments = iter(number / 2 for number in range(10_000))
    return lambda: next(moments)


def written(path: Path, **options: Any) -> RecordingWriter:
    return RecordingWriter(path, clock=ticking(), **options)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    with written(tmp_path / "a", provider="ChatGptt", site_path="/chat/") as writer:
        page = writer.exchange("GET", "https://user:pass@my.example/chat/?a=1#f", {"Accept": "*/*"})
        page.head(200, "OK", "https://my.example/chat/", [("Content-Type", "text/html")])
        page.read(b"\x00\xff")
        page.read("é".encode())
        page.end("complete")
        page.end("broken")
        gone = writer.exchange("POST", "https://my.example/ajax", FORM, b"action=x&post_id=12")
        gone.end("failed", RedirectError("x", "https://other.example/?q=1"))
        writer.exchange("GET", "https://my.example/", {})
    recording = read_recording(tmp_path / "a")
    assert (recording.provider, recording.path, len(recording.exchanges)) == (
        "ChatGptt",
        "/chat/",
        3,
    )
    first, second, third = recording.exchanges
    assert (first.request.at, first.request.method, first.request.url) == (
        0.5,
        "GET",
        "https://my.example/chat/?a=1",
    )
    assert first.request.headers == (("Accept", "*/*"),)
    assert first.head is not None
    assert (first.head.at, first.head.status, first.head.headers) == (
        1.0,
        200,
        (("Content-Type", "text/html"),),
    )
    assert first.reads == (RecordedRead(1.5, b"\x00\xff"), RecordedRead(2.0, "é".encode()))
    assert first.end == RecordedEnd(2.5, "complete")
    assert second.request.body == "action=x&post_id=12"
    assert (second.head, second.reads) == (None, ())
    assert (second.end.how, second.end.error, second.end.target) == (
        "failed",
        "RedirectError",
        "https://other.example/",
    )
    assert third.end.how == "left"


def secrets_of(writer: RecordingWriter) -> Iterable[str]:
    """Tell a writer of every secret there is; returns them."""
    writer.secret("COOKIE-of-the-caller")
    page = writer.exchange(
        "GET", "https://u:URL-PASSWORD@my.example/?key=QUERY-KEY", {"Authorization": "Basic AAAA"}
    )
    page.head(
        200,
        "OK",
        "https://my.example/",
        [("Content-Type", "text/html"), ("Set-Cookie", "sid=SET-COOKIE; Path=/")],
    )
    for number in range(0, len(PAGE), 3):
        page.read(PAGE[number : number + 3].encode())
    page.end("complete")
    post = writer.exchange(
        "POST",
        "https://my.example/ajax",
        {**FORM, "X-Key": "HEADER-KEY"},
        f"_wpnonce={NONCE}&message=PROMPT+of+mine&wpaicg_chat_client_id=CLIENT1234&post_id=12".encode(),
    )
    post.head(200, "OK", "https://my.example/ajax", [("Content-Type", "text/event-stream")])
    post.read(
        f"data: {NONCE} COOKIE-of-the-caller SET-COOKIE URL-PASSWORD ".encode()
        + b"QUERY-KEY PASSWORD-x\n\n"
    )
    body = {
        "messages": [{"role": "user", "parts": [{"text": "PROMPT of mine"}]}],
        "pass": "PASSWORD-x",
        "sign": "c0ffee" * 10,
        "time": 5,
    }
    writer.exchange("POST", "https://my.example/api", JSON, json.dumps(body).encode())
    writer.exchange("POST", "https://my.example/api", {}, b"\xffSOMETHING else")
    return (
        *(
            "COOKIE-of-the-caller",
            "URL-PASSWORD",
            "QUERY-KEY",
            "AAAA",
            "SET-COOKIE",
            NONCE,
            "ffff00001111",
        ),
        *("HEADER-KEY", "CLIENT1234", "PASSWORD-x", "c0ffee", "SOMETHING"),
    )


@pytest.mark.parametrize("keep", [False, True])
def test_no_secret_reaches_the_file(tmp_path: Path, *, keep: bool) -> None:
    with written(tmp_path / "a", keep_messages=keep) as writer:
        secrets = secrets_of(writer)
    recording = read_recording(tmp_path / "a")
    replies = b"".join(read.data for each in recording.exchanges for read in each.reads)
    everything = (tmp_path / "a").read_text("ascii") + replies.decode()
    assert [secret for secret in secrets if secret in everything] == []
    assert ("PROMPT" in everything) is keep
    assert "post_id=12" in everything


def test_a_stand_in_is_as_long_and_the_same_everywhere(tmp_path: Path) -> None:
    with written(tmp_path / "a") as writer:
        secrets_of(writer)
    page, post, *_ = read_recording(tmp_path / "a").exchanges
    assert [len(read.data) for read in page.reads] == [3] * (len(PAGE) // 3) + (
        [len(PAGE) % 3] if len(PAGE) % 3 else []
    )
    body = post.request.body
    assert body is not None
    nonce = body.partition("_wpnonce=")[2].partition("&")[0]
    assert len(nonce) == len(NONCE)
    assert f'data-nonce="{nonce}"'.encode() in b"".join(read.data for read in page.reads)
    assert nonce.encode() in post.reads[0].data
    assert f"message={REDACTED}" in body


def test_a_script_that_speaks_of_a_nonce_keeps_its_words(tmp_path: Path) -> None:
    script = (
        b"var wpaicgParams = {'ajax_url': '/a'}; nonce: wpaicgParams.nonce, nonce = 'wpaicg_nonce';"
    )
    with written(tmp_path / "a") as writer:
        page = writer.exchange("GET", "https://my.example/", {})
        page.head(200, "OK", "https://my.example/", [("Content-Type", "text/html")])
        page.read(script)
    assert read_recording(tmp_path / "a").exchanges[0].reads[0].data == script


def test_a_file_that_exists_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    with pytest.raises(FileExistsError):
        RecordingWriter(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "mine"


def test_a_recording_has_a_limit(tmp_path: Path) -> None:
    with written(tmp_path / "a", max_bytes=10) as writer:
        exchange = writer.exchange("POST", "https://my.example/", {}, b"12345")
        exchange.read(b"67890")
        with pytest.raises(RecordingError, match="larger than its limit"):
            exchange.read(b"1")
    with pytest.raises(RecordingError, match="larger than 20 bytes"):
        read_recording(tmp_path / "a", max_bytes=20)


HEAD = '{"format":"tailrace-recording","version":1,"provider":null,"path":"/"}'
REQUEST = '{"request":{"at":0,"method":"GET","url":"http://a.example/","headers":[],"body":null}}'
REPLY = (
    '{"head":{"at":0,"status":200,"reason":"OK","url":"http://a.example/","headers":[["A","b"]]}}'
)
READ = '{"read":{"at":0,"data":"YQ=="}}'
END = '{"end":{"at":0,"how":"complete","error":null,"status":null,"target":null}}'


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "empty"),
        (["nonsense"], "line 1 of the recording: it is no JSON object"),
        (["[]"], "line 1 of the recording: it is no JSON object"),
        (["[" * 100_000], "line 1 of the recording: it is no JSON object"),
        (["{}"], "line 1 of the recording: this is no tailrace-recording"),
        ([HEAD.replace(":1,", ":2,")], "line 1 of the recording: its version is not 1"),
        ([HEAD.replace('"/"', '"x"')], "path must begin with a slash"),
        ([HEAD.replace("null", "5")], "provider must be text"),
        ([HEAD.replace("}", ',"more":1}')], "its keys must be format, version, provider, path"),
        ([HEAD, REPLY], "line 2 of the recording: a request is expected here"),
        ([HEAD, REQUEST], "line 2 of the recording: the exchange that begins here has no end"),
        (
            [HEAD, REQUEST, REPLY, READ, REPLY, END],
            "line 5 of the recording: the order is request, head, read…, end",
        ),
        ([HEAD, REQUEST, READ, END], "line 3 of the recording: the order is"),
        ([HEAD, REQUEST, REQUEST, END], "line 3 of the recording: the order is"),
        ([HEAD, '{"a":1,"b":2}'], "one key is expected"),
        ([HEAD, '{"request":1}'], "request must be an object"),
        ([HEAD, REQUEST.replace("http:", "ftp:"), END], "url must be an http or https URL"),
        ([HEAD, REQUEST.replace("a.example", "[a"), END], "url must be an http or https URL"),
        ([HEAD, REQUEST.replace(":0", ":-1"), END], "at must be a number of seconds"),
        ([HEAD, REQUEST.replace(":0", ":NaN"), END], "at must be a number of seconds"),
        (
            [HEAD, REQUEST, REPLY.replace("200", "20"), END],
            "status must be a whole number of three digits",
        ),
        ([HEAD, REQUEST, REPLY.replace('"b"', '"b\\r\\nC: d"'), END], "headers must be pairs"),
        ([HEAD, REQUEST, REPLY.replace('"b"', '"\\ud800"'), END], "headers must be pairs"),
        (
            [HEAD, REQUEST, REPLY.replace("OK", "OK\\r\\nX: y"), END],
            "reason must be text without control characters",
        ),
        (
            [HEAD, REQUEST, REPLY.replace("OK", "\\u001b[31m"), END],
            "reason must be text without control characters",
        ),
        ([HEAD, REQUEST, REPLY.replace("OK", "\\udc80"), END], "reason must be text without lone"),
        ([HEAD, REQUEST.replace("null", '"\\ud800"'), END], "body must be text without lone"),
        ([HEAD, REQUEST.replace("GET", "GE T"), END], "method must be a name such as GET or POST"),
        ([HEAD.replace("null", '"a\\u0007"')], "provider must be text without control"),
        ([HEAD, REQUEST.replace("example/", "example/\\u0000"), END], "url must be text without"),
        ([HEAD, REQUEST, REPLY.replace('"A"', '"A b"'), END], "headers must be pairs"),
        ([HEAD, REQUEST, REPLY, READ.replace("YQ==", "YQ="), END], "data must be base64"),
        ([HEAD, REQUEST, REPLY, READ.replace("YQ==", "Y é="), END], "data must be base64"),
        (
            [HEAD, REQUEST, END.replace("complete", "somehow")],
            "how must be one of complete, broken, left, failed",
        ),
    ],
)
def test_a_wrong_file_is_refused_by_line(tmp_path: Path, lines: list[str], says: str) -> None:
    (tmp_path / "a").write_text("\n".join(lines), "utf-8")
    with pytest.raises(RecordingError, match=says.replace("[", r"\[")) as raised:
        read_recording(tmp_path / "a")
    assert isinstance(raised.value, InvalidRequestError)


def test_a_path_that_no_system_has_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="the path of the recording"):
        read_recording(f"{tmp_path}/\0")


HOSTILE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    line=st.integers(0, 4),
    name=st.sampled_from(
        ["at", "method", "url", "headers", "body", "status", "reason", "data", "how", "error"]
    ),
    value=HOSTILE,
)
def test_a_hostile_file_is_read_or_refused_and_played_or_refused(
    tmp_path: Path, line: int, name: str, value: Any
) -> None:
    lines = [json.loads(each) for each in (HEAD, REQUEST, REPLY, READ, END)]
    fields = lines[line] if line == 0 else next(iter(lines[line].values()))
    fields[name if name in fields else "path"] = value
    (tmp_path / "a").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    with suppress(TailraceError):
        recording = read_recording(tmp_path / "a")
        assert Replay(recording).paths
        for each in recording.exchanges:
            assert each.head is None or _sent_headers(each.head)


def test_a_right_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(
        f"{HEAD}\n\n{REQUEST}\n{REPLY}\n{READ}\n{READ}\n{END}\n{REQUEST}\n{END}\n", "utf-8"
    )
    assert [len(each.reads) for each in read_recording(tmp_path / "a").exchanges] == [2, 0]


WORDS = st.lists(
    st.sampled_from(
        ["https://a.example", "https:\\/\\/a.example", "/", "x", "https://a.example.org", "b"]
    )
)


@given(words=WORDS, sizes=st.lists(st.integers(1, 30)))
def test_a_page_that_moves_keeps_its_boundaries(words: list[str], sizes: list[int]) -> None:
    whole = " ".join(words).encode()
    reads, start = [], 0
    for size in [*sizes, len(whole)]:
        reads.append(whole[start : start + size])
        start += size
    moved = _replace_origin(reads, "https://a.example", "http://127.0.0.1:5")
    expected = {
        "https://a.example": "http://127.0.0.1:5",
        "https:\\/\\/a.example": "http:\\/\\/127.0.0.1:5",
    }
    assert len(moved) == len(reads)
    assert b"".join(moved) == " ".join(expected.get(word, word) for word in words).encode()
