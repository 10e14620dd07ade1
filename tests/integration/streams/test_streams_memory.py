"""A stream that failed leaves nothing behind, though its error, its frames and its decoder know
each other.
"""

from __future__ import annotations

import gc
import weakref

import pytest

from tailrace import DeltaDecoder, stream_deltas
from tailrace.errors import StreamError


def test_a_decoder_whose_error_was_raised_is_collected() -> None:
    def fail() -> weakref.ref[StreamError]:
        decoder = DeltaDecoder()
        decoder.close()
        assert decoder.error is not None
        try:
            raise decoder.error
        except StreamError as error:
            return weakref.ref(error)

    left = fail()
    gc.collect()
    assert left() is None


async def test_a_stream_that_failed_is_collected() -> None:
    async def fail() -> weakref.ref[StreamError]:
        with pytest.raises(StreamError) as caught:
            async with stream_deltas([b"data: {"]) as stream:
                await anext(stream)
        return weakref.ref(caught.value)

    left = await fail()
    gc.collect()
    assert left() is None
