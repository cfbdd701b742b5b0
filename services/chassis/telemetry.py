"""Configures logs, traces and metrics."""

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TextIO, cast

import structlog
from opentelemetry import metrics, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.typing import EventDict, WrappedLogger

from services.chassis.settings import LogFormat

_propagator = TraceContextTextMapPropagator()
_endpoints: list[str] = []
"""The exporters of this process; empty if traces and metrics are off."""

_tracer = trace.get_tracer("molecule")
_durations = metrics.get_meter("molecule").create_histogram(
    "molecule.call.duration", unit="s", description="How long calls took, by their name."
)


def configure(name: str, *, log_format: LogFormat, otlp_endpoint: str | None) -> None:
    """Configure the logs of this process, and traces and metrics if an exporter is given."""
    renderer = (
        structlog.processors.JSONRenderer()
        if log_format is LogFormat.JSON
        else structlog.dev.ConsoleRenderer(colors=bool(sys.stdout and sys.stdout.isatty()), pad_event_to=32)
    )
    output = _LogOutput()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace_id,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", output)),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(service=name)
    _configure_library_logs(shared, renderer, output)
    if otlp_endpoint:
        _start_exporters(name, otlp_endpoint)


def trace_call(name: str, *, traceparent: str | None = None) -> AbstractContextManager[None]:
    """Trace a call and measure its duration; does next to nothing without an exporter."""
    return _trace_and_measure(name, traceparent) if _is_exporting() else nullcontext()


@contextmanager
def _trace_and_measure(name: str, traceparent: str | None) -> Iterator[None]:
    context = _propagator.extract({"traceparent": traceparent}) if traceparent else None
    started = time.perf_counter()
    try:
        with _tracer.start_as_current_span(name, context=context):
            yield
    finally:
        _durations.record(time.perf_counter() - started, {"name": name})


def current_traceparent() -> str | None:
    """Return the W3C header that continues the current span; `None` outside of one."""
    if not _is_exporting():
        return None
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent")


def current_trace_id() -> str:
    """Return the id of the current trace; empty outside of one."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""


def _is_exporting() -> bool:
    """Whether an exporter is configured. OpenTelemetry's own check reads the environment at every call."""
    return bool(_endpoints)


def _add_trace_id(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if trace_id := current_trace_id():
        event["trace_id"] = trace_id
    return event


class _LogOutput:
    """The standard output. A line that it does not take is lost: its reader may be gone, or the disk full."""

    def __init__(self) -> None:
        self._descriptor = sys.stdout.fileno() if sys.stdout else -1  # its caller may have closed it

    def write(self, text: str) -> None:
        """Write at once, so that nothing waits in a buffer for the end of the process."""
        with suppress(OSError):
            data = text.encode(errors="backslashreplace")
            while data:
                data = data[os.write(self._descriptor, data) :]

    def flush(self) -> None:
        """Do nothing: there is no buffer."""


def _configure_library_logs(
    shared: list[structlog.typing.Processor], renderer: structlog.typing.Processor, output: _LogOutput
) -> None:
    handler = logging.StreamHandler(cast("TextIO", output))
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def _start_exporters(name: str, endpoint: str) -> None:
    """Send traces and metrics to the exporter; the imports are here because most planes have none."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": f"molecule.{name}"})
    traces = TracerProvider(resource=resource)
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")))
    trace.set_tracer_provider(traces)
    _endpoints.append(endpoint)
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=f"{endpoint.rstrip('/')}/v1/metrics"))
    metrics.set_meter_provider(MeterProvider(resource=resource, metric_readers=[reader]))
