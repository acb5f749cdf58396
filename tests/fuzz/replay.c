/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A fuzz target without a fuzzer: run it on each file named, as the regression test of what fuzzing found, with any compiler. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX (16u << 20)

static int replay(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *buf = malloc(INPUT_MAX), *exact;
	size_t n;

	if (!f || !buf) {
		perror(path);
		return 1;
	}
	n = fread(buf, 1, INPUT_MAX, f);
	fclose(f);
	exact = malloc(n ? n : 1); /* no longer than the input, so that a sanitizer sees what reads beyond it */
	if (!exact)
		return 1;
	for (size_t i = 0; i < n; i++)
		exact[i] = buf[i];
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	free(buf);
	return 0;
}

int main(int argc, char **argv)
{
	int r = 0;

	for (int i = 1; i < argc && r == 0; i++) {
		fprintf(stderr, "%s\n", argv[i]); /* the last one is the one that crashed */
		r = replay(argv[i]);
	}
	return r;
}
