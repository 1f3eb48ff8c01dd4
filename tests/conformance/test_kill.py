"""kill -9 of stored at random moments, under load: every unit is whole or absent, and one that was answered is there.

Several stores at once, each with a load of units in flight in two accounts. Each unit touches every domain: keyd's
records in versions, an event, an outbox row, contact, group, collection, MAC, token, pending stanza, base key, device
record. Number n of an account makes a state that is a function of n alone, so after each start the whole account must
stand at one n, not below the last that was answered committed and not above the last that was sent; events and outbox
rows must be those up to n, each once, with seqs that never repeat. Some units fail on purpose and must leave nothing.

The moment is drawn anew each time: while units are applied (uniform over the time that they take), while the process
starts, recovers, makes its databases, writes its log back, changes its keys, is backed up, or stops.

WARD_KILLS: how many (1000). WARD_SEED: the choices of an earlier run. WARD_STORES: how many at once."""

import collections
import concurrent.futures
import multiprocessing
import os
import random
import shutil
import sys
import time

from rig import BUILD, REPORTS, Closed, Failure, Refused, delete, event, folder, name, pb, put
from suite import Subject, check, equal

KILLS = int(os.environ.get("WARD_KILLS", "1000"))
STORES = int(os.environ.get("WARD_STORES", str(min(4, max(2, os.cpu_count() or 2)))))
LIFE = 40  # kills of one data folder, then a new one
KEPT = 6  # records of the newest units that stay
IN_FLIGHT = 24
W = pb.Write


class Account:
    """What an account must hold: number n was sent, is answered, was seen."""

    def __init__(self, who):
        self.who = who
        self.sent = self.answered = self.seen = self.seq = 0
        self.seqs, self.event_at, self.row_at = {}, 0, 0

    def mac(self, n):
        return b"%032d" % n

    def unit(self, n, size):
        """(puts, deletes, writes) of number n."""
        text = b"%d-" % n + b"x" * size
        puts = [put(pb.SESSION, "chain", n, text), put(pb.SENDER_KEY, "s%d" % n, 1, text)]
        deletes = [delete(pb.SENDER_KEY, "s%d" % (n - KEPT), 1)] if n > KEPT else []
        pending = pb.MessageName(chat="c", sender="s", id="%d" % n)
        writes = [
            event(kind="unit", time_ms=n, body=b'{"n":%d,"x":"' % n + b"x" * size + b'"}', dedup="dedup-%d" % n),
            W(outbox_put=pb.OutboxPut(message_id="m%d" % n, chat="c@lid", uid=1, idempotency_key="k%d" % n,
                                      params_hash=b"h" * 32, content=text, state=pb.READY, created_ms=n, devices=["d%d" % n])),
            W(device=pb.DeviceRecord(login_counter=n)),
            W(contact=pb.Contact(id="u_" + "k" * 26, pn="1", lid="2", push_name="n%d" % n)),
            W(collection_put=pb.CollectionPut(name="c", version=n, hash=b"h" * 128)),
            W(macs_put=pb.MacsPut(collection="c", version=n, macs=[pb.Mac(index=self.mac(n), value=self.mac(n))])),
            W(group_put=pb.GroupPut(group="g", metadata=text)),
            W(sender_key_status=pb.SenderKeyStatus(group="g", devices=[pb.SenderKeyDevice(device="d", has_key=n % 2 == 0)])),
            W(token_put=pb.Token(user="t", token=b"%d" % n, token_s=n)),
            W(base_key_put=pb.BaseKey(name=pb.BaseKeyName(address="a", message_id="m"), key=b"%033d" % n)),
            W(pending_put=pb.Pending(name=pending, stanza=b"%d" % n)),
        ]
        if n > 1:
            pending = pb.MessageName(chat="c", sender="s", id="%d" % (n - 1))
            writes.append(W(pending_delete=pending))
        return puts, deletes, writes


