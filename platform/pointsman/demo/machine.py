"""What a local runtime's processes have used of the machine so far. Called by the demo before and after its stream."""

from __future__ import annotations

import psutil

from pointsman.local.leftovers import marked


def cpu_seconds(instance: str) -> float:
    """CPU seconds of all processes of a home, those that ended and were waited for included; not of this one.

    The difference of two calls is what was used in between. Servers that overwrite their environment are found as
    descendants of those that carry the marker.
    """
    processes = set(marked(instance))
    for each in list(processes):
        try:
            processes.update(each.children(recursive=True))
        except psutil.Error:
            continue  # it ended meanwhile
    total = 0.0
    for each in processes:
        try:
            times = each.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total
