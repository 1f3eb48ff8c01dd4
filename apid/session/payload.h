/* ClientPayload: what a login or a registration says of this client (protocol page 01, section 5).
 */
#ifndef WARD_PAYLOAD_H
#define WARD_PAYLOAD_H

#include <stddef.h>
#include <stdint.h>

#include "apid/session/account.h"

#define PAYLOAD_DISPLAY_MAX 101

/* What the config says of the client. */
struct payload_client {
	uint32_t revision; /* 2.3000.revision */
	const char *os_version, *device, *language, *country;
	unsigned props_version[3];
	uint32_t history_quota_mb, history_thumbnail_days;
	const char *history_support; /* numbers of fields of HistorySyncConfig, blanks between */
	const char *os;              /* the name that the phone shows */
	char display[PAYLOAD_DISPLAY_MAX]; /* "Chrome (Linux)", while linking by code */
	unsigned platform;                 /* DeviceProps.PlatformType */
	int full_sync;
	uint32_t full_sync_days; /* 0 = not said */
};

void payload_client_from_config(const struct config *c, struct payload_client *out);
/* "Browser (System)" with a system that the service knows: others it refuses (page 12, 2.2). */
void payload_display(const char *text, char out[PAYLOAD_DISPLAY_MAX]);
/* The client type that goes into the QR text and the pair code, by platform (page 03, 3.2). */
char payload_client_type(unsigned platform);

/* Malloc'd; NULL when memory is out or the JID's user is no number. */
uint8_t *payload_login(const struct payload_client *c, const struct jid *own, int32_t login_counter,
    int lid_migrated, size_t *len);
uint8_t *payload_registration(
    const struct payload_client *c, const struct account_device *d, size_t *len);

#endif