class Life:
    """One data folder, from its making to its end."""

    def __init__(self, rng, folder, total):
        self.rng, self.total = rng, total
        self.store = Subject([os.path.join(BUILD, "stored")], folder, ["alice", "bob"])
        self.accounts = [Account(a) for a in self.store.accounts]
        self.flight, self.log_id = collections.deque(), None
        self.given, self.floor = set(), 0  # seqs; above the floor are those of this run

    # ---- load
    def send_one(self, size=None):
        """One unit more; one in sixteen fails by its version, after all that it wrote."""
        a, bad = self.accounts[0] if size else self.rng.choice(self.accounts), self.rng.random() < 1 / 16
        n = a.sent + 1
        puts, deletes, writes = a.unit(n, size or int(self.rng.random() ** 3 * 5000))
        if bad:
            puts.append(put(pb.SESSION, "chain", n + 1000, b"wrong"))
        else:
            a.sent = n
        s = self.store
        u, late = s.open(a.who), self.rng.random() < 0.5
        if not late:
            s.stage(a.who, u, puts, deletes)
        number = s.post_commit(a.who, u, *writes, stages=1)
        if late:
            s.stage(a.who, u, puts, deletes)
        self.flight.append((a, n, bad, number, time.monotonic()))

    def take_answers(self):
        answers = self.store.apid.answers
        while self.flight and self.flight[0][3] in answers:
            a, n, bad, number, since = self.flight.popleft()
            self.total["unit_s"] += (min(0.2, time.monotonic() - since) - self.total["unit_s"]) / 50
            kind, r = answers.pop(number)
            if bad:
                equal((r.committed, r.reason), (False, "version"), "a unit that must fail")
                self.total["failed"] += 1
                continue
            check(r.committed, "a unit failed that must not", a.who, n, r)
            check(r.seqs[0] > max(self.floor, a.seq) and r.seqs[0] not in self.given, "a seq was given before", r.seqs[0])
            a.seq = a.seqs[n] = r.seqs[0]
            self.given.add(a.seq)
            a.answered = n

    def drain_to(self, most):
        while len(self.flight) > most:
            self.store.turn(0.01)
            self.take_answers()

    def load(self, until):
        while time.monotonic() < until:
            if len(self.flight) < IN_FLIGHT:
                self.send_one()
                self.store.turn(0)
            else:
                self.store.turn(max(0, min(0.01, until - time.monotonic())))
            self.take_answers()

    # ---- the end of a run
    def die(self):
        self.total["kills"] += 1
        self.store.slay()
        self.take_answers()  # what it had said before it died holds
        self.flight.clear()
        self.store.kill()

    def pause(self, most):
        time.sleep(self.rng.random() * most)

    def run(self, mode):
        """One run of the process that ends with kill -9; the account's state is checked wherever it can be read."""
        s, began = self.store, time.monotonic()
        s.launch()
        if mode == "start":
            self.pause(self.total["start_s"] * 1.2)
            return self.die()
        s.wait(lambda: s.ready is not None or s.ended(), 20, "READY")
        check(s.ready is not None, "the store ended", s.status, s.said())
        self.total["start_s"] = time.monotonic() - began
        if mode in ("recovery", "making"):
            if not s.keyd.ask(pb.KEYRING_GET, pb.KeyringGet()).header:
                s.keyd.ask(pb.KEYRING_PUT, pb.Keyring(header=b"header"))
            s.keyd.post(pb.UNLOCK, s.unlock_request())
            self.pause(self.total["unlock_s" if mode == "recovery" else "make_s"] * 1.2)
            return self.die()
        self.unlock()
        unit = self.total["unit_s"]
        if mode == "rekey" and not s.next_keys:
            self.change_keys()
        elif mode == "backup":
            null = os.open(os.devnull, os.O_WRONLY)
            s.apid.post(pb.BACKUP, pb.Backup(), null)
            os.close(null)
        if mode in ("load", "rekey", "backup"):
            self.load(time.monotonic() + self.rng.random() * 3 * unit)
        elif mode == "checkpoint":
            self.until_checkpoint()
        elif mode == "stop":
            self.load(time.monotonic() + unit)
            s.ask_to_stop()
            self.pause(self.total["stop_s"] * 1.2)
        self.note_checkpoint()
        self.die()

    def file(self, a, ending=""):
        return os.stat(os.path.join(self.store.folder, "account-%s.db%s" % (a.who, ending)))

    def until_checkpoint(self):
        """Write more to a log than it rests with, and wait for the first page that the store writes back from it."""
        for _ in range(60):
            self.send_one(20000)
            self.drain_to(IN_FLIGHT)
        self.drain_to(0)
        was, end = [self.file(a).st_mtime_ns for a in self.accounts], time.monotonic() + 0.5
        while [self.file(a).st_mtime_ns for a in self.accounts] == was and time.monotonic() < end:
            time.sleep(0.0002)
        self.pause(0.006)

    def note_checkpoint(self):
        """Was a database written within the last moment? Only a checkpoint does that."""
        if time.time() - max(self.file(a).st_mtime for a in self.accounts) < 0.004:
            self.total["in_checkpoint"] += 1

    def unlock(self):
        began, first = time.monotonic(), self.log_id is None
        reply = self.store.opened()
        if self.store.next_keys and reply.service.rekeyed and all(a.rekeyed for a in reply.accounts):
            self.store.keys, self.store.next_keys = self.store.next_keys, None
            self.total["rekeyed"] += 1
        self.total["make_s" if first else "unlock_s"] = time.monotonic() - began
        check(self.log_id in (None, self.store.state.log_id), "the log keeps its name")
        self.log_id = self.store.state.log_id
        for a in self.accounts:
            self.look(a)
        self.floor = max(self.given, default=0)
        self.total["checks"] += 1

    def change_keys(self):
        """From here on each start comes with both keys, until all databases have the next."""
        s = self.store
        s.next_keys = {a: self.rng.randbytes(32) for a in s.keys}
        s.keyd.ask(pb.REKEY, pb.Rekey(service_next_key=s.next_keys[""], accounts=[
            pb.AccountKey(account=a, key=s.keys[a], next_key=s.next_keys[a]) for a in s.accounts]))

    # ---- what must be there
    def look(self, a):
        s = self.store
        newest = range(max(1, a.answered - 3), a.sent + 2)
        lookup = s.apid.post(pb.LOOKUP, pb.Lookup(
            account=a.who, jids=["1@s.whatsapp.net"], groups=["g"], collections=["c"], tokens=["t"],
            macs=[pb.MacsOf(collection="c", indexes=[a.mac(n) for n in newest])],
            pending=[pb.MessageName(chat="c", sender="s", id="%d" % n) for n in newest][:64]))
        device = s.apid.post(pb.DEVICE_LOAD, pb.DeviceLoad(account=a.who))
        records = s.keyd.post(pb.RECORDS_GET, pb.RecordsGet(account=a.who, names=[name(pb.SESSION, "chain")]))
        kept = s.keyd.post(pb.RECORDS_LIST, pb.RecordsList(account=a.who, domain=pb.SENDER_KEY, limit=1024, sealed=True))
        chain = s.keyd.answer(records).records[0]
        n = chain.version
        check(a.answered <= n, "a committed unit is lost", a.who, "answered %d, there are %d" % (a.answered, n))
        check(n <= a.sent, "a unit that was never sent", a.who, n, a.sent)
        self.total["doubt_whole"] += n - a.answered
        self.total["doubt_absent"] += a.sent - n
        self.stands(a, n, chain, s.keyd.answer(kept), s.apid.answer(lookup), s.apid.answer(device), newest)
        self.log_since(a, n)
        self.rows_since(a, n)
        self.total["units"] += n - a.seen
        a.sent = a.answered = a.seen = n

    def stands(self, a, n, chain, kept, lookup, device, newest):
        """Every domain says n, or it was a partial unit."""
        text = chain.sealed
        said = {
            "chain": int(text.split(b"-")[0] or 0) if n else 0,
            "device": device.login_counter,
            "contact": int(lookup.peers[0].contact.push_name[1:] or 0) if lookup.peers[0].HasField("contact") else 0,
            "collection": lookup.collections[0].version,
            "group": int(lookup.groups[0].metadata.split(b"-")[0] or 0),
            "token": lookup.tokens[0].token_s,
            "mac": max([i for i, v in zip(newest, lookup.macs[0].values) if v] + [0 if n < newest[0] else -1]) if n else 0,
        }
        check(set(said.values()) == {n}, "a partial unit of %s: the domains do not agree" % a.who, n, said)
        check(not n or lookup.groups[0].metadata == text, "a partial unit: group and record differ", a.who, n)
        check([d.has_key for d in lookup.groups[0].devices] == ([n % 2 == 0] if n else []), "sender-key mark", a.who, n)
        equal([i for i, p in zip(newest, lookup.pending) if p.stanza], [n] if n else [], "pending stanzas of " + a.who)
        want = ["s%d" % i for i in range(max(1, n - KEPT + 1), n + 1)]
        equal([r.name for r in kept.records], sorted(want), "records of the newest units of " + a.who)
        for r in kept.records:
            check(r.sealed.split(b"-")[0] == r.name[1:].encode(), "the bytes of a record", r.name)

    def log_since(self, a, n):
        new, at = [], a.event_at
        while True:
            got = self.store.events(at, accounts=[a.who])
            new += got.events
            at = got.scanned_seq
            if at >= got.last_seq:
                break
        equal([e.time_ms for e in new], list(range(a.seen + 1, n + 1)), "events of " + a.who)
        for e in new:
            check(e.seq > a.event_at, "a seq that is not new", e.seq)
            check(e.body.startswith(b'{"n":%d,' % e.time_ms) and e.body.endswith(b'"}'), "the body of an event", e.seq)
            given = a.seqs.pop(e.time_ms, None)
            check(given in (None, e.seq), "another seq than was answered", a.who, e.time_ms, given, e.seq)
            a.event_at = a.seq = e.seq
            self.given.add(e.seq)

    def rows_since(self, a, n):
        new = []
        while True:
            rows = self.store.apid.ask(pb.OUTBOX_LOAD, pb.OutboxLoad(account=a.who, after_row=a.row_at, limit=1000)).rows
            if not rows:
                break
            new, a.row_at = new + list(rows), rows[-1].row
        equal([r.put.message_id for r in new], ["m%d" % i for i in range(a.seen + 1, n + 1)], "outbox rows of " + a.who)
        for r in new:
            check(r.put.content.startswith(b"%d-" % r.put.created_ms) and list(r.put.devices) == ["d%d" % r.put.created_ms],
                  "a row", r.put.message_id)

    def all_again(self):
        """At the end of a life: everything from the beginning, and once more after a clean stop."""
        for clean in (False, True):
            self.store.start()
            self.unlock()
            seqs = {}
            for a in self.accounts:
                a.seen, a.event_at, a.row_at, was = 0, 0, 0, self.total["units"]
                self.log_since(a, a.answered)
                self.rows_since(a, a.answered)
                a.seen, self.total["units"] = a.answered, was
            for e in self.every_event():
                check(e.seq not in seqs, "a seq twice", e.seq)
                seqs[e.seq] = e.account
            equal(self.store.stop(), 0, "exit status after STOP")

    def every_event(self):
        at = 0
        while True:
            got = self.store.events(at)
            yield from got.events
            at = got.scanned_seq
            if at >= got.last_seq:
                return


