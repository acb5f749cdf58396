/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A switch and its migration follower against a model of host, VMM and guest that does anything at any time: actions fail, half-way too,
 * guests pause, reboot, refuse, lose their driver, migrations begin and end at each stage, VMMs die. Seeded: a failure can be repeated,
 * and is, by GANGWAY_SEED with what was printed.
 * What must never be is asserted as it happens (world_check(), world_apply()); and whenever the faults stop, the lease must come to
 * where it is wanted.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "switch_world.h"

#define SEEDS 600 /* for each kind of VMM, or as many as GANGWAY_SEEDS in the environment says */
#define ROUNDS 100 /* of each seed */
#define STEPS 250 /* of each round */
#define CALM_MS (2 * 3600000ULL)

struct model {
	struct world w; /* first: it is the ops' ctx */
	uint64_t seed;
	bool asked; /* an unplug is pending in the VMM ... */
	bool keeps; /* ... that of a migration: the VMM keeps the device */
	bool copies; /* the migration is past wait-unplug */
	bool looks; /* the daemon has asked the VMM whether it has the VF, and is yet to hear */
	bool granted;
	uint64_t starts[64]; /* of attempts */
	unsigned nr_starts;
};

static struct model m;
static unsigned nr_asked[SWITCH_ACTION_NUM_], nr_left; /* for each action, of all seeds */
static unsigned nr_seeds = SEEDS, under_way;
static struct world *const w = &m.w;

static unsigned rnd(unsigned n)
{
	m.seed ^= m.seed << 13;
	m.seed ^= m.seed >> 7;
	m.seed ^= m.seed << 17;
	return (unsigned)((m.seed >> 33) % n);
}

static bool one_in(unsigned n)
{
	return rnd(n) == 0;
}

/* --- what is checked on the way --- */

static void moved(void *ctx, enum switch_state from, enum switch_state to, const char *why)
{
	struct switch_facts f;
	unsigned recent = 0;

	world_moved(ctx, from, to, why);
	w->moves[0] = '\0';
	switch_get_facts(w->sw, &f);
	if (to == SWITCH_PASSTHROUGH)
		m.granted = false; /* it is there */
	if (from != SWITCH_EMULATED || to != SWITCH_TO_PASSTHROUGH || f.place == PLACE_IN)
		return;
	for (unsigned i = 0; i < 64 && i < m.nr_starts; i++)
		recent += m.starts[i] + w->config.cause.rate_window_ms > w->now;
	cr_assert(m.granted || recent < w->config.cause.rate_max, "%u attempts within the window", recent);
	m.granted = false;
	m.starts[m.nr_starts++ % 64] = w->now;
}

static int started(void *ctx, enum switch_action action, unsigned deadline_ms, struct err *err)
{
	w->trace[0] = '\0';
	nr_asked[action]++;
	m.asked = (m.asked && action != SWITCH_PLUG) || (action == SWITCH_UNPLUG && w->f.place == PLACE_IN);
	return world_start(ctx, action, deadline_ms, err);
}

static const struct switch_ops model_ops = { started, moved, world_told };

/* --- the VMM and the guest --- */

static void lose_vf(enum switch_place to)
{
	w->f.place = to;
	w->f.driven = false;
	m.asked = m.keeps = false;
	if (to == PLACE_OUT) {
		w->f.revoked = false;
		world_qmp(w, "DEVICE_DELETED", VF_ID);
	}
}

/* No VF was to be had: the guest has had nothing to do with that attempt. */
static void forget_start(enum switch_action a, int r)
{
	struct switch_status status;

	switch_get_status(w->sw, &status);
	if (a == SWITCH_PREPARE && r != -EAGAIN && status.state == SWITCH_TO_PASSTHROUGH)
		m.starts[--m.nr_starts % 64] = 0;
}

