"""What a site answers is a stranger's text: nothing in it runs, loads, or looks like a part of the
page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect
from visitor import ended

if TYPE_CHECKING:
    from gateway_page import PageServer
    from visitor import Visitor

HOSTILE = """\
<script>window.ran = 1</script>
<img src=x onerror="window.ran = 2"> \
<svg onload="window.ran = 3"><a xlink:href="javascript:window.ran = 4">x</a></svg>

<iframe srcdoc="<script>parent.ran = 5</script>"></iframe>\
<object data="http://stranger.example/x"></object>

<style>body { display: none }</style><link rel=stylesheet href=http://stranger.example/a.css>
<base href=//stranger.example>
<meta http-equiv=refresh content="0;url=http://stranger.example/">
<form action="http://stranger.example/"><input name=key autofocus onfocus="window.ran = 6">\
<button>Send</button></form>

[click](javascript:window.ran=7) [click](JaVaScRiPt&#58;window.ran=8)
[click](data:text/html,<script>window.ran=9</script>)
[click](vbscript:x) [click](//stranger.example/) \
[click](/v1/models) [click](<java\tscript:window.ran=10>)
[fine](https://fine.example/?a=1&b="2") [mail](mailto:a@fine.example)
[quotes](https://fine.example/"onclick="window.ran=11)

![image](http://stranger.example/pixel.png) ![data](data:image/svg+xml,<svg onload=alert(1)>)
![x" onerror="window.ran=12](x)

<math><mtext><table><mglyph><style><!--</style>
<img title="--&gt;&lt;img src=1 onerror=window.ran=13&gt;"></table></math>
<a id=page name=body href="https://fine.example/">clobber</a>
<p class="failure" id="message" style="position:fixed;inset:0">cover</p>

```"><img/src=x/onerror=window.ran=14>
</code></pre><script>window.ran = 15</script>
```

```html
<img src=x onerror="window.ran=24"><script>window.ran=25</script>
```

<details open ontoggle="window.ran = 16"><summary>x</summary></details> \
&lt;script&gt;window.ran=17&lt;/script&gt;

| <img src=x onerror=window.ran=18> | [x](javascript:window.ran=19) |
|---|---|
| <b onmouseover=window.ran=20>b</b> | `</code><script>window.ran=21</script>` |

[ref]

[ref]: javascript:window.ran=22 "<img src=x onerror=window.ran=23>"
"""
FORBIDDEN = (
    "script, img, svg, iframe, object, embed, style, link, base, meta, form, input, details, math, "
    "[style], [id]"
)
INSPECT = """element => [...element.querySelectorAll("*")].flatMap(\
(node) => [...node.attributes].map((attribute) =>
    `${node.localName} ${attribute.name}`)).filter(\
(name) => / on|srcdoc|formaction|xlink/.test(name))"""
CUTS = [10**9, 7, 1]


@pytest.mark.parametrize("size", CUTS)
async def test_hostile_text_is_shown_and_not_obeyed(
    server: PageServer, visitor: Visitor, size: int
) -> None:
    answer = await visitor.ask("Be nasty")
    server.script.answers(HOSTILE[at : at + size] for at in range(0, len(HOSTILE), size))
    await ended(answer, "done")
    text = answer.locator(".text")
    await expect(text).to_contain_text("<script>window.ran = 1</script>")
    await expect(text.locator(".hljs-tag").first).to_contain_text("<img")
    await expect(text.locator(FORBIDDEN)).to_have_count(0)
    assert await text.evaluate(INSPECT) == []
    for link in await text.locator("a").all():
        await link.hover()
        if await link.get_attribute("href") is None:
            await link.click()
    assert await visitor.evaluate("window.ran") is None
    assert visitor.page.url.startswith(f"{visitor.origin}/#chat/")


async def test_links_lead_away_and_nowhere_else(server: PageServer, visitor: Visitor) -> None:
    answer = await visitor.ask("Be nasty")
    server.script.answers([HOSTILE])
    await ended(answer, "done")
    links = await answer.locator(".text a[href]").evaluate_all(
        "links => links.map((link) => [link.getAttribute('href'), link.rel, link.target])"
    )
    assert {href.split("?")[0].split('"')[0] for href, _, _ in links} == {
        "https://fine.example/",
        "https://fine.example/%22onclick=%22window.ran=11",
        "mailto:a@fine.example",
        "http://stranger.example/pixel.png",
    }
    assert {(rel, target) for _, rel, target in links} == {
        ("noopener noreferrer nofollow", "_blank")
    }


async def test_hostile_errors_and_questions_are_text(server: PageServer, visitor: Visitor) -> None:
    await visitor.choose("open")
    server.replica.fault("openai", "503@answer")
    question = "<img src=x onerror='window.ran=1'> [x](javascript:window.ran=2)"
    answer = await visitor.ask(question)
    await ended(answer, "failed")
    await expect(visitor.questions.last.locator(".text")).to_have_text(question)
    await expect(visitor.questions.last.locator("img, a")).to_have_count(0)
    assert await visitor.evaluate("window.ran") is None


async def test_line_separators_and_huge_lines_are_shown_whole(
    server: PageServer, visitor: Visitor
) -> None:
    answer = await visitor.ask("Say much")
    line = "x" * 150_000
    server.script.answers(["before\u2028after\u2029end ", "\u202eright to left\u202c ", line])
    await ended(answer, "done")
    shown = await answer.locator(".text").evaluate("element => element.textContent")
    assert "before\u2028after\u2029end" in shown
    assert line in shown
    assert await visitor.overflow() == 0


async def test_an_answer_too_long_to_be_read_as_markdown_is_plain_text(
    server: PageServer, visitor: Visitor
) -> None:
    answer = await visitor.ask("Say very much")
    text = "**not bold** <script>window.ran = 1</script>\n" * 6000
    server.script.answers([text])
    await ended(answer, "done")
    assert await answer.locator(".text").evaluate("element => element.textContent") == text
    await expect(answer.locator(".text *")).to_have_count(0)


HARD = ["[", "*a_", "> ", "- ", "`", "![", "<a ", "|", "~~", "1. ", "&#"]


async def test_text_that_is_hard_to_read_does_not_hold_up_the_page(
    server: PageServer, visitor: Visitor
) -> None:
    for unit in HARD:
        answer = await visitor.ask("Be difficult")
        text = unit * (4000 // len(unit))
        server.script.answers([f"{text}\n\n```java\n{text}\n```\n"])
        await ended(answer, "done")
        await expect(answer.locator(".block, .plain")).not_to_have_count(0)
