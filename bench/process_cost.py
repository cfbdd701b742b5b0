"""What processes cost: their time and their memory, children included."""

from collections.abc import Iterable

import psutil

from deploy.plane import Plane

MEBIBYTE = 1024 * 1024


def seconds(plane: Plane, names: Iterable[str]) -> dict[str, float]:
    """The processor time of each process of the plane so far."""
    return {name: sum(map(_spent, _family(plane.pid(name)))) for name in names}


def mebibytes(plane: Plane, names: Iterable[str]) -> dict[str, float]:
    """The resident memory of each process of the plane."""
    return {name: sum(each.memory_info().rss for each in _family(plane.pid(name))) / MEBIBYTE for name in names}


def _family(pid: int | None) -> list[psutil.Process]:
    if pid is None:
        return []
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def _spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
