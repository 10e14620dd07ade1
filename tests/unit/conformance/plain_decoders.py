"""The specification read line by line over the whole input, and readers of it that get one thing
wrong each.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tailrace.conformance import Event

NO_LIMIT = 2**30


class Plain:
    """WHATWG HTML 9.2.5 and 9.2.6, a method a step."""

    def __call__(
        self, chunks: Iterable[bytes], *, max_event_bytes: int = NO_LIMIT
    ) -> Iterator[Event]:
        self.limit = max_event_bytes
        self.last_id = self.kind = self.identity = ""
        self.data: list[str] = []
        self.retry: int | None = None
        self.size = 0
        lines = self.lines(self.text(list(chunks)))
        for line in lines[:-1]:
            if line:
                self.count(line)
                self.field(line)
            else:
                yield from self.dispatch()
        yield from self.end(lines[-1])

    def text(self, chunks: list[bytes]) -> str:
        return self.marked(b"".join(chunks).decode("utf-8", "replace"))

    def marked(self, text: str) -> str:
        return text.removeprefix("\ufeff")

    def lines(self, text: str) -> list[str]:
        """The lines, and what stands behind the last end."""
        return re.split(r"\r\n|\r|\n", text)

    def count(self, line: str) -> None:
        if line.partition(":")[0] in ("data", "event", "id", "retry"):
            self.size += len(line.encode("utf-8", "replace").replace("\ufffd".encode(), b"?"))
        if self.size > self.limit:
            raise ValueError("too large")

    def field(self, line: str) -> None:
        name, value = self.parted(line)
        if name == "data":
            self.data.append(value)
        elif name == "event":
            self.kind = value
        elif name == "id":
            self.take_id(value)
        elif name == "retry":
            self.take_retry(value)

    def parted(self, line: str) -> tuple[str, str]:
        name, _, value = line.partition(":")
        return name, value.removeprefix(" ")

    def take_id(self, value: str) -> None:
        if "\0" not in value:
            self.identity = value

    def take_retry(self, value: str) -> None:
        if re.fullmatch("[0-9]+", value):
            self.retry = int(value)

    def dispatch(self) -> Iterator[Event]:
        self.last_id = self.identity
        if self.data:
            yield self.kind or "message", self.joined(), self.last_id, self.retry
        self.data, self.kind, self.retry, self.size = [], "", None, 0

    def joined(self) -> str:
        return "\n".join(self.data)

    def end(self, line: str) -> Iterator[Event]:
        self.count(line)
        return iter(())


class LinesOfEachRead(Plain):
    """Cuts each read into lines on its own: a CR and its LF in two reads are two ends."""

    def __call__(self, chunks: Iterable[bytes], **limits: int) -> Iterator[Event]:
        parts = [re.sub(rb"\r\n|\r", b"\n", chunk) for chunk in chunks]
        return super().__call__(parts, **limits)


class CharactersOfEachRead(Plain):
    """Decodes each read on its own."""

    def text(self, chunks: list[bytes]) -> str:
        return self.marked("".join(chunk.decode("utf-8", "replace") for chunk in chunks))


class NoLineFeed(Plain):
    """Wants CR."""

    def lines(self, text: str) -> list[str]:
        return re.split(r"\r\n|\r", text)


class NoCarriageReturn(Plain):
    """Knows LF and CRLF."""

    def lines(self, text: str) -> list[str]:
        return re.split(r"\r?\n", text)


class NoCrlf(Plain):
    """Knows LF and CR, and takes a CRLF for none of them."""

    def lines(self, text: str) -> list[str]:
        return re.split(r"(?<!\r)\n|\r(?!\n)", text)


class WaitsAfterCarriageReturn(Plain):
    """Keeps a last CR back for good."""

    def lines(self, text: str) -> list[str]:
        return super().lines(text.removesuffix("\r"))


class AnySeparator(Plain):
    """Python's lines, with all that Unicode parts lines by."""

    def lines(self, text: str) -> list[str]:
        return [*(re.sub(r"\r\n|\r", "\n", text) + "\0").splitlines()[:-1], ""]


class DispatchesAtTheEnd(Plain):
    def end(self, line: str) -> Iterator[Event]:
        if line:
            self.field(line)
        return self.dispatch()


class KeepsTheMark(Plain):
    def marked(self, text: str) -> str:
        return text


class DropsAllMarks(Plain):
    def marked(self, text: str) -> str:
        return text.replace("\ufeff", "")


class Strict(Plain):
    """Fails at bytes that are no UTF-8."""

    def text(self, chunks: list[bytes]) -> str:
        return self.marked(b"".join(chunks).decode())


