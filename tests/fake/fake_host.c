/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake_host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "attach.h"
#include "calls.h"
#include "ctl.h"
#include "db.h"
#include "fake_internal.h"
#include "faults.h"
#include "fdutil.h"
#include "guests.h"
#include "irq_balance.h"
#include "lease.h"
#include "log.h"
#include "work.h"

#define ANSWER_MS 20000

/* --- the loop --- */

bool fake_host_until(struct fake_host *h, bool (*cond)(void *arg), void *arg, unsigned ms)
{
	uint64_t now, end;

	sd_event_now(h->event, CLOCK_MONOTONIC, &now);
	end = now + ms * 1000ull;
	while (!cond(arg) && now < end) {
		if (sd_event_run(h->event, end - now) < 0)
			fake_die("the event loop failed");
		sd_event_now(h->event, CLOCK_MONOTONIC, &now);
	}
	return cond(arg);
}

static bool no_operation(void *arg)
{
	struct fake_host *h = arg;
	struct lease *l;

	TAILQ_FOREACH(l, &h->d.leases, link)
	if (l->op)
		return false;
	return true;
}

void fake_host_settle(struct fake_host *h)
{
	do {
		if (!fake_host_until(h, no_operation, h, ANSWER_MS))
			fake_die("the host does not settle");
	} while (sd_event_run(h->event, 0) > 0);
}

/* --- gangwayd's client --- */

static void on_event(struct fake_host *h, const json_t *params)
{
	const char *from, *to;

	h->nr_events++;
	if (!strcmp(json_string_value(json_object_get(params, "event")), "fault")) {
		h->nr_faults++;
		json_decref(h->last_fault);
		h->last_fault = json_deep_copy(params);
	}
	if (json_unpack((json_t *)params, "{s:s, s:s}", "from", &from, "to", &to) == 0)
		snprintf(h->events + strlen(h->events), sizeof(h->events) - strlen(h->events), "%s>%s ", from, to);
}

static void on_progress(struct fake_host *h, const json_t *params)
{
	const char *step = json_string_value(json_object_get(params, "step"));

	h->nr_progress++;
	snprintf(h->steps + strlen(h->steps), sizeof(h->steps) - strlen(h->steps), "%s ", step ? step : "?");
}

static void on_line(struct fake_host *h, const char *line)
{
	json_t *msg = json_loads(line, 0, NULL);
	const char *method = json_string_value(json_object_get(msg, "method"));
	char id[32];

	if (!msg)
		fake_die("gangwayd sent what is no JSON: %s", line);
	if (method && !strcmp(method, "progress"))
		on_progress(h, json_object_get(msg, "params"));
	else if (method)
		on_event(h, json_object_get(msg, "params"));
	snprintf(id, sizeof(id), "%lld", (long long)json_integer_value(json_object_get(msg, "id")));
	if (method)
		json_decref(msg);
	else
		json_object_set_new(h->answers, id, msg);
}

static int on_client(sd_event_source *s, int fd, uint32_t revents, void *ctx)
{
	struct fake_host *h = ctx;
	char buf[4096], *nl;
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

	(void)revents;
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			sd_event_source_set_enabled(s, SD_EVENT_OFF);
		return 0;
	}
	h->in = realloc(h->in, h->nr_in + (size_t)n);
	if (!h->in)
		fake_die("no memory");
	memcpy(h->in + h->nr_in, buf, (size_t)n);
	h->nr_in += (size_t)n;
	while (h->nr_in && (nl = memchr(h->in, '\n', h->nr_in))) {
		*nl = '\0';
		on_line(h, h->in);
		h->nr_in -= (size_t)(nl + 1 - h->in);
		memmove(h->in, nl + 1, h->nr_in);
	}
	return 0;
}

static void connect_client(struct fake_host *h)
{
	h->client = fd_connect_unix(h->d.config.socket, SOCK_STREAM);
	if (h->client < 0 || sd_event_add_io(h->event, &h->client_io, h->client, EPOLLIN, on_client, h) < 0)
		fake_die("no control socket");
	h->nr_in = 0;
}

void fake_host_hang_up(struct fake_host *h)
{
	h->client_io = sd_event_source_disable_unref(h->client_io);
	fd_close(&h->client);
	connect_client(h);
}

json_int_t fake_host_send(struct fake_host *h, const char *method, json_t *params)
{
	json_t *msg = json_pack("{s:s, s:I, s:s, s:o}", "jsonrpc", "2.0", "id", ++h->last_id, "method", method, "params",
				params ? params : json_object());
	char *line = json_dumps(msg, JSON_COMPACT);
	size_t len = line ? strlen(line) : 0;

	json_decref(msg);
	if (!line)
		fake_die("%s: bad parameters", method);
	line[len] = '\n'; /* instead of the NUL */
	if (send(h->client, line, len + 1, MSG_NOSIGNAL) != (ssize_t)len + 1)
		fake_die("send: %s", strerror(errno));
	free(line);
	return h->last_id;
}

struct wanted {
	struct fake_host *h;
	char id[32];
};

static bool has_answer(void *arg)
{
	struct wanted *w = arg;

	return json_object_get(w->h->answers, w->id) != NULL;
}

json_t *fake_host_wait(struct fake_host *h, json_int_t id)
{
	struct wanted w = { .h = h };
	json_t *answer;

	snprintf(w.id, sizeof(w.id), "%lld", (long long)id);
	if (!fake_host_until(h, has_answer, &w, ANSWER_MS))
		fake_die("no answer to call %s", w.id);
	answer = json_incref(json_object_get(h->answers, w.id));
	json_object_del(h->answers, w.id);
	return answer;
}

