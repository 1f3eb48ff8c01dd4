"""The frame of the conformance suite: cases, the store that each gets, and what they expect of it."""

import concurrent.futures
import multiprocessing
import os
import shutil
import sys
import time
import traceback

from rig import REPORTS, SLOW, Closed, Failure, Refused, Store, event, folder, pb

CASES = []
KEEP = os.environ.get("WARD_KEEP") == "1"


class Skip(Exception):
    """What this store cannot do and need not; the text says what."""


def case(title, durable=False, config="", locked=False):
    """Marks a case: a function that gets a running store of its own, with the accounts alice and bob.

    durable: it starts the store again; not for one that forgets. locked: UNLOCK is the case's own."""
    def mark(fn):
        CASES.append((fn, title, durable, config, locked))
        return fn
    return mark


def check(condition, text, *values):
    if not condition:
        raise Failure(text + (": " + ", ".join(str(v) for v in values) if values else ""))


def equal(got, wanted, text):
    if got != wanted:
        raise Failure("%s: wanted %s, got %s" % (text, shown(wanted), shown(got)))


def shown(v):
    if isinstance(v, (list, tuple)):
        return "[" + ", ".join(shown(x) for x in v)[:2000] + "]"
    if isinstance(v, (int, bytes, bool, type(None), str)):
        return repr(v)[:400]
    return "{" + " ".join(str(v).split())[:1000] + "}"


def refused(code, fn, text):
    """fn() must end in an error of the contract with that code (or one of them)."""
    try:
        got = fn()
    except Refused as e:
        if e.code not in (code if isinstance(code, tuple) else (code,)):
            raise Failure("%s: wanted %s, was refused with %s (%s)" % (text, code, e.code, e.text))
        return e
    raise Failure("%s: wanted %s, got %s" % (text, code, shown(got)))


class Subject(Store):
    """A store under test, with the short forms that cases are written in."""

    def ok(self, account, *writes, **more):
        """A unit that must be committed; its result."""
        r = self.commit(account, *writes, **more)
        if not r.committed:
            raise Failure("a unit was not committed: %s" % shown(r))
        return r

    def fails(self, reason, account, *writes, **more):
        """A unit that must not happen, for that reason: said in its result or as an error."""
        try:
            r = self.commit(account, *writes, **more)
        except Refused as e:
            equal(e.code, reason, "the refusal of a unit")
            return None
        check(not r.committed, "a unit was committed that must fail", reason, shown(r))
        equal(r.reason, reason, "the reason of a failed unit")
        check(not r.seqs, "a failed unit gave seqs", shown(r))
        return r

    def records(self, account, *names):
        """[(version, sealed)] in the order asked."""
        got = self.keyd.ask(pb.RECORDS_GET, pb.RecordsGet(account=account, names=names)).records
        return [(r.version, r.sealed if r.HasField("sealed") else None) for r in got]

    def list(self, account, domain, limit=1024, **q):
        if "first" in q:
            q["from"] = q.pop("first")
        return self.keyd.ask(pb.RECORDS_LIST, pb.RecordsList(account=account, domain=domain, limit=limit, **q))

    def lookup(self, account, **lists):
        return self.apid.ask(pb.LOOKUP, pb.Lookup(account=account, **lists))

    def device(self, account):
        return self.apid.ask(pb.DEVICE_LOAD, pb.DeviceLoad(account=account))

    def events(self, after=0, limit=1000, max_bytes=1 << 20, accounts=()):
        return self.apid.ask(pb.EVENTS_READ, pb.EventsRead(after_seq=after, limit=limit, max_bytes=max_bytes,
                                                           accounts=accounts))

    def row(self, account, **by):
        """The outbox row, or None."""
        rows = self.apid.ask(pb.OUTBOX_FIND, pb.OutboxFind(account=account, **by)).rows
        check(len(rows) <= 1, "one row at most", shown(list(rows)))
        return rows[0] if rows else None

    def stats(self, **q):
        return self.apid.ask(pb.STATS, pb.StatsGet(**q))

    def settled(self):
        """Both channels have been read up to here."""
        self.keyd.ask(pb.KEYRING_GET, pb.KeyringGet())
        self.stats()

    def done(self, account, unit):
        """The UNIT_DONE of a unit: was it committed?"""
        return self.keyd.notice(pb.UNIT_DONE, lambda m: (m.account, m.unit) == (account, unit)).committed

    def again(self, kill=False):
        """Stop (or kill -9), start, unlock."""
        if kill:
            self.kill()
        else:
            equal(self.stop(), 0, "exit status after STOP")
        self.start()
        return self.opened()

    def opened(self):
        r = self.unlock()
        check(r.service.ok and all(a.ok for a in r.accounts), "all databases open", shown(r))
        return r

    def alive(self):
        """It still does its work: for the end of a case that tried to harm it."""
        r = self.ok("alice", event(kind="alive.probe"))
        equal([e.type for e in self.events(after=r.seqs[0] - 1, limit=1).events], ["alive.probe"], "a unit after that")

    def until(self, condition, text, seconds=20):
        """Poll what the store does by itself, by and by."""
        end = time.monotonic() + seconds * SLOW
        while not condition():
            if time.monotonic() > end:
                raise Failure("timed out: " + text)
            self.turn(0.05)


