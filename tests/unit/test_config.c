/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gangway.conf: every key at its limits and beyond, files that are not safe to believe, and errors that name their line. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "err.h"

static char path[64];
static struct config config;
static struct err err;

static void setup(void)
{
	config_defaults(&config);
	err_clear(&err);
	snprintf(path, sizeof(path), "/tmp/gangway-conf-%d", (int)getpid());
}

static void teardown(void)
{
	unlink(path);
}

TestSuite(config, .init = setup, .fini = teardown);

static int set(const char *key, const char *value)
{
	return config_set(&config, "daemon", key, value, &err);
}

static int read_text(const char *text)
{
	FILE *f = fopen(path, "we");

	cr_assert(f && fputs(text, f) >= 0 && fchmod(fileno(f), 0644) == 0 && fclose(f) == 0);
	return config_read(&config, path, true, &err);
}

Test(config, defaults)
{
	cr_assert_str_eq(config.socket, "/run/gangway/gangwayd.sock");
	cr_assert_str_eq(config.state, "/var/lib/gangway/state.db");
	cr_assert_str_eq(config.group, "gangway");
	cr_assert_not(config.read_only_all);
	cr_assert_eq(config.log_level, LOG_LVL_INFO);
	cr_assert_eq(config.unplug_timeout_ms, 20000);
	cr_assert_eq(config.guest_timeout_ms, 10000);
	cr_assert_eq(config.device_uid_first, 1879100000);
	cr_assert_eq(config.fault_limit, 1000);
	cr_assert_eq(config.fault_window, 10);
	cr_assert_eq(config.return_delay_ms, 3000);
	cr_assert_eq(config.rate_limit, 6);
	cr_assert_eq(config.rate_window, 60);
	cr_assert_eq(config.unplug_deadline_ms, 30000);
	cr_assert_eq(config.settle_ms, 2500);
	cr_assert(config.standby_auto);
	cr_assert_str_eq(config.metrics_listen, "");
}

Test(config, attach_keys)
{
	static const char *const bad[] = { "", "Auto", "bridge:", "bridge", "bridge:a/b", "vhost-user", "macvtap ", "yes" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_assert_eq(config_set(&config, "attach", "standby", bad[i], &err), -EINVAL, "%s", bad[i]);
		cr_assert_str_eq(err.code, "config.bad-value");
	}
	cr_assert_eq(config_set(&config, "attach", "standby", "bridge:br0", &err), 0);
	cr_assert_not(config.standby_auto);
	cr_assert_eq(config.standby.kind, EMUL_BRIDGE);
	cr_assert_str_eq(config.standby.bridge, "br0");
	cr_assert_eq(config_set(&config, "attach", "standby", "auto", &err), 0);
	cr_assert(config.standby_auto);
	cr_assert_eq(config_set(&config, "attach", "standby", "none", &err), 0);
	cr_assert_not(config.standby_auto);
	cr_assert_eq(config.standby.kind, EMUL_NONE);
	cr_assert_eq(config_set(&config, "switch", "standby", "none", &err), -EINVAL);
	cr_assert_str_eq(err.code, "config.unknown-key");
	cr_assert_eq(config_set(&config, "attach", "settle_ms", "1", &err), -EINVAL);
	cr_assert_eq(read_text("[attach]\nstandby = macvtap\n"), 0, "%s", err.msg);
	cr_assert_eq(config.standby.kind, EMUL_MACVTAP);
}

