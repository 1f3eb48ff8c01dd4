"""What each write of a unit does to the rows of an account, and what is read of them. Tables are named as they come."""

import struct
import time

from ipc import stored_pb2 as pb

import example_people as people
from example_check import MIB, check
from example_child import Error
from example_rows import packed

DAY = 86400000


def now_ms():
    return int(time.time() * 1000)


def check_unit(m):
    """A STAGE or a UNIT_COMMIT, and the rules that are more than a size."""
    check(m)
    if isinstance(m, pb.Stage):
        for p in m.puts:
            secret, prekey = p.name.domain == pb.MSG_SECRET, p.name.domain == pb.PREKEY
            times = p.HasField("expires_s") or p.HasField("message_s")
            if p.HasField("uploaded") and not prekey or times and not secret:
                raise Error("bad_request", "a field of another domain")
        if any(n.domain != pb.PREKEY for n in m.uploaded) or sum(len(p.sealed) for p in m.puts) > 2 * MIB:
            raise Error("bad_request", "uploaded is for prekeys; a stage has 2 MiB at most")
        return
    for w in m.writes:
        if len(w.ListFields()) != 1 or w.HasField("event") and w.event.body[:1] != b"{":
            raise Error("bad_request", "a write has exactly one field, an event's body is a JSON object")


# ---------------------------------------------------------------- sealed records

def record(rows, name):
    """A record is kept as the RecordPut that it is the sum of."""
    value = rows.get("record", name.domain, name.name)
    return value and pb.RecordPut.FromString(value)


def save_record(rows, r):
    rows.put("record", (r.name.domain, r.name.name), r.SerializeToString(),
             r.expires_s if r.name.domain == pb.MSG_SECRET else None)


def merge_times(r, was, p):
    """Of a message secret: expires_s 0 (never) wins, else the later; an absent time stays as it is stored."""
    if was is None:
        r.expires_s, r.message_s = p.expires_s, p.message_s
        return
    r.expires_s = was.expires_s
    if p.HasField("expires_s"):
        r.expires_s = max(was.expires_s, p.expires_s) if was.expires_s and p.expires_s else 0
    r.message_s = max(was.message_s, p.message_s)


def apply_stage(rows, m):
    for p in m.puts:
        was = record(rows, p.name)
        if p.version != (was.version if was else 0) + 1:
            raise Error("version", "a put")
        r = pb.RecordPut.FromString(p.SerializeToString())
        if was and was.HasField("uploaded") and not p.HasField("uploaded"):
            r.uploaded = was.uploaded
        if p.name.domain == pb.MSG_SECRET:
            merge_times(r, was, p)
        save_record(rows, r)
    for d in m.deletes:
        was = record(rows, d.name)
        if was is None or was.version != d.version:
            raise Error("version", "a delete")
        rows.delete("record", d.name.domain, d.name.name)
    for n in m.uploaded:
        if r := record(rows, n):
            r.uploaded = True
            save_record(rows, r)


def get_records(rows, q):
    out = pb.Records()
    for n in q.names:
        r = record(rows, n)
        out.records.append(pb.Record(version=0) if r is None else pb.Record(
            version=r.version, sealed=r.sealed, message_s=r.message_s if r.HasField("message_s") else None))
    return out


def list_records(rows, q):
    if q.HasField("uploaded") and q.domain != pb.PREKEY:
        raise Error("bad_request", "uploaded is for prekeys only")
    out, size, full = pb.RecordNames(total=0), 0, False
    edge = {side: packed([q.domain]) + getattr(q, field).encode()
            for side, field in (("first", "from"), ("below", "below")) if q.HasField(field)}
    for _, _, value in rows.scan("record", q.domain, down=q.descending, **edge):
        r = pb.RecordPut.FromString(value)
        if q.HasField("uploaded") and r.uploaded != q.uploaded:
            continue
        out.total += 1
        size += len(r.sealed) if q.sealed else 0
        full = full or len(out.records) == q.limit or (size > 2 * MIB and len(out.records) > 0)
        if not full:
            out.records.add(name=r.name.name, version=r.version, uploaded=r.uploaded if q.domain == pb.PREKEY else None,
                            sealed=r.sealed if q.sealed else None)
    return out


