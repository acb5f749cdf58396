/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Noticing migrations, and devices that leave. */
#include "vmm_migrate.h"
#include "vmm_test.h"

#define CAPS_OFF "[{\"capability\": \"xbzrle\", \"state\": false}, {\"capability\": \"events\", \"state\": false}]"
#define STATUS(word) "{\"status\": \"" word "\"}"
#define MIG(word) fq_event("MIGRATION", STATUS(word))
#define BUSY fq_error("GenericError", "There's a migration process in progress")
#define learn(run_state)                                                                                                         \
	fq_hello, fq_expect("query-status"), fq_return(STATUS(run_state)), fq_expect("device-list-properties"), fq_return("[]"), \
		fq_expect("device-list-properties"), fq_return("[]"), fq_expect("qom-list"), fq_return("[]"),                    \
		fq_expect("query-migrate-capabilities")
#define STEPS_MAX 48

static char told[4096];

static void on_migration(void *ctx, struct vmm *v, const struct vmm_migration *m)
{
	struct vmm_migration now;

	(void)ctx;
	vmm_get_migration(v, &now);
	cr_assert_eq(now.status, m->status);
	cr_assert_eq(vmm_get_state(v), VMM_UP);
	note(told, sizeof(told), m->role == VMM_MIG_DESTINATION ? "to:" : m->role == VMM_MIG_SOURCE ? "from:" : "?:");
	told[strlen(told) - 1] = '\0';
	note(told, sizeof(told), m->status == VMM_MIG_UNKNOWN ? "(unknown)" : m->word);
}

static const struct vmm_ops ops = {
	.on_state = on_state,
	.on_device_deleted = on_device_deleted,
	.on_migration = on_migration,
};

static void begin(const struct fake_qmp_step *script)
{
	bed_setup(&bed);
	states[0] = deleted[0] = told[0] = '\0';
	peer = fake_qmp_new(bed.event, bed.path, script);
	cr_assert_eq(vmm_new(bed.event, "vm1", bed.path, &ops, NULL, &vmm), 0);
}

struct row {
	const char *name;
	struct fake_qmp_step script[STEPS_MAX];
	const char *told, *run_state;
};

