"""A decoder that is a program: one line of JSON in, one line out, for as long as it lives.

A program that hangs is ended after its time for a case; one that ends, or writes a line that is no
answer, is started anew, at most `RESTARTS` times.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from tailrace._json import read_json
from tailrace.conformance._callables import DecodeResult, WrongAnswerError, shaped
from tailrace.conformance._rulebook import CLAIMS, DEFAULT_CLAIMS
from tailrace.conformance._serving import ITEMS, PROTOCOL, VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from tailrace.conformance._rulebook import Kind

__all__ = ["RESTARTS", "GivenUpError", "Program", "ProgramError"]

RESTARTS = 10
MAX_LINE = 16 * 2**20
"""The longest answer that is read, in bytes."""

STARTING, GOING = 60.0, 5.0
"""Seconds for the greeting, before which a program may import a lot, and for the end, once its
input has ended."""


class ProgramError(Exception):
    """The program is no decoder: it does not start, or does not speak the protocol."""


class GivenUpError(Exception):
    """The program had to be started anew too often, and is given up."""


class _LostError(Exception):
    """There is no answer, and the program has to be started anew for the next one."""


class Program:
    """A running decoder, as a context manager.

    `command`: the program and its arguments; `kind`: of decoder; `timeout`: seconds for an answer;
    `starting`: seconds for the greeting. The attributes `name` and `claims` are those of the
    greeting.

    Raises ProgramError on entering, when the program does not start or speaks another version of
    the protocol.
    """

    def __init__(
        self,
        command: Sequence[str],
        kind: Kind,
        *,
        timeout: float = 10.0,
        starting: float = STARTING,
    ) -> None:
        self.name: str = command[0]
        self.claims: frozenset[str] = DEFAULT_CLAIMS[kind]
        self._command = command
        self._kind = kind
        self._timeout = timeout
        self._starting = starting
        self._runner = asyncio.Runner()
        self._process: asyncio.subprocess.Process | None = None
        self._starts = 0
        self._cases_sent = 0

    def __enter__(self) -> Self:
        try:
            self._runner.run(self._start())
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        try:
            self._runner.run(self._end(GOING))
        finally:
            self._runner.close()

    def ask(self, chunks: Sequence[bytes], **options: Any) -> DecodeResult:
        """Send the program one case and return its answer.

        `chunks`: the reads; `options`: what else the case says, by name: `max_event_bytes`,
        `dialect`, `status`, `content_type`. Raises GivenUpError where the program would have to be
        started anew once too often.
        """
        return self._runner.run(self._ask(chunks, options))

    async def _ask(self, chunks: Sequence[bytes], options: dict[str, Any]) -> DecodeResult:
        if self._process is None:
            try:
                await self._start()
            except ProgramError as error:
                return DecodeResult(lost=str(error))
        self._cases_sent += 1
        case: dict[str, Any] = {
            "case": self._cases_sent,
            "chunks": [base64.b64encode(chunk).decode() for chunk in chunks],
            **options,
        }
        try:
            return self._answer(await self._exchange(case, self._timeout))
        except _LostError as lost:
            await self._end(0)
            return DecodeResult(lost=str(lost))

    def _answer(self, answer: dict[str, Any]) -> DecodeResult:
        if answer.get("case") != self._cases_sent:
            raise _LostError(
                f"answered case {answer.get('case')!r:.50} when asked case {self._cases_sent}"
            )
        items, failure, lost = (
            answer.get(ITEMS[self._kind]),
            answer.get("failure"),
            answer.get("lost"),
        )
        if isinstance(lost, str):
            return DecodeResult(lost=lost)
        if not isinstance(items, list) or not isinstance(failure, str | None):
            wrong = f"without a list `{ITEMS[self._kind]}` or with a failure that is no text"
            return DecodeResult(lost=f"answered {wrong}")
        try:
            return DecodeResult(tuple(shaped(item, self._kind) for item in items), failure)
        except WrongAnswerError as error:
            return DecodeResult(lost=str(error))

    async def _start(self) -> None:
        if self._starts > RESTARTS:
            raise GivenUpError(f"it was started anew {RESTARTS} times")
        self._starts += 1
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=MAX_LINE,
                start_new_session=sys.platform != "win32",
            )
        except OSError as error:
            raise ProgramError(f"{self.name}: {error.strerror or error}") from None
        try:
            self._greeted(
                await self._exchange({PROTOCOL: VERSION, "kind": self._kind}, self._starting)
            )
        except (_LostError, ProgramError) as error:
            await self._end(0)
            raise ProgramError(f"{self.name} does not greet: {error}") from None
        except BaseException:
            await self._end(0)
            raise

    def _greeted(self, answer: dict[str, Any]) -> None:
        if answer.get(PROTOCOL) != VERSION:
            raise ProgramError(
                f"it speaks version {answer.get(PROTOCOL)!r:.50} of {PROTOCOL}, "
                f"and this is {VERSION}"
            )
        if isinstance(name := answer.get("name"), str) and name:
            self.name = name
        if "claims" in answer:
            claims = answer["claims"]
            if not isinstance(claims, list) or not set(map(str, claims)) <= set(CLAIMS[self._kind]):
                raise ProgramError(
                    f"it claims {claims!r:.200}, "
                    f"and what can be claimed is {sorted(CLAIMS[self._kind])}"
                )
            self.claims = frozenset(claims)

    async def _exchange(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        try:
            line = await asyncio.wait_for(self._write_and_read(json.dumps(message)), seconds)
        except TimeoutError:
            raise _LostError(f"no answer in {seconds:g} s") from None
        except ValueError:
            raise _LostError(f"an answer longer than {MAX_LINE} bytes") from None
        try:
            answer = read_json(line)
        except ValueError:
            raise _LostError(f"said {line[:200]!r}, which is no JSON") from None
        if not isinstance(answer, dict):
            raise _LostError(f"said {line[:200]!r}, which is no JSON object")
        return answer

    async def _write_and_read(self, line: str) -> bytes:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise _LostError("it is not running")
        try:
            process.stdin.write(line.encode() + b"\n")
            await process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            pass  # its last line and its exit code are reported below
        answer = await process.stdout.readline()
        if not answer.endswith(b"\n"):
            code = await process.wait()
            raise _LostError(
                f"it ended with code {code}" + (f" after {answer[:200]!r}" if answer else "")
            )
        return answer

    async def _end(self, seconds: float) -> None:
        """Close the program's input; after `seconds` kill it and the processes it has started."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(_drained(process), seconds)
        except TimeoutError:
            _kill(process)
            with suppress(TimeoutError):  # another process may keep the output open
                await asyncio.wait_for(_drained(process), GOING)


async def _drained(process: asyncio.subprocess.Process) -> None:
    """Discard the program's output until it has ended."""
    while process.stdout is not None and await process.stdout.read(2**16):
        pass
    await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return  # its number may be another's by now
    try:
        if sys.platform != "win32":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except ProcessLookupError:
        return
