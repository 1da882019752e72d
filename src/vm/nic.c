/* nic.c - the machine's network cards: which back end each has, and their way in. */
#include "vm/nic.h"

#include <errno.h>
#include <stdlib.h>

#include "dev/virtio/net.h"
#include "vm/machine.h"

/* ------------------------------------------------------------------ the card's side */

static void send_frame(void *context, const u8 *frame, size_t size)
{
    struct nic *nic = context;

    nic->backend->send(nic, frame, size);
}

static void ready(void *context)
{
    struct nic *nic = context;

    input_ready_begin(nic->machine, INPUT_NET1 + nic->number);
    nic->backend->ask(nic);
    input_ready_end(nic->machine);
}

static const struct net_ops ops = {.send = send_frame, .ready = ready};

/* ------------------------------------------------------------------ the way in */

bool nic_receive(struct nic *nic, const u8 *frame, size_t size)
{
    return input_offer(nic->machine, INPUT_NET1 + nic->number, frame, size) == size;
}

/* Virtual time: each frame by itself has its interrupt, so that it does not matter which ones came
 * in together. */
size_t nic_offer(struct ringer *m, unsigned number, const u8 *frame, size_t size)
{
    struct device *card = number < m->nic_count ? m->nics[number]->card : NULL;
    bool taken = card && virtio_net_receive(card, frame, size);

    if (card && m->vm->clock.icount) {
        virtio_net_received(card);
    }
    return taken ? size : 0;
}

void nic_ask(struct ringer *m, unsigned number)
{
    if (number < m->nic_count) {
        m->nics[number]->backend->ask(m->nics[number]);
    }
}

void nic_received(struct nic *nic)
{
    if (nic->card && !nic->machine->vm->clock.icount) {
        virtio_net_received(nic->card);
    }
}

void nic_set_link(struct nic *nic, bool up)
{
    if (nic->card && !nic->machine->vm->clock.icount) {
        virtio_net_set_link(nic->card, up);
    }
}

/* ------------------------------------------------------------------ replay: nobody is there */

static void send_nowhere(struct nic *nic, const u8 *frame, size_t size)
{
    (void)nic;
    (void)frame;
    (void)size;
}

static void ask_nobody(struct nic *nic)
{
    (void)nic;
}

static void close_nowhere(struct nic *nic)
{
    free(nic);
}

static void describe_nowhere(struct nic *nic, void (*each)(void *context, const char *line),
                             void *context)
{
    (void)nic;
    each(context, "  as recorded: nobody is there");
}

static const struct nic_backend nowhere = {
    .send = send_nowhere, .ask = ask_nobody, .describe = describe_nowhere, .close = close_nowhere};

static int open_nowhere(struct ringer *m, const struct ringer_device *config, struct nic **nic)
{
    (void)config;
    *nic = calloc(1, sizeof(**nic));
    if (!*nic) {
        return machine_fail(m, -ENOMEM, "net: out of memory");
    }
    (*nic)->machine = m;
    (*nic)->number = m->nic_count;
    (*nic)->backend = &nowhere;
    return 0;
}

/* ------------------------------------------------------------------ life */

static const struct {
    int (*open)(struct ringer *, const struct ringer_device *, struct nic **);
    bool takes_segments;
    unsigned mtu; /* at most, and by default */
} kinds[] = {
    [RINGER_NET_USER] = {nic_user_open, true, NIC_USER_MTU},
    [RINGER_NET_PASST] = {nic_passt_open, false, NET_MTU_MAX},
};

int nic_open(struct ringer *m, const struct ringer_device *config, struct nic **nic)
{
    unsigned kind = config->net.backend, mtu;
    int error;

    if (kind >= ARRAY_SIZE(kinds)) {
        return machine_fail(m, -EINVAL, "net: there is no such back end");
    }
    if (m->nic_count == NICS_MAX) {
        return machine_fail(m, -EINVAL, "net: there may be %u network cards", NICS_MAX);
    }
    mtu = config->net.mtu ? config->net.mtu : kinds[kind].mtu;
    if (mtu < NET_MTU_MIN || mtu > kinds[kind].mtu) {
        return machine_fail(m, -EINVAL, "net: mtu=%u is not between %u and %u", mtu, NET_MTU_MIN,
                            kinds[kind].mtu);
    }
    error = m->config.replay_path ? open_nowhere(m, config, nic) : kinds[kind].open(m, config, nic);
    if (error < 0) {
        return error;
    }
    (*nic)->net = (struct net){
        .ops = &ops,
        .context = *nic,
        .mtu = mtu,
        .takes_segments = kinds[kind].takes_segments,
        .checks = true,
    };
    m->nics[m->nic_count++] = *nic;
    return 0;
}

void ringer_network_info(struct ringer *m, void (*each)(void *context, const char *line),
                         void *context)
{
    for (unsigned i = 0; i < m->nic_count; i++) {
        struct nic *nic = m->nics[i];
        char line[64];
        snprintf(line, sizeof(line), "card %u: MTU %u", i + 1, nic->net.mtu);
        each(context, line);
        nic->backend->describe(nic, each, context);
    }
}

void nic_close_all(struct ringer *m)
{
    while (m->nic_count) {
        struct nic *nic = m->nics[--m->nic_count];
        nic->backend->close(nic);
    }
}
