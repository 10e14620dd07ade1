"""Words in a message that make AI Engine misbehave: the rows of its ends and its refusals."""

from __future__ import annotations

from tailrace.replica._response import NO_RESPONSE
from tailrace.replica._site import Marker
from tailrace.replica._sites.outcomes import LONG_TEXT, ModelAnswer, UpstreamFailure
from tailrace.replica._sites.wordpress.ai_engine.framing import (
    FATAL_ERROR,
    REJECTED,
    AIEngineOutcome,
    BrokenAnswer,
    DyingAnswer,
    PluginRefusal,
    SpecialAnswer,
    TakenOver,
)

_TALK = "Water runs off in the tailrace."

MARKERS: tuple[Marker[AIEngineOutcome], ...] = (
    Marker(
        "quota",
        "the visitor's quota is used up: an error frame",
        PluginRefusal("You have reached the limit."),
    ),
    Marker(
        "asleep",
        "the whole site's quota is used up: an error frame",
        PluginRefusal("Our chatbot went to sleep. Please try again later."),
    ),
    Marker(
        "banned",
        "a banned word, or a banned address: an error frame",
        PluginRefusal("Your query has been rejected."),
    ),
    Marker(
        "rejected",
        "a request that is refused before the stream begins: an error frame labelled as JSON",
        PluginRefusal(REJECTED, labelled_as_json=True),
    ),
    Marker(
        "not-allowed",
        "the owner's code refuses the query: an error frame",
        PluginRefusal("Unauthorized query."),
    ),
    Marker(
        "moderated",
        "moderation refused the message: an error frame",
        PluginRefusal("Sorry, your message has been rejected by moderation."),
    ),
    Marker(
        "owner-words",
        "the owner's code puts the error into words of its own: an error frame",
        PluginRefusal("The lamp is out tonight."),
    ),
    Marker(
        "no-key",
        "the bot has no environment: an error frame",
        PluginRefusal("The environment is required."),
    ),
    Marker(
        "no-model",
        "the bot's model is not there: an error frame labelled as JSON",
        PluginRefusal("The model 'gpt-0' is not available.", labelled_as_json=True),
    ),
    Marker(
        "upstream-401",
        "the upstream refuses the site's key: an error frame",
        UpstreamFailure("The key sk-xxxx was not accepted.", 401, "invalid_api_key"),
    ),
    Marker(
        "upstream-429",
        "the upstream's rate limit: an error frame",
        UpstreamFailure("Too many requests: try again in 20 s.", 429, "rate_limit_exceeded"),
    ),
    Marker(
        "upstream-reset",
        "the upstream closes at once: an error frame",
        PluginRefusal("OpenAI: cURL error 52: Empty reply from server"),
    ),
    Marker(
        "midcut",
        "the upstream breaks off after a few words: an error frame",
        BrokenAnswer("cURL error 18: transfer closed with outstanding read data remaining"),
    ),
    Marker(
        "midtimeout",
        "the upstream falls silent after a few words: an error frame",
        BrokenAnswer("cURL error 28: Operation timed out after 3000 milliseconds"),
    ),
    Marker(
        "midlost",
        "the upstream fails after a few words, and a normal end follows",
        BrokenAnswer(),
    ),
    Marker("fatal", "PHP dies within the answer: the reply ends without an end", DyingAnswer()),
    Marker("fatal-early", "PHP dies before the answer: 500, with paths", FATAL_ERROR),
    Marker(
        "takeover",
        "a person answers: one JSON object for a stream, too",
        TakenOver("A person speaking: yes?"),
    ),
    Marker(
        "events",
        "the site's log: frames of progress before the text, and one warning",
        SpecialAnswer(
            events=(
                ("status", "Generating response..."),
                ("tool_call", "Calling tide..."),
                ("tool_result", "Got result from tide."),
                ("warning", "The tide gauge is slow."),
            )
        ),
    ),
    Marker(
        "thoughts",
        "the model's thoughts before its text",
        SpecialAnswer(events=(("thinking", "The tide "), ("thinking", "turns at six."))),
    ),
    Marker("end-only", "the text in the end alone", SpecialAnswer(is_live=False)),
    Marker(
        "image",
        "a bot for images: its text in the end alone",
        SpecialAnswer(
            "![Image](https://site.example/a.png)\n",
            is_live=False,
            images=("https://site.example/a.png",),
        ),
    ),
    Marker(
        "rewritten",
        "the end has another text than the frames",
        SpecialAnswer(_TALK, reply="The owner's own words."),
    ),
    Marker(
        "appended",
        "the end goes on behind the frames' text",
        SpecialAnswer(_TALK, reply=" (said the harbour)", is_behind=True),
    ),
    Marker(
        "function",
        "the model calls a function of the page, and says nothing",
        SpecialAnswer(
            "",
            actions=({"type": "function", "data": {"name": "openMenu", "args": {"x": 1}}},),
        ),
    ),
    Marker(
        "parts",
        "an answer with a function, a shortcut and a block of the page",
        SpecialAnswer(
            actions=({"type": "function", "data": {"name": "wave", "args": []}},),
            has_parts=True,
        ),
    ),
    Marker("blanks", "the text is blanks, and the end is empty", SpecialAnswer("   \n  ")),
    Marker(
        "log-error",
        "the site's log tells an error, and no text comes",
        SpecialAnswer("", events=(("error", "The tide gauge failed with an error."),)),
    ),
    Marker("nodone", "the whole text, and no end", ModelAnswer(end="nodone")),
    Marker("cut", "the response ends in the middle of a line", ModelAnswer(end="cut")),
    Marker(
        "stall",
        "after a few words nothing more comes, and the connection stays",
        ModelAnswer(end="stall"),
    ),
    Marker("silent", "not even a status line comes", NO_RESPONSE),
    Marker("long", "400 words that can be counted", ModelAnswer(LONG_TEXT)),
    Marker("empty", "the upstream answers with an empty text", ModelAnswer("")),
    Marker("slow", "ten times the pace", ModelAnswer(slowness=10)),
)
