/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of functions as operators write them: eth0, 0000:3b:00.0, eth0/vf3, 0000:3b:00.0/vf3, a VF's BDF. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "sriov_internal.h"

#define NAME_MAX_SHOWN 64 /* of a name that is refused: it may be anything */
#define VF_DIGITS_MAX 5

/* @n hexadecimal digits at *@s, which moves behind them. -1: they are not. */
static int take_hex(const char **s, int n)
{
	int v = 0;

	for (int i = 0; i < n; i++, (*s)++) {
		if (!isxdigit((unsigned char)**s))
			return -1;
		v = v * 16 + (isdigit((unsigned char)**s) ? **s - '0' : tolower((unsigned char)**s) - 'a' + 10);
	}
	return v;
}

static bool take_char(const char **s, char c)
{
	if (**s != c)
		return false;
	(*s)++;
	return true;
}

int bdf_parse(const char *s, char ret[static BDF_LEN])
{
	bool node = strncmp(s, "pci_", 4) == 0; /* libvirt's name of a node device */
	int domain = 0, bus, slot, func;

	s += node ? 4 : 0;
	if (node || strlen(s) == BDF_LEN - 1) {
		domain = take_hex(&s, 4);
		if (domain < 0 || !take_char(&s, node ? '_' : ':'))
			return -EINVAL;
	}
	bus = take_hex(&s, 2);
	if (bus < 0 || !take_char(&s, node ? '_' : ':'))
		return -EINVAL;
	slot = take_hex(&s, 2);
	if (slot < 0 || slot > 0x1f || !take_char(&s, node ? '_' : '.'))
		return -EINVAL;
	func = take_hex(&s, 1);
	if (func < 0 || func > 7 || *s)
		return -EINVAL;
	snprintf(ret, BDF_LEN, "%04x:%02x:%02x.%x", (unsigned)domain & 0xffff, (unsigned)bus & 0xff, (unsigned)slot,
		 (unsigned)func);
	return 0;
}

/* As the kernel's dev_valid_name(), and printable. */
static bool ifname_valid(const char *s, size_t len)
{
	if (len == 0 || len >= IF_NAMESIZE || (s[0] == '.' && (len == 1 || (len == 2 && s[1] == '.'))))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isgraph((unsigned char)s[i]) || s[i] == '/' || s[i] == ':')
			return false;
	}
	return true;
}

/* "vf" and a decimal number without sign or leading zero. */
static int vf_index_parse(const char *s)
{
	size_t n = strncmp(s, "vf", 2) ? 0 : strspn(s + 2, "0123456789");
	int v = 0;

	if (n == 0 || n > VF_DIGITS_MAX || s[2 + n] || (s[2] == '0' && n > 1))
		return -1;
	for (size_t i = 0; i < n; i++)
		v = v * 10 + (s[2 + i] - '0');
	return v;
}

static int bad_name(const char *name, struct err *err)
{
	char shown[NAME_MAX_SHOWN];

	snprintf(shown, sizeof(shown), "%s", name);
	err_set(err, -EINVAL, "sriov.bad-name", "'%s' is no name of a PF or VF", shown);
	err_hint(err, "a PF is an interface or a BDF (eth0, 0000:3b:00.0), a VF is eth0/vf3 or its BDF; see `gangway pf list`");
	return -EINVAL;
}

static int no_such(const char *name, struct err *err)
{
	err_set(err, -ENOENT, "sriov.no-such-device", "%s: no such device", name);
	err_hint(err, "`gangway pf list` and `gangway vf list` show what this host has");
	return -ENOENT;
}

static int ifname_to_bdf(struct sys *sys, const char *ifname, char bdf[static BDF_LEN], struct err *err)
{
	char path[SRIOV_PATH_MAX];
	int r;

	snprintf(path, sizeof(path), CLASS_NET "/%s", ifname);
	if (!sys_exists(sys, path))
		return no_such(ifname, err);
	r = sriov_function_of(sys, ifname, bdf);
	if (r < 0 && r != -ENODEV)
		return err_set(err, r, "sriov.sysfs", "%s: %s: %s", ifname, path, strerror(-r));
	if (r < 0) {
		err_set(err, -EINVAL, "sriov.no-sriov", "%s has no SR-IOV: it is not an interface of a PCI function", ifname);
		err_hint(err, "`gangway pf list` shows the PFs there are");
		return -EINVAL;
	}
	return 0;
}

int sriov_ref_parse(struct sys *sys, const char *name, struct sriov_ref *ret, struct err *err)
{
	struct sriov_ref ref = { .vf = -1 };
	const char *slash = strchr(name, '/');
	size_t len = slash ? (size_t)(slash - name) : strlen(name);
	char base[32], path[SRIOV_PATH_MAX];
	int r;

	if (len == 0 || len >= sizeof(base))
		return bad_name(name, err);
	memcpy(base, name, len);
	base[len] = '\0';
	if (slash) {
		ref.vf = vf_index_parse(slash + 1);
		if (ref.vf < 0)
			return bad_name(name, err);
	}
	if (bdf_parse(base, ref.bdf) == 0) {
		snprintf(path, sizeof(path), PCI_DEVICES "/%s", ref.bdf);
		if (!sys_exists(sys, path))
			return no_such(ref.bdf, err);
	} else {
		if (!ifname_valid(base, len))
			return bad_name(name, err);
		r = ifname_to_bdf(sys, base, ref.bdf, err);
		if (r < 0)
			return r;
	}
	*ret = ref;
	return 0;
}

const char *sriov_pf_name(const struct sriov_pf *pf)
{
	return pf->ifname[0] ? pf->ifname : pf->bdf;
}
