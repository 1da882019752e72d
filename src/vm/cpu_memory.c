/* cpu_memory.c - RAM that is not there yet: a vCPU process brings the pieces that it needs from the
 * snapshot's file. */
#include <linux/mman.h>

#include "base/string.h"
#include "vm/cpu_process.h"
#include "vm/cpu_syscall.h"
#include "vm/snapshot_memory.h"

void vcpu_map_source(const struct vm *vm)
{
    void *got;

    if (!vm->source.base) {
        return;
    }
    got = sys_mmap((void *)vm->source.base, vm->source.bytes, PROT_READ, MAP_PRIVATE | MAP_FIXED,
                   VCPU_FD_SOURCE, 0);
    if (sys_failed(got)) {
        vcpu_die("cannot map the snapshot's memory", (long)got);
    }
}

/* Others wait for it, and this process is about to end. */
void vcpu_give_up_piece(const struct vcpu_process *p)
{
    if (p->bringing) {
        atomic_store(&p->vm->pieces[p->bringing - 1], MEM_PRESENT);
    }
}

void vcpu_bring(void *context, u64 piece)
{
    struct vcpu_process *p = vcpu_process();
    const struct vm_source *source = &p->vm->source;
    u64 start = piece << p->vm->mem.absence.piece_shift, rest = source->bytes - start;
    u64 size = 1ull << p->vm->mem.absence.piece_shift;
    u8 *to = p->vm->mem.base + start;

    (void)context;
    size = rest < size ? rest : size;
    p->bringing = piece + 1;
    memcpy(to, (const u8 *)source->base + start, size); /* a file cut short: SIGBUS */
    if (memory_piece_digest(to, size) != source->digests[piece]) {
        vcpu_give_up_piece(p);
        sys_exit(VCPU_EXIT_DAMAGED);
    }
    p->bringing = 0;
}
