/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The answers of a guest of fake_host to QMP: they follow from what it has. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fake_host.h"

static void add_row(struct fake_guest *g, size_t *n, const char *command, const char *match, const char *reply)
{
	bool silent = (g->dies_at && !strcmp(g->dies_at, command)) || (g->hangs_at && !strcmp(g->hangs_at, command));

	g->answers[(*n)++] = (struct fake_qmp_answer){ command, match, silent ? NULL : reply };
}

static const char *__attribute__((format(printf, 3, 4))) text(struct fake_guest *g, unsigned i, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(g->text[i], sizeof(g->text[i]), fmt, ap);
	va_end(ap);
	return g->text[i];
}

static void port_rows(struct fake_guest *g, size_t *n)
{
	static const char *const paths[FAKE_PORTS] = { "/rp1/rp1", "/rp2/rp2", "/rp3/rp3", "/rp4/rp4" };

	for (unsigned i = 0; i < FAKE_PORTS; i++)
		add_row(g, n, "qom-list", paths[i],
			g->in_port[i][0] || g->no_free_port ? "\"return\": [{\"name\": \"child[0]\", \"type\": \"link<x>\"}]"
							    : "\"return\": []");
}

static const char *peripherals(struct fake_guest *g)
{
	char list[760] = "";
	size_t n = 0;

	for (unsigned i = 0; i < (g->ports ? g->ports : 1); i++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s{\"name\": \"rp%u\", \"type\": \"child<pcie-root-port>\"}",
				      i ? ", " : "", i + 1);
	for (const struct fake_nic *nic = g->nics; nic < g->nics + FAKE_NICS; nic++) {
		if (nic->standby[0])
			n += (size_t)snprintf(list + n, sizeof(list) - n,
					      ", {\"name\": \"%s\", \"type\": \"child<virtio-net-pci>\"}", nic->standby);
		if (nic->device[0])
			n += (size_t)snprintf(list + n, sizeof(list) - n, ", {\"name\": \"%s\", \"type\": \"child<vfio-pci>\"}",
					      nic->device);
	}
	if (g->own)
		n += (size_t)snprintf(list + n, sizeof(list) - n, ", {\"name\": \"%s\", \"type\": \"child<virtio-net-pci>\"}",
				      g->own);
	if (g->own_primary)
		snprintf(list + n, sizeof(list) - n, ", {\"name\": \"%s\", \"type\": \"child<vfio-pci>\"}", g->own_primary);
	return text(g, 3, "\"return\": [%s]", list);
}

/* What vmm_find_standby() asks. */
static void own_rows(struct fake_guest *g, size_t *n)
{
	add_row(g, n, "qom-list", "/machine/peripheral-anon", "\"return\": []");
	if (g->own) {
		add_row(g, n, "qom-get", text(g, 24, "/%s\", \"property\": \"mac\"", g->own),
			text(g, 25, "\"return\": \"%s\"", g->own_mac));
		add_row(g, n, "qom-get", text(g, 26, "/%s\", \"property\": \"failover\"", g->own),
			g->own_no_failover ? "\"return\": false" : "\"return\": true");
		add_row(g, n, "qom-get", "\"netdev\"", "\"return\": \"hn0\"");
		add_row(g, n, "human-monitor-command", "info network",
			text(g, 27, "\"return\": \"net0: index=0,type=nic\\r\\n \\\\ hn0: %s\\r\\n\"",
			     g->own_backend ? g->own_backend : "index=0,type=user"));
	}
	if (g->own_primary)
		add_row(g, n, "qom-get", text(g, 28, "/%s\", \"property\": \"failover_pair_id\"", g->own_primary),
			text(g, 29, "\"return\": \"%s\"", g->own));
	add_row(g, n, "qom-get", "\"property\": \"mac\"", "\"return\": \"52:54:00:ff:ff:ff\"");
	add_row(g, n, "qom-get", "\"failover_pair_id\"", "\"return\": null");
}

static void device_rows(struct fake_guest *g, size_t *n)
{
	static const char no_device[] = "\"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"Device not found\"}";

	add_row(g, n, "device_add", "virtio-net-pci",
		g->standby_error ? text(g, 7, "\"error\": {\"class\": \"GenericError\", \"desc\": \"%s\"}", g->standby_error)
				 : "\"return\": {}");
	add_row(g, n, "device_add", NULL,
		g->add_error ? text(g, 4, "\"error\": {\"class\": \"GenericError\", \"desc\": \"%s\"}", g->add_error)
			     : "\"return\": {}");
	for (unsigned i = 0; i < FAKE_NICS; i++) {
		if (g->nics[i].standby[0])
			add_row(g, n, "device_del", text(g, 8 + i, "\"%s\"", g->nics[i].standby), "\"return\": {}");
		if (g->nics[i].device[0])
			add_row(g, n, "device_del", text(g, 8 + FAKE_NICS + i, "\"%s\"", g->nics[i].device), "\"return\": {}");
	}
	add_row(g, n, "device_del", NULL, no_device);
	add_row(g, n, "getfd", NULL, "\"return\": {}");
	add_row(g, n, "closefd", NULL, "\"return\": {}");
	add_row(g, n, "netdev_add", NULL, "\"return\": {}");
	add_row(g, n, "netdev_del", NULL, g->tap[0] || g->nics[1].tap[0] ? "\"return\": {}" : no_device);
}

static void migration_rows(struct fake_guest *g, size_t *n)
{
	add_row(g, n, "migrate", "\"fd:gangway-replug\"",
		g->no_replug ? "\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}" : "\"return\": {}");
	add_row(g, n, "query-migrate-capabilities", NULL,
		"\"return\": [{\"capability\": \"events\", \"state\": true}, {\"capability\": \"postcopy-ram\", \"state\": "
		"false}]");
	add_row(g, n, "migrate-set-capabilities", NULL, "\"return\": {}");
	add_row(g, n, "migrate-start-postcopy", NULL, "\"return\": {}");
	if (!g->migration)
		return;
	add_row(g, n, "query-migrate", NULL, g->migration);
	add_row(g, n, "migrate", NULL, "\"return\": {}");
}

#define BAR 0xfe840000u
#define BAR_SIZE 0x4000u

/* Its VFs behind the first root port, each with its table at the begin of BAR 3. */
static const char *pci_tree(struct fake_guest *g)
{
	char list[600] = "";
	size_t n = 0;

	for (unsigned i = 0; i < FAKE_NICS; i++)
		if (g->nics[i].device[0])
			n += (size_t)snprintf(list + n, sizeof(list) - n,
					      "%s{\"qdev_id\": \"%s\", \"regions\": [{\"bar\": 3, \"size\": %u, \"address\": %u, "
					      "\"type\": \"memory\"}]}",
					      n ? ", " : "", g->nics[i].device, BAR_SIZE, BAR + i * BAR_SIZE);
	return text(g, 12, "\"return\": [{\"bus\": 0, \"devices\": [%s]}]", list);
}

static const char *table_words(struct fake_guest *g, unsigned nic)
{
	char lines[600] = "";
	size_t n = 0;

	for (unsigned i = 0; i < FAKE_MESSAGES; i++)
		n += (size_t)snprintf(lines + n, sizeof(lines) - n, "%016x: 0x%08x 0x%08x 0x%08x 0x%08x\\r\\n",
				      BAR + nic * BAR_SIZE + i * 16, g->messages[i][0], g->messages[i][1], g->messages[i][2],
				      g->messages[i][3]);
	return text(g, 13 + nic, "\"return\": \"%s\"", lines);
}

static void irq_rows(struct fake_guest *g, size_t *n)
{
	static const char *const lapics[FAKE_VCPUS] = { "lapic\", \"cpu-index\": 0", "lapic\", \"cpu-index\": 1",
							"lapic\", \"cpu-index\": 2", "lapic\", \"cpu-index\": 3" };
	static const char *const ids[FAKE_VCPUS] = { "\"return\": 0", "\"return\": 1", "\"return\": 2", "\"return\": 3" };
	char list[600] = "";
	size_t len = 0;

	if (!g->vcpus)
		return;
	for (unsigned i = 0; i < g->vcpus; i++)
		len += (size_t)snprintf(list + len, sizeof(list) - len,
					"%s{\"cpu-index\": %u, \"thread-id\": %u, \"qom-path\": \"/cpu%u\"}", i ? ", " : "", i,
					FAKE_TID + i, i);
	if (g->no_vcpus)
		add_row(g, n, "query-cpus-fast", NULL, "\"return\": 0");
	add_row(g, n, "query-cpus-fast", NULL, text(g, 15, "\"return\": [%s]", list));
	for (unsigned i = 0; i < g->vcpus; i++)
		add_row(g, n, "qom-get", text(g, 16 + i, "/cpu%u\", \"property\": \"apic-id", i), ids[i]);
	add_row(g, n, "qom-get", "kvm-msi-ext-dest-id", "\"return\": false");
	add_row(g, n, "query-pci", NULL, pci_tree(g));
	for (unsigned i = 0; i < FAKE_NICS; i++)
		add_row(g, n, "human-monitor-command", i ? "wx 0xfe844000" : "wx 0xfe840000",
			g->table_answer ? g->table_answer : table_words(g, i));
	for (unsigned i = 0; i < g->vcpus; i++) {
		add_row(g, n, "human-monitor-command", lapics[i],
			text(g, 20 + i,
			     "\"return\": \"SPIV\\t 0x000001ff APIC %s, focus=off\\r\\nAPR 0x00 DFR 0x0f LDR 0x%02x PPR "
			     "0x00\\r\\n\"",
			     i && g->lapic_off ? "disabled" : "enabled", 1u << i));
	}
}

void fake_guest_update(struct fake_guest *g)
{
	static const char no_device[] = "\"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"Device not found\"}";
	char mem[128];
	unsigned long long ram = (unsigned long long)g->minor_ram_mib << 20;
	size_t n = 0;

	add_row(g, &n, "query-status", NULL, text(g, 0, "\"return\": {\"status\": \"%s\", \"running\": true}", g->status));
	snprintf(mem, sizeof(mem), "%llu", ram);
	add_row(g, &n, "query-memory-size-summary", NULL, text(g, 1, "\"return\": {\"base-memory\": %s}", mem));
	snprintf(mem, sizeof(mem), "\"size\": %llu, \"share\": %s", ram, g->shared ? "true" : "false");
	add_row(g, &n, "query-memdev", NULL,
		g->no_backend ? "\"return\": []"
			      : text(g, 2, "\"return\": [%s%s{\"id\": \"mem0\", %s}]", g->memdev ? g->memdev : "",
				     g->memdev ? ", " : "", mem));
	if (g->balloon_mib)
		add_row(g, &n, "query-balloon", NULL,
			text(g, 30, "\"return\": {\"actual\": %llu}", (unsigned long long)g->balloon_mib << 20));
	add_row(g, &n, "device-list-properties", "\"vfio-user-pci\"", g->vfio_user ? "\"return\": []" : no_device);
	add_row(g, &n, "device-list-properties", "\"vfio-pci\"", "\"return\": []");
	migration_rows(g, &n);
	if (g->no_viommu)
		add_row(g, &n, "qom-list", "/machine/peripheral-anon", "\"return\": 0");
	add_row(g, &n, "qom-list", "/machine/peripheral\"", peripherals(g));
	port_rows(g, &n);
	own_rows(g, &n);
	irq_rows(g, &n);
	add_row(g, &n, "qom-get", NULL, "\"return\": true");
	device_rows(g, &n);
	g->answers[n] = (struct fake_qmp_answer){ 0 };
	if (g->peer)
		fake_qmp_table(g->peer, g->answers);
}
