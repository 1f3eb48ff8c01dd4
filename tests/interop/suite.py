"""What every client of others must be able to do with ward: one function a scenario, the same for all of them."""

import os
import re

from harness import Failure, World, check, equal, wait_until
from peer import Peer

COUNT = int(os.environ.get("WARD_INTEROP_TEXTS", "100"))
QUEUED = int(os.environ.get("WARD_INTEROP_QUEUED", "500"))
FLAWS = ("wrong_root", "random_signatures", "leaf_key", "intermediate_issuer", "leaf_issuer")
SCENARIOS = []


def scenario(fn):
    """Marks a scenario: a function of a Pair. Its docstring is the sentence that says what it proves."""
    SCENARIOS.append(fn)
    return fn


class Side:
    """An account of ward, with all that it was told over the restarts of ward."""

    def __init__(self, pair, account):
        self.pair, self.account, self.turn = pair, account, 0
        self.sim_account = pair.sim.account(account)
        self.number, self.lid = self.sim_account["pn"], self.sim_account["lid"]
        self.pn = self.number + "@s.whatsapp.net"

    def link(self):
        self.pair.ward.link(self.account)
        self.listen()

    def listen(self):
        """A new connection that is told everything from the beginning."""
        self.turn += 1
        self.c = self.pair.ward.client()
        self.c.call("events.subscribe", consumer="%s%d" % (self.account, self.turn), window=4096,
                    **{"from": "earliest", "filter": {"accounts": [self.account]}})

    def online(self):
        wait_until(lambda: self.c.call("account.state", account=self.account)["state"] == "online", 30, "online")

    def of(self, kind):
        return [e["event"] for e in list(self.c.events) if e.get("event", {}).get("type") == kind]

    def texts(self, kind="message.received"):
        return [e["body"]["message"]["content"].get("text") for e in self.of(kind)]

    def wait_texts(self, wanted, seconds=60, kind="message.received"):
        """These texts, each once, in this order, and no others."""
        wait_until(lambda: len(self.texts(kind)) >= len(wanted), seconds,
                   lambda: "%d texts at ward, has %d; undecryptable %r; the peer's errors %r" % (
                       len(wanted), len(self.texts(kind)), self.of("message.undecryptable")[-2:],
                       self.pair.peer.of("error")[-3:]))
        equal(self.texts(kind), wanted, "texts at ward")

    def ask(self, to, text, **kw):
        return self.c.send("message.send", account=self.account, to=to, text=text,
                           idempotency_key="k-" + re.sub(r"[^A-Za-z0-9]", "-", text), **kw)

    def send(self, to, text, **kw):
        m = self.c.answer(self.ask(to, text, **kw))
        if "error" in m:
            raise Failure("message.send %s: %s" % (text, m["error"]))
        return m["result"]["message_id"]

    def call(self, method, key, **kw):
        return self.c.call(method, account=self.account, idempotency_key=key, wait="server", **kw)

    def send_many(self, to, texts, wait="server"):
        """Send in the order of texts, at most 50 on their way at once. Returns their ids."""
        ids = []
        for base in range(0, len(texts), 50):
            asked = [self.ask(to, t, wait=wait) for t in texts[base:base + 50]]
            ids += [self.c.answer(n)["result"]["message_id"] for n in asked]
        return ids

    def wait_status(self, ids, status, seconds=60):
        told = lambda: {e["body"]["message_id"] for e in self.of("message.status") if e["body"]["status"] == status}
        wait_until(lambda: told() >= set(ids), seconds, lambda: "%s for %d of %d" % (status, len(told() & set(ids)), len(ids)))


