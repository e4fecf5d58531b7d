"""Traces of requests and utterances, sent by OpenTelemetry's protocol to whoever collects them; off by default.

    POST /generate                      a span of every request, its parents taken from the caller's `traceparent`
      utterance                         until its last frame; events: first sound, first frame; never any text

Source: OpenTelemetry, "Semantic Conventions" and "OTLP Specification".
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import Any, Final

from recipe.installed import missing_packages_are_said
from services.streaming.events import Event, Frame, Header

INSTALL: Final = "AVATAR328_EXTRAS=traces bash scripts/setup.sh"
_UNTRACED: Final = "livez,readyz,metrics,static"
_LAST_S: Final = 2.0  # for what was not sent when the server stops


class Traces:
    """Where spans go; safe to use from several threads."""

    def __init__(self, endpoint: str, version: str) -> None:
        """Prepare; nothing is sent yet, and a collector that is not there costs no request anything.

        Args:
            endpoint: that takes OTLP over HTTP, for example http://localhost:4318/v1/traces.
            version: of the product.
        Raises:
            NotInstalledError: OpenTelemetry is not installed.
        """
        with missing_packages_are_said(INSTALL):
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        resource = Resource.create({"service.name": "avatar328", "service.version": version})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=_LAST_S)))
        self._tracer = self._provider.get_tracer("avatar328", version)

    def over(self, app: Any) -> None:
        """Trace every request of a FastAPI application, but signs of life and files."""
        with missing_packages_are_said(INSTALL):
            from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

        FastAPIInstrumentor.instrument_app(
            app, tracer_provider=self._provider, excluded_urls=_UNTRACED, exclude_spans=["receive", "send"]
        )

    def watch(self, events: Generator[Event, None, None], utterance: str, avatar: str) -> Generator[Event, None, None]:
        """A span around an utterance, below the request that is current now.

        Args:
            events: of the utterance.
            utterance: its name.
            avatar: who speaks.
        """
        from opentelemetry import context

        return self._watched(events, context.get_current(), {"utterance": utterance, "avatar": avatar})

    def _watched(
        self, events: Generator[Event, None, None], parent: Any, facts: dict[str, str]
    ) -> Generator[Event, None, None]:
        frames = 0
        with closing(events), self._tracer.start_as_current_span("utterance", parent, attributes=facts) as span:
            for event in events:
                if isinstance(event, Header):
                    span.add_event("first sound")
                    span.set_attribute("engine", event.engine or "upload")
                elif isinstance(event, Frame):
                    frames += 1
                    if frames == 1:
                        span.add_event("first frame")
                    span.set_attribute("frames", frames)
                yield event

    def close(self) -> None:
        """Send what was not sent yet."""
        self._provider.force_flush(round(1000 * _LAST_S))
        self._provider.shutdown()
