#!/usr/bin/python3
"""An example of a program in stored's place: the contract of ipc/stored.proto over rows in one SQLite file.

usage: example_store.py FOLDER, where `protoc --python_out=FOLDER ipc/stored.proto ipc/ipc.proto` put the classes.

It encrypts nothing and does no long work (that is "unsupported"); all else it keeps as the contract says. Here are
units of work, the event log and its readers; what a write does to the rows is in example_writes.py."""

import collections
import fcntl
import hashlib
import os
import sqlite3
import sys
import time

sys.path.insert(0, sys.argv[1])
from ipc import ipc_pb2, stored_pb2 as pb  # noqa: E402
from example_check import check  # noqa: E402
from example_child import DEBUG, ERR, NOTICE, READY, Broken, Channel, Child, Error, Kind  # noqa: E402
from example_rows import Rows, Trouble, code_of, connect  # noqa: E402
import example_writes as writes  # noqa: E402

ROLE_STORED, FD_APID, FD_KEYD, FD_DATA = 3, 5, 6, 7
DAY, MIB = 86400000, 1 << 20
UNITS, EARLY, UNIT_BYTES, ALL_BYTES = 4096, 256, 16 * MIB, 64 * MIB  # open in all; staged only, of an account; waiting
OPEN_S, STAGE_S = 30, 5  # how long a unit may wait for its commit, and then for its stages
CONSUMERS, CONSUMERS_UID = 1024, 64


def now_ms():
    return int(time.time() * 1000)


class Unit:
    def __init__(self, number):
        self.number, self.opened, self.stages, self.commit, self.bytes = number, False, [], None, 0
        self.joined, self.broken, self.since = False, None, time.monotonic()  # broken: why it cannot happen


class Account:
    def __init__(self, name):
        self.name, self.rows, self.opened = name, None, pb.AccountOpened(account=name, ok=False)
        self.units, self.last_unit = collections.OrderedDict(), 0  # number -> Unit, in the order of UNIT_OPEN
        self.early = {}  # staged by keyd, and not opened by apid yet