class Pair:
    """A service with alice, who uses ward, and carol, who uses the client of others; both linked. Their phones give no
    receipts, so that each receipt is the device's. Spare accounts of ward are there and not linked."""

    def __init__(self, kind, accounts=("alice",), spare=(), service=None):
        """service: how the simulated service has all accounts at first."""
        self.kind, self.world, self.peers = kind, World(), []
        self.sim, self.folder = self.world.sim, self.world.folder
        try:
            for name in (*accounts, "carol"):
                self.sim.account(name, **(service or {}))
            self.ward = self.world.ward(*accounts, *spare)
            self.sides = [Side(self, a) for a in accounts]
            self.alice = self.sides[0]
            self.carol = self.sim.account("carol")
            self.pn, self.lid = self.carol["pn"] + "@s.whatsapp.net", self.carol["lid"]
            for name in (*accounts, "carol"):
                self.sim.cmd("phone.set", account=name, receipts=False, gives=False)
            self.peer = self.new_peer("carol")
            for s in self.sides:
                s.link()
            self.peer.link("carol")
        except BaseException as e:
            self.__exit__(type(e), e, None)
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        try:
            for p in self.peers:
                p.stop()
        finally:
            self.world.__exit__(kind, value, tb)

    def new_peer(self, name):
        p = Peer(self.kind, self.sim, self.folder, name)
        self.peers.append(p)
        return p

    def restart_ward(self):
        self.ward.stop()
        self.start_ward()

    def start_ward(self):
        self.ward.start()
        for s in self.sides:
            s.listen()
            s.online()

    def wait_peer(self, wanted, seconds=60, peer=None, own=False):
        peer = peer or self.peer
        wait_until(lambda: len(peer.texts(own)) >= len(wanted), seconds, lambda: "%d texts at %s, has %d; errors %r" % (
            len(wanted), peer.name, len(peer.texts(own)), peer.of("error")[-3:]))
        equal(peer.texts(own), wanted, "texts at " + peer.name)

    def readable(self):
        """Nothing came in a form that ward could not read."""
        bad = [e for s in self.sides for e in s.of("message.undecryptable")]
        check(not bad, "undecryptable at ward", bad[:2])

    def encs(self, device, direction="->"):
        """The kinds of enc of the messages that the service gave to a device ("carol:1"), without those of its phone."""
        self.sim.cmd("log.flush")
        rx = re.compile(r" %s %s <message (?![^>]*category=\"peer\")[^>]*>.*?<enc [^>]*type=\"(\w+)\"" % (device, direction))
        with open(os.path.join(self.sim.dir, "stanzas.log")) as f:
            return [m.group(1) for m in map(rx.search, f) if m]

    def wait_delivered(self, ids, seconds=60):
        """The peer was told that ward has these; where its client keeps that for itself, the service was."""
        def told():
            if self.kind.tells_inactive:
                return self.peer.receipts("delivered")
            self.sim.cmd("log.flush")
            with open(os.path.join(self.sim.dir, "stanzas.log")) as f:
                return set(re.findall(r'\bid="(\w+)"', "".join(
                    line for line in f if " carol:1 -> <receipt " in line and 'type="inactive"' in line)))
        wait_until(lambda: told() >= set(ids), seconds, lambda: "%d of %d receipts at the peer" % (
            len(told() & set(ids)), len(ids)))

    def wait_change(self, act, target, text, own=False):
        """The peer tells of this change, once, of an own message or one of the other side's."""
        return self.peer.wait("change", act=act, target=target, text=text, fromMe=own)

    def device(self, account, number=1):
        return next(d for d in self.sim.cmd("device.list", account=account)["devices"] if d["device"] == number)


def numbered(word, count, first=0):
    return ["%s %d" % (word, i) for i in range(first, first + count)]


@scenario
def link(p):
    """a phone scans the QR; after a restart it is online again without another"""
    opened = p.peer.wait("open")
    equal(opened["jid"].split(":")[0].split("@")[0], p.carol["pn"], "linked to")
    shown = len(p.peer.of("qr"))
    p.peer.restart()
    equal(len(p.peer.of("qr")), shown, "QR codes after the restart")
    p.alice.send(p.pn, "still there")
    p.wait_peer(["still there"])


@scenario
def texts(p):
    """100 texts each way over a restart of each side: once, in order, under their ids, delivered; pkmsg once, then msg"""
    half, sent = COUNT // 2, []
    out, back = numbered("to the peer", COUNT), numbered("to ward", COUNT)

    def both(first, last):
        turns = last if p.kind.turns else first + 1
        for i in range(first, turns):
            if i >= half:  # at first ward begins, after the restart the peer
                p.peer.send(p.alice.pn, back[i])
                p.alice.wait_texts(back[:i + 1], 30)
            sent.append(p.alice.send(p.pn, out[i]))
            p.wait_peer(out[:i + 1], 30)
            if i < half:
                p.peer.send(p.alice.pn, back[i])
                p.alice.wait_texts(back[:i + 1], 30)
        for t in back[turns:last]:
            p.peer.send(p.alice.pn, t)
        sent.extend(p.alice.send_many(p.pn, out[turns:last]))
        p.alice.wait_texts(back[:last])
        p.wait_peer(out[:last])

    both(0, half)
    p.wait_delivered([p.peer.sent(t) for t in back[:half]])
    p.restart_ward()
    p.peer.restart()
    both(half, COUNT)
    equal([m["id"] for m in p.peer.messages()], sent, "ids at the peer")
    p.alice.wait_status(sent, "delivered")
    p.wait_delivered([p.peer.sent(t) for t in back])
    equal(p.encs("carol:1")[-COUNT:], ["pkmsg"] + ["msg"] * (COUNT - 1), "kinds at the peer")
    equal(len(p.alice.of("message.undecryptable")), p.kind.mixed_up, "texts that ward had to ask for again")


