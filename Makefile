# pg_regent
#
#   make demo      a cluster on loopback: kill its primary, watch it heal, clean up
#   make check     every test that must pass (installs what it needs)
#   make unit      the quick part: no server, under a minute
#   make bench     outage against the floor, in one run
#   make sim       the protocol in a world of its own: SEEDS=10000 FIRST=1
#   make chaos     three servers, each a host of its own, and what may befall them: ROUNDS=10 SEED=1 DURABILITY=async RESUME=1
#   make install   extension, regentd, regent, regent-node, unit, samples
#   make installcheck   pg_regress against a running server that preloads pg_regent
#
# Variables: PG_CONFIG, prefix, DESTDIR, SANITIZE=address,undefined, KEEP=1 (demo)
PG_CONFIG ?= $(shell ls -d /usr/lib/postgresql/*/bin/pg_config 2>/dev/null | sort -V | tail -n 1)
ifeq ($(PG_CONFIG),)
PG_CONFIG = pg_config
endif
export PG_CONFIG
prefix ?= /usr/local
sysconfdir ?= /etc
unitdir ?= /lib/systemd/system
BUILD = $(if $(SANITIZE),build-san,build)
INSTALL = install

all: watchdog extension

watchdog:
	$(MAKE) -C watchdog BUILD=$(BUILD) all

extension:
	$(MAKE) -C extension

unit:
	scripts/run-check unit

check:
	scripts/run-check all

demo:
	@scripts/demo $(if $(KEEP),--keep)

bench:
	@scripts/bench

sim:
	@$(MAKE) -s -C test/sim run SEEDS=$(or $(SEEDS),10000) FIRST=$(or $(FIRST),1)

chaos:
	@test/chaos/run --rounds $(or $(ROUNDS),10) --seed $(or $(SEED),1) --durability $(or $(DURABILITY),async) $(if $(LEASE),--lease $(LEASE)) $(if $(RESUME),--resume)

installcheck:
	$(MAKE) -C extension installcheck

install: all
	$(MAKE) -C extension install DESTDIR=$(DESTDIR)
	$(INSTALL) -d $(DESTDIR)$(prefix)/sbin $(DESTDIR)$(prefix)/bin $(DESTDIR)$(sysconfdir)/regent $(DESTDIR)$(unitdir)
	$(INSTALL) -m 755 watchdog/build/regentd $(DESTDIR)$(prefix)/sbin/regentd
	$(INSTALL) -m 755 watchdog/build/regent $(DESTDIR)$(prefix)/bin/regent
	$(MAKE) install-node DESTDIR=$(DESTDIR) prefix=$(prefix) sysconfdir=$(sysconfdir)
	$(INSTALL) -m 644 scripts/regent.conf.sample $(DESTDIR)$(sysconfdir)/regent/regent.conf.sample
	$(INSTALL) -m 644 scripts/regentd.service $(DESTDIR)$(unitdir)/regentd.service

# What a database host needs beside the extension.
install-node: regent-copy
	$(INSTALL) -d $(DESTDIR)$(prefix)/bin $(DESTDIR)$(prefix)/lib/regent $(DESTDIR)$(sysconfdir)/regent
	$(INSTALL) -m 755 scripts/regent-node $(DESTDIR)$(prefix)/bin/regent-node
	$(INSTALL) -m 644 $(wildcard scripts/regent-node-*.sh) $(DESTDIR)$(prefix)/lib/regent
	$(INSTALL) -m 755 watchdog/build/regent-copy $(DESTDIR)$(prefix)/lib/regent/regent-copy
	$(INSTALL) -m 644 scripts/node.conf.sample $(DESTDIR)$(sysconfdir)/regent/node.conf.sample

regent-copy:
	$(MAKE) -C watchdog BUILD=build build/regent-copy

lint:
	scripts/lint

clean:
	$(MAKE) -C watchdog clean
	-$(MAKE) -C extension clean

.PHONY: regent-copy sim all watchdog extension unit check demo bench chaos installcheck install install-node lint clean
