/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding the guest's own standby NIC in QEMU's tree, as QEMU 11.1.3 shows it. */
#include "vmm_standby.h"
#include "vmm_table_test.h"

#define MAC "52:54:00:aa:bb:01"
#define OTHER "52:54:00:aa:bb:02"
#define GET(id, property, value)                                                                                                 \
	{                                                                                                                        \
		"qom-get", "/" id "\", \"property\": \"" property "\"", value                                                    \
	}
/* The answer for people: as of QEMU, each NIC with its backend below it. */
#define NETWORK(text)                                                                                                            \
	{                                                                                                                        \
		"human-monitor-command", "info network", IS("\"" text "\"")                                                      \
	}
#define ALONE                                                                                                                    \
	DEVS(DEV("net0", "virtio-net-pci")), ANON(""), GET("net0", "mac", IS("\"" MAC "\"")),                                    \
		GET("net0", "failover", IS("true")), GET("net0", "netdev", IS("\"hn0\""))
#define NIC_LINE "net0: index=0,type=nic,model=virtio-net-pci,macaddr=" MAC "\\r\\n"
#define ROWS_MAX 16

static struct result {
	struct outcome o;
	struct vmm_standby standby;
} res;

static void on_found(void *ctx, int r, const struct vmm_standby *standby, const struct err *err)
{
	cr_assert_eq(ctx, &res.o);
	cr_assert_eq(r == 1, standby != NULL);
	if (standby)
		res.standby = *standby;
	on_done(ctx, r, err);
}

static int ask(struct outcome *o)
{
	return vmm_find_standby(vmm, MAC, on_found, o, NULL);
}

static void find(const struct fake_qmp_answer *table)
{
	res = (struct result){ 0 };
	ask_by_table(table, ask, &res.o);
}

struct row {
	const char *name;
	struct fake_qmp_answer table[ROWS_MAX];
	int r;
	const char *code, *id, *netdev, *primary;
};

