/* SPDX-License-Identifier: GPL-2.0-or-later */
/* irqbalance is told which interrupts to leave alone, and that it may have them again. The other end of its socket is here. */
#include <criterion/criterion.h>
#include <sys/socket.h>

#include "fdutil.h"
#include "irq_balance_internal.h"
#include "irq_follow_test.h"
#include "irq_keep_internal.h"

/* An irqbalance: its list, and what it was sent. */
static struct {
	int fd;
	sd_event_source *source;
	char path[128], list[8192]; /* "IRQ 7 LOAD 0 " */
	const char *says; /* to "setup", instead */
	bool silent;
	int clients[64];
	unsigned nr_clients, nr_set;
} peer;

static void set_list(const char *text)
{
	unsigned irq;
	int used;

	peer.list[0] = '\0';
	peer.nr_set++;
	for (; sscanf(text, "%u %n", &irq, &used) == 1; text += used)
		snprintf(peer.list + strlen(peer.list), sizeof(peer.list) - strlen(peer.list), "IRQ %u LOAD 0 DIFF 0 CLASS 5 ",
			 irq);
}

static int on_question(sd_event_source *s, int fd, uint32_t revents, void *ctx)
{
	char buf[501] = "", text[8300];
	ssize_t n = recv(fd, buf, 500, 0);

	(void)ctx;
	(void)revents;
	sd_event_source_unref(s);
	if (n > 0 && !strncmp(buf, "setup", 5)) {
		snprintf(text, sizeof(text), "SLEEP 10 %sBANNED 00000000,00000000", peer.list);
		n = send(fd, peer.says ? peer.says : text, strlen(peer.says ? peer.says : text), MSG_NOSIGNAL);
	} else if (n > 0 && !strncmp(buf, "settings ban irqs ", 18)) {
		set_list(buf + 18);
	}
	cr_assert_geq(n, 0);
	close(fd);
	return 0;
}

static int on_client(sd_event_source *s, int fd, uint32_t revents, void *ctx)
{
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)s;
	(void)revents;
	(void)ctx;
	cr_assert_geq(client, 0);
	if (peer.silent)
		peer.clients[peer.nr_clients++] = client;
	else
		cr_assert_geq(sd_event_add_io(h->event, &(sd_event_source *){ NULL }, client, EPOLLIN, on_question, NULL), 0);
	return 0;
}

static void start_peer(int pid)
{
	snprintf(peer.path, sizeof(peer.path), "%s/irqbalance%d.sock", h->dir, pid);
	peer.fd = fd_listen_unix(peer.path, SOCK_STREAM, 0600);
	cr_assert_geq(peer.fd, 0);
	cr_assert_geq(sd_event_add_io(h->event, &peer.source, peer.fd, EPOLLIN, on_client, NULL), 0);
	fake_mkdir(h->fake, "%s", h->dir); /* gangwayd looks for it by way of its kernel */
	fake_put(h->fake, "", "%s", peer.path);
}

static void stop_peer(void)
{
	peer.source = sd_event_source_disable_unref(peer.source);
	fd_close(&peer.fd);
	unlink(peer.path);
	fake_remove(h->fake, "%s", peer.path);
	for (unsigned i = 0; i < peer.nr_clients; i++)
		close(peer.clients[i]);
	peer.nr_clients = 0;
}

static void begin_balance(void)
{
	begin_irqs(false);
	snprintf(h->d.config.irqbalance, sizeof(h->d.config.irqbalance), "%s", h->dir);
}

static bool list_is(void *want)
{
	return !strcmp(peer.list, want);
}

static void until_list(const char *want)
{
	cr_assert(fake_host_until(h, list_is, (void *)want, 5000), "\"%s\", not \"%s\"", peer.list, want);
}

#define ROW(n) "IRQ " #n " LOAD 0 DIFF 0 CLASS 5 "
#define OURS ROW(120) ROW(121) ROW(122)

static void end_balance(void)
{
	succeed("detach", of_vm1());
	cr_assert_str_eq(affinities(), WAS " " WAS " " WAS);
	remove_vectors();
	cr_assert_eq(records(), 0);
}

