/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VERSION: the client proposes, the answer must be a version and capabilities that it can live with.
 *
 * max_msg_fds and max_data_xfer_size are always answered: they say what we can take, and the protocol's default for the second is
 * more than that. The rest only if proposed ("a subset of those proposed"). The answer must not be longer than the question:
 * QEMU receives it into the buffer of its request (hw/vfio-user/proxy.c); ours is shorter than any that proposes as much.
 * Capabilities we do not know, and twin_socket and migration, which we have no use for, are looked at and not answered.
 */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "vuser_internal.h"

#define PGSIZE 4096
#define CLIENT_FDS_MAX 1024 /* more in one message the kernel would not carry either: SCM_MAX_FD is 253 */
#define DEFAULT_MSG_FDS 1 /* what a client that says nothing can take, says the protocol */

/* 1: there and between @min and @max, 0: not there */
static int get_int(struct vuser *v, const json_t *obj, const char *key, json_int_t min, json_int_t max, json_int_t *ret)
{
	const json_t *j = json_object_get(obj, key);

	if (!j)
		return 0;
	if (!json_is_integer(j))
		return vuser_refuse(v, -EINVAL, "%s is no integer", key);
	if (json_integer_value(j) < min || json_integer_value(j) > max)
		return vuser_refuse(v, -EINVAL, "%s is %" JSON_INTEGER_FORMAT, key, json_integer_value(j));
	*ret = json_integer_value(j);
	return 1;
}

static int get_bool(struct vuser *v, const json_t *obj, const char *key, bool *ret)
{
	const json_t *j = json_object_get(obj, key);

	if (!j)
		return 0;
	if (!json_is_boolean(j))
		return vuser_refuse(v, -EINVAL, "%s is no boolean", key);
	*ret = json_is_true(j);
	return 1;
}

/* 1: there, 0: not there */
static int get_object(struct vuser *v, const json_t *obj, const char *key, const json_t **ret)
{
	*ret = json_object_get(obj, key);
	if (*ret && !json_is_object(*ret))
		return vuser_refuse(v, -EINVAL, "%s is no object", key);
	return *ret ? 1 : 0;
}

static int check_migration(struct vuser *v, const json_t *caps)
{
	const json_t *migr;
	json_int_t n = PGSIZE;
	int r;

	r = get_object(v, caps, "migration", &migr);
	if (r <= 0)
		return r;
	r = get_int(v, migr, "pgsize", 1, INT64_MAX, &n);
	if (r < 0)
		return r;
	if (n & (n - 1))
		return vuser_refuse(v, -EINVAL, "pgsize %" JSON_INTEGER_FORMAT " is no power of two", n);
	r = get_int(v, migr, "max_bitmap_size", 0, INT64_MAX, &n);
	return r < 0 ? r : 0;
}

static int check_dma_caps(struct vuser *v, const json_t *caps, struct vuser_caps *ret)
{
	json_int_t n = 0;
	int r;

	r = get_int(v, caps, "pgsizes", 1, INT64_MAX, &n);
	if (r < 0)
		return r;
	if (r && (n & (PGSIZE - 1)))
		return vuser_refuse(v, -EINVAL, "pgsizes %#jx: smaller than %d", (uintmax_t)n, PGSIZE);
	ret->has_pgsizes = r;
	r = get_int(v, caps, "max_dma_maps", 1, INT64_MAX, &n);
	if (r < 0)
		return r;
	ret->has_max_dma_maps = r;
	return check_migration(v, caps);
}