static const struct row rows[] = {
	{ "events are enabled; nothing is under way",
	  { learn("running"), fq_return(CAPS_OFF),
	    fq_expect_with("migrate-set-capabilities", "{\"capabilities\": [{\"capability\": \"events\", \"state\": true}]}"),
	    fq_return("{}"), fq_expect("query-migrate"), fq_return("{}"), fq_end },
	  "",
	  "running" },
	{ "a source, to its end", /* as QEMU 11.1.3 tells it */
	  { fq_hello_vmm, MIG("setup"), MIG("wait-unplug"), MIG("active"), fq_event("STOP", NULL), MIG("device"),
	    MIG("completed"), fq_expect("query-status"), fq_return(STATUS("postmigrate")), fq_end },
	  "from:setup from:wait-unplug from:active from:device from:completed ",
	  "postmigrate" },
	{ "cancelled, then another that fails",
	  { fq_hello_vmm, MIG("setup"), MIG("active"), MIG("cancelling"), MIG("cancelled"), fq_expect("query-status"),
	    fq_return(STATUS("running")), MIG("setup"), MIG("failing"), MIG("failed"), fq_expect("query-status"),
	    fq_return(STATUS("running")), fq_end },
	  "from:setup from:active from:cancelling from:cancelled from:setup from:failing from:failed ",
	  "running" },
	{ "a destination, from its start", /* RESUME is before completed */
	  { learn("inmigrate"), fq_return("[]"), fq_expect("query-migrate"), fq_return("{}"), MIG("setup"), MIG("active"),
	    fq_event("RESUME", NULL), MIG("completed"), fq_expect("query-status"), fq_return(STATUS("running")), MIG("setup"),
	    fq_end },
	  "to:setup to:active to:completed from:setup ",
	  "running" },
	{ "a destination by postcopy",
	  { learn("inmigrate"), fq_return("[]"), fq_expect("query-migrate"), fq_return(STATUS("setup")), MIG("active"),
	    MIG("postcopy-active"), fq_event("RESUME", NULL), MIG("postcopy-paused"), MIG("postcopy-recover-setup"),
	    MIG("postcopy-recover"), MIG("postcopy-active"), MIG("completed"), fq_expect("query-status"),
	    fq_return(STATUS("running")), fq_end },
	  "to:setup to:active to:postcopy-active to:postcopy-paused to:postcopy-recover-setup to:postcopy-recover "
	  "to:postcopy-active "
	  "to:completed ",
	  "running" },
	{ "in the middle, at a source",
	  { learn("running"), fq_return("[]"), fq_expect("query-migrate"),
	    fq_return("{\"status\": \"active\", \"ram\": {\"total\": 5}}"), MIG("active"), MIG("cancelled"),
	    fq_expect("query-status"), fq_return(STATUS("running")), fq_end },
	  "from:active from:cancelled ",
	  "running" },
	{ "in the middle, at a destination that runs already",
	  { learn("running"), fq_return("[]"), fq_expect("query-migrate"), fq_return(STATUS("postcopy-active")), fq_end },
	  "to:postcopy-active ",
	  "running" },
	{ "after it, at a source",
	  { learn("postmigrate"), fq_return("[]"), fq_expect("query-migrate"),
	    fq_return("{\"status\": \"completed\", \"ram\": {}}"), fq_expect("query-status"), fq_return(STATUS("postmigrate")),
	    fq_end },
	  "from:completed ",
	  "postmigrate" },
	{ "after it, at a destination",
	  { learn("running"), fq_return("[]"), fq_expect("query-migrate"), fq_return(STATUS("completed")),
	    fq_expect("query-status"), fq_return(STATUS("running")), fq_end },
	  "to:completed ",
	  "running" },
	{ "words nobody knows, the same twice, and what is no word",
	  { fq_hello_vmm, MIG("setup"), MIG("setup"), MIG("teleporting"), MIG("teleporting"),
	    MIG("a\\u001bword\\nthat has no end at all"), fq_event("MIGRATION", "{\"status\": 7}"), fq_event("MIGRATION", "{}"),
	    fq_event("MIGRATION", NULL), MIG("active"), fq_end },
	  "from:setup (unknown) (unknown) from:active ",
	  "running" },
	{ "it says nothing of migration",
	  { learn("running"), fq_error("CommandNotFound", "no"), fq_expect("query-migrate"), fq_error("CommandNotFound", "no"),
	    fq_end },
	  "",
	  "running" },
	{ "nonsense",
	  { learn("running"), fq_return("[{\"capability\": 1}]"), fq_expect("query-migrate"), fq_return("{\"status\": {}}"),
	    fq_end },
	  "",
	  "running" },
	{ "no list, no object",
	  { learn("running"), fq_return("7"), fq_expect("query-migrate"), fq_return("\"active\""), fq_end },
	  "",
	  "running" },
	{ "an event while it is learnt is told when it is up",
	  { fq_hello, fq_expect("query-status"), fq_return(STATUS("running")), MIG("setup"), fq_expect("device-list-properties"),
	    fq_return("[]"), fq_expect("device-list-properties"), fq_return("[]"), fq_expect("qom-list"), fq_return("[]"),
	    fq_expect("query-migrate-capabilities"), fq_return("[]"), MIG("active"), fq_expect("query-migrate"),
	    fq_error("GenericError", "no"), fq_end },
	  "from:active ",
	  "running" },
};

/* The word of a status that is not known is cut and cleaned. */
Test(vmm_watch, rows, .timeout = 60)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char expected[512];

		begin(rows[i].script);
		until_state(VMM_UP);
		until_script_done();
		bed_run_ms(&bed, 20);
		snprintf(expected, sizeof(expected), "%s", rows[i].told);
		if (strstr(expected, "(unknown)")) /* role first */
			strcpy(expected, "from:setup from:(unknown) from:(unknown) from:active ");
		cr_assert_str_eq(told, expected, "%s: %s", rows[i].name, told);
		cr_assert_str_eq(vmm_run_state(vmm), rows[i].run_state, "%s: %s", rows[i].name, vmm_run_state(vmm));
		stop();
	}
}

/* `events` cannot be enabled in the middle of a migration: asked again until it can. */
Test(vmm_watch, asked_for_without_events, .timeout = 30)
{
	static const struct fake_qmp_step script[] = { learn("running"),
						       fq_return(CAPS_OFF),
						       fq_expect("migrate-set-capabilities"),
						       BUSY,
						       fq_expect("query-migrate"),
						       fq_return("{\"status\": \"wait-unplug\", \"ram\": {}}"),
						       fq_expect("migrate-set-capabilities"),
						       BUSY,
						       fq_expect("query-migrate"),
						       fq_return("{\"status\": \"active\", \"ram\": {}}"),
						       fq_expect("migrate-set-capabilities"),
						       fq_return("{}"),
						       fq_expect("query-migrate"),
						       fq_return("{\"status\": \"failed\", \"ram\": {}}"),
						       fq_expect("query-status"),
						       fq_return(STATUS("running")),
						       MIG("setup"),
						       fq_pause(1200), /* longer than until it would be asked for again */
						       fq_end };

	begin(script);
	until_state(VMM_UP);
	cr_assert_str_eq(told, "from:wait-unplug ");
	until_script_done();
	bed_run_ms(&bed, 10);
	cr_assert_str_eq(told, "from:wait-unplug from:active from:failed from:setup ");
	stop();
}

