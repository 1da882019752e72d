/*
 * vector.c - x87, MMX, SSE and AVX instructions by thunks: which may be executed, with what
 * operands.
 *
 * Intel SDM vol. 2A, "Exceptions" (Exceptions Type 1 to 13); vol. 3A, "Legacy SSE and AVX
 * instructions exception conditions".
 */
#include "exec/interpret/vector.h"

#include "base/string.h"
#include "cpu/fpu.h"
#include "exec/interpret/code.h"
#include "exec/interpret/operand.h"

#define ATTR_VECTOR (ATTR_X87 | ATTR_MMX | ATTR_SSE | ATTR_AVX)

#define BUFFER_BYTES 64

/* op->size, by handlers with general registers. */
#define SIZE_MASK      0x0f /* of what is written */
#define SIZE_HIGH_BYTE 0x80 /* THUNK_B is AH, CH, DH or BH */

/* ------------------------------------------------------------------ may it be executed */

static const struct thunk *thunk_of(const struct op *op)
{
    return (const struct thunk *)(uintptr_t)op->imm;
}

bool vector_check(struct cpu *cpu, u32 attributes)
{
    u64 cr0 = cpu->mmu.paging.cr0, cr4 = cpu->mmu.paging.cr4;
    if (attributes & ATTR_AVX) {
        if (!(cr4 & CR4_OSXSAVE) || (cpu->xcr0 & (XCR0_SSE | XCR0_AVX)) != (XCR0_SSE | XCR0_AVX)) {
            return cpu_raise(cpu, VECTOR_UD);
        }
        return cr0 & CR0_TS ? cpu_raise(cpu, VECTOR_NM) : true;
    }
    if (attributes & ATTR_SSE && (cr0 & CR0_EM || !(cr4 & CR4_OSFXSR))) {
        return cpu_raise(cpu, VECTOR_UD);
    }
    if (attributes & ATTR_MMX && cr0 & CR0_EM) {
        return cpu_raise(cpu, VECTOR_UD);
    }
    return cr0 & (CR0_EM | CR0_TS) ? cpu_raise(cpu, VECTOR_NM) : true;
}

/* What vector_check() wants, as masks. */
static void set_conditions(struct thunk *t)
{
    if (t->attributes & ATTR_AVX) {
        t->cr4_set = CR4_OSXSAVE;
        t->xcr0_set = XCR0_SSE | XCR0_AVX;
        t->cr0_clear = CR0_TS;
    } else if (t->attributes & ATTR_VECTOR) {
        t->cr4_set = t->attributes & ATTR_SSE ? CR4_OSFXSR : 0;
        t->cr0_clear = CR0_EM | CR0_TS;
    }
}

static inline bool check(struct cpu *cpu, const struct thunk *t)
{
    if (likely(!(cpu->mmu.paging.cr0 & t->cr0_clear) && !(~cpu->mmu.paging.cr4 & t->cr4_set) &&
               !(~cpu->xcr0 & t->xcr0_set))) {
        return true;
    }
    return vector_check(cpu, t->attributes);
}

/* Is there an x87 exception that such an instruction waits for? */
static bool is_exception_due(struct cpu *cpu, u32 attributes)
{
    return attributes & (ATTR_X87 | ATTR_MMX) && !(attributes & ATTR_NOWAIT) &&
           fpu_open(cpu)->fsw & FSW_ES;
}

/* Does it come before the instruction?  Then #MF is pending, in place of whatever was, or the CPU
 * has stopped. */
static bool is_held_up(struct cpu *cpu, u32 attributes)
{
    return is_exception_due(cpu, attributes) && !fpu_error(cpu);
}

/* The host has no IGNNE#: without the exceptions, which come back afterwards. */
static u32 run_in_spite(struct cpu *cpu, const struct thunk *t, void *memory,
                        struct thunk_image *image)
{
    struct fpu_area *area = fpu_open(cpu);
    u16 exceptions = area->fsw & (FSW_EXCEPTIONS | FSW_SF);
    bool ferr = cpu->fpu.ferr;

    cpu->fpu.ferr = false; /* that nothing is pending now is nobody's business */
    area->fsw &= (u16) ~(FSW_EXCEPTIONS | FSW_SF | FSW_ES | FSW_B);
    fpu_close(cpu, XCR0_X87);
    u32 result = thunk_run(cpu, t, memory, image);
    area = fpu_open(cpu);
    area->fsw = fpu_fsw_summary(area->fsw | exceptions, area->fcw);
    cpu->fpu.ferr = ferr;
    fpu_close(cpu, XCR0_X87);
    return result;
}

