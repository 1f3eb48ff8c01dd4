"""Conformance: the event log, its dedup keys, consumers, and the numbers."""

from rig import event, pb
from suite import case, check, equal, refused

W = pb.Write
OPEN = pb.ConsumerOpen


def seqs(result):
    return list(result.seqs)


# ---------------------------------------------------------------- events

@case("the log has one order over all accounts; a read gives some, all or none of them, from any place on")
def order(c):
    want = []
    for i in range(30):
        who = ("alice", "bob")[i % 3 == 0]
        body = b'{"n":%d,"u":"\xc3\xa9"}' % i
        r = c.ok(who, event(kind="t.%d" % i, origin=("live", "offline", "history", "self", "recovered")[i % 5],
                            time_ms=i - 5, body=body))
        want.append(pb.Event(seq=r.seqs[0], account=who, type="t.%d" % i, origin=("live", "offline", "history", "self",
                                                                                 "recovered")[i % 5], time_ms=i - 5, body=body))
    equal([e.seq for e in want], sorted({e.seq for e in want}), "seqs rise")
    last = want[-1].seq
    got = c.events()
    equal((list(got.events), got.scanned_seq, got.last_seq), (want, last, last), "all")
    check(got.first_seq <= want[0].seq, "the first that is kept", got.first_seq)
    for names in (["alice"], ["bob"], ["bob", "alice"], ["bob", "bob"]):
        got = c.events(accounts=names)
        equal([e.seq for e in got.events], [e.seq for e in want if e.account in names], "of %s" % names)
        equal((got.scanned_seq, got.last_seq), (last, last), "read to the end")
    for after in (0, want[3].seq, last - 1, last, last + 100):
        equal([e.seq for e in c.events(after).events], [e.seq for e in want if e.seq > after], "behind %d" % after)
    for limit in (1, 7):
        at, out = 0, []
        while True:
            got = c.events(at, limit)
            check(len(got.events) <= limit and got.scanned_seq >= (got.events[-1].seq if got.events else at), "a page", got)
            out, at = out + [e.seq for e in got.events], got.scanned_seq
            if at >= got.last_seq:
                break
        equal(out, [e.seq for e in want], "by %d" % limit)
    equal(c.events(limit=3, accounts=["bob"]).events[:], [e for e in want if e.account == "bob"][:3], "limited and chosen")


@case("a read stops at max_bytes, but one event is always given; limits out of range are refused")
def read_bounds(c):
    for i in range(6):
        c.ok("alice", event(body=b"{" + b" " * 200000 + b"}"))
    for most, n in ((1, 1), (199999, 1), (450000, 2), (1 << 20, 5)):
        equal(len(c.events(max_bytes=most).events), n, "within %d bytes" % most)
    for limit, most in ((0, 1), (1001, 1), (1, 0), (1, (1 << 20) + 1)):
        refused("bad_request", lambda: c.events(limit=limit, max_bytes=most), "limit %d, max_bytes %d" % (limit, most))


@case("an event of 256 KiB is kept byte for byte, one of a byte more is refused")
def body_bound(c):
    body = b'{"x":"' + b"y" * ((256 << 10) - 8) + b'"}'
    c.ok("alice", event(body=body))
    check(c.events().events[0].body == body, "256 KiB")
    c.fails("bad_request", "alice", event(body=body + b" "))


# (dedup, unless) of events in turn, or a mark -> is it kept?
DEDUP = [
    ("first", ("k", []), True), ("the same key", ("k", []), False), ("another", ("l", []), True),
    ("no key", (None, []), True), ("no key again", (None, []), True),
    ("unless a known one", (None, ["k"]), False), ("unless an unknown one", (None, ["u"]), True),
    ("one of four is known", ("n", ["a", "b", "c", "l"]), False), ("its own key was not noted", ("n", ["a", "b"]), True),
    ("a key that was only asked for", ("a", []), True),
    ("a mark", "m", None), ("a marked key", ("m", []), False), ("unless a marked one", ("o", ["m"]), False),
    ("not noted either", ("o", []), True), ("marked again", "m", None), ("a mark of an event's key", "k", None),
    ("keys are bytes", ("K", []), True), ("and not patterns", ("_", []), True), ("%", ("%", []), True),
    ("512 bytes", ("x" * 512, []), True), ("again", ("x" * 512, []), False), ("and 511", ("x" * 511, []), True)]


