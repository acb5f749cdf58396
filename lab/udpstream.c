// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * udpstream: a numbered UDP stream in both directions, to see what a path loses, repeats or delays.
 *
 * The same program runs at both ends, bound to one address each. Both say HELLO until each has heard the other, then
 * each sends numbered DATA packets at its rate and writes down the numbers it receives. An end that has sent long
 * enough, or is told so by SIGTERM or SIGINT, says FIN with the number of packets it sent; that ends the other's
 * sending too. Both repeat FIN until it is acknowledged. Each then prints one JSON object on stdout: what it sent, and of
 * what the other sent how much came, twice, late, the longest time in which nothing came, and when nothing came for a while. Where the FIN never came,
 * "peer_sent" and "lost" are null: nothing is known, which is not the same as nothing lost.
 */
#define _GNU_SOURCE /* ppoll */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAGIC 0x67776179u
#define MAX_PACKETS (16u << 20)
#define MAX_PAYLOAD 1472
#define CONTROL_EVERY_US 10000
#define US_PER_S 1000000
#define GAP_US 100000 /* worth telling */
#define MAX_GAPS 64

enum kind { KIND_HELLO, KIND_HELLO_ACK, KIND_DATA, KIND_FIN, KIND_FIN_ACK };

/* On the wire, big endian. @run tells this run's packets from those of a run before it. */
struct packet {
	uint32_t magic;
	uint32_t run;
	uint32_t kind;
	uint32_t seq; /* DATA: its number; FIN: how many were sent */
};

struct stream {
	int fd;
	uint32_t run;
	size_t size;
	struct sockaddr_in peer;
	uint32_t sent, send_errors;
	bool peer_heard, peer_ready, fin_acked, fin_seen;
	uint32_t peer_sent, received, duplicated, reordered, highest;
	uint8_t *seen; /* one bit per number */
	int64_t start, last, gap, gap_at;
	struct {
		int64_t at, us;
	} gaps[MAX_GAPS];
	unsigned nr_gaps;
};

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

