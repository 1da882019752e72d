/*
 * registers.h - the registers as gdb sees them: a numbered list, and its description in XML.
 *
 * There are two lists, for a debugger cannot be told in the midst of a session that registers have
 * become wider: amd64's, also good while such a guest is in 16- or 32-bit mode, and i386's, for
 * guests that never leave it.  A register's number is its place in the list.
 *
 * Source: the GDB manual, "Target Descriptions", "Standard Target Features: i386 Features".
 */
#ifndef APP_GDB_REGISTERS_H
#define APP_GDB_REGISTERS_H

#include <ringer/ringer.h>

#include "app/gdb/packet.h"

#define GDB_REGISTER_BYTES 16 /* of the widest */

/* All that a vCPU's registers are read from and written to. */
struct gdb_state {
    struct ringer_registers registers;
    struct ringer_fpu fpu;
};

struct gdb_register {
    const char *name;
    const char *type; /* gdb's */
    uint8_t bits;     /* as gdb sees it */
    uint8_t feature;  /* enum in registers.c */
    uint8_t size;     /* in bytes, in struct gdb_state */
    uint16_t offset;  /* there */
};

struct gdb_arch {
    const char *name; /* gdb's */
    const struct gdb_register *registers;
    unsigned count;
    unsigned rip, rsp, rbp; /* numbers of those that each stop tells */
};

extern const struct gdb_arch gdb_amd64, gdb_i386;

/* A register's value in gdb's bytes, of which there are bits / 8. */
void gdb_register_get(const struct gdb_state *state, const struct gdb_register *r,
                      uint8_t bytes[GDB_REGISTER_BYTES]);

/* False where it cannot be: a segment's selector, but in real mode, goes with a descriptor. */
bool gdb_register_set(struct gdb_state *state, const struct gdb_register *r,
                      const uint8_t bytes[GDB_REGISTER_BYTES]);

/* Write the target description.  Returns its length, as snprintf() does. */
size_t gdb_arch_describe(const struct gdb_arch *arch, char *text, size_t size);

#endif
