/* SPDX-License-Identifier: GPL-2.0-or-later */
/* accounts: the users and groups of this host, as its files have them. */
#ifndef GANGWAY_ACCOUNTS_H
#define GANGWAY_ACCOUNTS_H

#include <stddef.h>
#include <stdint.h>

/*
 * The first account of @path (passwd(5) or group(5): name, password, number, however long the rest) with a number in [@first, @last].
 * Its name, cut to @size, is in @ret_name, its number in *@ret_id. Lines that are none are left out. 1: found, 0: none, or a negative
 * errno: it could not be read to its end. Blocks on the disk.
 */
int accounts_find(const char *path, uint32_t first, uint32_t last, char *ret_name, size_t size, uint32_t *ret_id);

#endif
