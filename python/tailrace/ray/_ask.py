"""A stage of Ray Data that asks a site for each row of a dataset."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from tailrace._environment import Environment
from tailrace.batch import Plan
from tailrace.batch._asking import code_of
from tailrace.batch._gate import ClosedError, Gate
from tailrace.batch._rates import Tokens, outage, was_sent
from tailrace.batch._retries import has_budget, seconds_until_next
from tailrace.errors import InvalidRequestError, TailraceError
from tailrace.transport import Transport, make_transport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace._messages import Messages
    from tailrace._streams.outcome import Outcome
    from tailrace.sites import Site

__all__ = ["Ask"]

log = logging.getLogger("tailrace")

_COLUMNS = ("text", "end", "finish_reason", "usage", "error", "attempts", "tool_calls")


class Ask:
    """A callable for ``Dataset.map_batches`` that asks a site for each row, and adds the answer.

    ``dataset.map_batches(Ask, fn_constructor_kwargs={"site": site}, batch_size=256)``; each actor
    of the stage is one `Ask`. All batches that Ray gives it at once share its connections and its
    plan, so that a slow row holds up nothing but the end of its own batch: with a `batch_size` of
    at least the concurrency there are always rows to ask.

    Columns that are added: ``text``, as far as it came; ``end`` (``done``, ``stopped``,
    ``truncated`` or ``failed``); ``finish_reason``, None without one; ``usage``, a struct of
    ``prompt_tokens``, ``completion_tokens`` and ``total_tokens``, None where the site told none;
    ``error``, None or a struct of ``code``, ``message`` and ``status``; ``attempts``, the requests
    that were sent; ``tool_calls``, None or a list of structs in OpenAI's form. No row raises: what
    failed is in its ``error``. Ray runs a block again whose actor died, and its rows are asked
    again; `tailrace.ray.run` is for what must be written once.

    `plan`: of each actor, not of all; where the site is down longer than its patience, the rows
    that are left fail without a request. `prompt_column`: holds texts, or lists of messages;
    ``messages`` is taken where there is no ``prompt``. `model`: the site's default unless given.
    `options`: further ones of `Site.stream` (``temperature``, say). `prefix`: stands in front of
    the added columns' names. Raises InvalidRequestError and TypeError for a wrong option, and for a
    dataset without the column, or with one of the names that are added.
    """

    def __init__(
        self,
        site: Site,
        plan: Plan | None = None,
        *,
        prompt_column: str | None = None,
        model: str = "",
        options: Mapping[str, Any] | None = None,
        prefix: str = "",
    ) -> None:
        self._plan = plan or Plan()
        self._site = site
        self._column = prompt_column
        self._prefix = prefix
        self._environment = site.environment or Environment()
        self._policy = self._plan.retry_at(site.retry)
        self._options = {**(options or {}), "model": site.resolve_model(model), "retry": None}
        total = self._options.get("total_timeout", site.total_timeout)
        self._options["total_timeout"] = self._plan.seconds_a_request(total)
        site.stream("", **self._options)  # refuses what is no option
        self._gate = Gate(self._plan, time.monotonic, self._policy.longest_retry_after)
        self._estimates = Tokens()
        self._counts: Counter[str] = Counter()
        self._transport: Transport | None = None

    async def __call__(self, batch: Any) -> dict[str, Any]:
        """Return the batch with the columns of its answers, when all have come."""
        columns = _columns(batch)
        prompts = columns[self._prompts_of(columns)]
        await self._connect()
        answers = await asyncio.gather(*(self._ask(_plain(each)) for each in prompts))
        return {
            **columns,
            **{f"{self._prefix}{name}": [each[name] for each in answers] for name in _COLUMNS},
        }

    def _prompts_of(self, columns: Mapping[str, Any]) -> str:
        names = [self._column] if self._column else ["prompt", "messages"]
        found = next((each for each in names if each in columns), None)
        if found is None:
            raise InvalidRequestError(
                f"the dataset has no column {' or '.join(names)}; it has {', '.join(columns)}"
            )
        taken = [each for each in _COLUMNS if f"{self._prefix}{each}" in columns]
        if taken:
            raise InvalidRequestError(
                f"the dataset has a column {self._prefix}{taken[0]} of its own: give another prefix"
            )
        return found

    async def _connect(self) -> None:
        """Make the connections of all batches, which end with the process."""
        if self._transport is None:
            given = self._site.transport
            if not isinstance(given, Transport):
                given = await make_transport(given).__aenter__()
            self._transport = given
            self._options["transport"] = self._transport

    # -- one row -----------------------------------------------------------------------------------

    async def _ask(self, prompt: Any) -> dict[str, Any]:
        """Ask until an answer came or a failure stands; return the answer's columns."""
        row = _Row()
        try:
            while not await self._try(row, prompt):  # noqa: ASYNC110 - it polls nothing
                await asyncio.sleep(row.wait)
        except ClosedError:
            words = outage(self._gate.last_failure, has_key=self._site.api_key is not None)
            row.fail("site_down", words)
        except Exception as error:  # one row must not end the others
            log.exception("a row could not be asked")
            row.fail("unexpected", f"{type(error).__name__}: {error}")
        return row.columns()

    async def _try(self, row: _Row, prompt: str | Messages) -> bool:
        """Send one request; return whether the row is through with."""
        size = len(str(prompt)) if self._plan.tpm is not None else 0
        most = self._options.get("max_tokens")
        tokens = self._estimates.estimate(size, most) if self._plan.tpm is not None else 0
        begun = await self._gate.enter(tokens)
        stream = self._site.stream(prompt, **self._options)
        parts: list[str] = []
        failure: TailraceError | None = None
        try:
            async with stream:
                while read := await stream.read():
                    parts += read
        except TailraceError as error:
            failure = error
        except BaseException:
            self._gate.leave()
            raise
        row.take("".join(parts), stream.outcome)
        if failure is None:
            row.attempts += 1
            self._counts["requests"] += 1
            self._gate.answered(self._more_tokens(stream.outcome, size, tokens))
            return True
        row.fail(code_of(failure), str(failure), getattr(failure, "status", None))
        if not was_sent(failure):
            self._gate.leave()
            return True
        return self._failed(row, failure, begun)

    def _more_tokens(self, outcome: Outcome, size: int, tokens: int) -> int:
        used = outcome.usage
        if used is None or self._plan.tpm is None:
            return 0
        self._estimates.told(size, used.prompt_tokens, used.completion_tokens)
        return used.total_tokens - tokens

    def _failed(self, row: _Row, failure: TailraceError, begun: float) -> bool:
        """Take in a failed request; return whether the failure stands."""
        row.attempts += 1
        self._counts["requests"] += 1
        verdict = self._gate.failed(failure, begun)
        if verdict.kind == "refused":
            self._counts["refused"] += 1
        seconds = seconds_until_next(
            row,
            failure,
            verdict,
            self._policy,
            chance=self._environment.random,
            in_budget=has_budget(self._counts, self._plan.retry_budget),
        )
        if seconds is None:
            return True
        self._counts["retries"] += 1
        row.wait = seconds
        return False


