/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of irq_follow share: guest vm1 with two vCPUs, its VF with three vectors, and where those are. */
#ifndef GANGWAY_IRQ_FOLLOW_TEST_H
#define GANGWAY_IRQ_FOLLOW_TEST_H

#include "fake_internal.h"
#include "fake_irq.h"
#include "guests.h"
#include "irq_internal.h"
#include "irq_keep.h"
#include "switcher_test.h"

#define IRQ0 120 /* and the next two: vectors 0 to 2 of the first VF */
#define WAS "0-3" /* the affinity that the host gives to a new interrupt */

/* Physical, fixed: what a guest's kernel writes for one vCPU. */
static inline void message_to(unsigned entry, unsigned apic_id, unsigned vector)
{
	uint32_t words[4] = { 0xfee00000u | apic_id << 12, 0, 0x4000 | vector, 0 };

	memcpy(vm1->messages[entry], words, sizeof(words));
	fake_guest_update(vm1);
}

static inline void follow(bool route)
{
	h->d.config.irq_follow_ms = 2;
	h->d.config.irq_table_ms = 2;
	h->d.config.irq_route = route;
}

static inline void add_vectors(void)
{
	for (unsigned i = 0; i < 3; i++)
		fake_add_vector(h->fake, FAKE_VF0_BDF, IRQ0 + i, i, WAS);
}

static inline void begin_irqs(bool pair)
{
	if (pair)
		begin_pair(false);
	else
		begin(2);
	fake_mkdir(h->fake, "/proc/irq");
	fake_guest_has_vcpus(vm1, 2);
	fake_vf_has_table(h, FAKE_VF0_BDF, 3);
	message_to(0, 0, 34);
	message_to(1, 1, 35);
	message_to(2, 1, 36);
	before_again();
	follow(true);
}

/* In the fake they do not go with the VF. */
static inline void remove_vectors(void)
{
	for (unsigned i = 0; i < 3; i++)
		fake_remove_irq(h->fake, FAKE_VF0_BDF, IRQ0 + i);
}

static inline void attach_irqs(void)
{
	json_decref(attach(
		json_pack("{s:s, s:s, s:s, s:s}", "guest", "vm1", "target", "eth0", "via", "vfio-pci", "standby", "none")));
	add_vectors();
}

/* "0 1 1": the CPUs of the three. Static. */
static inline const char *affinities(void)
{
	static char all[256];
	size_t n = 0;

	for (unsigned i = 0; i < 3; i++) {
		char *one = fake_affinity(h->fake, IRQ0 + i);

		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s", i ? " " : "", one);
		free(one);
	}
	return all;
}

static inline bool has_affinities(void *want)
{
	return !strcmp(affinities(), want);
}

/*
 * A look that is under way reads one file before, and another after what a test does meanwhile, and a move has tests take interrupts away on the
 * worker; a new one of either begins in the loop alone.
 */
static inline bool nobody_looks(void *arg)
{
	const struct guest *g = guest_find(&h->d, "vm1");
	const struct lease *l;

	(void)arg;
	TAILQ_FOREACH(l, &h->d.leases, link)
	if (irq_keep_is_busy(l))
		return false;
	return !g || !g->irq || !g->irq->look;
}

static inline void until_nobody_looks(void)
{
	cr_assert(fake_host_until(h, nobody_looks, NULL, 5000));
}

/* The vectors interrupt, or nobody has a reason to look at the table again. */
static inline void interrupt(unsigned n)
{
	char text[64];

	until_nobody_looks();
	for (unsigned i = 0; i < 3; i++) {
		snprintf(text, sizeof(text), "/sys/kernel/irq/%u", IRQ0 + i);
		if (!sys_exists(fake_sys(h->fake), text))
			continue;
		snprintf(text, sizeof(text), "%u,%u,0,0\n", n, 2 * n);
		fake_put(h->fake, text, "/sys/kernel/irq/%u/per_cpu_count", IRQ0 + i);
	}
	fake_advance(h->fake, 1000);
}

