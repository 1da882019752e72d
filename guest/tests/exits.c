/* exits.c - each way for a guest to end the machine; the command line says which. */
#include "guest.h"

static void triple_fault(void)
{
    struct __attribute__((packed)) {
        u16 limit;
        word base;
    } none = {0, 0};

    __asm__ volatile("lidt %0; ud2" ::"m"(none));
}

void guest_main(void)
{
    u32 code = (u32)option_number("code", 0x21);

    if (option("debug-console")) {
        for (const char *p = "Hello, port e9"; *p; p++) {
            outb(0xe9, (u8)*p);
        }
        check_is(inb(0xe9), 0xe9, "the debug console is there");
        return;
    }
    print("ending\n");
    if (option("width1")) {
        outb(0xf4, (u8)code);
    } else if (option("width2")) {
        outw(0xf4, (u16)code);
    } else if (option("width4")) {
        outl(0xf4, code);
    } else if (option("i8042")) {
        outb(0x64, 0xfe);
    } else if (option("cf9")) {
        outb(0xcf9, 2);
        outb(0xcf9, 6);
    } else if (option("port92")) {
        outb(0x92, 0);
        outb(0x92, 1);
    } else if (option("acpi-off")) {
        outw(0x604, 0x2000 | (u16)option_number("type", 5) << 10);
    } else if (option("triple")) {
        triple_fault();
    } else if (option("halt")) {
        for (;;) {
            __asm__ volatile("cli; hlt");
        }
    }
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}
