/* devices.h - the devices on the PCI bus, as the configuration lists them. */
#ifndef VM_DEVICES_H
#define VM_DEVICES_H

struct ringer;

/* 0 or -errno, perhaps with the reason in ringer_error(); devices_destroy() in any case. */
int devices_create(struct ringer *machine);
void devices_destroy(struct ringer *machine);

#endif
