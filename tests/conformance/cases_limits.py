"""Conformance: sizes just over each bound, requests that make no sense, and peers that break the contract."""

import os
import struct

from rig import HEADER, REPLY, SLOW, WITH_FD, Closed, Failure, Refused, delete, event, name, pb, put
from sample import Sample, difference, dump
from suite import case, check, equal, refused

W = pb.Write
S = pb.SESSION
LONG = "x" * 161


def own(message, **more):
    """A good message of a kind with some fields changed."""
    out = type(message).FromString(message.SerializeToString())
    for k, v in more.items():
        at = out
        *path, last = k.split("__")
        for p in path:
            at = getattr(at, p)
        if isinstance(v, list):
            del getattr(at, last)[:]
            getattr(at, last).extend(v)
        elif hasattr(v, "SerializeToString"):
            getattr(at, last).CopyFrom(v)
        else:
            setattr(at, last, v)
    return out


_s = Sample("GOOD")
G = {w.ListFields()[0][0].name: w for w in _s.writes()}
G["token_received"] = W(token_received=pb.TokenReceived(user="u@lid", token=b"t", token_s=1))
G["macs_delete"] = W(macs_delete=pb.MacsDelete(collection="c", indexes=[b"i" * 32]))
G["sender_key_drop"] = W(sender_key_drop=pb.DeviceNames(devices=["d@lid"]))

WRITES = [  # what, the write; each is one step over a bound that ipc/stored.proto names
    ("no field", W()),
    ("two fields", W(mark="m", token_delete="u")),
    ("an event body of 256 KiB and one byte", own(G["event"], event__body=b"{" + b" " * (256 << 10))),
    ("five unless keys", own(G["event"], event__unless=list("abcde"))),
    ("an origin that is none", own(G["event"], event__origin="future")),
    ("a body that is no object", own(G["event"], event__body=b"[1]")),
    ("a params hash of 31 bytes", own(G["outbox_put"], outbox_put__params_hash=b"h" * 31)),
    ("a params hash of 33 bytes", own(G["outbox_put"], outbox_put__params_hash=b"h" * 33)),
    ("4097 devices of a message", own(G["outbox_put"], outbox_put__devices=["d"] * 4097)),
    ("4097 devices in an update", own(G["outbox_update"], outbox_update__devices=["d"] * 4097)),
    ("a status that is none", own(G["receipt"], receipt__status="opened")),
    ("a contact's id that is none", own(G["contact"], contact__id="u_short")),
    ("a contact's id of another kind", own(G["contact"], contact__id="x_" + "a" * 26)),
    ("257 devices in a list", own(G["device_list"], device_list__devices=[pb.Device(id=i) for i in range(257)])),
    ("a hash of 127 bytes", own(G["collection_put"], collection_put__hash=b"h" * 127)),
    ("a hash of 129 bytes", own(G["collection_put"], collection_put__hash=b"h" * 129)),
    ("a collection's name of 65 bytes", own(G["collection_put"], collection_put__name="n" * 65)),
    ("a collection without a name", own(G["collection_put"], collection_put__name="")),
    ("a MAC's index of 31 bytes", own(G["macs_put"], macs_put__macs=[pb.Mac(index=b"i" * 31, value=b"v" * 32)])),
    ("a MAC's index of 33 bytes", own(G["macs_put"], macs_put__macs=[pb.Mac(index=b"i" * 33, value=b"v" * 32)])),
    ("a MAC of 31 bytes", own(G["macs_put"], macs_put__macs=[pb.Mac(index=b"i" * 32, value=b"v" * 31)])),
    ("a MAC of 33 bytes", own(G["macs_put"], macs_put__macs=[pb.Mac(index=b"i" * 32, value=b"v" * 33)])),
    ("an index of 31 bytes to delete", own(G["macs_delete"], macs_delete__indexes=[b"i" * 31])),
    ("4097 sender-key marks", own(G["sender_key_status"], sender_key_status__devices=[
        pb.SenderKeyDevice(device="d%d" % i, has_key=True) for i in range(4097)])),
    ("4097 devices that are gone", own(G["sender_key_drop"], sender_key_drop__devices=["d"] * 4097)),
    ("512 KiB and one byte of metadata", own(G["group_put"], group_put__metadata=b"m" * ((512 << 10) + 1))),
    ("a base key of 32 bytes", own(G["base_key_put"], base_key_put__key=b"k" * 32)),
    ("a base key of 34 bytes", own(G["base_key_put"], base_key_put__key=b"k" * 34)),
    ("a base key's address of 161 bytes", own(G["base_key_put"], base_key_put__name__address=LONG)),
    ("a base key without an address", own(G["base_key_put"], base_key_put__name__address="")),
    ("a base key's message id of 129 bytes", own(G["base_key_put"], base_key_put__name__message_id="m" * 129)),
    ("a token of 257 bytes", own(G["token_put"], token_put__token=b"t" * 257)),
    ("a received token of 257 bytes", own(G["token_received"], token_received__token=b"t" * 257)),
    ("a received token of nothing", own(G["token_received"], token_received__token=b"")),
    ("a pending stanza of nothing", own(G["pending_put"], pending_put__stanza=b"")),
    ("a pending stanza of 1 MiB and one byte", own(G["pending_put"], pending_put__stanza=b"s" * ((1 << 20) + 1))),
    ("a pending message's id of 129 bytes", own(G["pending_put"], pending_put__name__id="i" * 129)),
    ("a pending message without an id", own(G["pending_put"], pending_put__name__id="")),
    ("a mark of nothing", W(mark="")),
]
STAGES = [
    ("1025 puts", dict(puts=[put(S, "n%d" % i, 1, b"x") for i in range(1025)])),
    ("2 MiB and one byte", dict(puts=[put(S, "a", 1, b"x" * (1 << 20)), put(S, "b", 1, b"x" * (1 << 20)), put(S, "c", 1, b"x")])),
    ("a record of 1 MiB and one byte", dict(puts=[put(S, "a", 1, b"x" * ((1 << 20) + 1))])),
    ("a record without bytes", dict(puts=[put(S, "a", 1, b"")])),
    ("a name of 161 bytes", dict(puts=[put(S, LONG, 1, b"x")])),
    ("no name", dict(puts=[put(S, "", 1, b"x")])),
    ("version 0", dict(puts=[put(S, "a", 0, b"x")])),
    ("deleting version 0", dict(deletes=[delete(S, "a", 0)])),
    ("deleting a name of 161 bytes", dict(deletes=[delete(S, LONG, 1)])),
    ("an expiry before all times", dict(puts=[put(pb.MSG_SECRET, "a", 1, b"x", expires_s=-1)])),
    ("a message before all times", dict(puts=[put(pb.MSG_SECRET, "a", 1, b"x", message_s=-1)])),
    ("a flag of what is no prekey", dict(puts=[put(S, "a", 1, b"x", uploaded=True)])),
    ("times of what is no secret", dict(puts=[put(S, "a", 1, b"x", expires_s=5)])),
]


