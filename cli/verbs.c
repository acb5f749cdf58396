/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verb table: nothing but data. */
#include "cli_verbs.h"

#include "cli_cmds.h"

#define ON_OFF "on|off"

/* clang-format off */
const struct cli_opt cli_global_opts[] = {
	{ "json", NULL, NULL, "print JSON, errors too, and nothing else on stdout", 'j' },
	{ "pretty", NULL, NULL, "print indented JSON; implies --json", 'p' },
	{ "quiet", NULL, NULL, "no progress on the terminal", 'q' },
	{ "socket", "PATH", NULL, "the daemon's socket (GANGWAY_SOCKET, else /run/gangway/gangwayd.sock)", 0 },
	{ "version", NULL, NULL, "print the version of this command", 'V' },
	{ "help", NULL, NULL, "say more, about a command if one is named", 'h' },
	{ 0 },
};

/* What a NIC is to be, whether its guest is here or yet to come. */
#define NIC_OPTS                                                                                                                 \
	{ "nic", "NAME", NULL, "name of the guest's NIC, for `detach` and `status` (nic0, nic1, ...)", 0 },                      \
		{ "via", "HOW", "auto|vfio-user|vfio-pci", "who opens the VF: gangway (vfio-user) or the VMM (vfio-pci)", 0 },   \
		{ "mac", "MAC", NULL, "MAC address of the VF", 0 },                                                              \
		{ "vlan", "VLAN", NULL, "VLAN the VF is put into, invisible to the guest", 0 },                                  \
		{ "qos", "QOS", NULL, "VLAN priority, 0 to 7", 0 }, { "proto", "PROTO", "802.1Q|802.1ad", "VLAN protocol", 0 },  \
		{ "spoofchk", "on|off", ON_OFF, "drop what the guest sends with another MAC", 0 },                               \
		{ "trust", "on|off", ON_OFF, "let the guest ask for promiscuous mode and other MACs", 0 },                       \
		{ "min-tx-rate", "MBIT", NULL, "guaranteed sending rate", 0 },                                                   \
		{ "max-tx-rate", "MBIT", NULL, "upper limit of the sending rate", 0 }, {                                         \
		"standby", "KIND", "auto|own|macvtap|bridge:|none",                                                              \
			"the emulated NIC that stands by: own, macvtap, bridge:BR, none; auto: own, else macvtap if it can be had", 0 \
	},                                                                                                                       \
		{ "memory", "POLICY", "pin|adaptive", "keep the VF as long as it has it, or give it up where memory is short", 0 }, \
		{ "unshare", NULL, NULL, "have memory that is shared with a template copied, for the VF", 0 },                   \
		{ "priority", "N", NULL, "with adaptive: 0 gives its VF up first, 9 last (5)", 0 }

static const struct cli_opt attach_opts[] = {
	NIC_OPTS,
	{ "prepare", NULL, NULL, "for a guest not started yet: print the QEMU arguments to start it with", 0 },
	{ "user", "NAME", NULL, "with --prepare: the user that QEMU will run as", 0 },
	{ "dry-run", NULL, NULL, "print the steps and change nothing", 0 },
	{ "timing", NULL, NULL, "print the steps with the time each took and what it waited for", 0 },
	{ "wait", "SECONDS", NULL, "how long the guest may take to drive the VF, up to 600", 0 },
	{ 0 },
};

static const struct cli_opt detach_opts[] = {
	{ "timing", NULL, NULL, "print the steps with the time each took and what it waited for", 0 },
	{ "wait", "SECONDS", NULL, "how long the guest may take to let the VF go, up to 600", 0 },
	{ 0 },
};

static const struct cli_opt migrate_opts[] = {
	{ "abort", NULL, NULL, "cancel the migration under way", 0 },
	{ "bandwidth", "MBYTES", NULL, "limit, megabytes a second", 0 },
	{ "downtime", "MS", NULL, "how long the guest may stand still at the end, milliseconds", 0 },
	{ "postcopy", NULL, NULL, "once its memory has been copied, let it go; what it wrote meanwhile follows", 0 },
	{ 0 },
};

static const struct cli_opt switch_opts[] = {
	{ "wait", "SECONDS", NULL, "how long to wait until it is there, up to 600", 0 },
	{ 0 },
};

static const struct cli_opt vf_show_opts[] = {
	{ "dma", NULL, NULL, "print the VF's DMA address space instead, range by range (vfio-user leases)", 0 },
	{ 0 },
};

