"""Conformance: the device record, contacts, device lists, groups with their sender-key marks, base keys, pending stanzas."""

from rig import pb
from sample import Sample, scan
from suite import case, check, equal

W = pb.Write
A, B, C = ("u_" + c * 26 for c in "abc")


# ---------------------------------------------------------------- device

@case("a device record that was never saved is empty; a write sets what it names and leaves the rest")
def device(c):
    equal(c.device("alice"), pb.DeviceRecord(), "never saved")
    full = pb.DeviceRecord(
        jid="1:2@s.whatsapp.net", lid="3:2@lid", push_name="N\u00e9\u4e16", business_name="B", platform="android",
        server_has_prekeys=True, lid_migrated=True, login_counter=-7, routing_info=b"\0\1\xff", initial_sync_pending=False,
        state="stopped", state_reason="r", state_since_ms=1 << 41, linked_ms=0, paused=False, state_until_ms=-1,
        app_version="2.3000.1", app_version_ms=5, props_hash="h", props="1 2=3", state_code=402, state_subcode=104, nct_salt=b"\xfe\0", read_receipts_disabled=True,
        client_expires_version="v", client_expires_ms=6, restrictions="{}", outbox_holds="[]")
    c.ok("alice", W(device=full))
    equal(c.device("alice"), full, "every field")
    for field, value in full.ListFields():
        one = pb.DeviceRecord(**{field.name: type(value)() if not isinstance(value, (str, bytes)) else value * 2})
        c.ok("alice", W(device=one))
        setattr(full, field.name, getattr(one, field.name))
        equal(c.device("alice"), full, "after a write of " + field.name)
    equal(c.device("bob"), pb.DeviceRecord(), "another account's")


@case("an empty value forgets: routing info, salt, the version that ends")
def device_forgets(c):
    c.ok("alice", W(device=pb.DeviceRecord(routing_info=b"r", nct_salt=b"s", client_expires_version="v", push_name="n")))
    c.ok("alice", W(device=pb.DeviceRecord(routing_info=b"", nct_salt=b"", client_expires_version="")))
    d = c.device("alice")
    equal((d.routing_info, d.nct_salt, d.client_expires_version, d.push_name), (b"", b"", "", "n"), "the record")


@case("DeviceReset forgets the device and what hung on it; records, contacts, events and the outbox stay")
def device_reset(c):
    s = Sample("RESET")
    c.ok("alice", *s.writes(), puts=s.puts())
    was = c.apid.ask(pb.LOOKUP, s.lookup("alice"))
    check(was.peers[0].HasField("by_pn") and was.tokens[0].token and was.groups[0].devices, "it was there", was)
    c.ok("alice", W(device_reset=pb.DeviceReset()))
    equal(c.device("alice"), pb.DeviceRecord(), "the device record")
    got = c.apid.ask(pb.LOOKUP, s.lookup("alice"))
    equal((got.peers[0].contact, got.peers[0].HasField("by_pn"), got.peers[1].HasField("by_lid")),
          (was.peers[0].contact, False, False), "the contact stays, its lists go")
    equal((got.groups[0].HasField("metadata"), len(got.groups[0].devices)), (False, 0), "group")
    equal((got.collections[0].version, got.macs[0].values[0]), (0, b""), "collection and MAC")
    equal((got.same_base_key[0], got.tokens[0].token, got.pending[0].stanza), (False, b"", b""), "base key, token, pending")
    equal(c.records("alice", *s.records), [(1, p.sealed) for p in s.puts()], "the sealed records")
    equal((c.row("alice", message_id=s.message).put.content, len(c.events().events)), (s.outbox().outbox_put.content, 1),
          "outbox and events")
    for table in (pb.DEVICE_LISTS, pb.GROUPS, pb.COLLECTIONS, pb.TOKENS, pb.PENDINGS):
        equal(scan(c, "alice", table), pb.ScanReply(), "table %d" % table)
    c.ok("alice", W(restored_done=True))


