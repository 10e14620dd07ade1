"""The exception tree is the one drawn in its module's docstring, and tells the caller what
happened.
"""

from __future__ import annotations

import builtins
import copy
import re
from typing import Any

import pytest

from tailrace import errors
from tailrace.batch import Plan, Report
from tailrace.errors import reply_error

# A line of the drawing: its indentation, the name, and what else it is in brackets.
LINE = re.compile(r"^    (?P<before>[│├└─ ]*)(?P<name>\w+)(?: \((?P<also>[\w.]+)\))?(?: .*)?$")


def drawn() -> dict[str, tuple[str | None, str | None]]:
    """Of each name in the drawing its parent, and the builtin it is as well."""
    assert errors.__doc__ is not None
    tree: dict[str, tuple[str | None, str | None]] = {}
    above: list[str] = []
    for line in errors.__doc__.partition("::\n\n")[2].partition("\n\n")[0].splitlines():
        found = LINE.match(line)
        assert found is not None, line
        depth = len(found["before"]) // 4
        above[depth:] = [found["name"]]
        tree[found["name"]] = (above[depth - 1] if depth else None, found["also"])
    return tree


TREE = drawn()


def exceptions() -> dict[str, type[BaseException]]:
    found = vars(errors).values()
    return {
        each.__name__: each
        for each in found
        if isinstance(each, type) and issubclass(each, BaseException)
    }


def test_every_class_is_drawn_and_public() -> None:
    assert set(TREE) == set(errors.__all__) == set(exceptions())
    assert errors.__all__ == sorted(errors.__all__)


@pytest.mark.parametrize("name", TREE)
def test_bases_are_as_drawn(name: str) -> None:
    parent, also = TREE[name]
    expected = [getattr(errors, parent) if parent else Exception]
    if also is not None:
        builtin = getattr(builtins, also.removeprefix("builtins."), None)
        expected.append(getattr(errors, also) if builtin is None else builtin)
    assert list(getattr(errors, name).__bases__) == expected
    assert getattr(errors, name).__doc__


def test_names_of_gpt4free_are_all_there() -> None:
    names = """ProviderNotFoundError ProviderNotWorkingError StreamNotSupportedError
        ModelNotFoundError ModelNotSupportedError RetryProviderError RetryNoProviderError
        MissingRequirementsError MissingAuthError PaymentRequiredError ResponseError
        ResponseStatusError RateLimitError CloudflareError TimeoutError ConversationLimitError"""
    assert set(names.split()) <= set(errors.__all__)
    assert issubclass(errors.RateLimitError, errors.ResponseStatusError)


@pytest.mark.parametrize(
    ("status", "code", "message", "is_the_model"),
    [
        (404, "model_not_found", "no", True),
        (403, "model_not_found", "Project p does not have access to model x", True),
        (400, "model_not_available", "Unable to access model x", True),
        (404, "DeploymentNotFound", "The API deployment does not exist.", True),
        (404, "NotFoundError", "The model `x` does not exist.", True),
        (404, None, 'model "x" not found, try pulling it first', True),
        (404, None, "The model x does not exist or your team has no access to it.", True),
        (400, None, "Model Not Exist", True),
        (400, "1500", "Invalid model: x", True),
        (400, "400", "x is not a valid model ID", True),
        (404, "not_found_error", "Not Found", False),
        (404, None, "our model shop is closed", False),
        (400, None, "model: this field is too long", False),
        (400, None, "Invalid model output", False),
        (500, None, "model 'x' not found", False),
        (404, None, "", False),
    ],
)
def test_a_server_tells_in_its_own_way_that_it_has_no_such_model(
    status: int, code: str | None, message: str, *, is_the_model: bool
) -> None:
    error = reply_error("upstream", message, status, code)
    expected = errors.ModelNotServedError if is_the_model else errors.ResponseStatusError
    assert type(error) is expected
    assert isinstance(error, errors.ModelNotFoundError) is is_the_model


