/* What the methods events.* take and give. */
#include "apid/rpc/api_table_fields.h"

static const struct api_field filter_fields[] = {
    STRS("types", 0, 1, 64, "event types; a trailing * stands for any rest"),
    STRS("accounts", 0, 1, 64, "names of accounts"), END};
#define CONSUMER(f, d) STR("consumer", f, 1, 64, d)
const struct api_field api_subscribe_params[] = {
    CONSUMER(API_ARG, "name of a durable consumer, of letters, digits and ._- ; without it the "
		      "subscription is ephemeral: at most once, nothing to acknowledge"),
    STR("from", 0, 1, 80,
	"resume, latest, earliest or a cursor; default resume for a consumer, "
	"latest without one"),
    OBJ("filter", filter_fields, "what to deliver; default all that the role may see"),
    INT("window", 0, 1, 4096, "events that may be delivered and not acknowledged; default 256"),
    FLAG("steal", "take the consumer from the subscription that has it"), END};
const struct api_field api_result_subscribe[] = {
    STR("subscription", 0, 0, 0, "names the subscription on this connection"),
    STR("cursor", 0, 0, 0, "where it begins"), INT("lag", 0, 0, BIG, "events behind, about"),
    FLAG("created", "the consumer is new"), END};

const struct api_field api_unsubscribe_params[] = {
    STR("subscription", API_REQUIRED | API_ARG, 1, 16, "as events.subscribe named it"), END};
const struct api_field api_fetch_params[] = {
    CONSUMER(API_REQUIRED | API_ARG, "name of the durable consumer; made if there is none"),
    INT("limit", 0, 1, 1000, "events at most; default 100"),
    INT("wait_ms", 0, 0, 60000, "how long to wait for a first event; default 0"),
    STR("ack", 0, 1, 80, "first acknowledge up to this cursor"),
    OBJ("filter", filter_fields, "what to deliver; default all that the role may see"),
    FLAG("steal", "take the consumer from the subscription that has it"), END};
static const struct api_field fetched_fields[] = {
    STR("cursor", 0, 0, 0, "acknowledges this event and all before"),
    OBJ("event", api_event_envelope, "the event"), END};
const struct api_field api_result_fetch[] = {
    LIST("events", fetched_fields, "oldest first; they come again until they are acknowledged"),
    STR("cursor", 0, 0, 0, "acknowledges all of them"), END};

const struct api_field api_ack_params[] = {
    CONSUMER(API_REQUIRED | API_ARG, "name of the durable consumer"),
    STR("cursor", API_REQUIRED, 1, 80, "of the last event that was handled; all before are too"),
    END};
const struct api_field api_result_ack[] = {FLAG("ok", "true: it is on disk"),
    STR("cursor", 0, 0, 0, "acknowledged so far"), INT("lag", 0, 0, BIG, "events behind, about"),
    END};

static const struct api_field consumer_fields[] = {STR("consumer", 0, 0, 0, "its name"),
    INT("uid", 0, 0, BIG, "its owner"), STR("cursor", 0, 0, 0, "acknowledged so far"),
    INT("lag", 0, 0, BIG, "events behind, about"),
    INT("last_ms", 0, 0, BIG, "when it last asked or acknowledged"),
    FLAG("live", "somebody is subscribed or waits"), END};
const struct api_field api_result_consumers[] = {
    LIST("consumers", consumer_fields, "own consumers; all of them for admin"), END};

const struct api_field api_delete_params[] = {
    CONSUMER(API_REQUIRED | API_ARG, "name of the durable consumer"),
    INT("uid", 0, 0, INT64_C(4294967294), "owner, if it is another's (admin); default own uid"),
    END};
