"""Conformance: keyd's sealed records, their versions, lists and flags."""

from rig import delete, event, name, pb, put
from sample import DOMAINS
from suite import case, check, equal, refused


@case("what is absent has version 0 and no bytes; records come in the order asked, as often as asked")
def get(c):
    c.ok("alice", puts=[put(pb.SESSION, "a", 1, b"A"), put(pb.SESSION, "b", 1, b"B")])
    names = [name(pb.SESSION, n) for n in ("b", "none", "a", "b")]
    equal(c.records("alice", *names), [(1, b"B"), (0, None), (1, b"A"), (1, b"B")], "records")
    equal(c.records("alice"), [], "nothing asked")
    many = [name(pb.SESSION, "ab"[i % 2]) for i in range(1024)]
    equal(c.records("alice", *many), [(1, b"AB"[i % 2:i % 2 + 1]) for i in range(1024)], "1024 names")
    refused("bad_request", lambda: c.records("alice", *many, many[0]), "1025 names")


@case("a name is its bytes: case, wildcards, composed letters and lengths tell records apart, and so does the domain")
def names(c):
    texts = ["a_b", "aXb", "A_B", "a%", "a", "a ", " a", "%", "\u00e9", "e\u0301", "x" * 160, "x" * 159, "1/7", "1/07", "'; --",
             "a\nb", "\u4e16\u754c"]
    c.ok("alice", puts=[put(pb.SESSION, t, 1, b"%d" % i) for i, t in enumerate(texts)])
    equal(c.records("alice", *[name(pb.SESSION, t) for t in texts]), [(1, b"%d" % i) for i in range(len(texts))], "names")
    c.ok("alice", puts=[put(d, "same", 1, b"domain %d" % d) for d in DOMAINS])
    equal(c.records("alice", *[name(d, "same") for d in DOMAINS]), [(1, b"domain %d" % d) for d in DOMAINS], "domains")


@case("a put carries the version that it makes: any other fails the unit and changes nothing")
def versions(c):
    n = name(pb.SESSION, "s")
    rows = [("v2 of none", put(pb.SESSION, "s", 2, b"x"), False), ("v1", put(pb.SESSION, "s", 1, b"one"), True),
            ("v1 again", put(pb.SESSION, "s", 1, b"x"), False), ("v3 on v1", put(pb.SESSION, "s", 3, b"x"), False),
            ("v2", put(pb.SESSION, "s", 2, b"two"), True), ("v1 on v2", put(pb.SESSION, "s", 1, b"x"), False),
            ("delete v1 of v2", delete(pb.SESSION, "s", 1), False), ("delete v3 of v2", delete(pb.SESSION, "s", 3), False),
            ("v3", put(pb.SESSION, "s", 3, b"three"), True), ("delete v3", delete(pb.SESSION, "s", 3), True),
            ("delete of none", delete(pb.SESSION, "s", 3), False), ("v4 of none", put(pb.SESSION, "s", 4, b"x"), False),
            ("v1 anew", put(pb.SESSION, "s", 1, b"again"), True)]
    stands = (0, None)
    for what, step, good in rows:
        how = {"puts": [step]} if isinstance(step, pb.RecordPut) else {"deletes": [step]}
        if good:
            c.ok("alice", event(), **how)
            stands = (step.version, step.sealed) if "puts" in how else (0, None)
        else:
            c.fails("version", "alice", event(), **how)
        equal(c.records("alice", n), [stands], "the record after " + what)
    equal(len(c.events().events), sum(good for _, _, good in rows), "an event of each unit that happened")


@case("several steps of a record in one unit build on each other, in one STAGE and over several")
def versions_in_a_unit(c):
    c.ok("alice", puts=[put(pb.SESSION, "a", v, b"%d" % v) for v in (1, 2, 3)])
    equal(c.records("alice", name(pb.SESSION, "a")), [(3, b"3")], "three versions in one STAGE")
    c.ok("alice", puts=[put(pb.SESSION, "b", 1, b"1")], deletes=[delete(pb.SESSION, "b", 1)])
    equal(c.records("alice", name(pb.SESSION, "b")), [(0, None)], "puts come before deletes")
    u = c.open("alice")
    c.stage("alice", u, [put(pb.SESSION, "a", 4, b"4")])
    c.stage("alice", u, deletes=[delete(pb.SESSION, "a", 4)])
    c.stage("alice", u, [put(pb.SESSION, "a", 1, b"1")])
    check(c.apid.answer(c.post_commit("alice", u, stages=3)).committed, "three STAGE frames")
    equal(c.records("alice", name(pb.SESSION, "a")), [(1, b"1")], "put, deleted and made anew")


