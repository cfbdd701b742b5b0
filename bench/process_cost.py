"""Measures the processor time and memory of the plane's processes, children included."""

from collections.abc import Iterable

import psutil

from deploy.plane import Plane

MEBIBYTE = 1024 * 1024


def measure_cpu_seconds(plane: Plane, names: Iterable[str]) -> dict[str, float]:
    """Return the processor time that each process has used so far."""
    return {name: sum(map(_get_cpu_seconds, _list_processes(plane.pid(name)))) for name in names}


def measure_mebibytes(plane: Plane, names: Iterable[str]) -> dict[str, float]:
    """Return the resident memory of each process."""
    return {name: sum(each.memory_info().rss for each in _list_processes(plane.pid(name))) / MEBIBYTE for name in names}


def _list_processes(pid: int | None) -> list[psutil.Process]:
    if pid is None:
        return []
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def _get_cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
