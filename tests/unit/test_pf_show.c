/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pf.show and vf.list: a name that is there and empty names nothing; it does not mean all. */
#include <criterion/criterion.h>

#include "attach_test.h"
#include "fake_host.h"

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