@case("records of every size up to 1 MiB come back byte for byte")
def sizes(c):
    for size in (1, 2, 255, 4000, 4096, 5000, 70000, 1 << 20):
        data = bytes((i * 7 + size) & 255 for i in range(251)) * (size // 251 + 1)
        c.ok("alice", puts=[put(pb.SESSION, "s%d" % size, 1, data[:size])])
        equal(c.records("alice", name(pb.SESSION, "s%d" % size)) == [(1, data[:size])], True, "%d bytes" % size)


def some(c):
    """Names in an order of bytes that is neither that of numbers nor of letters."""
    texts = ["1/10", "1/9", "1/9:0", "1/9;", "1/A", "1/a", "1/_", "1/\u00e9", "1/\u4e16", "2/1", "1/9:1", "1/", "0"]
    c.ok("alice", puts=[put(pb.SESSION, t, 1, t.encode()) for t in texts])
    c.ok("alice", puts=[put(pb.SESSION, "1/9", 2, b"second"), put(pb.IDENTITY, "1/5", 1, b"another domain")])
    c.ok("bob", puts=[put(pb.SESSION, "1/5", 1, b"another account")])
    return sorted(texts, key=lambda t: t.encode())


@case("a list has the names of a domain in a range, in the order of their bytes")
def ranges(c):
    texts = some(c)
    rows = [("all", None, None), ("from one", "1/9", None), ("below one", None, "1/9"), ("a user", "1/9:", "1/9;"),
            ("between names", "1/95", "1/Z"), ("empty", "1/9", "1/9"), ("turned round", "2", "1"), ("behind", "3", None),
            ("a generation", "1/", "10"), ("letters beyond ASCII", "1/\u00e8", "1/\u00ea")]
    for what, first, below in rows:
        q = {k: v for k, v in (("first", first), ("below", below)) if v is not None}
        want = [t for t in texts if (first is None or t.encode() >= first.encode()) and
                (below is None or t.encode() < below.encode())]
        for down in (False, True):
            order = want[::-1] if down else want
            for limit in (1024, 1, 3, 0):
                got = c.list("alice", pb.SESSION, limit, descending=down, **q)
                equal([r.name for r in got.records], order[:limit], "%s, descending %s, limit %d" % (what, down, limit))
                equal(got.total, len(want), "how many there are: " + what)
    got = c.list("alice", pb.SESSION)
    equal([(r.version, r.HasField("sealed")) for r in got.records], [(2 if t == "1/9" else 1, False) for t in texts],
          "versions, and no bytes unless asked for")
    equal(c.list("alice", pb.KEYSTATE).total, 0, "a domain without records")
    refused("bad_request", lambda: c.list("alice", pb.SESSION, 1025), "limit 1025")


@case("a list with the records themselves gives them whole, and stops at 2 MiB to be gone on with")
def sealed(c):
    texts = some(c)
    want = [(t, b"second" if t == "1/9" else t.encode()) for t in texts]
    equal([(r.name, r.sealed) for r in c.list("alice", pb.SESSION, sealed=True).records], want, "records")
    for i in range(8):
        c.ok("alice", puts=[put(pb.SENDER_KEY, "big%d" % i, 1, b"%d" % i * 700000)])
    got, first, pages = [], "big", 0
    while True:
        page = c.list("alice", pb.SENDER_KEY, sealed=True, first=first)
        equal(page.total, 8 - len(got), "how many there are from " + first)
        if not page.records:
            break
        check(len(page.records) == 1 or sum(len(r.sealed) for r in page.records) <= 2 << 20, "a page of 2 MiB at most")
        got, pages = got + [(r.name, r.sealed[:1], len(r.sealed)) for r in page.records], pages + 1
        first = got[-1][0] + "\x01"
    equal(got, [("big%d" % i, b"%d" % i, 700000) for i in range(8)], "all of them, page by page")
    check(pages >= 4, "several pages", pages)


@case("prekeys have a flag: it is put with them, marked where they are there, and listed by")
def uploaded(c):
    c.ok("alice", puts=[put(pb.PREKEY, "1/%d" % i, 1, b"x", uploaded=i % 2 == 0) for i in range(6)])

    def flags(**q):
        return [(r.name, r.uploaded) for r in c.list("alice", pb.PREKEY, **q).records]
    equal(flags(), [("1/%d" % i, i % 2 == 0) for i in range(6)], "flags")
    equal(flags(uploaded=True), [("1/0", True), ("1/2", True), ("1/4", True)], "those that are")
    equal(flags(uploaded=False, descending=True, limit=2), [("1/5", False), ("1/3", False)], "those that are not")
    equal(c.list("alice", pb.PREKEY, 0, uploaded=False).total, 3, "counted")
    r = c.ok("alice", event(), uploaded=[name(pb.PREKEY, "1/%d" % i) for i in (1, 2, 77)])
    check(r.seqs, "marking what is absent is success")
    equal(flags(uploaded=False), [("1/3", False), ("1/5", False)], "marked")
    equal(c.records("alice", name(pb.PREKEY, "1/1"), name(pb.PREKEY, "1/77")), [(1, b"x"), (0, None)],
          "a mark is no version, and makes none")
    c.fails("version", "alice", puts=[put(pb.PREKEY, "1/0", 1, b"x")], uploaded=[name(pb.PREKEY, "1/3")])
    equal(flags(uploaded=False), [("1/3", False), ("1/5", False)], "a unit that failed marks nothing")
    c.ok("alice", puts=[put(pb.PREKEY, "1/9", 1, b"x")], uploaded=[name(pb.PREKEY, "1/9")])
    check(("1/9", True) in flags(), "put and marked in one unit")
    c.ok("alice", deletes=[delete(pb.PREKEY, "1/1", 1)])
    c.ok("alice", uploaded=[name(pb.PREKEY, "1/1")])
    equal(c.records("alice", name(pb.PREKEY, "1/1")), [(0, None)], "a key that was used does not come back")


SECRETS = [  # message_s of each put in turn (None: not given) -> what is told
    ([5], 5), ([5, 9], 9), ([9, 5], 9), ([5, None], 5), ([None, 5], 5), ([5, 9, 7], 9), ([0, 3], 3), ([3, 0], 3)]


@case("a message secret keeps the later time of its message, in whatever order they come")
def secret_times(c):
    for i, (times, want) in enumerate(SECRETS):
        for v, t in enumerate(times, 1):
            more = {} if t is None else {"message_s": t}
            c.ok("alice", puts=[put(pb.MSG_SECRET, "m%d" % i, v, b"secret %d" % v, expires_s=0, **more)])
        got = c.keyd.ask(pb.RECORDS_GET, pb.RecordsGet(account="alice", names=[name(pb.MSG_SECRET, "m%d" % i)])).records[0]
        equal((got.version, got.sealed, got.message_s), (len(times), b"secret %d" % len(times), want), "times %s" % times)


FAR = 1 << 33  # unix seconds that are long to come
EXPIRIES = [  # expires_s of each put in turn -> does it stay?
    ([1], False), ([0], True), ([FAR], True), ([1, 2], False), ([1, 0], True), ([0, 1], True), ([FAR, 1], True),
    ([1, FAR], True), ([0, FAR, 1], True), ([1, FAR, 2], True), ([1, 2, 3], False), ([FAR, 0, 1], True)]


@case("message secrets go when they expire: never beats all times, and the later beats the earlier", durable=True)
def secret_expiry(c):
    for i, (times, _) in enumerate(EXPIRIES):
        c.ok("alice", puts=[put(pb.MSG_SECRET, "m%02d" % i, v, b"x", expires_s=t) for v, t in enumerate(times, 1)])
    want = ["m%02d" % i for i, (_, stays) in enumerate(EXPIRIES) if stays]
    c.again()  # its turn comes soon after a start
    c.until(lambda: c.list("alice", pb.MSG_SECRET).total <= len(want), "the expired ones are gone")
    equal([r.name for r in c.list("alice", pb.MSG_SECRET).records], want, "those that stay")
