/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fake_qmp: a scripted QMP peer on a Unix socket, in the same event loop as what it tests.
 *
 * A script is an array of steps that ends with FQ_END; each waits for what it needs. FQ_SERVE leaves the script and answers from
 * a table from there on. What the client does that the script did not expect ends the test's hopes: fake_qmp_failure().
 */
#ifndef GANGWAY_FAKE_QMP_H
#define GANGWAY_FAKE_QMP_H

#include <stdbool.h>
#include <systemd/sd-event.h>

struct fake_qmp;

enum fake_qmp_do {
	FQ_END,
	FQ_ACCEPT, /* wait for a client */
	FQ_GREET, /* @a: version as JSON object members, NULL: 11.1.3 */
	FQ_EXPECT, /* wait for command @a whose arguments contain text @b (NULL: any) */
	FQ_RETURN, /* @a: value (NULL: {}). @n: to which command: 0 the last expected, 1 the one before ... */
	FQ_ERROR, /* @a: class, @b: text. @n as above */
	FQ_EVENT, /* @a: name, @b: data (NULL: none) */
	FQ_RAW, /* @a: bytes as they are, @n more times */
	FQ_PAUSE, /* @n: milliseconds */
	FQ_CLOSE, /* the connection, once all is written */
	FQ_CLOSED, /* wait for the client to close */
	FQ_DIE, /* connection and listener, and the socket file: a VMM that exits */
	FQ_REFUSE, /* close the listener, leave the file: a VMM that was killed */
	FQ_LISTEN, /* again */
	FQ_SERVE, /* answer from the table; unknown commands are CommandNotFound */
};

struct fake_qmp_step {
	enum fake_qmp_do what;
	const char *a, *b;
	unsigned n;
};

/* clang-format off */
#define fq_do(step) { .what = (step) }
#define fq_end { .what = FQ_END }
#define fq_greet(version) { .what = FQ_GREET, .a = (version) }
#define fq_expect(command) { .what = FQ_EXPECT, .a = (command) }
#define fq_expect_with(command, text) { .what = FQ_EXPECT, .a = (command), .b = (text) }
#define fq_return(value) { .what = FQ_RETURN, .a = (value) }
#define fq_return_to(before, value) { .what = FQ_RETURN, .a = (value), .n = (before) }
#define fq_error(class, text) { .what = FQ_ERROR, .a = (class), .b = (text) }
#define fq_event(name, data) { .what = FQ_EVENT, .a = (name), .b = (data) }
#define fq_raw(text) { .what = FQ_RAW, .a = (text) }
#define fq_fill(text, times) { .what = FQ_RAW, .a = (text), .n = (times) - 1 }
#define fq_pause(ms) { .what = FQ_PAUSE, .n = (ms) }
/* Accept, greet, negotiate: what most scripts begin with. vmm asks for the status, its traits and its migration on top. */
#define fq_hello fq_do(FQ_ACCEPT), fq_do(FQ_GREET), fq_expect("qmp_capabilities"), fq_return("{}")
#define fq_hello_vmm fq_hello, fq_expect("query-status"), fq_return("{\"status\": \"running\", \"running\": true}"), \
	fq_expect("device-list-properties"), fq_return("[]"), fq_expect("device-list-properties"), fq_return("[]"), \
	fq_expect("qom-list"), fq_return("[]"), \
	fq_expect("query-migrate-capabilities"), fq_return("[{\"capability\": \"events\", \"state\": true}]"), \
	fq_expect("query-migrate"), fq_return("{}")
/* clang-format on */

struct fake_qmp_answer {
	const char *command;
	const char *match; /* text in the arguments, NULL: any; the first row that fits answers */
	const char *reply; /* "\"return\": ..." or "\"error\": {...}"; NULL: no answer */
};

/* Listens on @path at once. @script NULL: FQ_SERVE. Aborts the test when it cannot. */
struct fake_qmp *fake_qmp_new(sd_event *event, const char *path, const struct fake_qmp_step *script);
void fake_qmp_free(struct fake_qmp *peer);

void fake_qmp_table(struct fake_qmp *peer, const struct fake_qmp_answer *answers); /* ends with a row of NULLs */
void fake_qmp_event(struct fake_qmp *peer, const char *name, const char *data);
void fake_qmp_die(struct fake_qmp *peer);
void fake_qmp_lose(struct fake_qmp *peer); /* the connection; who serves takes the next one */

bool fake_qmp_finished(const struct fake_qmp *peer); /* the script has come to its end */
const char *fake_qmp_failure(const struct fake_qmp *peer); /* NULL: as expected so far */
unsigned fake_qmp_count(const struct fake_qmp *peer, const char *command); /* how often @command came (served ones) */
/* Arguments, as JSON with sorted keys, of the @n-th @command (from 0); "" there was none. */
const char *fake_qmp_args(const struct fake_qmp *peer, const char *command, unsigned n);
int fake_qmp_last_fd(struct fake_qmp *peer); /* descriptor that came last, the caller's; -1 none */

#endif
