/* What the methods server.*, request.* and store.* take and give. */
#include "apid/rpc/api_table_fields.h"

const struct api_field api_hello_params[] = {
    {.name = "protocol",
	.type = API_ANY_TYPE,
	.doc = "array of the protocol numbers that the client speaks; default [1]"},
    STR("client", 0, 1, 128, "name and version of the client, for the log"),
    STRS("features", 0, 0, 32,
	"features that the client asks for; \"fd\": descriptors "
	"may come with requests"),
    END};
static const struct api_field limits_fields[] = {
    INT("line_bytes", 0, 0, BIG, "longest line, with its LF"),
    INT("in_flight", 0, 0, BIG, "requests at a time on a connection"),
    INT("subscriptions", 0, 0, BIG, "subscriptions at a time on a connection"),
    INT("connections", 0, 0, BIG, "connections in all"),
    INT("connections_per_uid", 0, 0, BIG, "connections of one user"),
    INT("line_timeout_ms", 0, 0, BIG, "from the first byte of a line to its LF"),
    INT("unread_bytes", 0, 0, BIG, "unread replies, beyond which nothing more is read"),
    INT("stall_timeout_ms", 0, 0, BIG, "how long a client may then leave them unread"),
    INT("depth", 0, 0, BIG, "nesting of JSON"), END};
const struct api_field api_result_hello[] = {
    INT("protocol", 0, 0, BIG, "the protocol number that both speak"),
    STR("api", 0, 0, 0, "version of the API; within a protocol number there are only additions"),
    STR("server", 0, 0, 0, "ward/ and its version"),
    STR("boot_id", 0, 0, 0, "new at each start of the service"),
    STR("log_id", 0, 0, 0, "names the event log; another after a restore; null while it is closed"),
    STRS("features", 0, 0, 32, "those that were asked for and exist"),
    STRS("methods", 0, 0, 256, "what this client may call"),
    STRS("role", 0, 0, API_NROLES, "the roles of this client"),
    STRS("accounts", 0, 0, 64, "names of the accounts"),
    OBJ("limits", limits_fields, "the limits in force"),
    STRS("deprecated", 0, 0, 256, "methods and fields that will go"), END};

const struct api_field api_schema_params[] = {
    STR("type", API_ARG, 1, 64, "one method or event; default all"), END};
const struct api_field api_result_schema[] = {STR("$schema", 0, 0, 0, "dialect"),
    OBJ("methods", NULL, "by name: params and result"),
    OBJ("events", NULL, "by type: the whole event"), END};

static const struct api_field health_check[] = {STR("name", 0, 0, 0, "what was looked at"),
    WORD("status", 0, "ok|degraded|failing", "how it is"),
    STR("reason", 0, 0, 0, "why, a stable word"), INT("since_ms", 0, 0, BIG, "since when"),
    WORD("user_action", 0, USER_ACTIONS, "what a person has to do"), END};
const struct api_field api_result_health[] = {
    WORD("status", 0, "ok|degraded|failing", "the worst of the checks"),
    STRS("warnings", 0, 0, 16,
	"how it is set up for tests, and unsafe: unconfined, test_noise_root_key"),
    LIST("checks", health_check, "each check"), END};

const struct api_field api_result_version[] = {STR("server", 0, 0, 0, "ward/ and its version"),
    STR("api", 0, 0, 0, "version of the API"), INT("protocol", 0, 0, BIG, "protocol number"),
    STR("boot_id", 0, 0, 0, "of this run"), STR("log_id", 0, 0, 0, "of the event log"),
    STR("web_client_version", 0, 0, 0, "that the service is told"),
    INT("age_s", 0, 0, BIG, "since that version was the newest, by the client data"),
    STR("client_date", 0, 0, 0, "that day"), END};

const struct api_field api_result_metrics[] = {
    STR("text", 0, 0, 0, "OpenMetrics 1.0, ends with # EOF"),
    OBJ("counters", NULL, "the same values by name"), END};

const struct api_field api_result_sandbox[] = {
    OBJ("processes", NULL, "by process: what is in force, as it was found after confinement"), END};

static const struct api_field flow_fields[] = {INT("id", 0, 0, BIG, "number of the flow"),
    STR("kind", 0, 0, 0, "what it does"), STR("step", 0, 0, 0, "what it waits for"),
    STR("account", 0, 0, 0, "for which account"), INT("age_ms", 0, 0, BIG, "since it began"), END};
