"""Runs test programs (cmocka binaries, and Python suites), one line each, and closes with "N passed, M failed".

usage: run.py PROGRAM... ; WARD_WRAP is put before binaries (valgrind). What valgrind or a sanitizer reports in any
process of a program is a failure. What could not be tried says why in a line "skip: …"; what is to be seen of a binary
that passed is in lines "result: …"."""

import os
import re
import subprocess
import sys
import time

from memcheck import Reports

REPORTS = Reports()  # of the binaries; a Python suite has its own


def run(path):
    args = [sys.executable, "-B", path] if path.endswith(".py") else REPORTS.wrap + [path]
    began = time.monotonic()
    try:
        r = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                           timeout=float(os.environ.get("WARD_SUITE_SECONDS", "1500")))
        text, status = r.stdout.decode("utf-8", "replace"), r.returncode
    except subprocess.TimeoutExpired as e:
        text, status = (e.stdout or b"").decode("utf-8", "replace") + "\ntimed out", 1
    passed = sum(int(n) for n in re.findall(r"^\[  PASSED  \] (\d+) test", text, re.M))
    failed = sum(int(n) for n in re.findall(r"^\[  FAILED  \] (\d+) test", text, re.M))
    for p, f in re.findall(r"^(?:\S+: )?(\d+) passed, (\d+) failed", text, re.M):
        passed, failed = passed + int(p), failed + int(f)
    for line in text.splitlines():
        REPORTS.look(line)
    found = REPORTS.take()
    if found:
        text, failed = text + "\n" + found, failed + 1
    if status != 0 and failed == 0:
        failed = 1  # it crashed, leaked or never came to its end
    results = re.findall(r"^result: .*", text, re.M)
    skipped = re.findall(r"^skip: .*", text, re.M)
    skipped += sorted({"skip: " + name for name in re.findall(r"^\[  SKIPPED \] (\w+)$", text, re.M)})
    if passed == 0 and failed == 0 and not skipped:
        failed = 1  # a suite that ran nothing proves nothing
    name = os.path.relpath(path)
    print("%-4s %-40s %4d passed, %d failed  %6.1f s" % ("ok" if not failed else "FAIL", name, passed, failed,
                                                        time.monotonic() - began))
    if failed:
        print("\n".join("     | " + line for line in text.splitlines()[-120:]))
    elif path.endswith(".py"):
        print("\n".join("     | " + line for line in text.splitlines()))
    else:
        print("".join("     | %s\n" % line for line in results + skipped), end="")
    sys.stdout.flush()
    return passed, failed, len(skipped)


def main():
    passed = failed = skipped = 0
    for path in sys.argv[1:]:
        p, f, s = run(path)
        passed, failed, skipped = passed + p, failed + f, skipped + s
    if skipped:
        print("%d skipped: each says why above" % skipped)
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
