"""Backups: made while messages flow, restored into a new folder, and what the account does then; backups that are
damaged, cancelled, or find no room; what `wardctl store` says."""

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

from harness import SLOW, Rpc, SmallDisk, World, check, command, equal, main, test, wait_until
from test_chain import follow, texts, wait_texts
from test_faults import linked_world, send_in

LOAD = int(os.environ.get("WARD_BACKUP_MESSAGES", "40"))  # each way while the backup is made


# ---------------------------------------------------------------- helpers

def send_out(c, bob, text, key, **kw):
    return c.call("message.send", account="alice", to="+" + bob["pn"], text=text, idempotency_key=key, **kw)


def backup(ward, path):
    r = ward.ctl("backup", path)
    equal(r.returncode, 0, "wardctl backup: %s" % r.stderr)
    return path


def restored(w, old, path, name="new", key=True, start=True):
    """A second service of the same account on a folder restored from that backup."""
    new = w.ward("alice", start=False, name=name)
    if key:
        shutil.copy(old.key, new.key + ".same")
        os.replace(new.key + ".same", new.key)
    new.write_conf()
    r = new.ctl("restore", path, "--config", new.conf)
    equal(r.returncode, 0, "wardctl restore: %s" % r.stderr)
    return new.start() if start else new


def whole_log(c, consumer):
    """Every event that the log has, as a durable consumer gets them."""
    c.call("events.subscribe", consumer=consumer, window=1, **{"from": "earliest"})  # sets where it stands
    c.call("events.unsubscribe", subscription=c.call("events.subscribe", consumer=consumer, steal=True)["subscription"])
    events, ack = [], {}
    while True:
        got = c.call("events.fetch", consumer=consumer, limit=1000, **ack)
        if not got["events"]:
            return events
        events += [e["event"] for e in got["events"]]
        ack = {"ack": got["cursor"]}


def follow_received(ward, consumer):
    """As follow, but only what was received: acknowledges nothing, and the window is full late."""
    c = ward.client()
    c.call("events.subscribe", consumer=consumer, window=4096, filter={"types": ["message.received"]}, **{"from": "earliest"})
    return c


def received(events):
    return [e["body"]["message"]["message_id"] for e in events if e["type"] == "message.received"]


def send_with(c, fds, method, **params):
    """A request with descriptors."""
    with c.cond:
        n, c.next = c.next, c.next + 1
    line = json.dumps({"jsonrpc": "2.0", "id": n, "method": method, "params": params}).encode() + b"\n"
    socket.send_fds(c.sock, [line], fds)
    return n


def fd_client(ward):
    c = ward.client()
    equal(c.call("server.hello", features=["fd"])["features"], ["fd"], "the feature")
    return c


def reason(m):
    return (m["error"]["code"], m["error"]["data"]["reason"]) if "error" in m else m


def state_of(ward):
    c = Rpc(ward.socket)  # of its own and closed again: it is asked many times
    try:
        return c.call("account.state", account="alice")
    finally:
        c.close()


def is_restored(ward):
    s = state_of(ward)
    equal((s["state"], s["reason"], s["user_action"]), ("stopped", "restored", "operator"), "state")
    check("backup" in s["text"], "the text says why", s)


def resume(ward):
    r = ward.ctl("-a", "alice", "account", "resume")
    equal(r.returncode, 0, "resume: %s" % r.stderr)
    wait_until(lambda: state_of(ward)["state"] == "online", 30, "online again")


# ---------------------------------------------------------------- restore

def flow(w, c, bob, path, ward):
    """Messages both ways; a backup in the midst of them. Returns the ids by key of what was sent."""
    sent, failed = {}, []

    def outgoing():
        try:
            for i in range(LOAD):
                sent["out-%d" % i] = send_out(c, bob, "out %d" % i, "out-%d" % i)["message_id"]
        except Exception as e:
            failed.append(e)

    thread = threading.Thread(target=outgoing)
    thread.start()
    w.sim.cmd("phone.send", account="bob", to="alice", prefix="in ", count=LOAD, gap_ms=10)
    wait_until(lambda: len(texts(c)) > 5 and len(sent) > 5, 60, "messages both ways")
    backup(ward, path)
    thread.join(120)
    equal(failed, [], "sending")
    wait_texts(c, LOAD)
    return sent