static void die(const char *what)
{
	fprintf(stderr, "udpstream: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void send_packet(struct stream *s, enum kind kind, uint32_t seq)
{
	char buf[MAX_PAYLOAD] = { 0 };
	struct packet p = { htobe32(MAGIC), htobe32(s->run), htobe32(kind), htobe32(seq) };
	size_t size = kind == KIND_DATA ? s->size : sizeof(p);

	memcpy(buf, &p, sizeof(p));
	/* An error is what a path without a link answers: counted, the number stays used. */
	if (sendto(s->fd, buf, size, 0, (struct sockaddr *)&s->peer, sizeof(s->peer)) < 0 && kind == KIND_DATA)
		s->send_errors++;
}

static void note_gap(struct stream *s, int64_t now)
{
	int64_t gap = now - s->last, at = s->last - s->start;

	if (s->start && gap > s->gap) {
		s->gap = gap;
		s->gap_at = at;
	}
	if (s->start && gap > GAP_US && s->nr_gaps < MAX_GAPS) {
		s->gaps[s->nr_gaps].at = at;
		s->gaps[s->nr_gaps++].us = gap;
	}
	s->last = now;
}

static void receive_data(struct stream *s, uint32_t seq, int64_t now)
{
	uint8_t bit = 1u << (seq % 8);

	if (seq >= MAX_PACKETS)
		return;
	if (s->seen[seq / 8] & bit) {
		s->duplicated++;
		return;
	}
	s->seen[seq / 8] |= bit;
	if (s->received && seq < s->highest)
		s->reordered++;
	else
		s->highest = seq;
	s->received++;
	note_gap(s, now);
}

static void receive_one(struct stream *s, const struct packet *p)
{
	uint32_t seq = be32toh(p->seq);

	switch ((enum kind)be32toh(p->kind)) {
	case KIND_HELLO:
		s->peer_heard = true;
		send_packet(s, KIND_HELLO_ACK, 0);
		break;
	case KIND_HELLO_ACK:
		s->peer_ready = true;
		break;
	case KIND_DATA:
		s->peer_heard = s->peer_ready = true; /* it sends, so it has heard us */
		receive_data(s, seq, now_us());
		break;
	case KIND_FIN:
		if (!s->fin_seen)
			note_gap(s, now_us());
		s->fin_seen = true;
		s->peer_sent = seq;
		send_packet(s, KIND_FIN_ACK, 0);
		break;
	case KIND_FIN_ACK:
		s->fin_acked = true;
		break;
	}
}

/* Receive until @until, or until a signal. */
static void receive_until(struct stream *s, int64_t until)
{
	struct pollfd pfd = { .fd = s->fd, .events = POLLIN };
	char buf[MAX_PAYLOAD];
	struct packet p;

	while (!stop) {
		int64_t left = until - now_us();
		struct timespec ts = { left > 0 ? left / US_PER_S : 0, left > 0 ? left % US_PER_S * 1000 : 0 };
		ssize_t n;

		if (ppoll(&pfd, 1, &ts, NULL) <= 0)
			return;
		/* ECONNREFUSED and the like come as errors of recv; they were counted or do not matter */
		while ((n = recv(s->fd, buf, sizeof(buf), MSG_DONTWAIT)) >= 0) {
			if ((size_t)n < sizeof(p))
				continue;
			memcpy(&p, buf, sizeof(p));
			if (be32toh(p.magic) == MAGIC && be32toh(p.run) == s->run)
				receive_one(s, &p);
		}
		if (left <= 0)
			return;
	}
}

static bool say_hello(struct stream *s, int64_t deadline)
{
	while (!(s->peer_heard && s->peer_ready)) {
		if (stop || now_us() > deadline)
			return false;
		send_packet(s, KIND_HELLO, 0);
		receive_until(s, now_us() + CONTROL_EVERY_US);
	}
	return true;
}

static void exchange(struct stream *s, int64_t interval, int64_t until)
{
	int64_t next = s->start;

	while (!stop && !s->fin_seen && now_us() < until && s->sent < MAX_PACKETS) {
		/* what fell due while we were not running is sent at once: the number of packets is the rate's */
		while (next <= now_us() && s->sent < MAX_PACKETS) {
			send_packet(s, KIND_DATA, s->sent++);
			next += interval;
		}
		receive_until(s, next);
	}
	stop = 0; /* the signal has done its work; the goodbye is bounded by its own deadline */
}

static void say_goodbye(struct stream *s, int64_t deadline)
{
	while (now_us() < deadline && !(s->fin_acked && s->fin_seen)) {
		send_packet(s, KIND_FIN, s->sent);
		receive_until(s, now_us() + CONTROL_EVERY_US);
		stop = 0;
	}
	/* the peer may have missed our last acknowledgement: stay for the FINs it repeats */
	for (int64_t end = now_us() + 20 * CONTROL_EVERY_US; now_us() < end;)
		receive_until(s, end);
}

/* The packets of the peer's that never came, as runs: number of the first, and how many. The number tells when it was sent. */
static void print_lost(const struct stream *s)
{
	unsigned nr_runs = 0;

	printf("\"lost_runs\":[");
	for (uint32_t seq = 0; s->fin_seen && seq < s->peer_sent && seq < MAX_PACKETS && nr_runs < MAX_GAPS; seq++) {
		uint32_t first = seq;

		while (seq < s->peer_sent && seq < MAX_PACKETS && !(s->seen[seq / 8] & 1u << seq % 8))
			seq++;
		if (seq > first)
			printf("%s[%" PRIu32 ",%" PRIu32 "]", nr_runs++ ? "," : "", first, seq - first);
	}
	printf("],");
}

static void print_result(const struct stream *s)
{
	printf("{\"sent\":%" PRIu32 ",\"send_errors\":%" PRIu32 ",\"received\":%" PRIu32 ",", s->sent, s->send_errors,
	       s->received);
	if (s->fin_seen)
		printf("\"peer_sent\":%" PRIu32 ",\"lost\":%" PRIu32 ",", s->peer_sent, s->peer_sent - s->received);
	else
		printf("\"peer_sent\":null,\"lost\":null,");
	print_lost(s);
	printf("\"duplicated\":%" PRIu32 ",\"reordered\":%" PRIu32 ",\"longest_gap_ms\":%.1f,\"gap_at_ms\":%.1f,\"gaps_ms\":[",
	       s->duplicated, s->reordered, s->gap / 1e3, s->gap_at / 1e3);
	for (unsigned i = 0; i < s->nr_gaps; i++) /* each as when and how long */
		printf("%s[%.0f,%.0f]", i ? "," : "", s->gaps[i].at / 1e3, s->gaps[i].us / 1e3);
	printf("]}\n");
}

static struct sockaddr_in parse_address(char *text)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	char *colon = strchr(text, ':');

	if (colon)
		*colon = '\0';
	if (!colon || inet_pton(AF_INET, text, &a.sin_addr) != 1 || atoi(colon + 1) <= 0 || atoi(colon + 1) > 65535) {
		fprintf(stderr, "udpstream: %s: not an address of the form 10.0.0.1:9000\n", text);
		exit(2);
	}
	a.sin_port = htons(atoi(colon + 1));
	return a;
}

static void usage(void)
{
	fprintf(stderr,
		"usage: udpstream -l ADDR:PORT -p PEER:PORT [-i RUN] [-r PACKETS_PER_S] [-t SECONDS] [-s BYTES] [-w WAIT_S]\n");
	exit(2);
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct stream s = { .size = 200, .run = 1 };
	struct sockaddr_in local = { 0 };
	double rate = 1000, seconds = 10, wait = 10;
	int opt, big = 4 << 20;

	while ((opt = getopt(argc, argv, "l:p:i:r:t:s:w:")) != -1) {
		switch (opt) {
		case 'l':
			local = parse_address(optarg);
			break;
		case 'p':
			s.peer = parse_address(optarg);
			break;
		case 'i':
			s.run = strtoul(optarg, NULL, 0);
			break;
		case 'r':
			rate = atof(optarg);
			break;
		case 't':
			seconds = atof(optarg);
			break;
		case 's':
			s.size = strtoul(optarg, NULL, 0);
			break;
		case 'w':
			wait = atof(optarg);
			break;
		default:
			usage();
		}
	}
	if (!local.sin_port || !s.peer.sin_port || optind != argc || !(rate > 0 && rate <= 1e6) || !(seconds > 0) ||
	    s.size < sizeof(struct packet) || s.size > MAX_PAYLOAD)
		usage();

	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	s.seen = calloc(MAX_PACKETS / 8, 1);
	s.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (!s.seen || s.fd < 0 || bind(s.fd, (struct sockaddr *)&local, sizeof(local)) < 0)
		die("bind");
	/*
	 * What the network brought and we were not run to take is not lost: with rmem_max as it is, 0.2 s at 1000 packets/s would be. A guest
	 * whose kernel probes a VF runs no program for longer than that.
	 */
	if (setsockopt(s.fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big)) < 0)
		setsockopt(s.fd, SOL_SOCKET, SO_RCVBUF, &big, sizeof(big));

	if (!say_hello(&s, now_us() + (int64_t)(wait * US_PER_S))) {
		fprintf(stderr, "udpstream: the other end did not answer in %.0f s\n", wait);
		return 1;
	}
	fprintf(stderr, "udpstream: both ends are here\n");
	s.start = s.last = now_us();
	exchange(&s, (int64_t)(US_PER_S / rate), s.start + (int64_t)(seconds * US_PER_S));
	say_goodbye(&s, now_us() + 3 * US_PER_S);
	print_result(&s);
	free(s.seen);
	close(s.fd);
	return 0;
}
