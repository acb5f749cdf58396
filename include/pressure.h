/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pressure: is memory short, of a host or a cgroup? From signs that come at their own times: stalls (PSI), what is available, what is read from
 * swap. No clock of its own: times are milliseconds of the caller's monotonic clock.
 *
 * A cgroup's stalls are its own. The host's count those of any cgroup at its own limit (memory.max, memory.high), and so do pages read from swap: both are
 * signs only where the host has little left, or somebody has to reclaim for want of the host's memory.
 *
 * It begins with one sign and ends when there was none for calm_ms; where it has come back soon after its end, for twice as long each time, up
 * to 32 times. Between low and high what is available is a sign while there is pressure, and none before.
 */
#ifndef GANGWAY_PRESSURE_H
#define GANGWAY_PRESSURE_H

#include <stdbool.h>
#include <stdint.h>

struct pressure_config {
	uint64_t low, high; /* bytes available */
	uint64_t swapin_limit; /* pages read from swap a second; 0: they are no sign */
	unsigned calm_ms;
};

struct pressure {
	bool on;
	uint64_t since_ms; /* it is on, or off */
	uint64_t last_ms; /* of the last sign */
	unsigned nr_flaps; /* it came back so often soon after its end */
	bool seen; /* there ever was any */
};

struct pressure_host { /* what there is to see of a host */
	uint64_t available; /* bytes */
	uint64_t swapins; /* pages a second */
	bool stalled; /* since the last look */
	bool reclaims; /* who asked for memory had to reclaim some first, and not for a limit of its cgroup's */
};

/* Each returns whether .on has changed. A sign that needs no other: */
bool pressure_stall(struct pressure *p, const struct pressure_config *c, uint64_t now_ms);
bool pressure_host(struct pressure *p, const struct pressure_config *c, const struct pressure_host *h, uint64_t now_ms);
/* Time has passed without a sign. */
bool pressure_tick(struct pressure *p, const struct pressure_config *c, uint64_t now_ms);
/* So long there must have been no sign. */
uint64_t pressure_calm_ms(const struct pressure *p, const struct pressure_config *c);

#endif
