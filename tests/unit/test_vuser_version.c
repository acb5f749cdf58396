/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VERSION: what is agreed on, what is refused, and that nothing else is done before it. */
#include "vuser_client.h"

#include <jansson.h>

#define OURS "\"max_msg_fds\":8,\"max_data_xfer_size\":32768"

Test(vuser_version, answers)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "", "{\"capabilities\":{" OURS "}}" },
		{ "{}", "{\"capabilities\":{" OURS "}}" },
		{ "{\"capabilities\":{}}", "{\"capabilities\":{" OURS "}}" },
		{ QEMU_CAPS, "{\"capabilities\":{" OURS ",\"pgsizes\":4096,\"max_dma_maps\":65535,\"write_multiple\":true}}" },
		{ "{\"capabilities\":{\"write_multiple\":false}}", "{\"capabilities\":{" OURS "}}" },
		{ "{\"capabilities\":{\"max_msg_fds\":1024}}", "{\"capabilities\":{" OURS "}}" },
		{ "{\"capabilities\":{\"twin_socket\":{\"supported\":true}}}", "{\"capabilities\":{" OURS "}}" },
		{ "{\"capabilities\":{\"of the future\":[1,{}]},\"more\":null}", "{\"capabilities\":{" OURS "}}" },
		{ "{\"capabilities\":{\"pgsizes\":2101248}}", "{\"capabilities\":{" OURS ",\"pgsizes\":4096}}" },
	};
	struct answer a;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dev d;

		dev_start(&d);
		cr_assert_eq(negotiate(&d, rows[i].text, &a), 0, "%s: %s", rows[i].text, vuser_last_error(d.v));
		cr_assert_eq(a.len, sizeof(struct vuser_version) + strlen(rows[i].want) + 1);
		cr_assert_str_eq((char *)a.data + sizeof(struct vuser_version), rows[i].want);
		cr_assert_eq(d.nr_connect, 1);
		assert_alive(&d);
		dev_stop(&d);
	}
}

/* QEMU reads the answer into the buffer of its question and takes a longer one for an attack. */
Test(vuser_version, answer_is_no_longer_than_qemus_question)
{
	struct answer a;
	struct dev d;

	dev_start(&d);
	cr_assert_eq(negotiate(&d, QEMU_CAPS, &a), 0);
	cr_assert(a.len <= sizeof(struct vuser_version) + sizeof(QEMU_CAPS));
	dev_stop(&d);
}

Test(vuser_version, minor_is_the_lower)
{
	static const struct {
		uint16_t minor, want;
	} rows[] = { { 0, 0 }, { 1, 1 }, { 2, 1 }, { 65535, 1 } };
	struct vuser_version ver;
	struct answer a;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dev d;

		dev_start(&d);
		cr_assert_eq(negotiate_len(&d, 0, rows[i].minor, NULL, 0, &a), 0);
		memcpy(&ver, a.data, sizeof(ver));
		cr_assert_eq(ver.major, 0);
		cr_assert_eq(ver.minor, rows[i].want);
		dev_stop(&d);
	}
}

/* Refused, and the client may try again. */
Test(vuser_version, bad_data)
{
	static const char *const rows[] = {
		"{",
		"\"",
		"[]",
		"23",
		"null",
		"{} {}",
		"{\"capabilities\":\"23\"}",
		"{\"capabilities\":[]}",
		"{\"capabilities\":null}",
		"{\"capabilities\":{},\"capabilities\":{}}",
		"{\"capabilities\":{\"max_msg_fds\":\"foo\"}}",
		"{\"capabilities\":{\"max_msg_fds\":-1}}",
		"{\"capabilities\":{\"max_msg_fds\":1025}}",
		"{\"capabilities\":{\"max_msg_fds\":1.5}}",
		"{\"capabilities\":{\"max_msg_fds\":99999999999999999999}}",
		"{\"capabilities\":{\"max_data_xfer_size\":0}}",
		"{\"capabilities\":{\"max_data_xfer_size\":-1}}",
		"{\"capabilities\":{\"max_data_xfer_size\":4294967296}}",
		"{\"capabilities\":{\"max_data_xfer_size\":true}}",
		"{\"capabilities\":{\"pgsizes\":0}}",
		"{\"capabilities\":{\"pgsizes\":4095}}",
		"{\"capabilities\":{\"pgsizes\":-4096}}",
		"{\"capabilities\":{\"pgsizes\":{}}}",
		"{\"capabilities\":{\"max_dma_maps\":0}}",
		"{\"capabilities\":{\"max_dma_maps\":\"many\"}}",
		"{\"capabilities\":{\"write_multiple\":1}}",
		"{\"capabilities\":{\"twin_socket\":true}}",
		"{\"capabilities\":{\"twin_socket\":{\"supported\":\"yes\"}}}",
		"{\"capabilities\":{\"migration\":\"23\"}}",
		"{\"capabilities\":{\"migration\":{\"pgsize\":\"foo\"}}}",
		"{\"capabilities\":{\"migration\":{\"pgsize\":4095}}}",
		"{\"capabilities\":{\"migration\":{\"pgsize\":0}}}",
		"{\"capabilities\":{\"migration\":{\"max_bitmap_size\":-1}}}",
		"{\"capabilities\":{\"max_msg_fds\":\"\xff\xfe\"}}",
	};
	int before = count_fds();
	struct answer a;
	struct dev d;

	dev_start(&d);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_assert_eq(negotiate(&d, rows[i], &a), -EINVAL, "%s", rows[i]);
		cr_assert_eq(vuser_get_state(d.v), VUSER_NEGOTIATE, "%s", rows[i]);
		cr_assert_eq(vuser_get_stats(d.v)->nr_rejected, i + 1);
	}
	cr_assert_eq(d.nr_connect, 0);
	cr_assert_eq(negotiate(&d, QEMU_CAPS, &a), 0);
	dev_stop(&d);
	cr_assert_eq(count_fds(), before);
}

