/* registers.c - the registers as gdb sees them; see registers.h. */
#include "app/gdb/registers.h"

#include <stdio.h>
#include <string.h>

#include "base/types.h"

/* ------------------------------------------------------------------ the lists */

enum { CORE, SSE, AVX, SEGMENTS, SYSTEM, FEATURES };

/* Those of org.gnu are gdb's own, which knows what their registers are for. */
static const char *const feature_names[FEATURES] = {
    [CORE] = "org.gnu.gdb.i386.core",        [SSE] = "org.gnu.gdb.i386.sse",
    [AVX] = "org.gnu.gdb.i386.avx",          [SEGMENTS] = "org.gnu.gdb.i386.segments",
    [SYSTEM] = "org.ringer.gdb.i386.system",
};

#define ROW(row_name, row_type, row_bits, row_feature, member)                        \
    {                                                                                 \
        .name = row_name, .type = row_type, .bits = row_bits, .feature = row_feature, \
        .size = sizeof(((struct gdb_state *)0)->member),                              \
        .offset = (uint16_t)offsetof(struct gdb_state, member),                       \
    }

#define GPR(name, type, bits, n)     ROW(name, type, bits, CORE, registers.gpr[n])
#define SELECTOR(name, n)            ROW(name, "int32", 32, CORE, registers.segment[n].selector)
#define ST(name, n)                  ROW(name, "i387_ext", 80, CORE, fpu.st[n])
#define FPU(name, member)            ROW(name, "int", 32, CORE, fpu.member)
#define XMM(name, n)                 ROW(name, "vec128", 128, SSE, fpu.ymm[n][0])
#define YMMH(name, n)                ROW(name, "uint128", 128, AVX, fpu.ymm[n][16])
#define SYSTEM_64(name, type, where) ROW(name, type, 64, SYSTEM, registers.where)
#define BASE(name, n)                ROW(name, "uint64", 64, SYSTEM, registers.segment[n].base)

#define SELECTORS                                                                    \
    SELECTOR("cs", RINGER_CS), SELECTOR("ss", RINGER_SS), SELECTOR("ds", RINGER_DS), \
        SELECTOR("es", RINGER_ES), SELECTOR("fs", RINGER_FS), SELECTOR("gs", RINGER_GS)

#define X87                                                                                        \
    ST("st0", 0), ST("st1", 1), ST("st2", 2), ST("st3", 3), ST("st4", 4), ST("st5", 5),            \
        ST("st6", 6), ST("st7", 7), FPU("fctrl", control), FPU("fstat", status), FPU("ftag", tag), \
        FPU("fiseg", instruction_selector), FPU("fioff", instruction_pointer),                     \
        FPU("foseg", data_selector), FPU("fooff", data_pointer), FPU("fop", opcode)

#define EFLAGS ROW("eflags", "i386_eflags", 32, CORE, registers.rflags)
#define MXCSR  ROW("mxcsr", "i386_mxcsr", 32, SSE, fpu.mxcsr)

#define CONTROL                                                                             \
    SYSTEM_64("cr0", "i386_cr0", cr0), SYSTEM_64("cr2", "uint64", cr2),                     \
        SYSTEM_64("cr3", "uint64", cr3), SYSTEM_64("cr4", "i386_cr4", cr4),                 \
        SYSTEM_64("cr8", "uint64", cr8), SYSTEM_64("efer", "i386_efer", efer),              \
        SYSTEM_64("xcr0", "uint64", xcr0), SYSTEM_64("gdt_base", "uint64", gdtr.base),      \
        ROW("gdt_limit", "uint32", 32, SYSTEM, registers.gdtr.limit),                       \
        SYSTEM_64("idt_base", "uint64", idtr.base),                                         \
        ROW("idt_limit", "uint32", 32, SYSTEM, registers.idtr.limit),                       \
        ROW("ldtr", "int32", 32, SYSTEM, registers.segment[RINGER_LDTR].selector),          \
        ROW("tr", "int32", 32, SYSTEM, registers.segment[RINGER_TR].selector),              \
        BASE("cs_base", RINGER_CS), BASE("ss_base", RINGER_SS), BASE("ds_base", RINGER_DS), \
        BASE("es_base", RINGER_ES), SYSTEM_64("dr0", "uint64", dr[0]),                      \
        SYSTEM_64("dr1", "uint64", dr[1]), SYSTEM_64("dr2", "uint64", dr[2]),               \
        SYSTEM_64("dr3", "uint64", dr[3]), SYSTEM_64("dr6", "uint64", dr[6]),               \
        SYSTEM_64("dr7", "uint64", dr[7])

