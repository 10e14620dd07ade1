"""A batch on a Ray cluster."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

from tailrace.batch import Plan
from tailrace.batch._objects import CHUNK_SECONDS
from tailrace.errors import InvalidRequestError
from tailrace.ray._driver import Driver
from tailrace.ray._installed import installed_ray
from tailrace.ray._worker import Order

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tailrace.batch import Report
    from tailrace.sites import Site

__all__ = ["make_driver", "run"]

_MOST_SHARDS = 99_999


def run(
    input: str | Path,  # noqa: A002 - the word for it
    output: str | Path,
    site: Site,
    plan: Plan | None = None,
    *,
    workers: int | Literal["node", "cpu"] = "node",
    shards: int | None = None,
    model: str = "",
    skip_bad: bool = False,
    retry_failed: bool = False,
    progress: Callable[[Report], object] | None = None,
    chunk_seconds: float = CHUNK_SECONDS,
    actor_options: Mapping[str, Any] | None = None,
    **reading: Any,
) -> Report:
    """Ask a site for every row of `input` on a Ray cluster, and write each once to `output`.

    The rows are cut into shards, which workers, actors of Ray, take one after another. The shards
    of a worker that dies are gone on with by others. A run that ended early, however it did, is
    gone on with by the same call: what is done is kept. The current Ray is used, or one is begun:
    that of ``RAY_ADDRESS``, or else of this machine, without statistics of usage.

    `input`: a file as of `tailrace.batch.run`, and `output`: a folder, both as paths that all nodes
    share; or either as a URL that fsspec knows, whose package the nodes have (s3fs, gcsfs, adlfs).
    In a folder each shard has its lock; at a URL, whole objects are written. `plan`: of the run as
    a whole: its concurrency and rates are shared out among the workers; the adaptive part, and
    `Plan.stop_after`, are each worker's, which is let go when the site answers it no more.

    `workers`: how many, one a node or one a CPU of the cluster; one is enough for thousands of
    requests a second. `shards`: how many, four a worker unless given, or as many as the run in
    `output` began with. `model`, `skip_bad`, `retry_failed` and `reading`: as of
    `tailrace.batch.run`. `progress`: is given the report every second, and the last one.
    `chunk_seconds`: at a URL, the seconds after which answers are written at the latest, which is
    as much as is asked again where a worker dies. `actor_options`: Ray's options for the workers,
    ``num_cpus`` (1) or ``runtime_env``, say.

    What the site fails at is in the report, and among the failures; the counts of requests and
    tokens lack what a worker did in the second before it died. Raises MissingRequirementsError
    where Ray is not installed, BatchWorkersError where workers die again and again, and else what
    `tailrace.batch.run` raises. An exception that comes from outside, such as KeyboardInterrupt,
    ends the workers at once; what was written stays.
    """
    return make_driver(
        input,
        output,
        site,
        plan,
        workers=workers,
        shards=shards,
        model=model,
        skip_bad=skip_bad,
        retry_failed=retry_failed,
        progress=progress,
        chunk_seconds=chunk_seconds,
        actor_options=actor_options,
        **reading,
    ).until_end()


def make_driver(
    input_: str | Path,
    output: str | Path,
    site: Site,
    plan: Plan | None = None,
    *,
    workers: int | Literal["node", "cpu"] = "node",
    shards: int | None = None,
    model: str = "",
    skip_bad: bool = False,
    retry_failed: bool = False,
    progress: Callable[[Report], object] | None = None,
    chunk_seconds: float = CHUNK_SECONDS,
    actor_options: Mapping[str, Any] | None = None,
    **reading: Any,
) -> Driver:
    """Return the driver of a run, for which Ray is begun; `run` tells arguments and errors."""
    ray = installed_ray()
    _check(workers, shards, str(input_), chunk_seconds)
    site.resolve_model(model)
    order = Order(
        str(input_), str(output), site, plan or Plan(), model, skip_bad, chunk_seconds, reading
    )
    _check_sendable(ray, order)
    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(include_dashboard=False if "RAY_ADDRESS" not in os.environ else None)
    return Driver(
        ray,
        order,
        workers=_count(ray, workers),
        shards=shards,
        actor_options=actor_options or {},
        retry_failed=retry_failed,
        tell=progress,
    )


def _check(workers: object, shards: object, input_: str, chunk_seconds: object) -> None:
    problem = ""
    if workers not in ("node", "cpu") and (type(workers) is not int or workers < 1):
        problem = f'workers is 1 or more, "node" or "cpu", not {workers!r}'
    elif shards is not None and (type(shards) is not int or not 1 <= shards <= _MOST_SHARDS):
        problem = f"shards is a number from 1 to {_MOST_SHARDS:,}, not {shards!r}"
    elif not isinstance(chunk_seconds, int | float) or not chunk_seconds >= 0:
        problem = f"chunk_seconds is a number of seconds of 0 or more, not {chunk_seconds!r}"
    elif input_ == "-":
        problem = "a run on Ray reads its input from a path or a URL, and not from stdin"
    if problem:
        raise InvalidRequestError(problem)


def _check_sendable(ray: Any, order: Order) -> None:
    """Raise InvalidRequestError for what cannot be sent to a worker, such as open connections."""
    try:
        ray.cloudpickle.dumps(order)
    except InvalidRequestError:
        raise
    except Exception as error:  # noqa: BLE001 - pickle raises anything
        problem = f"what the workers need cannot be sent to them: {error}"
    else:
        return
    raise InvalidRequestError(problem)


def _count(ray: Any, workers: int | str) -> int:
    """Return the number of workers."""
    if isinstance(workers, int):
        return workers
    if workers == "cpu":
        return max(1, int(ray.cluster_resources().get("CPU", 1)))
    return max(1, sum(1 for node in ray.nodes() if node["Alive"]))
