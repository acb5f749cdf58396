/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Several guests where memory is short: who leaves, who does not have to, and in what order they come back. */
#include <criterion/criterion.h>

#include "irq_internal.h"
#include "mem_watch.h"
#include "memory_test.h"
#include "switcher_test.h"

#define MEMFD "/memfd:mem0 (deleted)"
#define NR 3

static struct fake_guest *guests[NR];

/* MiB */
static void put_host(unsigned available, unsigned swap_free)
{
	char text[160];

	snprintf(text, sizeof(text),
		 "MemTotal: 4194304 kB\nMemFree: 0 kB\nMemAvailable: %u kB\nSwapTotal: %u kB\nSwapFree: %u kB\n", available << 10,
		 swap_free << 10, swap_free << 10);
	fake_put(h->fake, text, "/proc/meminfo");
}

static const char *phase_of(unsigned i)
{
	static char text[16];
	json_t *j = mem_watch_to_json(h->d.mem_watch), *list = json_object_get(j, "guests"), *g;
	size_t k;

	text[0] = '\0';
	json_array_foreach (list, k, g)
		if (!strcmp(text_of(g, "guest"), guests[i]->name))
			snprintf(text, sizeof(text), "%s", text_of(g, "phase"));
	json_decref(j);
	return text;
}

static struct lease *lease_of(unsigned i)
{
	return lease_find(&h->d, guests[i]->name, NULL);
}

static bool has_vf(unsigned i)
{
	return guests[i]->vf[0] != '\0';
}

static unsigned nr_on_vf(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < NR; i++)
		n += has_vf(i);
	return n;
}

static bool is_as(void *arg)
{
	const char *want = arg;

	for (unsigned i = 0; i < NR; i++)
		if (!lease_of(i) || lease_of(i)->busy || (want[i] == 'v') != has_vf(i) ||
		    (want[i] == 'a' && strcmp(phase_of(i), "away") != 0))
			return false;
	return true;
}

/* A letter for each: v on its VF, a away, - on its emulated leg. */
static void until(const char *want)
{
	cr_assert(fake_host_until(h, is_as, (void *)want, 5000), "not %s: %s %s %s", want, guests[0]->vf, guests[1]->vf,
		  guests[2]->vf);
}

static bool is_later(void *arg)
{
	uint64_t now = 0;

	sd_event_now(h->event, CLOCK_MONOTONIC, &now);
	return now >= *(uint64_t *)arg;
}

/* Many looks later. */
static void a_while(void)
{
	uint64_t end = 0;

	sd_event_now(h->event, CLOCK_MONOTONIC, &end);
	end += 300000;
	fake_host_until(h, is_later, &end, 5000);
}

static void attach_to(unsigned i, unsigned priority)
{
	char mac[18];

	snprintf(mac, sizeof(mac), "52:54:00:00:01:%02x", i);
	json_decref(attach(json_pack("{s:s, s:s, s:s, s:s, s:i, s:{s:s}}", "guest", guests[i]->name, "target", "eth0", "standby",
				     "macvtap", "memory", "adaptive", "priority", (int)priority, "policy", "mac", mac)));
}

static void begin_guests(const unsigned priorities[static NR])
{
	struct err err;
	char name[8];

	h = fake_host_new(NR);
	fake_vmm_takes_taps(h->fake);
	h->d.config.return_delay_ms = 0;
	h->d.config.poll_ms = 20;
	h->d.config.calm_ms = 60;
	put_host(4000, 4000);
	cr_assert_eq(mem_watch_new(&h->d, &err), 0);
	for (unsigned i = 0; i < NR; i++) {
		snprintf(name, sizeof(name), "vm%u", i + 1);
		guests[i] = fake_guest_add(h, name, false);
		guests[i]->ports = 2;
		fake_guest_run(guests[i]);
		put_memory_of(guests[i], &(struct put_memory){ true, MEMFD, RAM_MIB, 0, 0, 0 });
		guests[i]->pins = true;
		guests[i]->rss_mib = RAM_MIB;
		fake_guest_tell_pinned(guests[i]);
		attach_to(i, priorities[i]);
	}
	until("vvv");
	a_while();
}

