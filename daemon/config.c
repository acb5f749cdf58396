/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <errno.h>
#include <ini.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cause.h"
#include "ctl_proto.h"
#include "err.h"
#include "gangway_limits.h"
#include "metrics_http.h"

#define UNIX_PATH_MAX sizeof(((struct sockaddr_un *)0)->sun_path)

struct key {
	const char *name;
	int (*set)(struct config *c, size_t offset, size_t size, const char *value);
	size_t offset, size;
	const char *wants;
	const char *section;
};

static int set_path(struct config *c, size_t offset, size_t size, const char *value)
{
	if (value[0] != '/' || strlen(value) >= size)
		return -EINVAL;
	strcpy((char *)c + offset, value);
	return 0;
}

static int set_balance(struct config *c, size_t offset, size_t size, const char *value)
{
	if (strcmp(value, "no") != 0)
		return set_path(c, offset, size, value);
	*((char *)c + offset) = '\0';
	return 0;
}

/* A path that a Unix socket cannot have is refused here, not at its use. */
static int set_listen(struct config *c, size_t offset, size_t size, const char *value)
{
	struct sockaddr_storage addr;
	socklen_t len;

	if (value[0] == '/' || !strcmp(value, "no"))
		return strlen(value) < UNIX_PATH_MAX ? set_balance(c, offset, size, value) : -EINVAL;
	if (strlen(value) >= size || metrics_address_parse(value, &addr, &len) < 0)
		return -EINVAL;
	strcpy((char *)c + offset, value);
	return 0;
}

static int set_name(struct config *c, size_t offset, size_t size, const char *value)
{
	if (!value[0] || strlen(value) >= size || strpbrk(value, "/: \t"))
		return -EINVAL;
	strcpy((char *)c + offset, value);
	return 0;
}

static int set_number(struct config *c, size_t offset, const char *value, unsigned long min, unsigned long max)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(value, &end, 10);
	if (errno || *end || value[0] < '0' || value[0] > '9' || v < min || v > max)
		return -EINVAL;
	*(unsigned *)((char *)c + offset) = (unsigned)v;
	return 0;
}

static int set_ms(struct config *c, size_t offset, size_t size, const char *value)
{
	(void)size;
	return set_number(c, offset, value, 100, 600000);
}

static int set_pause(struct config *c, size_t offset, size_t size, const char *value)
{
	(void)size;
	return set_number(c, offset, value, 0, 600000);
}

static int set_rate(struct config *c, size_t offset, size_t size, const char *value)
{
	(void)size;
	return set_number(c, offset, value, 1, CAUSE_RATE_MAX);
}

static int set_rate_window(struct config *c, size_t offset, size_t size, const char *value)
{
	(void)size;
	return set_number(c, offset, value, 1, 3600);
}

/* The whole range is above what a distribution gives to anybody, 16-bit numbers and nobody included, and ends below (uid_t)-1. */
static int set_uid_first(struct config *c, size_t offset, size_t size, const char *value)
{
	(void)size;
	return set_number(c, offset, value, DEVICE_UID_MIN, DEVICE_UID_MAX - (LIMIT_LEASES - 1));
}

static int set_faults(struct config *c, size_t offset, size_t size, const char *value)
{
	(void)size;
	return set_number(c, offset, value, 0, 1000000);
}

/* 0: not at all. Below 100 a look at a guest costs more than it brings. */
static int set_follow(struct config *c, size_t offset, size_t size, const char *value)
{
	(void)size;
	return strcmp(value, "0") != 0 ? set_number(c, offset, value, 100, 60000) : set_number(c, offset, value, 0, 0);
}

static int set_storm(struct config *c, size_t offset, size_t size, const char *value)
{
	(void)size;
	return set_number(c, offset, value, 0, 100000000);
}

/* Not below the 5 s after which the kernel tells how many faults it has left out: their time is not known any better. */
static int set_fault_window(struct config *c, size_t offset, size_t size, const char *value)
{
	(void)size;
	return set_number(c, offset, value, 5, 3600);
}

/* The kernel takes windows of half a second to ten. */
static int set_window(struct config *c, size_t offset, size_t size, const char *value)
{
	(void)size;
	return set_number(c, offset, value, 500, 10000);
}

