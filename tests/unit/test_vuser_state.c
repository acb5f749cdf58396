/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The connection's states: the matrix, and that each arc is taken by what should take it. */
#include "vuser_client.h"

Test(vuser_state, matrix)
{
	/* rows: from; columns: idle negotiate running closed */
	static const char *const legal[VUSER_NUM_STATES] = {
		[VUSER_IDLE] = ".X..",
		[VUSER_NEGOTIATE] = "..XX",
		[VUSER_RUNNING] = "...X",
		[VUSER_CLOSED] = ".X..",
	};

	for (unsigned from = 0; from < VUSER_NUM_STATES; from++)
		for (unsigned to = 0; to < VUSER_NUM_STATES; to++)
			cr_assert_eq(vuser_state_may_follow(from, to), legal[from][to] == 'X', "%s -> %s",
				     vuser_state_to_string(from), vuser_state_to_string(to));
	cr_assert_not(vuser_state_may_follow(VUSER_NUM_STATES, VUSER_IDLE));
	cr_assert_not(vuser_state_may_follow(VUSER_IDLE, VUSER_NUM_STATES));
}

Test(vuser_state, names)
{
	cr_assert_str_eq(vuser_state_to_string(VUSER_IDLE), "idle");
	cr_assert_str_eq(vuser_state_to_string(VUSER_NEGOTIATE), "negotiate");
	cr_assert_str_eq(vuser_state_to_string(VUSER_RUNNING), "running");
	cr_assert_str_eq(vuser_state_to_string(VUSER_CLOSED), "closed");
	cr_assert_str_eq(vuser_state_to_string(99), "?");
}

Test(vuser_state, walk)
{
	struct dev d = { .sock = -1, .bar_fd = -1 };
	struct answer a;

	cr_assert_eq(vuser_new(&dev_ops, &d, "vf", &d.v), 0);
	cr_assert_eq(vuser_get_state(d.v), VUSER_IDLE);
	cr_assert_eq(vuser_fd(d.v), -1);
	cr_assert_eq(vuser_events(d.v), 0);
	cr_assert_eq(vuser_timeout_ms(d.v), -1);
	cr_assert_eq(vuser_process(d.v, POLLIN), -ECONNRESET);
	cr_assert_eq(vuser_get_state(d.v), VUSER_IDLE);

	dev_connect(&d);
	cr_assert_eq(vuser_get_state(d.v), VUSER_NEGOTIATE);
	cr_assert_eq(vuser_events(d.v), POLLIN);
	fd_close(&d.sock);
	cr_assert_eq(dev_pump(&d), -ECONNRESET);
	cr_assert_eq(vuser_get_state(d.v), VUSER_CLOSED);
	cr_assert_eq(d.nr_connect + d.nr_disconnect, 0, "it did not negotiate: the device never heard of it");

	dev_connect(&d);
	cr_assert_eq(vuser_get_state(d.v), VUSER_NEGOTIATE);
	cr_assert_eq(negotiate(&d, "{}", &a), 0);
	cr_assert_eq(vuser_get_state(d.v), VUSER_RUNNING);
	cr_assert_eq(d.nr_connect, 1);
	fd_close(&d.sock);
	cr_assert_eq(dev_pump(&d), -ECONNRESET);
	cr_assert_eq(dev_pump(&d), -ECONNRESET);
	cr_assert_eq(vuser_get_state(d.v), VUSER_CLOSED);
	cr_assert_eq(d.nr_disconnect, 1, "once");
	d.v = vuser_free(d.v);
	cr_assert_eq(d.nr_disconnect, 1);
	cr_assert_null(d.v);
}

Test(vuser_state, free_drops_the_client)
{
	int before = count_fds();
	struct dev d;

	cr_assert_null(vuser_free(NULL));
	dev_start_running(&d);
	d.v = vuser_free(d.v);
	cr_assert_eq(d.nr_disconnect, 1);
	dev_stop(&d);
	dev_start(&d);
	d.v = vuser_free(d.v);
	cr_assert_eq(d.nr_disconnect, 0);
	dev_stop(&d);
	cr_assert_eq(count_fds(), before);
}
