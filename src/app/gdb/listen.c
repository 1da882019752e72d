/* listen.c - the socket that gdb connects to; see listen.h. */
#define _GNU_SOURCE

#include "app/gdb/listen.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

union address {
    struct sockaddr any;
    struct sockaddr_un local;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* ------------------------------------------------------------------ places */

static bool begins(const char *text, const char *word)
{
    return strncmp(text, word, strlen(word)) == 0;
}

static bool parse_port(const char *text, size_t length, in_port_t *port)
{
    unsigned long value = 0;

    if (length == 0 || length > 5) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (!isdigit((unsigned char)text[i])) {
            return false;
        }
        value = value * 10 + (unsigned long)(text[i] - '0');
    }
    *port = htons((uint16_t)value);
    return value <= 65535;
}

/* "127.0.0.1:PORT", or any other address of 127/8, "localhost:PORT", "[::1]:PORT". */
static bool parse_tcp(const char *text, size_t length, union address *address, socklen_t *size)
{
    const char *colon = memrchr(text, ':', length);
    in_port_t port;
    char host[32];

    if (!colon || (size_t)(colon - text) >= sizeof(host) ||
        !parse_port(colon + 1, length - (size_t)(colon + 1 - text), &port)) {
        return false;
    }
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = 0;
    memset(address, 0, sizeof(*address));
    if (!strcmp(host, "[::1]")) {
        address->v6 = (struct sockaddr_in6){
            .sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = in6addr_loopback};
        *size = sizeof(address->v6);
        return true;
    }
    address->v4.sin_family = AF_INET;
    address->v4.sin_port = port;
    *size = sizeof(address->v4);
    return inet_pton(AF_INET, strcmp(host, "localhost") ? host : "127.0.0.1",
                     &address->v4.sin_addr) == 1 &&
           ntohl(address->v4.sin_addr.s_addr) >> 24 == 127;
}

static bool parse_unix(const char *text, size_t length, union address *address, socklen_t *size)
{
    memset(address, 0, sizeof(*address));
    address->local.sun_family = AF_UNIX;
    if (length == 0 || length >= sizeof(address->local.sun_path)) {
        return false;
    }
    memcpy(address->local.sun_path, text, length);
    *size = sizeof(address->local);
    return true;
}

static bool parse(const struct gdb_place *place, union address *address, socklen_t *size)
{
    if (begins(place->text, "unix:")) {
        return parse_unix(place->text + 5, place->length - 5, address, size);
    }
    return begins(place->text, "tcp:") &&
           parse_tcp(place->text + 4, place->length - 4, address, size);
}

bool gdb_place_parse(struct gdb_place *place, const char *text, char *error, size_t error_size)
{
    static const char wait[] = ",wait";
    size_t length = strlen(text), suffix = strlen(wait);
    union address address;
    socklen_t size;

    *place = (struct gdb_place){.text = text, .length = length};
    if (length >= suffix && !strcmp(text + length - suffix, wait)) {
        place->length -= suffix;
        place->wait = true;
    }
    if (parse(place, &address, &size)) {
        return true;
    }
    if (begins(text, "unix:")) {
        snprintf(error, error_size, "--gdb '%s': a socket's path has 1 to %zu bytes", text,
                 sizeof(address.local.sun_path) - 1);
    } else {
        snprintf(error, error_size,
                 "--gdb '%s': write unix:PATH or tcp:127.0.0.1:PORT, and ,wait behind it if the "
                 "guest is to wait; only loopback addresses can be had",
                 text);
    }
    return false;
}

/* ------------------------------------------------------------------ listening */

/* A socket that nobody listens on any more is left from a run that was killed. */
static void remove_stale(const union address *address)
{
    struct stat status;
    int fd;

    if (lstat(address->local.sun_path, &status) < 0 || !S_ISSOCK(status.st_mode)) {
        return;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return;
    }
    if (connect(fd, &address->any, sizeof(address->local)) < 0 && errno == ECONNREFUSED) {
        unlink(address->local.sun_path);
    }
    close(fd);
}

/* Where it listens in fact. */
static void name_place(int fd, const struct gdb_place *place, char *name, size_t size)
{
    union address address;
    socklen_t length = sizeof(address);
    const char *colon = memrchr(place->text, ':', place->length);

    snprintf(name, size, "%.*s", (int)place->length, place->text);
    if (getsockname(fd, &address.any, &length) < 0 || address.any.sa_family == AF_UNIX) {
        return;
    }
    snprintf(name, size, "%.*s:%u", (int)(colon - place->text), place->text,
             ntohs(address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port));
}

int gdb_listen(const struct gdb_place *place, char *name, size_t name_size, char *error,
               size_t error_size)
{
    union address address;
    socklen_t size;
    int fd, one = 1;

    if (!parse(place, &address, &size)) {
        snprintf(error, error_size, "--gdb: that is no place to listen");
        return -1;
    }
    fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        snprintf(error, error_size, "--gdb: there is no socket: %s", strerror(errno));
        return -1;
    }
    if (address.any.sa_family == AF_UNIX) {
        remove_stale(&address);
    } else {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    }
    if (bind(fd, &address.any, size) < 0 || listen(fd, 1) < 0) {
        snprintf(error, error_size, "--gdb: cannot listen at %.*s: %s", (int)place->length,
                 place->text, strerror(errno));
        close(fd);
        return -1;
    }
    name_place(fd, place, name, name_size);
    return fd;
}

void gdb_listen_end(int fd)
{
    union address address;
    socklen_t length = sizeof(address);

    if (getsockname(fd, &address.any, &length) == 0 && address.any.sa_family == AF_UNIX) {
        unlink(address.local.sun_path);
    }
    close(fd);
}
