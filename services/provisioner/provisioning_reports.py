"""Sends the state of provisioning to the registry: the latest of each workspace, many workspaces in one call."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import structlog

from services.chassis.backoff import Backoff
from services.chassis.errors import ServiceError
from services.provisioner.clients import RegistryClient
from services.provisioner.model import ProvisioningReport, WorkspaceId

COLLECTION_TIME = timedelta(milliseconds=200)
"""How long reports are collected. A start that is faster than this sends its last state only."""

MAX_REPORTS_PER_CALL = 500
"""Reports in one call, each of less than 4 KiB."""

SEND_BACKOFF = Backoff(first=timedelta(milliseconds=500), maximum=timedelta(seconds=15))
"""The delay after a call that failed."""

log = structlog.get_logger()


class ProvisioningReporter:
    """Collects reports and sends them while `run` runs. A report replaces an unsent one of the same workspace."""

    def __init__(self, registry: RegistryClient, *, collection_time: timedelta = COLLECTION_TIME) -> None:
        self._registry = registry
        self._collection_time = collection_time
        self._unsent: dict[WorkspaceId, ProvisioningReport] = {}
        self._has_reports = asyncio.Event()

    def put(self, report: ProvisioningReport) -> None:
        """Send a report soon."""
        self._unsent[report.workspace_id] = report
        self._has_reports.set()

    async def run(self) -> None:
        """Send reports until cancelled. They explain a start and do not change it, so an error only delays them."""
        self._unsent.clear()
        failures = 0
        while True:
            await self._has_reports.wait()
            await asyncio.sleep((self._collection_time + SEND_BACKOFF.delay(failures)).total_seconds())
            failures = 0 if await self._send() else failures + 1

    async def _send(self) -> bool:
        """Send what was collected; what could not be sent is kept unless a newer report replaced it."""
        self._has_reports.clear()
        reports, self._unsent = self._unsent, {}
        batch = list(reports.values())
        try:
            for start in range(0, len(batch), MAX_REPORTS_PER_CALL):
                await self._registry.report_provisioning(batch[start : start + MAX_REPORTS_PER_CALL])
        except ServiceError as error:
            log.warning("provisioning not reported", workspaces=len(batch), error=repr(error))
            self._keep(reports)
            return False
        return True

    def _keep(self, reports: Mapping[WorkspaceId, ProvisioningReport]) -> None:
        self._unsent = {**reports, **self._unsent}
        self._has_reports.set()
