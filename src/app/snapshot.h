/* snapshot.h - `ringer snapshot`. */
#ifndef APP_SNAPSHOT_H
#define APP_SNAPSHOT_H

/* argv[0] is "snapshot".  Returns the exit status. */
int snapshot_main(int argc, char **argv);

#endif
