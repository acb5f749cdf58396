/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MAC addresses as QEMU writes them. */
#include "vmm_internal.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

static int hex(char c)
{
	const char *digits = "0123456789abcdef", *p = c ? strchr(digits, c | 0x20) : NULL;

	return p ? (int)(p - digits) : -1;
}

int vmm_mac_parse(const char *text, uint8_t ret[6])
{
	uint8_t mac[6];

	if (strlen(text) != 17)
		return -EINVAL;
	for (size_t i = 0; i < 6; i++) {
		int high = hex(text[3 * i]), low = hex(text[3 * i + 1]);

		if (high < 0 || low < 0 || (i < 5 && text[3 * i + 2] != ':'))
			return -EINVAL;
		mac[i] = (uint8_t)(high << 4 | low);
	}
	memcpy(ret, mac, 6);
	return 0;
}

int vmm_mac_check(const char *text, uint8_t ret[6], struct err *err)
{
	static const uint8_t zero[6];
	uint8_t mac[6];

	if (vmm_mac_parse(text, mac) < 0 || (mac[0] & 1) || !memcmp(mac, zero, 6))
		return err_set(err, -EINVAL, "vmm.bad-mac", "MAC address \"%.32s\": not a unicast one like 52:54:00:12:34:56",
			       text);
	memcpy(ret, mac, 6);
	return 0;
}
