/* start32.S - the beginning, the interrupt stubs and the attempts of 32-bit test guests. */
        .section .note.pvh, "a", @note
        .balign 4
        .long 4, 4, 18                  /* XEN_ELFNOTE_PHYS32_ENTRY */
        .asciz "Xen"
        .long start

        .text
        .globl start
start:
        movl $0x11, %eax                /* ET, PE: the rest by who loaded it */
        movl %eax, %cr0
        movl $kernel_stack_end, %esp
        movl 24(%ebx), %eax             /* the start info's command line */
        testl %eax, %eax
        jz 1f
        movl %eax, command_line
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
        pushl $0
        .endif
        pushl $vector
        jmp common
        .set vector, vector + 1
        .endr

common:
        pushal
        pushl %ds
        pushl %es
        movl $0x10, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %esp, %ebx
        cld
        andl $-16, %esp
        subl $12, %esp
        pushl %ebx
        call guest_interrupt
        movl %ebx, %esp
        popl %es
        popl %ds
        popal
        addl $8, %esp
        iretl

        .macro SAVE
        pushfl
        pushl %ebx
        pushl %ebp
        pushl %esi
        pushl %edi
        pushl attempt_stack
        movl %esp, attempt_stack
        .endm

        .globl attempt_call
attempt_call:
        movl 4(%esp), %eax
        movl 8(%esp), %edx
        SAVE
        pushl %edx
        call *%eax
        addl $4, %esp
        xorl %eax, %eax
        jmp 1f

        .globl attempt_recover
attempt_recover:
        movl $1, %eax
        movl $0x10, %ecx
        movl %ecx, %ds
        movl %ecx, %es
        movl %ecx, %ss
        movl attempt_stack, %esp
1:      popl attempt_stack
        popl %edi
        popl %esi
        popl %ebp
        popl %ebx
        popfl
        ret

        .globl attempt_user_call
attempt_user_call:
        movl 4(%esp), %eax
        movl 8(%esp), %edx
        SAVE
        movl %esp, main_tss + 4         /* ESP0: below what is saved here */
        subl $256, main_tss + 4
        movl $user_stack_end - 8, %ecx
        movl $user_end, (%ecx)
        movl %edx, 4(%ecx)
        movl user_ss, %edx
        movl user_cs, %ebx
        movl %edx, %ds
        movl %edx, %es
        pushl %edx
        pushl %ecx
        pushl $0x202
        pushl %ebx
        pushl %eax
        iretl

        /* An attempt at CPL 3 returns here: the handler of this vector ends it. */
        .globl user_end
user_end:
        int $0xff
        hlt

        .section .data
        .balign 8
        .globl attempt_stack
attempt_stack: .long 0
        .globl user_cs, user_ss
user_cs: .long 0x1b
user_ss: .long 0x23

        .bss
        .balign 4096
        .skip 32768
        .globl kernel_stack_end
kernel_stack_end:
        .skip 16384
        .globl user_stack_end
user_stack_end:

        .section .note.GNU-stack, "", @progbits
