/*
 * thunk.h - instructions that the host CPU executes itself.
 *
 * For each distinct instruction a small function is generated once: the same instruction with its
 * memory operand replaced by [rdi] and its general registers by fixed ones.  Vector and x87
 * registers stay what they are: they are the guest's (cpu/fpu.h).  An example, PINSRW xmm9, r13d,
 * 3:
 *
 *      mov r9, [rsi + 8]           image->gpr[THUNK_B], which the caller set to R13
 *      pinsrw xmm9, r9d, 3
 *      xor eax, eax                no flags, not failed
 *      ret
 *
 * and COMISD xmm1, qword ptr gs:[rbp*4 + 0x1000]:
 *
 *      comisd xmm1, qword ptr [rdi]
 *      lahf / seto al / movzx eax, ax / ret        the guest's arithmetic flags
 *
 * A thunk never touches the stack.  If its instruction faults on the host (SIGFPE: an unmasked
 * floating-point exception; SIGILL: the host does not have it), the signal handler sets the
 * interrupted rIP to thunk_fixup() and returns: the thunk's call then returns THUNK_FAILED.
 */
#ifndef EXEC_INTERPRET_THUNK_H
#define EXEC_INTERPRET_THUNK_H

#include "exec/interpret/op.h"

enum {            /* slots of general registers; masks of them are in gpr_read, gpr_written */
       THUNK_R,   /* ModRM.reg: op->dst has the guest's register */
       THUNK_B,   /* ModRM.rm: op->src */
       THUNK_V,   /* VEX.vvvv: op->aux */
       THUNK_RAX, /* implicit ones */
       THUNK_RCX,
       THUNK_RDX,
       THUNK_GPRS,
};

struct thunk_image {
    u64 gpr[THUNK_GPRS];
    u64 flags; /* as cpu->flags */
};

#define THUNK_FAILED 0x80000000u

typedef u32 thunk_code(void *memory, struct thunk_image *image);

/* How to execute an instruction: all of it follows from its normalized encoding. */
struct thunk {
    thunk_code *code;
    u64 key[2];     /* the normalized encoding */
    u32 next;       /* in its hash chain: index + 1, or 0 */
    u32 attributes; /* of its row: ATTR_* */
    u32 cr4_set;    /* it may be executed if CR4 has all of these, ... */
    u8 xcr0_set;    /* ... XCR0 these, ... */
    u8 cr0_clear;   /* ... and CR0 none of these */
    u8 memory_size; /* bytes; 0 if there is no memory operand */
    bool memory_read, memory_written;
    u8 align_mask; /* bits of the address that must be 0, else #GP(0) */
    u8 gpr_read, gpr_written;
    bool flags_read, flags_written;
    bool records; /* an x87 instruction that FIP, FDP and FOP shall name */
};

#define THUNK_POOL       8192
#define THUNK_HASH       8192
#define THUNK_CODE_BYTES (512u << 10)

struct thunk_cache { /* aligned to a page, as its code is: that alone has to be executable */
    u32 used, code_used;
    u32 hash[THUNK_HASH]; /* index + 1 of the first of a chain */
    struct thunk thunks[THUNK_POOL];
    u8 code[THUNK_CODE_BYTES] __attribute__((aligned(PAGE_SIZE)));
};

_Static_assert(sizeof(struct thunk_cache) % PAGE_SIZE == 0, "nothing else is in the code's pages");

void thunk_cache_init(struct thunk_cache *cache);

/* Drop all thunks: no op may refer to one any more. */
void thunk_cache_empty(struct thunk_cache *cache);

/* So full that the next few lines of ops might not find room: drop all ops, then empty it. */
bool thunk_cache_is_low(const struct thunk_cache *cache);

/* The thunk of what insn (decoded in mode) is, generated if need be.  wanted says all but code, key
 * and next.  NULL if the cache is full. */
const struct thunk *thunk_find(struct thunk_cache *cache, const struct insn *insn,
                               enum insn_mode mode, const struct thunk *wanted);

/* For the handlers of SIGFPE and SIGILL: where to go on if host_rip is in a thunk; 0 if it is not.
 */
u64 thunk_fixup(const struct thunk_cache *cache, u64 host_rip);

/* Execute it where the guest's registers are not in the host's: load, execute, save. */
u32 thunk_run_apart(struct cpu *cpu, const struct thunk *thunk, void *memory,
                    struct thunk_image *image);

/* Execute it.  image may be NULL if it uses no general registers and no flags.  Returns the flags
 * (as cpu->flags) if flags_written, or THUNK_FAILED with nothing changed but exception flags. */
static inline u32 thunk_run(struct cpu *cpu, const struct thunk *thunk, void *memory,
                            struct thunk_image *image)
{
    if (unlikely(!cpu->fpu.loaded)) {
        return thunk_run_apart(cpu, thunk, memory, image);
    }
    return thunk->code(memory, image);
}

#endif
