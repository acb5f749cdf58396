/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What gangway-device tells of its DMA address space: page by page, to whoever asks for whatever, and sealed. */
#include "devctl_dma.h"
#include "device_peer.h"
#include "fake.h"
#include "hex64.h"

/* --- the page --- */

static struct fake *fake;
static struct vdev *vdev;
static struct iommu *iommu;
static struct err err;

static void start(void)
{
	struct iommu_config config = { .name = "vf " PEER_BDF };

	fake = fake_new();
	fake_add_driver(fake, "vfio-pci");
	fake_add_function(fake, PEER_BDF, "vfio-pci", 7);
	cr_assert_eq(vdev_open(fake_sys(fake), PEER_BDF, &vdev, &err), 0, "%s", err.msg);
	config.fd = vdev_get_fds(vdev).container;
	cr_assert_eq(iommu_new(fake_sys(fake), &iommu_type1, &config, &iommu, &err), 0, "%s", err.msg);
}

static void stop(void)
{
	iommu_free(iommu);
	vdev_close(vdev);
	fake_free(fake);
}

static int map(uint64_t iova, uint64_t size, unsigned prot, int fd)
{
	struct iommu_map_request req = { .iova = iova, .size = size, .prot = prot, .fd = fd < 0 ? -1 : dup(fd) };

	return iommu_map(iommu, &req, &err);
}

/* What devctl answers to @request; the caller's. */
static json_t *ask(const char *request)
{
	struct devctl_status status = { .vuser_state = "idle", .last_error = "" };
	struct devctl ctl = { .id = "lease-1", .bdf = PEER_BDF, .iommu = iommu };
	bool send_fds;
	char *text = devctl_answer(&ctl, request, strlen(request), &status, &send_fds);
	json_t *answer;

	cr_assert(text && strlen(text) <= DEVICE_PROTO_MAX && !send_fds, "%s", request);
	answer = json_loads(text, 0, NULL);
	free(text);
	cr_assert_not_null(answer);
	return answer;
}

static json_t *ask_from(uint64_t from)
{
	char request[96], buf[HEX64_SIZE];

	snprintf(request, sizeof(request), "{\"op\":\"dma\",\"from\":\"%s\",\"tag\":7}", hex64_format(from, buf));
	return ask(request);
}

static uint64_t addr(json_t *obj, const char *key)
{
	uint64_t v = 1;

	cr_assert_eq(hex64_parse(json_string_value(json_object_get(obj, key)), &v), 0, "%s", key);
	return v;
}

Test(device_dma, pages_over_many_ranges)
{
	unsigned nr = 0, pages = 0;
	uint64_t from = 0;

	start();
	for (unsigned i = 0; i < 200; i++)
		cr_assert_eq(map(0x10000ull * i, 0x8000, IOMMU_PROT_READ, -1), 0, "%s", err.msg);
	for (bool more = true; more; pages++) {
		json_t *answer = ask_from(from), *r;
		size_t i;

		cr_assert_eq(json_integer_value(json_object_get(answer, "tag")), 7);
		json_array_foreach (json_object_get(answer, "ranges"), i, r) {
			cr_assert_eq(addr(r, "first"), 0x10000ull * nr);
			cr_assert_eq(addr(r, "last"), 0x10000ull * nr + 0x7fff);
			nr++;
		}
		cr_assert_eq(i, DEVICE_DMA_RANGES, "full, all of them");
		more = !json_is_null(json_object_get(answer, "next"));
		if (more)
			from = addr(answer, "next");
		cr_assert_eq(json_integer_value(json_object_get(json_object_get(answer, "totals"), "recorded")), 200);
		json_decref(answer);
	}
	cr_assert_eq(nr, 200);
	cr_assert_eq(pages, 200 / DEVICE_DMA_RANGES, "no empty page at the end");
	stop();
}

