/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's VMM: its states as gangway sees them, what it is asked before an attach, and what each version can do. */
#include "vmm_test.h"

#include "../../vmm/qmp_internal.h"
#include "../../vmm/vmm_internal.h"

#define STATUS                                                                                                                   \
	{                                                                                                                        \
		"query-status", NULL, "\"return\": {\"status\": \"running\", \"running\": true}"                                 \
	}
#define MEMORY                                                                                                                   \
	{                                                                                                                        \
		"query-memory-size-summary", NULL, "\"return\": {\"base-memory\": 134217728, \"plugged-memory\": 1048576}"       \
	}
#define MEMDEV(list)                                                                                                             \
	{                                                                                                                        \
		"query-memdev", NULL, "\"return\": " list                                                                        \
	}
#define SHARED                                                                                                                   \
	MEMDEV("[{\"share\": true, \"size\": 134217728, \"id\": \"m0\"}, {\"share\": true, \"size\": 1048576, \"id\": \"d0\"}]")
#define NO_TYPE(name)                                                                                                            \
	{                                                                                                                        \
		"device-list-properties", name, "\"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"Device not found\"}"     \
	}
#define TYPE(name)                                                                                                               \
	{                                                                                                                        \
		"device-list-properties", name, "\"return\": [{\"name\": \"socket\", \"type\": \"SocketAddress\"}]"              \
	}
#define NO_PORTS                                                                                                                 \
	{                                                                                                                        \
		"qom-list", "/machine/peripheral\"", "\"return\": [{\"name\": \"type\", \"type\": \"string\"}]"                  \
	}
#define END                                                                                                                      \
	{                                                                                                                        \
		NULL, NULL, NULL                                                                                                 \
	}

static void query(const struct fake_qmp_answer *table, struct outcome *o)
{
	struct err err;

	start(NULL);
	fake_qmp_table(peer, table);
	until_state(VMM_UP);
	cr_assert_eq(vmm_query(vmm, VMM_FREE_PORTS, on_info, o, &err), 0);
	cr_assert_eq(o->calls, 0);
	until_done(o);
	stop();
}

Test(vmm_query, everything)
{
	/* as QEMU 11.1.3 answers */
	static const struct fake_qmp_answer table[] = {
		STATUS,
		MEMORY,
		SHARED,
		TYPE("vfio-user-pci"),
		TYPE("vfio-pci"),
		{ "qom-list", "/machine/peripheral\"",
		  "\"return\": [{\"name\": \"type\", \"type\": \"string\"}, {\"name\": \"rp10\", \"type\": "
		  "\"child<pcie-root-port>\"}, "
		  "{\"name\": \"n1\", \"type\": \"child<virtio-net-pci>\"}, {\"name\": \"rp2\", \"type\": "
		  "\"child<pcie-root-port>\"}, "
		  "{\"name\": \"rp1\", \"type\": \"child<pcie-root-port>\"}, {\"name\": \"rpoff\", \"type\": "
		  "\"child<pcie-root-port>\"}, "
		  "{\"name\": \"gone\", \"type\": \"child<pcie-root-port>\"}, {\"name\": \"../x\", \"type\": "
		  "\"child<pcie-root-port>\"}]" },
		{ "qom-list", "/machine/peripheral/rp1/rp1",
		  "\"return\": [{\"name\": \"child[0]\", \"type\": \"link<virtio-net-pci>\"}]" },
		{ "qom-list", "/machine/peripheral/gone/gone",
		  "\"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"Device '/machine/peripheral/gone/gone' not found\"}" },
		{ "qom-list", "/machine/peripheral/rp",
		  "\"return\": [{\"name\": \"type\", \"type\": \"string\"}, {\"name\": \"realized\", \"type\": \"bool\"}, "
		  "{\"name\": \"hotplug-handler\", \"type\": \"link<hotplug-handler>\"}]" },
		{ "qom-get", "/machine/peripheral/rpoff", "\"return\": false" },
		{ "qom-get", "/machine/peripheral/rp10",
		  "\"error\": {\"class\": \"GenericError\", \"desc\": \"Property 'pcie-root-port.hotplug' not found\"}" },
		{ "qom-get", "hotplug", "\"return\": true" },
		END,
	};
	struct outcome o = { 0 };

	query(table, &o);
	cr_assert_eq(o.r, 0);
	cr_assert_str_eq(o.info.version, "11.1.3");
	cr_assert_str_eq(o.info.run_state, "running");
	cr_assert_eq(o.info.ram_bytes, 134217728 + 1048576);
	cr_assert(o.info.ram_shared);
	cr_assert_str_empty(o.info.ram_unshared_id);
	cr_assert(o.info.has_vfio_user && o.info.has_vfio_pci);
	cr_assert_not(o.info.unplug_vfio_user_safe);
	cr_assert_str_eq(o.info.free_ports[0], "rp2");
	cr_assert_str_eq(o.info.free_ports[1], "rp10");
}

