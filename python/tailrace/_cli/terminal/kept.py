"""Conversations and questions kept in the user's state folder, readable by the user alone.

Kept are the words of both sides, the site's name and its URL. No key, cookie, header or nonce is,
nor the ids by which a site remembers a visitor: a conversation that goes on is sent whole. A URL is
kept without its password and the values of its secret fields.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
import platformdirs

from tailrace.errors import SECRET_FIELD, InvalidRequestError
from tailrace.sites._state import write_state
from tailrace.transport._rules import checked_url

if TYPE_CHECKING:
    from pathlib import Path

    from tailrace._messages import Messages
    from tailrace.sites import Site

__all__ = [
    "MAX_FILE_BYTES",
    "MOST_CONVERSATIONS",
    "ConversationStore",
    "Keeping",
    "KeptConversation",
    "KeptMessage",
    "QuestionFile",
    "address_of",
    "state_folder",
]

MAX_FILE_BYTES = 16 * 2**20
MOST_CONVERSATIONS = 50
"""How many conversations are kept; beyond that, the oldest goes."""

_MOST_QUESTIONS = 1000
_MAX_QUESTION_BYTES = 2 * 2**20
_SPENT = "…"


class KeptMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class KeptConversation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One conversation, as a file holds it.

    `site`: the name it was asked by, empty for a bare URL; `url`: the site's, `whole` unless a
    secret was taken out of it. `begun`: when it began, as ISO 8601 writes it.
    """

    version: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    id: str
    begun: str
    site: str
    url: str
    whole: bool
    software: str
    bot: str | None
    model: str
    messages: list[KeptMessage]


def state_folder() -> Path:
    """Return the folder of what the command line keeps for its user."""
    return platformdirs.user_state_path("tailrace", appauthor=False)


def address_of(site: Site) -> tuple[str, bool]:
    """Return a site's URL without its secrets, and whether nothing had to be taken out."""
    plain = checked_url(site.url).url
    parts = urlsplit(plain)
    fields = parse_qsl(parts.query, keep_blank_values=True)
    kept = [(name, _SPENT if SECRET_FIELD.search(name) else value) for name, value in fields]
    is_whole = kept == fields and "@" not in urlsplit(site.url).netloc
    if kept == fields:
        return plain, is_whole
    return urlunsplit(parts._replace(query=urlencode(kept))), False


@dataclass(slots=True)
class ConversationStore:
    """The conversations of a folder, one file each, so that two at once never meet.

    `folder`: where they are, which need not exist. `seen`: the bytes of the conversation that goes
    on here, as they were last read or written.
    """

    folder: Path
    seen: bytes = b""

    def begin(self) -> tuple[str, str]:
        """Return the id of a new conversation, and its time."""
        now = datetime.now(UTC)
        self.seen = b""
        return f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}", f"{now:%Y-%m-%dT%H:%M:%SZ}"

    def last(self) -> KeptConversation | None:
        """Return the conversation that was last written; None without one.

        Raises InvalidRequestError for a file that cannot be read, and names it.
        """
        files = self._files()
        if not files:
            return None
        file, why = files[0], ""
        try:
            with file.open("rb") as opened:
                data = opened.read(MAX_FILE_BYTES + 1)
            if len(data) <= MAX_FILE_BYTES:
                kept = msgspec.json.decode(data, type=KeptConversation)
                self.seen = data
                # A file that came from elsewhere must not say where it is written to.
                return msgspec.structs.replace(kept, id=file.stem)
            why = "it is too large"
        except OSError as error:
            why = error.strerror or str(error)
        except (msgspec.DecodeError, RecursionError) as error:
            why = str(error)
        raise InvalidRequestError(
            f"the last conversation, {file}, cannot be read: {why}; remove the file to go on with "
            "the one before"
        )

    def write(self, kept: KeptConversation) -> KeptConversation:
        """Write a conversation over its last state, and return it as it is kept.

        One that somebody else has continued in the meantime is left alone: it is written under a
        new id. Raises OSError where it cannot be written.
        """
        file = self._file(kept)
        if self.seen and _content(file) not in (self.seen, b""):
            kept = msgspec.structs.replace(kept, id=self.begin()[0])
            file = self._file(kept)
        data = msgspec.json.encode(kept)
        if len(data) > MAX_FILE_BYTES:
            raise OSError(0, f"it is larger than {MAX_FILE_BYTES:,} bytes")
        _private(self.folder)
        write_state(file, data)
        self.seen = data
        for old in self._files()[MOST_CONVERSATIONS:]:
            old.unlink(missing_ok=True)
        return kept

    def _file(self, kept: KeptConversation) -> Path:
        return self.folder / f"{kept.id}.json"

    def _files(self) -> list[Path]:
        """Return the files, the last written first."""
        found = []
        with suppress(OSError):
            for each in self.folder.glob("*.json"):
                with suppress(OSError):
                    found.append((each.stat().st_mtime_ns, each.name, each))
        return [each for _, _, each in sorted(found, reverse=True)]


