"""Conformance: units of work. All of one happens or nothing, in the order in which they were opened."""

from rig import delete, event, name, pb, put
from sample import Sample, difference, dump
from suite import case, check, equal

S = pb.SESSION


def answer(c, number):
    return c.apid.answer(number, pb.UNIT_RESULT)


def waiting(c, number):
    """It was not answered, and all that was sent has been read."""
    c.settled()
    c.settled()
    check(number not in c.apid.answers, "a unit was answered too early", c.apid.answers.get(number))


def types(c):
    return [e.type for e in c.events().events]


@case("a unit without anything in it is committed")
def empty(c):
    r = c.ok("alice")
    check(not r.seqs and not r.duplicate, "nothing is told of it", r)


@case("the order of opening decides, not that of the commits")
def order(c):
    units = [c.open("alice") for _ in range(5)]
    numbers = {}
    for i in (3, 1, 4, 2):
        numbers[i] = c.post_commit("alice", units[i], event(kind="unit.%d" % i))
    for n in numbers.values():
        waiting(c, n)
    numbers[0] = c.post_commit("alice", units[0], event(kind="unit.0"))
    seqs = [answer(c, numbers[i]).seqs[0] for i in range(5)]
    equal(seqs, sorted(seqs), "seqs")
    equal(types(c), ["unit.%d" % i for i in range(5)], "events")


@case("what one unit builds on another that was opened before holds, whichever is committed first")
def order_of_versions(c):
    a, b = c.open("alice"), c.open("alice")
    c.stage("alice", b, [put(S, "s", 2, b"two")])
    second = c.post_commit("alice", b, stages=1)
    c.stage("alice", a, [put(S, "s", 1, b"one")])
    first = c.post_commit("alice", a, stages=1)
    check(answer(c, first).committed and answer(c, second).committed, "both")
    equal(c.records("alice", name(S, "s")), [(2, b"two")], "the record")


@case("a unit waits for its STAGE frames; the account behind it waits too, and no other account does")
def late_stage(c):
    a, b = c.open("alice"), c.open("alice")
    first = c.post_commit("alice", a, event(kind="unit.a"), stages=2)
    second = c.post_commit("alice", b, event(kind="unit.b"))
    c.stage("alice", a, [put(S, "one", 1, b"x")])
    waiting(c, first)
    waiting(c, second)
    check(c.ok("bob", event(kind="unit.bob")).seqs, "bob goes on")
    c.stage("alice", a, [put(S, "two", 1, b"x")])
    check(answer(c, first).committed and answer(c, second).committed, "both")
    equal(types(c), ["unit.bob", "unit.a", "unit.b"], "events")
    equal(c.records("alice", name(S, "one"), name(S, "two")), [(1, b"x")] * 2, "records")


@case("STAGE may come before UNIT_OPEN")
def early_stage(c):
    unit = c.unit + 1
    c.stage("alice", unit, [put(S, "s", 1, b"x")])
    c.settled()
    equal(c.open("alice"), unit, "its number")
    check(answer(c, c.post_commit("alice", unit, event(), stages=1)).committed, "committed")
    equal(c.records("alice", name(S, "s")), [(1, b"x")], "the record")


@case("a unit whose STAGE never comes is given up, with what is behind it going on; a late STAGE is told so")
def missing_stage(c):
    a, b = c.open("alice"), c.open("alice")
    c.stage("alice", a, [put(S, "s", 1, b"x")])
    first = c.post_commit("alice", a, event(kind="unit.a"), stages=2)
    second = c.post_commit("alice", b, event(kind="unit.b"))
    r = c.apid.answer(first, pb.UNIT_RESULT, 60)
    equal((r.committed, r.reason), (False, "unit"), "the one that waited")
    check(answer(c, second).committed, "the one behind it")
    check(not c.done("alice", a), "keyd is told")
    c.stage("alice", a, [put(S, "s", 1, b"x")])
    check(not c.done("alice", a), "keyd is told again")
    equal((types(c), c.records("alice", name(S, "s"))), (["unit.b"], [(0, None)]), "what happened")


@case("a STAGE that is refused ends its unit at once, also when it comes after the commit")
def refused_stage(c):
    for late in (False, True):
        u = c.open("alice")
        bad = [put(S, "s", 1, b"x"), put(S, "x" * 161, 1, b"x")]
        if not late:
            c.stage("alice", u, bad)
            c.settled()
        number = c.post_commit("alice", u, event(), stages=1)
        if late:
            c.settled()
            c.stage("alice", u, bad)
        r = c.apid.answer(number, pb.UNIT_RESULT, 2)
        equal((r.committed, r.reason), (False, "bad_request"), "the result, late %s" % late)
        check(not c.done("alice", u), "keyd is told")
    equal((types(c), c.records("alice", name(S, "s"))), ([], [(0, None)]), "what happened")


