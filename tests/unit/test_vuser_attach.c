/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What well-behaved clients do: QEMU's attach from VERSION to the closing of the socket, cloud-hypervisor's where it differs. */
#include "vuser_client.h"

static int map(struct dev *d, uint64_t iova, uint64_t size, uint32_t flags, int fd, uint64_t offset)
{
	struct vuser_dma_map_req q = { .argsz = sizeof(q), .flags = flags, .offset = offset, .address = iova, .size = size };
	struct answer a;
	int r = request_fds(d, VUSER_DMA_MAP, &q, sizeof(q), &fd, fd >= 0, &a);

	cr_assert_eq(a.len, 0);
	return r;
}

static int unmap(struct dev *d, uint64_t iova, uint64_t size, uint32_t flags, struct vuser_dma_unmap_req *ret)
{
	struct vuser_dma_unmap_req q = { .argsz = sizeof(q), .flags = flags, .address = iova, .size = size };
	struct answer a;
	int r = request(d, VUSER_DMA_UNMAP, &q, sizeof(q), &a);

	if (r == 0) {
		cr_assert_eq(a.len, sizeof(*ret));
		memcpy(ret, a.data, sizeof(*ret));
	}
	return r;
}

static int region_info(struct dev *d, uint32_t index, uint32_t argsz, struct answer *a)
{
	struct vfio_region_info q = { .argsz = argsz, .index = index };

	return request(d, VUSER_DEVICE_GET_REGION_INFO, &q, sizeof(q), a);
}

static int set_irqs(struct dev *d, uint32_t index, uint32_t flags, uint32_t start, uint32_t count, const int *fds, size_t nr)
{
	struct vfio_irq_set q = { .argsz = sizeof(q), .flags = flags, .index = index, .start = start, .count = count };
	struct answer a;
	int r = request_fds(d, VUSER_DEVICE_SET_IRQS, &q, sizeof(q), fds, nr, &a);

	cr_assert_eq(a.len, 0);
	return r;
}

static void qemu_regions(struct dev *d)
{
	struct answer a;
	struct vfio_region_info info;

	for (uint32_t i = 0; i < VFIO_PCI_VGA_REGION_INDEX; i++) {
		cr_assert_eq(region_info(d, i, sizeof(info), &a), 0);
		cr_assert_eq(a.len, sizeof(info));
		memcpy(&info, a.data, sizeof(info));
		cr_assert_eq(info.index, i);
		cr_assert_eq(info.offset, (uint64_t)i << 40, "the kernel's own offset: where to mmap");
		cr_assert_eq(info.argsz, i == 0 ? DEV_SPARSE_ARGSZ : sizeof(info));
		/* QEMU takes CAPS with a cap_offset of 0 for a broken server */
		cr_assert_eq(info.flags & VFIO_REGION_INFO_FLAG_CAPS, 0);
		cr_assert_eq(a.nr_fds, i == 3, "a descriptor where there is something to map and the answer was whole");
		cr_assert_eq(!!(info.flags & VFIO_REGION_INFO_FLAG_MMAP), i == 0 || i == 3);
		fd_close(&a.fd);
	}
	cr_assert_eq(region_info(d, 0, DEV_SPARSE_ARGSZ, &a), 0);
	cr_assert_eq(a.len, DEV_SPARSE_ARGSZ);
	memcpy(&info, a.data, sizeof(info));
	cr_assert_eq(info.flags, 0xf);
	cr_assert_eq(info.cap_offset, sizeof(info));
	cr_assert_eq(((struct vfio_region_info_cap_sparse_mmap *)(a.data + info.cap_offset))->nr_areas, 2);
	cr_assert_eq(a.nr_fds, 1);
	fd_close(&a.fd);
	cr_assert_eq(region_info(d, VFIO_PCI_VGA_REGION_INDEX, sizeof(info), &a), -EINVAL, "the device's own answer");
}

