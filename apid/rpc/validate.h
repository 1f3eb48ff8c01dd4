/* Parameters of a request against the table of the API. */
#ifndef WARD_VALIDATE_H
#define WARD_VALIDATE_H

#include <stddef.h>

#include <jansson.h>

#include "apid/rpc/api_table.h"

/* params may be NULL (none). 0, or -1 with what is wrong in message and where in path. */
int validate_params(const struct api_method *m, const json_t *params, char *path, size_t path_size,
    char *message, size_t message_size);

#endif