def list_names(rows, q):
    """For apid: which records there are, and not what is in them."""
    if q.sealed:
        raise Error("bad_request", "sealed records are keyd's")
    return list_records(rows, q)


# ---------------------------------------------------------------- the outbox

RANKS = {"delivered": b"1", "read": b"2", "played": b"3"}


def outbox_row(rows, table, *key):
    """By "outbox_id" or "outbox_key", which lead to the row."""
    row = rows.get(table, *key)
    return row and pb.OutboxRow.FromString(rows.get("outbox", int(row)))


def save_row(rows, row, added=None):
    if added is None:
        added = next(rows.scan("outbox", row.row))[1]
    rows.put("outbox", (row.row,), row.SerializeToString(), added)
    if row.put.state in (pb.QUEUED, pb.READY):
        rows.put("outbox_waits", (row.row,), b"")
    else:
        rows.delete("outbox_waits", row.row)


def put_outbox(rows, p):
    if rows.get("outbox_key", p.uid, p.idempotency_key):
        raise Error("duplicate", "the key is taken")
    if rows.get("outbox_id", p.message_id):
        raise Error("bad_request", "the message id is taken")
    number = int(rows.get("outbox_last") or 0) + 1
    rows.put("outbox_last", (), b"%d" % number)
    rows.put("outbox_key", (p.uid, p.idempotency_key), b"%d" % number)
    rows.put("outbox_id", (p.message_id,), b"%d" % number)
    save_row(rows, pb.OutboxRow(put=p, row=number), now_ms())


def update_outbox(rows, u):
    row = outbox_row(rows, "outbox_id", u.message_id)
    if row is None:
        return
    for message, fields in (row.put, ("state", "stanza")), (row, ("code", "reason", "server_ms", "until_ms")):
        for field in fields:
            if u.HasField(field):
                setattr(message, field, getattr(u, field))
    if u.devices:
        row.put.devices[:] = u.devices
    save_row(rows, row)


def receipt(rows, m):
    row = outbox_row(rows, "outbox_id", m.message_id)
    if row and m.chats and row.put.chat not in m.chats:
        return
    if row and RANKS[m.status] > (rows.get("receipt", row.row, m.party) or b"")[:1]:
        rows.put("receipt", (row.row, m.party), RANKS[m.status] + m.time_ms.to_bytes(8, "big", signed=True))


def take(rows, message_id):
    row = outbox_row(rows, "outbox_id", message_id)
    if row is None or row.taken:
        raise Error("absent", "nothing is there to be taken")
    row.taken, row.put.content = True, b""
    save_row(rows, row)


def told(rows, row):
    """With what its receipts say."""
    ranks = [value for _, _, value in rows.scan("receipt", row.row)]
    row.delivered, row.read = len(ranks), sum(r[:1] >= RANKS["read"] for r in ranks)
    return row


def with_receipts(rows, row):
    names = {rank: status for status, rank in RANKS.items()}
    marks = [pb.ReceiptMark(message_id="", party=key[8:-1].decode(), status=names[value[:1]],
                            time_ms=int.from_bytes(value[1:], "big", signed=True))
             for key, _, value in rows.scan("receipt", row.row)]
    row.receipts.extend(sorted(marks, key=lambda m: (-m.time_ms, m.party.encode()))[:1024])
    return row


def load_outbox(rows, q):
    out, size = pb.OutboxRows(), 0
    for key, _, _ in rows.scan("outbox_waits", first=(q.after_row + 1).to_bytes(8, "big")):
        row = pb.OutboxRow.FromString(rows.get("outbox", int.from_bytes(key, "big")))
        size += row.ByteSize()
        if len(out.rows) == q.limit or out.rows and size > MIB:
            break
        out.rows.append(told(rows, row))
    return out