@scenario
def first_contact(p):
    """a stranger's first text is a pkmsg that takes one prekey; after the answer msg: written by ward, and by the peer"""
    bob = p.sides[1]
    keys = p.device("carol")["prekeys"]
    p.alice.send(p.pn, "first of ward")
    p.wait_peer(["first of ward"])
    equal(p.device("carol")["prekeys"], keys - 1, "prekeys of the peer that are left")
    equal(p.encs("carol:1")[-1], "pkmsg", "kind at the peer")
    p.peer.send(p.alice.pn, "answer of the peer")
    p.alice.wait_texts(["answer of the peer"])
    equal(p.encs("alice:1")[-1], "msg", "kind of the answer at ward")
    p.alice.send(p.pn, "second of ward")
    p.wait_peer(["first of ward", "second of ward"])
    equal(p.encs("carol:1")[-1], "msg", "kind of the second at the peer")

    keys = p.device("bob")["prekeys"]
    p.peer.send(bob.pn, "first of the peer")
    bob.wait_texts(["first of the peer"])
    equal(p.device("bob")["prekeys"], keys - 1, "prekeys of ward that are left")
    equal(p.encs("bob:1")[-1], "pkmsg", "kind at ward")
    bob.send(p.pn, "answer of ward")
    p.wait_peer(["first of ward", "second of ward", "answer of ward"])
    equal(p.encs("carol:1")[-1], "msg", "kind of the answer at the peer")
    p.peer.send(bob.pn, "second of the peer")
    bob.wait_texts(["first of the peer", "second of the peer"])
    equal(p.encs("bob:1")[-1], "msg", "kind of the second at ward")
    p.readable()


first_contact.accounts = ("alice", "bob")


@scenario
def offline(p):
    """500 texts that wait at the service for the one that is not there arrive all, once, in order; each way"""
    out, back = numbered("to the peer", QUEUED), numbered("to ward", QUEUED)
    first = p.alice.send(p.pn, "before")
    p.wait_peer(["before"])
    p.peer.send(p.alice.pn, "before")
    p.alice.wait_texts(["before"])
    p.peer.stop()
    ids = [first] + p.alice.send_many(p.pn, out)
    out, back = ["before"] + out, ["before"] + back
    wait_until(lambda: p.device("carol")["queued"] >= QUEUED, 30, "waiting for the peer")
    p.peer.start()
    p.wait_peer(out, 90)
    equal([m["id"] for m in p.peer.messages()], ids, "ids at the peer")
    p.alice.wait_status(ids, "delivered")
    wait_until(lambda: p.device("carol")["queued"] == 0, 30, "the peer's queue is empty")
    p.ward.stop()
    for t in back[1:]:
        p.peer.send(p.alice.pn, t)
    wait_until(lambda: p.device("alice")["queued"] >= QUEUED, 90, "waiting for ward")
    p.start_ward()
    p.alice.wait_texts(back, 90)
    wait_until(lambda: p.device("alice")["queued"] == 0, 30, "ward's queue is empty")
    p.wait_delivered([p.peer.sent(t) for t in back])
    p.readable()


def exchanged(p):
    """A text each way: the ids of ward's and of the peer's."""
    ours = p.alice.send(p.pn, "out")
    p.wait_peer(["out"])
    p.peer.send(p.alice.pn, "back")
    p.alice.wait_texts(["back"])
    return ours, p.peer.sent("back")


