/*
 * vector_memory.c - vector instructions whose memory operand is not one piece: masked moves, which
 * touch only what their mask enables, and gathers.
 *
 * Intel SDM vol. 2, MASKMOVDQU, VMASKMOV, VPMASKMOV, VGATHER, VPGATHER.
 */
#include "base/string.h"
#include "cpu/debug.h"
#include "cpu/fpu.h"
#include "exec/interpret/code.h"
#include "exec/interpret/operand.h"
#include "exec/interpret/vector.h"

#define VECTOR_BYTES 32

static const struct thunk *thunk_of(const struct op *op)
{
    return (const struct thunk *)(uintptr_t)op->imm;
}

/* The linear address of the size bytes at effective address ea. */
static bool element_address(struct cpu *cpu, const struct op *op, u64 ea, unsigned size,
                            unsigned access, gva_t *gva)
{
    *gva = ea;
    if (op->ea & (EA_SEGMENT_BASE | EA_LEGACY)) {
        return linear_address(cpu, op->segment, ea, size, access, gva);
    }
    return true;
}

static bool run(struct cpu *cpu, const struct op *op, void *memory)
{
    return vector_run(cpu, thunk_of(op), memory, NULL);
}

/* ------------------------------------------------------------------ masked moves; op->aux: bytes
 * of an element */

/* Store what the mask enables.  Which bytes those are shows when the thunk stores over zeros and
 * over ones: they come out equal. */
static bool store_masked_slow(struct cpu *cpu, const struct op *op)
{
    u8 bytes[VECTOR_BYTES] __attribute__((aligned(32)));
    u8 other[VECTOR_BYTES] __attribute__((aligned(32)));
    unsigned size = thunk_of(op)->memory_size, element = op->aux;
    u64 start = effective_address(cpu, op);
    gva_t gva;

    memset(bytes, 0x00, sizeof(bytes));
    memset(other, 0xff, sizeof(other));
    if (!run(cpu, op, bytes) || !run(cpu, op, other)) {
        return false;
    }
    for (unsigned pass = 0; pass < 2; pass++) { /* look at all of it before the first store */
        for (unsigned i = 0; i < size; i += element) {
            void *hva;
            if (bytes[i] != other[i]) {
                continue;
            }
            if (!element_address(cpu, op, start + i, element, ACCESS_WRITE, &gva) ||
                !(pass ? store_unaligned(cpu, op->segment, gva, bytes + i, element)
                       : probe_unaligned(cpu, op->segment, gva, element, &hva))) {
                return false;
            }
        }
    }
    return true;
}

static bool store_masked(struct cpu *cpu, const struct op *op)
{
    gva_t gva;
    if (!(op->ea & EA_LEGACY) && element_address(cpu, op, effective_address(cpu, op),
                                                 thunk_of(op)->memory_size, ACCESS_WRITE, &gva)) {
        void *p = tlb_write(&cpu->mmu, gva, thunk_of(op)->memory_size);
        if (p) {
            return run(cpu, op, p);
        }
    }
    return !cpu->fault.pending && store_masked_slow(cpu, op);
}

APART bool do_store_masked(struct cpu *cpu, const struct op *op)
{
    if (!vector_check(cpu, thunk_of(op)->attributes) || !store_masked(cpu, op)) {
        return false;
    }
    return true;
}

static s64 op_store_masked(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_store_masked(cpu, op) ? next(cpu, op, left) : fault(cpu, op, left);
}

static void vector_get(const struct fpu_area *area, unsigned reg, u8 *bytes)
{
    memcpy(bytes, area->xmm[reg], 16);
    memcpy(bytes + 16, area->ymm_high[reg], 16);
}

static void vector_put(struct fpu_area *area, unsigned reg, const u8 *bytes)
{
    memcpy(area->xmm[reg], bytes, 16);
    memcpy(area->ymm_high[reg], bytes + 16, 16);
}