def run_case(fn, config, locked, program, volatile):
    """Raises what went wrong."""
    where, done = folder(), False
    store = Subject(program, where + "/data", ["alice", "bob"], config)
    store.volatile = volatile
    try:
        store.start()
        if not locked:
            store.opened()
        fn(store)
        if store.pid is not None and store.incident is None:
            equal(store.stop(), 0, "exit status after STOP")
        done = True
    except Closed as e:
        for _ in range(40):  # it may be about to end
            if store.ended():
                break
            store.turn(0.05)
        raise Failure("%s; the process: status %s, %s\n%s" % (e, store.status, store.incident, store.said(8)))
    except Failure as e:
        raise Failure("%s\n%s" % (e, store.said(8)))
    finally:
        if store.pid is not None:
            store.kill()
        if done or not KEEP:
            shutil.rmtree(where, ignore_errors=True)
        else:
            print("kept: " + where)
        found = REPORTS.take(store.pids)
        if found:
            raise Failure("valgrind or a sanitizer found\n" + found)


def outcome(index, program, config, volatile):
    """("ok", "none" or "FAIL", text, seconds) of one case; in a process of the pool. none: it cannot, and says so."""
    fn, title, durable, more, locked = CASES[index]
    began = time.monotonic()
    try:
        run_case(fn, config + "\n" + more, locked, program, volatile)
        return "ok", "", time.monotonic() - began
    except Skip as e:
        return "none", str(e), time.monotonic() - began
    except (Failure, Refused) as e:
        return "FAIL", str(e), time.monotonic() - began
    except Exception:  # a case may fail in any way; the others go on
        return "FAIL", traceback.format_exc(), time.monotonic() - began


class Pool(concurrent.futures.ProcessPoolExecutor):
    """Cases at once: each has a store and a folder of its own, and some wait for what the store does by itself."""

    def __init__(self):
        super().__init__(int(os.environ.get("WARD_STORES", str(min(4, 1 + (os.cpu_count() or 1))))),
                         multiprocessing.get_context("fork"))


def submit(pool, store, wanted):
    """The cases of one (label, program, config, volatile), under way."""
    label, program, config, volatile = store
    jobs, left_out = [], 0
    for i, (fn, title, durable, more, locked) in enumerate(CASES):
        what = "%s.%s" % (fn.__module__.replace("cases_", ""), fn.__name__)
        if wanted and not any(w in what for w in wanted):
            continue
        if durable and volatile:
            left_out += 1
        else:
            jobs.append((what, title, pool.submit(outcome, i, program, config, volatile)))
    return label, jobs, left_out


def collect(label, jobs, left_out):
    """Wait and print: (passed, failed)."""
    passed, failed, cannot = 0, 0, set()
    verbose = os.environ.get("WARD_VERBOSE") == "1"
    for what, title, job in jobs:
        how, text, seconds = job.result()
        passed, failed = passed + (how != "FAIL"), failed + (how == "FAIL")
        cannot.update([text] if how == "none" else [])
        if how == "FAIL" or verbose:
            print("%-4s %s: %-28s %5.1f s  %s%s" % (how, label, what, seconds, title, "\n" + text if text else ""))
    print("  %s: %d cases kept, %d broken%s%s" % (
        label, passed, failed, ", %d not asked of a store that forgets" % left_out if left_out else "",
        "; says that it cannot: " + ", ".join(sorted(cannot)) if cannot else ""))
    sys.stdout.flush()
    return passed, failed