/* @from is any address: in the midst of a range, between two, behind all. */
Test(device_dma, from_anywhere)
{
	static const struct {
		uint64_t from;
		int nr;
		uint64_t first;
	} rows[] = { { 0, 3, 0 },
		     { 0x8000, 3, 0 },
		     { 0xffff, 3, 0 },
		     { 0x10000, 2, 0x20000 },
		     { 0x2ffff, 2, 0x20000 },
		     { 0x30000, 1, 0xffffffffffff0000 },
		     { UINT64_MAX, 1, 0xffffffffffff0000 } };

	start();
	cr_assert_eq(map(0, 0x10000, IOMMU_PROT_READ, -1), 0);
	cr_assert_eq(map(0x20000, 0x10000, IOMMU_PROT_WRITE, -1), 0);
	cr_assert_eq(map(0xffffffffffff0000, 0x10000, IOMMU_PROT_READ, -1), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *answer = ask_from(rows[i].from), *ranges = json_object_get(answer, "ranges");

		cr_assert_eq((int)json_array_size(ranges), rows[i].nr, "row %zu", i);
		cr_assert_eq(addr(json_array_get(ranges, 0), "first"), rows[i].first, "row %zu", i);
		cr_assert(json_is_null(json_object_get(answer, "next")));
		json_decref(answer);
	}
	cr_assert_eq(iommu_unmap(iommu, 0xffffffffffff0000, 0x10000, NULL, &err), 0);
	json_decref(ask("{\"op\":\"dma\",\"from\":\"0x30000\"}"));
	stop();
}

Test(device_dma, hostile_from)
{
	static const char *const bad[] = {
		"{\"op\":\"dma\"}",
		"{\"op\":\"dma\",\"from\":0}",
		"{\"op\":\"dma\",\"from\":null}",
		"{\"op\":\"dma\",\"from\":\"\"}",
		"{\"op\":\"dma\",\"from\":\"-1\"}",
		"{\"op\":\"dma\",\"from\":\"0x\"}",
		"{\"op\":\"dma\",\"from\":\"0x10000000000000000\"}",
		"{\"op\":\"dma\",\"from\":\"0x0\\u0000\"}",
		"{\"op\":\"dma\",\"from\":[\"0x0\"]}",
		"{\"op\":\"dma\",\"from\":\"0x0\",\"tag\":\"7\"}",
		"{\"op\":\"dma\",\"from\":\"0x0\",\"tag\":1.5}",
	};

	start();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_t *answer = ask(bad[i]);

		cr_assert_str_eq(json_string_value(json_object_get(answer, "op")), "error", "%s", bad[i]);
		json_decref(answer);
	}
	stop();
	iommu = NULL;
	json_decref(ask("{\"op\":\"dma\",\"from\":\"0x0\"}"));
}