/* op->src: the mask's register. */
static bool load_masked_slow(struct cpu *cpu, const struct op *op)
{
    u8 bytes[VECTOR_BYTES] __attribute__((aligned(32))) = {0};
    u8 mask[VECTOR_BYTES];
    unsigned size = thunk_of(op)->memory_size, element = op->aux;
    u64 start = effective_address(cpu, op);
    gva_t gva;

    vector_get(fpu_open(cpu), op->src, mask);
    for (unsigned i = 0; i < size; i += element) {
        if (mask[i + element - 1] & 0x80 &&
            (!element_address(cpu, op, start + i, element, ACCESS_READ, &gva) ||
             !load_unaligned(cpu, op->segment, gva, bytes + i, element))) {
            return false;
        }
    }
    return run(cpu, op, bytes);
}

APART bool do_load_masked(struct cpu *cpu, const struct op *op)
{
    unsigned size = thunk_of(op)->memory_size;
    void *p = NULL;
    gva_t gva;
    if (!vector_check(cpu, thunk_of(op)->attributes)) {
        return false;
    }
    if (!(op->ea & EA_LEGACY)) {
        if (!element_address(cpu, op, effective_address(cpu, op), size, ACCESS_READ, &gva)) {
            return false;
        }
        p = tlb_read(&cpu->mmu, gva, size);
    }
    bool done = p ? run(cpu, op, p) : load_masked_slow(cpu, op);
    return done;
}

static s64 op_load_masked(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_load_masked(cpu, op) ? next(cpu, op, left) : fault(cpu, op, left);
}

/* ------------------------------------------------------------------ gathers */

enum {                            /* op->size of a gather */
       GATHER_ELEMENT_8 = 1 << 0, /* elements of 8 bytes, else 4 */
       GATHER_INDEX_8 = 1 << 1,
       GATHER_256 = 1 << 2,
};

struct gather {
    u8 result[VECTOR_BYTES], mask[VECTOR_BYTES], index[VECTOR_BYTES];
    unsigned element, index_size, count;
    unsigned loads; /* begun */
};

/* Element i, if its mask is set. */
static bool gather_one(struct cpu *cpu, const struct op *op, struct gather *g, unsigned i)
{
    u8 *mask = g->mask + i * g->element;
    if (mask[g->element - 1] & 0x80) {
        g->loads++;
        u64 index = 0;
        gva_t gva;
        memcpy(&index, g->index + i * g->index_size, g->index_size);
        index = bits_sign_extend(index, 8 * g->index_size) << op->scale;
        u64 ea = effective_address(cpu, op) + index;
        if (op->ea & EA_ADDRESS_32) { /* with 16 bits there are no gathers */
            ea = (u32)ea;
        }
        if (!element_address(cpu, op, ea, g->element, ACCESS_READ, &gva) ||
            !load_unaligned(cpu, op->segment, gva, g->result + i * g->element, g->element)) {
            return false;
        }
    }
    memset(mask, 0, g->element);
    return true;
}

/* The traps of what has been gathered come in place of the fault that a later element met. */
static void prefer_traps(struct cpu *cpu)
{
    struct fault fault = cpu->fault;

    if (cpu->single_step_needed && debug_after_instruction(cpu, cpu->debug_step)) {
        cpu->fault = fault;
    }
}

/* dst, src, aux: registers of the result, the mask, the indices.  What is done is kept on a fault,
 * with its mask bits cleared, so that the instruction goes on where it was. */
APART bool do_gather(struct cpu *cpu, const struct op *op)
{
    struct gather g = {.loads = 0};
    unsigned length = op->size & GATHER_256 ? 32 : 16, done = 0;
    if (!vector_check(cpu, ATTR_AVX)) {
        return false;
    }
    struct fpu_area *area = fpu_open(cpu);
    vector_get(area, op->dst, g.result);
    vector_get(area, op->src, g.mask);
    vector_get(area, op->aux, g.index);
    g.element = op->size & GATHER_ELEMENT_8 ? 8 : 4;
    g.index_size = op->size & GATHER_INDEX_8 ? 8 : 4;
    g.count = length / (g.element > g.index_size ? g.element : g.index_size);
    while (done < g.count && gather_one(cpu, op, &g, done)) {
        done++;
    }
    if (done == g.count) {
        unsigned used = g.count * g.element;
        memset(g.result + used, 0, sizeof(g.result) - used);
        memset(g.mask, 0, sizeof(g.mask));
    } else if (g.loads > 1) {
        prefer_traps(cpu);
    }
    vector_put(area, op->dst, g.result);
    vector_put(area, op->src, g.mask);
    fpu_close(cpu, XCR0_SSE | XCR0_AVX);
    return done == g.count;
}

