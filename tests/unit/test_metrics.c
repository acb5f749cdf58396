/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What monitoring is told: the numbers of a host with a guest, and text that no name can break. */
#include <criterion/criterion.h>
#include <regex.h>

#include "guests.h"
#include "irq_follow_test.h"
#include "irq_internal.h"
#include "metrics_text.h"

/* --- the text --- */

#define LABEL "[a-z_]+=\"([^\"\\\n]|\\\\[\\\\n\"])*\""

/* Each line is a comment, or a sample as the format's page has it; samples of a name stand together, below their header. */
static void is_well_formed(const char *text)
{
	static const char sample[] = "^gangway_[a-z_]+(\\{" LABEL "(," LABEL ")*\\})? -?[0-9][0-9.]*(e[-+]?[0-9]+)?$";
	char *copy = strdup(text), *rest = copy, *line, name[80] = "";
	regex_t re;

	cr_assert_eq(regcomp(&re, sample, REG_EXTENDED | REG_NOSUB), 0);
	cr_assert(!*text || text[strlen(text) - 1] == '\n');
	while ((line = strsep(&rest, "\n")) && rest) {
		if (sscanf(line, "# TYPE %79s", name) == 1 || !strncmp(line, "# HELP ", 7))
			continue;
		cr_assert_eq(regexec(&re, line, 0, NULL, 0), 0, "%s", line);
		cr_assert(!strncmp(line, name, strlen(name)) && strchr("{ ", line[strlen(name)]), "%s below %s", line, name);
	}
	regfree(&re);
	free(copy);
}

static char *text_of_tree(json_t *tree)
{
	char *text = metrics_text(tree);

	cr_assert(text);
	is_well_formed(text);
	json_decref(tree);
	return text;
}

