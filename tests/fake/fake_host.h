/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fake_host: a whole gangwayd in the test's own event loop: the real struct daemon, state database and control socket, on the fake kernel,
 * with guests whose VMM speaks QMP by the book, plugs and unplugs, and starts its driver, or does not.
 *
 * Each guest has a process of its own behind its QMP socket (it does nothing but be there), so that a VMM can really end.
 */
#ifndef GANGWAY_FAKE_HOST_H
#define GANGWAY_FAKE_HOST_H

#include <jansson.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "daemon.h"
#include "err.h"
#include "fake.h"
#include "fake_qmp.h"

#define FAKE_GUESTS_MAX 4
#define FAKE_PORTS 4
#define FAKE_VCPUS 4
#define FAKE_MESSAGES 3
#define FAKE_NICS 2 /* of a guest, each with a standby or without */
#define FAKE_PF_BDF "0000:3b:00.0"
#define FAKE_VF0_BDF "0000:3b:10.0"
#define FAKE_VF1_BDF "0000:3b:10.2"

/* What is plugged, "" nothing: the VF, by its id and address, its standby, and the interface of the host that the standby's netdev is. */
struct fake_nic {
	char device[80], vf[16];
	char standby[80], tap[16];
};

enum fake_unplug { FAKE_UNPLUG_OBEYED, FAKE_UNPLUG_IGNORED, FAKE_UNPLUG_REFUSED };

struct fake_guest {
	struct fake_host *host;
	char name[16], qmp[128];
	struct fake_qmp *peer; /* NULL: not running */
	pid_t pid;
	uid_t uid; /* of the VMM, before it starts */
	bool no_driver; /* the guest does not start the VF */
	bool silent; /* its VF interrupts nobody, where the host counts that (fake_host_counts_irqs()) */
	enum fake_unplug unplug;
	const char *dies_at, *hangs_at; /* when it is sent this command */
	/* what QMP says of it */
	bool shared, vfio_user;
	bool no_backend; /* for its RAM, as QEMU before 5.0 */
	bool no_free_port;
	unsigned ports; /* root ports, up to FAKE_PORTS; 0 counts as 1 */
	bool no_failover; /* its virtio driver does not know it: a VF of a pair stays hidden */
	bool keeps_standby; /* it does not let that go */
	unsigned minor_ram_mib; /* RAM, MiB */
	bool pins; /* its kernel tells what its VMM has locked: all of its RAM, while it has a VF */
	bool unpins_late; /* and when it has none any more, too */
	unsigned rss_mib; /* with @pins: what of its VMM is resident */
	unsigned takes_mib; /* not resident: the first VF takes it from what the host has available */
	unsigned balloon_mib; /* what its balloon leaves it; 0: it has none */
	const char *memdev; /* another backend, before mem0, as query-memdev has it; NULL: none */
	const char *status; /* run state */
	const char *migration; /* answer to query-migrate ("\"return\": ..."); NULL: it knows no migration */
	const char *add_error; /* what device_add says, of a VF; NULL: it works */
	bool no_replug; /* it will not plug back what it holds */
	const char *standby_error; /* the same of a standby */
	const char *own; /* a standby that it was started with: its id, NULL none */
	const char *own_mac, *own_backend; /* of it: MAC; what `info network` says of its backend hn0, NULL: no such line */
	const char *own_primary; /* a VF that it was started with, too, of that pair: its id, NULL none */
	bool own_no_failover; /* it is a virtio-net of that MAC, and no standby */
	unsigned vcpus; /* that it tells of, up to FAKE_VCPUS: fake_guest_has_vcpus() */
	uint32_t messages[FAKE_MESSAGES][4]; /* of the MSI-X table of each VF: words of its entries */
	const char *table_answer; /* what the monitor says instead ("\"return\": ..."); NULL: the above */
	bool lapic_off; /* of vCPU 1 */
	bool no_vcpus, no_viommu; /* what it says of them makes no sense */
	/* as it is */
	union {
		struct fake_nic nics[FAKE_NICS];
		struct { /* the first of them */
			char device[80], vf[16];
			char standby[80], tap[16];
		};
	};
	char in_port[FAKE_PORTS][80]; /* "rp1" and up: device */
	unsigned seen_add, seen_migrate, seen_del, seen_netdev_add, seen_netdev_del;
	struct fake_qmp_answer answers[72];
	char text[31][800];
	sd_event_source *post;
};

