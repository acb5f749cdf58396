/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where memory is short, who may leave its VF does, one guest after the other, and comes back; who may not, stays. */
#include <criterion/criterion.h>

#include "log.h"
#include "mem_watch.h"
#include "memory_test.h"
#include "switcher_test.h"

#define MEMFD "/memfd:mem0 (deleted)"
#define PSI "/proc/pressure/memory"

static void put_locked(unsigned mib)
{
	char text[128];

	snprintf(text, sizeof(text), "VmLck:\t %u kB\nVmPin:\t 0 kB\nVmSwap:\t 0 kB\nCapEff:\t0000000000000000\n", mib << 10);
	fake_put(h->fake, text, "/proc/%d/status", vm1->pid);
}

static void begin_watched(bool psi, const char *policy)
{
	struct err err;
	json_t *p = pair_params("macvtap");

	begin_pair(false);
	h->d.config.return_delay_ms = 0;
	h->d.config.poll_ms = 20;
	h->d.config.calm_ms = 60;
	if (psi) {
		fake_mkdir(h->fake, "/proc/pressure");
		fake_put(h->fake, "", PSI);
	}
	cr_assert_eq(mem_watch_new(&h->d, &err), 0);
	put_memory(&(struct put_memory){ true, MEMFD, 512, 0, 0, 0 });
	put_available(4000);
	json_object_set_new(p, "memory", json_string(policy));
	json_decref(attach(p));
	until_at("passthrough");
	put_locked(512);
}

static bool is_watched(void *arg)
{
	json_t *j = mem_watch_to_json(h->d.mem_watch);
	bool is = !json_is_null(j) &&
		  json_integer_value(json_object_get(json_array_get(json_object_get(j, "guests"), 0), "locked")) == 512 * MIB &&
		  json_is_true(json_object_get(j, "psi")) == (arg != NULL);

	json_decref(j);
	return is;
}

static bool is_in_phase(void *phase)
{
	json_t *j = mem_watch_to_json(h->d.mem_watch);
	const char *now = json_string_value(json_object_get(json_array_get(json_object_get(j, "guests"), 0), "phase"));
	bool is = now && !strcmp(now, phase);

	json_decref(j);
	return is;
}

static void until_phase(const char *phase)
{
	cr_assert(fake_host_until(h, is_in_phase, (void *)phase, 5000), "not %s", phase);
}

static bool is_long_later(void *arg)
{
	static uint64_t until;
	uint64_t now = 0;

	sd_event_now(h->event, CLOCK_MONOTONIC, &now);
	if (!*(bool *)arg)
		until = now + 300000;
	*(bool *)arg = true;
	return now >= until;
}

/* Ten looks later. */
static void a_while(void)
{
	bool begun = false;

	fake_host_until(h, is_long_later, &begun, 5000);
}

Test(mem_watch, leaves_and_comes_back, .timeout = 60)
{
	begin_watched(false, "adaptive");
	cr_assert(fake_host_until(h, is_watched, NULL, 5000));
	put_available(100); /* below low_mib */
	until_at("emulated");
	on_standby("memory-pressure");
	put_locked(0);
	until_phase("away");
	put_available(400); /* between: not over yet */
	a_while();
	on_standby("memory-pressure");
	put_available(4000);
	until_at("passthrough");
	on_vf();
	until_phase("home");
	end();
}

Test(mem_watch, by_stalls, .timeout = 60)
{
	begin_watched(true, "adaptive");
	cr_assert(fake_host_until(h, is_watched, h, 5000), "a trigger");
	put_available(511); /* between low_mib and high_mib: by itself no sign */
	a_while();
	on_vf();
	cr_assert(fake_stall(h->fake, PSI));
	until_at("emulated");
	until_phase("away"); /* its VMM has it locked still: that is told, and no reason to wait */
	put_available(4000);
	until_at("passthrough");
	end();
}

static void put_vmstat(unsigned swapins, unsigned allocstalls)
{
	char text[160];

	snprintf(text, sizeof(text), "nr_free_pages 7\npswpin %u\npswpout 0\nallocstall_dma 1\nallocstall_normal %u\n", swapins,
		 allocstalls);
	fake_put(h->fake, text, "/proc/vmstat");
}

/* A container at its own memory.max: the kernel's count of the host has its stalls, and what it reads from swap. */
Test(mem_watch, stalls_of_somebody_else, .timeout = 60)
{
	begin_watched(true, "adaptive");
	put_vmstat(0, 0);
	cr_assert(fake_host_until(h, is_watched, h, 5000));
	for (unsigned i = 1; i <= 5; i++) {
		put_vmstat(i * 1000000, 0);
		cr_assert(fake_stall(h->fake, PSI));
		a_while();
		on_vf();
	}
	cr_assert_eq(vm1->seen_del, 0u);
	/* that the host has to reclaim for itself is another matter, as where one node of several is full */
	put_vmstat(5000000, 1);
	cr_assert(fake_stall(h->fake, PSI));
	until_at("emulated");
	on_standby("memory-pressure");
	until_at("passthrough");
	end();
}