const struct api_field api_result_flows[] = {
    LIST("flows", flow_fields, "flows in flight, oldest first"), END};

const struct api_field api_cancel_params[] = {
    {.name = "id",
	.type = API_ID,
	.flags = API_REQUIRED | API_ARG,
	.doc = "id of a request of this connection that is in flight"},
    END};
const struct api_field api_result_cancel[] = {
    FLAG("ok", "true if it was in flight; its answer is then an error with reason cancelled"), END};

const struct api_field api_backup_params[] = {
    {.name = "fd",
	.type = API_FD,
	.max = API_FDS_MAX - 1,
	.flags = API_REQUIRED,
	.doc = "where to write: number of a descriptor that comes with the request, from 0; a file "
	       "or a pipe"},
    PROGRESS, END};
const struct api_field api_result_backup[] = {INT("bytes", 0, 0, BIG, "how many were written"),
    STR("text", 0, 0, 0, "what was left out, for people"), END};

const struct api_field api_check_params[] = {PROGRESS, END};
const struct api_field api_result_check[] = {INT("rows", 0, 0, BIG, "how many were read"),
    STR("text", 0, 0, 0, "what was looked at, for people"), END};

const struct api_field api_snapshot_params[] = {
    STR("name", API_REQUIRED | API_ARG, 1, 64,
	"becomes a part of the file names; letters, digits, and _.- but not two dots in a row"),
    PROGRESS, END};
const struct api_field api_result_snapshot[] = {INT("bytes", 0, 0, BIG, "how many were copied"),
    STR("text", 0, 0, 0, "what was made, for people"), END};

const struct api_field api_stats_params[] = {
    FLAG("tables", "with the rows of each table, which takes longer"), END};
static const struct api_field table_fields[] = {
    STR("account", 0, 0, 0, "name of the account; empty for the service's own database"),
    STR("table", 0, 0, 0, "its name"), INT("rows", 0, 0, BIG, "how many it has"), END};
static const struct api_field rekey_fields[] = {
    STR("account", 0, 0, 0, "name of the account; empty for the service's own database"),
    INT("done", 0, 0, BIG, "bytes, of total"), INT("total", 0, 0, BIG, "bytes"),
    STR("trouble", 0, 0, 0, "why it does not go on, a stable word"), END};
const struct api_field api_rekey_params[] = {
    FLAG("look", "only say how far it is; nothing is begun"), END};
static const struct api_field rekey_parts[] = {
    STR("account", 0, 0, 0, "name of the account; empty for the service's own database"),
    FLAG("records_done", "keyd's records are all under the next key"),
    INT("records", 0, 0, BIG, "how many were taken over since the start"),
    FLAG("database_done", "the database has its next key"),
    INT("done", 0, 0, BIG, "bytes of the database that are copied, of total"),
    INT("total", 0, 0, BIG, "bytes"),
    STR("trouble", 0, 0, 0, "why it does not go on, a stable word; it is tried again"), END};
const struct api_field api_result_rekey[] = {
    WORD("state", 0, "none|ready|running|done",
	"none: no next_master_key is given; done: it is the one in use, and ward.conf is to "
	"follow"),
    STR("trouble", 0, 0, 0, "why all of it does not go on"),
    STR("text", 0, 0, 0, "what comes next, for people"),
    LIST("parts", rekey_parts, "while it runs"), END};

const struct api_field api_result_stats[] = {
    STR("backend", 0, 0, 0, "what keeps the data: sqlcipher, …"),
    INT("units", 0, 0, BIG, "units of work committed since the start"),
    INT("units_failed", 0, 0, BIG, "units that were refused or failed"),
    INT("transactions", 0, 0, BIG, "group commits; each holds one unit or more"),
    INT("fsyncs", 0, 0, BIG, "times that the disk was waited for"),
    INT("events", 0, 0, BIG, "events appended since the start"),
    INT("database_bytes", 0, 0, BIG, "size of all databases"),
    INT("log_bytes", 0, 0, BIG, "size of their write-ahead logs"),
    INT("free_bytes", 0, 0, BIG, "room on the disk"),
    FLAG("disk_low", "less is left than service.min_free"),
    LIST("tables", table_fields, "if they were asked for"),
    LIST("rekey", rekey_fields, "databases whose key is being changed"), END};
