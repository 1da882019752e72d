/* control.c - the monitor's commands by a socket. */
#define _GNU_SOURCE

#include "app/control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/socket.h"

static void connected(void *context);
static void readable(void *context);

/* While there is a client nobody else is let in; while a command is under way, none is read. */
static void watch(struct control *control)
{
    if (!control->machine) {
        return;
    }
    if (control->client < 0) {
        ringer_watch_fd(control->machine, control->listener, connected, control);
    } else {
        ringer_watch_fd(control->machine, control->listener, NULL, NULL);
        ringer_watch_fd(control->machine, control->client, control->monitor.waits ? NULL : readable,
                        control);
    }
}

static void hang_up(struct control *control)
{
    if (control->client >= 0) {
        if (control->machine) {
            ringer_watch_fd(control->machine, control->client, NULL, NULL);
        }
        close(control->client);
        control->client = -1;
    }
    control->length = 0;
    watch(control);
}

/* What the monitor says is for a raw terminal: "\r\n" ends its lines. */
static void output(void *context, const void *bytes, size_t size)
{
    struct control *control = context;
    char text[512];
    size_t length = 0;
    for (size_t i = 0; i < size; i++) {
        char c = ((const char *)bytes)[i];
        if (c != '\r') {
            text[length++] = c;
        }
        if (length == sizeof(text) || (i + 1 == size && length > 0)) {
            if (control->client >= 0 && !socket_send(control->client, text, length)) {
                shutdown(control->client, SHUT_RDWR); /* hung up once that is read */
            }
            length = 0;
        }
    }
}

static void answer(struct control *control)
{
    const char *text = control->monitor.failed ? "failed\r\n" : "ok\r\n";
    output(control, text, strlen(text));
}

static void take_lines(struct control *control);

/* A command that took its time has ended: go on with what has come meanwhile. */
static void ready(void *context)
{
    struct control *control = context;
    answer(control);
    take_lines(control);
    watch(control);
}

static void execute(struct control *control, const char *line, size_t length)
{
    struct monitor *monitor = &control->monitor;
    memcpy(monitor->line, line, length);
    monitor->line[length] = 0;
    if (length > 0 && line[length - 1] == '\r') {
        monitor->line[length - 1] = 0;
    }
    if (monitor_execute(monitor)) {
        control->quit = true;
        ringer_stop(control->machine);
    }
    if (!monitor->waits) {
        answer(control);
    }
}

/* Whole lines, as long as no command is under way. */
static void take_lines(struct control *control)
{
    char *end;
    while (!control->monitor.waits &&
           (end = memchr(control->line, '\n', control->length)) != NULL) {
        size_t length = (size_t)(end - control->line);
        char line[MONITOR_LINE];
        memcpy(line, control->line, length);
        control->length -= length + 1;
        memmove(control->line, end + 1, control->length);
        execute(control, line, length);
    }
}

static void readable(void *context)
{
    struct control *control = context;
    size_t room = sizeof(control->line) - 1 - control->length;
    ssize_t count = read(control->client, control->line + control->length, room);
    if (count <= 0) {
        if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
            hang_up(control);
        }
        return;
    }
    control->length += (size_t)count;
    take_lines(control);
    if (control->length == sizeof(control->line) - 1 && !control->monitor.waits) {
        static const char text[] = "that line is too long\r\nfailed\r\n";
        output(control, text, sizeof(text) - 1);
        hang_up(control);
        return;
    }
    watch(control);
}

static void connected(void *context)
{
    struct control *control = context;
    control->client = accept4(control->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    watch(control);
}

bool control_open(struct control *control, const char *path, char *error, size_t error_size)
{
    *control = (struct control){.path = path, .listener = -1, .client = -1};
    monitor_init(&control->monitor, output, control);
    control->monitor.ready = ready;
    control->listener = socket_listen(path);
    if (control->listener < 0) {
        snprintf(error, error_size, "--control: cannot listen at '%s': %s", path, strerror(errno));
        return false;
    }
    return true;
}

void control_close(struct control *control)
{
    hang_up(control);
    if (control->listener >= 0) {
        close(control->listener);
        unlink(control->path);
        control->listener = -1;
    }
}

void control_attach(struct control *control, struct ringer *machine)
{
    control->machine = control->monitor.machine = machine;
    watch(control);
}

void control_detach(struct control *control)
{
    if (control->machine) {
        ringer_watch_fd(control->machine, control->listener, NULL, NULL);
        if (control->client >= 0) {
            ringer_watch_fd(control->machine, control->client, NULL, NULL);
        }
        control->machine = control->monitor.machine = NULL;
    }
}
