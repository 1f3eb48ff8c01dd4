"""The npm package baileys, unmodified, at the other end: links to the simulator, and talks with ward."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
from harness import Failure, World, check, equal, main, test, wait_until  # noqa: E402

FOLDER = os.path.join(HERE, "baileys")
COUNT = int(os.environ.get("WARD_INTEROP_TEXTS", "100"))


def missing():
    """Why Baileys cannot run here, or None."""
    try:
        v = subprocess.run(["node", "--version"], stdout=subprocess.PIPE, check=True).stdout.decode().strip()
    except (OSError, subprocess.CalledProcessError):
        return "Node.js is not installed"
    if int(v.lstrip("v").split(".")[0]) < 20:
        return "Node.js %s is older than 20" % v
    if not os.path.isdir(os.path.join(FOLDER, "node_modules", "baileys")):
        r = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=FOLDER,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if r.returncode != 0:
            return "npm ci failed: " + r.stdout.decode()[-300:]
    return None


class Baileys:
    """The driver program; its events are kept over restarts."""

    def __init__(self, world, name):
        self.world, self.name, self.dir = world, name, os.path.join(world.folder, "baileys-" + name)
        self.events, self.cond, self.proc = [], threading.Condition(), None

    def start(self):
        env = dict(os.environ, NODE_EXTRA_CA_CERTS=self.world.sim.ca)
        self.log = open(os.path.join(self.world.folder, "baileys.log"), "ab")
        self.proc = subprocess.Popen(["node", os.path.join(FOLDER, "driver.mjs")], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=self.log, env=env)
        threading.Thread(target=self.read, args=(self.proc,), daemon=True).start()
        self.tell(cmd="start", url=self.world.sim.url, ca=self.world.sim.ca, dir=self.dir, name=self.name,
                  noise_root=self.world.sim.noise_root)

    def read(self, proc):
        for line in proc.stdout:
            try:
                e = json.loads(line)
            except ValueError:
                continue
            with self.cond:
                self.events.append(e)
                self.cond.notify_all()

    def tell(self, **m):
        self.proc.stdin.write(json.dumps(m).encode() + b"\n")
        self.proc.stdin.flush()

    def wait(self, match, seconds=60, start=0):
        end, at = time.monotonic() + seconds, start
        with self.cond:
            while True:
                while at < len(self.events):
                    if match(self.events[at]):
                        return self.events[at]
                    at += 1
                left = end - time.monotonic()
                if left <= 0 or self.proc.poll() is not None:
                    raise Failure("baileys: no such event; last: %r" % self.events[-4:])
                self.cond.wait(min(left, 1))

    def of(self, kind):
        with self.cond:
            return [e for e in self.events if e.get("event") == kind]

    def inbox(self):
        return [e for e in self.of("message") if not e["fromMe"] and e.get("text")]

    def stop(self):
        if self.proc and self.proc.poll() is None:
            self.tell(cmd="stop")
            try:
                self.proc.wait(20)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()


def listen(ward, name):
    """Two clients: one gets what came in, the other what became of what went out."""
    c, status = ward.client(), ward.client()
    c.call("events.subscribe", consumer="in" + name, window=1024,
           **{"from": "earliest", "filter": {"types": ["message.received", "message.undecryptable"]}})
    status.call("events.subscribe", consumer="status" + name, window=1024,
                **{"from": "earliest", "filter": {"types": ["message.status"]}})
    return c, status


@test
def baileys_hundred_each_way():
    """100 texts each way, first as pkmsg and then as msg, across a restart of each side: once, in order, receipts"""
    why = missing()
    if why:
        print("skip: " + why)
        return
    with World() as w:
        ward = w.ward("alice")
        state = ward.link("alice")
        b = Baileys(w, "carol")
        try:
            b.start()
            qr = b.wait(lambda e: e.get("event") == "qr")
            w.sim.scan("carol", qr["qr"])
            b.wait(lambda e: e.get("event") == "open")
            c, status = listen(ward, "1")
            carol = w.sim.account("carol")
            phone_jid = state["jid"].split(":")[0].split("@")[0] + "@s.whatsapp.net"
            half, sent = COUNT // 2, []
            texts = lambda cl: [e["event"]["body"]["message"]["content"].get("text") for e in list(cl.events)
                                if e.get("event", {}).get("type") == "message.received"]

            # Turn by turn: Baileys 7.0.0-rc14 now and then uses a message counter twice when it encrypts
            # and decrypts for the same peer at once, and such a message has to be asked for again.
            def both(first, last):
                for i in range(first, last):
                    sent.append(c.call("message.send", account="alice", to="+" + carol["pn"],
                                       text="to baileys %d" % i, idempotency_key="i%d" % i)["message_id"])
                    wait_until(lambda: len(b.inbox()) > i, 30, lambda: "text %d at Baileys" % i)
                    b.tell(cmd="send", to=phone_jid, text="to ward %d" % i)
                    wait_until(lambda: len(texts(c)) > i, 30, lambda: "text %d at ward, errors %r" % (i, b.of("error")))

            both(0, half)
            receipts = lambda: {r["id"] for r in b.of("receipt")}
            wait_until(lambda: len(receipts()) >= half, 60, lambda: "receipts at Baileys: %d" % len(receipts()))
            ward.stop()
            ward.start()
            c, status = listen(ward, "2")
            wait_until(lambda: c.call("account.state", account="alice")["state"] == "online", 30, "online again")
            mark = len(b.events)
            b.stop()
            b.start()
            b.wait(lambda e: e.get("event") == "open", start=mark)
            both(half, COUNT)
            equal(texts(c), ["to ward %d" % i for i in range(COUNT)], "texts at ward")
            equal([m["text"] for m in b.inbox()], ["to baileys %d" % i for i in range(COUNT)], "texts at Baileys")
            equal([m["id"] for m in b.inbox()], sent, "ids at Baileys")

            def delivered():
                got = {e["event"]["body"]["message_id"] for e in list(status.events)
                       if e.get("event", {}).get("type") == "message.status"
                       and e["event"]["body"]["status"] == "delivered"}
                return got >= set(sent)
            wait_until(delivered, 60, "a delivery receipt for each of ours")
            wait_until(lambda: len(receipts()) >= COUNT, 60, lambda: "receipts at Baileys: %d" % len(receipts()))
            kinds = [m["kind"] for m in b.inbox()]
            equal((kinds[0], set(kinds[1:])), ("pkmsg", {"msg"}), "kinds at Baileys")
            print("     %d texts each way, at Baileys %d pkmsg and %d msg" % (COUNT, kinds.count("pkmsg"), kinds.count("msg")))
            check(not [e for e in c.events if e.get("event", {}).get("type") == "message.undecryptable"], "undecryptable")
        finally:
            b.stop()


if __name__ == "__main__":
    why = missing()
    if why:
        print("skip: baileys: " + why)
        print("interop: 0 passed, 0 failed, 1 skipped")
        sys.exit(0)
    main()
