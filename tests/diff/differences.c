/*
 * differences.c - the list: see differences.h.
 *
 * Ringer's CPU says that it is Intel's (src/cpu/cpuid.c); so where AMD's does something else, that
 * is not a mistake.  AMD64 Architecture Programmer's Manual vol. 3 has its side.
 */
#include "differences.h"

#include <cpuid.h>
#include <string.h>

#include "cpu/cpu.h"

#define INTEL BIT(VENDOR_INTEL)
#define AMD   BIT(VENDOR_AMD)
#define ANY   (INTEL | AMD)

enum vendor vendor_of_host(void)
{
    unsigned eax, ebx = 0, ecx, edx;

    __get_cpuid(0, &eax, &ebx, &ecx, &edx);
    return !memcmp(&ebx, "Auth", 4) || !memcmp(&ebx, "Hygo", 4) ? VENDOR_AMD : VENDOR_INTEL;
}

/* ------------------------------------------------------------------ when */

static bool near_branch(const struct insn *insn, const struct diff_case *c)
{
    return (c->mode == INSN_MODE_64 && insn->prefix_66) || insn->rep;
}

static bool misaligned_stack(const struct insn *insn, const struct diff_case *c)
{
    (void)insn;
    return c->before.gpr[RSP] & 7;
}

static bool no_count(const struct insn *insn, const struct diff_case *c)
{
    return insn->rep && !(c->before.gpr[RCX] & bits_mask(insn->address_size * 8));
}

static bool is_repeated(const struct insn *insn, const struct diff_case *c)
{
    (void)c;
    return insn->rep && insn_row(insn)->attributes & (ATTR_REP | ATTR_REPZ);
}

static bool operand_16(const struct insn *insn, const struct diff_case *c)
{
    (void)c;
    return insn->operand_size == 2;
}

static const struct operand *memory_of(const struct insn *insn)
{
    for (unsigned i = 0; i < insn->operands; i++) {
        if (insn->op[i].kind == OPERAND_MEM) {
            return &insn->op[i];
        }
    }
    return NULL;
}

static bool in_memory(const struct insn *insn, const struct diff_case *c)
{
    (void)c;
    return memory_of(insn) != NULL;
}

static bool reserved_register_nop(const struct insn *insn, const struct diff_case *c)
{
    (void)c;
    return insn->map == 1 && insn->opcode == 0x0d;
}

/* Is it a question whether its last bytes can be fetched, or are too many? */
static bool near_end(const struct insn *insn, const struct diff_case *c)
{
    return insn->length > 10 || (case_start(c) & ~PAGE_MASK) > PAGE_SIZE - 2 * INSN_MAX_LENGTH;
}

static bool far_64(const struct insn *insn, const struct diff_case *c)
{
    (void)c;
    return insn->rex & 8;
}

static bool of_cpu_segment(const struct insn *insn, const struct diff_case *c)
{
    bool found = insn->op[1].kind == OPERAND_REG && is_cpu_segment(c->before.gpr[insn->op[1].reg]);

    for (unsigned i = 0; i < c->pokes; i++) {
        found |= is_cpu_segment(c->poke[i].value);
    }
    return found;
}

/* Masked moves never raise #AC: that is compared. */
static bool large_and_checked(const struct insn *insn, const struct diff_case *c)
{
    const struct operand *memory = memory_of(insn);
    bool is_masked = insn->id == INSN_VMASKMOVPS || insn->id == INSN_VMASKMOVPD ||
                     insn->id == INSN_VPMASKMOVD || insn->id == INSN_VPMASKMOVQ;

    return c->before.flags & RFLAGS_AC && memory && !is_masked &&
           (memory->size > 8 || !memory->size);
}

static bool ten_bytes(const struct insn *insn, const struct diff_case *c)
{
    (void)c;
    return memory_of(insn) && memory_of(insn)->size == 10;
}

/* Operands of several accesses, each of which wraps by itself. */
static bool wraps(const struct insn *insn, const struct diff_case *c)
{
    const struct operand *memory = memory_of(insn);

    (void)c;
    return insn->address_size == 2 && memory && (memory->size == 10 || !memory->size);
}

static bool aligned_on_stack(const struct insn *insn, const struct diff_case *c)
{
    return c->mode != INSN_MODE_64 && insn_row(insn)->attributes & ATTR_ALIGN16 &&
           memory_of(insn) && insn->mem.segment == SEG_SS;
}

static bool partly_initial(const struct insn *insn, const struct diff_case *c)
{
    (void)insn;
    return c->fpu.xstate_bv != FPU_COMPONENTS;
}

/* ------------------------------------------------------------------ the list */

