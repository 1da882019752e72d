/* nic_addresses.h - the addresses of a user-mode network, from text. */
#ifndef VM_NIC_ADDRESSES_H
#define VM_NIC_ADDRESSES_H

#include <netinet/in.h>
#include <ringer/ringer.h>
#include <stdbool.h>

struct nic_forward {
    bool udp;
    struct in_addr host, guest; /* 0: any of the host's; the guest that DHCP serves first */
    uint16_t host_port, guest_port;
};

/* "[tcp|udp]:[ADDRESS]:PORT-[ADDRESS]:PORT": false where it is not. */
bool nic_forward_parse(struct nic_forward *forward, const char *text);

/* The next of several, with commas between: copied to text, parsed, and *list goes on behind it.
 * False at the end (*list is then NULL), and where it is not what it should be. */
#define NIC_FORWARD_TEXT 80u
bool nic_forward_next(struct nic_forward *forward, const char **list, char text[NIC_FORWARD_TEXT]);

struct nic_addresses {
    struct in_addr network, mask, host, dns, dhcp_start;
};

/* Those of the configuration, or else the usual ones in its network.  False, with a line in error,
 * where they are wrong. */
bool nic_addresses_parse(struct nic_addresses *addresses, const struct ringer_device *config,
                         char *error, size_t error_size);

#endif