@case("a unit with more STAGE frames than its commit knows of does not happen")
def too_many_stages(c):
    u = c.open("alice")
    for i in range(2):
        c.stage("alice", u, [put(S, "s%d" % i, 1, b"x")])
    c.settled()
    r = answer(c, c.post_commit("alice", u, event(), stages=1))
    equal((r.committed, r.reason), (False, "unit"), "the result")
    check(not c.done("alice", u), "keyd is told")
    equal((types(c), c.records("alice", name(S, "s0"), name(S, "s1"))), ([], [(0, None)] * 2), "what happened")


@case("an aborted unit did not happen: keyd is told, what waited behind it goes on, a commit comes too late")
def abort(c):
    a, b = c.open("alice"), c.open("alice")
    c.stage("alice", a, [put(S, "s", 1, b"x")])
    c.settled()
    second = c.post_commit("alice", b, event(kind="unit.b"))
    waiting(c, second)
    c.apid.notify(pb.UNIT_ABORT, pb.UnitAbort(account="alice", unit=a))
    check(answer(c, second).committed, "the one behind it")
    check(not c.done("alice", a), "keyd is told")
    r = answer(c, c.post_commit("alice", a, event(), stages=1))
    equal((r.committed, r.reason), (False, "unit"), "a commit after the abort")
    c.stage("alice", a, [put(S, "s", 1, b"x")])
    check(not c.done("alice", a), "a STAGE after the abort")
    c.apid.notify(pb.UNIT_ABORT, pb.UnitAbort(account="alice", unit=a))
    c.apid.notify(pb.UNIT_ABORT, pb.UnitAbort(account="alice", unit=a + 1000))
    equal((types(c), c.records("alice", name(S, "s"))), (["unit.b"], [(0, None)]), "what happened")


@case("a unit that was never opened is not committed")
def not_opened(c):
    r = answer(c, c.post_commit("alice", 7, event()))
    equal((r.committed, r.reason), (False, "unit"), "the result")
    equal(types(c), [], "events")


@case("UNIT_DONE comes for each unit that keyd joined, and for no other, and tells how it ended")
def unit_done(c):
    want = []
    for i in range(12):
        u, joined, good = c.open("alice"), i % 3 != 0, i % 4 != 3
        if joined:
            c.stage("alice", u, [put(S, "s%d" % i, 1 if good else 2, b"x")])
            want.append((u, good))
        end = c.post_commit("alice", u, event(), stages=int(joined))
        equal(answer(c, end).committed, good or not joined, "unit %d" % i)
    c.settled()
    got = [(m.unit, m.committed) for kind, m in c.keyd.notices if kind == pb.UNIT_DONE]
    equal(got, want, "UNIT_DONE")


@case("of a unit that fails at its last write nothing is there, whatever it wrote before")
def nothing_of_it(c):
    kept, gone = Sample("KEPT"), Sample("GONE")
    c.ok("alice", *kept.writes(), puts=kept.puts())
    before = dump(c, [kept, gone])
    bad = [("version", [], [put(S, "s", 9, b"x")]), ("duplicate", [kept.outbox(message="other")], []),
           ("bad_request", [kept.outbox(key="other")], []), ("absent", [pb.Write(sent_take="nothing")], [])]
    for reason, writes, puts in bad:
        r = c.fails(reason, "alice", *(gone.writes() + writes), puts=gone.puts() + puts)
        equal(r.duplicate, reason == "duplicate", "duplicate is told")
        diff = difference(before, dump(c, [kept, gone]))
        check(diff is None, "a unit that failed with %s changed something" % reason, diff)
    c.ok("alice", *gone.writes(), puts=gone.puts())
    check(difference(before, dump(c, [kept, gone])), "the same unit without its fault is there")


@case("of units that come together the good ones happen and those that fail, or build on a failed one, do not")
def neighbours(c):
    rows = [("good 1", 1, put(S, "a", 1, b"1")), ("wrong version", 0, put(S, "b", 5, b"x")), ("good 2", 1, put(S, "a", 2, b"2")),
            ("builds on a good one", 1, put(S, "a", 3, b"3")), ("fails as well", 0, put(S, "c", 2, b"x")),
            ("builds on the failed", 0, put(S, "c", 3, b"x")), ("begins the failed anew", 1, put(S, "c", 1, b"c1")),
            ("builds on that", 1, put(S, "c", 2, b"c2"))]
    units = [c.open("alice") for _ in rows]
    for u, (_, _, p) in zip(units, rows):
        c.stage("alice", u, [p, put(S, "of-%d" % u, 1, b"x")])
    c.settled()
    numbers = [c.post_commit("alice", u, event(kind="unit.%d" % i, dedup="key-%d" % i), stages=1)
               for i, u in enumerate(units)]
    results = [answer(c, n) for n in numbers]
    for (what, good, _), r in zip(rows, results):
        equal((r.committed, r.reason), (bool(good), "" if good else "version"), what)
    equal(types(c), ["unit.%d" % i for i, r in enumerate(rows) if r[1]], "events")
    equal(c.records("alice", *[name(S, "of-%d" % u) for u in units]), [(1, b"x") if r[1] else (0, None) for r in rows],
          "the records beside them")
    equal(c.records("alice", name(S, "a"), name(S, "b"), name(S, "c")), [(3, b"3"), (0, None), (2, b"c2")], "the records")
    for i, r in enumerate(rows):
        again = c.ok("alice", event(kind="again.%d" % i, dedup="key-%d" % i))
        equal(bool(again.seqs[0]), not r[1], "the dedup key of a unit is known only if it happened: " + r[0])