@case("with people, DeviceReset puts the contacts aside: nobody finds them, and QuarantinePurge ends them")
def another_account(c):
    s = Sample("OTHER")
    c.ok("alice", *s.writes(), puts=s.puts())
    c.ok("alice", W(contact=pb.Contact(id=A, pn="1")), W(contact=pb.Contact(id=B, pn="2", lid="3")))
    n = len(scan(c, "alice", pb.CONTACTS).contacts)
    c.ok("bob", W(contact=pb.Contact(id=A, pn="1")))
    equal(quarantine(c, "alice"), (0, 0), "nothing is aside")
    c.ok("alice", W(device_reset=pb.DeviceReset(people=True)), W(contact=pb.Contact(id=C, pn="2")))
    equal([x.id for x in scan(c, "alice", pb.CONTACTS).contacts], [C], "the new account's alone")
    got = c.apid.ask(pb.LOOKUP, pb.Lookup(account="alice", jids=["1@s.whatsapp.net", A, B, "3@lid", "2@s.whatsapp.net"]))
    equal([p.contact.id for p in got.peers], ["", "", "", "", C], "who is found")
    equal(quarantine(c, "alice"), (0, n), "they are aside")
    c.ok("alice", W(device_reset=pb.DeviceReset(people=True)))  # a third account: both are kept
    equal(quarantine(c, "alice"), (0, n + 1), "aside")
    equal(c.ok("alice", purge(1, 2)).expired, 2, "some go")
    equal(quarantine(c, "alice"), (0, n - 1), "the others stay")
    equal(c.ok("alice", purge(1, 10000)).expired, n - 1, "all go")
    equal(c.ok("alice", purge(1, 10000)).expired, 0, "none is left")
    equal((quarantine(c, "alice"), len(scan(c, "bob", pb.CONTACTS).contacts)), ((0, 0), 1), "and bob's stay")


# names of records of a device of generation 1, 2, 11, and others
OLD = [(pb.SESSION, "1/a:1"), (pb.IDENTITY, "1/a:0"), (pb.PREKEY, "1/17"), (pb.SIGNED_PREKEY, "1/1"), (pb.KEYSTATE, "1/prekeys")]
LATER = [(pb.SESSION, "2/a:1"), (pb.PREKEY, "2/17"), (pb.PREKEY, "11/1"), (pb.DEVICE, "device"), (pb.MSG_SECRET, "1/m"),
         (pb.SESSION, "x"), (pb.SESSION, "0/a"), (pb.SESSION, "a1/b"), (pb.SENDER_KEY, "1")]


@case("QuarantinePurge takes the sealed records of former generations alone, as many as it is told")
def former_generations(c):
    def puts(names):
        return [pb.RecordPut(name=pb.RecordName(domain=d, name=n), version=1, sealed=n.encode()) for d, n in names]

    def there(names):
        return [r.version for r in c.keyd.ask(pb.RECORDS_GET, pb.RecordsGet(account="alice", names=[
            pb.RecordName(domain=d, name=n) for d, n in names])).records]
    c.ok("alice", puts=puts(OLD + LATER))
    equal(quarantine(c, "alice", 1), (0, 0), "before the first")
    equal(quarantine(c, "alice", 2), (len(OLD), 0), "of generation 1")
    for max_ in (0, 10001):
        c.fails("bad_request", "alice", purge(2, max_))
    equal(c.ok("alice", purge(2, 3)).expired, 3, "three go")
    equal(sum(there(OLD)), len(OLD) - 3, "the others are there")
    equal(c.ok("alice", purge(2, 10000)).expired, len(OLD) - 3, "the rest")
    equal((there(OLD), there(LATER)), ([0] * len(OLD), [1] * len(LATER)), "what is there")
    equal(quarantine(c, "alice", 12), (3, 0), "the next ones, if the device were a later one")


def quarantine(c, account, below=1):
    q = c.apid.ask(pb.QUARANTINE, pb.Quarantine(account=account, below=below))
    return q.records, q.contacts


def purge(below, most):
    return W(quarantine_purge=pb.QuarantinePurge(below=below, max=most))


# ---------------------------------------------------------------- contacts

def contact(id, pn=None, lid=None, push_name=None, lid_source=None):
    return pb.Contact(id=id, pn=pn, lid=lid, push_name=push_name, lid_source=lid_source)


