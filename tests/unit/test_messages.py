"""A conversation in, turns or one prompt out: the tables of what callers give, and what comes of
it.
"""

from __future__ import annotations

from collections import UserDict, UserList
from typing import Any

import pytest

from tailrace import Messages, format_prompt
from tailrace._messages import Turn, browser_text, holds_more_than_text, parse_messages
from tailrace.errors import InvalidRequestError

USER = {"role": "user", "content": "What is a weir?"}
SYSTEM = {"role": "system", "content": "You are a miller."}
ASSISTANT = {"role": "assistant", "content": "A small dam."}
BLANK = {"role": "user", "content": " \n"}
LAST = {"role": "user", "content": "And a sluice?"}


@pytest.mark.parametrize(
    ("messages", "options", "prompt"),
    [
        ([USER], {}, "What is a weir?"),
        ([SYSTEM], {}, "You are a miller."),
        ([USER], {"add_special_tokens": True}, "User: What is a weir?\nAssistant:"),
        ([USER], {"add_special_tokens": True, "do_continue": True}, "User: What is a weir?"),
        ([{"role": "user", "content": ""}], {}, ""),
        ([SYSTEM, USER], {}, "System: You are a miller.\nUser: What is a weir?\nAssistant:"),
        ([SYSTEM, USER], {"include_system": False}, "User: What is a weir?\nAssistant:"),
        (
            [{"role": "developer", "content": "x"}, USER],
            {"include_system": False},
            "User: What is a weir?\nAssistant:",
        ),
        (
            [USER, ASSISTANT, LAST],
            {},
            "User: What is a weir?\nAssistant: A small dam.\nUser: And a sluice?\nAssistant:",
        ),
        (
            [USER, ASSISTANT],
            {"do_continue": True},
            "User: What is a weir?\nAssistant: A small dam.",
        ),
        (
            [USER, {"role": "user", "content": " \n"}, LAST],
            {},
            "User: What is a weir?\nUser: And a sluice?\nAssistant:",
        ),
        ([USER, {"role": "assistant", "content": None}], {}, "User: What is a weir?\nAssistant:"),
        (
            [{"role": "TOOL", "content": "x"}, USER],
            {},
            "Tool: x\nUser: What is a weir?\nAssistant:",
        ),
    ],
)
def test_prompts(messages: Messages, options: dict[str, bool], prompt: str) -> None:
    assert format_prompt(messages, **options) == prompt