static int set_stall(struct config *c, size_t offset, size_t size, const char *value)
{
	(void)size;
	return set_number(c, offset, value, 1, 9999);
}

static int set_margin(struct config *c, size_t offset, size_t size, const char *value)
{
	(void)size;
	return set_number(c, offset, value, 0, 1048576);
}

static int set_read_only(struct config *c, size_t offset, size_t size, const char *value)
{
	(void)offset;
	(void)size;
	if (strcmp(value, "all") && strcmp(value, "group"))
		return -EINVAL;
	c->read_only_all = !strcmp(value, "all");
	return 0;
}

static int set_share_memory(struct config *c, size_t offset, size_t size, const char *value)
{
	(void)offset;
	(void)size;
	if (strcmp(value, "yes") && strcmp(value, "no"))
		return -EINVAL;
	c->share_memory = !strcmp(value, "yes");
	return 0;
}

static int set_route(struct config *c, size_t offset, size_t size, const char *value)
{
	(void)offset;
	(void)size;
	if (strcmp(value, "yes") && strcmp(value, "no"))
		return -EINVAL;
	c->irq_route = !strcmp(value, "yes");
	return 0;
}

static int set_standby(struct config *c, size_t offset, size_t size, const char *value)
{
	(void)offset;
	(void)size;
	c->standby_auto = !strcmp(value, STANDBY_AUTO);
	if (!c->standby_auto && emul_words_parse(value, &c->standby, NULL) < 0)
		return -EINVAL;
	return 0;
}

static int set_log_level(struct config *c, size_t offset, size_t size, const char *value)
{
	static const char *const names[] = { "error", "warning", "info", "debug" };

	(void)offset;
	(void)size;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(value, names[i])) {
			c->log_level = (enum log_level)i;
			return 0;
		}
	return -EINVAL;
}

#define KEY(field, fn, text)                                                                                                     \
	{                                                                                                                        \
#field, fn, offsetof(struct config, field), sizeof(((struct config *)0)->field), text, "daemon"                  \
	}

#define SWITCH_KEY(field, fn, text)                                                                                              \
	{                                                                                                                        \
#field, fn, offsetof(struct config, field), sizeof(((struct config *)0)->field), text, "switch"                  \
	}

#define IRQ_KEY(name, field, fn, text)                                                                                           \
	{                                                                                                                        \
#name, fn, offsetof(struct config, field), sizeof(((struct config *)0)->field), text, "irq"                      \
	}

#define MEMORY_KEY(field, fn, text)                                                                                              \
	{                                                                                                                        \
#field, fn, offsetof(struct config, field), sizeof(((struct config *)0)->field), text, "memory"                  \
	}

