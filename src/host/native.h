/*
 * native.h - instructions, executed by the host CPU at CPL 3 from a given set of registers.
 *
 * IRETQ loads rIP, CS, RFLAGS, rSP and SS at once, so that any register may hold anything and the
 * code segment may be a 64-, 32- or 16-bit one.  The way back is always a signal, of the first
 * exception: with RFLAGS.TF in the registers that is #DB after one instruction.  What the kernel
 * says of it (vector, error code, CR2) is the CPU's own word.  System calls are caught too, before
 * they reach the kernel's functions (syscall user dispatch, Linux 5.11).
 *
 * Only for a process that was forked for it: it takes the signals and the alternate stack for
 * itself, and an instruction may well end it.
 */
#ifndef HOST_NATIVE_H
#define HOST_NATIVE_H

#include "base/types.h"

/* Linux's selectors for user code and data. */
#define NATIVE_CODE64 0x33
#define NATIVE_CODE32 0x23
#define NATIVE_DATA   0x2b

/* The assembly in native.c knows the offsets. */
struct native_registers {
    u64 gpr[16];                 /* 0; in the manual's order */
    u64 rip, cs, flags, rsp, ss; /* 128: IRETQ's frame; rsp is set to gpr[4] */
    u64 ds, es, fs, gs;          /* 168 */
    u64 fs_base, gs_base;        /* 200; loaded if the selector is null */
    u64 frame; /* 216: top of a stack that IRETQ's frame may use.  Its bits 31 to 16 stay in ESP
                * where SS is a 16-bit segment, for IRET then loads only SP */
    const void *fpu; /* 224: XSAVE area, x87, SSE and AVX; NULL: these registers stay as they are */
};

struct native_result {
    struct native_registers r; /* after them; its fpu is good until the next run */
    bool system_call;          /* it was one, and has not been executed */
    unsigned vector;           /* with TF, 1: it was completed (or it is INT1) */
    u64 error, cr2;            /* cr2: only of #PF */
};

struct native;

/* Takes the process over.  NULL if the host cannot do it: its kernel does not let programs use
 * RDFSBASE (before 5.9), or knows no syscall user dispatch. */
struct native *native_new(void);

/* Execute from registers->rip to the first exception. */
void native_run(struct native *native, struct native_registers *registers,
                struct native_result *result);

#endif
