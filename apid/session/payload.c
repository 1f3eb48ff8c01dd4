/* ClientPayload: what a login or a registration says of this client (protocol page 01, section 5).
 */
#include "apid/session/payload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nettle/md5.h>
#include <nettle/version.h>

#include "common/pb.h"
#include "common/proto/companion.pb-c.h"
#include "common/proto/wa6.pb-c.h"

struct payload { /* the messages that every payload has, on the stack of its maker */
	Wa6__ClientPayload p;
	Wa6__ClientPayload__UserAgent ua;
	Wa6__ClientPayload__UserAgent__AppVersion version;
	Wa6__ClientPayload__WebInfo web;
};

static void
common(struct payload *b, const struct payload_client *c, int passive, int pull)
{
	wa6__client_payload__init(&b->p);
	wa6__client_payload__user_agent__init(&b->ua);
	wa6__client_payload__user_agent__app_version__init(&b->version);
	wa6__client_payload__web_info__init(&b->web);
	b->version.has_primary = b->version.has_secondary = b->version.has_tertiary = 1;
	b->version.primary = 2;
	b->version.secondary = 3000;
	b->version.tertiary = c->revision;
	b->ua.has_platform = 1;
	b->ua.platform = WA6__CLIENT_PAYLOAD__USER_AGENT__PLATFORM__WEB;
	b->ua.app_version = &b->version;
	b->ua.mcc = pb_str("000");
	b->ua.mnc = pb_str("000");
	b->ua.os_version = pb_str(c->os_version);
	b->ua.manufacturer = pb_str("");
	b->ua.device = pb_str(c->device);
	b->ua.os_build_number = pb_str(c->os_version);
	b->ua.has_release_channel = 1;
	b->ua.release_channel = WA6__CLIENT_PAYLOAD__USER_AGENT__RELEASE_CHANNEL__RELEASE;
	b->ua.locale_language_iso6391 = pb_str(c->language);
	b->ua.locale_country_iso31661_alpha2 = pb_str(c->country);
	b->web.has_web_sub_platform = 1;
	b->web.web_sub_platform = WA6__CLIENT_PAYLOAD__WEB_INFO__WEB_SUB_PLATFORM__WEB_BROWSER;
	b->p.has_passive = 1;
	b->p.passive = passive;
	b->p.user_agent = &b->ua;
	b->p.web_info = &b->web;
	b->p.has_connect_type = 1;
	b->p.connect_type = WA6__CLIENT_PAYLOAD__CONNECT_TYPE__WIFI_UNKNOWN;
	b->p.has_connect_reason = 1;
	b->p.connect_reason = WA6__CLIENT_PAYLOAD__CONNECT_REASON__USER_ACTIVATED;
	b->p.has_pull = 1;
	b->p.pull = pull;
}

uint8_t *
payload_login(const struct payload_client *c, const struct jid *own, int32_t login_counter,
    int lid_migrated, size_t *len)
{
	struct payload b;
	char *end;
	unsigned long long user = strtoull(own->user, &end, 10);

	if (own->user[0] < '0' || own->user[0] > '9' || *end != '\0')
		return NULL;
	common(&b, c, 1, 1);
	b.p.has_username = 1;
	b.p.username = user;
	b.p.has_device = 1;
	b.p.device = own->device;
	b.p.has_lc = 1;
	b.p.lc = login_counter;
	b.p.has_lid_db_migrated = 1;
	b.p.lid_db_migrated = lid_migrated;
	return pb_pack(&b.p.base, len);
}

static void
build_hash(uint32_t revision, uint8_t out[MD5_DIGEST_SIZE])
{
	struct md5_ctx ctx;
	char version[32];
	int n = snprintf(version, sizeof(version), "2.3000.%u", revision);

	md5_init(&ctx);
	md5_update(&ctx, (size_t)n, (const uint8_t *)version);
#if NETTLE_VERSION_MAJOR >= 4
	md5_digest(&ctx, out);
#else
	md5_digest(&ctx, MD5_DIGEST_SIZE, out);
#endif
}

#define FLAGS_MAX 64 /* kinds of history */

/* Boolean fields by their numbers; one that the schema does not know is written all the same. tags
 * and one are kept until it is packed. */
static void
set_flags(ProtobufCMessage *m, const char *numbers, ProtobufCMessageUnknownField extra[FLAGS_MAX])
{
	static uint8_t one = 1;
	const ProtobufCFieldDescriptor *f;
	char *end;

	m->unknown_fields = extra;
	for (const char *p = numbers; *p != '\0' && m->n_unknown_fields < FLAGS_MAX; p = end) {
		unsigned n = (unsigned)strtoul(p, &end, 10);

		if (end == p)
			break;
		f = protobuf_c_message_descriptor_get_field(m->descriptor, n);
		if (f != NULL && f->type == PROTOBUF_C_TYPE_BOOL) {
			*(protobuf_c_boolean *)((uint8_t *)m + f->offset) = 1;
			*(protobuf_c_boolean *)((uint8_t *)m + f->quantifier_offset) = 1;
		} else if (f == NULL) {
			extra[m->n_unknown_fields++] = (ProtobufCMessageUnknownField){
			    .tag = n, .wire_type = 0 /* varint */, .len = 1, .data = &one};
		}
	}
}