static inline void until_affinities(const char *want)
{
	for (unsigned n = 0; n < 200 && !fake_host_until(h, has_affinities, (void *)want, 20); n++)
		interrupt(10 + n);
	cr_assert(has_affinities((void *)want), "%s, not %s", affinities(), want);
}

/* A vector's row of irq.show, the caller's. */
static inline json_t *vector_now(unsigned i)
{
	json_t *a = fake_host_call(h, "irq.show", of_vm1());
	json_t *v = json_incref(json_array_get(member(a, "result.vectors"), i));

	json_decref(a);
	return v;
}

/* A member of it as text. Static. */
static inline const char *shown(unsigned i, const char *path)
{
	static char texts[4][256];
	static unsigned n;
	char *text = texts[n++ % 4], *json;
	json_t *v = vector_now(i), *m = member(v, path);

	json = json_is_string(m) ? strdup(json_string_value(m)) : json_dumps(m, JSON_ENCODE_ANY);
	snprintf(text, sizeof(texts[0]), "%s", json ? json : "(none)");
	free(json);
	json_decref(v);
	return text;
}

struct showing {
	unsigned i;
	const char *path, *want;
};

static inline bool shows(void *arg)
{
	const struct showing *s = arg;

	return !strcmp(shown(s->i, s->path), s->want);
}

/*
 * A number of calls is no time: on a machine that is busy a worker may look once in a hundred of them. So between two interrupts there is time for a
 * look, and there are more of them than any machine needs.
 */
#define TURNS 1000
#define TURN_MS 5

static inline void until_shown(unsigned i, const char *path, const char *want)
{
	struct showing s = { i, path, want };

	for (unsigned n = 0; n < TURNS && !fake_host_until(h, shows, &s, TURN_MS); n++)
		interrupt(10 + n);
	cr_assert(shows(&s), "vector %u: %s is %s, not %s (%s)", i, path, shown(i, path), want, shown(i, "why"));
}

static inline bool shows_part(void *arg)
{
	const struct showing *s = arg;

	return strstr(shown(s->i, s->path), s->want) != NULL;
}

static inline void until_why(unsigned i, const char *part)
{
	struct showing s = { i, "why", part };

	for (unsigned n = 0; n < TURNS && !fake_host_until(h, shows_part, &s, TURN_MS); n++)
		interrupt(10 + n);
	cr_assert(strstr(shown(i, "why"), part), "vector %u: %s, not %s", i, shown(i, "why"), part);
}

static inline bool never(void *arg)
{
	(void)arg;
	return false;
}

/* What the VMM was asked by the follower alone. */
static inline unsigned questions(void)
{
	return fake_qmp_count(vm1->peer, "query-cpus-fast") + fake_qmp_count(vm1->peer, "query-pci") +
	       fake_qmp_count(vm1->peer, "human-monitor-command");
}

/* What was under way is over, on a machine that is busy, too. */
static inline void until_nothing_is_asked(void)
{
	unsigned nr;

	do {
		nr = questions();
		fake_host_until(h, never, NULL, 300);
	} while (questions() != nr);
}

/* The same, and nothing interrupts. */
static inline void until_shown_in_silence(unsigned i, const char *path, const char *want)
{
	struct showing s = { i, path, want };

	cr_assert(fake_host_until(h, shows, &s, TURNS * TURN_MS), "vector %u: %s is %s, not %s (%s)", i, path, shown(i, path),
		  want, shown(i, "why"));
}

static inline void detach_irqs(void)
{
	succeed("detach", of_vm1());
	cr_assert_str_eq(affinities(), WAS " " WAS " " WAS);
	remove_vectors();
	cr_assert_eq(records(), 0);
	unchanged();
}

/* What the state database has of them, the caller's; NULL: nothing. */
static inline json_t *recorded(void)
{
	json_t *record = the_record(), *irqs = json_incref(json_object_get(record, "irqs"));

	json_decref(record);
	return irqs;
}

#endif
