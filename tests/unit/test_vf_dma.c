/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vf.dma through the control socket: for which VFs there is a map, what is answered, and what ends the waiting. */
#include "scripted_device.h"

/* behind it: has an `h` */
#include "../../daemon/devproc_internal.h"
#include "attach_test.h"

static struct peer peer;
static struct lease *lease;

static void on_status(void *ctx, const struct devproc_status *status)
{
	(void)ctx;
	(void)status;
}

static void on_gone(void *ctx, const char *why)
{
	struct lease *l = ctx;

	(void)why;
	l->dev = devproc_free(l->dev);
}

static const struct devproc_ops ops = { .on_status = on_status, .on_gone = on_gone };

/* A lease that @peer, which runs, is the process of. */
static void serve(void)
{
	struct devproc_config c = { .runtime_dir = peer.dir, .id = "lease-1", .bdf = PEER_BDF };
	struct vdev_fds fds = VDEV_FDS_NONE;
	struct err err;

	begin(2);
	json_decref(attach(json_pack("{s:s, s:s, s:s}", "guest", "vm1", "target", FAKE_VF0_BDF, "via", "vfio-pci")));
	lease = lease_find(&h->d, "vm1", NULL);
	lease->via = VIA_VFIO_USER;
	cr_assert_eq(devproc_adopt(h->event, &c, &ops, lease, &fds, &lease->dev, &err), 0, "%s", err.msg);
	close(fds.container);
	close(fds.group);
	close(fds.device);
}

static void stop(void)
{
	if (lease->dev)
		lease->dev = devproc_free(lease->dev);
	lease->via = VIA_VFIO_PCI;
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
	end();
	kill(peer.pid, SIGKILL);
	waitpid(peer.pid, NULL, 0);
	peer_clean(&peer);
}

static json_t *of(const char *vf, const char *from)
{
	return json_pack("{s:s, s:s*}", "vf", vf, "from", from);
}

/* @answer, which goes, is this error. */
static void is_error(json_t *answer, const char *code, int num)
{
	json_t *data = json_object_get(json_object_get(answer, "error"), "data");

	cr_assert_str_eq(text_of(data, "code"), code, "%s", text_of(data, "message"));
	cr_assert_eq(json_integer_value(json_object_get(data, "errno")), num);
	json_decref(answer);
}

/* The worker has found the VF, and its process was asked. */
static bool is_asked(void *arg)
{
	(void)arg;
	return lease->dev->nr_asks > 0;
}

Test(vf_dma, whose_map_there_is)
{
	struct lease *l;

	begin(2);
	fail("vf.no-dma-map", ENOENT, "vf.dma", of("eth0/vf1", NULL));
	fail("sriov.no-such-vf", ENOENT, "vf.dma", of("eth0/vf7", NULL));
	fail("sriov.not-a-vf", EINVAL, "vf.dma", of(FAKE_PF_BDF, NULL));
	json_decref(attach(json_pack("{s:s, s:s, s:s}", "guest", "vm1", "target", "eth0/vf0", "via", "vfio-pci")));
	fail("vf.no-dma-map", EOPNOTSUPP, "vf.dma", of("eth0/vf0", NULL));
	fail("vf.no-dma-map", EOPNOTSUPP, "vf.dma", of(FAKE_VF0_BDF, "0x1000"));
	fail("vf.no-dma-map", ENOENT, "vf.dma", of("eth0/vf1", NULL));
	l = lease_find(&h->d, "vm1", NULL);
	l->via = VIA_VFIO_USER; /* and its process is gone */
	fail("vf.no-dma-map", EIO, "vf.dma", of("eth0/vf0", NULL));
	l->via = VIA_VFIO_PCI;
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
	end();
}

