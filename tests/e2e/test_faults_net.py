"""Faults of the network and of the service: frames, stanzas, streams, logins, TLS and proxies that go wrong."""

import base64
import json
import os
import socket
import subprocess
import threading

from harness import World, check, equal, main, test, wait_until
from test_chain import follow, texts, wait_texts
from test_faults import linked_world, send_in

TO_ALICE = {"account": "alice", "device": 1, "direction": "out"}
FROM_ALICE = {"account": "alice", "device": 1, "direction": "in"}
QUICK = {"network": {"keepalive_min": "300ms", "keepalive_max": "500ms", "keepalive_deadline": "700ms"}}


def metric(c, name):
    return c.call("server.metrics")["counters"][name]


def accepted(w):
    return w.sim.cmd("stats")["connections"]["accepted"]


def drop(w):
    w.sim.cmd("device.drop", account="alice", device=1)


def wait_state(c, state, start=0, **body):
    return c.wait_type("account.state", state=state, start=start, **body)


def linked(w, **kw):
    """As linked_world, with all that happened up to now read: what comes later is new."""
    ward, c = linked_world(w, **kw)
    wait_state(c, "online")
    return ward, c


def online_again(w, c, mark):
    """After the event at index mark the account is online, and a text arrives."""
    wait_state(c, "online", mark)
    n = len(texts(c))
    send_in(w, "after")
    wait_texts(c, n + 1)


# ---------------------------------------------------------------- stanzas and frames

@test
def malformed_message():
    """a message whose stanza does not decode is an event with its bytes, then nacked; once, and the next is read"""
    with World() as w:
        ward, c = linked(w)
        send_in(w, "one")
        wait_texts(c, 1)
        nacks = w.sim.cmd("watch", match=dict(FROM_ALICE, tag="ack", **{"class": "message"}))
        w.sim.cmd("fault.arm", match=dict(TO_ALICE, tag="message"), action="frame_cut", count=1)
        lost = send_in(w, "two")[0]
        e = c.wait_type("message.undecryptable", message_id=lost)
        b = e["body"]
        equal(b["reason"], "malformed_stanza", "reason")
        check(b.get("error"), "says what is wrong", b)
        check(b["sender"].get("id", "").startswith("u_"), "sender", b)
        check(len(base64.b64decode(b["raw_b64"])) > 50, "bytes", b)
        w.sim.cmd("expect", 30, watch=nacks["watch"], deadline_ms=20000)
        wait_until(lambda: w.sim.cmd("device.queue", account="alice", device=1)["queued"] == 0, 20, "off the queue")
        send_in(w, "three")
        wait_texts(c, 2)
        drop(w)
        send_in(w, "four")
        wait_texts(c, 3)
        equal(texts(c), ["one", "three", "four"], "texts")
        equal(len([x for x in c.events if x.get("event", {}).get("type") == "message.undecryptable"]), 1, "once")


@test
def malformed_stanzas_are_kept():
    """other stanzas that do not decode are server.notice with their bytes, counted, and nothing else happens"""
    with World() as w:
        ward, c = linked(w)
        before, connects = metric(c, "stanzas_undecodable"), accepted(w)
        bad = ["00f80100", "00f80251ff01c1"]
        for hexa in bad:
            w.sim.cmd("raw.send", account="alice", device=1, hex=hexa)
            c.wait_event(lambda e: e.get("type") == "server.notice" and e["body"]["kind"] == "undecodable"
                         and base64.b64decode(e["body"]["raw_b64"]).hex() == hexa and e["body"]["error"])
        equal(metric(c, "stanzas_undecodable"), before + len(bad), "counted")
        equal(accepted(w), connects, "the connection went on")


@test
def replayed_and_reordered_frames():
    """a frame that comes twice, or behind the next one, does not authenticate: a new connection, nothing lost"""
    with World() as w:
        ward, c = linked(w, extra=QUICK)
        n = 0
        for what in ("repeat", "swap"):
            log, connects, mark = ward.log.mark(), accepted(w), len(c.events)
            w.sim.cmd("fault.arm", match=dict(TO_ALICE, tag="message"), action="frame_" + what, count=1)
            send_in(w, what + " 1")
            send_in(w, what + " 2")
            n += 2
            ward.log.wait(r"netd.*authenticat|netd.*noise|netd.*decrypt", 30, log)
            wait_texts(c, n)
            check(accepted(w) > connects, "a new connection after", what)
            wait_state(c, "online", mark)
        equal(sorted(texts(c)), sorted("%s %d" % (t, i) for t in ("repeat", "swap") for i in (1, 2)), "each once")


