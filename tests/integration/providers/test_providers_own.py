"""Providers that a caller wrote: an async generator in a subclass of our bases, used as all are."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tailrace import (
    AsyncGeneratorProvider,
    ChatGptt,
    IterListProvider,
    ProviderModelMixin,
    RetryProvider,
    errors,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HI = [{"role": "user", "content": "Hi"}]
closed: list[str] = []


class Quoted:
    """A chunk that is no text, as gpt4free's providers yield them."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


class Generator(AsyncGeneratorProvider, ProviderModelMixin):
    """An async generator, as every provider of gpt4free is written."""

    url = "http://own.example"
    default_model = "own"

    @classmethod
    async def create_async_generator(  # type: ignore[override]
        cls, model: str, messages: Any, **options: Any
    ) -> AsyncIterator[Any]:
        try:
            yield cls.get_model(model)
            yield ""
            yield Quoted(f": {messages[-1]['content']}")
            if options.get("fails"):
                raise KeyError("mine")
        finally:
            closed.append(cls.__name__)


class Coroutine(AsyncGeneratorProvider):
    """A coroutine function that returns an async generator."""

    @classmethod
    async def create_async_generator(  # type: ignore[override]
        cls, model: str, messages: Any, **options: Any
    ) -> AsyncIterator[Any]:
        return Generator.create_async_generator(model, messages, **options)


class Iterator(AsyncGeneratorProvider):
    """A function that returns an iterator without `aclose`."""

    @classmethod
    def create_async_generator(  # type: ignore[override]
        cls, model: str, messages: Any, **options: Any
    ) -> AsyncIterator[Any]:
        made = Generator.create_async_generator(model, messages, **options)

        class Only:
            def __aiter__(self) -> AsyncIterator[Any]:
                return self

            async def __anext__(self) -> Any:
                return await anext(made)

        return Only()


class Broken(AsyncGeneratorProvider):
    """Fails before its first chunk, with an exception of its own."""

    @classmethod
    async def create_async_generator(  # type: ignore[override]
        cls, model: str, messages: Any, **options: Any
    ) -> AsyncIterator[Any]:
        del model, messages, options
        raise OSError("no way to the site")
        yield ""


class Wrong(AsyncGeneratorProvider):
    """Returns no iterator."""

    @classmethod
    def create_async_generator(cls, *arguments: Any, **options: Any) -> Any:
        del arguments, options
        return 7


OWN: list[type[AsyncGeneratorProvider]] = [Generator, Coroutine, Iterator]


@pytest.mark.parametrize("provider", OWN)
async def test_an_own_generator_is_used_as_any_provider(
    provider: type[AsyncGeneratorProvider],
) -> None:
    for each in (provider, provider()):
        assert await each.create_async("", HI) == "own: Hi"
    assert await asyncio.to_thread(list, provider.create_completion("", HI)) == ["own", ": Hi"]
    assert await asyncio.to_thread(list, provider.create_completion("", HI, stream=False)) == [
        "own: Hi"
    ]
    assert list(provider.create_completion("", HI)) == ["own", ": Hi"]  # inside a loop too


@pytest.mark.parametrize("provider", OWN)
async def test_a_list_takes_an_own_generator(provider: type[AsyncGeneratorProvider]) -> None:
    for several in (
        RetryProvider([Broken, provider], shuffle=False),
        IterListProvider([IterListProvider([Broken]), provider()], shuffle=False),
    ):
        async with several.create_async_generator("", HI) as stream:
            assert [text async for text in stream] == ["own", ": Hi"]
        assert stream.end == "done"
        assert await several.create_async("", HI) == "own: Hi"
        assert list(several.create_completion("", HI)) == ["own", ": Hi"]


async def test_what_an_own_generator_raises() -> None:
    """Its caller gets it as it is, a list notes it and asks the next."""
    with pytest.raises(OSError, match="no way"):
        await Broken.create_async("", HI)
    with pytest.raises(errors.RetryProviderError, match="OSError: no way to the site") as caught:
        await RetryProvider([Broken]).create_async("", HI)
    ((name, failure),) = caught.value.errors
    assert (name, type(failure.__cause__)) == ("Broken", OSError)
    with pytest.raises(KeyError, match="mine"):
        await Generator.create_async("", HI, fails=True)
    stream = RetryProvider([Generator, Broken], shuffle=False).create_async_generator(
        "", HI, fails=True
    )
    assert [await anext(stream), await anext(stream)] == ["own", ": Hi"]
    with pytest.raises(errors.TailraceError, match=r"KeyError: 'mine'") as late:
        await anext(stream)
    assert isinstance(late.value.__cause__, KeyError)
    assert stream.end == "failed"