def no_half_unit(c, events, sent):
    """An outbox row and the events of the same units are there together or not at all."""
    known = {}
    for e in events:
        if e["type"] == "message.status" and not e["body"].get("party"):
            known.setdefault(e["body"]["message_id"], set()).add(e["body"]["status"])
        elif e["type"] == "message.sent":
            known.setdefault(e["body"]["message"]["message_id"], set()).add("sent")
    for key, message_id in sent.items():
        m = c.answer(c.send("message.state", account="alice", idempotency_key=key))
        equal("result" in m, message_id in known, "row and events of %s" % key)
        if "result" in m:
            equal(m["result"]["message_id"], message_id, "its id")
            equal(m["result"]["status"] != "queued", "server" in known[message_id], "ack of %s: %r" % (key, known[message_id]))


@test
def under_load():
    """a backup taken while messages flow is a state between two units; restored and resumed, the account goes on through
    new sessions and nothing is lost or comes twice but what came after the backup"""
    with World() as w:
        ward, _ = linked_world(w)
        bob, c = w.sim.account("bob"), follow_received(ward, "in")
        path = os.path.join(w.folder, "backup.tar")
        sent = flow(w, c, bob, path, ward)
        w.sim.wait_inbox("bob", LOAD)
        old_log = whole_log(c, "all")
        cursor = c.call("events.fetch", consumer="cursor", limit=1)["cursor"]
        ward.stop()
        queued = [send_in(w, "queued %d" % i)[0] for i in range(3)]  # nobody is there: the service keeps them

        new = restored(w, ward, path)
        is_restored(new)
        d = new.client()
        # the log is the old one up to some commit, and has another name
        log = whole_log(d, "all2")
        state = [e for e in log if e["type"] == "account.state" and e["body"]["reason"] == "restored"]
        equal(len(state), 1, "one event tells it")
        log.remove(state[0])
        cut = len(log)
        check(5 < cut < len(old_log), "cut in the midst", cut, len(old_log))
        equal([(e["seq"], e["type"], e["body"]) for e in log], [(e["seq"], e["type"], e["body"]) for e in old_log[:cut]],
              "the log of the backup is the beginning of the old one")
        no_half_unit(d, log, sent)
        equal(reason({"error": d.error("events.fetch", consumer="mine", ack=cursor)}), (-1, "bad_cursor"), "an old cursor")
        equal(reason({"error": d.error("events.subscribe", consumer="mine", **{"from": cursor})}), (-1, "bad_cursor"),
              "an old cursor to begin from")

        mark = len(stanzas(w))
        f = follow_received(new, "after")
        resume(new)
        # what the service kept arrives, through a retry: the old session is not used
        ids = lambda: [e["event"]["body"]["message"]["message_id"] for e in list(f.events)
                       if e.get("event", {}).get("type") == "message.received"]
        wait_until(lambda: set(queued) <= set(ids()), 60, lambda: "what the service kept: %r of %r" % (ids(), queued))
        equal([m["status"] for m in [send_out(d, bob, "anew %d" % i, "anew-%d" % i, wait="delivered", timeout_ms=30000)
                                     for i in range(3)]], ["delivered"] * 3, "sent anew")
        live = [send_in(w, "live %d" % i)[0] for i in range(3)]
        wait_until(lambda: set(live) <= set(ids()), 60, "what comes now")
        wait_until(lambda: state_of(new)["state"] == "online", 30, "still online")

        # incoming: all of before the cut, what the service kept, and what came now; each once
        equal(sorted(ids()), sorted(received(log) + queued + live), "what was received")
        # outgoing: bob's phone has every text once under its id
        box = w.sim.inbox("bob")
        equal(sorted(set(m["text"] for m in box)), sorted(["out %d" % i for i in range(LOAD)] + ["anew %d" % i for i in range(3)]),
              "bob's inbox")
        equal(len(set((m["id"], m["text"]) for m in box)), LOAD + 3, "one id a text")
        w.sim.cmd("log.flush")
        lines = stanzas(w)[mark:]
        for message_id in queued:  # they came in the old session, were asked for again, and came in a new one
            kinds = [k for line in lines if " -> " in line and message_id in line and "<message" in line
                     for k in ("pkmsg", "msg") if '"%s"' % k in line]
            check(kinds[0] == "msg" and kinds[-1] == "pkmsg", "how %s came" % message_id, kinds)
        # new prekeys were offered, without asking for a count, under ids that the old service never came to
        offers = [[int(x, 16) for x in re.findall(r"<id>([0-9a-f]{6})</id>", line)] for line in lines
                  if " alice:1 <- <iq " in line and 'xmlns="encrypt"' in line and "<registration>" in line]
        equal(len(offers), 1, "offers of prekeys")
        check(len(offers[0]) == 813 and min(offers[0][:-1]) > 100000, "their ids", offers[0][:3], len(offers[0]))
        new.stop()
        new.start()
        equal(wait_until(lambda: (lambda s: s if s["state"] == "online" else None)(state_of(new)), 30, "online")["state"],
              "online", "after one more restart")