struct fake_host {
	struct fake *fake;
	sd_event *event;
	struct daemon d;
	char dir[64];
	unsigned available_mib; /* of guests that take it: fake_host_put_available() */
	const char *boot_id;
	const char *irqbalance; /* the configuration's, from the next start on; NULL: no */
	bool running;
	struct fake_guest guests[FAKE_GUESTS_MAX];
	unsigned nr_guests;
	int client; /* on the control socket */
	sd_event_source *client_io;
	char *in;
	size_t nr_in;
	json_int_t last_id;
	json_t *answers; /* by id, as text */
	unsigned nr_progress, nr_events, nr_faults;
	json_t *last_fault; /* parameters of the last event "fault" */
	char steps[4096]; /* "name " of each progress */
	char events[8192]; /* "event from>to\n" of leases */
};

/* A host with PF eth0 (igb, 8 VFs possible, @vfs made, bound to igbvf), vfio-pci loaded, and gangwayd started. */
struct fake_host *fake_host_new(unsigned vfs);
void fake_host_free(struct fake_host *h);
/* gangwayd stops where it is, as if killed; and starts on what the state database has. */
void fake_host_stop(struct fake_host *h);
void fake_host_start(struct fake_host *h);

/* So much of its 4 GiB of memory is available. */
void fake_host_put_available(struct fake_host *h, unsigned mib);

/* Its kernel tells how many interrupts there were, from now on: else it is one before 4.9. */
void fake_host_counts_irqs(struct fake_host *h);

/* A guest known to gangwayd; started and connected where @run. */
struct fake_guest *fake_guest_add(struct fake_host *h, const char *name, bool run);
void fake_guest_run(struct fake_guest *g);
void fake_guest_die(struct fake_guest *g);
/* The guest lets the device go by itself. */
void fake_guest_eject(struct fake_guest *g);
void fake_guest_eject_standby(struct fake_guest *g);
/* Its driver starts its VFs, or stops: a reboot. */
void fake_guest_drives(struct fake_guest *g, bool on);
/* Its VF, which it drives, interrupts it, now that it is not silent any more. */
void fake_guest_is_heard(struct fake_guest *g);
/*
 * It has @nr vCPUs, of which vCPU i has APIC id i, thread FAKE_TID + i, and may run on CPU i + 1 of the host alone; VF @bdf has an MSI-X table of
 * @messages entries; the host has 4 CPUs and counts interrupts.
 */
#define FAKE_TID 700
void fake_guest_has_vcpus(struct fake_guest *g, unsigned nr);
void fake_vf_has_table(struct fake_host *h, const char *bdf, unsigned messages);
/* To be called when .pins and what it depends on were changed. */
void fake_guest_tell_pinned(struct fake_guest *g);
/* The VMM plugs the VF by itself. */
void fake_guest_replug(struct fake_guest *g);
/* Its answers follow from its fields: to be called when they were changed. */
void fake_guest_update(struct fake_guest *g);

/* Runs the loop until @cond, at most @ms. */
bool fake_host_until(struct fake_host *h, bool (*cond)(void *arg), void *arg, unsigned ms);
void fake_host_settle(struct fake_host *h); /* until nothing happens any more at once, and no operation is under way */
bool fake_host_guest_up(struct fake_host *h, const char *name);

/* A call through the control socket. send: its id. wait: the answer ("result" or "error"), the caller's. @params: taken over, NULL none. */
json_int_t fake_host_send(struct fake_host *h, const char *method, json_t *params);
json_t *fake_host_wait(struct fake_host *h, json_int_t id);
/* The client goes, whatever it waits for, and another one comes. */
void fake_host_hang_up(struct fake_host *h);
json_t *fake_host_call(struct fake_host *h, const char *method, json_t *params);
/* Calls, and wants success (0) or "code/errno"; the text of what came instead, NULL: as wanted. Static. */
const char *fake_host_expect(struct fake_host *h, const char *want, const char *method, json_t *params);

#endif
