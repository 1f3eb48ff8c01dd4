"""Conformance: app state, tokens, LOOKUP of everything at once, and SCAN."""

import itertools

from rig import pb
from sample import TABLES, Sample, scan
from suite import case, check, equal, refused

W = pb.Write


# ---------------------------------------------------------------- app state

@case("a collection has its version, hash and flag; one that is not there has version 0; deleting takes its MACs along")
def collections(c):
    def of(*names):
        return list(c.lookup("alice", collections=names).collections)
    equal(of("regular"), [pb.Collection(name="regular", version=0)], "absent")
    put = pb.CollectionPut(name="regular", version=1 << 40, hash=bytes(range(128)), mac_mismatch_fatal=True)
    c.ok("alice", W(collection_put=put), W(collection_put=pb.CollectionPut(name="Regular", version=3, hash=b"h" * 128)))
    equal(of("Regular", "regular"), [
        pb.Collection(name="Regular", version=3, hash=b"h" * 128),
        pb.Collection(name="regular", version=1 << 40, hash=bytes(range(128)), mac_mismatch_fatal=True)], "both")
    c.ok("alice", macs("regular", 1, {b"i": b"v"}), macs("Regular", 1, {b"i": b"w"}))
    c.ok("alice", W(collection_put=pb.CollectionPut(name="regular", version=5, hash=b"x" * 128, mac_mismatch_fatal=False)))
    got = of("regular")[0]
    equal((got.version, got.hash, got.mac_mismatch_fatal), (5, b"x" * 128, False), "replaced")
    c.ok("alice", W(collection_delete="regular"), W(collection_delete="none"))
    equal(of("regular"), [pb.Collection(name="regular", version=0)], "deleted")
    equal(values(c, "regular", b"i") + values(c, "Regular", b"i"), [b"", b"w" * 32], "with its MACs, and no others")


def macs(collection, version, pairs):
    return W(macs_put=pb.MacsPut(collection=collection, version=version, macs=[
        pb.Mac(index=i.ljust(32, b"."), value=v * 32) for i, v in pairs.items()]))


def values(c, collection, *indexes):
    rq = pb.MacsOf(collection=collection, indexes=[i.ljust(32, b".") for i in indexes])
    return list(c.lookup("alice", macs=[rq]).macs[0].values)


@case("MACs are put and replaced by index, deleted, cleared, and told in the order asked")
def mutation_macs(c):
    c.ok("alice", macs("one", 1, {b"a": b"1", b"b": b"2"}), macs("two", 1, {b"a": b"9"}))
    equal(values(c, "one", b"b", b"none", b"a", b"b"), [b"2" * 32, b"", b"1" * 32, b"2" * 32], "order")
    c.ok("alice", macs("one", 2, {b"a": b"3", b"c": b"4"}))
    equal(values(c, "one", b"a", b"b", b"c"), [b"3" * 32, b"2" * 32, b"4" * 32], "replaced")
    c.ok("alice", W(macs_delete=pb.MacsDelete(collection="one", indexes=[b"a" + b"." * 31, b"x" * 32])))
    equal(values(c, "one", b"a", b"b") + values(c, "two", b"a"), [b"", b"2" * 32, b"9" * 32], "deleted in one collection")
    c.ok("alice", W(collection_put=pb.CollectionPut(name="one", version=8, hash=b"h" * 128)), W(macs_clear="one"),
         W(macs_clear="none"), macs("one", 9, {b"d": b"7"}))
    equal(values(c, "one", b"b", b"c", b"d") + values(c, "two", b"a"), [b"", b"", b"7" * 32, b"9" * 32],
          "cleared before a snapshot")
    equal(c.lookup("alice", collections=["one"]).collections[0].version, 8, "the collection stays")


