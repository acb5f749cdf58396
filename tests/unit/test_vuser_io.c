/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Framing, slow and dying clients, floods of descriptors, bounds. */
#include "vuser_client.h"

#include <sys/resource.h>

static struct vuser_hdr header(uint16_t cmd, uint32_t size)
{
	return (struct vuser_hdr){ .id = 0xbad1, .cmd = cmd, .size = size };
}

Test(vuser_io, size_breaks_framing)
{
	static const uint32_t sizes[] = { 0, 1, sizeof(struct vuser_hdr) - 1, LIMIT_VUSER_MSG + 1, INT32_MAX, UINT32_MAX };
	int before = count_fds();

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct vuser_hdr h = header(VUSER_DEVICE_SET_IRQS, sizes[i]);
		struct answer a;
		struct dev d;

		dev_start_running(&d);
		cr_assert_eq(write(d.sock, &h, sizeof(h)), sizeof(h));
		cr_assert_eq(dev_pump(&d), -ECONNRESET);
		cr_assert_eq(client_read(&d, &a), 0, "told why");
		cr_assert_eq(a.hdr.error, EINVAL);
		cr_assert_eq(a.hdr.id, 0xbad1);
		assert_hung_up(&d);
		cr_assert_eq(d.nr_disconnect, 1);
		cr_assert_neq(strstr(vuser_last_error(d.v), "message size"), NULL);
		dev_stop(&d);
	}
	cr_assert_eq(count_fds(), before);
}

Test(vuser_io, largest_message)
{
	static uint8_t payload[LIMIT_VUSER_MSG - sizeof(struct vuser_hdr)];
	struct answer a;
	struct dev d;

	dev_start_running(&d);
	cr_assert_eq(request(&d, VUSER_MIG_DATA_WRITE, payload, sizeof(payload), &a), -EOPNOTSUPP, "taken whole, then refused");
	assert_alive(&d);
	dev_stop(&d);
}

/* Every split there is, with the descriptors on the first byte, and then on the last. */
Test(vuser_io, byte_by_byte)
{
	struct {
		struct vuser_hdr h;
		struct vuser_dma_map_req q;
	} m = { header(VUSER_DMA_MAP, sizeof(m)), { .argsz = 32, .flags = 3, .size = 0x1000 } };
	int mem = memfd_create("x", MFD_CLOEXEC), before;
	struct answer a;
	struct dev d;

	dev_start_running(&d);
	before = count_fds();
	for (size_t with_fd = 0; with_fd < sizeof(m); with_fd++) {
		for (size_t i = 0; i < sizeof(m); i++) {
			cr_assert_eq(client_read(&d, &a), -EAGAIN);
			cr_assert_eq(fd_send(d.sock, (uint8_t *)&m + i, 1, &mem, i == with_fd), 1);
			cr_assert_eq(dev_pump(&d), 0);
		}
		cr_assert_eq(client_read(&d, &a), 0);
		cr_assert_eq(a.hdr.error, 0);
		cr_assert(d.map_had_fd);
		cr_assert_eq(d.fds_given, (int)with_fd + 1);
		cr_assert_eq(vuser_timeout_ms(d.v), -1);
	}
	cr_assert_eq(count_fds(), before);
	dev_stop(&d);
}

/* Messages sent back to back, each with its own memory or none, in one go: each gets what is its own. */
Test(vuser_io, pipelined)
{
	int mem = memfd_create("x", MFD_CLOEXEC);
	struct answer a;
	struct dev d;

	dev_start_running(&d);
	for (uint16_t i = 0; i < 100; i++) {
		struct vuser_dma_map_req q = { .argsz = 32, .flags = 1 + i % 2 * 2, .address = i * 0x1000ull, .size = 0x1000 };

		client_send(&d, i, VUSER_DMA_MAP, 0, &q, sizeof(q), &mem, i % 2);
	}
	for (int i = 0; i < 10; i++)
		dev_pump(&d); /* so many per call and no more; poll(2) would say there is more */
	for (uint16_t i = 0; i < 100; i++) {
		cr_assert_eq(client_read(&d, &a), 0);
		cr_assert_eq(a.hdr.id, i);
		cr_assert_eq(a.hdr.error, 0);
	}
	cr_assert_eq(d.calls, 100);
	cr_assert_eq(d.fds_given, 50);
	cr_assert_eq(client_read(&d, &a), -EAGAIN);
	dev_stop(&d);
}

Test(vuser_io, one_call_is_bounded)
{
	struct dev d;

	dev_start_running(&d);
	for (uint16_t i = 0; i < 200; i++)
		client_send(&d, i, VUSER_DEVICE_RESET, VUSER_F_NO_REPLY, NULL, 0, NULL, 0);
	dev_pump(&d);
	cr_assert(d.nr_reset > 0 && d.nr_reset < 100, "%d", d.nr_reset);
	for (int i = 0; i < 100; i++)
		dev_pump(&d);
	cr_assert_eq(d.nr_reset, 200);
	dev_stop(&d);
}