json_t *fake_host_call(struct fake_host *h, const char *method, json_t *params)
{
	return fake_host_wait(h, fake_host_send(h, method, params));
}

const char *fake_host_expect(struct fake_host *h, const char *want, const char *method, json_t *params)
{
	static char got[1024];
	json_t *answer = fake_host_call(h, method, params), *e = json_object_get(answer, "error");
	const char *code = "?", *message = "?", *hint = "";
	int num = 0;
	bool ok;

	json_unpack(e, "{s:{s:s, s:i, s:s, s:s}}", "data", "code", &code, "errno", &num, "message", &message, "hint", &hint);
	snprintf(got, sizeof(got), e ? "%s/%d" : "success", code, num);
	ok = want ? e && !strcmp(got, want) : !e;
	if (!ok && e)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), ": %s (%s)", message, hint);
	json_decref(answer);
	return ok ? NULL : got;
}

/* --- gangwayd --- */

static int on_guest_row(void *ctx, const char *name, const char *qmp, struct err *err)
{
	struct guest *g;

	return guest_new(ctx, name, qmp, &g, err);
}

void fake_host_start(struct fake_host *h)
{
	struct daemon *d = &h->d;
	struct err err = { 0 };
	int r;

	*d = (struct daemon){ .event = h->event, .sys = fake_sys(h->fake) };
	TAILQ_INIT(&d->guests);
	TAILQ_INIT(&d->leases);
	config_defaults(&d->config);
	snprintf(d->config.socket, sizeof(d->config.socket), "%s/ctl.sock", h->dir);
	snprintf(d->config.state, sizeof(d->config.state), "%s/state.db", h->dir);
	snprintf(d->config.runtime_dir, sizeof(d->config.runtime_dir), "%s", h->dir);
	d->config.unplug_timeout_ms = 300;
	d->config.guest_timeout_ms = 100;
	d->config.unplug_deadline_ms = 500;
	d->config.settle_ms = 20;
	d->config.standby_auto = false; /* a test says what it wants */
	d->config.return_delay_ms = 50;
	d->config.irq_follow_ms = 0; /* as above */
	snprintf(d->config.irqbalance, sizeof(d->config.irqbalance), "%s", h->irqbalance ? h->irqbalance : "");
	snprintf(d->boot_id, sizeof(d->boot_id), "%s", h->boot_id);
	r = db_open(d->config.state, &d->db, &err);
	if (r == 0)
		r = work_pool_new(h->event, &d->pool);
	if (r == 0)
		r = faults_new(d, &d->faults, &err);
	if (r == 0)
		r = db_each_guest(d->db, on_guest_row, d, &err);
	if (r == 0)
		r = attach_recover(d, &err);
	if (r == 0)
		irq_balance_start(d);
	if (r == 0)
		r = ctl_new(d, call_table, call_table_len, &d->ctl, &err);
	if (r < 0)
		fake_die("gangwayd does not start: %s", err.msg);
	connect_client(h);
	h->running = true;
}

void fake_host_stop(struct fake_host *h)
{
	if (!h->running)
		return;
	h->running = false;
	h->client_io = sd_event_source_disable_unref(h->client_io);
	fd_close(&h->client);
	daemon_stop(&h->d);
	db_close(h->d.db);
}

struct fake_host *fake_host_new(unsigned vfs)
{
	struct fake_host *h = calloc(1, sizeof(*h));
	char text[16];

	log_init("gangwayd", LOG_LVL_ERR);
	strcpy(h->dir, "/tmp/gangway-host-XXXXXX");
	h->boot_id = "boot-1";
	h->answers = json_object();
	if (!mkdtemp(h->dir) || sd_event_new(&h->event) < 0 || !h->answers)
		fake_die("no host");
	h->fake = fake_new();
	fake_mkdir(h->fake, "/proc");
	fake_put(h->fake, "MemTotal:        4194304 kB\nMemFree:         1048576 kB\nMemAvailable:    4194304 kB\n",
		 "/proc/meminfo");
	fake_add_driver(h->fake, "igb");
	fake_add_driver(h->fake, "igbvf");
	fake_add_driver(h->fake, "vfio-pci");
	fake_add_pf(h->fake, FAKE_PF_BDF, "eth0", "igb", "igbvf", 8);
	snprintf(text, sizeof(text), "%u", vfs);
	if (vfs && h->fake->sys.ops->write_file(&h->fake->sys, "/sys/bus/pci/devices/" FAKE_PF_BDF "/sriov_numvfs", text) < 0)
		fake_die("no VFs");
	fake_host_start(h);
	return h;
}

void fake_host_put_available(struct fake_host *h, unsigned mib)
{
	char text[128];

	h->available_mib = mib;
	snprintf(text, sizeof(text), "MemTotal: 4194304 kB\nMemFree: 0 kB\nMemAvailable: %u kB\n", mib << 10);
	fake_put(h->fake, text, "/proc/meminfo");
}

void fake_host_counts_irqs(struct fake_host *h)
{
	fake_mkdir(h->fake, "/sys/kernel/irq");
}

void fake_host_free(struct fake_host *h)
{
	static const char *const files[] = { "state.db", "state.db-wal", "state.db-shm", "state.db.lock", "ctl.sock.lock" };
	char path[128];

	for (unsigned i = 0; i < h->nr_guests; i++)
		fake_guest_die(&h->guests[i]);
	fake_host_stop(h);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", h->dir, files[i]);
		unlink(path);
	}
	rmdir(h->dir);
	sd_event_unref(h->event);
	json_decref(h->answers);
	json_decref(h->last_fault);
	free(h->in);
	fake_free(h->fake);
	free(h);
}