/* What a range is, and the totals, when memory is behind some; the kernel's count agrees. */
Test(device_dma, what_is_told)
{
	int sealed = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING), plain = memfd_create("guest", MFD_CLOEXEC);
	const char *prots[3] = { "" };
	json_int_t pages[3], pinned[3], entries, kernel, ranges, bytes, recorded;
	int seals[3];
	json_t *answer;

	start();
	cr_assert(ftruncate(sealed, 1 << 20) == 0 && ftruncate(plain, 1 << 20) == 0);
	cr_assert_eq(fcntl(sealed, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	cr_assert_eq(map(0, 1 << 20, IOMMU_PROT_READ | IOMMU_PROT_WRITE, sealed), 0, "%s", err.msg);
	cr_assert_eq(map(1 << 20, 1 << 20, IOMMU_PROT_READ, plain), 0, "%s", err.msg);
	cr_assert_eq(map(4 << 20, 1 << 20, IOMMU_PROT_WRITE, -1), 0, "%s", err.msg);
	answer = ask_from(0);
	for (size_t i = 0; i < 3; i++)
		cr_assert_eq(json_unpack(json_array_get(json_object_get(answer, "ranges"), i), "{s:s, s:I, s:I, s:b, s:I}",
					 "prot", &prots[i], "page_size", &pages[i], "pinned", &pinned[i], "sealed", &seals[i],
					 "pending", &(json_int_t){ 0 }),
			     0);
	cr_assert(!strcmp(prots[0], "rw") && !strcmp(prots[1], "r") && !strcmp(prots[2], "w"));
	cr_assert(seals[0] && !seals[1] && !seals[2]);
	cr_assert(pages[0] == 4096 && pages[1] == 4096 && pages[2] == 0);
	cr_assert(pinned[0] == 1 << 20 && pinned[1] == 1 << 20 && pinned[2] == 0);
	cr_assert_eq(json_unpack(json_object_get(answer, "totals"), "{s:I, s:I, s:I, s:I, s:I}", "entries", &entries,
				 "kernel_entries", &kernel, "ranges", &ranges, "bytes", &bytes, "recorded", &recorded),
		     0);
	cr_assert(entries == 2 && kernel == 2 && ranges == 2 && bytes == 2 << 20 && recorded == 1);
	json_decref(answer);
	close(sealed);
	close(plain);
	stop();
}

/* A page of the longest ranges there could be is a datagram, and not by far. */
Test(device_dma, a_full_page_fits)
{
	struct devctl_dma page = {
		.nr = DEVICE_DMA_RANGES, .more = true, .next = UINT64_MAX, .kernel_tells = true, .kernel_entries = UINT32_MAX
	};
	char *text;

	memset(&page.stats, 0xff, sizeof(page.stats) - sizeof(page.stats.degraded));
	page.stats.degraded = true;
	for (size_t i = 0; i < page.nr; i++)
		page.ranges[i] = (struct iommu_range){ .first = UINT64_MAX,
						       .last = UINT64_MAX,
						       .prot = IOMMU_PROT_READ | IOMMU_PROT_WRITE,
						       .backed = true,
						       .page_size = UINT64_MAX,
						       .pinned = UINT64_MAX,
						       .pending = UINT64_MAX };
	text = devctl_dma_text(&page, INT64_MAX);
	cr_assert_not_null(text);
	cr_assert(strlen(text) <= DEVICE_PROTO_MAX, "%zu bytes", strlen(text));
	cr_assert(strlen(text) + 2 * 180 > DEVICE_PROTO_MAX - 180, "%zu bytes: more ranges would fit", strlen(text));
	free(text);
}

/* --- the process --- */

/* Sealed, with threads that map: pending first, then all of it, and both counts agree. */
Test(device_dma, of_a_sealed_process)
{
	int memory = memfd_create("guest", MFD_CLOEXEC), ctl, vmm;
	json_t *answer = NULL, *totals = NULL;
	struct peer peer;
	int status;

	cr_assert(memory >= 0 && ftruncate(memory, 16 << 20) == 0);
	peer_start(&peer);
	ctl = fd_connect_unix(peer.ctl, SOCK_SEQPACKET);
	vmm = vmm_connect(peer.vuser);
	cr_assert(ctl >= 0 && vmm >= 0);
	for (unsigned i = 0; i < 30; i++) {
		struct vuser_dma_map_req req = { .argsz = sizeof(req), .flags = 3, .address = 0x100000ull * i, .size = 0x10000 };

		cr_assert_eq(vmm_ask(vmm, VUSER_DMA_MAP, &req, sizeof(req), &memory, 1), 0);
	}
	for (int i = 0; i < 100; i++) {
		json_decref(answer);
		answer = ctl_ask(ctl, "{\"op\":\"dma\",\"from\":\"0x500000\",\"tag\":1}", NULL, NULL);
		cr_assert_not_null(answer, "stopped by the sandbox?");
		totals = json_object_get(answer, "totals");
		/* statuses come in between */
		if (totals && json_integer_value(json_object_get(totals, "pending")) == 0)
			break;
	}
	cr_assert_not_null(totals);
	cr_assert_eq(json_array_size(json_object_get(answer, "ranges")), DEVICE_DMA_RANGES);
	cr_assert_eq(addr(answer, "next"), 25 * 0x100000ull);
	cr_assert_eq(json_integer_value(json_object_get(totals, "entries")), 30);
	cr_assert_eq(json_integer_value(json_object_get(totals, "kernel_entries")), 30);
	json_decref(answer);
	cr_assert(fd_send(ctl, "{\"op\":\"stop\"}", 13, NULL, 0) > 0);
	status = peer_wait(&peer);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status 0x%x: stopped by the sandbox?", status);
	peer_clean(&peer);
	close(ctl);
	close(vmm);
	close(memory);
}
