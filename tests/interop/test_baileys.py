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

    def stop(self):
        if self.proc and self.proc.poll() is None:
            self.tell(cmd="stop")
            try:
                self.proc.wait(20)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()


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
            c = ward.client()
            c.call("events.subscribe", consumer="t", window=1024, **{"from": "earliest"})
            carol = w.sim.account("carol")
            half, sent, answered = COUNT // 2, [], 0
            texts = lambda cl: [e["event"]["body"]["message"]["content"].get("text") for e in list(cl.events)
                                if e.get("event", {}).get("type") == "message.received"]

            def both(first, last):
                for i in range(first, last):
                    b.tell(cmd="send", to=state["jid"].split(":")[0].split("@")[0] + "@s.whatsapp.net", text="to ward %d" % i)
                    sent.append(c.call("message.send", account="alice", to="+" + carol["pn"],
                                       text="to baileys %d" % i, idempotency_key="i%d" % i)["message_id"])

            both(0, half)
            wait_until(lambda: len(texts(c)) >= half and len(b.of("message")) >= half, 60,
                       "first half: %d in, %d out" % (len(texts(c)), len(b.of("message"))))
            ward.stop()
            ward.start()
            c = ward.client()
            c.call("events.subscribe", consumer="t2", window=1024, **{"from": "earliest"})
            wait_until(lambda: c.call("account.state", account="alice")["state"] == "online", 30, "online again")
            mark = len(b.events)
            b.stop()
            b.start()
            b.wait(lambda e: e.get("event") == "open", start=mark)
            both(half, COUNT)
            wait_until(lambda: len(texts(c)) >= COUNT and len(b.of("message")) >= COUNT, 60,
                       "second half: %d in, %d out" % (len(texts(c)), len(b.of("message"))))
            equal(texts(c), ["to ward %d" % i for i in range(COUNT)], "texts at ward")
            equal([m["text"] for m in b.of("message")], ["to baileys %d" % i for i in range(COUNT)], "texts at Baileys")
            equal([m["id"] for m in b.of("message")], sent, "ids at Baileys")

            def delivered():
                got = {e["event"]["body"]["message_id"] for e in list(c.events)
                       if e.get("event", {}).get("type") == "message.status"
                       and e["event"]["body"]["status"] == "delivered"}
                return got >= set(sent)
            wait_until(delivered, 60, "a delivery receipt for each of ours")
            wait_until(lambda: len({r["id"] for r in b.of("receipt")}) >= COUNT, 60, "receipts at Baileys: %d" %
                       len({r["id"] for r in b.of("receipt")}))
            kinds = w.sim.cmd("stats").get("enc_kinds", {})
            print("     %d texts each way; enc nodes routed: %s" % (COUNT, kinds))
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
