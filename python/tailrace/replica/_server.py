"""The replica: one port a site, all opened together, and closed together within a bounded time."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from aiohttp import web

from tailrace.errors import InvalidRequestError
from tailrace.replica._answers import Answers, builtin_answer
from tailrace.replica._exchanges import ExchangeLog, ServedExchange
from tailrace.replica._faults import FAULTS, FaultySite, fault_path, parse_fault, parse_faults
from tailrace.replica._index import INDEX_PATH, PageInfo, SiteInfo, index_page
from tailrace.replica._listening import HIGHEST_PORT, MAX_REQUEST_BYTES, listen
from tailrace.replica._nonces import WORDPRESS_LIFETIME
from tailrace.replica._site import EXCHANGE, ReplicaSite, SiteSettings
from tailrace.replica._sites import SITES
from tailrace.replica._upstream import UpstreamAnswers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from random import Random

    from aiohttp.typedefs import Middleware


class Replica:
    """The replica: every site on `host`, each on a port of its own, at the root of its origin.

    `port`: 0 takes any free ports, another N takes N, N + 1 and so on. `pace`: seconds between two
    chunks of an answer; `nonce_lifetime`: seconds of `clock`; `secret` and `password`: those of the
    signed apps; `api_key`: the key that the sites with the API of a model want.

    `answers`: the model, by default the built-in text, or the OpenAI-compatible server whose base
    URL is `upstream`, called with `upstream_key` for `upstream_model` (None: the first that the
    server lists). `faults`: those of every site that can have them, written as `FAULTS` lists them;
    the method `fault` sets those of one site. A fault that ends in ``%5`` happens to 5 of 100
    exchanges, which `random` draws (the process's own unless given).

    Leaving the context breaks off exchanges that are still open after `shutdown_timeout` seconds.
    Raises the system's OSError for a port that is taken, and then no port stays open;
    InvalidRequestError for wrong arguments.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        answers: Answers | None = None,
        pace: float = 0.0,
        nonce_lifetime: float = WORDPRESS_LIFETIME,
        clock: Callable[[], float] = time.time,
        secret: str = "",
        password: str | None = None,
        api_key: str | None = None,
        upstream: str | None = None,
        upstream_key: str | None = None,
        upstream_model: str | None = None,
        faults: Iterable[str] = (),
        shutdown_timeout: float = 1.0,
        random: Random | None = None,
    ) -> None:
        if not 0 <= port <= HIGHEST_PORT - len(SITES) + 1:
            raise InvalidRequestError(
                f"port must be 0 or leave room for {len(SITES)} ports up to 65535, not {port!r}"
            )
        if not pace >= 0:
            raise InvalidRequestError(f"pace must be 0 or more seconds, not {pace!r}")
        if upstream is not None and answers is not None:
            raise InvalidRequestError(
                "answers come from `answers` or from `upstream`, not from both"
            )
        self.exchanges: ExchangeLog = ExchangeLog()
        self._upstream = (
            None
            if upstream is None
            else UpstreamAnswers(upstream, key=upstream_key, model=upstream_model)
        )
        self._host = host
        self._port = port
        self._shutdown_timeout = shutdown_timeout
        self._stopping = asyncio.Event()
        settings = SiteSettings(
            answers=self._upstream or answers or builtin_answer,
            pace=pace,
            clock=clock,
            nonce_lifetime=nonce_lifetime,
            secret=secret,
            password=password,
            api_key=api_key,
            stopping=self._stopping,
        )
        parsed = [parse_fault(text) for text in faults]
        self._sites: dict[str, FaultySite] = {}
        for site in (make(settings) for make in SITES):
            possible = (fault.text for fault in parsed if fault.kind.is_possible_at(site))
            self._sites[site.name] = FaultySite(site, possible, random)
        self._urls: dict[str, str] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._stopping.clear()
        async with AsyncExitStack() as stack:
            if self._upstream is not None:
                await stack.enter_async_context(self._upstream)
            for offset, (name, site) in enumerate(self._sites.items()):
                port = self._port + offset if self._port else 0
                self._urls[name] = await self._serve(site, port, stack)
            stack.callback(self._stopping.set)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        self._urls.clear()
        await self._stack.aclose()

    @property
    def sites(self) -> tuple[SiteInfo, ...]:
        """The sites: the origin of each, the software it runs, its pages, markers and faults."""
        return tuple(self._info(site) for site in self._sites.values())

    def url(self, site: str) -> str:
        """Return the origin of `site`, without a slash at its end."""
        self._site(site)
        if site not in self._urls:
            raise InvalidRequestError(
                "the replica is not running: enter it with `async with` first"
            )
        return self._urls[site]

    def page(self, site: str, page: str, *faults: str) -> str:
        """Return the full URL of one page of `site`.

        `page` is its short name; `faults` hold for the visitors of the URL alone.
        """
        pages = {each.name: each.path for each in self._site(site).site.pages}
        if page not in pages:
            raise InvalidRequestError(f"{site} has no page {page!r}; it has {', '.join(pages)}")
        parse_faults(faults, self._site(site).site)
        return self.url(site) + fault_path(faults) + pages[page]

    def fault(self, site: str, *faults: str) -> None:
        """Let `faults`, and no others, hold for all of `site` from its next request on.

        Without `faults` the site works again.
        """
        self._site(site).set_faults(faults)

    def expire_nonces(self, site: str) -> None:
        """Make `site` refuse every nonce that its pages have shown so far."""
        self._site(site).site.expire_nonces()

    def _site(self, name: str) -> FaultySite:
        if name not in self._sites:
            raise InvalidRequestError(
                f"there is no site {name!r}; there are {', '.join(self._sites)}"
            )
        return self._sites[name]

    def _info(self, faulty: FaultySite) -> SiteInfo:
        site, url = faulty.site, self.url(faulty.site.name)
        pages = tuple(PageInfo(page.name, url + page.path, page.shows) for page in site.pages)
        return SiteInfo(
            name=site.name,
            url=url,
            software=site.software,
            shows=site.shows,
            pages=pages,
            markers=site.markers,
            faults=faulty.faults,
        )

    async def _index(self, _request: web.Request) -> web.Response:
        return web.Response(text=index_page(self.sites, FAULTS), content_type="text/html")

    async def _serve(self, site: FaultySite, port: int, stack: AsyncExitStack) -> str:
        app = web.Application(
            client_max_size=MAX_REQUEST_BYTES, middlewares=[self._recorder(site.site)]
        )
        app.router.add_get(INDEX_PATH, self._index)
        app.router.add_route("*", "/{path:(?s:.*)}", site.handle)
        return await listen(app, self._host, port, stack, self._shutdown_timeout)

    def _recorder(self, site: ReplicaSite) -> Middleware:
        @web.middleware
        async def record(
            request: web.Request,
            handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
        ) -> web.StreamResponse:
            exchange = ServedExchange(
                site.name, request.method, request.path_qs, request.headers.copy()
            )
            request[EXCHANGE] = exchange
            self.exchanges.begin(exchange)
            try:
                response = await handler(request)
            except asyncio.CancelledError:
                self.exchanges.end(exchange, "aborted")
                raise
            except ConnectionError:
                # The client left between two writes, which aiohttp would log as a failure.
                self.exchanges.end(exchange, "aborted")
                raise asyncio.CancelledError from None
            except web.HTTPException as refusal:
                exchange.status = refusal.status
                self.exchanges.end(exchange, "finished")
                raise
            except BaseException:
                self.exchanges.end(exchange, "failed")
                raise
            self.exchanges.end(exchange, "finished")
            return response

        return record