static bool raise_simd(struct cpu *cpu)
{
    const struct fpu_area *area = fpu_open(cpu);
    u32 unmasked = area->mxcsr & ~(area->mxcsr >> 7) & 0x3f;
    bool xm = unmasked && cpu->mmu.paging.cr4 & CR4_OSXMMEXCPT;

    return cpu_raise(cpu, xm ? VECTOR_XM : VECTOR_UD);
}

/* The host has met an exception. */
APART u32 run_again(struct cpu *cpu, const struct thunk *t, void *memory, struct thunk_image *image)
{
    u32 result = THUNK_FAILED;

    if (is_exception_due(cpu, t->attributes)) {
        if (!fpu_error(cpu)) {
            return THUNK_FAILED;
        }
        result = run_in_spite(cpu, t, memory, image);
    }
    if (result == THUNK_FAILED) {
        raise_simd(cpu);
    }
    return result;
}

static inline bool run(struct cpu *cpu, const struct thunk *t, void *memory,
                       struct thunk_image *image)
{
    u32 result = thunk_run(cpu, t, memory, image);
    if (unlikely(result == THUNK_FAILED)) {
        result = run_again(cpu, t, memory, image);
        if (result == THUNK_FAILED) {
            return false;
        }
    }
    if (t->flags_written) {
        cpu->flags = (u16)result;
    }
    return true;
}

bool vector_run(struct cpu *cpu, const struct thunk *t, void *memory, struct thunk_image *image)
{
    return run(cpu, t, memory, image);
}

/* ------------------------------------------------------------------ operands */

struct place { /* of a memory operand, while its thunk runs */
    void *p;
    gva_t gva;
    bool bounced; /* p is a buffer, which has to be stored */
};

static bool misaligned(struct cpu *cpu, gva_t gva, const struct thunk *t)
{
    return unlikely(gva & t->align_mask) && !cpu_raise_gp0(cpu);
}

static bool open_read(struct cpu *cpu, const struct op *op, const struct thunk *t, void *buffer,
                      struct place *place)
{
    bool addressed = op_address(cpu, op, t->memory_size, ACCESS_READ, &place->gva) &&
                     !misaligned(cpu, place->gva, t);
    place->bounced = false;
    place->p = addressed ? tlb_read(&cpu->mmu, place->gva, t->memory_size) : NULL;
    if (likely(place->p)) {
        return true;
    }
    if (is_held_up(cpu, t->attributes) || !addressed) { /* it comes before all of memory's */
        return false;
    }
    place->p = buffer;
    return load_slow(cpu, op->segment, place->gva, buffer, t->memory_size);
}

static bool open_write(struct cpu *cpu, const struct op *op, const struct thunk *t, void *buffer,
                       struct place *place)
{
    bool addressed = op_address(cpu, op, t->memory_size, ACCESS_WRITE, &place->gva) &&
                     !misaligned(cpu, place->gva, t);
    place->bounced = false;
    place->p = addressed ? tlb_write(&cpu->mmu, place->gva, t->memory_size) : NULL;
    if (likely(place->p)) {
        return true;
    }
    if (is_held_up(cpu, t->attributes) || !addressed) { /* it comes before all of memory's */
        return false;
    }
    if (!probe_slow(cpu, op->segment, place->gva, t->memory_size, &place->p)) {
        return false;
    }
    if (place->p) {
        return true;
    }
    place->p = buffer;
    place->bounced = true;
    /* An x87 store with an unmasked exception completes without storing: what is there stays. */
    return !(t->memory_read || t->attributes & ATTR_X87) ||
           load_slow(cpu, op->segment, place->gva, buffer, t->memory_size);
}

static void get_gprs(const struct cpu *cpu, const struct op *op, struct thunk_image *image)
{
    u64 b = cpu->gpr[op->src / 8];
    image->gpr[THUNK_R] = cpu->gpr[op->dst / 8];
    image->gpr[THUNK_B] = op->size & SIZE_HIGH_BYTE ? b >> 8 : b;
    image->gpr[THUNK_V] = cpu->gpr[op->aux / 8];
    image->gpr[THUNK_RAX] = cpu->gpr[RAX];
    image->gpr[THUNK_RCX] = cpu->gpr[RCX];
    image->gpr[THUNK_RDX] = cpu->gpr[RDX];
    image->flags = cpu->flags;
}

static void put_gpr(u64 *gpr, u64 value, unsigned size)
{
    *gpr = size == 2 ? (*gpr & ~0xffffull) | (u16)value : value;
}

/* Write back what the thunk has written; MULX with one register for both halves keeps the high one,
 * which is ModRM.reg. */