static void qemu_irqs(struct dev *d)
{
	const uint32_t fd_trigger = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	int ev = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct vfio_irq_info q = { .argsz = sizeof(q), .index = VFIO_PCI_ERR_IRQ_INDEX }, info;
	struct answer a;

	cr_assert_eq(request(d, VUSER_DEVICE_GET_IRQ_INFO, &q, sizeof(q), &a), 0);
	q.index = VFIO_PCI_MSIX_IRQ_INDEX;
	cr_assert_eq(request(d, VUSER_DEVICE_GET_IRQ_INFO, &q, sizeof(q), &a), 0);
	cr_assert_eq(a.len, sizeof(info));
	memcpy(&info, a.data, sizeof(info));
	cr_assert_eq(info.index, VFIO_PCI_MSIX_IRQ_INDEX);
	cr_assert_eq(info.count, DEV_MSIX_COUNT);

	cr_assert_eq(set_irqs(d, VFIO_PCI_ERR_IRQ_INDEX, fd_trigger, 0, 1, &ev, 1), 0);
	cr_assert_eq(request(d, VUSER_DEVICE_RESET, NULL, 0, &a), 0);
	cr_assert_eq(d->nr_reset, 1);
	/* the driver starts: disarm, then one message a vector; a vector out of use in the middle of a run */
	cr_assert_eq(set_irqs(d, VFIO_PCI_MSIX_IRQ_INDEX, fd_trigger, 0, 3, NULL, 0), 0);
	cr_assert_eq(d->irq_fds, 0);
	for (uint32_t i = 0; i < 3; i++) {
		cr_assert_eq(set_irqs(d, VFIO_PCI_MSIX_IRQ_INDEX, fd_trigger, i, 1, &ev, 1), 0);
		cr_assert_eq(d->irq.start, i);
		cr_assert_eq(d->irq_fds, 1);
	}
	cr_assert_eq(set_irqs(d, VFIO_PCI_MSIX_IRQ_INDEX, fd_trigger, 15, 1, NULL, 0), 0);
	/* and stops */
	cr_assert_eq(set_irqs(d, VFIO_PCI_MSIX_IRQ_INDEX, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, 0, 0, NULL, 0),
		     0);
	cr_assert_eq(d->irq.count, 0);
	close(ev);
}

