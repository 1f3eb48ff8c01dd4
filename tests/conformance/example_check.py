"""Shapes of the contract: lengths of texts and bytes, counts of lists, ranges of numbers; else "bad_request"."""

import re

from example_child import Error

KIB, MIB, BIG = 1 << 10, 1 << 20, (1 << 63) - 1
JID, ID, WORDS = (1, 112), (1, 128), r"[A-Za-z0-9%s]{1,%d}"

# Message.field -> (least, most) or a pattern; "[]" behind it: of each in the list, whose count stands without
LIMITS = {
    "RecordName.name": (1, 160), "RecordPut.version": (1, BIG), "RecordPut.sealed": (1, MIB),
    "RecordPut.expires_s": (0, BIG), "RecordPut.message_s": (0, BIG), "RecordDelete.version": (1, BIG),
    "Stage.puts": (0, 1024), "Stage.deletes": (0, 1024), "Stage.uploaded": (0, 1024), "RecordsGet.names": (0, 1024),
    "RecordsList.from": (0, 160), "RecordsList.below": (0, 160), "RecordsList.limit": (0, 1024),
    "Keyring.header": (1, 1024), "UnitCommit.writes": (0, 4096), "Write.mark": (1, 512),
    "Write.collection_delete": (1, 64), "Write.macs_clear": (1, 64), "Write.sender_key_clear": JID,
    "Write.sender_key_clear_all": (1, 1), "Write.restored_done": (1, 1), "Write.token_delete": JID,
    "Write.group_delete": JID, "Write.sent_take": ID, "EventAppend.type": WORDS % ("._", 64),
    "EventAppend.origin": "live|offline|history|self|recovered", "EventAppend.body": (2, 256 * KIB),
    "EventAppend.dedup": (1, 512), "EventAppend.unless": (0, 4), "EventAppend.unless[]": (1, 512),
    "OutboxPut.message_id": ID, "OutboxPut.chat": JID, "OutboxPut.idempotency_key": WORDS % ("._:-", 64),
    "OutboxPut.params_hash": (32, 32), "OutboxPut.content": (0, MIB), "OutboxPut.stanza": (0, 4 * MIB),
    "OutboxPut.devices": (0, 4096), "OutboxPut.devices[]": JID, "OutboxUpdate.message_id": ID,
    "OutboxUpdate.reason": (0, 256), "OutboxUpdate.stanza": (0, 4 * MIB), "OutboxUpdate.devices": (0, 4096),
    "OutboxUpdate.devices[]": JID, "OutboxLoad.limit": (1, 1000), "ReceiptMark.message_id": ID, "ReceiptMark.party": JID,
    "ReceiptMark.chats": (0, 2), "ReceiptMark.chats[]": JID,
    "ReceiptMark.status": "delivered|read|played", "DeviceRecord.jid": (0, 112), "DeviceRecord.lid": (0, 112),
    "DeviceRecord.push_name": (0, KIB), "DeviceRecord.business_name": (0, KIB), "DeviceRecord.platform": (0, 128),
    "DeviceRecord.routing_info": (0, 4 * KIB), "DeviceRecord.state": (0, 64), "DeviceRecord.state_reason": (0, 512),
    "DeviceRecord.app_version": (0, 64), "DeviceRecord.props_hash": (0, 128), "DeviceRecord.props": (0, 2 * KIB), "DeviceRecord.nct_salt": (0, 256),
    "DeviceRecord.client_expires_version": (0, 64), "DeviceRecord.restrictions": (0, 32 * KIB), "DeviceRecord.outbox_holds": (0, 40 * KIB), "Contact.id": r"u_[A-Za-z0-9_]{26}", "Contact.pn": (1, 64),
    "Contact.lid": (1, 64), "Contact.push_name": (0, KIB), "Contact.lid_source": (0, 64), "DeviceList.user": JID,
    "DeviceList.devices": (0, 256), "DeviceList.phash": (0, 128), "DeviceListDrop.user": JID,
    "CollectionPut.name": (1, 64), "CollectionPut.version": (0, BIG), "CollectionPut.hash": (128, 128),
    "MacsPut.collection": (1, 64), "MacsPut.version": (0, BIG), "MacsPut.macs": (0, 16384), "Mac.index": (32, 32),
    "Mac.value": (32, 32), "MacsDelete.collection": (1, 64), "MacsDelete.indexes": (0, 16384),
    "MacsDelete.indexes[]": (32, 32), "MacsOf.collection": (1, 64), "MacsOf.indexes": (0, 16384),
    "MacsOf.indexes[]": (32, 32), "SenderKeyStatus.group": JID, "SenderKeyStatus.devices": (0, 4096),
    "SenderKeyDevice.device": JID, "DeviceNames.devices": (0, 4096), "DeviceNames.devices[]": JID, "GroupPut.group": JID,
    "GroupPut.metadata": (0, 512 * KIB), "BaseKeyName.address": (1, 160), "BaseKeyName.message_id": ID,
    "BaseKey.key": (33, 33), "Token.user": JID, "Token.token": (0, 256), "Token.token_s": (0, BIG),
    "Token.sender_s": (0, BIG), "TokenReceived.user": JID, "TokenReceived.token": (1, 256),
    "TokenReceived.token_s": (0, BIG), "TokenTouch.user": JID, "TokenTouch.sender_s": (0, BIG), "MessageName.chat": JID,
    "MessageName.sender": JID, "MessageName.id": ID, "Pending.stanza": (1, MIB), "Lookup.jids": (0, 64),
    "Lookup.jids[]": JID, "Lookup.groups": (0, 64), "Lookup.groups[]": JID, "Lookup.collections": (0, 16),
    "Lookup.collections[]": (1, 64), "Lookup.macs": (0, 16), "Lookup.base_keys": (0, 64), "Lookup.tokens": (0, 256),
    "Lookup.tokens[]": JID, "Lookup.pending": (0, 64), "QuarantinePurge.max": (1, 10000), "Scan.limit": (1, 1000), "Scan.after": (0, 1024),
    "EventsRead.limit": (1, 1000), "EventsRead.max_bytes": (1, MIB), "EventsRead.accounts": (0, 64),
    "ConsumerOpen.name": WORDS % ("._-", 64),
}


def fits(name, value):
    limit = LIMITS.get(name)
    if limit is None:
        return True
    if isinstance(limit, str):
        return re.fullmatch(limit, value) is not None
    size = len(value.encode()) if isinstance(value, str) else value if isinstance(value, int) else len(value)
    return limit[0] <= size <= limit[1]


def check(message):
    """The message and all that is in it; Error if something does not fit."""
    for field, value in message.ListFields():
        name = message.DESCRIPTOR.name + "." + field.name
        each = value if field.label == field.LABEL_REPEATED else ()
        if not fits(name, value) or not all(fits(name + "[]", v) for v in each):
            raise Error("bad_request", name)
        if field.message_type is not None:
            for v in each if field.label == field.LABEL_REPEATED else [value]:
                check(v)
