/* classify_page.S - the page that `ringer classify --html` fills. */
        .section .rodata, "a", @progbits
        .globl  classify_page, classify_page_end
        .hidden classify_page, classify_page_end
classify_page:
        .incbin CLASSIFY_PAGE
classify_page_end:
        .byte   0
        .section .note.GNU-stack, "", @progbits
