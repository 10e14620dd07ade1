"""Other JSON libraries, in the hand loop and on buffered bodies."""

from __future__ import annotations

import jiter
import orjson
import simdjson

from contenders import Contender
from contenders.hand_loop import untyped, untyped_bodies

__all__ = ["CONTENDERS"]

CONTENDERS = (
    Contender("hand loop + jiter", untyped(jiter.from_json), ("jiter",), loop=True),
    Contender("hand loop + orjson", untyped(orjson.loads), ("orjson",), loop=True),
    Contender("jiter", untyped_bodies(jiter.from_json), ("jiter",), buffered=True),
    Contender("orjson", untyped_bodies(orjson.loads), ("orjson",), buffered=True),
    Contender(
        "pysimdjson", untyped_bodies(simdjson.Parser().parse), ("pysimdjson",), buffered=True
    ),
)
