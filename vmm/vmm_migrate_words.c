/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMU's words about migration: statuses, capabilities, URIs. */
#include "vmm_migration.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define URI_MAX 512

static const char *const statuses[VMM_MIG_NUM_STATUSES] = {
	[VMM_MIG_NONE] = "none",
	[VMM_MIG_SETUP] = "setup",
	[VMM_MIG_WAIT_UNPLUG] = "wait-unplug",
	[VMM_MIG_ACTIVE] = "active",
	[VMM_MIG_PRE_SWITCHOVER] = "pre-switchover",
	[VMM_MIG_DEVICE] = "device",
	[VMM_MIG_POSTCOPY_DEVICE] = "postcopy-device",
	[VMM_MIG_POSTCOPY_ACTIVE] = "postcopy-active",
	[VMM_MIG_POSTCOPY_PAUSED] = "postcopy-paused",
	[VMM_MIG_POSTCOPY_RECOVER_SETUP] = "postcopy-recover-setup",
	[VMM_MIG_POSTCOPY_RECOVER] = "postcopy-recover",
	[VMM_MIG_COLO] = "colo",
	[VMM_MIG_FAILING] = "failing",
	[VMM_MIG_CANCELLING] = "cancelling",
	[VMM_MIG_COMPLETED] = "completed",
	[VMM_MIG_FAILED] = "failed",
	[VMM_MIG_CANCELLED] = "cancelled",
	[VMM_MIG_UNKNOWN] = "unknown",
};

enum vmm_mig_status vmm_mig_status_parse(const char *word)
{
	for (unsigned i = 0; i < VMM_MIG_NUM_STATUSES; i++)
		if (!strcmp(statuses[i], word))
			return i;
	return VMM_MIG_UNKNOWN;
}

bool vmm_mig_is_under_way(enum vmm_mig_status status)
{
	switch (status) {
	case VMM_MIG_NONE:
	case VMM_MIG_COMPLETED:
	case VMM_MIG_FAILED:
	case VMM_MIG_CANCELLED:
	case VMM_MIG_NUM_STATUSES:
		return false;
	case VMM_MIG_SETUP:
	case VMM_MIG_WAIT_UNPLUG:
	case VMM_MIG_ACTIVE:
	case VMM_MIG_PRE_SWITCHOVER:
	case VMM_MIG_DEVICE:
	case VMM_MIG_POSTCOPY_DEVICE:
	case VMM_MIG_POSTCOPY_ACTIVE:
	case VMM_MIG_POSTCOPY_PAUSED:
	case VMM_MIG_POSTCOPY_RECOVER_SETUP:
	case VMM_MIG_POSTCOPY_RECOVER:
	case VMM_MIG_COLO:
	case VMM_MIG_FAILING:
	case VMM_MIG_CANCELLING:
	case VMM_MIG_UNKNOWN:
		break;
	}
	return true;
}

const char *vmm_mig_role_to_string(enum vmm_mig_role role)
{
	switch (role) {
	case VMM_MIG_NO_ROLE:
		return "none";
	case VMM_MIG_SOURCE:
		return "source";
	case VMM_MIG_DESTINATION:
		return "destination";
	}
	return "?";
}

/* Capabilities --------------------------------------------------------------------------------------------------------- */

static const struct {
	enum vmm_capability bit;
	const char *word;
} capabilities[] = {
	{ VMM_CAP_EVENTS, "events" },
	{ VMM_CAP_POSTCOPY_RAM, "postcopy-ram" },
	{ VMM_CAP_BACKGROUND_SNAPSHOT, "background-snapshot" },
	{ VMM_CAP_RETURN_PATH, "return-path" },
	{ VMM_CAP_MULTIFD, "multifd" },
	{ VMM_CAP_MAPPED_RAM, "mapped-ram" },
};

#define NR_CAPABILITIES (sizeof(capabilities) / sizeof(capabilities[0]))

int vmm_capabilities_take(const json_t *ret, unsigned *ret_known, unsigned *ret_on)
{
	unsigned known = 0, on = 0;
	size_t i;
	json_t *v;

	if (!json_is_array(ret))
		return -EPROTO;
	json_array_foreach (ret, i, v) {
		const char *word = json_string_value(json_object_get(v, "capability"));
		const json_t *state = json_object_get(v, "state");

		if (!word || !json_is_boolean(state))
			return -EPROTO;
		for (size_t c = 0; c < NR_CAPABILITIES; c++)
			if (!strcmp(word, capabilities[c].word)) {
				known |= capabilities[c].bit;
				on |= json_is_true(state) ? capabilities[c].bit : 0;
			}
	}
	*ret_known = known;
	*ret_on = on;
	return 0;
}