def find_outbox(rows, q):
    if q.HasField("message_id"):
        row = outbox_row(rows, "outbox_id", q.message_id)
    elif q.HasField("uid") and q.HasField("idempotency_key"):
        row = outbox_row(rows, "outbox_key", q.uid, q.idempotency_key)
    else:
        raise Error("bad_request", "neither a message id nor uid and key")
    if row and row.put.state in (pb.QUEUED, pb.READY):
        row.ahead = sum(1 for key, _, _ in rows.scan("outbox_waits") if int.from_bytes(key, "big") < row.row)
    if row and q.receipts:
        with_receipts(rows, row)
    return pb.OutboxRows(rows=[told(rows, row)] if row else [])


def count_outbox(rows, q):
    out = pb.OutboxCounts(waiting=0)
    for key, _, _ in rows.scan("outbox_waits"):
        if not out.waiting:
            out.oldest_ms = pb.OutboxRow.FromString(rows.get("outbox", int.from_bytes(key, "big"))).put.created_ms
        out.waiting += 1
    firsts = [pb.Contact.FromString(value) for _, _, value in rows.scan("contact")]
    out.first_out_ms.extend(sorted(c.first_out_ms for c in firsts if c.HasField("first_out_ms")
                                   and c.first_out_ms > q.since_ms)[-4096:])
    return out


# ---------------------------------------------------------------- one write of each kind

def event(store, rows, e, result):
    known = any(rows.get("event_key", k) is not None for k in [*e.unless, *([e.dedup] if e.HasField("dedup") else [])])
    seq = 0 if known else store.next_seq()
    result.seqs.append(seq)
    if known:
        return
    if e.HasField("dedup"):
        rows.put("event_key", (e.dedup,), b"%d" % seq, now_ms())
    kept = pb.Event(seq=seq, account=rows.db, type=e.type, origin=e.origin, time_ms=e.time_ms, body=e.body)
    rows.put("event", (seq,), kept.SerializeToString(), now_ms())


def mark(rows, key):
    if rows.get("event_key", key) is None:
        rows.put("event_key", (key,), b"0", now_ms())


def device(rows):
    return pb.DeviceRecord.FromString(rows.get("device") or b"")


def load_device(rows, q):
    return device(rows)


def merge_device(rows, d):
    was = device(rows)
    was.MergeFrom(d)
    for field in ("routing_info", "nct_salt"):
        if not getattr(was, field):
            was.ClearField(field)  # empty = forget
    rows.put("device", (), was.SerializeToString())


def reset_device(rows, m):
    for tab in ("device", "device_list", "mark", "base_key", "token", "pending", "group", "collection", "mac"):
        rows.clear(tab)


    if m.people:
        for key, _, value in list(rows.scan("contact")):
            rows.put("aside", (key,), value)
        for tab in ("contact", "pn", "lid", "alias"):
            rows.clear(tab)


def is_old(key, below):
    """A record of keyd whose name begins with a generation below that one."""
    domain, name = struct.unpack(">Q", key[:8])[0], key[8:].rstrip(b"\0").decode()
    number = name.split("/")[0]
    return pb.IDENTITY <= domain <= pb.KEYSTATE and "/" in name and number[:1] in "123456789" and int(number) < below


def quarantined(rows, below):
    old = [("record", key) for key, _, _ in rows.scan("record") if is_old(key, below)]
    return old, [("aside", key) for key, _, _ in rows.scan("aside")]


def quarantine(rows, q):
    records, contacts = quarantined(rows, q.below)
    return pb.QuarantineState(records=len(records), contacts=len(contacts))


def purge(rows, m, result):
    records, contacts = quarantined(rows, m.below)
    gone = (records + contacts)[:m.max]
    for tab, key in gone:
        rows.delete(tab, key)
    result.expired += len(gone)