MODES = ["load"] * 64 + ["rekey"] * 6 + ["backup"] * 4 + ["start"] * 6 + ["recovery"] * 8 + ["checkpoint"] * 7 + ["stop"] * 5


def worker(number, seed, kills):
    """A row of lives; what came of them, or the failure as a text."""
    rng, where = random.Random("%s-%d" % (seed, number)), folder("ward-kill-")
    total = collections.Counter()
    total.update({"start_s": 0.004, "unlock_s": 0.02, "make_s": 0.02, "unit_s": 0.005, "stop_s": 0.01})
    total = dict(total, rekeyed=0, kills=0, making=0, units=0, failed=0, checks=0, doubt_whole=0, doubt_absent=0, in_checkpoint=0)
    life, mode, lives = None, "", 0
    try:
        while total["kills"] < kills:
            lives += 1
            path = os.path.join(where, "life%d" % lives)
            life, end = Life(rng, path, total), min(kills, total["kills"] + LIFE)
            for mode in ["making"] * min(3, end - total["kills"]):
                total["making"] += 1
                life.run(mode)
            while total["kills"] < end:
                mode = rng.choice(MODES)
                total[mode] = total.get(mode, 0) + 1
                life.run(mode)
            mode = "the last look"
            life.all_again()
            shutil.rmtree(path)
    except (Failure, Refused, Closed) as e:
        life.store.kill()
        return total, "store %d, life %d, kill %d (%s): %s\n%s\nkept: %s" % (
            number, lives, total["kills"], mode, e, life.store.said(10), where)
    shutil.rmtree(where, ignore_errors=True)
    return total, "\n".join(REPORTS.said)


