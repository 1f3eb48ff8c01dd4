/* What the service's refusal of a message means: one table. */
#include "apid/message/refusal.h"

#include <string.h>

#include "apid/session/call.h"
#include "common/clock.h"

struct row {
	unsigned code; /* of the ack; 0 = any other */
	enum refusal_act act;
	const char *word; /* in message.status and in the row */
	int error;        /* and what a client is told */
	const char *reason;
	const char *message;
};

static const struct row rows[] = {
    {400, REFUSAL_FAIL, "malformed", -1, "refused", "the service finds the message malformed"},
    {404, REFUSAL_FORGET, "unknown_recipient", -1, "not_found",
	"the service does not know the recipient"},
    {405, REFUSAL_FAIL, "refused", -1, "refused", "the service does not take this kind of message"},
    {406, REFUSAL_FORGET, "unknown_recipient", -1, "not_found",
	"the service does not know the recipient"},
    {421, REFUSAL_FAIL, "stale_addressing", -1, "refused",
	"the service wants the chat addressed in another way"},
    {429, REFUSAL_RATE, "rate_limited", -5, "rate_limited",
	"too much for the service; the same key sends it again after a while"},
    {463, REFUSAL_ASK, "reachout_timelock", -12, "reachout_timelock",
	"the service does not let the account write to new people now"},
    {473, REFUSAL_FAIL, "refused", -1, "refused", "the service does not take this kind of message"},
    {475, REFUSAL_ASK, "new_chats_capped", -12, "new_chats_capped",
	"the quota of new chats is used up"},
    {479, REFUSAL_FAIL, "schema", -1, "refused", "the service finds a field of a wrong form"},
    {503, REFUSAL_AGAIN, "unavailable", -3, "server_error", "the service has trouble"},
    {0, REFUSAL_FAIL, "refused", -1, "refused", "the service refused the message"},
};

/* What ward itself ends a row with. */
static const struct {
	const char *word;
	int error;
	const char *reason, *message;
} own[] = {
    {"unlinked", -7, "unlinked", "the device was unlinked before it was sent"},
    {REFUSAL_UNKNOWN, -11, "outcome_unknown",
	"it was sent, and the device was unlinked before the service answered"},
    {"not_on_whatsapp", -1, "not_on_whatsapp", "the recipient is not known"},
    {"not_found", -1, "not_found", "no such person"},
    {"expired", -1, "window_closed", "it was not sent in time"},
    {"cancelled", -1, "refused", "it was cancelled before it was sent"},
    {"identity_changed", -4, "identity_changed",
	"the recipient has a new identity key, and nobody has decided to trust it"},
    {"identity_damaged", -4, "identity_damaged",
	"the record of an identity of the recipient, or of an own device, is damaged: "
	"identity.decide with trust lets go of it, and the next key is taken as the first"},
    {"identity_unverified", -4, "identity_unverified",
	"the safety number of the recipient was not verified"},
    {"adv_invalid", -4, "adv_invalid", "no device of the recipient is vouched for by his account"},
    {"no_device", -3, "server_error", "no device of the recipient has usable keys"},
};

static const struct row *
row_of(unsigned code)
{
	size_t i = 0;

	while (rows[i].code != 0 && rows[i].code != code)
		i++;
	return &rows[i];
}

enum refusal_act
refusal_act(unsigned code)
{
	return row_of(code)->act;
}

const char *
refusal_word(unsigned code)
{
	return row_of(code)->word;
}

struct api_error
refusal_error(unsigned code, const char *reason, int64_t until_ms)
{
	const struct row *r = row_of(code);
	struct api_error e =
	    api_error_make(r->error, r->reason, r->act == REFUSAL_RATE, r->message);
	int64_t left = until_ms - clock_wall_ms();

	for (size_t i = 0; code == 0 && reason != NULL && i < sizeof(own) / sizeof(own[0]); i++)
		if (strcmp(own[i].word, reason) == 0)
			e = api_error_make(own[i].error, own[i].reason, 0, own[i].message);
	e.service_code = code;
	if (until_ms > 0)
		e.until_ms = until_ms;
	if (r->act == REFUSAL_RATE)
		e.retry_after_ms = left > 0 ? left : 0;
	return e;
}

static int64_t
doubled(int64_t ms, unsigned n, int64_t most)
{
	while (n-- > 0 && ms < most)
		ms *= 2;
	return ms < most ? ms : most;
}

int64_t
refusal_rate_ms(unsigned n)
{
	return doubled(30000, n, 900000);
}

int64_t
refusal_again_ms(unsigned n)
{
	return doubled(5000, n, 300000);
}