Test(metrics, no_name_ends_a_label)
{
	static const struct {
		const char *name, *label;
	} rows[] = {
		{ "vm1", "vm1" },
		{ "", "" },
		{ "a\"} 1\ngangway_guest_up{guest=\"b", "a\\\"} 1\\ngangway_guest_up{guest=\\\"b" },
		{ "\\", "\\\\" },
		{ "\\\"\\n", "\\\\\\\"\\\\n" },
		{ "a\tb\r\033[2J\177", "a?b??[2J?" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
		{ "{}=,# ", "{}=,# " },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char want[128], *text = text_of_tree(json_pack("{s:[{s:s, s:b}]}", "guests", "guest", rows[i].name, "up", 1));

		snprintf(want, sizeof(want), "\ngangway_guest_up{guest=\"%s\"} 1\n", rows[i].label);
		cr_assert(strstr(text, want), "%s", text);
		free(text);
	}
}

/* What makes no sense has no sample, and takes none from others. */
Test(metrics, trees_that_make_no_sense)
{
	static const char *const rows[] = {
		"{}",
		"[]",
		"{\"guests\": 7, \"pfs\": {}, \"leases\": null, \"vectors\": [[], null, 1, \"x\"], \"faults\": []}",
		"{\"uptime_s\": \"1\", \"faults\": {\"others\": null, \"lost\": \"3\"}}",
		"{\"pfs\": [{\"pf\": {}, \"bdf\": [], \"vfs\": 1.5e300, \"free\": -3}]}",
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		free(text_of_tree(json_loads(rows[i], 0, NULL)));
}

/* --- the numbers --- */

static json_t *metrics_now(void)
{
	json_t *a = fake_host_call(h, "metrics", NULL), *tree = json_incref(json_object_get(a, "result"));
	char *text;

	cr_assert(tree);
	json_decref(a);
	text = metrics_text(tree);
	is_well_formed(text);
	free(text);
	return tree;
}

static json_int_t number_of(json_t *tree, const char *list, unsigned i, const char *key)
{
	json_t *v = json_object_get(json_array_get(json_object_get(tree, list), i), key);

	cr_assert(json_is_integer(v), "%s %u: %s", list, i, key);
	return json_integer_value(v);
}

Test(metrics, a_host_without_leases)
{
	json_t *m;

	begin(2);
	fake_guest_add(h, "vm2", false);
	m = metrics_now();
	cr_assert_eq(json_array_size(json_object_get(m, "guests")), 2);
	cr_assert_eq(json_array_size(json_object_get(m, "leases")), 0);
	cr_assert_eq(number_of(m, "pfs", 0, "total_vfs"), 8);
	cr_assert_eq(number_of(m, "pfs", 0, "vfs"), 2);
	cr_assert_eq(number_of(m, "pfs", 0, "used"), 0);
	cr_assert_eq(number_of(m, "pfs", 0, "free"), 2);
	cr_assert(json_is_true(json_object_get(json_array_get(json_object_get(m, "guests"), 0), "up")));
	cr_assert(json_is_false(json_object_get(json_array_get(json_object_get(m, "guests"), 1), "up")));
	json_decref(m);
	fail("ctl.bad-params", EINVAL, "metrics", json_pack("{s:i}", "all", 1));
	end();
}

Test(metrics, a_lease_and_its_vectors)
{
	json_t *m, *l;

	begin_irqs(false);
	attach_irqs();
	until_affinities("1 2 2");
	until_shown(0, "state", "in-place");
	m = metrics_now();
	cr_assert_eq(number_of(m, "pfs", 0, "leased"), 1);
	cr_assert_eq(number_of(m, "pfs", 0, "used"), 1);
	cr_assert_eq(number_of(m, "pfs", 0, "free"), 1);
	cr_assert_eq(number_of(m, "guests", 0, "leases"), 1);
	l = json_array_get(json_object_get(m, "leases"), 0);
	cr_assert_str_eq(text_of(l, "leg"), "passthrough");
	cr_assert(json_is_null(json_object_get(l, "reason")));
	cr_assert_leq(number_of(m, "leases", 0, "since_s"), 60);
	cr_assert_eq(number_of(m, "leases", 0, "faults"), 0);
	cr_assert_geq(number_of(m, "leases", 0, "moved"), 3);
	cr_assert_eq(json_array_size(json_object_get(m, "vectors")), 3);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(number_of(m, "vectors", i, "vector"), i);
		cr_assert_geq(number_of(m, "vectors", i, "moved"), 1);
		cr_assert_leq(number_of(m, "vectors", i, "there"), number_of(m, "vectors", i, "judged"));
		cr_assert_leq(number_of(m, "vectors", i, "judged"), number_of(m, "vectors", i, "count"));
	}
	cr_assert_eq(number_of(m, "vectors", 0, "moved"), fake_affinity_writes(h->fake, IRQ0));
	json_decref(m);
	detach_irqs();
	m = metrics_now();
	cr_assert_eq(number_of(m, "pfs", 0, "free"), 2);
	cr_assert_eq(json_array_size(json_object_get(m, "vectors")), 0);
	json_decref(m);
	end();
}

static json_t *lease_rate(const char *method, const char *path)
{
	json_t *a = fake_host_call(h, method, strcmp(method, "metrics") ? of_vm1() : NULL), *all = member(a, path), *v;

	v = json_incref(member(json_array_get(all, 0), strcmp(method, "status") ? "rate" : "irq.rate"));
	json_decref(a);
	cr_assert(v, "%s", method);
	return v;
}

static bool has_vectors(void *arg)
{
	json_t *a = fake_host_call(h, "irq.show", of_vm1());
	size_t nr = json_array_size(member(a, "result.vectors"));

	(void)arg;
	json_decref(a);
	return nr == 3;
}

static bool has_rate_samples(void)
{
	char *text = text_of_tree(metrics_now());
	bool has =
		strstr(text, "\ngangway_lease_interrupts_per_second{") && strstr(text, "\ngangway_vector_interrupts_per_second{");

	free(text);
	return has;
}

/* A rate takes two looks: before that it is not known, which is not 0. */
Test(metrics, rates_before_two_looks)
{
	static const char *const rows[][2] = { { "status", "result.leases" },
					       { "irq.show", "result.nics" },
					       { "irq.show", "result.vectors" },
					       { "metrics", "result.leases" },
					       { "metrics", "result.vectors" } };
	bool has = false;
	char *text;

	begin_irqs(false);
	attach_irqs();
	cr_assert(fake_host_until(h, has_vectors, NULL, 5000));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *rate = lease_rate(rows[i][0], rows[i][1]);

		cr_assert(json_is_null(rate), "%s, %s", rows[i][0], rows[i][1]);
		json_decref(rate);
	}
	text = text_of_tree(metrics_now());
	cr_assert_null(strstr(text, "interrupts_per_second"), "%s", text);
	free(text);
	until_affinities("1 2 2");
	h->d.config.irq_follow_ms = 400; /* the clock moves between any two looks, and stands still while metrics are asked for */
	for (unsigned n = 0; n < TURNS && !has; n++) {
		interrupt(1000 + n);
		has = has_rate_samples();
	}
	cr_assert(has);
	detach_irqs();
	end();
}

