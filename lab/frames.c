// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * frames: Ethernet frames with any source, destination and VLAN tag, and what of them arrives where. Each frame carries a word.
 *
 *   frames send IF SRC DST VLAN WORD [NR]   NR (20) frames, a millisecond apart; VLAN 0: untagged
 *   frames count IF FILE [SECONDS]          from now on count the frames that IF receives, until one says "end" or SECONDS (10) are over. Returns
 *                                           when it listens; FILE appears when it has ended: a line "WORD VLAN NR" for each word and tag,
 *                                           VLAN 0 for untagged
 *
 * A driver may have taken the tag out of the frame: the kernel tells it beside the frame, and it counts the same.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TYPE 0x88b5 /* IEEE 802: local experiments */
#define WORD_SIZE 16
#define FRAME_SIZE 60
#define VID_MASK 0xfff
#define MAX_KINDS 32

struct kind {
	char word[WORD_SIZE];
	unsigned vlan, nr;
};

static void die(const char *what)
{
	fprintf(stderr, "frames: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void usage(void)
{
	fprintf(stderr, "usage: frames send IF SRC DST VLAN WORD [NR] | frames count IF FILE [SECONDS]\n");
	exit(2);
}

static int open_on(const char *ifname, int type, struct sockaddr_ll *ret)
{
	int fd = socket(AF_PACKET, SOCK_RAW, 0); /* deaf until it is bound: to one interface, not to all */

	if (fd < 0)
		die("socket");
	*ret = (struct sockaddr_ll){ .sll_family = AF_PACKET, .sll_protocol = htons((uint16_t)type) };
	ret->sll_ifindex = (int)if_nametoindex(ifname);
	if (!ret->sll_ifindex)
		die(ifname);
	if (type && bind(fd, (struct sockaddr *)ret, sizeof(*ret)) < 0)
		die("bind");
	return fd;
}

static void parse_mac(const char *s, uint8_t *ret)
{
	char end;

	if (sscanf(s, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx%c", &ret[0], &ret[1], &ret[2], &ret[3], &ret[4], &ret[5], &end) != 6)
		usage();
}

static uint8_t *put16(uint8_t *p, unsigned v)
{
	*p++ = (uint8_t)(v >> 8);
	*p++ = (uint8_t)v;
	return p;
}

static int send_all(int argc, char **argv)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	uint8_t frame[FRAME_SIZE] = { 0 }, *p = frame + 2 * ETH_ALEN;
	int nr = argc > 5 ? atoi(argv[5]) : 20, vlan = atoi(argv[3]), fd;
	struct sockaddr_ll to;

	fd = open_on(argv[0], 0, &to);
	parse_mac(argv[2], frame);
	parse_mac(argv[1], frame + ETH_ALEN);
	if (vlan)
		p = put16(put16(p, ETH_P_8021Q), (unsigned)vlan);
	p = put16(p, TYPE);
	snprintf((char *)p, WORD_SIZE, "%s", argv[4]);
	for (int i = 0; i < nr; i++) {
		while (sendto(fd, frame, sizeof(frame), 0, (struct sockaddr *)&to, sizeof(to)) < 0) {
			if (errno != ENOBUFS && errno != EINTR)
				die("send");
			nanosleep(&pause, NULL);
		}
		nanosleep(&pause, NULL);
	}
	return 0;
}

/* Is it one of ours, and of what kind? A tag that is in the frame yet is an inner one, or one that nobody took out. */
static bool parse(struct msghdr *mh, const uint8_t *frame, size_t len, struct kind *ret)
{
	const uint8_t *p = frame + 2 * ETH_ALEN;
	unsigned vlan = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		struct tpacket_auxdata aux;

		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA || c->cmsg_len < CMSG_LEN(sizeof(aux)))
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		if (aux.tp_status & TP_STATUS_VLAN_VALID)
			vlan = aux.tp_vlan_tci & VID_MASK;
	}
	if (len < FRAME_SIZE - 4) /* an inner one may be short of what was taken out */
		return false;
	if ((p[0] << 8 | p[1]) == ETH_P_8021Q) {
		vlan = vlan ? vlan : (unsigned)(p[2] << 8 | p[3]) & VID_MASK;
		p += 4;
	}
	if ((p[0] << 8 | p[1]) != TYPE)
		return false;
	*ret = (struct kind){ .vlan = vlan, .nr = 1 };
	memcpy(ret->word, p + 2, WORD_SIZE - 1);
	return true;
}

static size_t add(struct kind *kinds, size_t nr, const struct kind *one)
{
	for (size_t i = 0; i < nr; i++) {
		if (kinds[i].vlan == one->vlan && !strcmp(kinds[i].word, one->word)) {
			kinds[i].nr++;
			return nr;
		}
	}
	if (nr == MAX_KINDS)
		return nr;
	kinds[nr] = *one;
	return nr + 1;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static size_t count(int fd, int64_t until, struct kind *kinds)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t nr = 0;

	for (int64_t left = until - now_ms(); left > 0; left = until - now_ms()) {
		_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
		uint8_t frame[2048];
		struct sockaddr_ll from;
		struct iovec iov = { .iov_base = frame, .iov_len = sizeof(frame) };
		struct msghdr mh = { .msg_name = &from,
				     .msg_namelen = sizeof(from),
				     .msg_iov = &iov,
				     .msg_iovlen = 1,
				     .msg_control = control,
				     .msg_controllen = sizeof(control) };
		struct kind one;
		ssize_t n;

		if (poll(&p, 1, (int)left) <= 0)
			continue;
		n = recvmsg(fd, &mh, MSG_DONTWAIT);
		if (n < 0 || from.sll_pkttype == PACKET_OUTGOING || !parse(&mh, frame, (size_t)n, &one))
			continue;
		if (!strcmp(one.word, "end"))
			break;
		nr = add(kinds, nr, &one);
	}
	return nr;
}

static int count_all(int argc, char **argv)
{
	int64_t until = now_ms() + (argc > 2 ? atoi(argv[2]) : 10) * 1000;
	struct kind kinds[MAX_KINDS];
	char part[256];
	struct sockaddr_ll at;
	int fd, one = 1;
	size_t nr;
	FILE *f;

	unlink(argv[1]);
	fd = open_on(argv[0], ETH_P_ALL, &at);
	if (setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one)) < 0)
		die("PACKET_AUXDATA");
	if (daemon(1, 0) < 0)
		die("daemon");
	nr = count(fd, until, kinds);
	snprintf(part, sizeof(part), "%s.part", argv[1]);
	f = fopen(part, "w");
	if (!f)
		die(part);
	for (size_t i = 0; i < nr; i++)
		fprintf(f, "%s %u %u\n", kinds[i].word, kinds[i].vlan, kinds[i].nr);
	if (fclose(f) != 0 || rename(part, argv[1]) < 0)
		die(argv[1]);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 7 && !strcmp(argv[1], "send"))
		return send_all(argc - 2, argv + 2);
	if (argc >= 4 && !strcmp(argv[1], "count"))
		return count_all(argc - 2, argv + 2);
	usage();
}
