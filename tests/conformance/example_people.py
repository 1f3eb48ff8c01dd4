"""People in the example: how their phone number and LID find together. The rules are in stored/STORE.md."""

import time

from ipc import stored_pb2 as pb


def contact(rows, table, key):
    """By "contact" (its id), or by "alias", "pn" or "lid" (which lead to the id)."""
    if key and table != "contact":
        key = (rows.get(table, key) or b"").decode()
    value = rows.get("contact", key) if key else None
    return value and pb.Contact.FromString(value)


def by_id(rows, key):
    return contact(rows, "contact", key) or contact(rows, "alias", key)


def save_contact(rows, c):
    was = contact(rows, "contact", c.id) or pb.Contact()
    for table in ("pn", "lid"):
        old, new = getattr(was, table), getattr(c, table)
        if old and old != new and rows.get(table, old) == c.id.encode():
            rows.delete(table, old)
        if new:
            rows.put(table, (new,), c.id.encode())
    rows.put("contact", (c.id,), c.SerializeToString())


def take_earliest(into, c):
    for field in ("first_out_ms", "met_ms"):
        if c.HasField(field) and (not into.HasField(field) or getattr(c, field) < getattr(into, field)):
            setattr(into, field, getattr(c, field))


def merge(rows, c, into):
    """The same person all along: what only it knows goes over, and its ids find the other one."""
    for field in ("pn", "push_name"):
        if c.HasField(field) and not into.HasField(field):
            setattr(into, field, getattr(c, field))
    into.created_ms = min(into.created_ms, c.created_ms)
    take_earliest(into, c)
    rows.delete("contact", c.id)
    rows.delete("pn", c.pn)
    for key, _, value in list(rows.scan("alias")):
        if value == c.id.encode():
            rows.put("alias", (key,), into.id.encode())
    rows.put("alias", (c.id,), into.id.encode())


def put_contact(rows, c):
    """What it says of its PN and LID is newer than what is stored. A number changes hands, a LID does not."""
    lid = lambda p: p is not None and p.HasField("lid")  # noqa: E731
    same, own, of_pn = by_id(rows, c.id), contact(rows, "lid", c.lid), contact(rows, "pn", c.pn)
    if own is None and not lid(c) and lid(of_pn) and not lid(same):
        own = of_pn
    target = own or same or (of_pn if of_pn and not (lid(of_pn) and lid(c)) else None)
    target = target or pb.Contact(id=c.id, created_ms=int(time.time() * 1000))
    for other in (same, of_pn):
        if other is None or other.id == target.id or rows.get("contact", other.id) is None:
            continue
        if not lid(other):
            merge(rows, other, target)
        elif of_pn and other.id == of_pn.id:
            other.ClearField("pn")
            save_contact(rows, other)
    for field in ("pn", "lid", "push_name", "lid_source"):
        if c.HasField(field):
            setattr(target, field, getattr(c, field))
    take_earliest(target, c)
    target.changed_ms = int(time.time() * 1000)
    save_contact(rows, target)
    if c.id != target.id and rows.get("contact", c.id) is None:
        rows.put("alias", (c.id,), target.id.encode())


def peer(rows, jid):
    user, at, server = jid.partition("@")
    out, pn, lid = pb.Peer(), user if server == "s.whatsapp.net" else "", user if server == "lid" else ""
    if at and not pn and not lid:
        return out  # a group
    c = by_id(rows, jid) if not at else contact(rows, "pn" if pn else "lid", user)
    if c:
        out.contact.CopyFrom(c)
        pn, lid = c.pn, c.lid
    for field, key in ("by_pn", pn and pn + "@s.whatsapp.net"), ("by_lid", lid and lid + "@lid"):
        if key and (value := rows.get("device_list", key)):
            getattr(out, field).ParseFromString(value)
    return out
