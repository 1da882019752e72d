/* repro.c - a case as one line of text, and back: see repro.h. */
#include "repro.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "state.h"

static const char *const gpr_names[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                          "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

/* ------------------------------------------------------------------ fields */

/* A number of the case: its name, where it is, and its bytes. */
struct field {
    const char *name;
    size_t offset;
    unsigned size;
};

#define REGISTER(name)                                    \
    {                                                     \
#name, offsetof(struct diff_case, before.name), 8 \
    }
#define FPU(name, field, size)                             \
    {                                                      \
#name, offsetof(struct diff_case, fpu.field), size \
    }

static const struct field fields[] = {
    REGISTER(rip),     REGISTER(flags),      REGISTER(cs),
    REGISTER(ss),      REGISTER(ds),         REGISTER(es),
    REGISTER(fs),      REGISTER(gs),         REGISTER(fs_base),
    REGISTER(gs_base), FPU(fcw, fcw, 2),     FPU(fsw, fsw, 2),
    FPU(ftw, ftw, 1),  FPU(mxcsr, mxcsr, 4), FPU(xstate, xstate_bv, 8),
};

/* Registers of many bytes. */
struct file {
    const char *name;
    size_t offset; /* of the first */
    unsigned count, size;
};

static const struct file files[] = {
    {"st", offsetof(struct diff_case, fpu.st), 8, 10},
    {"xmm", offsetof(struct diff_case, fpu.xmm), 16, 16},
    {"ymm", offsetof(struct diff_case, fpu.ymm_high), 16, 16},
};

static u8 *at_offset(struct diff_case *c, size_t offset)
{
    return (u8 *)c + offset;
}

/* The case with nothing but a mode and an fpu number. */
static void defaults(struct diff_case *c, unsigned mode, u64 fpu_seed)
{
    memset(c, 0, sizeof(*c));
    c->mode = (u8)mode;
    c->fpu_seed = fpu_seed;
    state_fill(&c->fpu, fpu_seed);
    c->before.flags = RFLAGS_FIXED | RFLAGS_IF;
    c->before.cs = mode == INSN_MODE_64   ? USER_CODE64
                   : mode == INSN_MODE_32 ? USER_CODE32
                                          : LDT_CODE16;
    c->before.ss = c->before.ds = c->before.es = USER_DATA;
}

/* ------------------------------------------------------------------ writing */

struct out {
    char *text;
    size_t size, at;
};

#define OUT(o, ...)                                                                           \
    ((o)->at += (o)->at < (o)->size                                                           \
                    ? (size_t)snprintf((o)->text + (o)->at, (o)->size - (o)->at, __VA_ARGS__) \
                    : 0)

static void write_hex(struct out *o, const u8 *bytes, unsigned size)
{
    while (size--) {
        OUT(o, "%02x", bytes[size]);
    }
}

static u64 number(struct diff_case *c, const struct field *f)
{
    u64 value = 0;

    memcpy(&value, at_offset(c, f->offset), f->size);
    return value;
}

void repro_write(const struct diff_case *from, char *text, size_t size)
{
    struct diff_case *c = (struct diff_case *)from; /* read only */
    struct diff_case plain;
    struct out o = {text, size, 0};

    defaults(&plain, c->mode, c->fpu_seed);
    OUT(&o, "%u%s code=", 16u << c->mode, c->alone ? " alone" : "");
    for (unsigned i = 0; i < c->code_size; i++) {
        OUT(&o, "%02x", c->code[i]);
    }
    for (unsigned i = 0; i < 16; i++) {
        if (c->before.gpr[i]) {
            OUT(&o, " %s=%lx", gpr_names[i], c->before.gpr[i]);
        }
    }
    OUT(&o, " fpu=%lx", c->fpu_seed);
    for (unsigned i = 0; i < ARRAY_SIZE(fields); i++) {
        if (number(c, &fields[i]) != number(&plain, &fields[i])) {
            OUT(&o, " %s=%lx", fields[i].name, number(c, &fields[i]));
        }
    }
    for (unsigned i = 0; i < ARRAY_SIZE(files); i++) {
        for (unsigned k = 0; k < files[i].count; k++) {
            size_t offset = files[i].offset + k * 16;
            if (memcmp(at_offset(c, offset), at_offset(&plain, offset), files[i].size) != 0) {
                OUT(&o, " %s%u=", files[i].name, k);
                write_hex(&o, at_offset(c, offset), files[i].size);
            }
        }
    }
    for (unsigned i = 0; i < c->pokes; i++) {
        OUT(&o, " poke=%lx:%u:%lx", c->poke[i].address, c->poke[i].size,
            c->poke[i].value & bits_mask(c->poke[i].size * 8));
    }
}

/* ------------------------------------------------------------------ reading */

static bool read_number(const char *text, u64 *value)
{
    char *end;

    *value = strtoull(text, &end, 16);
    return end != text && !*end;
}

/* Hexadecimal bytes; down: the highest first. */
static bool read_hex(const char *text, u8 *bytes, unsigned size, bool down)
{
    for (unsigned i = 0; i < size; i++) {
        char digits[3] = {text[2 * i], text[2 * i] ? text[2 * i + 1] : 0, 0};
        u64 value;
        if (!digits[1] || !read_number(digits, &value)) {
            return false;
        }
        bytes[down ? size - 1 - i : i] = (u8)value;
    }
    return !text[2 * size];
}

static bool read_poke(struct diff_case *c, const char *text)
{
    u64 address, value;
    unsigned size;
    char rest;

    if (sscanf(text, "%lx:%u:%lx%c", &address, &size, &value, &rest) != 3 || size < 1 || size > 8 ||
        !area_has(address, size) || c->pokes == CASE_POKES) {
        return false;
    }
    case_poke(c, address, value, size);
    return true;
}

static bool read_code(struct diff_case *c, const char *text)
{
    size_t size = strlen(text) / 2;

    c->code_size = (u16)size;
    return size >= 1 && size <= CASE_CODE_MAX && read_hex(text, c->code, c->code_size, false);
}

/* One of the many-byte registers.  False: not one. */
static bool read_file(struct diff_case *c, const char *name, const char *value, bool *ok)
{
    for (unsigned i = 0; i < ARRAY_SIZE(files); i++) {
        size_t length = strlen(files[i].name);
        char *end;
        if (strncmp(name, files[i].name, length) != 0 || !name[length]) {
            continue;
        }
        unsigned long k = strtoul(name + length, &end, 10);
        *ok = !*end && k < files[i].count &&
              read_hex(value, at_offset(c, files[i].offset + k * 16), files[i].size, true);
        return true;
    }
    return false;
}

static bool read_field(struct diff_case *c, const char *name, const char *text)
{
    bool ok;
    u64 value;

    if (!strcmp(name, "code")) {
        return read_code(c, text);
    }
    if (!strcmp(name, "poke")) {
        return read_poke(c, text);
    }
    if (read_file(c, name, text, &ok)) {
        return ok;
    }
    if (!read_number(text, &value)) {
        return false;
    }
    for (unsigned i = 0; i < 16; i++) {
        if (!strcmp(name, gpr_names[i])) {
            c->before.gpr[i] = value;
            return true;
        }
    }
    for (unsigned i = 0; i < ARRAY_SIZE(fields); i++) {
        if (!strcmp(name, fields[i].name)) {
            memcpy(at_offset(c, fields[i].offset), &value, fields[i].size);
            return true;
        }
    }
    return !strcmp(name, "fpu");
}

/* What would not start at all. */
static const char *reject(struct diff_case *c)
{
    u64 cs = c->before.cs, start = case_start(c);
    bool fits = c->mode == INSN_MODE_64   ? cs == USER_CODE64
                : c->mode == INSN_MODE_32 ? cs == USER_CODE32 || cs == LDT_CODE32
                                          : cs == LDT_CODE16;

    if (!c->code_size) {
        return "code= is missing";
    }
    if (!fits) {
        return "cs does not fit the mode";
    }
    if (start < CODE || start >= CODE + CODE_SIZE) {
        return "rip is not in the code pages";
    }
    if (c->fpu.xstate_bv & ~(u64)FPU_COMPONENTS || c->fpu.mxcsr & MXCSR_RESERVED) {
        return "xstate or mxcsr has bits that do not exist";
    }
    if (c->before.flags & ~(u64)(RFLAGS_ARITHMETIC | RFLAGS_FIXED | RFLAGS_IF | RFLAGS_DF |
                                 RFLAGS_NT | RFLAGS_ID | RFLAGS_AC | RFLAGS_TF)) {
        return "flags has bits that user mode cannot set";
    }
    c->before.flags |= RFLAGS_FIXED | RFLAGS_IF;
    state_normalize(&c->fpu);
    case_keep_stack_pointer(c);
    return NULL;
}

/* The kind of what the code is. */
static void classify(struct diff_case *c)
{
    struct insn insn;
    enum insn_result result = insn_decode(&insn, c->mode, c->code, c->code_size);

    c->kind = result != INSN_OK             ? CASE_UNDEFINED
              : insn.length == c->code_size ? CASE_SINGLE
                                            : CASE_SEQUENCE;
    c->row = result == INSN_OK ? insn.row : 0;
}

bool repro_read(const char *text, struct diff_case *c, const char **error)
{
    char *copy = strdup(text), *save = NULL;
    const char *fpu = strstr(text, " fpu=");
    char *word = strtok_r(copy, " \n", &save);
    unsigned bits = word ? (unsigned)strtoul(word, NULL, 10) : 0;

    *error = bits == 16 || bits == 32 || bits == 64 ? NULL : "the first word is not 16, 32 or 64";
    defaults(c,
             bits == 64   ? INSN_MODE_64
             : bits == 32 ? INSN_MODE_32
                          : INSN_MODE_16,
             fpu ? strtoull(fpu + 5, NULL, 16) : 0);
    while (!*error && (word = strtok_r(NULL, " \n", &save))) {
        char *value = strchr(word, '=');
        if (!strcmp(word, "alone")) {
            c->alone = true;
            continue;
        }
        if (value) {
            *value++ = 0;
        }
        if (!value || !read_field(c, word, value)) {
            *error = "a field is unknown or malformed";
        }
    }
    free(copy);
    if (!*error) {
        *error = reject(c);
    }
    if (!*error) {
        classify(c);
    }
    return !*error;
}