/* Where metrics are served: nothing that would be asked of a resolver, no path that a socket cannot have. */
Test(config, metrics_keys)
{
	static const char *const good[] = { "127.0.0.1:9177", "[::1]:9177", "0.0.0.0:1",
					    "[::]:65535",     "9177",	    "/run/gangway/metrics.sock" };
	static const char *const bad[] = { "",
					   "yes",
					   "0",
					   "65536",
					   "99999999999",
					   ":9177",
					   "9177 ",
					   "127.0.0.1:",
					   "127.0.0.1",
					   "127.0.0.1:0",
					   "127.1:9177",
					   "localhost:9177",
					   "+9177",
					   "127.0.0.1:9 177",
					   "::1:9177",
					   "[::1]",
					   "[::1]9177",
					   "[::1]:",
					   "[",
					   "[]:9177",
					   "[::1:9177",
					   "[::1%lo]:9177",
					   "metrics.sock" };
	char longest[110];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		cr_assert_eq(config_set(&config, "metrics", "listen", good[i], &err), 0, "%s", good[i]);
		cr_assert_str_eq(config.metrics_listen, good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_assert_eq(config_set(&config, "metrics", "listen", bad[i], &err), -EINVAL, "%s", bad[i]);
		cr_assert_str_eq(err.code, "config.bad-value");
	}
	memset(longest, 'a', sizeof(longest));
	longest[0] = '/';
	longest[107] = '\0';
	cr_assert_eq(config_set(&config, "metrics", "listen", longest, &err), 0);
	longest[107] = 'a';
	longest[108] = '\0';
	cr_assert_eq(config_set(&config, "metrics", "listen", longest, &err), -EINVAL);
	cr_assert_eq(config_set(&config, "metrics", "listen", "no", &err), 0);
	cr_assert_str_eq(config.metrics_listen, "");
	cr_assert_eq(config_set(&config, "daemon", "listen", "no", &err), -EINVAL);
	cr_assert_str_eq(err.code, "config.unknown-key");
}

/* Each by itself is fine. */
Test(config, memory_keys)
{
	static const struct {
		const char *key, *first, *last, *below, *above;
	} rows[] = {
		{ "margin_mib", "0", "1048576", "-1", "1048577" }, { "low_mib", "0", "1048576", "-1", "1048577" },
		{ "high_mib", "0", "1048576", "-1", "1048577" },   { "swapin_limit", "0", "1000000", "-1", "1000001" },
		{ "stall_ms", "1", "9999", "0", "10000" },	   { "window_ms", "500", "10000", "499", "10001" },
		{ "calm_ms", "100", "600000", "99", "600001" },	   { "poll_ms", "100", "600000", "99", "600001" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_assert_eq(config_set(&config, "memory", rows[i].key, rows[i].first, &err), 0, "%s", rows[i].key);
		cr_assert_eq(config_set(&config, "memory", rows[i].key, rows[i].last, &err), 0, "%s", rows[i].key);
		cr_assert_eq(config_set(&config, "memory", rows[i].key, rows[i].below, &err), -EINVAL, "%s", rows[i].key);
		cr_assert_eq(config_set(&config, "memory", rows[i].key, rows[i].above, &err), -EINVAL, "%s", rows[i].key);
		cr_assert_str_eq(err.code, "config.bad-value");
	}
}

/* What is not said follows from the host, and from what is: it contradicts nothing. */
Test(config, memory_levels)
{
	static const struct {
		unsigned low, high;
		uint64_t total_mib, want_low, want_high;
	} rows[] = {
		{ CONFIG_BY_HOST, CONFIG_BY_HOST, 0, 256, 512 },
		{ CONFIG_BY_HOST, CONFIG_BY_HOST, 4096, 256, 512 },
		{ CONFIG_BY_HOST, CONFIG_BY_HOST, 65536, 512, 1024 },
		{ CONFIG_BY_HOST, CONFIG_BY_HOST, 1048576, 8192, 16384 },
		{ CONFIG_BY_HOST, CONFIG_BY_HOST, 1024, 128, 256 },
		{ 3000, CONFIG_BY_HOST, 4096, 3000, 6000 },
		{ 0, CONFIG_BY_HOST, 4096, 0, 512 },
		{ CONFIG_BY_HOST, 100, 65536, 50, 100 },
		{ CONFIG_BY_HOST, 1, 65536, 0, 1 },
		{ 7, 9, 65536, 7, 9 },
		{ 1048576, CONFIG_BY_HOST, 65536, 1048576, 2097152 },
	};
	uint64_t low, high;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		config_defaults(&config);
		config.low_mib = rows[i].low;
		config.high_mib = rows[i].high;
		cr_assert_eq(config_check(&config, &err), 0);
		config_memory_levels(&config, rows[i].total_mib << 20, &low, &high);
		cr_assert(low == rows[i].want_low << 20 && high == rows[i].want_high << 20, "%zu: %llu %llu", i,
			  (unsigned long long)low >> 20, (unsigned long long)high >> 20);
	}
}