# puts in turn -> the contacts that there are then, and ids that are another name of one
CONTACTS = [
    ("a number alone", [contact(A, pn="1")], [contact(A, pn="1")], {}),
    ("fields that are not named stay", [contact(A, pn="1", push_name="n", lid_source="usync"), contact(A, lid="9")],
     [contact(A, "1", "9", "n", "usync")], {}),
    ("the later name counts", [contact(A, pn="1", push_name="n"), contact(A, push_name="m")], [contact(A, "1", None, "m")], {}),
    ("a known number keeps its id", [contact(A, pn="1"), contact(B, pn="1", push_name="n")], [contact(A, "1", None, "n")],
     {B: A}),
    ("a known LID keeps its id", [contact(A, lid="9"), contact(B, lid="9", pn="1")], [contact(A, "1", "9")], {B: A}),
    ("a number and a LID find together by the LID's put", [contact(A, pn="1", push_name="n"), contact(B, lid="9"),
                                                           contact(B, pn="1", lid="9")], [contact(B, "1", "9", "n")], {A: B}),
    ("and by the number's", [contact(A, pn="1"), contact(B, lid="9", push_name="m"), contact(A, pn="1", lid="9")],
     [contact(B, "1", "9", "m")], {A: B}),
    ("and by a third id", [contact(A, pn="1"), contact(B, lid="9"), contact(C, pn="1", lid="9")], [contact(B, "1", "9")],
     {A: B, C: B}),
    ("of two names that of the LID's contact stays", [contact(A, pn="1", push_name="n"), contact(B, lid="9", push_name="m"),
                                                      contact(B, pn="1", lid="9")], [contact(B, "1", "9", "m")], {A: B}),
    ("a number changes hands", [contact(A, pn="1", lid="9"), contact(B, pn="1", lid="8")],
     [contact(A, None, "9"), contact(B, "1", "8")], {}),
    ("a person gets another number", [contact(A, pn="1", lid="9"), contact(A, pn="2", lid="9")], [contact(A, "2", "9")], {}),
    ("numbers are swapped", [contact(A, pn="1", lid="9"), contact(B, pn="2", lid="8"), contact(A, pn="2", lid="9"),
                             contact(B, pn="1", lid="8")], [contact(A, "2", "9"), contact(B, "1", "8")], {}),
]


def of_row(i, x):
    """The same with ids, numbers and LIDs that no other row has."""
    own = chr(ord("a") + i)
    return pb.Contact(id=x.id[:-1] + own, pn=x.pn + "%03d" % i if x.pn else None, lid=x.lid + "%03d" % i if x.lid else None,
                      push_name=x.push_name or None, lid_source=x.lid_source or None)


def bare(contacts):
    """Without the times that the store gives, in an order that can be compared."""
    out = []
    for x in contacts:
        x = pb.Contact.FromString(x.SerializeToString())
        check(0 < x.created_ms <= x.changed_ms, "times of a contact", x)
        x.ClearField("created_ms")
        x.ClearField("changed_ms")
        out.append(x)
    return sorted(out, key=lambda x: x.id)


@case("contacts: number and LID of one person find together, and a number is one person's at a time")
def contacts(c):
    seen = []
    for i, (what, puts, want, aliases) in enumerate(CONTACTS):
        want = [of_row(i, x) for x in want]
        for p in puts:
            c.ok("alice", W(contact=of_row(i, p)))
        got = bare(scan(c, "alice", pb.CONTACTS).contacts)
        equal([x for x in got if x.id not in seen], sorted(want, key=lambda x: x.id), what)
        seen += [x.id for x in got if x.id not in seen]
        for x in want:
            asked = [x.id] + ([x.pn + "@s.whatsapp.net"] if x.pn else []) + ([x.lid + "@lid"] if x.lid else [])
            asked += [of_row(i, pb.Contact(id=a)).id for a, to in aliases.items() if of_row(i, pb.Contact(id=to)).id == x.id]
            got = c.lookup("alice", jids=asked).peers
            equal(bare(p.contact for p in got), [x] * len(asked), "%s: found by %s" % (what, asked))
    got = c.lookup("alice", jids=["777@s.whatsapp.net", "777@lid", "u_" + "z" * 26]).peers
    equal([p.HasField("contact") for p in got], [False] * 3, "who was never seen")
    equal(len(scan(c, "bob", pb.CONTACTS).contacts), 0, "another account")


