"""Faults: each ends in a named error or a counted, logged drop, with the service alive and no message lost."""

import json
import os
import shutil
import socket
import stat
import subprocess
import time

from harness import Failure, Rpc, SmallDisk, World, check, command, equal, main, program, test, wait_until
from test_chain import follow, texts, wait_texts


def linked_world(w, **kw):
    w.sim.account("bob")
    ward = w.ward("alice", **kw)
    ward.link("alice")
    return ward, follow(ward, "alice")


def send_in(w, text, **kw):
    return w.sim.cmd("phone.send", account="bob", to="alice", text=text, **kw)["ids"]


@test
def dropped_link_comes_back():
    """the link is cut ten times between texts: all arrive once"""
    with World() as w:
        ward, c = linked_world(w, extra={"network": {"backoff_max": "300ms"}})
        for i in range(10):
            send_in(w, "before %d" % i)
            w.sim.cmd("device.drop", account="alice", device=1)
            send_in(w, "after %d" % i)
            wait_texts(c, 2 * (i + 1))
        equal(sorted(texts(c)), sorted(t % i for i in range(10) for t in ("before %d", "after %d")), "texts")


@test
def faulty_frames():
    """corrupt, repeated, oversized and empty frames end the connection by name, and nothing is lost"""
    with World() as w:
        ward, c = linked_world(w, extra={"network": {"backoff_unit": "50ms", "keepalive_min": "1s",
                                                     "keepalive_max": "2s", "keepalive_deadline": "2s"}})
        n = 0
        for what in ("flip", "repeat", "oversize", "zero", "text"):
            w.sim.cmd("fault.arm", match={"account": "alice", "direction": "out", "tag": "message"},
                      action="frame_" + what, count=1)
            for _ in range(3):
                send_in(w, "%s %d" % (what, n))
                n += 1
            wait_texts(c, n)
        equal(len(set(texts(c))), n, "texts")
        check(ward.log.grep(r"netd.*(frame|authenticat)"), "netd names the fault")


@test
def split_and_joined_frames():
    """one byte a WebSocket message, two frames in one, pings between, compressed stanzas: all are read"""
    with World() as w:
        ward, c = linked_world(w)
        for n, what in enumerate(("split", "join", "ping", "compress"), 1):
            w.sim.cmd("fault.arm", match={"account": "alice", "direction": "out", "tag": "message"},
                      action="frame_" + what, count=1)
            send_in(w, what + " 1")
            send_in(w, what + " 2")
            wait_texts(c, 2 * n)
        equal(texts(c), ["%s %d" % (t, i) for t in ("split", "join", "ping", "compress") for i in (1, 2)], "texts")


@test
def hostile_nodes():
    """stanzas that break the codec's rules are dropped and counted; the connection goes on"""
    bomb = "02" + __import__("zlib").compress(b"\xf8\x01\x05" + b"\0" * (40 << 20), 9).hex()
    deep = "00" + "f80271f801" * 100 + "f80108"
    bad = ["00", "00f80008", "00f80100", "00f8010200", "00f80251f0", "00f80251ff01c1", "00f80251fc05aabb",
           "00f8035111fc02c328", "00f9ffff05", "00f80251fe7fffffff00", "0278da00", bomb, deep]
    with World() as w:
        ward, c = linked_world(w)
        connects = w.sim.cmd("stats")["connections"]["accepted"]
        for hexa in bad:
            w.sim.cmd("raw.send", account="alice", device=1, hex=hexa)
            equal(w.sim.cmd("stats")["connections"]["accepted"], connects, "the connection went on after " + hexa[:40])
        send_in(w, "still here")
        wait_texts(c, 1)
        equal(w.sim.cmd("stats")["connections"]["accepted"], connects, "the connection went on")
        check(ward.log.grep(r"apid.*(stanza|node)"), "apid says that it dropped something")


@test
def duplicate_messages():
    """the same stanza twice, also after a restart, is one event"""
    with World() as w:
        ward, c = linked_world(w)
        w.sim.cmd("fault.arm", match={"account": "alice", "direction": "out", "tag": "message"},
                  action="duplicate", count=5)
        for i in range(5):
            send_in(w, "d %d" % i)
        wait_texts(c, 5)
        send_in(w, "end")
        wait_texts(c, 6)
        equal(texts(c), ["d %d" % i for i in range(5)] + ["end"], "texts")
        check(not [e for e in c.events if e.get("event", {}).get("type") == "message.undecryptable"],
              "a duplicate is not undecryptable")


