// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcprr: one byte to and fro over one TCP connection, as often as it goes: how long it takes to wake up who waits for a frame.
 *
 *   tcprr serve PORT                 answer whoever connects, one after the other, for ever
 *   tcprr ask ADDRESS PORT SECONDS   print how many answers came, and in the second half of the time a second
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
	fprintf(stderr, "tcprr: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void at_once(int fd)
{
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)) < 0)
		die("TCP_NODELAY");
}

static struct sockaddr_in address(const char *host, const char *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };

	if (host && inet_pton(AF_INET, host, &a.sin_addr) != 1)
		die(host);
	return a;
}

static void __attribute__((noreturn)) serve(const char *port)
{
	struct sockaddr_in a = address(NULL, port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char byte;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 1) < 0)
		die("listen");
	for (;;) {
		int client = accept(fd, NULL, NULL);

		if (client < 0)
			die("accept");
		at_once(client);
		while (read(client, &byte, 1) == 1 && write(client, &byte, 1) == 1)
			;
		close(client);
	}
}

static int ask(const char *host, const char *port, double seconds)
{
	struct sockaddr_in a = address(host, port);
	struct timeval patience = { .tv_sec = 10 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unsigned long nr = 0, late = 0;
	double begin, t;
	char byte = 'x';

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die("connect");
	at_once(fd);
	begin = now();
	for (t = 0; t < seconds; t = now() - begin) {
		if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
			die("no answer");
		nr++;
		late += t >= seconds / 2;
	}
	printf("%lu %.1f\n", nr, (double)late / (t - seconds / 2));
	return 0;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && !strcmp(argv[1], "serve"))
		serve(argv[2]);
	if (argc == 5 && !strcmp(argv[1], "ask"))
		return ask(argv[2], argv[3], atof(argv[4]));
	fputs("usage: tcprr serve PORT | tcprr ask ADDRESS PORT SECONDS\n", stderr);
	return 2;
}
