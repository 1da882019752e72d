/*
 * uart16550.c - the 16550A serial port.
 *
 *      +0  RBR, THR (DLL)    +1  IER (DLM)    +2  IIR, FCR    +3  LCR
 *      +4  MCR               +5  LSR          +6  MSR         +7  SCR
 *
 * National Semiconductor, "PC16550D Universal Asynchronous Receiver/Transmitter with FIFOs".
 *
 * A byte that the guest sends is gone at once, so the transmitter is always empty.  The receiver
 * never overruns but in loopback: what does not fit waits outside.
 *
 * LIMIT: words are 8 bits, whatever LCR says.  LIMIT: MCR's OUT2 does not gate the interrupt, since
 * kernels that were never run on a real PC forget it.
 */
#include "dev/uart16550.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

enum {
    IER_RDA = 0x01,
    IER_THRE = 0x02,
    IER_RLS = 0x04,
    IER_MSR = 0x08,
    IIR_MSR = 0x00,
    IIR_NONE = 0x01,
    IIR_THRE = 0x02,
    IIR_RDA = 0x04,
    IIR_RLS = 0x06,
    IIR_TIMEOUT = 0x0c,
    IIR_FIFO = 0xc0,
    FCR_ENABLE = 0x01,
    FCR_CLEAR_RX = 0x02,
    LCR_BREAK = 0x40,
    LCR_DLAB = 0x80,
    MCR_DTR = 0x01,
    MCR_RTS = 0x02,
    MCR_OUT1 = 0x04,
    MCR_OUT2 = 0x08,
    MCR_LOOP = 0x10,
    MCR_WRITABLE = 0x1f,
    LSR_DR = 0x01,
    LSR_OE = 0x02,
    LSR_BI = 0x10,
    LSR_THRE = 0x20,
    LSR_TEMT = 0x40,
    LSR_FIFO_ERROR = 0x80,
    LSR_ERRORS = 0x1e,
    MSR_TERI = 0x04,
    MSR_CTS = 0x10,
    MSR_DSR = 0x20,
    MSR_RI = 0x40,
    MSR_DCD = 0x80,
    FIFO_SIZE = 16,
    BIT_CYCLES = 16,      /* of the divided clock */
    CHARACTER_BITS = 10,  /* start, 8 data, stop */
    DEFAULT_DIVISOR = 12, /* 9600 baud */
};

#define CLOCK_HZ 1843200ull

struct character {
    u8 byte;
    u8 errors; /* LSR_BI */
};

struct uart {
    struct device device;
    struct slot slot;
    struct irq irq;
    const struct serial_port_ops *ops;
    void *context;
    u16 port;
    struct timer timer; /* the receive time-out */
    u16 divisor;
    u8 ier, fcr, lcr, mcr, msr, scr;
    bool overrun;
    bool thre_pending; /* the THRE interrupt is */
    bool timed_out;    /* the FIFO was left alone for four character times */
    bool starved;      /* a receive call took less than it was given */
    unsigned count, head;
    struct character fifo[FIFO_SIZE];
};

static struct uart *from_device(struct device *device)
{
    return container_of(device, struct uart, device);
}

