/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client.h"

#include <errno.h>
#include <linux/vfio.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fdutil.h"
#include "vuser_proto.h"

#define ANSWER_MS 30000 /* a mapping pins its pages, a reset waits for the function */
#define PAYLOAD_MAX 4096

static int wait_for(const struct client *c, short events, int ms)
{
	struct pollfd p = { .fd = c->sock, .events = events };
	int n = poll(&p, 1, ms);

	if (n < 0)
		return -errno;
	return n ? 0 : -ETIMEDOUT;
}

int client_request(struct client *c, uint16_t cmd, const void *data, size_t len, int fd)
{
	uint8_t msg[sizeof(struct vuser_hdr) + PAYLOAD_MAX];
	struct vuser_hdr hdr = { .id = ++c->id, .cmd = cmd, .size = (uint32_t)(sizeof(hdr) + len) };
	ssize_t n;
	int r;

	if (len > PAYLOAD_MAX)
		return -EMSGSIZE;
	memcpy(msg, &hdr, sizeof(hdr));
	if (len)
		memcpy(msg + sizeof(hdr), data, len);
	r = wait_for(c, POLLOUT, ANSWER_MS);
	if (r < 0)
		return r;
	/* one request is under way at a time: a socket that can be written takes it whole */
	n = fd_send(c->sock, msg, hdr.size, &fd, fd >= 0);
	if (n < 0)
		return (int)n;
	return (size_t)n == hdr.size ? 0 : -EIO;
}

bool client_answered(const struct client *c)
{
	return wait_for(c, POLLIN, 0) == 0;
}

static int receive(struct client *c, void *buf, size_t len, int *ret_fd)
{
	for (size_t got = 0; got < len;) {
		int fds[FD_MSG_MAX], r;
		size_t nr = 0;
		ssize_t n;

		r = wait_for(c, POLLIN, ANSWER_MS);
		if (r < 0)
			return r;
		n = fd_recv(c->sock, (uint8_t *)buf + got, len - got, fds, FD_MSG_MAX, &nr);
		if (n <= 0)
			return n ? (int)n : -ECONNRESET;
		for (size_t i = 0; i < nr; i++) {
			fd_close(ret_fd);
			*ret_fd = fds[i];
		}
		got += (size_t)n;
	}
	return 0;
}

static int check_answer(const struct client *c, const struct vuser_hdr *hdr)
{
	if (hdr->id != c->id || (hdr->flags & VUSER_F_TYPE) != VUSER_F_TYPE_REPLY || hdr->size < sizeof(*hdr) ||
	    hdr->size > sizeof(*hdr) + PAYLOAD_MAX)
		return -EPROTO;
	if (hdr->flags & VUSER_F_ERROR)
		return hdr->error ? -(int)hdr->error : -EPROTO;
	return 0;
}

int client_answer(struct client *c, void *ret, size_t size, int *ret_fd)
{
	uint8_t data[PAYLOAD_MAX];
	struct vuser_hdr hdr;
	int fd = -1, r;
	size_t len;

	r = receive(c, &hdr, sizeof(hdr), &fd);
	if (r == 0)
		r = check_answer(c, &hdr);
	len = r == 0 ? hdr.size - sizeof(hdr) : 0;
	if (len)
		r = receive(c, data, len, &fd);
	if (r == 0 && size)
		memcpy(ret, data, len < size ? len : size);
	if (r == 0 && ret_fd)
		*ret_fd = fd_take(&fd);
	fd_close(&fd);
	return r < 0 ? r : (int)len;
}

static int call(struct client *c, uint16_t cmd, const void *data, size_t len, void *ret, size_t size)
{
	int r = client_request(c, cmd, data, len, -1);

	return r < 0 ? r : client_answer(c, ret, size, NULL);
}

int client_connect(struct client *c, const char *path)
{
	static const char caps[] = "{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":4096}}";
	struct vuser_version version = { .major = VUSER_PROTO_MAJOR, .minor = VUSER_PROTO_MINOR };
	uint8_t msg[sizeof(version) + sizeof(caps)];
	int r;

	memcpy(msg, &version, sizeof(version));
	memcpy(msg + sizeof(version), caps, sizeof(caps));
	*c = (struct client){ .sock = fd_connect_unix(path, SOCK_STREAM), .device_fd = -1 };
	if (c->sock < 0)
		return c->sock;
	r = call(c, VUSER_VERSION, msg, sizeof(msg), &version, sizeof(version));
	if (r >= 0 && version.major != VUSER_PROTO_MAJOR)
		r = -EPROTO;
	if (r < 0)
		client_close(c);
	return r < 0 ? r : 0;
}

