"""Receives traces by OTLP over HTTP, and prints the service and the name of each span.

It takes the option and the file of the OpenTelemetry collector, and listens where the file says.
"""

import gzip
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class Receiver(BaseHTTPRequestHandler):
    """Answers exports."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/traces":
            print_spans(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Print spans only."""


def print_spans(body: bytes) -> None:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        attributes = {one.key: one.value.string_value for one in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                print("span", attributes.get("service.name", ""), span.name, flush=True)  # noqa: T201 - the log of the container


def main() -> None:
    option, _, path = sys.argv[1].partition("=")
    assert option == "--config", sys.argv
    endpoint = yaml.safe_load(Path(path).read_text())["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    host, _, port = endpoint.rpartition(":")
    ThreadingHTTPServer((host, int(port)), Receiver).serve_forever()


if __name__ == "__main__":
    main()