class NoNul(Plain):
    def joined(self) -> str:
        return super().joined().replace("\0", "")


class StripsValues(Plain):
    def parted(self, line: str) -> tuple[str, str]:
        name, value = super().parted(line)
        return name, value.strip()


class LastColon(Plain):
    def parted(self, line: str) -> tuple[str, str]:
        name, _, value = line.rpartition(":")
        return name or value, value.removeprefix(" ") if name else ""


class WantsColon(Plain):
    def field(self, line: str) -> None:
        if ":" in line:
            super().field(line)


class WantsSpace(Plain):
    def field(self, line: str) -> None:
        if ": " in line:
            super().field(line)


class CommentsAreData(Plain):
    def parted(self, line: str) -> tuple[str, str]:
        name, value = super().parted(line)
        return name or "data", value


class IdsAreData(Plain):
    def take_id(self, value: str) -> None:
        self.data.append(value)


class DropsEmptyData(Plain):
    def dispatch(self) -> Iterator[Event]:
        if self.data == [""]:
            self.data = []
        return super().dispatch()


class LastDataLine(Plain):
    def joined(self) -> str:
        return self.data[-1]


class CommentsEndEvents(Plain):
    def lines(self, text: str) -> list[str]:
        return ["" if line.startswith(":") else line for line in super().lines(text)]


class AnyCase(Plain):
    def parted(self, line: str) -> tuple[str, str]:
        name, value = super().parted(line)
        return name.strip().lower(), value


class DispatchesWithoutData(Plain):
    def dispatch(self) -> Iterator[Event]:
        if self.kind or self.identity != self.last_id or self.retry is not None:
            self.data = self.data or [""]
        return super().dispatch()


class KeepsTheType(Plain):
    def dispatch(self) -> Iterator[Event]:
        kind = self.kind
        yield from super().dispatch()
        self.kind = kind


class NoIds(Plain):
    def take_id(self, value: str) -> None:
        pass


class IdOfItsOwnEvent(Plain):
    def dispatch(self) -> Iterator[Event]:
        yield from super().dispatch()
        self.identity = ""


class IgnoresEmptyIds(Plain):
    def take_id(self, value: str) -> None:
        if value:
            super().take_id(value)


class TakesNulIds(Plain):
    def take_id(self, value: str) -> None:
        self.identity = value


class FirstRetry(Plain):
    def take_retry(self, value: str) -> None:
        if self.retry is None:
            super().take_retry(value)


class AnyInteger(Plain):
    """What Python takes for a number."""

    def take_retry(self, value: str) -> None:
        try:
            self.retry = int(value)
        except ValueError:
            return


class NoLimit(Plain):
    def count(self, line: str) -> None:
        pass


class CountsComments(Plain):
    def count(self, line: str) -> None:
        super().count(line if not line.startswith(":") else "data" + line)


BROKEN_EVENTS: dict[type[Plain], set[str]] = {
    LinesOfEachRead: {"sse/crlf"},
    CharactersOfEachRead: {"sse/utf-8", "sse/invalid-utf-8", "sse/byte-order-mark"},
    NoLineFeed: {"sse/lf"},
    NoCarriageReturn: {"sse/cr", "sse/mixed-line-ends", "sse/cr-at-the-end"},
    WaitsAfterCarriageReturn: {"sse/cr-at-the-end"},
    AnySeparator: {"sse/only-line-ends"},
    DispatchesAtTheEnd: {"sse/unfinished"},
    KeepsTheMark: {"sse/byte-order-mark"},
    DropsAllMarks: {"sse/byte-order-mark-once"},
    Strict: {"sse/invalid-utf-8"},
    NoNul: {"sse/nul"},
    StripsValues: {"sse/one-space", "sse/type"},
    LastColon: {"sse/first-colon"},
    WantsColon: {"sse/no-colon"},
    DropsEmptyData: {"sse/empty-data"},
    LastDataLine: {"sse/data-lines"},
    CommentsEndEvents: {"sse/comments"},
    AnyCase: {"sse/unknown-fields"},
    DispatchesWithoutData: {"sse/no-data"},
    KeepsTheType: {"sse/type"},
    NoIds: {"sse/id"},
    IdOfItsOwnEvent: {"sse/id-stays"},
    IgnoresEmptyIds: {"sse/id-reset"},
    TakesNulIds: {"sse/id-nul"},
    FirstRetry: {"sse/retry"},
    AnyInteger: {"sse/retry-digits"},
    NoLimit: {"robust/sse-limit"},
    CountsComments: {"robust/sse-limit-kept"},
}
"""Each, and rules it must be caught by; it may break others too."""


