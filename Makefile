# SPDX-License-Identifier: GPL-2.0-or-later
# gangway. `make help` lists the targets; V=1 shows the commands; everything built goes to $(O).
O ?= build
CC ?= gcc
PREFIX ?= /usr
DESTDIR ?=
VERSION := $(shell git describe --always --dirty --tags 2>/dev/null || echo 0.1)
CLANG ?= clang
SECONDS ?= 60

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' '$(1)' '$(2)')

PKGS := libsystemd jansson libpci libnl-3.0 libnl-route-3.0 sqlite3 smartcols inih libseccomp libcap-ng libmicrohttpd
WARN := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wformat=2 -Wstrict-prototypes -Wundef -Wvla -Werror
OPT ?= -O2 -g
CPPFLAGS += -Iinclude -D_GNU_SOURCE -DGANGWAY_VERSION='"$(VERSION)"' -DGANGWAY_LIBEXECDIR='"$(PREFIX)/libexec"'
CFLAGS_ALL = -std=gnu11 $(WARN) $(OPT) $(SAN) -fstack-protector-strong -pthread $(CFLAGS)
LDFLAGS_ALL = $(SAN) -pthread -Wl,--as-needed $(LDFLAGS)
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
libs = $(shell pkg-config --libs $(1) 2>/dev/null)
SERVER_PKGS := libsystemd jansson libpci libnl-3.0 libnl-route-3.0 sqlite3 inih libmicrohttpd
DEVICE_PKGS := jansson libseccomp libcap-ng
CLI_PKGS := jansson smartcols