/* 32 resets of 100 ms would keep the owner from its control socket for seconds. */
Test(vuser_io, one_call_is_bounded_in_time)
{
	struct dev d;

	dev_start_running(&d);
	d.reset_ms = 100;
	for (uint16_t i = 0; i < 10; i++)
		client_send(&d, i, VUSER_DEVICE_RESET, VUSER_F_NO_REPLY, NULL, 0, NULL, 0);
	for (int i = 1; i <= 10; i++) {
		dev_pump(&d);
		cr_assert_eq(d.nr_reset, i);
	}
	d.reset_ms = 5;
	for (uint16_t i = 0; i < 10; i++)
		client_send(&d, i, VUSER_DEVICE_RESET, VUSER_F_NO_REPLY, NULL, 0, NULL, 0);
	dev_pump(&d);
	cr_assert_eq(d.nr_reset, 14);
	dev_stop(&d);
}

/* Half a message and then silence, in each state and each half. */
Test(vuser_io, slow_loris)
{
	struct vuser_hdr h = header(VUSER_DEVICE_GET_INFO, 32);
	int before = count_fds();

	for (size_t part = 1; part < 32; part++) {
		uint8_t m[32] = { 0 };
		int mem = memfd_create("x", MFD_CLOEXEC);
		struct dev d;

		memcpy(m, &h, sizeof(h));
		dev_start_running(&d);
		cr_assert_eq(vuser_timeout_ms(d.v), -1);
		cr_assert_eq(fd_send(d.sock, m, part, &mem, 1), (ssize_t)part);
		cr_assert_eq(dev_pump(&d), 0);
		cr_assert_eq(vuser_timeout_ms(d.v), VUSER_STALL_MS);
		d.now += VUSER_STALL_MS - 1;
		if (part < 31)
			cr_assert_eq(write(d.sock, m + part, 1), 1, "another byte does not buy time");
		cr_assert_eq(dev_pump(&d), 0);
		cr_assert_eq(vuser_timeout_ms(d.v), 1);
		d.now += 1;
		cr_assert_eq(vuser_timeout_ms(d.v), 0);
		cr_assert_eq(vuser_process(d.v, 0), -ECONNRESET);
		assert_hung_up(&d);
		cr_assert_eq(d.nr_disconnect, 1);
		cr_assert_neq(strstr(vuser_last_error(d.v), "half a message"), NULL);
		dev_stop(&d);
		close(mem);
	}
	cr_assert_eq(count_fds(), before);
}

Test(vuser_io, never_says_version)
{
	struct answer a;
	struct dev d;

	dev_start(&d);
	cr_assert_eq(vuser_timeout_ms(d.v), VUSER_NEGOTIATE_MS);
	d.now += VUSER_NEGOTIATE_MS - 1;
	/* talking about other things does not help */
	cr_assert_eq(request(&d, VUSER_DEVICE_RESET, NULL, 0, &a), -EINVAL);
	cr_assert_eq(vuser_timeout_ms(d.v), 1);
	d.now += 1;
	cr_assert_eq(vuser_process(d.v, 0), -ECONNRESET);
	assert_hung_up(&d);
	cr_assert_eq(d.nr_disconnect, 0);
	dev_stop(&d);
}

/* Asks and never reads: what waits for it is bounded, then it is dropped and all of that freed. */
Test(vuser_io, never_reads)
{
	struct vuser_region_access q = { .region = 5, .count = VUSER_MAX_XFER };
	int before = count_fds(), i;
	struct dev d;

	dev_start_running(&d);
	for (i = 0; i < 1000 && vuser_fd(d.v) >= 0; i++) {
		struct vuser_hdr h = header(VUSER_REGION_READ, sizeof(h) + sizeof(q));
		struct iovec iov[2] = { { &h, sizeof(h) }, { &q, sizeof(q) } };

		cr_assert_eq(writev(d.sock, iov, 2), (ssize_t)h.size);
		vuser_process(d.v, POLLIN);
		cr_assert(vuser_fd(d.v) < 0 || (vuser_events(d.v) & POLLIN));
	}
	cr_assert_gt(i, VUSER_OUT_MAX / VUSER_MAX_XFER);
	cr_assert_lt(i, 100, "%d", i);
	cr_assert_eq(vuser_get_state(d.v), VUSER_CLOSED);
	cr_assert_eq(d.nr_disconnect, 1);
	cr_assert_neq(strstr(vuser_last_error(d.v), "does not read"), NULL, "%s", vuser_last_error(d.v));
	dev_stop(&d);
	cr_assert_eq(count_fds(), before);
}

