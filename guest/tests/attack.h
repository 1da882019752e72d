/*
 * attack.h - what the parts of the attacking guest share.
 *
 * Its kernel (attack.c) is set up such that an engine that can run user code on the host's CPU does
 * so: selectors, flags and features are Linux's.  Its user code attacks Ringer, and the kernel
 * looks whether that came to what a real CPU does: the exception, its error code, CR2, and the
 * registers.
 */
#ifndef TESTS_ATTACK_H
#define TESTS_ATTACK_H

#include "guest.h"

/* Ringer's addresses: src/vm/vm.h, cpu_process.h and cpu_gate.h.  `process` to `signal_end` are the
 * vCPU process's own page, its stack, and that of its signal handlers. */
#define HIDDEN_START 0x700000000000u
#define HIDDEN_GATE  0x700010000000u
#define HIDDEN_STACK 0x701000000000u
#define HIDDEN_ARENA 0x710000000000u
#define HIDDEN_RAM   0x720000000000u
#define HIDDEN_END   0x740000000000u
#define SIGNAL_START (HIDDEN_STACK + 0x60000u)
#define SIGNAL_END   (SIGNAL_START + 0x20000u)

enum { PAGE_BYTES = 4096, USER_END_VECTOR = 0xff };

/* Where the user's pages are. */
#define USER_CODE   0x400000000ull
#define USER_STACK  0x400100000ull /* its end: a page below, nothing above */
#define USER_DATA   0x400200000ull
#define USER_OTHERS 0x400400000ull

enum { PTE_WRITE = 2, PTE_USER = 4, PTE_DIRTY = 0x40 };

/* #PF's error code. */
enum { PF_PRESENT = 1, PF_WRITE = 2, PF_USER = 4, PF_FETCH = 16 };

enum { FLAGS_USER = 0x202, FLAG_TF = 0x100, FLAG_DF = 0x400, FLAG_NT = 0x4000, FLAG_AC = 0x40000 };

/* User code in the guest's text, to be put into a page. */
#define USER_TEXT(name, text)             \
    extern const u8 name[], name##_end[]; \
    __asm__(".section .rodata\n" #name ":\n" text "\n" #name "_end:\n.text\n")
#define PUT(name) put_code(name, (unsigned)(name##_end - name))

/* Registers to enter user code with, and those that it was left with: struct frame's names.  Only
 * ip, sp, flags and the general ones count. */
struct left {
    struct frame at;
    word cr2;
    unsigned ticks; /* of the timer, meanwhile */
};

struct frame user_registers(void); /* all 0, but for ip, sp and flags */

/* Run user code until an exception, INT 0xff, or SYSCALL (vector SYSCALL_VECTOR).  If it runs for
 * so many ticks of the timer: vector PIC_VECTOR. */
enum { SYSCALL_VECTOR = 0x100 };
const struct left *run_user(const struct frame *registers, unsigned max_ticks);

/* Bytes to USER_CODE, with INT 0xff after them. */
void put_code(const u8 *code, unsigned size);

u8 *page_new(void); /* a page of memory, cleared; at its own address for the kernel */
void map_page(u64 gva, const void *page, u64 flags);
void unmap_page(u64 gva);
u64 *page_entry(u64 gva);       /* where it stands in its table */
void split_large_page(u64 gva); /* below 4 GiB: no memory is in its 2 MiB any more */
u64 *space_new(void);           /* an address space: what there is now, in page tables of its own */

/* Tell what is different from what should be, by name. */
bool check_left(const struct left *left, u32 vector, u64 error, u64 cr2, const char *name);

/* The attacks. */
void attack_reads(void);
void attack_writes(void);
void attack_jumps(void);
void attack_text(void);
void attack_handler(void);
void attack_overlaps(void);
void attack_stacks(void);
void attack_calls(void);
void attack_pkru(void);
void attack_flags(void);
void attack_segments(void);
void attack_state(void);
void attack_strings(void);
void attack_spaces(void);
void attack_pieces(void);
void attack_stale(void);
void attack_tables(void);
void attack_stores(void);
void attack_devices(void);

#endif