@case("a contact's times: made once, changed by each write; what a write says of them is not believed")
def contact_times(c):
    def one():
        return c.lookup("alice", jids=[A]).peers[0].contact
    c.ok("alice", W(contact=pb.Contact(id=A, pn="1", created_ms=5, changed_ms=5)))
    first = one()
    check(first.created_ms > 1 << 40 and first.changed_ms >= first.created_ms, "the store's clock", first)
    c.until(lambda: c.ok("alice", W(contact=pb.Contact(id=A, push_name="n", created_ms=1))) and
            one().changed_ms > first.changed_ms, "changed_ms moves on")
    equal(one().created_ms, first.created_ms, "created_ms")


# ---------------------------------------------------------------- device lists

@case("a device list is replaced as a whole, told with the peer by number and by LID, and dropped")
def device_lists(c):
    def lists():
        p = c.lookup("alice", jids=["1@s.whatsapp.net", "9@lid"]).peers
        return [x.by_pn if x.HasField("by_pn") else x.by_lid if x.HasField("by_lid") else None for x in p]
    full = pb.DeviceList(user="1@s.whatsapp.net", timestamp=1 << 33, raw_id=4294967295, phash="2:abc", devices=[
        pb.Device(id=0), pb.Device(id=99, key_index=7, hosted=True), pb.Device(id=4, hosted=False)])
    equal(lists(), [None, None], "none known")
    c.ok("alice", W(device_list=full))
    equal(lists(), [full, None], "known of somebody who is no contact")
    short = pb.DeviceList(user="1@s.whatsapp.net", devices=[pb.Device(id=5)])
    empty = pb.DeviceList(user="9@lid")
    c.ok("alice", W(device_list=short), W(device_list=empty))
    equal(lists(), [short, empty], "replaced, and one that is empty")
    c.ok("alice", W(contact=pb.Contact(id=A, pn="1", lid="9")))
    for p in c.lookup("alice", jids=["1@s.whatsapp.net", "9@lid", A]).peers:
        equal((p.contact.id, p.by_pn, p.by_lid), (A, short, empty), "both lists of a person")
    most = pb.DeviceList(user="9@lid", devices=[pb.Device(id=i) for i in range(256)])
    c.ok("alice", W(device_list=most), W(device_list_drop=pb.DeviceListDrop(user="1@s.whatsapp.net")),
         W(device_list_drop=pb.DeviceListDrop(user="none@lid")))
    p = c.lookup("alice", jids=[A]).peers[0]
    equal((p.HasField("by_pn"), p.by_lid), (False, most), "one dropped, one of 256 devices")
    most.devices.add(id=256)
    c.fails("bad_request", "alice", W(device_list=most))


# ---------------------------------------------------------------- groups

def marks(group, **devices):
    return W(sender_key_status=pb.SenderKeyStatus(group=group, devices=[
        pb.SenderKeyDevice(device=d, has_key=k) for d, k in devices.items()]))


@case("sender-key marks of a group: merged device by device, told in the order of JIDs, cleared by group, device and all")
def sender_keys(c):
    def of(*groups):
        return [{d.device: d.has_key for d in g.devices} for g in c.lookup("alice", groups=groups).groups]
    c.ok("alice", marks("g1", b=True, a=True, B=False, c=True), marks("g2", a=True, d=True))
    equal([d.device for d in c.lookup("alice", groups=["g1"]).groups[0].devices], ["B", "a", "b", "c"], "order")
    c.ok("alice", marks("g1", b=False, e=True))
    equal(of("g1", "g2", "g3"), [{"B": False, "a": True, "b": False, "c": True, "e": True}, {"a": True, "d": True}, {}],
          "merged")
    c.ok("alice", W(sender_key_drop=pb.DeviceNames(devices=["a", "none"])))
    equal(of("g1", "g2"), [{"B": False, "b": False, "c": True, "e": True}, {"d": True}], "dropped in all groups")
    c.ok("alice", W(sender_key_clear="g1"), W(sender_key_clear="none"))
    equal(of("g1", "g2"), [{}, {"d": True}], "one group cleared")
    c.ok("alice", marks("g1", a=True), W(sender_key_clear_all=True))
    equal(of("g1", "g2"), [{}, {}], "all cleared")
    big = {"d%04d" % i: i % 3 == 0 for i in range(4096)}
    c.ok("alice", marks("g1", **big))
    equal(of("g1"), [big], "4096 devices")
    c.fails("bad_request", "alice", marks("g1", x=True, **big))
    c.ok("alice", W(sender_key_drop=pb.DeviceNames(devices=list(big)[:4095])))
    equal(of("g1"), [{"d4095": True}], "4095 of them dropped at once")


