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

PKGS := libsystemd jansson libpci libnl-3.0 libnl-route-3.0 sqlite3 smartcols inih libseccomp libcap-ng
WARN := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wformat=2 -Wstrict-prototypes -Wundef -Wvla -Werror
OPT ?= -O2 -g
CPPFLAGS += -Iinclude -D_GNU_SOURCE -DGANGWAY_VERSION='"$(VERSION)"' -DGANGWAY_LIBEXECDIR='"$(PREFIX)/libexec"'
CFLAGS_ALL = -std=gnu11 $(WARN) $(OPT) $(SAN) -fstack-protector-strong -pthread $(CFLAGS)
LDFLAGS_ALL = $(SAN) -pthread -Wl,--as-needed $(LDFLAGS)
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
libs = $(shell pkg-config --libs $(1) 2>/dev/null)
SERVER_PKGS := libsystemd jansson libpci libnl-3.0 libnl-route-3.0 sqlite3 inih
DEVICE_PKGS := jansson libseccomp libcap-ng
CLI_PKGS := jansson smartcols

LIB_DIRS := base sriov iommu vfio irq vmm emul migrate
LIB_OBJS := $(patsubst %.c,$(O)/%.o,$(wildcard $(addsuffix /*.c,$(LIB_DIRS))))
DAEMON_OBJS := $(patsubst %.c,$(O)/%.o,$(wildcard daemon/*.c))
DEVICE_OBJS := $(patsubst %.c,$(O)/%.o,$(wildcard daemon/device/*.c))
CLI_OBJS := $(patsubst %.c,$(O)/%.o,$(wildcard cli/*.c))
FAKE_OBJS := $(patsubst %.c,$(O)/%.o,$(wildcard tests/fake/*.c))
UNIT_TESTS := $(patsubst tests/unit/%.c,$(O)/tests/unit/%,$(wildcard tests/unit/test_*.c))
PROGRAMS := $(O)/gangwayd $(O)/gangway-device $(O)/gangway

.PHONY: all help clean setup check check-fast check-asan unit lab demo bench fuzz style analyze layers docs-check install
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

$(O)/tests/unit/%: $(O)/tests/unit/%.o $(FAKE_OBJS) $(O)/libdaemon.a $(O)/libcli.a $(O)/libgangway.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(call libs,$(PKGS) criterion) -o $@

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

clean:
	$(Q)rm -rf $(O)

-include $(patsubst %.o,%.d,$(LIB_OBJS) $(DAEMON_OBJS) $(DEVICE_OBJS) $(CLI_OBJS) $(FAKE_OBJS) $(addsuffix .o,$(UNIT_TESTS)))