/* Each question costs a busy VMM time: no more ports are asked about than are wanted, as far as they are free. */
Test(vmm_query, no_more_ports_than_wanted)
{
	static const struct fake_qmp_answer table[] = {
		STATUS,
		MEMORY,
		SHARED,
		TYPE("vfio-user-pci"),
		TYPE("vfio-pci"),
		{ "qom-list", "/machine/peripheral\"",
		  "\"return\": [{\"name\": \"rp1\", \"type\": \"child<pcie-root-port>\"}, "
		  "{\"name\": \"rp2\", \"type\": \"child<pcie-root-port>\"}, "
		  "{\"name\": \"rp3\", \"type\": \"child<pcie-root-port>\"}, "
		  "{\"name\": \"rp4\", \"type\": \"child<pcie-root-port>\"}]" },
		{ "qom-list", "/machine/peripheral/rp1/rp1",
		  "\"return\": [{\"name\": \"child[0]\", \"type\": \"link<virtio-net-pci>\"}]" },
		{ "qom-list", "/machine/peripheral/rp", "\"return\": []" },
		{ "qom-get", "hotplug", "\"return\": true" },
		END,
	};
	static const char *const first[] = { "", "rp2", "rp2" }, *const second[] = { "", "", "rp3" };

	for (unsigned wanted = 0; wanted <= VMM_FREE_PORTS; wanted++) {
		struct outcome o = { 0 };

		start(NULL);
		fake_qmp_table(peer, table);
		until_state(VMM_UP);
		cr_assert_eq(vmm_query(vmm, wanted, on_info, &o, NULL), 0);
		until_done(&o);
		cr_assert_str_eq(o.info.free_ports[0], first[wanted]);
		cr_assert_str_eq(o.info.free_ports[1], second[wanted]);
		/* one at connect; rp1 is taken, and told so by an answer like the others */
		cr_assert_eq(fake_qmp_count(peer, "qom-list"), 1 + wanted + (wanted > 0));
		stop();
	}
}