def named(what, fn):
    try:
        fn()
    except Failure as e:
        raise Failure("%s: %s" % (what, e))


@case("a write just over a bound, or one that makes no sense, fails its unit with bad_request and changes nothing")
def writes(c):
    c.ok("alice", *_s.writes(), puts=_s.puts())
    before = dump(c, [_s])
    for what, write in WRITES:
        named(what, lambda: c.fails("bad_request", "alice", event(), write, event()))
    for what, stage in STAGES:
        named("STAGE of " + what, lambda: c.fails("bad_request", "alice", event(), **stage))
    diff = difference(before, dump(c, [_s]))
    check(diff is None, "something changed", diff)
    for key, write in G.items():
        if key not in ("outbox_put", "event"):
            c.ok("alice", write)
    c.alive()


READS = [
    ("keyd", pb.RECORDS_GET, pb.RecordsGet(account="alice", names=[name(S, LONG)])),
    ("keyd", pb.RECORDS_GET, pb.RecordsGet(account="alice", names=[name(S, "")])),
    ("keyd", pb.RECORDS_LIST, pb.RecordsList(account="alice", domain=S, limit=1025)),
    ("keyd", pb.RECORDS_LIST, pb.RecordsList(account="alice", domain=S, limit=1, uploaded=True)),
    ("apid", pb.RECORDS_LIST, pb.RecordsList(account="alice", domain=S, limit=1025)),
    ("apid", pb.RECORDS_LIST, pb.RecordsList(account="alice", domain=S, limit=1, sealed=True)),
    ("apid", pb.OUTBOX_LOAD, pb.OutboxLoad(account="alice", after_row=0, limit=0)),
    ("apid", pb.OUTBOX_LOAD, pb.OutboxLoad(account="alice", after_row=0, limit=1001)),
    ("apid", pb.OUTBOX_FIND, pb.OutboxFind(account="alice")),
    ("apid", pb.EVENTS_READ, pb.EventsRead(after_seq=0, limit=0, max_bytes=1)),
    ("apid", pb.EVENTS_READ, pb.EventsRead(after_seq=0, limit=1, max_bytes=0)),
    ("apid", pb.SCAN, pb.Scan(account="alice", table=pb.GROUPS, limit=0)),
    ("apid", pb.SCAN, pb.Scan(account="alice", table=pb.GROUPS, limit=1001)),
    ("apid", pb.LOOKUP, pb.Lookup(account="alice", macs=[pb.MacsOf(collection="c", indexes=[b"short"])])),
    ("apid", pb.LOOKUP, pb.Lookup(account="alice", base_keys=[pb.BaseKey(
        name=pb.BaseKeyName(address="a", message_id="m"), key=b"short")])),
]


