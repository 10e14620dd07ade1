"""Batches on a Ray cluster: a run whose shards its workers share, and a stage for Ray Data.

``pip install "tailrace[ray]"`` brings Ray along; tailrace must be installed on every node. `run` is
`tailrace.batch.run` over many machines::

    import tailrace.ray
    from tailrace import Site

    site = Site("http://localhost:8000/v1", software="openai", model="gpt-4o-mini")
    report = tailrace.ray.run("s3://bucket/in.jsonl", "s3://bucket/out", site)

`Ask` is for ``Dataset.map_batches``: it adds an answer's columns to each row::

    dataset.map_batches(tailrace.ray.Ask, fn_constructor_kwargs={"site": site}, concurrency=4)
"""

from __future__ import annotations

from tailrace.ray._ask import Ask
from tailrace.ray._run import run

__all__ = ["Ask", "run"]
