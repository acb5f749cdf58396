/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"
#include "daemon.h"
#include "err.h"
#include "fdutil.h"
#include "irq_balance_internal.h"
#include "irq_keep.h"
#include "lease.h"
#include "log.h"
#include "sys.h"
#include "work.h"

#define PREFIX "irqbalance"
#define SUFFIX ".sock"
#define CHECK_US 1000000 /* whether something is to be told */
#define AGAIN_US 30000000 /* whether it was started anew */
#define PAUSE_MIN_US 1000000 /* after it could not be told; each time twice as long, up to AGAIN_US */
#define ANSWER_MS 1000
#define MESSAGE_MAX 480 /* bytes: it reads 500, and takes no more for the rest */
#define ANSWER_MAX 16384
#define SOCKETS_MAX 4 /* that are tried: one that was killed leaves its own */

struct job {
	struct irq_balance *b; /* NULL: gangwayd does without */
	struct sys *sys;
	char dir[PATH_MAX], record[PATH_MAX + 16]; /* @dir "": the one that was told before, no other */
	char socket[BALANCE_SOCKET_MAX];
	struct irq_list want, ours;
	unsigned beyond; /* for which @want has no room */
	unsigned left_out; /* of @want, and those */
	struct err err;
};

struct irq_balance {
	struct daemon *d;
	char socket[BALANCE_SOCKET_MAX]; /* of the one that was told; "" none */
	struct irq_list told, ours; /* what it was told; of that, what was not in its list before */
	unsigned beyond; /* for which @told has no room */
	unsigned left_out; /* for which its list has none, and those */
	struct err err; /* why it could not be told; .num 0 */
	uint64_t checked_us, looked_us;
	sd_event_source *again; /* until it is told what it could not be; NULL: nothing waits for that */
	uint64_t pause_us; /* the last one's; 0 none */
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
	if (l->nr < LIMIT_IRQS_BANNED && !has(l, irq))
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

typedef char socket_name[BALANCE_SOCKET_MAX];

static bool is_socket_of_it(const char *name)
{
	size_t len = strlen(name);

	return !strncmp(name, PREFIX, strlen(PREFIX)) && len >= strlen(SUFFIX) && !strcmp(name + len - strlen(SUFFIX), SUFFIX);
}

/* The one that was told before comes first. Which of them has anybody behind it, only asking tells. */
static unsigned find_sockets(const struct job *j, socket_name ret[static SOCKETS_MAX])
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
	unsigned irqs[LIMIT_IRQS_BANNED + 1];
	int nr;

	ret->nr = 0;
	nr = n < 0 ? (int)n : irq_balance_parse(text, (size_t)n, irqs, LIMIT_IRQS_BANNED + 1);
	if (nr > LIMIT_IRQS_BANNED) /* what is not known of it would be taken off */
		nr = -E2BIG;
	for (int i = 0; i < nr; i++)
		add(ret, irqs[i]);
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
static int tell(struct job *j)
{
	struct irq_list has_now, next = { 0 }, mine = { 0 }, either = j->ours;
	char text[MESSAGE_MAX];
	unsigned theirs, nr;
	int r = get_list(j, &has_now);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < has_now.nr; i++)
		if (!has(&j->ours, has_now.of[i]))
			add(&next, has_now.of[i]);
	theirs = next.nr;
	for (unsigned i = 0; i < j->want.nr; i++)
		add(&next, j->want.of[i]);
	nr = message(&next, text);
	if (nr < theirs)
		return -E2BIG;
	j->left_out = next.nr - nr + j->beyond;
	next.nr = nr;
	for (unsigned i = theirs; i < nr; i++) {
		add(&mine, next.of[i]);
		add(&either, next.of[i]);
	}
	r = is_same(&next, &has_now) ? 0 : irq_balance_record(j->record, j->socket, &either);
	if (r == 0 && !is_same(&next, &has_now)) {
		j->ours = either;
		r = (int)ask(j, text, NULL, 0);
	}
	if (r < 0)
		return r;
	j->ours = mine;
	return irq_balance_record(j->record, j->socket, &mine);
}

