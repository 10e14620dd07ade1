"""A span for every call to a site, as OpenTelemetry's GenAI conventions describe it.

Only OpenTelemetry's API is imported: without a configured SDK nothing is recorded. Prompts and
answers are never attributes.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace

from tailrace import __version__
from tailrace._error_kinds import error_kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from tailrace.gateway._figures.streams import OpenStream

__all__ = ["Tracing", "continue_trace"]


def continue_trace(headers: Mapping[str, str]) -> AbstractContextManager[None]:
    """Make spans of the ``with`` block children of the span that the client's `headers` name."""
    return _continued(headers) if "traceparent" in headers else _NO_TRACE


_NO_TRACE = nullcontext()


@contextmanager
def _continued(headers: Mapping[str, str]) -> Iterator[None]:
    token = otel_context.attach(propagate.extract(headers))
    try:
        yield
    finally:
        otel_context.detach(token)


_NOBODYS = (trace.ProxyTracerProvider, trace.NoOpTracerProvider)


class Tracing:
    """A `StreamListener` that makes spans; `provider`: OpenTelemetry's, else the global one."""

    def __init__(self, provider: trace.TracerProvider | None = None) -> None:
        self._is_given = provider is not None
        self._tracer = trace.get_tracer("tailrace.gateway", __version__, tracer_provider=provider)
        self._spans: dict[OpenStream, trace.Span] = {}

    def begun(self, stream: OpenStream) -> None:
        """Begin the span of a call that has just begun."""
        if not self._is_given and isinstance(trace.get_tracer_provider(), _NOBODYS):
            return  # nobody has set up a provider: the span would not be recorded
        span = self._tracer.start_span(
            f"{stream.operation} {stream.model}",
            kind=trace.SpanKind.CLIENT,
            attributes={
                "gen_ai.operation.name": stream.operation,
                "gen_ai.provider.name": stream.site,
                "gen_ai.request.model": stream.model,
                "gen_ai.request.stream": stream.streams,
                **({"gen_ai.output.type": "text"} if stream.operation == "chat" else {}),
            },
        )
        if span.is_recording():
            self._spans[stream] = span

    def ended(self, stream: OpenStream) -> None:
        """End the span of a call, with its tokens, outcome, time to first delta and error."""
        span = self._spans.pop(stream, None)
        if span is None:
            return
        span.set_attribute("gen_ai.usage.input_tokens", stream.input_tokens)
        span.set_attribute("gen_ai.usage.output_tokens", stream.output_tokens)
        span.set_attribute("tailrace.outcome", stream.outcome or "")
        if stream.first_at is not None:
            span.set_attribute(
                "gen_ai.response.time_to_first_chunk", stream.first_at - stream.begun_at
            )
        if stream.error is not None:
            span.set_attribute("error.type", error_kind(stream.error))
            span.set_status(trace.StatusCode.ERROR)
        span.end()
