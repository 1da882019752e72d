/*
 * boot.h - puts a kernel, its initrd and the firmware's tables into RAM, and says how the first
 * CPU starts.
 *
 * Nothing here knows struct cpu: the result is plain data, which the VM copies into the CPU.  The
 * files' contents are untrusted; every number out of them is checked before it is used, and what is
 * wrong ends in one line that names the file.
 */
#ifndef BOOT_BOOT_H
#define BOOT_BOOT_H

#include "base/types.h"
#include "mem/mem.h"

/* A file's contents.  Borrowed: whoever made it keeps it alive until boot_load() returns. */
struct boot_file {
    const char *name; /* for messages */
    const u8 *bytes;
    u64 size;                 /* 0: there is no such file */
    const char *command_line; /* of a module; NULL for none */
};

/* One line, without a newline: "initrd.img: 700 MiB do not fit in 512 MiB of memory". */
struct boot_error {
    char text[512];
};

/* A file larger than this is no kernel and no initrd. */
#define BOOT_FILE_MAX (4ull << 30)

/* Read the whole file at path into memory of its own.  0; or -errno, with *error filled in and
 * *file empty.  An empty file, a directory and one larger than BOOT_FILE_MAX are errors.  path is
 * borrowed as the file's name.  boot_file_close() frees; closing an empty struct is harmless. */
int boot_file_open(const char *path, struct boot_file *file, struct boot_error *error);
void boot_file_close(struct boot_file *file);

/* What the tables tell the guest about its machine. */
struct boot_machine {
    unsigned cpu_count;       /* APIC ids are 0 to cpu_count - 1 */
    u32 lapic_base;           /* physical address of the local APICs */
    u32 ioapic_base;          /* physical address of the IOAPIC; its pins are GSI 0 upwards */
    u8 ioapic_id;             /* its APIC id */
    u8 ioapic_pins;           /* how many */
    u8 sci_irq;               /* the ACPI interrupt, level, active high */
    u8 s5_type;               /* SLP_TYP that powers off */
    u16 pm1_event_port;       /* PM1a_EVT_BLK, 4 bytes */
    u16 pm1_control_port;     /* PM1a_CNT_BLK, 2 bytes */
    u16 pm_timer_port;        /* PM_TMR_BLK, 4 bytes */
    bool pm_timer_32bit;      /* the timer counts 32 bits; else 24 */
    u16 gpe0_port;            /* GPE0_BLK; 0 for none */
    u8 gpe0_size;             /* in bytes */
    u16 reset_port;           /* RESET_REG */
    u8 reset_value;           /* what written there resets */
    u16 serial_ports[2];      /* COM1, COM2; 0 for none */
    bool vga;                 /* a VGA, in text mode 3 */
    bool keyboard_controller; /* an i8042 answers at ports 0x60 and 0x64 */
    bool mouse;               /* and has a PS/2 mouse */
    bool pci;                 /* a PCI host bridge, where mem/mem.h says */
    u8 pci_gsi;               /* INTA# to INTD# of slot 0 are this pin of the IOAPIC and the next */
    u8 pci_irqs[4];           /* and these inputs of the 8259s; level-triggered */
};

/* A PC with one CPU: ports as in DESIGN, local APIC at 0xfee00000, IOAPIC at 0xfec00000. */
extern const struct boot_machine boot_machine_pc;

enum boot_protocol_id {
    BOOT_AUTO, /* the first one in the table of boot.c whose probe knows the file */
    BOOT_LINUX,
    BOOT_MULTIBOOT,
    BOOT_PVH,
    BOOT_VMLINUX,
    BOOT_ELF,
};

/* Which tables are written; the E820 map is part of the protocols and always is. */
enum {
    BOOT_TABLE_BIOS = 1 << 0, /* interrupt vectors, BIOS data area, EBDA */
    BOOT_TABLE_ACPI = 1 << 1,
    BOOT_TABLE_MP = 1 << 2, /* Intel MultiProcessor Specification 1.4 */
    BOOT_TABLES_ALL = BOOT_TABLE_BIOS | BOOT_TABLE_ACPI | BOOT_TABLE_MP,
};

struct boot_config {
    struct boot_file kernel;
    struct boot_file initrd;
    const struct boot_file *modules; /* more of them, after the initrd: Multiboot, PVH, ELF */
    unsigned module_count;
    const char *command_line; /* NULL is as good as "" */
    enum boot_protocol_id protocol;
    bool direct;     /* bzImage: take the vmlinux out here, and enter that */
    unsigned tables; /* BOOT_TABLE_* */
    struct boot_machine machine;
};

enum boot_mode {
    BOOT_REAL,      /* 16-bit, CR0.PE clear */
    BOOT_PROTECTED, /* flat 32-bit, no paging */
    BOOT_LONG,      /* 64-bit, the first 4 GiB mapped to themselves */
};

/* A segment register with its hidden part.  attributes are bits 8 to 23 of the descriptor's second
 * doubleword, without the limit in the middle: 0-3 type, 4 S, 5-6 DPL, 7 P, 12 AVL, 13 L, 14 D/B,
 * 15 G.  limit is in bytes, whatever G says. */
struct boot_segment {
    u64 base;
    u32 limit;
    u16 selector;
    u16 attributes;
};

/* The first CPU's state at its first instruction.  What is not here is as after reset (SDM vol. 3A,
 * table "IA-32 and Intel 64 Processor States Following Power-up, Reset, or INIT"), but the
 * remaining general registers are 0. */
struct boot_entry {
    const char *protocol; /* its name, for messages */
    enum boot_mode mode;
    u64 rip, rflags;
    u64 rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp;
    u64 cr0, cr3, cr4, efer;
    u64 gdt_base, idt_base;
    u16 gdt_limit, idt_limit;
    struct boot_segment cs, ds, es, fs, gs, ss, tr, ldt;
};

/* Load everything that config names into mem, write the tables, fill in *entry.  0; or -errno with
 * *error filled in, and then RAM's contents are undefined.  RAM need not be zero before. */
int boot_load(const struct boot_config *config, const struct mem *mem, struct boot_entry *entry,
              struct boot_error *error);

/* Write only the tables (for firmware, or after a reset).  As boot_load(). */
int boot_tables_write(const struct boot_config *config, const struct mem *mem,
                      struct boot_error *error);

#endif
