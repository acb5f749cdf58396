/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is admitted for one guest is not there for the next, whether or not it is pinned yet. */
#include <criterion/criterion.h>

#include "mem_check.h"
#include "mem_facts.h"
#include "mem_watch.h"
#include "memory_test.h"
#include "switcher_test.h"

#define MEMFD "/memfd:mem0 (deleted)"
#define NR 3

static struct fake_guest *guests[NR];

/* None of their memory was ever touched. */
static void begin_cold(unsigned available)
{
	char name[8];

	h = fake_host_new(NR);
	fake_vmm_takes_taps(h->fake);
	h->d.config.return_delay_ms = 0;
	put_available(available);
	for (unsigned i = 0; i < NR; i++) {
		snprintf(name, sizeof(name), "vm%u", i + 1);
		guests[i] = fake_guest_add(h, name, false);
		guests[i]->ports = 2;
		fake_guest_run(guests[i]);
		put_memory_of(guests[i], &(struct put_memory){ true, MEMFD, 0, 0, 0, 0 });
		guests[i]->pins = true;
		guests[i]->takes_mib = RAM_MIB;
		fake_guest_tell_pinned(guests[i]);
	}
	vm1 = guests[0];
}

static json_t *attach_params(unsigned i, const char *standby)
{
	char mac[18];

	snprintf(mac, sizeof(mac), "52:54:00:00:01:%02x", i);
	return json_pack("{s:s, s:s, s:s, s:s, s:{s:s}}", "guest", guests[i]->name, "target", "eth0", "via", "vfio-pci",
			 "standby", standby, "policy", "mac", mac);
}

static unsigned nr_on_vf(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < NR; i++)
		n += guests[i]->vf[0] != '\0';
	return n;
}

/* Asked for at once: as many succeed as there is room for, the others are refused. */
static void attach_all(unsigned want)
{
	unsigned succeeded = 0;
	json_int_t ids[NR];

	for (unsigned i = 0; i < NR; i++)
		ids[i] = fake_host_send(h, "attach", attach_params(i, "none"));
	for (unsigned i = 0; i < NR; i++) {
		json_t *answer = fake_host_wait(h, ids[i]);

		if (member(answer, "error"))
			cr_assert_str_eq(text_of(answer, "error.data.code"), "attach.memory-not-resident");
		else
			succeeded++;
		json_decref(answer);
	}
	cr_assert_eq(succeeded, want, "%u", succeeded);
	cr_assert_eq(nr_on_vf(), want);
}

Test(mem_admission, at_once, .timeout = 60)
{
	begin_cold(2 * RAM_MIB + 64 + 100);
	attach_all(2);
	end();
}

/* What did not come about is there again; and a dry run takes nothing. */
Test(mem_admission, of_one_that_failed, .timeout = 60)
{
	json_t *p;

	begin_cold(RAM_MIB + 64);
	p = attach_params(2, "none");
	json_object_set_new(p, "dry_run", json_true());
	succeed("attach", p);
	guests[0]->add_error = "no";
	fake_guest_update(guests[0]);
	cr_assert(fake_host_expect(h, NULL, "attach", attach_params(0, "none")));
	succeed("attach", attach_params(1, "none"));
	fail("attach.memory-not-resident", ENOMEM, "attach", attach_params(2, "none"));
	end();
}

/* While it is on its way it is said of whoever asks; of its own guest it is not taken off. */
Test(mem_admission, told, .timeout = 60)
{
	struct lease *l;
	json_t *a;

	begin_cold(4000);
	json_decref(attach(attach_params(0, "none")));
	l = lease_find(&h->d, "vm1", NULL);
	cr_assert(l->booked.bytes == 0, "pinned");
	l->booked = (struct mem_booked){ .bytes = 512 * MIB, .until_us = UINT64_MAX };
	a = fake_host_call(h, "memory.show", json_pack("{s:s}", "guest", "vm2"));
	cr_assert_eq(json_integer_value(member(a, "result.room.booked")), 512 * MIB);
	cr_assert_eq(json_integer_value(member(a, "result.room.bytes")), (4000 - 512 - 512 - 64) * MIB);
	cr_assert(strstr(text_of(a, "result.summary"), "beside the 512.0 MiB that other guests are about to have"), "%s",
		  text_of(a, "result.summary"));
	json_decref(a);
	a = fake_host_call(h, "memory.show", json_pack("{s:s}", "guest", "vm1"));
	cr_assert_eq(json_integer_value(member(a, "result.room.booked")), 0);
	json_decref(a);
	end();
}