def put_collection(rows, c):
    rows.put("collection", (c.name,), c.SerializeToString())  # a CollectionPut reads as a Collection


def delete_collection(rows, name):
    rows.delete("collection", name)
    rows.clear("mac", name)


def put_macs(rows, m):
    for mac in m.macs:
        rows.put("mac", (m.collection, mac.index), mac.value)


def delete_macs(rows, m):
    for index in m.indexes:
        rows.delete("mac", m.collection, index)


def mark_devices(rows, m):
    for d in m.devices:
        rows.put("mark", (m.group, d.device), b"1" if d.has_key else b"")


def drop_devices(rows, m):
    gone = {d.encode() for d in m.devices}
    for key, _, _ in list(rows.scan("mark")):
        if key.split(b"\0")[1] in gone:
            rows.delete("mark", key)


def delete_group(rows, group):
    rows.delete("group", group)
    rows.clear("mark", group)


def token(rows, user):
    value = rows.get("token", user)
    return value and pb.Token.FromString(value)


def put_token(rows, t):
    rows.put("token", (t.user,), t.SerializeToString())


def receive_token(rows, t):
    was = token(rows, t.user) or pb.Token(user=t.user)
    if not was.token or was.token_s <= t.token_s:
        was.token, was.token_s = t.token, t.token_s
        put_token(rows, was)


def touch_token(rows, t):
    was = token(rows, t.user) or pb.Token(user=t.user, token=b"", token_s=t.sender_s)
    was.sender_s = max(was.sender_s, t.sender_s)
    put_token(rows, was)


def expire_tokens(store, rows, cut, result):
    for key, _, value in list(rows.scan("token")):
        t = pb.Token.FromString(value)
        old = not t.token or t.token_s < cut.token_cutoff_s
        if old and (not t.HasField("sender_s") or t.sender_s < cut.sender_cutoff_s):
            rows.delete("token", key)
            result.expired += 1
    result.expired += 0  # said even if none went


def put_pending(rows, p):
    """One that is put again keeps the age of its first time."""
    was = rows.scan("pending", *names(p.name)).fetchone()
    time = was[1] if was else (1 << 63) - 1 if p.held else now_ms()
    p.ClearField("held")
    rows.put("pending", names(p.name), p.SerializeToString(), time)


def names(n):
    return (n.chat, n.sender, n.id) if isinstance(n, pb.MessageName) else (n.address, n.message_id)


WRITES = {
    "outbox_put": put_outbox, "outbox_update": update_outbox, "receipt": receipt, "sent_take": take, "mark": mark,
    "device": merge_device, "device_reset": reset_device, "contact": people.put_contact,
    "device_list": lambda rows, m: rows.put("device_list", (m.user,), m.SerializeToString(), now_ms()),
    "device_list_drop": lambda rows, m: rows.delete("device_list", m.user),
    "collection_put": put_collection, "collection_delete": delete_collection, "macs_put": put_macs,
    "macs_delete": delete_macs, "macs_clear": lambda rows, name: rows.clear("mac", name),
    "sender_key_status": mark_devices, "sender_key_clear": lambda rows, group: rows.clear("mark", group),
    "sender_key_drop": drop_devices, "sender_key_clear_all": lambda rows, _: rows.clear("mark"),
    "group_put": lambda rows, m: rows.put("group", (m.group,), m.SerializeToString()), "group_delete": delete_group,
    "base_key_put": lambda rows, m: rows.put("base_key", names(m.name), m.key, now_ms()),
    "base_key_delete": lambda rows, n: rows.delete("base_key", *names(n)),
    "token_put": put_token, "token_delete": lambda rows, user: rows.delete("token", user),
    "token_received": receive_token, "token_touch": touch_token,
    "pending_put": put_pending,
    "pending_delete": lambda rows, n: rows.delete("pending", *names(n)),
    "restored_done": lambda rows, _: None,  # this store makes no backups
}