static void traffic(unsigned i, double rate)
{
	struct lease *l = lease_of(i);

	if (!l->irq_nic)
		l->irq_nic = calloc(1, sizeof(*l->irq_nic));
	cr_assert(l->irq_nic);
	l->irq_nic->rate = rate;
}

static void is_swapped(unsigned i)
{
	guests[i]->rss_mib = 0;
	fake_guest_tell_pinned(guests[i]);
}

/* What the first one has given is swapped only when the kernel wants it, and what is available says nothing of it until then. */
Test(mem_guests, one_is_enough, .timeout = 60)
{
	begin_guests((unsigned[]){ 5, 1, 5 });
	put_host(100, 4000);
	until("vav");
	a_while();
	until("vav");
	cr_assert_eq(nr_on_vf(), 2u);
	/* it has gone, and somebody else has it: then the next one has to */
	is_swapped(1);
	traffic(0, 10);
	traffic(2, 20);
	until("aav");
	a_while();
	until("aav");
	put_host(4000, 4000);
	until("vvv");
	end();
}

/* Where there is nothing to swap to, nothing that a guest gives is believed in. */
Test(mem_guests, without_swap, .timeout = 60)
{
	begin_guests((unsigned[]){ 5, 1, 5 });
	put_host(100, 0);
	until("aaa");
	end();
}

/* By priority, then by traffic. */
Test(mem_guests, order, .timeout = 60)
{
	begin_guests((unsigned[]){ 5, 5, 9 });
	traffic(0, 1000);
	traffic(1, 10);
	traffic(2, 0);
	put_host(100, 4000);
	until("vav");
	is_swapped(1);
	until("aav");
	is_swapped(0);
	until("aaa");
	end();
}

/* The kernel takes its time to unpin: that is waited for, and the next one with it; but not for ever. */
Test(mem_guests, unpinned_late, .timeout = 60)
{
	begin_guests((unsigned[]){ 1, 5, 5 });
	h->d.config.poll_ms = 400;
	guests[0]->unpins_late = true;
	put_host(100, 0);
	until("-vv");
	a_while();
	cr_assert_str_eq(phase_of(0), "left");
	until("-vv");
	guests[0]->unpins_late = false;
	fake_guest_tell_pinned(guests[0]);
	until("avv");
	h->d.config.poll_ms = 20;
	guests[1]->unpins_late = true;
	until("aaa");
	end();
}

static unsigned most_coming;

static bool all_back(void *arg)
{
	unsigned n = 0;

	(void)arg;
	for (unsigned i = 0; i < NR; i++)
		n += !strcmp(phase_of(i), "coming");
	most_coming = n > most_coming ? n : most_coming;
	return nr_on_vf() == NR;
}

static bool has_first(void *arg)
{
	(void)arg;
	return nr_on_vf() > 0;
}

/* One by one, who is worth most first; as far as there is room. */
Test(mem_guests, come_back, .timeout = 60)
{
	begin_guests((unsigned[]){ 1, 9, 5 });
	put_host(100, 0);
	until("aaa");
	for (unsigned i = 0; i < NR; i++) /* all of it was swapped */
		put_memory_of(guests[i], &(struct put_memory){ true, MEMFD, 0, 0, 0, RAM_MIB });
	put_host(512 + RAM_MIB, 4000);
	cr_assert(fake_host_until(h, has_first, NULL, 5000));
	cr_assert(has_vf(1), "the highest priority");
	put_host(512, 4000); /* it has taken that */
	a_while();
	cr_assert_eq(nr_on_vf(), 1u);
	put_host(4000, 4000);
	most_coming = 0;
	cr_assert(fake_host_until(h, all_back, NULL, 5000));
	cr_assert_eq(most_coming, 1u, "one at a time");
	end();
}