static void end_action(void)
{
	static const int errors[] = { -EIO, -EAGAIN, -ETIMEDOUT, -EBUSY, -ENODEV, -ECONNRESET };
	enum switch_action a = w->pending;
	bool vmm = a == SWITCH_PLUG || a == SWITCH_UNPLUG || a == SWITCH_REPLUG, half = !vmm && one_in(2);
	int r = one_in(3) ? errors[rnd(6)] : world_result(w, a);
	struct err err;

	w->code = NULL;
	if (vmm && w->migrating) {
		r = -EBUSY;
		w->code = "vmm.migrating";
	}
	if (r == 0) {
		m.asked &= a != SWITCH_UNPLUG;
		world_end(w, 0);
		return;
	}
	w->busy = false;
	/* a release or a preparation that failed says nothing of how far it came, and may be asked for again */
	if (half && a != SWITCH_PREPARE && a != SWITCH_RELEASE)
		world_apply(w, a);
	if (a == SWITCH_PLUG && (r == -ETIMEDOUT || r == -ECONNRESET) && one_in(2))
		world_apply(w, a);
	err_set(&err, r, w->code ? w->code : "test.failed", "failed");
	forget_start(a, r);
	switch_done(w->sw, r, &err, w->now);
	if (a == SWITCH_REPLUG && w->f.place == PLACE_HELD && !w->migrating && one_in(2)) {
		/* its migration has failed as it should, and only that it was over did nobody say in time */
		world_apply(w, a);
		world_event(w, SWITCH_EV_REPLUGGED);
		world_look(w);
	}
	/* a VMM that is not to be asked for an unplug has to be asked for what it has; with the others the engine gets by without */
	m.looks |= a == SWITCH_PLUG && (w->config.unplug_unsafe || one_in(2));
}

/* As the daemon does: not while an action is under way. */
static void daemon_hears(void)
{
	struct switch_facts f;

	if (!m.looks || w->busy || w->migrating)
		return;
	m.looks = false;
	switch_get_facts(w->sw, &f);
	if (f.place == PLACE_IN && w->f.place == PLACE_OUT)
		world_qmp(w, "DEVICE_DELETED", VF_ID);
}

static void begin_again(void)
{
	w->f.vf = w->vf_filter ? FILTER_YES : FILTER_NO;
	w->f.standby = w->standby_filter ? FILTER_YES : FILTER_NO;
	w->migrating = m.copies = m.asked = m.keeps = false;
	w->awaited = !w->running && w->f.place == PLACE_OUT;
	switch_begin(w->sw, &w->f, w->running, w->now);
}

static void new_switch(void)
{
	migration_free(w->mig);
	switch_free(w->sw);
	w->sw = switch_new("vm1/nic0", &w->config, &model_ops, w);
	w->mig = migration_new(w->sw, VF_ID, STANDBY_ID, &world_migration_ops, w);
	m.nr_starts = 0;
	m.granted = false;
}

/* Its lease ends, and another one begins. */
static void vmm_dies(void)
{
	switch_stop(w->sw, "test: the VMM died", w->now);
	while (w->busy)
		end_action();
	new_switch();
	w->f.place = PLACE_OUT;
	w->f.driven = w->f.revoked = false;
	w->running = true;
	if (one_in(3)) {
		migration_incoming(w->mig, w->now);
		w->running = false;
	}
	begin_again();
}

static void migration_moves(void)
{
	static const char *const more[] = { "pre-switchover", "device", "postcopy-active", "postcopy-paused" };

	if (migration_role(w->mig) == MIGRATION_DESTINATION) {
		w->running = true;
		world_qmp(w, "MIGRATION", one_in(3) ? "postcopy-active" : "active");
		world_qmp(w, "RESUME", NULL);
		world_qmp(w, "MIGRATION", "completed");
	} else if (!w->migrating) {
		w->migrating = true;
		migration_set_snapshot(w->mig, one_in(5), w->now);
		world_qmp(w, "MIGRATION", "setup");
		m.copies = false;
		if (w->f.place == PLACE_IN && !one_in(8)) {
			m.asked = m.keeps = true;
			world_qmp(w, "UNPLUG_PRIMARY", VF_ID);
			world_qmp(w, "MIGRATION", "wait-unplug");
		}
	} else if (!m.copies && w->f.place != PLACE_IN) {
		m.copies = true;
		world_qmp(w, "MIGRATION", "active");
	} else if (m.copies) {
		world_qmp(w, "MIGRATION", more[rnd(4)]);
	}
}