def dedup_write(what):
    return W(mark=what) if isinstance(what, str) else event(unless=what[1], **({"dedup": what[0]} if what[0] else {}))


@case("an event whose dedup key, or one of its unless keys, is known is dropped, with seq 0, and its unit happens")
def dedup(c):
    for what, write, kept in DEDUP:
        r = c.ok("alice", dedup_write(write))
        equal([bool(s) for s in r.seqs], [] if kept is None else [kept], what)
    equal(len(c.events(accounts=["alice"]).events), sum(bool(k) for _, _, k in DEDUP), "events that are there")
    r = c.ok("bob", *[dedup_write(w) for _, w, _ in DEDUP])
    equal([bool(s) for s in r.seqs], [k for _, _, k in DEDUP if k is not None], "in one unit, in another account")


@case("dedup keys and seqs are known again after a stop and after a kill", durable=True)
def dedup_again(c):
    used = []
    for kill in (False, True, False):
        r = c.ok("alice", event(dedup="key-%d" % len(used)), W(mark="mark-%d" % len(used)))
        used.append(r.seqs[0])
        c.again(kill)
        for i in range(len(used)):
            equal(seqs(c.ok("alice", event(dedup="key-%d" % i), event(unless=["mark-%d" % i]))), [0, 0], "keys of before")


@case("a seq is never given twice, not after a stop, a kill, or a unit that failed; the log keeps its name", durable=True)
def seqs_rise(c):
    given, last, log = [], 0, c.state.log_id
    for round in range(4):
        for i in range(5):
            who = ("alice", "bob")[i % 2]
            given += seqs(c.ok(who, event(), event()))
            c.fails("absent", who, event(), W(sent_take="none"))
        check(given[len(given) - 10] > last, "seqs go on above those of before", given, last)
        last = given[-1]
        c.again(kill=round % 2 == 0)
        equal(c.state.log_id, log, "the log's name")
        check(c.state.last_seq >= last, "the state tells the end of the log", c.state.last_seq, last)
    equal(given, sorted(set(given)), "all seqs")
    equal([e.seq for e in c.events().events], given, "the events that are there")


@case("what all consumers have acked goes, and the log says where it begins", config="[events]\nkeep_acked = 0s\n")
def trimmed(c):
    c.apid.ask(pb.CONSUMER_OPEN, OPEN(name="slow", uid=1, **{"from": OPEN.EARLIEST}))
    c.apid.ask(pb.CONSUMER_OPEN, OPEN(name="fast", uid=1, **{"from": OPEN.EARLIEST}))
    given = [c.ok(("alice", "bob")[i % 2], event(dedup="k%d" % i)).seqs[0] for i in range(10)]
    c.apid.ask(pb.CONSUMER_ACK, pb.ConsumerAck(name="fast", uid=1, seq=given[-1]))
    c.apid.ask(pb.CONSUMER_ACK, pb.ConsumerAck(name="slow", uid=1, seq=given[5]))
    c.until(lambda: c.events().first_seq > given[5], "the acked ones go")
    got = c.events()
    equal(([e.seq for e in got.events], got.first_seq, got.last_seq), (given[6:], given[5] + 1, given[-1]), "what is left")
    equal([e.seq for e in c.events(accounts=["alice"]).events], given[6::2], "of one account")
    equal(seqs(c.ok("alice", event(dedup="k0"), event())), [0, given[-1] + 1], "keys are known for longer than their events")
    r = c.apid.ask(pb.CONSUMER_OPEN, OPEN(name="new", uid=1, **{"from": OPEN.EARLIEST}))
    check(r.acked_seq < given[6], "a new one begins with the first that is there", r)


