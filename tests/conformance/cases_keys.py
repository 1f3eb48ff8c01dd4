"""Conformance: the keyring, what is refused before UNLOCK, and UNLOCK itself."""

import functools
import os

from rig import Closed, event, name, pb, put
from suite import case, check, equal, refused


def header(c):
    return c.keyd.ask(pb.KEYRING_GET, pb.KeyringGet()).header


@case("the keyring is empty at first, and then what was put last, whatever its bytes", locked=True)
def keyring(c):
    equal(header(c), b"", "no keyring yet")
    for data in (b"\0", bytes(range(256)) * 4, b"x" * 1024, b"short"):
        c.keyd.ask(pb.KEYRING_PUT, pb.Keyring(header=data))
        equal(header(c), data, "the keyring")


@case("a keyring of one byte more than 1024 is not taken", locked=True, durable=True)
def keyring_too_long(c):
    c.keyd.ask(pb.KEYRING_PUT, pb.Keyring(header=b"good"))
    try:
        refused("bad_request", lambda: c.keyd.ask(pb.KEYRING_PUT, pb.Keyring(header=b"x" * 1025)), "1025 bytes")
    except Closed:
        c.kill()
        c.start()
    equal(header(c), b"good", "the keyring")


@case("the keyring outlives a stop and a kill", durable=True, locked=True)
def keyring_again(c):
    for kill in (False, True):
        c.keyd.ask(pb.KEYRING_PUT, pb.Keyring(header=b"header %d" % kill))
        c.kill() if kill else c.stop()
        c.start()
        equal(header(c), b"header %d" % kill, "the keyring after the start")


REQUESTS = [
    ("keyd", pb.RECORDS_GET, pb.RecordsGet(names=[name(pb.SESSION, "a")])),
    ("keyd", pb.RECORDS_LIST, pb.RecordsList(domain=pb.SESSION, limit=1)),
    ("apid", pb.UNIT_COMMIT, pb.UnitCommit(unit=1, stages=0, writes=[event()])),
    ("apid", pb.DEVICE_LOAD, pb.DeviceLoad()),
    ("apid", pb.LOOKUP, pb.Lookup()),
    ("apid", pb.OUTBOX_LOAD, pb.OutboxLoad(after_row=0, limit=1)),
    ("apid", pb.OUTBOX_COUNT, pb.OutboxCount(since_ms=0)),
    ("apid", pb.QUARANTINE, pb.Quarantine(below=1)),
    ("apid", pb.OUTBOX_FIND, pb.OutboxFind(message_id="m")),
    ("apid", pb.SCAN, pb.Scan(table=pb.CONTACTS, limit=1)),
    ("apid", pb.RECORDS_LIST, pb.RecordsList(domain=pb.SESSION, limit=1)),
]
OF_SERVICE = [
    ("apid", pb.EVENTS_READ, pb.EventsRead(after_seq=0, limit=1, max_bytes=1)),
    ("apid", pb.CONSUMER_OPEN, pb.ConsumerOpen(name="c", uid=1, **{"from": pb.ConsumerOpen.RESUME})),
    ("apid", pb.CONSUMER_ACK, pb.ConsumerAck(name="c", uid=1, seq=0)),
    ("apid", pb.CONSUMER_LIST, pb.ConsumerList()),
    ("apid", pb.CONSUMER_DELETE, pb.ConsumerDelete(name="c", uid=1)),
]


def each(c, requests, account=None):
    for peer, kind, message in requests:
        if account is not None:
            message.account = account
        yield "%s of %s" % (pb.Type.Name(kind), peer), functools.partial(getattr(c, peer).ask, kind, message)


@case("before UNLOCK every request but those of the keyring is answered with locked", locked=True)
def before_unlock(c):
    for what, fn in each(c, REQUESTS, "alice"):
        refused("locked", fn, what)
    for what, fn in each(c, OF_SERVICE):
        refused("locked", fn, what)
    c.opened()
    c.alive()


@case("UNLOCK answers for every account and the service, and apid is told how things stand", locked=True)
def unlock(c):
    r = c.unlock()
    equal(sorted((a.account, a.ok) for a in r.accounts), [("alice", True), ("bob", True)], "the accounts")
    equal((r.service.account, r.service.ok), ("", True), "the service's own")
    s = c.state
    equal((sorted((a.account, a.ok) for a in s.accounts), s.service.ok, s.last_seq),
          ([("alice", True), ("bob", True)], True, 0), "the state")
    check(s.log_id, "the log has a name")
    check(not s.disk_low, "the disk is not low")


@case("an account that keyd gives no key for is not opened, with a reason; the others are", locked=True)
def unlock_without_a_key(c):
    c.keys.pop("bob")
    r = c.unlock()
    bob = [a for a in r.accounts if a.account == "bob"][0]
    check(r.service.ok and not bob.ok and bob.reason, "bob is not open", r)
    for what, fn in each(c, REQUESTS, "bob"):
        refused("account_failed", fn, what)
    c.alive()


@case("an account that is not configured is unknown")
def unknown_account(c):
    for who in ("carol", "Alice", "alice ", "ali"):
        for what, fn in each(c, REQUESTS, who):
            refused("unknown_account", fn, what + " for " + repr(who))
    refused("unknown_account", lambda: c.events(accounts=["alice", "carol"]), "EVENTS_READ of one that is unknown")
    c.stage("carol", 1, [put(pb.SESSION, "a", 1, b"x")])
    check(not c.done("carol", 1), "keyd is told that its unit did not happen")
    c.alive()


@case("databases open again with their own keys only", durable=True)
def other_keys(c):
    c.ok("alice", event(), puts=[put(pb.SESSION, "a", 1, b"x")])
    c.stop()
    right = dict(c.keys)
    for wrong in ("alice", ""):
        c.keys = dict(right, **{wrong: os.urandom(32)})
        c.start()
        r = c.unlock()
        by = {a.account: a for a in list(r.accounts) + [r.service]}
        check(not by[wrong].ok and by[wrong].reason == "wrong_key" and by[wrong].text, "a wrong key is named", r)
        equal(by["bob"].ok, wrong != "", "the others open unless the service's own is closed")
        refused("account_failed", lambda: c.device("alice"), "DEVICE_LOAD of alice")
        c.stop()
    c.keys = right
    c.start()
    c.opened()
    equal(c.records("alice", name(pb.SESSION, "a")), [(1, b"x")], "the record, with the right keys")
