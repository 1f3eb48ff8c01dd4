/* Runs in a row that a process ended by a fault: whatever it is that ends them, the service is not
 * to connect every two seconds for ever. Which account it is, and which of its frames, nobody knows
 * but where a stanza is found (poison.h). */
#ifndef WARD_FAULTS_H
#define WARD_FAULTS_H

#include "apid/session/account.h"

#define FAULTS_FREE     4u /* runs: poison needs three */
#define FAULTS_STOP     12u
#define FAULTS_FIRST_MS 10000u  /* then double, run by run */
#define FAULTS_MOST_MS  600000u /* the row is forgotten by ward after a run of an hour */

/* How many, of the report of the parent. */
unsigned faults_in_row(const char *report);
/* At the start: connect_start, or later (state backoff, crash_loop), or not before account.resume
 * (stopped, crash_loop). */
void faults_connect(struct account *a, const char *reason);

#endif
