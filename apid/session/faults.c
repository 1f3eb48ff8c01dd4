/* Runs in a row that a process ended by a fault: accounts connect later and later, then not at all.
 */
#include "apid/session/faults.h"

#include <string.h>

#include "apid/session/connect.h"
#include "apid/session/state.h"
#include "common/log.h"

#define KEY    "service.last_end_fault="
#define REASON "crash_loop"

unsigned
faults_in_row(const char *report)
{
	const char *at = strstr(report, KEY);
	unsigned n = 0;

	for (at = at == NULL ? "" : at + strlen(KEY); *at >= '0' && *at <= '9' && n < 1000; at++)
		n = n * 10 + (unsigned)(*at - '0');
	return n;
}

void
faults_connect(struct account *a, const char *reason)
{
	unsigned n = a->svc->last_end_fault, delay = FAULTS_FIRST_MS;

	if (n < FAULTS_FREE) {
		connect_start(a, reason);
		return;
	}
	if (n >= FAULTS_STOP) {
		log_errx(
		    "account %s: the service was ended by a fault %u times in a row: it does not "
		    "connect until account.resume",
		    a->name, n);
		state_set(a, ACCOUNT_STOPPED, REASON, 0, "operator", 0, 0);
		return;
	}
	for (unsigned i = FAULTS_FREE; i < n && delay < FAULTS_MOST_MS; i++)
		delay *= 2;
	if (delay > FAULTS_MOST_MS)
		delay = FAULTS_MOST_MS;
	log_warnx(
	    "account %s: the service was ended by a fault %u times in a row: connecting in %u s",
	    a->name, n, delay / 1000);
	connect_later(a, REASON, delay);
}