static void migration_fails(void)
{
	bool replugs = w->f.place == PLACE_HELD;

	if (!w->migrating)
		return;
	if (one_in(2))
		world_qmp(w, "MIGRATION", "cancelling");
	w->migrating = m.copies = m.asked = m.keeps = false;
	w->f.place = replugs ? PLACE_IN : w->f.place;
	world_qmp(w, "MIGRATION", one_in(2) ? "cancelled" : "failed");
	world_look(w);
}

static void migration_completes(void)
{
	unsigned left = w->nr_left;

	if (!m.copies)
		return;
	w->migrating = m.copies = false;
	world_qmp(w, "MIGRATION", "completed");
	if (w->nr_left == left)
		return;
	cr_assert_eq(world_status(w).state, SWITCH_OFF);
	vmm_dies();
}

static void guest_acts(void)
{
	switch (rnd(8)) {
	case 0:
		w->has_driver = !w->has_driver;
		if (!w->has_driver && w->f.driven) {
			w->f.driven = false;
			world_event(w, SWITCH_EV_UNDRIVEN);
		}
		break;
	case 1:
		w->deaf = !w->deaf;
		break;
	case 2:
		if (migration_role(w->mig) == MIGRATION_DESTINATION)
			break;
		w->running = !w->running;
		world_qmp(w, w->running ? "RESUME" : "STOP", NULL);
		break;
	case 3: /* what is pending is completed */
		if (m.asked && w->f.place == PLACE_IN)
			lose_vf(m.keeps ? PLACE_HELD : PLACE_OUT);
		world_qmp(w, "RESET", NULL);
		break;
	case 4:
		world_qmp(w, "FAILOVER_NEGOTIATED", STANDBY_ID);
		break;
	case 5:
		if (m.asked && w->f.place == PLACE_IN && w->running)
			lose_vf(m.keeps ? PLACE_HELD : PLACE_OUT);
		break;
	case 6:
		if (w->f.place == PLACE_IN && !w->migrating && !w->busy && one_in(10))
			lose_vf(PLACE_OUT); /* by somebody's hand */
		break;
	case 7:
		world_qmp(w, "DEVICE_UNPLUG_GUEST_ERROR", VF_ID);
		break;
	}
}

static void daemon_acts(void)
{
	struct err err;

	switch (rnd(6)) {
	case 0:
		m.granted |= world_status(w).state != SWITCH_PASSTHROUGH;
		cr_assert_eq(switch_choose(w->sw, LEG_PASSTHROUGH, w->now, &err), 0);
		break;
	case 1:
		(void)switch_choose(w->sw, LEG_EMULATED, w->now, &err);
		break;
	case 2:
		w->free_vf = !w->free_vf;
		if (w->free_vf)
			world_event(w, SWITCH_EV_VF_FREE);
		break;
	default:
		/* those of migrations are the follower's */
		switch_cause(w->sw, (enum lease_reason)(REASON_MEMORY_COW + rnd(6)), one_in(2), w->now);
		break;
	}
}

static void step(void)
{
	uint64_t wake;

	w->now += one_in(20) ? rnd(60000) : rnd(50);
	w->awaited &= !w->running;
	switch (rnd(12)) {
	case 0:
		guest_acts();
		break;
	case 1:
		if (one_in(2))
			daemon_acts();
		break;
	case 2:
		if (one_in(2))
			migration_moves();
		else if (one_in(2))
			migration_fails();
		else
			migration_completes();
		break;
	case 3:
		if (one_in(40))
			vmm_dies();
		break;
	case 4:
		daemon_hears();
		break;
	case 5:
		world_guest(w);
		break;
	default:
		wake = switch_wake_ms(w->sw);
		if (w->busy)
			end_action();
		else if (wake != CAUSE_NEVER && wake > w->now && one_in(3))
			w->now = wake;
		switch_tick(w->sw, w->now);
		break;
	}
}

