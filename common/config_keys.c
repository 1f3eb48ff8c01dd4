/* The table of ward.conf: every key, its type, default, bounds, readers and meaning. */
#include "common/config.h"

#define PARENT 0u
#define KEYD   CONFIG_FOR_KEYD
#define NETD   CONFIG_FOR_NETD
#define STORED CONFIG_FOR_STORED
#define APID   CONFIG_FOR_APID
#define ALL    (KEYD | NETD | STORED | APID)

#define KIB    1024LL
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)
#define SECOND 1000LL
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

#define BROWSER                                                                                    \
	"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "                  \
	"Chrome/142.0.0.0 Safari/537.36"

/* min and max: numbers, bytes or milliseconds; of a string its length (max 0 = 4000 bytes) */
const struct config_key config_keys[] = {
    /* ---- the parent, and what it hands on */
    {"service", "data", CONFIG_STRING, "/var/lib/ward/stored", 1, 0, "path", PARENT,
	"Folder of the databases; must belong to the user of stored."},
    {"service", "socket", CONFIG_STRING, "/run/ward/api.sock", 1, 107, "path", PARENT,
	"Path of the API socket."},
    {"service", "socket_mode", CONFIG_MODE, "0660", 0, 0777, NULL, PARENT,
	"Permission bits of the API socket, octal."},
    {"service", "socket_group", CONFIG_STRING, "", 0, 64, NULL, PARENT,
	"Group of the API socket, name or number; empty leaves it as it is made."},
    {"service", "libexec", CONFIG_STRING, "", 0, 0, "path", PARENT,
	"Folder of the four child programs; empty is the folder of ward itself."},
    {"service", "master_key", CONFIG_STRING, "", 0, 0, "key-source", KEYD,
	"Where the master key comes from: file:PATH, credential:NAME or passphrase:PATH."},
    {"service", "next_master_key", CONFIG_STRING, "", 0, 0, "key-source", KEYD,
	"The same for the key that wardctl store rekey goes over to; empty but for that time."},
    {"service", "user_keyd", CONFIG_STRING, "ward-keyd", 1, 64, NULL, PARENT,
	"User of keyd when started as root, name or number; the four must differ."},
    {"service", "user_netd", CONFIG_STRING, "ward-netd", 1, 64, NULL, PARENT,
	"User of netd when started as root."},
    {"service", "user_stored", CONFIG_STRING, "ward-stored", 1, 64, NULL, PARENT,
	"User of stored when started as root."},
    {"service", "user_apid", CONFIG_STRING, "ward-apid", 1, 64, NULL, PARENT,
	"User of apid when started as root."},
    {"service", "landlock", CONFIG_CHOICE, "required", 0, 0, "required|optional", ALL,
	"Whether to refuse to start on a kernel without Landlock."},
    {"service", "developer_unconfined", CONFIG_BOOL, "no", 0, 0, NULL, ALL,
	"Run without confinement. For debugging only; said loudly in the log and in the status."},
    {"service", "ready_timeout", CONFIG_TIME_MS, "20s", SECOND, 10 * MINUTE, NULL, PARENT,
	"How long the children may take to become ready."},
    {"service", "client_data", CONFIG_STRING, "/etc/ward/client.conf", 1, 0, "path", PARENT,
	"File of client data, see below; if it is not there, what ward was made with is used."},
    {"service", "min_free", CONFIG_SIZE, "64M", 0, 1024 * GIB, NULL, STORED,
	"Free space below which nothing new is accepted, so that what is there stays safe."},

    /* ---- netd */
    {"network", "url", CONFIG_STRING, "wss://web.whatsapp.com/ws/chat", 1, 1024, "wss", NETD,
	"WebSocket address of the service."},
    {"network", "ca_file", CONFIG_STRING, "", 0, 0, "path", NETD,
	"File of the certificate authorities to trust; empty is the system's."},
    {"network", "proxy", CONFIG_STRING, "", 0, 1024, "proxy", NETD,
	"Proxy for everything, http://, https://, socks5:// or socks5h://; empty is none."},
    {"network", "connect_timeout", CONFIG_TIME_MS, "20s", SECOND, 10 * MINUTE, NULL, NETD | APID,
	"How long a connection may take to the end of the handshake, and then to the login's "
	"answer."},
    {"network", "user_agent", CONFIG_STRING, BROWSER, 1, 256, NULL, NETD,
	"User-Agent header of the WebSocket request."},
    {"network", "keepalive_min", CONFIG_TIME_MS, "15s", 10, HOUR, NULL, NETD,
	"Shortest time between two keep-alive requests."},
    {"network", "keepalive_max", CONFIG_TIME_MS, "30s", 10, HOUR, NULL, NETD,
	"Longest time between two keep-alive requests."},
    {"network", "keepalive_deadline", CONFIG_TIME_MS, "20s", 10, HOUR, NULL, NETD,
	"How long an answer to a keep-alive request may take before the connection is given up."},
    {"network", "backoff_unit", CONFIG_TIME_MS, "1s", 1, HOUR, NULL, NETD,
	"First wait before a new connection; it grows with each failure."},
    {"network", "backoff_max", CONFIG_TIME_MS, "15m", 1, DAY, NULL, NETD,
	"Longest wait before a new connection."},
    {"network", "stable_after", CONFIG_TIME_MS, "30s", 1, DAY, NULL, NETD,
	"How long a connection must last before the wait begins small again."},

    /* ---- test */
    {"test", "noise_root_key", CONFIG_STRING, "", 0, 64, "hex64", KEYD | APID,
	"Root public key of a simulated service, 64 hex digits; empty is the real one."},

    /* ---- log */
    {"log", "level", CONFIG_CHOICE, "info", 0, 0, "err|warn|notice|info|debug", ALL,
	"The least important kind of line that is logged."},
    {"log", "content", CONFIG_BOOL, "no", 0, 0, NULL, APID,
	"Whether lines of level debug may hold what people write. For debugging only."},

    /* ---- how the device presents itself */
    {"device", "os", CONFIG_STRING, "Linux", 1, 64, NULL, APID,
	"Operating system that the phone shows in its list of linked devices."},
    {"device", "platform", CONFIG_CHOICE, "chrome", 0, 0, "chrome|firefox|edge|safari|desktop",
	APID, "Kind of client that the phone shows."},
    {"device", "display", CONFIG_STRING, "Chrome (Linux)", 1, 64, NULL, APID,
	"Name shown while linking by code; the service expects the form Browser (System)."},
    {"device", "history_days", CONFIG_INT, "0", 0, 3650, NULL, APID,
	"Days of history to ask the phone for when linking; 0 leaves it to the phone."},
    {"device", "full_sync", CONFIG_BOOL, "no", 0, 0, NULL, APID,
	"Whether to ask the phone for the full history when linking."},

    /* ---- linking with a passkey */
    {"passkey", "require_code", CONFIG_BOOL, "no", 0, 0, NULL, APID,
	"Whether a person must compare the code even if the phone could do without."},

    /* ---- client data: renewed without a new ward */
    {"client", "revision", CONFIG_INT, "1045649367", 1, 4294967295LL, NULL, APID,
	"Revision of the web client, the last part of the version that is announced."},
    {"client", "date", CONFIG_STRING, "2026-08-22", 1, 10, "date", APID,
	"Day on which that revision was the newest."},
    {"client", "max_age", CONFIG_TIME_MS, "90d", DAY, 3650 * DAY, NULL, APID,
	"Age of the revision from which on health warns."},
    {"client", "os_version", CONFIG_STRING, "0.1", 1, 32, NULL, APID,
	"Version and build of the operating system that are announced at each login."},
    {"client", "device", CONFIG_STRING, "Desktop", 1, 32, NULL, APID,
	"Kind of device that is announced at each login."},
    {"client", "language", CONFIG_STRING, "en", 2, 3, NULL, APID, "Language of the client."},
    {"client", "country", CONFIG_STRING, "US", 2, 2, NULL, APID, "Country of the client."},
    {"client", "props_version", CONFIG_STRING, "0.1.0", 1, 39, "version", APID,
	"Version in the properties of the device, told when it is linked."},
    {"client", "history_quota_mb", CONFIG_INT, "10240", 1, 4294967295LL, NULL, APID,
	"Room for history that is told to the phone when linking."},
    {"client", "history_thumbnail_days", CONFIG_INT, "60", 0, 3650, NULL, APID,
	"Days of thumbnails in the history."},
    {"client", "history_support", CONFIG_STRING, "4 6 7 8 9 10 11 12 14 15 21 22", 0, 400,
	"numbers", APID,
	"Numbers of the fields of HistorySyncConfig that are set: what kinds of history are "
	"taken."},

    /* ---- limits of the API */
    {"api", "max_line", CONFIG_SIZE, "1M", 4 * KIB, 16 * MIB, NULL, APID,
	"Longest line of a client."},
    {"api", "max_requests", CONFIG_INT, "64", 1, 4096, NULL, APID,
	"Requests of a client that may be in work at once."},
    {"api", "max_subscriptions", CONFIG_INT, "8", 1, 1024, NULL, APID,
	"Subscriptions of a client."},
    {"api", "max_connections", CONFIG_INT, "128", 1, 4096, NULL, APID, "Clients at once."},
    {"api", "max_per_uid", CONFIG_INT, "16", 1, 4096, NULL, APID, "Clients of one user at once."},
    {"api", "max_unread", CONFIG_SIZE, "4M", 64 * KIB, GIB, NULL, APID,
	"Bytes that wait for a client that does not read; beyond it loses its connection."},
    {"api", "line_timeout", CONFIG_TIME_MS, "30s", 10, HOUR, NULL, APID,
	"How long a client may take from the first byte of a line to its end."},
    {"api", "stall_timeout", CONFIG_TIME_MS, "30s", 10, HOUR, NULL, APID,
	"How long a client may read nothing while bytes wait for it."},

    /* ---- events */
    {"events", "keep_acked", CONFIG_TIME_MS, "7d", 0, 3650 * DAY, NULL, STORED | APID,
	"How long events are kept after every consumer has confirmed them."},
    {"events", "max_age", CONFIG_TIME_MS, "30d", MINUTE, 3650 * DAY, NULL, STORED | APID,
	"How long events are kept that somebody has not confirmed."},
    {"events", "max_bytes", CONFIG_SIZE, "1G", MIB, 1024 * GIB, NULL, STORED | APID,
	"Bytes of events of all accounts together; the oldest go first."},
    {"events", "consumer_expiry", CONFIG_TIME_MS, "30d", MINUTE, 3650 * DAY, NULL, STORED | APID,
	"How long a consumer that does not come back holds events."},

    /* ---- the store */
    {"store", "backend", CONFIG_CHOICE, "sqlcipher", 0, 0, "sqlcipher|memory", STORED,
	"Where everything is kept; memory survives no restart and is for tests only."},
    {"store", "keep_sent", CONFIG_TIME_MS, "14d", 7 * DAY, 3650 * DAY, NULL, STORED,
	"How long sent messages are kept, for receipts and for devices that ask for one again."},
    {"store", "keep_pending", CONFIG_TIME_MS, "7d", HOUR, 3650 * DAY, NULL, STORED,
	"How long it is kept what was asked for and answered of messages; those that could not be "
	"read wait 14 days."},

    /* ---- sending */
    {"send", "timeout", CONFIG_TIME_MS, "60s", 100, DAY, NULL, APID,
	"How long a message may wait for the service's ack before the client is told."},
    {"send", "outbox_max", CONFIG_INT, "10000", 1, 10000000, NULL, APID,
	"Messages of an account that may wait to be sent."},
    {"send", "account_rate", CONFIG_INT, "60", 0, 60000, NULL, APID,
	"Messages a minute that an account sends in the long run; the others wait. 0 is no limit."},
    {"send", "account_burst", CONFIG_INT, "30", 1, 10000, NULL, APID,
	"Messages that an account sends at once after it was quiet."},
    {"send", "chat_rate", CONFIG_INT, "20", 0, 60000, NULL, APID,
	"The same for each chat: messages a minute. 0 is no limit."},
    {"send", "chat_burst", CONFIG_INT, "10", 1, 10000, NULL, APID,
	"The same for each chat: messages at once."},
    {"send", "new_chats", CONFIG_INT, "20", 0, 4096, NULL, APID,
	"People that an account writes to for the first time within 24 hours. 0 is no limit."},

    /* ---- one section an account: [account NAME] */
    {"account", "enabled", CONFIG_BOOL, "yes", 0, 0, NULL, ALL,
	"Whether the account is served; its data stays in any case."},
    {"account", "identity", CONFIG_CHOICE, "accept", 0, 0, "accept|hold|verified_only", KEYD | APID,
	"What becomes of a contact's new identity key: it is used and told, or held until a person "
	"decides; verified_only: held, and nothing is sent to whom nobody has verified."},
};
const size_t config_nkeys = sizeof(config_keys) / sizeof(config_keys[0]);
