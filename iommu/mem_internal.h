/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the mem_*.c files share: the kernel's text. */
#ifndef GANGWAY_MEM_INTERNAL_H
#define GANGWAY_MEM_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct sys;

/* Decimal digits at *@at, which moves behind them. False: none, or above 2^64. */
bool mem_take_u64(const char **at, const char *end, uint64_t *ret);
/* The number behind "@label" at the beginning of a line of @text, spaces between. -ENOENT: no such line; -EPROTO: no number. */
int mem_find_u64(const char *text, size_t len, const char *label, uint64_t *ret);
/* The same in kB, as bytes. */
int mem_find_kib(const char *text, size_t len, const char *label, uint64_t *ret);
/* A file of one number; "max" gives UINT64_MAX. -EPROTO, or what reading says. */
int mem_read_number(struct sys *sys, const char *path, uint64_t *ret);
/* "/proc/PID/@file", "/proc/self/@file" for 0. */
void mem_proc_path(char *buf, size_t size, pid_t pid, const char *file);

#endif
