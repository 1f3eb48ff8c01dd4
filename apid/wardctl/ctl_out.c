/* Output: tables for people, JSON lines for programs, and nothing that could drive a terminal. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "apid/wardctl/ctl.h"

#define COLUMN_MAX 48

int
ctl_human(const struct ctl *c)
{
	return c->format == CTL_TABLE || (c->format == CTL_AUTO && c->out_tty);
}

/* One character of UTF-8: its code point and length; length 0 if it is none. */
static uint32_t
decode(const uint8_t *p, size_t *len)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = p[0] < 0x80                   ? 1
		   : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
		   : (p[0] & 0xf0) == 0xe0       ? 3
		   : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
						 : 0;
	uint32_t v = n == 1 ? p[0] : n > 0 ? p[0] & (0x7fu >> n) : 0;

	*len = 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80) /* also the NUL */
			return 0;
		v = v << 6 | (p[i] & 0x3f);
	}
	if (n > 1 && (v < least[n] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff)))
		return 0;
	*len = n;
	return v;
}

/* What a terminal obeys, or what makes text read otherwise than it is. */
static int
forbidden(uint32_t v)
{
	return v < 0x20 || (v >= 0x7f && v < 0xa0) || v == 0x200e || v == 0x200f || v == 0x2028 ||
	       v == 0x2029 || (v >= 0x202a && v <= 0x202e) || (v >= 0x2066 && v <= 0x2069) ||
	       v == 0xfeff;
}

void
ctl_put_text(FILE *f, const char *text)
{
	const uint8_t *p = (const uint8_t *)text;

	while (*p != '\0') {
		size_t len;
		uint32_t v = decode(p, &len);

		if (len == 0) {
			fprintf(f, "\\x%02x", *p++);
			continue;
		}
		if (v == '\n')
			fputs("\\n", f);
		else if (v == '\t')
			fputs("\\t", f);
		else if (v == '\\')
			fputs("\\\\", f);
		else if (forbidden(v))
			fprintf(f, v < 0x80 ? "\\x%02x" : "\\u%04x", v);
		else
			fwrite(p, 1, len, f);
		p += len;
	}
}

void
ctl_put_json(struct ctl *c, const json_t *v)
{
	/* on a terminal nothing but ASCII: no control character of another alphabet gets through */
	size_t flags = JSON_COMPACT | JSON_ENCODE_ANY | (c->out_tty ? JSON_ENSURE_ASCII : 0);
	char *text = json_dumps(v, flags);

	for (const char *p = text; p != NULL && *p != '\0'; p++)
		if (*p == 0x7f && c->out_tty) /* ASCII too, so jansson leaves it */
			fputs("\\u007f", c->out);
		else
			fputc(*p, c->out);
	fputc('\n', c->out);
	free(text);
}

/* ------------------------------------------------------------------ tables */

static void
format_time(char *out, size_t size, int64_t ms)
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;

	if (ms <= 0 || localtime_r(&t, &tm) == NULL || strftime(out, size, "%F %T", &tm) == 0)
		snprintf(out, size, "%lld", (long long)ms);
}

static int
ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

/* A value as text; malloc'd. */
static char *
value_text(const char *name, const json_t *v)
{
	char time_text[40];

	if (v == NULL || json_is_null(v))
		return strdup("-");
	if (json_is_string(v))
		return strdup(json_string_value(v));
	if (json_is_boolean(v))
		return strdup(json_is_true(v) ? "yes" : "no");
	if (json_is_integer(v) && ends_with(name, "_ms") && !ends_with(name, "age_ms") &&
	    !ends_with(name, "timeout_ms")) {
		format_time(time_text, sizeof(time_text), json_integer_value(v));
		return strdup(time_text);
	}
	return json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
}

/* Columns that a character takes are not known here; bytes that continue one take none. */
static size_t
text_width(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((uint8_t)*s & 0xc0) != 0x80;
	return n;
}

static char *
escaped(char *raw)
{
	char *out = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&out, &len);

	if (f == NULL)
		return raw;
	ctl_put_text(f, raw != NULL ? raw : "?");
	fclose(f);
	free(raw);
	return out;
}

static int
column_used(const json_t *list, const char *name)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_object_get(json_array_get(list, i), name);

		if (v != NULL && !json_is_null(v))
			return 1;
	}
	return 0;
}

static void
put_cell(FILE *f, const char *text, size_t width, int last)
{
	size_t n = text_width(text);

	fputs(text, f);
	if (!last) /* also behind what is wider than its column */
		do
			fputc(' ', f);
		while (++n < width + 2);
}

