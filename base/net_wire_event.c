/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which addresses and routes count as use of an interface, and what link notifications and uevents say. */
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net_wire.h"

bool net_wire_counts_addr(const struct nlmsghdr *nlh, unsigned ifindex)
{
	const struct ifaddrmsg *ifa = nlmsg_data(nlh);

	if (nlh->nlmsg_type != RTM_NEWADDR || !nlmsg_valid_hdr(nlh, sizeof(*ifa)) || ifa->ifa_index != ifindex)
		return false;
	if (ifa->ifa_family == AF_INET)
		return true;
	/* every interface that is up has a link-local IPv6 address: no sign of use */
	return ifa->ifa_family == AF_INET6 && ifa->ifa_scope != RT_SCOPE_LINK;
}

static bool multipath_has(struct nlattr *attr, unsigned ifindex)
{
	struct rtnexthop *nh = nla_data(attr);
	int len = nla_len(attr);

	while (RTNH_OK(nh, len)) {
		if ((unsigned)nh->rtnh_ifindex == ifindex)
			return true;
		len -= NLMSG_ALIGN(nh->rtnh_len);
		nh = RTNH_NEXT(nh);
	}
	return false;
}

bool net_wire_counts_route(const struct nlmsghdr *nlh, unsigned ifindex)
{
	const struct rtmsg *rtm = nlmsg_data(nlh);
	struct nlattr *tb[RTA_MAX + 1];
	const uint8_t *dst;
	uint32_t table;

	if (nlh->nlmsg_type != RTM_NEWROUTE || !nlmsg_valid_hdr(nlh, sizeof(*rtm)) || (rtm->rtm_flags & RTM_F_CLONED))
		return false;
	if (rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6)
		return false;
	if (nlmsg_parse((struct nlmsghdr *)nlh, sizeof(*rtm), tb, RTA_MAX, NULL) < 0)
		return false;
	table = tb[RTA_TABLE] && nla_len(tb[RTA_TABLE]) >= 4 ? nla_get_u32(tb[RTA_TABLE]) : rtm->rtm_table;
	if (table != RT_TABLE_MAIN)
		return false;
	/* fe80::/64 and ff00::/8 come with being up, as the link-local address does */
	if (rtm->rtm_family == AF_INET6 && tb[RTA_DST] && nla_len(tb[RTA_DST]) == 16) {
		dst = nla_data(tb[RTA_DST]);
		if (dst[0] == 0xff || (dst[0] == 0xfe && (dst[1] & 0xc0) == 0x80))
			return false;
	}
	if (tb[RTA_OIF] && nla_len(tb[RTA_OIF]) >= 4 && nla_get_u32(tb[RTA_OIF]) == ifindex)
		return true;
	return tb[RTA_MULTIPATH] && multipath_has(tb[RTA_MULTIPATH], ifindex);
}

bool net_wire_get_link_event(const void *buf, size_t len, struct sys_event *ret)
{
	struct sys_event ev = { .kind = SYS_EVENT_LINK };
	struct nlattr *tb[IFLA_MAX + 1];
	const struct nlmsghdr *nlh = buf;
	const struct ifinfomsg *ifi;

	if (len < NLMSG_LENGTH(sizeof(*ifi)) || nlh->nlmsg_len > len)
		return false;
	if (nlh->nlmsg_type != RTM_NEWLINK && nlh->nlmsg_type != RTM_DELLINK)
		return false;
	if (!nlmsg_valid_hdr(nlh, sizeof(*ifi)) || nlmsg_parse((struct nlmsghdr *)nlh, sizeof(*ifi), tb, IFLA_MAX, NULL) < 0 ||
	    !tb[IFLA_IFNAME])
		return false;
	ifi = nlmsg_data(nlh);
	/* a bridge reports its ports leaving as RTM_DELLINK of its own family: the interface is still there */
	ev.gone = nlh->nlmsg_type == RTM_DELLINK && ifi->ifi_family == AF_UNSPEC;
	ev.ifindex = (unsigned)ifi->ifi_index;
	ev.up = ifi->ifi_flags & IFF_UP;
	ev.carrier = ifi->ifi_flags & (1 << 16); /* IFF_LOWER_UP, see net_wire_get_link() */
	nla_strlcpy(ev.ifname, tb[IFLA_IFNAME], sizeof(ev.ifname));
	*ret = ev;
	return true;
}

/* The value of "KEY=value" if @text is that. */
static const char *value_of(const char *text, const char *key)
{
	size_t n = strlen(key);

	return strncmp(text, key, n) == 0 && text[n] == '=' ? text + n + 1 : NULL;
}

static const char *component_before(const char *path, const char *end)
{
	while (end > path && end[-1] != '/')
		end--;
	return end;
}

/* ".../0000:3b:10.0/net/eth0v0", ".../0000:3b:10.0/virtio3/net/eth1": the function an interface sits on; "" for virtual ones. */
static void bdf_of_net_path(const char *path, char bdf[16])
{
	const char *end = strstr(path, "/net/"), *start;
	unsigned d, b, s, f;

	bdf[0] = '\0';
	if (!end)
		return;
	start = component_before(path, end);
	if (!strncmp(start, "virtio", 6) && start > path + 1) {
		end = start - 1;
		start = component_before(path, end);
	}
	if (end - start < 16 && sscanf(start, "%x:%x:%x.%x/", &d, &b, &s, &f) == 4)
		snprintf(bdf, 16, "%.*s", (int)(end - start), start);
}

/* "add@/devices/...\0ACTION=add\0DEVPATH=...\0SUBSYSTEM=pci\0PCI_SLOT_NAME=0000:3b:10.0\0..." */
bool net_wire_get_uevent(const char *buf, size_t len, struct sys_event *ret)
{
	const char *action = NULL, *path = NULL, *subsystem = NULL, *slot = NULL, *ifname = NULL, *ifindex = NULL, *v;
	struct sys_event ev = { .kind = SYS_EVENT_PCI };

	if (len == 0 || buf[len - 1] != '\0' || !memchr(buf, '@', strlen(buf)))
		return false;
	for (size_t at = strlen(buf) + 1; at < len; at += strlen(buf + at) + 1) {
		if ((v = value_of(buf + at, "ACTION")))
			action = v;
		else if ((v = value_of(buf + at, "DEVPATH")))
			path = v;
		else if ((v = value_of(buf + at, "SUBSYSTEM")))
			subsystem = v;
		else if ((v = value_of(buf + at, "PCI_SLOT_NAME")))
			slot = v;
		else if ((v = value_of(buf + at, "INTERFACE")))
			ifname = v;
		else if ((v = value_of(buf + at, "IFINDEX")))
			ifindex = v;
	}
	if (!action || !path || !subsystem)
		return false;
	ev.gone = strcmp(action, "remove") == 0;
	if (strcmp(subsystem, "pci") == 0 && slot && strlen(slot) < sizeof(ev.bdf)) {
		snprintf(ev.bdf, sizeof(ev.bdf), "%s", slot);
	} else if (strcmp(subsystem, "net") == 0 && ifname && strlen(ifname) < sizeof(ev.ifname)) {
		ev.kind = SYS_EVENT_LINK;
		snprintf(ev.ifname, sizeof(ev.ifname), "%s", ifname);
		ev.ifindex = ifindex ? (unsigned)strtoul(ifindex, NULL, 10) : 0;
		bdf_of_net_path(path, ev.bdf);
	} else if (strcmp(subsystem, "cpu") == 0) { /* which one, and what became of it, is in sysfs */
		ev.kind = SYS_EVENT_CPU;
	} else {
		return false;
	}
	*ret = ev;
	return true;
}