@test
def broken_ciphertext_is_told():
    """an undecryptable message is a durable event and asks for a retry; the next one is read"""
    with World() as w:
        ward, c = linked_world(w)
        send_in(w, "one")
        wait_texts(c, 1)
        w.sim.cmd("fault.arm", match={"account": "alice", "direction": "out", "tag": "message"},
                  action="corrupt", count=1)
        asked = w.sim.cmd("watch", match={"account": "alice", "device": 1, "direction": "in", "tag": "receipt", "type": "retry"})
        bad = send_in(w, "two")[0]
        c.wait_type("message.undecryptable", message_id=bad)
        w.sim.cmd("expect", 30, watch=asked["watch"], deadline_ms=20000)
        send_in(w, "three")
        wait_texts(c, 2)


@test
def unknown_prekey():
    """a prekey message for a prekey that is not there any more is told by name, and the service lives"""
    with World() as w:
        ward, c = linked_world(w)
        ward.stop()
        send_in(w, "made for keys that are lost")  # queued as a pkmsg
        subprocess.run([program("vault_peek"), "--drop-prekeys", ward.key, ward.data, "alice"], check=True)
        ward.start()
        c = follow(ward, "alice", "again")
        e = c.wait_type("message.undecryptable")
        check("prekey" in e["body"]["reason"] or "key_id" in e["body"]["reason"], "reason", e["body"])
        w.sim.account("carol")
        equal(c.call("account.state", account="alice")["state"] in ("online", "syncing"), True, "alive")


@test
def forged_noise_certificates():
    """each flaw of the certificate chain is refused by its own name; the right chain is taken then"""
    names = {"random_signatures": "cert_signature", "wrong_root": "cert_signature", "short_signatures": "cert_malformed",
             "leaf_key": "cert_key_mismatch", "intermediate_issuer": "cert_issuer", "leaf_issuer": "cert_issuer",
             "expired": "cert_expired", "not_yet": "cert_not_yet_valid", "no_static": "noise_malformed",
             "no_payload": "noise_malformed", "no_ephemeral": "noise_malformed", "bad_tag": "noise_decrypt"}
    with World() as w:
        ward, c = linked_world(w, extra={"network": {"backoff_max": "300ms"}})
        for what, reason in names.items():
            w.sim.cmd("noise.rotate")  # a known server would be met with IK, and its chain not be looked at
            w.sim.cmd("noise.forge", what=what)
            mark = ward.log.mark()
            w.sim.cmd("device.drop", account="alice", device=1)
            ward.log.wait(reason, 30, mark)
        w.sim.cmd("noise.forge", what="none")
        send_in(w, "good again")
        wait_texts(c, 1)


@test
def bad_pairing():
    """a wrong HMAC, a wrong account signature: not linked, said why; the next try links"""
    for what in ("hmac", "signature"):
        with World() as w:
            ward = w.ward("alice")
            c = follow(ward, "alice")
            w.sim.account("alice")
            w.sim.cmd("phone.forge", account="alice", what=what)
            c.call("account.link", account="alice", method="qr")
            is_qr = lambda e: e.get("type") == "account.link" and e["body"].get("step") == "qr"
            w.sim.scan("alice", c.wait_event(is_qr)["body"]["text"])
            c.wait_event(lambda e: e.get("type") == "account.link_failed")
            w.sim.cmd("phone.forge", account="alice", what="none")
            mark = len(c.events)
            c.call("account.link", account="alice", method="qr")
            w.sim.scan("alice", c.wait_event(is_qr, start=mark)["body"]["text"])
            c.wait_type("account.linked")