@test
def big_stanzas():
    """stanzas of 1 and of nearly 16 MiB are taken, kept in bounded parts, and the next message is read"""
    with World() as w:
        ward, c = linked(w)
        connects = accepted(w)
        for size in (1 << 20, (16 << 20) - 64):
            mark = len(c.events)
            head = b"\0\xf8\x02\xfc\x03odd\xfe" + (size - 12).to_bytes(4, "big")
            w.sim.cmd("raw.send", account="alice", device=1, hex=head.hex(), fill=size - 12)
            e = c.wait_event(lambda e: e.get("type") == "server.notice" and e["body"].get("tag") == "odd", start=mark)
            check(e["body"]["raw_parts"] <= 32, "bounded parts", e["body"]["raw_parts"])
        send_in(w, "still here")
        wait_texts(c, 1)
        equal(accepted(w), connects, "the connection went on")


# ---------------------------------------------------------------- streams

@test
def stream_errors():
    """515 and 503 in mid-session, the end of the stream, and other codes: named, and connected again"""
    rows = [({"code": 515}, "restart_required"), ({"code": 503}, "unavailable"), ({"code": 500}, "server_error"),
            ({"code": 999}, "stream_error")]
    with World() as w:
        ward, c = linked(w)
        for params, reason in rows:
            mark = len(c.events)
            w.sim.cmd("stream.error", account="alice", device=1, **params)
            c.wait_event(lambda e: e.get("type") == "account.state" and e["body"]["reason"] == reason, start=mark)
            online_again(w, c, mark)
        mark = len(c.events)
        w.sim.cmd("stream.error", account="alice", device=1, code=503, close=False)
        wait_state(c, "backoff", mark, reason="unavailable")
        online_again(w, c, mark)  # the service did not close: we do
        mark = len(c.events)
        w.sim.cmd("stream.end", account="alice", device=1)
        online_again(w, c, mark)


@test
def success_twice():
    """a second <success> changes nothing: one login, and messages go on"""
    with World() as w:
        ward, c = linked(w)
        mark, connects = len(c.events), accepted(w)
        w.sim.cmd("fault.arm", match=dict(TO_ALICE, tag="success"), action="duplicate", count=1)
        drop(w)
        online_again(w, c, mark)
        send_in(w, "more")
        wait_texts(c, 2)
        equal(accepted(w), connects + 1, "connections")
        states = [e["event"]["body"]["state"] for e in c.events[mark:] if e.get("event", {}).get("type") == "account.state"]
        equal(states.count("online"), 1, "online once")


@test
def pings():
    """the service's ping is answered; when ours is not, the connection is made anew and nothing is lost"""
    with World() as w:
        ward, c = linked(w, extra=QUICK)
        seen = w.sim.cmd("watch", match=dict(FROM_ALICE, tag="iq", type="result"))
        w.sim.cmd("server.ping", account="alice", device=1)
        w.sim.cmd("expect", 30, watch=seen["watch"], deadline_ms=10000)
        mark, log = len(c.events), ward.log.mark()
        w.sim.cmd("conn.freeze", account="alice", device=1, ms=0)
        send_in(w, "into the ice")
        ward.log.wait(r"keepalive", 20, log)
        wait_state(c, "online", mark)
        wait_texts(c, 1)


# ---------------------------------------------------------------- logins

@test
def removed_while_offline():
    """a device that was removed while the service was down learns it at the next login, and can be linked anew"""
    with World() as w:
        ward, c = linked(w)
        ward.stop()
        w.sim.cmd("phone.unlink", account="alice", device=1)
        ward.start()
        c = follow(ward, "alice", "again")
        e = c.wait_type("account.unlinked")
        equal(e["body"]["on_connect"], True, "found out when connecting")
        s = c.call("account.state", account="alice")
        equal((s["state"], s["user_action"]), ("logged_out", "relink"), "state")
        err = c.error("message.send", account="alice", to="+15550001111", text="x", idempotency_key="1")
        equal((err["code"], err["data"]["reason"]), (-7, "logged_out"), "send")
        connects = accepted(w)
        ward.stop()
        ward.start()
        equal(ward.client().call("account.state", account="alice")["state"], "logged_out", "after a restart")
        equal(accepted(w), connects, "it does not knock again")
        ward.link("alice")
        c = follow(ward, "alice", "anew")
        n = len(texts(c))
        send_in(w, "linked again")
        wait_texts(c, n + 1)


