/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gangway-device as a whole, sealed: a VMM comes, maps, arms, and goes; gangwayd asks and is told. */
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "device_peer.h"

static struct peer peer;
static int ctl_sock;

static void setup(void)
{
	peer_start(&peer);
	ctl_sock = fd_connect_unix(peer.ctl, SOCK_SEQPACKET);
	cr_assert(ctl_sock >= 0);
}

static void teardown(void)
{
	json_t *stop;
	int status;

	/* status messages that nobody has read come first */
	cr_assert(fd_send(ctl_sock, "{\"op\":\"stop\"}", 13, NULL, 0) > 0);
	while ((stop = ctl_read(ctl_sock, NULL, NULL)))
		json_decref(stop);
	status = peer_wait(&peer);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status 0x%x: stopped by the sandbox?", status);
	peer_clean(&peer);
}

TestSuite(device, .init = setup, .fini = teardown);

/* Read until a status has @key equal to @want; false after 2 s of silence. */
static bool told(const char *key, json_int_t want)
{
	json_t *msg;

	while ((msg = ctl_read(ctl_sock, NULL, NULL))) {
		json_t *v = json_object_get(json_object_get(msg, "status"), key);
		bool hit =
			json_is_boolean(v) ? json_is_true(v) == (want != 0) : json_integer_value(v) == want && json_is_integer(v);

		json_decref(msg);
		if (hit)
			return true;
	}
	return false;
}

static int dma_map(int sock, uint64_t iova, uint64_t size, int fd)
{
	struct vuser_dma_map_req req = { .argsz = sizeof(req), .flags = 3, .address = iova, .size = size };

	return vmm_ask(sock, VUSER_DMA_MAP, &req, sizeof(req), &fd, fd >= 0);
}

static int guest_memory(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);

	cr_assert(fd >= 0 && ftruncate(fd, 16 << 20) == 0);
	return fd;
}

static int arm_one(int sock, unsigned vector)
{
	struct vfio_irq_set set = { .argsz = sizeof(set),
				    .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
				    .index = VFIO_PCI_MSIX_IRQ_INDEX,
				    .start = vector,
				    .count = 1 };
	int fd = eventfd(0, EFD_NONBLOCK), r;

	r = vmm_ask(sock, VUSER_DEVICE_SET_IRQS, &set, sizeof(set), &fd, 1);
	close(fd);
	return r;
}

static int write_command(int sock, uint16_t command)
{
	struct {
		struct vuser_region_access access;
		uint16_t command;
	} __attribute__((packed)) req = { { PCI_COMMAND, VFIO_PCI_CONFIG_REGION_INDEX, 2 }, command };

	return vmm_ask(sock, VUSER_REGION_WRITE, &req, sizeof(req), NULL, 0);
}