@dataclass(slots=True)
class Keeping:
    """Files in which one conversation is kept.

    `store`: the conversations; `questions`: the questions typed. None where nothing is kept.
    """

    store: ConversationStore | None = None
    questions: Path | None = None
    kept: KeptConversation | None = field(default=None, repr=False)

    def keep(self, site: Site, name: str, model: str, messages: Messages) -> str:
        """Write a conversation; return why it is not kept, once, or an empty text.

        `name`: the name the site is asked by, empty for a URL; `model`: the name given for it.
        """
        if self.store is None:
            return ""
        url, is_whole = address_of(site)
        number, begun = self.store.begin() if self.kept is None else (self.kept.id, self.kept.begun)
        kept = KeptConversation(
            id=number,
            begun=begun,
            site=_encodable(name),
            url=url,
            whole=is_whole,
            software=site.software,
            bot=site.bot and _encodable(site.bot),
            model=_encodable(model),
            messages=[_kept_message(each) for each in messages],
        )
        try:
            self.kept = self.store.write(kept)
        except OSError as error:
            self.store = None
            return f"the conversation is not kept: {error.strerror or error}"
        return "" if self.kept.id == number else "somebody else went on with it: this is a copy"


def _kept_message(message: Any) -> KeptMessage:
    content = message["content"]
    text = content if isinstance(content, str) else ""
    return KeptMessage(role=message["role"], content=_encodable(text))


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _private(folder: Path) -> None:
    """Make a folder for its user alone; one that exists is left as it is."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


class QuestionFile:
    """The questions typed at a terminal, one JSON string a line, the newest last."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> list[str]:
        """Return the questions, the newest first; lines that are none are passed over.

        A file that has grown large keeps its newest. Raises OSError where it cannot be read.
        """
        try:
            data = self._file.read_bytes()
        except FileNotFoundError:
            return []
        questions: list[str] = []
        for line in reversed(data.splitlines()):
            with suppress(msgspec.DecodeError):
                questions.append(msgspec.json.decode(line, type=str))
            if len(questions) == _MOST_QUESTIONS:
                break
        if len(data) > _MAX_QUESTION_BYTES:
            lines = (msgspec.json.encode(each) for each in reversed(questions))
            write_state(self._file, b"".join(line + b"\n" for line in lines))
        return questions

    def add(self, question: str) -> None:
        """Add a question; raises OSError where that cannot be."""
        _private(self._file.parent)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        descriptor = os.open(self._file, flags, 0o600)
        with os.fdopen(descriptor, "ab") as opened:
            opened.write(msgspec.json.encode(_encodable(question)) + b"\n")


def _encodable(text: str) -> str:
    """Return a text whose lone surrogates, of bytes that were no UTF-8, are replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")