@case("16384 MACs go in one write, are asked in one request and deleted in one write; one more is refused")
def many_macs(c):
    indexes = [b"%032d" % i for i in range(16384)]
    lot = [pb.Mac(index=i, value=i[::-1]) for i in indexes]
    c.ok("alice", W(macs_put=pb.MacsPut(collection="big", version=1, macs=lot)))
    half = [pb.MacsOf(collection="big", indexes=part) for part in (indexes[:8192], indexes[8192:])]
    equal([v for m in c.lookup("alice", macs=half).macs for v in m.values] == [i[::-1] for i in indexes], True, "all of them")
    more = lot + [pb.Mac(index=b"x" * 32, value=b"y" * 32)]
    c.fails("bad_request", "alice", W(macs_put=pb.MacsPut(collection="big", version=2, macs=more)))
    c.fails("bad_request", "alice", W(macs_delete=pb.MacsDelete(collection="big", indexes=indexes + [b"x" * 32])))
    half[1].indexes.append(b"x" * 32)
    refused("bad_request", lambda: c.lookup("alice", macs=half), "16385 indexes in all")
    c.ok("alice", W(macs_delete=pb.MacsDelete(collection="big", indexes=indexes[1:])))
    equal(values(c, "big", indexes[0], indexes[1]), [indexes[0][::-1], b""], "all but one deleted")


# ---------------------------------------------------------------- tokens

def token_put(user, token, at, sender=None):
    return W(token_put=pb.Token(user=user, token=token, token_s=at, sender_s=sender))


def received(user, token, at):
    return W(token_received=pb.TokenReceived(user=user, token=token, token_s=at))


def touch(user, at):
    return W(token_touch=pb.TokenTouch(user=user, sender_s=at))


def tokens(c, *users, who="alice"):
    """[(token, its time, the sender's time or None)]; absent: (b"", 0, None)."""
    got = c.lookup(who, tokens=users).tokens
    equal([t.user for t in got], list(users), "whose tokens")
    return [(t.token, t.token_s, t.sender_s if t.HasField("sender_s") else None) for t in got]


TOKENS = [  # steps in turn -> what stands then
    ("nothing", [], (b"", 0, None)),
    ("a put sets all", [token_put("", b"a", 5, 7)], (b"a", 5, 7)),
    ("a put replaces all, also with less", [token_put("", b"a", 5, 7), token_put("", b"b", 3)], (b"b", 3, None)),
    ("a received one is new", [received("", b"a", 5)], (b"a", 5, None)),
    ("a later one replaces", [received("", b"a", 5), received("", b"b", 6)], (b"b", 6, None)),
    ("one of the same time replaces", [received("", b"a", 5), received("", b"b", 5)], (b"b", 5, None)),
    ("an earlier one does not", [received("", b"a", 5), received("", b"b", 4)], (b"a", 5, None)),
    ("it replaces a placeholder of a later time", [touch("", 9), received("", b"a", 4)], (b"a", 4, 9)),
    ("it keeps the sender's time", [token_put("", b"a", 5, 7), received("", b"b", 6)], (b"b", 6, 7)),
    ("a touch makes a placeholder", [touch("", 9)], (b"", 9, 9)),
    ("a touch raises", [touch("", 9), touch("", 12)], (b"", 9, 12)),
    ("a touch never lowers", [touch("", 9), touch("", 3)], (b"", 9, 9)),
    ("a touch leaves the token", [received("", b"a", 5), touch("", 2)], (b"a", 5, 2)),
    ("a touch of a put without a sender", [token_put("", b"a", 5), touch("", 2)], (b"a", 5, 2)),
    ("deleted", [token_put("", b"a", 5, 7), W(token_delete="")], (b"", 0, None)),
    ("deleted and received anew", [token_put("", b"a", 5, 7), W(token_delete=""), received("", b"b", 1)], (b"b", 1, None)),
    ("deleted what is not there", [W(token_delete="")], (b"", 0, None)),
    ("256 bytes", [received("", b"t" * 256, 5)], (b"t" * 256, 5, None)),
]


def of_user(step, user):
    step = W.FromString(step.SerializeToString())
    if step.HasField("token_delete"):
        step.token_delete = user
    else:
        step.ListFields()[0][1].user = user
    return step


@case("tokens: each write has its rule")
def token_rules(c):
    for i, (what, steps, want) in enumerate(TOKENS):
        user = "user%d@lid" % i
        for s in steps:
            c.ok("alice", of_user(s, user))
        equal(tokens(c, user), [want], what)
        c.ok("bob", *[of_user(s, user) for s in steps])
        equal(tokens(c, user, who="bob"), [want], what + ", in one unit")


@case("tokens received and given away come to the same in every order")
def token_orders(c):
    steps = [received("", b"old", 10), received("", b"new", 20), touch("", 5), touch("", 30)]
    users = []
    for i, order in enumerate(itertools.permutations(steps)):
        users.append("user%02d@lid" % i)
        c.ok("alice", *[of_user(s, users[-1]) for s in order])
    equal(tokens(c, *users), [(b"new", 20, 30)] * len(users), "all 24 orders")


