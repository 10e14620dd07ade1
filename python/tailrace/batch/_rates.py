"""How fast a batch asks: rates a minute, requests at once, and a site that is down.

Pure rules, without a task and without a timer: every moment is an argument, in seconds of a clock
that never goes back. `_gate` has the requests wait as they say.
"""

from __future__ import annotations

import re
from math import inf
from typing import TYPE_CHECKING, Literal, NamedTuple

from tailrace import errors
from tailrace._calls.retry_policy import passes

if TYPE_CHECKING:
    from tailrace.errors import TailraceError

__all__ = [
    "Breaker",
    "Meter",
    "Tokens",
    "Unanimity",
    "Verdict",
    "Window",
    "judge",
    "outage",
    "was_sent",
]

_MINUTE = 60.0
_SLACK = 0.1  # seconds that a late wake-up may be made up for


class Meter:
    """An even rate: an amount is due as soon as all before it have had their time.

    No burst at the beginning: a site counts a minute that begins when it likes. An amount may be
    corrected afterwards, which moves what comes behind it. `per_minute`: None for no limit.
    """

    __slots__ = ("_due", "_seconds")

    def __init__(self, per_minute: float | None) -> None:
        self._seconds = 0.0 if per_minute is None else _MINUTE / per_minute  # an amount of 1
        self._due = -inf

    def resize(self, per_minute: float | None) -> None:
        """Have another rate for what comes from now on."""
        self._seconds = 0.0 if per_minute is None else _MINUTE / per_minute

    def wait(self, now: float) -> float:
        """Return the seconds until the next amount is due, 0 where it is."""
        return max(0.0, self._due - now)

    def take(self, now: float, amount: float) -> None:
        """Count an amount that begins now."""
        if self._seconds:
            self._due = max(self._due, now - _SLACK) + amount * self._seconds

    def correct(self, amount: float) -> None:
        """Count so much more for what was taken; less where it is negative."""
        self._due += amount * self._seconds


class Tokens:
    """An estimate of a row's tokens before it is asked, from what the answers so far have told.

    At first a token is taken for four bytes of the request, and an answer for `FIRST_ANSWER` tokens
    or the most that the request allows. Later both are the averages of the answers so far.
    """

    FIRST_ANSWER = 256
    _BYTES_A_TOKEN = 4.0

    __slots__ = ("_answers", "_bytes", "_completion", "_prompt")

    def __init__(self) -> None:
        self._answers = self._bytes = self._prompt = self._completion = 0

    def estimate(self, size: int, most: int | None) -> int:
        """Return the tokens of a request of `size` bytes and its answer.

        `most`: those that the request allows the answer, None where it does not say.
        """
        if not self._answers:
            answer = self.FIRST_ANSWER if most is None else most
            return int(size / self._BYTES_A_TOKEN) + answer
        answer = self._completion // self._answers
        prompt = size * self._prompt / self._bytes if self._bytes else 0.0
        return int(prompt) + (answer if most is None else min(answer, most))

    def told(self, size: int, prompt: int, completion: int) -> None:
        """Take in the usage of an answer to a request of `size` bytes."""
        self._answers += 1
        self._bytes += size
        self._prompt += prompt
        self._completion += completion


class Window:
    """Limit of the requests under way: as many as given, until the site wants fewer.

    Each refusal takes half a request off the number, so that it is halved where all that were under
    way together are refused, and never more than that: what a site refuses at random, whatever is
    asked at once, would otherwise bring it down to a few. Answers let it grow by one for as many as
    are under way, up to `most` again. `adapts`: False keeps it.
    """

    _STEP = 0.5

    __slots__ = ("_adapts", "_least", "_most", "_since", "limit")

    def __init__(self, most: int, *, adapts: bool) -> None:
        self.limit = float(most)
        self._most = most
        self._adapts = adapts
        self._least = 1.0  # for those under way since then
        self._since = -inf

    def resize(self, most: int) -> None:
        """Have another upper limit, which the number follows unless the site wanted fewer."""
        if self.limit >= min(self._most, most):
            self.limit = float(most)
        self._most = most

    def grow(self) -> None:
        """Take in an answer."""
        if self.limit < self._most:
            self.limit = min(self._most, self.limit + 1 / self.limit)

    def shrink(self, begun: float, now: float, under_way: int) -> None:
        """Take in a refusal of a request that was `begun` while so many were `under_way`."""
        if not self._adapts:
            return
        if begun >= self._since:
            if under_way + 1 < self.limit:  # of more than are asked nothing is known
                self.limit = float(under_way)
            self._least = max(1.0, self.limit / 2)
            self._since = now
        self.limit = max(self._least, self.limit - self._STEP)


