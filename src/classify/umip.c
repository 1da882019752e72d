/*
 * umip.c - what the host makes of SGDT, SIDT, SLDT, STR and SMSW at CPL 3.
 *
 * CR4.UMIP makes them trap.  Linux sets it where the CPU has it, and, so that old programs go on,
 * emulates what trapped: it writes values that tell nothing (arch/x86/kernel/umip.c).  Whether the
 * CPU executed one or the kernel answered is seen by two things: the values, and the time, for a
 * trap into the kernel takes at least ten times that of the instruction.
 */
#include <string.h>
#include <time.h>

#include "classify/process.h"
#include "host/native.h"
#include "isa/vector.h"

const char *const umip_names[UMIP_PROBES] = {"SGDT", "SIDT", "SLDT", "STR", "SMSW"};

enum { PROBE_SGDT, PROBE_SIDT, PROBE_SLDT, PROBE_STR, PROBE_SMSW };

/* Linux's answers: bases in the upper half at which nothing lies, and the state that a CR0 has. */
#define DUMMY_GDT   0xfffffffffffe0000ull
#define DUMMY_IDT   0xffffffffffff0000ull
#define EMULATED_NS 300u /* an instruction takes less, a trap more */
#define REPEATS     64u

/* Each with [rbx], and a register that has been cleared is not touched. */
static const u8 code[UMIP_PROBES][3] = {
    [PROBE_SGDT] = {0x0f, 0x01, 0x03}, [PROBE_SIDT] = {0x0f, 0x01, 0x0b},
    [PROBE_SLDT] = {0x0f, 0x00, 0x03}, [PROBE_STR] = {0x0f, 0x00, 0x0b},
    [PROBE_SMSW] = {0x0f, 0x01, 0x23},
};

static void execute(unsigned probe, void *memory)
{
    switch (probe) {
    case PROBE_SGDT:
        __asm__ volatile("sgdt (%0)" ::"r"(memory) : "memory");
        break;
    case PROBE_SIDT:
        __asm__ volatile("sidt (%0)" ::"r"(memory) : "memory");
        break;
    case PROBE_SLDT:
        __asm__ volatile("sldt (%0)" ::"r"(memory) : "memory");
        break;
    case PROBE_STR:
        __asm__ volatile("str (%0)" ::"r"(memory) : "memory");
        break;
    default:
        __asm__ volatile("smsw (%0)" ::"r"(memory) : "memory");
        break;
    }
}

static u64 now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (u64)now.tv_sec * 1000000000u + (u64)now.tv_nsec;
}

/* Of one, the best of some: others use the machine, too. */
static u32 measure(unsigned probe)
{
    u8 memory[16];
    u64 best = UINT64_MAX;

    for (unsigned i = 0; i < 5; i++) {
        u64 start = now_ns();
        for (unsigned k = 0; k < REPEATS; k++) {
            execute(probe, memory);
        }
        u64 took = now_ns() - start;
        best = took < best ? took : best;
    }
    return (u32)(best / REPEATS);
}

/* Could no CPU that runs Linux have written this? */
static bool is_dummy(unsigned probe, enum code_kind kind, u64 base)
{
    u64 mask = kind == CODE_64 ? ~0ull : 0xffffffff;

    return (probe == PROBE_SGDT && base == (DUMMY_GDT & mask)) ||
           (probe == PROBE_SIDT && base == (DUMMY_IDT & mask));
}

static void probe_one(struct native *native, unsigned probe, enum code_kind kind,
                      struct umip_probe *out, u32 cost_ns)
{
    struct native_registers registers = {
        .rip = CODE,
        .cs = kind == CODE_64 ? NATIVE_CODE64 : NATIVE_CODE32,
        .flags = RFLAGS_FIXED | RFLAGS_IF | RFLAGS_TF,
        .ss = NATIVE_DATA,
        .ds = NATIVE_DATA,
        .es = NATIVE_DATA,
        .frame = AREA + 0x10000u + PAGE_SIZE,
    };
    struct native_result result;
    bool is_table = probe == PROBE_SGDT || probe == PROBE_SIDT;
    u8 *data = (u8 *)(uintptr_t)DATA;

    registers.gpr[RBX] = DATA;
    registers.gpr[RSP] = STACK;
    memset((void *)(uintptr_t)CODE, 0xcc, INSN_MAX_LENGTH); /* INT3: see native.c */
    memcpy((void *)(uintptr_t)CODE, code[probe], sizeof(code[probe]));
    memset(data, 0, 16);
    native_run(native, &registers, &result);
    if (result.vector != VECTOR_DB && result.vector != VECTOR_BP) {
        out->answer = RINGER_UMIP_TRAPS;
        return;
    }
    memcpy(&out->value, data + (is_table ? 2 : 0), is_table ? 8 : 2);
    out->cost_ns = cost_ns ? cost_ns : measure(probe);
    out->answer = is_dummy(probe, kind, out->value) || out->cost_ns >= EMULATED_NS
                      ? RINGER_UMIP_EMULATED
                      : RINGER_UMIP_EXECUTED;
}

void umip_probe_all(struct native *native, struct experiments *x)
{
    for (unsigned i = 0; i < UMIP_PROBES; i++) {
        probe_one(native, i, CODE_64, &x->umip[i][CODE_64], 0);
        probe_one(native, i, CODE_32, &x->umip[i][CODE_32], x->umip[i][CODE_64].cost_ns);
    }
}
