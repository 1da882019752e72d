/*
 * fuzz_boot.c - libFuzzer: any bytes as a kernel, in every way in which it may be loaded.
 *
 * The first byte says how: 0-2 the protocol, 3 direct, 4 with an initrd, 5 with a module and a
 * command line, 6 with RAM above 4 GiB.  The rest is the kernel.
 */
#include <stdlib.h>
#include <string.h>

#include "boot/boot.h"

#define LOW_SIZE  (24ull << 20)
#define HIGH_SIZE (4ull << 20)

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

/* The entry must be one that a CPU can start with. */
static void check_entry(const struct mem *mem, const struct boot_entry *entry)
{
    if (!mem_ptr(mem, entry->rip) || !mem_range(mem, entry->gdt_base, entry->gdt_limit + 1ull) ||
        (entry->mode == BOOT_LONG && !mem_range(mem, entry->cr3, PAGE_SIZE))) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    static const u8 extra[5000];
    static u8 *ram;
    if (!ram) {
        ram = calloc(1, LOW_SIZE + HIGH_SIZE);
    }
    if (!size) {
        return 0;
    }
    u8 how = *data;
    struct boot_file module = {.name = "module", .bytes = extra, .size = 3, .command_line = "m"};
    struct mem mem = {.base = ram, .low_size = LOW_SIZE, .high_size = how & 0x40 ? HIGH_SIZE : 0};
    struct boot_config config = {
        .kernel = {.name = "kernel", .bytes = data + 1, .size = size - 1},
        .initrd = {.name = "initrd", .bytes = extra, .size = how & 0x10 ? sizeof(extra) : 0},
        .modules = &module,
        .module_count = how & 0x20 ? 1 : 0,
        .command_line = how & 0x20 ? "a command line" : NULL,
        .protocol = (how & 7) <= BOOT_ELF ? (enum boot_protocol_id)(how & 7) : BOOT_AUTO,
        .direct = how & 8,
        .machine = boot_machine_pc,
    };
    struct boot_entry entry;
    struct boot_error error;
    int result = boot_load(&config, &mem, &entry, &error);
    if (!result) {
        check_entry(&mem, &entry);
    } else if (!error.text[0] || strchr(error.text, '\n')) {
        abort();
    }
    return 0;
}
