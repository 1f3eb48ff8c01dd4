/* How a run ends is kept for the next one: by a fault of a process, or in any other way. */
#include "sandbox/ward.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <unistd.h>

#include "common/log.h"

#define NAME "ended"

/* Opened and emptied at the start, since the parent can open nothing later. The folder is stored's:
 * nothing in it is trusted to be what it was. */
void
ward_open_ended(struct ward *w)
{
	struct stat st;
	char c;

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
	w->ended_bad = read(w->ended, &c, 1) == 1;
	if (ftruncate(w->ended, 0) == -1 || lseek(w->ended, 0, SEEK_SET) == -1 ||
	    fchown(w->ended, w->uid[ROLE_STORED], w->gid[ROLE_STORED]) == -1)
		log_warn("data folder: %s", NAME);
}

/* Somebody who kills a process says nothing about what it was doing. */
void
ward_note_end(struct ward *w)
{
	if (w->ended != -1 && w->fault && !w->outside && write(w->ended, "1", 1) != 1)
		log_warn("it cannot be kept how the service ended");
}