static unsigned capacity(const struct uart *u)
{
    return u->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

static unsigned trigger(const struct uart *u)
{
    static const u8 levels[] = {1, 4, 8, 14};
    return u->fcr & FCR_ENABLE ? levels[u->fcr >> 6] : 1;
}

/* The error bits that LSR shows: those of the character that would be read next. */
static u8 errors(const struct uart *u)
{
    return (u->overrun ? LSR_OE : 0) | (u->count ? u->fifo[u->head].errors : 0);
}

static u8 interrupt_id(const struct uart *u)
{
    if (u->ier & IER_RLS && errors(u)) {
        return IIR_RLS;
    }
    if (u->ier & IER_RDA && u->count >= trigger(u)) {
        return IIR_RDA;
    }
    if (u->ier & IER_RDA && u->timed_out) {
        return IIR_TIMEOUT;
    }
    if (u->ier & IER_THRE && u->thre_pending) {
        return IIR_THRE;
    }
    if (u->ier & IER_MSR && u->msr & 0x0f) {
        return IIR_MSR;
    }
    return IIR_NONE;
}

static void update(struct uart *u)
{
    irq_set(&u->irq, interrupt_id(u) != IIR_NONE);
}

/* Any traffic of the receive FIFO starts its time-out anew. */
static void restart_timeout(struct uart *u)
{
    u64 divisor = u->divisor ? u->divisor : 1;
    u64 character_ns = CHARACTER_BITS * BIT_CYCLES * divisor * 1000000000u / CLOCK_HZ;

    u->timed_out = false;
    if (u->count && u->fcr & FCR_ENABLE) {
        timer_arm(&u->timer, timer_now(u->slot.timers) + 4 * character_ns);
    } else {
        timer_cancel(&u->timer);
    }
}

static void fire(void *arg)
{
    struct uart *u = arg;

    u->timed_out = true;
    update(u);
}

/* Into the FIFO, which is not full. */
static void push(struct uart *u, u8 byte, u8 error)
{
    u->fifo[(u->head + u->count) % FIFO_SIZE] = (struct character){byte, error};
    u->count++;
}

/* Room has come: tell the back end, which may receive from here. */
static void tell_ready(struct uart *u)
{
    if (u->starved && !(u->mcr & MCR_LOOP)) {
        u->starved = false;
        if (u->ops && u->ops->ready) {
            u->ops->ready(u->context);
        }
    }
}

size_t uart16550_receive(struct device *device, const u8 *bytes, size_t count)
{
    struct uart *u = from_device(device);
    size_t taken = 0;

    if (!(u->mcr & MCR_LOOP)) {
        while (taken < count && u->count < capacity(u)) {
            push(u, bytes[taken++], 0);
        }
    }
    if (taken < count) {
        u->starved = true;
    }
    if (taken) {
        restart_timeout(u);
        update(u);
    }
    return taken;
}

void uart16550_break(struct device *device)
{
    struct uart *u = from_device(device);

    if (u->mcr & MCR_LOOP) {
        return;
    }
    if (u->count < capacity(u)) {
        push(u, 0, LSR_BI);
    } else {
        u->overrun = true;
    }
    restart_timeout(u);
    update(u);
}

/* What the transmitter sends itself in loopback.  A full FIFO keeps what it has; without a FIFO the
 * newer character stays. */
static void loop_back(struct uart *u, u8 byte, u8 error)
{
    if (u->count == capacity(u)) {
        u->overrun = true;
        if (!(u->fcr & FCR_ENABLE)) {
            u->fifo[u->head] = (struct character){byte, error};
        }
    } else {
        push(u, byte, error);
    }
    restart_timeout(u);
}

static u8 read_rbr(struct uart *u)
{
    u8 byte;

    if (u->count == 0) {
        return 0;
    }
    byte = u->fifo[u->head].byte;
    u->head = (u->head + 1) % FIFO_SIZE;
    u->count--;
    restart_timeout(u);
    update(u);
    if (u->count == 0) {
        tell_ready(u);
    }
    return byte;
}

static void write_thr(struct uart *u, u8 byte)
{
    if (u->mcr & MCR_LOOP) {
        loop_back(u, byte, 0);
    } else if (u->ops && u->ops->transmit) {
        u->ops->transmit(u->context, &byte, 1);
    }
    u->thre_pending = true;
    update(u);
}

static void clear_fifo(struct uart *u)
{
    u->count = 0;
    u->head = 0;
    restart_timeout(u);
}

static void write_fcr(struct uart *u, u8 value)
{
    bool toggled = (value ^ u->fcr) & FCR_ENABLE;

    if (toggled || (value & FCR_ENABLE && value & FCR_CLEAR_RX)) {
        clear_fifo(u);
    }
    u->fcr = value & FCR_ENABLE ? value & (FCR_ENABLE | 0xc0) : 0;
    update(u);
    if (u->count == 0) {
        tell_ready(u);
    }
}

static u8 read_iir(struct uart *u)
{
    u8 id = interrupt_id(u);

    if (id == IIR_THRE) {
        u->thre_pending = false;
        update(u);
    }
    return id | (u->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static void write_ier(struct uart *u, u8 value)
{
    if (value & IER_THRE && !(u->ier & IER_THRE)) {
        u->thre_pending = true; /* enabling it with THR empty requests it */
    }
    u->ier = value & 0x0f;
    update(u);
}

static void write_lcr(struct uart *u, u8 value)
{
    bool begins = value & LCR_BREAK && !(u->lcr & LCR_BREAK);

    u->lcr = value;
    if (begins && u->mcr & MCR_LOOP) {
        loop_back(u, 0, LSR_BI);
        update(u);
    }
}

/* The modem inputs: in loopback the modem outputs, else a modem that is there and ready. */
static void set_modem_inputs(struct uart *u)
{
    u8 inputs = MSR_CTS | MSR_DSR | MSR_DCD, changes;

    if (u->mcr & MCR_LOOP) {
        inputs = (u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) |
                 (u->mcr & MCR_OUT1 ? MSR_RI : 0) | (u->mcr & MCR_OUT2 ? MSR_DCD : 0);
    }
    changes = (inputs ^ u->msr) >> 4;
    if (inputs & MSR_RI) {
        changes &= ~MSR_TERI; /* only the end of a ring is told */
    }
    u->msr = inputs | (u->msr & 0x0f) | changes;
}

static void write_mcr(struct uart *u, u8 value)
{
    u->mcr = value & MCR_WRITABLE;
    set_modem_inputs(u);
    update(u);
    if (u->count == 0) {
        tell_ready(u);
    }
}

static u8 read_lsr(struct uart *u)
{
    u8 value = LSR_THRE | LSR_TEMT | (u->count ? LSR_DR : 0) | errors(u);
    unsigned i;

    for (i = 0; u->fcr & FCR_ENABLE && i < u->count; i++) {
        if (u->fifo[(u->head + i) % FIFO_SIZE].errors) {
            value |= LSR_FIFO_ERROR;
        }
    }
    u->overrun = false;
    if (u->count) {
        u->fifo[u->head].errors = 0;
    }
    if (value & LSR_ERRORS) {
        update(u);
    }
    return value;
}

static u8 read_msr(struct uart *u)
{
    u8 value = u->msr;

    u->msr &= 0xf0;
    update(u);
    return value;
}

static u64 port_read(void *device, u64 offset, unsigned size)
{
    struct uart *u = device;

    (void)size;
    switch (offset) {
    case 0:
        return u->lcr & LCR_DLAB ? u->divisor & 0xff : read_rbr(u);
    case 1:
        return u->lcr & LCR_DLAB ? u->divisor >> 8 : u->ier;
    case 2:
        return read_iir(u);
    case 3:
        return u->lcr;
    case 4:
        return u->mcr;
    case 5:
        return read_lsr(u);
    case 6:
        return read_msr(u);
    default:
        return u->scr;
    }
}

static void port_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct uart *u = device;

    (void)size;
    switch (offset) {
    case 0:
        if (u->lcr & LCR_DLAB) {
            u->divisor = (u->divisor & 0xff00) | (u8)value;
        } else {
            write_thr(u, (u8)value);
        }
        break;
    case 1:
        if (u->lcr & LCR_DLAB) {
            u->divisor = (u->divisor & 0x00ff) | (u8)value << 8;
        } else {
            write_ier(u, (u8)value);
        }
        break;
    case 2:
        write_fcr(u, (u8)value);
        break;
    case 3:
        write_lcr(u, (u8)value);
        break;
    case 4:
        write_mcr(u, (u8)value);
        break;
    case 7:
        u->scr = (u8)value;
        break;
    default: /* LSR and MSR are read-only */
        break;
    }
}

static const struct bus_region_ops port_ops = {port_read, port_write, 1, 1};

static struct bus_region region(const struct uart *u)
{
    return (struct bus_region){
        .space = BUS_PIO, .base = u->port, .size = 8, .ops = &port_ops, .name = "uart16550"};
}

static void reset(struct device *device)
{
    struct uart *u = from_device(device);

    u->ier = u->fcr = u->lcr = u->mcr = u->scr = 0;
    u->divisor = DEFAULT_DIVISOR;
    u->msr = MSR_CTS | MSR_DSR | MSR_DCD;
    u->overrun = u->thre_pending = false;
    clear_fifo(u);
    irq_set(&u->irq, false);
    tell_ready(u);
}

static void destroy(struct device *device)
{
    struct uart *u = from_device(device);
    struct bus_region r = region(u);

    timer_cancel(&u->timer);
    device_remove_regions(&u->slot, &r, 1);
    free(u);
}

static const struct field fields[] = {
    FIELD(struct uart, divisor),
    FIELD(struct uart, ier),
    FIELD(struct uart, fcr),
    FIELD(struct uart, lcr),
    FIELD(struct uart, mcr),
    FIELD(struct uart, msr),
    FIELD(struct uart, scr),
    FIELD(struct uart, overrun),
    FIELD(struct uart, thre_pending),
    FIELD(struct uart, timed_out),
    FIELD(struct uart, starved),
    FIELD_MAX(struct uart, count, FIFO_SIZE),
    FIELD_MAX(struct uart, head, FIFO_SIZE - 1),
    FIELD_EACH(struct uart, fifo, byte),
    FIELD_EACH(struct uart, fifo, errors),
    FIELD_TIMER(struct uart, timer),
    FIELDS_END,
};

static bool loaded(struct device *device)
{
    const struct uart *u = from_device(device);

    return u->count <= capacity(u);
}

int uart16550_create(const struct slot *slot, const struct uart16550_config *config,
                     struct device **device)
{
    struct uart *u = calloc(1, sizeof(*u));
    struct bus_region r;
    int error;

    if (!u) {
        return -ENOMEM;
    }
    u->device = (struct device){.name = "uart16550",
                                .block = u,
                                .block_bytes = sizeof(*u),
                                .state = {{fields, u}},
                                .loaded = loaded,
                                .reset = reset,
                                .destroy = destroy};
    u->slot = *slot;
    u->irq = config->irq;
    u->ops = config->ops;
    u->context = config->context;
    u->port = config->port;
    timer_init(&u->timer, slot->timers, fire, u);
    r = region(u);
    error = device_add_regions(slot, &r, 1, u);
    if (error) {
        free(u);
        return error;
    }
    reset(&u->device);
    *device = &u->device;
    return 0;
}