LIB_DIRS := base sriov iommu vfio irq vmm emul migrate
LIB_OBJS := $(patsubst %.c,$(O)/%.o,$(wildcard $(addsuffix /*.c,$(LIB_DIRS))))
DAEMON_OBJS := $(patsubst %.c,$(O)/%.o,$(wildcard daemon/*.c))
DEVICE_OBJS := $(patsubst %.c,$(O)/%.o,$(wildcard daemon/device/*.c))
CLI_OBJS := $(patsubst %.c,$(O)/%.o,$(wildcard cli/*.c))
FAKE_OBJS := $(patsubst %.c,$(O)/%.o,$(wildcard tests/fake/*.c))
UNIT_TESTS := $(patsubst tests/unit/%.c,$(O)/tests/unit/%,$(wildcard tests/unit/test_*.c))
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
REPLAYS := $(addprefix $(O)/tests/fuzz/,$(FUZZERS))
TEST_HELPERS := $(patsubst %.c,$(O)/%,$(wildcard tests/cli/*.c))
PROGRAMS := $(O)/gangwayd $(O)/gangway-device $(O)/gangway

.PHONY: all help clean setup check check-fast check-asan unit lab demo bench fuzz style analyze layers docs-check lab-stage install
.DEFAULT_GOAL := all
.SUFFIXES:
.SECONDARY:
.DELETE_ON_ERROR:

all: $(PROGRAMS)

$(O)/%.o: %.c Makefile
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(PKG_CFLAGS) -I$(dir $<) $(if $(filter tests/%,$<),-Itests/fake -Idaemon -Idaemon/device -Icli) $(CFLAGS_ALL) -MMD -MP -c $< -o $@

$(O)/libgangway.a: $(LIB_OBJS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# what tests link of the programs: everything but their main()
$(O)/libdaemon.a: $(filter-out %/main.o,$(DAEMON_OBJS) $(DEVICE_OBJS))
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(O)/libcli.a: $(filter-out %/main.o,$(CLI_OBJS))
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(O)/gangwayd: $(DAEMON_OBJS) $(O)/libgangway.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(call libs,$(SERVER_PKGS)) -o $@

$(O)/gangway-device: $(DEVICE_OBJS) $(O)/libgangway.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(call libs,$(DEVICE_PKGS)) -o $@

$(O)/gangway: $(CLI_OBJS) $(O)/libgangway.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(call libs,$(CLI_PKGS)) -o $@

# what measures: run on the emulated host by lab/run baseline
BENCHES := $(patsubst %.c,$(O)/%,$(wildcard tests/bench/*.c))
$(O)/tests/bench/%: $(O)/tests/bench/%.o $(O)/libgangway.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(call libs,$(SERVER_PKGS)) -o $@

# what plays a hostile guest on the emulated host: lab/run dma-guard
DMAGUEST := $(O)/lab/dmaguest/dmaguest
DMAGUEST_OBJS := $(patsubst %.c,$(O)/%.o,$(wildcard lab/dmaguest/*.c))
$(DMAGUEST): $(DMAGUEST_OBJS) $(O)/libgangway.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(call libs,jansson) -o $@

# programs that test scripts use
$(O)/tests/cli/%: $(O)/tests/cli/%.o $(O)/libgangway.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(call libs,jansson) -o $@

$(O)/tests/unit/%: $(O)/tests/unit/%.o $(FAKE_OBJS) $(O)/libdaemon.a $(O)/libcli.a $(O)/libgangway.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(call libs,$(PKGS) criterion) -o $@

# --- tests ---

unit: all $(UNIT_TESTS) $(TEST_HELPERS) $(REPLAYS)

check: setup
	$(Q)$(MAKE) --no-print-directory style analyze unit
	$(Q)O=$(O) scripts/check -l $(UNIT_TESTS)

check-fast: unit
	$(Q)O=$(O) scripts/check $(UNIT_TESTS)

# the same tests under AddressSanitizer and UndefinedBehaviorSanitizer
check-asan:
	$(Q)$(MAKE) --no-print-directory O=$(O)/asan OPT='-O1 -g' SAN='-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer' check-fast

# the figures, each beside its peer in the same run
bench: $(BENCHES)
	$(call say,BENCH,the interval map beside a sorted array)
	$(Q)$(O)/tests/bench/bench_map
	$(call say,BENCH,following the interrupts of 7 VFs: at most 0.2 percent of a CPU)
	$(Q)$(O)/tests/bench/bench_irq
	$(call say,BENCH,the answer to DMA_MAP on a kernel that is slowed down)
	$(Q)$(O)/tests/bench/bench_answer
	$(Q)lab/run baseline

# what lab/run takes along: gangway installed, and the programs of the scenarios
lab-stage: install $(BENCHES) $(DMAGUEST)
	$(Q)install -m 755 $(BENCHES) $(DMAGUEST) $(DESTDIR)$(PREFIX)/libexec/

lab:
	$(Q)lab/run

demo: setup all
	$(Q)lab/run demo

# --- looking at the sources ---

C_FILES := $(wildcard $(addsuffix /*.c,$(LIB_DIRS) daemon daemon/device cli))
ALL_SOURCES := $(C_FILES) $(wildcard $(addsuffix /*.h,include $(LIB_DIRS) daemon daemon/device cli)) $(wildcard tests/*/*.[ch] lab/*.c lab/*/*.[ch])

style:
	$(call say,STYLE,clang-format)
	$(Q)clang-format --dry-run --Werror $(ALL_SOURCES)

# clang's warnings, clang-tidy and cppcheck; each file is looked at again only when it has changed
TIDY := $(patsubst %.c,$(O)/tidy/%.ok,$(C_FILES))
$(O)/tidy/%.ok: %.c .clang-tidy $(wildcard include/*.h)
	$(call say,TIDY,$<)
	@mkdir -p $(@D)
	$(Q)clang-tidy --quiet $< -- $(CPPFLAGS) $(PKG_CFLAGS:-I%=-isystem %) -I$(dir $<) -std=gnu11 $(WARN) 2>$(O)/tidy/$*.log || { cat $(O)/tidy/$*.log >&2; exit 1; }
	@touch $@

analyze: $(TIDY)
	$(call say,CPPCHK,$(words $(C_FILES)) files)
	$(Q)cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr --enable=warning,performance,portability \
		--include=scripts/cppcheck.h -D_GNU_SOURCE -DGANGWAY_VERSION='""' -DGANGWAY_LIBEXECDIR='""' -Iinclude $(C_FILES)

layers:
	$(Q)scripts/layers

docs-check: all
	$(Q)O=$(O) bash tests/docs_sync.sh

# --- fuzzing: the product's own decoders, SECONDS with each fuzzer; make fuzz FUZZER=libfuzzer|afl|both TARGETS="fuzz_vuser ..." ---

FUZZER ?= libfuzzer
TARGETS ?= $(FUZZERS)
FUZZ_O := $(O)/fuzz
FUZZ_INCLUDES := -Itests/fuzz -Idaemon -Ivmm
FUZZ_DEPS := $(C_FILES) $(wildcard include/*.h tests/fuzz/*.h)
FUZZ_LIBS = $(1)/libdaemon.a $(1)/libgangway.a $(call libs,$(PKGS))
ifneq ($(words $(FUZZER))$(filter-out libfuzzer afl both,$(FUZZER)),1)
$(error FUZZER=$(FUZZER): it takes libfuzzer, afl or both)
endif
ifneq ($(filter-out $(FUZZERS),$(TARGETS)),)
$(error TARGETS: no fuzz target $(filter-out $(FUZZERS),$(TARGETS)); there are $(FUZZERS))
endif
FUZZ_KINDS := $(if $(filter both,$(FUZZER)),libfuzzer afl,$(FUZZER))

$(FUZZ_O)/libfuzzer/bin/%: tests/fuzz/%.c $(FUZZ_DEPS)
	$(Q)$(MAKE) --no-print-directory CC=$(CLANG) O=$(FUZZ_O)/libfuzzer OPT='-O1 -g' SAN='-fsanitize=fuzzer-no-link,address,undefined' \
		$(FUZZ_O)/libfuzzer/libdaemon.a $(FUZZ_O)/libfuzzer/libgangway.a
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)
	$(Q)$(CLANG) $(CPPFLAGS) $(PKG_CFLAGS) $(FUZZ_INCLUDES) -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -pthread \
		$< $(call FUZZ_LIBS,$(FUZZ_O)/libfuzzer) -o $@

# the same function under AFL++: its driver for libFuzzer's entry keeps the process from one input to the next
AFL_CC ?= afl-clang-fast
AFL_ENV := AFL_QUIET=1 AFL_USE_ASAN=1 AFL_USE_UBSAN=1
$(FUZZ_O)/afl/bin/%: tests/fuzz/%.c $(FUZZ_DEPS)
	$(Q)$(AFL_ENV) $(MAKE) --no-print-directory CC=$(AFL_CC) O=$(FUZZ_O)/afl OPT='-O1 -g' SAN= $(FUZZ_O)/afl/libdaemon.a $(FUZZ_O)/afl/libgangway.a
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)
	$(Q)$(AFL_ENV) $(AFL_CC) $(CPPFLAGS) $(PKG_CFLAGS) $(FUZZ_INCLUDES) -std=gnu11 -g -O1 -fsanitize=fuzzer -pthread $< $(call FUZZ_LIBS,$(FUZZ_O)/afl) -o $@

fuzz: $(foreach k,$(FUZZ_KINDS),$(addprefix $(FUZZ_O)/$(k)/bin/,$(TARGETS)))
	$(Q)scripts/fuzz $(FUZZ_O) $(SECONDS) $(FUZZER) $(TARGETS)

# the targets without a fuzzer, run on their seeds and on what fuzzing has found: tests/fuzz_corpus.sh
$(O)/tests/fuzz/%.o: PKG_CFLAGS += -Ivmm
$(O)/tests/fuzz/fuzz_%: $(O)/tests/fuzz/fuzz_%.o $(O)/tests/fuzz/replay.o $(O)/libdaemon.a $(O)/libgangway.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(call libs,$(PKGS)) -o $@

setup:
	$(Q)scripts/setup

help:
	@echo 'make            build gangwayd, gangway-device and gangway into $(O)/'
	@echo 'make demo       install what is missing, boot two emulated hosts, give a guest a VF, migrate it under traffic'
	@echo 'make check      install what is missing, run every test (needs root for the lab)'
	@echo 'make check-fast build and run the tests that need no lab; check-asan: the same under sanitizers'
	@echo 'make lab        list the scenarios of the emulated host (lab/run NAME runs one)'
	@echo 'make bench      the figures, measured beside their peers'
	@echo 'make fuzz       SECONDS=60 of each fuzz target; FUZZER=libfuzzer, afl or both; TARGETS="fuzz_vuser ..."'
	@echo 'make style analyze layers docs-check   look at the sources'
	@echo 'make install    DESTDIR= PREFIX=/usr'

install: all
	$(Q)install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/libexec \
		$(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man8 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/lib/systemd/system
	$(Q)install -m 755 $(O)/gangway $(DESTDIR)$(PREFIX)/bin/
	$(Q)install -m 755 $(O)/gangwayd $(DESTDIR)$(PREFIX)/sbin/
	$(Q)install -m 755 $(O)/gangway-device $(DESTDIR)$(PREFIX)/libexec/
	$(Q)set -e; for m in $(wildcard docs/man/*.[158]); do install -m 644 $$m $(DESTDIR)$(PREFIX)/share/man/man$${m##*.}/; done
	$(Q)install -m 644 cli/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/gangway
	$(Q)install -m 644 daemon/gangwayd.service $(DESTDIR)$(PREFIX)/lib/systemd/system/

# the emulated host's image stays: it takes a minute to build, and lab/image --clean removes it
clean:
	$(Q)find $(O) -mindepth 1 -maxdepth 1 ! -name lab -exec rm -rf {} + 2>/dev/null || true

-include $(patsubst %.o,%.d,$(LIB_OBJS) $(DAEMON_OBJS) $(DEVICE_OBJS) $(CLI_OBJS) $(FAKE_OBJS) $(DMAGUEST_OBJS) $(addsuffix .o,$(UNIT_TESTS) $(BENCHES) $(REPLAYS)))
