"""A site as a model of `llm`, for blocking code and for asyncio."""

from __future__ import annotations

import asyncio
from contextlib import closing, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import llm

from llm_tailrace._answers import Answer
from llm_tailrace._apis import api_of, attachment_types, options_of, site_options, takes_tools
from llm_tailrace._messages import chat_messages
from llm_tailrace._profiles import site_of

# Of the same version always, as pyproject.toml says.
from tailrace._printable import visible_line
from tailrace._streams.loop_thread import iterate_blocking
from tailrace.errors import TailraceError
from tailrace.sites import SOFTWARE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from llm.parts import StreamEvent

    from tailrace import ChatStream, Site
    from tailrace.sites import Profile

__all__ = ["AsyncSiteModel", "SiteModel"]

PREFIX = "tailrace/"


class _OfSite:
    """The common part of a site's two models: its name, what it takes, how it is asked."""

    def __init__(self, profile: Profile, model: str = "") -> None:
        """Make the model of a site.

        `profile`: the site's; `model`: the name of the site's model, empty for the site's own
        default, beside which the option ``model`` names another.
        """
        self._profile = profile
        self._make_site = site_of(profile)
        self._model = model
        self.api = api_of(profile.settings)
        self.model_id = f"{PREFIX}{profile.name}{'/' if model else ''}{model}"
        self.can_stream = True
        self.supports_tools = self.supports_schema = takes_tools(self.api)
        self.attachment_types: set[str] | frozenset[str] = attachment_types(self.api)
        # A class of the object, where type checkers know a class of the class alone.
        options = options_of(profile.settings, names_model=not model)
        setattr(self, "Options", options)  # noqa: B010

    def __str__(self) -> str:
        return f"Tailrace: {self.model_id}"

    @cached_property
    def site(self) -> Site:
        """The site, as `tailrace.site` makes it of the profile; raises its errors."""
        return self._make_site()

    def get_key(self, explicit_key: str | None = None) -> str | None:
        """Return the key that is sent instead of the profile's; None without one.

        Raises ModelError for a key where the site takes none.
        """
        given = self.key if explicit_key is None else explicit_key
        if given is None:
            return None
        if not given:
            raise llm.ModelError(f"{self.model_id}: the key that was given is empty")
        if "api_key" not in SOFTWARE[self._profile.settings.software].options:
            raise llm.ModelError(f"{self.model_id} takes no key: its profile has what it wants")
        return llm.get_key(input=given)

    key: str | None = None

    def stream_of(self, prompt: llm.Prompt, key: str | None) -> ChatStream:
        """Begin the call of a prompt and return its answer as a stream; `key`: as `get_key` says.

        Attachments are read here.
        """
        options = site_options(self.api, prompt)
        if self._model:
            options["model"] = self._model
        if key is not None:
            options["api_key"] = key
        return self.site.stream(chat_messages(prompt.messages, self.api), **options)


@contextmanager
def _as_model_errors(name: str) -> Iterator[None]:
    """Raise failures of a call as ModelError, with our text and the failure as its cause.

    What a server said in it is shown as a line that no terminal obeys.
    """
    try:
        yield
    except TailraceError as error:
        wait = getattr(error, "retry_after", None)
        when = "" if wait is None else f" (it may be asked again after {wait:g} s)"
        raise llm.ModelError(f"{name}: {visible_line(str(error))}{when}") from error


class SiteModel(_OfSite, llm.KeyModel):
    """A site as a model for blocking code, in a notebook's event loop too."""

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,  # noqa: FBT001 - as llm calls it
        response: llm.Response,
        conversation: llm.Conversation | None = None,
        key: str | None = None,
    ) -> Iterator[str | StreamEvent]:
        """Yield the answer's events as they come; who wants no stream reads them to the end."""
        del stream, conversation  # the prompt has the whole dialogue
        answer = Answer(self.api)
        with _as_model_errors(self.model_id):
            asked = self.stream_of(prompt, key)
            with closing(iterate_blocking(asked.deltas)) as deltas:  # type: ignore[type-var]
                for delta in deltas:
                    yield from answer.events(delta)
            yield from answer.end(asked, response)


class AsyncSiteModel(_OfSite, llm.AsyncKeyModel):
    """A site as a model for asyncio."""

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,  # noqa: FBT001 - as llm calls it
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None = None,
        key: str | None = None,
    ) -> AsyncGenerator[str | StreamEvent, None]:
        """Yield the answer's events as they come; who wants no stream reads them to the end."""
        del stream, conversation  # the prompt has the whole dialogue
        answer = Answer(self.api)
        with _as_model_errors(self.model_id):
            asked = await self._begin(prompt, key)
            async with asked.deltas() as deltas:
                async for delta in deltas:
                    for event in answer.events(delta):
                        yield event
            for event in answer.end(asked, response):
                yield event

    async def _begin(self, prompt: llm.Prompt, key: str | None) -> ChatStream:
        """Begin the call; attachments are read in a thread, for they may be far away."""
        if any(_holds_attachments(each) for each in prompt.messages):
            return await asyncio.to_thread(self.stream_of, prompt, key)
        return self.stream_of(prompt, key)


def _holds_attachments(message: Any) -> bool:
    return any(
        getattr(part, "attachment", None) or getattr(part, "attachments", None)
        for part in getattr(message, "parts", ())
    )
