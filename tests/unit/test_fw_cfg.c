/* test_fw_cfg.c - fw_cfg's items, files and DMA. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dev/fw_cfg.h"
#include "fake_slot.h"

#define RAM 0x8000

struct world {
    struct fake_slot f;
    struct mem mem;
    struct device *fw;
};

static void init(struct world *w)
{
    struct fw_cfg_config config = {.mem = &w->mem};

    fake_slot_init(&w->f);
    w->mem = (struct mem){.base = calloc(1, RAM), .low_size = RAM};
    assert_int_equal(fw_cfg_create(&w->f.slot, &config, &w->fw), 0);
}

static void done(struct world *w)
{
    device_destroy(w->fw);
    assert_int_equal(w->f.bus.count, 0);
    bus_map_destroy(&w->f.bus);
    free(w->mem.base);
}

static u64 get(struct world *w, unsigned bytes)
{
    u64 value = 0;
    unsigned i;

    for (i = 0; i < bytes; i++) {
        value |= (u64)inb(&w->f, 0x511) << (8 * i);
    }
    return value;
}

static void choose(struct world *w, u16 key)
{
    fake_out(&w->f, 0x510, key, 2);
}

static void items(void **state)
{
    struct world w;
    u8 borrowed[] = {1, 2, 3};

    (void)state;
    init(&w);
    choose(&w, FW_CFG_SIGNATURE);
    assert_int_equal(get(&w, 4), 0x554d4551); /* QEMU */
    assert_int_equal(get(&w, 4), 0);          /* past the end */
    choose(&w, FW_CFG_ID);
    assert_int_equal(get(&w, 4), 3);
    choose(&w, FW_CFG_NB_CPUS);
    assert_int_equal(get(&w, 2), 0);
    assert_int_equal(fw_cfg_add_u16(w.fw, FW_CFG_NB_CPUS, 4), 0);
    assert_int_equal(fw_cfg_add_u32(w.fw, FW_CFG_KERNEL_SIZE, 0x12345678), 0);
    assert_int_equal(fw_cfg_add_u64(w.fw, FW_CFG_RAM_SIZE, 0x123456789abull), 0);
    assert_int_equal(fw_cfg_add_borrowed(w.fw, FW_CFG_KERNEL_DATA, borrowed, 3), 0);
    choose(&w, FW_CFG_NB_CPUS);
    assert_int_equal(get(&w, 2), 4);
    choose(&w, FW_CFG_RAM_SIZE);
    assert_true(get(&w, 8) == 0x123456789abull);
    choose(&w, FW_CFG_RAM_SIZE); /* from the start again */
    assert_int_equal(get(&w, 1), 0xab);
    choose(&w, FW_CFG_KERNEL_DATA);
    assert_int_equal(get(&w, 3), 0x030201);
    fw_cfg_add_u16(w.fw, FW_CFG_NB_CPUS, 8); /* replaces */
    choose(&w, FW_CFG_NB_CPUS);
    assert_int_equal(get(&w, 2), 8);
    assert_int_equal(fake_in(&w.f, 0x510, 2), 0xffff);
    w.fw->reset(w.fw);
    assert_int_equal(get(&w, 1), 'Q');
    done(&w);
}

static void files(void **state)
{
    struct world w;
    char name[80];
    unsigned i;
    int error = 0;

    (void)state;
    init(&w);
    choose(&w, FW_CFG_FILE_DIR);
    assert_int_equal(get(&w, 4), 0);
    assert_int_equal(fw_cfg_add_file(w.fw, "etc/e820", "abcde", 5), 0);
    assert_int_equal(fw_cfg_add_file(w.fw, "opt/ringer", "xyz", 3), 0);
    choose(&w, FW_CFG_FILE_DIR);
    assert_int_equal(get(&w, 4), 0x02000000); /* big-endian */
    assert_int_equal(get(&w, 4), 0x05000000);
    assert_int_equal(get(&w, 4), 0x00002000); /* key 0x20 */
    for (i = 0; i < 8; i++) {
        name[i] = (char)get(&w, 1);
    }
    assert_memory_equal(name, "etc/e820", 8);
    choose(&w, 0x21);
    assert_int_equal(get(&w, 4), 'x' | 'y' << 8 | 'z' << 16);
    assert_int_equal(fw_cfg_add_file(w.fw, "etc/e820", "q", 1), 0); /* replaces */
    choose(&w, FW_CFG_FILE_DIR);
    assert_int_equal(get(&w, 8), 0x0100000002000000);
    memset(name, 'n', sizeof(name));
    name[FW_CFG_NAME_SIZE] = 0;
    assert_int_equal(fw_cfg_add_file(w.fw, name, "q", 1), -ENAMETOOLONG);
    name[FW_CFG_NAME_SIZE - 1] = 0;
    assert_int_equal(fw_cfg_add_file(w.fw, name, "q", 1), 0);
    for (i = 0; i < 1000 && !error; i++) {
        snprintf(name, sizeof(name), "file/%u", i);
        error = fw_cfg_add_file(w.fw, name, NULL, 0);
    }
    assert_int_equal(error, -ENOSPC);
    done(&w);
}

