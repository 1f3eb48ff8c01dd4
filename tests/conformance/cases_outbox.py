"""Conformance: the outbox, receipts, and content that is taken once."""

from rig import event, pb
from suite import case, check, equal, refused

W = pb.Write


def row_put(message, key=None, **more):
    fields = dict(message_id=message, chat="c@lid", uid=1, idempotency_key=key or "key-" + message, params_hash=b"h" * 32,
                  content=b"content of " + message.encode(), state=pb.QUEUED, created_ms=5)
    fields.update(more)
    return pb.OutboxPut(**fields)


def put(message, key=None, **more):
    return W(outbox_put=row_put(message, key, **more))


def update(message, **more):
    return W(outbox_update=pb.OutboxUpdate(message_id=message, **more))


@case("a row comes back as it was put, by its message and by owner and key")
def rows(c):
    full = row_put("m1", "k:1.2_-Z", uid=4294967295, content=bytes(range(256)), state=pb.READY, stanza=b"\0stanza", created_ms=-1,
                   was_online=False, not_after_ms=1 << 45, devices=["b@lid", "a@lid", "c:7@s.whatsapp.net"])
    c.ok("alice", W(outbox_put=full), put("m2"))
    for by in ({"message_id": "m1"}, {"uid": 4294967295, "idempotency_key": "k:1.2_-Z"}):
        r = c.row("alice", **by)
        check(r is not None, "found by %s" % by)
        equal(r.put, full, "the row by %s" % by)
        equal((r.delivered, r.read, r.taken, r.HasField("code"), r.HasField("reason"), r.HasField("server_ms")),
              (0, 0, False, False, False, False), "nothing came for it yet")
    equal(c.row("alice", message_id="m2").put, row_put("m2"), "one with less in it")
    check(c.row("alice", message_id="m1").row < c.row("alice", message_id="m2").row, "rows are numbered in their order")
    for by in ({"message_id": "M1"}, {"uid": 1, "idempotency_key": "k:1.2_-Z"}, {"uid": 4294967295, "idempotency_key": "key-m2"}):
        equal(c.row("alice", **by), None, "by %s" % by)
    equal(c.row("bob", message_id="m1"), None, "in another account")
    refused("bad_request", lambda: c.row("alice", uid=1), "OUTBOX_FIND by nothing")
    refused("bad_request", lambda: c.row("alice", idempotency_key="k"), "OUTBOX_FIND by a key without its owner")


@case("the same owner and key a second time is a duplicate, and nothing of its unit happens; the same message id is refused")
def duplicates(c):
    c.ok("alice", put("m1", "k"))
    r = c.fails("duplicate", "alice", event(), put("m2", "k"))
    check(r.duplicate, "the result says so")
    r = c.fails("bad_request", "alice", event(), put("m1", "other"))
    check(not r.duplicate, "a message id is no key")
    equal((c.row("alice", message_id="m2"), len(c.events().events)), (None, 0), "nothing of them")
    c.fails("duplicate", "alice", put("m3", "new"), put("m4", "new"))
    c.ok("alice", put("m2", "k", uid=2), put("m3", "K"))
    c.ok("bob", put("m1", "k"))
    units = [c.open("alice") for _ in range(4)]
    numbers = [c.post_commit("alice", u, put("r%d" % u, "raced")) for u in units]
    got = [c.apid.answer(n, pb.UNIT_RESULT) for n in numbers]
    equal([(r.committed, r.duplicate) for r in got], [(True, False)] + [(False, True)] * 3, "four that race for one key")


@case("an update sets what it names; of a row that is not there it is no error")
def updates(c):
    c.ok("alice", put("m", devices=["a", "b"]), update("none", state=pb.ACKED))
    want = c.row("alice", message_id="m")
    equal((want.HasField("until_ms"), want.ahead), (False, 0), "what nobody said")
    for fields in ({"state": pb.READY, "stanza": b"s"}, {"code": 479}, {"reason": "r\u00e9"}, {"server_ms": 1 << 41}, {},
                   {"until_ms": 1 << 42}, {"until_ms": 0},
                   {"state": pb.FAILED, "code": 0, "reason": ""}, {"devices": ["c"]}, {"state": pb.ACKED, "stanza": b"t"}):
        c.ok("alice", update("m", **fields))
        for k, v in fields.items():
            if k == "devices":
                want.put.devices[:] = v
            else:
                setattr(want.put if k in ("state", "stanza") else want, k, v)
        if want.put.state in (pb.ACKED, pb.FAILED):
            want.ClearField("ahead")
        equal(c.row("alice", message_id="m"), want, "after %s" % fields)
    most = ["d%d" % i for i in range(4096)]
    c.ok("alice", update("m", devices=most))
    equal(list(c.row("alice", message_id="m").put.devices), most, "4096 devices")
    c.fails("bad_request", "alice", update("m", devices=most + ["x"]))
    c.fails("bad_request", "alice", put("m2", devices=most + ["x"]))