void client_close(struct client *c)
{
	fd_close(&c->sock);
	fd_close(&c->device_fd);
}

int client_dma_map(struct client *c, uint64_t iova, uint64_t size, unsigned prot, int fd, uint64_t offset)
{
	struct vuser_dma_map_req q = { .argsz = sizeof(q), .flags = prot, .offset = offset, .address = iova, .size = size };
	int r = client_request(c, VUSER_DMA_MAP, &q, sizeof(q), fd);

	if (r == 0)
		r = client_answer(c, NULL, 0, NULL);
	return r < 0 ? r : 0;
}

int client_dma_unmap(struct client *c, uint64_t iova, uint64_t size)
{
	struct vuser_dma_unmap_req q = { .argsz = sizeof(q), .address = iova, .size = size };

	return client_request(c, VUSER_DMA_UNMAP, &q, sizeof(q), -1);
}

int client_dma_unmapped(struct client *c, uint64_t *ret_size)
{
	struct vuser_dma_unmap_req a = { 0 };
	int r = client_answer(c, &a, sizeof(a), NULL);

	if (r < 0)
		return r;
	*ret_size = a.size;
	return 0;
}

int client_reset(struct client *c)
{
	int r = call(c, VUSER_DEVICE_RESET, NULL, 0, NULL, 0);

	return r < 0 ? r : 0;
}

int client_config_write16(struct client *c, uint16_t at, uint16_t value)
{
	struct vuser_region_access q = { .offset = at, .region = VFIO_PCI_CONFIG_REGION_INDEX, .count = sizeof(value) };
	uint8_t msg[sizeof(q) + sizeof(value)];
	int r;

	memcpy(msg, &q, sizeof(q));
	memcpy(msg + sizeof(q), &value, sizeof(value));
	r = call(c, VUSER_REGION_WRITE, msg, sizeof(msg), NULL, 0);
	return r < 0 ? r : 0;
}

int client_config_read16(struct client *c, uint16_t at, uint16_t *ret)
{
	struct vuser_region_access q = { .offset = at, .region = VFIO_PCI_CONFIG_REGION_INDEX, .count = sizeof(*ret) };
	uint8_t msg[sizeof(q) + sizeof(*ret)];
	int r;

	r = call(c, VUSER_REGION_READ, &q, sizeof(q), msg, sizeof(msg));
	if (r < 0)
		return r;
	if (r != sizeof(msg))
		return -EPROTO;
	memcpy(ret, msg + sizeof(q), sizeof(*ret));
	return 0;
}

static int region_info(struct client *c, uint32_t index, struct vfio_region_info *ret, int *ret_fd)
{
	struct vfio_region_info q = { .argsz = PAYLOAD_MAX, .index = index };
	int r = client_request(c, VUSER_DEVICE_GET_REGION_INFO, &q, sizeof(q), -1);

	if (r == 0)
		r = client_answer(c, ret, sizeof(*ret), ret_fd);
	if (r < 0)
		return r;
	return (size_t)r < sizeof(*ret) ? -EPROTO : 0;
}

int client_config_write16_past(struct client *c, uint16_t at, uint16_t value)
{
	struct vfio_region_info info;
	int r = region_info(c, VFIO_PCI_CONFIG_REGION_INDEX, &info, NULL);

	if (r < 0)
		return r;
	if (pwrite(c->device_fd, &value, sizeof(value), (off_t)(info.offset + at)) != sizeof(value))
		return -errno;
	return 0;
}

int client_map_region(struct client *c, uint32_t index, volatile uint8_t **ret, size_t *ret_size)
{
	struct vfio_region_info info;
	int fd = -1, r;
	void *map;

	r = region_info(c, index, &info, &fd);
	if (r < 0)
		return r;
	if (fd < 0 || !(info.flags & VFIO_REGION_INFO_FLAG_MMAP))
		return -ENOTSUP;
	map = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)info.offset);
	if (map == MAP_FAILED) {
		fd_close(&fd);
		return -errno;
	}
	fd_close(&c->device_fd);
	c->device_fd = fd;
	*ret = map;
	*ret_size = info.size;
	return 0;
}

bool client_alive(struct client *c)
{
	struct vuser_device_info q = { .argsz = sizeof(q) }, a = { 0 };

	return call(c, VUSER_DEVICE_GET_INFO, &q, sizeof(q), &a, sizeof(a)) == sizeof(a) && a.num_regions > 0;
}