@case("tokens expire only when both halves are old: the token empty or older than one cutoff, ours absent or older than the other")
def token_expiry(c):
    rows = {}
    for token, at in ((b"t", 99), (b"t", 100), (b"t", 101), (b"", 99), (b"", 500)):
        for sender in (None, 49, 50, 51):
            user = "%s-%d-%s" % (token.decode(), at, sender)
            goes = (not token or at < 100) and (sender is None or sender < 50)
            rows[user] = ((token, at, sender), goes)
    c.ok("alice", *[token_put(u, *v) for u, (v, _) in rows.items()])
    c.ok("bob", token_put("bob", b"t", 1))
    r = c.ok("alice", W(token_expire=pb.TokenExpire(token_cutoff_s=100, sender_cutoff_s=50)))
    equal(r.expired, sum(goes for _, goes in rows.values()), "how many went")
    equal(tokens(c, *rows), [(b"", 0, None) if goes else v for v, goes in rows.values()], "what stands")
    equal(tokens(c, "bob", who="bob"), [(b"t", 1, None)], "another account")
    expire = W(token_expire=pb.TokenExpire(token_cutoff_s=1 << 40, sender_cutoff_s=1 << 40))
    equal(c.ok("alice", expire, expire).expired, sum(not goes for _, goes in rows.values()), "all the others, told once")
    c.ok("alice", token_put("x", b"t", 1))
    c.fails("absent", "alice", expire, W(sent_take="none"))
    equal(tokens(c, "x"), [(b"t", 1, None)], "a unit that fails expires nothing")


# ---------------------------------------------------------------- reads

@case("LOOKUP answers all its lists at once, each in the order asked")
def lookup(c):
    one, two = Sample("ONE"), Sample("TWO")
    for s in (one, two):
        c.ok("alice", *s.writes())
    rq = one.lookup("alice")
    none = Sample("NONE").lookup("alice")
    rq.MergeFrom(none)
    rq.MergeFrom(two.lookup("alice"))
    rq.account = "alice"
    got = c.apid.ask(pb.LOOKUP, rq)
    alone = [c.apid.ask(pb.LOOKUP, x.lookup("alice")) for x in (one, Sample("NONE"), two)]
    for field in pb.LookupReply.DESCRIPTOR.fields:
        want = [x for a in alone for x in getattr(a, field.name)]
        check(want, "something was asked of " + field.name)
        equal(list(getattr(got, field.name)), want, field.name)
    equal([p.contact.id for p in got.peers], [one.contact] * 3 + [""] * 3 + [two.contact] * 3, "peers")
    equal(list(got.same_base_key), [True, False, True], "base keys")
    equal(c.lookup("alice"), pb.LookupReply(), "nothing asked")


BOUNDS = [("jids", 64, "1@lid"), ("groups", 64, "g@g.us"), ("collections", 16, "c"),
          ("macs", 16, pb.MacsOf(collection="c", indexes=[b"i" * 32])), ("tokens", 256, "u@lid"),
          ("base_keys", 64, pb.BaseKey(name=pb.BaseKeyName(address="a", message_id="m"), key=b"k" * 33)),
          ("pending", 64, pb.MessageName(chat="c", sender="s", id="i"))]


@case("LOOKUP takes its lists up to their bounds and refuses one more")
def lookup_bounds(c):
    full = {field: [x] * n for field, n, x in BOUNDS}
    got = c.lookup("alice", **full)
    equal([len(getattr(got, f.name)) for f in got.DESCRIPTOR.fields],
          [{"peers": 64, "groups": 64, "collections": 16, "macs": 16, "same_base_key": 64, "tokens": 256, "pending": 64}[f.name]
           for f in got.DESCRIPTOR.fields], "all lists full")
    for field, n, x in BOUNDS:
        refused("bad_request", lambda: c.lookup("alice", **{field: [x] * (n + 1)}), "%d of %s" % (n + 1, field))
    c.alive()


@case("an answer that would be too big is refused, and a part of it is given")
def lookup_too_big(c):
    names = [pb.MessageName(chat="c", sender="s", id="%d" % i) for i in range(5)]
    for n in names:
        c.ok("alice", W(pending_put=pb.Pending(name=n, stanza=b"x" * (1 << 20))))
    refused("bad_request", lambda: c.lookup("alice", pending=names), "5 MiB of pending stanzas")
    equal([len(p.stanza) for p in c.lookup("alice", pending=names[1:4]).pending], [1 << 20] * 3, "three of them")
    c.alive()


