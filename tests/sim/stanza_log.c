/* stanzas.log: every stanza in both directions, with times. Written in large pieces. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/buf.h"
#include "common/log.h"
#include "tests/sim/loop.h"
#include "tests/sim/stanza_log.h"

static FILE *file;
static int with_content, flush_due;

int
stanza_log_open(const char *dir, int content)
{
	char path[4096];

	if (snprintf(path, sizeof(path), "%s/stanzas.log", dir) >= (int)sizeof(path) ||
	    (file = fopen(path, "a")) == NULL)
		return -1;
	setvbuf(file, NULL, _IOFBF, 256 * 1024);
	with_content = content;
	return 0;
}

void
stanza_log_close(void)
{
	if (file != NULL && fclose(file) != 0)
		log_warn("stanzas.log is not complete");
	file = NULL;
}

void
stanza_log_flush(void)
{
	if (file != NULL)
		fflush(file);
}

static void
flush_later(void *arg)
{
	(void)arg;
	flush_due = 0;
	stanza_log_flush();
}

static void
put_head(const struct party *p, const char *what)
{
	int64_t ms = loop_now_ms();
	time_t s = (time_t)(ms / 1000);
	struct tm tm;
	char when[16];

	gmtime_r(&s, &tm);
	strftime(when, sizeof(when), "%H:%M:%S", &tm);
	fprintf(file, "%s.%03d #%llu ", when, (int)(ms % 1000), (unsigned long long)p->conn);
	if (p->account != NULL)
		fprintf(file, "%s:%d %s ", p->account->name, p->device, what);
	else
		fprintf(file, "- %s ", what);
	if (!flush_due) {
		flush_due = 1;
		loop_after(200, flush_later, NULL, NULL);
	}
}

void
stanza_log_write(const struct party *p, enum direction dir, const struct node *n)
{
	struct buf text = BUF_INIT;

	if (file == NULL)
		return;
	if (with_content)
		node_dump(n, &text);
	else
		node_describe(n, &text);
	put_head(p, dir == DIR_IN ? "<-" : "->");
	fwrite(text.data, 1, text.len, file);
	fputc('\n', file);
	buf_clear(&text);
}

void
stanza_log_note(const struct party *p, const char *fmt, ...)
{
	va_list ap;

	if (file == NULL)
		return;
	put_head(p, "--");
	va_start(ap, fmt);
	vfprintf(file, fmt, ap);
	va_end(ap);
	fputc('\n', file);
}