static void put_gprs(struct cpu *cpu, const struct op *op, const struct thunk *t,
                     const struct thunk_image *image)
{
    unsigned size = op->size & SIZE_MASK;
    if (t->gpr_written & BIT(THUNK_B)) {
        put_gpr(&cpu->gpr[op->src / 8], image->gpr[THUNK_B], size);
    }
    if (t->gpr_written & BIT(THUNK_V)) {
        put_gpr(&cpu->gpr[op->aux / 8], image->gpr[THUNK_V], size);
    }
    if (t->gpr_written & BIT(THUNK_R)) {
        put_gpr(&cpu->gpr[op->dst / 8], image->gpr[THUNK_R], size);
    }
    if (t->gpr_written & BIT(THUNK_RAX)) {
        put_gpr(&cpu->gpr[RAX], image->gpr[THUNK_RAX], size);
    }
    if (t->gpr_written & BIT(THUNK_RCX)) {
        put_gpr(&cpu->gpr[RCX], image->gpr[THUNK_RCX], size);
    }
}

/* ------------------------------------------------------------------ handlers */

/* Registers only, none of them general. */
static s64 vector_register(struct cpu *cpu, const struct op *op, s64 left)
{
    const struct thunk *t = thunk_of(op);
    if (unlikely(!check(cpu, t)) || unlikely(!run(cpu, t, NULL, NULL))) {
        return fault(cpu, op, left);
    }
    return next(cpu, op, left);
}

/* The slow halves of the two that follow are apart, so that these need no stack frame's buffer. */
APART bool load_bounced(struct cpu *cpu, const struct op *op)
{
    u8 buffer[BUFFER_BYTES] __attribute__((aligned(64)));
    const struct thunk *t = thunk_of(op);
    struct place place;
    return open_read(cpu, op, t, buffer, &place) && run(cpu, t, place.p, NULL);
}

static s64 vector_load(struct cpu *cpu, const struct op *op, s64 left)
{
    const struct thunk *t = thunk_of(op);
    if (unlikely(!check(cpu, t))) {
        return fault(cpu, op, left);
    }
    if (likely(!(op->ea & (EA_SEGMENT_BASE | EA_LEGACY)))) {
        gva_t gva = effective_address(cpu, op);
        void *p = tlb_read(&cpu->mmu, gva, t->memory_size);
        if (likely(p && !(gva & t->align_mask))) {
            return likely(run(cpu, t, p, NULL)) ? next(cpu, op, left) : fault(cpu, op, left);
        }
    }
    return load_bounced(cpu, op) ? next(cpu, op, left) : fault(cpu, op, left);
}

APART bool store_bounced(struct cpu *cpu, const struct op *op)
{
    u8 buffer[BUFFER_BYTES] __attribute__((aligned(64)));
    const struct thunk *t = thunk_of(op);
    struct place place;
    return open_write(cpu, op, t, buffer, &place) && run(cpu, t, place.p, NULL) &&
           (!place.bounced || store_slow(cpu, op->segment, place.gva, place.p, t->memory_size));
}

static s64 vector_store(struct cpu *cpu, const struct op *op, s64 left)
{
    const struct thunk *t = thunk_of(op);
    if (unlikely(!check(cpu, t))) {
        return fault(cpu, op, left);
    }
    if (likely(!(op->ea & (EA_SEGMENT_BASE | EA_LEGACY)))) {
        gva_t gva = effective_address(cpu, op);
        void *p = tlb_write(&cpu->mmu, gva, t->memory_size);
        if (likely(p && !(gva & t->align_mask))) {
            return likely(run(cpu, t, p, NULL)) ? next(cpu, op, left) : fault(cpu, op, left);
        }
    }
    return store_bounced(cpu, op) ? next(cpu, op, left) : fault(cpu, op, left);
}

/* Anything: general registers, flags in, memory. */
APART bool execute_general(struct cpu *cpu, const struct op *op)
{
    u8 buffer[BUFFER_BYTES] __attribute__((aligned(64)));
    const struct thunk *t = thunk_of(op);
    struct thunk_image image;
    struct place place = {0};

    if (t->memory_size && !(t->memory_written ? open_write(cpu, op, t, buffer, &place)
                                              : open_read(cpu, op, t, buffer, &place))) {
        return false;
    }
    get_gprs(cpu, op, &image);
    if (!run(cpu, t, place.p, &image)) {
        return false;
    }
    put_gprs(cpu, op, t, &image);
    return !place.bounced || store_slow(cpu, op->segment, place.gva, place.p, t->memory_size);
}

