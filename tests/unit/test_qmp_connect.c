/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the QMP client connects, what it makes of a refusal, and how it tries again. */
#include "qmp_client_test.h"

#include "fdutil.h"

#include <sys/socket.h>

Test(qmp, a_socket_that_appears_is_noticed_at_once)
{
	static const struct fake_qmp_step script[] = { fq_hello, fq_end };
	uint64_t before, after;

	start(NULL);
	until_state(QMP_DOWN);
	cr_assert_str_eq(qmp_why(qmp)->code, "qmp.no-socket");
	cr_assert_eq(qmp_why(qmp)->num, -ENOENT);
	bed_run_ms(&bed, 300);
	cr_assert_eq(nr_states, 1, "an absent socket is not polled");
	peer = fake_qmp_new(bed.event, bed.path, script);
	sd_event_now(bed.event, CLOCK_MONOTONIC, &before);
	until_state(QMP_READY);
	sd_event_now(bed.event, CLOCK_MONOTONIC, &after);
	cr_assert_lt(after - before, 80000);
	stop();
}

Test(qmp, a_folder_that_appears_is_found_by_the_timer)
{
	static const struct fake_qmp_step script[] = { fq_hello, fq_end };

	start(NULL);
	rmdir(bed.dir);
	until_state(QMP_DOWN);
	bed_run_ms(&bed, 50);
	cr_assert_eq(mkdir(bed.dir, 0700), 0);
	peer = fake_qmp_new(bed.event, bed.path, script);
	until_state(QMP_READY);
	stop();
}

Test(qmp, refused_then_back)
{
	static const struct fake_qmp_step script[] = { fq_hello,	 fq_do(FQ_REFUSE), fq_pause(250),
						       fq_do(FQ_LISTEN), fq_hello,	   fq_end };

	start(script);
	until_state(QMP_READY);
	until_state(QMP_DOWN);
	cr_assert_str_eq(qmp_why(qmp)->code, "qmp.refused");
	cr_assert_eq(qmp_why(qmp)->num, -ECONNREFUSED);
	until_state(QMP_READY);
	cr_assert_str_eq(codes, "greeting:qmp.connecting negotiating:qmp.connecting ready trying:qmp.closed down:qmp.refused "
				"greeting:qmp.connecting negotiating:qmp.connecting ready ");
	stop();
}

Test(qmp, the_pause_between_attempts_doubles_to_a_limit)
{
	static const struct fake_qmp_step script[] = { fq_do(FQ_REFUSE), fq_end };
	unsigned last = 0;

	start(script);
	until_state(QMP_DOWN);
	for (int i = 0; i < 10; i++) {
		cr_assert_geq(qmp->retry_ms, last);
		cr_assert_leq(qmp->retry_ms, QMP_RETRY_MAX_MS);
		last = qmp->retry_ms;
		qmp_retry_in(qmp, 0); /* the attempt, without the pause */
		bed_run_ms(&bed, 5);
	}
	cr_assert_eq(last, QMP_RETRY_MAX_MS);
	stop();
}

Test(qmp, a_file_in_its_place_is_denied)
{
	FILE *f;

	start(NULL);
	f = fopen(bed.path, "w");
	fclose(f);
	until_state(QMP_DENIED);
	cr_assert_str_eq(qmp_why(qmp)->code, "qmp.not-a-socket");
	cr_assert_eq(qmp_why(qmp)->num, -ENOTSOCK);
	stop();
}

Test(qmp, a_datagram_socket_is_denied)
{
	int fd;

	start(NULL);
	fd = fd_listen_unix(bed.path, SOCK_SEQPACKET, 0600);
	cr_assert_geq(fd, 0);
	until_state(QMP_DENIED);
	cr_assert_str_eq(qmp_why(qmp)->code, "qmp.not-qmp");
	close(fd);
	stop();
}

Test(qmp, a_full_queue_is_denied)
{
	int clients[70], n = 0, fd;

	start(NULL);
	fd = fd_listen_unix(bed.path, SOCK_STREAM, 0600); /* nobody accepts */
	cr_assert_geq(fd, 0);
	while (n < 70 && (clients[n] = fd_connect_unix(bed.path, SOCK_STREAM)) >= 0)
		n++;
	cr_assert_lt(n, 70);
	until_state(QMP_DENIED);
	cr_assert_str_eq(qmp_why(qmp)->code, "qmp.busy");
	while (n)
		close(clients[--n]);
	close(fd);
	stop();
}

Test(qmp, no_permission_is_denied)
{
	static const struct fake_qmp_step script[] = { fq_end };

	start(script);
	if (geteuid() == 0) {
		chown(bed.dir, 65534, 65534);
		chown(bed.path, 65534, 65534);
		chmod(bed.path, 0);
		cr_assert_eq(seteuid(65533), 0);
	} else {
		chmod(bed.path, 0);
	}
	until_state(QMP_DENIED);
	cr_assert_str_eq(qmp_why(qmp)->code, "qmp.access");
	cr_assert_eq(qmp_why(qmp)->num, -EACCES);
	if (getuid() == 0)
		cr_assert_eq(seteuid(0), 0);
	stop();
}

Test(qmp, paths)
{
	static const struct {
		const char *path;
		int r;
	} rows[] = {
		{ "relative", -EINVAL },  { "", -EINVAL },
		{ "/", -EINVAL },	  { "/run/", -EINVAL },
		{ "/run/a\nb", -EINVAL }, { "/dev/null", -ENOTSOCK },
		{ "/tmp", -ENOTSOCK },	  { "/nowhere/qmp.sock", 0 },
	};
	char path[109];
	struct err err;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_assert_eq(qmp_path_check(rows[i].path, &err), rows[i].r, "%s", rows[i].path);
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[108] = '\0';
	cr_assert_eq(qmp_path_check(path, &err), -ENAMETOOLONG);
	cr_assert_str_eq(err.code, "qmp.path-too-long");
	path[107] = '\0';
	cr_assert_eq(qmp_path_check(path, &err), 0);
	start(NULL);
	qmp_free(qmp);
	cr_assert_eq(qmp_new(bed.event, "vm1", "relative", &ops, NULL, &qmp), -EINVAL);
	qmp = NULL;
	stop();
}
