"""Markers of the AI Power sites: refusals of the plugin, outcomes of its upstream, and debris."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tailrace.replica import _transforms as transforms
from tailrace.replica._response import NO_RESPONSE, SiteResponse
from tailrace.replica._site import Marker
from tailrace.replica._sites.outcomes import LONG_TEXT, ModelAnswer, UpstreamFailure
from tailrace.replica._sites.wordpress.ai_power.framing import (
    AIPowerOutcome,
    Notice,
    NullContent,
    PluginException,
    ProxyPage,
    Unreachable,
    error_json,
)
from tailrace.replica._sites.wordpress.site import AJAX_HEADERS, FATAL_ERROR, HTML

Transform = Callable[[SiteResponse], SiteResponse]

REFUSALS: tuple[Marker[Notice | SiteResponse], ...] = (
    Marker(
        "fatal",
        "a PHP error: 500 and a page of HTML",
        FATAL_ERROR,
    ),
    Marker(
        "maintenance",
        "the site is being updated: 503 and a page of HTML",
        SiteResponse(
            [
                (
                    b"<!DOCTYPE html>\n<html>\n<head><title>Closed</title></head>\n"
                    b"<body><p>Back soon.</p></body></html>\n"
                )
            ],
            HTML,
            503,
            headers=(*AJAX_HEADERS, ("Retry-After", "600")),
        ),
    ),
    Marker(
        "no-key",
        "no API key is set: JSON with status error, on streaming bots too",
        error_json("No key is set."),
    ),
    Marker(
        "token-limit",
        "the visitor's quota is used up: JSON without status, or one event and no end marker",
        Notice(
            "Your share is used up \u2014 &quot;come back tomorrow&quot;.",
            "tokenLimitReached",
            status=False,
        ),
    ),
    Marker(
        "banned",
        "a banned word: JSON with status error, or an event after which the answer still comes",
        Notice(
            "There is a word in your message that this site does not take.",
            "messageFlagged",
            answer_follows=True,
        ),
    ),
    Marker(
        "ip-banned",
        "a banned address: JSON with status error, or an event after which the answer still comes",
        Notice(
            "This site does not take messages from your address.", "ipBanned", answer_follows=True
        ),
    ),
    Marker(
        "moderated",
        "moderation refused the message",
        Notice("Your message was refused.", "modflag"),
    ),
    Marker(
        "vector-store",
        "the vector store failed",
        Notice("The vector store answered: no index.", "pineconeError"),
    ),
)

OUTCOMES: tuple[Marker[AIPowerOutcome | SiteResponse], ...] = (
    Marker(
        "upstream-401",
        "the upstream refuses the site's key: words as events, twice; or JSON with status error",
        UpstreamFailure(
            "The key sk-xxxx was not accepted. Keys are made at https://keys.example/account/keys."
        ),
    ),
    Marker(
        "upstream-429",
        "the upstream's rate limit",
        UpstreamFailure("Too many requests: try again in 20 s (limit 3/min)."),
    ),
    Marker(
        "quote",
        "an upstream error with quotes in it: in a stream they make the JSON of its words invalid",
        UpstreamFailure(
            'Not a valid value: "foo". Known values are: \'system\', "user" & others.\n'
            "See the manual."
        ),
    ),
    Marker(
        "midfail",
        "the upstream fails after a few words: an error event",
        ModelAnswer(end="midfail"),
    ),
    Marker("cut", "the upstream breaks off in the middle of a line", ModelAnswer(end="cut")),
    Marker("nodone", "the upstream forgets its [DONE]", ModelAnswer(end="nodone")),
    Marker(
        "stall",
        "after a few words nothing more comes, and the connection stays",
        ModelAnswer(end="stall"),
    ),
    Marker("silent", "not even a status line comes", NO_RESPONSE),
    Marker(
        "null", "the upstream's content is null: JSON mode puts an object into data", NullContent()
    ),
    Marker(
        "unreachable",
        "the upstream cannot be reached: an empty stream; or JSON with status error",
        Unreachable(
            "cURL error 7: Failed to connect to 192.0.2.1 port 443 after 0 ms: "
            "Couldn't connect to server"
        ),
    ),
    Marker("long", "400 words that can be counted", ModelAnswer(LONG_TEXT)),
    Marker("empty", "the upstream answers with an empty text", ModelAnswer("")),
    Marker(
        "limited",
        "an exception in the plugin: words, then data: [LIMITED]",
        PluginException("The plugin gave up."),
    ),
    Marker(
        "html502",
        "the upstream's proxy sends HTML: raw in a stream, empty data in JSON",
        ProxyPage(
            "<html>\n<head><title>502 Bad Gateway</title></head>\n"
            "<body><h1>502 Bad Gateway</h1></body>\n</html>\n"
        ),
    ),
)

TRANSFORMS: tuple[Marker[Transform], ...] = (
    Marker(
        "bom",
        "another plugin's byte order mark before the response",
        lambda response: transforms.prepend(response, transforms.BOM),
    ),
    Marker(
        "blank",
        "blank lines before the response",
        lambda response: transforms.prepend(response, transforms.BLANK_LINES),
    ),
    Marker(
        "notices",
        "PHP notices, as HTML, before the response",
        lambda response: transforms.prepend(response, transforms.NOTICES),
    ),
    Marker("crlf", "lines end with CRLF", transforms.with_crlf),
    Marker(
        "split",
        "chunks of 37 bytes, wherever that cuts",
        lambda response: transforms.rechunk(response, 37),
    ),
    Marker(
        "gzip",
        "gzip, flushed at each chunk, for clients that accept it",
        lambda response: replace(response, coding="gzip"),
    ),
    # The site sets the pace for the whole exchange.
    Marker("slow", "ten times the pace", lambda response: response),
)