/* The faults stop: it must come to rest where it is wanted. */
static void calm(enum lease_leg wanted)
{
	struct switch_facts f;
	struct err err;

	if (migration_role(w->mig) == MIGRATION_DESTINATION)
		migration_moves();
	migration_fails();
	for (int r = REASON_NONE + 1; r < REASON_NUM_; r++)
		switch_cause(w->sw, (enum lease_reason)r, false, w->now);
	w->deaf = false;
	w->has_driver = w->running = w->free_vf = true;
	world_qmp(w, "RESUME", NULL);
	world_event(w, SWITCH_EV_VF_FREE);
	m.granted |= wanted == LEG_PASSTHROUGH && world_status(w).state != SWITCH_PASSTHROUGH;
	if (switch_choose(w->sw, wanted, w->now, &err) < 0)
		wanted = LEG_PASSTHROUGH; /* refused: it stays where it is */
	world_run(w, 1000);
	daemon_hears();
	world_run(w, CALM_MS);
	switch_get_facts(w->sw, &f);
	if (w->config.unplug_unsafe && f.place == PLACE_IN)
		wanted = LEG_PASSTHROUGH;
	cr_assert_eq(world_status(w).leg, wanted, "%s (%s), step %s, hold %s", switch_state_to_string(world_status(w).state),
		     world_status(w).why, switch_action_to_string(world_status(w).step),
		     world_status(w).hold ? world_status(w).hold : "-");
	cr_assert_eq(world_status(w).state, wanted == LEG_PASSTHROUGH ? SWITCH_PASSTHROUGH : SWITCH_EMULATED);
	cr_assert_eq(w->vf_filter, wanted == LEG_PASSTHROUGH);
	cr_assert_eq(w->standby_filter, wanted == LEG_EMULATED);
	cr_assert_eq(f.place, w->f.place, "place: %d, really %d; running %d", f.place, w->f.place, w->running);
	m.granted = false;
}

static void run(uint64_t seed, bool unsafe)
{
	memset(&m, 0, sizeof(m));
	world_init(w);
	w->config.unplug_unsafe = unsafe;
	w->config.cause.rate_max = 2;
	w->config.cause.rate_window_ms = 600000;
	new_switch();
	m.seed = seed;
	world_begin_emulated(w);
	for (unsigned i = 0; i < ROUNDS; i++) {
		for (unsigned j = 0; j < STEPS; j++)
			step();
		calm(one_in(2) ? LEG_PASSTHROUGH : LEG_EMULATED);
	}
	nr_left += w->nr_left;
	world_done(w);
}

/* splitmix64: neighbours have nothing in common; never 0, from which rnd() would not come away. */
static uint64_t seed_of(unsigned n, bool unsafe)
{
	uint64_t z = (2 * (uint64_t)n + unsafe + 1) * 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return (z ^ (z >> 31)) | 1;
}

static void many(bool unsafe)
{
	const char *nr = getenv("GANGWAY_SEEDS"), *one = getenv("GANGWAY_SEED");

	nr_seeds = nr ? (unsigned)strtoul(nr, NULL, 10) : SEEDS;
	under_way = one ? (unsigned)strtoul(one, NULL, 10) : 0;
	if (one)
		nr_seeds = under_way + 1;
	for (; under_way < nr_seeds; under_way++)
		run(seed_of(under_way, unsafe), unsafe);
	/* the model gets everywhere, else it would prove little */
	for (int a = 0; !one && a < SWITCH_ACTION_NUM_; a++)
		if (a != SWITCH_AWAIT_DRIVER && !(unsafe && (a == SWITCH_UNPLUG || a == SWITCH_REVOKE_DMA)))
			cr_assert_gt(nr_asked[a], 50, "%s: %u", switch_action_to_string((enum switch_action)a), nr_asked[a]);
	cr_assert(one || nr_left > 50);
}

static void say_seed(void)
{
	if (under_way < nr_seeds)
		printf("# it failed with GANGWAY_SEED=%u\n", under_way);
}

TestSuite(switch_random, .fini = say_seed);

Test(switch_random, safe)
{
	many(false);
}

Test(switch_random, unsafe)
{
	many(true);
}