def stanzas(w):
    w.sim.cmd("log.flush")
    with open(os.path.join(w.sim.dir, "stanzas.log")) as f:
        return f.read().splitlines()


@test
def new_sessions():
    """the first message after a restore founds a session, although there was one when the backup was made"""
    with World() as w:
        ward, c = linked_world(w)
        bob = w.sim.account("bob")
        send_out(c, bob, "one", "k1", wait="delivered")
        send_in(w, "hello")
        wait_texts(c, 1)
        path = backup(ward, os.path.join(w.folder, "backup.tar"))
        for i in range(2):  # the ratchet goes on after the backup
            send_out(c, bob, "later %d" % i, "l%d" % i, wait="delivered")
        equal([m["type"] for m in w.sim.wait_inbox("bob", 3)][1:], ["msg", "msg"], "in the old session")
        ward.stop()
        new = restored(w, ward, path)
        resume(new)
        d, mark = follow(new, "alice", consumer="after"), len(stanzas(w))
        equal(send_out(d, bob, "anew", "k2", wait="delivered", timeout_ms=30000)["status"], "delivered", "sent")
        equal([m["type"] for m in w.sim.wait_inbox("bob", 4)][3:], ["pkmsg"], "founds a session")
        sent = [line for line in stanzas(w)[mark:] if " alice:1 <- <message" in line]
        check(sent and all("pkmsg" in line and '"msg"' not in line for line in sent), "no stanza used an old one", sent[:1])
        send_in(w, "answer")
        wait_texts(d, 2)
        equal(w.sim.cmd("stats")["phones"]["retries_asked"], 0, "the phone could read all of it at once")
        check(not [e for e in d.events if e.get("event", {}).get("type") == "message.undecryptable"], "and so could we")


@test
def two_copies():
    """while the restored copy waits for a person, the old one goes on undisturbed, also over restarts of the other"""
    with World() as w:
        ward, c = linked_world(w)
        bob = w.sim.account("bob")
        send_out(c, bob, "one", "k1", wait="delivered")
        path = backup(ward, os.path.join(w.folder, "backup.tar"))
        new = restored(w, ward, path)
        is_restored(new)
        d = new.client()
        equal(reason({"error": d.error("account.reconnect", account="alice")}), (-1, "not_allowed"), "reconnect")
        new.stop()
        new.start()
        is_restored(new)
        health = new.client().call("server.health")
        equal((health["status"], [k["reason"] for k in health["checks"] if k["name"] == "account.alice"]),
              ("failing", ["restored"]), "health")
        for i in range(3):
            send_in(w, "to the old %d" % i)
        wait_texts(c, 3)
        equal(send_out(c, bob, "two", "k2", wait="delivered", timeout_ms=30000)["status"], "delivered", "the old one sends")
        equal([m["type"] for m in w.sim.wait_inbox("bob", 2)][1:], ["msg"], "in its old session")
        states = [e["event"]["body"]["state"] for e in c.events if e.get("event", {}).get("type") == "account.state"]
        check("replaced" not in states and state_of(ward)["state"] == "online", "the old one was never disturbed", states)
        equal(len(w.sim.cmd("device.list", account="alice")["devices"]), 2, "phone and one device")


