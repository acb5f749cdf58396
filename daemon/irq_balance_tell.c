/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is said to irqbalance, and what it says: on a worker. When, and of what: irq_balance.c. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "fdutil.h"
#include "irq_balance_internal.h"
#include "sys.h"

#define PREFIX "irqbalance"
#define SUFFIX ".sock"
#define ANSWER_MS 1000
#define MESSAGE_MAX 480 /* bytes: it reads 500, and takes no more for the rest */
#define ANSWER_MAX 16384
#define SOCKETS_MAX 4 /* that are tried: one that was killed leaves its own */

/* --- lists --- */

bool irq_list_has(const struct irq_list *l, unsigned irq)
{
	for (unsigned i = 0; i < l->nr; i++)
		if (l->of[i] == irq)
			return true;
	return false;
}

void irq_list_add(struct irq_list *l, unsigned irq)
{
	if (l->nr < LIMIT_IRQS_BANNED && !irq_list_has(l, irq))
		l->of[l->nr++] = irq;
}

static bool is_in(const struct irq_list *some, const struct irq_list *all)
{
	for (unsigned i = 0; i < some->nr; i++)
		if (!irq_list_has(all, some->of[i]))
			return false;
	return true;
}

bool irq_list_is_same(const struct irq_list *a, const struct irq_list *b)
{
	return a->nr == b->nr && is_in(a, b);
}

/* --- its socket --- */

typedef char socket_name[BALANCE_SOCKET_MAX];

static bool is_socket_of_it(const char *name)
{
	size_t len = strlen(name);

	return !strncmp(name, PREFIX, strlen(PREFIX)) && len >= strlen(SUFFIX) && !strcmp(name + len - strlen(SUFFIX), SUFFIX);
}

/* The one that was told before comes first. Which of them has anybody behind it, only asking tells. */
static unsigned find_sockets(const struct balance_job *j, socket_name ret[static SOCKETS_MAX])
{
	char **names, path[BALANCE_SOCKET_MAX];
	unsigned nr = 0;

	if (j->socket[0])
		memcpy(ret[nr++], j->socket, sizeof(path));
	if (!j->dir[0] || !sys_exists(j->sys, j->dir) || j->sys->ops->list(j->sys, j->dir, &names) < 0)
		return nr;
	for (char **n = names; *n && nr < SOCKETS_MAX; n++) {
		if (!is_socket_of_it(*n) || (size_t)snprintf(path, sizeof(path), "%s/%s", j->dir, *n) >= sizeof(path) ||
		    !strcmp(path, j->socket))
			continue;
		memcpy(ret[nr++], path, sizeof(path));
	}
	sys_list_free(names);
	return nr;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* All that it says until it closes, at most @size bytes; or until it has had its time. */
static ssize_t hear(int fd, char *buf, size_t size)
{
	uint64_t until = now_ms() + ANSWER_MS, now;
	size_t len = 0, nr_fds;

	while (len < size && (now = now_ms()) < until) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n = poll(&p, 1, (int)(until - now));

		n = n > 0 ? fd_recv(fd, buf + len, size - len, NULL, 0, &nr_fds) : -ETIMEDOUT;
		if (n == 0)
			return (ssize_t)len;
		if (n < 0 && n != -EAGAIN)
			return n;
		len += n > 0 ? (size_t)n : 0;
	}
	return -ETIMEDOUT;
}

/* One connection, one question: @answer NULL: only until it has closed. */
static ssize_t ask(const struct balance_job *j, const char *text, char *answer, size_t size)
{
	char none[16];
	int fd = fd_connect_unix(j->socket, SOCK_STREAM);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = fd_send(fd, text, strlen(text) + 1, NULL, 0);
	if (n >= 0)
		n = hear(fd, answer ? answer : none, answer ? size : sizeof(none));
	fd_close(&fd);
	return n;
}

int irq_balance_parse(const char *text, size_t len, unsigned *ret, unsigned max)
{
	static const char word[] = "IRQ ";
	const char *at = text, *end = text + len;
	unsigned nr = 0;

	if (len < 6 || memcmp(text, "SLEEP ", 6) != 0)
		return -EPROTO;
	while (nr < max && (at = memmem(at, (size_t)(end - at), word, strlen(word)))) {
		unsigned n = 0, digits = 0;

		for (at += strlen(word); at < end && *at >= '0' && *at <= '9' && digits < 9; at++, digits++)
			n = n * 10 + (unsigned)(*at - '0');
		if (digits > 0)
			ret[nr++] = n;
	}
	return (int)nr;
}

