/*
 * nic.h - what stands behind a network card of the machine: a network of the process's own, by
 * libslirp (nic_user.c), or passt (nic_passt.c).
 *
 * What comes from there is input, so it goes through the door (input.h) and can be recorded, frame
 * by frame.  A replay has no back end: the guest gets what was recorded, and what it sends goes
 * nowhere.  On virtual time a link stays up whatever happens.
 */
#ifndef VM_NIC_H
#define VM_NIC_H

#include <ringer/ringer.h>

#include "dev/net.h"

#define NICS_MAX 8u

/* libslirp's TCP has windows of 64 KiB, and waits with what does not fill half of one nor a
 * segment. With segments that are longer than a quarter, a Linux at the other end may wait for just
 * that: then nothing goes on for some seconds. */
#define NIC_USER_MTU 16384u

struct nic;

struct nic_backend {
    void (*send)(struct nic *nic, const u8 *frame, size_t size); /* as struct net_ops */
    /* Offer what was not taken: there is room now, or the door is open. */
    void (*ask)(struct nic *nic);
    /* For people: each line that there is to say of it. */
    void (*describe)(struct nic *nic, void (*each)(void *context, const char *line), void *context);
    void (*close)(struct nic *nic); /* and free */
};

struct nic {
    struct ringer *machine;
    unsigned number; /* from 0 */
    struct net net;
    const struct nic_backend *backend;
    struct device *card; /* NULL: not yet */
};

/* Open what the configuration names, and put it into the machine's list.  0 or -errno, with the
 * reason in ringer_error().  The caller then sets card. */
int nic_open(struct ringer *machine, const struct ringer_device *config, struct nic **nic);

void nic_close_all(struct ringer *machine);

/* ------------------------------------------------------------------ for input.c */

/* Offer a frame to the card: size, or 0 where there is no room for it now. */
size_t nic_offer(struct ringer *machine, unsigned number, const u8 *frame, size_t size);
void nic_ask(struct ringer *machine, unsigned number);

/* ------------------------------------------------------------------ for the back ends */

/* As nic_open(), for their own kinds.  They set machine, number (nic_count) and backend. */
int nic_user_open(struct ringer *machine, const struct ringer_device *config, struct nic **nic);
int nic_passt_open(struct ringer *machine, const struct ringer_device *config, struct nic **nic);

/* A frame for the guest.  False: offer it again when asked to. */
bool nic_receive(struct nic *nic, const u8 *frame, size_t size);

/* After frames that came from the event loop: the guest gets an interrupt. */
void nic_received(struct nic *nic);

void nic_set_link(struct nic *nic, bool up);

#endif
