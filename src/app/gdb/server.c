/* server.c - the debugger's door; see server.h. */
#define _GNU_SOURCE

#include "app/gdb/server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/types.h"

#define SEND_PATIENCE_MS 1000 /* then a client that does not read is one that has gone */

/* ------------------------------------------------------------------ which architecture */

#define EFER_LMA  0x400u
#define EM_X86_64 62u

/* Is the kernel an ELF file for x86-64? */
static bool is_amd64_file(const char *path)
{
    uint8_t header[20] = {0};
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    if (fd < 0) {
        return false;
    }
    ssize_t count = read(fd, header, sizeof(header));
    close(fd);
    return count == sizeof(header) && !memcmp(header, "\177ELF", 4) &&
           (header[18] | header[19] << 8) == EM_X86_64;
}

/* By the kernel's file, for a 64-bit one may begin in 32-bit mode; else by the mode it is in. */
static const struct gdb_arch *choose_arch(const struct gdb_server *server)
{
    struct ringer_registers r;
    bool is_long = ringer_get_registers(server->machine, 0, &r) == 0 && (r.efer & EFER_LMA);

    return is_long || is_amd64_file(server->kernel) ? &gdb_amd64 : &gdb_i386;
}

/* ------------------------------------------------------------------ the client */

static void readable(void *context);

/* It has gone, or is to go: the guest runs on, unless it still waits for one that lets it go. */
static void drop_client(struct gdb_server *server)
{
    int fd = server->client;

    if (fd < 0) {
        return;
    }
    server->client = -1;
    if (server->machine) {
        ringer_watch_fd(server->machine, fd, NULL, NULL);
        bool held = ringer_is_paused(server->machine) || ringer_pause(server->machine) == 0;
        gdb_stub_disconnect(&server->stub);
        if (held && !server->waits) {
            ringer_resume(server->machine);
        }
    } else {
        gdb_stub_disconnect(&server->stub);
    }
    close(fd);
}

/* False: it does not read. */
static bool wait_for_room(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    return poll(&p, 1, SEND_PATIENCE_MS) > 0 && (p.revents & POLLOUT);
}

/* On failure the rest is dropped; that it has gone shows when it is read. */
static void send_bytes(void *context, const void *bytes, size_t size)
{
    struct gdb_server *server = context;
    const uint8_t *next = bytes;

    while (size > 0 && server->client >= 0) {
        ssize_t count = send(server->client, next, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count > 0) {
            next += count;
            size -= (size_t)count;
        } else if (errno != EINTR && (errno != EAGAIN || !wait_for_room(server->client))) {
            shutdown(server->client, SHUT_RDWR);
            return;
        }
    }
}

static void on_kill(void *context)
{
    struct gdb_server *server = context;

    server->quit = true;
    ringer_stop(server->machine);
}

static void on_detach(void *context)
{
    struct gdb_server *server = context;

    server->waits = false;
    drop_client(server);
}

static void readable(void *context)
{
    struct gdb_server *server = context;
    uint8_t bytes[4096];
    ssize_t count = recv(server->client, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (count > 0) {
        gdb_stub_input(&server->stub, bytes, (size_t)count);
        server->waits &= !server->stub.waits; /* it has let the guest go */
    } else if (count == 0 || (errno != EINTR && errno != EAGAIN)) {
        drop_client(server);
    }
}

/* ------------------------------------------------------------------ connections */

/* Has the client hung up?  What it said before may not yet have been read. */
static bool has_gone(const struct gdb_server *server)
{
    struct pollfd p = {.fd = server->client, .events = POLLRDHUP};

    return server->client >= 0 && poll(&p, 1, 0) > 0 && p.revents;
}

static void connected(void *context)
{
    struct gdb_server *server = context;
    int fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;

    if (fd < 0) {
        return;
    }
    while (has_gone(server)) { /* one that connects again may be heard before its good-bye */
        readable(server);
    }
    if (server->client >= 0 || ringer_pause(server->machine) < 0 ||
        ringer_watch_fd(server->machine, fd, readable, server) < 0) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* fails on a local socket */
    server->client = fd;
    gdb_stub_connect(&server->stub, choose_arch(server));
}

static void stopped(void *context, const struct ringer_stop *stop)
{
    struct gdb_server *server = context;

    gdb_stub_stopped(&server->stub, stop);
}

/* ------------------------------------------------------------------ life */

struct gdb_server *gdb_server_create(const struct gdb_place *place, const char *kernel, char *error,
                                     size_t error_size)
{
    struct gdb_server *server = calloc(1, sizeof(*server));

    if (!server) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    server->client = -1;
    server->waits = place->wait;
    server->kernel = kernel;
    server->host = (struct gdb_host){send_bytes, on_kill, on_detach, server};
    gdb_stub_init(&server->stub, &server->host);
    server->listener = gdb_listen(place, server->name, sizeof(server->name), error, error_size);
    if (server->listener < 0) {
        free(server);
        return NULL;
    }
    return server;
}

void gdb_server_destroy(struct gdb_server *server)
{
    if (!server) {
        return;
    }
    drop_client(server);
    gdb_listen_end(server->listener);
    gdb_stub_destroy(&server->stub);
    free(server);
}

int gdb_server_attach(struct gdb_server *server, struct ringer *machine)
{
    int result;

    server->machine = machine;
    gdb_stub_attach(&server->stub, machine);
    ringer_on_stop(machine, stopped, server);
    result = ringer_watch_fd(machine, server->listener, connected, server);
    if (result == 0 && server->client >= 0) {
        result = ringer_watch_fd(machine, server->client, readable, server);
    }
    if (result == 0 && server->waits) {
        result = ringer_pause(machine);
    }
    return result;
}

void gdb_server_detach(struct gdb_server *server)
{
    if (!server->machine) {
        return;
    }
    ringer_watch_fd(server->machine, server->listener, NULL, NULL);
    if (server->client >= 0) {
        ringer_watch_fd(server->machine, server->client, NULL, NULL);
    }
    gdb_stub_attach(&server->stub, NULL);
    server->machine = NULL;
}

void gdb_server_tell_end(struct gdb_server *server, int status)
{
    if (server->client >= 0) {
        gdb_stub_ended(&server->stub, status);
    }
}