@case("a read that makes no sense is answered with bad_request")
def reads(c):
    for peer, kind, message in READS:
        refused("bad_request", lambda: getattr(c, peer).ask(kind, message), "%s %s" % (pb.Type.Name(kind), message))
    c.alive()


@case("a place that SCAN never gave is refused or leads nowhere, and does no harm")
def scan_places(c):
    c.ok("alice", *_s.writes())
    for table in (pb.CONTACTS, pb.DEVICE_LISTS, pb.GROUPS, pb.COLLECTIONS, pb.TOKENS, pb.PENDINGS):
        for after in ("", "nonsense", "-1", "9" * 30, "\u4e16", "x" * 400, "a\x01b", "'"):
            try:
                c.apid.ask(pb.SCAN, pb.Scan(account="alice", table=table, limit=5, after=after))
            except Refused as e:
                equal(e.code, "bad_request", "after %r" % after)
    c.alive()


@case("a name with a NUL in it is refused, or is another name than the one before the NUL", durable=True)
def nul(c):
    c.ok("alice", puts=[put(S, "ab", 1, b"ab")])
    try:
        r = c.commit("alice", puts=[put(S, "ab\0c", 1, b"with NUL")])
        if r.committed:
            equal(c.records("alice", name(S, "ab"), name(S, "ab\0c")), [(1, b"ab"), (1, b"with NUL")], "two records")
            return
    except (Closed, Refused):
        c.kill()
        c.start()
        c.opened()
    equal(c.records("alice", name(S, "ab")), [(1, b"ab")], "the record")


# ---------------------------------------------------------------- peers that do not read

def memory(c):
    """MiB that the process has in memory."""
    with open("/proc/%d/status" % c.pid) as f:
        return [int(line.split()[1]) for line in f if line.startswith("VmRSS")][0] >> 10


@case("a peer that asks and does not read takes no memory without end, and does not hold up the other")
def deaf(c):
    for i in range(5):
        c.ok("alice", event(body=b"{" + b" " * 200000 + b"}"), puts=[put(S, "big%d" % i, 1, b"x" * 400000)])
    read = pb.EventsRead(after_seq=0, limit=1000, max_bytes=1 << 20)
    listing = pb.RecordsList(account="alice", domain=S, limit=1024, sealed=True)
    for asker, kind, message, other, other_kind, other_message in (
            (c.apid, pb.EVENTS_READ, read, c.keyd, pb.RECORDS_GET, pb.RecordsGet(account="alice", names=[name(S, "big0")])),
            (c.keyd, pb.RECORDS_LIST, listing, c.apid, pb.DEVICE_LOAD, pb.DeviceLoad(account="alice"))):
        was, asker.deaf = memory(c), True
        numbers = [asker.post(kind, message) for _ in range(100)]
        for _ in range(50):
            other.ask(other_kind, other_message)
        # a sanitizer keeps what was freed
        check(SLOW > 1 or memory(c) - was < 50, "memory while %s does not read" % asker.name, was, memory(c))
        asker.deaf = False
        sizes = {asker.answer(n).ByteSize() for n in numbers}
        check(len(sizes) == 1 and sizes.pop() > 900000, "all answers, whole", sizes)
    c.alive()


# ---------------------------------------------------------------- breaches

def frame(kind, message, number=0, flags=0, zero=0):
    """Sends a frame as given to one peer."""
    def send(peer):
        payload = message.SerializeToString() if hasattr(message, "SerializeToString") else message
        peer.raw(HEADER.pack(kind, len(payload), number, flags, zero) + payload)
    return send


def opened_twice(peer):
    for unit in (5, 5):
        peer.notify(pb.UNIT_OPEN, pb.UnitOpen(account="alice", unit=unit))


def out_of_order(peer):
    for unit in (6, 5):
        peer.notify(pb.UNIT_OPEN, pb.UnitOpen(account="alice", unit=unit))


def committed_twice(peer):
    peer.notify(pb.UNIT_OPEN, pb.UnitOpen(account="alice", unit=5))
    for number in (1000, 1001):
        frame(pb.UNIT_COMMIT, pb.UnitCommit(account="alice", unit=5, stages=1), number)(peer)