@case("OUTBOX_LOAD gives what waits, oldest first, in pages by number and by 1 MiB")
def load(c):
    states = [pb.QUEUED, pb.READY, pb.ACKED, pb.FAILED]
    for i in range(12):
        c.ok("alice", put("m%02d" % i, state=states[i % 4]))

    def loaded(after=0, limit=1000):
        return c.apid.ask(pb.OUTBOX_LOAD, pb.OutboxLoad(account="alice", after_row=after, limit=limit)).rows
    want = ["m%02d" % i for i in range(12) if i % 4 < 2]
    equal([r.put.message_id for r in loaded()], want, "all that wait")
    got, at = [], 0
    while True:
        page = loaded(at, 4)
        if not page:
            break
        got, at = got + [r.put.message_id for r in page], page[-1].row
    equal(got, want, "by four")
    c.ok("alice", update("m00", state=pb.ACKED), update("m03", state=pb.QUEUED))
    equal([r.put.message_id for r in loaded()], sorted(want[1:] + ["m03"]), "after updates")
    for limit in (0, 1001):
        refused("bad_request", lambda: loaded(0, limit), "limit %d" % limit)
    c.ok("bob", *[put("big%d" % i, content=b"x" * (1 << 20)) for i in range(3)])
    page = c.apid.ask(pb.OUTBOX_LOAD, pb.OutboxLoad(account="bob", after_row=0, limit=1000)).rows
    equal([r.put.message_id for r in page], ["big0"], "one is always given")


def counts(c, account="alice", since=0):
    m = c.apid.ask(pb.OUTBOX_COUNT, pb.OutboxCount(account=account, since_ms=since))
    return m.waiting, m.oldest_ms if m.HasField("oldest_ms") else None, list(m.first_out_ms)


@case("OUTBOX_COUNT says how much waits and since when; a row that waits says how many are before it", durable=True)
def waiting(c):
    equal(counts(c), (0, None, []), "of nothing")
    c.ok("alice", *[put("m%d" % i, state=s, created_ms=50 - i) for i, s in enumerate(
        [pb.ACKED, pb.QUEUED, pb.READY, pb.FAILED, pb.QUEUED])])
    c.ok("bob", put("m4"))
    for kill in (None, False, True):
        if kill is not None:
            c.again(kill)
        equal((counts(c), counts(c, "bob")), ((3, 49, []), (1, 5, [])), "all that wait, by account")
        rows = [c.row("alice", message_id="m%d" % i) for i in range(5)]
        equal([r.ahead if r.HasField("ahead") else None for r in rows], [None, 0, 1, None, 2], "how many are before each")
        equal(c.row("alice", uid=1, idempotency_key="key-m4").ahead, 2, "by its key")
    c.ok("alice", update("m1", state=pb.FAILED, until_ms=7), update("m3", state=pb.READY))
    equal((counts(c), c.row("alice", message_id="m4").ahead), ((3, 48, []), 2), "after updates")
    c.ok("alice", *[update("m%d" % i, state=pb.ACKED) for i in range(5)])
    equal(counts(c), (0, None, []), "when all is done")


@case("the first time with a person is the earliest that was put, also of two that become one, and is counted", durable=True)
def first_contacts(c):
    def person(letter, **more):
        return W(contact=pb.Contact(id="u_" + letter * 26, **more))

    def times(letter):
        m = c.apid.ask(pb.LOOKUP, pb.Lookup(account="alice", jids=["u_" + letter * 26])).peers[0].contact
        return [getattr(m, f) if m.HasField(f) else None for f in ("first_out_ms", "met_ms")]
    c.ok("alice", person("a", pn="1", first_out_ms=30), person("b", lid="2", first_out_ms=20), person("c", pn="3", met_ms=9))
    equal([times(x) for x in "abc"], [[30, None], [20, None], [None, 9]], "as put")
    c.ok("alice", person("a", pn="1", first_out_ms=40, met_ms=50), person("b", lid="2"), person("c", pn="3", first_out_ms=8))
    equal([times(x) for x in "abc"], [[30, 50], [20, None], [8, 9]], "later ones change nothing")
    equal([counts(c, since=n)[2] for n in (0, 8, 29, 30)], [[8, 20, 30], [20, 30], [30], []], "counted above a time")
    c.ok("alice", person("b", pn="1", lid="2"))
    for kill in (None, False, True):
        if kill is not None:
            c.again(kill)
        equal((times("a"), times("b"), counts(c)[2]), ([20, 50], [20, 50], [8, 20]), "a and b are one")
    equal(counts(c, "bob")[2], [], "in another account")


