"""1,000 messages while any of the five processes is killed 30 times: nothing lost, nothing twice as new, no
session broken. WARD_CRASH_MESSAGES and WARD_CRASH_KILLS change the numbers, WARD_SEED repeats a run."""

import os
import random
import signal
import threading
import time

from harness import Failure, ROLES, Rpc, World, check, equal, main, test, wait_until

MESSAGES = int(os.environ.get("WARD_CRASH_MESSAGES", "1000"))
KILLS = int(os.environ.get("WARD_CRASH_KILLS", "30"))


class Supervisor(threading.Thread):
    """The service manager: starts ward again whenever it ends."""

    def __init__(self, ward):
        super().__init__(daemon=True)
        self.ward, self.on, self.starts, self.lock = ward, True, 0, threading.Lock()
        self.start()

    def run(self):
        while self.on:
            self.ward.proc.wait()
            with self.lock:
                if self.on:
                    self.ward.start(ready=False)
                    self.starts += 1

    def stop(self):
        with self.lock:
            self.on = False


class Archiver(threading.Thread):
    """A durable consumer that connects again after every crash, and acks what it has written down."""

    def __init__(self, ward):
        super().__init__(daemon=True)
        self.ward, self.on = ward, True
        self.new, self.twice, self.bad, self.seqs, self.seen_seqs = {}, [], [], [], set()
        self.cond = threading.Condition()
        self.start()

    def take(self, e):
        event = e["event"]
        if event["seq"] in self.seen_seqs:  # not acked before the crash: the same event again
            return
        self.seen_seqs.add(event["seq"])
        self.seqs.append(event["seq"])
        if event["type"] == "message.received":
            m = event["body"]["message"]
            if m["message_id"] in self.new:
                self.twice.append(m["message_id"])
            self.new[m["message_id"]] = m["content"].get("text")
        elif event["type"] == "message.undecryptable":
            self.bad.append(event)

    def run(self):
        while self.on:
            try:
                c = Rpc(self.ward.socket, 5)
                c.call("events.subscribe", 10, consumer="archiver", window=64, steal=True, **{"from": "earliest"})
                at = 0
                while self.on:
                    with c.cond:
                        while at >= len(c.events) and not c.closed:
                            c.cond.wait(1)
                            if not self.on:
                                break
                        batch = c.events[at:]
                        at += len(batch)
                        closed = c.closed
                    with self.cond:
                        for e in batch:
                            if "event" in e and e.get("cursor"):
                                self.take(e)
                        self.cond.notify_all()
                    cursors = [e["cursor"] for e in batch if e.get("cursor")]
                    if cursors:
                        c.call("events.ack", 10, consumer="archiver", cursor=cursors[-1])
                    if closed:
                        break
            except (OSError, Failure, ValueError):
                time.sleep(0.02)


class Sender(threading.Thread):
    """A programmer's careful client: one key a message, the same key again until there is an answer."""

    def __init__(self, ward, to, count):
        super().__init__(daemon=True)
        self.ward, self.to, self.count, self.ids, self.wrong = ward, to, count, {}, []
        self.start()

    def run(self):
        todo = list(range(self.count))
        while todo:
            try:
                c = Rpc(self.ward.socket, 5)
                while todo:
                    part = todo[:8]
                    asked = [(i, c.send("message.send", account="alice", to=self.to, text="out %d" % i,
                                        idempotency_key="crash-%d" % i, wait="server", timeout_ms=20000))
                             for i in part]
                    for i, n in asked:
                        m = c.answer(n, 30)
                        if "result" in m and m["result"]["status"] in ("server", "delivered", "read"):
                            self.ids.setdefault(i, m["result"]["message_id"])
                            if self.ids[i] != m["result"]["message_id"]:
                                self.wrong.append((i, m))
                            todo.remove(i)
                        elif "error" in m and not m["error"].get("data", {}).get("retryable", False) \
                                and m["error"]["code"] not in (-11,):
                            self.wrong.append((i, m))
                            todo.remove(i)
            except (OSError, Failure, ValueError):
                time.sleep(0.02)


@test
def killed_thirty_times():
    """any process killed at random points while messages go both ways"""
    seed = os.environ.get("WARD_SEED") or str(random.randrange(1 << 32))
    rng = random.Random(seed)
    half = MESSAGES // 2
    with World(seed=int(seed) & 0x7fffffff) as w:
        ward = w.ward("alice")
        state = ward.link("alice")
        bob = w.sim.account("bob")
        supervisor = Supervisor(ward)
        archiver = Archiver(ward)
        sender = Sender(ward, "+" + bob["pn"], half)

        sent = []

        def feed():
            for i in range(half):
                sent.extend(w.sim.cmd("phone.send", account="bob", to="alice", text="in %d" % i)["ids"])
                while len(sent) - len(archiver.new) > 40 and archiver.on:
                    time.sleep(0.005)  # pace of the peer: not far ahead of what has come in
        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()

        progress = lambda: len(archiver.new) + len(sender.ids)
        points = sorted(rng.sample(range(1, max(MESSAGES - 20, KILLS + 2)), KILLS))
        killed = {r: 0 for r in ROLES}
        for point in points:
            wait_until(lambda: progress() >= point, 120, lambda: "progress to %d, is %d (in %d, out %d)" % (
                point, progress(), len(archiver.new), len(sender.ids)))

            def strike():
                role = rng.choice(ROLES)
                pid = ward.pids().get(role) if ward.proc.poll() is None else None
                if pid is None:
                    return None
                proc = ward.proc
                os.kill(pid, signal.SIGKILL)
                proc.wait(30)
                return role
            killed[wait_until(strike, 30, "a process to kill")] += 1
        feeder.join(180)
        sender.join(180)
        wait_until(lambda: len(archiver.new) >= half, 120, lambda: "all %d in, have %d" % (half, len(archiver.new)))
        box = w.sim.wait_inbox("bob", half, 120)
        phones = w.sim.cmd("stats")["phones"]
        supervisor.stop()
        archiver.on = False
        lost_in = set(sent) - set(archiver.new)
        lost_out = set("out %d" % i for i in range(half)) - set(m["text"] for m in box)
        twice_out = len(box) - len(set(m["id"] for m in box))
        print("seed %s: %d messages in, %d out, %d kills (%s), %d starts" % (
            seed, len(archiver.new), len(box), sum(killed.values()),
            ", ".join("%s %d" % kv for kv in killed.items()), supervisor.starts))
        print("lost in %d, lost out %d, twice as new in %d, twice out %d, undecryptable here %d, undecryptable "
              "at the phones %d" % (len(lost_in), len(lost_out), len(archiver.twice), twice_out,
                                    len(archiver.bad), phones["decrypt_failures"]))
        equal(sender.wrong, [], "answers to sends")
        equal((len(lost_in), len(lost_out), len(archiver.twice), twice_out, len(archiver.bad),
               phones["decrypt_failures"]), (0, 0, 0, 0, 0, 0), "losses")
        equal(archiver.seqs, sorted(archiver.seqs), "order of seq")
        equal(sum(killed.values()), KILLS, "kills")


if __name__ == "__main__":
    main()
