/* What the files of typing share; nobody else includes it. */
#ifndef WARD_TYPING_IMPL_H
#define WARD_TYPING_IMPL_H

#include <sys/queue.h>

#include "apid/session/account.h"
#include "apid/session/presence_parse.h"

struct typed;
struct asked;
struct typist;

struct typing {
	struct account *a;
	TAILQ_HEAD(typed_list, typed) out;
	size_t nout;
	TAILQ_HEAD(asked_list, asked) asked;
	TAILQ_HEAD(typist_list, typist) in;
	size_t nin;
};

/* typing_in.c */
void typing_in_clear(struct typing *t);

#endif