static json_int_t booked_for(const char *guest)
{
	json_t *a = fake_host_call(h, "memory.show", json_pack("{s:s}", "guest", guest));
	json_int_t n = json_integer_value(member(a, "result.room.booked"));

	json_decref(a);
	return n;
}

/* What a guest puts off is not kept from others for ever; and what adds up to more than there can be is all there is. */
Test(mem_admission, for_a_while, .timeout = 60)
{
	struct lease *l;

	begin_cold(4000);
	json_decref(attach(attach_params(0, "none")));
	json_decref(attach(attach_params(1, "none")));
	l = lease_find(&h->d, "vm1", NULL);
	l->booked = (struct mem_booked){ .bytes = 512 * MIB, .until_us = h->d.sys->ops->now_us(h->d.sys) };
	cr_assert_eq(booked_for("vm3"), 0);
	l->booked = (struct mem_booked){ .bytes = INT64_MAX, .until_us = UINT64_MAX };
	cr_assert_eq(booked_for("vm3"), INT64_MAX);
	lease_find(&h->d, "vm2", NULL)->booked = (struct mem_booked){ .bytes = UINT64_MAX - 5, .until_us = UINT64_MAX };
	cr_assert_eq(booked_for("vm3"), INT64_MAX);
	end();
}

/* The pages of two NICs are the same ones. */
Test(mem_admission, huge_pages_of_two_nics, .timeout = 60)
{
	struct mem_facts f = { .need = { .huge_page = 2 * MIB } };
	json_t *second;

	begin_cold(4000);
	json_decref(attach(attach_params(0, "none")));
	second = attach_params(0, "none");
	json_object_set_new(second, "nic", json_string("nic1"));
	json_object_set_new(json_object_get(second, "policy"), "mac", json_string("52:54:00:00:01:99"));
	json_decref(attach(second));
	lease_find(&h->d, "vm1", "nic0")->booked =
		(struct mem_booked){ .huge = 200 * MIB, .huge_page = 2 * MIB, .until_us = UINT64_MAX };
	lease_find(&h->d, "vm1", "nic1")->booked =
		(struct mem_booked){ .huge = 200 * MIB, .huge_page = 2 * MIB, .until_us = UINT64_MAX };
	f.host.nr_pools = 1;
	f.host.pools[0] = (struct mem_pool){ .page_bytes = 2 * MIB, .total = 300, .free = 150 };
	mem_account_take_off(&h->d, "vm2", &f);
	cr_assert_eq(f.room.huge, 100 * MIB);
	end();
}

/* Of a VMM that cannot be looked at all of its RAM counts as not there, which is no reason to keep others from theirs. */
Test(mem_admission, a_guess_is_not_booked, .timeout = 60)
{
	struct mem_facts f = { .need = { .fresh = 64 * MIB } };
	struct lease *l;

	begin_cold(4000);
	json_decref(attach(attach_params(0, "none")));
	l = lease_find(&h->d, "vm1", NULL);
	mem_account_book(l, &f);
	cr_assert_eq(l->booked.bytes, 64 * MIB);
	mem_account_settle(l);
	f.process_err.num = ESRCH;
	cr_assert(mem_is_guess(&f));
	mem_account_book(l, &f);
	cr_assert_eq(l->booked.bytes, 0u);
	end();
}

static bool nobody_moves(void *arg)
{
	struct lease *l;

	(void)arg;
	TAILQ_FOREACH(l, &h->d.leases, link)
	if (l->busy || l->op || !l->confirmed || !l->sw || l->leg == LEG_NONE)
		return false;
	return true;
}

static bool is_on_vf(void *arg)
{
	return nr_on_vf() >= *(unsigned *)arg && nobody_moves(NULL);
}

/* A gangwayd that starts brings all of them back at once: there is room for one. */
Test(mem_admission, restart, .timeout = 60)
{
	unsigned one = 1;

	begin_cold(0);
	for (unsigned i = 0; i < NR; i++)
		json_decref(attach(attach_params(i, "macvtap")));
	cr_assert(fake_host_until(h, nobody_moves, NULL, 5000));
	cr_assert_eq(nr_on_vf(), 0u);
	fake_host_stop(h);
	put_available(RAM_MIB + 64 + 200);
	fake_host_start(h);
	cr_assert(fake_host_until(h, is_on_vf, &one, 5000));
	fake_host_settle(h);
	cr_assert(fake_host_until(h, nobody_moves, NULL, 5000));
	cr_assert_eq(nr_on_vf(), 1u, "%u", nr_on_vf());
	end();
}