@pytest.mark.parametrize(
    ("kind", "status", "code", "expected"),
    [
        ("upstream", 200, None, errors.StreamError),
        ("upstream", None, None, errors.StreamError),
        ("upstream", 399, "x", errors.StreamError),
        ("truncated", 200, None, errors.StreamError),
        ("not_a_stream", 200, None, errors.StreamError),
        ("empty", 200, None, errors.StreamError),
        ("upstream", 400, None, errors.ResponseStatusError),
        ("upstream", 401, None, errors.MissingAuthError),
        ("upstream", 402, None, errors.PaymentRequiredError),
        ("upstream", 403, None, errors.ResponseStatusError),
        ("upstream", 429, None, errors.RateLimitError),
        ("upstream", 503, "x", errors.ResponseStatusError),
        ("challenge", 200, None, errors.ChallengeError),
        ("challenge", 403, None, errors.ChallengeError),
        ("challenge", 429, None, errors.ChallengeError),
        ("limit", 200, None, errors.LimitExceeded),
        ("limit", 500, None, errors.LimitExceeded),
        ("upstream", 200, "tokenLimitReached", errors.ConversationLimitError),
        ("upstream", 429, "tokenLimitReached", errors.ConversationLimitError),
        ("upstream", 200, "quota_notice", errors.ConversationLimitError),
        ("upstream", 429, "quota_notice", errors.ConversationLimitError),
    ],
)
def test_a_reply_gives_the_error_that_tells_most(
    kind: errors.StreamErrorKind,
    status: int | None,
    code: str | None,
    expected: type[errors.StreamError],
) -> None:
    error = reply_error(kind, "words", status, code, "raw")
    assert type(error) is expected
    assert (error.kind, error.status, error.code, error.raw) == (kind, status, code, "raw")
    assert error.message


def test_text_of_a_stream_error_says_kind_status_and_message() -> None:
    assert str(reply_error("upstream", "no more", 200)) == "the site reported an error: no more"
    assert (
        str(reply_error("upstream", "no more", 429))
        == "the site reported an error (HTTP 429): no more"
    )
    assert str(reply_error("truncated", "no end", None)) == "the reply broke off: no end"
    assert str(reply_error("not_a_stream", "a page", 200)) == "the reply is not an answer: a page"
    assert str(reply_error("empty", "nothing", 200)) == "the reply holds no answer: nothing"
    assert str(errors.LimitExceeded("too much")) == "a limit was passed: too much"
    assert str(errors.ChallengeError(status=403)).startswith(
        "the site wants a browser (HTTP 403): "
    )


def test_repr_of_a_stream_error_shows_neither_words_nor_raw() -> None:
    error = reply_error("upstream", "the secret wish", 500, "c", "the secret body")
    assert repr(error) == "ResponseStatusError(kind='upstream', status=500, code='c')"


def test_a_timeout_says_which_clock() -> None:
    error = errors.TimeoutError("idle", 1.5, "https://a.example")
    assert (error.phase, error.seconds, str(error)) == (
        "idle",
        1.5,
        "idle timeout after 1.5 s at https://a.example",
    )
    assert str(errors.TimeoutError("first byte", 120)) == "first byte timeout after 120 s"


@pytest.mark.parametrize(
    "reason",
    ["missing_nonce", "missing_post_id", "missing_both", "invalid_nonce", "invalid_post_id"],
)
def test_every_problem_with_tokens_has_its_words(reason: errors.TokenProblem) -> None:
    error = errors.TokenNotFoundError(reason, "https://a.example")
    assert error.reason == reason
    assert str(error).endswith(" at https://a.example")
    assert str(errors.TokenNotFoundError(reason)).startswith("the page")


def test_a_redirect_knows_its_target() -> None:
    error = errors.RedirectError("not followed", "https://b.example/")
    assert (str(error), error.target) == ("not followed", "https://b.example/")


def test_callers_catch_them_by_what_they_know() -> None:
    for kind, raised in (
        (ValueError, errors.ModelNotSupportedError("x")),
        (RuntimeError, errors.TokenNotFoundError("missing_both")),
        (ConnectionError, errors.ReplyBrokenError("x")),
        (builtins.TimeoutError, errors.TimeoutError("connect", 1)),
        (OSError, errors.ProxyError("x")),
        (errors.TailraceError, errors.NonceRefusedError("upstream", "x")),
    ):
        with pytest.raises(kind):
            raise raised


