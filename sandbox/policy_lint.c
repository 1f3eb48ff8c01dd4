/* Reads the policy table with suspicion: rows that say nothing, the same, or the opposite. */
#include "sandbox/policy.h"

#include <seccomp.h>
#include <stdio.h>
#include <string.h>

static size_t
conds(const struct policy_call *c)
{
	size_t n = 0;

	while (n < POLICY_CONDS && c->cond[n].kind != VALUE_NONE)
		n++;
	return (n);
}

/* Does b's condition make a's true? */
static int
cond_implied(const struct policy_cond *a, const struct policy_cond *b)
{
	if (a->arg != b->arg || a->kind != b->kind)
		return (0);
	if (a->kind != VALUE_FIXED)
		return (1);
	return ((a->mask & ~b->mask) == 0 && (b->value & a->mask) == a->value);
}

/* Does row a match all that row b matches? Then one of them is dead. */
static int
row_covers(const struct policy_call *a, const struct policy_call *b)
{
	size_t i, j;

	for (i = 0; i < conds(a); i++) {
		for (j = 0; j < conds(b); j++) {
			if (cond_implied(&a->cond[i], &b->cond[j]))
				break;
		}
		if (j == conds(b))
			return (0);
	}
	return (1);
}

/* Is there an argument that can never satisfy both? */
static int
rows_disjoint(const struct policy_call *a, const struct policy_call *b)
{
	size_t i, j;

	for (i = 0; i < conds(a); i++) {
		for (j = 0; j < conds(b); j++) {
			const struct policy_cond *x = &a->cond[i], *y = &b->cond[j];

			if (x->arg == y->arg && x->kind == VALUE_FIXED && y->kind == VALUE_FIXED &&
			    ((x->value ^ y->value) & x->mask & y->mask) != 0)
				return (1);
		}
	}
	return (0);
}

static int
lint_row(const struct policy_call *c, char *err, size_t size)
{
	size_t i, j;

	if (seccomp_syscall_resolve_name(c->name) == __NR_SCMP_ERROR) {
		snprintf(err, size, "%s: no such system call", c->name);
		return (-1);
	}
	if (c->reason == NULL || c->reason[0] == '\0') {
		snprintf(err, size, "%s: a row without a reason", c->name);
		return (-1);
	}
	if (c->soft < 0 || c->soft > 4095) {
		snprintf(err, size, "%s: no such errno: %d", c->name, c->soft);
		return (-1);
	}
	for (i = 0; i < conds(c); i++) {
		const struct policy_cond *x = &c->cond[i];

		if (x->arg > 5 || (x->value & ~x->mask) != 0) {
			snprintf(err, size, "%s: a condition that can never hold", c->name);
			return (-1);
		}
		for (j = 0; j < i; j++) {
			if (c->cond[j].arg == x->arg) {
				snprintf(err, size, "%s: two conditions on argument %u", c->name,
				    x->arg);
				return (-1);
			}
		}
	}
	return (0);
}

int
policy_lint(const struct policy *p, char *err, size_t size)
{
	const struct policy_call *a, *b;
	size_t i, j;

	for (i = 0; (a = policy_row(p, i)) != NULL; i++) {
		if (lint_row(a, err, size) == -1)
			return (-1);
		for (j = 0; j < i; j++) {
			b = policy_row(p, j);
			if (strcmp(a->name, b->name) != 0)
				continue;
			if (row_covers(a, b) || row_covers(b, a)) {
				snprintf(err, size,
				    "%s: one row makes another dead (\"%s\", \"%s\")", a->name,
				    b->reason, a->reason);
				return (-1);
			}
			if (a->soft != b->soft && !rows_disjoint(a, b)) {
				snprintf(err, size,
				    "%s: allowed and denied at once (\"%s\", \"%s\")", a->name,
				    b->reason, a->reason);
				return (-1);
			}
		}
	}
	return (0);
}

unsigned
policy_calls_allowed(const struct policy *p)
{
	const struct policy_call *c, *d;
	unsigned n = 0;
	size_t i, j;

	for (i = 0; (c = policy_row(p, i)) != NULL; i++) {
		if (c->soft != 0 || seccomp_syscall_resolve_name(c->name) < 0)
			continue;
		for (j = 0; j < i; j++) {
			d = policy_row(p, j);
			if (d->soft == 0 && strcmp(d->name, c->name) == 0)
				break;
		}
		if (j == i)
			n++;
	}
	return (n);
}
