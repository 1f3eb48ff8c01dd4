/* How a run ends is kept for the next one: a byte for each run in a row that a process ended by a
 * fault of its own; empty after any other end. */
#include "sandbox/ward.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

#define NAME    "ended"
#define MOST    64u              /* runs that are counted */
#define LONG_MS INT64_C(3600000) /* a run that lasted so long begins the row anew */

/* Opened and emptied at the start, since the parent can open nothing later. The folder is stored's:
 * nothing in it is trusted to be what it was. */
void
ward_open_ended(struct ward *w)
{
	struct stat st;
	char c[MOST];
	ssize_t n;

	w->ended =
	    openat(w->data, NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (w->ended == -1 || fstat(w->ended, &st) == -1 || !S_ISREG(st.st_mode) ||
	    st.st_nlink != 1 || (st.st_uid != w->uid[ROLE_STORED] && st.st_uid != geteuid())) {
		log_warnx(
		    "data folder: %s cannot be used: it is not known how the last run ended", NAME);
		if (w->ended != -1)
			close(w->ended);
		w->ended = -1;
		return;
	}
	n = read(w->ended, c, sizeof(c));
	w->ended_bad = n > 0 ? (unsigned)n : 0;
	w->began_ms = clock_mono_ms();
	if (ftruncate(w->ended, 0) == -1 || lseek(w->ended, 0, SEEK_SET) == -1 ||
	    fchown(w->ended, w->uid[ROLE_STORED], w->gid[ROLE_STORED]) == -1)
		log_warn("data folder: %s", NAME);
}

/* Somebody who kills a process says nothing about what it was doing. */
void
ward_note_end(struct ward *w)
{
	char row[MOST];
	size_t n = clock_mono_ms() - w->began_ms < LONG_MS ? w->ended_bad + 1 : 1;

	if (n > MOST)
		n = MOST;
	memset(row, '1', n);
	if (w->ended != -1 && w->fault && !w->outside && write(w->ended, row, n) != (ssize_t)n)
		log_warn("it cannot be kept how the service ended");
}
