"""Attachments that cannot be sent as they are: each is refused by name, and what can go goes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import llm
import pytest
from llm.parts import AttachmentPart
from mill import async_model, model, sent

if TYPE_CHECKING:
    from pathlib import Path

    from tailrace.replica import Replica

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("home")]

PNG = b"\x89PNG\r\n\x1a\n of no picture"


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    picture = llm.Attachment(type="image/png", path=str(tmp_path / "gone.png"))
    with pytest.raises(llm.ModelError, match=r"gone\.png cannot be sent: .*No such file"):
        model("chat").prompt("What is it?", attachments=[picture]).text()


async def test_a_file_that_is_gone_is_named_with_asyncio(tmp_path: Path) -> None:
    picture = llm.Attachment(type="image/png", path=str(tmp_path / "gone.png"))
    with pytest.raises(llm.ModelError, match=r"gone\.png cannot be sent: .*No such file"):
        await async_model("chat").prompt("What is it?", attachments=[picture]).text()


@pytest.mark.parametrize("kind", ["image/png", "application/pdf"])
@pytest.mark.parametrize("content", [b"", None])
def test_what_is_empty_is_named(kind: str, content: bytes | None) -> None:
    nothing = llm.Attachment(type=kind, content=content)
    with pytest.raises(llm.ModelError, match=rf"the attachment {kind} cannot be sent: it is empty"):
        model("chat").prompt("What is it?", attachments=[nothing]).text()


def test_what_nobody_knows_is_named() -> None:
    some = llm.Attachment(content=b"\x00")
    with pytest.raises(llm.ModelError, match="its media type is not known"):
        model("chat").prompt(messages=[llm.user("What is it?", some)]).text()
    with pytest.raises(llm.ModelError, match="no type and no content"):
        model("chat").prompt(messages=[llm.user("What is it?", AttachmentPart())]).text()


def test_a_place_that_cannot_be_fetched_is_named_without_its_secrets(replica: Replica) -> None:
    url = replica.url("openai").replace("://", "://me:hush@") + "/nothing.png?token=hush"
    picture = llm.Attachment(type="image/png", url=url)
    with pytest.raises(llm.ModelError, match=r"nothing\.png\S* cannot be sent: ") as raised:
        model("google").prompt("What is it?", attachments=[picture]).text()
    assert "hush" not in str(raised.value)
    assert raised.value.__cause__ is raised.value.__context__ is None


def test_a_types_parameters_are_left_out(replica: Replica) -> None:
    picture = llm.Attachment(type="image/png; charset=binary", content=PNG)
    model("claude").prompt(messages=[llm.user("What is it?", picture)]).text()
    assert '"media_type": "image/png"' in json.dumps(sent(replica, "anthropic"))
