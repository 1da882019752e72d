/*
 * transfers64.c - far transfers in long mode: all of transfers.h, and then what they leave.
 */
#include "transfers.h"

void guest_main(void)
{
    open_pages_to_user();
    transfers_init();
    check_transfers();
}