static void request(struct world *w, gpa_t at, u32 control, u32 length, u64 address)
{
    u32 words[4] = {__builtin_bswap32(control), __builtin_bswap32(length),
                    __builtin_bswap32((u32)(address >> 32)), __builtin_bswap32((u32)address)};

    mem_write(&w->mem, at, words, sizeof(words));
    fake_out(&w->f, 0x514, __builtin_bswap32((u32)(at >> 32)), 4);
    fake_out(&w->f, 0x518, __builtin_bswap32((u32)at), 4);
}

static u32 result(struct world *w, gpa_t at)
{
    u32 value = 0;

    mem_read(&w->mem, at, &value, 4);
    return __builtin_bswap32(value);
}

static void dma(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    assert_int_equal(fake_in(&w.f, 0x514, 4), 0x554d4551);
    assert_int_equal(fake_in(&w.f, 0x518, 4), 0x47464320);
    fw_cfg_add_bytes(w.fw, FW_CFG_CMDLINE_DATA, "console=ttyS0", 14);
    w.mem.base[0x2010] = 0x77;
    w.mem.base[0x200f] = 0x77;
    request(&w, 0x1000, FW_CFG_CMDLINE_DATA << 16 | 0x0a, 16, 0x2000); /* select, read */
    assert_int_equal(result(&w, 0x1000), 0);
    assert_string_equal((char *)w.mem.base + 0x2000, "console=ttyS0");
    assert_int_equal(w.mem.base[0x200f], 0);                     /* past the end of the item */
    assert_int_equal(w.mem.base[0x2010], 0x77);                  /* past the end of the transfer */
    request(&w, 0x1000, FW_CFG_CMDLINE_DATA << 16 | 0x0c, 8, 0); /* select, skip */
    request(&w, 0x1000, 0x02, 4, 0x3000);                        /* read on */
    assert_memory_equal(w.mem.base + 0x3000, "ttyS", 4);
    done(&w);
}

static void bad_dma(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    request(&w, 0x1000, 0x0a, 0x100, RAM - 0x10);
    assert_int_equal(result(&w, 0x1000), 1);
    request(&w, 0x1000, 0x0a, 0xffffffff, 0);
    assert_int_equal(result(&w, 0x1000), 1);
    request(&w, 0x1000, 0x0a, 4, ~0ull);
    assert_int_equal(result(&w, 0x1000), 1);
    request(&w, 0x1000, 0x18, 4, 0x2000); /* items cannot be written */
    assert_int_equal(result(&w, 0x1000), 1);
    request(&w, RAM - 8, 0x0a, 4, 0x2000); /* the request itself is not in RAM */
    request(&w, ~0ull, 0x0a, 4, 0x2000);
    request(&w, 0x1000, 0x0a, 16, 0xff8); /* overwrites the request */
    assert_int_equal(result(&w, 0x1000), 0);
    request(&w, 0x1000, 0x3fff << 16 | 0x0e, 0xffffffff, 0); /* no such item */
    request(&w, 0x1000, 0x3fff << 16 | 0x0c, 0xffffffff, 0);
    assert_int_equal(result(&w, 0x1000), 0);
    done(&w);
}

/* What a vCPU holds decoded of the memory that is written is stale then. */
static void dma_into_code(void **state)
{
    u8 holders[RAM / PAGE_SIZE] = {[3] = 1};
    struct mem_coherence coherence[2] = {0};
    struct world w;

    (void)state;
    init(&w);
    w.mem.code_holders = holders;
    w.mem.coherence = coherence;
    w.mem.cpu_count = 2;
    request(&w, 0x1000, 0x3fff << 16 | 0x0a, 16, 0x2ff0);
    assert_int_equal(coherence[0].stale | coherence[1].stale, 0);
    request(&w, 0x1000, 0x3fff << 16 | 0x0a, 17, 0x2ff0);
    assert_int_equal(result(&w, 0x1000), 0);
    assert_int_equal(coherence[0].stale & coherence[1].stale, 1);
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items),   cmocka_unit_test(files),         cmocka_unit_test(dma),
        cmocka_unit_test(bad_dma), cmocka_unit_test(dma_into_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