Test(vmm_query, is_the_guest_here)
{
	static const struct {
		const char *word, *reply;
		bool incoming, prelaunch, postmigrate;
	} rows[] = {
		{ "running", "\"return\": {\"status\": \"running\"}", false, false, false },
		{ "inmigrate", "\"return\": {\"status\": \"inmigrate\"}", true, false, false },
		{ "prelaunch", "\"return\": {\"status\": \"prelaunch\"}", false, true, false },
		{ "postmigrate", "\"return\": {\"status\": \"postmigrate\"}", false, false, true },
		{ "finish-migrate", "\"return\": {\"status\": \"finish-migrate\"}", false, false, true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fake_qmp_answer table[] = { { "query-status", NULL, rows[i].reply },
						   MEMORY,
						   SHARED,
						   NO_TYPE("vfio-user-pci"),
						   NO_TYPE("vfio-pci"),
						   NO_PORTS,
						   END };
		struct outcome o = { 0 };

		query(table, &o);
		cr_assert_eq(o.r, 0);
		cr_assert_str_eq(o.info.run_state, rows[i].word);
		cr_assert_eq(o.info.incoming, rows[i].incoming);
		cr_assert_eq(o.info.prelaunch, rows[i].prelaunch);
		cr_assert_eq(o.info.postmigrate, rows[i].postmigrate);
	}
}

struct ram_row {
	struct fake_qmp_answer memdev;
	bool shared;
	const char *id;
};

Test(vmm_query, is_the_ram_shared)
{
	static const struct ram_row rows[] = {
		{ SHARED, true, "" },
		/* -m without a backend */
		{ MEMDEV("[{\"share\": false, \"size\": 135266304, \"id\": \"pc.ram\"}]"), false, "pc.ram" },
		/* the same before QEMU 5.0 */
		{ MEMDEV("[]"), false, "the machine's own RAM" },
		{ MEMDEV("[{\"share\": true, \"size\": 1048576, \"id\": \"d0\"}]"), false, "the machine's own RAM" },
		{ MEMDEV("[{\"share\": true, \"size\": 134217728, \"id\": \"m0\"}, {\"share\": false, \"size\": 1048576, \"id\": "
			 "\"d0\"}, {\"share\": false, \"size\": 1, \"id\": \"d1\"}]"),
		  false, "d0" },
		{ MEMDEV("[{\"share\": false, \"size\": 135266304}]"), false, "(unnamed)" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fake_qmp_answer table[] = {
			STATUS, MEMORY, rows[i].memdev, NO_TYPE("vfio-user-pci"), NO_TYPE("vfio-pci"), NO_PORTS, END
		};
		struct outcome o = { 0 };

		query(table, &o);
		cr_assert_eq(o.r, 0);
		cr_assert_eq(o.info.ram_shared, rows[i].shared, "row %zu", i);
		cr_assert_str_eq(o.info.ram_unshared_id, rows[i].id);
		cr_assert(!o.info.has_vfio_user && !o.info.has_vfio_pci);
		cr_assert_str_empty(o.info.free_ports[0]);
		cr_assert_str_empty(o.info.free_ports[1]);
	}
}

Test(vmm_query, answers_of_wrong_types)
{
	static const struct fake_qmp_answer bad[] = {
		{ "query-memory-size-summary", NULL, "\"return\": {\"base-memory\": -1}" },
		{ "query-memory-size-summary", NULL, "\"return\": {\"base-memory\": \"1G\"}" },
		{ "query-memory-size-summary", NULL, "\"return\": {\"base-memory\": 1, \"plugged-memory\": -1}" },
		{ "query-memdev", NULL, "\"return\": 3" },
		{ "query-memdev", NULL, "\"return\": [3]" },
		{ "query-memdev", NULL, "\"return\": [{\"share\": 1, \"size\": 1}]" },
		{ "query-memdev", NULL,
		  "\"return\": [{\"share\": true, \"size\": 9223372036854775807}, {\"share\": true, \"size\": "
		  "9223372036854775807}, "
		  "{\"share\": true, \"size\": 9223372036854775807}]" },
		{ "qom-list", NULL, "\"return\": \"\"" },
		{ "qom-list", NULL, "\"return\": [{\"name\": 1, \"type\": null}]" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct fake_qmp_answer table[] = { bad[i],	     STATUS,   MEMORY, SHARED, TYPE("vfio-user-pci"),
						   TYPE("vfio-pci"), NO_PORTS, END };
		struct outcome o = { 0 };

		query(table, &o);
		cr_assert_eq(o.r, -EPROTO, "row %zu: %d", i, o.r);
		cr_assert_str_eq(o.err.code, "vmm.bad-answer");
	}
}

Test(vmm_query, an_error_is_passed_on)
{
	static const struct fake_qmp_answer table[] = { STATUS, MEMORY, TYPE("vfio-user-pci"), TYPE("vfio-pci"), NO_PORTS, END };
	struct outcome o = { 0 };

	query(table, &o); /* no query-memdev */
	cr_assert_eq(o.r, -EOPNOTSUPP);
	cr_assert_str_eq(o.err.code, "qmp.command-not-found");
}

Test(vmm_query, the_vmm_dies)
{
	static const struct fake_qmp_step script[] = { fq_hello_vmm, fq_expect("query-status"),
						       fq_return("{\"status\": \"running\"}"), fq_do(FQ_DIE), fq_end };
	struct outcome o = { 0 };

	start(script);
	until_state(VMM_UP);
	cr_assert_eq(vmm_query(vmm, VMM_FREE_PORTS, on_info, &o, NULL), 0);
	until_done(&o);
	cr_assert_eq(o.r, -ECONNRESET);
	until_state(VMM_DOWN);
	cr_assert_eq(o.calls, 1);
	stop();
}

/* What it is like is asked for at connect, by several commands: whichever of them is not answered in time, the connection is lost. */
Test(vmm_query, it_hangs_while_it_is_learnt)
{
	static const struct fake_qmp_step script[] = { fq_hello, fq_expect("query-status"),
						       fq_return("{\"status\": \"running\"}"),
						       fq_expect("device-list-properties"), fq_end };
	struct err why;

	start(script);
	until_script_done();
	bed_run_ms(&bed, 20); /* the answer to query-status */
	cr_assert_str_eq(vmm_run_state(vmm), "running");
	err_set(&why, -ETIMEDOUT, "qmp.timeout", "as when the deadline has passed");
	qmp_lost(vmm->qmp, QMP_DENIED, &why);
	cr_assert_eq(vmm_get_state(vmm), VMM_DENIED, "is %s", vmm_state_to_string(vmm_get_state(vmm)));
	stop();
}

/* States --------------------------------------------------------------------------------------------------------------- */

Test(vmm_query, states_and_credentials)
{
	static const struct fake_qmp_step script[] = {
		fq_hello_vmm, fq_event("STOP", NULL), fq_pause(50), fq_event("RESUME", NULL), fq_pause(50), fq_do(FQ_DIE), fq_end
	};
	struct outcome o = { 0 };
	struct err err;

	start(script);
	cr_assert_eq(vmm_query(vmm, VMM_FREE_PORTS, on_info, &o, &err), -ENOTCONN);
	cr_assert_str_eq(err.code, "vmm.not-up");
	cr_assert_eq(vmm_pid(vmm), 0);
	until_state(VMM_UP);
	cr_assert_eq(vmm_pid(vmm), getpid());
	cr_assert_eq(vmm_uid(vmm), geteuid());
	cr_assert_eq(vmm_gid(vmm), getegid());
	bed_run_ms(&bed, 30);
	cr_assert_str_eq(vmm_run_state(vmm), "paused");
	bed_run_ms(&bed, 40);
	cr_assert_str_eq(vmm_run_state(vmm), "running");
	until_state(VMM_DOWN);
	cr_assert_eq(nr_events, 2);
	cr_assert_str_empty(vmm_run_state(vmm));
	cr_assert_str_eq(states, "up connecting down qmp.no-socket ");
	cr_assert_eq(vmm_pid(vmm), 0);
	cr_assert_eq(vmm_query(vmm, VMM_FREE_PORTS, on_info, &o, &err), -ENOTCONN);
	cr_assert(strstr(err.msg, "no QMP socket"), "%s", err.msg);
	stop();
	cr_assert_eq(o.calls, 0);
}

/* Tried again and again, it is told once. */
Test(vmm_query, denied_is_told_once)
{
	static const struct fake_qmp_step script[] = { fq_do(FQ_ACCEPT),    fq_raw("login: \n"),
						       fq_do(FQ_CLOSED),    fq_do(FQ_ACCEPT),
						       fq_raw("login: \n"), fq_do(FQ_CLOSED),
						       fq_hello_vmm,	    fq_end };

	start(script);
	until_state(VMM_DENIED);
	cr_assert_str_eq(vmm_why(vmm)->code, "qmp.not-qmp");
	until_state(VMM_UP);
	cr_assert_str_eq(states, "denied qmp.not-qmp up ");
	stop();
}

Test(vmm_query, bad_paths)
{
	struct err err;

	cr_assert_eq(vmm_path_check("qmp.sock", &err), -EINVAL);
	cr_assert_eq(vmm_path_check("/dev/null", &err), -ENOTSOCK);
	cr_assert_eq(vmm_new(NULL, "vm1", "qmp.sock", NULL, NULL, &vmm), -EINVAL);
	cr_assert_null(vmm_free(NULL));
}

/* Versions ------------------------------------------------------------------------------------------------------------- */

Test(vmm_versions, table)
{
	static const struct {
		struct qmp_version version;
		bool failover, vfio_user, unplug;
	} rows[] = {
		{ { 4, 1, 1 }, false, false, false }, { { 4, 2, 0 }, true, false, false }, { { 10, 0, 9 }, true, false, false },
		{ { 10, 1, 0 }, true, true, false },  { { 11, 1, 3 }, true, true, false }, { { 11, 1, 99 }, true, true, false },
		{ { 11, 2, 0 }, true, true, false },  { { 12, 0, 0 }, true, true, false }, { { 0, 0, 0 }, false, false, false },
	};
	const char *why;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_assert_eq(vmm_version_can(&rows[i].version, VMM_FAILOVER, &why), rows[i].failover);
		cr_assert_eq(vmm_version_can(&rows[i].version, VMM_VFIO_USER, &why), rows[i].vfio_user);
		cr_assert_eq(vmm_version_can(&rows[i].version, VMM_UNPLUG_VFIO_USER, &why), rows[i].unplug);
		cr_assert(why[0]);
	}
}
