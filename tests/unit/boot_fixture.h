/*
 * boot_fixture.h - what the tests of boot/ share: a machine with little memory, and one call that
 * loads an image into it.
 */
#ifndef BOOT_FIXTURE_H
#define BOOT_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "boot/boot.h"
#include "boot/job.h" /* get_u32() and its like */

#define FIXTURE_RAM (32ull << 20)

struct fixture {
    struct mem mem;
    struct boot_config config;
    struct boot_entry entry;
    struct boot_error error;
};

static inline int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->mem.low_size = FIXTURE_RAM;
    f->mem.base = malloc(FIXTURE_RAM);
    memset(f->mem.base, 0xaa, FIXTURE_RAM); /* RAM need not be zero before */
    f->config.tables = BOOT_TABLES_ALL;
    f->config.machine = boot_machine_pc;
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    free(f->mem.base);
    free(f);
    return 0;
}

/* Load exactly size bytes, from a block of their own, so that a sanitizer sees a read past them. */
static inline int fixture_load(struct fixture *f, const u8 *image, u64 size)
{
    u8 *copy = malloc(size ? size : 1);
    if (size) {
        memcpy(copy, image, size);
    }
    f->config.kernel = (struct boot_file){.name = "kernel", .bytes = copy, .size = size};
    int result = boot_load(&f->config, &f->mem, &f->entry, &f->error);
    free(copy);
    return result;
}

#define assert_loads(f, image, size)                  \
    do {                                              \
        if (fixture_load(f, image, size)) {           \
            fail_msg("refused: %s", (f)->error.text); \
        }                                             \
    } while (0)

/* It is refused in one line that has these words and names the file. */
#define assert_refused(f, image, size, words)                                   \
    do {                                                                        \
        assert_int_not_equal(fixture_load(f, image, size), 0);                  \
        if (!strstr((f)->error.text, words) || strchr((f)->error.text, '\n') || \
            !strstr((f)->error.text, ": ")) {                                   \
            fail_msg("wrong message: %s", (f)->error.text);                     \
        }                                                                       \
    } while (0)

#endif
