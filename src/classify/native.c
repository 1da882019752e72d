/*
 * native.c - the same samples on the host's CPU, at CPL 3: does the instruction trap?
 *
 * The child process is expendable, so instructions may do there what they like: with few
 * exceptions, named in experiment_native_excludes().  Memory is where the laboratory has it; beyond
 * it nothing is mapped below 4 GiB, so that a jump into the void ends at once.
 */
#include <string.h>
#include <sys/mman.h>

#include "classify/experiment.h"
#include "host/native.h"
#include "isa/vector.h"

#define FRAME      (AREA + 0x10000u) /* a page for native_run() */
#define INT3       0xcc
#define MORE_TRIES 25u /* for each sample that is wanted */

bool experiment_native_area(void)
{
    const int rights = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
    u8 *area = mmap((void *)(uintptr_t)AREA, 2 * PAGE_SIZE, rights | PROT_EXEC,
                    flags | MAP_FIXED_NOREPLACE, -1, 0);
    u8 *frame =
        mmap((void *)(uintptr_t)FRAME, PAGE_SIZE, rights, flags | MAP_FIXED_NOREPLACE, -1, 0);

    return area == (u8 *)(uintptr_t)AREA && frame == (u8 *)(uintptr_t)FRAME;
}

const char *experiment_native_excludes(unsigned row)
{
    switch (insn_rows[row].id) {
    case INSN_VMCALL:
    case INSN_VMMCALL:
        return "it would call a hypervisor that the host itself runs on";
    default:
        return NULL;
    }
}

static void prepare(const struct sample *s, enum code_kind kind, struct native_registers *r)
{
    *r = (struct native_registers){
        .rip = CODE,
        .cs = kind == CODE_64 ? NATIVE_CODE64 : NATIVE_CODE32,
        .flags = s->flags | RFLAGS_FIXED | RFLAGS_IF | RFLAGS_TF,
        .ss = NATIVE_DATA,
        .ds = NATIVE_DATA,
        .es = NATIVE_DATA,
        .frame = FRAME + PAGE_SIZE,
    };
    memcpy(r->gpr, s->gpr, sizeof(r->gpr));
    memset((void *)(uintptr_t)CODE, INT3, 2 * INSN_MAX_LENGTH);
    memcpy((void *)(uintptr_t)CODE, s->memory.code, s->insn.length);
    memcpy((void *)(uintptr_t)DATA, s->memory.data, DATA_BYTES);
}

/* A load of SS holds the single-step trap off for one instruction. */
static bool loads_ss(const struct insn *insn)
{
    return insn->id == INSN_LSS || (insn->op[0].kind == OPERAND_REG && insn->op[0].written &&
                                    insn->op[0].class == REG_SEGMENT && insn->op[0].reg == SEG_SS);
}

/* Where the kernel emulates an instruction, the single-step trap comes one too late: the INT3 after
 * it ends the run. */
static void count(struct native_finding *f, const struct native_result *result,
                  const struct insn *insn)
{
    bool late = result->vector == VECTOR_BP && result->r.rip == CODE + insn->length + 1u;
    bool emulated = late && !loads_ss(insn);
    bool gate = !late &&
                (result->system_call || result->vector == VECTOR_BP || result->vector == VECTOR_OF);

    if (gate || late || result->vector == VECTOR_DB) {
        f->completed++;
        f->gates += gate;
        f->emulated += emulated;
    } else if (result->vector == VECTOR_PF) {
        f->page_faults++;
    } else {
        f->trapped++;
        f->vectors |= 1u << (result->vector & 31);
    }
}

void experiment_native(struct native *native, unsigned row, enum code_kind kind, unsigned samples,
                       struct native_finding *f)
{
    /* Another seed after each death, or it would be the same one again. */
    struct chance chance = {0xd1342543de82ef95ull ^ ((u64)row << 16 | f->tries << 1 | kind)};
    struct native_registers registers;
    struct native_result result;
    static const unsigned no_such = 200;
    unsigned made = 0;

    if (experiment_native_excludes(row)) {
        return;
    }
    while (f->completed < samples && f->tries < samples * MORE_TRIES && made < no_such) {
        struct sample sample;
        made++;
        if (!sample_make(&sample, row, kind, &chance)) {
            continue;
        }
        made = 0;
        __atomic_fetch_add(&f->tries, 1, __ATOMIC_RELAXED); /* seen even if this is the last */
        prepare(&sample, kind, &registers);
        native_run(native, &registers, &result);
        count(f, &result, &sample.insn);
    }
}
