"""What lies on the disk: nothing that was planted can be found there, and what is wrong with a file is said clearly.

Text is planted in every text and bytes field of every write and record, and all files of the data folder are searched
for it and for the keys, in every spelling: under load, after a kill, after a stop. The same search over a plain copy of
what was sent finds all of it, so it can find. Then files are spoiled: each has its reason in UnlockReply and StoreState,
and the other account goes on."""

import base64
import os
import shutil
import sqlite3
import sys
import time

from rig import BUILD, SLOW, Closed, Failure, Refused, folder, name, pb
from sample import Sample, difference, dump
from suite import REPORTS, Subject, check, equal, refused

W = pb.Write
PROGRAM = [os.path.join(BUILD, "stored")]
TESTS = []
# words of the contract and numbers as text: no place to plant anything in
FIXED = {"EventAppend.type", "EventAppend.origin", "ReceiptMark.status", "Contact.lid_source", "DeviceRecord.platform"}


def test(fn):
    TESTS.append(fn)
    return fn


# ---------------------------------------------------------------- planting

def planted(tag):
    """Every kind of write with the tag in it; those that take away are about another tag's things, put before them."""
    s, gone = Sample(tag), Sample("GONE" + tag)
    away = [W(token_received=pb.TokenReceived(user=gone.user, token=b"got-" + tag.encode(), token_s=9)),
            W(token_touch=pb.TokenTouch(user="touched" + tag, sender_s=5)), W(sent_take=gone.message),
            W(device_list_drop=pb.DeviceListDrop(user=gone.user)),
            W(macs_delete=pb.MacsDelete(collection=gone.collection, indexes=[gone.mac])),
            W(macs_clear=gone.collection), W(collection_delete=gone.collection), W(sender_key_clear=gone.group),
            W(sender_key_drop=pb.DeviceNames(devices=[gone.device])), W(group_delete=gone.group),
            W(base_key_delete=gone.base_key.name), W(token_delete=gone.lid_user), W(pending_delete=gone.pending)]
    return s, gone, s.writes(), away


def texts(message):
    """(Message.field, value) of all texts and bytes in a message."""
    for f, value in message.ListFields():
        for v in value if f.label == f.LABEL_REPEATED else [value]:
            if hasattr(v, "ListFields"):
                yield from texts(v)
            elif isinstance(v, (str, bytes)):
                yield "%s.%s" % (message.DESCRIPTOR.name, f.name), v if isinstance(v, bytes) else v.encode()


def check_planted(tag, messages):
    """No field was forgotten: each that is text or bytes has the tag, and each kind of write with such fields is there."""
    seen = set()
    for m in messages:
        for field, value in texts(m):
            check(field in FIXED or tag.encode() in value or tag.lower().encode() in value, "nothing is planted in " + field,
                  value)
            seen.add(field)

    def wanted(d, met=()):
        for f in d.fields:
            if f.message_type is not None and f.message_type not in met:
                yield from wanted(f.message_type, met + (f.message_type,))
            elif f.type in (f.TYPE_STRING, f.TYPE_BYTES):
                yield "%s.%s" % (d.name, f.name)
    missing = set(wanted(pb.Write.DESCRIPTOR)) | set(wanted(pb.Stage.DESCRIPTOR))
    missing -= seen | {"Stage.account"}
    equal(sorted(missing), [], "fields in which nothing was planted")