class _Row:
    """One row: how often it was asked, and what came last."""

    def __init__(self) -> None:
        self.attempts = self.refusals = 0
        self.wait = 0.0
        self._text = ""
        self._outcome: Outcome | None = None
        self._error: dict[str, Any] | None = None

    def take(self, text: str, outcome: Outcome) -> None:
        """Keep an answer, or what came of one."""
        self._text, self._outcome, self._error = text, outcome, None

    def fail(self, code: str, message: str, status: int | None = None) -> None:
        """Keep why there is no answer."""
        self._error = {"code": code, "message": message, "status": status}

    def columns(self) -> dict[str, Any]:
        """Return the row's own columns."""
        outcome = self._outcome
        usage = None if outcome is None else outcome.usage
        end = "failed" if outcome is None or outcome.end == "open" else outcome.end
        return {
            "text": self._text,
            "end": end if self._error is None or end == "truncated" else "failed",
            "finish_reason": None if outcome is None else outcome.finish_reason,
            "usage": None
            if usage is None
            else {
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
                "total_tokens": usage.total_tokens,
            },
            "error": self._error,
            "attempts": self.attempts + self.refusals,
            "tool_calls": _calls(outcome),
        }


def _calls(outcome: Outcome | None) -> list[dict[str, Any]] | None:
    if outcome is None or not outcome.tool_calls:
        return None
    return [
        {
            "id": each.id or "",
            "type": "function",
            "function": {"name": each.name, "arguments": each.arguments},
        }
        for each in outcome.tool_calls
    ]


def _columns(batch: Any) -> dict[str, Any]:
    """Return a batch of any format as its columns."""
    if isinstance(batch, dict):
        return dict(batch)
    if hasattr(batch, "to_pydict"):  # a table of pyarrow
        columns: dict[str, Any] = batch.to_pydict()
        return columns
    return {str(name): list(batch[name]) for name in batch.columns}


def _plain(value: Any) -> Any:
    """Return what NumPy or Arrow hold as a prompt or as messages.

    Where one message has a field, Arrow gives it to all: without it, it is None.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        kept = {name: _plain(each) for name, each in value.items()}
        return {name: each for name, each in kept.items() if each is not None or name == "content"}
    return value
