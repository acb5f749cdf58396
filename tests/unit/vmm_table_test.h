/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests share of questions that take more than one answer: a VMM that answers by a table, or dies at each of them in turn. */
#ifndef GANGWAY_VMM_TABLE_TEST_H
#define GANGWAY_VMM_TABLE_TEST_H

#include "vmm_test.h"

/* clang-format off */
#define IS(value) "\"return\": " value
#define GONE "\"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"Device not found\"}"
/* QEMU's object tree: devices with an id, and without one */
#define TYPE "{\"name\": \"type\", \"type\": \"string\"}"
#define DEV(id, type) ", {\"name\": \"" id "\", \"type\": \"child<" type ">\"}"
#define DEVS(list) { "qom-list", "/machine/peripheral\"", IS("[" TYPE list "]") }
#define ANON(list) { "qom-list", "/machine/peripheral-anon\"", IS("[" TYPE list "]") }
/* clang-format on */

/* Begin to ask, for who is called back with @o in its result. */
typedef int (*ask_fn)(struct outcome *o);

static inline void ask_by_table(const struct fake_qmp_answer *table, ask_fn ask, struct outcome *o)
{
	start(NULL);
	fake_qmp_table(peer, table);
	until_state(VMM_UP);
	cr_assert_eq(ask(o), 0);
	until_done(o);
	stop();
	cr_assert_eq(o->calls, 1);
}

struct question {
	const char *command, *answer;
};
#define QUESTIONS_MAX 8

/* The first @nr are answered; then it dies, or is given up. */
static inline void lose_at_question(const struct question *questions, size_t nr, bool dies, ask_fn ask, struct outcome *o)
{
	static const struct fake_qmp_step hello[] = { fq_hello_vmm };
	struct fake_qmp_step script[sizeof(hello) / sizeof(hello[0]) + 2 * QUESTIONS_MAX + 3];
	size_t len = sizeof(hello) / sizeof(hello[0]);

	cr_assert_lt(nr, QUESTIONS_MAX);
	memcpy(script, hello, sizeof(hello));
	for (size_t i = 0; i < nr; i++) {
		script[len++] = (struct fake_qmp_step)fq_expect(questions[i].command);
		script[len++] = (struct fake_qmp_step)fq_return(questions[i].answer);
	}
	script[len++] = (struct fake_qmp_step)fq_expect(questions[nr].command);
	script[len++] = dies ? (struct fake_qmp_step)fq_do(FQ_DIE) : (struct fake_qmp_step)fq_pause(1);
	script[len] = (struct fake_qmp_step)fq_end;
	start(script);
	until_state(VMM_UP);
	cr_assert_eq(ask(o), 0);
	if (dies)
		until_done(o);
	else
		until_script_done();
	bed_run_ms(&bed, 5);
	stop();
}

/* Who asked is called back once, whichever is the last to be asked. */
static inline void lose_at_each_question(const struct question *questions, size_t nr, ask_fn ask, struct outcome *o)
{
	for (size_t n = 0; n < nr; n++)
		for (int dies = 0; dies < 2; dies++) {
			*o = (struct outcome){ 0 };
			lose_at_question(questions, n, dies, ask, o);
			cr_assert_eq(o->calls, 1, "question %zu", n);
			cr_assert_eq(o->r, dies ? -ECONNRESET : -ECANCELED, "question %zu: %d", n, o->r);
		}
}

#endif
