/* monitor_snapshot.c - the monitor's command snapshot. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "app/monitor_commands.h"

static void progress(void *context, uint64_t done_bytes, uint64_t all_bytes)
{
    struct monitor *monitor = context;
    time_t now = time(NULL);
    char text[96];
    if (now - monitor->told < 2) {
        return;
    }
    monitor->told = now;
    snprintf(text, sizeof(text), "snapshot: %u%% of %llu MiB of memory\r\n",
             (unsigned)(done_bytes * 100 / all_bytes), (unsigned long long)(all_bytes >> 20));
    monitor_say(monitor, text);
}

static void done(void *context, int error, const char *line)
{
    if (error) {
        monitor_say(context, line);
        monitor_say(context, "\r\n");
    }
    monitor_ready(context, error == 0);
}

bool monitor_snapshot(struct monitor *monitor)
{
    struct ringer_snapshot_order order = {.progress = progress, .done = done, .context = monitor};
    const char *directory = monitor->argument;
    if (!strncmp(directory, "-f ", 3)) {
        order.replace = true;
        directory += 3 + strspn(directory + 3, " \t");
    }
    if (!*directory) {
        monitor_say(monitor,
                    "write snapshot and a directory's name; -f before it replaces one\r\n");
        monitor->failed = true;
        return false;
    }
    monitor->told = time(NULL);
    monitor->waits = true;
    if (ringer_snapshot_take(monitor->machine, directory, &order) < 0) {
        monitor->waits = false;
        monitor->failed = true;
        monitor_say(monitor, ringer_error(monitor->machine));
        monitor_say(monitor, "\r\n");
    }
    return false;
}