def test_gpt4frees_callers_give_the_options_by_place() -> None:
    assert format_prompt([SYSTEM, USER], False, True, False) == "User: What is a weir?"  # noqa: FBT003


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("plain", "plain"),
        ("", ""),
        (None, ""),
        ([], ""),
        (["a", "b"], "ab"),
        (("a", "b"), "ab"),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        (
            [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x"}}, "b"],
            "ab",
        ),
        ({"type": "text", "text": "a"}, "a"),
        ([{"text": None}, {"text": 7}, {}], ""),
        ("\ud83c\udf89 \ud800", "🎉 \ufffd"),
        ([{"text": "\ud83c"}, {"text": "\udf89"}], "🎉"),
    ],
    ids=repr,
)
def test_contents(content: Any, text: str) -> None:
    assert parse_messages([{"role": "user", "content": content}]) == [Turn("user", text)]
    assert parse_messages([{"role": " User", "content": content}]) == [Turn("user", text)]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"content": [{"type": "image_url", "image_url": {"url": "x"}}]}, "type 'image_url'"),
        ({"content": ["look", {"type": "input_audio"}]}, "a part of the type 'input_audio'"),
        ({"content": {"type": "file", "text": "x"}}, "a part of the type 'file'"),
        ({"content": [{"type": ["text"], "text": "x"}]}, "a part of the type"),
        ({"content": [{"type": "text", "text": 7}]}, "a part of the type 'text' without text"),
        ({"content": [{}]}, "a part of the type 'text' without text"),
        ({"content": None, "tool_calls": [{"id": "1"}]}, "holds tool_calls, which cannot be sent"),
        ({"tool_calls": [{"id": "1"}]}, "holds tool_calls"),
        ({"content": "", "function_call": {"name": "f"}}, "holds function_call"),
        ({"content": "look", "images": ["aGk="]}, "holds images"),
        ({"audio": {"id": "a"}}, "holds audio"),
        ({"content": "look", "image": b"x"}, "holds image"),
        ({"content": "look", "image_url": "https://x.test/a.png"}, "holds image_url"),
        ({"content": "look", "media": ["a.png"]}, "holds media"),
        ({"content": "look", "files": ["a.pdf"]}, "holds files"),
        ({"content": [{"text": "look", "image_url": {"url": "x"}}]}, "type 'text' with image_url"),
        (
            {"content": {"type": "text", "text": "x", "file": {}, "audio": {"id": "a"}}},
            "with audio",
        ),
    ],
)
def test_a_site_of_text_takes_nothing_else(more: dict[str, Any], says: str) -> None:
    messages: Any = [USER, {"role": "assistant", **more}]
    with pytest.raises(InvalidRequestError, match=f"^message 1 holds .*{says}|{says}"):
        parse_messages(messages, text_only=True)
    assert len(parse_messages(messages)) == 2
    assert holds_more_than_text(messages)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"content": [{"type": "text", "text": "a"}, "b", {"text": "c"}, None]}, "abc"),
        ({"content": [{"type": None, "text": "a"}]}, "a"),
        ({"content": [{"type": "input_text", "text": "a"}]}, "a"),
        ({"content": [{"type": "refusal", "refusal": "no"}]}, "no"),
        ({"content": None, "refusal": "no"}, "no"),
        ({"refusal": "no"}, "no"),
        ({"content": "a", "tool_calls": [], "function_call": None, "name": "me"}, "a"),
        ({"content": "a", "images": [], "media": None, "files": ()}, "a"),
        ({"content": [{"text": "a", "image_url": None, "cache_control": {"type": "x"}}]}, "a"),
    ],
)
def test_text_in_every_dress(more: dict[str, Any], text: str) -> None:
    messages: Any = [{"role": "assistant", **more}]
    assert parse_messages(messages, text_only=True) == [Turn("assistant", text)]
    assert not holds_more_than_text(messages)


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([], "the message list is empty"),
        ((), "the message list is empty"),
        (None, "messages must be a list of messages, not NoneType"),
        ("hello", "messages must be a list of messages, not str"),
        (b"hello", "messages must be a list of messages, not bytes"),
        (USER, "messages must be a list of messages, not dict"),
        ({USER["role"]}, "messages must be a list of messages, not set"),
        (iter([USER]), "messages must be a list of messages, not list_iterator"),
        ([USER, "hello"], "message 1 must be a mapping, not str"),
        ([USER, None], "message 1 must be a mapping, not NoneType"),
        ([{"content": "x"}], "message 0 has no role"),
        ([{"role": "", "content": "x"}], "message 0 has no role"),
        ([{"role": 7, "content": "x"}], "message 0 has no role"),
        ([USER, {"role": "user"}], "message 1 has no content"),
        (
            [{"role": "user", "content": 7}],
            "the content of message 0 must be text or a list of parts, not int",
        ),
        (
            [{"role": "user", "content": b"x"}],
            "the content of message 0 must be text or a list of parts, not bytes",
        ),
        (
            [USER, {"role": "user", "content": ["x", 7]}],
            "the content of message 1 must be .*, not int",
        ),
        (
            [{"role": "user", "content": [["nested"]]}],
            "the content of message 0 must be text or a list of parts, not list",
        ),
    ],
)
def test_what_cannot_be_sent_is_named(messages: Any, says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        parse_messages(messages)
    with pytest.raises(ValueError, match=says):
        format_prompt(messages)


def test_other_sequences_and_mappings_do() -> None:
    messages: Any = UserList([UserDict(USER), UserDict(LAST)])
    assert parse_messages(messages) == [
        Turn("user", "What is a weir?"),
        Turn("user", "And a sluice?"),
    ]
    assert parse_messages((USER,)) == [Turn("user", "What is a weir?")]


def test_the_callers_messages_stay_as_they_are() -> None:
    messages = [dict(SYSTEM), dict(USER)]
    format_prompt(messages, include_system=False)
    assert messages == [SYSTEM, USER]


def test_messages_is_called_like_a_constructor() -> None:
    assert Messages([USER]) == [USER]


def test_no_message_of_a_failure_shows_the_prompt() -> None:
    with pytest.raises(InvalidRequestError) as raised:
        parse_messages(
            [{"role": "user", "content": "a secret wish"}, {"content": "another secret"}]
        )
    assert "secret" not in str(raised.value)


def test_browser_text() -> None:
    assert browser_text("plain") == "plain"
    assert browser_text("é🎉") == "é🎉"
    assert browser_text("a\ud800") == "a\ufffd"
    assert browser_text("\ud83c\udf89") == "🎉"