Test(irq_balance, is_kept_off_and_given_back)
{
	begin_balance();
	start_peer(815);
	strcpy(peer.list, ROW(7));
	attach_irqs();
	until_affinities("1 2 2");
	until_list(ROW(7) OURS);
	end_balance();
	until_list(ROW(7));
	stop_peer();
	end();
}

/* A number whose interrupt has gone is another device's soon, which irqbalance is not to be kept off. */
Test(irq_balance, numbers_that_are_gone)
{
	begin_balance();
	start_peer(815);
	strcpy(peer.list, ROW(7));
	attach_irqs();
	until_affinities("1 2 2");
	until_list(ROW(7) OURS);
	until_nobody_looks();
	fake_remove_irq(h->fake, FAKE_VF0_BDF, IRQ0 + 2);
	until_list(ROW(7) ROW(120) ROW(121));
	until_nobody_looks();
	fake_add_vector(h->fake, FAKE_VF0_BDF, IRQ0 + 2, 2, WAS);
	until_affinities("1 2 2");
	until_list(ROW(7) OURS);
	until_nobody_looks();
	remove_vectors();
	until_list(ROW(7));
	succeed("detach", of_vm1());
	stop_peer();
	end();
}

/* What the operator has on its list stays there, also where it is one of ours. */
Test(irq_balance, the_operators_own_stay)
{
	begin_balance();
	start_peer(815);
	strcpy(peer.list, ROW(121));
	attach_irqs();
	until_affinities("1 2 2");
	until_list(ROW(121) ROW(120) ROW(122));
	end_balance();
	until_list(ROW(121));
	stop_peer();
	end();
}

Test(irq_balance, there_is_none)
{
	json_t *a;

	begin_balance();
	attach_irqs();
	until_affinities("1 2 2");
	a = fake_host_call(h, "irq.show", of_vm1());
	cr_assert(json_is_null(member(a, "result.irqbalance")));
	json_decref(a);
	end_balance();
	end();
}

static void again(bool told)
{
	fake_host_stop(h);
	h->irqbalance = told ? h->dir : NULL;
	fake_host_start(h);
	follow(true);
}

/* gangwayd is killed: the next one knows what to take out again. */
Test(irq_balance, gangwayd_is_killed)
{
	begin_balance();
	start_peer(815);
	strcpy(peer.list, ROW(7));
	attach_irqs();
	until_affinities("1 2 2");
	until_list(ROW(7) OURS);
	again(true);
	cr_assert(fake_host_until(h, decided, NULL, 5000));
	until_affinities("1 2 2");
	end_balance();
	until_list(ROW(7));
	stop_peer();
	end();
}

static bool has_error(void *arg)
{
	json_t *a = fake_host_call(h, "irq.show", of_vm1());
	bool has = json_is_object(member(a, "result.irqbalance.error"));

	(void)arg;
	json_decref(a);
	return has;
}

static bool is_gone(void *arg)
{
	return access(arg, F_OK) < 0;
}

static bool was_asked(void *arg)
{
	(void)arg;
	return peer.nr_clients > 0;
}

static bool has_ours(void *arg)
{
	(void)arg;
	return strstr(peer.list, "IRQ 120 ") != NULL;
}

static bool has_none_of_ours(void *arg)
{
	return !has_ours(arg);
}

static bool tells_left_out(void *arg)
{
	json_t *a = fake_host_call(h, "irq.show", of_vm1());
	json_int_t nr = json_integer_value(member(a, "result.irqbalance.left_out"));

	(void)arg;
	json_decref(a);
	return nr > 0;
}

/* Nobody looks any more after the last detach: what it could not be told then, it is told later. Or it has gone, and its list with it. */
Test(irq_balance, the_last_word_is_said_again)
{
	char path[128];

	for (int gone = 0; gone < 2; gone++) {
		begin_balance();
		start_peer(815);
		strcpy(peer.list, ROW(7));
		attach_irqs();
		until_affinities("1 2 2");
		until_list(ROW(7) OURS);
		snprintf(path, sizeof(path), "%s/irqbalance", h->dir);
		until_nobody_looks();
		peer.silent = true;
		end_balance();
		cr_assert(fake_host_until(h, was_asked, NULL, 5000));
		cr_assert_eq(access(path, F_OK), 0, "what is on its list is on record");
		if (gone)
			stop_peer();
		peer.silent = false;
		if (!gone)
			until_list(ROW(7));
		cr_assert(fake_host_until(h, is_gone, path, 10000));
		if (!gone)
			stop_peer();
		end();
	}
}

