/* start64.S - the beginning, the interrupt stubs and the attempts of 64-bit test guests. */
        .section .note.pvh, "a", @note
        .balign 4
        .long 4, 4, 18                  /* XEN_ELFNOTE_PHYS32_ENTRY */
        .asciz "Xen"
        .long start_pvh

        .text
        /* By PVH: flat protected mode, the start info in EBX.  The first 4 GiB are mapped to
         * themselves by pages of 2 MiB, and long mode is entered. */
        .code32
start_pvh:
        movl %ebx, %edi
        cld
        movl $boot_tables + 0x1003, boot_tables
        movl $boot_tables + 0x2003, %eax
        movl $boot_tables + 0x1000, %edx
1:      movl %eax, (%edx)
        addl $0x1000, %eax
        addl $8, %edx
        cmpl $boot_tables + 0x1020, %edx
        jb 1b
        movl $0x83, %eax
        movl $boot_tables + 0x2000, %edx
2:      movl %eax, (%edx)
        addl $8, %edx
        addl $0x200000, %eax
        jnc 2b
        movl $boot_tables, %eax
        movl %eax, %cr3
        movl $0x20, %eax                /* PAE */
        movl %eax, %cr4
        movl $0xc0000080, %ecx          /* EFER.LME */
        rdmsr
        orl $0x100, %eax
        wrmsr
        movl $0x80000011, %eax          /* PG, ET, PE */
        movl %eax, %cr0
        lgdt boot_gdtr
        ljmp $8, $start
        .balign 8
boot_gdt:
        .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
boot_gdtr:
        .word 23
        .long boot_gdt
        .code64

        .globl start
start:
        movabsq $kernel_stack_end, %rsp
        movq 24(%rdi), %rax             /* the start info's command line */
        testq %rax, %rax
        jz 1f
        movq %rax, command_line
1:      cld
        xorl %ebp, %ebp
        call guest_start
        hlt

        .balign 16
        .globl interrupt_stubs
interrupt_stubs:
        .set vector, 0
        .rept 256
        .balign 16
        .if (vector == 8) || (vector >= 10 && vector <= 14) || vector == 17
        .else
        pushq $0
        .endif
        pushq $vector
        jmp common
        .set vector, vector + 1
        .endr

common:
        pushq %rax
        pushq %rcx
        pushq %rdx
        pushq %rbx
        pushq %rbp
        pushq %rsi
        pushq %rdi
        pushq %r8
        pushq %r9
        pushq %r10
        pushq %r11
        pushq %r12
        pushq %r13
        pushq %r14
        pushq %r15
        movq %rsp, %rdi
        movq %rsp, %rbx
        andq $-16, %rsp
        cld
        call guest_interrupt
        movq %rbx, %rsp
        popq %r15
        popq %r14
        popq %r13
        popq %r12
        popq %r11
        popq %r10
        popq %r9
        popq %r8
        popq %rdi
        popq %rsi
        popq %rbp
        popq %rbx
        popq %rdx
        popq %rcx
        popq %rax
        addq $16, %rsp
        iretq

        /* Flags are kept, but for a guest that does not want PUSHF and POPF. */
        .macro SAVE
        pushq $2
        cmpb $0, attempt_without_flags
        jne 3f
        pushfq
        popq (%rsp)
3:      pushq %rbx
        pushq %rbp
        pushq %r12
        pushq %r13
        pushq %r14
        pushq %r15
        pushq attempt_stack
        movq %rsp, attempt_stack
        .endm

        .globl attempt_call
attempt_call:
        SAVE
        movq %rdi, %rax
        movq %rsi, %rdi
        call *%rax
        xorl %eax, %eax
        jmp 1f

        .globl attempt_recover
attempt_recover:
        movl $1, %eax
        movl $0x10, %ecx
        movl %ecx, %ds
        movl %ecx, %es
        movl %ecx, %ss
        movq attempt_stack, %rsp
1:      popq attempt_stack
        popq %r15
        popq %r14
        popq %r13
        popq %r12
        popq %rbp
        popq %rbx
        cmpb $0, attempt_without_flags
        jne 2f
        popfq
        ret
2:      addq $8, %rsp
        ret

        .globl attempt_user_call
attempt_user_call:
        SAVE
        movq %rsp, main_tss + 4         /* RSP0: below what is saved here */
        subq $256, main_tss + 4
        movq %rdi, %rax
        movq %rsi, %rdi
        movabsq $user_stack_end - 8, %rdx
        movabsq $user_end, %rcx
        movq %rcx, (%rdx)
        pushq user_ss
        pushq %rdx
        pushq $0x202
        pushq user_cs
        pushq %rax
        iretq

        /* An attempt at CPL 3 returns here: the handler of this vector ends it. */
        .globl user_end
user_end:
        int $0xff
        hlt

        .section .data
        .balign 8
        .globl attempt_stack
attempt_stack: .quad 0
        .globl attempt_without_flags
attempt_without_flags: .byte 0
        .globl user_cs, user_ss
user_cs: .quad 0x2b
user_ss: .quad 0x33

        .bss
        .balign 4096
boot_tables:
        .skip 6 * 4096
        .skip 32768
        .globl kernel_stack_end
kernel_stack_end:
        .skip 16384
        .globl user_stack_end
user_stack_end:

        .section .note.GNU-stack, "", @progbits
