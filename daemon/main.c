/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gangwayd: the composition root. Everything is made here, in order, and taken down in reverse. */
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "attach.h"
#include "calls.h"
#include "ctl.h"
#include "daemon.h"
#include "db.h"
#include "devproc.h"
#include "err.h"
#include "faults.h"
#include "fdutil.h"
#include "guests.h"
#include "host_events.h"
#include "irq_balance.h"
#include "lease.h"
#include "log.h"
#include "mem_watch.h"
#include "metrics_http.h"
#include "sys.h"
#include "work.h"

#define DEFAULT_CONFIG "/etc/gangway/gangway.conf"

static void usage(FILE *to)
{
	fputs("usage: gangwayd [OPTION...]\n"
	      "Gives SR-IOV virtual functions to virtual machines; gangway(1) talks to it.\n\n"
	      "  -c, --config FILE      configuration (" DEFAULT_CONFIG ")\n"
	      "      --socket PATH      control socket\n"
	      "      --state PATH       state database\n"
	      "      --runtime DIR      for sockets of guests and devices\n"
	      "      --device PROGRAM   the gangway-device binary\n"
	      "      --log-level LEVEL  error, warning, info or debug\n"
	      "  -V, --version\n"
	      "  -h, --help\n",
	      to);
}

static const struct option options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "socket", required_argument, NULL, 's' },
	{ "state", required_argument, NULL, 't' },
	{ "runtime", required_argument, NULL, 'r' },
	{ "device", required_argument, NULL, 'd' },
	{ "log-level", required_argument, NULL, 'l' },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

/* The key of the configuration that an option stands for. */
static const char *option_key(int c)
{
	switch (c) {
	case 's':
		return "socket";
	case 't':
		return "state";
	case 'r':
		return "runtime_dir";
	case 'd':
		return "device_program";
	case 'l':
		return "log_level";
	default:
		return NULL;
	}
}

static int fail(const struct err *err)
{
	log_err("%s", err->msg);
	if (err->hint[0])
		log_err("hint: %s", err->hint);
	return EXIT_FAILED;
}

/* File first, then the command line over it. -1: go on; else the exit code. */
static int configure(struct config *config, int argc, char **argv)
{
	const char *file = NULL;
	struct err err;
	int c;

	config_defaults(config);
	while ((c = getopt_long(argc, argv, "c:Vh", options, NULL)) != -1) {
		if (c == 'c')
			file = optarg;
		if (c == 'V') {
			puts("gangwayd " GANGWAY_VERSION);
			return EXIT_OK;
		}
		if (c == 'h' || c == '?') {
			usage(c == 'h' ? stdout : stderr);
			return c == 'h' ? EXIT_OK : EXIT_USAGE;
		}
	}
	if (optind < argc) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (config_read(config, file ? file : DEFAULT_CONFIG, file != NULL, &err) < 0)
		return fail(&err);
	optind = 0;
	while ((c = getopt_long(argc, argv, "c:Vh", options, NULL)) != -1)
		if (option_key(c) && config_set(config, "daemon", option_key(c), optarg, &err) < 0)
			return fail(&err);
	return -1;
}

/* The folder of @path, and @path itself where it is to be one. */
static int make_dir(const char *path, mode_t mode, struct err *err)
{
	int r = mkdir(path, mode) < 0 && errno != EEXIST ? -errno : 0;

	if (r == 0)
		return 0;
	err_set(err, r, "daemon.no-dir", "%s: %s", path, strerror(-r));
	err_hint(err, "make the directory above it, or name another one in gangway.conf(5)");
	return r;
}

static int make_dirs(const struct config *config, struct err *err)
{
	char copy[PATH_MAX];
	int r;

	r = devproc_make_dirs(config->runtime_dir, err);
	if (r == 0) {
		snprintf(copy, sizeof(copy), "%s", config->socket);
		r = make_dir(dirname(copy), 0755, err);
	}
	if (r == 0) {
		snprintf(copy, sizeof(copy), "%s", config->state);
		r = make_dir(dirname(copy), 0700, err);
	}
	return r;
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *ctx)
{
	(void)ctx;
	log_info("signal %d: stopping; leases stay", (int)si->ssi_signo);
	sd_notify(0, "STOPPING=1");
	return sd_event_exit(sd_event_source_get_event(s), 0);
}