class Verdict(NamedTuple):
    """Meaning of one failure for the whole run.

    `kind`: ``refused`` (it wants fewer requests), ``down`` (it does not answer, or refuses whoever
    asks), ``row`` (it answers, but not this row). `lasts`: waiting would not help. `retry_after`:
    the seconds for which the site wants none.
    """

    kind: Literal["refused", "down", "row"]
    lasts: bool = False
    retry_after: float = 0.0


_REFUSALS = frozenset({429, 503, 529})
_WHOEVER_ASKS = frozenset({401, 402, 403})
_SERVER_ERRORS = 500
_NO_MONEY = frozenset({"insufficient_quota"})
_OF_ALL = (
    errors.CloudflareError,
    errors.ConversationLimitError,
    errors.EndpointError,
    errors.InvalidProxyError,
    errors.MissingRequirementsError,
    errors.NonceRefusedError,
    errors.ProfileError,
    errors.RedirectError,
    errors.TokenNotFoundError,
    errors.WidgetNotFoundError,
)


def judge(error: TailraceError, longest_retry_after: float) -> Verdict:
    """Tell what a row's failure says of the site.

    `longest_retry_after`: the seconds that are worth waiting for.
    """
    return _by_kind(error) or _by_status(error, longest_retry_after)


def _by_kind(error: TailraceError) -> Verdict | None:
    if isinstance(error, _OF_ALL) or getattr(error, "code", None) in _NO_MONEY:
        return Verdict("down", lasts=True)
    if isinstance(error, errors.ReplyBrokenError):
        return Verdict("row")
    if isinstance(error, errors.NetworkError):
        return Verdict("down", lasts=not passes(error))
    if isinstance(error, errors.TimeoutError):
        # A site that hangs runs out of a total time that is shorter than the other clocks.
        return Verdict("row" if error.phase == "idle" else "down")
    return None


def _by_status(error: TailraceError, longest_retry_after: float) -> Verdict:
    status = (error.status if isinstance(error, errors.StreamError) else None) or 0
    wanted = (error.retry_after if isinstance(error, errors.ResponseStatusError) else None) or 0.0
    if wanted > longest_retry_after or status in _WHOEVER_ASKS:
        return Verdict("down", lasts=True)
    if status in _REFUSALS:
        return Verdict("refused", retry_after=wanted)
    if status >= _SERVER_ERRORS:
        return Verdict("down", retry_after=wanted)
    return Verdict("row")


def was_sent(error: TailraceError) -> bool:
    """Tell whether a failed request got as far as the site."""
    is_ours = isinstance(error, errors.InvalidRequestError)
    return not is_ours or isinstance(error, errors.StreamError)  # a model that it does not serve


def outage(error: TailraceError | None, *, has_key: bool) -> str:
    """Tell in words why no row can be answered; `error`: the last failure of the site, if known.

    `has_key`: whether requests are sent with a key.
    """
    status = getattr(error, "status", None)
    head = "the site does not answer"
    if getattr(error, "code", None) in _NO_MONEY or isinstance(error, _USED_UP):
        head = "the site's quota is used up"
    elif isinstance(error, errors.CloudflareError):
        head = "a guard in front of the site answers instead of it"
    elif status in _WHOEVER_ASKS:
        head = "the site refuses the key" if has_key else "the site refuses requests without a key"
    elif status in _REFUSALS:
        head = _refusal(error)
    elif error is not None and judge(error, inf).kind == "row":
        head = "the site has answered no row, and failed each for the same reason"
    return head if error is None else f"{head}: {error}"


