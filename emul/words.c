/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The words of --standby. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "emul_internal.h"
#include "err.h"

#define BRIDGE "bridge:"

bool emul_name_valid(const char *name)
{
	size_t len = strnlen(name, IF_NAMESIZE);

	if (len == 0 || len >= IF_NAMESIZE || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (; *name; name++) {
		/* '%': the kernel would put a number there */
		if (*name <= ' ' || *name > '~' || strchr("/:%", *name))
			return false;
	}
	return true;
}

int emul_words_parse(const char *s, struct emul_words *ret, struct err *err)
{
	struct emul_words w = { 0 };

	if (strcmp(s, "vhost-user") == 0) {
		err_set(err, -EOPNOTSUPP, "emul.not-yet", "standby vhost-user: this gangway cannot make one yet");
		err_hint(err, "macvtap, or bridge:BR with a bridge that has the PF as a port");
		return -EOPNOTSUPP;
	}
	if (strcmp(s, "macvtap") == 0) {
		w.kind = EMUL_MACVTAP;
	} else if (strcmp(s, "own") == 0) {
		w.kind = EMUL_OWN;
	} else if (strncmp(s, BRIDGE, strlen(BRIDGE)) == 0 && emul_name_valid(s + strlen(BRIDGE))) {
		w.kind = EMUL_BRIDGE;
		snprintf(w.bridge, sizeof(w.bridge), "%s", s + strlen(BRIDGE));
	} else if (strcmp(s, "none") != 0) {
		err_set(err, -EINVAL, "emul.bad-word", "standby '%.40s': no such kind of standby", s);
		err_hint(err, "macvtap, bridge:BR (BR the name of a bridge that has the PF as a port), own (the NIC with "
			      "failover=on that the guest "
			      "has already), or none");
		return -EINVAL;
	}
	*ret = w;
	return 0;
}

void emul_words_print(const struct emul_words *words, char ret[static EMUL_WORDS_MAX])
{
	switch (words->kind) {
	case EMUL_NONE:
		snprintf(ret, EMUL_WORDS_MAX, "none");
		return;
	case EMUL_MACVTAP:
		snprintf(ret, EMUL_WORDS_MAX, "macvtap");
		return;
	case EMUL_OWN:
		snprintf(ret, EMUL_WORDS_MAX, "own");
		return;
	case EMUL_BRIDGE:
		snprintf(ret, EMUL_WORDS_MAX, BRIDGE "%s", words->bridge);
		return;
	}
	ret[0] = '\0';
}