json_t *vmm_capabilities_args(unsigned which, unsigned on)
{
	json_t *list = json_array();

	for (size_t c = 0; c < NR_CAPABILITIES; c++)
		if (which & capabilities[c].bit &&
		    json_array_append_new(list, json_pack("{s:s, s:b}", "capability", capabilities[c].word, "state",
							  (on & capabilities[c].bit) != 0)) < 0) {
			json_decref(list);
			return NULL;
		}
	return json_pack("{s:o}", "capabilities", list);
}

/* URIs ----------------------------------------------------------------------------------------------------------------- */

#define HINT_URI "gangway takes tcp:HOST:PORT, tcp:[ADDRESS]:PORT and unix:/PATH"

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"

/* How long the host at @p is, brackets included; 0: there is none. */
static size_t host_len(const char *p)
{
	size_t n, zone = 0;

	if (p[0] != '[')
		return strspn(p, NAME_CHARS);
	n = strspn(p + 1, "0123456789abcdefABCDEF:.");
	if (n && p[1 + n] == '%') {
		zone = strspn(p + 2 + n, NAME_CHARS);
		n = zone ? n + 1 + zone : 0;
	}
	return n && p[1 + n] == ']' ? n + 2 : 0;
}

/* HOST:PORT or [ADDRESS]:PORT, nothing behind it: QEMU would take options there. */
static bool is_inet(const char *p)
{
	size_t host = host_len(p), digits;
	unsigned long port;

	if (!host || p[host] != ':')
		return false;
	p += host + 1;
	digits = strspn(p, "0123456789");
	port = digits && digits <= 5 && !p[digits] ? strtoul(p, NULL, 10) : 0;
	return port >= 1 && port <= 65535;
}

static int refuse(struct err *err, int num, const char *code, const char *uri, const char *what, const char *hint)
{
	err_set(err, num, code, "migration URI \"%.128s\": %s", uri, what);
	err_hint(err, "%s", hint);
	return num;
}

static bool has_control(const char *p)
{
	while (*p && !iscntrl((unsigned char)*p))
		p++;
	return *p;
}

int vmm_migrate_uri_check(const char *uri, unsigned allow, struct err *err)
{
	if (strlen(uri) > URI_MAX || has_control(uri))
		return refuse(err, -EINVAL, "vmm.migrate-uri", uri, "too long, or with control characters", HINT_URI);
	if (!strncmp(uri, "tcp:", 4))
		return is_inet(uri + 4) ? 0 : refuse(err, -EINVAL, "vmm.migrate-uri", uri, "not HOST:PORT", HINT_URI);
	if (!strncmp(uri, "unix:", 5)) {
		if (uri[5] == '/' && uri[6] && strlen(uri + 5) < sizeof(((struct sockaddr_un *)0)->sun_path))
			return 0;
		return refuse(err, -EINVAL, "vmm.migrate-uri", uri, "not an absolute path of a socket", HINT_URI);
	}
	if (!strncmp(uri, "exec:", 5)) {
		if (allow & VMM_MIGRATE_EXEC)
			return uri[5] ? 0 : refuse(err, -EINVAL, "vmm.migrate-uri", uri, "no command", HINT_URI);
		return refuse(err, -EPERM, "vmm.migrate-exec", uri, "the VMM would run that command, and nobody has allowed it",
			      HINT_URI);
	}
	if (!strncmp(uri, "file:", 5)) {
		if (allow & VMM_MIGRATE_FILE)
			return uri[5] == '/' && uri[6] && !strchr(uri, ',')
				       ? 0
				       : refuse(err, -EINVAL, "vmm.migrate-uri", uri, "not an absolute path without commas",
						HINT_URI);
		return refuse(err, -EPERM, "vmm.migrate-file", uri, "a file is no destination of a migration",
			      HINT_URI "; a snapshot goes to a file");
	}
	if (!strncmp(uri, "fd:", 3))
		return refuse(err, -EPERM, "vmm.migrate-fd", uri, "a descriptor that only the VMM knows", HINT_URI);
	return refuse(err, -EINVAL, "vmm.migrate-uri", uri, "not a kind that gangway knows", HINT_URI);
}
