"""Logs, traces and metrics."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import structlog
from opentelemetry import metrics, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.typing import EventDict, WrappedLogger

from services.chassis.settings import LogFormat

_propagator = TraceContextTextMapPropagator()
_endpoints: list[str] = []
"""Where traces and metrics of this process go."""

_tracer = trace.get_tracer("molecule")
_durations = metrics.get_meter("molecule").create_histogram(
    "molecule.call.duration", unit="s", description="How long calls took, by their name."
)


def configure(name: str, *, log_format: LogFormat, otlp_endpoint: str | None) -> None:
    """Set up the logs of this process, and its traces and metrics where an exporter is given."""
    renderer = (
        structlog.processors.JSONRenderer()
        if log_format is LogFormat.JSON
        else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), pad_event_to=32)
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _trace_id,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stdout),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(service=name)
    _libraries_speak_alike(shared, renderer)
    if otlp_endpoint:
        _export(name, otlp_endpoint)


def trace_call(name: str, *, traceparent: str | None = None) -> AbstractContextManager[None]:
    """A span around one call, and its duration; costs next to nothing while nobody collects them."""
    return _call(name, traceparent) if _collected() else nullcontext()


@contextmanager
def _call(name: str, traceparent: str | None) -> Iterator[None]:
    context = _propagator.extract({"traceparent": traceparent}) if traceparent else None
    began = time.perf_counter()
    try:
        with _tracer.start_as_current_span(name, context=context):
            yield
    finally:
        _durations.record(time.perf_counter() - began, {"name": name})


def traceparent() -> str | None:
    """The W3C header that continues the present span elsewhere; `None` outside of one."""
    if not _collected():
        return None
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent")


def trace_id() -> str:
    """The id of the present trace, for people who look for the log line; empty outside of one."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""


def _collected() -> bool:
    """Whether anybody collects. Asked at every call; the library itself would look into the environment each time."""
    return bool(_endpoints)


def _trace_id(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if found := trace_id():
        event["trace_id"] = found
    return event


def _libraries_speak_alike(shared: list[structlog.typing.Processor], renderer: structlog.typing.Processor) -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def _export(name: str, endpoint: str) -> None:
    """Send traces and metrics to the exporter; imported here because most planes run without one."""
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
