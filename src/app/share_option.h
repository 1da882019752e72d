/* share_option.h - the argument of --share: DIR[:TAG][,ro]. */
#ifndef APP_SHARE_OPTION_H
#define APP_SHARE_OPTION_H

#include <ringer/ringer.h>
#include <stdbool.h>
#include <stddef.h>

/* Fills *device; its strings live as long as the process.  False with a line for people in error.
 */
bool share_option_parse(struct ringer_device *device, const char *value, char *error,
                        size_t error_size);

#endif
