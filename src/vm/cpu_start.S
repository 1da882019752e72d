/*
 * cpu_start.S - where the kernel enters ringer-cpu, the change of stacks, and the return from a
 * signal.
 */
        .section .text.start, "ax", @progbits
        .globl  _start
        .hidden vcpu_main
        .type   _start, @function
_start:
        xor     %ebp, %ebp
        mov     %rsp, %rdi              /* argc, argv[] */
        and     $-16, %rsp
        call    vcpu_main
        ud2
        .size   _start, . - _start

/* void vcpu_switch_stack(u64 top, void (*then)(void)): go on in `then`, which never returns. */
        .text
        .globl  vcpu_switch_stack
        .hidden vcpu_switch_stack
        .type   vcpu_switch_stack, @function
vcpu_switch_stack:
        mov     %rdi, %rsp
        xor     %ebp, %ebp
        call    *%rsi
        ud2
        .size   vcpu_switch_stack, . - vcpu_switch_stack

/* SA_RESTORER of every handler: rt_sigreturn. */
        .globl  vcpu_sigreturn
        .hidden vcpu_sigreturn
        .type   vcpu_sigreturn, @function
vcpu_sigreturn:
        mov     $15, %eax
        syscall
        ud2
        .size   vcpu_sigreturn, . - vcpu_sigreturn

        .section .note.GNU-stack, "", @progbits
