/* monitor_commands.h - the monitor's commands that lie in other files than its own. */
#ifndef APP_MONITOR_COMMANDS_H
#define APP_MONITOR_COMMANDS_H

#include "app/monitor.h"

/* To the user's terminal, which is raw: a line ends with "\r\n". */
void monitor_say(struct monitor *monitor, const char *text);

/* A line that comes while the user may be typing, who then finds the line as it was. */
void monitor_interrupt(struct monitor *monitor, const char *text);

/* As all commands: true would end the machine. */
bool monitor_balloon(struct monitor *monitor);
bool monitor_info_balloon(struct monitor *monitor);
bool monitor_network(struct monitor *monitor);
bool monitor_snapshot(struct monitor *monitor);
bool monitor_screen(struct monitor *monitor);
bool monitor_type(struct monitor *monitor);
bool monitor_key(struct monitor *monitor);

#endif
