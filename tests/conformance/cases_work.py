"""Conformance: long work. A store need not be able to do any of it, but says so; what it does, it does to the end."""

import hashlib
import os
import shutil
import tarfile
import tempfile

from rig import Refused, event, pb
from sample import Sample, difference, dump, events
from suite import Skip, Subject, case, check, equal, refused

W = pb.Write


def task(c, kind, message, fd=None, seconds=60):
    """Begin, with units going on meanwhile, and wait for its end; Skip if the store cannot."""
    try:
        number = c.apid.ask(kind, message, fd=fd).task
    except Refused as e:
        if e.code == "unsupported":
            c.alive()
            raise Skip(pb.Type.Name(kind))
        raise
    finally:
        if fd is not None:
            os.close(fd)
    for i in range(20):
        c.ok(("alice", "bob")[i % 2], event(), W(mark="meanwhile-%d" % i))
    state = c.apid.notice(pb.TASK_STATE, lambda m: m.task == number and m.ended, seconds)
    check(state.done <= state.total or state.reason, "how far it came", state)
    return state


def some(c):
    samples = [Sample("W%d" % i) for i in range(4)]
    for i, s in enumerate(samples):
        c.ok(("alice", "bob")[i % 2], *s.writes(), puts=s.puts(size=3000))
    return samples


@case("CHECK reads all of a sound store and finds nothing")
def whole(c):
    some(c)
    state = task(c, pb.CHECK, pb.Check())
    equal((state.HasField("reason"), state.ended), (False, True), "the end of CHECK: %s" % state)
    c.alive()


@case("SNAPSHOT is made beside the store and changes nothing in it; names that lead elsewhere are refused")
def snapshot(c):
    samples = some(c)
    was = dump(c, samples)
    state = task(c, pb.SNAPSHOT, pb.Snapshot(name="one.A_-9"))
    check(not state.HasField("reason"), "the end of SNAPSHOT", state)
    for bad in ("", "..", "a..b", "a/b", "x" * 65, "\u00e9", "a b"):
        refused("bad_request", lambda: c.apid.ask(pb.SNAPSHOT, pb.Snapshot(name=bad)), "the name %r" % bad)
    diff = difference([x for x in was if x[0] != "events"], [x for x in dump(c, samples) if x[0] != "events"])
    check(diff is None, "the store", diff)
    if not c.volatile:
        c.again()
        diff = difference([x for x in was if x[0] != "events"], [x for x in dump(c, samples) if x[0] != "events"])
        check(diff is None, "the store after a start beside a snapshot", diff)


def from_backup(c, members, where):
    """A store over what is in a backup, laid down as the contract says."""
    for n, data in members.items():
        if n not in ("ward-backup", "ward-digests"):
            with open(os.path.join(where, "keyring.0" if n == "keyring" else n), "wb") as f:
                f.write(data)
    other = Subject(["true"], where, c.accounts, keys=c.keys)
    other.args, other.config = c.args, c.config
    return other


@case("BACKUP is a tar of the keyring and the databases, with a digest of each; a store over it stands at one moment")
def backup(c):
    samples = some(c)
    was = dump(c, samples)
    fd, path = tempfile.mkstemp(prefix="ward-backup-")
    try:
        state = task(c, pb.BACKUP, pb.Backup(), fd)
        check(not state.HasField("reason"), "the end of BACKUP", state)
        with tarfile.open(path) as tar:
            members = {m.name: tar.extractfile(m).read() for m in tar.getmembers()}
            order = [m.name for m in tar.getmembers()]
        check(order[:2] == ["ward-backup", "keyring"] and order[-1] == "ward-digests" and len(order) > 3, "members", order)
        check(c.state.log_id in members["ward-backup"].decode(), "the log's name is told", members["ward-backup"])
        want = "".join("%s  %s\n" % (hashlib.blake2b(members[n], digest_size=32).hexdigest(), n) for n in order[:-1])
        equal(members["ward-digests"].decode(), want, "the digests")
        check(b"header" in members["keyring"], "the keyring")
    finally:
        os.remove(path)
    where = tempfile.mkdtemp(prefix="ward-restored-")
    try:
        with from_backup(c, members, where) as other:
            other.opened()
            equal(other.state.log_id, c.state.log_id, "the log's name")
            then, now = events(other), events(c)
            equal(then, now[:len(then)], "its events are the first of those that there are now")
            check(len(then) >= was_last(was), "and all that were there before", len(then))
            diff = difference([x for x in was if x[0] != "events"], [x for x in dump(other, samples) if x[0] != "events"])
            check(diff is None, "all else", diff)
            other.alive()
    finally:
        shutil.rmtree(where)
    c.alive()


@case("one task at a time: a second is busy; one that is cancelled ends, and says so")
def tasks(c):
    some(c)
    reader, writer = os.pipe()
    try:
        first = c.apid.ask(pb.BACKUP, pb.Backup(), fd=writer).task
    except Refused as e:
        equal(e.code, "unsupported", "BACKUP")
        raise Skip("BACKUP")
    finally:
        os.close(writer)
    try:
        for i in range(4):  # more than a pipe holds
            c.ok("alice", *Sample("M%d" % i).writes(), puts=Sample("M%d" % i).puts(size=9000))
        refused("busy", lambda: c.apid.ask(pb.CHECK, pb.Check()), "a second task")
        c.apid.notify(pb.TASK_CANCEL, pb.TaskCancel(task=first + 1000))
        c.alive()
        c.apid.notify(pb.TASK_CANCEL, pb.TaskCancel(task=first))
        state = c.apid.notice(pb.TASK_STATE, lambda m: m.task == first and m.ended)
        equal(state.reason, "cancelled", "why it ended")
    finally:
        os.close(reader)
    state = task(c, pb.CHECK, pb.Check())
    check(not state.HasField("reason"), "the next one", state)