/* What contradicts something else, wherever the two stand. */
Test(config, memory_contradictions)
{
	static const char *const bad[] = { "low_mib = 512\nhigh_mib = 511\n",
					   "high_mib = 0\n",
					   "low_mib = 0\nhigh_mib = 0\n",
					   "low_mib = 5\nhigh_mib = 5\n",
					   "stall_ms = 1000\n",
					   "window_ms = 500\nstall_ms = 500\n",
					   "calm_ms = 1999\n" };
	static const char *const good[] = { "low_mib = 1048576\n",	   "high_mib = 1\n",   "low_mib = 0\n",
					    "low_mib = 5\nhigh_mib = 6\n", "stall_ms = 999\n", "calm_ms = 2000\n" };
	char text[128];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		config_defaults(&config);
		snprintf(text, sizeof(text), "[memory]\n%s", good[i]);
		cr_assert_eq(read_text(text), 0, "%s: %s", good[i], err.msg);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		config_defaults(&config);
		snprintf(text, sizeof(text), "[memory]\n%s", bad[i]);
		cr_assert_eq(read_text(text), -EINVAL, "%s", bad[i]);
		cr_assert_str_eq(err.code, "config.contradiction");
	}
}

/* Each at its ends, past them, and with what is no number. */
Test(config, switch_keys)
{
	static const struct {
		const char *key, *first, *last, *below, *above;
	} rows[] = {
		{ "return_delay_ms", "0", "600000", "-1", "600001" }, { "rate_limit", "1", "32", "0", "33" },
		{ "rate_window", "1", "3600", "0", "3601" },	      { "unplug_deadline_ms", "100", "600000", "99", "600001" },
		{ "settle_ms", "0", "600000", "-1", "600001" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *const bad[] = { rows[i].below, rows[i].above, "", "3x", " 3", "99999999999999999999" };

		cr_assert_eq(config_set(&config, "switch", rows[i].key, rows[i].first, &err), 0, "%s", rows[i].key);
		cr_assert_eq(config_set(&config, "switch", rows[i].key, rows[i].last, &err), 0, "%s", rows[i].key);
		for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
			cr_assert_eq(config_set(&config, "switch", rows[i].key, bad[k], &err), -EINVAL, "%s = %s", rows[i].key,
				     bad[k]);
			cr_assert_str_eq(err.code, "config.bad-value");
		}
		cr_assert_eq(config_set(&config, "daemon", rows[i].key, rows[i].last, &err), -EINVAL);
		cr_assert_str_eq(err.code, "config.unknown-key");
		cr_assert(strstr(err.msg, "[switch]"), "%s", err.msg);
	}
	cr_assert_eq(config.settle_ms, 600000);
	cr_assert_eq(config_set(&config, "switch", "socket", "/a", &err), -EINVAL);
	cr_assert_eq(read_text("[daemon]\nsocket = /a\n[switch]\nsettle_ms = 7\n"), 0, "%s", err.msg);
	cr_assert_eq(config.settle_ms, 7);
}

