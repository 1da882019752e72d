/* programs.S - the texts in the machine's own assembly language, each with a zero at its end. */
        .section .rodata, "a", @progbits

        .macro text name
        .globl  text_\name
        .hidden text_\name
text_\name:
        .incbin "\name\().asm"
        .byte   0
        .endm

        text monitor
        text theorem1
        text theorem3
        text plain
        text jrst
        text lra
        text example

        .section .note.GNU-stack, "", @progbits
