/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two guests' VFs on the same memory: the later one is held back, until the other is gone or another guest's no more. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../daemon/devproc_internal.h"
#include "daemon.h"
#include "fake.h"
#include "lease.h"
#include "shared.h"

static struct daemon d;
static struct fake *fake;

struct side {
	struct devproc proc; /* as far as it is used here: its socket and its status */
	struct lease *lease;
	int peer;
};

static void side_start(struct side *s, const char *guest, const char *nic)
{
	struct err err;
	int fds[2];

	*s = (struct side){ 0 };
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	cr_assert_eq(lease_new(&d, guest, nic, &s->lease, &err), 0, "%s", err.msg);
	s->proc.ctl_fd = fds[0];
	s->peer = fds[1];
	s->lease->dev = &s->proc;
}

static void side_stop(struct side *s)
{
	s->lease->dev = NULL;
	lease_free(s->lease);
	close(s->proc.ctl_fd);
	close(s->peer);
}

static void maps(struct side *s, uint64_t ino)
{
	s->proc.status.files[s->proc.status.nr_files++] = (struct devproc_file){ 1, ino };
	shared_check(&d);
}

/* What the process is told; it does it. */
static const char *told(struct side *s)
{
	static char text[128];
	ssize_t n = recv(s->peer, text, sizeof(text) - 1, 0);

	if (n < 0)
		return "";
	text[n] = '\0';
	strcpy(s->proc.status.held, strstr(text, "true") ? "pending shared" : "");
	return text;
}

#define ON "{\"op\":\"shared\",\"on\":true}"
#define OFF "{\"op\":\"shared\",\"on\":false}"

static void setup(void)
{
	fake = fake_new();
	d = (struct daemon){ .sys = fake_sys(fake) };
	TAILQ_INIT(&d.leases);
	TAILQ_INIT(&d.guests);
}

static void teardown(void)
{
	fake_free(fake);
}

TestSuite(shared, .init = setup, .fini = teardown);

Test(shared, the_later_one_is_held)
{
	struct side a, b, c;

	side_start(&a, "vm1", "nic0");
	side_start(&b, "vm2", "nic0");
	side_start(&c, "vm3", "nic0");
	maps(&b, 7);
	maps(&c, 9);
	cr_assert_str_empty(told(&b));
	maps(&a, 8);
	maps(&a, 7);
	cr_assert_str_empty(told(&a), "its lease is the older one");
	cr_assert_str_eq(told(&b), ON);
	cr_assert_str_eq(b.lease->error.code, "iommu.memory-shared");
	cr_assert(strstr(b.lease->error.msg, "vm1/nic0") && b.lease->error.hint[0]);
	shared_check(&d);
	cr_assert_str_empty(told(&b), "said once");
	cr_assert_str_empty(told(&c));
	side_stop(&a);
	shared_check(&d);
	cr_assert_str_eq(told(&b), OFF);
	cr_assert_eq(b.lease->error.num, 0);
	side_stop(&b);
	side_stop(&c);
}

/* A device process of before: it is told once, and so is the operator. */
Test(shared, the_later_one_cannot_be_held)
{
	const struct devproc_msg no = { .op = DEVPROC_OP_ERROR };
	struct side a, b;

	side_start(&a, "vm1", "nic0");
	side_start(&b, "vm2", "nic0");
	maps(&a, 7);
	maps(&b, 7);
	cr_assert_str_eq(told(&b), ON);
	b.proc.status.held[0] = '\0';
	cr_assert_eq(devproc_answered(&b.proc, &no), 0);
	shared_check(&d);
	cr_assert_str_empty(told(&b));
	cr_assert_str_eq(b.lease->error.code, "iommu.memory-shared-old");
	cr_assert(b.lease->error.hint[0]);
	b.lease->error.msg[0] = '\0';
	shared_check(&d);
	cr_assert_str_empty(b.lease->error.msg, "said once");
	side_stop(&a);
	shared_check(&d);
	cr_assert_eq(b.lease->error.num, 0);
	side_stop(&b);
}

Test(shared, two_vfs_of_one_guest)
{
	struct side a, b;

	side_start(&a, "vm1", "nic0");
	side_start(&b, "vm1", "nic1");
	maps(&a, 7);
	maps(&b, 7);
	cr_assert_str_empty(told(&a));
	cr_assert_str_empty(told(&b));
	side_stop(&a);
	side_stop(&b);
}

Test(shared, allowed)
{
	struct side a, b;

	d.config.share_memory = true;
	side_start(&a, "vm1", "nic0");
	side_start(&b, "vm2", "nic0");
	maps(&a, 7);
	maps(&b, 7);
	cr_assert_str_empty(told(&b));
	side_stop(&a);
	side_stop(&b);
}
