/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pf.show and vf.list: a name that is there and empty names nothing; it does not mean all. */
#include <criterion/criterion.h>

#include "attach_test.h"
#include "fake_host.h"
#include "fake_internal.h"

static json_t *named(const char *name)
{
	return json_pack("{s:s}", "pf", name);
}

static void refused(void)
{
	fail("sriov.bad-name", EINVAL, "pf.show", named(""));
	fail("sriov.bad-name", EINVAL, "vf.list", named(""));
	unchanged();
}

Test(pf_show, an_empty_name)
{
	begin(2);
	refused();
	succeed("pf.show", named("eth0"));
	succeed("vf.list", named("eth0"));
	succeed("vf.list", json_object());
	end();
}

/* There is no first PF to show: gangwayd used to take it from an empty list. */
Test(pf_show, an_empty_name_on_a_host_without_pfs)
{
	begin(0);
	fake_remove_function(h->fake, FAKE_PF_BDF);
	before_again();
	refused();
	succeed("vf.list", json_object());
	end();
}

/* "" where nothing is left out. Static. */
static const char *left_out(const char *method, json_t *params, const char *list, unsigned nr)
{
	static char text[512];
	json_t *a = fake_host_call(h, method, params);

	cr_assert(json_is_object(json_object_get(a, "result")), "%s: %s", method, text_of(a, "error.message"));
	cr_assert_eq(json_array_size(member(json_object_get(a, "result"), list)), nr, "%s", method);
	snprintf(text, sizeof(text), "%s", json_is_object(member(a, "result.error")) ? text_of(a, "result.error.message") : "");
	json_decref(a);
	return text;
}

/* A PF that cannot be looked at is left out, which is said; the others are there. Of one that is named it is all that is said. */
Test(pf_show, one_that_cannot_be_looked_at)
{
	static const char *const files[] = { "sriov_numvfs", "vendor" };
	char before_that[64];

	begin(2);
	fake_add_pf(h->fake, "0000:2c:00.0", "eth2", "igb", "igbvf", 8);
	for (size_t i = 0; i < 2; i++) {
		char path[96];

		snprintf(path, sizeof(path), "/sys/bus/pci/devices/0000:2c:00.0/%s", files[i]);
		cr_assert_geq(sys_read_str(fake_sys(h->fake), path, before_that, sizeof(before_that)), 0);
		cr_assert_str_eq(left_out("pf.list", NULL, "pfs", 2), "");
		fake_put(h->fake, "what?\n", "%s", path);
		cr_assert(strstr(left_out("pf.list", NULL, "pfs", 1), "pf 0000:2c:00.0"));
		cr_assert(strstr(left_out("vf.list", NULL, "vfs", 2), "pf 0000:2c:00.0"));
		cr_assert(strstr(left_out("metrics", NULL, "pfs", 1), "pf 0000:2c:00.0"));
		fail("sriov.sysfs", EINVAL, "pf.show", named("0000:2c:00.0"));
		fake_put(h->fake, before_that, "%s", path);
		cr_assert_str_eq(left_out("metrics", NULL, "pfs", 2), "");
	}
	end();
}