@case("SCAN gives every row of a table once, in pages that stay put while rows come and go around them")
def scans(c):
    samples = [Sample("S%02d" % i) for i in range(23)]
    for s in samples:
        c.ok("alice", *s.writes())
    rows = {pb.CONTACTS: ("contacts", 23), pb.DEVICE_LISTS: ("device_lists", 46), pb.GROUPS: ("groups", 23),
            pb.COLLECTIONS: ("collections", 23), pb.TOKENS: ("tokens", 23), pb.PENDINGS: ("pendings", 23)}
    for table in TABLES:
        field, n = rows[table]
        whole = list(getattr(scan(c, "alice", table), field))
        equal(len({str(x) for x in whole}), n, "rows of " + field)
        for limit in (1, 7, n, n + 1):
            equal(list(getattr(scan(c, "alice", table, limit), field)), whole, "%s by %d" % (field, limit))
        for other, _ in rows.values():
            check(other == field or not getattr(scan(c, "alice", table), other), "no rows of another table", other)
        equal(scan(c, "bob", table), pb.ScanReply(), "another account")
    s = samples[4]
    got = [list(getattr(scan(c, "alice", t), f)) for t, (f, _) in rows.items()]
    for want, table in zip([pb.Contact(id=s.contact, pn=s.pn, lid=s.lid, push_name="push-S04", lid_source="usync",
                                       first_out_ms=16, met_ms=17),
                            s.writes()[7].device_list, pb.Group(group=s.group, metadata=s.writes()[12].group_put.metadata),
                            pb.Collection(name=s.collection, version=4, hash=s.writes()[9].collection_put.hash),
                            s.writes()[14].token_put, s.writes()[15].pending_put], got):
        for x in table:
            if isinstance(x, pb.Contact):
                x.ClearField("created_ms")
                x.ClearField("changed_ms")
        check(want in table, "a row as it was put", want)


@case("a row that is there all the time is met once by a SCAN during which others come and go")
def scan_while_changing(c):
    c.ok("alice", *[W(group_put=pb.GroupPut(group="keep%02d" % i, metadata=b"m")) for i in range(30)])
    c.ok("alice", *[W(group_put=pb.GroupPut(group="gone%02d" % i, metadata=b"m")) for i in range(30)])
    seen, after, step = [], None, 0
    while True:
        page = c.apid.ask(pb.SCAN, pb.Scan(account="alice", table=pb.GROUPS, after=after, limit=7))
        seen += [g.group for g in page.groups]
        c.ok("alice", W(group_delete="gone%02d" % step), W(group_put=pb.GroupPut(group="new%02d" % step, metadata=b"n")))
        if not page.HasField("next"):
            break
        after, step = page.next, step + 1
        check(step < 30, "a SCAN comes to its end")
    equal(sorted(g for g in seen if g.startswith("keep")), ["keep%02d" % i for i in range(30)], "those that stayed")


@case("a page of a SCAN stops at its limit and at 1 MiB, but always has a row; limits out of range are refused")
def scan_pages(c):
    for i in range(5):
        c.ok("alice", W(group_put=pb.GroupPut(group="g%d" % i, metadata=b"%d" % i * 400000)),
             W(pending_put=pb.Pending(name=pb.MessageName(chat="c", sender="s", id="%d" % i), stanza=b"x" * (1 << 20))))
    for table, field in ((pb.GROUPS, "groups"), (pb.PENDINGS, "pendings")):
        got, after = [], None
        while True:
            page = c.apid.ask(pb.SCAN, pb.Scan(account="alice", table=table, after=after, limit=1000))
            rows = list(getattr(page, field))
            check(rows and (len(rows) == 1 or page.ByteSize() < (1 << 20) + 2000), "a page of at most 1 MiB", len(rows))
            got += rows
            if not page.HasField("next"):
                break
            after = page.next
        equal(len({str(g)[:60] for g in got}), 5, "all rows of " + field)
    for limit in (0, 1001):
        refused("bad_request", lambda: c.apid.ask(pb.SCAN, pb.Scan(account="alice", table=pb.GROUPS, limit=limit)),
                "limit %d" % limit)
