/*
 * transfers32.c - far transfers in protected mode: all of transfers.h, and then what they leave.
 */
#include "transfers.h"

void guest_main(void)
{
    transfers_init();
    check_transfers();
}