#define KERNEL     "enters the host's kernel"
#define HYPERVISOR "leaves for the host's hypervisor, if there is one"
#define UMIP       "Linux emulates it where CR4.UMIP is set, and else it tells of the host's tables"
#define AMD_NEAR   "AMD cuts rIP to 16 bits; F2 and F3 mean NE and E there, whatever the opcode"
#define OWN_FLAGS  "its undefined flags are not those of the host's own instruction"
#define AMD_FAR    "AMD has no m16:64"
#define AMD_LFS    "AMD checks offset and selector one after the other"
#define HOST_VALUE "the value is the host's own"
#define SHA_ALIGN  "AMD's SHA instructions do not ask for alignment"
#define SWITCHED   "when Linux takes the CPU away, a component may become one in use"
#define IN_USE     "which components count as in use is the processor's"
#define IMAGE      "in which order it touches so much memory is the processor's"
#define MASK_MOVE  "whether what is masked out can fault is the processor's"
#define MXCSR_MM   "AMD's MXCSR_MASK has bit 17, misaligned exception mode"
#define MXCSR_BIT  0x0002000000000000ull

const struct difference differences[] = {
    {INSN_SYSCALL, ANY, OPEN_RUN, 0, NULL, KERNEL},
    {INSN_SYSENTER, ANY, OPEN_RUN, 0, NULL, KERNEL},
    {INSN_VMCALL, ANY, OPEN_RUN, 0, NULL, HYPERVISOR},
    {INSN_VMMCALL, ANY, OPEN_RUN, 0, NULL, HYPERVISOR},
    {INSN_SGDT, ANY, OPEN_RUN, 0, NULL, UMIP},
    {INSN_SIDT, ANY, OPEN_RUN, 0, NULL, UMIP},
    {INSN_SLDT, ANY, OPEN_RUN, 0, NULL, UMIP},
    {INSN_STR, ANY, OPEN_RUN, 0, NULL, UMIP},
    {INSN_SMSW, ANY, OPEN_RUN, 0, NULL, UMIP},

    {INSN_CPUID, ANY, OPEN_RESULTS, 0, NULL, HOST_VALUE},
    {INSN_RDTSC, ANY, OPEN_RESULTS, 0, NULL, HOST_VALUE},
    {INSN_RDTSCP, ANY, OPEN_RESULTS, 0, NULL, HOST_VALUE},
    {INSN_XGETBV, ANY, OPEN_RESULTS, 0, NULL, HOST_VALUE},
    {INSN_RDPID, ANY, OPEN_DESTINATION, 0xffffffff, NULL, HOST_VALUE},
    {INSN_RDRAND, ANY, OPEN_DESTINATION | OPEN_FLAGS, ~0ull, NULL, HOST_VALUE},
    {INSN_RDSEED, ANY, OPEN_DESTINATION | OPEN_FLAGS, ~0ull, NULL, HOST_VALUE},
    {INSN_LSL, ANY, OPEN_DESTINATION, ~0ull, of_cpu_segment, "the limit is the host CPU's number"},
    {INSN_LAR, ANY, OPEN_DESTINATION, 0xf0000, NULL, "bits 19 to 16 are undefined"},

    {INSN_INVALID, ANY, OPEN_FAULT, 0, large_and_checked,
     "#AC for operands of more than 8 bytes is the processor's"},
    {INSN_INVALID, ANY, OPEN_EXCEPTION, 0, ten_bytes,
     "10 bytes are two accesses: which faults first is the processor's"},
    {INSN_INVALID, AMD, OPEN_RF, 0, is_repeated,
     "AMD saves RF as 0 between the iterations of a string instruction"},
    {INSN_INVALID, ANY, OPEN_FAULT, 0, wraps,
     "whether so long an operand wraps with a 16-bit address is the processor's"},
    {INSN_INVALID, ANY, OPEN_EXCEPTION, 0, aligned_on_stack,
     "which of #SS and #GP comes first is the processor's"},
    {INSN_INT1, ANY, OPEN_CASE, 0, NULL, "a hypervisor may give another address"},
    {INSN_MASKMOVQ, ANY, OPEN_FAULT, 0, NULL, MASK_MOVE},
    {INSN_MASKMOVDQU, ANY, OPEN_FAULT, 0, NULL, MASK_MOVE},
    {INSN_VMASKMOVDQU, ANY, OPEN_FAULT, 0, NULL, MASK_MOVE},
    {INSN_FXSAVE, ANY, OPEN_EXCEPTION, 0, NULL, IMAGE},
    {INSN_FXSAVE, INTEL, OPEN_FAULT, 0, NULL, "it may leave the image's last bytes alone"},
    {INSN_FXRSTOR, ANY, OPEN_EXCEPTION, 0, NULL, IMAGE},
    {INSN_FNSTENV, ANY, OPEN_EXCEPTION, 0, NULL, IMAGE},
    {INSN_FLDENV, ANY, OPEN_EXCEPTION, 0, NULL, IMAGE},
    {INSN_FNSAVE, ANY, OPEN_EXCEPTION, 0, NULL, IMAGE},
    {INSN_FRSTOR, ANY, OPEN_EXCEPTION, 0, NULL, IMAGE},
    {INSN_XSAVE, ANY, OPEN_EXCEPTION, 0, NULL, IMAGE},
    {INSN_XSAVEC, ANY, OPEN_EXCEPTION, 0, NULL, IMAGE},
    {INSN_XSAVEOPT, ANY, OPEN_EXCEPTION, 0, NULL, IMAGE},
    {INSN_XRSTOR, ANY, OPEN_EXCEPTION, 0, NULL, IMAGE},
    {INSN_XSAVE, ANY, OPEN_ONCE, 0, partly_initial, SWITCHED},
    {INSN_XSAVEC, ANY, OPEN_ONCE, 0, partly_initial, SWITCHED},
    {INSN_XSAVEOPT, ANY, OPEN_ONCE, 0, partly_initial, SWITCHED},
    {INSN_XSAVE, INTEL, OPEN_MEMORY, 0, partly_initial, IN_USE},
    {INSN_XSAVEC, INTEL, OPEN_MEMORY, 0, partly_initial, IN_USE},
    {INSN_XSAVEOPT, INTEL, OPEN_MEMORY, 0, partly_initial, IN_USE},
    {INSN_CVTPI2PS, INTEL, OPEN_EXCEPTION, 0, in_memory, "#MF may come first, or not at all"},
    {INSN_FXSAVE, AMD, OPEN_WORDS, MXCSR_BIT, NULL, MXCSR_MM},
    {INSN_XSAVE, AMD, OPEN_WORDS, MXCSR_BIT, NULL, MXCSR_MM},
    {INSN_XSAVEC, AMD, OPEN_WORDS, MXCSR_BIT, NULL, MXCSR_MM},
    {INSN_XSAVEOPT, AMD, OPEN_WORDS, MXCSR_BIT, NULL, MXCSR_MM},
    {INSN_SHA1MSG1, AMD, OPEN_FAULT, 0, NULL, SHA_ALIGN},
    {INSN_SHA1MSG2, AMD, OPEN_FAULT, 0, NULL, SHA_ALIGN},
    {INSN_SHA1NEXTE, AMD, OPEN_FAULT, 0, NULL, SHA_ALIGN},
    {INSN_SHA1RNDS4, AMD, OPEN_FAULT, 0, NULL, SHA_ALIGN},
    {INSN_SHA256MSG1, AMD, OPEN_FAULT, 0, NULL, SHA_ALIGN},
    {INSN_SHA256MSG2, AMD, OPEN_FAULT, 0, NULL, SHA_ALIGN},
    {INSN_SHA256RNDS2, AMD, OPEN_FAULT, 0, NULL, SHA_ALIGN},

    {INSN_AAA, ANY, OPEN_SEQUENCE, 0, NULL, OWN_FLAGS},
    {INSN_AAS, ANY, OPEN_SEQUENCE, 0, NULL, OWN_FLAGS},
    {INSN_AAM, ANY, OPEN_SEQUENCE, 0, NULL, OWN_FLAGS},
    {INSN_AAD, ANY, OPEN_SEQUENCE, 0, NULL, OWN_FLAGS},
    {INSN_DAA, ANY, OPEN_SEQUENCE, 0, NULL, OWN_FLAGS},
    {INSN_DAS, ANY, OPEN_SEQUENCE, 0, NULL, OWN_FLAGS},

    {INSN_JMP, AMD, OPEN_CASE, 0, near_branch, AMD_NEAR},
    {INSN_CALL, AMD, OPEN_CASE, 0, near_branch, AMD_NEAR},
    {INSN_RET, AMD, OPEN_CASE, 0, near_branch, AMD_NEAR},
    {INSN_JCC, AMD, OPEN_CASE, 0, near_branch, AMD_NEAR},
    {INSN_JCXZ, AMD, OPEN_CASE, 0, near_branch, AMD_NEAR},
    {INSN_LOOP, AMD, OPEN_CASE, 0, near_branch, AMD_NEAR},
    {INSN_LOOPE, AMD, OPEN_CASE, 0, near_branch, AMD_NEAR},
    {INSN_LOOPNE, AMD, OPEN_CASE, 0, near_branch, AMD_NEAR},
    {INSN_CALL, AMD, OPEN_EXCEPTION, 0, NULL, "AMD pushes before it checks the target"},
    {INSN_CALL_FAR, AMD, OPEN_CASE, 0, far_64, AMD_FAR},
    {INSN_JMP_FAR, AMD, OPEN_CASE, 0, far_64, AMD_FAR},
    {INSN_CALL_FAR, AMD, OPEN_EXCEPTION, 0, NULL, "AMD pushes before it checks the target"},
    {INSN_JMP_FAR, AMD, OPEN_EXCEPTION, 0, NULL, "AMD checks offset and selector in another order"},
    {INSN_RET_FAR, AMD, OPEN_EXCEPTION, 0, NULL, "AMD pops all before it checks any of it"},
    {INSN_IRET, AMD, OPEN_EXCEPTION, 0, NULL, "AMD pops all before it checks any of it"},
    {INSN_LSS, AMD, OPEN_CASE, 0, far_64, AMD_FAR},
    {INSN_LFS, AMD, OPEN_CASE, 0, far_64, AMD_FAR},
    {INSN_LGS, AMD, OPEN_CASE, 0, far_64, AMD_FAR},
    {INSN_LDS, AMD, OPEN_EXCEPTION, 0, NULL, AMD_LFS},
    {INSN_LES, AMD, OPEN_EXCEPTION, 0, NULL, AMD_LFS},
    {INSN_LFS, AMD, OPEN_EXCEPTION, 0, NULL, AMD_LFS},
    {INSN_LGS, AMD, OPEN_EXCEPTION, 0, NULL, AMD_LFS},
    {INSN_LSS, AMD, OPEN_EXCEPTION, 0, NULL, AMD_LFS},

    {INSN_PUSH_SEG, INTEL, OPEN_MEMORY, 0, NULL, "Intel's stores 16 bits of the slot"},
    {INSN_POP_SEG, INTEL, OPEN_CASE, 0, misaligned_stack, "and may load as many"},
    {INSN_INS, AMD, OPEN_CASE, 0, no_count, "AMD asks for the port even where the count is 0"},
    {INSN_OUTS, AMD, OPEN_CASE, 0, no_count, "AMD asks for the port even where the count is 0"},
    {INSN_MOVSXD, AMD, OPEN_CASE, 0, operand_16, "with 66 AMD reads 32 bits, too"},
    {INSN_UD0, AMD, OPEN_CASE, 0, near_end, "AMD's has no ModRM byte"},
    {INSN_UD1, AMD, OPEN_CASE, 0, near_end, "AMD's has no ModRM byte"},
    {INSN_ARPL, AMD, OPEN_CASE, 0, in_memory, "AMD's does not write what it does not change"},
    {INSN_NOP, AMD, OPEN_CASE, 0, reserved_register_nop, "0F 0D with a register is #UD on AMD"},
    {INSN_ENTER, INTEL, OPEN_EXCEPTION, 0, NULL, "the order of its stores is the processor's"},
    {INSN_PUSHA, INTEL, OPEN_EXCEPTION, 0, NULL, "the order of its stores is the processor's"},
    {INSN_CMPXCHG8B, INTEL, OPEN_EXCEPTION, 0, NULL, "the order of its loads is the processor's"},
    {INSN_POPA, ANY, OPEN_PARTIAL, 0, NULL, "how much it has loaded is the processor's"},
};
const unsigned difference_count = ARRAY_SIZE(differences);

unsigned differences_of(const struct insn *insn, const struct diff_case *c, enum vendor vendor,
                        u64 *bits, u64 *used)
{
    unsigned open = 0;

    *bits = 0;
    for (unsigned i = 0; i < difference_count; i++) {
        const struct difference *d = &differences[i];
        if ((d->id != insn->id && d->id != INSN_INVALID) || !(d->vendors & BIT(vendor)) ||
            (d->applies && (!c || !d->applies(insn, c)))) {
            continue;
        }
        open |= d->open;
        *bits |= d->bits;
        if (used) {
            used[i]++;
        }
    }
    return open;
}

bool differences_any(unsigned id, enum vendor vendor)
{
    for (unsigned i = 0; i < difference_count; i++) {
        if (differences[i].id == id && differences[i].vendors & BIT(vendor)) {
            return true;
        }
    }
    return false;
}

const char *differences_not_run(unsigned id, enum vendor vendor)
{
    for (unsigned i = 0; i < difference_count; i++) {
        const struct difference *d = &differences[i];
        if (d->id == id && d->vendors & BIT(vendor) && d->open & OPEN_RUN) {
            return d->reason;
        }
    }
    return NULL;
}
