/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer target: the input is what a VMM sends, from its greeting on. It goes through the product's own line decoder into a
 * guest with an operation of each kind under way, so the readers of answers and events are fed as well; when the connection is
 * given up, the rest goes into the next one. Every operation must call back exactly once.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../vmm/qmp_internal.h"
#include "../../vmm/vmm_internal.h"
#include "vmm_standby.h"

#define CONNECTIONS 3
#define NR_OPS 13

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned calls, started;

static void on_done(void *ctx, int r, const struct err *err)
{
	(void)ctx;
	if (r < 0 && (!err || err->num != r || !err->code[0] || !err->msg[0]))
		abort();
	calls++;
}

static void on_info(void *ctx, int r, const struct vmm_info *info, const struct err *err)
{
	for (int i = 0; r == 0 && i < VMM_FREE_PORTS; i++)
		if (!info || strnlen(info->free_ports[i], VMM_ID_MAX) == VMM_ID_MAX)
			abort();
	on_done(ctx, r, err);
}

static void on_standby(void *ctx, int r, const struct vmm_standby *standby, const struct err *err)
{
	if ((r == 1) != (standby != NULL) || r > 1 || (standby && vmm_id_check(standby->id, NULL) < 0))
		abort();
	on_done(ctx, r, err);
}

static void on_migrate_info(void *ctx, int r, const struct vmm_migrate_info *info, const struct err *err)
{
	if ((r == 0) != (info != NULL) || (info && (info->migration.status >= VMM_MIG_NUM_STATUSES || !info->migration.word[0])))
		abort();
	on_done(ctx, r, err);
}

static void start_more(struct vmm *vmm)
{
	static const struct vmm_migrate migrate = {
		.uri = "tcp:h:1", .bandwidth = 1, .downtime_ms = 1, .background_snapshot = true
	};
	static const struct vmm_plug plug = { .id = "vf1", .bus = "rp1", .host_bdf = "0000:3b:02.2", .failover_pair_id = "n2" };
	static struct vmm_standby_plug standby = {
		.id = "n2", .netdev_id = "h2", .bus = "rp2", .mac = "52:54:00:00:00:01", .fd = -1, .vhost_fd = -1
	};

	if (standby.fd < 0)
		standby.fd = standby.vhost_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	started += vmm_plug_standby(vmm, &standby, on_done, NULL, NULL) == 0;
	started += vmm_unplug_standby(vmm, "n3", "h3", 1000, on_done, NULL, NULL) == 0;
	started += vmm_find_standby(vmm, "52:54:00:00:00:02", on_standby, NULL, NULL) == 0;
	started += vmm_migrate_start(vmm, &migrate, on_done, NULL, NULL) == 0;
	started += vmm_query_migrate(vmm, on_migrate_info, NULL, NULL) == 0;
	started += vmm_query_migrate(vmm, on_migrate_info, NULL, NULL) == 0;
	started += vmm_migrate_cancel(vmm, on_done, NULL, NULL) == 0;
	started += vmm_migrate_postcopy(vmm, on_done, NULL, NULL) == 0;
	started += vmm_plug(vmm, &plug, on_done, NULL, NULL) == 0;
}

static bool may_plug(const struct vmm *vmm)
{
	return vmm_may_plug(vmm, NULL) != -ESTALE;
}

static void on_state(void *ctx, struct vmm *vmm, enum vmm_state state, const struct err *why)
{
	static const struct vmm_plug plug = { .id = "vf0", .bus = "rp1", .host_bdf = "0000:3b:02.1" };

	(void)ctx;
	(void)why;
	if (state != VMM_UP || started)
		return;
	started += vmm_query(vmm, VMM_FREE_PORTS, on_info, NULL, NULL) == 0;
	started += vmm_unplug(vmm, "n1", 1000, on_done, NULL, NULL) == 0;
	started += vmm_has_device(vmm, "n1", on_done, NULL, NULL) == 0;
	started += vmm_plug(vmm, &plug, on_done, NULL, NULL) == 0;
	start_more(vmm);
	if (started != (may_plug(vmm) ? NR_OPS : NR_OPS - 3)) /* a guest that has left takes no devices */
		abort();
}

static void on_event(void *ctx, struct vmm *vmm, const char *event, struct json_t *data)
{
	(void)ctx;
	(void)vmm;
	if (!event || !json_is_object(data))
		abort();
}

static void on_migration(void *ctx, struct vmm *vmm, const struct vmm_migration *m)
{
	struct vmm_migration now;

	(void)ctx;
	vmm_get_migration(vmm, &now);
	if (m->status != now.status || m->role != now.role || !m->word[0])
		abort();
}

static void on_id(void *ctx, struct vmm *vmm, const char *id)
{
	(void)ctx;
	(void)vmm;
	if (vmm_id_check(id, NULL) < 0)
		abort();
}

static const struct vmm_ops ops = {
	.on_state = on_state,
	.on_event = on_event,
	.on_migration = on_migration,
	.on_device_deleted = on_id,
};

/* One connection: feeds up to its end. Returns the bytes used. */
static size_t connection(struct vmm *vmm, const char *bytes, size_t size)
{
	size_t used = 0;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0 || qmp_attach(vmm->qmp, pair[0]) < 0)
		abort();
	while (used < size && vmm->qmp->fd >= 0) {
		/* in pieces, as a socket would; lines come out whole and torn */
		size_t piece = size - used < 61 ? size - used : 61;

		qmp_feed(vmm->qmp, bytes + used, piece);
		used += piece;
	}
	close(pair[1]);
	if (vmm->qmp->fd >= 0) {
		struct err why;

		err_set(&why, -ECONNRESET, "qmp.closed", "end of input");
		qmp_lost(vmm->qmp, QMP_TRYING, &why);
	}
	return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static sd_event *event;
	struct vmm *vmm;
	size_t used = 0;

	if (!event && sd_event_new(&event) < 0)
		abort();
	calls = started = 0;
	if (vmm_new(event, "vm1", "/nowhere/qmp.sock", &ops, NULL, &vmm) < 0)
		abort();
	for (int i = 0; i < CONNECTIONS && used < size; i++)
		used += connection(vmm, (const char *)data + used, size - used);
	vmm_free(vmm);
	if (calls != started)
		abort();
	return 0;
}
