/* What the benches of stored share: time, its percentiles, and the rate of the disk's own syncs. */
#ifndef WARD_BENCH_H
#define WARD_BENCH_H

#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define DISK_MS 1000

static inline int64_t
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static inline int
by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The limit: a page appended and synced, again and again. Per second. */
static inline double
disk_rate(void)
{
	static const uint8_t page[4096];
	int fd = open("disk", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), n = 0;
	int64_t began = now_us();

	if (fd == -1)
		err(1, "disk");
	while (now_us() - began < DISK_MS * 1000) {
		if (write(fd, page, sizeof(page)) != (ssize_t)sizeof(page) || fdatasync(fd) == -1)
			err(1, "disk");
		n++;
	}
	close(fd);
	unlink("disk");
	return n / ((double)(now_us() - began) / 1e6);
}

#endif
