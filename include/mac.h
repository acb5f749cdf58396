/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mac: Ethernet addresses as text, and which of them can be a NIC's own. */
#ifndef GANGWAY_MAC_H
#define GANGWAY_MAC_H

#include <stdbool.h>
#include <stdint.h>

#include "sys.h"

#define MAC_TEXT 18 /* "52:54:00:00:00:10" and NUL */

/* "52:54:00:00:00:10" <-> bytes; mac_parse: 0 or -EINVAL. */
int mac_parse(const char *s, uint8_t ret[static SYS_MAC_LEN]);
void mac_format(const uint8_t mac[static SYS_MAC_LEN], char ret[static MAC_TEXT]);

/* Can it be a NIC's own? The zero address and multicast ones cannot. */
bool mac_is_own(const uint8_t mac[static SYS_MAC_LEN]);

#endif
