"""The chat sites, answered on loopback by a real HTTP server: pages, nonces, statuses and errors.

::

    async with Replica() as replica:
        replica.url("ai-power")              # http://127.0.0.1:40123
        replica.page("ai-power", "two")      # http://127.0.0.1:40123/chat-two/

A site such as ``ai-power-1.8.90`` is one deployment of a software (`SiteInfo.software`:
``wordpress``, ``geminiprochat``, ``chatgpt-demo``, ``openai``, ``anthropic``, ``gemini`` or
``ollama``) in one version. Its responses were compared with captured ones of the real software
(``tests/vectors/captures``), those with the API of a model with the types of the API's own Python
package. No provider, decoder or page scanner is imported, so that a mistake in one of them is not
repeated here.

A word such as ``[[nodone]]`` in a message makes a site misbehave as the captured one does:
`Replica.sites` lists pages and words. Failures between a site and its visitors are faults
(`FAULTS`)::

    replica.fault("ai-power", "gzip", "cut:character")  # for every visitor, from now on
    replica.page("ai-power", "stream", "503@page")      # for the visitors of this URL:
    # http://127.0.0.1:40123/~fault/503@page/chat-stream/

Each site stands in the subfolder ``/blog`` as well; with the fault ``subfolder`` nowhere else.
"""

from tailrace.replica._answers import AnswerError, Answers, HistoryTurn, Question, builtin_answer
from tailrace.replica._exchanges import ExchangeLog, ServedExchange
from tailrace.replica._faults import FAULTS, FaultKind
from tailrace.replica._index import PageInfo, SiteInfo
from tailrace.replica._replay import Replay
from tailrace.replica._server import Replica
from tailrace.replica._site import Marker

__all__ = [
    "FAULTS",
    "AnswerError",
    "Answers",
    "ExchangeLog",
    "FaultKind",
    "HistoryTurn",
    "Marker",
    "PageInfo",
    "Question",
    "Replay",
    "Replica",
    "ServedExchange",
    "SiteInfo",
    "builtin_answer",
]
