/* image.S - the programs that are built into the library. */
        .section .rodata, "a", @progbits

        .globl  image_ringer_cpu, image_ringer_cpu_end
        .hidden image_ringer_cpu, image_ringer_cpu_end
        .balign 16
image_ringer_cpu:
        .incbin RINGER_CPU_IMAGE
image_ringer_cpu_end:
        .byte   0

        .globl  image_ringer_share, image_ringer_share_end
        .hidden image_ringer_share, image_ringer_share_end
        .balign 16
image_ringer_share:
        .incbin RINGER_SHARE_IMAGE
image_ringer_share_end:
        .byte   0

        .globl  image_hello, image_hello_end
        .hidden image_hello, image_hello_end
        .balign 16
image_hello:
        .incbin HELLO_IMAGE
image_hello_end:
        .byte   0

        .section .note.GNU-stack, "", @progbits
