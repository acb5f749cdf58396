/* SPDX-License-Identifier: GPL-2.0-or-later */
/* doctor: every finding reaches the operator, whatever the names in it are made of. */
#include <criterion/criterion.h>

#include "attach_test.h"
#include "fake_internal.h"

/* The finding of @check; NULL: none. Of @answer. */
static json_t *finding(json_t *answer, const char *check)
{
	json_t *list = member(answer, "result.findings"), *f;
	size_t i;

	json_array_foreach (list, i, f) {
		if (!strcmp(text_of(f, "check"), check))
			return f;
	}
	return NULL;
}

Test(doctor, names_that_are_no_text)
{
	char *program;
	json_t *a;

	begin(2);
	program = h->d.config.device_program;
	/* no UTF-8, and so long that it is cut */
	memset(program, 0xc3, 1000);
	program[0] = '/';
	program[1000] = '\0';
	a = fake_host_call(h, "doctor", NULL);
	cr_assert(finding(a, "gangway-device"));
	cr_assert_str_eq(text_of(finding(a, "gangway-device"), "status"), "fail");
	cr_assert_neq(text_of(finding(a, "gangway-device"), "hint")[0], '\0');
	cr_assert(finding(a, "guest vm1"));
	json_decref(a);
	end();
}

/* A PF that cannot be looked at is told, and the others are. */
Test(doctor, a_pf_that_cannot_be_looked_at)
{
	json_t *a;

	begin(2);
	fake_add_pf(h->fake, "0000:2c:00.0", "eth2", "igb", "igbvf", 8);
	fake_put(h->fake, "what?\n", "/sys/bus/pci/devices/0000:2c:00.0/sriov_numvfs");
	a = fake_host_call(h, "doctor", NULL);
	cr_assert(finding(a, "pf eth0"));
	cr_assert(finding(a, "pf"));
	cr_assert_str_eq(text_of(finding(a, "pf"), "status"), "fail");
	cr_assert(strstr(text_of(finding(a, "pf"), "detail"), "0000:2c:00.0"));
	json_decref(a);
	end();
}