static const struct key keys[] = {
	KEY(socket, set_path, "an absolute path"),
	KEY(state, set_path, "an absolute path"),
	KEY(runtime_dir, set_path, "an absolute path"),
	KEY(group, set_name, "the name of a group"),
	{ "read_only", set_read_only, 0, 0, "\"all\" or \"group\"", "daemon" },
	KEY(log_level, set_log_level, "error, warning, info or debug"),
	KEY(device_program, set_path, "an absolute path"),
	KEY(device_uid_first, set_uid_first, "a user number, 65536 to 4294966271"),
	KEY(unplug_timeout_ms, set_ms, "milliseconds, 100 to 600000"),
	KEY(guest_timeout_ms, set_ms, "milliseconds, 100 to 600000"),
	{ "share_memory", set_share_memory, 0, 0, "\"yes\" or \"no\"", "daemon" },
	KEY(fault_limit, set_faults, "a number of faults, 0 to 1000000"),
	KEY(fault_window, set_fault_window, "seconds, 5 to 3600"),
	{ "standby", set_standby, 0, 0, "auto, own, macvtap, bridge:BR or none", "attach" },
	SWITCH_KEY(return_delay_ms, set_pause, "milliseconds, 0 to 600000"),
	SWITCH_KEY(rate_limit, set_rate, "a number, 1 to 32"),
	SWITCH_KEY(rate_window, set_rate_window, "seconds, 1 to 3600"),
	SWITCH_KEY(unplug_deadline_ms, set_ms, "milliseconds, 100 to 600000"),
	SWITCH_KEY(settle_ms, set_pause, "milliseconds, 0 to 600000"),
	IRQ_KEY(follow_ms, irq_follow_ms, set_follow, "milliseconds, 100 to 60000, or 0"),
	IRQ_KEY(table_ms, irq_table_ms, set_ms, "milliseconds, 100 to 600000"),
	IRQ_KEY(storm_rate, irq_storm_rate, set_storm, "a number of interrupts, 0 to 100000000"),
	IRQ_KEY(irqbalance, irqbalance, set_balance, "an absolute path, or \"no\""),
	{ "route", set_route, 0, 0, "\"yes\" or \"no\"", "irq" },
	MEMORY_KEY(margin_mib, set_margin, "MiB, 0 to 1048576"),
	MEMORY_KEY(low_mib, set_margin, "MiB, 0 to 1048576"),
	MEMORY_KEY(high_mib, set_margin, "MiB, 0 to 1048576"),
	MEMORY_KEY(swapin_limit, set_faults, "pages a second, 0 to 1000000"),
	MEMORY_KEY(stall_ms, set_stall, "milliseconds, 1 to 9999"),
	MEMORY_KEY(window_ms, set_window, "milliseconds, 500 to 10000"),
	MEMORY_KEY(calm_ms, set_ms, "milliseconds, 100 to 600000"),
	MEMORY_KEY(poll_ms, set_ms, "milliseconds, 100 to 600000"),
	{ "listen", set_listen, offsetof(struct config, metrics_listen), sizeof(((struct config *)0)->metrics_listen),
	  "an absolute path, an address and a port (127.0.0.1:9177), a port, or \"no\"", "metrics" },
};

void config_defaults(struct config *c)
{
	*c = (struct config){
		.socket = CTL_SOCKET,
		.state = "/var/lib/gangway/state.db",
		.runtime_dir = "/run/gangway",
		.group = "gangway",
		.log_level = LOG_LVL_INFO,
		.device_program = GANGWAY_LIBEXECDIR "/gangway-device",
		.device_uid_first = 1879100000,
		.unplug_timeout_ms = 20000,
		.guest_timeout_ms = 10000,
		.fault_limit = 1000,
		.fault_window = 10,
		.standby_auto = true,
		.return_delay_ms = 3000,
		.rate_limit = 6,
		.rate_window = 60,
		.unplug_deadline_ms = 30000,
		.settle_ms = 2500,
		.irq_follow_ms = 1000,
		.irq_table_ms = 5000,
		.irq_storm_rate = 200000,
		.irqbalance = "/run/irqbalance",
		.irq_route = true,
		.margin_mib = 64,
		.low_mib = CONFIG_BY_HOST,
		.high_mib = CONFIG_BY_HOST,
		.swapin_limit = 5000,
		.stall_ms = 150,
		.window_ms = 1000,
		.calm_ms = 10000,
		.poll_ms = 2000,
	};
}

int config_set(struct config *c, const char *section, const char *key, const char *value, struct err *err)
{
	int r;

	if (strcmp(section, "daemon") && strcmp(section, "attach") && strcmp(section, "switch") && strcmp(section, "irq") &&
	    strcmp(section, "memory") && strcmp(section, "metrics"))
		return err_set(err, -EINVAL, "config.unknown-key",
			       "section [%s]: there are only [daemon], [attach], [switch], [irq], [memory] and [metrics]",
			       section);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(keys[i].name, key))
			continue;
		if (strcmp(keys[i].section, section))
			return err_set(err, -EINVAL, "config.unknown-key", "\"%s\" is a key of section [%s]", key,
				       keys[i].section);
		r = keys[i].set(c, keys[i].offset, keys[i].size, value);
		return r < 0 ? err_set(err, r, "config.bad-value", "%s = %s: it takes %s", key, value, keys[i].wants) : 0;
	}
	return err_set(err, -EINVAL, "config.unknown-key", "there is no key \"%s\"", key);
}

struct reading {
	struct config *config;
	FILE *f;
	struct err why;
	int line, failed_line; /* 0: none failed */
};