@test
def refused_logins():
    """each failure reason becomes an account state that says what a human must do"""
    rows = [(402, "restricted", "wait"), (405, "outdated", "upgrade"), (503, "backoff", "none"),
            (403, "logged_out", None), ]
    for reason, state, action in rows:
        with World() as w:
            ward, c = linked_world(w)
            w.sim.cmd("login.refuse", account="alice", reason=reason, code=101, expire=3600)
            w.sim.cmd("device.drop", account="alice", device=1)
            e = c.wait_event(lambda e: e.get("type") == "account.state" and (
                e["body"]["state"] == state or (reason == 403 and e["body"]["state"] in ("logged_out", "banned", "restricted")))
                and str(reason) in json.dumps(e["body"]))
            if action:
                equal(e["body"]["user_action"], action, "user action for %d" % reason)


@test
def wrong_master_key():
    """another master key: named in the log and in health, sends are refused with -14, the right key works"""
    with World() as w:
        ward, c = linked_world(w)
        ward.stop()
        shutil.move(ward.key, ward.key + ".good")
        with open(os.open(ward.key, os.O_WRONLY | os.O_CREAT, 0o400), "wb") as f:
            f.write(os.urandom(32))
        ward.start()
        check(ward.log.wait(r"wrong_master_key|wrong master key"), "log")
        c = ward.client()
        health = c.call("server.health")
        check(health["status"] == "failing" and "master_key" in json.dumps(health), "health", health)
        err = c.error("message.send", account="alice", to="+15550001111", text="x", idempotency_key="1")
        check(err["code"] == -14 and err["data"]["reason"] in ("keys_locked", "store_locked"), "send", err)
        ward.stop()
        os.remove(ward.key)
        shutil.move(ward.key + ".good", ward.key)
        ward.start()
        send_in(w, "unlocked")
        wait_texts(follow(ward, "alice", "again"), 1)


@test
def newer_database():
    """a database made by a newer version is refused by name and left as it is; the other account runs"""
    with World() as w:
        ward = w.ward("alice", "bob")
        ward.link("bob")
        ward.stop()
        subprocess.run([program("vault_peek"), "--set-schema", "9999",
                        ward.key, ward.data, "alice"], check=True)
        ward.start()
        ward.log.wait(r"newer_schema|newer version", 20)
        c = ward.client()
        wait_until(lambda: c.call("account.state", account="bob")["state"] == "online", 30, "bob online")
        state = c.call("account.state", account="alice")
        equal(state["state"], "stopped", "alice")
        check("newer" in state["reason"], "reason", state)


@test
def data_folder_not_writable():
    """a data folder that cannot be written: ward says which and what to do, and exits"""
    with World(sim=False) as w:
        ward = w.ward("alice", start=False)
        with open(ward.data, "w"):
            pass  # a file is in the way
        ward.start(ready=False)
        check(ward.wait_end() != 0, "exit status")
        ward.log.wait("data", 10)


