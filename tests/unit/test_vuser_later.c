/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers that are put off: what waits with them, what passes, and in which order all of it is answered. */
#include "vuser_client.h"

static void send_map(struct dev *d, uint16_t id, uint32_t flags)
{
	struct vuser_dma_map_req q = { .argsz = sizeof(q), .flags = VUSER_DMA_READABLE, .address = id * 0x1000u, .size = 0x1000 };

	client_send(d, id, VUSER_DMA_MAP, flags, &q, sizeof(q), NULL, 0);
}

static void send_unmap(struct dev *d, uint16_t id)
{
	struct vuser_dma_unmap_req q = { .argsz = sizeof(q), .address = id * 0x1000u, .size = 0x1000 };

	client_send(d, id, VUSER_DMA_UNMAP, 0, &q, sizeof(q), NULL, 0);
}

static void expect(struct dev *d, uint16_t id, uint32_t error)
{
	struct answer a;

	cr_assert_eq(client_read(d, &a), 0, "no answer to %u", id);
	cr_assert_eq(a.hdr.id, id);
	cr_assert_eq(a.hdr.error, error, "%u: errno %u", id, a.hdr.error);
}

/* A reset that waits for something: nothing else of this client is looked at meanwhile, and it has one answer. */
Test(vuser_later, a_reset_is_answered_later)
{
	struct answer a;
	struct dev d;

	dev_start_running(&d);
	d.reset_later = true;
	client_send(&d, 7, VUSER_DEVICE_RESET, 0, NULL, 0, NULL, 0);
	cr_assert_eq(dev_pump(&d), 0);
	cr_assert_eq(d.nr_reset, 1);
	client_send(&d, 8, VUSER_DEVICE_RESET, 0, NULL, 0, NULL, 0);
	cr_assert_eq(vuser_process(d.v, POLLIN), 0);
	cr_assert_eq(vuser_events(d.v), 0, "nothing of it is of interest now");
	cr_assert_eq(vuser_timeout_ms(d.v), -1);
	cr_assert_eq(client_read(&d, &a), -EAGAIN);
	cr_assert_eq(d.nr_reset, 1, "the second has to wait");
	d.reset_later = false;
	vuser_later_done(d.v, 0);
	cr_assert_eq(client_read(&d, &a), 0);
	cr_assert(a.hdr.id == 7 && a.hdr.error == 0);
	vuser_later_done(d.v, 0);
	cr_assert_eq(client_read(&d, &a), -EAGAIN, "once");
	cr_assert_eq(vuser_timeout_ms(d.v), 0, "the message that waited is here, poll(2) knows nothing of it");
	cr_assert_eq(vuser_process(d.v, 0), 0);
	cr_assert_eq(client_read(&d, &a), 0);
	cr_assert(a.hdr.id == 8 && a.hdr.error == 0 && d.nr_reset == 2);
	d.reset_later = true;
	client_send(&d, 9, VUSER_DEVICE_RESET, 0, NULL, 0, NULL, 0);
	cr_assert_eq(dev_pump(&d), 0);
	vuser_later_done(d.v, -EIO);
	cr_assert_eq(client_read(&d, &a), 0);
	cr_assert(a.hdr.id == 9 && a.hdr.error == EIO);
	assert_alive(&d);
	dev_stop(&d);
}

Test(vuser_later, the_client_goes_while_its_reset_is_put_off)
{
	struct dev d;

	dev_start_running(&d);
	d.reset_later = true;
	client_send(&d, 7, VUSER_DEVICE_RESET, 0, NULL, 0, NULL, 0);
	cr_assert_eq(dev_pump(&d), 0);
	close(d.sock);
	d.sock = -1;
	cr_assert_eq(vuser_process(d.v, POLLHUP), -ECONNRESET);
	cr_assert_eq(d.nr_disconnect, 1);
	vuser_later_done(d.v, 0); /* to nobody */
	dev_stop(&d);
}

