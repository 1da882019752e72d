/*
 * cpu_gate.S - into guest code and back: the rules are in cpu_gate.h.
 *
 *      vcpu_gate_enter() --> IRETQ --> guest code --> a signal --> vcpu_gate_signal -->
 *      vcpu_leave_guest() --> vcpu_gate_enter() returns
 */
#include "vm/cpu_gate.h"

        .macro  check_same value        /* EAX must be this; flags and all else stay */
        lea     -(\value)(%rax), %rcx
        jrcxz   1f
        ud2
1:
        .endm

/*
 * void vcpu_gate_enter(const u64 *gpr, u64 fs_base, u64 gs_base, struct gate *gate, bool keys)
 *
 * The gate page is filled in but for the selector.  Returns when guest code has trapped, or at once
 * if attention has been raised: a signal that came before GATE_IN_GUEST was set has said so in vain.
 */
        .text
        .globl  vcpu_gate_enter, vcpu_gate_enter_end
        .hidden vcpu_leave_guest, vcpu_on_signal
        .type   vcpu_gate_enter, @function
vcpu_gate_enter:
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        wrfsbase %rsi
        wrgsbase %rdx
        movabs  $GATE_PROCESS, %rax
        mov     %rsp, GATE_VMM_RSP(%rax)
        movl    $1, GATE_IN_GUEST(%rax)         /* from here on every signal ends this run */
        mov     GATE_ATTENTION(%rax), %rdx
        cmpl    $GATE_ATTENTION_SIGNAL, (%rdx)
        jne     6f
        movb    $1, GATE_SELECTOR(%rcx)         /* SYSCALL_DISPATCH_FILTER_BLOCK */
        mov     %r8, %rax
        mov     0x18(%rdi), %rbx
        mov     0x28(%rdi), %rbp
        mov     0x30(%rdi), %rsi
        mov     0x40(%rdi), %r8
        mov     0x48(%rdi), %r9
        mov     0x50(%rdi), %r10
        mov     0x58(%rdi), %r11
        mov     0x60(%rdi), %r12
        mov     0x68(%rdi), %r13
        mov     0x70(%rdi), %r14
        mov     0x78(%rdi), %r15
        mov     0x38(%rdi), %rdi
        test    %eax, %eax
        jz      2f
        xor     %ecx, %ecx
        xor     %edx, %edx
        mov     $GATE_PKRU_GUEST, %eax
        .globl  vcpu_pkru_close
vcpu_pkru_close:
        wrpkru
        check_same GATE_PKRU_GUEST
2:      lea     vcpu_gate_page+GATE_FRAME(%rip), %rsp
        mov     vcpu_gate_page+GATE_RAX(%rip), %rax
        mov     vcpu_gate_page+GATE_RCX(%rip), %rcx
        mov     vcpu_gate_page+GATE_RDX(%rip), %rdx
        iretq
6:      movl    $0, GATE_IN_GUEST(%rax)
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        ret
vcpu_gate_enter_end:
        .size   vcpu_gate_enter, . - vcpu_gate_enter

/*
 * Every signal comes here, with PKRU at its initial value and a frame as the kernel makes it:
 * return address, struct ucontext, siginfo.  If guest code was running the frame is only read, and
 * the stack is the one that vcpu_gate_enter() left; else it is an ordinary handler, which returns.
 */
        .globl  vcpu_gate_signal
        .type   vcpu_gate_signal, @function
vcpu_gate_signal:
        xor     %eax, %eax
        xor     %ecx, %ecx
        xor     %edx, %edx
        .globl  vcpu_pkru_signal
vcpu_pkru_signal:
        wrpkru
        .globl  vcpu_gate_signal_without_keys
vcpu_gate_signal_without_keys:
        movabs  $GATE_PROCESS, %rax
        cmpl    $0, GATE_IN_GUEST(%rax)
        je      3f
        cmp     GATE_SIGNAL_RSP(%rax), %rsp
        je      4f
        ud2                                     /* guest code has jumped here */
3:      lea     8(%rsp), %rdx
        lea     GATE_SIGINFO_OFFSET(%rsp), %rsi
        jmp     vcpu_on_signal
4:      mov     %rsp, %rdi
        mov     GATE_VMM_RSP(%rax), %rsp
        pushq   $2                              /* no AC, no NT */
        popfq
        call    vcpu_leave_guest
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        ret
        .size   vcpu_gate_signal, . - vcpu_gate_signal

/* void vcpu_pkru_open(void): at the start of the process, before any guest code. */
        .globl  vcpu_pkru_open
        .type   vcpu_pkru_open, @function
vcpu_pkru_open:
        xor     %eax, %eax
        xor     %ecx, %ecx
        xor     %edx, %edx
        .globl  vcpu_pkru_start
vcpu_pkru_start:
        wrpkru
        movabs  $GATE_PROCESS, %rax
        cmpl    $0, GATE_IN_GUEST(%rax)
        je      5f
        ud2
5:      ret
        .size   vcpu_pkru_open, . - vcpu_pkru_open

        .section .note.GNU-stack, "", @progbits