REPORT = Report(
    site="s",
    url="http://s",
    software="openai",
    model="m",
    at="",
    input="in",
    output="out",
    shard=(0, 1),
    plan=Plan(),
)


def made_of(text: str) -> list[errors.TailraceError]:
    """One error of each class, with a message of, or around, `text`."""
    in_streams = [
        each(text)
        if each in (errors.LimitExceeded, errors.ChallengeError)
        else each("upstream", text)
        for each in exceptions().values()
        if issubclass(each, errors.StreamError)
    ]
    others = [
        errors.BatchTableError(errors.TLSError(text), REPORT),
        errors.TimeoutError("idle", 1, text),
        errors.TokenNotFoundError("missing_nonce", text),
        errors.RedirectError(text, "https://b.example/"),
        errors.ProfileError(text, "sites.x", "expected text"),
        errors.ToolArgumentsError(text, text, text, 3),
        errors.RetryProviderError([(f"P{number}", errors.TLSError(text)) for number in range(4)]),
    ]
    special = {type(each) for each in (*in_streams, *others)}
    plain: list[Any] = [each(text) for each in exceptions().values() if each not in special]
    return [*in_streams, *others, *plain]


@pytest.mark.parametrize(
    "text",
    [
        "x" * 5000,
        "words " * 5000,
        "a\r\n\r\nb\x85c\u2028d " * 500,
        "x\ud800" * 400,
        "\n" * 5000 + "end",
    ],
    ids=["letters", "words", "lines", "surrogates", "late"],
)
def test_a_message_is_one_line_of_bounded_length_and_raw_keeps_the_rest(text: str) -> None:
    made = made_of(text)
    assert len(made) == len(exceptions())
    for error in made:
        message = getattr(error, "message", str(error))
        for shown in (str(error), message):
            assert len(shown) <= 300
            assert len(shown.splitlines()) <= 1
            shown.encode()
        assert message.endswith("…")
        if not isinstance(error, errors.RetryProviderError):
            assert text.replace("\ud800", "\ufffd")[:1000] in error.raw
        copied = copy.copy(error)
        assert (str(copied), copied.raw) == (str(error), error.raw)


def test_every_provider_that_failed_is_in_the_message() -> None:
    error = errors.RetryProviderError(
        [(f"Provider{number}", errors.TLSError("x" * 200)) for number in range(8)]
    )
    assert [f"Provider{number}: " in str(error) for number in range(8)] == [True] * 8
    assert len(str(error)) <= 300
    many = errors.RetryProviderError([("P", errors.TLSError("x"))] * 500)
    assert len(str(many)) <= 300


def test_raw_has_a_limit_and_code_too() -> None:
    error = reply_error("upstream", "words", 500, "c" * 5000, "é\ud800" * 100_000)
    assert len(error.raw.encode()) <= 64 * 2**10
    assert error.raw.startswith("é\ufffdé")
    assert error.code is not None
    assert len(error.code) == 100
    assert reply_error("upstream", "short", 500).raw == ""
    assert reply_error("upstream", "x" * 5000, 500, None, "x" * 400).raw == "x" * 5000
    assert reply_error("upstream", "x" * 500, 500, None, "{" * 5000).raw == "{" * 5000


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at https://me:pass-word@a.example/x", "at https://***@a.example/x"),
        ("at https://me:p@ss@a.example", "at https://***@a.example"),
        ("at socks5h://only-user@[::1]:80", "at socks5h://***@[::1]:80"),
        ("no site me:pass-word@a.example is known", "no site ***@a.example is known"),
        ("'me:pass-word@a.example'", "'***@a.example'"),
        ("/x?a=1&api_key=abc&b=2#f", "/x?a=1&api_key=***&b=2#f"),
        ("/x?access_token=abc def", "/x?access_token=*** def"),
        ("write to help@a.example: 12:30", "write to help@a.example: 12:30"),
        ("max_tokens=5 is too much", "max_tokens=5 is too much"),
    ],
)
def test_no_message_shows_credentials_of_a_url(text: str, shown: str) -> None:
    for error in (errors.ConnectError(text), errors.StreamError("upstream", text, raw=text)):
        assert shown in str(error)
        assert "pass-word" not in f"{error}{error!r}"
    assert errors.StreamError("upstream", text).message == shown
