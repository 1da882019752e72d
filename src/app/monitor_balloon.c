/* monitor_balloon.c - the monitor's commands for the guest's memory: balloon N, info balloon. */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>

#include "app/monitor_commands.h"

#define MIB(bytes) ((bytes) >> 20)

static void say_error(struct monitor *monitor)
{
    monitor_say(monitor, ringer_error(monitor->machine));
    monitor_say(monitor, "\r\n");
}

/* The guest has answered, while somebody may be typing. */
static void on_answer(void *context)
{
    struct monitor *monitor = context;
    struct ringer_balloon b;
    char text[200];
    if (!monitor->open || ringer_balloon_get(monitor->machine, &b) < 0 || !b.answered) {
        return;
    }
    snprintf(text, sizeof(text),
             "the guest has %" PRIu64 " MiB free, %" PRIu64 " available of %" PRIu64 "; %" PRIu64
             " in caches; %" PRIu64 " major faults",
             MIB(b.guest_free_bytes), MIB(b.guest_available_bytes), MIB(b.guest_total_bytes),
             MIB(b.guest_cache_bytes), b.guest_major_faults);
    monitor_interrupt(monitor, text);
}

bool monitor_info_balloon(struct monitor *monitor)
{
    struct ringer_balloon b;
    char text[200];
    if (ringer_balloon_get(monitor->machine, &b) < 0) {
        say_error(monitor);
        return false;
    }
    snprintf(text, sizeof(text),
             "balloon: actual=%" PRIu64 " wanted=%" PRIu64 " (MiB); of the host it takes %" PRIu64
             " MiB\r\n",
             MIB(b.actual_bytes), MIB(b.target_bytes), MIB(b.resident_bytes));
    monitor_say(monitor, text);
    ringer_balloon_ask(monitor->machine, on_answer, monitor);
    return false;
}

bool monitor_balloon(struct monitor *monitor)
{
    char *end;
    unsigned long mib = strtoul(monitor->argument, &end, 10);
    if (!isdigit((unsigned char)monitor->argument[0]) || *end || mib > UINT64_MAX >> 20) {
        monitor_say(monitor, "write how many MiB the guest is to keep to: balloon 256\r\n");
    } else if (ringer_balloon_set(monitor->machine, (uint64_t)mib << 20) < 0) {
        say_error(monitor);
    }
    return false;
}