@scenario
def edit(p):
    """a text that its writer changed is changed at the other side and is no new text; each way"""
    ours, theirs = exchanged(p)
    p.alice.call("message.edit", "edit", chat=p.pn, message_id=ours, text="out, changed")
    p.wait_change("edit", ours, "out, changed")
    p.peer.send(p.alice.pn, "back, changed", act="edit", target=theirs, mine=True)
    e = p.alice.c.wait_type("message.edited", message_id=theirs)["body"]
    equal((e["content"]["text"], e["from_me"]), ("back, changed", False), "the edit at ward")
    equal((p.alice.texts(), p.peer.texts()), (["back"], ["out"]), "texts of both")
    p.readable()


@scenario
def delete(p):
    """a text that its writer took back is told as that at the other side; each way"""
    ours, theirs = exchanged(p)
    p.alice.call("message.delete", "delete", chat=p.pn, message_id=ours)
    p.wait_change("delete", ours, None)
    p.peer.send(p.alice.pn, "", act="delete", target=theirs, mine=True)
    e = p.alice.c.wait_type("message.deleted", message_id=theirs)["body"]
    equal((e["from_me"], e["by_admin"]), (False, False), "the deletion at ward")
    p.readable()


@scenario
def reaction(p):
    """a reaction to a text of each side comes and is taken back; each way"""
    ours, theirs = exchanged(p)
    for i, text in enumerate(("\u2764", "")):
        p.alice.call("message.react", "react-%d" % i, chat=p.pn, message_id=theirs, text=text)
        p.wait_change("react", theirs, text)
        p.peer.send(p.alice.pn, text, act="react", target=ours, mine=False)
        e = p.alice.c.wait_type("message.reaction", message_id=ours, text=text)["body"]
        equal((e["from_me"], e["target_from_me"]), (False, True), "the reaction at ward")
    p.alice.call("message.react", "own", chat=p.pn, message_id=ours, text="\U0001f44d", from_me=True)
    p.wait_change("react", ours, "\U0001f44d")
    p.readable()


@scenario
def reply(p):
    """an answer names the text that it answers; each way"""
    ours, theirs = exchanged(p)
    p.alice.call("message.send", "reply", to=p.pn, text="an answer", reply_to=theirs, reply_text="back")
    p.wait_peer(["out", "an answer"])
    equal(p.peer.messages()[-1]["quoted"], theirs, "what it quotes at the peer")
    p.peer.send(p.alice.pn, "another answer", act="reply", target=ours, mine=False, quoted="out")
    p.alice.wait_texts(["back", "another answer"])
    m = p.alice.of("message.received")[-1]["body"]["message"]
    equal((m["quoted"]["message_id"], m["quoted"]["content"].get("text")), (ours, "out"), "what it quotes at ward")
    p.readable()


@scenario
def receipts(p):
    """delivered and then read, each way, from the device and not from the phone"""
    ids = []
    for i in range(3):
        ids.append(p.alice.send(p.pn, "out %d" % i))
        p.wait_peer(numbered("out", i + 1))
    p.alice.wait_status(ids, "delivered")
    check(not [e for e in p.alice.of("message.status") if e["body"]["status"] == "read"], "read before it was")
    p.peer.tell(cmd="read", chat=p.peer.messages()[0]["chat"], ids=ids)
    p.alice.wait_status(ids, "read")

    for t in numbered("back", 3):
        p.peer.send(p.alice.pn, t)
    back = [p.peer.sent(t) for t in numbered("back", 3)]
    p.alice.wait_texts(numbered("back", 3))
    p.wait_delivered(back)
    check(not p.peer.receipts("read"), "read before it was")
    chat = p.alice.of("message.received")[0]["body"]["message"]["chat"]["id"]
    p.alice.c.call("chat.mark_read", account="alice", chat=chat, message_ids=back)
    wait_until(lambda: p.peer.receipts("read") >= set(back), 30, "read at the peer")


