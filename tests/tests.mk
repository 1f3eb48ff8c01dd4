# Fuzzing, benchmarks and conformance of the tests; the Makefile includes this.

# ---------------------------------------------------------------- fuzz: tests/fuzz/<room>_<what>.c
# Named and linked like the unit tests, but compiled by clang with the sanitizers, all in $(BUILD)-fuzz.
# tests/fuzz/corpus/<room>_<what>/ are the inputs to begin with; what a run finds in addition stays in
# the build folder, and what is worth it is copied by hand. FUZZ=<room>_<what> runs only those,
# FUZZ_SECONDS=0 only tries the inputs that are there; FUZZ_SEED=0 is another way each run.
FUZZ_SECONDS ?= 60
FUZZ_SEED ?= 0
FUZZ_SRC := $(wildcard tests/fuzz/*.c)
FUZZ ?= $(FUZZ_SRC:tests/fuzz/%.c=%)
FUZZ_OPT := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FUZZ_MAKE = $(MAKE) --no-print-directory CC=$(CLANG) SAN= BUILD=$(BUILD)-fuzz OPT='$(FUZZ_OPT)' WARN=-w HARDEN=-fPIE \
	CFLAGS=-DWARD_SANITIZED LDHARDEN='-fsanitize=fuzzer,address,undefined'

define fuzz_program
$(BUILD)/fuzz/$(1): $$(call obj,tests/fuzz/$(1).c) $$(call unit_lib,$(1)) $$(ARCHIVES)
	@mkdir -p $$(@D)
	$$(Q)$$(CC) -o $$@ $$(filter %.o,$$^) -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $$(ALL_LDFLAGS) $$(call unit_libs,$(1)) -lz
endef
$(foreach t,$(FUZZ_SRC:tests/fuzz/%.c=%),$(eval $(call fuzz_program,$(t))))

.PHONY: fuzz fuzz-programs
fuzz-programs: $(FUZZ:%=$(BUILD)/fuzz/%)
fuzz:
	@sh packaging/deps.sh build test lint
	+@$(FUZZ_MAKE) -j$(shell nproc) fuzz-programs FUZZ='$(FUZZ)'
	@printf '%s\n' $(FUZZ) | xargs -P $(shell nproc) -n 1 sh tests/fuzz/run.sh $(BUILD)-fuzz $(FUZZ_SECONDS) $(FUZZ_SEED)

# ---------------------------------------------------------------- tests/bench/<room>_<what>.c
BENCH_SRC := $(wildcard tests/bench/*.c)
BENCH_BIN := $(BENCH_SRC:tests/bench/%.c=$(BUILD)/bench/%)
define bench_program
$(BUILD)/bench/$(1): $$(call obj,tests/bench/$(1).c) $$(call unit_lib,$(1)) $$(ARCHIVES)
	@mkdir -p $$(@D)
	$$(Q)$$(CC) -o $$@ $$(filter %.o,$$^) -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $$(ALL_LDFLAGS) $$(LDFLAGS_$(1)) $$(call unit_libs,$(1)) -lz
endef
# its databases without a key, to see what encryption costs
LDFLAGS_stored_ops := -Wl,--wrap=sqlite3_key_v2
$(foreach t,$(BENCH_SRC:tests/bench/%.c=%),$(eval $(call bench_program,$(t))))

.PHONY: bench-programs
bench-programs: $(BENCH_BIN)

# Units of work of stored and each of its operations, on the disk of BENCH_FOLDER.
BENCH_FOLDER ?= /var/tmp
.PHONY: bench-store
bench-store: $(BUILD)/bench/stored_bench $(BUILD)/bench/stored_ops
	@$(BUILD)/bench/stored_bench $(BENCH_FOLDER)
	@echo
	@$(BUILD)/bench/stored_ops $(BENCH_FOLDER)

# ---------------------------------------------------------------- tests/conformance: a store over the wire
# The contract as Python classes, for what stands in keyd's, apid's or stored's place.
PY_CLASSES := $(BUILD)/py/ipc/stored_pb2.py $(BUILD)/py/ipc/ipc_pb2.py
$(PY_CLASSES) &: ipc/stored.proto ipc/ipc.proto
	@mkdir -p $(BUILD)/py
	$(Q)protoc --proto_path=. --python_out=$(BUILD)/py ipc/stored.proto ipc/ipc.proto

# What the parent starts as stored when the store is a script.
$(BUILD)/store_launcher: $(call obj,tests/conformance/launch.c)
	$(Q)$(CC) -o $@ $^ $(ALL_LDFLAGS)
	@chmod go-w $@

E2E += $(sort $(wildcard tests/conformance/test_*.py))
test-programs: $(PY_CLASSES) $(BUILD)/store_launcher

# ---------------------------------------------------------------- power cuts and failing disks: tests/powercut
comma := ,
POWERCUT := $(BUILD)/powercut $(BUILD)/powercut_keyring
TEST_PROGRAMS += $(POWERCUT)
$(BUILD)/powercut: $(call obj,$(filter-out %/keyring_cut.c,$(wildcard tests/powercut/*.c)))
$(BUILD)/powercut_keyring: $(call obj,$(addprefix tests/powercut/,keyring_cut.c disk.c disk_cut.c bytes.c) stored/keyring.c)
$(BUILD)/powercut_keyring: POWERCUT_WRAP := $(addprefix -Wl$(comma)--wrap=,open close read __read_chk write fsync ftruncate access)
$(POWERCUT): $(BUILD)/lib/room_stored.a $(ARCHIVES)
	$(Q)$(CC) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(ALL_LDFLAGS) $(POWERCUT_WRAP) \
		-lcmocka $(LIBS_stored)