@case("a reader of a backup that goes away ends it, and nothing else")
def reader_gone(c):
    some(c)
    reader, writer = os.pipe()
    os.close(reader)
    state = task(c, pb.BACKUP, pb.Backup(), writer)
    equal(state.reason, "reader_gone", "why it ended")
    c.alive()


@case("long work is refused before UNLOCK", locked=True)
def before_unlock(c):
    for kind, message in ((pb.CHECK, pb.Check()), (pb.SNAPSHOT, pb.Snapshot(name="n"))):
        refused(("locked", "unsupported"), lambda: c.apid.ask(kind, message), pb.Type.Name(kind))
    refused(("locked", "unsupported"), lambda: c.keyd.ask(pb.REKEY, pb.Rekey(service_next_key=b"k" * 32)), "REKEY")
    c.opened()
    c.alive()


def unlock_with(c, keys, nexts=None):
    c.keys, c.next_keys = keys, nexts
    reply = c.unlock()
    return {a.account: a for a in list(reply.accounts) + [reply.service]}


@case("REKEY gives each database its next key while units go on; then the new keys open all, and the old ones nothing",
      durable=True)
def rekey(c):
    samples = some(c)
    was, old, new = dump(c, samples), dict(c.keys), {a: os.urandom(32) for a in c.keys}
    pairs = [pb.AccountKey(account=a, key=old[a], next_key=new[a]) for a in c.accounts]
    try:
        c.keyd.ask(pb.REKEY, pb.Rekey(service_next_key=new[""], accounts=pairs, check=True))
    except Refused as e:
        equal(e.code, "unsupported", "REKEY")
        c.alive()
        raise Skip("REKEY")
    refused("bad_request", lambda: c.keyd.ask(pb.REKEY, pb.Rekey(service_next_key=new[""], accounts=pairs[:1])), "one is missing")
    c.again()  # nothing has been done yet
    c.keyd.ask(pb.REKEY, pb.Rekey(service_next_key=new[""], accounts=pairs))
    left = {"", "alice", "bob"}
    for i in range(200):
        c.ok(("alice", "bob")[i % 2], event(body=b'{"during":%d}' % i))
    while left:
        left.remove(c.keyd.notice(pb.REKEYED, lambda m: m.account in left, 60).account)
    during = c.events(was_last(was)).events
    equal([e.body for e in during], [b'{"during":%d}' % i for i in range(200)], "units that came meanwhile")
    equal(c.stop(), 0, "exit status")
    for what, keys, nexts, ok, rekeyed in (("old ones", old, None, False, False), ("both", old, new, True, True),
                                           ("new ones", new, None, True, False)):
        c.start()
        by = unlock_with(c, keys, nexts)
        equal({k: a.ok for k, a in by.items()}, dict.fromkeys(by, ok), "opened with the " + what)
        if nexts:
            equal({k: a.rekeyed for k, a in by.items()}, dict.fromkeys(by, rekeyed), "told as rekeyed")
        if ok:
            diff = difference([x for x in was if x[0] != "events"], [x for x in dump(c, samples) if x[0] != "events"])
            check(diff is None, "all that was there, with the " + what, diff)
            c.alive()
        equal(c.stop(), 0, "exit status")


def was_last(dumped):
    return [m for what, m in dumped if what == "events"][0].events[-1].seq


@case("a change of keys that a kill breaks off goes on after UNLOCK with both keys, and loses nothing", durable=True)
def rekey_resumed(c):
    samples = some(c)
    for i in range(30):
        c.ok("alice", *Sample("X%d" % i).writes(), puts=Sample("X%d" % i).puts(size=9000))
    was, old, new = dump(c, samples), dict(c.keys), {a: os.urandom(32) for a in c.keys}
    try:
        c.keyd.ask(pb.REKEY, pb.Rekey(service_next_key=new[""], accounts=[
            pb.AccountKey(account=a, key=old[a], next_key=new[a]) for a in c.accounts]))
    except Refused as e:
        equal(e.code, "unsupported", "REKEY")
        raise Skip("REKEY")
    for round in range(3):
        c.ok("alice", W(mark="round-%d" % round))
        c.kill()
        c.start()
        by = unlock_with(c, old, new)
        check(all(a.ok for a in by.values()), "opened with both", by)
    left = {k for k, a in by.items() if not a.rekeyed}
    while left:
        left.remove(c.keyd.notice(pb.REKEYED, lambda m: m.account in left, 60).account)
    equal(c.stop(), 0, "exit status")
    c.start()
    by = unlock_with(c, new)
    check(all(a.ok for a in by.values()), "opened with the new keys", by)
    diff = difference(was, dump(c, samples))
    check(diff is None, "all that was there", diff)
