/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the host has: findings of doctor, PFs, VFs. */
#include <stdlib.h>
#include <string.h>

#include "cli_render.h"
#include "cli_views.h"

void cli_view_doctor(FILE *out, json_t *result)
{
	json_t *finding, *findings = json_object_get(result, "findings");
	unsigned int fails = 0, warns = 0;
	int width = 0;
	size_t i;

	json_array_foreach (findings, i, finding) {
		char *check = cli_cell(finding, "check");

		width = (int)strlen(check) > width ? (int)strlen(check) : width;
		free(check);
	}
	json_array_foreach (findings, i, finding) {
		char *status = cli_cell(finding, "status"), *check = cli_cell(finding, "check");
		char *detail = cli_cell(finding, "detail"), *hint = cli_cell(finding, "hint");

		fprintf(out, "%-4s  %-*s  %s\n", status, width, check, detail);
		if (strcmp(hint, "-") != 0)
			fprintf(out, "%*shint: %s\n", width + 8, "", hint);
		fails += strcmp(status, "fail") == 0;
		warns += strcmp(status, "warn") == 0;
		free(status);
		free(check);
		free(detail);
		free(hint);
	}
	if (fails || warns)
		fprintf(out, "%zu checks: %u failed, %u to look at\n", json_array_size(findings), fails, warns);
	else
		fprintf(out, "%zu checks: this host is ready\n", json_array_size(findings));
}

/* An identifier as lspci writes it, "8086": numbers in the tree are just numbers. */
static char *pci_id(json_t *pf, const char *key)
{
	json_t *v = json_object_get(pf, key);

	return json_is_integer(v) ? cli_text("%04llx", (unsigned long long)json_integer_value(v) & 0xffff) : cli_cell(pf, key);
}

static char *pf_device(json_t *pf, const char *key)
{
	char *vendor, *device, *text;

	if (cli_str(pf, key))
		return cli_cell(pf, key);
	vendor = pci_id(pf, "vendor");
	device = pci_id(pf, "device");
	text = strcmp(vendor, "-") == 0 && strcmp(device, "-") == 0 ? cli_text("-") : cli_text("%s:%s", vendor, device);
	free(vendor);
	free(device);
	return text;
}

static char *pf_vfs(json_t *pf, const char *key)
{
	char *vfs = cli_cell(pf, key), *total = cli_cell(pf, "total_vfs");
	char *text = cli_text("%s/%s", vfs, total);

	free(vfs);
	free(total);
	return text;
}

static char *pf_link(json_t *pf, const char *key)
{
	json_t *up = json_object_get(pf, key);

	if (!json_is_boolean(up))
		return cli_text("-");
	if (json_is_false(up))
		return cli_text("down");
	return cli_text(json_is_false(json_object_get(pf, "carrier")) ? "no-carrier" : "up");
}

static char *yes_no(json_t *obj, const char *key)
{
	json_t *v = json_object_get(obj, key);

	return json_is_boolean(v) ? cli_text(json_is_true(v) ? "yes" : "no") : cli_cell(obj, key);
}

/* "left out: pf 0000:3b:00.0: cannot read its state: Input/output error". False: nothing is. */
static bool tell_left_out(FILE *out, json_t *result)
{
	json_t *error = json_object_get(result, "error");
	char *msg;

	if (!json_is_object(error))
		return false;
	msg = cli_cell(error, "message");
	fprintf(out, "left out: %s\n", msg);
	free(msg);
	return true;
}

void cli_view_pfs(FILE *out, json_t *result)
{
	static const struct cli_col cols[] = {
		{ .head = "NAME", .key = "name" },
		{ .head = "BDF", .key = "bdf" },
		{ .head = "DRIVER", .key = "driver" },
		{ .head = "DEVICE", .key = "device_name", .fmt = pf_device },
		{ .head = "VFS", .key = "vfs", .fmt = pf_vfs, .right = true },
		{ .head = "LEASED", .key = "leased", .right = true },
		{ .head = "LINK", .key = "up", .fmt = pf_link },
		{ .head = "NUMA", .key = "numa_node", .right = true },
		{ .head = "MAC", .key = "mac" },
	};
	json_t *pfs = json_object_get(result, "pfs");

	cli_render_table(out, cols, CLI_NR(cols), pfs);
	if (!tell_left_out(out, result) && !json_array_size(pfs))
		fputs("no PFs: this host has no device with SR-IOV; `gangway doctor` looks for the reason\n", out);
}

