"""Someone who looks at the page in a real browser, and keeps an eye on all that it does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from playwright.async_api import expect

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, ConsoleMessage, Locator, Page

PATIENCE = 15_000  # milliseconds: how long a slow machine may take for what is expected
expect.set_options(timeout=PATIENCE)

_WATCH = """
window.broken = [];
addEventListener("securitypolicyviolation", (event) => {
  window.broken.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
});
"""


@dataclass
class Visitor:
    """One page.

    `requests` went out of it; `complaints` are errors nobody caught, dialogs and broken policies.
    """

    page: Page
    origin: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @classmethod
    async def arrive(cls, context: BrowserContext, origin: str, fragment: str = "") -> Visitor:
        visitor = cls(await context.new_page(), origin)
        page = visitor.page
        page.on("request", lambda request: visitor.requests.append(request.url))
        page.on("pageerror", lambda error: visitor.complaints.append(f"error: {error}"))
        page.on("console", visitor._hear)
        page.on("dialog", lambda dialog: visitor.complaints.append(f"dialog: {dialog.message}"))
        await page.add_init_script(_WATCH)
        await page.goto(origin + "/" + fragment)
        return visitor

    def _hear(self, message: ConsoleMessage) -> None:
        # A reply of 400 or more is logged by the browser as an error; the page shows it.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.complaints.append(f"console: {message.text}")

    # -- doing -------------------------------------------------------------------------------------

    async def choose(self, site: str) -> None:
        await self.page.get_by_label("Site", exact=True).select_option(site)

    async def ask(self, text: str) -> Locator:
        """Ask, and return the locator of the answer."""
        before = await self.answers.count()
        await self.message.fill(text)
        await self.message.press("Enter")
        await expect(self.answers).to_have_count(before + 1)
        return self.answers.nth(before)

    # -- seeing ------------------------------------------------------------------------------------

    @property
    def message(self) -> Locator:
        return self.page.get_by_label("Message")

    @property
    def answers(self) -> Locator:
        return self.page.locator(".answered")

    @property
    def questions(self) -> Locator:
        return self.page.locator("li.asked")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    async def evaluate(self, expression: str) -> Any:
        return await self.page.evaluate(expression)

    async def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(await self.evaluate("document.documentElement.scrollWidth - innerWidth"))

    async def forgive(self) -> None:
        """Forget what has happened until now, which was meant to."""
        await self.page.goto("about:blank")
        await self.page.goto(self.origin)
        self.requests.clear()
        self.complaints.clear()

    async def check(self) -> None:
        """Check that no request went elsewhere, no policy was broken, and nothing failed unseen."""
        strangers = [url for url in self.requests if not _is_at(url, self.origin)]
        assert strangers == []
        assert await self.evaluate("window.broken") == []
        assert self.complaints == []


class Visit(Protocol):
    """Open the page in a new browser context, with that context's options."""

    async def __call__(self, fragment: str = "", **options: Any) -> Visitor: ...


def _is_at(url: str, origin: str) -> bool:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" == origin


async def ended(answer: Locator, how: str) -> None:
    """Wait until the answer has ended that way."""
    await expect(answer).to_have_attribute("data-end", how)