Test(device, hello)
{
	int fds[3] = { -1, -1, -1 };
	size_t nr_fds = 0;
	json_t *hello = ctl_ask(ctl_sock, "{\"op\":\"hello\"}", fds, &nr_fds);
	json_int_t version, pid;
	const char *id, *bdf;

	cr_assert_not_null(hello);
	cr_assert_eq(nr_fds, 3);
	cr_assert_eq(json_unpack(hello, "{s:I, s:I, s:s, s:s, s:{s:b}}", "version", &version, "pid", &pid, "id", &id, "bdf", &bdf,
				 "status", "degraded", &(int){ 0 }),
		     0);
	cr_assert_eq(version, DEVICE_PROTO_VERSION);
	cr_assert_eq(pid, peer.pid);
	cr_assert_str_eq(id, "lease-1");
	cr_assert_str_eq(bdf, PEER_BDF);
	json_decref(hello);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

Test(device, a_guest_comes_and_goes)
{
	int memory = guest_memory(), sock = vmm_connect(peer.vuser);

	cr_assert(sock >= 0);
	cr_assert_eq(dma_map(sock, 0, 8 << 20, memory), 0);
	cr_assert_eq(dma_map(sock, 0x100000000, 8 << 20, memory), 0);
	cr_assert_eq(dma_map(sock, 0xfffc0000, 0x40000, -1), 0, "a ROM without a descriptor");
	cr_assert(told("dma_bytes", 16 << 20));
	cr_assert_eq(arm_one(sock, 0), 0);
	cr_assert_eq(arm_one(sock, 2), 0);
	cr_assert(told("vectors_armed", 2));
	cr_assert_eq(write_command(sock, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER), 0);
	cr_assert(told("bus_master", 1));
	cr_assert_eq(vmm_ask(sock, VUSER_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	close(sock);
	cr_assert(told("bus_master", 0));
	cr_assert_eq(fd_send(ctl_sock, "{\"op\":\"status\"}", 15, NULL, 0), 15);
	cr_assert(told("vectors_armed", 0));
	/* the VM has rebooted: a new QEMU */
	sock = vmm_connect(peer.vuser);
	cr_assert(sock >= 0);
	cr_assert_eq(dma_map(sock, 0, 8 << 20, memory), 0, "nothing of the first is left");
	cr_assert(told("nr_clients", 2));
	close(sock);
	close(memory);
}

/* Processor time the process has had, in clock ticks. */
static unsigned long ticks(void)
{
	char path[64], text[1024] = "";
	unsigned long user = 0, system = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)peer.pid);
	f = fopen(path, "re");
	cr_assert(f && fgets(text, sizeof(text), f) && !fclose(f));
	cr_assert_eq(sscanf(strrchr(text, ')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system), 2);
	return user + system;
}

/* Memory has landed, some is parked and then gone: nobody turns in circles. */
Test(device, sleeps_when_there_is_nothing_to_do)
{
	int memory = guest_memory(), sock = vmm_connect(peer.vuser);
	struct vuser_dma_unmap_req unmap = { .argsz = sizeof(unmap), .address = 1 << 30, .size = 8 << 20 };
	unsigned long before;

	cr_assert_eq(dma_map(sock, 0, 8 << 20, memory), 0);
	cr_assert_eq(dma_map(sock, 1 << 30, 8 << 20, memory), 0);
	cr_assert_eq(vmm_ask(sock, VUSER_DMA_UNMAP, &unmap, sizeof(unmap), NULL, 0), 0);
	cr_assert(told("dma_pending", 0));
	before = ticks();
	usleep(1500000); /* what is parked is parked for a second */
	cr_assert_leq(ticks() - before, 5, "%lu ticks of 150", ticks() - before);
	cr_assert_eq(write_command(sock, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER), 0);
	before = ticks();
	usleep(500000);
	cr_assert_leq(ticks() - before, 5);
	close(sock);
	close(memory);
}

/* Reads until a status has as many reasons to hold the bus master bit. */
static bool told_held(size_t nr)
{
	json_t *msg;

	while ((msg = ctl_read(ctl_sock, NULL, NULL))) {
		json_t *held = json_object_get(json_object_get(msg, "status"), "held");
		bool hit = json_is_array(held) && json_array_size(held) == nr;

		if (hit && nr)
			cr_assert_str_eq(json_string_value(json_array_get(held, 0)), "quarantine");
		json_decref(msg);
		if (hit)
			return true;
	}
	return false;
}

Test(device, quarantine_is_asked_for_and_told)
{
	static const char on[] = "{\"op\":\"quarantine\",\"on\":true}", off[] = "{\"op\":\"quarantine\",\"on\":false}";
	int sock = vmm_connect(peer.vuser);

	cr_assert(sock >= 0);
	cr_assert(told_held(0));
	cr_assert_eq(fd_send(ctl_sock, on, strlen(on), NULL, 0), strlen(on));
	cr_assert(told_held(1));
	cr_assert_eq(write_command(sock, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER), 0);
	cr_assert_eq(fd_send(ctl_sock, off, strlen(off), NULL, 0), strlen(off));
	cr_assert(told("bus_master", 1), "only now");
	close(sock);
}

/* Past the process, by the device's own descriptor: said again, it is done again. */
Test(device, quarantine_said_again)
{
	struct vdev_fds fds = { .container = dup(0), .group = dup(0), .device = dup(0) };
	uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	struct vfdev dev;
	struct err err;

	memset(canned_config, 0, sizeof(canned_config));
	cr_assert_eq(vfdev_init(&dev, canned_sys(), PEER_BDF, fds, 64 << 20, 0, &err), 0, "%s", err.msg);
	vfdev_ops.region_write(&dev, VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND, &command, sizeof(command));
	cr_assert_eq(canned_config[PCI_COMMAND], command);
	for (int i = 0; i < 2; i++) {
		vfdev_hold(&dev, VFDEV_HOLD_QUARANTINE, true);
		cr_assert_eq(canned_config[PCI_COMMAND], PCI_COMMAND_MEMORY);
		canned_config[PCI_COMMAND] |= PCI_COMMAND_MASTER;
	}
	vfdev_hold(&dev, VFDEV_HOLD_QUARANTINE, true);
	vfdev_hold(&dev, VFDEV_HOLD_QUARANTINE, false);
	cr_assert_eq(canned_config[PCI_COMMAND], command, "as the guest has left it");
	vfdev_done(&dev);
	cr_assert_eq(canned_config[PCI_COMMAND], PCI_COMMAND_MEMORY);
}

Test(device, a_second_vmm_is_refused)
{
	int first = vmm_connect(peer.vuser), memory = guest_memory();

	cr_assert(first >= 0);
	cr_assert(vmm_connect(peer.vuser) < 0);
	cr_assert_eq(dma_map(first, 0, 8 << 20, memory), 0, "the first has noticed nothing");
	close(first);
	close(memory);
}

Test(device, refusals_are_answered_and_told)
{
	int sock = vmm_connect(peer.vuser), memory = guest_memory(), pipe_fds[2];
	json_t *msg;

	cr_assert_eq(pipe(pipe_fds), 0);
	cr_assert_eq(dma_map(sock, 0, 8 << 20, memory), 0);
	cr_assert_eq(dma_map(sock, 0, 8 << 20, memory), EEXIST);
	cr_assert(told("degraded", 1));
	cr_assert_eq(dma_map(sock, 0xfee00000, 4096, memory), ERANGE);
	cr_assert_eq(dma_map(sock, 0x10000000, 32 << 20, memory), ENXIO);
	cr_assert_eq(dma_map(sock, 0x10000000, 65 << 20, memory), ENXIO, "ROMs and video memory come on top of the RAM");
	cr_assert_eq(dma_map(sock, 0x10000000, 121 << 20, memory), EDQUOT);
	cr_assert_eq(dma_map(sock, 0x10000000, 4096, pipe_fds[0]), EINVAL);
	cr_assert_eq(dma_map(sock, 0x10000800, 4096, memory), EINVAL);
	usleep(DEVCTL_STATUS_MS * 2000);
	while ((msg = ctl_ask(ctl_sock, "{\"op\":\"status\"}", NULL, NULL))) {
		const char *last = json_string_value(json_object_get(json_object_get(msg, "status"), "last_error"));
		bool hit = last && strstr(last, "aligned");

		json_decref(msg);
		if (hit)
			break;
	}
	cr_assert_not_null(msg);
	close(sock);
	cr_assert(told("degraded", 0), "gone with the client");
}

/* What happened last is told: here, why the server hung up. */
Test(device, a_refusal_and_then_the_end)
{
	struct vuser_hdr bad = { .id = 9, .cmd = VUSER_DMA_MAP, .size = 1 };
	int sock = vmm_connect(peer.vuser), memory = guest_memory();
	const char *last = "";
	json_t *msg = NULL;

	cr_assert_eq(dma_map(sock, 0x10000800, 4096, memory), EINVAL);
	cr_assert_eq(write(sock, &bad, sizeof(bad)), sizeof(bad));
	while (!strstr(last, "message size")) {
		json_decref(msg);
		msg = ctl_read(ctl_sock, NULL, NULL);
		cr_assert_not_null(msg, "never told");
		last = json_string_value(json_object_get(json_object_get(msg, "status"), "last_error"));
	}
	json_decref(msg);
	close(sock);
	close(memory);
}

Test(device, ram_limit_saturates)
{
	cr_assert_eq(device_ram_limit(0), DEVICE_RAM_SPARE, "and not 0, which would be any");
	cr_assert_eq(device_ram_limit(1 << 20), (1 << 20) + DEVICE_RAM_SPARE);
	cr_assert_eq(device_ram_limit(UINT64_MAX - DEVICE_RAM_SPARE), UINT64_MAX);
	cr_assert_eq(device_ram_limit(UINT64_MAX - DEVICE_RAM_SPARE + 1), UINT64_MAX);
}

static unsigned nr_resets;

static int counting_ioctl(struct sys *sys, int fd, unsigned long request, void *arg)
{
	nr_resets += request == VFIO_DEVICE_RESET;
	return canned_ioctl(sys, fd, request, arg);
}

/* A reset takes its time: at the end there is one, by the client that goes or, where there was none since, by the end itself. */
Test(device, quiesced_once_at_the_end)
{
	static const struct {
		bool client, wait;
		unsigned resets;
	} rows[] = { { false, false, 1 }, { true, false, 1 }, { true, true, 2 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vdev_fds fds = { .container = dup(0), .group = dup(0), .device = dup(0) };
		struct sys *sys = canned_sys();
		struct devctl ctl = { .stop = true };
		struct vfdev dev;
		struct err err;

		nr_resets = 0;
		canned_ops.ioctl = counting_ioctl;
		cr_assert_eq(vfdev_init(&dev, sys, PEER_BDF, fds, 1 << 20, 0, &err), 0, "%s", err.msg);
		if (rows[i].client) {
			vfdev_ops.on_client(&dev, true);
			vfdev_ops.on_client(&dev, false);
		}
		if (rows[i].wait)
			cr_assert_eq(device_serve(&ctl, NULL, &dev, -1), 0);
		vfdev_done(&dev);
		cr_assert_eq(nr_resets, rows[i].resets, "row %zu: %u", i, nr_resets);
	}
}

/* A guest that flips bus mastering as fast as it can makes ten messages a second, not ten thousand. */
Test(device, a_chatty_guest_is_coalesced)
{
	int sock = vmm_connect(peer.vuser), told_nr = 0;
	struct timespec from, to;
	json_t *msg;
	long ms;

	clock_gettime(CLOCK_MONOTONIC, &from);
	for (int i = 0; i < 2000; i++)
		cr_assert_eq(write_command(sock, i % 2 ? PCI_COMMAND_MASTER : 0), 0);
	clock_gettime(CLOCK_MONOTONIC, &to);
	ms = (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
	close(sock);
	while ((msg = ctl_read(ctl_sock, NULL, NULL))) {
		told_nr++;
		json_decref(msg);
	}
	cr_assert(told_nr <= ms / DEVCTL_STATUS_MS + 6, "%d messages in %ld ms", told_nr, ms);
}

Test(device, control_clients_at_and_above_the_limit)
{
	int socks[DEVCTL_CLIENTS];
	json_t *msg;

	for (int i = 0; i < DEVCTL_CLIENTS; i++) {
		socks[i] = fd_connect_unix(peer.ctl, SOCK_SEQPACKET);
		cr_assert(socks[i] >= 0);
		msg = ctl_ask(socks[i], "{\"op\":\"status\"}", NULL, NULL);
		/* setup has taken one place */
		cr_assert_eq(msg != NULL, i < DEVCTL_CLIENTS - 1, "connection %d", i);
		json_decref(msg);
	}
	close(socks[0]);
	usleep(50000);
	close(socks[DEVCTL_CLIENTS - 1]);
	socks[0] = fd_connect_unix(peer.ctl, SOCK_SEQPACKET);
	msg = ctl_ask(socks[0], "{\"op\":\"status\"}", NULL, NULL);
	cr_assert_not_null(msg, "a place is free again");
	json_decref(msg);
	for (int i = 0; i < DEVCTL_CLIENTS - 1; i++)
		close(socks[i]);
}

/* A VMM that asks for descriptors and never reads them does not use up those that the control socket needs. */
Test(device, descriptors_are_left_for_control_clients)
{
	struct vfio_region_info q = { .argsz = sizeof(q), .index = VFIO_PCI_BAR0_REGION_INDEX };
	struct vuser_hdr h = { .id = 1, .cmd = VUSER_DEVICE_GET_REGION_INFO, .size = sizeof(h) + sizeof(q) };
	int sock = vmm_connect(peer.vuser), asked = 0;
	uint8_t buf[sizeof(h) + sizeof(q)];
	const char *text;
	json_t *last;
	bool silent;
	char end;

	memcpy(buf, &h, sizeof(h));
	memcpy(buf + sizeof(h), &q, sizeof(q));
	while (asked < 2000 && fd_send(sock, buf, sizeof(buf), NULL, 0) == sizeof(buf)) {
		int other = fd_connect_unix(peer.ctl, SOCK_SEQPACKET);
		json_t *msg;

		cr_assert(other >= 0);
		msg = ctl_ask(other, "{\"op\":\"status\"}", NULL, NULL);
		cr_assert_not_null(msg, "after %d questions", asked);
		json_decref(msg);
		close(other);
		asked++;
	}
	cr_assert(asked > VUSER_OUT_FDS && asked < 2000, "%d", asked);
	/* dropped for what it does (errno 109, ETOOMANYREFS: or what the kernel allows a user in flight), not because descriptors were out */
	do {
		last = ctl_ask(ctl_sock, "{\"op\":\"status\"}", NULL, NULL);
		text = json_string_value(json_object_get(json_object_get(last, "status"), "last_error"));
		silent = text && (strstr(text, "does not read its answers") || strstr(text, "errno 109"));
		cr_assert(last && (silent || !text || !strstr(text, "dropped")), "%s", text);
		json_decref(last);
	} while (!silent);
	while (recv(sock, &end, 1, 0) > 0)
		;
	close(sock);
}

/* Poll(2) would say at once that there is a client to accept: the loop is told to leave it for a while. */
Test(device, accept_that_fails_is_told)
{
	struct rlimit was, none;
	struct pollfd fds[1 + DEVCTL_CLIENTS];
	int vfio[3] = { 0, 0, 0 }, listener, client;
	struct devctl_status status = { .vuser_state = "idle", .last_error = "" };
	struct devctl ctl;
	char path[128];

	snprintf(path, sizeof(path), "%s/other.ctl", peer.dir);
	listener = fd_listen_unix(path, SOCK_SEQPACKET, 0600);
	client = fd_connect_unix(path, SOCK_SEQPACKET);
	cr_assert(listener >= 0 && client >= 0);
	devctl_init(&ctl, listener, "lease-1", PEER_BDF, vfio);
	devctl_poll(&ctl, fds);
	cr_assert_eq(poll(fds, 1 + DEVCTL_CLIENTS, 1000), 1);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = was.rlim_max };
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	cr_assert_eq(devctl_process(&ctl, fds, &status), -EMFILE);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &was), 0);
	cr_assert_eq(devctl_process(&ctl, fds, &status), 0);
	cr_assert_geq(ctl.clients[0], 0);
	devctl_done(&ctl);
	close(client);
	close(listener);
	unlink(path);
}

Test(device, hostile_control_requests)
{
	static const char *const requests[] = {
		"{}",
		"[]",
		"null",
		"{\"op\":1}",
		"{\"op\":\"launch\"}",
		"{\"op\":\"stop\",\"op\":\"hello\"}",
		"\xff\xfe",
		"{\"op\":\"stop\"",
		"{\"op\":null}",
		"{\"op\":\"quarantine\"}",
		"{\"op\":\"quarantine\",\"on\":1}",
		"{\"op\":\"quarantine\",\"on\":null}",
	};
	json_t *msg;

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		size_t nr_fds = 0;
		int fds[3];

		msg = ctl_ask(ctl_sock, requests[i], fds, &nr_fds);
		cr_assert_not_null(msg, "%s", requests[i]);
		cr_assert_str_eq(json_string_value(json_object_get(msg, "op")), "error", "%s", requests[i]);
		cr_assert_eq(nr_fds, 0);
		json_decref(msg);
	}
	/* larger than a datagram may be: the connection ends, the process does not */
	{
		static char big[DEVICE_PROTO_MAX + 1];
		int sock = fd_connect_unix(peer.ctl, SOCK_SEQPACKET);

		memset(big, ' ', sizeof(big));
		cr_assert_eq(fd_send(sock, big, sizeof(big), NULL, 0), (ssize_t)sizeof(big));
		cr_assert_null(ctl_read(sock, NULL, NULL));
		close(sock);
		/* and descriptors where none are expected */
		sock = fd_connect_unix(peer.ctl, SOCK_SEQPACKET);
		fd_send(sock, "{\"op\":\"hello\"}", 14, &sock, 1);
		cr_assert_null(ctl_read(sock, NULL, NULL));
		close(sock);
	}
	msg = ctl_ask(ctl_sock, "{\"op\":\"status\"}", NULL, NULL);
	cr_assert_not_null(msg);
	json_decref(msg);
}
