/* class.c - names of Popek and Goldberg's classes. */
#include "isa/insn.h"

const char *insn_class_name(enum insn_class class)
{
    switch (class) {
    case CLASS_INNOCUOUS:
        return "innocuous";
    case CLASS_PRIVILEGED:
        return "privileged";
    case CLASS_CONTROL_SENSITIVE:
        return "control-sensitive";
    case CLASS_LOCATION_SENSITIVE:
        return "location-sensitive";
    case CLASS_MODE_SENSITIVE:
        return "mode-sensitive";
    case CLASS_IO_PRIVILEGED:
        return "privileged by IOPL";
    }
    return "unknown";
}
