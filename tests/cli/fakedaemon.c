/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A daemon that says what a script tells it, for the tests of the command line.
 *
 *   fakedaemon [--tty] SOCKET SCRIPT LOG COMMAND ARG...   serve SCRIPT on SOCKET while COMMAND runs; exit as it does
 *   fakedaemon --check-json < FILE                        is FILE one or more JSON values and nothing else?
 *
 * Every request goes to LOG, without its id. The script begins after the first request; in it
 *   {...}       a message: one with "result" or "error" gets the id of the request; "jsonrpc" is added. May span lines.
 *   recv        wait for the next request, on a new connection if the client closed this one
 *   raw TEXT    TEXT and no newline     fill N   that many bytes `x`
 *   sleep MS    close                   hang     say nothing more, keep the connection
 * and at its end the connection stays open until the client leaves. "-" for SCRIPT: do not even listen.
 * --tty: the command's stderr is a terminal; what it wrote comes out with control characters spelled.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "die_with.h"

static void die(const char *what)
{
	fprintf(stderr, "fakedaemon: %s: %s\n", what, strerror(errno));
	exit(99);
}

static int check_json(void)
{
	size_t nr = 0;
	int c;

	for (;; nr++) {
		json_error_t e;
		json_t *v;

		while ((c = getchar()) == '\n' || c == ' ')
			;
		if (c == EOF)
			return nr ? 0 : 1;
		ungetc(c, stdin);
		v = json_loadf(stdin, JSON_DISABLE_EOF_CHECK, &e);
		if (!v) {
			fprintf(stderr, "not JSON: %s\n", e.text);
			return 1;
		}
		json_decref(v);
	}
}

static int listen_on(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(addr.sun_path))
		die(path);
	strcpy(addr.sun_path, path);
	unlink(path);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 8) < 0)
		die(path);
	return fd;
}

static int conn = -1;
static json_t *last_id;

static void put(const char *buf, size_t len)
{
	while (len) {
		ssize_t n = send(conn, buf, len, MSG_NOSIGNAL);

		if (n <= 0)
			return; /* the client has left; the next recv notices */
		buf += n;
		len -= (size_t)n;
	}
}

/* The next request into LOG and @last_id. */
static void receive(int listener, const char *log)
{
	char line[1 << 16], *text;
	size_t len = 0;
	json_t *req;
	FILE *f;

	for (;;) {
		ssize_t n = conn < 0 ? 0 : read(conn, line + len, 1);

		if (n <= 0) {
			if (conn >= 0)
				close(conn);
			len = 0;
			conn = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
			if (conn < 0)
				die("accept");
			continue;
		}
		if (line[len] == '\n')
			break;
		if (++len == sizeof(line))
			die("request too long");
	}
	req = json_loadb(line, len, 0, NULL);
	json_decref(last_id);
	last_id = json_incref(json_object_get(req, "id"));
	json_object_del(req, "id");
	json_object_del(req, "jsonrpc");
	text = json_dumps(req, JSON_COMPACT);
	f = fopen(log, "a");
	if (!f)
		die(log);
	fprintf(f, "> %s\n", text ? text : "(not JSON)");
	fclose(f);
	free(text);
	json_decref(req);
}

static void say(FILE *script)
{
	json_error_t e;
	json_t *msg = json_loadf(script, JSON_DISABLE_EOF_CHECK, &e);
	char *text;

	if (!msg) {
		fprintf(stderr, "fakedaemon: script, line %d: %s\n", e.line, e.text);
		exit(99);
	}
	json_object_set_new(msg, "jsonrpc", json_string("2.0"));
	if (!json_object_get(msg, "method") && !json_object_get(msg, "id"))
		json_object_set(msg, "id", last_id);
	text = json_dumps(msg, JSON_COMPACT);
	put(text, strlen(text));
	put("\n", 1);
	free(text);
	json_decref(msg);
}

static void obey(const char *line, int listener, const char *log)
{
	if (strcmp(line, "recv") == 0) {
		receive(listener, log);
	} else if (strncmp(line, "raw ", 4) == 0) {
		put(line + 4, strlen(line + 4));
	} else if (strncmp(line, "fill ", 5) == 0) {
		for (long n = atol(line + 5); n > 0; n -= 64)
			put("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", n < 64 ? (size_t)n : 64);
	} else if (strncmp(line, "sleep ", 6) == 0) {
		usleep((useconds_t)atol(line + 6) * 1000);
	} else if (strcmp(line, "close") == 0) {
		close(conn);
		conn = -1;
	} else if (strcmp(line, "hang") == 0) {
		pause();
	} else if (*line && *line != '#') {
		fprintf(stderr, "fakedaemon: script: what is `%s`?\n", line);
		exit(99);
	}
}

static _Noreturn void serve(int listener, const char *path, const char *log)
{
	FILE *script = fopen(path, "r");
	char line[4096];
	int c;

	if (!script)
		die(path);
	receive(listener, log);
	while ((c = getc(script)) != EOF) {
		ungetc(c, script);
		if (c == '{') {
			say(script);
		} else {
			if (!fgets(line, sizeof(line), script))
				break;
			line[strcspn(line, "\n")] = '\0';
			obey(line, listener, log);
		}
	}
	for (;;) /* more requests than the script knows are seen in the log */
		receive(listener, log);
}

/* Copies the terminal's other end to stderr until the command has closed it. */
static void copy_tty(int master)
{
	unsigned char c;

	while (read(master, &c, 1) == 1) {
		if (c == '\033')
			fputs("<ESC>", stderr);
		else if (c == '\r')
			fputs("<CR>", stderr);
		else
			fputc(c, stderr);
	}
}

static pid_t start(char **argv, int tty)
{
	pid_t self = getpid(), pid = fork();

	if (pid == 0) {
		die_with(self);
		if (tty >= 0)
			dup2(tty, STDERR_FILENO);
		execvp(argv[0], argv);
		die(argv[0]);
	}
	return pid;
}

int main(int argc, char **argv)
{
	int listener = -1, master = -1, tty = -1, status;
	pid_t self = getpid(), server = -1, command;
	bool want_tty;

	if (argc == 2 && strcmp(argv[1], "--check-json") == 0)
		return check_json();
	want_tty = argc > 1 && strcmp(argv[1], "--tty") == 0;
	argv += want_tty;
	if (argc - want_tty < 5) {
		fputs("usage: fakedaemon [--tty] SOCKET SCRIPT LOG COMMAND ARG...\n", stderr);
		return 99;
	}
	if (strcmp(argv[2], "-") != 0) {
		listener = listen_on(argv[1]);
		server = fork();
		if (server == 0) {
			die_with(self);
			serve(listener, argv[2], argv[3]);
		}
	}
	if (want_tty) {
		master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
		if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
			die("posix_openpt");
		tty = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	}
	command = start(argv + 4, tty);
	if (want_tty) {
		close(tty);
		copy_tty(master);
	}
	if (waitpid(command, &status, 0) < 0)
		die("waitpid");
	if (server > 0) {
		kill(server, SIGKILL);
		waitpid(server, NULL, 0);
		unlink(argv[1]);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
