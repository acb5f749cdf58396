/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Vectors of a VF, as many as are followed and one more. */
#include <criterion/criterion.h>

#include "irq_follow_test.h"
#include "irq_keep_internal.h"

static void add_many(unsigned nr)
{
	for (unsigned i = 3; i < nr; i++)
		fake_add_vector(h->fake, FAKE_VF0_BDF, IRQ0 + i, i, WAS);
}

static void remove_many(unsigned nr)
{
	for (unsigned i = 3; i < nr; i++)
		fake_remove_irq(h->fake, FAKE_VF0_BDF, IRQ0 + i);
}

static bool shows_many(void *nr)
{
	json_t *a = fake_host_call(h, "irq.show", of_vm1());
	size_t is = json_array_size(member(a, "result.vectors"));

	json_decref(a);
	return is == *(unsigned *)nr;
}

/* What is beyond is not looked at. */
Test(irq_limits, vectors_at_the_limit_and_above)
{
	unsigned limit = LIMIT_IRQ_VECTORS, fewer = LIMIT_IRQ_VECTORS - 1;

	begin_irqs(false);
	attach_irqs();
	add_many(fewer);
	cr_assert(fake_host_until(h, shows_many, &fewer, 5000));
	for (unsigned above = 0; above < 2; above++) {
		fake_add_vector(h->fake, FAKE_VF0_BDF, IRQ0 + fewer + above, fewer + above, WAS);
		cr_assert(fake_host_until(h, shows_many, &limit, 5000));
		fake_host_until(h, never, NULL, 100);
		cr_assert(shows_many(&limit));
	}
	until_nobody_looks();
	remove_many(limit + 1);
	detach_irqs();
	end();
}

static struct {
	unsigned nr, nr_failed;
	struct irq_move last;
} moved;

static void on_moved(struct lease *l, const struct irq_move *moves, unsigned nr)
{
	(void)l;
	moved.nr += nr;
	for (unsigned i = 0; i < nr; i++)
		moved.nr_failed += moves[i].r < 0;
	moved.last = moves[nr - 1];
}

static bool is_moved(void *nr)
{
	return moved.nr == *(unsigned *)nr;
}

static struct irq_move to_cpu_1(unsigned i)
{
	return (struct irq_move){ .host = { .irq = IRQ0 + i, .vector = i, .msix = true }, .cpu = 1 };
}

/* So many are moved, whose former affinity there is room for; one more is refused, and stays. */
Test(irq_limits, moves_at_the_limit_and_above)
{
	unsigned limit = LIMIT_IRQ_VECTORS, above = LIMIT_IRQ_VECTORS + 1;
	struct irq_move *moves = calloc(limit, sizeof(*moves)), one;
	char *is;

	begin_irqs(false);
	h->d.config.irq_follow_ms = 0; /* nobody else moves any */
	attach_irqs();
	add_many(above);
	for (unsigned i = 0; i < limit; i++)
		moves[i] = to_cpu_1(i);
	moved.nr = moved.nr_failed = 0;
	cr_assert_eq(irq_keep_move(lease(), moves, limit, on_moved), 0);
	free(moves);
	cr_assert(fake_host_until(h, is_moved, &limit, 5000));
	cr_assert_eq(moved.nr_failed, 0, "%s", moved.last.err.msg);
	one = to_cpu_1(limit);
	cr_assert_eq(irq_keep_move(lease(), &one, 1, on_moved), 0);
	cr_assert(fake_host_until(h, is_moved, &above, 5000));
	cr_assert_eq(moved.last.r, -ENOSPC);
	cr_assert_str_eq(moved.last.err.code, "irq.too-many");
	is = fake_affinity(h->fake, IRQ0 + limit);
	cr_assert_str_eq(is, WAS);
	free(is);
	succeed("detach", of_vm1());
	for (unsigned i = 0; i < above; i++) {
		is = fake_affinity(h->fake, IRQ0 + i);
		cr_assert_str_eq(is, WAS, "irq %u", IRQ0 + i);
		free(is);
	}
	remove_many(above);
	remove_vectors();
	unchanged();
	end();
}

static json_t *record_of(unsigned nr)
{
	json_t *saved = json_array();

	for (unsigned i = 0; i < nr; i++)
		json_array_append_new(saved, json_pack("{s:i, s:i, s:b, s:s}", "irq", (int)(IRQ0 + i), "vector", (int)i, "msix",
						       1, "cpus", "0"));
	return json_pack("{s:s, s:s, s:o}", "boot_id", h->d.boot_id, "bdf", FAKE_VF0_BDF, "saved", saved);
}

/* What a former gangwayd has recorded. */
Test(irq_limits, records_at_the_limit_and_above)
{
	unsigned irqs[LIMIT_IRQ_VECTORS];

	begin_irqs(false);
	h->d.config.irq_follow_ms = 0;
	attach_irqs();
	for (unsigned above = 0; above < 2; above++) {
		json_t *j = record_of(LIMIT_IRQ_VECTORS + above);

		if (lease()->irq_keep)
			lease()->irq_keep->saved.nr = 0;
		irq_keep_load(lease(), j);
		cr_assert_eq(irq_keep_irqs(lease(), irqs), LIMIT_IRQ_VECTORS);
		cr_assert_eq(irqs[LIMIT_IRQ_VECTORS - 1], IRQ0 + LIMIT_IRQ_VECTORS - 1);
		json_decref(j);
	}
	lease()->irq_keep->saved.nr = 0;
	detach_irqs();
	end();
}