def main():
    seed, began = os.environ.get("WARD_SEED", os.urandom(6).hex()), time.monotonic()
    print("seed %s (WARD_SEED), %d kills in %d stores at once" % (seed, KILLS, STORES))
    share = [KILLS // STORES + (i < KILLS % STORES) for i in range(STORES)]
    with concurrent.futures.ProcessPoolExecutor(STORES, multiprocessing.get_context("fork")) as pool:
        results = list(pool.map(worker, range(STORES), [seed] * STORES, share))
    sums = collections.Counter()
    for total, _ in results:
        sums.update({k: v for k, v in total.items() if isinstance(v, int)})
    failures = [text for text in [text for _, text in results] + [REPORTS.take()] if text]
    for text in failures:
        print("FAIL " + text)
    print("kill -9 of stored: %(kills)d times (%(load)d under load, %(start)d at the start, %(recovery)d in recovery, %(stop)d at "
          "the stop, %(making)d in its making, %(backup)d in a backup, %(rekey)d while keys are changed, %(in_checkpoint)d within 4 ms of a checkpoint's write)" % sums)
    print("  %(units)d units committed, %(failed)d failed on purpose; in doubt at a kill: %(doubt_whole)d whole, "
          "%(doubt_absent)d absent; %(rekeyed)d times all keys were changed; looked at after %(checks)d starts" % sums)
    if not failures:
        print("  0 partial units, 0 lost committed units, no seq twice; %.0f s" % (time.monotonic() - began))
    check(failures or sums["kills"] == KILLS and sums["units"] > 0 and sums["doubt_absent"] > 0, "it was a load", sums)
    print("test_kill: %d passed, %d failed" % (not failures, bool(failures)))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
