/*
 * vm_fixture.h - whole machines for tests: the guest is a few bytes of 32-bit code at 1 MiB.
 *
 * The built-in guest is loaded first, for its tables and its flat protected mode; then the first
 * CPU is set to the code.
 */
#ifndef TESTS_UNIT_VM_FIXTURE_H
#define TESTS_UNIT_VM_FIXTURE_H

#include <ringer/ringer.h>
#include <string.h>
#include <unistd.h>

#include "vm/machine.h"

#define CODE_AT 0x400000u

struct transcript { /* what a serial port said */
    char text[65536];
    size_t size;
};

static inline void transcript_add(void *context, const void *bytes, size_t size)
{
    struct transcript *t = context;

    if (size > sizeof(t->text) - 1 - t->size) {
        size = sizeof(t->text) - 1 - t->size;
    }
    memcpy(t->text + t->size, bytes, size);
    t->size += size;
    t->text[t->size] = 0;
}

/* A machine as config says, at its first byte of code. */
static inline struct ringer *machine_with_code(const struct ringer_config *config, const void *code,
                                               size_t size)
{
    struct ringer *m;
    struct ringer_registers r;
    char error[256] = "";
    int result = ringer_create(config, &m, error, sizeof(error));

    assert_string_equal(error, "");
    assert_int_equal(result, 0);
    assert_int_equal(ringer_load(m, RINGER_PROTOCOL_AUTO, NULL, NULL, NULL), 0);
    assert_int_equal(ringer_write_memory(m, CODE_AT, code, size), 0);
    assert_int_equal(ringer_get_registers(m, 0, &r), 0);
    r.rip = CODE_AT;
    assert_int_equal(ringer_set_registers(m, 0, &r), 0);
    return m;
}

/* The configuration of most tests. */
static inline struct ringer_config small_config(void)
{
    struct ringer_config config = RINGER_CONFIG_DEFAULT;

    config.memory_bytes = 32ull << 20;
    config.debug_exit = true;
    return config;
}

/* A guest that counts in memory, without end. */
#define COUNTER_AT 0x2000
#define CODE_COUNTING                                         \
    {                                                         \
        0xff, 0x05, 0x00, 0x20, 0x00, 0x00, /* incl 0x2000 */ \
            0xeb, 0xf8,                     /* jmp back */    \
    }

/* Stop it once it has counted on, however long its vCPU may take to come to its turn. */
static inline void *stop_when_counted(void *machine)
{
    struct ringer *m = machine;
    const void *at = mem_ptr(&m->vm->mem, COUNTER_AT);
    const _Atomic u32 *counter = at;
    u32 before = *counter;

    while (*counter == before) {
        usleep(1000);
    }
    ringer_stop(m);
    return NULL;
}

/* out 0xf4, al */
#define CODE_EXIT 0xe6, 0xf4

#endif
