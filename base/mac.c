/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mac.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int mac_parse(const char *s, uint8_t ret[static SYS_MAC_LEN])
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	uint8_t mac[SYS_MAC_LEN];

	if (strlen(s) != 17)
		return -EINVAL;
	for (int i = 0; i < SYS_MAC_LEN; i++, s += 3) {
		const char *hi = strchr(digits, s[0]), *lo = strchr(digits, s[1]);

		if (!hi || !lo || !*hi || !*lo || (i < SYS_MAC_LEN - 1 && s[2] != ':'))
			return -EINVAL;
		mac[i] = (uint8_t)(((hi - digits) & 15) << 4 | ((lo - digits) & 15));
	}
	memcpy(ret, mac, SYS_MAC_LEN);
	return 0;
}

void mac_format(const uint8_t mac[static SYS_MAC_LEN], char ret[static MAC_TEXT])
{
	snprintf(ret, MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

bool mac_is_own(const uint8_t mac[static SYS_MAC_LEN])
{
	static const uint8_t zero[SYS_MAC_LEN];

	return !(mac[0] & 1) && memcmp(mac, zero, SYS_MAC_LEN) != 0;
}