Test(vf_dma, bad_parameters)
{
	static const char *const bad[] = { "", "0", "0x", "4096", "0X10", "0xg", "-0x1", "0x10000000000000000" };

	begin(1);
	fail("ctl.bad-params", EINVAL, "vf.dma", NULL);
	fail("ctl.bad-params", EINVAL, "vf.dma", json_pack("{s:i}", "vf", 1));
	fail("ctl.bad-params", EINVAL, "vf.dma", json_pack("{s:s, s:i}", "vf", "eth0/vf0", "from", 0));
	fail("ctl.bad-params", EINVAL, "vf.dma", json_pack("{s:s, s:s}", "vf", "eth0/vf0", "form", "0x0"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		fail("ctl.bad-params", EINVAL, "vf.dma", of("eth0/vf0", bad[i]));
	end();
}

/* --- a process that does its work --- */

Test(vf_dma, page_after_page)
{
	char from[32] = "0x0";
	unsigned nr = 0, pages = 0;
	int memory = memfd_create("guest", MFD_CLOEXEC), vmm;

	peer_start(&peer);
	serve();
	vmm = vmm_connect(peer.vuser);
	cr_assert(vmm >= 0 && ftruncate(memory, 1 << 20) == 0);
	for (unsigned i = 0; i < 50; i++) {
		struct vuser_dma_map_req req = { .argsz = sizeof(req), .flags = 3, .address = i * 0x10000ull, .size = 0x1000 };

		cr_assert_eq(vmm_ask(vmm, VUSER_DMA_MAP, &req, sizeof(req), &memory, i % 2), 0);
	}
	for (bool more = true; more; pages++) {
		json_t *answer = fake_host_call(h, "vf.dma", of("eth0/vf0", from)), *ranges = member(answer, "result.ranges"), *r;
		const char *next = json_string_value(member(answer, "result.next"));
		size_t i;

		cr_assert(json_is_array(ranges) && json_array_size(ranges) <= DEVPROC_DMA_RANGES);
		cr_assert_str_eq(text_of(answer, "result.vf"), FAKE_VF0_BDF);
		cr_assert_str_eq(text_of(answer, "result.lease"), "vm1/nic0");
		json_array_foreach (ranges, i, r) {
			cr_assert_str_eq(text_of(r, "backing"), nr % 2 ? "shmem" : "none");
			cr_assert_eq(json_is_null(member(r, "page_size")), nr % 2 == 0);
			cr_assert_eq(json_integer_value(member(r, "size")), 0x1000);
			nr++;
		}
		cr_assert_eq(json_integer_value(member(answer, "result.totals.ranges")), 25);
		cr_assert_eq(json_integer_value(member(answer, "result.totals.recorded")), 25);
		more = next != NULL;
		if (more)
			snprintf(from, sizeof(from), "%s", next);
		json_decref(answer);
	}
	cr_assert(nr == 50 && pages == 3, "%u ranges, %u pages", nr, pages);
	close(vmm);
	close(memory);
	stop();
}

/* --- processes with a script --- */

#define TOTALS(pending, entries, kernel)                                                                                         \
	"\"totals\":{\"ranges\":1,\"bytes\":2097152,\"recorded\":0,\"pending\":" pending ",\"parked\":0,\"entries\":" entries    \
	",\"kernel_entries\":" kernel "}}"
#define HUGE                                                                                                                     \
	"{\"op\":\"dma\",\"tag\":TAG,\"next\":\"0xfffffffffffff000\",\"ranges\":[{\"first\":\"0x0\",\"last\":\"0x1fffff\","      \
	"\"prot\":\"rw\",\"page_size\":2097152,\"sealed\":false,\"pinned\":0,\"pending\":2097152},{\"first\":\"0x200000\","      \
	"\"last\":\"0xffffffffffff0fff\",\"prot\":\"r\",\"page_size\":0,\"sealed\":false,\"pinned\":0,\"pending\":0}],"

Test(vf_dma, what_is_made_of_an_answer)
{
	static const struct {
		const char *text;
		int agree; /* -1: null */
	} rows[] = { { HUGE TOTALS("2097152", "1", "0"), -1 },
		     { HUGE TOTALS("0", "1", "1"), 1 },
		     { HUGE TOTALS("0", "1", "2"), 0 },
		     { HUGE TOTALS("0", "1", "null"), -1 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *answer, *r, *agree;

		scripted_start(&peer, SCRIPT_SAY, rows[i].text);
		serve();
		answer = fake_host_call(h, "vf.dma", of("eth0/vf0", NULL));
		r = json_array_get(member(answer, "result.ranges"), 0);
		cr_assert_str_eq(text_of(r, "backing"), "hugetlb");
		cr_assert_eq(json_integer_value(member(r, "page_size")), 2097152);
		cr_assert_eq(json_integer_value(member(r, "pending")), 2097152);
		r = json_array_get(member(answer, "result.ranges"), 1);
		cr_assert(json_is_null(member(r, "size")), "no integer of JSON");
		cr_assert_str_eq(text_of(answer, "result.next"), "0xfffffffffffff000");
		agree = member(answer, "result.totals.agree");
		cr_assert_eq(json_is_null(agree) ? -1 : json_is_true(agree), rows[i].agree, "row %zu", i);
		json_decref(answer);
		stop();
	}
}

static bool is_gone(void *arg)
{
	(void)arg;
	return !lease->dev;
}

Test(vf_dma, the_process_dies_meanwhile)
{
	scripted_start(&peer, SCRIPT_DIE, NULL);
	serve();
	fail("devproc.lost", ECONNRESET, "vf.dma", of("eth0/vf0", NULL));
	cr_assert(fake_host_until(h, is_gone, NULL, 5000)); /* its connection ends before it does */
	fail("vf.no-dma-map", EIO, "vf.dma", of("eth0/vf0", NULL));
	stop();
}

/* The time-out, and a question more than are allowed before it: the first ones are not answered, that one at once. */
Test(vf_dma, the_process_is_silent)
{
	json_int_t ids[DEVPROC_DMA_ASKS + 1];
	unsigned busy = 0;

	scripted_start(&peer, SCRIPT_BE_SILENT, NULL);
	serve();
	for (unsigned i = 0; i <= DEVPROC_DMA_ASKS; i++)
		ids[i] = fake_host_send(h, "vf.dma", of("eth0/vf0", NULL));
	for (unsigned i = 0; i <= DEVPROC_DMA_ASKS; i++) {
		json_t *answer = fake_host_wait(h, ids[i]);

		/* which one it is the workers decide */
		if (!strcmp(text_of(answer, "error.data.code"), "devproc.busy")) {
			is_error(answer, "devproc.busy", EBUSY);
			busy++;
		} else {
			is_error(answer, "devproc.silent", ETIMEDOUT);
		}
	}
	cr_assert_eq(busy, 1);
	stop();
}

Test(vf_dma, the_lease_ends_meanwhile)
{
	json_int_t id;

	scripted_start(&peer, SCRIPT_BE_SILENT, NULL);
	serve();
	id = fake_host_send(h, "vf.dma", of("eth0/vf0", NULL));
	cr_assert(fake_host_until(h, is_asked, NULL, 5000));
	lease->dev = devproc_free(lease->dev);
	is_error(fake_host_wait(h, id), "devproc.lost", ECONNRESET);
	stop();
}

/* Nobody is there to be answered. */
Test(vf_dma, gangwayd_stops_meanwhile)
{
	scripted_start(&peer, SCRIPT_BE_SILENT, NULL);
	serve();
	lease->via = VIA_VFIO_PCI;
	fake_host_send(h, "vf.dma", of("eth0/vf0", NULL));
	cr_assert(fake_host_until(h, is_asked, NULL, 5000));
	fake_host_stop(h);
	fake_host_start(h);
	fake_host_settle(h);
	lease = lease_find(&h->d, "vm1", NULL);
	stop();
}