/* Only the columns that hold something. */
static void
put_list(FILE *f, const struct api_field *fields, const json_t *list)
{
	const struct api_field *used[32];
	size_t width[32], n = 0, rows = json_array_size(list);
	char **cell;

	for (; fields != NULL && fields->name != NULL && n < 32; fields++)
		if (column_used(list, fields->name)) {
			used[n] = fields;
			width[n++] = strlen(fields->name);
		}
	if (n == 0 || (cell = calloc(rows * n, sizeof(char *))) == NULL)
		return;
	for (size_t i = 0; i < rows * n; i++) {
		const char *name = used[i % n]->name;
		const json_t *v = json_object_get(json_array_get(list, i / n), name);
		size_t w;

		cell[i] = escaped(value_text(name, v));
		w = cell[i] != NULL ? text_width(cell[i]) : 0;
		if (w > width[i % n] && w <= COLUMN_MAX)
			width[i % n] = w;
	}
	for (size_t k = 0; k < n; k++)
		put_cell(f, used[k]->name, width[k], k + 1 == n);
	fputc('\n', f);
	for (size_t i = 0; i < rows * n; i++) {
		put_cell(f, cell[i] != NULL ? cell[i] : "?", width[i % n], i % n + 1 == n);
		if (i % n + 1 == n)
			fputc('\n', f);
		free(cell[i]);
	}
	free(cell);
}

static void
put_object(FILE *f, const json_t *o, int indent)
{
	json_t *obj = (json_t *)(uintptr_t)o, *v; /* jansson's iterators want no const */
	const char *name;

	json_object_foreach(obj, name, v)
	{
		char *text;

		fprintf(f, "%*s", indent, "");
		ctl_put_text(f, name);
		if (json_is_object(v)) {
			fputs(":\n", f);
			put_object(f, v, indent + 2);
			continue;
		}
		text = escaped(value_text(name, v));
		fprintf(f, ": %s\n", text != NULL ? text : "?");
		free(text);
	}
}

/* The one list that a result is about, if it is. */
static const struct api_field *
main_list(const struct api_field *fields)
{
	const struct api_field *list = NULL;

	for (; fields != NULL && fields->name != NULL; fields++)
		if (fields->type == API_LIST && list == NULL)
			list = fields;
	return list;
}

void
ctl_put_result(struct ctl *c, const struct api_field *fields, const json_t *result)
{
	const struct api_field *list = main_list(fields);
	const json_t *items = list != NULL ? json_object_get(result, list->name) : NULL;

	if (!ctl_human(c)) {
		if (items == NULL)
			ctl_put_json(c, result);
		for (size_t i = 0; i < json_array_size(items); i++)
			ctl_put_json(c, json_array_get(items, i));
		return;
	}
	if (items == NULL) {
		put_object(c->out, result, 0);
		return;
	}
	for (const struct api_field *f = fields; f->name != NULL; f++) {
		const json_t *v = json_object_get(result, f->name);

		if (f != list && v != NULL) {
			char *text = escaped(value_text(f->name, v));

			fprintf(c->out, "%s: %s\n", f->name, text != NULL ? text : "?");
			free(text);
		}
	}
	put_list(c->out, list->fields, items);
}

/* ------------------------------------------------------------------ events */

static const char *
first_string(const json_t *o, const char *a, const char *b, const char *d)
{
	const char *const names[] = {a, b, d};

	for (size_t i = 0; i < 3; i++) {
		const char *s = json_string_value(json_object_get(o, names[i]));

		if (s != NULL && s[0] != '\0')
			return s;
	}
	return NULL;
}

static int
put_message(FILE *f, const json_t *body)
{
	const json_t *m = json_object_get(body, "message");
	const json_t *content = json_object_get(m, "content");
	const char *who = first_string(json_object_get(m, "sender"), "push_name", "phone", "id");
	const char *text = json_string_value(json_object_get(content, "text"));
	const char *kind = json_string_value(json_object_get(content, "kind"));

	if (m == NULL)
		return 0;
	ctl_put_text(f, who != NULL ? who : "?");
	fputs(": ", f);
	if (text != NULL) {
		ctl_put_text(f, text);
	} else {
		fputc('[', f);
		ctl_put_text(f, kind != NULL ? kind : "?");
		fputc(']', f);
	}
	return 1;
}

void
ctl_put_event(struct ctl *c, const json_t *event)
{
	const char *type = json_string_value(json_object_get(event, "type"));
	const char *account = json_string_value(json_object_get(event, "account"));
	const json_t *body = json_object_get(event, "body");
	char when[40];

	format_time(when, sizeof(when), json_integer_value(json_object_get(event, "time_ms")));
	fprintf(c->out, "%s  ", when);
	ctl_put_text(c->out, account != NULL && account[0] != '\0' ? account : "-");
	fputs("  ", c->out);
	ctl_put_text(c->out, type != NULL ? type : "?");
	fputs("  ", c->out);
	if (!put_message(c->out, body)) {
		char *text = escaped(json_dumps(body, JSON_COMPACT));

		fputs(text != NULL ? text : "?", c->out);
		free(text);
	}
	fputc('\n', c->out);
}
