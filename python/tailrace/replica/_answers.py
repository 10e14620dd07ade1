"""The model behind the sites: a question in, text out, without HTTP and without framing.

The built-in text depends on the question alone, so two runs can be compared byte by byte, and it
holds characters that reveal faults of decoders: CJK, emoji joined by ZWJ, accents, quotes,
backslashes, markup and U+2028.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from itertools import cycle
from typing import AnyStr, Literal, Protocol

QUOTED_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class HistoryTurn:
    """An earlier turn of the conversation, as the site understood it.

    `role` is ``system`` only where the site's software knows that role; `text` is the turn's text.
    """

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question to the model.

    `site`: the name of the site; `message`: the visitor's message, as the site's filters left it;
    `history`: the turns before it, oldest first.
    """

    site: str
    message: str
    history: tuple[HistoryTurn, ...] = ()


class AnswerError(Exception):
    """The model has no answer; each site reports the failure as its software would.

    `status` is the HTTP status of the refusal, 400 to 599; `message` is for the visitor.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status: int = status
        self.message = message


class Answers(Protocol):
    """A model: one question in, the whole answer out, or an `AnswerError`.

    The site splits the answer into tokens and frames them.
    """

    async def __call__(self, question: Question, /) -> str:
        """Return the answer to `question`."""
        ...


async def builtin_answer(question: Question) -> str:
    """Return a few paragraphs that quote the message of `question` and count its earlier turns."""
    paragraphs = (_opening(question), *_middle(question.message), _WRITING_SYSTEMS, _CODE, _CLOSING)
    return "\n\n".join(paragraphs)


def tokenize(text: AnyStr) -> list[AnyStr]:
    """Split `text` into tokens of 1 to 8 characters (or bytes), the same way every time.

    Joined again, they are `text`.
    """
    encoded = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    tokens: list[AnyStr] = []
    start = 0
    for byte in cycle(sha256(encoded).digest()):
        if start >= len(text):
            break
        size = 1 + byte % 8
        tokens.append(text[start : start + size])
        start += size
    return tokens


def _opening(question: Question) -> str:
    message = question.message
    quoted = message if len(message) <= QUOTED_CHARACTERS else message[:QUOTED_CHARACTERS] + "…"
    turns = sum(turn.role != "system" for turn in question.history)
    return f"You asked: “{quoted}” ({turns} earlier {'turn' if turns == 1 else 'turns'})."


def _middle(message: str) -> tuple[str, str]:
    digest = sha256(message.encode("utf-8", "surrogatepass")).digest()
    first = digest[0] % len(_PARAGRAPHS)
    second = (first + 1 + digest[1] % (len(_PARAGRAPHS) - 1)) % len(_PARAGRAPHS)
    return _PARAGRAPHS[first], _PARAGRAPHS[second]


_PARAGRAPHS = (
    (
        "Think of a stream as a river seen from a bridge: you never hold the whole of it, only "
        "what is passing. A reader that waits for the end has missed the point; one that trusts "
        "every ripple has missed the river."
    ),
    (
        "Three things decide it:\n\n"
        "1. **Order** - what was sent first is read first.\n"
        "2. **Borders** - a message ends where it says so, not where the network paused.\n"
        "3. **Endings** - silence, a full stop and a broken line are *not* the same."
    ),
    (
        "> A naïve reader in a café in Reykjavík once said: “it works on my machine”.\n\n"
        "That was true, and it was no help at all; the façade held until the first long answer "
        "arrived."
    ),
    (
        "| part | job |\n|---|---|\n| page | shows the token |\n| token | opens the door |\n"
        "| door | lets the answer out |\n\n"
        "Rows and columns survive only if every newline does."
    ),
    (
        "Short answer: yes. Long answer: *it depends* on whether `0 < n && n <= 4096`, and on who "
        'counts - a program says "bytes", a person says "letters", and both are right on a good '
        "day."
    ),
)
_WRITING_SYSTEMS = (
    "The same in other hands: 字符不应该被拆开。ことばは途中で切れない, "
    "слово целиком, שלום, déjà vu, "
    "and a family 👩‍👩‍👧 waving 🎉.\u2028"
    "(That line was ended by U+2028, which is no line end to a stream.)"
)
_CODE = (
    "```python\n"
    'path = "C:\\\\temp\\\\new"  # a backslash is one character, \\n is two\n'
    "if a < b and b > c:\n"
    "    print(f\"{path!r} & <b>'quoted'</b>\")\n"
    "```"
)
_CLOSING = "Anything else? Data: [DONE] is only a word here, and so is `event: error`. 👋"
