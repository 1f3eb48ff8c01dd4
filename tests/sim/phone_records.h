/* Bounded lists of what a phone got: its inbox, its receipts. */
#ifndef SIM_PHONE_RECORDS_H
#define SIM_PHONE_RECORDS_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct record {
	uint64_t seq; /* from 1 on */
	char id[64], from[64], chat[64], kind[24], type[12];
	char *text;   /* malloc'd, may be NULL */
	json_t *more; /* of a message that is no plain text */
	int64_t t, at_ms;
	int own; /* an own companion sent it */
};

struct records {
	struct record *all; /* a ring */
	size_t cap, count, max;
	uint64_t last;
};

void records_init(struct records *r, size_t max);
void records_clear(struct records *r);
/* A new, zeroed one at the end (the oldest goes when there are too many). */
struct record *records_add(struct records *r);
/* The record of that number, or NULL if it is gone or not there yet. */
struct record *records_get(const struct records *r, uint64_t seq);
struct record *records_find(const struct records *r, const char *id); /* the newest with that id */
json_t *records_json(const struct records *r, uint64_t after, size_t limit);

#endif
