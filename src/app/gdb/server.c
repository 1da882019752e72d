/* server.c - the debugger's door; see server.h. */
#define _GNU_SOURCE

#include "app/gdb/server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/gdb/breakpoints.h"
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

static void on_back(void *context, bool step)
{
    struct gdb_server *server = context;

    server->wanted = step ? GDB_BACK_A_STEP : GDB_BACK_TO_A_STOP;
    ringer_stop(server->machine); /* gdb_server_run() goes on with it */
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

/* ------------------------------------------------------------------ going back */

/* While the machine is on its way back nothing is heard of the client but a Ctrl-C. */
static void travelling(void *context)
{
    struct gdb_server *server = context;
    uint8_t byte;
    ssize_t count = recv(server->client, &byte, 1, MSG_DONTWAIT);

    if ((count == 1 && byte == 0x03) || count == 0) {
        gdb_travel_cancel(&server->travel); /* readable() will find that it has gone */
    }
}

/* Takes the machine to an instruction, without a stop on the way, and pauses it there. */
static int arrive(struct gdb_server *server, uint64_t instructions)
{
    gdb_breakpoints_withdraw(&server->stub);
    int error = gdb_travel_to(&server->travel, instructions);
    gdb_breakpoints_renew(&server->stub);
    return error < 0 ? error : ringer_pause(server->machine);
}

static int step_back(struct gdb_server *server)
{
    struct gdb_travel *t = &server->travel;
    uint64_t here = gdb_travel_position(t);
    bool begin = here <= gdb_travel_start(t);
    int error = arrive(server, begin ? here : here - 1);

    if (error == 0) {
        gdb_stub_tell(&server->stub, 0, t->cancelled ? "02" : begin ? "05replaylog:begin;" : "05");
    }
    return error;
}

static int back_to_a_stop(struct gdb_server *server)
{
    struct gdb_travel *t = &server->travel;
    int error = gdb_travel_search(t, gdb_travel_position(t));

    ringer_on_stop(server->machine, stopped, server);
    if (error == 0 && t->cancelled) { /* wherever it is */
        error = ringer_pause(server->machine);
    } else if (error == 0) {
        error = arrive(server, t->found ? t->last.instructions : gdb_travel_start(t));
    }
    if (error < 0) {
        return error;
    }
    if (t->cancelled) {
        gdb_stub_tell(&server->stub, 0, "02");
    } else if (t->found) {
        gdb_stub_stopped(&server->stub, &t->last);
    } else {
        gdb_stub_tell(&server->stub, 0, "05replaylog:begin;");
    }
    return 0;
}

/* The replay has ended: history ends before its last instruction. */
static int back_from_the_end(struct gdb_server *server)
{
    uint64_t here = gdb_travel_position(&server->travel);
    int error = arrive(server, here > 0 ? here - 1 : 0);

    if (error == 0) {
        gdb_stub_tell(&server->stub, 0, "05replaylog:end;");
    }
    return error;
}

static void journey(struct gdb_server *server, int (*go)(struct gdb_server *))
{
    server->wanted = GDB_FORWARD;
    server->travel.cancelled = false;
    ringer_watch_fd(server->machine, server->listener, NULL, NULL); /* the next one has to wait */
    ringer_watch_fd(server->machine, server->client, travelling, server);
    int error = go(server);
    ringer_watch_fd(server->machine, server->client, readable, server);
    ringer_watch_fd(server->machine, server->listener, connected, server);
    if (error < 0) {
        ringer_pause(server->machine);
        gdb_stub_fail(&server->stub, error);
    }
}

/* May what ended the run be taken back for a client that waits for a stop? */
static bool is_end_of_history(const struct gdb_server *server, const struct ringer_exit *end)
{
    return server->client >= 0 && server->stub.waits && end->reason != RINGER_EXIT_RESET &&
           end->reason != RINGER_EXIT_STOPPED && end->reason != RINGER_EXIT_FAILURE;
}

int gdb_server_run(struct gdb_server *server, struct ringer_exit *end)
{
    if (!server->host.back) {
        return ringer_run(server->machine, end);
    }
    for (;;) {
        int result = ringer_run_until(server->machine, gdb_travel_next(&server->travel), end);
        if (result < 0) {
            return result;
        }
        if (server->quit || server->wants_end(server->wants_end_context)) {
            return 0;
        }
        if (end->reason == RINGER_EXIT_COUNT) {
            gdb_travel_pass(&server->travel); /* if there is no memory for it, then not */
        } else if (server->wanted != GDB_FORWARD && !(server->client >= 0 && server->stub.waits)) {
            server->wanted = GDB_FORWARD;
        } else if (server->wanted != GDB_FORWARD) {
            journey(server, server->wanted == GDB_BACK_A_STEP ? step_back : back_to_a_stop);
        } else if (is_end_of_history(server, end)) {
            journey(server, back_from_the_end);
        } else {
            return 0;
        }
    }
}

/* ------------------------------------------------------------------ life */

struct gdb_server *gdb_server_create(const struct gdb_place *place, const char *kernel, bool replay,
                                     char *error, size_t error_size)
{
    struct gdb_server *server = calloc(1, sizeof(*server));

    if (!server) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    server->client = -1;
    server->waits = place->wait;
    server->replay = replay;
    server->kernel = kernel;
    server->host = (struct gdb_host){
        .send = send_bytes, .kill = on_kill, .detach = on_detach, .context = server};
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
    server->host.back = NULL;
    if (server->replay && gdb_travel_begin(&server->travel, machine) < 0) {
        fprintf(stderr, "ringer: gdb cannot go back: %s\r\n", ringer_error(machine));
    } else if (server->replay) {
        server->host.back = on_back;
    }
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
    gdb_travel_end(&server->travel);
    gdb_stub_attach(&server->stub, NULL);
    server->machine = NULL;
}

void gdb_server_tell_end(struct gdb_server *server, int status)
{
    if (server->client >= 0) {
        gdb_stub_ended(&server->stub, status);
    }
}