@test
def wrong_master_key():
    """under another master key nothing opens and the reason is named; under the right one the same folder does"""
    with World() as w:
        ward, c = linked_world(w)
        path = backup(ward, os.path.join(w.folder, "backup.tar"))
        new = restored(w, ward, path, key=False, start=False)
        new.start()
        d = new.client()
        keyd = [k for k in d.call("server.health")["checks"] if k["name"] == "keyd"][0]
        equal((keyd["status"], keyd["reason"], keyd["user_action"]), ("failing", "wrong_master_key", "operator"), "health")
        equal(reason({"error": d.error("store.stats")}), (-14, "keys_locked"), "the store")
        new.stop()
        shutil.copy(ward.key, new.key + ".same")
        os.replace(new.key + ".same", new.key)
        new.start()
        is_restored(new)


@test
def never_a_bad_one():
    """a backup that is cut or has a wrong bit is refused and nothing is written; nor is anything ever replaced"""
    with World() as w:
        ward, c = linked_world(w)
        path = backup(ward, os.path.join(w.folder, "backup.tar"))
        whole, bad = open(path, "rb").read(), os.path.join(w.folder, "bad.tar")
        folder = os.path.join(w.folder, "restored")
        members, at = [], 0
        while whole[at]:
            size = int(whole[at + 124:at + 135], 8)
            members.append((whole[at:at + 100].rstrip(b"\0").decode(), at, size))
            at += 512 + (size + 511) // 512 * 512
        equal([m[0] for m in members], ["ward-backup", "keyring", "service.db", "account-alice.db", "ward-digests"], "members")
        damages = [(name, whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1:])
                   for name, start, size in members for i in (start + 3, start + 512 + size // 2)]
        damages += [("cut at %d" % n, whole[:n]) for n in (0, 511, at // 2, at, len(whole) - 1)] + [("longer", whole + b"\0")]
        for name, data in damages:
            with open(bad, "wb") as f:
                f.write(data)
            for args in (["--folder", folder], ["--check"]):
                r = ward.ctl("restore", bad, *args)
                equal((r.returncode, r.stderr[:9], os.path.exists(folder)), (1, b"wardctl: ", False), "%s: %r" % (name, r.stderr))
        equal(ward.ctl("restore", "-", "--check", stdin=whole).returncode, 0, "the whole one, from standard input")
        r = ward.ctl("restore", path, "--folder", ward.data)
        equal((r.returncode, b"a service works in it" in r.stderr), (1, True), "the folder of a service: %r" % r.stderr)
        os.mkdir(folder, 0o700)
        with open(os.path.join(folder, "mine"), "w") as f:
            f.write("precious")
        equal(ward.ctl("restore", path, "--folder", folder).returncode, 9, "a folder that is not empty")
        equal(os.listdir(folder), ["mine"], "it is as it was")
        send_in(w, "still here")
        wait_texts(c, 1)
        ward.stop()
        equal(ward.ctl("restore", path, "--folder", ward.data).returncode, 9, "the folder of a service that is stopped")
        ward.start()


# ---------------------------------------------------------------- trouble

def nothing_runs(c):
    """No task of an earlier client is left, or it ends now."""
    def free():
        r, w = os.pipe()
        n = send_with(c, [w], "store.backup", fd=0)
        os.close(w)
        with os.fdopen(r, "rb") as f:
            data = f.read()
        m = c.answer(n)
        return m if "result" in m and m["result"]["bytes"] == len(data) else None
    return wait_until(free, 30, "a backup can be made")


def narrow_pipe():
    """A pipe in which a backup stands still when nobody reads."""
    r, w = os.pipe()
    fcntl.fcntl(w, 1031, 4096)  # F_SETPIPE_SZ
    return r, w


def read_slowly(fd, c, events):
    """Page by page, until the client was told so often how far it is."""
    while len(c.events) < events:
        check(os.read(fd, 4096), "its end came before it was told of")
        time.sleep(0.01)


@test
def cancelled_and_refused():
    """a backup is cancelled by its client, by the client's end, by a reader that leaves; another one meanwhile is refused;
    the messages go on"""
    with World() as w:
        ward, c = linked_world(w)
        a, b = fd_client(ward), fd_client(ward)
        r1, w1 = narrow_pipe()
        n = send_with(a, [w1], "store.backup", fd=0, progress_token="p")
        read_slowly(r1, a, 1)
        equal((a.events[0]["notice"], a.events[0]["token"], a.events[0]["unit"]), ("progress", "p", "bytes"), "a notification")
        check(0 <= a.events[0]["done"] <= a.events[0]["total"], "its numbers", a.events[0])
        r2, w2 = os.pipe()
        equal(reason(b.answer(send_with(b, [w2], "store.backup", fd=0))), (-9, "conflict"), "a second one")
        equal(reason({"error": b.error("store.check")}), (-9, "conflict"), "a check meanwhile")
        equal(ward.ctl("store", "check").returncode, 9, "the same for wardctl")
        send_in(w, "meanwhile")
        wait_texts(c, 1)
        equal(a.call("request.cancel", id=n)["ok"], True, "request.cancel")
        equal(reason(a.answer(n)), (-32600, "cancelled"), "the cancelled request")
        os.close(w1)
        while os.read(r1, 65536):  # ends only when stored lets go of it
            pass
        for fd in (r1, r2, w2):
            os.close(fd)
        nothing_runs(b)

        r1, w1 = narrow_pipe()  # the client leaves
        send_with(a, [w1], "store.backup", fd=0, progress_token=1)
        os.close(w1)
        read_slowly(r1, a, len(a.events) + 1)
        a.close()
        nothing_runs(b)
        os.close(r1)

        r1, w1 = narrow_pipe()  # the reader leaves
        n = send_with(b, [w1], "store.backup", fd=0)
        os.close(w1)
        os.read(r1, 10)
        os.close(r1)
        equal(reason(b.answer(n)), (-1, "refused"), "a reader that has gone")

        with open("/dev/null", "rb") as f:  # not for writing; and a terminal or device is no place for it
            equal(reason(b.answer(send_with(b, [f.fileno()], "store.backup", fd=0))), (-32602, "params"), "read-only")
        with open("/dev/null", "wb") as f:
            equal(reason(b.answer(send_with(b, [f.fileno()], "store.backup", fd=0))), (-32602, "params"), "a device")
        equal(reason(b.answer(b.send("store.backup", fd=0))), (-32602, "params"), "no descriptor")
        nothing_runs(b)
        check([line for line in ward.log.lines if "apid" in line and "store.backup by uid" in line], "who asked is in the log")


@test
def of_wardctl():
    """wardctl backup: never over a file, gone when it failed or was interrupted, and says what was wrong"""
    with World() as w:
        ward, c = linked_world(w)
        path = os.path.join(w.folder, "a.tar")
        size = os.path.getsize(backup(ward, path))
        equal(os.stat(path).st_mode & 0o7777, 0o600, "mode")
        equal(ward.ctl("backup", path).returncode, 9, "it is there already")
        equal(os.path.getsize(path), size, "and stays")
        r = ward.ctl("backup", "-")
        equal((r.returncode, r.stderr), (0, b"backup of %d bytes\n" % len(r.stdout)), "to standard output")
        equal(ward.ctl("restore", "-", "--check", stdin=r.stdout).returncode, 0, "which is a whole one")
        equal(subprocess.run(["tar", "tf", path], stdout=subprocess.PIPE).stdout.split()[:3],
              [b"ward-backup", b"keyring", b"service.db"], "tar reads it")
        p = subprocess.Popen(command("wardctl") + ["-s", ward.socket, "backup", "-"], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        p.stdout.close()
        equal((p.wait(60 * SLOW), b"Broken pipe" in p.stderr.read()), (1, True), "nobody reads")
        p.stderr.close()
        equal(ward.ctl("backup", os.path.join(w.folder, "no", "a.tar")).returncode, 1, "no such folder")
        equal([ward.ctl("backup").returncode, ward.ctl("backup", "--x").returncode, ward.ctl("backup", "a", "b").returncode],
              [64] * 3, "usage")
        # interrupted while nothing moves: its standard output is a pipe that nobody reads
        r1, w1 = narrow_pipe()
        p = subprocess.Popen(command("wardctl") + ["-s", ward.socket, "backup", "-"], stdout=w1, stderr=subprocess.DEVNULL)
        os.close(w1)
        os.read(r1, 100)
        p.send_signal(signal.SIGINT)
        equal(p.wait(60 * SLOW), 128 + signal.SIGINT, "interrupted")
        os.close(r1)
        nothing_runs(fd_client(ward))
        ward.stop()
        equal(ward.ctl("backup", os.path.join(w.folder, "b.tar")).returncode, 3, "no service")
        check(not os.path.exists(os.path.join(w.folder, "b.tar")), "and no file")


@test
def no_room():
    """a backup that finds no room says so and leaves no half of it behind; a restore as well"""
    with World() as w:
        ward, c = linked_world(w)
        path = backup(ward, os.path.join(w.folder, "backup.tar"))
        size = os.path.getsize(path)
        small = w.ward("alice", start=False, name="small")
        with SmallDisk(small, 1) as disk:
            os.chmod(w.folder, 0o755)
            disk.fill()
            for here in (os.path.join(small.data, "b.tar"),):
                r = ward.ctl("backup", here)
                equal((r.returncode, b"No space left" in r.stderr, os.path.exists(here)), (14, True, False), "wardctl: %r" % r.stderr)
            b = fd_client(ward)
            with open(os.path.join(small.data, "c.tar"), "wb") as f:
                m = b.answer(send_with(b, [f.fileno()], "store.backup", fd=0))
            equal(reason(m), (-14, "disk_low"), "a file of a client")
            check("space" in m["error"]["message"], "which disk it was", m)
            os.remove(os.path.join(small.data, "c.tar"))
            folder = os.path.join(small.data, "restored")
            r = ward.ctl("restore", path, "--folder", folder)
            equal((r.returncode, os.path.exists(folder)), (14, False), "restore: %r" % r.stderr)
            nothing_runs(b)
        check(size > 100000, "it was no small one", size)


# ---------------------------------------------------------------- store

@test
def store_of_wardctl():
    """stats and check while messages flow; a damaged page is found and named, and the backup is the way back"""
    with World() as w:
        ward, c = linked_world(w)
        db = os.path.join(ward.data, "account-alice.db")
        ward.stop()  # its size is that of what the login has made
        before = os.path.getsize(db) // 4096
        ward.start()
        c = follow(ward, "alice")
        for i in range(60):
            send_in(w, "text %d " % i + "x" * 2000)
        wait_texts(c, 60)
        path = backup(ward, os.path.join(w.folder, "backup.tar"))
        r = ward.ctl("--json", "store", "stats", "--tables")
        stats = json.loads(r.stdout)
        rows = {(t["account"], t["table"]): t["rows"] for t in stats["tables"]}
        check(rows[("alice", "event")] >= 20 and stats["database_bytes"] > 0, "stats", stats)
        equal("tables" in json.loads(ward.ctl("--json", "store", "stats").stdout), False, "without tables")
        check(b"ward_store_log_bytes" in ward.ctl("server", "metrics").stdout, "metrics")
        r = ward.ctl("--json", "store", "check")
        equal(r.returncode, 0, "check: %r" % r.stderr)
        check(json.loads(r.stdout)["rows"] >= 20, "rows that were read", r.stdout)
        r = ward.ctl("store", "snapshot", "before-1.x")
        equal(r.returncode, 0, "snapshot: %r" % r.stderr)
        names = [n for n in os.listdir(ward.data) if n.startswith("snapshot-") and "-before-1.x-" in n]
        equal(sorted(n.split("-before-1.x-")[1] for n in names), ["account-alice.db", "service.db"], "its files")
        equal([ward.ctl("store", "snapshot", n).returncode for n in ("../x", "a/b", "")], [64] * 3, "bad names")
        equal(ward.ctl("store", "snapshot").returncode, 64, "no name")

        ward.stop()
        with open(db, "r+b") as f:  # where the texts are, so that only who reads them finds it
            for page in range(before + 8, os.path.getsize(db) // 4096 - 8, 7):
                f.seek(page * 4096 + 100)
                f.write(b"damage")
        ward.start()
        r = ward.ctl("store", "check")
        equal(r.returncode, 2, "check of a damaged one: %r %r" % (r.stdout, r.stderr))
        check(b"alice" in r.stderr and b"restore" in r.stderr, "it names the database and the way out", r.stderr)
        ward.stop()
        new = restored(w, ward, path)
        is_restored(new)
        resume(new)
        f = follow(new, "alice", consumer="again")
        wait_texts(f, 60)
        equal(new.ctl("store", "check").returncode, 0, "the restored one is whole")


if __name__ == "__main__":
    main()