/* The record of its leases has nothing of it any more, or it is not to be told anything: the list is given back all the same. */
Test(irq_balance, what_a_former_gangwayd_has_left)
{
	for (int no = 0; no < 2; no++) {
		begin_balance();
		start_peer(815);
		strcpy(peer.list, ROW(121) ROW(7));
		attach_irqs();
		until_affinities("1 2 2");
		until_list(ROW(121) ROW(7) ROW(120) ROW(122));
		fake_host_stop(h);
		if (!no)
			sql("UPDATE lease SET irqs = NULL");
		h->irqbalance = no ? NULL : h->dir;
		fake_host_start(h);
		until_list(ROW(121) ROW(7));
		cr_assert(fake_host_until(h, decided, NULL, 5000));
		succeed("detach", of_vm1());
		remove_vectors();
		stop_peer();
		end();
	}
}

/* A file that makes no sense: nothing is taken for ours. */
Test(irq_balance, a_record_that_makes_no_sense)
{
	static const char *const rows[] = {
		"",
		"[]",
		"{\"socket\": 7, \"irqs\": []}",
		"{\"socket\": \"x\", \"irqs\": [7]}",
		"{\"socket\": \"/x\", \"irqs\": [7, -1]}",
		"{\"socket\": \"/x\", \"irqs\": {}}",
		"{\"socket\": \"/x\", \"irqs\": [1000000000]}",
	};
	char path[128];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		FILE *f;

		begin_balance();
		start_peer(815);
		strcpy(peer.list, ROW(7));
		snprintf(path, sizeof(path), "%s/irqbalance", h->dir);
		f = fopen(path, "we");
		cr_assert(f && fputs(rows[i], f) >= 0 && fclose(f) == 0);
		again(true);
		attach_irqs();
		until_affinities("1 2 2");
		until_list(ROW(7) OURS);
		end_balance();
		until_list(ROW(7));
		cr_assert(fake_host_until(h, is_gone, path, 5000), "row %zu", i);
		stop_peer();
		end();
	}
}

/* One that was killed leaves its socket, of a lower number or not; one that is started anew has nothing of ours on its list. */
Test(irq_balance, sockets_of_the_dead)
{
	char dead[2][128];

	begin_balance();
	for (unsigned i = 0; i < 2; i++) {
		start_peer(i ? 815 : 100);
		if (i) {
			strcpy(peer.list, ROW(7));
			attach_irqs();
			until_affinities("1 2 2");
			until_list(ROW(7) OURS);
		}
		snprintf(dead[i], sizeof(dead[i]), "%s", peer.path);
		peer.source = sd_event_source_disable_unref(peer.source);
		fd_close(&peer.fd);
	}
	start_peer(900);
	strcpy(peer.list, ROW(121));
	end_balance();
	attach_irqs();
	until_affinities("1 2 2");
	until_list(ROW(121) ROW(120) ROW(122));
	end_balance();
	until_list(ROW(121));
	stop_peer();
	unlink(dead[0]);
	unlink(dead[1]);
	end();
}

static void add_theirs(unsigned nr)
{
	peer.list[0] = '\0';
	peer.nr_set = 0;
	for (unsigned i = 0; i < nr; i++)
		snprintf(peer.list + strlen(peer.list), sizeof(peer.list) - strlen(peer.list), "IRQ %u LOAD 0 ", 500 + i);
}

/*
 * Its list has room for some of ours: it gets these. For none beside its own: it is left as it is. A message has 480 bytes, one of which
 * ends it, 18 are words, and each number of theirs, and ours, takes 4.
 */
