/* sensitive32.c - sensitive.c in 32-bit code, which has one more such instruction: PUSH CS. */
#include "sensitive.c"
