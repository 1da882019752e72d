/* disk_option.h - the argument of --disk. */
#ifndef APP_DISK_OPTION_H
#define APP_DISK_OPTION_H

#include <ringer/ringer.h>

/* Fill in *device from "SOURCE[,ro][,format=NAME][,queues=N][,serial=TEXT]".  Only what is known is
 * cut off the end, so that SOURCE may have commas.  The strings are new and live as long as the
 * process.  False, with a line in error, where it is wrong. */
bool disk_option_parse(struct ringer_device *device, const char *value, char *error,
                       size_t error_size);

#endif
