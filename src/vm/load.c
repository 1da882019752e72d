/* load.c - puts a kernel into a machine's memory and its first CPU at the entry. */
#include <errno.h>
#include <string.h>

#include "vm/image.h"
#include "vm/machine.h"

static bool is_elf(const struct boot_file *file)
{
    return file->size >= 4 && memcmp(file->bytes, "\177ELF", 4) == 0;
}

/* `vmlinux` is the kernel itself, in a bzImage or already taken out of one. */
static enum boot_protocol_id protocol_id(enum ringer_protocol protocol,
                                         const struct boot_file *kernel)
{
    switch (protocol) {
    case RINGER_PROTOCOL_AUTO:
        return BOOT_AUTO;
    case RINGER_PROTOCOL_LINUX:
        return BOOT_LINUX;
    case RINGER_PROTOCOL_VMLINUX:
        return is_elf(kernel) ? BOOT_VMLINUX : BOOT_LINUX;
    case RINGER_PROTOCOL_PVH:
        return BOOT_PVH;
    case RINGER_PROTOCOL_MULTIBOOT:
        return BOOT_MULTIBOOT;
    case RINGER_PROTOCOL_ELF:
        return BOOT_ELF;
    }
    return BOOT_AUTO;
}

static struct segment to_segment(const struct boot_segment *s)
{
    return (struct segment){
        .base = s->base, .limit = s->limit, .selector = s->selector, .attributes = s->attributes};
}

static void enter_at(struct cpu *cpu, const struct boot_entry *entry)
{
    cpu->gpr[RAX] = entry->rax;
    cpu->gpr[RBX] = entry->rbx;
    cpu->gpr[RCX] = entry->rcx;
    cpu->gpr[RDX] = entry->rdx;
    cpu->gpr[RSI] = entry->rsi;
    cpu->gpr[RDI] = entry->rdi;
    cpu->gpr[RBP] = entry->rbp;
    cpu->gpr[RSP] = entry->rsp;
    cpu->rip = entry->rip;
    cpu->mmu.paging.cr0 = entry->cr0;
    cpu->mmu.paging.cr3 = entry->cr3;
    cpu->mmu.paging.cr4 = entry->cr4;
    cpu->mmu.paging.efer = entry->efer;
    cpu->gdtr = (struct table_register){.base = entry->gdt_base, .limit = entry->gdt_limit};
    cpu->idtr = (struct table_register){.base = entry->idt_base, .limit = entry->idt_limit};
    cpu->seg[SEG_CS] = to_segment(&entry->cs);
    cpu->seg[SEG_DS] = to_segment(&entry->ds);
    cpu->seg[SEG_ES] = to_segment(&entry->es);
    cpu->seg[SEG_FS] = to_segment(&entry->fs);
    cpu->seg[SEG_GS] = to_segment(&entry->gs);
    cpu->seg[SEG_SS] = to_segment(&entry->ss);
    cpu->seg[SEG_TR] = to_segment(&entry->tr);
    cpu->seg[SEG_LDTR] = to_segment(&entry->ldt);
    cpu->cpl = 0;
    cpu_set_rflags(cpu, (u32)entry->rflags);
    cpu_update_mode(cpu);
}

static int open_files(struct boot_config *config, const char *kernel_path, const char *initrd_path,
                      struct boot_error *error)
{
    int result;

    if (kernel_path) {
        result = boot_file_open(kernel_path, &config->kernel, error);
    } else {
        config->kernel = (struct boot_file){
            .name = "the built-in guest",
            .bytes = image_hello,
            .size = (u64)(image_hello_end - image_hello),
        };
        result = 0;
    }
    if (result >= 0 && initrd_path) {
        result = boot_file_open(initrd_path, &config->initrd, error);
    }
    return result;
}

int ringer_load(struct ringer *m, enum ringer_protocol protocol, const char *kernel_path,
                const char *initrd_path, const char *command_line)
{
    struct boot_config config = {
        .command_line = command_line,
        .direct = protocol == RINGER_PROTOCOL_VMLINUX,
        .tables = BOOT_TABLES_ALL,
    };
    struct boot_entry entry;
    struct boot_error error = {.text = ""};
    int result, described = 0;

    if (m->was_run) {
        return machine_fail(m, -EBUSY, "the machine has been run already");
    }
    if (made_keep_boot(&m->made, protocol, kernel_path, initrd_path, command_line) < 0) {
        return machine_fail(m, -ENOMEM, "out of memory");
    }
    pc_describe(m, &config.machine);
    result = open_files(&config, kernel_path, initrd_path, &error);
    config.protocol = protocol_id(protocol, &config.kernel);
    if (result >= 0) {
        result = boot_load(&config, &m->vm->mem, &entry, &error);
    }
    if (result >= 0) {
        described = input_describe(m, config.kernel.bytes, config.kernel.size, config.initrd.bytes,
                                   config.initrd.size, command_line);
    }
    if (kernel_path) {
        boot_file_close(&config.kernel);
    }
    boot_file_close(&config.initrd);
    if (result < 0) {
        m->loaded = false;
        return machine_fail(m, result, "%s", error.text);
    }
    if (described < 0) {
        return described;
    }
    enter_at(&m->vm->cpus[0], &entry);
    for (unsigned i = 0; i < m->vm->cpu_count; i++) {
        atomic_store(&m->vm->controls[i].flush, 1);
    }
    m->loaded = true;
    return 0;
}
