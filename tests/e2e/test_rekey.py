"""All keys are changed while ward runs: messages go on both ways, kills in the middle lose nothing, and at the end the old
master key opens nothing."""

import os
import re
import shutil
import signal
import subprocess
import threading
import time

from harness import ROLES, SLOW, Failure, SmallDisk, World, check, command, equal, main, test, wait_until
from test_chain import follow, wait_texts
from test_crash import Archiver, Sender, Supervisor


def new_key(w, name):
    path = os.path.join(w.folder, name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o400), "wb") as f:
        f.write(os.urandom(32))
    return path


def keys(ward, master, following=None):
    """What the next start is given."""
    ward.settings["service"]["master_key"] = "file:" + master
    ward.settings["service"].pop("next_master_key", None)
    if following:
        ward.settings["service"]["next_master_key"] = "file:" + following


def opens(ward, key, database_key, account="alice"):
    """(the database, records, of all records) that the keys of a master key open, in a stopped service."""
    out = subprocess.run(command("vault_peek") + ["--count", key, database_key, ward.data, account], check=True,
                         stdout=subprocess.PIPE).stdout.decode()
    m = re.fullmatch(r"database ([01])\nrecords (\d+) of (\d+)\n", out)
    return int(m.group(1)), int(m.group(2)), int(m.group(3))


def health_of(ward, name):
    for c in ward.client().call("server.health")["checks"]:
        if c["name"] == name:
            return c
    return None


def state(ward):
    """What store.rekey says now; None while ward is not there."""
    try:
        c = ward.client()
        try:
            return c.call("store.rekey", look=True)
        finally:
            c.close()
            ward.clients.remove(c)
    except (OSError, Failure, ValueError):
        return None


def wait_done(ward, seconds=60):
    return wait_until(lambda: (state(ward) or {}).get("state") == "done", seconds, "the end of the change of keys")


@test
def change_while_talking():
    """wardctl store rekey --wait with messages both ways; then the new key alone opens, the old one nothing"""
    with World() as w:
        ward = w.ward("alice")
        ward.link("alice")
        bob = w.sim.account("bob")
        c = ward.client()
        c.call("events.subscribe", consumer="all", **{"from": "earliest"})
        keys(ward, ward.key)
        equal(c.call("store.rekey", look=True)["state"], "none", "state without a next key")
        m = c.error("store.rekey")
        equal((m["code"], m["data"]["reason"]), (-1, "not_allowed"), "begin without a next key")
        ward.stop()

        old, new = ward.key, new_key(w, "new.key")
        keys(ward, old, new)
        ward.start()
        equal(health_of(ward, "keys")["reason"], "next_key_ready", "health before")
        archiver, sender = Archiver(ward), Sender(ward, "+" + bob["pn"], 60)
        sent = []

        def feed():
            for i in range(60):
                sent.extend(w.sim.cmd("phone.send", account="bob", to="alice", text="in %d" % i)["ids"])
                time.sleep(0.02)
        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        ctl = ward.ctl("--json", "store", "rekey", "--wait")
        equal(ctl.returncode, 0, "wardctl store rekey: " + ctl.stderr.decode())
        check(b'"done"' in ctl.stdout, "wardctl says done", ctl.stdout)
        equal(health_of(ward, "keys")["reason"], "next_key_in_use", "health after")
        feeder.join(60)
        sender.join(60)
        wait_until(lambda: len(archiver.new) >= 60, 60, "all messages in")
        archiver.on = False
        box = w.sim.wait_inbox("bob", 60, 60)
        equal((set(sent) - set(archiver.new), archiver.bad, archiver.twice, sender.wrong), (set(), [], [], []), "losses")
        equal(len({m["id"] for m in box}), 60, "all messages out, once")
        ward.stop()

        database, opened, records = opens(ward, new, new)
        equal((database, opened), (1, records), "what the new key opens")
        check(records > 20, "records", records)
        equal(opens(ward, old, new), (0, 0, records), "what the old key opens")
        left = sorted(f for f in os.listdir(ward.data) if "copy" in f or "-wal" in f)
        equal(left, [], "files that are left over")

        ward.start()  # as it was: works, and says what to do
        ward.log.wait(r"put what next_master_key says in the place of master_key")
        wait_until(lambda: health_of(ward, "account.alice")["status"] == "ok", 30, "alice is online")
        ward.stop()
        keys(ward, old)
        ward.start()
        wait_until(lambda: health_of(ward, "keyd")["reason"] == "wrong_master_key", 30, "the old key is refused")
        ward.stop()
        keys(ward, new)
        ward.start()
        sub = ward.client()
        sub.call("events.subscribe", **{"from": "latest"})
        wait_until(lambda: health_of(ward, "account.alice")["status"] == "ok", 30, "alice is online with the new key")
        equal(health_of(ward, "keys"), None, "nothing is left to say of keys")
        w.sim.cmd("phone.send", account="bob", to="alice", text="after all")
        sub.wait_event(lambda e: e.get("type") == "message.received" and
                       e["body"]["message"]["content"].get("text") == "after all")