Test(vuser_attach, qemu_from_version_to_close)
{
	int before = count_fds(), mem;
	struct vuser_device_info q = { .argsz = sizeof(q) }, info;
	struct vuser_dma_unmap_req un;
	const struct vuser_stats *st;
	struct answer a;
	struct dev d;

	dev_start_running(&d);
	cr_assert_eq(d.nr_connect, 1);
	mem = memfd_create("ram", MFD_CLOEXEC);

	/* RAM with its fd, ROM without one */
	cr_assert_eq(map(&d, 0, 0xa0000, 3, mem, 0), 0);
	cr_assert(d.map_had_fd && d.map.readable && d.map.writable);
	cr_assert_eq(map(&d, 0x100000, 0x1ff00000, 3, mem, 0x100000), 0);
	cr_assert_eq(d.map.iova, 0x100000);
	cr_assert_eq(d.map.offset, 0x100000);
	cr_assert_eq(d.map.size, 0x1ff00000);
	cr_assert_eq(map(&d, 0xfffc0000, 0x40000, 1, -1, 0), 0);
	cr_assert(!d.map_had_fd && d.map.readable && !d.map.writable);

	cr_assert_eq(request(&d, VUSER_DEVICE_GET_INFO, &q, sizeof(q), &a), 0);
	memcpy(&info, a.data, sizeof(info));
	cr_assert_eq(a.len, sizeof(info));
	cr_assert_eq(info.argsz, sizeof(info));
	cr_assert_eq(info.num_regions, DEV_REGIONS);
	cr_assert_eq(info.num_irqs, DEV_IRQS);
	cr_assert_eq(info.flags, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
	qemu_regions(&d);
	qemu_irqs(&d);

	/* firmware flips PAM ranges, BARs come and go without an fd */
	for (int i = 0; i < 20; i++) {
		cr_assert_eq(unmap(&d, 0x100000, 0x1ff00000, 0, &un), 0);
		cr_assert_eq(un.address, 0x100000);
		cr_assert_eq(un.size, 0x1ff00000);
		cr_assert_eq(un.argsz, sizeof(un));
		cr_assert_eq(map(&d, 0x100000, 0x1ff00000, 3, mem, 0x100000), 0);
		cr_assert_eq(map(&d, 0xfe000000, 0x1000, 3, -1, 0), 0);
		cr_assert_eq(unmap(&d, 0xfe000000, 0x1000, 0, &un), 0);
	}
	cr_assert_eq(unmap(&d, 0, 0, VUSER_UNMAP_ALL, &un), 0);
	cr_assert_eq(un.size, 0x123000, "what was really unmapped");
	cr_assert_eq(d.nr_unmap_all, 1);

	st = vuser_get_stats(d.v);
	cr_assert_eq(st->nr_dma_map, 43);
	cr_assert_eq(st->nr_dma_unmap, 41);
	cr_assert_eq(st->nr_set_irqs, 7);
	cr_assert_eq(st->nr_rejected, 1, "the VGA region");
	cr_assert_eq(st->nr_clients, 1);

	fd_close(&d.sock);
	cr_assert_eq(dev_pump(&d), -ECONNRESET);
	cr_assert_eq(d.nr_disconnect, 1);
	cr_assert_eq(vuser_get_state(d.v), VUSER_CLOSED);
	close(mem);
	dev_stop(&d);
	cr_assert_eq(d.nr_disconnect, 1);
	cr_assert_eq(count_fds(), before);
}

Test(vuser_attach, region_access)
{
	struct {
		struct vuser_region_access q;
		uint8_t data[4];
	} w = { .q = { .offset = 4, .region = VFIO_PCI_CONFIG_REGION_INDEX, .count = 2 }, .data = { 6, 1 } };
	struct vuser_region_access rd = { .offset = 4, .region = VFIO_PCI_CONFIG_REGION_INDEX, .count = 4 }, got;
	struct answer a;
	struct dev d;

	dev_start_running(&d);
	cr_assert_eq(request(&d, VUSER_REGION_WRITE, &w, sizeof(w.q) + 2, &a), 0);
	cr_assert_eq(a.len, sizeof(got));
	cr_assert_arr_eq(a.data, &w.q, sizeof(w.q));
	cr_assert_eq(request(&d, VUSER_REGION_READ, &rd, sizeof(rd), &a), 0);
	cr_assert_eq(a.len, sizeof(rd) + 4);
	cr_assert_arr_eq(a.data, &rd, sizeof(rd));
	cr_assert_arr_eq(a.data + sizeof(rd), d.cfg + 4, 4);
	cr_assert_eq(d.cfg[4], 6);

	/* the largest read, and the same at the very end of the largest region */
	rd = (struct vuser_region_access){ .offset = UINT64_MAX - VUSER_MAX_XFER, .region = 5, .count = VUSER_MAX_XFER };
	cr_assert_eq(request(&d, VUSER_REGION_READ, &rd, sizeof(rd), &a), 0);
	cr_assert_eq(a.len, sizeof(rd) + VUSER_MAX_XFER);
	cr_assert_eq(a.data[sizeof(rd) + VUSER_MAX_XFER - 1], 0xa5);
	/* a device that gives less than was asked for */
	d.short_io = 3;
	cr_assert_eq(request(&d, VUSER_REGION_READ, &rd, sizeof(rd), &a), 0);
	memcpy(&got, a.data, sizeof(got));
	cr_assert_eq(got.count, 3);
	cr_assert_eq(a.len, sizeof(rd) + 3);
	cr_assert_eq(vuser_get_stats(d.v)->nr_region_access, 4);
	dev_stop(&d);
}

Test(vuser_attach, write_multi)
{
	struct {
		struct vuser_write_multi q;
		struct vuser_write_one w[3];
	} m = { .q = { 3 } };
	struct answer a;
	uint64_t done;
	struct dev d;

	dev_start_running(&d);
	for (unsigned i = 0; i < 3; i++)
		m.w[i] = (struct vuser_write_one){
			.offset = 8 * i, .region = VFIO_PCI_CONFIG_REGION_INDEX, .count = 1, .data = { (uint8_t)(i + 1) }
		};
	m.w[2].count = 8;
	cr_assert_eq(request(&d, VUSER_REGION_WRITE_MULTI, &m, sizeof(m), &a), 0);
	cr_assert_eq(a.len, sizeof(done));
	memcpy(&done, a.data, sizeof(done));
	cr_assert_eq(done, 3);
	cr_assert_eq(d.calls, 3);
	cr_assert_eq(d.cfg[0] + d.cfg[8] + d.cfg[16], 6);
	d.fail = EIO;
	cr_assert_eq(request(&d, VUSER_REGION_WRITE_MULTI, &m, sizeof(m), &a), -EIO);
	cr_assert_eq(d.calls, 4, "stops at the first that fails");
	dev_stop(&d);
}

Test(vuser_attach, no_reply_is_honoured)
{
	struct {
		struct vuser_region_access q;
		uint8_t data[1];
	} w = { .q = { .offset = 9, .region = VFIO_PCI_CONFIG_REGION_INDEX, .count = 1 }, .data = { 7 } };
	struct dev d;

	dev_start_running(&d);
	client_send(&d, 1, VUSER_REGION_WRITE, VUSER_F_NO_REPLY, &w, sizeof(w.q) + 1, NULL, 0);
	dev_pump(&d);
	cr_assert_eq(d.cfg[9], 7);
	assert_alive(&d);
	/* nor is an error answered; it is counted and named */
	w.q.offset = 1000;
	client_send(&d, 2, VUSER_REGION_WRITE, VUSER_F_NO_REPLY, &w, sizeof(w.q) + 1, NULL, 0);
	dev_pump(&d);
	assert_alive(&d);
	cr_assert_eq(vuser_get_stats(d.v)->nr_rejected, 1);
	cr_assert_neq(strstr(vuser_last_error(d.v), "vf 0000:00:12.0: msg 0x2 REGION_WRITE refused: region 7"), NULL, "%s",
		      vuser_last_error(d.v));
	dev_stop(&d);
}

Test(vuser_attach, io_fds_are_none)
{
	struct vuser_region_io_fds q = { .argsz = 512, .index = 0 }, got;
	struct answer a;
	struct dev d;

	dev_start_running(&d);
	cr_assert_eq(request(&d, VUSER_DEVICE_GET_REGION_IO_FDS, &q, sizeof(q), &a), 0);
	cr_assert_eq(a.len, sizeof(got));
	memcpy(&got, a.data, sizeof(got));
	cr_assert_eq(got.argsz, sizeof(got));
	cr_assert_eq(got.count, 0);
	cr_assert_eq(a.nr_fds, 0);
	dev_stop(&d);
}

/* argsz of DEVICE_GET_INFO with the header counted, no pgsizes or the like proposed, one message to arm all vectors */
Test(vuser_attach, cloud_hypervisor)
{
	static const char caps[] =
		"{\"capabilities\":{\"max_msg_fds\":1,\"max_data_xfer_size\":1048576,\"migration\":{\"pgsize\":4096}}}";
	const uint32_t fd_trigger = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	struct vuser_device_info q = { .argsz = 32 };
	int ev[LIMIT_VUSER_FDS];
	struct answer a;
	struct dev d;

	dev_start(&d);
	cr_assert_eq(negotiate(&d, caps, &a), 0);
	cr_assert_str_eq((char *)a.data + 4, "{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":32768}}");
	cr_assert_eq(request(&d, VUSER_DEVICE_GET_INFO, &q, sizeof(q), &a), 0);
	qemu_regions(&d);
	for (int i = 0; i < LIMIT_VUSER_FDS; i++)
		ev[i] = eventfd(0, EFD_CLOEXEC);
	cr_assert_eq(set_irqs(&d, VFIO_PCI_MSIX_IRQ_INDEX, fd_trigger, 0, LIMIT_VUSER_FDS, ev, LIMIT_VUSER_FDS), 0);
	cr_assert_eq(d.irq_fds, LIMIT_VUSER_FDS);
	for (int i = 0; i < LIMIT_VUSER_FDS; i++)
		close(ev[i]);
	dev_stop(&d);
}