def spellings(what, data):
    yield what, data
    for form, text in (("hex", data.hex()), ("HEX", data.hex().upper())):
        yield "%s in %s" % (what, form), text.encode()
    for skip in range(3):  # base64 has three, by where in the triple it begins
        text = base64.b64encode(b"\0" * skip + data)[(0, 2, 3)[skip]:]
        text = text[:(len(data) * 8 - (0, 4, 2)[skip]) // 6 - 1]
        yield "%s in base64, %d" % (what, skip), text
        yield "%s in base64url, %d" % (what, skip), text.replace(b"+", b"-").replace(b"/", b"_")


def needles(tags, keys):
    out = []
    for tag in tags:
        out += spellings(tag, tag.encode()) if tag else []
        out += [(tag + " in UTF-16LE", tag.encode("utf-16-le")), (tag + " in UTF-16BE", tag.encode("utf-16-be"))]
    for who, key in keys.items():
        out += spellings("the key of " + (who or "the service"), key)
        out.append(("half the key of " + who, key[:16]))
    # what any SQLite file or a store's own would show
    out += [(w.decode(), w) for w in (b"SQLite format 3", b"CREATE TABLE", b"message.received", b"@s.whatsapp.net")]
    return out


def search(path, wanted):
    """{needle: file} of those that are found in the files of a folder."""
    found = {}
    for n in sorted(os.listdir(path)):
        with open(os.path.join(path, n), "rb") as f:
            data = f.read()
        for what, needle in wanted:
            if needle in data:
                found.setdefault(what, n)
    return found


@test
def nothing_planted_is_found():
    """planted text and keys: not in the database, its log or any file, under load, killed, stopped; the plain copy has all"""
    where, tag = folder("ward-rest-"), "Plant" + os.urandom(6).hex().upper()
    s = Subject(PROGRAM, where + "/data", level="debug")
    one, gone, writes, away = planted(tag)
    check_planted(tag, writes + away + [pb.Stage(account=tag, unit=1, puts=one.puts(), deletes=one.deletes(1),
                                                 uploaded=[one.records[3]])])
    tags, wanted = [tag, one.contact], needles([tag, one.contact], s.keys)
    s.start()
    s.opened()
    sent, files, logs = [], set(), 0
    for round in range(12):
        who = s.accounts[round % 2]
        more = Sample("%sR%d" % (tag, round))
        for batch, puts in ((gone.writes() if round < 2 else [], []), (writes + away if round < 2 else [], one.puts()),
                            (more.writes(), more.puts(size=5000))):
            if puts and round >= 2 and batch == []:
                continue
            s.ok(who, *batch, puts=puts)
            sent += batch + puts
        for name_ in os.listdir(s.folder):
            logs += name_.endswith("-wal") and os.path.getsize(os.path.join(s.folder, name_)) > 0
        s.apid.ask(pb.CONSUMER_OPEN, pb.ConsumerOpen(name="c" + tag, uid=round, **{"from": pb.ConsumerOpen.LATEST}))
        equal(search(s.folder, wanted), {}, "found under load")
        files |= set(os.listdir(s.folder))
        if round in (4, 8):
            s.kill()
            equal(search(s.folder, wanted), {}, "found after a kill")
            s.start()
            s.opened()
    check(logs >= 12 and {"account-alice.db", "account-bob.db", "service.db"} <= files, "there was something to search", files)
    equal(s.stop(), 0, "exit status")
    equal(search(s.folder, wanted), {}, "found after a stop")
    equal([line for line in s.lines if any(t in line for t in tags)], [], "in the log")
    copy = where + "/plain"
    os.mkdir(copy)
    with open(copy + "/sent", "wb") as f:
        for m in sent:
            f.write(m.SerializeToString())
            f.write(str(m).encode())
        f.write(b"SQLite format 3\0CREATE TABLE")
        for what in tags + list(s.keys.values()):
            data = what if isinstance(what, bytes) else what.encode()
            f.write(data + b" " + data.hex().encode() + b" " + data.hex().upper().encode() + b" ")
            for skip in range(3):
                f.write(base64.b64encode(b"\xa5" * skip + data + b"\x5a") + b" ")
                f.write(base64.urlsafe_b64encode(b"\xa5" * skip + data + b"\x5a") + b" ")
            if isinstance(what, str):
                f.write(what.encode("utf-16-le") + b" " + what.encode("utf-16-be"))
    missed = [what for what, _ in wanted if what not in search(copy, wanted)]
    equal(missed, [], "what the search does not find in a plain copy")
    shutil.rmtree(where)


# ---------------------------------------------------------------- spoiled files

class Spoiled:
    """A store with data of both accounts, stopped; each with-block begins with its files as they were then."""

    def __init__(self, same_key=False, big=False):
        self.where = folder("ward-rest-")
        self.s = Subject(PROGRAM, self.where + "/data")
        if same_key:
            self.s.keys["bob"] = self.s.keys["alice"]
        self.samples = [Sample("ALICE"), Sample("BOB")]
        self.s.start()
        self.s.opened()
        for who, sample in zip(self.s.accounts, self.samples):
            self.s.ok(who, *sample.writes(), puts=sample.puts())
            for i in range(60 if big else 0):
                self.s.ok(who, *Sample("F%d" % i).writes(), puts=Sample("F%d" % i).puts(size=3000))
        self.was = dump(self.s, self.samples)
        equal(self.s.stop(), 0, "exit status")
        shutil.copytree(self.s.folder, self.where + "/kept")

    def path(self, n):
        return os.path.join(self.s.folder, n)

    def fresh(self):
        shutil.rmtree(self.s.folder)
        shutil.copytree(self.where + "/kept", self.s.folder)

    def unlock(self):
        """{account: AccountOpened}; UnlockReply and StoreState must say the same."""
        self.s.start()
        r = self.s.unlock()
        for a, b in zip(list(r.accounts) + [r.service], list(self.s.state.accounts) + [self.s.state.service]):
            equal(b, a, "StoreState beside UnlockReply")
        return {a.account: a for a in list(r.accounts) + [r.service]}

    def bob_goes_on(self):
        now = dump_of(self.s, "bob", self.samples)
        diff = difference([x for x in self.was if x[0].startswith("bob")], now)
        check(diff is None, "bob is not as he was", diff)
        self.s.ok("bob", W(mark="m"))

    def end(self):
        self.s.kill()
        shutil.rmtree(self.where)


def dump_of(s, who, samples):
    accounts, s.accounts = s.accounts, [who]
    try:
        return [x for x in dump(s, samples) if x[0].startswith(who)]
    finally:
        s.accounts = accounts


def plain_database(path):
    os.remove(path)
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE t(a)")
    db.execute("INSERT INTO t VALUES('x')")
    db.commit()
    db.close()


def write(path, data, at=None):
    with open(path, "r+b" if at is not None else "wb") as f:
        if at is not None:
            f.seek(at)
        f.write(data)


def link(path):
    os.rename(path, path + ".real")
    os.symlink(os.path.basename(path) + ".real", path)


def directory(path):
    os.remove(path)
    os.mkdir(path)


FILES = [  # what was done to account-alice.db -> the reason, or one of them
    ("a plain SQLite database in its place", plain_database, ("foreign",)),
    ("a text in its place", lambda p: write(p, b"hello world\n" * 1000), ("wrong_key", "foreign")),
    ("random bytes in its place", lambda p: write(p, os.urandom(65536)), ("wrong_key",)),
    ("zeros in its place", lambda p: write(p, bytes(65536)), ("wrong_key",)),
    ("a flipped byte in its first page", lambda p: write(p, b"\xff\x00\xff", 2000), ("wrong_key", "corrupt")),
    ("another salt", lambda p: write(p, os.urandom(16), 0), ("wrong_key",)),
    ("cut to 100 bytes", lambda p: os.truncate(p, 100), ("wrong_key", "corrupt")),
    ("cut in its first page", lambda p: os.truncate(p, 3000), ("wrong_key", "corrupt")),
    ("a folder in its place", directory, ("io", "foreign", "read_only")),
    ("a link in its place", link, ("io", "foreign", "read_only")),
]


@test
def spoiled_files():
    """an account's file that is not its own: a reason and a text that name it, the other account goes on, and repaired it opens"""
    x = Spoiled()
    for what, spoil, reasons in FILES:
        x.fresh()
        spoil(x.path("account-alice.db"))
        try:
            by = x.unlock()
            a = by["alice"]
            check(not a.ok and a.reason in reasons, what + ": wanted %s" % (reasons,), a)
            check("account-alice.db" in a.text and len(a.text) > 30, what + ": a text for people", a)
            check(by["bob"].ok and by[""].ok, what + ": the others are open", by)
            e = refused("account_failed", lambda: x.s.device("alice"), what)
            check(e.text == a.text, what + ": the same text", e)
            check(any("account-alice.db" in line for line in x.s.lines), what + ": said in the log", x.s.lines)
            x.bob_goes_on()
            equal(x.s.stop(), 0, what + ": exit status")
        except (Failure, Refused, Closed) as e:
            raise Failure("%s: %s\n%s" % (what, e, x.s.said()))
    x.fresh()
    x.s.start()
    x.s.opened()
    diff = difference(x.was, dump(x.s, x.samples))
    check(diff is None, "as it was", diff)
    x.end()


@test
def wrong_keys():
    """a wrong key for an account, for the service, an exchanged pair, a key of zeros: wrong_key, and the right ones open all"""
    x = Spoiled()
    right = dict(x.s.keys)
    rows = [({"alice": os.urandom(32)}, {"alice"}), ({"": os.urandom(32)}, {"", "alice", "bob"}),
            ({"alice": right["bob"], "bob": right["alice"]}, {"alice", "bob"}), ({"bob": bytes(32)}, {"bob"}),
            ({"alice": right["alice"][:31] + bytes([right["alice"][31] ^ 1])}, {"alice"}), ({}, set())]
    for keys, closed in rows:
        x.s.keys = dict(right, **keys)
        by = x.unlock()
        equal({k for k, a in by.items() if not a.ok}, closed, "which are closed")
        for k in closed:
            check(by[k].reason == "wrong_key" and "key" in by[k].text, "the reason", by[k])
        equal(x.s.stop(), 0, "exit status")
    x.s.start()
    x.s.opened()
    diff = difference(x.was, dump(x.s, x.samples))
    check(diff is None, "as it was", diff)
    x.end()


@test
def another_accounts_file():
    """the file of another account, which its key opens, is foreign; so is the service's own in an account's place"""
    x = Spoiled(same_key=True)
    shutil.copy(x.path("account-bob.db"), x.path("account-alice.db"))
    a = x.unlock()["alice"]
    check(not a.ok and a.reason == "foreign" and "another account" in a.text, "bob's file in alice's place", a)
    x.bob_goes_on()
    equal(x.s.stop(), 0, "exit status")
    x.fresh()
    x.s.keys["alice"] = x.s.keys[""]
    shutil.copy(x.path("service.db"), x.path("account-alice.db"))
    a = x.unlock()["alice"]
    check(not a.ok and a.reason in ("foreign", "newer_schema"), "the service's file in alice's place", a)
    x.end()


@test
def two_services():
    """a second service on the same folder is told in_use, and the first goes on"""
    x = Spoiled()
    x.s.start()
    x.s.opened()
    second = Subject(PROGRAM, x.s.folder, keys=x.s.keys)
    second.start()
    r = second.unlock()
    for a in list(r.accounts) + [r.service]:
        check(not a.ok and a.reason == "in_use" and a.text, "in_use", a)
    refused("account_failed", lambda: second.device("alice"), "the second")
    equal(second.stop(), 0, "exit status of the second")
    diff = difference(x.was, dump(x.s, x.samples))
    check(diff is None, "the first", diff)
    x.s.ok("alice", W(mark="m"))
    x.end()


def read_all(x):
    """Read alice until something is damaged; the codes that came."""
    codes = set()
    try:
        dump_of(x.s, "alice", x.samples)
        x.s.events(accounts=["alice"])
    except Refused as e:
        codes.add(e.code)
    return codes


def found_damage(x, what):
    """The damage is told as corrupt where it is met, and the account is failed with that reason; bob goes on."""
    by = x.unlock()
    check(by["bob"].ok and by[""].ok, what + ": the others are open", by)
    if by["alice"].ok:
        codes = read_all(x)
        if not codes:
            equal(x.s.stop(), 0, what + ": exit status")
            return "unread"  # a page that nothing needs
        check(codes <= {"corrupt", "account_failed"}, what + ": the codes", codes)
        state = x.s.apid.notice(pb.STORE_STATE)
        a = {a.account: a for a in state.accounts}["alice"]
        check({a.account: a for a in state.accounts}["bob"].ok, what + ": bob in the state", state)
    else:
        a = by["alice"]
    check(not a.ok and a.reason == "corrupt" and a.text, what + ": the reason", a)
    refused("account_failed", lambda: x.s.device("alice"), what)
    refused("account_failed", lambda: x.s.records("alice", name(pb.SESSION, "a")), what)
    refused("account_failed", lambda: x.s.commit("alice", W(mark="m")), what)
    x.bob_goes_on()
    equal(x.s.stop(), 0, what + ": exit status")
    return "at the start" if not by["alice"].ok else "when it was read"


@test
def damaged_pages():
    """a damaged page anywhere, or a file cut short: corrupt, the account is failed with that reason, the other goes on"""
    x = Spoiled(big=True)
    pages = os.path.getsize(x.path("account-alice.db")) // 4096
    check(pages > 100, "pages", pages)
    came = {"unread": 0, "at the start": 0, "when it was read": 0}
    places = 40 if SLOW == 1 else 8
    for page in range(1, pages, max(1, pages // places)):
        x.fresh()
        write(x.path("account-alice.db"), b"\xde\xad\xbe\xef", page * 4096 + 16 + page * 7 % 4000)
        came[found_damage(x, "page %d of %d" % (page, pages))] += 1
    for share in (2, 3, 10):
        for odd in (0, 1234):
            x.fresh()
            os.truncate(x.path("account-alice.db"), pages // share * 4096 + odd)
            came[found_damage(x, "cut to a %dth and %d" % (share, odd))] += 1
    check(came["at the start"] + came["when it was read"] >= places * 3 / 4, "damage was met", came)
    print("     damage of %d places: %s" % (sum(came.values()), ", ".join("%d %s" % (n, k) for k, n in came.items())))
    x.fresh()
    write(x.path("service.db"), b"\xde\xad", 4096 + 100)
    by = x.unlock()
    check(by[""].ok or by[""].reason == "corrupt", "the service's own file", by)
    x.end()


@test
def damage_met_by_a_unit():
    """a unit that meets a damaged page fails with corrupt, those behind it with the account; nothing of them is there"""
    x = Spoiled(big=True)
    path = x.path("account-alice.db")
    pages, met = os.path.getsize(path) // 4096, 0
    for share in range(2, 9 if SLOW == 1 else 4):
        x.fresh()
        for page in range(pages * (share - 1) // share, pages):  # the schema lies further up
            write(path, b"\xde\xad\xbe\xef", page * 4096 + 200)
        if not x.unlock()["alice"].ok:
            equal(x.s.stop(), 0, "exit status")
            continue
        s, at = x.s, []
        for i in range(30):
            sample = Sample("NEW%d" % i)
            u, v = s.open("alice"), s.open("bob")
            s.stage("alice", u, sample.puts())
            at.append((u, s.post_commit("alice", u, *sample.writes(), stages=1), s.post_commit("bob", v, *sample.writes())))
        reasons = []
        for u, number, bobs in at:
            try:
                r = s.apid.answer(number, pb.UNIT_RESULT)
                reasons.append(None if r.committed else r.reason)
            except Refused as e:
                reasons.append(e.code)
            check(s.apid.answer(bobs, pb.UNIT_RESULT).committed, "bob's")
            equal(s.done("alice", u), reasons[-1] is None, "UNIT_DONE of %s" % reasons)
        bad = [r for r in reasons if r]
        check(set(bad) <= {"corrupt", "account_failed"} and reasons == [None] * (30 - len(bad)) + bad, "reasons", reasons)
        if bad:
            met += 1
            check(bad[0] == "corrupt" or "corrupt" in bad, "the first says why", reasons)
            state = s.apid.notice(pb.STORE_STATE)
            a = {a.account: a for a in state.accounts}
            check(not a["alice"].ok and a["alice"].reason == "corrupt" and a["bob"].ok, "the state", state)
            refused("account_failed", lambda: s.device("alice"), "alice")
        equal(s.stop(), 0, "exit status")
    check(met > 0, "damage was met")
    x.end()


def main():
    passed = failed = 0
    for fn in TESTS:
        if len(sys.argv) > 1 and not any(a in fn.__name__ for a in sys.argv[1:]):
            continue
        began = time.monotonic()
        try:
            fn()
            found = REPORTS.take()
            check(not found, "valgrind or a sanitizer found\n" + found)
            passed += 1
            print("ok   %-26s %5.1f s  %s" % (fn.__name__, time.monotonic() - began, fn.__doc__))
        except (Failure, Refused, Closed) as e:
            failed += 1
            print("FAIL %-26s %5.1f s  %s\n%s\n%s" % (fn.__name__, time.monotonic() - began, fn.__doc__, e, REPORTS.take()))
        sys.stdout.flush()
    print("test_at_rest: %d passed, %d failed" % (passed, failed))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