def apply_write(store, rows, w, result):
    (field, value), = w.ListFields()
    if field.name == "event":
        event(store, rows, value, result)
    elif field.name == "token_expire":
        expire_tokens(store, rows, value, result)
    elif field.name == "quarantine_purge":
        purge(rows, value, result)
    else:
        WRITES[field.name](rows, value)


# ---------------------------------------------------------------- reading

def group(rows, jid):
    out = pb.Group.FromString(rows.get("group", jid) or b"") if rows.get("group", jid) else pb.Group(group=jid)
    for key, _, value in rows.scan("mark", jid):
        out.devices.add(device=key.split(b"\0")[1].decode(), has_key=bool(value))
    return out


def lookup(rows, q):
    if sum(len(m.indexes) for m in q.macs) > 16384:
        raise Error("bad_request", "too many MACs")
    out = pb.LookupReply(peers=[people.peer(rows, j) for j in q.jids], groups=[group(rows, g) for g in q.groups])
    for name in q.collections:
        out.collections.append(pb.Collection.FromString(rows.get("collection", name) or b"")
                               if rows.get("collection", name) else pb.Collection(name=name, version=0))
    for m in q.macs:
        out.macs.add(values=[rows.get("mac", m.collection, index) or b"" for index in m.indexes])
    out.same_base_key.extend(rows.get("base_key", *names(k.name)) == k.key for k in q.base_keys)
    out.tokens.extend(token(rows, user) or pb.Token(user=user, token=b"", token_s=0) for user in q.tokens)
    for n in q.pending:
        value = rows.get("pending", *names(n))
        out.pending.append(pb.Pending.FromString(value) if value else pb.Pending(name=n, stanza=b""))
    if sum(len(p.stanza) for p in out.pending) > 4 * MIB:
        raise Error("bad_request", "more than 4 MiB of pending stanzas")
    return out


TABLES = {pb.CONTACTS: "contact", pb.DEVICE_LISTS: "device_list", pb.GROUPS: "group", pb.COLLECTIONS: "collection",
          pb.TOKENS: "token", pb.PENDINGS: "pending"}


def scan(rows, q):
    """`next` is the last key in hex."""
    out, size, last = pb.ScanReply(), 0, None
    found = getattr(out, TABLES[q.table] + "s")
    try:
        first = bytes.fromhex(q.after) + b"\0" if q.HasField("after") else None
    except ValueError:
        raise Error("bad_request", "after is not one of ours")
    for key, _, value in rows.scan(TABLES[q.table], first=first):
        size += len(value)
        if len(found) == q.limit or last is not None and size > MIB:
            out.next = last.hex()
            break
        found.add().ParseFromString(value)
        last = key
    return out


# ---------------------------------------------------------------- what goes by its age

def expire(rows, now, keep_sent, keep_pending):
    rows.expire("record", now // 1000 + 1, after=0)  # message secrets have their time there
    rows.expire("device_list", now - 180 * DAY)
    rows.expire("base_key", now - keep_sent)
    rows.expire("pending", now - keep_pending)
    for key, added, value in list(rows.scan("outbox")):
        if added >= now - min(keep_sent, 7 * DAY):
            break  # in the order of time
        row = pb.OutboxRow.FromString(value)
        if row.put.idempotency_key and added < now - 7 * DAY:
            rows.delete("outbox_key", row.put.uid, row.put.idempotency_key)
            row.put.idempotency_key = ""
            save_row(rows, row)
        if row.put.state in (pb.ACKED, pb.FAILED) and added < now - keep_sent:
            rows.delete("outbox", row.row)
            rows.delete("outbox_id", row.put.message_id)
            rows.clear("receipt", row.row)
    for key, _, value in list(rows.scan("event_key")):
        if int(value) == 0 or rows.get("event", int(value)) is None:
            rows.run("DELETE FROM row WHERE db = ? AND tab = 'event_key' AND key = ? AND at < ?",
                             (rows.db, key, now - 30 * DAY))
