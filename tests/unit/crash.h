/* A process that dies in the middle of what it does. */
#ifndef WARD_TEST_CRASH_H
#define WARD_TEST_CRASH_H

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* As by kill -9. By way of a shell: memcheck takes raise(SIGKILL) for an exit, and looks for what
 * was not freed. */
static inline void
crash_now(void)
{
	(void)execl("/bin/sh", "sh", "-c", "kill -KILL $$", (char *)NULL);
	abort(); /* there is no shell */
}

#endif
