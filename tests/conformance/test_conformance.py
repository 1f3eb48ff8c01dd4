"""What every store must do, over the wire: any executable in stored's place, by ipc/stored.proto.

usage: test_conformance.py [--store PROGRAM [--config FILE] [--volatile]] [CASE...]

PROGRAM is a command line; it is started as the parent starts stored (see rig.py). The config's text is what it gets in
the boot message, with the accounts added. --volatile: nothing of it survives the process, so it is not asked to.
Without --store: ward's own, with each of its backends, and the example. CASE: only those with that in their name."""

import argparse
import os
import sys

import cases_keys, cases_records, cases_units, cases_people, cases_state, cases_log, cases_outbox  # noqa: E401, F401
import cases_limits, cases_lasting, cases_work  # noqa: E401, F401
from rig import BUILD, WRAP
from suite import Pool, collect, submit

HERE = os.path.dirname(os.path.abspath(__file__))
STORES = [("sqlcipher", [os.path.join(BUILD, "stored")], "", False),
          ("memory", [os.path.join(BUILD, "stored")], "[store]\nbackend = memory\n", True),
          ("example", ["/usr/bin/python3", "-B", HERE + "/example_store.py", os.path.join(BUILD, "py")], "", False)]


def main():
    args = argparse.ArgumentParser(description="What every store must do, over the wire.")
    args.add_argument("--store", metavar="PROGRAM", help="a command line")
    args.add_argument("--config", metavar="FILE", help="text of the boot message")
    args.add_argument("--volatile", action="store_true", help="nothing of it survives the process")
    args.add_argument("cases", nargs="*", metavar="CASE")
    a = args.parse_args()
    stores = STORES
    if a.store:
        text = ""
        if a.config:
            with open(a.config) as f:
                text = f.read()
        stores = [("store", a.store, text, a.volatile)]
    elif WRAP:  # valgrind has nothing to say of an interpreter
        stores = STORES[:2]
    passed = failed = 0
    with Pool() as pool:
        for running in [submit(pool, store, a.cases) for store in stores]:
            p, f = collect(*running)
            passed, failed = passed + p, failed + f
    print("test_conformance: %d passed, %d failed" % (passed, failed))
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
