/* native_child.c - the process of the native side, from inside: see native.h. */
#include <asm/ldt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/native.h"
#include "isa/vector.h"
#include "native.h"

/* ------------------------------------------------------------------ one case */

static void take_outcome(struct outcome *o, const struct native_result *result)
{
    const struct native_registers *r = &result->r;

    o->after = (struct registers){
        .rip = r->rip,
        .flags = r->flags,
        .cs = r->cs,
        .ss = r->ss,
        .ds = r->ds,
        .es = r->es,
        .fs = r->fs,
        .gs = r->gs,
        .fs_base = r->fs_base,
        .gs_base = r->gs_base,
    };
    memcpy(o->after.gpr, r->gpr, sizeof(r->gpr));
    memcpy(&o->fpu, r->fpu, sizeof(o->fpu));
    o->vector = (u8)result->vector;
    o->error = (u32)result->error;
    o->cr2 = result->cr2;
}

static void run(struct native *native, const struct area *area, const struct diff_case *c,
                struct outcome *o)
{
    const struct registers *r = &c->before;
    struct native_registers before = {
        .rip = r->rip,
        .cs = r->cs,
        .flags = r->flags,
        .ss = r->ss,
        .ds = r->ds,
        .es = r->es,
        .fs = r->fs,
        .gs = r->gs,
        .fs_base = r->fs_base,
        .gs_base = r->gs_base,
        .frame = FRAME + PAGE_SIZE - 16,
        .fpu = &c->fpu,
    };
    struct native_result result;

    memcpy(before.gpr, r->gpr, sizeof(r->gpr));
    area_apply(area, c);
    native_run(native, &before, &result);
    take_outcome(o, &result);
    area_collect(area, c, o);
}

/* ------------------------------------------------------------------ setting up */

static bool map_area(struct area *area)
{
    u8 *contents = malloc(AREA_SIZE), *expected = malloc(AREA_SIZE);
    u8 *live = mmap((void *)(uintptr_t)AREA, AREA_SIZE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (live != (u8 *)(uintptr_t)AREA || !contents || !expected) {
        return false;
    }
    area_contents(contents);
    memcpy(expected, contents, AREA_SIZE);
    memcpy(live, contents, AREA_SIZE);
    for (unsigned i = 0; i < AREA_PAGES; i++) {
        static const int rights[] = {[PAGE_ABSENT] = PROT_NONE,
                                     [PAGE_CODE] = PROT_READ | PROT_WRITE | PROT_EXEC,
                                     [PAGE_DATA] = PROT_READ | PROT_WRITE,
                                     [PAGE_READ_ONLY] = PROT_READ};
        bool is_frame = AREA + i * PAGE_SIZE == FRAME;
        mprotect(live + i * PAGE_SIZE, PAGE_SIZE,
                 is_frame ? PROT_READ | PROT_WRITE : rights[area_pages[i]]);
    }
    mlock(live + (CODE - AREA), CODE_SIZE);
    *area = (struct area){.live = live, .expected = expected, .contents = contents};
    return true;
}

/* guest.c has the same as descriptors. */
static bool write_ldt(void)
{
    /* Number, base, limit, 32-bit, contents (0 data, 1 expand-down, 2 code), read or execute only,
     * limit in pages, not present, usable, long. */
    static const struct user_desc entries[LDT_COUNT] = {
        {0, AREA, 0xefff, 0, 2, 0, 0, 0, 0, 0},  {1, AREA, 0xffff, 0, 0, 0, 0, 0, 0, 0},
        {2, AREA, 0x8fff, 0, 0, 0, 0, 0, 0, 0},  {3, AREA, 0x5fff, 0, 1, 0, 0, 0, 0, 0},
        {4, AREA, 0xbfff, 1, 0, 0, 0, 0, 0, 0},  {5, AREA, 0xefff, 1, 0, 1, 0, 0, 0, 0},
        {6, AREA, 0xefff, 1, 2, 0, 0, 0, 0, 0},  {7, AREA, 0xefff, 1, 2, 1, 0, 0, 0, 0},
        {8, AREA, 0xefff, 1, 2, 0, 0, 1, 0, 0},  {9, AREA, 0xefff, 1, 0, 0, 0, 1, 0, 0},
        {10, AREA, 0x5fff, 1, 1, 0, 0, 0, 0, 0},
    };

    for (unsigned i = 0; i < LDT_COUNT; i++) {
        struct user_desc entry = entries[i];
        if (syscall(SYS_modify_ldt, 0x11, &entry, sizeof(entry))) {
            return false;
        }
    }
    return true;
}

void native_child(struct native_batch *batch, int socket)
{
    struct area area;
    struct native *native = NULL;
    char byte = 'E';

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (map_area(&area) && (native = native_new())) {
        byte = write_ldt() ? 'L' : 'N';
    }
    while (write(socket, &byte, 1) == 1 && read(socket, &byte, 1) == 1) {
        for (; batch->current < batch->count; batch->current++) {
            u32 i = batch->current;
            run(native, &area, &batch->cases[i], &batch->outcomes[i]);
        }
        byte = 'd';
    }
    _exit(0);
}
