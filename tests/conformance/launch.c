/* Starts another program in its own place: for the parent, which starts programs, not scripts. The
 * command line, one argument a line, lies beside it: in its own path with ".args" behind. */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ARGS_MAX 16

int
main(void)
{
	char path[4096], text[4096], *argv[ARGS_MAX + 1] = {NULL}, *line, *rest;
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof(".args"));
	int fd, count = 0;

	if (n <= 0)
		err(1, "/proc/self/exe");
	memcpy(path + n, ".args", sizeof(".args"));
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		err(1, "%s", path);
	if ((n = read(fd, text, sizeof(text) - 1)) <= 0)
		err(1, "%s", path);
	text[n] = '\0';
	close(fd);
	for (line = strtok_r(text, "\n", &rest); line != NULL && count < ARGS_MAX;
	     line = strtok_r(NULL, "\n", &rest))
		argv[count++] = line;
	if (argv[0] == NULL)
		errx(1, "%s: no program", path);
	execv(argv[0], argv);
	err(1, "%s", argv[0]);
}