/* clang-format off */
static const struct row rows[] = {
	{ "one of two, with a VF of the pair and another",
	  { DEVS(DEV("rp1", "pcie-root-port") DEV("net1", "virtio-net-pci") DEV("net0", "virtio-net-pci-non-transitional")
		 DEV("vf0", "vfio-pci") DEV("vf1", "vfio-user-pci")), ANON(""),
	    GET("net1", "mac", IS("\"" OTHER "\"")), GET("net0", "mac", IS("\"52:54:00:AA:BB:01\"")), GET("net0", "failover", IS("true")),
	    GET("net0", "netdev", IS("\"hn0\"")), GET("vf0", "failover_pair_id", IS("null")), GET("vf1", "failover_pair_id", IS("\"net0\"")) },
	  1, "", "net0", "hn0", "vf1" },
	{ "no VF in the tree, a backend whose id is none",
	  { DEVS(DEV("net0", "virtio-net-pci")), ANON(""), GET("net0", "mac", IS("\"" MAC "\"")), GET("net0", "failover", IS("true")),
	    GET("net0", "netdev", IS("\"#net123\"")) },
	  1, "", "net0", "", "" },
	{ "none", { DEVS(DEV("rp1", "pcie-root-port") DEV("n", "e1000e")), ANON("") }, 0, "", "", "", "" },
	{ "another MAC only", { DEVS(DEV("net1", "virtio-net-pci")), ANON(""), GET("net1", "mac", IS("\"" OTHER "\"")) }, 0, "", "", "", "" },
	{ "no tree of nameless devices, and a NIC that vanishes",
	  { DEVS(DEV("net1", "virtio-net-pci")), GET("net1", "mac", GONE) }, 0, "", "", "", "" },
	{ "failover is off",
	  { DEVS(DEV("net0", "virtio-net-pci")), ANON(""), GET("net0", "mac", IS("\"" MAC "\"")), GET("net0", "failover", IS("false")),
	    GET("net0", "netdev", IS("\"hn0\"")) },
	  -EOPNOTSUPP, "vmm.standby-no-failover", "", "", "" },
	{ "no id",
	  { DEVS(""), ANON(DEV("device[3]", "virtio-net-pci")), GET("device[3]", "mac", IS("\"" MAC "\"")) },
	  -EOPNOTSUPP, "vmm.standby-no-id", "", "", "" },
	{ "twice",
	  { DEVS(DEV("net0", "virtio-net-pci")), ANON(DEV("device[0]", "virtio-net-pci")), { "qom-get", "mac", IS("\"" MAC "\"") } },
	  -EEXIST, "vmm.standby-twice", "", "", "" },
	{ "it vanishes while it is asked",
	  { DEVS(DEV("net0", "virtio-net-pci")), ANON(""), GET("net0", "mac", IS("\"" MAC "\"")), GET("net0", "failover", GONE),
	    GET("net0", "netdev", IS("\"hn0\"")) },
	  -ENODEV, "qmp.device-not-found", "", "", "" },
	{ "lists: an object", { { "qom-list", "peripheral\"", IS("{}") }, ANON("") }, -EPROTO, "vmm.bad-answer", "", "", "" },
	{ "lists: numbers", { { "qom-list", "peripheral\"", IS("[1, 2]") }, ANON("") }, -EPROTO, "vmm.bad-answer", "", "", "" },
	{ "mac: a number", { DEVS(DEV("net0", "virtio-net-pci")), ANON(""), GET("net0", "mac", IS("7")) }, -EPROTO, "vmm.bad-answer", "", "", "" },
	{ "mac: no MAC",
	  { DEVS(DEV("net0", "virtio-net-pci")), ANON(""), GET("net0", "mac", IS("\"52:54:00:aa:bb:0\"")) },
	  -EPROTO, "vmm.bad-answer", "", "", "" },
	{ "failover: a word",
	  { DEVS(DEV("net0", "virtio-net-pci")), ANON(""), GET("net0", "mac", IS("\"" MAC "\"")), GET("net0", "failover", IS("\"on\"")) },
	  -EPROTO, "vmm.bad-answer", "", "", "" },
	{ "netdev: a list",
	  { DEVS(DEV("net0", "virtio-net-pci")), ANON(""), GET("net0", "mac", IS("\"" MAC "\"")), GET("net0", "failover", IS("true")),
	    GET("net0", "netdev", IS("[]")) },
	  -EPROTO, "vmm.bad-answer", "", "", "" },
	{ "pair: true",
	  { DEVS(DEV("net0", "virtio-net-pci") DEV("vf0", "vfio-pci")), ANON(""), GET("net0", "mac", IS("\"" MAC "\"")),
	    GET("net0", "failover", IS("true")), GET("net0", "netdev", IS("\"hn0\"")), GET("vf0", "failover_pair_id", IS("true")) },
	  -EPROTO, "vmm.bad-answer", "", "", "" },
	{ "names with a slash, and without an end",
	  { DEVS(DEV("../net0", "virtio-net-pci") DEV("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "virtio-net-pci")), ANON(""), { "qom-get", NULL, IS("\"" MAC "\"") } },
	  0, "", "", "", "" },
};
/* clang-format on */

Test(vmm_find, rows, .timeout = 60)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		find(rows[i].table);
		cr_assert_eq(res.o.r, rows[i].r, "%s: %d %s", rows[i].name, res.o.r, res.o.err.msg);
		cr_assert_str_eq(res.o.err.code, rows[i].code, "%s", rows[i].name);
		cr_assert_str_eq(res.standby.id, rows[i].id, "%s", rows[i].name);
		cr_assert_str_eq(res.standby.netdev, rows[i].netdev, "%s", rows[i].name);
		cr_assert_str_eq(res.standby.primary, rows[i].primary, "%s", rows[i].name);
		if (res.o.r == -EOPNOTSUPP)
			cr_assert(strstr(res.o.err.hint, "failover=on"), "%s", res.o.err.hint);
	}
}

