/* console.c - text out of the first serial port, a 16550 at port 0x3f8.  It is only polled. */
#include "base/format.h"
#include "hello.h"

#define COM1 0x3f8

enum {
    UART_DATA = COM1,
    UART_IER = COM1 + 1,
    UART_FCR = COM1 + 2,
    UART_LCR = COM1 + 3,
    UART_MCR = COM1 + 4,
    UART_LSR = COM1 + 5,
};

#define LCR_8N1      0x03
#define LCR_DLAB     0x80
#define LSR_THRE     0x20
#define POLLS_MAX    100000 /* a port that is not there must not stop us */
#define DIVISOR_115K 1

void console_start(void)
{
    outb(UART_IER, 0);
    outb(UART_LCR, LCR_DLAB);
    outb(UART_DATA, DIVISOR_115K);
    outb(UART_IER, 0);
    outb(UART_LCR, LCR_8N1);
    outb(UART_FCR, 0x07); /* FIFOs on and empty */
    outb(UART_MCR, 0x03); /* DTR, RTS */
}

static void put(char c)
{
    for (unsigned i = 0; i < POLLS_MAX && !(inb(UART_LSR) & LSR_THRE); i++) {}
    outb(UART_DATA, (u8)c);
}

void print(const char *fmt, ...)
{
    char line[256];
    va_list args;
    va_start(args, fmt);
    vformat(line, sizeof(line), fmt, args);
    va_end(args);
    for (const char *c = line; *c; c++) {
        if (*c == '\n') {
            put('\r');
        }
        put(*c);
    }
}