/* The same with descriptors in the answers: as few as 64 are kept for it. */
Test(vuser_io, never_reads_descriptors)
{
	struct vfio_region_info q = { .argsz = 4096, .index = 3 };
	int before = count_fds(), small = 1, most = 0;
	struct dev d;

	dev_start_running(&d);
	setsockopt(vuser_fd(d.v), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	for (int i = 0; i < 1000 && vuser_fd(d.v) >= 0; i++) {
		client_send(&d, 1, VUSER_DEVICE_GET_REGION_INFO, 0, &q, sizeof(q), NULL, 0);
		vuser_process(d.v, POLLIN);
		if (count_fds() - before > most)
			most = count_fds() - before;
	}
	cr_assert_eq(vuser_get_state(d.v), VUSER_CLOSED);
	cr_assert_leq(most, 64 + 3, "%d", most);
	dev_stop(&d);
	cr_assert_eq(count_fds(), before);
}

/* Slow, but reading: everything arrives, whole, in order, descriptors with the answer they belong to. */
Test(vuser_io, reads_late)
{
	struct vfio_region_info q = { .argsz = 4096 };
	struct vuser_region_access rd = { .region = 5, .count = 8000 };
	int before = count_fds(), small = 1;
	struct answer a;
	struct dev d;

	dev_start_running(&d);
	setsockopt(vuser_fd(d.v), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	for (uint16_t i = 0; i < 60; i++) {
		q.index = i % 4;
		if (i % 5 == 4)
			client_send(&d, i, VUSER_REGION_READ, 0, &rd, sizeof(rd), NULL, 0);
		else
			client_send(&d, i, VUSER_DEVICE_GET_REGION_INFO, 0, &q, sizeof(q), NULL, 0);
		cr_assert_eq(vuser_process(d.v, POLLIN), 0);
	}
	cr_assert_eq(vuser_events(d.v), POLLIN | POLLOUT);
	for (uint16_t i = 0; i < 60; i++) {
		int r = client_read(&d, &a);

		for (int again = 0; r == -EAGAIN && again < 3; again++) {
			cr_assert_eq(vuser_process(d.v, POLLOUT), 0);
			r = client_read(&d, &a);
		}
		cr_assert_eq(r, 0);
		cr_assert_eq(a.hdr.id, i);
		if (i % 5 == 4)
			cr_assert_eq(a.len, sizeof(rd) + rd.count);
		else
			cr_assert_eq(a.nr_fds, i % 4 == 0 || i % 4 == 3, "answer %u", i);
		fd_close(&a.fd);
	}
	cr_assert_eq(vuser_events(d.v), POLLIN);
	assert_alive(&d);
	dev_stop(&d);
	cr_assert_eq(count_fds(), before);
}

/* More descriptors than a message may have, in one message and spread over its bytes. */
Test(vuser_io, descriptor_floods)
{
	struct {
		struct vuser_hdr h;
		struct irq_set q;
	} m = { header(VUSER_DEVICE_SET_IRQS, sizeof(m)),
		{ 20, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, 2, 0, 9 } };
	int before = count_fds(), fds[FD_MSG_MAX];

	for (size_t n = LIMIT_VUSER_FDS + 1; n <= FD_MSG_MAX; n++) {
		struct dev d;

		dev_start_running(&d);
		for (size_t i = 0; i < n; i++)
			fds[i] = eventfd(0, EFD_CLOEXEC);
		if (n % 2) {
			cr_assert_eq(fd_send(d.sock, &m, sizeof(m), fds, n), sizeof(m));
		} else {
			cr_assert_eq(fd_send(d.sock, &m, 3, fds, n / 2), 3);
			cr_assert_eq(fd_send(d.sock, (uint8_t *)&m + 3, sizeof(m) - 3, fds + n / 2, n - n / 2), sizeof(m) - 3);
		}
		for (size_t i = 0; i < n; i++)
			close(fds[i]);
		cr_assert_eq(dev_pump(&d), -ECONNRESET);
		assert_hung_up(&d);
		cr_assert_eq(d.calls, 0);
		cr_assert_eq(d.nr_disconnect, 1);
		cr_assert_neq(strstr(vuser_last_error(d.v), "descriptors in one message"), NULL);
		dev_stop(&d);
	}
	cr_assert_eq(count_fds(), before);
}

/* No room for a descriptor here: the kernel drops it and says so (MSG_CTRUNC). Never half a message's worth of them. */
Test(vuser_io, out_of_descriptors)
{
	struct vuser_dma_map_req q = { .argsz = 32, .flags = 3, .size = 0x1000 };
	int mem = memfd_create("x", MFD_CLOEXEC), before;
	struct rlimit old, lim;
	struct dev d;

	dev_start_running(&d);
	before = count_fds();
	getrlimit(RLIMIT_NOFILE, &old);
	client_send(&d, 1, VUSER_DMA_MAP, 0, &q, sizeof(q), &mem, 1);
	lim = (struct rlimit){ .rlim_cur = 3, .rlim_max = old.rlim_max };
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &lim), 0);
	cr_assert_eq(dev_pump(&d), -ECONNRESET);
	setrlimit(RLIMIT_NOFILE, &old);
	cr_assert_eq(d.calls, 0);
	cr_assert_eq(count_fds(), before - 1);
	dev_stop(&d);
}

