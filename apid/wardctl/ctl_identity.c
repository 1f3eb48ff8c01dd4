/* wardctl identity safety-number: the digits in groups and the QR code, for two people to compare.
 */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "apid/wardctl/ctl.h"

#define PER_LINE 4 /* groups of five digits, as phones show them */

struct style {
	struct ctl *c;
	int style; /* -1 = not said */
	int failed;
};

static int
own_option(void *arg, const char *name, const char *value)
{
	struct style *s = arg;

	if (strcmp(name, "qr") != 0 || value == NULL)
		return 0;
	if ((s->style = qr_style_parse(value)) == -1) {
		ctl_say(s->c, "--qr must be utf8, ansi or text");
		s->failed = 1;
	}
	return 2;
}

static void
draw(struct style *s, const char *b64)
{
	int colour = s->c->out_tty && getenv("NO_COLOR") == NULL;
	size_t max = strlen(b64), len;
	uint8_t *bytes = malloc(max + 1);

	if (bytes == NULL ||
	    sodium_base642bin(
		bytes, max + 1, b64, max, NULL, &len, NULL, sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    qr_draw_bytes(s->c->out, bytes, len, s->style == -1 ? QR_UTF8 : (enum qr_style)s->style,
		colour) == -1)
		ctl_say(s->c, "it does not fit into a QR code: compare the digits");
	free(bytes);
}

static void
show(struct style *s, const json_t *result)
{
	const char *digits = json_string_value(json_object_get(result, "digits"));
	const char *qr = json_string_value(json_object_get(result, "qr_b64"));
	size_t n = digits == NULL ? 0 : strlen(digits);

	if (qr != NULL)
		draw(s, qr);
	for (size_t i = 0; i + 5 <= n; i += 5)
		fprintf(s->c->out, "%.5s%s", digits + i,
		    i / 5 % PER_LINE == PER_LINE - 1 || i + 10 > n ? "\n" : " ");
	if (!s->c->quiet)
		fputs("If the other side shows the same: wardctl identity verify PARTY DIGITS\n",
		    s->c->out);
}

int
ctl_safety_number(struct ctl *c, int argc, char **argv)
{
	const struct api_method *m = api_method_find("identity.safety_number");
	struct style s = {.c = c, .style = -1};
	json_t *params, *result = NULL;
	int r = ctl_params(c, m, argc, argv, own_option, &s, &params);

	if (r != 0)
		return r;
	if (s.failed || (r = ctl_connect(c)) != 0) {
		json_decref(params);
		return s.failed ? EX_USAGE_ : r;
	}
	r = ctl_call(c, m->name, params, &result);
	if (r == 0 && (ctl_human(c) || s.style != -1))
		show(&s, result);
	else if (r == 0)
		ctl_put_json(c, result);
	json_decref(result);
	return r;
}
