/* free() for this whole process: everything is wiped, also what libsignal and OpenSSL let go of.
 *
 * libsignal frees the records that it was given, its own copies of keys and its protobuf structures
 * as they are. A definition of free() in the program is the one that every library calls; the C
 * library's own does the rest. The sanitizers have one of their own, which this must not hide. */
#ifndef WARD_SANITIZED

#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static void (*real_free)(void *);

/* Before main, so that nothing is looked up later. */
__attribute__((constructor)) static void
free_find(void)
{
	*(void **)&real_free = dlsym(RTLD_NEXT, "free");
}

__attribute__((visibility("default"))) void
free(void *p)
{
	if (p == NULL || real_free == NULL)
		return; /* what the loader frees before the constructors stays: a few bytes, once */
	explicit_bzero(p, malloc_usable_size(p));
	real_free(p);
}

#endif