@scenario
def retry(p):
    """a text that arrives damaged is asked for again and read then, once; each way, and the session goes on"""
    p.alice.send(p.pn, "out 0")
    p.wait_peer(["out 0"])
    p.peer.send(p.alice.pn, "back 0")
    p.alice.wait_texts(["back 0"])
    asked = {}
    for name in ("alice", "carol"):
        p.sim.cmd("fault.arm", match={"account": name, "device": 1, "direction": "out", "tag": "message"},
                  action="corrupt", count=1)
        asked[name] = p.sim.cmd("watch", match={"account": name, "device": 1, "direction": "in", "tag": "receipt",
                                                "type": "retry"})["watch"]
    p.alice.send(p.pn, "out 1")
    p.wait_peer(["out 0", "out 1"])
    p.sim.cmd("expect", 30, watch=asked["carol"], count=1, deadline_ms=20000)
    p.peer.send(p.alice.pn, "back 1")
    p.alice.wait_texts(["back 0", "back 1"])
    p.sim.cmd("expect", 30, watch=asked["alice"], count=1, deadline_ms=20000)
    equal(len(p.alice.of("message.undecryptable")), 1, "placeholders at ward")
    for i in range(2, 6):
        p.alice.send(p.pn, "out %d" % i)
        p.wait_peer(numbered("out", i + 1))
        p.peer.send(p.alice.pn, "back %d" % i)
        p.alice.wait_texts(numbered("back", i + 1))
    equal(len(p.alice.of("message.undecryptable")), 1, "placeholders at ward after it")


@scenario
def fan_out(p):
    """every device of both sides has each text once: three of the peer, and another client beside ward and beside it"""
    more = [p.new_peer("carol-%d" % n) for n in (2, 3)]
    for m in more:
        m.link("carol")
    beside = p.new_peer("alice-2")
    beside.link("alice")
    carols = [p.peer] + more
    p.alice.send(p.pn, "from ward")
    for c in carols:
        p.wait_peer(["from ward"], peer=c)
    p.wait_peer(["from ward"], peer=beside, own=True)
    p.peer.send(p.alice.pn, "from the first")
    p.alice.wait_texts(["from the first"])
    p.wait_peer(["from the first"], peer=beside)
    for c in more:
        p.wait_peer(["from the first"], peer=c, own=True)
    beside.send(p.pn, "from beside ward")
    for c in carols:
        p.wait_peer(["from ward", "from beside ward"], peer=c)
    p.alice.wait_texts(["from ward", "from beside ward"], kind="message.sent")
    for name in ("alice", "carol"):
        p.sim.wait_inbox(name, 3, 30)
    p.readable()


@scenario
def lid(p):
    """addressed by LID from both sides: on the wire too, and it is the same chat as by number"""
    p.alice.send(p.lid, "out by LID")
    p.wait_peer(["out by LID"])
    p.alice.send("+" + p.carol["pn"], "out by number")
    p.wait_peer(["out by LID", "out by number"])
    p.peer.send(p.alice.lid, "back by LID")
    p.alice.wait_texts(["back by LID"])
    p.peer.send(p.alice.pn, "back by number")
    p.alice.wait_texts(["back by LID", "back by number"])
    equal(len({m["chat"] for m in p.peer.messages()}), 1, "chats at the peer")
    got = [e["body"]["message"] for e in p.alice.of("message.received")]
    equal(len({m["chat"]["id"] for m in got}), 1, "chats at ward")
    equal({m["sender"]["lid"] for m in got}, {p.lid}, "LID of the sender at ward")
    p.sim.cmd("log.flush")
    with open(os.path.join(p.sim.dir, "stanzas.log")) as f:
        log = f.read()
    for device, to in (("alice:1", p.lid), ("carol:1", p.alice.lid)):
        check(re.search(r" %s <- <message [^>]*to=%s[ >]" % (device, re.escape(to)), log), "LID on the wire from " + device)
    p.readable()


@scenario
def relink(p):
    """either side logs its device out and links another: texts go on both ways, and no text goes to the old one"""
    exchanged(p)
    p.peer.tell(cmd="logout")
    wait_until(lambda: len(p.sim.cmd("device.list", account="carol")["devices"]) == 1 or
               p.device("carol")["phase"] == "gone", 30, "the peer is logged out")
    p.peer.stop()
    anew = p.new_peer("carol-anew")
    anew.link("carol")
    p.alice.send(p.pn, "to the new device")
    p.wait_peer(["to the new device"], peer=anew)
    anew.send(p.alice.pn, "from the new device")
    p.alice.wait_texts(["back", "from the new device"])
    p.alice.c.call("account.unlink", account="alice")
    p.alice.link()
    anew.send(p.alice.pn, "to ward linked anew")
    p.alice.wait_texts(["back", "from the new device", "to ward linked anew"])
    p.alice.send(p.pn, "from ward linked anew")
    p.wait_peer(["to the new device", "from ward linked anew"], peer=anew)
    anew.send(p.alice.pn, "and on")
    p.alice.wait_texts(["back", "from the new device", "to ward linked anew", "and on"])
    equal(p.peer.texts(), ["out"], "texts at the old device of the peer")
    p.readable()


