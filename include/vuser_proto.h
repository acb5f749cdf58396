/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vfio-user 0.1 on the wire, written from QEMU's docs/interop/vfio-user.rst. Host byte order, no padding but what is named.
 * Payloads that the protocol borrows unchanged from <linux/vfio.h> (region_info, irq_info, irq_set) have no twin here.
 */
#ifndef GANGWAY_VUSER_PROTO_H
#define GANGWAY_VUSER_PROTO_H

#include <stdint.h>

#define VUSER_PROTO_MAJOR 0
#define VUSER_PROTO_MINOR 1

enum vuser_cmd_id {
	VUSER_VERSION = 1,
	VUSER_DMA_MAP = 2,
	VUSER_DMA_UNMAP = 3,
	VUSER_DEVICE_GET_INFO = 4,
	VUSER_DEVICE_GET_REGION_INFO = 5,
	VUSER_DEVICE_GET_REGION_IO_FDS = 6,
	VUSER_DEVICE_GET_IRQ_INFO = 7,
	VUSER_DEVICE_SET_IRQS = 8,
	VUSER_REGION_READ = 9,
	VUSER_REGION_WRITE = 10,
	VUSER_DMA_READ = 11, /* server to client only */
	VUSER_DMA_WRITE = 12, /* server to client only */
	VUSER_DEVICE_RESET = 13,
	VUSER_DIRTY_PAGES = 14, /* of drafts; not in 0.1 */
	VUSER_REGION_WRITE_MULTI = 15,
	VUSER_DEVICE_FEATURE = 16,
	VUSER_MIG_DATA_READ = 17,
	VUSER_MIG_DATA_WRITE = 18,
};

#define VUSER_F_TYPE 0xfu
#define VUSER_F_TYPE_COMMAND 0x0u
#define VUSER_F_TYPE_REPLY 0x1u
#define VUSER_F_NO_REPLY 0x10u
#define VUSER_F_ERROR 0x20u

struct vuser_hdr {
	uint16_t id; /* the sender's; only ever echoed */
	uint16_t cmd;
	uint32_t size; /* with this header */
	uint32_t flags;
	uint32_t error; /* a positive errno; replies only */
};

struct vuser_version { /* followed by JSON text and its NUL, or by nothing */
	uint16_t major, minor;
};

#define VUSER_DMA_READABLE 0x1u
#define VUSER_DMA_WRITABLE 0x2u

struct vuser_dma_map_req {
	uint32_t argsz, flags;
	uint64_t offset, address, size;
};

#define VUSER_UNMAP_DIRTY_BITMAP 0x1u
#define VUSER_UNMAP_ALL 0x2u

struct vuser_dma_unmap_req { /* and its reply */
	uint32_t argsz, flags;
	uint64_t address, size;
};

struct vuser_device_info { /* as the kernel's was before it had capabilities */
	uint32_t argsz, flags, num_regions, num_irqs;
};

struct vuser_region_io_fds {
	uint32_t argsz, flags, index, count;
};

struct vuser_region_access { /* followed by the data: in the request of a write, in the reply of a read */
	uint64_t offset;
	uint32_t region, count;
};

struct vuser_write_one {
	uint64_t offset;
	uint32_t region, count; /* 1 to 8 bytes */
	uint8_t data[8];
};

struct vuser_write_multi { /* followed by nr struct vuser_write_one; the reply has only nr */
	uint64_t nr;
};

#define VUSER_FEATURE_INDEX 0xffffu
#define VUSER_FEATURE_GET (1u << 16)
#define VUSER_FEATURE_SET (1u << 17)
#define VUSER_FEATURE_PROBE (1u << 18)

struct vuser_feature {
	uint32_t argsz, flags;
};

_Static_assert(sizeof(struct vuser_hdr) == 16, "vfio-user header");
_Static_assert(sizeof(struct vuser_version) == 4, "VERSION");
_Static_assert(sizeof(struct vuser_dma_map_req) == 32, "DMA_MAP");
_Static_assert(sizeof(struct vuser_dma_unmap_req) == 24, "DMA_UNMAP");
_Static_assert(sizeof(struct vuser_device_info) == 16, "DEVICE_GET_INFO");
_Static_assert(sizeof(struct vuser_region_io_fds) == 16, "DEVICE_GET_REGION_IO_FDS");
_Static_assert(sizeof(struct vuser_region_access) == 16, "REGION_READ and REGION_WRITE");
_Static_assert(sizeof(struct vuser_write_one) == 24, "REGION_WRITE_MULTI");
_Static_assert(sizeof(struct vuser_feature) == 8, "DEVICE_FEATURE");

#endif