@case("group metadata is replaced, and deleted with the marks; a group of marks alone has none")
def groups(c):
    def of(group):
        g = c.lookup("alice", groups=[group]).groups[0]
        equal(g.group, group, "which group")
        return (g.metadata if g.HasField("metadata") else None, [d.device for d in g.devices])
    equal(of("g1"), (None, []), "unknown")
    c.ok("alice", marks("g1", a=True))
    equal(of("g1"), (None, ["a"]), "marks alone")
    for data in (b"first", b"\0\xff" * 9, b"m" * (512 << 10), b"last"):
        c.ok("alice", W(group_put=pb.GroupPut(group="g1", metadata=data)))
        equal(of("g1"), (data, ["a"]), "metadata of %d bytes" % len(data))
    c.fails("bad_request", "alice", W(group_put=pb.GroupPut(group="g1", metadata=b"m" * ((512 << 10) + 1))))
    c.ok("alice", W(sender_key_clear="g1"))
    equal(of("g1"), (b"last", []), "cleared marks leave the metadata")
    c.ok("alice", marks("g1", a=True), marks("g2", a=True), W(group_delete="g1"), W(group_delete="none"))
    equal((of("g1"), of("g2")), ((None, []), (None, ["a"])), "deleted with its marks, and only they")


# ---------------------------------------------------------------- retries

def base_key(address, message, fill):
    return pb.BaseKey(name=pb.BaseKeyName(address=address, message_id=message), key=fill * 33)


@case("a base key is the same or not, by address and message, until it is deleted")
def base_keys(c):
    rows = [base_key("a", "m", b"1"), base_key("a", "n", b"2"), base_key("b", "m", b"3"), base_key("a:m", "", b"4")][:3]

    def same(*keys):
        return list(c.lookup("alice", base_keys=keys).same_base_key)
    equal(same(*rows), [False] * 3, "none stored")
    c.ok("alice", *[W(base_key_put=k) for k in rows])
    equal(same(*rows), [True] * 3, "stored")
    equal(same(base_key("a", "m", b"2"), rows[1], base_key("b", "n", b"3"), rows[0]), [False, True, False, True],
          "another key, another name, in the order asked")
    c.ok("alice", W(base_key_put=base_key("a", "m", b"9")))
    equal(same(rows[0], base_key("a", "m", b"9")), [False, True], "replaced")
    c.ok("alice", W(base_key_delete=rows[1].name), W(base_key_delete=pb.BaseKeyName(address="x", message_id="y")))
    equal(same(rows[1], rows[2]), [False, True], "deleted, and one that was not there")


@case("pending stanzas are kept by chat, sender and id, replaced, told in the order asked, and deleted")
def pending(c):
    def of(*names):
        return [(p.name, p.stanza, p.attempts) for p in c.lookup("alice", pending=names).pending]

    def message(*parts):
        return pb.MessageName(chat=parts[0], sender=parts[1], id=parts[2])
    names = [message("c", "s", "1"), message("c", "s", "2"), message("c", "t", "1"), message("cs", "", "1")][:3]
    equal(of(*names), [(n, b"", 0) for n in names], "absent")
    c.ok("alice", *[W(pending_put=pb.Pending(name=n, stanza=b"\0%d" % i)) for i, n in enumerate(names)])
    equal(of(names[2], names[0], names[1]), [(names[2], b"\0002", 0), (names[0], b"\0000", 0), (names[1], b"\0001", 0)],
          "in the order asked")
    c.ok("alice", W(pending_put=pb.Pending(name=names[0], stanza=b"x" * (1 << 20), attempts=3)), W(pending_delete=names[1]),
         W(pending_delete=message("no", "no", "no")))
    equal(of(*names), [(names[0], b"x" * (1 << 20), 3), (names[1], b"", 0), (names[2], b"\0002", 0)], "replaced, deleted")
    c.fails("bad_request", "alice", W(pending_put=pb.Pending(name=names[0], stanza=b"x" * ((1 << 20) + 1))))
