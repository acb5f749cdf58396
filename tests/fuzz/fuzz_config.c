/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libFuzzer target: the input is a configuration file, read by config_read(). What it refuses is named; what it takes is in range. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "err.h"
#include "metrics_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_string(const char *s, size_t size, bool path)
{
	if (strnlen(s, size) == size || !s[0] || (path && s[0] != '/'))
		abort();
}

static void check(const struct config *c)
{
	struct sockaddr_storage addr;
	socklen_t len;

	check_string(c->metrics_listen[0] ? c->metrics_listen : "-", sizeof(c->metrics_listen), c->metrics_listen[0] == '/');
	if (c->metrics_listen[0] && c->metrics_listen[0] != '/' && metrics_address_parse(c->metrics_listen, &addr, &len) < 0)
		abort();
	check_string(c->socket, sizeof(c->socket), true);
	check_string(c->state, sizeof(c->state), true);
	check_string(c->runtime_dir, sizeof(c->runtime_dir), true);
	check_string(c->device_program, sizeof(c->device_program), true);
	check_string(c->group, sizeof(c->group), false);
	if (c->unplug_timeout_ms < 100 || c->unplug_timeout_ms > 600000 || c->device_uid_first < 65536 ||
	    c->device_uid_first > UINT32_MAX - 1024 || c->guest_timeout_ms < 100 || c->guest_timeout_ms > 600000 ||
	    c->fault_limit > 1000000 || c->fault_window < 5 || c->fault_window > 3600 || (unsigned)c->log_level > LOG_LVL_DEBUG)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config config;
	static char path[64];
	static int fd = -1;
	struct err err = { 0 };
	int r;

	if (fd < 0) {
		fd = memfd_create("gangway.conf", MFD_CLOEXEC);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	if (fd < 0 || ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size || fchmod(fd, 0600) < 0)
		abort();
	config_defaults(&config);
	r = config_read(&config, path, true, &err);
	if (r < 0 && (err.num != r || strncmp(err.code, "config.", 7) || !strstr(err.msg, path)))
		abort();
	check(&config);
	return 0;
}