Test(irq_balance, more_than_it_can_be_told)
{
	json_t *a;

	begin_balance();
	start_peer(815);
	add_theirs(114);
	attach_irqs();
	until_affinities("1 2 2");
	cr_assert(fake_host_until(h, has_ours, NULL, 5000), "%s", peer.list);
	cr_assert(strstr(peer.list, "IRQ 500 ") && strstr(peer.list, "IRQ 613 "), "theirs stay");
	cr_assert(fake_host_until(h, tells_left_out, NULL, 5000));
	cr_assert_null(strstr(peer.list, "IRQ 122 "));
	a = fake_host_call(h, "irq.show", of_vm1());
	cr_assert_eq(json_integer_value(member(a, "result.irqbalance.kept_off")), 1);
	cr_assert_eq(json_integer_value(member(a, "result.irqbalance.left_out")), 2);
	json_decref(a);
	end_balance();
	cr_assert(fake_host_until(h, has_none_of_ours, NULL, 5000));
	cr_assert(strstr(peer.list, "IRQ 500 ") && strstr(peer.list, "IRQ 613 "));
	stop_peer();
	end();
	begin_balance();
	start_peer(815);
	add_theirs(116);
	attach_irqs();
	until_affinities("1 2 2");
	for (unsigned n = 0; n < 400 && !has_error(NULL); n++)
		fake_host_until(h, never, NULL, 10);
	cr_assert(has_error(NULL));
	cr_assert_eq(peer.nr_set, 0);
	end_balance();
	stop_peer();
	end();
}

/* A list that is longer than what is read of it is not known, and left as it is. The same number counts each time that it says it. */
Test(irq_balance, its_list_at_the_limit_and_above)
{
	for (unsigned above = 0; above < 2; above++) {
		size_t n = 0;

		begin_balance();
		start_peer(815);
		peer.nr_set = 0;
		for (unsigned i = 1; i < LIMIT_IRQS_BANNED + above; i++)
			n += (size_t)snprintf(peer.list + n, sizeof(peer.list) - n, "IRQ 7 LOAD 0 ");
		snprintf(peer.list + n, sizeof(peer.list) - n, "IRQ 8 ");
		attach_irqs();
		until_affinities("1 2 2");
		if (!above)
			until_list(ROW(7) ROW(8) OURS);
		for (unsigned i = 0; above && i < 400 && !has_error(NULL); i++)
			fake_host_until(h, never, NULL, 10);
		cr_assert_eq(has_error(NULL), above);
		cr_assert(!above || peer.nr_set == 0);
		end_balance();
		if (!above)
			until_list(ROW(7) ROW(8));
		stop_peer();
		end();
	}
}

/* What a former gangwayd has told it: at the limit it is read, above it it makes no sense. */
Test(irq_balance, record_at_the_limit_and_above)
{
	char path[128], socket[BALANCE_SOCKET_MAX] = "";
	struct irq_list list = { 0 };

	begin(1);
	snprintf(path, sizeof(path), "%s/irqbalance", h->dir);
	for (unsigned above = 0; above < 2; above++) {
		FILE *f = fopen(path, "we");

		cr_assert(f);
		fputs("{\"socket\": \"/x\", \"irqs\": [1000", f);
		for (unsigned i = 1; i < LIMIT_IRQS_BANNED + above; i++)
			fprintf(f, ", %u", 1000 + i);
		fputs("]}", f);
		fclose(f);
		cr_assert_eq(irq_balance_recorded(path, socket, &list), above ? -EPROTO : 0);
		cr_assert_eq(list.nr, LIMIT_IRQS_BANNED);
		cr_assert_eq(list.of[LIMIT_IRQS_BANNED - 1], 1000 + LIMIT_IRQS_BANNED - 1);
	}
	unlink(path);
	end();
}

static void pretend_moved(const char *guest, unsigned first, unsigned nr)
{
	struct irq_keep *k = irq_keep_of(lease_find(&h->d, guest, NULL));

	cr_assert(k);
	k->saved.nr = nr;
	for (unsigned i = 0; i < nr; i++)
		k->saved.of[i] = (struct irq_saved){ .irq = first + i, .vector = i, .msix = true };
}