static int check_caps(struct vuser *v, const json_t *root, struct vuser_caps *ret)
{
	const json_t *caps = NULL, *twin;
	bool yes = false;
	json_int_t n = 0;
	int r;

	if (!json_is_object(root))
		return vuser_refuse(v, -EINVAL, "version data is no object");
	r = get_object(v, root, "capabilities", &caps);
	if (r <= 0)
		return r;
	r = get_int(v, caps, "max_msg_fds", 0, CLIENT_FDS_MAX, &n);
	if (r < 0)
		return r;
	if (r)
		ret->max_msg_fds = (uint32_t)n;
	r = get_int(v, caps, "max_data_xfer_size", 1, UINT32_MAX, &n);
	if (r < 0)
		return r;
	r = get_bool(v, caps, "write_multiple", &yes);
	if (r < 0)
		return r;
	ret->has_write_multiple = r && yes;
	r = get_object(v, caps, "twin_socket", &twin);
	if (r < 0)
		return r;
	if (r && get_bool(v, twin, "supported", &yes) < 0)
		return -EINVAL;
	return check_dma_caps(v, caps, ret);
}

int vuser_check_version(struct vuser *v, const struct vuser_msg *m)
{
	struct vuser_caps caps = { .max_msg_fds = DEFAULT_MSG_FDS };
	const char *text = (const char *)m->data + sizeof(struct vuser_version);
	size_t len = m->len - sizeof(struct vuser_version);
	struct vuser_version q;
	json_t *root;
	int r = 0;

	memcpy(&q, m->data, sizeof(q));
	if (q.major != VUSER_PROTO_MAJOR) {
		v->hang_up = true; /* the protocol's answer to a version that cannot be spoken */
		return vuser_refuse(v, -EINVAL, "version %u.%u, we speak %d.%d", q.major, q.minor, VUSER_PROTO_MAJOR,
				    VUSER_PROTO_MINOR);
	}
	caps.minor = q.minor < VUSER_PROTO_MINOR ? q.minor : VUSER_PROTO_MINOR;
	if (len) {
		if (strnlen(text, len) != len - 1)
			return vuser_refuse(v, -EINVAL, "version data does not end in one NUL");
		root = json_loadb(text, len - 1, JSON_REJECT_DUPLICATES, NULL);
		if (!root)
			return vuser_refuse(v, -EINVAL, "version data is not JSON, or no memory to read it");
		r = check_caps(v, root, &caps);
		json_decref(root);
	}
	if (r == 0)
		v->caps = caps; /* means nothing before the handler has made the client a running one */
	return r;
}

static int put(json_t *obj, const char *key, json_t *value)
{
	return json_object_set_new(obj, key, value) < 0 ? -ENOMEM : 0; /* a NULL value is refused there */
}

static int our_caps(const struct vuser_caps *theirs, json_t *ret)
{
	int r;

	r = put(ret, "max_msg_fds", json_integer(LIMIT_VUSER_FDS));
	if (r == 0)
		r = put(ret, "max_data_xfer_size", json_integer(VUSER_MAX_XFER));
	if (r == 0 && theirs->has_pgsizes)
		r = put(ret, "pgsizes", json_integer(PGSIZE));
	if (r == 0 && theirs->has_max_dma_maps)
		r = put(ret, "max_dma_maps", json_integer(LIMIT_DMA_RANGES));
	if (r == 0 && theirs->has_write_multiple)
		r = put(ret, "write_multiple", json_true());
	return r;
}

int vuser_handle_version(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r)
{
	struct vuser_version a = { .major = VUSER_PROTO_MAJOR, .minor = v->caps.minor };
	json_t *root = json_object(), *caps = json_object();
	int ret;

	(void)m;
	ret = root && caps ? our_caps(&v->caps, caps) : -ENOMEM;
	if (ret == 0)
		ret = put(root, "capabilities", json_incref(caps));
	if (ret == 0) {
		size_t room = VUSER_TX_MAX - VUSER_HDR - sizeof(a) - 1;
		size_t len = json_dumpb(root, (char *)r->data + sizeof(a), room, JSON_COMPACT);

		if (len == 0 || len > room) {
			ret = -ENOMEM;
		} else {
			memcpy(r->data, &a, sizeof(a));
			r->data[sizeof(a) + len] = '\0';
			r->len = sizeof(a) + len + 1;
		}
	}
	json_decref(caps);
	json_decref(root);
	if (ret == 0)
		vuser_enter_running(v);
	return ret;
}