/* Those that 32-bit code has, too. */
#define XMM_LOW                                                                     \
    XMM("xmm0", 0), XMM("xmm1", 1), XMM("xmm2", 2), XMM("xmm3", 3), XMM("xmm4", 4), \
        XMM("xmm5", 5), XMM("xmm6", 6), XMM("xmm7", 7)
#define YMMH_LOW                                                                              \
    YMMH("ymm0h", 0), YMMH("ymm1h", 1), YMMH("ymm2h", 2), YMMH("ymm3h", 3), YMMH("ymm4h", 4), \
        YMMH("ymm5h", 5), YMMH("ymm6h", 6), YMMH("ymm7h", 7)

/* gdb has RBX before RCX; the manual's order is the encoding's. */
static const struct gdb_register amd64_registers[] = {
    GPR("rax", "int64", 64, 0),
    GPR("rbx", "int64", 64, 3),
    GPR("rcx", "int64", 64, 1),
    GPR("rdx", "int64", 64, 2),
    GPR("rsi", "int64", 64, 6),
    GPR("rdi", "int64", 64, 7),
    GPR("rbp", "data_ptr", 64, 5),
    GPR("rsp", "data_ptr", 64, 4),
    GPR("r8", "int64", 64, 8),
    GPR("r9", "int64", 64, 9),
    GPR("r10", "int64", 64, 10),
    GPR("r11", "int64", 64, 11),
    GPR("r12", "int64", 64, 12),
    GPR("r13", "int64", 64, 13),
    GPR("r14", "int64", 64, 14),
    GPR("r15", "int64", 64, 15),
    ROW("rip", "code_ptr", 64, CORE, registers.rip),
    EFLAGS,
    SELECTORS,
    X87,
    XMM_LOW,
    XMM("xmm8", 8),
    XMM("xmm9", 9),
    XMM("xmm10", 10),
    XMM("xmm11", 11),
    XMM("xmm12", 12),
    XMM("xmm13", 13),
    XMM("xmm14", 14),
    XMM("xmm15", 15),
    MXCSR,
    YMMH_LOW,
    YMMH("ymm8h", 8),
    YMMH("ymm9h", 9),
    YMMH("ymm10h", 10),
    YMMH("ymm11h", 11),
    YMMH("ymm12h", 12),
    YMMH("ymm13h", 13),
    YMMH("ymm14h", 14),
    YMMH("ymm15h", 15),
    ROW("fs_base", "int64", 64, SEGMENTS, registers.segment[RINGER_FS].base),
    ROW("gs_base", "int64", 64, SEGMENTS, registers.segment[RINGER_GS].base),
    SYSTEM_64("k_gs_base", "uint64", kernel_gs_base),
    CONTROL,
};

static const struct gdb_register i386_registers[] = {
    GPR("eax", "int32", 32, 0),
    GPR("ecx", "int32", 32, 1),
    GPR("edx", "int32", 32, 2),
    GPR("ebx", "int32", 32, 3),
    GPR("esp", "data_ptr", 32, 4),
    GPR("ebp", "data_ptr", 32, 5),
    GPR("esi", "int32", 32, 6),
    GPR("edi", "int32", 32, 7),
    ROW("eip", "code_ptr", 32, CORE, registers.rip),
    EFLAGS,
    SELECTORS,
    X87,
    XMM_LOW,
    MXCSR,
    YMMH_LOW,
    BASE("fs_base", RINGER_FS),
    BASE("gs_base", RINGER_GS),
    CONTROL,
};

const struct gdb_arch gdb_amd64 = {"i386:x86-64", amd64_registers, ARRAY_SIZE(amd64_registers),
                                   .rip = 16,     .rsp = 7,        .rbp = 6};
const struct gdb_arch gdb_i386 = {"i386",   i386_registers, ARRAY_SIZE(i386_registers),
                                  .rip = 8, .rsp = 4,       .rbp = 5};

/* ------------------------------------------------------------------ values */

/* XMM and YMMH are given by their first byte. */
static size_t size_in_state(const struct gdb_register *r)
{
    return r->size == 1 ? 16 : r->size;
}

static size_t size_for_gdb(const struct gdb_register *r)
{
    return r->bits / 8u;
}

