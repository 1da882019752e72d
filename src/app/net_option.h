/* net_option.h - the argument of --net. */
#ifndef APP_NET_OPTION_H
#define APP_NET_OPTION_H

#include <ringer/ringer.h>

/* Fill in *device from "user[,NAME=VALUE]..." or "passt[,NAME=VALUE]...".  The strings are new and
 * live as long as the process.  False, with a line in error, where it is wrong. */
bool net_option_parse(struct ringer_device *device, const char *value, char *error,
                      size_t error_size);

#endif