@test
def refused_connections():
    """a service that refuses TCP, TLS or the upgrade: each named, then connected when it takes us again"""
    rows = (({"what": "tcp"}, r"alice.*closed: (connect|network|tls|peer_closed)"),
            ({"what": "tls"}, r"alice.*closed: (tls|network|peer_closed)"),
            ({"what": "upgrade", "status": 503}, r"alice.*closed: (websocket|upgrade|http).*503"))
    with World() as w:
        ward, c = linked(w)
        for n, (params, reason) in enumerate(rows, 1):
            mark, log = len(c.events), ward.log.mark()
            # the refusal is for everybody, this client as well: what ends the connection is asked for before
            w.sim.cmd("fault.arm", match=dict(TO_ALICE, tag="message"), action="close", after=1, count=1)
            send_in(w, params["what"], count=2, gap_ms=400)
            w.sim.cmd("net.refuse", count=1, **params)
            ward.log.wait(r"netd.*" + reason, 20, log)
            wait_state(c, "backoff", mark)
            wait_state(c, "online", mark)
            wait_texts(c, 2 * n)


@test
def prekeys_run_low():
    """when one-time keys run low new ones are uploaded, and a stranger's first message is read"""
    with World() as w:
        ward, c = linked(w)
        left = lambda: w.sim.cmd("device.list", account="alice")["devices"][1]["prekeys"]
        had = left()
        check(had > 100, "keys after linking", had)
        w.sim.cmd("prekeys.drain", account="alice", device=1, keep=3)
        wait_until(lambda: left() > 100, 30, lambda: "new keys, are %d" % left())
        send_in(w, "first")
        wait_texts(c, 1)


@test
def unanswered_iqs_at_login():
    """whichever answer to an iq of the login is lost, the account is online again, and messages come"""
    with World() as w:
        ward, c = linked(w, extra=QUICK)
        for nth in range(4):
            mark = len(c.events)
            w.sim.cmd("fault.clear")
            w.sim.cmd("fault.arm", match=dict(TO_ALICE, tag="iq", type="result"), action="drop", after=nth, count=1)
            drop(w)
            wait_state(c, "online", mark, seconds=90)
            n = len(texts(c))
            send_in(w, "after %d" % nth)
            wait_texts(c, n + 1)
        w.sim.cmd("fault.clear")


# ---------------------------------------------------------------- TLS

