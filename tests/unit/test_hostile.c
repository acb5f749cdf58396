/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inputs of docs/hostile-inputs.md that no other test has: ids used twice, deep nesting, a socket sent through itself, a file cut off. */
#include "vuser_client.h"

#include <stdio.h>

#include "err.h"
#include "fake.h"
#include "iommu.h"
#include "vdev.h"

#define VF "0000:3b:02.1"
#define MIB UINT64_C(1048576)

/* The id is the client's affair: it comes back as often as it is used. */
Test(hostile, an_id_used_again)
{
	struct vuser_device_info q = { .argsz = sizeof(q) };
	struct answer a;
	struct dev d;

	dev_start_running(&d);
	for (int i = 0; i < 3; i++)
		client_send(&d, 7, VUSER_DEVICE_GET_INFO, 0, &q, sizeof(q), NULL, 0);
	client_send(&d, 7, VUSER_DEVICE_RESET, 0, "x", 1, NULL, 0);
	dev_pump(&d);
	for (int i = 0; i < 4; i++) {
		cr_assert_eq(client_read(&d, &a), 0);
		cr_assert_eq(a.hdr.id, 7);
		cr_assert_eq(a.hdr.error, i < 3 ? 0 : EINVAL);
	}
	assert_alive(&d);
	dev_stop(&d);
}

/* As deep as the longest VERSION allows: refused, not recursed into until the stack ends. */
Test(hostile, version_data_nested_deep)
{
	static const char *const units[] = { "[", "{\"a\":", "{\"capabilities\":" };
	char text[4097];
	struct answer a;
	struct dev d;

	dev_start(&d);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		size_t n = 0;

		while (n + strlen(units[i]) < sizeof(text) - 1)
			n += (size_t)sprintf(text + n, "%s", units[i]);
		cr_assert_eq(negotiate(&d, text, &a), -EINVAL, "%.20s...", text);
		cr_assert_eq(vuser_get_state(d.v), VUSER_NEGOTIATE);
	}
	cr_assert_eq(negotiate(&d, QEMU_CAPS, &a), 0);
	dev_stop(&d);
}

/* The client's end of the connection, sent through the connection: were it kept, neither end would ever be closed. */
Test(hostile, its_own_socket)
{
	struct vuser_dma_map_req map = { 32, VUSER_DMA_READABLE, 0, 0, 0x1000 };
	int before = count_fds();
	struct answer a;
	struct dev d;

	dev_start_running(&d);
	cr_assert_eq(request_fds(&d, VUSER_DEVICE_RESET, NULL, 0, &d.sock, 1, &a), -EINVAL);
	cr_assert_eq(request_fds(&d, VUSER_DMA_MAP, &map, sizeof(map), &d.sock, 1, &a), 0, "the device decides, and closes it");
	/* half a message, and the client goes */
	client_send(&d, 1, VUSER_DMA_MAP, 0, &map, 4, &d.sock, 1);
	fd_close(&d.sock);
	dev_pump(&d);
	dev_pump(&d);
	cr_assert_eq(vuser_get_state(d.v), VUSER_CLOSED);
	dev_stop(&d);
	cr_assert_eq(count_fds(), before);
}

/* What is mapped is pinned: a file that is cut off takes nothing from the device, and its range is unmapped as any other. */
Test(hostile, a_file_cut_off_while_mapped)
{
	struct iommu_map_request req = { .size = 2 * MIB, .prot = IOMMU_PROT_READ | IOMMU_PROT_WRITE };
	struct iommu_config config = { .name = "vf " VF };
	struct fake *fake = fake_new();
	struct iommu *iommu;
	struct vdev *vdev;
	uint64_t size = 0;
	struct err err;
	int ram;

	fake_add_driver(fake, "vfio-pci");
	fake_add_function(fake, VF, "vfio-pci", 7);
	cr_assert_eq(vdev_open(fake_sys(fake), VF, &vdev, &err), 0, "%s", err.msg);
	config.fd = vdev_get_fds(vdev).container;
	cr_assert_eq(iommu_new(fake_sys(fake), &iommu_type1, &config, &iommu, &err), 0, "%s", err.msg);
	ram = memfd_create("ram", MFD_CLOEXEC);
	cr_assert_eq(ftruncate(ram, 2 * MIB), 0);
	req.fd = dup(ram);
	cr_assert_eq(iommu_map(iommu, &req, &err), 0, "%s", err.msg);
	cr_assert_eq(ftruncate(ram, 0), 0);
	req.iova = 4 * MIB;
	req.fd = dup(ram);
	cr_assert_eq(iommu_map(iommu, &req, &err), -ENXIO, "there is nothing left to map");
	cr_assert_str_eq(err.code, "iommu.fd-short");
	cr_assert_eq(iommu_unmap(iommu, 0, 2 * MIB, &size, &err), 0, "%s", err.msg);
	cr_assert_eq(size, 2 * MIB);
	iommu_free(iommu);
	cr_assert_eq(fake_mapped(fake), 0);
	vdev_close(vdev);
	cr_assert_eq(fake_open_fds(fake), 0);
	close(ram);
	fake_free(fake);
}
