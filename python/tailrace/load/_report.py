"""The report of a load: everything that was measured, as one record that a file can hold."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from tailrace import __version__
from tailrace._over_fleet import Engine  # noqa: TC001 - msgspec reads it
from tailrace.errors import InvalidRequestError
from tailrace.load._distribution import Distribution
from tailrace.load._plan import Plan  # noqa: TC001 - msgspec reads it
from tailrace.load._series import Series

__all__ = ["Client", "Rates", "Report", "Tokens", "read_report"]

_LARGEST_FILE = 64 * 2**20


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of the client itself, while the measured requests were under way.

    `lag`: how late its event loop was, looked at a hundred times a second, and for as many moments
    in which it was away: what was read then may have been there for as long; nothing is counted
    over a fleet, which does not wait for the loop. `processor`: the part of one core that its
    process took.
    `limited_by`: the reasons, in words, why the figures may be the client's and not the site's;
    empty where there are none.
    """

    lag: Distribution = Distribution()
    processor: float = 0.0
    limited_by: tuple[str, ...] = ()


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens of answers, by where their number is from.

    `from_usage`: those of answers whose usage the site told; `from_deltas`: the deltas of the
    others, a model's server sends about one a token.
    """

    from_usage: int = 0
    from_deltas: int = 0

    @property
    def source(self) -> str:
        """The source of the number: ``usage``, ``deltas``, or ``usage and deltas``."""
        named = (("usage", self.from_usage), ("deltas", self.from_deltas))
        return " and ".join(name for name, count in named if count) or "deltas"


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Answers and tokens of the site in a second of the measured time, warm-up left out.

    `answers`: whole answers that ended in it; `tokens`: those that came in it, an answer's spread
    evenly over the time in which it came.
    """

    answers: float = 0.0
    tokens: float = 0.0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The report of a load.

    `site`, `url`, `software`, `model`: who was asked; `at`: when it began, as ISO 8601 in UTC;
    `plan`: what was asked for; `engine`: who read the replies; `seconds`: the measured time. The
    counts and times are those of the requests that were due in it: `requests`, by their `ends`
    (``done``, ``stopped``, ``truncated``, ``failed``, and ``unfinished`` for those that the end of
    the run cut), by the kinds of their `errors` (of each of which `examples` has the first one's
    message), and by the HTTP `statuses` of their last responses (``none`` without one).

    `ttft`: seconds to the first delta of any kind; `gap`: from one delta to the next, 0 between
    those that one read brought; `whole`: to the end, of whole answers alone. In an open model the
    first and the last count from when a request was due, and `late` is what of them the client had
    it wait. `warm_up_unfinished`: the requests of the warm-up that the end of the run cut, which
    are in no other count. `interrupted`: whether somebody ended the run early.
    """

    site: str
    url: str
    software: str
    model: str
    at: str
    plan: Plan
    seconds: float
    requests: int = 0
    ends: dict[str, int] = {}
    errors: dict[str, int] = {}
    examples: dict[str, str] = {}
    statuses: dict[str, int] = {}
    ttft: Distribution = Distribution()
    gap: Distribution = Distribution()
    whole: Distribution = Distribution()
    late: Distribution = Distribution()
    tokens: Tokens = Tokens()
    rates: Rates = Rates()
    client: Client = Client()
    series: Series = Series()
    under_way: int = 0
    warm_up_unfinished: int = 0
    interrupted: bool = False
    engine: Engine = "process"
    version: str = __version__
    form: Literal[1] = 1

    @property
    def whole_answers(self) -> int:
        """The number of requests that got a whole answer."""
        return self.ends.get("done", 0) + self.ends.get("stopped", 0)

    def to_json(self) -> bytes:
        """Return the report as JSON, which `read_report` reads."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)


def read_report(file: str | Path) -> Report:
    """Read the report that `Report.to_json`, or ``tailrace load --json``, has written.

    Raises InvalidRequestError for a file that is none, OSError for one that cannot be read.
    """
    with Path(file).open("rb") as opened:
        data = opened.read(_LARGEST_FILE + 1)
    if len(data) > _LARGEST_FILE:
        raise InvalidRequestError(f"{file} is larger than any report of a load")
    try:
        return msgspec.json.decode(data, type=Report)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"{file} is no report of tailrace load: {error}") from None
