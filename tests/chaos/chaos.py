"""Messages both ways over many chats while everything goes wrong that can: 0 lost, 0 twice, 0 that nobody can read at the
end, 0 of which something untrue was said.

Two accounts of one ward, half of the chats each; the other sides are simulated phones. A plan is drawn from the seed before
the first message: which strike at which number of finished messages. Strikes are kills of each process, lost, late,
repeated, reordered and damaged stanzas and frames, ended, refused and frozen connections, and refused messages. The plan
of a seed is always the same; how it falls between the processes is the machine's.

Writers are careful clients: one idempotency key a message, asked again until there is an answer. The reader is a durable
consumer. Everything is compared at the end with what the phones have.

WARD_CHAOS_MESSAGES (20000), WARD_CHAOS_CHATS (20), WARD_CHAOS_STRIKES (a strike for 40 messages); WARD_SEED repeats a plan."""

import collections
import os
import random
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
from harness import REPORTS, ROLES, SLOW, Failure, Rpc, World, check, wait_until  # noqa: E402
from test_crash import Archiver, Supervisor  # noqa: E402

CHATS = int(os.environ.get("WARD_CHAOS_CHATS", "20"))
MESSAGES = int(os.environ.get("WARD_CHAOS_MESSAGES", "20000")) // (2 * CHATS) * (2 * CHATS)
STRIKES = int(os.environ.get("WARD_CHAOS_STRIKES", str(max(40, MESSAGES // 40))))
ACCOUNTS = ("alice", "bob")
WINDOW = 16  # sends of a writer that wait for their answer
STILL_S = 2  # nothing moves any more without the next strike: what was dropped comes with the next connection
AHEAD = 200  # messages of the phones that ward has not told of yet
REFUSED = (400, 479)  # what a service says for good to a message; ward must say so and not send it again
FRAMES = ("frame_flip", "frame_repeat", "frame_oversize", "frame_zero", "frame_split", "frame_join", "frame_swap",
          "frame_text", "frame_ping", "frame_cut")


# ---------------------------------------------------------------- the plan

KINDS = {"kill": 8, "drop": 6, "refuse_net": 3, "freeze": 2, "stream_error": 3, "login": 2, "frame": 8, "in_message": 12,
         "out_message": 14, "lost_answer": 8, "refuse_message": 8}  # and how often
MESSAGE_FAULTS = ("drop", "delay", "duplicate", "corrupt", "reorder")


def strike(rng, kind, role=None):
    """One strike of a kind: (kind, arguments)."""
    account = rng.choice(ACCOUNTS)

    def fault(direction, tag, action, count=1, **more):
        return dict(match={"account": account, "device": 1, "direction": direction, **({"tag": tag} if tag else {})},
                    action=action, count=count, after=rng.randint(0, 5), **more)

    if kind == "kill":
        return kind, role or rng.choice(ROLES)
    if kind == "drop":
        return kind, dict(account=account, device=1, how=rng.choice(("close", "reset")))
    if kind == "refuse_net":
        what = rng.choice(("tcp", "tls", "upgrade"))
        return kind, dict(what=what, count=rng.randint(1, 2), **({"status": 503} if what == "upgrade" else {}))
    if kind == "freeze":
        return kind, dict(account=account, device=1, ms=rng.randint(200, 1500))
    if kind == "stream_error":
        return kind, dict(account=account, device=1, code=rng.choice((503, 515)))
    if kind == "login":
        return kind, dict(account=account, reason=rng.choice((500, 503)), count=1)
    if kind == "frame":
        return kind, fault("out", None, rng.choice(FRAMES))
    if kind == "in_message":  # what ward sends
        return kind, fault("in", "message", rng.choice(MESSAGE_FAULTS), rng.randint(1, 3), ms=rng.randint(50, 800))
    if kind == "out_message":  # what ward gets
        return kind, fault("out", "message", rng.choice(MESSAGE_FAULTS), rng.randint(1, 3), ms=rng.randint(50, 800))
    if kind == "lost_answer":
        direction, tag = rng.choice((("out", "ack"), ("in", "receipt"), ("in", "ack"), ("out", "receipt")))
        return kind, fault(direction, tag, rng.choice(("drop", "delay", "duplicate")), rng.randint(1, 3), ms=rng.randint(50, 800))
    return kind, fault("in", "message", "error", code=rng.choice(REFUSED + (503, 503)))


def plan(seed):
    """(point, kind, arguments) for each strike, in order of points: a number of finished messages. Each process is killed
    and each kind comes at least once."""
    rng = random.Random("strikes %s" % seed)
    points = sorted(rng.randint(1, MESSAGES - CHATS) for _ in range(STRIKES))
    all_ = [strike(rng, "kill", role) for role in ROLES] + [strike(rng, kind) for kind in KINDS]
    all_ += [strike(rng, kind) for kind in rng.choices(list(KINDS), list(KINDS.values()), k=max(0, STRIKES - len(all_)))]
    rng.shuffle(all_)
    return [(point, *s) for point, s in zip(points, all_)]


# ---------------------------------------------------------------- the two sides

def tell(sim, name, **params):
    """A command for the simulator, which may refuse the connection: what is refused to ward is refused to all."""
    for _ in range(20):
        try:
            return sim.cmd(name, **params)
        except OSError:
            time.sleep(0.01)
    return sim.cmd(name, **params)


class Reader(Archiver):
    """A durable consumer that keeps what it was told of messages."""

    def __init__(self, ward):
        self.status, self.account_of = collections.defaultdict(list), {}
        super().__init__(ward)

    def take(self, e):
        event = e["event"]
        fresh = event["seq"] not in self.seen_seqs
        super().take(e)
        if fresh and event["type"] == "message.status":
            self.status[event["body"]["message_id"]].append(event["body"]["status"])
        if fresh and event["type"] == "message.received":
            self.account_of[event["body"]["message"]["message_id"]] = event["account"]

    def unread(self):
        """Messages that were told as undecryptable and never came."""
        return {e["body"]["message_id"] for e in self.bad} - set(self.new)


class Writer(threading.Thread):
    """Writes the texts of some chats in their order, a few at once, each until there is an answer that is one."""

    def __init__(self, ward, account, chats, count):
        super().__init__(daemon=True)
        self.ward, self.account = ward, account
        self.todo = [(chat, i) for i in range(count) for chat in chats]
        self.sent, self.refused, self.wrong, self.on = {}, {}, [], True
        self.start()

    def done(self):
        return len(self.sent) + len(self.refused)

    def answer(self, item, m):
        """Takes an answer. Returns whether it is the last word."""
        if "result" in m and m["result"]["status"] in ("server", "delivered", "read"):
            self.sent[item] = m["result"]["message_id"]
            return True
        e = m.get("error", {"code": 0, "data": {}})
        if "result" in m or e["code"] == -11 or e.get("data", {}).get("retryable"):
            return False
        if e.get("data", {}).get("reason") == "refused":
            self.refused[item] = e["data"]
        else:
            self.wrong.append((item, m))
        return True

    def ask(self, c, item):
        chat, i = item
        return c.send("message.send", account=self.account, to="+" + chat.pn, text="out %s %d" % (chat.name, i),
                      wait="server", timeout_ms=20000, idempotency_key="chaos-%s-%d" % (chat.name, i))

    def serve(self, c):
        """One connection: some are asked at once, and each answer makes room for the next."""
        open_, later = {}, collections.deque(self.todo)
        while (open_ or later) and self.on:
            while later and len(open_) < WINDOW:
                item = later.popleft()
                open_[self.ask(c, item)] = item
            with c.cond:
                come = [n for n in open_ if n in c.replies]
                if not come:
                    if c.closed:
                        return
                    c.cond.wait(1)
                    continue
                answers = [(open_.pop(n), c.replies.pop(n)) for n in come]
            for item, m in answers:
                if self.answer(item, m):
                    self.todo.remove(item)
                else:
                    later.append(item)

    def run(self):
        while self.todo and self.on:
            try:
                c = Rpc(self.ward.socket, 5)
                self.serve(c)
                c.close()
            except (OSError, Failure, ValueError):
                pass
            time.sleep(0.02)


class Chat:
    """A phone, and the account of ward that it talks with."""

    def __init__(self, sim, n):
        self.name, self.account = "phone%02d" % n, ACCOUNTS[n % len(ACCOUNTS)]
        self.pn = sim.account(self.name)["pn"]
        self.ids = []

    def __repr__(self):
        return self.name


class Phones(threading.Thread):
    """Writes the texts of the phones, not far ahead of what ward has told of."""

    def __init__(self, sim, chats, count, reader, seed):
        super().__init__(daemon=True)
        self.sim, self.chats, self.count, self.reader = sim, chats, count, reader
        self.rng, self.failure, self.on = random.Random("phones %s" % seed), None, True
        self.start()

    def sent(self):
        return sum(len(c.ids) for c in self.chats)

    def run(self):
        try:
            left = list(self.chats)
            while left and self.on:
                chat = self.rng.choice(left)
                for _ in range(self.rng.randint(1, 6)):
                    if len(chat.ids) < self.count:
                        chat.ids += tell(self.sim, "phone.send", account=chat.name, to=chat.account,
                                                 text="in %s %d" % (chat.name, len(chat.ids)))["ids"]
                if len(chat.ids) >= self.count:
                    left.remove(chat)
                while self.sent() - len(self.reader.new) > AHEAD and self.on:
                    time.sleep(0.005)
        except Exception as e:  # told by the main thread
            self.failure = e


# ---------------------------------------------------------------- the run

class Run:
    def __init__(self, w, seed):
        self.w, self.seed, self.sim = w, seed, w.sim
        self.ward = w.ward(*ACCOUNTS)
        for a in ACCOUNTS:
            self.ward.link(a)
        self.chats = [Chat(w.sim, n) for n in range(CHATS)]
        each = MESSAGES // (2 * CHATS)
        self.supervisor = Supervisor(self.ward)
        self.reader = Reader(self.ward)
        self.writers = [Writer(self.ward, a, [c for c in self.chats if c.account == a][i::2], each)
                        for a in ACCOUNTS for i in range(2)]
        self.phones = Phones(w.sim, self.chats, each, self.reader, seed)
        self.struck, self.stills = collections.Counter(), 0

    def progress(self):
        return len(self.reader.new) + sum(w.done() for w in self.writers)

    def state(self):
        return "in %d of %d, out %d and %d refused of %d; %r" % (
            len(self.reader.new), MESSAGES // 2, sum(len(w.sent) for w in self.writers),
            sum(len(w.refused) for w in self.writers), MESSAGES // 2, self.phones.failure)

    def kill(self, role):
        def strike():
            pid = self.ward.pids().get(role) if self.ward.proc.poll() is None else None
            if pid is None:
                return False
            proc = self.ward.proc
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return False
            proc.wait(30)
            return True
        wait_until(strike, 60, "a %s to kill" % role)
        self.struck["kill " + role] += 1

    def strike(self, kind, arguments):
        if kind == "kill":
            self.kill(arguments)
            return
        command = {"drop": "device.drop", "refuse_net": "net.refuse", "freeze": "conn.freeze", "stream_error": "stream.error",
                   "login": "login.refuse"}.get(kind, "fault.arm")
        try:
            tell(self.sim, command, **arguments)
        except Failure:  # there is no connection at this moment
            self.struck["none (no connection)"] += 1
            return
        self.struck[kind + " " + arguments["action"] if "action" in arguments else kind] += 1

    def storm(self):
        for point, kind, arguments in plan(self.seed):
            self.reach(point)
            check(self.phones.failure is None, "the phones", self.phones.failure)
            self.strike(kind, arguments)

    def reach(self, point):
        last, since = -1, time.monotonic()
        while self.progress() < point and self.phones.failure is None:
            if self.progress() != last:
                last, since = self.progress(), time.monotonic()
            elif time.monotonic() - since > STILL_S * SLOW:
                self.stills += 1
                return
            time.sleep(0.005)

    def queued(self):
        devices = [d for a in ACCOUNTS for d in tell(self.sim, "device.list", account=a)["devices"] if d["device"] == 1]
        return sum(d["queued"] for d in devices)

    def quiet(self):
        return self.progress() >= MESSAGES and self.queued() == 0

    def calm(self):
        """No more strikes: what the service still has comes with the next connections."""
        tell(self.sim, "fault.clear")
        for a in ACCOUNTS:
            tell(self.sim, "login.refuse", account=a, reason=0)
        for _ in range(10):  # what was answered in vain is answered again in the next connection
            for a in ACCOUNTS:
                try:
                    tell(self.sim, "device.drop", account=a, device=1)
                except Failure:
                    pass
            end = time.monotonic() + 15 * SLOW
            while time.monotonic() < end and not self.quiet():
                time.sleep(0.05)
            if self.quiet():
                break
        check(self.quiet(), "not quiet: " + self.state(), self.queued())
        wait_until(lambda: not self.reader.unread(), 60, lambda: "unreadable: %r" % list(self.reader.unread())[:5])
        for w in self.writers:
            w.join(60)

    # ---- what there is at the end, by both sides

    def judge(self):
        boxes = {c: tell(self.sim, "phone.inbox", account=c.name, limit=1000000)["messages"] for c in self.chats}
        refused = {item: d for w in self.writers for item, d in w.refused.items()}
        sent = {item: i for w in self.writers for item, i in w.sent.items()}
        lost, twice, false = [], [], []
        for chat, box in boxes.items():
            texts = collections.Counter(m["text"] for m in box)
            ids = collections.Counter(m["id"] for m in box)
            twice += [m for m, n in list(texts.items()) + list(ids.items()) if n > 1]
            by_text = {m["text"]: m["id"] for m in box}
            for i in range(MESSAGES // (2 * CHATS)):
                text, item = "out %s %d" % (chat.name, i), (chat, i)
                if item in refused:
                    if text in by_text:
                        false.append((text, "was told to be refused and is there"))
                elif text not in by_text:
                    (false if item in sent else lost).append((text, "is not there"))
                elif sent[item] != by_text[text]:
                    false.append((text, "has another id"))
        there = {m["id"] for box in boxes.values() for m in box}
        for message_id, states in self.reader.status.items():
            if ("delivered" in states or "read" in states) and message_id not in there:
                false.append((message_id, states))
            if "failed" in states and message_id in there:
                false.append((message_id, states))
        for chat in self.chats:
            lost += [i for i in chat.ids if i not in self.reader.new]
            for n, i in enumerate(chat.ids):
                if i in self.reader.new and (self.reader.new[i], self.reader.account_of[i]) != (
                        "in %s %d" % (chat.name, n), chat.account):
                    false.append((i, "came as something else", self.reader.new[i]))
        known = {i for c in self.chats for i in c.ids}
        false += [(i, "nobody wrote it") for i in self.reader.new if i not in known]
        twice += self.reader.twice
        wrong = [x for w in self.writers for x in w.wrong]
        return lost, twice, false, wrong, len(sent), len(refused)

    def report(self):
        lost, twice, false, wrong, sent, refused = self.judge()
        phones = tell(self.sim, "stats")["phones"]
        unread = self.reader.unread()
        print("%d in and %d out over %d chats, %d refused as they should be; %d starts of ward" % (
            len(self.reader.new), sent, CHATS, refused, self.supervisor.starts + 1))
        print("strikes: %d (%s), %d of them while nothing moved" % (
            sum(self.struck.values()), ", ".join("%s %d" % kv for kv in sorted(self.struck.items())), self.stills))
        print("repaired on the way: %d asked for again by ward, %d by the phones (%d sent again by phones)" % (
            len({e["body"]["message_id"] for e in self.reader.bad}), phones["retries_asked"], phones["resent"]))
        print("lost %d, twice %d, undecryptable at the end %d here and %d at the phones, falsely reported %d, wrong answers %d" % (
            len(lost), len(twice), len(unread), phones["given_up"], len(false), len(wrong)))
        for what, items in (("lost", lost), ("twice", twice), ("falsely reported", false), ("wrong answers", wrong)):
            for item in items[:5]:
                print("  %s: %r" % (what, item))
        return not (lost or twice or false or wrong or unread or phones["given_up"])

    def stop(self):
        self.supervisor.stop()
        self.reader.on = self.phones.on = False
        for w in self.writers:
            w.on = False


def main():
    seed = os.environ.get("WARD_SEED") or str(random.randrange(1 << 31))
    print("chaos: seed %s, %d messages over %d chats, %d strikes" % (seed, MESSAGES, CHATS, STRIKES))
    sys.stdout.flush()
    began = time.monotonic()
    with World(seed=int(seed)) as w:
        run = Run(w, seed)
        try:
            run.storm()
            run.calm()
            good = run.report()
        finally:
            run.stop()
        found = REPORTS.take()
        check(not found, "valgrind or a sanitizer found\n" + found)
        check(good, "messages were lost, doubled, unreadable or misreported; WARD_SEED=%s repeats it" % seed)
    print("chaos: passed in %.0f s" % (time.monotonic() - began))


if __name__ == "__main__":
    try:
        main()
    except Failure as e:
        print("chaos: FAILED: %s" % e)
        sys.exit(1)