Test(vuser_version, bad_frames)
{
	static char deep[4097];
	int mem = memfd_create("x", MFD_CLOEXEC);
	struct vuser_version ver = { 0, 1 };
	struct answer a;
	struct dev d;

	dev_start(&d);
	cr_assert_eq(negotiate_len(&d, 0, 1, "{}", 2, &a), -EINVAL, "no NUL");
	cr_assert_eq(negotiate_len(&d, 0, 1, "{}\0{}", 6, &a), -EINVAL, "a NUL within");
	cr_assert_eq(negotiate_len(&d, 0, 1, "", 1, &a), -EINVAL, "nothing but the NUL is no JSON");
	memset(deep, '[', 4095);
	cr_assert_eq(negotiate_len(&d, 0, 1, deep, 4096, &a), -EINVAL, "deep");
	cr_assert_eq(request(&d, VUSER_VERSION, &ver, 3, &a), -EINVAL, "too short");
	cr_assert_eq(request(&d, VUSER_VERSION, NULL, 0, &a), -EINVAL, "nothing");
	cr_assert_eq(negotiate_len(&d, 0, 1, deep, 4097, &a), -EINVAL, "too long");
	cr_assert_eq(request_fds(&d, VUSER_VERSION, &ver, sizeof(ver), &mem, 1, &a), -EINVAL, "with a descriptor");
	cr_assert_eq(vuser_get_state(d.v), VUSER_NEGOTIATE);
	/* nobody is there to be told: refused, and silent */
	client_send(&d, 1, VUSER_VERSION, VUSER_F_NO_REPLY, &ver, sizeof(ver), NULL, 0);
	dev_pump(&d);
	cr_assert_eq(client_read(&d, &a), -EAGAIN);
	cr_assert_eq(d.nr_connect, 0);
	cr_assert_eq(negotiate_len(&d, 0, 1, NULL, 0, &a), 0);
	dev_stop(&d);
}

/* The answer says why, then the connection ends. */
Test(vuser_version, unknown_major)
{
	int before = count_fds();
	struct answer a;
	struct dev d;

	dev_start(&d);
	cr_assert_eq(negotiate_len(&d, 1, 0, "{}", 3, &a), -EINVAL);
	assert_hung_up(&d);
	cr_assert_eq(d.nr_connect, 0);
	cr_assert_eq(d.nr_disconnect, 0, "it never was there");
	cr_assert_neq(strstr(vuser_last_error(d.v), "version 1.0"), NULL, "%s", vuser_last_error(d.v));
	dev_stop(&d);
	cr_assert_eq(count_fds(), before);
}

Test(vuser_version, nothing_before_it)
{
	static const uint16_t cmds[] = { 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 999 };
	int mem = memfd_create("x", MFD_CLOEXEC), before;
	uint8_t payload[64] = { 0 };
	struct answer a;
	struct dev d;

	dev_start(&d);
	before = count_fds();
	for (size_t i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++)
		cr_assert_eq(request_fds(&d, cmds[i], payload, sizeof(payload), &mem, 1, &a), -EINVAL, "command %u", cmds[i]);
	cr_assert_eq(d.calls, 0);
	cr_assert_eq(d.nr_connect, 0);
	cr_assert_eq(count_fds(), before);
	cr_assert_eq(negotiate(&d, QEMU_CAPS, &a), 0);
	dev_stop(&d);
}

/* A client that can receive no descriptor is told that nothing can be mapped, rather than sent one. */
Test(vuser_version, client_without_descriptors)
{
	struct vfio_region_info q = { .argsz = 4096, .index = 3 }, info;
	struct answer a;
	struct dev d;

	dev_start(&d);
	cr_assert_eq(negotiate(&d, "{\"capabilities\":{\"max_msg_fds\":0}}", &a), 0);
	cr_assert_eq(request(&d, VUSER_DEVICE_GET_REGION_INFO, &q, sizeof(q), &a), 0);
	memcpy(&info, a.data, sizeof(info));
	cr_assert_eq(a.nr_fds, 0);
	cr_assert_eq(info.flags, VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE);
	dev_stop(&d);
}

static int allocs_left, failed_allocs;

static void *failing_malloc(size_t size)
{
	if (allocs_left-- > 0)
		return malloc(size);
	failed_allocs++;
	return NULL;
}

/* The n-th allocation of the negotiation fails, for each n: an error, nothing begun, and the next attempt succeeds. */
Test(vuser_version, out_of_memory)
{
	int n, refused = 0;
	struct answer a;

	json_set_alloc_funcs(failing_malloc, free);
	for (n = 0; n < 1000; n++) {
		struct dev d;
		int r;

		dev_start(&d);
		allocs_left = n;
		failed_allocs = 0;
		r = negotiate(&d, QEMU_CAPS, &a);
		allocs_left = 1 << 20;
		if (r < 0) {
			cr_assert(r == -ENOMEM || r == -EINVAL, "allocation %d: %d", n, r); /* jansson does not tell them apart */
			cr_assert_eq(vuser_get_state(d.v), VUSER_NEGOTIATE);
			cr_assert_eq(d.nr_connect, 0);
			cr_assert_eq(negotiate(&d, QEMU_CAPS, &a), 0);
			refused++;
		}
		cr_assert_eq(d.nr_connect, 1);
		dev_stop(&d);
		if (!failed_allocs)
			break;
	}
	cr_assert_gt(refused, 20);
	cr_assert_lt(n, 1000);
}
