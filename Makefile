# ward: one Makefile, everything out of tree in $(BUILD).
#
#   make            build all programs            make test      the whole test suite
#   make deps       install what is missing       make interop   third-party clients
#   make demo       the whole chain, simulated    make bench     numbers
#   make run        run ward from the tree        make lint      clang-tidy, cppcheck, format, man pages
#   make format     clang-format in place         make install   DESTDIR= PREFIX=
#   make SAN=1 …    AddressSanitizer and UBSan, in $(BUILD)-san

SAN ?=
ifeq ($(SAN),1)
BUILD ?= build-san
else
BUILD ?= build
endif
PREFIX ?= /usr/local
DESTDIR ?=
CC ?= cc
CLANG ?= clang
PYTHON ?= python3
Q ?= @

VERSION := 0.1.0

# ---------------------------------------------------------------- flags
WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wcast-qual -Wwrite-strings -Wvla -Wformat=2 -Wundef -Wno-unused-parameter
HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE \
	-fno-delete-null-pointer-checks -fno-strict-overflow -ftrivial-auto-var-init=zero
DEFS := -D_GNU_SOURCE -DWARD_VERSION='"$(VERSION)"' -DSQLITE_HAS_CODEC
ifeq ($(SAN),1)
OPT := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
DEFS += -DWARD_SANITIZED
LDHARDEN := -pie -fsanitize=address,undefined
else
OPT := -O2 -g -D_FORTIFY_SOURCE=2
LDHARDEN := -pie -Wl,-z,relro,-z,now,-z,noexecstack
endif
CFLAGS ?=
ALL_CFLAGS = -std=c17 $(OPT) $(WARN) $(HARDEN) -fvisibility=hidden -ffunction-sections -fdata-sections \
	$(DEFS) -I. -I$(BUILD)/gen $(CFLAGS)
GEN_CFLAGS = -std=c17 $(OPT) $(HARDEN) -fvisibility=hidden -ffunction-sections -fdata-sections -I$(BUILD)/gen -w
ALL_LDFLAGS = $(LDHARDEN) -Wl,--gc-sections -Wl,--as-needed $(LDFLAGS)

pkg = $(shell pkg-config --libs $(1) 2>/dev/null)
LIBS_COMMON := $(call pkg,libevent_core libprotobuf-c libsodium)
LIBS_WIRE := -lz
LIBS_SANDBOX := $(call pkg,libseccomp)
# libsignal-protocol-c carries an old protobuf-c and exports it: it must come last
LIBS_SIGNAL := $(call pkg,libcrypto libprotobuf-c libsodium) -lsignal-protocol-c
LIBS_ward := $(LIBS_SANDBOX) $(LIBS_COMMON)
LIBS_keyd := $(LIBS_SANDBOX) $(LIBS_COMMON) $(LIBS_SIGNAL)
LIBS_netd := $(LIBS_SANDBOX) $(LIBS_COMMON) $(LIBS_WIRE) $(call pkg,libcurl libcrypto)
LIBS_stored := $(LIBS_SANDBOX) $(LIBS_COMMON) $(call pkg,sqlcipher libcrypto)
LIBS_apid := $(LIBS_SANDBOX) $(LIBS_COMMON) $(LIBS_WIRE) $(call pkg,jansson nettle)
LIBS_wardctl := $(LIBS_COMMON) $(call pkg,jansson libqrencode)
LIBS_sim := $(LIBS_COMMON) $(LIBS_WIRE) $(call pkg,libevent_extra libevent_openssl libssl jansson) $(LIBS_SIGNAL)