static const struct cli_opt guest_add_opts[] = {
	{ "qmp", "PATH", NULL, "the guest's QMP socket (QEMU: -qmp unix:PATH,server=on,wait=off)", 0 },
	{ "incoming", "PF", NULL, "it comes by migration: make its NIC ready, with a VF of this PF as soon as there is one", 0 },
	NIC_OPTS,
	{ 0 },
};

static const struct cli_opt memory_set_opts[] = {
	{ "unshare", NULL, NULL, "have memory that is shared with a template copied, for the VF", 0 },
	{ "priority", "N", NULL, "with adaptive: 0 gives its VF up first, 9 last", 0 },
	{ 0 },
};

static const struct cli_opt memory_release_opts[] = {
	{ "for", "SECONDS", NULL, "how long, 1 to 86400 (600)", 0 },
	{ "until-bytes", "N", NULL, "no longer than until its balloon leaves it N bytes", 0 },
	{ 0 },
};

static const struct cli_opt monitor_opts[] = {
	{ "count", "N", NULL, "end after N events", 0 },
	{ 0 },
};

static const struct cli_opt help_opts[] = {
	{ "list", NULL, NULL, "the whole verb table, one line each, for programs", 0 },
	{ 0 },
};

const struct cli_verb cli_verbs[] = {
	{ "doctor", "", 0, 0, NULL, "check whether this host can do it, and say how to mend what it cannot",
	  "Looks at the IOMMU, interrupt remapping, modules, PFs, the memory lock limit, hugepages and QEMU. Each finding is ok,\n"
	  "info, warn or fail; fail and warn come with a hint. Exit code 1 if a finding is `fail`.",
	  "gangway doctor\n"
	  "gangway -j doctor",
	  cli_cmd_doctor },
	{ "pf list", "", 0, 0, NULL, "the NICs of this host that have virtual functions",
	  "VFS is the number of VFs there are and the number the NIC can have; LEASED how many of them guests have.",
	  "gangway pf list",
	  cli_cmd_pf_list },
	{ "pf show", "PF", 1, 1, NULL, "everything about one PF, and its VFs",
	  "",
	  "gangway pf show eth0\n"
	  "gangway pf show 0000:02:00.0",
	  cli_cmd_pf_show },
	{ "pf set", "PF vfs N", 3, 3, NULL, "set how many VFs a PF has",
	  "Refused, with the list of leases, while a guest has any of its VFs: the kernel can change the number only by removing\n"
	  "all of them. gangway never does this by itself.",
	  "gangway pf set eth0 vfs 4",
	  cli_cmd_pf_set },
	{ "vf list", "[PF]", 0, 1, NULL, "the VFs, of all PFs or of one, and who has them",
	  "LEASE names the lease that has the VF; `free` means that `attach` may take it; anything else says what keeps it.",
	  "gangway vf list\n"
	  "gangway vf list eth0",
	  cli_cmd_vf_list },
	{ "vf show", "VF", 1, 1, vf_show_opts, "everything about one VF",
	  "`-` stands for what the driver does not report.\n"
	  "\n"
	  "With `--dma`: each range of addresses at which the VF reaches the guest's memory, as the VMM has mapped it; then the\n"
	  "totals, and whether the kernel counts as many entries of the IOMMU as gangway does.",
	  "gangway vf show eth0/vf3\n"
	  "gangway vf show eth0/vf3 --dma",
	  cli_cmd_vf_show },
	{ "vf set", "VF WORD VALUE...", 3, 63, NULL, "set the policy of a VF",
	  "The words are those of `ip link set PF vf N`: mac, vlan, qos, proto (802.1Q or 802.1ad), spoofchk and trust (on or\n"
	  "off), state (auto, enable or disable), min_tx_rate and max_tx_rate (Mbit/s). Several pairs may follow each other; all\n"
	  "are checked before any is written, and what the driver made of them is read back and shown.",
	  "gangway vf set eth0/vf3 mac 52:54:00:12:34:56\n"
	  "gangway vf set eth0/vf3 vlan 100 qos 3 spoofchk on",
	  cli_cmd_vf_set },
	{ "guest add", "NAME --qmp PATH", 1, 1, guest_add_opts, "make a QEMU guest known, by its QMP socket; or one that is to come",
	  "gangway keeps one connection to the socket: give it one of its own, beside the one libvirt or others use. It connects\n"
	  "again when the guest is restarted. A relative PATH is taken from the current directory.\n"
	  "\n"
	  "With `--incoming` the guest is one that is yet to come by migration, its QEMU started with -incoming: its NIC is made\n"
	  "ready as by `attach`, with the same name and MAC as at the source. A VF is reserved and plugged when the guest runs\n"
	  "here; where none is free it stays on its emulated leg (`no-vf`) until one is. Where that cannot be, nothing is added.",
	  "gangway guest add vm1 --qmp /run/vm1.qmp\n"
	  "gangway guest add vm1 --qmp /run/vm1.qmp --incoming eth0 --mac 52:54:00:12:34:56",
	  cli_cmd_guest_add },
	{ "guest list", "", 0, 0, NULL, "the guests gangway knows",
	  "STATE is up, connecting, down, or denied if gangway may not use the socket; a line below the table says why.",
	  "gangway guest list",
	  cli_cmd_guest_list },
	{ "guest show", "NAME", 1, 1, NULL, "one guest and its leases",
	  "",
	  "gangway guest show vm1",
	  cli_cmd_guest_show },
	{ "guest remove", "NAME", 1, 1, NULL, "forget a guest",
	  "Refused while it has leases.",
	  "gangway guest remove vm1",
	  cli_cmd_guest_remove },
	{ "attach", "GUEST PF|VF", 2, 2, attach_opts, "give a guest a VF: a free one of a PF, or this one",
	  "On success one line says what was attached, how, and in what time: all of it, and gangway's own share. On failure\n"
	  "everything is as it was. Nothing of the VF's policy is written that no option asks for, but a MAC where there is an\n"
	  "emulated NIC beside the VF: both have the same.\n"
	  "\n"
	  "PF may be several, with commas between: a free VF of the one that has its link and is on the NUMA node of the guest's\n"
	  "vCPUs and memory is taken before others; of those as good as each other, of the first that has one.\n"
	  "\n"
	  "`--via auto` (the default) takes vfio-user where the VMM speaks it and can unplug it safely, else vfio-pci.\n"
	  "\n"
	  "`--standby auto` (the default) takes the NIC with failover=on and the same MAC that the guest has (own), or plugs a\n"
	  "macvtap beside the VF, so that the NIC can leave it. Where that cannot be had, the guest gets the VF all the same; a\n"
	  "warning, and `status`, say why. A kind that is named is refused then.\n"
	  "\n"
	  "With `--prepare` the guest need not run: VF and policy are set up, and the QEMU arguments, alone, go to stdout, ready\n"
	  "for $(...); what else there is to say goes to stderr.",
	  "gangway attach vm1 eth0\n"
	  "gangway attach vm1 eth0/vf3 --mac 52:54:00:12:34:56 --vlan 100\n"
	  "gangway attach vm1 eth0,eth2\n"
	  "gangway attach vm1 eth0 --dry-run\n"
	  "gangway attach vm1 eth0 --timing --wait 10\n"
	  "qemu-system-x86_64 ... $(gangway attach vm2 eth0 --prepare)",
	  cli_cmd_attach },
	{ "detach", "GUEST [NIC]", 1, 2, detach_opts, "take the VF back and leave the host as it was before",
	  "NIC may be left out if the guest has but one. The guest is asked to let the VF go; its driver, MAC and policy are put\n"
	  "back as they were before `attach`.",
	  "gangway detach vm1\n"
	  "gangway detach vm1 nic0 --timing",
	  cli_cmd_detach },
	{ "switch", "GUEST [NIC] LEG", 2, 3, switch_opts, "move a guest's NIC to its emulated leg, or back to the VF",
	  "LEG is emulated or passthrough. A NIC that is sent to its emulated leg stays there until it is sent back; other causes\n"
	  "(a migration, a fault) may keep it there longer, and `status` says which. The guest keeps its address and its\n"
	  "connections. It needs an emulated leg: `attach --standby`.",
	  "gangway switch vm1 emulated\n"
	  "gangway switch vm1 nic0 passthrough",
	  cli_cmd_switch },
	{ "migrate", "GUEST [URI]", 1, 2, migrate_opts, "migrate a guest to another host, its VFs given up for the time",
	  "URI is where the destination's QEMU listens: tcp:HOST:PORT or unix:PATH. NICs move to their emulated legs before the\n"
	  "guest's memory is copied, and to a VF of the destination when it runs there; where the migration fails or is aborted,\n"
	  "back to their VFs here. The same happens whoever begins the migration. At the destination: `gangway guest\n"
	  "add --incoming`, once its QEMU waits for the migration.\n"
	  "\n"
	  "file:PATH saves the guest there. It then stands still, until its VMM is told to go on (QMP: cont).",
	  "gangway migrate vm1 tcp:host2:4444\n"
	  "gangway migrate vm1 tcp:host2:4444 --bandwidth 1000 --downtime 100\n"
	  "gangway migrate vm1 --abort",
	  cli_cmd_migrate },
	{ "irq show", "GUEST", 1, 1, NULL, "where the interrupts of a guest's VFs arrive, and where they should",
	  "A row for each vector: what the guest has written into its table (IN-GUEST its own vector, DESTINATION an APIC id or a\n"
	  "set of them), the vCPU that is, its thread and the host's CPU it ran on last; the host's interrupt behind it, the CPUs\n"
	  "that may have it, how many came a second, and which share of them on the CPU where their vCPU was (ON-VCPU, since the\n"
	  "VF is followed). Lines below the table say why something is not known, or is not moved.",
	  "gangway irq show vm1\n"
	  "gangway -j irq show vm1",
	  cli_cmd_irq_show },
	{ "memory show", "GUEST", 1, 1, NULL, "what of a guest's memory is there, and what a VF would take of it",
	  "A VF needs all of its guest's memory resident and pinned. A row for each part of it, as its VMM has it: what backs it, what\n"
	  "is RESIDENT, SWAPPED or was never touched, what is MERGED by KSM or shared with a template (TO-COPY), and FRESH, what\n"
	  "attaching a VF would take that the guest does not have now. The line below says whether host and cgroup can give that.",
	  "gangway memory show vm1\n"
	  "gangway -j memory show vm1",
	  cli_cmd_memory_show },
	{ "memory set", "GUEST [NIC] POLICY", 2, 3, memory_set_opts, "keep a VF where memory is short, or give it up",
	  "POLICY is pin (the default: a VF that the guest has, it keeps) or adaptive: where the host's memory, or that of the guest's\n"
	  "cgroup, is short, the NIC goes to its emulated leg, its guest's memory can be swapped, merged or ballooned, and it comes\n"
	  "back later. Either way memory that a VF needs has to be there before it is given one.",
	  "gangway memory set vm1 adaptive\n"
	  "gangway memory set vm1 nic0 pin --priority 9",
	  cli_cmd_memory_set },
	{ "memory release", "GUEST", 1, 1, memory_release_opts, "have a guest's memory unpinned for a while",
	  "All its NICs go to their emulated legs, reason memory-pressure, whatever their policy: its balloon can inflate, its pages\n"
	  "can be swapped or merged. When the time is over, or its balloon is where it was to be, they come back to their VFs if\n"
	  "there is room. Refused where one of them cannot leave its VF.",
	  "gangway memory release vm1 --for 60\n"
	  "gangway memory release vm1 --until-bytes 1073741824",
	  cli_cmd_memory_release },
	{ "status", "[GUEST]", 0, 1, NULL, "who has what: the leases, of all guests or of one",
	  "LEG is passthrough while the guest uses the VF, emulated while its standby carries the traffic; REASON says why in one\n"
	  "stable word. Lines below the table explain each lease that something is wrong with, or that is not on its VF, say what\n"
	  "its switch is at, and what to do.",
	  "gangway status\n"
	  "gangway -j status vm1",
	  cli_cmd_status },
	{ "metrics", "", 0, 0, NULL, "numbers for monitoring, as Prometheus reads them",
	  "Guests, VFs of each PF, and of each lease its leg, the reason and since when, its faults, its interrupts vector by\n"
	  "vector. The text form is that of node_exporter's textfile collector: write it to a file beside, then rename that.\n"
	  "gangwayd can serve the same over HTTP: section [metrics] of gangway.conf.",
	  "gangway metrics\n"
	  "gangway metrics >gangway.prom.new && mv gangway.prom.new /var/lib/prometheus/node-exporter/gangway.prom",
	  cli_cmd_metrics },
	{ "monitor", "", 0, 0, monitor_opts, "print what happens, a line per event, until interrupted",
	  "Events are changes of leases, guests, devices, PFs and VFs. With --json each event is one JSON object on one line. An\n"
	  "event `lost` says how many were dropped because nobody read them in time.",
	  "gangway monitor\n"
	  "gangway -j monitor --count 1",
	  cli_cmd_monitor },
	{ "version", "", 0, 0, NULL, "the versions of this command and of the daemon",
	  "`gangway --version` prints that of the command alone and needs no daemon.",
	  "gangway version",
	  cli_cmd_version },
	{ "help", "[VERB...]", 0, 2, help_opts, "this, or more about one command",
	  "",
	  "gangway help attach\n"
	  "gangway help pf",
	  cli_cmd_help },
	{ 0 },
};
/* clang-format on */
