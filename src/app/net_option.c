/* net_option.c - the argument of --net. */
#include "app/net_option.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/types.h"

/* What is being filled in. */
struct net_option {
    struct ringer_device *device;
    char *forwards; /* as long as the whole argument */
    char *error;
    size_t error_size;
};

enum { USER = 1 << RINGER_NET_USER, PASST = 1 << RINGER_NET_PASST };

static bool wrong(struct net_option *o, const char *name, const char *value, const char *help)
{
    snprintf(o->error, o->error_size, "--net %s=%s: %s", name, value, help);
    return false;
}

/* ------------------------------------------------------------------ values */

static bool parse_address(struct net_option *o, const char *name, const char *value)
{
    uint8_t *address = o->device->net.address;
    const char *at = value;

    for (unsigned i = 0; i < sizeof(o->device->net.address); i++) {
        char *end;
        if (!isxdigit((unsigned char)at[0]) || !isxdigit((unsigned char)at[1])) {
            return wrong(o, name, value, "write six bytes, as in 52:54:00:12:34:56");
        }
        address[i] = (uint8_t)strtoul(at, &end, 16);
        if (end != at + 2 || *end != (i == 5 ? 0 : ':')) {
            return wrong(o, name, value, "write six bytes, as in 52:54:00:12:34:56");
        }
        at = end + 1;
    }
    if (address[0] & 1) {
        return wrong(o, name, value, "that is an address of a group: its first byte must be even");
    }
    return true;
}

static bool parse_mtu(struct net_option *o, const char *name, const char *value)
{
    char *end;
    unsigned long number = strtoul(value, &end, 10);

    if (!isdigit((unsigned char)*value) || *end || number < 1280 || number > 65520) {
        return wrong(o, name, value, "write a number from 1280 to 65520");
    }
    o->device->net.mtu = (unsigned)number;
    return true;
}

static bool parse_forward(struct net_option *o, const char *name, const char *value)
{
    (void)name;
    if (*o->forwards) {
        strcat(o->forwards, ",");
    }
    strcat(o->forwards, value);
    o->device->net.forwards = o->forwards;
    return true;
}

static bool parse_switch(struct net_option *o, const char *name, const char *value, bool *on)
{
    bool yes = !strcmp(value, "on") || !strcmp(value, "yes") || !strcmp(value, "y");

    *on = yes;
    return yes || !strcmp(value, "off") || !strcmp(value, "no") || !strcmp(value, "n") ||
           wrong(o, name, value, "write on or off");
}

static bool parse_restrict(struct net_option *o, const char *name, const char *value)
{
    return parse_switch(o, name, value, &o->device->net.restricted);
}

static bool parse_ipv6(struct net_option *o, const char *name, const char *value)
{
    bool on;

    if (!parse_switch(o, name, value, &on)) {
        return false;
    }
    o->device->net.no_ipv6 = !on;
    return true;
}

/* ------------------------------------------------------------------ words */

#define MEMBER(name) offsetof(struct ringer_device, net.name)

static const struct {
    const char *name;
    unsigned backends; /* that know it */
    bool (*parse)(struct net_option *o, const char *name, const char *value);
    size_t offset; /* without: of the string */
} words[] = {
    {"dhcpstart", USER, NULL, MEMBER(dhcp_start)},
    {"dns", USER, NULL, MEMBER(dns)},
    {"host", USER, NULL, MEMBER(host)},
    {"hostfwd", USER | PASST, parse_forward, 0},
    {"hostname", USER, NULL, MEMBER(hostname)},
    {"ipv6", USER | PASST, parse_ipv6, 0},
    {"mac", USER | PASST, parse_address, 0},
    {"mtu", USER | PASST, parse_mtu, 0},
    {"net", USER, NULL, MEMBER(network)},
    {"restrict", USER, parse_restrict, 0},
    {"socket", PASST, NULL, MEMBER(socket)},
};

static bool parse_word(struct net_option *o, char *word)
{
    char *equals = strchr(word, '=');

    if (equals) {
        *equals = 0;
    }
    for (size_t i = 0; equals && i < ARRAY_SIZE(words); i++) {
        if (strcmp(word, words[i].name) || !(words[i].backends >> o->device->net.backend & 1)) {
            continue;
        }
        if (!equals[1]) {
            return wrong(o, word, "", "something must stand there");
        }
        if (words[i].parse) {
            return words[i].parse(o, word, equals + 1);
        }
        const char *value = equals + 1;
        memcpy((char *)o->device + words[i].offset, &value, sizeof(value));
        return true;
    }
    snprintf(o->error, o->error_size, "--net %s: '%s' is not known there",
             o->device->net.backend == RINGER_NET_USER ? "user" : "passt", word);
    return false;
}

static bool parse_backend(struct net_option *o, const char *word)
{
    static const char *const names[] = {[RINGER_NET_USER] = "user", [RINGER_NET_PASST] = "passt"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (!strcmp(word, names[i])) {
            o->device->net.backend = (enum ringer_net_backend)i;
            return true;
        }
    }
    snprintf(o->error, o->error_size, "--net '%s' is not known; there are user and passt", word);
    return false;
}

bool net_option_parse(struct ringer_device *device, const char *value, char *error,
                      size_t error_size)
{
    struct net_option o = {.device = device, .error = error, .error_size = error_size};
    char *copy = strdup(value), *rest = copy, *word;

    *device = (struct ringer_device){.kind = RINGER_DEVICE_NET};
    o.forwards = calloc(1, strlen(value) + 1);
    if (!copy || !o.forwards) {
        snprintf(error, error_size, "out of memory");
        goto fail;
    }
    if (!parse_backend(&o, strsep(&rest, ","))) {
        goto fail;
    }
    while ((word = strsep(&rest, ","))) {
        if (!parse_word(&o, word)) {
            goto fail;
        }
    }
    return true;

fail:
    free(copy);
    free(o.forwards);
    return false;
}