static const struct {
	const char *key, *value;
	bool ok;
} values[] = {
	{ "socket", "/a", true },
	{ "socket", "a", false },
	{ "socket", "", false },
	{ "state", "/var/x.db", true },
	{ "state", "./x.db", false },
	{ "runtime_dir", "/r", true },
	{ "runtime_dir", "r", false },
	{ "device_program", "/usr/libexec/x", true },
	{ "device_program", "x", false },
	{ "group", "kvm", true },
	{ "group", "", false },
	{ "group", "a b", false },
	{ "group", "a:b", false },
	{ "group", "a/b", false },
	{ "group", "a\tb", false },
	{ "device_uid_first", "65536", true },
	{ "device_uid_first", "65535", false }, /* (uid_t)-1 of 16 bits; nobody is below */
	{ "device_uid_first", "4294966271", true }, /* the last of the range is 4294967294 */
	{ "device_uid_first", "4294966272", false },
	{ "device_uid_first", "0", false },
	{ "device_uid_first", "4295032832", false }, /* 65536 in its low half */
	{ "device_uid_first", "-1879100000", false },
	{ "device_uid_first", " 1879100000", false },
	{ "device_uid_first", "nobody", false },
	{ "device_uid_first", "", false },
	{ "read_only", "all", true },
	{ "read_only", "group", true },
	{ "read_only", "All", false },
	{ "read_only", "", false },
	{ "log_level", "error", true },
	{ "log_level", "warning", true },
	{ "log_level", "info", true },
	{ "log_level", "debug", true },
	{ "log_level", "trace", false },
	{ "log_level", "", false },
	{ "unplug_timeout_ms", "100", true },
	{ "unplug_timeout_ms", "600000", true },
	{ "unplug_timeout_ms", "99", false },
	{ "unplug_timeout_ms", "600001", false },
	{ "unplug_timeout_ms", "18446744073709551716", false },
	{ "unplug_timeout_ms", "-100", false },
	{ "unplug_timeout_ms", "+100", false },
	{ "unplug_timeout_ms", " 100", false },
	{ "unplug_timeout_ms", "100 ", false },
	{ "unplug_timeout_ms", "100ms", false },
	{ "unplug_timeout_ms", "0x100", false },
	{ "unplug_timeout_ms", "", false },
	{ "guest_timeout_ms", "100", true },
	{ "guest_timeout_ms", "600000", true },
	{ "guest_timeout_ms", "99", false },
	{ "guest_timeout_ms", "600001", false },
	{ "share_memory", "yes", true },
	{ "share_memory", "no", true },
	{ "share_memory", "maybe", false },
	{ "fault_limit", "0", true }, /* never */
	{ "fault_limit", "1000000", true },
	{ "fault_limit", "1000001", false },
	{ "fault_limit", "-1", false },
	{ "fault_limit", "", false },
	{ "fault_window", "5", true },
	{ "fault_window", "3600", true },
	{ "fault_window", "4", false },
	{ "fault_window", "3601", false },
	{ "fault_window", "10s", false },
};

Test(config, values)
{
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct config before = config;
		int r = set(values[i].key, values[i].value);

		cr_assert_eq(r, values[i].ok ? 0 : -EINVAL, "%s = \"%s\": %d", values[i].key, values[i].value, r);
		if (values[i].ok)
			continue;
		cr_assert_str_eq(err.code, "config.bad-value");
		cr_assert(strstr(err.msg, values[i].key) && strstr(err.msg, "it takes"), "%s", err.msg);
		cr_assert_eq(memcmp(&before, &config, sizeof(config)), 0, "a value that is refused changes nothing");
	}
	cr_assert_eq(config.guest_timeout_ms, 600000);
	cr_assert_eq(config.log_level, LOG_LVL_DEBUG);
}

static char *long_text(char first, size_t len)
{
	char *s = malloc(len + 1);

	memset(s, 'a', len);
	s[0] = first;
	s[len] = '\0';
	return s;
}

Test(config, lengths_at_the_limit_and_above)
{
	static const struct {
		const char *key;
		char first;
		size_t size;
	} rows[] = {
		{ "state", '/', sizeof(config.state) },
		{ "runtime_dir", '/', sizeof(config.runtime_dir) },
		{ "device_program", '/', sizeof(config.device_program) },
		{ "group", 'g', sizeof(config.group) },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *fits = long_text(rows[i].first, rows[i].size - 1), *over = long_text(rows[i].first, rows[i].size);

		cr_assert_eq(set(rows[i].key, fits), 0, "%s", rows[i].key);
		cr_assert_eq(set(rows[i].key, over), -EINVAL, "%s", rows[i].key);
		free(fits);
		free(over);
	}
}

Test(config, unknown_keys_and_sections)
{
	cr_assert_eq(config_set(&config, "daemon", "sokcet", "/a", &err), -EINVAL);
	cr_assert_str_eq(err.code, "config.unknown-key");
	cr_assert_eq(config_set(&config, "nic", "socket", "/a", &err), -EINVAL);
	cr_assert_str_eq(err.code, "config.unknown-key");
	cr_assert_eq(config_set(&config, "", "socket", "/a", &err), -EINVAL);
	cr_assert_eq(config_set(&config, "daemon", "socket", "nothing", NULL), -EINVAL);
}

