/* nic_addresses.c - the addresses of a user-mode network, from text. */
#include "vm/nic_addresses.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX_MIN = 8, PREFIX_MAX = 27, HOST = 2, DNS = 3, DHCP_START = 15 };

/* ------------------------------------------------------------------ forwards */

/* Up to `end`: an IPv4 address or nothing. */
static bool parse_address(const char **text, char end, struct in_addr *address)
{
    const char *stop = strchr(*text, end);
    char copy[INET_ADDRSTRLEN];
    size_t length = stop ? (size_t)(stop - *text) : sizeof(copy);

    if (length >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, *text, length);
    copy[length] = 0;
    address->s_addr = INADDR_ANY;
    *text = stop + 1;
    return length == 0 || inet_pton(AF_INET, copy, address) == 1;
}

static bool parse_port(const char **text, char end, uint16_t *port)
{
    char *stop;
    unsigned long number = strtoul(*text, &stop, 10);

    if (!isdigit((unsigned char)**text) || *stop != end || number == 0 || number > UINT16_MAX) {
        return false;
    }
    *port = (uint16_t)number;
    *text = stop + (end != 0);
    return true;
}

bool nic_forward_parse(struct nic_forward *f, const char *text)
{
    bool tcp = !strncmp(text, "tcp:", 4);

    *f = (struct nic_forward){.udp = !strncmp(text, "udp:", 4)};
    text += tcp || f->udp ? 4 : 1;
    return (tcp || f->udp || text[-1] == ':') && parse_address(&text, ':', &f->host) &&
           parse_port(&text, '-', &f->host_port) && parse_address(&text, ':', &f->guest) &&
           parse_port(&text, 0, &f->guest_port);
}

bool nic_forward_next(struct nic_forward *f, const char **list, char text[NIC_FORWARD_TEXT])
{
    const char *comma;
    size_t length;

    if (!*list) {
        return false;
    }
    comma = strchr(*list, ',');
    length = comma ? (size_t)(comma - *list) : strlen(*list);
    snprintf(text, NIC_FORWARD_TEXT, "%.*s", length < 4096 ? (int)length : 4096, *list);
    if (!nic_forward_parse(f, text) || length >= NIC_FORWARD_TEXT) {
        return false;
    }
    *list = comma ? comma + 1 : NULL;
    return true;
}

/* ------------------------------------------------------------------ the network */

/* "10.0.2.0/24", of which the last bits are cleared. */
static bool parse_network(struct nic_addresses *a, const char *text)
{
    const char *slash = strchr(text, '/');
    unsigned long prefix = 24;
    char *end = NULL;

    if (slash) {
        prefix = strtoul(slash + 1, &end, 10);
        if (!isdigit((unsigned char)slash[1]) || *end || prefix < PREFIX_MIN ||
            prefix > PREFIX_MAX) {
            return false;
        }
        if (!parse_address(&text, '/', &a->network)) {
            return false;
        }
    } else if (inet_pton(AF_INET, text, &a->network) != 1) {
        return false;
    }
    a->mask.s_addr = htonl(~0u << (32 - prefix));
    a->network.s_addr &= a->mask.s_addr;
    return a->network.s_addr != 0;
}

bool nic_addresses_parse(struct nic_addresses *a, const struct ringer_device *config, char *error,
                         size_t error_size)
{
    const char *network = config->net.network ? config->net.network : "10.0.2.0/24";
    const struct {
        const char *name, *text;
        struct in_addr *address;
        unsigned number; /* in the network, where there is no text */
    } rows[] = {
        {"host", config->net.host, &a->host, HOST},
        {"dns", config->net.dns, &a->dns, DNS},
        {"dhcpstart", config->net.dhcp_start, &a->dhcp_start, DHCP_START},
    };

    if (!parse_network(a, network)) {
        snprintf(error, error_size, "net=%s: write a network as 10.0.2.0/24, with /%u to /%u",
                 network, PREFIX_MIN, PREFIX_MAX);
        return false;
    }
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (!rows[i].text) {
            rows[i].address->s_addr = htonl(ntohl(a->network.s_addr) + rows[i].number);
        } else if (inet_pton(AF_INET, rows[i].text, rows[i].address) != 1 ||
                   ((rows[i].address->s_addr ^ a->network.s_addr) & a->mask.s_addr)) {
            snprintf(error, error_size, "%s=%.40s: write an address in the network %.40s",
                     rows[i].name, rows[i].text, network);
            return false;
        }
    }
    if (a->host.s_addr == a->dns.s_addr) {
        snprintf(error, error_size, "the host and the name server have the same address");
        return false;
    }
    return true;
}
