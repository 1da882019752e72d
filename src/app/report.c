/* report.c - registers for people, figures for programs. */
#include "app/report.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>

#include "base/types.h"

/* Appends to text, which has length bytes so far; returns the new length, maybe beyond size. */
static size_t add(char *text, size_t size, size_t length, const char *fmt, ...)
    __attribute__((__format__(__printf__, 4, 5)));

static size_t add(char *text, size_t size, size_t length, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int more = vsnprintf(length < size ? text + length : NULL, length < size ? size - length : 0,
                         fmt, args);
    va_end(args);
    return more > 0 ? length + (size_t)more : length;
}

size_t report_registers(char *text, size_t size, const struct ringer_registers *registers,
                        const char *line_end)
{
    static const char *const gpr[16] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
                                        "R8 ", "R9 ", "R10", "R11", "R12", "R13", "R14", "R15"};
    static const char *const segment[RINGER_SEGMENTS] = {"ES", "CS", "SS",  "DS",
                                                         "FS", "GS", "LDT", "TR"};
    const struct ringer_registers *r = registers;
    size_t n = add(text, size, 0, "RIP=%016" PRIx64 " RFL=%08" PRIx64 " %s%s", r->rip, r->rflags,
                   r->halted ? "halted" : "", line_end);
    for (unsigned i = 0; i < 16; i++) {
        n = add(text, size, n, "%s=%016" PRIx64 "%s", gpr[i], r->gpr[i],
                i % 3 == 2 || i == 15 ? line_end : " ");
    }
    for (unsigned i = 0; i < RINGER_SEGMENTS; i++) {
        const struct ringer_segment *s = &r->segment[i];
        n = add(text, size, n, "%-3s =%04x base=%016" PRIx64 " limit=%08x attributes=%04x%s",
                segment[i], s->selector, s->base, s->limit, s->attributes, line_end);
    }
    n = add(text, size, n,
            "GDT  base=%016" PRIx64 " limit=%04x   IDT  base=%016" PRIx64 " limit=%04x%s",
            r->gdtr.base, r->gdtr.limit, r->idtr.base, r->idtr.limit, line_end);
    n = add(text, size, n, "CR0=%08" PRIx64 " CR2=%016" PRIx64 " CR3=%016" PRIx64 "%s", r->cr0,
            r->cr2, r->cr3, line_end);
    n = add(text, size, n, "CR4=%08" PRIx64 " CR8=%" PRIx64 " EFER=%" PRIx64 " XCR0=%" PRIx64 "%s",
            r->cr4, r->cr8, r->efer, r->xcr0, line_end);
    return add(text, size, n, "instructions=%" PRIu64 "%s", r->instructions, line_end);
}

void report_cpu(FILE *file, struct ringer *machine, unsigned cpu)
{
    struct ringer_registers registers;
    char text[2048];
    if (ringer_get_registers(machine, cpu, &registers) < 0) {
        return;
    }
    report_registers(text, sizeof(text), &registers, "\n");
    fputs(text, file);
    gva_t gva = registers.rip + registers.segment[RINGER_CS].base;
    int length = ringer_disassemble(machine, cpu, gva, text, sizeof(text));
    fprintf(file, "at RIP: %s\n", length == -EFAULT ? "no memory is mapped there" : text);
}

/* ------------------------------------------------------------------ figures */

static const char *vector_name(unsigned vector)
{
    static const char *const names[32] = {
        [0] = "DE",  [1] = "DB",  [2] = "NMI", [3] = "BP",  [4] = "OF",  [5] = "BR",
        [6] = "UD",  [7] = "NM",  [8] = "DF",  [10] = "TS", [11] = "NP", [12] = "SS",
        [13] = "GP", [14] = "PF", [16] = "MF", [17] = "AC", [18] = "MC", [19] = "XM",
    };
    return names[vector];
}

static void put_count(struct json_object *object, const char *name, uint64_t count)
{
    json_object_object_add(object, name, json_object_new_int64((int64_t)count));
}

const char *report_port_name(enum ringer_port port)
{
    static const char *const names[RINGER_SERIAL_PORTS] = {
        [RINGER_PORT_COM1] = "COM1", [RINGER_PORT_COM2] = "COM2", [RINGER_PORT_HVC0] = "hvc0"};
    return names[port];
}

int report_stats(FILE *file, struct ringer *machine)
{
    struct ringer_stats stats;
    int result = ringer_get_stats(machine, &stats);
    if (result < 0) {
        return result;
    }
    struct json_object *root = json_object_new_object();
    struct json_object *exits = json_object_new_object();
    struct json_object *faults = json_object_new_object();
    put_count(root, "instructions", stats.instructions);
    char seconds[32];
    snprintf(seconds, sizeof(seconds), "%.6f", stats.seconds);
    json_object_object_add(root, "seconds", json_object_new_double_s(stats.seconds, seconds));
    put_count(root, "tlb_misses", stats.tlb_misses);
    put_count(root, "interrupts", stats.interrupts);
    put_count(root, "resident_bytes", stats.resident_bytes);
    for (size_t i = 0; i < ARRAY_SIZE(stats.exits) && stats.exits[i].name; i++) {
        put_count(exits, stats.exits[i].name, stats.exits[i].count);
    }
    json_object_object_add(root, "exits", exits);
    for (unsigned i = 0; i < ARRAY_SIZE(stats.faults); i++) {
        if (stats.faults[i]) {
            char number[12];
            snprintf(number, sizeof(number), "%u", i);
            put_count(faults, vector_name(i) ? vector_name(i) : number, stats.faults[i]);
        }
    }
    json_object_object_add(root, "faults", faults);
    int style = JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED;
    fprintf(file, "%s\n", json_object_to_json_string_ext(root, style));
    json_object_put(root);
    return fflush(file) || ferror(file) ? -EIO : 0;
}