class PlainText:
    """Chunks by the letter of OpenAI's reference, over `Plain`; of what a case says, the bytes."""

    def __call__(self, chunks: Iterable[bytes], **_said: Any) -> Iterator[str]:
        for _, data, *_ in self.events(chunks):
            if self.ends(data):
                return
            yield from self.content(self.read(data))

    def events(self, chunks: Iterable[bytes]) -> Iterable[Event]:
        return Plain()(chunks)

    def ends(self, data: str) -> bool:
        return data == "[DONE]"

    def read(self, data: str) -> Any:
        return json.loads(data)

    def content(self, chunk: Any) -> Iterator[str]:
        if chunk.get("error"):
            raise RuntimeError(chunk["error"])
        if chunk["choices"] and (text := chunk["choices"][0]["delta"].get("content")):
            yield text


def over(decode: type[Plain]) -> type[PlainText]:
    """The same over events that are decoded wrong."""

    class Over(PlainText):
        def events(self, chunks: Iterable[bytes]) -> Iterable[Event]:
            return decode()(chunks)

    Over.__name__ = f"over {decode.__name__}"
    return Over


class SentinelAnywhere(PlainText):
    def ends(self, data: str) -> bool:
        return "[DONE]" in data


class StripsContent(PlainText):
    def content(self, chunk: Any) -> Iterator[str]:
        return (text.strip() for text in super().content(chunk))


class TextOfNull(PlainText):
    def content(self, chunk: Any) -> Iterator[str]:
        for choice in chunk["choices"]:
            yield str(choice["delta"].get("content", ""))


class WantsChoices(PlainText):
    def content(self, chunk: Any) -> Iterator[str]:
        yield chunk["choices"][0]["delta"].get("content") or ""


class Searching(PlainText):
    """A regular expression in place of a JSON reader."""

    pattern = r'"content":"(.*?)"'

    def read(self, data: str) -> Any:
        return re.findall(self.pattern, data)

    def content(self, chunk: Any) -> Iterator[str]:
        return iter(chunk)


class SearchingFromTheStart(Searching):
    pattern = r'^.{100,130}"index":0,"delta":.*?"content":"(.*?)"'


class Lenient(PlainText):
    """Takes what is no JSON for an empty chunk."""

    def read(self, data: str) -> Any:
        try:
            return json.loads(data)
        except ValueError:
            return {"choices": []}


class NoErrors(PlainText):
    def content(self, chunk: Any) -> Iterator[str]:
        return super().content({**chunk, "error": None, "choices": chunk.get("choices", [])})


class NoExponents(PlainText):
    def read(self, data: str) -> Any:
        return json.loads(data, parse_float=int)


class LimitsTooSoon(PlainText):
    def __call__(self, chunks: Iterable[bytes], **options: Any) -> Iterator[str]:
        self.limit = options.get("max_event_bytes", NO_LIMIT)
        return super().__call__(chunks)

    def read(self, data: str) -> Any:
        if 2 * len(data) > self.limit:
            raise ValueError("too large")
        return super().read(data)


BROKEN_TEXT: dict[type[PlainText], set[str]] = {
    over(NoCrlf): {"stream/crlf", "stream/mixed-line-ends"},
    over(NoCarriageReturn): {"stream/cr", "stream/mixed-line-ends"},
    over(AnySeparator): {"stream/only-line-ends"},
    over(KeepsTheMark): {"stream/byte-order-mark"},
    over(CharactersOfEachRead): {"stream/utf-8"},
    over(Strict): {"stream/invalid-utf-8"},
    over(LastDataLine): {"stream/data-lines"},
    over(WantsSpace): {"stream/no-space"},
    over(CommentsAreData): {"stream/comments"},
    over(IdsAreData): {"stream/other-fields"},
    SentinelAnywhere: {"chunk/content"},
    StripsContent: {"chunk/content-spaces"},
    TextOfNull: {"chunk/null-content"},
    WantsChoices: {"chunk/usage"},
    Searching: {
        "chunk/escapes",
        "chunk/unknown-names",
        "chunk/white-space",
        "robust/json-rejected",
    },
    SearchingFromTheStart: {"chunk/names-in-any-order", "chunk/escaped-names"},
    NoErrors: {"robust/error-is-told"},
    NoExponents: {"chunk/json"},
    PlainText: {
        "robust/bad-json",
        "robust/odd-chunks",
        "robust/last-event-unended",
        "robust/cut-off-is-told",
    }
    | {
        "robust/no-stream-is-told",
        "robust/bodies",
        "robust/bad-bodies",
        "robust/limit",
    },
    LimitsTooSoon: {"robust/limit-kept"},
}