class Store:
    def __init__(self, child, sql):
        self.child, self.sql, self.unlocked, self.low, self.chores = child, sql, False, False, 0
        self.accounts = {a: Account(a) for a in child.accounts}
        self.service, self.service_opened = Rows(sql, ""), pb.AccountOpened(account="", ok=False)
        self.changes = []  # of consumers: (number, handler, message), carried out with the units of a turn
        self.numbers = collections.Counter()
        K, no = Kind, self.unsupported
        self.keyd = Channel(FD_KEYD, "keyd", {
            pb.KEYRING_GET: K(pb.KeyringGet, self.keyring_get),
            pb.KEYRING_PUT: K(pb.Keyring, self.keyring_put, most=1100),
            pb.UNLOCK: K(pb.Unlock, self.unlock),
            pb.RECORDS_GET: K(pb.RecordsGet, self.read(pb.RECORDS, writes.get_records)),
            pb.RECORDS_LIST: K(pb.RecordsList, self.read(pb.RECORD_NAMES, writes.list_records)),
            pb.STAGE: K(pb.Stage, self.stage, False, 3 * MIB),
            pb.REKEY: K(pb.Rekey, no)}, ipc_pb2.Error)
        self.apid = Channel(FD_APID, "apid", {
            pb.UNIT_OPEN: K(pb.UnitOpen, self.unit_open, False),
            pb.UNIT_ABORT: K(pb.UnitAbort, self.unit_abort, False),
            pb.UNIT_COMMIT: K(pb.UnitCommit, self.unit_commit, most=8 * MIB),
            pb.DEVICE_LOAD: K(pb.DeviceLoad, self.read(pb.DEVICE_RECORD, writes.load_device)),
            pb.LOOKUP: K(pb.Lookup, self.read(pb.LOOKUP_REPLY, writes.lookup)),
            pb.OUTBOX_LOAD: K(pb.OutboxLoad, self.read(pb.OUTBOX_ROWS, writes.load_outbox)),
            pb.OUTBOX_COUNT: K(pb.OutboxCount, self.read(pb.OUTBOX_COUNTS, writes.count_outbox)),
            pb.OUTBOX_FIND: K(pb.OutboxFind, self.read(pb.OUTBOX_ROWS, writes.find_outbox)),
            pb.QUARANTINE: K(pb.Quarantine, self.read(pb.QUARANTINE_STATE, writes.quarantine)),
            pb.SCAN: K(pb.Scan, self.read(pb.SCAN_REPLY, writes.scan)),
            pb.RECORDS_LIST: K(pb.RecordsList, self.read(pb.RECORD_NAMES, writes.list_names)),
            pb.EVENTS_READ: K(pb.EventsRead, self.events_read),
            pb.CONSUMER_OPEN: K(pb.ConsumerOpen, self.later(self.consumer_open)),
            pb.CONSUMER_ACK: K(pb.ConsumerAck, self.later(self.consumer_ack)),
            pb.CONSUMER_DELETE: K(pb.ConsumerDelete, self.later(self.consumer_delete)),
            pb.CONSUMER_LIST: K(pb.ConsumerList, self.consumer_list),
            pb.STATS: K(pb.StatsGet, self.stats),
            pb.BACKUP: K(pb.Backup, no, fd=True), pb.SNAPSHOT: K(pb.Snapshot, no), pb.CHECK: K(pb.Check, no),
            pb.TASK_CANCEL: K(pb.TaskCancel, lambda m: None, False)}, ipc_pb2.Error)

    # ---- keyring and keys
    def keyring_get(self, number, m):
        return pb.KEYRING, pb.Keyring(header=self.service.get("keyring") or b"")

    def keyring_put(self, number, m):
        check(m)
        self.service.put("keyring", (), m.header)
        return pb.DONE, pb.Done()

    def open(self, opened, rows, key):
        """The key of a database is known again by its digest."""
        digest = hashlib.sha256(key).digest()
        stored = rows.get("digest")
        if stored not in (None, digest):
            opened.reason, opened.text = "wrong_key", "the key does not fit this database"
            return
        if stored is None:
            rows.put("digest", (), digest)
        opened.ok = True

    def unlock(self, number, m):
        keys = {a.account: a.key for a in m.accounts}
        if self.unlocked or len(keys) != len(m.accounts) or {len(k) for k in [m.service_key, *keys.values()]} != {32}:
            raise Broken("UNLOCK twice, an account twice, or a key of a wrong length")
        self.open(self.service_opened, self.service, m.service_key)
        for a in self.accounts.values():
            if not self.service_opened.ok:
                a.opened.reason, a.opened.text = self.service_opened.reason, self.service_opened.text
            elif a.name not in keys:
                a.opened.reason, a.opened.text = "wrong_key", "keyd gave no key for this account"
            else:
                a.rows = Rows(self.sql, a.name)
                self.open(a.opened, a.rows, keys[a.name])
        if self.service_opened.ok and self.service.get("log") is None:
            self.service.put("log", (), os.urandom(16).hex().encode())
        self.last_seq, self.trimmed = self.meta("last_seq"), self.meta("trimmed")
        self.unlocked = True
        self.tell_state()
        accounts = [a.opened for a in self.accounts.values()]
        return pb.UNLOCK_REPLY, pb.UnlockReply(service=self.service_opened, accounts=accounts)

    def meta(self, name):
        return int(self.service.get("meta", name) or 0)

    def tell_state(self):
        self.apid.notify(pb.STORE_STATE, pb.StoreState(
            log_id=(self.service.get("log") or b"").decode(), service=self.service_opened, last_seq=self.last_seq,
            accounts=[a.opened for a in self.accounts.values()], disk_low=self.low))

    def account(self, name):
        a = self.accounts.get(name)
        if a is None:
            raise Error("unknown_account", "no such account")
        if not self.unlocked:
            raise Error("locked", "the store has no key yet")
        if not a.opened.ok:
            raise Error("account_failed", a.opened.text)
        return a

    def rows(self, m):
        """The rows that a request of an account is about; the request is well-formed."""
        rows = self.account(m.account).rows
        check(m)
        return rows

    def read(self, kind, fn):
        """A request of an account that only reads: fn(rows, message) makes the answer, of that type."""
        return lambda number, m: (kind, fn(self.rows(m), m))

    def served(self):
        if not self.unlocked:
            raise Error("locked", "the store has no key yet")
        if not self.service_opened.ok:
            raise Error("account_failed", self.service_opened.text)

    def unsupported(self, number, m):
        raise Error("unsupported", "this store cannot do that")

    # ---- units of work: where they wait
    def unit_open(self, m):
        a = self.accounts.get(m.account)
        if a is None or not a.opened.ok or m.unit == 0:
            return  # its commit is told
        if m.unit <= a.last_unit:
            raise Broken("a unit opened twice or out of order")
        a.last_unit = m.unit
        u = a.early.pop(m.unit, None)
        if u is None and sum(len(x.units) + len(x.early) for x in self.accounts.values()) >= UNITS:
            return
        u = a.units[m.unit] = u or Unit(m.unit)
        u.opened, u.since = True, time.monotonic()

    def stage(self, m):
        a = self.accounts.get(m.account)
        u = a and a.opened.ok and (a.units.get(m.unit) or a.early.get(m.unit))
        if a and a.opened.ok and not u and m.unit > a.last_unit and len(a.early) < EARLY:
            u = a.early[m.unit] = Unit(m.unit)
        if not u:  # it has ended, or never was: keyd lets go of what it staged
            self.keyd.notify(pb.UNIT_DONE, pb.UnitDone(account=m.account, unit=m.unit, committed=False))
            return
        u.joined = True
        self.hold(u, m)
        if not u.broken:
            u.stages.append(m)

    def hold(self, u, m):
        """Count what waits, and spoil a unit that is malformed or too big: it fails when its turn comes."""
        try:
            writes.check_unit(m)
        except Error as e:
            self.child.log(NOTICE, "a unit is refused: %s" % e)
            u.broken = u.broken or e.code
        u.bytes += m.ByteSize()
        if u.bytes > UNIT_BYTES or sum(x.bytes for a in self.accounts.values() for x in a.units.values()) > ALL_BYTES:
            u.broken = u.broken or "unit"

    def unit_commit(self, number, m):
        u = self.account(m.account).units.get(m.unit)
        if u is None:
            return pb.UNIT_RESULT, pb.UnitResult(committed=False, reason="unit")
        if u.commit:
            raise Broken("a unit committed twice")
        u.commit, u.since = (number, m), time.monotonic()
        self.hold(u, m)

    def unit_abort(self, m):
        a = self.accounts.get(m.account)
        if a and m.unit in a.units:
            self.finish(a, a.units[m.unit], pb.UnitResult(committed=False, reason="aborted"))

    def finish(self, a, u, result):
        self.numbers["units" if result.committed else "units_failed"] += 1
        (a.units if u.opened else a.early).pop(u.number)
        if u.commit:
            self.apid.reply(u.commit[0], pb.UNIT_RESULT, result)
        if u.joined:
            self.keyd.notify(pb.UNIT_DONE, pb.UnitDone(account=a.name, unit=u.number, committed=result.committed))

    def fail(self, a, u, reason):
        self.finish(a, u, pb.UnitResult(committed=False, reason=reason, duplicate=True if reason == "duplicate" else None))

    # ---- units of work: what happens in a turn
    def ready(self, a):
        """Those at the head of the order that can be finished now."""
        for u in a.units.values():
            if not u.commit or not (u.broken or len(u.stages) >= u.commit[1].stages):
                return
            if len(u.stages) > u.commit[1].stages:
                u.broken = u.broken or "unit"  # keyd staged what apid does not know of
            yield u

    def apply(self, a, u):
        """All of a unit, or Error and nothing of it."""
        result = pb.UnitResult(committed=True)
        self.sql.execute("SAVEPOINT unit")
        try:
            if u.broken:
                raise Error(u.broken, "")
            for m in u.stages:
                writes.apply_stage(a.rows, m)
            for w in u.commit[1].writes:
                writes.apply_write(self, a.rows, w, result)
        except Trouble:
            raise
        except Error as e:
            self.sql.execute("ROLLBACK TO unit")
            result = pb.UnitResult(committed=False, reason=e.code)
            if e.code == "duplicate":
                result.duplicate = True
        self.sql.execute("RELEASE unit")
        return result

    def next_seq(self):
        self.last_seq += 1
        return self.last_seq

    def turn(self):
        """All that is ready, of all accounts, is one transaction and one sync; then it is answered."""
        if self.unlocked:
            self.expire_units()
            work = [(a, u) for a in self.accounts.values() for u in self.ready(a)]
            if work or self.changes:
                self.transact(work)
            if time.monotonic() - self.chores > 1:
                self.chores = time.monotonic()
                self.tidy()
        if self.child.stopping:
            for a in self.accounts.values():
                for u in [*a.units.values(), *a.early.values()]:
                    self.fail(a, u, "stopping")

    def transact(self, work):
        changes, self.changes = self.changes, []
        shown = self.last_seq
        try:
            self.sql.execute("BEGIN IMMEDIATE")
            results = [self.apply(a, u) for a, u in work]
            answers = [self.change(*c) for c in changes]
            self.service.put("meta", ("last_seq",), b"%d" % self.last_seq)
            self.sql.execute("COMMIT")
        except (sqlite3.Error, Trouble) as e:
            if self.sql.in_transaction:
                self.sql.execute("ROLLBACK")
            self.last_seq = shown
            self.child.log(ERR, "the commit failed: %s" % e)
            results = [pb.UnitResult(committed=False, reason=code_of(e)) for _ in work]
            answers = [Error(code_of(e), "the database could not be written") for _ in changes]
        self.numbers["transactions"] += any(r.committed for r in results)
        for (a, u), result in zip(work, results):
            self.numbers["events"] += sum(s != 0 for s in result.seqs)
            self.finish(a, u, result)
        for (number, _, _), answer in zip(changes, answers):
            self.apid.refuse(number, answer) if isinstance(answer, Error) else self.apid.reply(number, *answer)

    def expire_units(self):
        for a in self.accounts.values():
            for u in [*a.units.values(), *a.early.values()]:
                waits = not u.commit or not (u.broken or len(u.stages) >= u.commit[1].stages)
                if waits and time.monotonic() - u.since > (STAGE_S if u.commit else OPEN_S):
                    self.fail(a, u, "unit")

    # ---- the event log
    def events_read(self, number, m):
        self.served()
        check(m)
        for name in m.accounts:
            if name not in self.accounts:
                raise Error("unknown_account", "no such account")
        names = [a for a in (m.accounts or self.accounts) if self.accounts[a].opened.ok]
        out, size = pb.Events(scanned_seq=m.after_seq, last_seq=self.last_seq, first_seq=self.trimmed + 1), 0
        after = max(m.after_seq, self.trimmed)
        if after >= self.last_seq:
            return pb.EVENTS, out
        found = self.sql.execute("SELECT db, value FROM row WHERE tab = 'event' AND key > ? AND db IN (%s) ORDER BY key"
                                 % ",".join("?" * len(names)), (after.to_bytes(8, "big"), *names))
        for db, value in found:
            e = pb.Event.FromString(value)
            size += len(e.body) + 128
            if len(out.events) == m.limit or out.events and size > m.max_bytes:
                return pb.EVENTS, out
            out.events.append(e)
            out.scanned_seq = e.seq
        out.scanned_seq = self.last_seq  # all that was asked for is read to the end
        return pb.EVENTS, out

    # ---- consumers
    def later(self, handler):
        def queue(number, m):
            self.served()
            self.changes.append((number, handler, m))
        return queue

    def change(self, number, handler, m):
        try:
            return handler(m)
        except Error as e:
            return e

    def consumers(self, uid=None):
        return [pb.Consumer.FromString(v) for _, _, v in self.service.scan("consumer", *([uid] if uid is not None else []))]

    def consumer(self, m):
        value = self.service.get("consumer", m.uid, m.name)
        return value and pb.Consumer.FromString(value)

    def save(self, c):
        c.last_ms, c.lag = now_ms(), 0
        stored = pb.Consumer.FromString(c.SerializeToString())
        stored.created = False
        self.service.put("consumer", (c.uid, c.name), stored.SerializeToString())
        c.lag = max(0, self.last_seq - c.acked_seq)
        return pb.CONSUMER, c

    def consumer_open(self, m):
        check(m)
        start, c = getattr(m, "from"), self.consumer(m)
        if c is None:
            if m.HasField("create") and not m.create:
                raise Error("not_found", "no such consumer")
            if len(self.consumers()) >= CONSUMERS or len(self.consumers(m.uid)) >= CONSUMERS_UID:
                raise Error("too_many", "too many consumers")
            c = pb.Consumer(name=m.name, uid=m.uid, acked_seq=self.last_seq, created=True)
        if start == pb.ConsumerOpen.LATEST:
            c.acked_seq = self.last_seq
        elif start == pb.ConsumerOpen.EARLIEST:
            c.acked_seq = self.trimmed
        elif start == pb.ConsumerOpen.AT:
            if not m.HasField("seq") or m.seq > self.last_seq:
                raise Error("bad_request", "the position is not one of this log")
            c.acked_seq = m.seq
        return self.save(c)

    def known(self, m):
        c = self.consumer(m)
        if c is None:
            raise Error("not_found", "no such consumer")
        return c

    def consumer_ack(self, m):
        c = self.known(m)
        if m.seq > self.last_seq:
            raise Error("bad_request", "the position is beyond the end of the log")
        c.acked_seq = max(c.acked_seq, m.seq)
        return self.save(c)

    def consumer_delete(self, m):
        self.known(m)
        self.service.delete("consumer", m.uid, m.name)
        return pb.DONE, pb.Done()

    def consumer_list(self, number, m):
        self.served()
        out = self.consumers(m.uid if m.HasField("uid") else None)
        for c in out:
            c.lag = max(0, self.last_seq - c.acked_seq)
        return pb.CONSUMERS, pb.Consumers(consumers=out)

    # ---- numbers, the disk, and what goes by its age
    def stats(self, number, m):
        v = os.statvfs(".")
        out = pb.Stats(units=self.numbers["units"], units_failed=self.numbers["units_failed"], backend="example",
                       transactions=self.numbers["transactions"], fsyncs=self.numbers["transactions"],
                       events=self.numbers["events"], free_bytes=v.f_bavail * v.f_frsize, disk_low=self.low,
                       database_bytes=sum(os.path.getsize(f) for f in os.listdir(".") if f.startswith("store.sqlite")))
        for rows in [self.service] + [a.rows for a in self.accounts.values() if a.rows]:
            for tab, n in rows.count() if m.tables else ():
                out.tables.add(account=rows.db, table=tab, rows=n)
        return pb.STATS_REPLY, out

    def tidy(self):
        v, number = os.statvfs("."), self.child.number
        ages = number("store", "keep_sent", "14d"), number("store", "keep_pending", "7d")
        low = v.f_bavail * v.f_frsize < max(number("service", "min_free", "64M"), MIB)
        if low != self.low:
            self.low = low
            self.tell_state()
        try:
            self.sql.execute("BEGIN IMMEDIATE")
            for a in self.accounts.values():
                if a.opened.ok:
                    writes.expire(a.rows, now_ms(), *ages)
            if self.service_opened.ok:
                self.trim()
            self.sql.execute("COMMIT")
        except (sqlite3.Error, Trouble) as e:
            if self.sql.in_transaction:
                self.sql.execute("ROLLBACK")
            self.child.log(DEBUG, "nothing was let go: %s" % e)

    def trim(self):
        """The log is cut at one seq for all accounts."""
        keep_acked, max_age, max_bytes, silent = (self.child.number("events", k, d) for k, d in (
            ("keep_acked", "7d"), ("max_age", "30d"), ("max_bytes", "1G"), ("consumer_expiry", "30d")))
        now = now_ms()
        acked = min([c.acked_seq for c in self.consumers() if now - c.last_ms <= silent] + [self.last_seq])
        total = self.sql.execute("SELECT sum(length(value)) FROM row WHERE tab = 'event'").fetchone()[0] or 0
        upto = self.trimmed
        for key, at, size in self.sql.execute("SELECT key, at, length(value) FROM row WHERE tab = 'event' ORDER BY key"):
            seq = int.from_bytes(key, "big")
            if not (seq <= acked and now - at > keep_acked or now - at > max_age or total > max_bytes):
                break
            upto, total = seq, total - size
        if upto > self.trimmed:
            self.sql.execute("DELETE FROM row WHERE tab = 'event' AND key <= ?", (upto.to_bytes(8, "big"),))
            self.service.put("meta", ("trimmed",), b"%d" % upto)
            self.trimmed = upto


def main():
    child = Child(ROLE_STORED)
    os.umask(0o077)
    os.fchdir(FD_DATA)
    lock = open("lock", "w")
    fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    store = Store(child, connect("store.sqlite"))
    child.send(READY, b"stored.confined=no\n")
    child.run([store.apid, store.keyd], store.turn)
    store.sql.close()


if __name__ == "__main__":
    main()