@case("beyond max_bytes the oldest go, though nobody has acked them", config="[events]\nmax_bytes = 1M\n")
def too_many_bytes(c):
    c.apid.ask(pb.CONSUMER_OPEN, OPEN(name="slow", uid=1, **{"from": OPEN.EARLIEST}))
    given = [c.ok(("alice", "bob")[i % 2], event(body=b"{" + b" " * 100000 + b"}")).seqs[0] for i in range(25)]
    c.until(lambda: c.events(limit=1, max_bytes=1).first_seq > given[14], "the log gets smaller")
    got, at = [], 0
    while not got or at < given[-1]:
        page = c.events(at)
        got, at = got + [e.seq for e in page.events], page.scanned_seq
    equal(got, given[-len(got):], "the newest are there")
    check(9 <= len(got) <= 11, "about 1 MiB of them", len(got))
    equal(ack(c, "slow", 0).acked_seq < given[0], True, "a consumer's place is its own")


# ---------------------------------------------------------------- consumers

def consumer(c, name, how, uid=1, **more):
    return c.apid.ask(pb.CONSUMER_OPEN, OPEN(name=name, uid=uid, **{"from": how}, **more))


def ack(c, name, seq, uid=1):
    return c.apid.ask(pb.CONSUMER_ACK, pb.ConsumerAck(name=name, uid=uid, seq=seq))


@case("a consumer begins where it asks to, and goes on from what it acked last")
def consumers(c):
    given = [c.ok("alice", event()).seqs[0] for _ in range(6)]
    rows = [("new", OPEN.RESUME, {}, given[-1]), ("latest", OPEN.LATEST, {}, given[-1]), ("at", OPEN.AT, {"seq": given[2]}, given[2]),
            ("at0", OPEN.AT, {"seq": 0}, 0), ("end", OPEN.AT, {"seq": given[-1]}, given[-1])]
    for name, how, more, at in rows:
        r = consumer(c, name, how, **more)
        equal((r.name, r.uid, r.acked_seq, r.created), (name, 1, at, True), name)
        check(r.last_ms > 0, "when it was seen")
    r = consumer(c, "early", OPEN.EARLIEST)
    check(r.acked_seq < given[0] and r.lag >= len(given), "from the earliest", r)
    equal(consumer(c, "early", OPEN.RESUME, create=False).created, False, "there already")
    for seq, want in ((given[3], given[3]), (given[1], given[3]), (given[5], given[5]), (0, given[5])):
        equal(ack(c, "early", seq).acked_seq, want, "acked %d" % seq)
    equal(consumer(c, "early", OPEN.RESUME).acked_seq, given[5], "resumed")
    for how, more, at in ((OPEN.AT, {"seq": given[1]}, given[1]), (OPEN.LATEST, {}, given[-1])):
        r = consumer(c, "early", how, **more)
        equal((r.acked_seq, r.created), (at, False), "set to a place")
    r = consumer(c, "early", OPEN.RESUME, uid=2)
    equal((r.created, r.uid), (True, 2), "of another owner")


@case("wrong places, names and consumers that are not there are refused")
def consumers_refused(c):
    last = c.ok("alice", event()).seqs[0]
    consumer(c, "good", OPEN.LATEST)
    for what, fn, code in [
            ("AT beyond the end", lambda: consumer(c, "good", OPEN.AT, seq=last + 1), "bad_request"),
            ("AT without a seq", lambda: consumer(c, "good", OPEN.AT), "bad_request"),
            ("not to be made", lambda: consumer(c, "none", OPEN.RESUME, create=False), "not_found"),
            ("an ack beyond the end", lambda: ack(c, "good", last + 1), "bad_request"),
            ("an ack of none", lambda: ack(c, "none", 0), "not_found"),
            ("an ack of another's", lambda: ack(c, "good", 0, uid=2), "not_found"),
            ("delete of none", lambda: c.apid.ask(pb.CONSUMER_DELETE, pb.ConsumerDelete(name="none", uid=1)), "not_found"),
            ("an empty name", lambda: consumer(c, "", OPEN.LATEST), "bad_request"),
            ("a space", lambda: consumer(c, "a b", OPEN.LATEST), "bad_request"),
            ("a slash", lambda: consumer(c, "a/b", OPEN.LATEST), "bad_request"),
            ("a letter beyond ASCII", lambda: consumer(c, "\u00e9", OPEN.LATEST), "bad_request"),
            ("65 letters", lambda: consumer(c, "x" * 65, OPEN.LATEST), "bad_request")]:
        refused(code, fn, what)
    consumer(c, "x" * 64, OPEN.LATEST)
    consumer(c, "A.z_9-", OPEN.LATEST)
    equal(sorted(x.name for x in c.apid.ask(pb.CONSUMER_LIST, pb.ConsumerList()).consumers), ["A.z_9-", "good", "x" * 64],
          "those that are there")


