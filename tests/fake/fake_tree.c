/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fake kernel's file system: a tree in a temporary folder, and the whole of it as text. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_internal.h"

void fake_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("fake kernel: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	abort();
}

static void __attribute__((format(printf, 3, 0)))
full_path(struct fake *fake, char buf[static PATH_MAX], const char *fmt, va_list ap)
{
	size_t n = (size_t)snprintf(buf, PATH_MAX, "%s", fake->root);

	if ((size_t)vsnprintf(buf + n, PATH_MAX - n, fmt, ap) >= PATH_MAX - n)
		fake_die("path too long");
}

void fake_mkdir(struct fake *fake, const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list ap;

	va_start(ap, fmt);
	full_path(fake, path, fmt, ap);
	va_end(ap);
	for (char *s = path + strlen(fake->root) + 1;; s++) {
		char c = *s;

		if (c && c != '/')
			continue;
		*s = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			fake_die("mkdir %s: %s", path, strerror(errno));
		*s = c;
		if (!c)
			return;
	}
}

/* At once, as the kernel's files change: a worker that reads meanwhile sees the one or the other. */
void fake_put(struct fake *fake, const char *text, const char *fmt, ...)
{
	char path[PATH_MAX], new[sizeof(fake->root) + 16];
	struct stat st;
	va_list ap;
	FILE *f;

	va_start(ap, fmt);
	full_path(fake, path, fmt, ap);
	va_end(ap);
	snprintf(new, sizeof(new), "%s/.put-%d", fake->root, (int)gettid());
	f = fopen(new, "we");
	if (!f || fputs(text, f) < 0 || fclose(f))
		fake_die("write %s: %s", new, strerror(errno));
	if (stat(path, &st) == 0 && chmod(new, st.st_mode & 07777) < 0)
		fake_die("chmod %s: %s", new, strerror(errno));
	if (rename(new, path) < 0)
		fake_die("write %s: %s", path, strerror(errno));
}

void fake_symlink(struct fake *fake, const char *target, const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list ap;

	va_start(ap, fmt);
	full_path(fake, path, fmt, ap);
	va_end(ap);
	if (symlink(target, path) < 0)
		fake_die("symlink %s: %s", path, strerror(errno));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void fake_remove(struct fake *fake, const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list ap;

	va_start(ap, fmt);
	full_path(fake, path, fmt, ap);
	va_end(ap);
	if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0 && errno != ENOENT)
		fake_die("remove %s: %s", path, strerror(errno));
}

/* A file's text, one line; bytes that are no text as their number. */
static void print_content(FILE *out, int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	unsigned char buf[512];
	ssize_t n = fd < 0 ? 0 : read(fd, buf, sizeof(buf));

	for (ssize_t i = 0; i < n; i++) {
		if (buf[i] >= ' ' && buf[i] < 0x7f)
			fputc(buf[i], out);
		else if (buf[i] != '\n' || i + 1 < n)
			fprintf(out, "\\%02x", buf[i]);
	}
	if (fd >= 0)
		close(fd);
}

static void print_tree(struct fake *fake, FILE *out, const char *path)
{
	char **names, sub[PATH_MAX], target[PATH_MAX], full[PATH_MAX];
	struct sys *real = sys_linux_new(fake->root);
	struct stat st;
	int dir;

	if (!real || real->ops->list(real, path, &names) < 0)
		fake_die("cannot list %s", path);
	sys_linux_free(real);
	snprintf(full, sizeof(full), "%s%s", fake->root, path);
	dir = open(full, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	for (char **n = names; *n; n++) {
		snprintf(sub, sizeof(sub), "%s/%s", path, *n);
		if (fstatat(dir, *n, &st, AT_SYMLINK_NOFOLLOW) < 0)
			fake_die("stat %s: %s", sub, strerror(errno));
		if (S_ISDIR(st.st_mode)) {
			fprintf(out, "%s/\n", sub);
			print_tree(fake, out, sub);
		} else if (S_ISLNK(st.st_mode)) {
			ssize_t len = readlinkat(dir, *n, target, sizeof(target) - 1);

			fprintf(out, "%s -> %.*s\n", sub, (int)len, target);
		} else {
			fprintf(out, "%s = ", sub);
			print_content(out, dir, *n);
			fputc('\n', out);
		}
	}
	close(dir);
	sys_list_free(names);
}

static void print_vfs(FILE *out, const struct fake_fn *fn)
{
	for (unsigned i = 0; i < fn->pf->nr; i++) {
		const struct sys_vf *v = &fn->pf->vfs[i];

		fprintf(out,
			"vf %s/vf%u: mac %02x:%02x:%02x:%02x:%02x:%02x vlan %u qos %u proto %#x spoofchk %d trust %d state %d "
			"rate %u %u\n",
			fn->bdf, i, v->mac[0], v->mac[1], v->mac[2], v->mac[3], v->mac[4], v->mac[5], v->vlan, v->qos, v->proto,
			v->spoofchk, v->trust, (int)v->state, v->min_tx_rate, v->max_tx_rate);
	}
}

/* The interface index is not of it: a VF's interface that comes back has a new one on a real host too. */
static void print_link(FILE *out, const struct sys_link *l)
{
	fprintf(out, "link %s: mac %02x:%02x:%02x:%02x:%02x:%02x up %d carrier %d mtu %u vfs %u addrs %u routes %u master %u\n",
		l->name, l->mac[0], l->mac[1], l->mac[2], l->mac[3], l->mac[4], l->mac[5], l->up, l->carrier, l->mtu, l->nr_vfs,
		l->nr_addrs, l->nr_routes, l->master);
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted: the order in which interfaces and owners came is no state of a host. */
static char *sort_lines(char *text)
{
	size_t nr = 0, max = 1, len = strlen(text);
	char **lines, *out, *save = NULL;

	for (char *s = text; *s; s++)
		max += *s == '\n';
	lines = calloc(max, sizeof(*lines));
	out = calloc(1, len + 2);
	if (!lines || !out)
		fake_die("no memory");
	for (char *s = strtok_r(text, "\n", &save); s; s = strtok_r(NULL, "\n", &save))
		lines[nr++] = s;
	qsort(lines, nr, sizeof(*lines), compare_lines);
	len = 0;
	for (size_t i = 0; i < nr; i++)
		len += (size_t)sprintf(out + len, "%s\n", lines[i]);
	free(lines);
	free(text);
	return out;
}

char *fake_snapshot(const struct fake *fake)
{
	struct fake *f = (struct fake *)(uintptr_t)fake; /* for the lock */
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		fake_die("no memory");
	pthread_mutex_lock(&f->lock);
	print_tree(f, out, "");
	for (struct fake_fn *fn = f->fns; fn; fn = fn->next) {
		if (fn->pf)
			print_vfs(out, fn);
	}
	for (struct fake_if *i = f->ifs; i; i = i->next)
		print_link(out, &i->link);
	fake_leg_print(f, out);
	for (struct fake_owner *o = f->owners; o; o = o->next) {
		if (o->uid || o->gid)
			fprintf(out, "owner %s: %u:%u\n", o->path, o->uid, o->gid);
	}
	pthread_mutex_unlock(&f->lock);
	if (fclose(out))
		fake_die("no memory");
	return sort_lines(text);
}