/* Another one than was told has none of ours, also where its list has the same numbers. Where all fail, the first that is there is shown. */
static int run(void *arg)
{
	struct job *j = arg;
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

/* --- in the loop --- */

static int on_again(sd_event_source *s, uint64_t usec, void *ctx)
{
	struct irq_balance *b = ctx;

	(void)s;
	(void)usec;
	b->again = sd_event_source_disable_unref(b->again);
	irq_balance_update(b->d, true);
	return 0;
}

/* Who follows interrupts comes back by itself; after the last detach nobody else does, and its list would keep what is ours. */
static void tell_later(struct irq_balance *b)
{
	uint64_t now = 0;

	b->pause_us = b->pause_us ? b->pause_us * 2 : PAUSE_MIN_US;
	if (b->pause_us > AGAIN_US)
		b->pause_us = AGAIN_US;
	b->again = sd_event_source_disable_unref(b->again);
	sd_event_now(b->d->event, CLOCK_MONOTONIC, &now);
	if (sd_event_add_time(b->d->event, &b->again, CLOCK_MONOTONIC, now + b->pause_us, 10000, on_again, b) < 0)
		log_err("irqbalance: no timer to tell it later");
}

static void nothing_to_tell(struct irq_balance *b)
{
	b->again = sd_event_source_disable_unref(b->again);
	b->pause_us = 0;
}

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
		b->ours = j->ours; /* none where there is nobody: one that comes later has none of ours */
		if (!b->socket[0]) {
			b->told.nr = b->beyond = b->left_out = 0;
		} else if (r == 0) {
			b->told = j->want;
			b->beyond = j->beyond;
			b->left_out = j->left_out;
		}
		if (r < 0 && (b->ours.nr || j->want.nr))
			tell_later(b);
		else
			nothing_to_tell(b);
	}
	free(j);
	if (b && b->moved) {
		b->moved = false;
		irq_balance_update(b->d, true);
	}
}

/* All that gangway has moved. Returns for how many there is no room. */
static unsigned take_moved(struct daemon *d, struct irq_list *ret)
{
	unsigned irqs[LIMIT_IRQ_VECTORS], beyond = 0;
	const struct lease *l;

	TAILQ_FOREACH(l, &d->leases, link)
	{
		unsigned nr = irq_keep_irqs(l, irqs);

		for (unsigned i = 0; i < nr; i++) {
			add(ret, irqs[i]);
			beyond += !has(ret, irqs[i]);
		}
	}
	return beyond;
}

static void record_path(const struct daemon *d, char path[static PATH_MAX + 16])
{
	snprintf(path, PATH_MAX + 16, "%s/irqbalance", d->config.runtime_dir);
}

static void begin(struct irq_balance *b, const struct irq_list *want, unsigned beyond)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j) {
		tell_later(b);
		return;
	}
	j->b = b;
	j->sys = b->d->sys;
	j->want = *want;
	j->beyond = beyond;
	j->ours = b->ours;
	record_path(b->d, j->record);
	memcpy(j->socket, b->socket, sizeof(j->socket));
	memcpy(j->dir, b->d->config.irqbalance, sizeof(j->dir));
	if (work_submit(b->d->pool, run, done, j) < 0) {
		free(j);
		tell_later(b);
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

void irq_balance_start(struct daemon *d)
{
	char path[PATH_MAX + 16];
	struct irq_balance *b;
	int r;

	record_path(d, path);
	if (access(path, F_OK) < 0)
		return;
	b = balance_of(d);
	r = b ? irq_balance_recorded(path, b->socket, &b->ours) : -ENOMEM;
	if (r == 0)
		irq_balance_update(d, true);
	else
		log_warn("irqbalance, %s: what it was told before is not known: %s, ignoring", path, strerror(-r));
}

/* Where it is not to be told anything, it is until it has given back what it was told before. */
static struct irq_balance *balance_to_tell(struct daemon *d)
{
	struct irq_balance *b = d->irq_balance;

	if (d->stopping || (!d->config.irqbalance[0] && !(b && b->ours.nr)))
		return NULL;
	return balance_of(d);
}

void irq_balance_update(struct daemon *d, bool moved)
{
	struct irq_balance *b = balance_to_tell(d);
	struct irq_list want = { 0 };
	unsigned beyond = 0;
	uint64_t now = 0;
	bool same;

	sd_event_now(d->event, CLOCK_MONOTONIC, &now);
	if (b)
		b->moved |= moved && b->job;
	if (!b || b->job || (!moved && b->checked_us && now - b->checked_us < CHECK_US))
		return;
	b->checked_us = now;
	if (d->config.irqbalance[0])
		beyond = take_moved(d, &want);
	same = b->socket[0] && !b->err.num && is_same(&want, &b->told) && beyond == b->beyond;
	if ((same || (!b->socket[0] && !moved) || (b->err.num && !moved)) && b->looked_us && now - b->looked_us < AGAIN_US)
		return;
	b->looked_us = now;
	begin(b, &want, beyond);
}

void irq_balance_free(struct irq_balance *b)
{
	if (!b)
		return;
	sd_event_source_disable_unref(b->again);
	free(b->job); /* gangwayd stops: its worker has ended */
	free(b);
}

json_t *irq_balance_to_json(const struct irq_balance *b)
{
	if (!b || !b->socket[0] || !b->d->config.irqbalance[0])
		return json_null();
	return json_pack("{s:s, s:i, s:i, s:o}", "socket", b->socket, "kept_off", (int)(b->told.nr + b->beyond - b->left_out),
			 "left_out", (int)b->left_out, "error", err_to_json(&b->err));
}
