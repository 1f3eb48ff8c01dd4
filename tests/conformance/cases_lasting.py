"""Conformance: what was committed is there after a stop and after a kill, byte for byte; what was not is not."""

from rig import event, name, pb, put
from sample import Sample, difference, dump
from suite import case, check, equal

W = pb.Write


@case("all of a store is the same after a stop, and after a kill -9", durable=True)
def everything(c):
    samples = [Sample("D%d" % i) for i in range(8)]
    for i, s in enumerate(samples):
        who = ("alice", "bob")[i % 2]
        c.ok(who, *s.writes(), puts=s.puts(size=100 + 3000 * i))
        if i % 3 == 1:
            c.ok(who, *s.writes()[5:], puts=s.puts(2), uploaded=[s.records[3]])
        c.apid.ask(pb.CONSUMER_OPEN, pb.ConsumerOpen(name="c%d" % i, uid=i % 3, **{"from": pb.ConsumerOpen.AT}, seq=i % 2))
    c.ok("alice", W(sent_take=samples[0].message), deletes=samples[4].deletes(2))
    before = dump(c, samples)
    for kill in (False, True, True, False):
        c.again(kill)
        diff = difference(before, dump(c, samples))
        check(diff is None, "after a %s" % ("kill" if kill else "stop"), diff)


@case("a unit that was answered committed outlives a kill at that moment; one that was not committed does not appear",
      durable=True)
def answered(c):
    for round in range(6):
        u = c.open("alice")
        c.stage("alice", u, [put(pb.SESSION, "r%d" % round, 1, b"x")])
        check(c.apid.answer(c.post_commit("alice", u, event(kind="round.%d" % round), stages=1)).committed, "committed")
        open_unit = c.open("alice")
        c.stage("alice", open_unit, [put(pb.SESSION, "open%d" % round, 1, b"x")])
        c.settled()
        c.again(kill=True)
        equal([e.type for e in c.events().events], ["round.%d" % i for i in range(round + 1)], "events")
        equal(c.records("alice", name(pb.SESSION, "r%d" % round), name(pb.SESSION, "open%d" % round)), [(1, b"x"), (0, None)],
              "records")


@case("STOP answers what is ready, fails what is not with stopping, and tells both peers", durable=True)
def stop(c):
    u, open_unit = c.open("alice"), c.open("bob")
    c.stage("bob", open_unit, [put(pb.SESSION, "s", 1, b"x")])
    number = c.post_commit("alice", u, event())
    behind = c.post_commit("bob", c.open("bob"), event())
    c.settled()
    equal(c.stop(), 0, "exit status")
    check(c.apid.answers[number][1].committed, "the one that was ready")
    check(behind in c.apid.answers, "the one behind an open unit was answered")
    r = c.apid.answers[behind][1]
    equal((r.committed, r.reason), (False, "stopping"), "the one behind an open unit")
    check(not c.done("bob", open_unit), "keyd is told of its unit")
    c.start()
    c.opened()
    equal([e.account for e in c.events().events], ["alice"], "events")
    equal(c.records("bob", name(pb.SESSION, "s")), [(0, None)], "the record")


@case("an account that leaves the config and comes back has all it had", durable=True)
def account_away(c):
    s = Sample("AWAY")
    c.ok("bob", *s.writes(), puts=s.puts())
    before = dump(c, [s])
    config, accounts, keys = c.config, c.accounts, c.keys
    c.stop()
    c.config, c.accounts = config.replace("[account bob]\n", ""), ["alice"]
    c.keys = {k: v for k, v in keys.items() if k != "bob"}
    c.start()
    c.opened()
    equal(len(c.events().events), 0, "events of those that are there")
    seq = c.ok("alice", event()).seqs[0]
    c.stop()
    c.config, c.accounts, c.keys = config, accounts, keys
    c.start()
    c.opened()
    check(seq > s_seq(before), "a seq of meanwhile is none of bob's", seq)
    after = dump(c, [s])
    diff = difference([x for x in before if x[0].startswith("bob")], [x for x in after if x[0].startswith("bob")])
    check(diff is None, "bob", diff)
    equal([(e.account, e.seq) for e in c.events().events], [("bob", s_seq(before)), ("alice", seq)], "events")


def s_seq(dumped):
    return [m for what, m in dumped if what == "events"][0].events[-1].seq
