"""Posts over a fleet, whose threads hold the connections and read the answers off Python's lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailrace._over_fleet import check_engine
from tailrace.errors import ChallengeError, InvalidRequestError, NetworkError, RedirectError
from tailrace.transport import Poster, WholeReply
from tailrace.transport._rules import checked_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace._over_fleet import FleetPosts
    from tailrace.sites import Site

__all__ = ["FleetPoster", "check_engine_of_batch"]


def check_engine_of_batch(engine: str, site: Site) -> None:
    """Raise InvalidRequestError for an engine over which a batch cannot ask `site`.

    Raises MissingRequirementsError where the engine is not installed.
    """
    check_engine(engine, site)
    if engine == "process":
        return
    problem = ""
    if site.software != "openai":
        problem = f"rows are translated for the software {site.software}, which it does not do"
    elif site.api == "responses":
        problem = "rows of chat completions are translated for its api, which it does not do"
    if problem:
        raise InvalidRequestError(f"the engine fleet cannot ask {site.name}: {problem}")


class FleetPoster(Poster):
    """Posts to one URL over a fleet that keeps bodies, and stays open."""

    def __init__(self, posts: FleetPosts, url: str, headers: Mapping[str, str]) -> None:
        """Post to `url` with `headers`; raises InvalidRequestError for a malformed URL."""
        checked_url(url)
        self._posts = posts
        self._url = url
        self._headers = headers

    async def post(self, body: bytes) -> WholeReply:
        """See `Poster.post`."""
        ended = await self._posts.post(self._url, body, self._headers)
        failure = ended.error
        if failure is not None and (ended.status is None or isinstance(failure, _NO_REPLY)):
            raise failure
        if ended.status is None:
            raise NetworkError("the fleet was closed before a reply came")
        return WholeReply(ended.status, ended.headers, ended.body or b"", failure)

    async def aclose(self) -> None:
        """See `Poster.aclose`."""


_NO_REPLY = (RedirectError, ChallengeError)
"""What is no reply though it has a status."""
