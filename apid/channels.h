/* The channels of apid: what keyd, netd and stored may send unasked, as tables. */
#ifndef WARD_CHANNELS_H
#define WARD_CHANNELS_H

#include "apid/service.h"

/* Opens all three. owner is given to on_broken and on_closed as it is; *svc_of(owner) must be found
 * by the rows, so owner is a struct child whose owner is the service. Dies when it cannot. */
void channels_open(struct service *s, void *owner, int keyd_fd, int netd_fd, int stored_fd,
    void (*on_broken)(struct channel *, void *, const char *),
    void (*on_closed)(struct channel *, void *));
void channels_close(struct service *s);

extern const struct channel_row channels_from_netd[];
extern const size_t channels_nfrom_netd;
extern const struct channel_row channels_from_stored[];
extern const size_t channels_nfrom_stored;
/* keyd sends nothing unasked: its table is empty. */

#endif
