# What a person types.  Each target does its own set-up; underneath are Meson and Ninja.
#
#   RUN_ARGS='-m 1G'        more options for `make run`
#   ENGINES=hybrid,interp   which engines, for `make lockstep` (LOCKSTEP_ARGS adds options)
#   FUZZ=decode SECONDS=60  which fuzzer, how long, for `make fuzz`
#   SECONDS=600 SEED=7      how long, and with which cases, for `make diff`
#   LAB_ARGS='--seed 5'     options for `make lab`
#   SSH_PORT=2223           the host's port for ssh to the guest of `make run-debian`
#   DEBIAN=my.img           the disk of `make run-debian` and `make check-debian`
#   CC=clang                another compiler, in a fresh build directory

BUILD      = build
BUILD_FUZZ = build-fuzz
FUZZ       = boot decode devices gdb recording share snapshot virtio vsock
SECONDS    = 30
RUN_ARGS   =
ENGINES    = hybrid,interp
LOCKSTEP_ARGS = --unprotected
APPEND     = console=ttyS0
LAB_ARGS   =
SSH_PORT   = 2222
DEBIAN     = $(BUILD)/debian/debian.img
SEED       = $$(date +%s)

.DEFAULT_GOAL := all
.PHONY: all run run-debian check check-debian check-keys lockstep bench bench-disk diff fuzz lab \
        format clean guest install help configure

all: configure
	@ninja -C $(BUILD)

help:
	@echo 'make           build build/ringer and libringer'
	@echo 'make run       boot Debian Linux in Ringer (RUN_ARGS adds options)'
	@echo 'make run-debian  make a disk with Debian 12 once, and boot it (RUN_ARGS)'
	@echo 'make check     all tests'
	@echo 'make check-debian  tests of the Debian disk, which take longer'
	@echo 'make check-keys attack hybrid on a CPU with protection keys, in QEMU'
	@echo 'make bench     speed and memory, as figures'
	@echo 'make bench-disk  the speed of disks, and of a Debian on one'
	@echo 'make diff      the interpreter against the host CPU, at random (SECONDS=30 SEED=7)'
	@echo 'make lockstep  boot Debian under two engines in lockstep (ENGINES=hybrid,interp)'
	@echo 'make fuzz      fuzz (FUZZ=decode: only that; SECONDS=30)'
	@echo "make lab       Popek and Goldberg's theorems, shown (LAB_ARGS='--seed 5')"
	@echo 'make format    lay out the C sources with clang-format'
	@echo 'make guest     only the kernel and initramfs of make run, in build/guest'
	@echo 'make install   install, by default below /usr/local (DESTDIR works)'
	@echo 'make clean     remove what was built; downloads stay in ~/.cache/ringer'

configure:
	@tools/setup.sh build
	@[ -e $(BUILD)/build.ninja ] || meson setup $(BUILD)

run: all guest
	@$(BUILD)/ringer run --protocol vmlinux -k $(BUILD)/guest/vmlinuz \
	    -i $(BUILD)/guest/initramfs.cpio -a '$(APPEND)' $(RUN_ARGS)

# Has what the guest wrote: it is made only where there is none.
$(DEBIAN):
	@tools/setup.sh debian
	@mkdir -p "$$(dirname "$(DEBIAN)")"
	@tools/mkdebian "$(DEBIAN)"

run-debian: all $(DEBIAN)
	@echo 'On the console root has the password "ringer".  Ctrl-A x ends the machine at once.'
	@echo 'From another terminal: ssh -i $(DEBIAN).key -p $(SSH_PORT) root@127.0.0.1'
	@$(BUILD)/ringer run --protocol vmlinux -k "$(DEBIAN).vmlinuz" -i "$(DEBIAN).initrd" \
	    -d "$(DEBIAN)" -a '$(APPEND) root=/dev/vda' \
	    -n user,hostfwd=tcp:127.0.0.1:$(SSH_PORT)-:22 $(RUN_ARGS)

guest:
	@tools/guest.sh $(BUILD)/guest

check: guest
	@tools/check.sh $(BUILD) $(BUILD_FUZZ)

check-debian: all $(DEBIAN)
	@meson configure $(BUILD) -Dtests=true
	@ninja -C $(BUILD)
	@DEBIAN="$(abspath $(DEBIAN))" meson test -C $(BUILD) --suite debian --print-errorlogs --verbose

check-keys: guest
	@tools/check_keys.sh $(BUILD)

lockstep: all guest
	@tests/lockstep/boot.py $(ENGINES) $(LOCKSTEP_ARGS)

bench: all guest
	@bench/run.sh $(BUILD)

bench-disk: all guest $(DEBIAN)
	@bench/disk.sh $(BUILD) "$(DEBIAN)"

diff:
	@tools/setup.sh build check
	@[ -e $(BUILD)/build.ninja ] || meson setup $(BUILD)
	@meson configure $(BUILD) -Dtests=true
	@ninja -C $(BUILD) tests/diff/diff
	@$(BUILD)/tests/diff/diff --seconds $(SECONDS) --seed $(SEED) \
	    --report $(BUILD)/tests/diff/report.txt

fuzz:
	@tools/setup.sh build fuzz
	@tools/configure_fuzz.sh $(BUILD_FUZZ)
	@ninja -C $(BUILD_FUZZ)
	@tests/fuzz/run_fuzzer.py --keep $(BUILD_FUZZ)/corpus --seconds $(SECONDS) \
	    $(foreach name,$(FUZZ),$(BUILD_FUZZ)/tests/fuzz/fuzz_$(name))

lab: configure
	@ninja -C $(BUILD) --quiet lab/theorems
	@$(BUILD)/lab/theorems $(LAB_ARGS)

format:
	@tools/setup.sh format
	@git ls-files -z '*.c' '*.h' | xargs -0 clang-format-14 -i

install: all
	@meson install -C $(BUILD) --no-rebuild

clean:
	@rm -rf $(BUILD) $(BUILD_FUZZ)