void gdb_register_get(const struct gdb_state *state, const struct gdb_register *r,
                      uint8_t bytes[GDB_REGISTER_BYTES])
{
    size_t size = size_in_state(r);

    memset(bytes, 0, GDB_REGISTER_BYTES);
    memcpy(bytes, (const uint8_t *)state + r->offset,
           size < size_for_gdb(r) ? size : size_for_gdb(r));
}

static bool is_selector(const struct gdb_register *r)
{
    return r->offset >= offsetof(struct gdb_state, registers.segment) &&
           r->offset < offsetof(struct gdb_state, registers.gdtr) && r->size == 2;
}

/* In real and virtual-8086 mode a selector is all that there is to a segment. */
static bool set_selector(struct gdb_state *state, const struct gdb_register *r, uint16_t selector)
{
    struct ringer_registers *registers = &state->registers;
    size_t n =
        (r->offset - offsetof(struct gdb_state, registers.segment)) / sizeof(struct ringer_segment);
    struct ringer_segment *segment = &registers->segment[n];
    bool is_real = !(registers->cr0 & 1) || (registers->rflags & 0x20000);

    if (selector == segment->selector) {
        return true;
    }
    if (!is_real || n > RINGER_GS) {
        return false;
    }
    segment->selector = selector;
    segment->base = (uint64_t)selector << 4;
    return true;
}

bool gdb_register_set(struct gdb_state *state, const struct gdb_register *r,
                      const uint8_t bytes[GDB_REGISTER_BYTES])
{
    uint8_t value[GDB_REGISTER_BYTES] = {0};

    memcpy(value, bytes, size_for_gdb(r));
    if (is_selector(r)) {
        return set_selector(state, r, (uint16_t)(value[0] | value[1] << 8));
    }
    memcpy((uint8_t *)state + r->offset, value, size_in_state(r));
    return true;
}

/* ------------------------------------------------------------------ the description */

/* Types of our own, before the registers of the feature that uses them. */
static const struct {
    const char *xml;
    uint8_t feature;
} types[] = {
    {"<flags id=\"i386_eflags\" size=\"4\">"
     "<field name=\"CF\" start=\"0\" end=\"0\"/><field name=\"\" start=\"1\" end=\"1\"/>"
     "<field name=\"PF\" start=\"2\" end=\"2\"/><field name=\"AF\" start=\"4\" end=\"4\"/>"
     "<field name=\"ZF\" start=\"6\" end=\"6\"/><field name=\"SF\" start=\"7\" end=\"7\"/>"
     "<field name=\"TF\" start=\"8\" end=\"8\"/><field name=\"IF\" start=\"9\" end=\"9\"/>"
     "<field name=\"DF\" start=\"10\" end=\"10\"/><field name=\"OF\" start=\"11\" end=\"11\"/>"
     "<field name=\"NT\" start=\"14\" end=\"14\"/><field name=\"RF\" start=\"16\" end=\"16\"/>"
     "<field name=\"VM\" start=\"17\" end=\"17\"/><field name=\"AC\" start=\"18\" end=\"18\"/>"
     "<field name=\"VIF\" start=\"19\" end=\"19\"/><field name=\"VIP\" start=\"20\" end=\"20\"/>"
     "<field name=\"ID\" start=\"21\" end=\"21\"/></flags>",
     CORE},
    {"<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
     "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
     "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>"
     "<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
     "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"
     "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
     "<union id=\"vec128\">"
     "<field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>"
     "<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>"
     "<field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>"
     "<field name=\"uint128\" type=\"uint128\"/></union>",
     SSE},
    {"<flags id=\"i386_mxcsr\" size=\"4\">"
     "<field name=\"IE\" start=\"0\" end=\"0\"/><field name=\"DE\" start=\"1\" end=\"1\"/>"
     "<field name=\"ZE\" start=\"2\" end=\"2\"/><field name=\"OE\" start=\"3\" end=\"3\"/>"
     "<field name=\"UE\" start=\"4\" end=\"4\"/><field name=\"PE\" start=\"5\" end=\"5\"/>"
     "<field name=\"DAZ\" start=\"6\" end=\"6\"/><field name=\"IM\" start=\"7\" end=\"7\"/>"
     "<field name=\"DM\" start=\"8\" end=\"8\"/><field name=\"ZM\" start=\"9\" end=\"9\"/>"
     "<field name=\"OM\" start=\"10\" end=\"10\"/><field name=\"UM\" start=\"11\" end=\"11\"/>"
     "<field name=\"PM\" start=\"12\" end=\"12\"/><field name=\"FZ\" start=\"15\" end=\"15\"/>"
     "</flags>",
     SSE},
    {"<flags id=\"i386_cr0\" size=\"8\">"
     "<field name=\"PE\" start=\"0\" end=\"0\"/><field name=\"MP\" start=\"1\" end=\"1\"/>"
     "<field name=\"EM\" start=\"2\" end=\"2\"/><field name=\"TS\" start=\"3\" end=\"3\"/>"
     "<field name=\"ET\" start=\"4\" end=\"4\"/><field name=\"NE\" start=\"5\" end=\"5\"/>"
     "<field name=\"WP\" start=\"16\" end=\"16\"/><field name=\"AM\" start=\"18\" end=\"18\"/>"
     "<field name=\"NW\" start=\"29\" end=\"29\"/><field name=\"CD\" start=\"30\" end=\"30\"/>"
     "<field name=\"PG\" start=\"31\" end=\"31\"/></flags>",
     SYSTEM},
    {"<flags id=\"i386_cr4\" size=\"8\">"
     "<field name=\"VME\" start=\"0\" end=\"0\"/><field name=\"PVI\" start=\"1\" end=\"1\"/>"
     "<field name=\"TSD\" start=\"2\" end=\"2\"/><field name=\"DE\" start=\"3\" end=\"3\"/>"
     "<field name=\"PSE\" start=\"4\" end=\"4\"/><field name=\"PAE\" start=\"5\" end=\"5\"/>"
     "<field name=\"MCE\" start=\"6\" end=\"6\"/><field name=\"PGE\" start=\"7\" end=\"7\"/>"
     "<field name=\"PCE\" start=\"8\" end=\"8\"/><field name=\"OSFXSR\" start=\"9\" end=\"9\"/>"
     "<field name=\"OSXMMEXCPT\" start=\"10\" end=\"10\"/>"
     "<field name=\"UMIP\" start=\"11\" end=\"11\"/><field name=\"LA57\" start=\"12\" end=\"12\"/>"
     "<field name=\"FSGSBASE\" start=\"16\" end=\"16\"/>"
     "<field name=\"PCIDE\" start=\"17\" end=\"17\"/>"
     "<field name=\"OSXSAVE\" start=\"18\" end=\"18\"/>"
     "<field name=\"SMEP\" start=\"20\" end=\"20\"/><field name=\"SMAP\" start=\"21\" end=\"21\"/>"
     "<field name=\"PKE\" start=\"22\" end=\"22\"/></flags>",
     SYSTEM},
    {"<flags id=\"i386_efer\" size=\"8\">"
     "<field name=\"SCE\" start=\"0\" end=\"0\"/><field name=\"LME\" start=\"8\" end=\"8\"/>"
     "<field name=\"LMA\" start=\"10\" end=\"10\"/><field name=\"NXE\" start=\"11\" end=\"11\"/>"
     "</flags>",
     SYSTEM},
};