/* Its own cgroup's memory is short, the host's is not. */
Test(mem_watch, by_stalls_of_its_cgroup, .timeout = 60)
{
	static const char path[] = "/sys/fs/cgroup/vm1/memory.pressure";

	begin_watched(true, "adaptive");
	fake_put(h->fake, "", "%s", path);
	cr_assert(fake_host_until(h, is_watched, h, 5000));
	a_while();
	cr_assert(fake_stall(h->fake, path));
	until_at("emulated");
	on_standby("memory-pressure");
	until_at("passthrough");
	end();
}

Test(mem_watch, who_keeps_its_vf, .timeout = 60)
{
	begin_watched(false, "pin");
	put_available(1);
	a_while();
	on_vf();
	/* told to give it up, it does; and told to keep it, comes back though memory is short */
	succeed("memory.set", json_pack("{s:s, s:s}", "guest", "vm1", "memory", "adaptive"));
	until_at("emulated");
	until_phase("away");
	succeed("memory.set", json_pack("{s:s, s:s}", "guest", "vm1", "memory", "pin"));
	until_at("passthrough");
	end();
}

/* It is over, but its way back would make it short again. */
Test(mem_watch, cost_is_looked_at_first, .timeout = 60)
{
	begin_watched(false, "adaptive");
	cr_assert(fake_host_until(h, is_watched, NULL, 5000));
	put_available(100);
	until_at("emulated");
	put_memory(&(struct put_memory){ true, MEMFD, 100, 0, 0, 400 }); /* it was swapped */
	until_phase("away");
	put_available(412 + 511);
	a_while();
	on_standby("memory-pressure");
	put_available(412 + 513);
	until_at("passthrough");
	end();
}

/* Nothing that is short, nothing that moves. */
Test(mem_watch, false_alarms, .timeout = 60)
{
	begin_watched(true, "adaptive");
	cr_assert(fake_host_until(h, is_watched, h, 5000));
	put_available(300); /* between low and high */
	for (unsigned i = 0; i < 3; i++)
		a_while();
	on_vf();
	cr_assert_eq(vm1->seen_del, 0u);
	end();
}

/* Begun on the emulated leg for want of memory: it goes to its VF when there is some. */
Test(mem_watch, who_was_held_comes, .timeout = 60)
{
	struct err err;

	begin_pair(false);
	h->d.config.return_delay_ms = 0;
	h->d.config.poll_ms = 20;
	put_memory(&(struct put_memory){ true, MEMFD, 256, 0, 0, 0 });
	put_available(100);
	cr_assert_eq(mem_watch_new(&h->d, &err), 0);
	json_decref(attach(pair_params("macvtap")));
	until_at("emulated");
	a_while();
	on_standby("memory-not-resident");
	put_available(1000);
	until_at("passthrough");
	on_vf();
	end();
}

static void balloon(unsigned mib)
{
	vm1->balloon_mib = mib;
	fake_guest_update(vm1);
}

Test(mem_watch, released_for_a_while, .timeout = 60)
{
	begin_watched(false, "pin");
	fail("guest.unknown", ENOENT, "memory.release", json_pack("{s:s}", "guest", "vm9"));
	succeed("memory.release", json_pack("{s:s, s:i}", "guest", "vm1", "for_s", 1));
	until_at("emulated");
	on_standby("memory-pressure");
	a_while();
	on_standby("memory-pressure");
	until_at("passthrough");
	end();
}

Test(mem_watch, released_until_its_balloon_is_there, .timeout = 60)
{
	begin_watched(false, "adaptive");
	balloon(512);
	succeed("memory.release", json_pack("{s:s, s:I}", "guest", "vm1", "until_bytes", (json_int_t)(256 * MIB)));
	until_at("emulated");
	until_phase("away");
	a_while();
	on_standby("memory-pressure");
	balloon(256);
	until_at("passthrough");
	end();
}

Test(mem_watch, cannot_be_released)
{
	struct err err;

	begin(1);
	fail("memory.not-watched", EOPNOTSUPP, "memory.release", json_pack("{s:s}", "guest", "vm1"));
	cr_assert_eq(mem_watch_new(&h->d, &err), 0);
	fail("lease.none", ENOENT, "memory.release", json_pack("{s:s}", "guest", "vm1"));
	succeed("attach",
		json_pack("{s:s, s:s, s:s, s:s}", "guest", "vm1", "target", "eth0", "via", "vfio-pci", "standby", "none"));
	fail("memory.cannot-release", EOPNOTSUPP, "memory.release", json_pack("{s:s}", "guest", "vm1"));
	end();
}

/* The VMM goes while it is on its way off: the lease with it, and nothing is left to look at. */
Test(mem_watch, killed_on_the_way, .timeout = 60)
{
	begin_watched(false, "adaptive");
	cr_assert(fake_host_until(h, is_watched, NULL, 5000));
	vm1->unplug = FAKE_UNPLUG_IGNORED;
	put_available(100);
	until_phase("leaving");
	fake_guest_die(vm1);
	until_leases(0);
	a_while();
	cr_assert(json_is_null(mem_watch_to_json(h->d.mem_watch)));
	end();
}

