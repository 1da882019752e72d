/* go.h - the packets that let the guest go: c, s, C, S, vCont; and back: bc, bs. */
#ifndef APP_GDB_GO_H
#define APP_GDB_GO_H

#include "app/gdb/stub.h"

void gdb_go_continue(struct gdb_stub *stub, const char *args, size_t size);
void gdb_go_step(struct gdb_stub *stub, const char *args, size_t size);
void gdb_go_continue_signal(struct gdb_stub *stub, const char *args, size_t size);
void gdb_go_step_signal(struct gdb_stub *stub, const char *args, size_t size);
void gdb_go_back(struct gdb_stub *stub, const char *args, size_t size);      /* bc */
void gdb_go_step_back(struct gdb_stub *stub, const char *args, size_t size); /* bs */
void gdb_go_what(struct gdb_stub *stub, const char *args, size_t size);      /* vCont? */
void gdb_go_each(struct gdb_stub *stub, const char *args, size_t size);      /* vCont; */

/* In stub.c: a thread's number; GDB_CPUS stands for all. */
bool gdb_parse_thread(const struct gdb_stub *stub, const char **args, unsigned *cpu);

#endif
