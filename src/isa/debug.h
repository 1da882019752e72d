/* debug.h - DR6 and DR7.  Intel SDM vol. 3B, "Debug Registers". */
#ifndef ISA_DEBUG_H
#define ISA_DEBUG_H

#define DR6_B0 (1ull << 0) /* to B3: the breakpoint's condition was met */
#define DR6_B  0xfull
#define DR6_BD (1ull << 13) /* a debug register was accessed with DR7.GD set */
#define DR6_BS (1ull << 14) /* single step */
#define DR6_BT (1ull << 15) /* a task switch to a TSS with its T bit set */

#define DR6_WRITABLE (DR6_B | DR6_BD | DR6_BS | DR6_BT)
#define DR6_ONES     0xffff0ff0ull

#define DR7_ENABLED 0xffull /* L0, G0 to L3, G3 */
#define DR7_GD      (1ull << 13)

#define DR7_WRITABLE 0xffff23ffull
#define DR7_ONES     0x400ull

/* Of breakpoint n: enabled locally or globally; what it waits for; its length. */
#define DR7_L_G(n)       (3ull << (2 * (n)))
#define DR7_RW_SHIFT(n)  (16 + 4 * (n))
#define DR7_LEN_SHIFT(n) (18 + 4 * (n))

enum { DR7_RW_EXECUTE, DR7_RW_WRITE, DR7_RW_IO, DR7_RW_ACCESS };

#endif
