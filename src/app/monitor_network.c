/* monitor_network.c - the monitor's command "info network". */
#include "app/monitor_commands.h"

struct listing {
    struct monitor *monitor;
    bool any;
};

static void say_line(void *context, const char *line)
{
    struct listing *listing = context;

    listing->any = true;
    monitor_say(listing->monitor, line);
    monitor_say(listing->monitor, "\r\n");
}

bool monitor_network(struct monitor *monitor)
{
    struct listing listing = {.monitor = monitor};

    ringer_network_info(monitor->machine, say_line, &listing);
    if (!listing.any) {
        monitor_say(monitor, "there is no network card\r\n");
    }
    return false;
}
