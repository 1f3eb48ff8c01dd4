/* What a message stanza says about the content inside (protocol page 04, 6.1 to 6.4, 9.5). */
#ifndef WARD_STANZA_KIND_H
#define WARD_STANZA_KIND_H

#include <stddef.h>
#include <stdint.h>

#include "common/proto/e2e.pb-c.h"

struct stanza_kind {
	const char *type;      /* text, media, reaction, poll, event */
	const char *mediatype; /* of each enc; NULL: none */
	const char
	    *edit; /* 1 edit, 2 pin, 7 taken back, 8 taken back by an administrator; or NULL */
	int hide;  /* each enc: decrypt-fail=hide */
	const char *meta, *meta_value; /* an attribute of <meta>, or NULL */
};

void stanza_kind(const E2e__Message *m, struct stanza_kind *k);
/* The same of an encoded message; a plain text if it cannot be read. */
void stanza_kind_of(const uint8_t *message, size_t len, struct stanza_kind *k);

#endif