/* Its backend: told for people, and believed as far as it is understood. */
Test(vmm_find, backend, .timeout = 60)
{
	static const struct {
		const char *name;
		struct fake_qmp_answer table[ROWS_MAX];
		int r, tap_fd;
		const char *tap;
	} backends[] = {
		{ "a name",
		  { ALONE, NETWORK(NIC_LINE " \\\\ hn0: index=0,type=tap,ifname=tap-vm1,script=no,downscript=no\\r\\n") },
		  1,
		  -1,
		  "tap-vm1" },
		{ "a descriptor", { ALONE, NETWORK(NIC_LINE " \\\\ hn0: index=0,type=tap,fd=31\\r\\n") }, 1, 31, "" },
		{ "queues, another backend of a like name, no line end",
		  { ALONE,
		    NETWORK("hn01: index=0,type=tap,fd=7\\r\\nhn0: index=1,type=tap,fd=8\\r\\nhn0: index=0,type=tap,fd=9") },
		  1,
		  9,
		  "" },
		{ "a helper", { ALONE, NETWORK(" \\\\ hn0: index=0,type=tap,helper=/usr/lib/h,br=br0\\r\\n") }, 1, -1, "" },
		{ "no tap", { ALONE, NETWORK(" \\\\ hn0: index=0,type=user,net=10.0.2.0\\r\\n") }, 1, -1, "" },
		{ "a name too long", { ALONE, NETWORK("hn0: index=0,type=tap,ifname=aaaaaaaaaaaaaaaa\\r\\n") }, 1, -1, "" },
		{ "numbers that are none",
		  { ALONE, NETWORK("hn0: index=0,type=tap,fd=\\r\\nhn0: index=0,type=tap,fd=-1\\r\\n"
				   "hn0: index=0,type=tap,fd=3x\\r\\nhn0: index=0,type=tap,fd=99999999999") },
		  1,
		  -1,
		  "" },
		{ "nothing", { ALONE, NETWORK("") }, 1, -1, "" },
		{ "a VMM without", { ALONE, { "human-monitor-command", NULL, GONE } }, 1, -1, "" },
		{ "a number", { ALONE, { "human-monitor-command", NULL, IS("7") } }, -EPROTO, 0, "" },
	};

	for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
		find(backends[i].table);
		cr_assert_eq(res.o.r, backends[i].r, "%s: %d %s", backends[i].name, res.o.r, res.o.err.msg);
		cr_assert_eq(res.standby.tap_fd, backends[i].tap_fd, "%s: %d", backends[i].name, res.standby.tap_fd);
		cr_assert_str_eq(res.standby.tap, backends[i].tap, "%s", backends[i].name);
	}
}

/* At the limit of what is looked at, and above it. */
Test(vmm_find, many_nics, .timeout = 60)
{
	for (unsigned n = VMM_NICS_MAX; n <= VMM_NICS_MAX + 1; n++) {
		char *list = malloc(n * 64 + 64);
		int len = sprintf(list, "\"return\": [" TYPE);

		for (unsigned i = 0; i < n; i++)
			len += sprintf(list + len, DEV("net%u", "virtio-net-pci"), i);
		strcpy(list + len, "]");
		find((struct fake_qmp_answer[]){ { "qom-list", "/machine/peripheral\"", list },
						 ANON(""),
						 GET("net255", "mac", IS("\"" MAC "\"")),
						 { "qom-get", "\"mac\"", IS("\"" OTHER "\"") },
						 GET("net255", "failover", IS("true")),
						 GET("net255", "netdev", IS("\"hn0\"")),
						 { NULL, NULL, NULL } });
		cr_assert_eq(res.o.r, n == VMM_NICS_MAX ? 1 : -E2BIG, "%u: %d %s", n, res.o.r, res.o.err.msg);
		free(list);
	}
}

/* It dies, or is given up, at each question in turn. */
Test(vmm_find, it_dies_at_each_question, .timeout = 60)
{
	static const struct question questions[] = {
		{ "qom-list", "[" TYPE DEV("net0", "virtio-net-pci") DEV("vf0", "vfio-pci") "]" },
		{ "qom-list", "[]" },
		{ "qom-get", "\"" MAC "\"" },
		{ "qom-get", "true" },
		{ "qom-get", "\"hn0\"" },
		{ "qom-get", "\"net0\"" },
	};

	lose_at_each_question(questions, sizeof(questions) / sizeof(questions[0]), ask, &res.o);
}

Test(vmm_find, no_mac)
{
	static const struct fake_qmp_step script[] = { fq_hello_vmm, fq_end };
	struct err err;

	start(script);
	cr_assert_eq(vmm_find_standby(vmm, MAC, on_found, &res.o, &err), -ENOTCONN);
	until_state(VMM_UP);
	cr_assert_eq(vmm_find_standby(vmm, "", on_found, &res.o, &err), -EINVAL);
	cr_assert_str_eq(err.code, "vmm.bad-mac");
	stop();
	cr_assert_eq(res.o.calls, 0);
}