static s64 vector_general(struct cpu *cpu, const struct op *op, s64 left)
{
    if (unlikely(!check(cpu, thunk_of(op))) || !execute_general(cpu, op)) {
        return fault(cpu, op, left);
    }
    return next(cpu, op, left);
}

/* x87: the general case again, and FIP, FDP and FOP are kept.  op->dst and op->src are FOP. */
APART bool execute_x87(struct cpu *cpu, const struct op *op)
{
    u8 buffer[BUFFER_BYTES] __attribute__((aligned(64)));
    const struct thunk *t = thunk_of(op);
    struct thunk_image image = {.flags = cpu->flags};
    struct place place = {0};

    if (t->memory_size && !(t->memory_written ? open_write(cpu, op, t, buffer, &place)
                                              : open_read(cpu, op, t, buffer, &place))) {
        return false;
    }
    if (!run(cpu, t, place.p, &image)) {
        return false;
    }
    struct fpu *fpu = &cpu->fpu;
    fpu->last_ip = op_rip(cpu, op);
    fpu->last_cs = cpu->seg[SEG_CS].selector;
    fpu->last_opcode = (u16)(op->dst << 8 | op->src);
    if (t->memory_size) {
        fpu->last_dp = effective_address(cpu, op);
        fpu->last_ds = cpu->seg[op->segment].selector;
    }
    return !place.bounced || store_slow(cpu, op->segment, place.gva, place.p, t->memory_size);
}

static s64 vector_x87(struct cpu *cpu, const struct op *op, s64 left)
{
    if (unlikely(!check(cpu, thunk_of(op))) || !execute_x87(cpu, op)) {
        return fault(cpu, op, left);
    }
    return next(cpu, op, left);
}

/* ------------------------------------------------------------------ preparing */

static void memory_operand(const struct insn *insn, struct thunk *t)
{
    for (unsigned i = 0; i < insn->operands; i++) {
        const struct operand *operand = &insn->op[i];
        if (operand->kind == OPERAND_MEM) {
            t->memory_size = operand->size;
            t->memory_read = operand->read;
            t->memory_written = operand->written;
            t->align_mask = t->attributes & ATTR_ALIGN16 ? (u8)(operand->size - 1) : 0;
            return;
        }
    }
}

/* Vector instructions: at most one explicit general register, in ModRM.reg of these and in ModRM.rm
 * of all others. */
static bool gpr_in_reg_field(const struct insn *insn)
{
    return insn->map == 1 && (insn->opcode == 0x50 || insn->opcode == 0xd7 ||
                              insn->opcode == 0xc5 || insn->opcode == 0x2c || insn->opcode == 0x2d);
}

static void vector_gprs(const struct insn *insn, struct thunk *t, struct op *op)
{
    op->size = 8;
    for (unsigned i = 0; i < insn->operands; i++) {
        const struct operand *operand = &insn->op[i];
        if (operand->kind != OPERAND_REG || operand->class != REG_GPR) {
            continue;
        }
        unsigned slot = insn->map == 0 ? THUNK_RAX : gpr_in_reg_field(insn) ? THUNK_R : THUNK_B;
        t->gpr_read |= (u8)(operand->read ? BIT(slot) : 0);
        t->gpr_written |= (u8)(operand->written ? BIT(slot) : 0);
        *(slot == THUNK_R ? &op->dst : &op->src) = (u8)(operand->reg * 8);
        op->size = insn->map == 0 ? 2 : 8; /* FNSTSW AX; all others clear the upper half */
    }
    if (insn->map == 3 && (insn->opcode & 0xfc) == 0x60) { /* PCMPESTRM, ..I, PCMPISTRM, ..I */
        t->gpr_read |= insn->opcode & 2 ? 0 : BIT(THUNK_RAX) | BIT(THUNK_RDX);
        t->gpr_written |= insn->opcode & 1 ? BIT(THUNK_RCX) : 0;
    }
}

static bool attach_thunk(struct cpu *cpu, const struct insn *insn, struct op *op,
                         const struct thunk *wanted)
{
    struct thunk_cache *cache = &cpu->exec->thunks;
    if (thunk_cache_is_low(cache)) {
        cpu->exec->flush_wanted = true;
    }
    const struct thunk *t = thunk_find(cache, insn, cpu->code_mode, wanted);
    op->imm = (u64)(uintptr_t)t;
    return t;
}

static op_fn *vector_handler(const struct thunk *t)
{
    if (t->records) {
        return vector_x87;
    }
    if (t->gpr_read || t->gpr_written || t->flags_read) {
        return vector_general;
    }
    return !t->memory_size ? vector_register : t->memory_written ? vector_store : vector_load;
}

