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

static void found(const char *check, const char *status, const char *words)
{
	json_t *a = fake_host_call(h, "doctor", NULL), *f = finding(a, check);

	cr_assert_eq(f != NULL, status != NULL, "%s", check);
	if (f) {
		cr_assert_str_eq(text_of(f, "status"), status);
		cr_assert(strstr(text_of(f, "detail"), words), "%s: %s", check, text_of(f, "detail"));
		cr_assert_eq(!strcmp(status, "warn"), text_of(f, "hint")[0] != '\0' && strcmp(check, "ksm") != 0);
	}
	json_decref(a);
}

Test(doctor, pressure)
{
	begin(1);
	found("pressure", "warn", "by what is available and what is swapped, looked at every 2000 ms");
	fake_mkdir(h->fake, "/proc/pressure");
	fake_put(h->fake, "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n", "/proc/pressure/memory");
	found("pressure", "ok", "the kernel tells");
	end();
}

Test(doctor, ksm)
{
	begin(1);
	found("ksm", NULL, "");
	fake_mkdir(h->fake, "/sys/kernel/mm/ksm");
	fake_put(h->fake, "0\n", "/sys/kernel/mm/ksm/run");
	fake_put(h->fake, "0\n", "/sys/kernel/mm/ksm/pages_sharing");
	found("ksm", "ok", "off");
	fake_put(h->fake, "512\n", "/sys/kernel/mm/ksm/pages_sharing");
	found("ksm", "ok", "still saves 2.0 MiB");
	fake_put(h->fake, "1\n", "/sys/kernel/mm/ksm/run");
	found("ksm", "info", "on, and saves 2.0 MiB");
	fake_put(h->fake, "18446744073709551615\n", "/sys/kernel/mm/ksm/pages_sharing");
	found("ksm", "info", "on, and saves 0 KiB");
	end();
}