@test
def killed_in_the_middle():
    """each process, and all at once, is killed while keys are changed: it goes on by itself, no message is lost"""
    with World() as w:
        ward = w.ward("alice")
        ward.link("alice")
        bob = w.sim.account("bob")
        sent, old, rounds = [], ward.key, list(ROLES) + ["all"]
        ward.stop()
        archiver, sender, resumed = None, None, 0
        for n, victim in enumerate(rounds):
            new = new_key(w, "key-%d" % n)
            keys(ward, old, new)
            ward.start()
            supervisor = Supervisor(ward)
            archiver = archiver or Archiver(ward)
            sender = sender or Sender(ward, "+" + bob["pn"], 30 * len(rounds))
            for i in range(30):
                sent.extend(w.sim.cmd("phone.send", account="bob", to="alice", text="in %d-%d" % (n, i))["ids"])
            c = ward.client()
            equal(c.call("store.rekey")["state"], "running", "begun")

            def in_the_middle():
                s = c.call("store.rekey", look=True)
                return s["state"] != "running" or sum(p["records"] for p in s["parts"]) > 0
            wait_until(in_the_middle, 30, "some records are taken over")
            resumed += c.call("store.rekey", look=True)["state"] == "running"
            proc, pids = ward.proc, ward.pids()
            for pid in ([pids[victim]] if victim != "all" else sorted(pids.values(), reverse=True)):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            proc.wait(30)
            wait_done(ward)
            supervisor.stop()
            ward.stop()
            database, opened, records = opens(ward, new, new)
            equal((database, opened), (1, records), "what the new key opens after a kill of " + victim)
            equal(opens(ward, old, new)[:2], (0, 0), "what the old key opens after a kill of " + victim)
            old = new
        keys(ward, old)
        ward.start()
        sender.join(60)
        wait_until(lambda: len(archiver.new) >= len(sent), 60, "all messages in")
        box = w.sim.wait_inbox("bob", 30 * len(rounds), 60)
        archiver.on = False
        print("     %d changes of keys, %d of them cut in the middle; %d messages in, %d out" % (
            len(rounds), resumed, len(archiver.new), len(box)))
        check(resumed >= 3, "kills in the middle", resumed)
        equal((set(sent) - set(archiver.new), archiver.bad, archiver.twice, sender.wrong), (set(), [], [], []), "losses")
        equal(len({m["id"] for m in box}), 30 * len(rounds), "all messages out, once")


@test
def account_that_does_not_open():
    """an account whose database is damaged holds up the end, and says so; the others go on; repaired, it ends"""
    with World() as w:
        ward = w.ward("alice", "bob")
        ward.link("alice")
        ward.stop()
        path, old, new = os.path.join(ward.data, "account-bob.db"), ward.key, new_key(w, "new.key")
        with open(path, "r+b") as f:
            first = f.read(64)
            f.seek(0)
            f.write(os.urandom(64))
        keys(ward, old, new)
        ward.start()
        ward.client().call("store.rekey")

        def alice_done():
            parts = {p["account"]: p for p in state(ward)["parts"]}
            return parts["alice"]["records_done"] and parts["alice"]["database_done"] and parts[""]["database_done"] \
                and parts["bob"].get("trouble") == "wrong_key" and not parts["bob"]["database_done"]
        wait_until(alice_done, 30, "alice is done, and bob is not")
        equal(health_of(ward, "keys")["reason"], "rekey_waits", "health")
        out = ward.ctl("--table", "store", "rekey", "--look")
        check(out.returncode == 0 and b"bob waits: wrong_key" in out.stderr, "wardctl", out.stdout, out.stderr)
        ward.stop()
        with open(path, "r+b") as f:
            f.write(first)
        ward.start()
        wait_done(ward)


