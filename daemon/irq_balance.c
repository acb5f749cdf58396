/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "irq_balance.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "ctl.h"
#include "daemon.h"
#include "err.h"
#include "fdutil.h"
#include "irq_keep.h"
#include "lease.h"
#include "log.h"
#include "sys.h"
#include "work.h"

#define PREFIX "irqbalance"
#define SUFFIX ".sock"
#define CHECK_US 1000000 /* whether something is to be told */
#define AGAIN_US 30000000 /* whether it was started anew */
#define ANSWER_MS 1000
#define MESSAGE_MAX 480 /* bytes: it reads 500, and takes no more for the rest */
#define ANSWER_MAX 16384

struct irq_list {
	unsigned nr, of[IRQ_BALANCE_MAX];
};

struct job {
	struct irq_balance *b; /* NULL: gangwayd does without */
	struct sys *sys;
	char dir[PATH_MAX], socket[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct irq_list want, ours;
	bool same; /* @want is what was told to the one at @socket before */
	struct err err;
};

struct irq_balance {
	struct daemon *d;
	char socket[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* of the one that was told; "" none */
	struct irq_list told, ours; /* what it was told; of that, what was not in its list before */
	struct err err; /* why it could not be told; .num 0 */
	uint64_t checked_us, looked_us;
	bool moved; /* while it was being told */
	struct job *job;
};

/* --- lists --- */

static bool has(const struct irq_list *l, unsigned irq)
{
	for (unsigned i = 0; i < l->nr; i++)
		if (l->of[i] == irq)
			return true;
	return false;
}

static void add(struct irq_list *l, unsigned irq)
{
	if (l->nr < IRQ_BALANCE_MAX && !has(l, irq))
		l->of[l->nr++] = irq;
}

static bool is_in(const struct irq_list *some, const struct irq_list *all)
{
	for (unsigned i = 0; i < some->nr; i++)
		if (!has(all, some->of[i]))
			return false;
	return true;
}

static bool is_same(const struct irq_list *a, const struct irq_list *b)
{
	return a->nr == b->nr && is_in(a, b);
}

/* --- on a worker --- */

static int find_socket(struct job *j)
{
	char **names;
	int r = sys_exists(j->sys, j->dir) ? j->sys->ops->list(j->sys, j->dir, &names) : -ENOENT;
	bool found = false;

	if (r < 0)
		return -ENOENT;
	for (char **n = names; *n && !found; n++) {
		size_t len = strlen(*n);

		if (strncmp(*n, PREFIX, strlen(PREFIX)) != 0 || len < strlen(SUFFIX) ||
		    strcmp(*n + len - strlen(SUFFIX), SUFFIX) != 0)
			continue;
		found = (size_t)snprintf(j->socket, sizeof(j->socket), "%s/%s", j->dir, *n) < sizeof(j->socket);
	}
	sys_list_free(names);
	return found ? 0 : -ENOENT;
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
static ssize_t ask(const struct job *j, const char *text, char *answer, size_t size)
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

static int get_list(struct job *j, struct irq_list *ret)
{
	char *text = malloc(ANSWER_MAX);
	ssize_t n = text ? ask(j, "setup", text, ANSWER_MAX) : -ENOMEM;
	unsigned irqs[IRQ_BALANCE_MAX];
	int nr;

	ret->nr = 0;
	nr = n < 0 ? (int)n : irq_balance_parse(text, (size_t)n, irqs, IRQ_BALANCE_MAX);
	for (int i = 0; i < nr; i++)
		add(ret, irqs[i]);
	free(text);
	return nr < 0 ? nr : 0;
}

static int set_list(struct job *j, const struct irq_list *list)
{
	char text[MESSAGE_MAX] = "settings ban irqs ";
	size_t len = strlen(text);

	for (unsigned i = 0; i < list->nr; i++) {
		if (len + 12 > sizeof(text))
			return -E2BIG;
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%u ", list->of[i]);
	}
	if (list->nr == 0)
		strcpy(text + len, "NONE");
	return (int)ask(j, text, NULL, 0);
}

/* Its list without what was ours, and with what is to be. */
static int tell(struct job *j)
{
	struct irq_list has_now, next = { 0 }, mine = { 0 };
	int r = get_list(j, &has_now);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < has_now.nr; i++)
		if (!has(&j->ours, has_now.of[i]))
			add(&next, has_now.of[i]);
	for (unsigned i = 0; i < j->want.nr; i++) {
		if (!has(&next, j->want.of[i]))
			add(&mine, j->want.of[i]);
		add(&next, j->want.of[i]);
	}
	j->ours = mine;
	return is_same(&next, &has_now) ? 0 : set_list(j, &next);
}

static int run(void *arg)
{
	struct job *j = arg;
	char before[sizeof(j->socket)];
	int r;

	memcpy(before, j->socket, sizeof(before));
	r = find_socket(j);
	if (r < 0) {
		j->socket[0] = '\0';
		return 0;
	}
	if (strcmp(before, j->socket) == 0 && j->same)
		return 0;
	r = tell(j);
	return r < 0 ? err_set(&j->err, r, "irq.balance", "irqbalance, %s: it was not told which interrupts to leave alone: %s",
			       j->socket, strerror(-r))
		     : 0;
}

/* --- in the loop --- */

static void done(int r, void *arg)
{
	struct job *j = arg;
	struct irq_balance *b = j->b;

	if (b) {
		b->job = NULL;
		if (r < 0 && b->err.num != j->err.num)
			log_warn("%s, ignoring", j->err.msg);
		b->err = j->err;
		memcpy(b->socket, j->socket, sizeof(b->socket));
		if (!b->socket[0]) { /* one that comes later has none of ours */
			b->ours.nr = 0;
			b->told.nr = 0;
		} else if (r == 0) {
			b->ours = j->ours;
			b->told = j->want;
		}
	}
	free(j);
	if (b && b->moved)
		irq_balance_update(b->d, true);
}

/* All that gangway has moved. */
static void take_moved(struct daemon *d, struct irq_list *ret)
{
	unsigned irqs[LIMIT_IRQ_VECTORS];
	const struct lease *l;

	TAILQ_FOREACH(l, &d->leases, link)
	{
		unsigned nr = irq_keep_irqs(l, irqs);

		for (unsigned i = 0; i < nr; i++)
			add(ret, irqs[i]);
	}
}

static void begin(struct irq_balance *b, const struct irq_list *want, bool same)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return;
	j->b = b;
	j->sys = b->d->sys;
	j->want = *want;
	j->ours = b->ours;
	j->same = same;
	memcpy(j->socket, b->socket, sizeof(j->socket));
	memcpy(j->dir, b->d->config.irqbalance, sizeof(j->dir));
	if (work_submit(b->d->pool, run, done, j) < 0) {
		free(j);
		return;
	}
	b->job = j;
}

static struct irq_balance *balance_of(struct daemon *d)
{
	if (!d->irq_balance) {
		d->irq_balance = calloc(1, sizeof(*d->irq_balance));
		if (d->irq_balance)
			d->irq_balance->d = d;
	}
	return d->irq_balance;
}

void irq_balance_inherit(struct daemon *d, unsigned irq)
{
	struct irq_balance *b = balance_of(d);

	if (b)
		add(&b->ours, irq);
}

void irq_balance_update(struct daemon *d, bool moved)
{
	struct irq_balance *b = d->config.irqbalance[0] && !d->stopping ? balance_of(d) : NULL;
	struct irq_list want = { 0 };
	uint64_t now = 0;
	bool same;

	sd_event_now(d->event, CLOCK_MONOTONIC, &now);
	if (b)
		b->moved = moved && b->job;
	if (!b || b->job || (!moved && b->checked_us && now - b->checked_us < CHECK_US))
		return;
	b->checked_us = now;
	take_moved(d, &want);
	same = b->socket[0] && !b->err.num && is_same(&want, &b->told);
	if ((same || (!b->socket[0] && !moved) || (b->err.num && !moved)) && b->looked_us && now - b->looked_us < AGAIN_US)
		return;
	b->looked_us = now;
	begin(b, &want, same);
}

void irq_balance_free(struct irq_balance *b)
{
	if (!b)
		return;
	free(b->job); /* gangwayd stops: its worker has ended */
	free(b);
}

json_t *irq_balance_to_json(const struct irq_balance *b)
{
	if (!b || !b->socket[0])
		return json_null();
	return json_pack("{s:s, s:i, s:o}", "socket", b->socket, "kept_off", (int)b->told.nr, "error", err_to_json(&b->err));
}