@scenario
def migration(p):
    """a chat under numbers goes over to LIDs when both become known: one session goes on, and all is read"""
    exchanged(p)
    p.peer.send(p.alice.pn, "back again")
    p.alice.wait_texts(["back", "back again"])
    under = lambda: {s["address"] for s in p.alice.c.call("session.list", account="alice", party=p.pn)["sessions"]}
    equal(under(), {"pn"}, "where ward has its session")
    for name in ("alice", "carol"):
        p.sim.cmd("account.set", account=name, lid_hidden=False)
    before = len(p.encs("carol:1"))
    p.alice.send(p.lid, "out by LID")
    p.wait_peer(["out", "out by LID"])
    p.peer.send(p.alice.lid, "back by LID")
    p.alice.wait_texts(["back", "back again", "back by LID"])
    p.alice.send(p.pn, "out by number")
    p.wait_peer(["out", "out by LID", "out by number"])
    p.peer.send(p.alice.pn, "back by number")
    p.alice.wait_texts(["back", "back again", "back by LID", "back by number"])
    equal(under(), {"lid"}, "where ward has its session then")
    equal(p.encs("carol:1")[before:], ["msg", "msg"], "kinds at the peer: the session goes on")
    got = [e["body"]["message"] for e in p.alice.of("message.received")]
    equal(len({m["chat"]["id"] for m in got}), 1, "chats at ward")
    p.readable()


migration.service = {"lid_hidden": True}


@scenario
def both_first(p):
    """both write their first text before either has the other's: both are read, and one session goes on"""
    for name, writer in (("alice", p.lid), ("carol", p.alice.lid)):  # not what their own phones may still send them
        p.sim.cmd("fault.arm", match={"account": name, "device": 1, "direction": "out", "tag": "message",
                                      "from": writer.replace("@", ":1@")}, action="delay", ms=1500, count=1)
    retries = p.sim.cmd("watch", match={"direction": "in", "tag": "receipt", "type": "retry"})["watch"]
    p.peer.send(p.alice.lid, "back 0")
    p.alice.send(p.pn, "out 0")
    p.wait_peer(["out 0"])
    p.alice.wait_texts(["back 0"])
    equal((p.encs("alice:1")[-1], p.encs("carol:1")[-1]), ("pkmsg", "pkmsg"), "kinds of the first")
    for i in range(1, 6):
        p.alice.send(p.pn, "out %d" % i)
        p.wait_peer(numbered("out", i + 1))
        p.peer.send(p.alice.lid, "back %d" % i)
        p.alice.wait_texts(numbered("back", i + 1))
    equal((p.encs("alice:1")[-1], p.encs("carol:1")[-1]), ("msg", "msg"), "kinds at the end")
    equal(len(p.alice.of("message.undecryptable")), p.kind.spoilt, "texts that ward had to ask for again")
    equal(p.sim.cmd("expect", watch=retries, count=1, deadline_ms=0)["count"], p.kind.spoilt, "retries asked")


@scenario
def wrong_chain(p):
    """each flaw of the Noise chain that the client can find keeps it from showing a QR; ward refuses all of them"""
    for what in FLAWS:
        p.sim.cmd("noise.forge", what=what)
        mark = p.ward.log.mark()
        p.alice.c.call("account.link", account="bob", method="qr")
        p.ward.log.wait(r"bob: .*cert_(signature|key_mismatch|issuer)", 30, mark)
        p.alice.c.answer(p.alice.c.send("account.link_cancel", account="bob"))  # it may have ended by itself
        if what in p.kind.forged:
            peer = p.new_peer("under " + what)
            peer.start()
            peer.wait("close")
            peer.stop()
            check(not peer.of("qr"), "a QR in spite of " + what)
    p.sim.cmd("noise.forge", what="none")
    p.ward.link("bob")
    peer.link("carol")
    p.alice.send(p.pn, "the right chain again")
    p.wait_peer(["the right chain again"], peer=peer)


wrong_chain.spare = ("bob",)