def with_fd(kind, message, number):
    def send(peer):
        fd = os.open(os.devnull, os.O_RDONLY)
        payload = message.SerializeToString()
        peer.raw(HEADER.pack(kind, len(payload), number, WITH_FD, 0) + payload, fd)
        os.close(fd)
    return send


LOAD = pb.DeviceLoad(account="alice")
BREACHES = [
    ("apid", "a type that is none", frame(9999, b"", 7)),
    ("apid", "a type of keyd's", frame(pb.KEYRING_GET, b"", 7)),
    ("keyd", "a type of apid's", frame(pb.DEVICE_LOAD, LOAD, 7)),
    ("keyd", "type 0", frame(0, b"", 7)),
    ("apid", "a type that only the store sends", frame(pb.STORE_STATE, b"", 0)),
    ("apid", "a request without an id", frame(pb.DEVICE_LOAD, LOAD, 0)),
    ("apid", "a notice with an id", frame(pb.UNIT_OPEN, pb.UnitOpen(account="alice", unit=5), 7)),
    ("keyd", "a notice with an id", frame(pb.STAGE, pb.Stage(account="alice", unit=5), 7)),
    ("apid", "an answer that nobody asked for", frame(pb.DONE, b"", 7, REPLY)),
    ("apid", "flags that are none", frame(pb.DEVICE_LOAD, LOAD, 7, 0x8000)),
    ("apid", "a header that is not zero where it should be", frame(pb.DEVICE_LOAD, LOAD, 7, 0, 1)),
    ("apid", "a payload that is no message", frame(pb.DEVICE_LOAD, b"\xff\xff\xff\xff", 7)),
    ("apid", "a message without its required fields", frame(pb.OUTBOX_LOAD, pb.DeviceLoad(account="alice-0"), 7)),
    ("apid", "a field that the contract does not know", frame(pb.DEVICE_LOAD, LOAD.SerializeToString() + b"\x78\x01", 7)),
    ("apid", "a length of 4 GiB", lambda peer: peer.raw(struct.pack(">IIIHH", pb.LOOKUP, 0xffffffff, 7, 0, 0))),
    ("apid", "a length far beyond its type", lambda peer: peer.raw(struct.pack(">IIIHH", pb.LOOKUP, 64 << 20, 7, 0, 0))),
    ("keyd", "a STAGE of 17 MiB", lambda peer: peer.raw(struct.pack(">IIIHH", pb.STAGE, 17 << 20, 0, 0, 0))),
    ("apid", "a descriptor where none belongs", with_fd(pb.DEVICE_LOAD, LOAD, 7)),
    ("keyd", "UNLOCK a second time", frame(pb.UNLOCK, pb.Unlock(service_key=b"k" * 32), 7)),
    ("apid", "a unit opened twice", opened_twice),
    ("apid", "units opened out of order", out_of_order),
    ("apid", "a unit committed twice", committed_twice),
]


@case("a peer that breaks the contract loses its channel, and what was committed stays", durable=True)
def breaches(c):
    c.ok("alice", *_s.writes(), puts=_s.puts())
    before = dump(c, [_s])
    for peer, what, send in BREACHES:
        send(getattr(c, peer))
        try:
            c.wait(lambda: getattr(c, peer).closed or c.ended(), 10, "the channel is closed after " + what)
        finally:
            c.kill()
        c.start()
        c.opened()
        diff = difference(before, dump(c, [_s]))
        check(diff is None, "after %s of %s something changed" % (what, peer), diff)


@case("UNLOCK with keys that are none is refused or ends the channel, and opens nothing", locked=True, durable=True)
def unlock_keys(c):
    k = b"k" * 32
    rows = [("31 bytes", pb.Unlock(service_key=k[1:], accounts=[pb.AccountKey(account="alice", key=k)])),
            ("33 bytes", pb.Unlock(service_key=k, accounts=[pb.AccountKey(account="alice", key=k + b"k")])),
            ("no bytes", pb.Unlock(service_key=k, accounts=[pb.AccountKey(account="alice", key=b"")])),
            ("an account twice", pb.Unlock(service_key=k, accounts=[pb.AccountKey(account="alice", key=k)] * 2))]
    for what, rq in rows:
        try:
            refused("bad_request", lambda: c.keyd.ask(pb.UNLOCK, rq), what)
            refused("locked", lambda: c.device("alice"), "after " + what)
        except Closed:
            pass
        c.kill()
        c.start()
    c.opened()
    c.alive()