def openssl(*args):
    subprocess.run(["openssl"] + list(args), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@test
def wrong_ca():
    """a certificate of another authority is refused by name, again and again, and nothing is sent to it"""
    with World() as w:
        other = os.path.join(w.folder, "other.pem")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", "/CN=other", "-keyout", os.path.join(w.folder, "other.key"), "-out", other)
        ward, c = linked(w)
        ward.stop()
        before = w.sim.cmd("stats")["connections"]
        ward.settings["network"]["ca_file"] = other
        ward.start()
        log = ward.log.mark()
        c = follow(ward, "alice", "again", "latest")
        ward.log.wait(r"netd.*alice.*\btls\b.*(certificate|issuer)", 20)
        mark = len(c.events)
        wait_state(c, "backoff", mark, reason="tls")
        ward.log.wait(r"netd.*alice.*\btls\b", 20, log)
        after = w.sim.cmd("stats")["connections"]
        equal((after["accepted"], after["handshakes"]), (before["accepted"], before["handshakes"]), "nothing got through")
        ward.stop()
        ward.settings["network"]["ca_file"] = w.sim.ca
        ward.start()
        send_in(w, "good again")
        wait_texts(follow(ward, "alice", "third"), 1)


# ---------------------------------------------------------------- proxies

class Proxy(threading.Thread):
    """A SOCKS5 or HTTP CONNECT proxy on 127.0.0.1; whatever name it is asked for, it connects to the service."""

    def __init__(self, kind, service):
        super().__init__(daemon=True)
        self.kind, self.service, self.refuse, self.asked = kind, service, False, []
        self.sock = socket.socket()
        self.sock.bind(("127.0.0.1", 0))
        self.sock.listen(16)
        self.port = self.sock.getsockname()[1]
        self.open = []
        self.start()

    def run(self):
        while True:
            try:
                s = self.sock.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def read(self, s, n):
        got = b""
        while len(got) < n:
            part = s.recv(n - len(got))
            if not part:
                raise OSError("closed")
            got += part
        return got

    def greet_socks(self, s):
        ver, n = self.read(s, 2)
        self.read(s, n)
        s.sendall(b"\x05\x00")
        ver, cmd, _, kind = self.read(s, 4)
        host = self.read(s, self.read(s, 1)[0]).decode() if kind == 3 else socket.inet_ntoa(self.read(s, 4))
        port = int.from_bytes(self.read(s, 2), "big")
        self.asked.append((host, port))
        s.sendall(b"\x05" + (b"\x02" if self.refuse else b"\x00") + b"\x00\x01" + b"\0" * 6)

    def greet_http(self, s):
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.read(s, 1)
        verb, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        host, port = target.rsplit(":", 1)
        self.asked.append((host, int(port)))
        s.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n" if self.refuse or verb != "CONNECT"
                  else b"HTTP/1.1 200 Connection established\r\n\r\n")

    def serve(self, s):
        try:
            (self.greet_socks if self.kind == "socks5h" else self.greet_http)(s)
            if self.refuse:
                s.close()
                return
            out = socket.create_connection(("127.0.0.1", self.service))
        except (OSError, ValueError):
            s.close()
            return
        self.open += [s, out]
        threading.Thread(target=self.pump, args=(s, out), daemon=True).start()
        self.pump(out, s)

    @staticmethod
    def pump(a, b):
        try:
            while True:
                data = a.recv(65536)
                if not data:
                    break
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        for s in self.open:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.open = []


def through_proxy(kind):
    with World() as w:
        w.sim.account("bob")
        p = Proxy(kind, w.sim.port)
        # the proxy is asked for the name; nobody here resolves it
        url = "wss://web.whatsapp.com:%d/ws/chat" % w.sim.port
        ward = w.ward("alice", extra={"network": {"proxy": "%s://127.0.0.1:%d" % (kind, p.port), "url": url}})
        ward.link("alice")
        c = follow(ward, "alice")
        send_in(w, "through")
        wait_texts(c, 1)
        equal(set(p.asked), {("web.whatsapp.com", w.sim.port)}, "asked for")
        mark = len(c.events)
        p.cut()
        online_again(w, c, mark)
        mark, log = len(c.events), ward.log.mark()
        p.refuse = True
        p.cut()
        ward.log.wait(r"netd.*alice.*\bproxy\b", 20, log)
        wait_state(c, "backoff", mark, reason="proxy")
        p.refuse = False
        online_again(w, c, mark)
        p.sock.close()


@test
def socks_proxy():
    """through a SOCKS5 proxy: links, receives, comes back after a cut, names a refusal, comes back after it"""
    through_proxy("socks5h")


@test
def http_proxy():
    """through an HTTP CONNECT proxy the same"""
    through_proxy("http")


@test
def wrong_host_name():
    """a certificate of a right authority for another name is refused by name, and nothing is sent to it"""
    with World() as w:
        p = Proxy("socks5h", w.sim.port)
        before = accepted(w)
        ward = w.ward("alice", extra={"network": {"proxy": "socks5h://127.0.0.1:%d" % p.port,
                                                  "url": "wss://other.example:%d/ws/chat" % w.sim.port}})
        c = follow(ward, "alice")
        c.call("account.link", account="alice", method="qr")
        ward.log.wait(r"netd.*alice.*\btls\b.*(name|certificate|match)", 20)
        equal((p.asked[0][0], accepted(w)), ("other.example", before), "nothing got through")


@test
def no_proxy_no_way_around():
    """a proxy that is not there: named, and no direct connection is made in its place"""
    with World() as w:
        before = accepted(w)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        ward = w.ward("alice", extra={"network": {"proxy": "socks5h://127.0.0.1:%d" % port}})
        c = follow(ward, "alice")
        c.call("account.link", account="alice", method="qr")
        ward.log.wait(r"netd.*alice.*\bproxy\b", 20)
        equal(accepted(w), before, "no connection around the proxy")


if __name__ == "__main__":
    main()