@test
def config_errors():
    """ward -n names file, line and fault"""
    with World(sim=False) as w:
        path = os.path.join(w.folder, "x.conf")
        for text, want in (("[service]\nsocke = /x\n", ":2:"), ("[nothing]\n", ":1:"),
                           ("[network]\nconnect_timeout = soon\n", ":2:"),
                           ("[log]\nlevel = info\nlevel = info\n", ":3:"), ("[account UPPER]\n", ":1:")):
            with open(path, "w") as f:
                f.write(text)
            r = subprocess.run(command("ward") + ["-n", "-f", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            check(r.returncode != 0 and path.encode() + want.encode() in r.stdout, text, r.returncode, r.stdout)


@test
def disk_full():
    """a full disk: nothing is acknowledged that is not stored, sends fail with -14; then all arrives"""
    with World() as w:
        ward = w.ward("alice", start=False, extra={"service": {"min_free": "1M"}})
        with SmallDisk(ward, 12) as disk:
            w.sim.account("bob")
            bob = w.sim.account("bob")
            ward.start()
            ward.link("alice")
            c = follow(ward, "alice")
            send_in(w, "room")
            wait_texts(c, 1)
            disk.fill()
            ids = send_in(w, "b", count=30)
            wait_until(lambda: c.call("server.health")["status"] != "ok", 30, "health tells")
            err = c.error("message.send", account="alice", to="+" + bob["pn"], text="x" * 30000, idempotency_key="1")
            equal((err["code"], err["data"]["reason"]), (-14, "disk_low"), "send on a full disk")
            state = wait_until(lambda: (lambda a: a if a["state"] == "backoff" and a.get("next_attempt_ms") else None)(
                c.call("account.state", account="alice")), 30, "backoff")
            equal((state["reason"], state["user_action"]), ("disk_full", "operator"), "why it waits")
            connects = w.sim.cmd("stats")["connections"]["accepted"]
            disk.make_room()
            wait_texts(c, 31, 15)
            check(w.sim.cmd("stats")["connections"]["accepted"] - connects <= 2, "no storm of connections")
            equal(len(texts(c)), 31, "all arrived once")
            wait_until(lambda: c.call("server.health")["status"] == "ok", 60, "health is ok again")


@test
def clock_goes_back():
    """when the service's clock jumps back by a day, messages come in order and nothing stops"""
    with World() as w:
        ward, c = linked_world(w)
        send_in(w, "now")
        wait_texts(c, 1)
        w.sim.cmd("clock.advance", s=-86400)
        send_in(w, "yesterday")
        wait_texts(c, 2)
        w.sim.cmd("device.drop", account="alice", device=1)
        send_in(w, "again")
        wait_texts(c, 3)
        equal(texts(c), ["now", "yesterday", "again"], "texts")


@test
def hostile_clients():
    """a 10 MiB line, bad UTF-8, duplicate keys, depth, NUL, batches: an error each, and only for that client"""
    with World(sim=False) as w:
        ward = w.ward("alice")
        good = ward.client()

        def talk(data):
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(30)
            s.connect(ward.socket)
            try:
                s.sendall(data)
            except OSError:
                pass
            got = b""
            try:
                while b"\n" not in got:
                    part = s.recv(65536)
                    if not part:
                        break
                    got += part
            except OSError:
                pass
            s.close()
            return json.loads(got.split(b"\n")[0]) if b"\n" in got else None

        rows = [(b'{"jsonrpc":"2.0","id":1,"method":"server.hello","params":{"client":"' + b"x" * (10 << 20) + b'"}}\n', -32600),
                (b'{"jsonrpc":"2.0","id":1,"method":"server.hello","params":{"client":"\xff\xfe"}}\n', -32700),
                (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"server.hello"}\n', -32700),
                (b'{"jsonrpc":"2.0","id":1,"method":"server.hello","params":' + b'{"a":' * 40 + b"1" + b"}" * 40 + b"}\n", -32700),
                (b'[{"jsonrpc":"2.0","id":1,"method":"server.hello"}]\n', -32600),
                (b'{"jsonrpc":"2.0","id":1,"method":"no.such"}\n', -32601),
                (b'{"jsonrpc":"2.0","id":1,"method":"server.hello","params":{"nope":1}}\n', -32602),
                (b'{"jsonrpc":"2.0","method":"account.list"}\n', -32600),
                (b"nonsense\n", -32700), (b'{"jsonrpc":"2.0","id":1,"method":"account.state","params":{"account":"a\\u0000b"}}\n', None)]
        for data, code in rows:
            m = talk(data)
            check(m and "error" in m, "an error for", data[:80], m)
            if code is not None:
                check(m["error"]["code"] in (code, -32602, -32600, -32700), "code for %r" % data[:60], m["error"])
            good.call("server.hello")
        equal(ward.proc.poll(), None, "ward lives")


@test
def client_that_stops_reading():
    """a client that asks and never reads is closed, and slows nobody"""
    with World(sim=False) as w:
        ward = w.ward("alice", extra={"api": {"stall_timeout": "1s"}})
        good = ward.client()
        s = socket.socket(socket.AF_UNIX)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(ward.socket)
        s.setblocking(False)
        line = b'{"jsonrpc":"2.0","id":%d,"method":"server.schema","params":{}}\n'
        n = 0
        end = time.monotonic() + 60
        closed = False
        while not closed and time.monotonic() < end:
            try:
                s.send(line % n)
                n += 1
            except BlockingIOError:
                good.call("server.hello")
                time.sleep(0.02)
            except OSError:
                closed = True
        check(closed, "the stalled client was closed", n)
        good.call("server.hello")


if __name__ == "__main__":
    main()
