/*
 * interpret_fixture.h - cpu_fixture.h's CPU with the interpreter on it.
 */
#ifndef TESTS_UNIT_INTERPRET_FIXTURE_H
#define TESTS_UNIT_INTERPRET_FIXTURE_H

#include <sys/mman.h>

#include "cpu_fixture.h"

#include "cpu/fpu.h"
#include "exec/engine.h"
#include "exec/interpret/access.h"
#include "exec/interpret/code.h"
#include "exec/interpret/interpret.h"

static inline struct cpu_fixture *interpret_fixture_new(void)
{
    struct cpu_fixture *f = cpu_fixture_new();
    void *memory = mmap(NULL, exec_size(), PROT_READ | PROT_WRITE | PROT_EXEC,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        abort();
    }
    exec_init(f->cpu, memory);
    f->cpu->mmu.ops = &cpu_mmu_ops;
    f->cpu->mmu.context = f->cpu;
    return f;
}

static inline void interpret_fixture_free(struct cpu_fixture *f)
{
    munmap(f->cpu->exec, exec_size());
    cpu_fixture_free(f);
}

/* Put code into RAM as a device would, but tell the interpreter. */
static inline void interpret_fixture_code(struct cpu_fixture *f, gpa_t gpa, const void *bytes,
                                          unsigned size)
{
    unsigned room = (unsigned)(PAGE_SIZE - (gpa & ~PAGE_MASK));
    unsigned first = size < room ? size : room;
    memcpy(f->mem.base + gpa, bytes, size);
    code_written(f->cpu, gpa, first);
    if (first < size) {
        code_written(f->cpu, gpa + first, size - first);
    }
}

/* Execute count instructions at most, by the lines of the code cache where there is a choice. */
static inline void interpret_fixture_run(struct cpu_fixture *f, u64 count)
{
    interpret_execute(f->cpu, f->cpu->icount + count);
}

#define CODE_AT(f, at, ...) \
    interpret_fixture_code(f, at, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

static inline struct cpu_fixture *long_mode(void)
{
    struct cpu_fixture *f = interpret_fixture_new();
    cpu_fixture_long(f, 0);
    return f;
}

/* cpu_run() until the guest halts, with the host's vector registers kept. */
static inline enum cpu_exit run(struct cpu_fixture *f, u64 count)
{
    struct fpu_host host;
    fpu_host_save(&host);
    enum cpu_exit exit = cpu_run(f->cpu, engine_find("interp"), f->cpu->icount + count);
    fpu_host_restore(&host);
    return exit;
}

#endif