/* The VMM dies at each question, and when it is asked again; it hangs up in the middle and comes back. */
Test(vmm_watch, dying, .timeout = 30)
{
	static const struct fake_qmp_step scripts[][STEPS_MAX] = {
		{ learn("running"), fq_do(FQ_DIE), fq_end },
		{ learn("running"), fq_return(CAPS_OFF), fq_expect("migrate-set-capabilities"), fq_do(FQ_DIE), fq_end },
		{ learn("running"), fq_return(CAPS_OFF), fq_expect("migrate-set-capabilities"), BUSY, fq_expect("query-migrate"),
		  fq_do(FQ_DIE), fq_end },
		{ learn("running"), fq_return(CAPS_OFF), fq_expect("migrate-set-capabilities"), BUSY, fq_expect("query-migrate"),
		  fq_return(STATUS("active")), fq_expect("migrate-set-capabilities"), fq_do(FQ_DIE), fq_end },
		{ fq_hello_vmm, MIG("completed"), fq_expect("query-status"), fq_do(FQ_DIE), fq_end },
		{ fq_hello_vmm, MIG("active"), fq_do(FQ_CLOSE), learn("running"), fq_return("[]"), fq_expect("query-migrate"),
		  fq_return("{\"status\": \"active\", \"ram\": {}}"), fq_pause(20), fq_do(FQ_DIE), fq_end },
	};
	struct vmm_migration now;

	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		begin(scripts[i]);
		until_script_done();
		until_state(VMM_DOWN);
		vmm_get_migration(vmm, &now);
		cr_assert_eq(now.status, VMM_MIG_NONE);
		cr_assert_str_eq(now.word, "none");
		cr_assert_eq(strstr(states, "up ") != NULL, i >= 3);
		if (i == 5)
			cr_assert_str_eq(told, "from:active from:active ");
		stop();
	}
}

static bool flood_is_over(void *arg)
{
	(void)arg;
	return vmm_get_state(vmm) == VMM_DENIED || strstr(deleted, "last ");
}

/* 2,000 migrations: each is told, and the run state is asked for by one command at a time. */
Test(vmm_watch, a_flood_of_events, .timeout = 60)
{
	static const struct fake_qmp_step script[] = { fq_hello_vmm,
						       fq_fill("{\"event\": \"MIGRATION\", \"data\": {\"status\": "
							       "\"setup\"}}\n{\"event\": \"MIGRATION\", \"data\": {\"status\": "
							       "\"failed\"}}\n",
							       2000),
						       fq_event("DEVICE_DELETED", "{\"device\": \"last\"}"),
						       fq_expect("query-status"),
						       fq_return(STATUS("running")),
						       fq_expect("query-status"),
						       fq_return(STATUS("running")),
						       fq_pause(50), /* a third one would be a failure of the next expectation */
						       fq_end };

	begin(script);
	until_state(VMM_UP);
	cr_assert(bed_until(&bed, flood_is_over, NULL, 30000));
	cr_assert_str_eq(deleted, "last ");
	until_script_done();
	stop();
}

/* Devices --------------------------------------------------------------------------------------------------------- */

Test(vmm_watch, deleted_devices)
{
	static const struct fake_qmp_step script[] = {
		fq_hello_vmm,
		/* what is none of ours, or nonsense */
		fq_event("DEVICE_DELETED", "{\"path\": \"/machine/peripheral/vf2/child\"}"),
		fq_event("DEVICE_DELETED", "{\"device\": 7}"),
		fq_event("DEVICE_DELETED", "{\"device\": \"\"}"),
		fq_event("DEVICE_DELETED", "{\"device\": \"a\\u000ab c\"}"),
		fq_event("DEVICE_DELETED", NULL),
		fq_event("DEVICE_DELETED", "{\"device\": \"a/b\"}"),
		fq_event(
			"DEVICE_DELETED",
			"{\"device\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}"),
		fq_event("DEVICE_DELETED", "{\"device\": \"vf0\"}"),
		fq_end,
	};

	begin(script);
	until_state(VMM_UP);
	until_script_done();
	bed_run_ms(&bed, 20);
	cr_assert_str_eq(deleted, "vf0 ");
	stop();
}