/* The PFs are not known: all else is told. */
Test(metrics, a_host_whose_pfs_cannot_be_looked_at)
{
	json_t *m;

	begin(1);
	fake_remove_function(h->fake, FAKE_PF_BDF);
	m = metrics_now();
	cr_assert_eq(json_array_size(json_object_get(m, "pfs")), 0);
	cr_assert_eq(json_array_size(json_object_get(m, "guests")), 1);
	json_decref(m);
	end();
}

/* What the host is asked for @nr calls that come together, by one client. */
static unsigned asked_by(unsigned nr)
{
	unsigned calls = fake_calls(h->fake);
	json_int_t ids[16];

	for (unsigned i = 0; i < nr; i++)
		ids[i] = fake_host_send(h, "metrics", NULL);
	for (unsigned i = 0; i < nr; i++) {
		json_t *a = fake_host_wait(h, ids[i]);

		cr_assert_eq(number_of(json_object_get(a, "result"), "pfs", 0, "free"), 2);
		json_decref(a);
	}
	return fake_calls(h->fake) - calls;
}

/* Calls that come together cost one look, and have one text. */
Test(metrics, several_calls_at_once)
{
	unsigned one;

	begin(2);
	asked_by(1); /* names of devices are looked up once */
	one = asked_by(1);
	cr_assert_gt(one, 0);
	cr_assert_eq(asked_by(16), one);
	fake_host_send(h, "metrics", NULL);
	fake_host_hang_up(h); /* who asked has gone, and is missed by nobody */
	cr_assert_leq(asked_by(16), 2 * one);
	end();
}

static uint64_t wall_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* As fast as can be, one after the other: between two looks there is a pause. */
Test(metrics, one_call_after_the_other)
{
	uint64_t from;

	begin(2);
	from = wall_us();
	for (unsigned i = 0; i < 4; i++)
		asked_by(1);
	cr_assert_geq(wall_us() - from, 3 * LIMIT_METRICS_PAUSE_MS * 1000);
	end();
}

/* gangwayd stops at each turn of a call. */
Test(metrics, stopped_under_way)
{
	for (unsigned turns = 0; turns < 8; turns++) {
		begin(1);
		if (turns % 2)
			json_decref(metrics_now()); /* the next one waits for the pause */
		fake_host_send(h, "metrics", NULL);
		for (unsigned i = 0; i < turns; i++)
			sd_event_run(h->event, 0);
		end();
	}
}

/* A lease's vectors, made by hand: no host has so many. Of two for one index, as while it is armed anew, one is told. */
Test(metrics, vectors_at_the_limit_and_above)
{
	json_t *vectors = json_array();
	struct irq_nic *nic;
	struct lease *l;

	begin_irqs(false);
	attach_irqs();
	until_affinities("1 2 2");
	l = TAILQ_FIRST(&h->d.leases);
	nic = l->irq_nic;
	cr_assert_eq(irq_metrics(l, vectors, 3), 0);
	cr_assert_eq(json_array_size(vectors), 3);
	cr_assert_eq(irq_metrics(l, vectors, 5), 1);
	cr_assert_eq(json_array_size(vectors), 5);
	nic->v[1].host.vector = nic->v[0].host.vector;
	cr_assert_eq(irq_metrics(l, vectors, 7), 0);
	cr_assert_eq(json_array_size(vectors), 7);
	nic->v[1].host.vector = 1;
	json_decref(vectors);
	detach_irqs();
	end();
}
