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
	const char *section, *name;
	size_t offset, size;
	int (*set)(struct config *c, const struct key *k, const char *value);
	const char *wants; /* of a number: its unit */
	unsigned long min, max; /* of a number */
	bool or_zero; /* 0 is one too, though below @min */
};

static int set_path(struct config *c, const struct key *k, const char *value)
{
	if (value[0] != '/' || strlen(value) >= k->size)
		return -EINVAL;
	strcpy((char *)c + k->offset, value);
	return 0;
}

static int set_balance(struct config *c, const struct key *k, const char *value)
{
	if (strcmp(value, "no") != 0)
		return set_path(c, k, value);
	*((char *)c + k->offset) = '\0';
	return 0;
}

/* A path that a Unix socket cannot have is refused here, not at its use. */
static int set_listen(struct config *c, const struct key *k, const char *value)
{
	struct sockaddr_storage addr;
	socklen_t len;

	if (value[0] == '/' || !strcmp(value, "no"))
		return strlen(value) < UNIX_PATH_MAX ? set_balance(c, k, value) : -EINVAL;
	if (strlen(value) >= k->size || metrics_address_parse(value, &addr, &len) < 0)
		return -EINVAL;
	strcpy((char *)c + k->offset, value);
	return 0;
}

static int set_name(struct config *c, const struct key *k, const char *value)
{
	if (!value[0] || strlen(value) >= k->size || strpbrk(value, "/: \t"))
		return -EINVAL;
	strcpy((char *)c + k->offset, value);
	return 0;
}

static int set_number(struct config *c, const struct key *k, const char *value)
{
	bool zero = k->or_zero && !strcmp(value, "0");
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(value, &end, 10);
	if (errno || *end || value[0] < '0' || value[0] > '9' || ((v < k->min || v > k->max) && !zero))
		return -EINVAL;
	*(unsigned *)((char *)c + k->offset) = (unsigned)v;
	return 0;
}

static int set_yes(struct config *c, const struct key *k, const char *value)
{
	if (strcmp(value, "yes") && strcmp(value, "no"))
		return -EINVAL;
	*(bool *)((char *)c + k->offset) = !strcmp(value, "yes");
	return 0;
}

static int set_read_only(struct config *c, const struct key *k, const char *value)
{
	(void)k;
	if (strcmp(value, "all") && strcmp(value, "group"))
		return -EINVAL;
	c->read_only_all = !strcmp(value, "all");
	return 0;
}

static int set_standby(struct config *c, const struct key *k, const char *value)
{
	(void)k;
	c->standby_auto = !strcmp(value, STANDBY_AUTO);
	if (!c->standby_auto && emul_words_parse(value, &c->standby, NULL) < 0)
		return -EINVAL;
	return 0;
}

static int set_log_level(struct config *c, const struct key *k, const char *value)
{
	static const char *const names[] = { "error", "warning", "info", "debug" };

	(void)k;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(value, names[i])) {
			c->log_level = (enum log_level)i;
			return 0;
		}
	return -EINVAL;
}

#define AT(field) .offset = offsetof(struct config, field), .size = sizeof(((struct config *)0)->field)
#define PATH .set = set_path, .wants = "an absolute path"
#define YES_NO .set = set_yes, .wants = "\"yes\" or \"no\""
#define NUMBER(unit, from, to) .set = set_number, .wants = unit, .min = from, .max = to