@case("receipts count parties once each, by the highest status that they sent; of a stranger's message nothing is kept")
def receipts(c):
    def mark(party, status, message="m"):
        return W(receipt=pb.ReceiptMark(message_id=message, party=party, status=status, time_ms=1))
    c.ok("alice", put("m"), put("n"))
    rows = [("a", "delivered", (1, 0)), ("a", "delivered", (1, 0)), ("b", "read", (2, 1)), ("a", "played", (2, 2)),
            ("a", "delivered", (2, 2)), ("b", "delivered", (2, 2)), ("c", "delivered", (3, 2)), ("c", "read", (3, 3)),
            ("A", "delivered", (4, 3))]
    for party, status, want in rows:
        c.ok("alice", mark(party, status), mark(party, status, "not there"))
        r = c.row("alice", message_id="m")
        equal((r.delivered, r.read), want, "after %s of %s" % (status, party))
    r = c.row("alice", message_id="n")
    equal((r.delivered, r.read), (0, 0), "another message")
    c.ok("alice", put("not there", "k"))
    equal(c.row("alice", message_id="not there").delivered, 0, "receipts that came before their message")
    c.fails("bad_request", "alice", mark("a", "seen"))


@case("a receipt that names its chat counts only for a message to it, by any of its names")
def receipts_of_a_chat(c):
    def mark(party, *chats):
        return W(receipt=pb.ReceiptMark(message_id="m", party=party, status="read", time_ms=1, chats=chats))
    c.ok("alice", put("m"))
    chat = c.row("alice", message_id="m").put.chat
    for party, chats, want in (("stranger", ["another"], 0), ("b", ["another", "third"], 0), ("p", [chat], 1),
                               ("q", ["another", chat], 2), ("r", [chat, "another"], 3), ("any", [], 4)):
        c.ok("alice", mark(party, *chats))
        equal(c.row("alice", message_id="m").read, want, "after %s of %r" % (party, chats))
    c.fails("bad_request", "alice", mark("s", chat, "b", "c"))
    c.fails("bad_request", "alice", mark("s", ""))


@case("what each party said is told on request, the latest first; a status that is not higher keeps the first one's time")
def each_party(c):
    def mark(party, status, ms):
        return W(receipt=pb.ReceiptMark(message_id="m", party=party, status=status, time_ms=ms))
    c.ok("alice", put("m"), put("n"))
    c.ok("alice", mark("a", "read", 5), mark("b", "delivered", 9), mark("c", "played", 9), mark("a", "delivered", 20),
         mark("d", "delivered", 3), mark("d", "read", 2), W(receipt=pb.ReceiptMark(
             message_id="n", party="z", status="read", time_ms=1)))
    got = [(m.party, m.status, m.time_ms, m.message_id) for m in c.row("alice", message_id="m", receipts=True).receipts]
    equal(got, [("b", "delivered", 9, ""), ("c", "played", 9, ""), ("a", "read", 5, ""), ("d", "read", 2, "")], "marks")
    equal(list(c.row("alice", message_id="m").receipts), [], "marks that nobody asked for")
    c.ok("alice", *[mark("p%04d" % i, "delivered", 100 + i) for i in range(1100)])
    got = c.row("alice", message_id="m", receipts=True).receipts
    equal((len(got), got[0].party, got[-1].party), (1024, "p1099", "p0076"), "the latest 1024")


@case("content is taken exactly once: the row stays for its receipts, a second take fails its unit")
def take(c):
    c.ok("alice", put("m", state=pb.ACKED), put("n"))
    c.fails("absent", "alice", event(), W(sent_take="none"))
    c.fails("absent", "alice", W(sent_take="n"), W(sent_take="n"))
    check(not c.row("alice", message_id="n").taken, "a unit that failed took nothing")
    units = [c.open("alice") for _ in range(5)]
    numbers = [c.post_commit("alice", u, event(), W(sent_take="m")) for u in units]
    got = [c.apid.answer(n, pb.UNIT_RESULT) for n in numbers]
    equal([r.committed for r in got], [True] + [False] * 4, "five that race for it")
    equal({r.reason for r in got[1:]}, {"absent"}, "why the others failed")
    equal(len(c.events().events), 1, "and what was beside it happened once")
    c.ok("alice", W(receipt=pb.ReceiptMark(message_id="m", party="p", status="read", time_ms=1)))
    r = c.row("alice", message_id="m")
    equal((r.taken, r.put.content, r.put.state, r.read), (True, b"", pb.ACKED, 1), "the row")
    r = c.row("alice", message_id="n")
    equal((r.taken, r.put.content), (False, b"content of n"), "the other row")
    c.fails("duplicate", "alice", put("m9", "key-m"))
    c.fails("bad_request", "alice", put("m", "another"))


@case("what was taken stays taken after a stop and a kill", durable=True)
def take_again(c):
    c.ok("alice", put("m"), put("n"), W(sent_take="m"))
    for kill in (False, True):
        c.again(kill)
        c.fails("absent", "alice", W(sent_take="m"))
        check(not c.row("alice", message_id="n").taken, "the other is there")
