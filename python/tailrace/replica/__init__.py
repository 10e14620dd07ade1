"""The chat sites, answered on loopback by a real HTTP server: their pages, nonces, statuses,
framing and errors.

::

    async with Replica() as replica:
        replica.url("ai-power")              # http://127.0.0.1:40123
        replica.page("ai-power", "two")      # http://127.0.0.1:40123/chat-two/

What it says was held against captured replies of the real software (``tests/vectors/captures``). It
imports no provider, no decoder and no page scanner, so that a mistake made there is not repeated
here. A site is one module and one line in `server.SITES`; a word such as ``[[nodone]]`` in a
message makes the site misbehave as it was seen to: `Replica.sites` lists pages and words. What can
go wrong between a site and its visitors are faults (`FAULTS`)::

    replica.fault("ai-power", "gzip", "cut:character")    # from now on replica.page("ai-power",
    "stream", "503@page")        # http://127.0.0.1:40123/~fault/503@page/chat-stream/
"""

from tailrace.replica._answers import AnswerError, Answers, Question, Turn, builtin_answer
from tailrace.replica._exchanges import Exchange, Exchanges
from tailrace.replica._faults import FAULTS, FaultKind
from tailrace.replica._replay import Replay
from tailrace.replica._server import PageInfo, Replica, SiteInfo
from tailrace.replica._site import Marker

__all__ = [
    "FAULTS",
    "AnswerError",
    "Answers",
    "Exchange",
    "Exchanges",
    "FaultKind",
    "Marker",
    "PageInfo",
    "Question",
    "Replay",
    "Replica",
    "SiteInfo",
    "Turn",
    "builtin_answer",
]