static const struct key keys[] = {
	{ "daemon", "socket", AT(socket), PATH },
	{ "daemon", "state", AT(state), PATH },
	{ "daemon", "runtime_dir", AT(runtime_dir), PATH },
	{ "daemon", "group", AT(group), .set = set_name, .wants = "the name of a group" },
	{ "daemon", "read_only", .set = set_read_only, .wants = "\"all\" or \"group\"" },
	{ "daemon", "log_level", .set = set_log_level, .wants = "error, warning, info or debug" },
	{ "daemon", "device_program", AT(device_program), PATH },
	/* the whole range is above what a distribution gives to anybody, 16-bit numbers and nobody included, and ends below (uid_t)-1 */
	{ "daemon", "device_uid_first", AT(device_uid_first),
	  NUMBER("a user number", DEVICE_UID_MIN, DEVICE_UID_MAX - (LIMIT_LEASES - 1)) },
	{ "daemon", "unplug_timeout_ms", AT(unplug_timeout_ms), NUMBER("milliseconds", 100, 600000) },
	{ "daemon", "guest_timeout_ms", AT(guest_timeout_ms), NUMBER("milliseconds", 100, 600000) },
	{ "daemon", "share_memory", AT(share_memory), YES_NO },
	{ "daemon", "fault_limit", AT(fault_limit), NUMBER("a number of faults", 0, 1000000) },
	/* not below the 5 s after which the kernel tells how many faults it has left out: their time is not known any better */
	{ "daemon", "fault_window", AT(fault_window), NUMBER("seconds", 5, 3600) },
	{ "attach", "standby", .set = set_standby, .wants = "auto, own, macvtap, bridge:BR or none" },
	{ "switch", "return_delay_ms", AT(return_delay_ms), NUMBER("milliseconds", 0, 600000) },
	{ "switch", "rate_limit", AT(rate_limit), NUMBER("a number", 1, CAUSE_RATE_MAX) },
	{ "switch", "rate_window", AT(rate_window), NUMBER("seconds", 1, 3600) },
	{ "switch", "unplug_deadline_ms", AT(unplug_deadline_ms), NUMBER("milliseconds", 100, 600000) },
	{ "switch", "settle_ms", AT(settle_ms), NUMBER("milliseconds", 0, 600000) },
	/* 0: not at all; below 100 a look at a guest costs more than it brings */
	{ "irq", "follow_ms", AT(irq_follow_ms), NUMBER("milliseconds", 100, 60000), .or_zero = true },
	{ "irq", "table_ms", AT(irq_table_ms), NUMBER("milliseconds", 100, 600000) },
	{ "irq", "storm_rate", AT(irq_storm_rate), NUMBER("a number of interrupts", 0, 100000000) },
	{ "irq", "irqbalance", AT(irqbalance), .set = set_balance, .wants = "an absolute path, or \"no\"" },
	{ "irq", "route", AT(irq_route), YES_NO },
	{ "memory", "margin_mib", AT(margin_mib), NUMBER("MiB", 0, 1048576) },
	{ "memory", "low_mib", AT(low_mib), NUMBER("MiB", 0, 1048576) },
	{ "memory", "high_mib", AT(high_mib), NUMBER("MiB", 0, 1048576) },
	{ "memory", "swapin_limit", AT(swapin_limit), NUMBER("pages a second", 0, 1000000) },
	{ "memory", "stall_ms", AT(stall_ms), NUMBER("milliseconds", 1, 9999) },
	/* the kernel takes windows of half a second to ten */
	{ "memory", "window_ms", AT(window_ms), NUMBER("milliseconds", 500, 10000) },
	{ "memory", "calm_ms", AT(calm_ms), NUMBER("milliseconds", 100, 600000) },
	{ "memory", "poll_ms", AT(poll_ms), NUMBER("milliseconds", 100, 600000) },
	{ "metrics", "listen", AT(metrics_listen), .set = set_listen,
	  .wants = "an absolute path, an address and a port (127.0.0.1:9177), a port, or \"no\"" },
};

static int bad_value(const struct key *k, const char *value, struct err *err)
{
	if (k->set != set_number)
		return err_set(err, -EINVAL, "config.bad-value", "%s = %s: it takes %s", k->name, value, k->wants);
	return err_set(err, -EINVAL, "config.bad-value", "%s = %s: it takes %s, %lu to %lu%s", k->name, value, k->wants, k->min,
		       k->max, k->or_zero ? ", or 0" : "");
}

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
		return keys[i].set(c, &keys[i], value) < 0 ? bad_value(&keys[i], value, err) : 0;
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
