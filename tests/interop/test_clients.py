"""Unmodified clients of others at the other end: each does every scenario with ward, and a matrix says how it went.

usage: test_clients.py [client or scenario]...; WARD_INTEROP_JOBS cells run at once. One cell alone, in this process:
test_clients.py --cell CLIENT SCENARIO. A client that cannot be had here is skipped, and why is said."""

import concurrent.futures
import os
import re
import subprocess
import sys
import time
import traceback

import peer
import suite
from harness import REPORTS, Failure, check

WIDTH = 15


def cell(kind, fn):
    """Run one scenario with one client in this process. Exits with 0 if it passes."""
    try:
        with suite.Pair(kind, getattr(fn, "accounts", ("alice",)), getattr(fn, "spare", ()),
                        getattr(fn, "service", None)) as p:
            fn(p)
        found = REPORTS.take()
        check(not found, "valgrind or a sanitizer found\n" + found)
    except Exception as e:  # a scenario may fail in any way
        print("FAIL %s: %s" % (fn.__name__, e))
        if not isinstance(e, Failure):
            traceback.print_exc()
        print(REPORTS.take())
        return 1
    return 0


def run(kind, fn):
    """Run it in a process of its own. Returns passed, seconds, what it said."""
    began = time.monotonic()
    r = subprocess.run([sys.executable, "-B", __file__, "--cell", kind.name, fn.__name__], stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return r.returncode == 0, time.monotonic() - began, r.stdout.decode("utf-8", "replace").strip()


def wanted(names):
    """The clients and the scenarios whose names contain one of these; all where none of them does."""
    pick = lambda all_, name: [x for x in all_ if any(n in name(x) for n in names)] or all_
    return pick(peer.KINDS, lambda k: k.name), pick(suite.SCENARIOS, lambda f: f.__name__)


def main():
    if sys.argv[1:2] == ["--cell"]:
        sys.exit(cell(peer.kind(sys.argv[2]), next(f for f in suite.SCENARIOS if f.__name__ == sys.argv[3])))
    kinds, scenarios = wanted(sys.argv[1:])
    began, here, broken = time.monotonic(), [], 0
    for k in kinds:
        t = time.monotonic()
        try:
            why = k.missing()
            if why:
                print("skip: %s: %s" % (k.name, why))
                continue
            k.build()
            here.append(k)
            print("%s is ready after %.1f s" % (k.name, time.monotonic() - t))
        except Failure as e:
            broken += 1
            print("FAIL %s is not built: %s" % (k.name, e))
        sys.stdout.flush()
    jobs = int(os.environ.get("WARD_INTEROP_JOBS", os.cpu_count() or 1))
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        cells = {(k.name, f.__name__): pool.submit(run, k, f) for f in scenarios for k in here}
        results = {at: future.result() for at, future in cells.items()}
    for (name, what), (good, _, text) in results.items():
        if not good:
            print("FAIL %s %s\n%s" % (name, what, re.sub("^", "     ", text, flags=re.M)))
    print("%-15s%s" % ("", "".join("%-*s" % (WIDTH, k.name) for k in kinds)))
    for f in scenarios:
        row = [results.get((k.name, f.__name__)) for k in kinds]
        print("%-15s%s %s" % (f.__name__, "".join("%-*s" % (WIDTH, "-" if r is None else "%s %5.1f s" % (
            "ok  " if r[0] else "FAIL", r[1])) for r in row), f.__doc__))
    passed = sum(r[0] for r in results.values())
    print("%d cells in %.0f s, %d at once" % (len(results), time.monotonic() - began, jobs))
    failed = broken + len(results) - passed
    print("test_clients: %d passed, %d failed" % (passed, failed))
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
