"""One of everything that a store keeps: a unit with every kind of record and write, and all of a store read back."""

from rig import delete, name, pb

TABLES = [pb.CONTACTS, pb.DEVICE_LISTS, pb.GROUPS, pb.COLLECTIONS, pb.TOKENS, pb.PENDINGS]
DOMAINS = [pb.DEVICE, pb.IDENTITY, pb.SESSION, pb.PREKEY, pb.SIGNED_PREKEY, pb.SENDER_KEY, pb.APPSTATE_KEY, pb.KEYSTATE,
           pb.MSG_SECRET]


def filled(text, size):
    """Bytes of that size made of the text."""
    data = text.encode()
    return (data * (size // len(data) + 1))[:size]


class Sample:
    """Keeps `tag` in every text and bytes field that takes one; two samples of different tags share no key."""

    def __init__(self, tag):
        t = self.tag = tag
        self.contact = "u_" + (t.lower() + "abcdefghijklmnopqrstuvwxyz")[:26]
        self.pn, self.lid = "pn" + t, "lid" + t
        self.user = self.pn + "@s.whatsapp.net"
        self.lid_user = self.lid + "@lid"
        self.group = "group" + t + "@g.us"
        self.device = self.pn + ":3@s.whatsapp.net"
        self.message, self.key = "message-" + t, "key-" + t
        self.collection = "collection_" + t
        self.mac = filled("mac-index-" + t, 32)
        self.base_key = pb.BaseKey(name=pb.BaseKeyName(address="address-" + t, message_id="retry-" + t),
                                   key=filled("base-key-" + t, 33))
        self.pending = pb.MessageName(chat="chat" + t, sender="sender" + t, id="pending-" + t)
        self.records = [name(d, "name-%d-%s" % (d, t)) for d in DOMAINS]

    def puts(self, version=1, size=200):
        out = [pb.RecordPut(name=n, version=version, sealed=filled("sealed-%d-%s" % (version, self.tag), size))
               for n in self.records]
        out[DOMAINS.index(pb.PREKEY)].uploaded = False
        out[DOMAINS.index(pb.MSG_SECRET)].expires_s = 0
        out[DOMAINS.index(pb.MSG_SECRET)].message_s = 1000 + version
        return out

    def deletes(self, version):
        return [delete(n.domain, n.name, version) for n in self.records]

    def event(self):
        return pb.Write(event=pb.EventAppend(type="message.received", origin="live", time_ms=5, dedup="dedup-" + self.tag,
                                             unless=["unless-" + self.tag], body=b'{"text":"%s"}' % self.tag.encode()))

    def outbox(self, message=None, key=None):
        t = self.tag
        return pb.Write(outbox_put=pb.OutboxPut(
            message_id=message or self.message, chat=self.user, uid=1000, idempotency_key=key or self.key,
            params_hash=filled("params-" + t, 32), content=filled("content-" + t, 300), state=pb.READY,
            stanza=filled("stanza-" + t, 200), created_ms=7, was_online=True, not_after_ms=99, devices=[self.device]))

    def writes(self):
        """Every kind of write that puts something; one event and one outbox row."""
        t, W = self.tag, pb.Write
        return [
            self.event(), W(mark="mark-" + t), self.outbox(),
            W(outbox_update=pb.OutboxUpdate(message_id=self.message, code=200, reason="reason-" + t, server_ms=8, until_ms=15,
                                             stanza=filled("again-" + t, 210), devices=[self.device])),
            W(receipt=pb.ReceiptMark(message_id=self.message, party="party" + t, status="read", time_ms=9, chats=[self.user])),
            W(device=pb.DeviceRecord(
                jid="jid" + t, lid="lid" + t, push_name="push-" + t, business_name="business-" + t, platform="android",
                routing_info=filled("routing-" + t, 60), state="state-" + t, state_reason="why-" + t, app_version="2.3000." + t,
                props_hash="props-" + t, props="values-" + t, nct_salt=filled("salt-" + t, 32), client_expires_version="ver" + t, restrictions="lock-" + t, outbox_holds="holds-" + t, paused=True,
                login_counter=3, linked_ms=4)),
            W(contact=pb.Contact(id=self.contact, pn=self.pn, lid=self.lid, push_name="push-" + t, lid_source="usync",
                                 first_out_ms=16, met_ms=17)),
            W(device_list=pb.DeviceList(user=self.user, timestamp=11, raw_id=12, phash="phash-" + t,
                                        devices=[pb.Device(id=0), pb.Device(id=3, key_index=2, hosted=True)])),
            W(device_list=pb.DeviceList(user=self.lid_user, devices=[pb.Device(id=0)])),
            W(collection_put=pb.CollectionPut(name=self.collection, version=4, hash=filled("lthash-" + t, 128))),
            W(macs_put=pb.MacsPut(collection=self.collection, version=4,
                                  macs=[pb.Mac(index=self.mac, value=filled("mac-value-" + t, 32))])),
            W(sender_key_status=pb.SenderKeyStatus(group=self.group, devices=[
                pb.SenderKeyDevice(device=self.device, has_key=True)])),
            W(group_put=pb.GroupPut(group=self.group, metadata=filled("metadata-" + t, 400))),
            W(base_key_put=self.base_key),
            W(token_put=pb.Token(user=self.lid_user, token=filled("token-" + t, 40), token_s=13, sender_s=14)),
            W(pending_put=pb.Pending(name=self.pending, stanza=filled("pending-stanza-" + t, 300), attempts=1)),
        ]

    def lookup(self, account):
        return pb.Lookup(account=account, jids=[self.user, self.lid_user, self.contact], groups=[self.group],
                         collections=[self.collection], macs=[pb.MacsOf(collection=self.collection, indexes=[self.mac])],
                         base_keys=[self.base_key], tokens=[self.lid_user], pending=[self.pending])


def scan(store, account, table, limit=1000):
    """The pages of a table, as one ScanReply."""
    out, after = pb.ScanReply(), None
    while True:
        page = store.apid.ask(pb.SCAN, pb.Scan(account=account, table=table, after=after, limit=limit))
        after = page.next if page.HasField("next") else None
        page.ClearField("next")
        out.MergeFrom(page)
        if after is None:
            return out


def events(store, after=0, accounts=()):
    """All events behind that seq."""
    out = []
    while True:
        got = store.apid.ask(pb.EVENTS_READ, pb.EventsRead(after_seq=after, limit=1000, max_bytes=1 << 20, accounts=accounts))
        out += got.events
        if got.scanned_seq >= got.last_seq:
            return out
        after = got.scanned_seq


def outbox_load(store, account, after=0):
    out = []
    while True:
        rows = store.apid.ask(pb.OUTBOX_LOAD, pb.OutboxLoad(account=account, after_row=after, limit=1000)).rows
        if not rows:
            return out
        out += rows
        after = rows[-1].row


def dump_account(store, account, samples=()):
    """All that the contract lets one read of an account, as (what, message)."""
    out = []
    for d in DOMAINS:
        at = None
        while True:
            page = store.keyd.ask(pb.RECORDS_LIST, pb.RecordsList(account=account, domain=d, limit=1024, sealed=True,
                                                                  **({"from": at} if at else {})))
            out.append(("records %d from %s" % (d, at), page))
            if not page.records or len(page.records) == page.total:
                break
            at = page.records[-1].name + "\x01"
    out.append(("device", store.apid.ask(pb.DEVICE_LOAD, pb.DeviceLoad(account=account))))
    for t in TABLES:
        out.append(("table %d" % t, scan(store, account, t)))
    out.append(("counts", store.apid.ask(pb.OUTBOX_COUNT, pb.OutboxCount(account=account, since_ms=0))))
    out.append(("quarantine", store.apid.ask(pb.QUARANTINE, pb.Quarantine(account=account, below=1 << 31))))
    out.append(("pending rows", pb.OutboxRows(rows=outbox_load(store, account))))
    for s in samples:
        out.append(("lookup " + s.tag, store.apid.ask(pb.LOOKUP, s.lookup(account))))
        out.append(("row " + s.tag, store.apid.ask(pb.OUTBOX_FIND, pb.OutboxFind(account=account, message_id=s.message))))
        out.append(("secret " + s.tag, store.keyd.ask(pb.RECORDS_GET, pb.RecordsGet(
            account=account, names=s.records))))
    return out


def dump(store, samples=()):
    """All of a store; equal dumps are equal stores."""
    out = [(a + ": " + what, m) for a in store.accounts for what, m in dump_account(store, a, samples)]
    out.append(("events", pb.Events(events=events(store), scanned_seq=0, last_seq=0, first_seq=0)))
    consumers = store.apid.ask(pb.CONSUMER_LIST, pb.ConsumerList())
    for c in consumers.consumers:
        c.lag = 0  # about
    consumers.consumers.sort(key=lambda c: (c.uid, c.name))
    out.append(("consumers", consumers))
    return out


def difference(a, b):
    """The first place where two dumps differ, for people; None if they are equal."""
    for (what, x), (_, y) in zip(a, b):
        if x != y:
            return "%s:\n--- was\n%s\n--- is\n%s" % (what, str(x)[:1500], str(y)[:1500])
    return None if len(a) == len(b) else "one has more to read than the other"