async def test_leaving_closes_an_own_generator() -> None:
    for leave in ("aclose", "break", "cancel"):
        closed.clear()
        several = IterListProvider([Generator])
        stream = several.create_async_generator("", HI)
        if leave == "cancel":
            reading = asyncio.create_task(_hang(stream))
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            await stream.aclose()
        else:
            async with stream:
                assert await anext(stream) == "own"
                if leave == "aclose":
                    await stream.aclose()
        assert closed == ["Generator"]
        assert await stream.read() == []
    iterator = Generator.create_completion("", HI)
    closed.clear()
    assert next(iterator) == "own"
    iterator.close()  # type: ignore[attr-defined]
    assert closed == ["Generator"]


async def _hang(stream: Any) -> None:
    await stream.read()
    await asyncio.Event().wait()


async def test_a_task_that_reads_sees_the_end_when_another_leaves() -> None:
    began = asyncio.Event()

    class Stalls(AsyncGeneratorProvider):
        @classmethod
        async def create_async_generator(cls, *arguments: Any, **options: Any) -> Any:
            del arguments, options
            began.set()
            await asyncio.Event().wait()
            yield ""

    stream = IterListProvider([Stalls]).create_async_generator("", HI)
    reading = asyncio.create_task(stream.read())
    await began.wait()
    await stream.aclose()
    assert await reading == []


async def test_what_is_no_iterator_is_named() -> None:
    with pytest.raises(errors.InvalidRequestError, match="an async iterator of text, not int"):
        await Wrong.create_async("", HI)
    with pytest.raises(errors.InvalidRequestError, match="not int"):
        list(RetryProvider([Wrong]).create_completion("", HI))


async def test_a_subclass_that_wraps_the_call_of_a_provider() -> None:
    """An override may be an async generator over our own stream."""

    class Shouting(ChatGptt):
        @classmethod
        async def create_async_generator(cls, model: str, messages: Any, **options: Any) -> Any:  # type: ignore[override]
            async with super().create_async_generator(model, messages, **options) as stream:
                async for text in stream:
                    yield text.upper()

    with pytest.raises(errors.InvalidRequestError, match="list is empty"):
        await Shouting.create_async("", [])


async def test_a_dialogue_with_a_subclass_that_wraps_the_call() -> None:
    class Shouting(ChatGptt):
        @classmethod
        async def create_async_generator(cls, model: str, messages: Any, **options: Any) -> Any:  # type: ignore[override]
            del model, options
            yield messages[-1]["content"].upper()

    for shouting in (Shouting, Shouting()):
        dialogue = shouting.conversation()
        assert [text async for text in dialogue.send("one")] == ["ONE"]
        assert [text async for text in dialogue.send("two")] == ["TWO"]
        assert [each["content"] for each in dialogue.messages] == ["one", "ONE", "two", "TWO"]


async def test_none_is_no_text() -> None:
    class Sparse(AsyncGeneratorProvider):
        @classmethod
        async def create_async_generator(cls, *arguments: Any, **options: Any) -> Any:
            del arguments, options
            for each in (None, "a", "", None, 0, "b"):
                yield each

    assert await Sparse.create_async("", HI) == "a0b"


LEAVES_A_TASK = """
import asyncio
import tailrace

class Own(tailrace.AsyncGeneratorProvider):
    @classmethod
    async def create_async_generator(cls, model, messages, **options):
        cls.task = asyncio.create_task(asyncio.Event().wait())
        yield "a"
        yield "b"

for text in Own.create_completion("", [{"role": "user", "content": "Hi"}]):
    break
print(text, Own.task.cancelled())
"""


def test_a_task_that_an_own_generator_leaves_behind_holds_up_nothing() -> None:
    command = [sys.executable, "-c", LEAVES_A_TASK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)  # noqa: S603 - our own
    assert done.stdout == "a True\n"