static unsigned lines_with(const char *path, const char *words)
{
	char line[1024];
	unsigned nr = 0;
	FILE *f = fopen(path, "re");

	cr_assert(f);
	while (fgets(line, sizeof(line), f))
		nr += strstr(line, words) != NULL;
	fclose(f);
	return nr;
}

/* Pressure that comes and goes: said once, not each time. */
Test(mem_watch, flaps_are_logged_once, .timeout = 60)
{
	char path[] = "/tmp/gangway-log-XXXXXX";
	int fd = mkstemp(path);

	cr_assert(fd >= 0 && dup2(fd, 2) == 2);
	begin_watched(false, "adaptive");
	vm1->pins = true;
	fake_guest_tell_pinned(vm1);
	log_init("gangwayd", LOG_LVL_INFO);
	for (unsigned i = 0; i < 4; i++) {
		put_available(100);
		until_at("emulated");
		until_phase("away");
		put_available(4000);
		until_at("passthrough");
		until_phase("home");
	}
	log_init("gangwayd", LOG_LVL_ERR);
	cr_assert_eq(lines_with(path, "memory: pressure has come back"), 1u);
	cr_assert_eq(lines_with(path, "memory: the host's is short"), 2u, "%u", lines_with(path, "memory: the host's is short"));
	cr_assert_eq(lines_with(path, "memory: there is room"), 1u);
	unlink(path);
	close(fd);
	end();
}

static json_t *second_nic(const char *standby)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:{s:s}}", "guest", "vm1", "target", "eth0", "nic", "nic1", "via", "vfio-pci",
			 "standby", standby, "policy", "mac", "52:54:00:00:00:bb");
}

static bool both_have_vfs(void *arg)
{
	struct lease *l = lease_find(&h->d, "vm1", "nic1");

	(void)arg;
	return vm1->nics[0].vf[0] && vm1->nics[1].vf[0] && l && !l->busy && !l->op;
}

/* One NIC more would pin what the others have left for. */
Test(mem_watch, one_more_nic_while_away, .timeout = 60)
{
	struct lease *l;
	json_t *a;

	begin_watched(false, "adaptive");
	fake_guest_die(vm1);
	until_leases(0);
	vm1->ports = 4;
	fake_guest_run(vm1);
	put_memory(&(struct put_memory){ true, MEMFD, 512, 0, 0, 0 });
	a = pair_params("macvtap");
	json_object_set_new(a, "memory", json_string("adaptive"));
	json_decref(attach(a));
	until_at("passthrough");
	put_available(100);
	cr_assert(fake_host_until(h, is_in_phase, "away", 5000));
	fail("attach.memory-pressure", EBUSY, "attach", second_nic("none"));
	a = attach(second_nic("macvtap"));
	cr_assert_str_eq(text_of(a, "lease.leg"), "emulated");
	cr_assert_str_eq(text_of(a, "lease.reason"), "memory-pressure");
	json_decref(a);
	a_while();
	l = lease_find(&h->d, "vm1", "nic1");
	cr_assert(l && l->leg == LEG_EMULATED && l->reason == REASON_MEMORY_PRESSURE);
	cr_assert_str_eq(vm1->nics[1].vf, "");
	put_available(4000);
	cr_assert(fake_host_until(h, both_have_vfs, NULL, 5000));
	until_phase("home");
	end();
}

static void restart(void)
{
	struct err err;

	fake_host_stop(h);
	fake_host_start(h);
	h->d.config.return_delay_ms = 0;
	h->d.config.poll_ms = 20;
	h->d.config.calm_ms = 60;
	cr_assert_eq(mem_watch_new(&h->d, &err), 0);
	cr_assert(fake_host_until(h, decided, NULL, 5000));
}

/* Killed while it is away: the next gangwayd neither loses the lease nor brings it back while memory is short, what it costs aside. */
Test(mem_watch, away_across_a_restart, .timeout = 60)
{
	unsigned seen;

	begin_watched(false, "adaptive");
	cr_assert(fake_host_until(h, is_watched, NULL, 5000));
	put_available(100);
	until_at("emulated");
	put_locked(0);
	until_phase("away");
	seen = vm1->seen_add;
	restart();
	a_while();
	on_standby("memory-pressure");
	cr_assert_eq(vm1->seen_add, seen, "it came, and had to leave again");
	/* and what it costs is looked at, too */
	put_memory(&(struct put_memory){ true, MEMFD, 100, 0, 0, 412 });
	put_available(412 + 511);
	restart();
	a_while();
	on_standby("memory-pressure");
	put_available(412 + 513);
	until_at("passthrough");
	until_phase("home");
	on_vf();
	end();
}

Test(mem_watch, stops_anywhere, .timeout = 60)
{
	begin_watched(true, "adaptive");
	cr_assert(fake_host_until(h, is_watched, h, 5000));
	put_available(100);
	until_phase("leaving");
	end();
}