/* No room to keep a descriptor whose answer has to wait: rather no client than an answer without what it promises. */
Test(vuser_io, out_of_descriptors_when_queueing)
{
	struct vuser_region_access rd = { .region = 5, .count = VUSER_MAX_XFER };
	struct vfio_region_info q = { .argsz = 4096, .index = 3 };
	int before = count_fds(), small = 1;
	struct rlimit old, lim;
	struct dev d;

	dev_start_running(&d);
	setsockopt(vuser_fd(d.v), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	client_send(&d, 1, VUSER_REGION_READ, 0, &rd, sizeof(rd), NULL, 0);
	client_send(&d, 2, VUSER_DEVICE_GET_REGION_INFO, 0, &q, sizeof(q), NULL, 0);
	getrlimit(RLIMIT_NOFILE, &old);
	lim = (struct rlimit){ .rlim_cur = 3, .rlim_max = old.rlim_max };
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &lim), 0);
	cr_assert_eq(vuser_process(d.v, POLLIN), -ECONNRESET);
	setrlimit(RLIMIT_NOFILE, &old);
	cr_assert_neq(strstr(vuser_last_error(d.v), "could not be sent: errno"), NULL, "%s", vuser_last_error(d.v));
	cr_assert_eq(d.nr_disconnect, 1);
	dev_stop(&d);
	cr_assert_eq(count_fds(), before);
}

/* The client dies at every byte of a message. */
Test(vuser_io, dies_in_a_message)
{
	struct {
		struct vuser_hdr h;
		struct vuser_dma_map_req q;
	} m = { header(VUSER_DMA_MAP, sizeof(m)), { .argsz = 32, .flags = 3, .size = 0x1000 } };
	int before = count_fds();

	for (size_t part = 0; part < sizeof(m); part++) {
		int mem = memfd_create("x", MFD_CLOEXEC);
		struct dev d;

		dev_start_running(&d);
		if (part)
			cr_assert_eq(fd_send(d.sock, &m, part, &mem, 1), (ssize_t)part);
		fd_close(&d.sock);
		cr_assert_eq(vuser_process(d.v, POLLIN | POLLHUP), -ECONNRESET);
		cr_assert_eq(d.calls, 0);
		cr_assert_eq(d.nr_disconnect, 1);
		dev_stop(&d);
		close(mem);
	}
	cr_assert_eq(count_fds(), before);
}

/* It asks, and is gone when the answer is there: the map was made, so the device must hear that the client went. */
Test(vuser_io, reply_fails)
{
	struct vuser_dma_map_req q = { .argsz = 32, .flags = 3, .size = 0x1000 };
	int before = count_fds(), mem = memfd_create("x", MFD_CLOEXEC);
	struct dev d;

	dev_start_running(&d);
	client_send(&d, 1, VUSER_DMA_MAP, 0, &q, sizeof(q), &mem, 1);
	fd_close(&d.sock);
	cr_assert_eq(dev_pump(&d), -ECONNRESET);
	cr_assert_eq(d.calls, 1);
	cr_assert_eq(d.nr_disconnect, 1);
	dev_stop(&d);
	close(mem);
	cr_assert_eq(count_fds(), before);
}

/* Served already: the next is turned away, a thousand times, and the first does not notice. Then the next is served. */
Test(vuser_io, one_client_at_a_time)
{
	int before = count_fds(), sv[2];
	struct answer a;
	struct dev d;

	dev_start_running(&d);
	for (int i = 0; i < 1000; i++) {
		cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
		cr_assert_eq(vuser_accept(d.v, sv[0]), -EBUSY);
		cr_assert_eq(read(sv[1], &a, 1), 0, "closed");
		close(sv[1]);
	}
	assert_alive(&d);
	fd_close(&d.sock);
	cr_assert_eq(dev_pump(&d), -ECONNRESET);
	for (int i = 0; i < 100; i++) {
		dev_connect(&d);
		cr_assert_eq(vuser_last_error(d.v)[0], '\0');
		cr_assert_eq(negotiate(&d, QEMU_CAPS, &a), 0);
		assert_alive(&d);
		fd_close(&d.sock);
		cr_assert_eq(dev_pump(&d), -ECONNRESET);
	}
	cr_assert_eq(d.nr_connect, 101);
	cr_assert_eq(d.nr_disconnect, 101);
	dev_stop(&d);
	cr_assert_eq(count_fds(), before);
}