@case("consumers are listed for an owner or for all, and deleted one by one")
def consumer_lists(c):
    for name, uid in (("a", 1), ("b", 1), ("a", 2)):
        consumer(c, name, OPEN.EARLIEST, uid)
    c.ok("alice", event(), event())

    def listed(**q):
        return sorted((x.uid, x.name, x.lag > 0) for x in c.apid.ask(pb.CONSUMER_LIST, pb.ConsumerList(**q)).consumers)
    equal(listed(), [(1, "a", True), (1, "b", True), (2, "a", True)], "all")
    equal((listed(uid=1), listed(uid=3)), ([(1, "a", True), (1, "b", True)], []), "of an owner")
    c.apid.ask(pb.CONSUMER_DELETE, pb.ConsumerDelete(name="a", uid=1))
    equal(listed(), [(1, "b", True), (2, "a", True)], "one deleted")
    check(consumer(c, "a", OPEN.RESUME, create=True).created, "and made anew")


@case("too many consumers are refused, and those that are there go on")
def consumers_bounded(c):
    numbers = [c.apid.post(pb.CONSUMER_OPEN, OPEN(name="c%d" % i, uid=7, **{"from": OPEN.LATEST})) for i in range(200)]
    made = 0
    for n in numbers:
        try:
            c.apid.answer(n, pb.CONSUMER)
            made += 1
        except Exception as e:
            equal(getattr(e, "code", str(e)), "too_many", "why one was refused")
    equal(len(c.apid.ask(pb.CONSUMER_LIST, pb.ConsumerList(uid=7)).consumers), made, "those that were made")
    ack(c, "c0", 0, uid=7)
    check(consumer(c, "c0", OPEN.RESUME, uid=8).created, "another owner has room")


@case("acks outlive a stop and a kill", durable=True)
def consumers_again(c):
    given = [c.ok("alice", event()).seqs[0] for _ in range(4)]
    for i, kill in enumerate((False, True)):
        consumer(c, "c", OPEN.EARLIEST)
        ack(c, "c", given[i])
        consumer(c, "gone", OPEN.LATEST)
        c.apid.ask(pb.CONSUMER_DELETE, pb.ConsumerDelete(name="gone", uid=1))
        c.again(kill)
        r = consumer(c, "c", OPEN.RESUME)
        equal((r.acked_seq, r.created), (given[i], False), "the place")
        refused("not_found", lambda: ack(c, "gone", 0), "a deleted one")


# ---------------------------------------------------------------- numbers

@case("the numbers count what happened; rows are told when they are asked for")
def stats(c):
    was = c.stats()
    c.ok("alice", event(), event(dedup="k"))
    c.ok("bob", event())
    c.ok("alice", event(dedup="k"))
    c.fails("absent", "alice", event(), W(sent_take="none"))
    s = c.stats()
    equal((s.units - was.units, s.units_failed - was.units_failed, s.events - was.events), (3, 1, 3), "units, failed, events")
    check(1 <= s.transactions - was.transactions <= 3, "transactions", s.transactions)
    check(s.free_bytes > 0 and not s.disk_low, "the disk", s)
    check(not s.tables, "no tables unless asked for")
    rows = {(t.account, t.table): t.rows for t in c.stats(tables=True).tables}
    if rows:
        c.ok("alice", *[event() for _ in range(9)])
        more = {(t.account, t.table): t.rows for t in c.stats(tables=True).tables}
        check(9 in [more[k] - rows[k] for k in rows if k[0] == "alice"], "nine rows more", rows, more)
        equal([k for k in rows if k[0] == "bob" and more[k] != rows[k]], [], "none in bob")