/* Who has the VF: a lease, nobody, or something else that keeps it. */
static char *vf_lease(json_t *vf, const char *key)
{
	if (cli_str(vf, key))
		return cli_cell(vf, key);
	if (json_is_true(json_object_get(vf, "free")))
		return cli_text("free");
	return cli_cell(vf, "why_not_free");
}

static void vf_table(FILE *out, json_t *vfs)
{
	static const struct cli_col cols[] = {
		{ .head = "NAME", .key = "name" },
		{ .head = "BDF", .key = "bdf" },
		{ .head = "DRIVER", .key = "driver" },
		{ .head = "GROUP", .key = "group", .right = true },
		{ .head = "MAC", .key = "mac" },
		{ .head = "VLAN", .key = "vlan", .right = true },
		{ .head = "QOS", .key = "qos", .right = true },
		{ .head = "SPOOFCHK", .key = "spoofchk" },
		{ .head = "TRUST", .key = "trust" },
		{ .head = "STATE", .key = "state" },
		{ .head = "LEASE", .key = "lease", .fmt = vf_lease },
	};

	cli_render_table(out, cols, CLI_NR(cols), vfs);
}

void cli_view_vfs(FILE *out, json_t *result)
{
	json_t *vfs = json_object_get(result, "vfs");

	vf_table(out, vfs);
	if (!tell_left_out(out, result) && !json_array_size(vfs))
		fputs("no VFs; `gangway pf set PF vfs N` makes some\n", out);
}

void cli_view_pf(FILE *out, json_t *result)
{
	static const struct cli_col cols[] = {
		{ .head = "name", .key = "name" },
		{ .head = "bdf", .key = "bdf" },
		{ .head = "driver", .key = "driver" },
		{ .head = "vendor", .key = "vendor_name" },
		{ .head = "device", .key = "device_name", .fmt = pf_device },
		{ .head = "vfs", .key = "vfs", .fmt = pf_vfs },
		{ .head = "leased", .key = "leased" },
		{ .head = "link", .key = "up", .fmt = pf_link },
		{ .head = "numa node", .key = "numa_node" },
		{ .head = "mac", .key = "mac" },
		{ .head = "autoprobe", .key = "autoprobe", .fmt = yes_no },
		{ .head = "key", .key = "key" },
	};
	json_t *vfs = json_object_get(result, "vfs");

	cli_render_fields(out, cols, CLI_NR(cols), json_object_get(result, "pf"));
	if (json_array_size(vfs))
		fputc('\n', out);
	vf_table(out, vfs);
}

void cli_view_pf_set(FILE *out, json_t *result)
{
	json_t *pf = json_object_get(result, "pf"), *vfs = json_object_get(result, "vfs");
	char *name = cli_cell(pf, "name"), *n = cli_cell(pf, "vfs"), *total = cli_cell(pf, "total_vfs");

	fprintf(out, "%s: %s of %s VFs\n", name, n, total);
	vf_table(out, vfs);
	free(name);
	free(n);
	free(total);
}

void cli_view_vf(FILE *out, json_t *result)
{
	static const struct cli_col cols[] = {
		{ .head = "name", .key = "name" },
		{ .head = "bdf", .key = "bdf" },
		{ .head = "pf", .key = "pf" },
		{ .head = "index", .key = "index" },
		{ .head = "driver", .key = "driver" },
		{ .head = "driver override", .key = "override" },
		{ .head = "interface", .key = "ifname" },
		{ .head = "iommu group", .key = "group" },
		{ .head = "numa node", .key = "numa_node" },
		{ .head = "mac", .key = "mac" },
		{ .head = "vlan", .key = "vlan" },
		{ .head = "qos", .key = "qos" },
		{ .head = "proto", .key = "proto" },
		{ .head = "spoofchk", .key = "spoofchk" },
		{ .head = "trust", .key = "trust" },
		{ .head = "state", .key = "state" },
		{ .head = "min_tx_rate", .key = "min_tx_rate" },
		{ .head = "max_tx_rate", .key = "max_tx_rate" },
		{ .head = "lease", .key = "lease", .fmt = vf_lease },
		{ .head = "faults", .key = "faults", .fmt = cli_fmt_faults },
	};

	cli_render_fields(out, cols, CLI_NR(cols), json_object_get(result, "vf"));
}
