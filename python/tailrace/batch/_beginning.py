"""How a run begins: its input is looked through, its folder is taken."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import finalize

from tailrace.batch._asking import RefusedRow, names_none, read_row
from tailrace.batch._fleet_posting import check_engine_of_batch
from tailrace.batch._folder import OutputFolder
from tailrace.batch._hidden import scratch_folder
from tailrace.batch._inputs import open_source
from tailrace.batch._objects import CHUNK_SECONDS, ObjectFolder
from tailrace.batch._plan import Plan
from tailrace.batch._rows import Row
from tailrace.batch._running import Run
from tailrace.batch._store import fetched, is_url
from tailrace.batch._tables import DEFAULT_COLUMNS, check_table, write_table
from tailrace.errors import BatchTableError, InvalidRequestError, TailraceError
from tailrace.sites._software import SOFTWARE
from tailrace.transport._rules import checked_url

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tailrace._environment import Environment
    from tailrace._over_fleet import Engine
    from tailrace.batch._gate import Gate
    from tailrace.batch._inputs import Source
    from tailrace.batch._report import Report
    from tailrace.sites import Site

__all__ = ["begin", "open_input", "run"]


async def run(
    input: str | Path,  # noqa: A002 - the word for it
    output: str | Path,
    site: Site,
    plan: Plan | None = None,
    *,
    model: str = "",
    engine: Engine = "process",
    shard: tuple[int, int] = (0, 1),
    format: str = "auto",  # noqa: A002 - as the command's option is called
    skip_bad: bool = False,
    retry_failed: bool = False,
    text: str | Path | None = None,
    columns: Sequence[str] = DEFAULT_COLUMNS,
    environment: Environment | None = None,
    **reading: Any,
) -> Report:
    """Ask a site for every row of `input`, write each once to the folder `output`, and report.

    A run that ended early, however it did, is gone on with by the same call: what is done is kept,
    and nothing that succeeded is asked again.

    `input`: a file of OpenAI's batch lines, of plain lines or a table; `output`: a folder, which is
    made. `plan`: how fast, and how patiently. `model`: that of rows that name none, the site's
    default unless given. `engine`: ``process`` asks in the event loop, ``fleet`` in a thread of a
    `tailrace.fleet.Fleet`, servers of OpenAI's API alone. `shard`: the index of this run's part of
    the rows, from 0, and the number of parts, one for each process or machine. `format`: that of
    the input, found out unless given. `skip_bad`: rows that cannot be sent become failures, instead
    of ending the run before it begins; `retry_failed`: rows that failed in an earlier run are asked
    again. `text`: a file (``.csv``, ``.tsv``, ``.jsonl``, ``.parquet``) for a table of what the
    folder has in the end, in the input's order, and `columns`: what it shows. `environment`:
    randomness, variables and the clock of `Report.at`. `reading`: ``id_field``, ``prompt_field``,
    ``endpoint``, ``sent`` and ``carried``, of inputs that are no batch lines.

    What the site fails at is in the report, and among the failures. Raises BatchInputError for an
    input that cannot be read or has bad rows, BatchFolderError for a folder that another run has,
    or in which another one was begun, BatchWriteError for an output that cannot be written, and
    InvalidRequestError or ProfileError for a site or an option that cannot be used, as where no row
    has a model, MissingRequirementsError for an engine that is not installed. A table that fails
    after the run raises BatchTableError, which has the report. Cancelled, it closes every
    connection; what was written stays.
    """
    if text is not None and is_url(output):
        raise InvalidRequestError("a table is made of an output folder, and a URL is none")
    reading.update(format=format, text=text, columns=columns, environment=environment)
    reading.update(model=model, engine=engine, shard=shard)
    reading.update(skip_bad=skip_bad, retry_failed=retry_failed)
    work = await _begun(partial(begin, input, output, site, plan, **reading))
    await work.until_end()
    if text is not None:
        await _write_table(work, output, text, columns)
    return work.report()


async def _begun(begin_: Callable[[], Run]) -> Run:
    """Return the run that `begin_` makes in a thread; cancelled, give its folder free."""
    beginning = asyncio.ensure_future(asyncio.to_thread(begin_))
    try:
        return await asyncio.shield(beginning)
    except asyncio.CancelledError:
        (await beginning).folder.close()
        raise


async def _write_table(
    work: Run, output: str | Path, text: str | Path, columns: Sequence[str]
) -> None:
    """Write the table of a run that has ended; raises BatchTableError."""
    try:
        await asyncio.to_thread(write_table, output, work.source, text, columns=columns)
    except TailraceError as error:
        failure = error
    else:
        return
    raise BatchTableError(failure, work.report())


def begin(
    input_: str | Path,
    output: str | Path,
    site: Site,
    plan: Plan | None = None,
    *,
    model: str = "",
    engine: Engine = "process",
    shard: tuple[int, int] = (0, 1),
    skip_bad: bool = False,
    retry_failed: bool = False,
    environment: Environment | None = None,
    text: str | Path | None = None,
    columns: Sequence[str] = DEFAULT_COLUMNS,
    source: Source | None = None,
    gate: Gate | None = None,
    chunk_seconds: float = CHUNK_SECONDS,
    **reading: Any,
) -> Run:
    """Look through the input, take the folder, and return the run; `run` tells arguments, errors.

    `Run.until_end` closes the folder. `source`: the input, where it is open already; `gate`: one
    for several runs; `chunk_seconds`: as of `ObjectFolder`. The table `text` is for the caller to
    write; one that cannot be is refused here.
    """
    check_engine_of_batch(engine, site)
    if source is None:
        source = open_input(input_, output, **reading)
    if text is not None:
        check_table(output, source, text, columns=columns)
    _check_models(source, site, model)
    options: dict[str, Any] = {
        "shard": shard,
        "skip_bad": skip_bad,
        "retry_failed": retry_failed,
        "options": _meaning(site, model),
    }
    folder: OutputFolder
    if is_url(output):
        folder = ObjectFolder.open_at(str(output), source, chunk_seconds=chunk_seconds, **options)
    else:
        folder = OutputFolder.open(output, source, **options)
    try:
        return Run(
            site,
            plan or Plan(),
            source,
            folder,
            model=model,
            engine=engine,
            environment=environment,
            input_name=str(input_),
            gate=gate,
        )
    except BaseException:
        folder.close()
        raise


def open_input(input_: str | Path, output: str | Path, **reading: Any) -> Source:
    """Return the input of a run into `output`; that of a URL is copied to this machine.

    `reading` and errors are those of `open_source`, and of `Store`.
    """
    if not is_url(input_):
        if is_url(output) and str(input_) == "-":
            raise InvalidRequestError(
                "stdin is kept in the output folder, and a URL is none: name a file"
            )
        return open_source(input_, folder=output, **reading)
    copies = scratch_folder()
    try:
        source = open_source(fetched(str(input_), Path(copies.name)), folder=copies.name, **reading)
    except BaseException:
        copies.cleanup()
        raise
    source.name = str(input_)
    finalize(source, copies.cleanup)
    return source


def _check_models(source: Source, site: Site, model: str) -> None:
    """Refuse a run none of whose rows can be sent for want of a model, while it has no folder yet.

    The folder would keep the run to having no model. Where some rows name one, the others fail.
    """
    if SOFTWARE[site.software].has_page or site.resolve_model(model):
        return
    lacks = False
    for row in source.rows():
        try:
            named = read_row(row).model if isinstance(row, Row) else 0
        except RefusedRow:
            continue
        if names_none(named):
            lacks = True
        elif isinstance(named, str):
            return
    if lacks:
        raise InvalidRequestError(
            f"no row of {source.name} names a model, and {site.name} has no default: name one with "
            "--model (in Python model=), or in the site's profile"
        )


def _meaning(site: Site, model: str) -> dict[str, Any]:
    """Return what decides what a row means at the site: another run is not to go on with less.

    A server may move, or each machine may have its own; a page's address is the bot that answers.
    """
    software = SOFTWARE[site.software]
    given = {name: getattr(site, name) for name in _TUNING & software.options}
    told = {name: value for name, value in given.items() if value is not None}
    page = {"url": checked_url(site.url).url} if software.has_page else {}
    return {"software": site.software, "model": site.resolve_model(model), **page, **told}


_TUNING = frozenset(
    {
        *("api", "bot", "bot_name", "extra", "frequency_penalty", "logit_bias", "logprobs"),
        *("max_completion_tokens", "max_tokens", "parallel_tool_calls", "presence_penalty"),
        *("reasoning_effort", "response_format", "seed", "stop", "temperature", "tool_choice"),
        *("tools", "top_k", "top_logprobs", "top_p"),
    }
)
