/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gangway.conf(5): the daemon's configuration, read once at start. */
#ifndef GANGWAY_CONFIG_H
#define GANGWAY_CONFIG_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "emul.h"
#include "log.h"

struct err;

struct config {
	char socket[PATH_MAX];
	char state[PATH_MAX]; /* the SQLite database */
	char runtime_dir[PATH_MAX];
	char group[64]; /* members may use the control socket */
	bool read_only_all; /* anybody may call what only reads */
	enum log_level log_level;
	char device_program[PATH_MAX];
	unsigned device_uid_first; /* each gangway-device has a uid and gid of its own: from here up, LIMIT_LEASES of them */
	unsigned unplug_timeout_ms; /* for the guest to let a VF go */
	unsigned guest_timeout_ms; /* for the guest's driver to start a VF */
	bool share_memory; /* VFs of several guests may reach the same memory */
	unsigned fault_limit; /* faults of a VF within fault_window, past which it is quarantined; 0: never */
	unsigned fault_window; /* seconds */
	/* [attach], where an attach does not say */
	bool standby_auto; /* a macvtap, or none where that cannot be had; else: */
	struct emul_words standby;
	/* [switch] */
	unsigned return_delay_ms; /* what kept a lease off its VF has to stay away for so long */
	unsigned rate_limit, rate_window; /* so many ways back, within so many seconds */
	unsigned unplug_deadline_ms; /* a guest that keeps its VF longer loses its DMA */
	unsigned settle_ms; /* after the VF's first interrupt, until it has a link */
	/* [irq] */
	unsigned irq_follow_ms; /* from one look at a guest's interrupts to the next; 0: they are not looked at */
	unsigned irq_table_ms; /* so long at least from one reading of its MSI-X tables to the next */
	unsigned irq_storm_rate; /* interrupts a second of one lease that are told; 0: none */
	char irqbalance[PATH_MAX]; /* where irqbalance has its socket; "": it is not looked for */
	bool irq_route; /* and they are moved */
	/* [metrics] */
	char metrics_listen
		[PATH_MAX]; /* path, or address as of metrics_address_parse(), where they are served by HTTP; "": nowhere */
	/* [memory] */
	unsigned margin_mib; /* of what host and cgroup can give, so much is left when a VF's memory is pinned */
	unsigned low_mib,
		high_mib; /* available on the host: below the first memory is short, above the second it is not any more; CONFIG_BY_HOST */
	unsigned swapin_limit; /* pages read from swap a second; 0: that is no sign */
	unsigned stall_ms, window_ms; /* of PSI: so much of that stands still for want of memory */
	unsigned calm_ms; /* without a sign for so long, it is over */
	unsigned poll_ms; /* from one look to the next */
};

#define CONFIG_BY_HOST UINT_MAX /* not said: as the host's memory wants it */

void config_defaults(struct config *config);
/* low_mib and high_mib on a host with @total bytes of RAM (0: not known), in bytes. */
void config_memory_levels(const struct config *config, uint64_t total, uint64_t *ret_low, uint64_t *ret_high);
/*
 * Read @path over what @config holds. @must_exist: a missing file is an error. Errors name file and line:
 * -EINVAL config.bad-line / config.unknown-key / config.bad-value, -EPERM config.unsafe (writable by others than root).
 */
int config_read(struct config *config, const char *path, bool must_exist, struct err *err);
/* Do the values go together? -EINVAL config.contradiction; config_read() has looked. */
int config_check(const struct config *config, struct err *err);
/* One "section.key" with its value: what config_read() does for each line, and the fuzzer calls. */
int config_set(struct config *config, const char *section, const char *key, const char *value, struct err *err);

#endif