@case("500 units in flight in both accounts are answered in their order, with rising seqs and nothing lost")
def many(c):
    numbers = []
    for i in range(500):
        who = ("alice", "bob")[i % 2]
        u = c.open(who)
        if i % 5 == 0:
            c.stage(who, u, [put(S, "s%d" % i, 1, b"%d" % i)])
        numbers.append((who, i, c.post_commit(who, u, event(body=b'{"n":%d}' % i), stages=int(i % 5 == 0))))
    seqs = {"alice": [], "bob": []}
    for who, i, n in numbers:
        r = answer(c, n)
        check(r.committed, "unit %d" % i, r)
        seqs[who].append((r.seqs[0], b'{"n":%d}' % i))
    for who in seqs:
        equal(seqs[who], sorted(seqs[who]), "seqs of " + who)
        equal([(e.seq, e.body) for e in c.events(accounts=[who]).events], seqs[who], "events of " + who)
    equal(len({s for who in seqs for s, _ in seqs[who]}), 500, "each seq once")
    equal(c.records("alice", *[name(S, "s%d" % i) for i in range(0, 500, 10)]),
          [(1, b"%d" % i) for i in range(0, 500, 10)], "records")


@case("the writes of a unit are applied in their order")
def writes_in_order(c):
    W = pb.Write
    c.ok("alice", W(device=pb.DeviceRecord(push_name="one", platform="p")), W(device_reset=pb.DeviceReset()),
         W(device=pb.DeviceRecord(push_name="two")), W(group_put=pb.GroupPut(group="g@g.us", metadata=b"1")),
         W(group_delete="g@g.us"), W(group_put=pb.GroupPut(group="g@g.us", metadata=b"2")),
         W(token_put=pb.Token(user="u", token=b"t", token_s=1)), W(token_delete="u"))
    d = c.device("alice")
    equal((d.push_name, d.HasField("platform")), ("two", False), "the device")
    got = c.lookup("alice", groups=["g@g.us"], tokens=["u"])
    equal((got.groups[0].metadata, got.tokens[0].token), (b"2", b""), "group and token")


@case("a unit of 4096 writes is one unit; one of 4097 is refused")
def write_bound(c):
    writes = [event(body=b'{"n":%d}' % i) for i in range(4096)]
    r = c.ok("alice", *writes)
    equal(list(r.seqs), list(range(r.seqs[0], r.seqs[0] + 4096)), "seqs")
    c.fails("bad_request", "alice", *(writes + [event()]))
    equal(c.events(after=r.seqs[-1]).events[:], [], "nothing of the second")


@case("two accounts share nothing: names, keys, tokens and ids of one are unknown to the other")
def accounts(c):
    s, other = Sample("SAME"), Sample("OTHER")
    c.ok("alice", *s.writes(), puts=s.puts())
    before = dump(c, [s])
    for account, table in before:
        if account.startswith("bob: records"):
            equal(table.total, 0, account)
    c.ok("bob", *s.writes(), puts=s.puts(size=77))
    c.ok("bob", *other.writes(), puts=other.puts())
    c.ok("bob", pb.Write(device_reset=pb.DeviceReset()), pb.Write(sent_take=s.message),
         pb.Write(outbox_update=pb.OutboxUpdate(message_id=s.message, state=pb.FAILED)), deletes=s.deletes(1))
    of_alice = [(what, m) for what, m in dump(c, [s]) if what.startswith("alice")]
    diff = difference([(what, m) for what, m in before if what.startswith("alice")], of_alice)
    check(diff is None, "what bob did is seen in alice", diff)
    equal([e.type for e in c.events(accounts=["alice"]).events], ["message.received"], "alice's events")
    equal(c.records("bob", name(S, s.records[2].name)), [(0, None)], "bob's record is gone")
    c.ok("alice", deletes=[delete(S, s.records[2].name, 1)])
