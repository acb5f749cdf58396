/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests share that play the cases of QEMU's tests/qtest/virtio-net-failover.c: what the VMM and its guest do, and what was sent to it. */
#ifndef GANGWAY_FAILOVER_TEST_H
#define GANGWAY_FAILOVER_TEST_H

#include "switcher_internal.h"
#include "switcher_test.h"

/* --- what was sent --- */

/* Of all that would change something, so often. */
static inline void count_sent(char *buf, size_t size)
{
	static const char *const commands[] = {
		"device_add",
		"device_del",
		"netdev_add",
		"netdev_del",
		"migrate",
		"migrate_cancel",
		"cont",
		"stop",
		"migrate-set-parameters",
		"migrate-set-capabilities",
	};
	size_t n = 0;

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		n += (size_t)snprintf(buf + n, size - n, "%s %u ", commands[i], fake_qmp_count(vm1->peer, commands[i]));
}

static char sent_before[400];

static inline void from_now_on(void)
{
	count_sent(sent_before, sizeof(sent_before));
}

#define nothing_sent(when)                                                                                                       \
	do {                                                                                                                     \
		char sent_[400];                                                                                                 \
		count_sent(sent_, sizeof(sent_));                                                                                \
		cr_assert_str_eq(sent_, sent_before, "%s: %s, not %s", when, sent_, sent_before);                                \
	} while (0)

/* --- what QEMU and its guest do --- */

static inline void migration(const char *status)
{
	char data[64];

	snprintf(data, sizeof(data), "{\"status\": \"%s\"}", status);
	fake_qmp_event(vm1->peer, "MIGRATION", data);
	fake_host_settle(h);
}

static inline void about(const char *event, const char *member_name, const char *id)
{
	char data[128];

	snprintf(data, sizeof(data), "{\"%s\": \"%s\"}", member_name, id);
	fake_qmp_event(vm1->peer, event, data);
	fake_host_settle(h);
}

static inline void asks_to_unplug(const char *id)
{
	about("UNPLUG_PRIMARY", "device-id", id);
}

static inline void negotiates(const char *id)
{
	about("FAILOVER_NEGOTIATED", "device-id", id);
}

static inline void run_state(const char *status)
{
	vm1->status = status;
	fake_guest_update(vm1);
}

/* What query-migrate says from now on; NULL: nothing. */
static inline void asked_says(const char *answer)
{
	vm1->migration = answer;
	fake_guest_update(vm1);
}

static inline void completes(void)
{
	fake_qmp_event(vm1->peer, "STOP", NULL);
	run_state("postmigrate");
	migration("completed");
}

/* What changes on the host takes a while. */
static inline bool leads_to_both(void *arg)
{
	(void)arg;
	return to_vf() && to_standby() && !lease()->busy;
}

static inline void until_both(void)
{
	cr_assert(fake_host_until(h, leads_to_both, NULL, 5000));
}

static inline void begin_attached(void)
{
	begin_pair(false);
	attach_pair("macvtap");
	from_now_on();
}

static inline bool left_for_good(void *arg)
{
	struct lease *l;

	(void)arg;
	TAILQ_FOREACH(l, &h->d.leases, link)
	if (!l->left || l->busy || l->sw->nr_cleared != 2)
		return false;
	return h->d.nr_leases > 0;
}

/* Nothing leads to what is left of the guest, and it is let alone until its VMM ends. */
static inline void is_left_alone(void)
{
	cr_assert(fake_host_until(h, left_for_good, NULL, 5000));
	cr_assert_str_eq(text_now("leg"), "none");
	cr_assert_str_eq(text_now("reason"), "migration");
	cr_assert(!to_vf() && !to_standby());
	nothing_sent("the guest has left");
	fake_guest_die(vm1);
	until_leases(0);
	cr_assert_eq(records(), 0);
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "igbvf");
	end();
}

static inline void run_for(unsigned ms)
{
	uint64_t now, until;

	sd_event_now(h->event, CLOCK_MONOTONIC, &now);
	for (until = now + ms * 1000ull; now < until; sd_event_now(h->event, CLOCK_MONOTONIC, &now))
		cr_assert_geq(sd_event_run(h->event, until - now), 0);
}

static inline bool has_reason(void *reason)
{
	return !strcmp(lease_reason_to_string(lease()->reason) ? lease_reason_to_string(lease()->reason) : "", reason);
}

#endif