Test(vuser_attach, masking_and_booleans)
{
	struct {
		struct irq_set q;
		uint8_t data[16];
	} b = { .q = { .argsz = sizeof(struct irq_set) + 2,
		       .flags = VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER,
		       .index = VFIO_PCI_MSIX_IRQ_INDEX,
		       .start = 14,
		       .count = 2 } };
	struct answer a;
	struct dev d;

	dev_start_running(&d);
	memcpy(b.data, "\0\1", 2);
	cr_assert_eq(request(&d, VUSER_DEVICE_SET_IRQS, &b, sizeof(b.q) + 2, &a), 0);
	cr_assert(d.irq_had_data);
	cr_assert_arr_eq(d.irq_bool, "\0\1", 2);
	cr_assert_eq(set_irqs(&d, VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK, 0, 1, NULL, 0), 0);
	cr_assert(!d.irq_had_data);
	cr_assert_eq(set_irqs(&d, VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, 0, 1, NULL, 0),
		     0);
	dev_stop(&d);
}

/* The device's refusals go to the client as they are, nothing else happens, nothing is kept. */
Test(vuser_attach, errors_of_the_device)
{
	int before = count_fds(), mem = memfd_create("ram", MFD_CLOEXEC), ev = eventfd(0, 0);
	struct vuser_region_access rd = { .region = VFIO_PCI_CONFIG_REGION_INDEX, .count = 1 };
	struct vuser_dma_unmap_req un;
	struct answer a;
	struct dev d;

	dev_start_running(&d);
	d.fail = EEXIST;
	cr_assert_eq(map(&d, 0, 0x1000, 3, mem, 0), -EEXIST);
	d.fail = ENOENT;
	cr_assert_eq(unmap(&d, 0, 0x1000, 0, &un), -ENOENT);
	cr_assert_eq(unmap(&d, 0, 0, VUSER_UNMAP_ALL, &un), -ENOENT);
	d.fail = EINVAL;
	cr_assert_eq(set_irqs(&d, 2, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, 0, 1, &ev, 1), -EINVAL);
	d.fail = EIO;
	cr_assert_eq(request(&d, VUSER_REGION_READ, &rd, sizeof(rd), &a), -EIO);
	d.fail = EBUSY;
	cr_assert_eq(request(&d, VUSER_DEVICE_RESET, NULL, 0, &a), -EBUSY);
	cr_assert_eq(d.fds_given, 2, "the callee's, also on failure");
	cr_assert_eq(vuser_get_stats(d.v)->nr_rejected, 6);
	cr_assert_eq(vuser_get_stats(d.v)->nr_dma_map, 0);
	assert_alive(&d);
	dev_stop(&d);
	close(mem);
	close(ev);
	cr_assert_eq(count_fds(), before);
}
