/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests share of a guest that comes by migration to a host where no VF is to be had: vm2 has the one there is. */
#ifndef GANGWAY_NOVF_TEST_H
#define GANGWAY_NOVF_TEST_H

#include "attach.h"
#include "switcher_internal.h"
#include "switcher_test.h"

static struct fake_guest *vm2;

static inline json_t *of_vm2(void)
{
	return json_pack("{s:s}", "guest", "vm2");
}

/* The one VF is vm2's; vm1 waits for a migration. The host is to be without either in the end. */
static inline void begin_without_vf(void)
{
	begin_incoming(1, 2);
	vm2 = fake_guest_add(h, "vm2", true);
	before_again();
	json_decref(attach(json_pack("{s:s, s:s, s:s}", "guest", "vm2", "target", "eth0", "standby", "none")));
}

static inline json_t *comes(void)
{
	json_t *params = pair_params("macvtap");

	json_object_set_new(params, "incoming", json_true());
	return params;
}

static inline void runs_here(void)
{
	vm1->status = "running";
	fake_guest_update(vm1);
	fake_qmp_event(vm1->peer, "RESUME", NULL);
}

static inline bool has_no_vf(void *arg)
{
	struct lease *l = lease();

	(void)arg;
	return is_at("emulated") && l->reason == REASON_NO_VF;
}

static inline void until_no_vf(void)
{
	cr_assert(fake_host_until(h, has_no_vf, NULL, 5000), "leg %s, reason %s, switch %s", text_now("leg"), text_now("reason"),
		  text_now("switch.state"));
	cr_assert_str_eq(vm1->device, "");
	cr_assert(to_standby());
}

static inline json_t *vm1_now(const char *path)
{
	json_t *a = fake_host_call(h, "status", of_vm1());
	json_t *v = json_incref(member(json_array_get(member(a, "result.leases"), 0), path));

	json_decref(a);
	return v;
}

/* Its lease is there, and it runs on its emulated leg. */
static inline void come_without_vf(void)
{
	json_t *a = attach(comes()), *vf;

	cr_assert_str_eq(text_of(a, "lease.leg"), "emulated");
	cr_assert_str_eq(text_of(a, "lease.reason"), "migration");
	cr_assert(json_is_null(member(a, "lease.vf")));
	cr_assert_gt(json_array_size(member(a, "warnings")), 0);
	json_decref(a);
	runs_here();
	until_no_vf();
	vf = vm1_now("vf_bdf");
	cr_assert(json_is_null(vf));
	json_decref(vf);
}

/* The switch has failed to get it one, with this error. */
static inline bool was_told(void *code)
{
	json_t *j = lease() ? switcher_to_json(lease()) : NULL;
	bool is = j && !strcmp(text_of(j, "error.code"), code) && is_at("emulated");

	json_decref(j);
	return is;
}

static inline void until_told(const char *code)
{
	cr_assert(fake_host_until(h, was_told, (void *)code, 5000), "%s, not %s", text_now("switch.error.code"), code);
}

static inline void gets_one(void)
{
	until_at("passthrough");
	on_vf();
	detach_pair();
	end();
}

#endif
