/* breakpoints.h - the packets Z and z: a client's breakpoints and watchpoints. */
#ifndef APP_GDB_BREAKPOINTS_H
#define APP_GDB_BREAKPOINTS_H

#include "app/gdb/stub.h"

/* "TYPE,ADDRESS,SIZE".  Both may come again for the same one. */
void gdb_breakpoints_set(struct gdb_stub *stub, const char *args, size_t size);
void gdb_breakpoints_clear(struct gdb_stub *stub, const char *args, size_t size);

/* Is there one of this type at that address? */
bool gdb_breakpoints_has(const struct gdb_stub *stub, unsigned type, uint64_t address);

/* Set all of them in a machine that has none; clear all of them. */
void gdb_breakpoints_renew(struct gdb_stub *stub);

/* Clear them in the machine, until they are renewed. */
void gdb_breakpoints_withdraw(struct gdb_stub *stub);
void gdb_breakpoints_clear_all(struct gdb_stub *stub);

/* In stub.c, for those that add to the reply. */
void gdb_reply_ok(struct gdb_stub *stub);
void gdb_reply_error(struct gdb_stub *stub, int error); /* negative */

#endif