static int on_guest_row(void *ctx, const char *name, const char *qmp, struct err *err)
{
	struct guest *g;

	if (guest_new(ctx, name, qmp, &g, err) < 0)
		log_err("state: %s, ignoring", err->msg); /* the row stays */
	return 0;
}

/* @ret_lock: as of daemon_lock(), also on failure; the caller's. */
static int start(struct daemon *d, int *ret_lock, struct err *err)
{
	struct rlimit files = { 65536, 65536 };
	int r;

	if (geteuid() != 0)
		return err_set(err, -EPERM, "daemon.not-root", "gangwayd needs to be root: it binds drivers and opens VFIO");
	r = make_dirs(&d->config, err);
	if (r == 0)
		r = daemon_lock(d->config.runtime_dir, ret_lock, err);
	if (r == 0)
		r = db_open(d->config.state, &d->db, err);
	if (r < 0)
		return r;
	setrlimit(RLIMIT_NOFILE, &files); /* descriptors of every lease; what there is will do if not */
	r = sd_event_default(&d->event);
	d->sys = sys_linux_new("");
	if (r < 0 || !d->sys || work_pool_new(d->event, &d->pool) < 0)
		return err_set(err, -ENOMEM, "daemon.no-memory", "no memory to start");
	d->started_us = d->sys->ops->now_us(d->sys);
	if (sys_read_str(d->sys, "/proc/sys/kernel/random/boot_id", d->boot_id, sizeof(d->boot_id)) < 0)
		return err_set(err, -EIO, "daemon.no-boot-id", "no boot id: is /proc mounted?");
	r = mem_watch_new(d, err);
	if (r < 0)
		return r;
	if (host_events_new(d, err) < 0)
		log_warn("%s: changes of links and devices are not followed, ignoring", err->msg);
	if (faults_new(d, &d->faults, err) < 0)
		log_warn("%s: faults of VFs are not seen, ignoring", err->msg);
	r = db_each_guest(d->db, on_guest_row, d, err);
	if (r == 0)
		r = attach_recover(d, err);
	if (r == 0)
		irq_balance_start(d);
	if (r == 0)
		r = ctl_new(d, call_table, call_table_len, &d->ctl, err);
	if (r == 0 && metrics_http_new(d, &d->metrics, err) < 0)
		log_warn("%s: nobody gets metrics there, ignoring", err->msg);
	return r;
}

static void stop(struct daemon *d)
{
	daemon_stop(d);
	sys_linux_free(d->sys);
	sd_event_unref(d->event);
	db_close(d->db);
}

static int run(struct daemon *d)
{
	static const int signals[] = { SIGTERM, SIGINT };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sd_event_add_signal(d->event, NULL, signals[i], on_signal, d);
	log_info("gangwayd " GANGWAY_VERSION ": ready on %s, %u guests, %u leases", d->config.socket, d->nr_guests, d->nr_leases);
	sd_notify(0, "READY=1");
	return sd_event_loop(d->event);
}

int main(int argc, char **argv)
{
	struct daemon d = { 0 };
	struct err err;
	int r, lock_fd = -1;

	log_init("gangwayd", LOG_LVL_INFO);
	TAILQ_INIT(&d.guests);
	TAILQ_INIT(&d.leases);
	signal(SIGPIPE, SIG_IGN);
	r = configure(&d.config, argc, argv);
	if (r >= 0)
		return r;
	log_init("gangwayd", d.config.log_level);
	err_clear(&err);
	r = start(&d, &lock_fd, &err);
	if (r < 0) {
		fail(&err);
		stop(&d);
		fd_close(&lock_fd);
		return err_exit_code(r);
	}
	r = run(&d);
	stop(&d);
	fd_close(&lock_fd);
	return r < 0 ? EXIT_FAILED : EXIT_OK;
}
