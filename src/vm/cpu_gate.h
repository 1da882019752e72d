/*
 * cpu_gate.h - where a vCPU process goes into guest code and comes back: what C and cpu_gate.S
 * share.
 *
 * While guest code runs, the whole hidden zone is behind a protection key that PKRU denies
 * (GATE_PKRU_GUEST; guest pages have key 0).  Two things of it the guest can still see: pages of
 * the program can be fetched from, for keys do not stop that, and the gate page can be read.  So:
 *
 *  1. After every instruction of ringer-cpu that can change PKRU, code makes sure that it was not
 *     jumped to: it goes on only where PKRU has the value that belongs there, or where hidden
 *     memory, which can be read by then, says that no guest runs (or that a signal's frame lies
 *     where the kernel puts it; vcpu_leave_guest() then makes sure that it did).
 *  2. The gate page holds nothing that the guest does not know: its own registers.
 *  3. Nothing is taken from a signal frame but what a program may have in its registers anyway.
 *     No guest state is ever entered by rt_sigreturn.
 *
 * The gate page is mapped twice: writable where the arena is, and for the guest's eyes, read-only
 * and with key 0, at GATE_PAGE, near the program: after WRPKRU there is no other memory.
 *
 * docs/resource-control.md has the whole of it.
 */
#ifndef VM_CPU_GATE_H
#define VM_CPU_GATE_H

#define GATE_PAGE       0x700010000000
#define GATE_PKRU_GUEST 0x55555554 /* all keys denied but 0; also what signal handlers start with \
                                    */

/* struct gate's members. */
#define GATE_RAX      0
#define GATE_RCX      8
#define GATE_RDX      16
#define GATE_SELECTOR 24
#define GATE_FRAME    32 /* RIP CS RFLAGS RSP SS: for IRETQ */

/* struct vcpu_process's first members: at VM_STACK_START. */
#define GATE_PROCESS    0x701000000000
#define GATE_VMM_RSP    0  /* where to go on after guest code */
#define GATE_SIGNAL_RSP 8  /* where the kernel puts a signal's frame while guest code runs */
#define GATE_IN_GUEST   16 /* 32 bits */
#define GATE_ATTENTION  24 /* where the vCPU's attention is: 32 bits, bus/interrupt.h */

#define GATE_ATTENTION_SIGNAL 3 /* nothing yet */

#define GATE_SIGINFO_OFFSET 312 /* of siginfo in the kernel's struct rt_sigframe */

#endif