/* x87 instructions that leave FIP, FDP and FOP alone: control instructions, FWAIT. */
static bool x87_records(const struct insn *insn, u32 attributes)
{
    return attributes & ATTR_X87 && !(attributes & ATTR_NOWAIT) && insn->id != INSN_FLDCW &&
           insn->id != INSN_FWAIT;
}

bool vector_prepare(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    const struct insn_row *row = insn_row(insn);
    struct thunk t = {.attributes = row->attributes};

    op->fn = fpu_state_handler(cpu, insn, op);
    if (!op->fn) {
        op->fn = fpu_control_handler(cpu, insn, op);
    }
    if (op->fn) {
        return true;
    }
    if (!(row->attributes & ATTR_VECTOR)) {
        return false;
    }
    set_conditions(&t);
    memory_operand(insn, &t);
    if (t.memory_size && (insn->id == INSN_CVTPI2PS || insn->id == INSN_CVTPI2PD)) {
        t.attributes &= ~(u32)ATTR_MMX; /* from memory they touch no MMX register: no #MF */
    }
    op_fn *special = vector_memory_handler(cpu, insn, op, &t);
    if (special) {
        op->fn = special;
        return true;
    }
    t.flags_read = row->flags_read & RFLAGS_ARITHMETIC;
    t.flags_written = (row->flags_written | row->flags_undefined) & RFLAGS_ARITHMETIC;
    t.records = x87_records(insn, row->attributes);
    vector_gprs(insn, &t, op);
    if (t.records) {
        op->dst = insn->opcode & 7;
        op->src = insn->modrm;
    }
    op->fn = vector_handler(&t);
    return attach_thunk(cpu, insn, op, &t);
}

/* Which fields of an integer instruction are general registers, and which of them it writes. */
static bool integer_gprs(const struct insn *insn, struct thunk *t)
{
    bool group = false; /* ModRM.reg is a part of the opcode */
    u8 writes = BIT(THUNK_R);
    switch (insn->id) {
    case INSN_BLSI:
    case INSN_BLSMSK:
    case INSN_BLSR:
        group = true;
        writes = BIT(THUNK_V);
        break;
    case INSN_RDRAND:
    case INSN_RDSEED:
        group = true;
        writes = BIT(THUNK_B);
        break;
    case INSN_MULX:
        writes = BIT(THUNK_R) | BIT(THUNK_V);
        t->gpr_read = BIT(THUNK_RDX);
        break;
    case INSN_MOVBE:
        writes = insn->op[0].kind == OPERAND_MEM ? 0 : BIT(THUNK_R);
        break;
    case INSN_ANDN:
    case INSN_BEXTR:
    case INSN_BZHI:
    case INSN_PDEP:
    case INSN_PEXT:
    case INSN_RORX:
    case INSN_SARX:
    case INSN_SHLX:
    case INSN_SHRX:
    case INSN_ADCX:
    case INSN_ADOX:
    case INSN_CRC32:
    case INSN_POPCNT:
    case INSN_LZCNT:
    case INSN_TZCNT:
        break;
    default:
        return false;
    }
    bool vvvv = insn->vex && insn->id != INSN_RORX;
    t->gpr_read |= (u8)((group ? 0 : BIT(THUNK_R)) | (insn->modrm >= 0xc0 ? BIT(THUNK_B) : 0) |
                        (vvvv ? BIT(THUNK_V) : 0));
    t->gpr_written = writes;
    return true;
}

static u8 gpr_offset(unsigned number)
{
    return (u8)((number & 15) * 8);
}

bool thunk_prepare(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    const struct insn_row *row = insn_row(insn);
    struct thunk t = {0};
    if (!integer_gprs(insn, &t)) {
        return false;
    }
    memory_operand(insn, &t);
    /* Flags that it leaves alone come from before. */
    t.flags_written = (row->flags_written | row->flags_undefined) & RFLAGS_ARITHMETIC;
    t.flags_read = t.flags_written || (row->flags_read & RFLAGS_ARITHMETIC);
    op->dst = gpr_offset((insn->modrm >> 3 & 7) | (insn->rex & 4u) << 1);
    op->src = gpr_offset((insn->modrm & 7) | (insn->rex & 1u) << 3);
    op->aux = gpr_offset(cpu->code_mode == INSN_MODE_64 ? insn->vex_vvvv : insn->vex_vvvv & 7);
    op->size = insn->op[0].size;
    if (insn->op[1].kind == OPERAND_REG && insn->op[1].class == REG_GPR_HIGH) {
        op->src = gpr_offset(insn->op[1].reg);
        op->size |= SIZE_HIGH_BYTE;
    }
    op->fn = vector_general;
    return attach_thunk(cpu, insn, op, &t);
}