static int get_list(struct balance_job *j, struct irq_list *ret)
{
	char *text = malloc(ANSWER_MAX);
	ssize_t n = text ? ask(j, "setup", text, ANSWER_MAX) : -ENOMEM;
	unsigned irqs[LIMIT_IRQS_BANNED + 1];
	int nr;

	ret->nr = 0;
	nr = n < 0 ? (int)n : irq_balance_parse(text, (size_t)n, irqs, LIMIT_IRQS_BANNED + 1);
	if (nr > LIMIT_IRQS_BANNED) /* what is not known of it would be taken off */
		nr = -E2BIG;
	for (int i = 0; i < nr; i++)
		irq_list_add(ret, irqs[i]);
	free(text);
	return nr < 0 ? nr : 0;
}

/* As many of @list as a message has room for, in its words. Returns how many. */
static unsigned message(const struct irq_list *list, char text[static MESSAGE_MAX])
{
	size_t len = (size_t)snprintf(text, MESSAGE_MAX, "settings ban irqs ");
	unsigned nr;

	for (nr = 0; nr < list->nr; nr++) {
		char one[16];
		size_t more = (size_t)snprintf(one, sizeof(one), "%u ", list->of[nr]);

		if (len + more >= MESSAGE_MAX)
			break;
		memcpy(text + len, one, more + 1);
		len += more;
	}
	if (list->nr == 0)
		snprintf(text + len, MESSAGE_MAX - len, "NONE");
	return nr;
}

/*
 * Its list without what was ours, and with what is to be, as far as there is room: what is not ours stays whole, or nothing is told. What
 * may be on it from here on is recorded first.
 */
static int tell(struct balance_job *j)
{
	struct irq_list has_now, next = { 0 }, mine = { 0 }, either = j->ours;
	char text[MESSAGE_MAX];
	unsigned theirs, nr;
	int r = get_list(j, &has_now);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < has_now.nr; i++)
		if (!irq_list_has(&j->ours, has_now.of[i]))
			irq_list_add(&next, has_now.of[i]);
	theirs = next.nr;
	for (unsigned i = 0; i < j->want.nr; i++)
		irq_list_add(&next, j->want.of[i]);
	nr = message(&next, text);
	if (nr < theirs)
		return -E2BIG;
	j->left_out = next.nr - nr + j->beyond;
	next.nr = nr;
	for (unsigned i = theirs; i < nr; i++) {
		irq_list_add(&mine, next.of[i]);
		irq_list_add(&either, next.of[i]);
	}
	r = irq_list_is_same(&next, &has_now) ? 0 : irq_balance_record(j->record, j->socket, &either);
	if (r == 0 && !irq_list_is_same(&next, &has_now)) {
		j->ours = either;
		r = (int)ask(j, text, NULL, 0);
	}
	if (r < 0)
		return r;
	j->ours = mine;
	return irq_balance_record(j->record, j->socket, &mine);
}

/* Another one than was told has none of ours, also where its list has the same numbers. Where all fail, the first that is there is shown. */
int irq_balance_run(void *arg)
{
	struct balance_job *j = arg;
	const struct irq_list before = j->ours, none = { 0 };
	struct irq_list left = none;
	socket_name sockets[SOCKETS_MAX], told, shown = "";
	unsigned nr = find_sockets(j, sockets);
	int r, failed = 0;

	memcpy(told, j->socket, sizeof(told));
	for (unsigned i = 0; i < nr; i++) {
		memcpy(j->socket, sockets[i], sizeof(j->socket));
		j->ours = told[0] && strcmp(j->socket, told) != 0 ? none : before;
		r = tell(j);
		if (r == 0) {
			err_clear(&j->err);
			return 0;
		}
		if (failed || r == -ECONNREFUSED || r == -ENOENT)
			continue; /* nobody is there any more */
		failed = err_set(&j->err, r, "irq.balance", "irqbalance, %s: it was not told which interrupts to leave alone: %s",
				 j->socket, r == -E2BIG ? "what is on its list already leaves no room" : strerror(-r));
		memcpy(shown, j->socket, sizeof(shown));
		left = j->ours;
	}
	memcpy(j->socket, shown, sizeof(j->socket));
	j->ours = left;
	return failed ? failed : irq_balance_record(j->record, "", &none);
}
