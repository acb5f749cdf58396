/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a gangway-device process says, decoded. It parses a guest's input and may have been taken over: nothing is believed. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "device/device_proto.h"
#include "devproc_internal.h"

static int bad(struct err *err, const char *what)
{
	return err_set(err, -EPROTO, "devproc.protocol", "the device process sent what is no %s", what);
}

/* A text of at most @size - 1 bytes, control characters replaced. */
static bool take_text(json_t *obj, const char *key, char *buf, size_t size)
{
	const char *text = json_string_value(json_object_get(obj, key));

	if (!text || strlen(text) >= size)
		return false;
	for (size_t i = 0; i <= strlen(text); i++)
		buf[i] = text[i] && ((unsigned char)text[i] < 0x20 || (unsigned char)text[i] > 0x7e) ? '?' : text[i];
	return true;
}

static bool take_u64(json_t *obj, const char *key, uint64_t max, uint64_t *ret)
{
	json_t *v = json_object_get(obj, key);

	if (!json_is_integer(v) || json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) > max)
		return false;
	*ret = (uint64_t)json_integer_value(v);
	return true;
}

static bool take_bool(json_t *obj, const char *key, bool *ret)
{
	json_t *v = json_object_get(obj, key);

	if (!json_is_boolean(v))
		return false;
	*ret = json_is_true(v);
	return true;
}

/* What a device process of before knew nothing of. */
static bool take_new_u64(json_t *obj, const char *key, uint64_t *ret)
{
	return !json_object_get(obj, key) || take_u64(obj, key, INT64_MAX, ret);
}

static bool take_held(json_t *obj, char *buf, size_t size)
{
	static const char *const words[] = { "pending", "degraded", "quarantine", "shared" };
	json_t *list = json_object_get(obj, "held"), *v;
	size_t i;

	buf[0] = '\0';
	if (list && !json_is_array(list))
		return false;
	json_array_foreach (list, i, v) {
		const char *word = json_string_value(v);
		size_t w = 0;

		while (word && w < sizeof(words) / sizeof(words[0]) && strcmp(words[w], word))
			w++;
		if (!word || w == sizeof(words) / sizeof(words[0]) || strstr(buf, word))
			return false;
		snprintf(buf + strlen(buf), size - strlen(buf), "%s%s", buf[0] ? " " : "", word);
	}
	return true;
}

static bool take_files(json_t *obj, struct devproc_status *ret)
{
	json_t *list = json_object_get(obj, "files"), *v;
	size_t i;

	if (list && (!json_is_array(list) || json_array_size(list) > DEVPROC_FILES_MAX))
		return false;
	json_array_foreach (list, i, v) {
		const char *text = json_string_value(v);
		struct devproc_file *file = &ret->files[i];
		unsigned long long dev, ino;
		int end = 0;

		/* 16 digits are what 64 bits have; sscanf(3) would go on and wrap */
		if (!text || strspn(text, "0123456789abcdef:") != strlen(text) ||
		    sscanf(text, "%16llx:%16llx%n", &dev, &ino, &end) != 2 || text[end])
			return false;
		*file = (struct devproc_file){ dev, ino };
	}
	ret->nr_files = (unsigned)json_array_size(list);
	return true;
}

static bool take_status(json_t *obj, struct devproc_status *ret)
{
	uint64_t vectors;

	if (!take_text(obj, "vuser_state", ret->vuser_state, sizeof(ret->vuser_state)) ||
	    !take_text(obj, "last_error", ret->last_error, sizeof(ret->last_error)) ||
	    !take_u64(obj, "nr_messages", INT64_MAX, &ret->nr_messages) ||
	    !take_u64(obj, "nr_rejected", INT64_MAX, &ret->nr_rejected) ||
	    !take_u64(obj, "nr_clients", INT64_MAX, &ret->nr_clients) ||
	    !take_u64(obj, "dma_ranges", UINT32_MAX, &ret->dma_ranges) ||
	    !take_u64(obj, "dma_bytes", INT64_MAX, &ret->dma_bytes) || !take_u64(obj, "vectors_armed", 65536, &vectors) ||
	    !take_new_u64(obj, "dma_pending", &ret->dma_pending) || !take_new_u64(obj, "dma_rate", &ret->dma_rate) ||
	    !take_new_u64(obj, "dma_pinned_total", &ret->dma_pinned_total) || !take_held(obj, ret->held, sizeof(ret->held)) ||
	    !take_files(obj, ret) || !take_bool(obj, "bus_master", &ret->bus_master) ||
	    !take_bool(obj, "degraded", &ret->degraded))
		return false;
	ret->vectors_armed = (uint32_t)vectors;
	return true;
}

static bool same_text(json_t *obj, const char *key, const char *want)
{
	const char *text = json_string_value(json_object_get(obj, key));

	return text && !strcmp(text, want);
}

static int decode_hello(json_t *root, const char *id, const char *bdf, struct err *err)
{
	if (json_integer_value(json_object_get(root, "version")) != DEVICE_PROTO_VERSION) {
		err_set(err, -EPROTO, "devproc.version",
			"lease %s: its device process speaks another version of the control protocol", id);
		err_hint(err, "it was started by another gangway; detach and attach again when the guest can spare its VF");
		return -EPROTO;
	}
	if (!same_text(root, "id", id) || !same_text(root, "bdf", bdf))
		return err_set(err, -EPROTO, "devproc.foreign", "lease %s: its device process serves another lease or VF", id);
	return 0;
}

static int decode(json_t *root, const char *id, const char *bdf, struct devproc_msg *ret, struct err *err)
{
	static const char *const names[] = {
		[DEVPROC_OP_HELLO] = "hello",	[DEVPROC_OP_STATUS] = "status",		[DEVPROC_OP_STOP] = "stop",
		[DEVPROC_OP_SHARED] = "shared", [DEVPROC_OP_QUARANTINE] = "quarantine", [DEVPROC_OP_DMA] = "dma",
		[DEVPROC_OP_ERROR] = "error",
	};
	const char *op = json_string_value(json_object_get(root, "op"));
	struct devproc_msg msg = { 0 };
	size_t i = 0;
	int r = 0;

	while (op && i < sizeof(names) / sizeof(names[0]) && strcmp(op, names[i]))
		i++;
	if (!op || i == sizeof(names) / sizeof(names[0]))
		return bad(err, "known message");
	msg.op = (enum devproc_op)i;
	if (msg.op == DEVPROC_OP_HELLO)
		r = decode_hello(root, id, bdf, err);
	if (msg.op == DEVPROC_OP_HELLO)
		msg.claimed_pid = json_integer_value(json_object_get(root, "pid"));
	if (r == 0 && (msg.op == DEVPROC_OP_HELLO || msg.op == DEVPROC_OP_STATUS)) {
		msg.has_status = true;
		if (!take_status(json_object_get(root, "status"), &msg.status))
			r = bad(err, "valid status");
	}
	if (msg.op == DEVPROC_OP_DMA && !devproc_take_dma(root, &msg.tag, &msg.dma))
		r = bad(err, "valid DMA address space");
	if (r == 0)
		*ret = msg;
	return r;
}

int devproc_decode(const char *text, size_t len, const char *id, const char *bdf, struct devproc_msg *ret, struct err *err)
{
	json_t *root;
	int r;

	if (len == 0 || len > DEVICE_PROTO_MAX)
		return bad(err, "message of a size we take");
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(root)) {
		json_decref(root);
		return bad(err, "JSON object");
	}
	r = decode(root, id, bdf, ret, err);
	json_decref(root);
	return r;
}