/* A VMM sends several maps and waits for all: they are dealt with at once, and answered in order when the first is. */
Test(vuser_later, maps_and_unmaps_pass)
{
	struct vuser_device_info q = { .argsz = sizeof(q) };
	struct answer a;
	struct dev d;

	dev_start_running(&d);
	d.map_later = true;
	send_map(&d, 1, 0);
	send_map(&d, 2, 0);
	send_unmap(&d, 3);
	cr_assert_eq(dev_pump(&d), 0);
	cr_assert_eq(d.calls, 3);
	d.fail = EEXIST;
	send_map(&d, 4, 0);
	cr_assert_eq(dev_pump(&d), 0);
	d.fail = 0;
	send_map(&d, 5, 0);
	client_send(&d, 6, VUSER_DEVICE_GET_INFO, 0, &q, sizeof(q), NULL, 0);
	send_map(&d, 7, 0);
	cr_assert_eq(dev_pump(&d), 0);
	cr_assert_eq(d.map.iova, 5 * 0x1000, "the one behind a message that waits, waits");
	cr_assert_eq(client_read(&d, &a), -EAGAIN);
	cr_assert_eq(vuser_events(d.v), 0);
	vuser_later_done(d.v, 0);
	for (uint16_t id = 1; id <= 5; id++)
		expect(&d, id, id == 4 ? EEXIST : 0);
	cr_assert_eq(client_read(&d, &a), -EAGAIN);
	cr_assert_eq(dev_pump(&d), 0);
	expect(&d, 6, 0);
	cr_assert_eq(client_read(&d, &a), -EAGAIN, "put off on its own");
	vuser_later_done(d.v, 0);
	expect(&d, 7, 0);
	cr_assert_eq(vuser_get_stats(d.v)->nr_dma_map, 4);
	assert_alive(&d);
	dev_stop(&d);
}

/* No answer is wanted, but what is behind it waits all the same. */
Test(vuser_later, without_a_reply)
{
	struct answer a;
	struct dev d;

	dev_start_running(&d);
	d.map_later = d.reset_later = true;
	send_map(&d, 1, VUSER_F_NO_REPLY);
	client_send(&d, 2, VUSER_DEVICE_RESET, 0, NULL, 0, NULL, 0);
	cr_assert_eq(dev_pump(&d), 0);
	cr_assert_eq(d.nr_reset, 0);
	vuser_later_done(d.v, 0);
	cr_assert_eq(dev_pump(&d), 0);
	cr_assert_eq(d.nr_reset, 1);
	cr_assert_eq(client_read(&d, &a), -EAGAIN);
	vuser_later_done(d.v, -EIO);
	expect(&d, 2, EIO);
	cr_assert_eq(vuser_get_stats(d.v)->nr_rejected, 1);
	cr_assert(strstr(vuser_last_error(d.v), "DEVICE_RESET"), "%s", vuser_last_error(d.v));
	assert_alive(&d);
	dev_stop(&d);
}

/* More than there is room for: the client waits, it is not taken for one that does not read. */
Test(vuser_later, answers_put_off_without_end)
{
	uint16_t sent = 0, answered = 0;
	struct answer a;
	struct dev d;
	int calls;

	dev_start_running(&d);
	d.map_later = true;
	while (vuser_events(d.v) & POLLIN) {
		cr_assert_lt(sent, 20000, "it reads for ever");
		send_map(&d, ++sent, 0);
		cr_assert_eq(dev_pump(&d), 0);
	}
	calls = d.calls;
	send_map(&d, ++sent, 0);
	cr_assert_eq(dev_pump(&d), 0);
	cr_assert_eq(d.calls, calls, "none is read now");
	d.map_later = false;
	vuser_later_done(d.v, 0);
	while (answered < sent) {
		cr_assert_eq(dev_pump(&d), 0);
		while (client_read(&d, &a) == 0)
			cr_assert_eq(a.hdr.id, ++answered);
	}
	assert_alive(&d);
	dev_stop(&d);
}

Test(vuser_later, the_client_goes_while_maps_wait)
{
	struct dev d;

	dev_start_running(&d);
	d.map_later = true;
	send_map(&d, 1, 0);
	client_send(&d, 2, VUSER_DEVICE_RESET, 0, NULL, 0, NULL, 0);
	cr_assert_eq(dev_pump(&d), 0);
	fd_close(&d.sock);
	cr_assert_eq(vuser_process(d.v, POLLIN | POLLHUP), -ECONNRESET);
	cr_assert_eq(d.nr_reset, 0);
	vuser_later_done(d.v, 0);
	dev_connect(&d);
	d.map_later = false;
	cr_assert_eq(vuser_events(d.v), POLLIN, "the next one is not held up");
	dev_stop(&d);
}
