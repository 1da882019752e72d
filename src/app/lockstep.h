/* lockstep.h - `ringer lockstep`. */
#ifndef APP_LOCKSTEP_H
#define APP_LOCKSTEP_H

/* argv[0] is "lockstep".  Returns the exit status: STATUS_DIFFERENT where the engines differ. */
int lockstep_main(int argc, char **argv);

#endif
