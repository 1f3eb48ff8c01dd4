/* Log lines of every process: to the parent's pipe when confined, to standard error otherwise. */
#ifndef WARD_LOG_H
#define WARD_LOG_H

enum log_level {
	LOG_LV_ERR,
	LOG_LV_WARN,
	LOG_LV_NOTICE,
	LOG_LV_INFO,
	LOG_LV_DEBUG
};

/* name: the process ("keyd"). fd: the pipe to the parent (one record a write: level digit, text,
 * newline), or -1 for readable lines on standard error. */
void log_open(const char *name, int fd);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* "err", "warn", "notice", "info", "debug" -> level; -1 if none. */
int log_level_parse(const char *text);

/* All save and restore errno, escape control characters, cut at 1 KiB. The plain forms append
 * strerror(errno); the x forms do not. */
void log_err(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_errx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warnx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_notice(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Cannot go on: log at err level and exit 1. */
void fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
void fatalx(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* A bound for lines that a remote party can cause: 10 at once, then one a second; what was left out
 * is counted and said with the next line. One static struct a place. */
struct log_limit {
	double tokens;
	long last_ms;
	unsigned dropped;
};
#define LOG_LIMIT_INIT                                                                             \
	{                                                                                          \
		10, 0, 0                                                                           \
	}
/* 1 = log it now (prints "N similar lines dropped" first when needed), 0 = keep silent. */
int log_allowed(struct log_limit *l);

/* A short stable tag for a JID or phone number that must not be in a log: "p:" and 8 hex digits of
 * a hash that is keyed anew in each process. Static buffer, valid until the 4th next call. */
const char *log_redact(const char *text);

#endif