static void free_on_migration(void *ctx, struct vmm *v, const struct vmm_migration *m)
{
	(void)ctx;
	(void)v;
	(void)m;
	vmm = vmm_free(vmm);
}

static bool is_freed(void *arg)
{
	(void)arg;
	return !vmm;
}

Test(vmm_watch, freed_from_the_callback)
{
	static const struct fake_qmp_step script[] = { fq_hello_vmm, MIG("setup"), MIG("failed"), fq_end };
	static const struct vmm_ops free_ops = { .on_migration = free_on_migration };

	bed_setup(&bed);
	peer = fake_qmp_new(bed.event, bed.path, script);
	cr_assert_eq(vmm_new(bed.event, "vm1", bed.path, &free_ops, NULL, &vmm), 0);
	cr_assert(bed_until(&bed, is_freed, NULL, 3000));
	stop();
}

/* May devices be plugged ----------------------------------------------------------------------------------------------- */

static const struct {
	struct fake_qmp_step script[STEPS_MAX];
	int r;
	const char *code;
} plugs[] = {
	{ { fq_hello_vmm, fq_end }, 0, "" },
	{ { fq_hello_vmm, MIG("setup"), fq_end }, -EBUSY, "vmm.migrating" },
	{ { fq_hello_vmm, MIG("something-new"), fq_end }, -EBUSY, "vmm.migrating" },
	{ { fq_hello_vmm, MIG("active"), fq_event("STOP", NULL), MIG("completed"), fq_expect("query-status"), fq_end },
	  -ESTALE,
	  "vmm.postmigrate" },
	{ { fq_hello_vmm, MIG("active"), MIG("completed"), fq_expect("query-status"), fq_return(STATUS("postmigrate")), fq_end },
	  -ESTALE,
	  "vmm.postmigrate" },
	/* a background snapshot: the guest runs on, and may be stopped later */
	{ { fq_hello_vmm, MIG("active"), MIG("completed"), fq_expect("query-status"), fq_return(STATUS("running")),
	    fq_event("STOP", NULL), fq_end },
	  0,
	  "" },
	{ { learn("inmigrate"), fq_return("[]"), fq_expect("query-migrate"), fq_return("{}"), fq_end }, -EBUSY, "vmm.incoming" },
	{ { learn("prelaunch"), fq_return("[]"), fq_expect("query-migrate"), fq_return("{}"), fq_end }, 0, "" },
};

Test(vmm_watch, may_devices_be_plugged, .timeout = 30)
{
	static const struct vmm_plug plug = { .id = "vf0", .bus = "rp1", .host_bdf = "0000:3b:02.1" };
	struct err err;

	for (size_t i = 0; i < sizeof(plugs) / sizeof(plugs[0]); i++) {
		struct outcome o = { 0 };

		begin(plugs[i].script);
		cr_assert_eq(vmm_may_plug(vmm, &err), -ENOTCONN);
		until_state(VMM_UP);
		until_script_done();
		bed_run_ms(&bed, 10);
		err_clear(&err);
		cr_assert_eq(vmm_may_plug(vmm, &err), plugs[i].r, "row %zu", i);
		cr_assert_str_eq(err.code, plugs[i].code, "row %zu", i);
		cr_assert_eq(err.hint[0] != '\0', plugs[i].r < 0);
		if (plugs[i].r == -ESTALE)
			cr_assert_eq(vmm_plug(vmm, &plug, on_done, &o, &err), -ESTALE);
		stop();
	}
}

Test(vmm_watch, what_is_under_way)
{
	cr_assert(vmm_mig_is_under_way(VMM_MIG_UNKNOWN) && vmm_mig_is_under_way(VMM_MIG_CANCELLING));
	cr_assert_not(vmm_mig_is_under_way(VMM_MIG_NONE) || vmm_mig_is_under_way(VMM_MIG_CANCELLED));
}

Test(vmm_watch, every_role_has_its_word)
{
	cr_assert_str_eq(vmm_mig_role_to_string(VMM_MIG_NO_ROLE), "none");
	cr_assert_str_eq(vmm_mig_role_to_string(VMM_MIG_SOURCE), "source");
	cr_assert_str_eq(vmm_mig_role_to_string(VMM_MIG_DESTINATION), "destination");
}