# ---------------------------------------------------------------- sources
IPC_PROTO := $(wildcard ipc/*.proto)
WA_PROTO := $(wildcard common/proto/*.proto)
IPC_GEN := $(IPC_PROTO:%.proto=$(BUILD)/gen/%.pb-c.c)
WA_GEN := $(WA_PROTO:%.proto=$(BUILD)/gen/%.pb-c.c)

SRC_common := $(wildcard common/*.c common/wire/*.c)
SRC_ipc := $(wildcard ipc/*.c)
SRC_sandbox := $(filter-out sandbox/ward%.c,$(wildcard sandbox/*.c))
SRC_ward := $(wildcard sandbox/ward*.c)
SRC_keyd := $(wildcard keyd/*.c)
SRC_netd := $(wildcard netd/*.c)
SRC_stored := $(wildcard stored/*.c stored/sqlcipher/*.c stored/memory/*.c)
SRC_apid := $(wildcard apid/*.c apid/rpc/*.c apid/session/*.c apid/message/*.c)
SRC_wardctl := $(wildcard apid/wardctl/*.c) $(wildcard apid/rpc/api_table*.c) stored/tar.c
SRC_sim := $(wildcard tests/sim/*.c)

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
genobj = $(patsubst $(BUILD)/gen/%.c,$(BUILD)/obj/gen/%.o,$(1))

PROGRAMS := ward keyd netd stored apid wardctl
LIB_common := $(BUILD)/lib/common.a
LIB_ipc := $(BUILD)/lib/ipc.a
LIB_sandbox := $(BUILD)/lib/sandbox.a
LIB_proto := $(BUILD)/lib/proto.a

EXTRA_ALL += $(BUILD)/ward-api.7

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all clean
all: $(PROGRAMS:%=$(BUILD)/%) $(BUILD)/sim $(EXTRA_ALL)

$(BUILD)/gen/%.pb-c.c $(BUILD)/gen/%.pb-c.h: %.proto
	@mkdir -p $(@D)
	$(Q)protoc-c --proto_path=. --c_out=$(BUILD)/gen $< 2>&1 | grep -v -i deprecated >&2 || true
	@test -s $@

GEN_HEADERS := $(IPC_GEN:.c=.h) $(WA_GEN:.c=.h)

$(BUILD)/obj/gen/%.o: $(BUILD)/gen/%.c $(GEN_HEADERS)
	@mkdir -p $(@D)
	$(Q)$(CC) $(GEN_CFLAGS) -c -o $@ $<

$(BUILD)/obj/%.o: %.c | $(GEN_HEADERS)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

define archive
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)ar rcs $@ $^
endef
$(LIB_common): $(call obj,$(SRC_common))
	$(archive)
$(LIB_ipc): $(call obj,$(SRC_ipc)) $(call genobj,$(IPC_GEN))
	$(archive)
$(LIB_sandbox): $(call obj,$(SRC_sandbox))
	$(archive)
$(LIB_proto): $(call genobj,$(WA_GEN))
	$(archive)

# Each room as an archive without its main file, for the program and for its unit tests.
MAIN_ward := sandbox/ward.c
MAIN_keyd := keyd/keyd.c
MAIN_netd := netd/netd.c
MAIN_stored := stored/stored.c
MAIN_apid := apid/apid.c
MAIN_wardctl := apid/wardctl/wardctl.c
MAIN_sim := tests/sim/sim.c
ARCHIVES := $(LIB_sandbox) $(LIB_ipc) $(LIB_proto) $(LIB_common)

# ward starts no program that others may write, whatever the umask of who builds it
define program
$(BUILD)/lib/room_$(1).a: $$(call obj,$$(filter-out $$(MAIN_$(1)),$$(SRC_$(1))))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(Q)ar rcs $$@ $$^
$(BUILD)/$(1): $$(call obj,$$(MAIN_$(1))) $(BUILD)/lib/room_$(1).a $$(ARCHIVES)
	$$(Q)$$(CC) -o $$@ $$(filter %.o,$$^) -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $$(ALL_LDFLAGS) $$(LIBS_$(1))
	@chmod go-w $$@
endef
$(foreach p,$(PROGRAMS) sim,$(eval $(call program,$(p))))

# ward-api(7), out of the table of the API
$(BUILD)/apidoc: $(call obj,apid/doc/apidoc.c $(wildcard apid/rpc/api_table*.c))
	$(Q)$(CC) -o $@ $^ $(ALL_LDFLAGS) $(call pkg,jansson)
$(BUILD)/ward-api.7: $(BUILD)/apidoc
	$(Q)$(BUILD)/apidoc > $@

clean:
	rm -rf $(BUILD)

# ---------------------------------------------------------------- unit tests: tests/unit/<room>_<what>.c
UNIT_SRC := $(wildcard tests/unit/*.c)
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/unit/%)
unit_room = $(firstword $(subst _, ,$(notdir $(1))))
unit_lib = $(if $(filter $(call unit_room,$(1)),$(PROGRAMS) sim),$(BUILD)/lib/room_$(call unit_room,$(1)).a)
# what a room's tests need beyond the program: the service that netd's tests talk to has TLS
LIBS_UNIT_netd := $(call pkg,libssl)
unit_libs = $(or $(LIBS_$(call unit_room,$(1))),$(LIBS_SANDBOX) $(LIBS_COMMON) $(LIBS_WIRE)) $(LIBS_UNIT_$(call unit_room,$(1)))

define unit_program
$(BUILD)/unit/$(1): $$(call obj,tests/unit/$(1).c) $$(call unit_lib,$(1)) $$(ARCHIVES)
	@mkdir -p $$(@D)
	$$(Q)$$(CC) -o $$@ $$(filter %.o,$$^) -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $$(ALL_LDFLAGS) -lcmocka $$(call unit_libs,$(1)) -lz
endef
$(foreach t,$(UNIT_SRC:tests/unit/%.c=%),$(eval $(call unit_program,$(t))))

.PHONY: unit
unit: $(UNIT_BIN)
	@set -e; for t in $(UNIT_BIN); do echo "== $$t"; $$t; done

# ---------------------------------------------------------------- programs that tests use
$(BUILD)/vault_peek: $(call obj,tests/probes/vault_peek.c stored/keyring.c) $(BUILD)/lib/room_keyd.a $(ARCHIVES)
	$(Q)$(CC) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(ALL_LDFLAGS) \
		$(call pkg,sqlcipher) $(LIBS_keyd)

# Confinement: forbidden acts in the real sandbox of each role; and children that misbehave on request.
PROBES_SRC := $(addprefix tests/probes/,probes.c fixture.c expected.c acts_files.c acts_net.c acts_process.c acts_kernel.c)
TEST_PROGRAMS += $(BUILD)/probes
$(BUILD)/probes: $(call obj,$(PROBES_SRC)) $(ARCHIVES)
	$(Q)$(CC) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(ALL_LDFLAGS) \
		$(LIBS_SANDBOX) $(LIBS_COMMON)
DUMMIES := $(addprefix $(BUILD)/dummy/,keyd netd stored apid)
$(DUMMIES): $(call obj,tests/probes/dummy.c) $(ARCHIVES)
	@mkdir -p $(@D)
	$(Q)$(CC) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(ALL_LDFLAGS) \
		$(LIBS_SANDBOX) $(LIBS_COMMON)
	@chmod go-w $@
.PHONY: probes
probes: $(BUILD)/probes
	@$(BUILD)/probes

E2E := $(sort $(wildcard tests/e2e/test_*.py))
# Before the rules below, which take up its programs and suites.
include tests/tests.mk

# ---------------------------------------------------------------- what people call
.PHONY: deps demo run test interop bench lint format install
deps:
	@sh packaging/deps.sh build test

# A fresh machine has neither libraries nor pkg-config files when make reads this page: make anew.
demo: deps
	@$(MAKE) --no-print-directory all
	@WARD_BUILD=$(abspath $(BUILD)) $(PYTHON) -B tests/e2e/demo.py

TEST_ENV = WARD_BUILD=$(abspath $(BUILD)) $(if $(filter 1,$(SAN)),WARD_UNCONFINED=1 WARD_SLOW=4 WARD_KILLS=200)
.PHONY: test-programs
test-programs: all $(UNIT_BIN) $(TEST_PROGRAMS) $(DUMMIES) $(BUILD)/vault_peek
test: deps
	@$(MAKE) --no-print-directory test-programs
	@$(TEST_ENV) $(PYTHON) -B tests/run.py $(UNIT_BIN) $(TEST_PROGRAMS) $(E2E)

interop: deps
	@$(MAKE) --no-print-directory all
	@$(TEST_ENV) $(PYTHON) -B tests/run.py $(sort $(wildcard tests/interop/test_*.py))

# Messages while everything goes wrong: WARD_CHAOS_MESSAGES, WARD_SEED and others, see the program.
.PHONY: chaos
chaos: deps
	@$(MAKE) --no-print-directory all
	@$(TEST_ENV) $(PYTHON) -B tests/chaos/chaos.py

bench: deps
	@$(MAKE) --no-print-directory all
	@$(TEST_ENV) $(PYTHON) -B tests/bench/bench.py

# The same loads through clients of others.
.PHONY: bench-peers
bench-peers: deps
	@$(MAKE) --no-print-directory all
	@$(TEST_ENV) $(PYTHON) -B tests/bench/peers.py

# The whole suite under valgrind: programs without confinement, since valgrind needs calls of its own.
.PHONY: valgrind
VALGRIND = valgrind -q --vgdb=no --error-exitcode=99 --leak-check=full \
	--show-leak-kinds=definite --errors-for-leak-kinds=definite \
	--trace-children=yes --trace-children-skip=/bin/*,/usr/bin/*,/sbin/*,/usr/sbin/* \
	--suppressions=$(abspath tests/valgrind.supp)
valgrind: deps
	@$(MAKE) --no-print-directory test-programs
	@$(TEST_ENV) WARD_UNCONFINED=1 WARD_SLOW=20 WARD_SUITE_SECONDS=3600 WARD_CRASH_MESSAGES=60 WARD_CRASH_KILLS=4 WARD_KILLS=20 \
		WARD_WRAP="$(VALGRIND)" $(PYTHON) -B tests/run.py $(UNIT_BIN) $(E2E)

# A first try on this machine: own folder, own key, the account "main". CONF= takes another file.
RUN := $(abspath $(BUILD))/run
CONF ?= $(RUN)/ward.conf
run: all
	@if [ ! -e $(CONF) ]; then sh packaging/first-run.sh $(RUN); fi
	$(BUILD)/ward -f $(CONF)

# Found by name, as the programs are: a copy without .git, or one that git does not trust, is no empty tree.
SOURCES := $(filter-out build%,$(wildcard */*.[ch] */*/*.[ch]))
PAGES := $(filter-out build%,$(wildcard */*.[1578] */*/*.[1578]))
SCRIPTS_PY := $(filter-out build%,$(wildcard */*.py */*/*.py))
SCRIPTS_SH := $(filter-out build%,.ci/run $(wildcard */*.sh */*/*.sh))
LINTED := $(filter %.c,$(SOURCES))
# Versions of clang-format do not agree with each other: the format is what the one of Debian 12 makes.
FORMAT_VERSION := 14
# Each run of clang-tidy is quiet, or all that it said is shown: also when it crashed.
TIDY := said=$$(clang-tidy --quiet --warnings-as-errors="*" "$$0" -- "$$@" 2>&1) || { printf "%s\n" "$$0:" "$$said"; exit 1; }

LINTS := $(addprefix lint-,format man scripts cppcheck tidy)
.PHONY: lint-all $(LINTS)
lint:
	@sh packaging/deps.sh build test lint
	@$(MAKE) --no-print-directory -k lint-all
lint-all: $(LINTS)
	@echo "lint: clean"
lint-format:
	@v=$$(clang-format --version | sed 's/.*version \([0-9]*\).*/\1/'); if [ "$$v" = $(FORMAT_VERSION) ]; then \
		echo "lint: clang-format"; clang-format --dry-run -Werror $(SOURCES); else \
		echo "lint: clang-format: not checked: this is version $$v, and the format is that of $(FORMAT_VERSION)"; fi
lint-man: $(BUILD)/ward-api.7
	@echo "lint: man pages"; mandoc -T lint -W warning $(PAGES) $<
lint-scripts:
	@echo "lint: scripts"; $(PYTHON) -B -c 'import ast, sys; [ast.parse(open(p).read(), p) for p in sys.argv[1:]]' $(SCRIPTS_PY)
	@for p in $(SCRIPTS_SH); do bash -n $$p || exit 1; done
	@echo "lint: scenarios"; $(PYTHON) -B tests/scenarios.py
lint-cppcheck:
	@echo "lint: cppcheck"; cppcheck -q -j $(shell nproc) --std=c11 --enable=warning,performance,portability --inline-suppr \
		--suppressions-list=tests/cppcheck.supp --error-exitcode=1 -D_GNU_SOURCE \
		--include=tests/cppcheck.h -I. $(LINTED)
lint-tidy: $(GEN_HEADERS)
	@echo "lint: clang-tidy"; printf '%s\n' $(LINTED) | \
		xargs -P $(shell nproc) -I @file@ sh -c '$(TIDY)' @file@ -std=c17 $(DEFS) -I. -I$(BUILD)/gen

format:
	@clang-format --version | grep -q 'version $(FORMAT_VERSION)[.]' || { echo "format: needs clang-format $(FORMAT_VERSION)"; exit 1; }
	clang-format -i $(SOURCES)

install: all
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec/ward \
		$(DESTDIR)$(PREFIX)/share/doc/ward $(DESTDIR)$(PREFIX)/lib/systemd/system \
		$(DESTDIR)$(PREFIX)/lib/sysusers.d
	install -m 755 $(BUILD)/ward $(DESTDIR)$(PREFIX)/sbin/
	install -m 755 $(BUILD)/wardctl $(DESTDIR)$(PREFIX)/bin/
	install -m 755 $(BUILD)/keyd $(BUILD)/netd $(BUILD)/stored $(BUILD)/apid $(DESTDIR)$(PREFIX)/libexec/ward/
	install -m 644 README.md LICENSE packaging/ward.conf packaging/client.conf $(DESTDIR)$(PREFIX)/share/doc/ward/
	install -m 644 packaging/ward.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/ward.conf
	sed 's|@PREFIX@|$(PREFIX)|g' packaging/ward.service > $(BUILD)/ward.service
	install -m 644 $(BUILD)/ward.service $(DESTDIR)$(PREFIX)/lib/systemd/system/
	@set -e; for p in $(PAGES) $(BUILD)/ward-api.7; do \
		case $$p in *sim.1) continue ;; esac; s=$${p##*.}; \
		install -D -m 644 $$p $(DESTDIR)$(PREFIX)/share/man/man$$s/$${p##*/}; done