@test
def no_room_for_a_copy():
    """without room for a second copy the databases wait and say so, messages go on, and with room it ends by itself"""
    with World() as w:
        w.sim.account("bob")
        ward = w.ward("alice", start=False, extra={"service": {"min_free": "1M"}})
        keys(ward, ward.key, new_key(w, "new.key"))
        with SmallDisk(ward, 48) as disk:
            ward.start()
            ward.link("alice")
            c = follow(ward, "alice")
            with open(disk.ballast, "wb") as f:
                f.write(b"\0" * (32 << 20))
            equal(c.call("store.rekey")["state"], "running", "begun")

            def waits():
                s = c.call("store.rekey", look=True)
                return all(p["records_done"] and p.get("trouble") == "disk_full" for p in s["parts"])
            wait_until(waits, 30, "both databases wait for room")
            waiter = subprocess.Popen(command("wardctl") + ["-s", ward.socket, "store", "rekey", "--wait"],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            late = threading.Timer(30 * SLOW, waiter.kill)
            late.start()
            equal([waiter.stderr.readline() for _ in range(2)],
                  [b"wardctl: service waits: disk_full\n", b"wardctl: alice waits: disk_full\n"], "what --wait tells")
            late.cancel()
            w.sim.cmd("phone.send", account="bob", to="alice", text="meanwhile")
            wait_texts(c, 1)
            disk.make_room()
            wait_done(ward)
            out, err = waiter.communicate(timeout=30 * SLOW)
            equal((waiter.returncode, err), (0, b""), "the end of --wait, which told its trouble once")
            check(b'"state":"done"' in out, "it says that all is done: %r" % out)


@test
def backup_in_the_middle():
    """a backup that is made while keys are changed is restored with both keys, and goes on to the next one by itself"""
    with World() as w:
        ward = w.ward("alice")
        ward.link("alice")
        ward.stop()
        old, new = ward.key, new_key(w, "new.key")
        keys(ward, old, new)
        ward.start()
        equal(ward.client().call("store.rekey")["state"], "running", "begun")
        path = os.path.join(w.folder, "middle.tar")
        equal(ward.ctl("backup", path).returncode, 0, "wardctl backup")
        equal(state(ward)["state"], "running", "it is the middle still")
        wait_done(ward)
        ward.stop()

        again = w.ward("alice", start=False, name="again")
        keys(again, old, new)
        again.write_conf()
        r = again.ctl("restore", path, "--config", again.conf)
        equal(r.returncode, 0, "wardctl restore: %r" % r.stderr)
        again.start()
        wait_done(again)
        again.stop()
        equal(opens(again, old, new)[:2], (0, 0), "what the old key opens")
        keys(again, new)
        again.start()
        wait_until(lambda: health_of(again, "account.alice")["reason"] == "restored", 30, "alice waits for somebody")
        equal(again.client().call("account.resume", account="alice")["account"], "alice", "resumed")
        wait_until(lambda: health_of(again, "account.alice")["status"] == "ok", 30, "alice is online")


@test
def to_a_passphrase():
    """from a key file to a passphrase; refused while an account would be left behind"""
    with World() as w:
        ward = w.ward("alice")
        ward.link("alice")
        ward.stop()
        old, phrase = ward.key, os.path.join(w.folder, "phrase")
        with open(os.open(phrase, os.O_WRONLY | os.O_CREAT, 0o400), "wb") as f:
            f.write(b"correct horse, battery\n")
        stranger = os.path.join(ward.data, "account-gone.db")
        shutil.copy2(os.path.join(ward.data, "account-alice.db"), stranger)
        os.chown(stranger, os.stat(ward.data).st_uid, os.stat(ward.data).st_gid)
        ward.settings["service"]["next_master_key"] = "passphrase:" + phrase
        ward.start()
        m = ward.client().error("store.rekey")
        check(m["code"] == -14 and "account-gone.db" in m["message"], "an account would be left behind", m)
        equal(state(ward)["state"], "ready", "nothing has begun")
        os.remove(stranger)
        equal(ward.client().call("store.rekey")["state"], "running", "begun")
        wait_done(ward)
        ward.stop()
        ward.settings["service"].pop("next_master_key")
        ward.settings["service"]["master_key"] = "passphrase:" + phrase
        ward.start()
        wait_until(lambda: health_of(ward, "account.alice")["status"] == "ok", 30, "alice is online")
        ward.stop()
        keys(ward, old)
        ward.start()
        wait_until(lambda: health_of(ward, "keyd")["reason"] == "wrong_master_key", 30, "the old key is refused")


@test
def other_keys_in_the_middle():
    """a start in the middle with one of the two keys, or others, says what is missing, and harms nothing"""
    with World() as w:
        ward = w.ward("alice")
        ward.link("alice")
        ward.stop()
        old, new, other = ward.key, new_key(w, "new.key"), new_key(w, "other.key")
        keys(ward, old, new)
        ward.start()
        equal(ward.client().call("store.rekey")["state"], "running", "begun")
        for pid in ward.pids().values():
            os.kill(pid, signal.SIGKILL)
        ward.proc.wait(30)
        for master, following, reason in ((old, None, "next_master_key_missing"), (new, None, "rekey_unfinished"),
                                          (new, old, "rekey_unfinished"), (old, other, "wrong_next_master_key"),
                                          (other, new, "wrong_master_key")):
            keys(ward, master, following)
            ward.start()
            wait_until(lambda: health_of(ward, "keyd")["reason"] == reason, 30, "the reason " + reason)
            m = ward.client().error("store.rekey")
            check(m["code"] == -14, "store.rekey is refused", m)
            ward.stop()
        keys(ward, old, new)
        ward.start()
        wait_done(ward)
        ward.stop()
        keys(ward, new)
        ward.start()
        wait_until(lambda: health_of(ward, "account.alice")["status"] == "ok", 30, "alice is online")


if __name__ == "__main__":
    main()