static s64 op_gather(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_gather(cpu, op) ? next(cpu, op, left) : fault(cpu, op, left);
}

static s64 op_gather_undefined(struct cpu *cpu, const struct op *op, s64 left)
{
    cpu_raise(cpu, VECTOR_UD);
    return fault(cpu, op, left);
}

/* ------------------------------------------------------------------ preparing */

/* The operand at DS:rDI of MASKMOVQ and MASKMOVDQU; DS may be overridden. */
static void implicit_operand(const struct cpu *cpu, const struct insn *insn, struct op *op)
{
    op->base = RDI;
    op->index = GPR_ZERO;
    op->scale = 0;
    op->disp = 0;
    op->segment = SEG_DS;
    for (unsigned i = 0; i < insn->opcode_offset; i++) {
        switch (insn->bytes[i]) {
        case 0x26:
            op->segment = SEG_ES;
            break;
        case 0x2e:
            op->segment = SEG_CS;
            break;
        case 0x36:
            op->segment = SEG_SS;
            break;
        case 0x3e:
            op->segment = SEG_DS;
            break;
        case 0x64:
            op->segment = SEG_FS;
            break;
        case 0x65:
            op->segment = SEG_GS;
            break;
        case 0xc4:
        case 0xc5:
            i = insn->opcode_offset; /* of VEX nothing is a segment prefix */
            break;
        }
    }
    op->ea = insn->address_size == 2 ? EA_ADDRESS_16 : insn->address_size == 4 ? EA_ADDRESS_32 : 0;
    if (cpu->code_mode != INSN_MODE_64) {
        op->ea |= EA_LEGACY;
    } else if (op->segment >= SEG_FS) {
        op->ea |= EA_SEGMENT_BASE;
    } else {
        op->segment = SEG_DS;
    }
}

static op_fn *prepare_gather(const struct cpu *cpu, const struct insn *insn, struct op *op)
{
    unsigned mask = cpu->code_mode == INSN_MODE_64 ? 15 : 7;
    op->dst = insn->op[0].reg;
    op->src = insn->vex_vvvv & mask;
    op->aux = insn->mem.index;
    op->index = GPR_ZERO;
    op->scale = insn->mem.scale;
    op->size = (u8)((insn->rex & 8 ? GATHER_ELEMENT_8 : 0) |
                    (insn->opcode & 1 ? GATHER_INDEX_8 : 0) | (insn->vex_l ? GATHER_256 : 0));
    if (op->dst == op->src || op->dst == op->aux || op->src == op->aux) {
        return op_gather_undefined;
    }
    return op_gather;
}

op_fn *vector_memory_handler(struct cpu *cpu, const struct insn *insn, struct op *op,
                             const struct thunk *thunk)
{
    struct thunk wanted = *thunk;
    op_fn *fn = NULL;

    if (insn->mem.vsib && insn->vex && insn->map == 2 && (insn->opcode & 0xfc) == 0x90) {
        return prepare_gather(cpu, insn, op);
    }
    if (insn->id == INSN_MASKMOVQ || insn->id == INSN_MASKMOVDQU || insn->id == INSN_VMASKMOVDQU) {
        implicit_operand(cpu, insn, op);
        wanted.memory_size = insn->id == INSN_MASKMOVQ ? 8 : 16;
        op->aux = 1;
        fn = op_store_masked;
    } else if (insn->id == INSN_VMASKMOVPS || insn->id == INSN_VMASKMOVPD ||
               insn->id == INSN_VPMASKMOVD || insn->id == INSN_VPMASKMOVQ) {
        bool quad = insn->id == INSN_VMASKMOVPD || insn->id == INSN_VPMASKMOVQ;
        wanted.memory_size = insn->vex_l ? 32 : 16;
        op->aux = quad ? 8 : 4;
        op->src = insn->vex_vvvv & (cpu->code_mode == INSN_MODE_64 ? 15 : 7);
        fn = insn->op[0].kind == OPERAND_MEM ? op_store_masked : op_load_masked;
    }
    if (!fn) {
        return NULL;
    }
    const struct thunk *t = thunk_find(&cpu->exec->thunks, insn, cpu->code_mode, &wanted);
    op->imm = (u64)(uintptr_t)t;
    return t ? fn : NULL;
}
