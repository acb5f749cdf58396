/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pressure begins with one sign, ends after a calm time, and is not believed to have ended so soon when it flaps. */
#include <criterion/criterion.h>

#include "pressure.h"

static const struct pressure_config config = { .low = 100, .high = 200, .swapin_limit = 50, .calm_ms = 1000 };

static bool level(struct pressure *p, const struct pressure_config *c, uint64_t available, uint64_t swapins, uint64_t now)
{
	return pressure_host(p, c, &(struct pressure_host){ .available = available, .swapins = swapins }, now);
}

Test(pressure, hysteresis)
{
	struct pressure p = { 0 };

	cr_assert(!level(&p, &config, 100, 50, 1) && !p.on, "at the limits there is none");
	cr_assert(level(&p, &config, 99, 0, 2) && p.on);
	cr_assert(!level(&p, &config, 199, 0, 900) && p.on, "between, it goes on");
	cr_assert(!level(&p, &config, 200, 0, 1899) && p.on);
	cr_assert(level(&p, &config, 200, 0, 1900) && !p.on);
	cr_assert(!level(&p, &config, 150, 0, 1901) && !p.on, "between, it does not begin");
}

Test(pressure, swap)
{
	struct pressure p = { 0 };
	struct pressure_config none = config;
	struct pressure_host h = { .available = 199, .swapins = 51 };

	cr_assert(!level(&p, &config, 200, UINT64_MAX, 0) && !p.on, "a cgroup at its own limit swaps, too");
	cr_assert(pressure_host(&p, &config, &h, 1) && p.on);
	h = (struct pressure_host){ .available = 200, .swapins = 26, .reclaims = true };
	cr_assert(!pressure_host(&p, &config, &h, 1500) && p.on, "half of it is still a sign");
	h.swapins = 25;
	cr_assert(!pressure_host(&p, &config, &h, 2499) && p.on);
	cr_assert(pressure_host(&p, &config, &h, 2500) && !p.on);
	none.swapin_limit = 0;
	cr_assert(!level(&p, &none, 150, UINT64_MAX, 2501) && !p.on);
}

/* A container at its own memory.max stalls the whole day; the host's memory is not short for that. */
Test(pressure, stalls_of_the_host)
{
	struct pressure_host h = { .available = 200, .stalled = true };
	struct pressure p = { 0 };

	cr_assert(!pressure_host(&p, &config, &h, 1) && !p.on);
	h.available = 199;
	cr_assert(pressure_host(&p, &config, &h, 2) && p.on, "little is left");
	h = (struct pressure_host){ .available = 200, .stalled = true };
	cr_assert(pressure_host(&p, &config, &h, 1002) && !p.on, "over, whatever stalls");
	h.reclaims = true;
	cr_assert(pressure_host(&p, &config, &h, 1003) && p.on, "of one node, as may be");
	h.stalled = false;
	cr_assert(pressure_host(&p, &config, &h, 3003) && !p.on, "by itself it is none");
}

Test(pressure, flaps)
{
	struct pressure p = { 0 };
	uint64_t now = 0;

	cr_assert(pressure_stall(&p, &config, now));
	cr_assert_eq(pressure_calm_ms(&p, &config), 1000u);
	for (unsigned i = 1; i <= 7; i++) {
		now += pressure_calm_ms(&p, &config);
		cr_assert(pressure_tick(&p, &config, now) && !p.on);
		now += 7999;
		cr_assert(pressure_stall(&p, &config, now));
		cr_assert_eq(pressure_calm_ms(&p, &config), 1000u << (i < 5 ? i : 5), "%u", i);
	}
	/* and then not for a while */
	now += pressure_calm_ms(&p, &config);
	cr_assert(!pressure_tick(&p, &config, now - 1));
	cr_assert(pressure_tick(&p, &config, now));
	cr_assert(pressure_stall(&p, &config, now + 8000));
	cr_assert_eq(pressure_calm_ms(&p, &config), 1000u);
}