def _refusal(error: TailraceError | None) -> str:
    seconds = getattr(error, "retry_after", None)
    wants = "fewer requests" if not seconds else f"no request for {seconds:,.0f} s"
    return f"the site wants {wants}"


_USED_UP = (errors.ConversationLimitError, errors.PaymentRequiredError)


class Breaker:
    """A circuit breaker: closed while the site answers, open while one request at a time probes it.

    It opens at `failures` in succession, with no answer among them. Then a request is let through
    after a second, and after twice as long each time, up to 30 seconds, until one is answered. It
    trips, and the run is to stop, where the site has answered none for `patience` seconds; or for
    10, or ever, where waiting helps none of these failures, which may be quicker than answers are.
    `failures`: None for no breaker.
    """

    _FIRST_PROBE, _LAST_PROBE = 1.0, 30.0
    _SLOW = 10.0

    __slots__ = (
        "_answered",
        "_began",
        "_failures",
        "_lasting",
        "_patience",
        "_probe",
        "_streak",
        "next_probe",
    )

    def __init__(self, failures: int | None, patience: float) -> None:
        self._failures = inf if failures is None else failures
        self._patience = patience
        self._streak = self._lasting = 0
        self._began = self._answered = -inf
        self._probe = self._FIRST_PROBE
        self.next_probe = -inf

    @property
    def is_quiet(self) -> bool:
        """Whether the site has answered since its last failure."""
        return not self._streak

    @property
    def is_open(self) -> bool:
        """Whether one request at a time may probe the site."""
        return self._streak >= self._failures

    def answered(self, now: float) -> None:
        """Take in an answer, of whatever kind."""
        self._answered = now
        self._streak = self._lasting = 0
        self._probe = self._FIRST_PROBE

    def failed(self, now: float, *, lasts: bool) -> bool:
        """Take in a failure; return whether the run is to stop."""
        if not self._streak:
            self._began = now
        self._streak += 1
        self._lasting = self._lasting + 1 if lasts else 0
        if not self.is_open:
            return False
        if now >= self.next_probe:
            self.next_probe = now + self._probe
            self._probe = min(2 * self._probe, self._LAST_PROBE)
        if self._lasting >= self._failures and now - self._answered >= self._SLOW:
            return True
        return now - self._began >= self._patience


class Unanimity:
    """The failures of rows before the site's first answer, as long as one reason has them all.

    A wrong path, a model that is not there, a field that the server does not know: each row fails,
    and none for itself. `failures`: so many rows are enough to say so; None for never. What may be
    a row's own, such as its length, is no such reason. Whose rows were all of one kind, the run
    asks others before it believes it.
    """

    _MOST = 1000  # rows that are kept undecided, at most

    __slots__ = ("_count", "_failures", "_reason", "is_broken")

    def __init__(self, failures: int | None) -> None:
        self.is_broken = failures is None or failures > self._MOST
        self._failures = failures or 0
        self._count = 0
        self._reason: object = None

    def failed(self, error: TailraceError, model: str = "") -> bool:
        """Take in a row of `model` that failed for good; return whether that is enough rows."""
        reason = _reason_of(error, model)
        if reason is None or (self._count and reason != self._reason):
            self.is_broken = True
        if self.is_broken:
            return False
        self._reason = reason
        self._count += 1
        return self._count >= self._failures


_OF_ITS_OWN = frozenset(
    {
        *("content_filter", "content_policy_violation", "context_length_exceeded"),
        *("invalid_prompt", "string_above_max_length"),
    }
)
_TOO_LARGE = 413
_IDENTIFIER = re.compile(r"[\w-]{0,64}\d[\w-]{15,64}")
"""What a server names a request by, which no two have in common."""


def _reason_of(error: TailraceError, model: str) -> object:
    """Return what tells whether two rows failed for one reason; None for a row's own.

    `model`: whose name makes no two reasons of one, as where a site has none of the models asked.
    """
    status, code = getattr(error, "status", None), getattr(error, "code", None)
    if status == _TOO_LARGE or code in _OF_ITS_OWN:
        return None
    words = str(error)
    if model:
        words = re.sub(rf"(?<!\w){re.escape(model)}(?!\w)", "", words)
    return type(error), status, code, _IDENTIFIER.sub("", words)
