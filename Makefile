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
SRC_stored := $(wildcard stored/*.c stored/sqlcipher/*.c)
SRC_apid := $(wildcard apid/*.c apid/rpc/*.c apid/session/*.c apid/message/*.c)
SRC_wardctl := $(wildcard apid/wardctl/*.c) $(wildcard apid/rpc/api_table*.c)
SRC_sim := $(wildcard tests/sim/*.c)

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
genobj = $(patsubst $(BUILD)/gen/%.c,$(BUILD)/obj/gen/%.o,$(1))

PROGRAMS := ward keyd netd stored apid wardctl
LIB_common := $(BUILD)/lib/common.a
LIB_ipc := $(BUILD)/lib/ipc.a
LIB_sandbox := $(BUILD)/lib/sandbox.a
LIB_proto := $(BUILD)/lib/proto.a

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

define program
$(BUILD)/lib/room_$(1).a: $$(call obj,$$(filter-out $$(MAIN_$(1)),$$(SRC_$(1))))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(Q)ar rcs $$@ $$^
$(BUILD)/$(1): $$(call obj,$$(MAIN_$(1))) $(BUILD)/lib/room_$(1).a $$(ARCHIVES)
	$$(Q)$$(CC) -o $$@ $$(filter %.o,$$^) -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $$(ALL_LDFLAGS) $$(LIBS_$(1))
endef
$(foreach p,$(PROGRAMS) sim,$(eval $(call program,$(p))))

clean:
	rm -rf $(BUILD)

# ---------------------------------------------------------------- unit tests: tests/unit/<room>_<what>.c
UNIT_SRC := $(wildcard tests/unit/*.c)
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/unit/%)
unit_room = $(firstword $(subst _, ,$(notdir $(1))))
unit_lib = $(if $(filter $(call unit_room,$(1)),$(PROGRAMS) sim),$(BUILD)/lib/room_$(call unit_room,$(1)).a)
unit_libs = $(or $(LIBS_$(call unit_room,$(1))),$(LIBS_SANDBOX) $(LIBS_COMMON) $(LIBS_WIRE))

define unit_program
$(BUILD)/unit/$(1): $$(call obj,tests/unit/$(1).c) $$(call unit_lib,$(1)) $$(ARCHIVES)
	@mkdir -p $$(@D)
	$$(Q)$$(CC) -o $$@ $$(filter %.o,$$^) -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $$(ALL_LDFLAGS) -lcmocka $$(call unit_libs,$(1)) -lz
endef
$(foreach t,$(UNIT_SRC:tests/unit/%.c=%),$(eval $(call unit_program,$(t))))

.PHONY: unit
unit: $(UNIT_BIN)
	@set -e; for t in $(UNIT_BIN); do echo "== $$t"; $$t; done

include tests/tests.mk
