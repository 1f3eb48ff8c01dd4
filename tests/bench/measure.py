"""What benchmarks measure of processes and of the disk, and how they put it into words."""

import os
import statistics
import tempfile
import threading
import time

TICK = os.sysconf("SC_CLK_TCK")


def fsync_rate(folder):
    """fdatasync calls a second on this disk: the limit of anything that is durable one by one."""
    with tempfile.NamedTemporaryFile(dir=folder) as f:
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < 1.0:
            os.pwrite(f.fileno(), b"x" * 4096, 4096 * (count % 64))
            os.fdatasync(f.fileno())
            count += 1
        return count / (time.perf_counter() - began)


def pss(pid):
    """KiB of memory of a process, pages that it shares in parts."""
    with open("/proc/%d/smaps_rollup" % pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Pss:"))


def cpu(pids):
    """Seconds of processor that these processes, with all their threads, have used."""
    total = 0
    for pid in pids:
        with open("/proc/%d/stat" % pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


class Peak(threading.Thread):
    """The highest PSS of some processes together while it runs, KiB. pids: a function, asked each time: they may start late."""

    def __init__(self, pids):
        super().__init__(daemon=True)
        self.pids, self.peak, self.on = pids, 0, True
        self.start()

    def run(self):
        while self.on:
            try:
                self.peak = max(self.peak, sum(pss(p) for p in self.pids()))
            except (OSError, StopIteration, AttributeError):
                pass  # it is about to start
            time.sleep(0.1)

    def stop(self):
        self.on = False
        self.join()
        return self.peak


def quantiles(values):
    """(median, 99th percentile) of seconds, in ms."""
    values = sorted(values)
    return statistics.median(values) * 1000, values[min(len(values) - 1, int(len(values) * 0.99))] * 1000
