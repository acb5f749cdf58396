/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gangway-device: serves one VF to one VMM over vfio-user. Started by gangwayd with its descriptors in place (device_proto.h);
 * outlives it. Stages: arguments, drop privileges, take the descriptors over, seal, serve.
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devctl.h"
#include "device_proto.h"
#include "err.h"
#include "log.h"
#include "sandbox.h"
#include "serve.h"
#include "sys_device.h"
#include "vfdev.h"

#define MEMORY_LIMIT (64ul << 20) /* its own: libraries, a VMM's messages, LIMIT_DMA_RANGES mappings */

struct options {
	const char *id, *bdf, *root;
	uint64_t ram;
	uid_t uid;
	gid_t gid;
};

static uint64_t number(const char *text)
{
	char *end;
	uint64_t v;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || *end || *text < '0' || *text > '9') {
		fprintf(stderr, "gangway-device: \"%s\" is no number\n", text);
		exit(EXIT_USAGE);
	}
	return v;
}

static void parse(int argc, char **argv, struct options *ret)
{
	static const struct option longs[] = {
		{ "id", required_argument, NULL, 'i' },
		{ "bdf", required_argument, NULL, 'b' },
		{ "ram", required_argument, NULL, 'r' },
		{ "uid", required_argument, NULL, 'u' },
		{ "gid", required_argument, NULL, 'g' },
		{ "debug", no_argument, NULL, 'd' },
		{ "root", required_argument, NULL, 'R' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	int c;

	*ret = (struct options){ .uid = getuid(), .gid = getgid() };
	while ((c = getopt_long(argc, argv, "V", longs, NULL)) >= 0) {
		if (c == 'i')
			ret->id = optarg;
		else if (c == 'b')
			ret->bdf = optarg;
		else if (c == 'r')
			ret->ram = number(optarg);
		else if (c == 'u')
			ret->uid = (uid_t)number(optarg);
		else if (c == 'g')
			ret->gid = (gid_t)number(optarg);
		else if (c == 'R')
			ret->root = optarg;
		else if (c == 'd')
			log_init("gangway-device", LOG_LVL_DEBUG);
		else if (c == 'V')
			exit(puts("gangway-device " GANGWAY_VERSION) < 0 ? EXIT_FAILED : EXIT_OK);
		else
			exit(EXIT_USAGE);
	}
	if (!ret->id || !ret->bdf || !ret->ram || optind != argc) {
		fprintf(stderr, "usage: gangway-device --id LEASE --bdf BDF --ram BYTES [--uid N] [--gid N] [--root DIR]\n"
				"Started by gangwayd, with its sockets and VFIO descriptors open as 3 to 7.\n");
		exit(EXIT_USAGE);
	}
}

/*
 * Listening once more makes this process the one whose credentials a connecting peer reads (SO_PEERCRED; unix_listen() in
 * net/unix/af_unix.c): gangwayd finds the pid of a process that an earlier gangwayd started.
 */
static int claim_sockets(struct err *err)
{
	if (listen(DEVICE_FD_CTL, DEVCTL_CLIENTS) < 0 || listen(DEVICE_FD_VUSER, 16) < 0)
		return err_set(err, -errno, "device.no-sockets", "descriptors %d and %d are no sockets: %s", DEVICE_FD_CTL,
			       DEVICE_FD_VUSER, strerror(errno));
	return 0;
}

/* The first line of a small file; false: it cannot be read. */
static bool read_line(const char *path, char *buf, int size)
{
	FILE *f = fopen(path, "re");
	bool ok = f && fgets(buf, size, f);

	if (f)
		fclose(f);
	buf[ok ? strcspn(buf, "\n") : 0] = '\0';
	return ok;
}

/*
 * The threads that fault guest memory in: no more than the processors we may use, and than our cgroup, and those it is in, pay for (cgroup2
 * alone). Read before the sandbox has no files; they start before it is sealed.
 */
static unsigned nr_threads(uint64_t ram)
{
	char group[256], path[sizeof(group) + 32], cpu_max[64];
	cpu_set_t set;
	int cpus = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
	unsigned nr = iommu_nr_threads((unsigned)cpus, NULL, ram);

	if (!read_line("/proc/self/cgroup", group, sizeof(group)) || strncmp(group, "0::/", 4) != 0)
		return nr;
	for (char *end = strrchr(group, '/'); end; end = strrchr(group, '/')) {
		snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/cpu.max", group + 4);
		if (read_line(path, cpu_max, sizeof(cpu_max)))
			nr = iommu_nr_threads(nr, cpu_max, ram);
		*end = '\0';
	}
	return nr;
}

static int run(const struct options *opt, struct err *err)
{
	const int vfio[DEVICE_PROTO_FDS] = { DEVICE_FD_CONTAINER, DEVICE_FD_GROUP, DEVICE_FD_DEVICE };
	struct vdev_fds fds = { .container = DEVICE_FD_CONTAINER, .group = DEVICE_FD_GROUP, .device = DEVICE_FD_DEVICE };
	struct vuser *vuser = NULL;
	struct vfdev dev;
	unsigned threads = nr_threads(opt->ram);
	struct devctl ctl;
	char name[64];
	int r;

	r = sandbox_drop(opt->root, opt->uid, opt->gid, err);
	if (r == 0)
		r = claim_sockets(err);
	if (r == 0)
		r = vfdev_init(&dev, sys_device(), opt->bdf, fds, opt->ram, threads, err);
	if (r < 0)
		return r;
	devctl_init(&ctl, DEVICE_FD_CTL, opt->id, opt->bdf, vfio);
	snprintf(name, sizeof(name), "vf %s", opt->bdf);
	r = vuser_new(&vfdev_ops, &dev, name, &vuser);
	if (r < 0)
		err_set(err, r, "device.no-memory", "out of memory");
	if (r == 0)
		r = sandbox_limit_fds(vfdev_max_fds(&dev), err);
	if (r == 0)
		r = sandbox_limit_memory(MEMORY_LIMIT, err);
	if (r == 0)
		r = sandbox_seal(err);
	if (r == 0) {
		r = device_serve(&ctl, vuser, &dev, DEVICE_FD_VUSER);
		if (r < 0)
			err_set(err, r, "device.poll", "poll: %s", strerror(-r));
	}
	/* the VMM sees its connection end before the device goes */
	vuser_free(vuser);
	vfdev_done(&dev);
	devctl_done(&ctl);
	return r;
}

int main(int argc, char **argv)
{
	struct options opt;
	struct err err = { 0 };

	log_init("gangway-device", LOG_LVL_INFO);
	parse(argc, argv, &opt);
	/* jansson would open /dev/urandom at its first object */
	json_object_seed(0);
	umask(077);
	if (chdir("/") < 0)
		return EXIT_FAILED;
	/* a terminal that closes, or gangwayd's Ctrl-C, is not ours */
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (run(&opt, &err) < 0) {
		log_err("%s: %s: %s", opt.id, err.code, err.msg);
		return EXIT_FAILED;
	}
	log_info("%s: vf %s: ended on request", opt.id, opt.bdf);
	return EXIT_OK;
}