static uint8_t *
device_props(const struct payload_client *c, size_t *len)
{
	Companion__DeviceProps p = COMPANION__DEVICE_PROPS__INIT;
	Companion__DeviceProps__AppVersion v = COMPANION__DEVICE_PROPS__APP_VERSION__INIT;
	Companion__DeviceProps__HistorySyncConfig h =
	    COMPANION__DEVICE_PROPS__HISTORY_SYNC_CONFIG__INIT;
	ProtobufCMessageUnknownField extra[FLAGS_MAX];

	v.has_primary = v.has_secondary = v.has_tertiary = 1;
	v.primary = c->props_version[0];
	v.secondary = c->props_version[1];
	v.tertiary = c->props_version[2];
	if (c->full_sync_days > 0) {
		h.has_full_sync_days_limit = 1;
		h.full_sync_days_limit = c->full_sync_days;
	}
	h.has_storage_quota_mb = 1;
	h.storage_quota_mb = c->history_quota_mb;
	h.has_thumbnail_sync_days_limit = 1;
	h.thumbnail_sync_days_limit = c->history_thumbnail_days;
	set_flags(&h.base, c->history_support, extra);
	p.os = pb_str(c->os);
	p.version = &v;
	p.has_platform_type = 1;
	p.platform_type = (Companion__DeviceProps__PlatformType)c->platform;
	p.has_require_full_sync = 1;
	p.require_full_sync = c->full_sync;
	p.history_sync_config = &h;
	return pb_pack(&p.base, len);
}

static void
field(protobuf_c_boolean *has, ProtobufCBinaryData *to, const uint8_t *data, size_t len)
{
	*has = 1;
	*to = pb_bytes(data, len);
}

uint8_t *
payload_registration(const struct payload_client *c, const struct account_device *d, size_t *len)
{
	struct payload b;
	Wa6__ClientPayload__DevicePairingRegistrationData r =
	    WA6__CLIENT_PAYLOAD__DEVICE_PAIRING_REGISTRATION_DATA__INIT;
	uint8_t hash[MD5_DIGEST_SIZE], regid[4], skid[3], keytype = 5, *out;
	size_t props_len;
	uint8_t *props = device_props(c, &props_len);

	if (props == NULL)
		return NULL;
	common(&b, c, 0, 0);
	build_hash(c->revision, hash);
	for (int i = 0; i < 4; i++)
		regid[i] = (uint8_t)(d->registration_id >> (24 - 8 * i));
	for (int i = 0; i < 3; i++)
		skid[i] = (uint8_t)(d->skey_id >> (16 - 8 * i));
	field(&r.has_e_regid, &r.e_regid, regid, sizeof(regid));
	field(&r.has_e_keytype, &r.e_keytype, &keytype, 1);
	field(&r.has_e_ident, &r.e_ident, d->identity_pub, 32);
	field(&r.has_e_skey_id, &r.e_skey_id, skid, sizeof(skid));
	field(&r.has_e_skey_val, &r.e_skey_val, d->skey_pub, 32);
	field(&r.has_e_skey_sig, &r.e_skey_sig, d->skey_sig, 64);
	field(&r.has_build_hash, &r.build_hash, hash, sizeof(hash));
	field(&r.has_device_props, &r.device_props, props, props_len);
	b.p.device_pairing_data = &r;
	out = pb_pack(&b.p.base, len);
	free(props);
	return out;
}

char
payload_client_type(unsigned platform)
{
	static const struct {
		unsigned platform;
		char type;
	} types[] = {
	    {1, '1'}, {6, '2'}, {2, '3'}, {3, '4'}, {4, '5'}, {5, '6'}, {7, '7'}, {21, '8'}};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (types[i].platform == platform)
			return types[i].type;
	return '9';
}

void
payload_display(const char *text, char out[PAYLOAD_DISPLAY_MAX])
{
	static const char *const known[] = {
	    " (Windows)", " (Mac OS)", " (Linux)", " (Android)", " (iOS)"};
	const char *paren = strstr(text, " (");
	size_t len = strlen(text), browser = paren != NULL ? (size_t)(paren - text) : len;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		size_t n = strlen(known[i]);

		if (len > n && len < PAYLOAD_DISPLAY_MAX && strcmp(text + len - n, known[i]) == 0) {
			(void)snprintf(out, PAYLOAD_DISPLAY_MAX, "%s", text);
			return;
		}
	}
	if (browser == 0 || text[0] == '(' || browser > 64)
		(void)snprintf(out, PAYLOAD_DISPLAY_MAX, "Chrome (Linux)");
	else
		(void)snprintf(out, PAYLOAD_DISPLAY_MAX, "%.*s (Linux)", (int)browser, text);
}

void
payload_client_from_config(const struct config *c, struct payload_client *out)
{
	static const struct {
		const char *word;
		unsigned platform;
	} words[] = {{"chrome", 1}, {"firefox", 2}, {"edge", 6}, {"safari", 5}, {"desktop", 7}};
	const char *platform = config_str(c, "device", "platform"), *version;
	char *end;

	memset(out, 0, sizeof(*out));
	out->revision = (uint32_t)config_int(c, "client", "revision");
	out->os_version = config_str(c, "client", "os_version");
	out->device = config_str(c, "client", "device");
	out->language = config_str(c, "client", "language");
	out->country = config_str(c, "client", "country");
	out->history_quota_mb = (uint32_t)config_int(c, "client", "history_quota_mb");
	out->history_thumbnail_days = (uint32_t)config_int(c, "client", "history_thumbnail_days");
	out->history_support = config_str(c, "client", "history_support");
	version = config_str(c, "client", "props_version"); /* its form was checked */
	for (size_t i = 0; i < 3; i++) {
		out->props_version[i] = (unsigned)strtoul(version, &end, 10);
		version = *end == '.' ? end + 1 : end;
	}
	out->os = config_str(c, "device", "os");
	payload_display(config_str(c, "device", "display"), out->display);
	out->platform = 1;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i].word, platform) == 0)
			out->platform = words[i].platform;
	out->full_sync = config_bool(c, "device", "full_sync");
	out->full_sync_days = (uint32_t)config_int(c, "device", "history_days");
}