/* inih would take a line longer than its buffer for two. */
static char *next_line(char *buf, int size, void *stream)
{
	struct reading *rd = stream;

	if (rd->failed_line || !fgets(buf, size, rd->f))
		return NULL;
	rd->line++;
	if (strchr(buf, '\n') || feof(rd->f))
		return buf;
	err_set(&rd->why, -EINVAL, "config.bad-line", "a line is at most %d bytes", size - 2);
	rd->failed_line = rd->line;
	return NULL;
}

static int on_line(void *user, const char *section, const char *key, const char *value)
{
	struct reading *rd = user;

	if (config_set(rd->config, section, key, value, &rd->why) == 0)
		return 1;
	rd->failed_line = rd->line;
	return 0;
}

/* A 128th of the RAM, and no less than a QEMU and a burst of frames want; of a host that has little, an eighth. */
void config_memory_levels(const struct config *c, uint64_t total, uint64_t *ret_low, uint64_t *ret_high)
{
	uint64_t mib = total >> 20, low = mib / 128 > 256 ? mib / 128 : 256, high;

	if (mib && low > mib / 8)
		low = mib / 8;
	high = 2 * low;
	if (c->low_mib != CONFIG_BY_HOST)
		low = c->low_mib;
	else if (c->high_mib != CONFIG_BY_HOST && low > c->high_mib / 2)
		low = c->high_mib / 2;
	if (c->high_mib != CONFIG_BY_HOST)
		high = c->high_mib;
	else if (high < 2 * low)
		high = 2 * low;
	*ret_low = low << 20;
	*ret_high = high << 20;
}

int config_check(const struct config *c, struct err *err)
{
	int r = 0;

	if (c->high_mib == 0)
		r = err_set(err, -EINVAL, "config.contradiction", "high_mib = 0: memory would be plenty when there is none");
	else if (c->low_mib != CONFIG_BY_HOST && c->high_mib != CONFIG_BY_HOST && c->low_mib >= c->high_mib)
		r = err_set(err, -EINVAL, "config.contradiction",
			    "low_mib = %u, high_mib = %u: memory would be short and not short at once: high_mib has to be larger",
			    c->low_mib, c->high_mib);
	else if (c->stall_ms >= c->window_ms)
		r = err_set(err, -EINVAL, "config.contradiction",
			    "stall_ms = %u, window_ms = %u: nobody stalls for longer than the window", c->stall_ms, c->window_ms);
	else if (c->calm_ms < c->poll_ms)
		r = err_set(err, -EINVAL, "config.contradiction",
			    "calm_ms = %u, poll_ms = %u: pressure would end before it is looked for again", c->calm_ms,
			    c->poll_ms);
	if (r < 0)
		err_hint(err, "section [memory] of gangway.conf; man gangway.conf says what each is for");
	return r;
}

int config_read(struct config *config, const char *path, bool must_exist, struct err *err)
{
	struct reading rd = { .config = config };
	struct stat st;
	FILE *f;
	int line; /* the first that inih did not like, or that failed */

	f = fopen(path, "re");
	if (!f && errno == ENOENT && !must_exist)
		return 0;
	if (!f)
		return err_set(err, -errno, "config.unreadable", "%s: %s", path, strerror(errno));
	if (fstat(fileno(f), &st) < 0 || !S_ISREG(st.st_mode) || (st.st_uid != 0 && st.st_uid != geteuid()) ||
	    (st.st_mode & 022)) {
		fclose(f);
		err_set(err, -EPERM, "config.unsafe", "%s: not a regular file of root that only root can write", path);
		err_hint(err, "chown root %s && chmod 644 %s", path, path);
		return -EPERM;
	}
	rd.f = f;
	line = ini_parse_stream(next_line, &rd, on_line, &rd);
	fclose(f);
	if (line == 0 && !rd.failed_line && config_check(config, err) < 0) {
		err_prefix(err, "%s", path);
		return -EINVAL;
	}
	if (line == 0 && !rd.failed_line)
		return 0;
	if (rd.failed_line && (line == 0 || line == rd.failed_line)) {
		if (err)
			*err = rd.why;
		err_prefix(err, "%s:%d", path, rd.failed_line);
		err_hint(err, "man gangway.conf lists the keys");
		return -EINVAL;
	}
	err_set(err, -EINVAL, "config.bad-line", "%s:%d: neither \"key = value\" nor \"[section]\"", path, line);
	return -EINVAL;
}