static bool tells_of(void *nr)
{
	json_t *j = irq_balance_to_json(h->d.irq_balance);
	json_int_t sum = json_integer_value(json_object_get(j, "kept_off")) + json_integer_value(json_object_get(j, "left_out"));

	json_decref(j);
	return sum == *(unsigned *)nr;
}

/* More than are told are counted all the same. No host of the tests has so many: they are written by hand, and nobody looks. */
Test(irq_balance, ours_at_the_limit_and_above)
{
	static const char *const names[] = { "vm1", "vm2", "vm3" };

	begin(3);
	snprintf(h->d.config.irqbalance, sizeof(h->d.config.irqbalance), "%s", h->dir);
	h->d.config.irq_follow_ms = 0;
	start_peer(815);
	peer.list[0] = '\0';
	for (unsigned i = 0; i < 3; i++) {
		if (i)
			fake_guest_add(h, names[i], true);
		json_decref(attach(json_pack("{s:s, s:s, s:s, s:s}", "guest", names[i], "target", "eth0", "via", "vfio-pci",
					     "standby", "none")));
	}
	_Static_assert(LIMIT_IRQS_BANNED == 2 * LIMIT_IRQ_VECTORS, "two VFs have that many");
	pretend_moved("vm1", 1000, LIMIT_IRQ_VECTORS);
	pretend_moved("vm2", 2000, LIMIT_IRQ_VECTORS);
	for (unsigned above = 0; above < 2; above++) {
		unsigned want = LIMIT_IRQS_BANNED + above;

		pretend_moved("vm3", 3000, above);
		irq_balance_update(&h->d, true);
		cr_assert(fake_host_until(h, tells_of, &want, 5000), "%u", want);
	}
	for (unsigned i = 0; i < 3; i++)
		succeed("detach", json_pack("{s:s}", "guest", names[i]));
	until_list("");
	stop_peer();
	end();
}

/* Nothing that it says or does keeps gangway from its own. */
Test(irq_balance, one_that_makes_no_sense)
{
	static const char *const says[] = { "", "no", "\x1b[2J SLEEP", "BANNED 0" };

	for (size_t i = 0; i <= sizeof(says) / sizeof(says[0]); i++) {
		begin_balance();
		start_peer(815);
		peer.list[0] = '\0';
		peer.nr_set = 0;
		peer.silent = i == sizeof(says) / sizeof(says[0]);
		peer.says = peer.silent ? NULL : says[i];
		attach_irqs();
		until_affinities("1 2 2");
		for (unsigned n = 0; n < 400 && !has_error(NULL); n++)
			fake_host_until(h, never, NULL, 10);
		cr_assert(has_error(NULL), "row %zu", i);
		cr_assert_eq(peer.nr_set, 0, "its list is not touched");
		end_balance();
		stop_peer();
		end();
	}
}

Test(irq_balance, parse)
{
	static const struct {
		const char *text;
		int nr;
		unsigned irqs[3];
	} rows[] = {
		{ "SLEEP 10 BANNED 00000000", 0, { 0 } },
		{ "SLEEP 10 IRQ 33 LOAD 0 DIFF 0 CLASS 5 BANNED 0", 1, { 33 } },
		{ "SLEEP 10 IRQ 33 LOAD 0 IRQ 34 LOAD 1 IRQ 35 BANNED 0", 3, { 33, 34, 35 } },
		{ "SLEEP 10 IRQ 1 IRQ 2 IRQ 3 IRQ 4 BANNED 0", 3, { 1, 2, 3 } }, /* no room for more */
		{ "SLEEP 10 IRQ x IRQ -1 IRQ ", 0, { 0 } },
		{ "SLEEP 10 IRQ 12345678901 ", 1, { 123456789 } },
		{ "", -EPROTO, { 0 } },
		{ "SLEEP", -EPROTO, { 0 } },
		{ "TYPE 0 NUMBER 0", -EPROTO, { 0 } },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned irqs[3] = { 0 };

		cr_assert_eq(irq_balance_parse(rows[i].text, strlen(rows[i].text), irqs, 3), rows[i].nr, "%s", rows[i].text);
		cr_assert_arr_eq(irqs, rows[i].irqs, sizeof(irqs), "%s", rows[i].text);
	}
}
