/* Small tools on node trees that routing needs: copies and standard answers. */
#ifndef SIM_NODES_H
#define SIM_NODES_H

#include "common/wire/node.h"

/* A deep copy of src, as a tree of its own or as the last child of parent (which is returned). */
struct node *nodes_copy(const struct node *src);
struct node *nodes_add_copy(struct node *parent, const struct node *src);
/* Copies one attribute under the same name, if src has it. */
void nodes_copy_attr(struct node *dst, const struct node *src, const char *key);
/* The text of an attribute, "" if absent. */
const char *nodes_attr(const struct node *n, const char *key);
/* The i-th child of that tag, or NULL. */
struct node *nodes_nth(const struct node *n, const char *tag, size_t i);
/* A child of that tag anywhere up to `depth` levels below. */
int nodes_has(const struct node *n, const char *tag, int depth);
/* Byte content of n itself: exactly len bytes into out, or -1. */
int nodes_fixed(const struct node *n, const char *tag, void *out, size_t len);

/* <iq type=result id=… from=…> for a request; from is what its `to` was, else the service. */
struct node *nodes_result(const struct node *iq);
/* <iq type=error> with <error code text>. */
struct node *nodes_error(const struct node *iq, int code, const char *text);
/* The usual text of an error code. */
const char *nodes_error_text(int code);

#endif
