/*
 * start.S - the two ways into the built-in guest.
 *
 * start64: as a plain ELF64 file, in long mode, with the start info in RDI.
 * start32: by the PVH protocol, in flat protected mode, with the start info in EBX.  It maps the
 * first 4 GiB to themselves, and goes to long mode.  So the same file runs on any VMM that knows
 * PVH (qemu-system-x86_64 -kernel hello.elf).
 */
        .section .note.pvh, "a", @note
        .long 4, 4, 18                  /* sizes; XEN_ELFNOTE_PHYS32_ENTRY */
        .asciz "Xen"
        .long start32

        .text
        .code32
        .globl start32
start32:
        cld
        movl $stack_end, %esp
        movl %ebx, %ebp                 /* the start info */

        /* Four page directories of 2 MiB pages: 2048 entries. */
        movl $directories, %edi
        movl $0x83, %eax                /* present, writable, large */
        movl $2048, %ecx
1:      movl %eax, (%edi)
        movl $0, 4(%edi)
        addl $0x200000, %eax
        addl $8, %edi
        loop 1b

        movl $directories + 3, %eax
        movl %eax, pdpt
        addl $0x1000, %eax
        movl %eax, pdpt + 8
        addl $0x1000, %eax
        movl %eax, pdpt + 16
        addl $0x1000, %eax
        movl %eax, pdpt + 24
        movl $pdpt + 3, pml4

        movl $pml4, %eax
        movl %eax, %cr3
        movl %cr4, %eax
        orl $0x20, %eax                 /* CR4.PAE */
        movl %eax, %cr4
        movl $0xc0000080, %ecx          /* EFER */
        rdmsr
        orl $0x100, %eax                /* LME */
        wrmsr
        movl %cr0, %eax
        orl $0x80000000, %eax           /* CR0.PG */
        movl %eax, %cr0
        lgdt gdt_pointer
        ljmp $0x08, $2f

        .code64
2:      movl $0x10, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        movl %ebp, %edi
        xorl %esi, %esi                 /* not entered in long mode */
        jmp 3f

        .globl start64
start64:
        movl $1, %esi
3:      movabsq $stack_end, %rsp
        xorl %ebp, %ebp
        cld
        call hello_main
4:      cli
        hlt
        jmp 4b

        .section .rodata
        .balign 8
gdt:
        .quad 0
        .quad 0x00af9b000000ffff        /* 64-bit code */
        .quad 0x00cf93000000ffff        /* data */
gdt_pointer:
        .word gdt_pointer - gdt - 1
        .quad gdt

        .bss
        .balign 4096
pml4:   .skip 4096
pdpt:   .skip 4096
directories: .skip 4 * 4096
        .skip 16384
stack_end:

        .section .note.GNU-stack, "", @progbits