struct text {
    char *bytes;
    size_t size, length;
};

static void add(struct text *t, const char *format, ...)
    __attribute__((__format__(__printf__, 2, 3)));

static void add(struct text *t, const char *format, ...)
{
    bool room = t->length < t->size;
    va_list args;
    va_start(args, format);
    int length =
        vsnprintf(room ? t->bytes + t->length : NULL, room ? t->size - t->length : 0, format, args);
    va_end(args);
    t->length += length > 0 ? (size_t)length : 0;
}

static void describe_feature(struct text *t, const struct gdb_arch *arch, unsigned feature)
{
    add(t, "<feature name=\"%s\">\n", feature_names[feature]);
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        if (types[i].feature == feature) {
            add(t, "%s\n", types[i].xml);
        }
    }
    for (unsigned i = 0; i < arch->count; i++) {
        const struct gdb_register *r = &arch->registers[i];
        if (r->feature == feature) {
            add(t, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\" regnum=\"%u\"%s/>\n", r->name,
                r->bits, r->type, i, feature == SYSTEM ? " group=\"system\"" : "");
        }
    }
    add(t, "</feature>\n");
}

size_t gdb_arch_describe(const struct gdb_arch *arch, char *text, size_t size)
{
    struct text t = {text, size, 0};

    add(&t,
        "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n"
        "<target version=\"1.0\">\n<architecture>%s</architecture>\n",
        arch->name);
    for (unsigned feature = 0; feature < FEATURES; feature++) {
        bool any = false;
        for (unsigned i = 0; i < arch->count; i++) {
            any |= arch->registers[i].feature == feature;
        }
        if (any) {
            describe_feature(&t, arch, feature);
        }
    }
    add(&t, "</target>\n");
    return t.length;
}