Test(config, a_whole_file)
{
	cr_assert_eq(read_text("# comment\n; another\n\n[daemon]\nsocket = /run/g.sock\nread_only=all\ngroup : kvm\n"
			       "log_level = debug ; said\nunplug_timeout_ms = 1500\n"),
		     0, "%s", err.msg);
	cr_assert_str_eq(config.socket, "/run/g.sock");
	cr_assert(config.read_only_all);
	cr_assert_eq(config.log_level, LOG_LVL_DEBUG);
	cr_assert_eq(config.unplug_timeout_ms, 1500);
	cr_assert_str_eq(config.runtime_dir, "/run/gangway", "what is not said keeps its default");
	cr_assert_eq(read_text(""), 0);
}

static const struct {
	const char *text, *code;
	unsigned line;
} bad_lines[] = {
	{ "[daemon]\nnonsense\n", "config.bad-line", 2 },
	{ "[daemon\nsocket = /a\n", "config.bad-line", 1 },
	{ "[daemon]\n\n# x\nsokcet = /a\n", "config.unknown-key", 4 },
	{ "[daemon]\nsocket = a\n", "config.bad-value", 2 },
	{ "[daemon]\nsocket =\n", "config.bad-value", 2 },
	{ "socket = /a\n", "config.unknown-key", 1 },
	{ "[nic]\nsocket = /a\n", "config.unknown-key", 2 },
	{ "[daemon]\nlog_level = info\nlog_level = loud\nlog_level = x\n", "config.bad-value", 3 },
};

Test(config, bad_lines_are_named)
{
	for (size_t i = 0; i < sizeof(bad_lines) / sizeof(bad_lines[0]); i++) {
		char where[96];

		cr_assert_eq(read_text(bad_lines[i].text), -EINVAL, "%s", bad_lines[i].text);
		cr_assert_str_eq(err.code, bad_lines[i].code, "%s: %s", bad_lines[i].text, err.msg);
		snprintf(where, sizeof(where), "%s:%u:", path, bad_lines[i].line);
		cr_assert_eq(strncmp(err.msg, where, strlen(where)), 0, "%s", err.msg);
	}
}

/* inih has a buffer of 200 bytes: a longer line must not be taken for a shorter one, and then for one more. */
Test(config, a_line_that_is_too_long_is_refused)
{
	char *value = long_text('/', 300), text[400];

	snprintf(text, sizeof(text), "[daemon]\nsocket = %s\n", value);
	cr_assert_eq(read_text(text), -EINVAL, "%s", config.socket);
	cr_assert(strstr(err.msg, ":2:"), "%s", err.msg);
	free(value);
}

Test(config, the_file_may_be_missing_or_not)
{
	cr_assert_eq(config_read(&config, "/nowhere/gangway.conf", false, &err), 0);
	cr_assert_eq(config_read(&config, "/nowhere/gangway.conf", true, &err), -ENOENT);
	cr_assert_str_eq(err.code, "config.unreadable");
}

Test(config, unsafe_files)
{
	static const struct {
		mode_t mode;
		int r;
	} modes[] = { { 0600, 0 }, { 0644, 0 }, { 0755, 0 }, { 0664, -EPERM }, { 0646, -EPERM }, { 0666, -EPERM } };

	cr_assert_eq(read_text("[daemon]\nsocket = /a\n"), 0);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		cr_assert_eq(chmod(path, modes[i].mode), 0);
		config_defaults(&config);
		cr_assert_eq(config_read(&config, path, false, &err), modes[i].r, "mode %o", modes[i].mode);
		if (modes[i].r == 0)
			continue;
		cr_assert_str_eq(err.code, "config.unsafe");
		cr_assert(err.hint[0]);
		cr_assert_str_eq(config.socket, "/run/gangway/gangwayd.sock", "nothing of it is believed");
	}
	cr_assert_eq(config_read(&config, "/tmp", true, &err), -EPERM);
	cr_assert_str_eq(err.code, "config.unsafe");
	if (geteuid() != 0)
		cr_skip_test("only root can give a file away");
	cr_assert_eq(chmod(path, 0600), 0);
	cr_assert_eq(chown(path, 65534, 65534), 0);
	cr_assert_eq(config_read(&config, path, true, &err), -EPERM);
	cr_assert_str_eq(err.code, "config.unsafe");
}
