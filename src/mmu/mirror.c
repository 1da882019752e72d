/* mirror.c - guest pages at their own addresses: mirror.h tells what and why. */
#include "mmu/mirror.h"

#include "base/bits.h"
#include "base/string.h"
#include "isa/control.h"

void mirror_init(struct mirror *m, const struct mem *mem, const struct mirror_host *host)
{
    memset(m, 0, sizeof(*m));
    m->mem = mem;
    m->host = *host;
}

static void drop(struct mirror *m, struct mirror_piece *p)
{
    m->host.unmap(m->host.context, p->gva, p->gva + p->size);
    piece_remove(&m->pieces, p);
    m->stats.drops++;
}

/* Drop what overlaps a piece that is to be. */
static void drop_overlapping(struct mirror *m, gva_t gva, u64 size)
{
    struct mirror_piece *p;

    while ((p = piece_overlapping(&m->pieces, gva, size))) {
        drop(m, p);
    }
}

static void add(struct mirror *m, const struct mirror_piece *piece)
{
    if (m->pieces.count == PIECES) {
        drop(m, piece_oldest(&m->pieces));
    }
    piece_add(&m->pieces, piece);
}

/* ------------------------------------------------------------------ filling */

struct miss {
    struct mirror *m;
    const struct paging *paging;
    unsigned access, rights;
    gva_t gva; /* of the page */
    struct walk walk;
};

/* What the page at gva may be mapped with; 0: not at all. */
static unsigned rights_of(const struct miss *x, const struct walk *walk)
{
    const struct mem *mem = x->m->mem;

    if (x->access & ACCESS_FETCH) {
        return walk->executable && x->m->host.copy_of_code ? MIRROR_READ | MIRROR_EXECUTE : 0;
    }
    if ((x->access & ACCESS_WRITE) && !(x->access & ACCESS_PEEK) && mem_has_code(mem, walk->gpa)) {
        x->m->host.let_go(x->m->host.context, walk->gpa);
    }
    bool writable = walk->writable && !mem_has_code(mem, walk->gpa);
    if ((x->access & ACCESS_WRITE) && !writable) {
        return 0;
    }
    return MIRROR_READ | (writable ? MIRROR_WRITE : 0);
}

/* Could the page at gva, of the same run, be mapped in one piece with the one that was missed?
 * Only if it has been accessed already: looking around sets no bits. */
static bool continues(const struct miss *x, gva_t gva)
{
    struct walk walk;
    u32 error;
    unsigned access = (x->access & ~ACCESS_WRITE) | ACCESS_PEEK;

    return mirror_is_mappable(x->m, gva, PAGE_SIZE) && !piece_find(&x->m->pieces, gva) &&
           mmu_walk(x->m->mem, x->paging, gva, access, &walk, &error) && walk.accessed &&
           walk.user == x->walk.user && walk.gpa - gva == x->walk.gpa - x->gva &&
           mem_offset(x->m->mem, walk.gpa) >= 0 &&
           (!(x->rights & MIRROR_WRITE) || (walk.writable && !mem_has_code(x->m->mem, walk.gpa))) &&
           (!(x->rights & MIRROR_EXECUTE) || walk.executable);
}

/* Extend a piece over the small pages around, within an aligned PIECE_RUN_BYTES. */
static void extend(const struct miss *x, struct mirror_piece *piece)
{
    gva_t start = x->gva & ~(PIECE_RUN_BYTES - 1), end = start + PIECE_RUN_BYTES;
    gva_t first = piece->gva, last = piece->gva + PAGE_SIZE;

    while (last < end && continues(x, last)) {
        last += PAGE_SIZE;
    }
    while (first > start && continues(x, first - PAGE_SIZE)) {
        first -= PAGE_SIZE;
    }
    piece->offset -= piece->gva - first;
    piece->hva -= piece->gva - first;
    piece->gva = first;
    piece->size = (u32)(last - first);
}

/* The copy that is executed at gva, or NULL. */
static const u8 *executed_at(struct mirror *m, gva_t gva)
{
    const struct mirror_piece *p = piece_find(&m->pieces, gva);

    return p && p->rights & MIRROR_EXECUTE ? p->hva + (gva - p->gva) : NULL;
}

static bool may_join(const struct mirror *m, const u8 *page, const u8 *next)
{
    return !page || !next || m->host.may_join(m->host.context, page, next);
}

/* The copy of the page at gva, if it may be executed there between what is mapped around. */
static const u8 *code_at(const struct miss *x, gva_t gva)
{
    const struct mirror_host *host = &x->m->host;
    const u8 *copy = NULL;

    if (gva == x->gva || continues(x, gva)) {
        copy = host->copy_of_code(host->context, gva, x->walk.gpa + (gva - x->gva));
    }
    return copy && may_join(x->m, executed_at(x->m, gva - PAGE_SIZE), copy) &&
                   may_join(x->m, copy, executed_at(x->m, gva + PAGE_SIZE))
               ? copy
               : NULL;
}

/* A piece of code: pages around the one that was missed, as long as their copies follow one
 * another, too.  False: that page may not be executed. */
static bool gather_code(const struct miss *x, struct mirror_piece *piece)
{
    gva_t start = x->gva & ~(PIECE_RUN_BYTES - 1), end = start + PIECE_RUN_BYTES;

    piece->size = 0;
    for (gva_t gva = start; gva < end; gva += PAGE_SIZE) {
        const u8 *copy = code_at(x, gva);
        if (copy && piece->size && copy == piece->hva + piece->size &&
            may_join(x->m, copy - PAGE_SIZE, copy)) {
            piece->size += PAGE_SIZE;
        } else if (gva > x->gva) {
            break;
        } else { /* what there was is apart from the page that was missed */
            piece->gva = gva;
            piece->offset = (u64)mem_offset(x->m->mem, x->walk.gpa) - (x->gva - gva);
            piece->hva = copy;
            piece->size = copy ? PAGE_SIZE : 0;
        }
    }
    return piece->size != 0;
}

/* The 2 MiB around a page of a large page, if all of it may be mapped alike: there is no code in
 * it, which would want pieces of its own. */
static bool take_large(const struct miss *x, struct mirror_piece *piece)
{
    const struct mem *mem = x->m->mem;
    u64 size = PIECE_LARGE_BYTES, mask = size - 1;
    gpa_t gpa = x->walk.gpa & ~mask;

    if (x->walk.page_size < size || ((x->walk.gpa ^ x->gva) & mask) ||
        !mirror_is_mappable(x->m, x->gva & ~mask, size) || !mem_range(mem, gpa, size)) {
        return false;
    }
    u64 offset = (u64)mem_offset(mem, gpa);
    for (u64 i = 0; i < size >> PAGE_SHIFT; i++) {
        if (mem->code_holders[(offset >> PAGE_SHIFT) + i]) {
            return false;
        }
    }
    piece->gva = x->gva & ~mask;
    piece->offset = offset;
    piece->hva = mem->base + offset;
    piece->size = (u32)size;
    return true;
}

/* What is to be mapped for a miss.  False: nothing can be. */
static bool choose_piece(const struct miss *x, struct mirror_piece *piece)
{
    if (!(x->rights & MIRROR_EXECUTE) && take_large(x, piece)) {
        return true;
    }
    drop_overlapping(x->m, x->gva, PAGE_SIZE);
    if (x->rights & MIRROR_EXECUTE) {
        return gather_code(x, piece);
    }
    extend(x, piece);
    return true;
}

static enum mirror_result refuse(struct mirror *m)
{
    m->stats.refusals++;
    return MIRROR_REFUSED;
}

/* Map a piece for x, which has been walked. */
static enum mirror_result fill(struct miss *x)
{
    struct mirror *m = x->m;

    x->walk.gpa &= PAGE_MASK;
    s64 offset = mem_offset(m->mem, x->walk.gpa);
    if (offset < 0 || !mirror_is_mappable(m, x->gva, PAGE_SIZE)) {
        return refuse(m);
    }
    x->rights = rights_of(x, &x->walk);
    if (!x->rights) {
        return refuse(m);
    }
    struct mirror_piece piece = {
        .gva = x->gva,
        .offset = (u64)offset,
        .hva = m->mem->base + offset,
        .size = PAGE_SIZE,
        .rights = (u8)x->rights,
        .user = x->walk.user,
    };
    if (!choose_piece(x, &piece)) {
        return refuse(m);
    }
    drop_overlapping(m, piece.gva, piece.size);
    if (!m->host.map(m->host.context, piece.gva, piece.size, piece.hva, piece.rights)) {
        return refuse(m);
    }
    m->filled = *x->paging;
    add(m, &piece);
    m->stats.fills++;
    return MIRROR_FILLED;
}

enum mirror_result mirror_fill(struct mirror *m, const struct paging *paging, gva_t gva,
                               unsigned access, u32 *error)
{
    struct miss x = {.m = m, .paging = paging, .access = access, .gva = gva & PAGE_MASK};

    return mmu_walk(m->mem, paging, gva, access, &x.walk, error) ? fill(&x) : MIRROR_FAULT;
}

/* ------------------------------------------------------------------ dropping */

void mirror_drop(struct mirror *m, gva_t gva)
{
    struct mirror_piece *p = piece_find(&m->pieces, gva);

    if (p) {
        drop(m, p);
    }
}

void mirror_flush(struct mirror *m)
{
    m->flush_wanted = true;
}

void mirror_flush_all(struct mirror *m)
{
    m->flush_wanted = m->flush_all = true;
}

/* ------------------------------------------------------------------ spaces that come back */

static struct mirror_past *past_of(struct mirror *m, const struct paging *paging)
{
    u64 page = paging->cr3 >> PAGE_SHIFT;

    return &m->past[page % MIRROR_PASTS];
}

static void note_past(struct mirror *m)
{
    struct mirror_past *past = past_of(m, &m->filled);

    past->root = m->filled.cr3 & PAGE_MASK;
    past->count = 0;
    for (struct mirror_piece *p = piece_newest(&m->pieces); p && past->count < MIRROR_PAST_PIECES;
         p = piece_older(&m->pieces, p)) {
        past->piece[past->count].gva = p->gva;
        past->piece[past->count++].access = (p->rights & MIRROR_WRITE ? ACCESS_WRITE : 0) |
                                            (p->rights & MIRROR_EXECUTE ? ACCESS_FETCH : 0) |
                                            (p->user ? ACCESS_USER : 0);
    }
}

/* What it had is most likely what it wants, and there is no signal for each.  No bits are set: what
 * has not been accessed since the guest cleared them has to be missed first. */
static void recall(struct mirror *m, const struct paging *paging)
{
    const struct mirror_past *past = past_of(m, paging);

    for (u32 i = past->root == (paging->cr3 & PAGE_MASK) ? past->count : 0; i > 0; i--) {
        unsigned access = past->piece[i - 1].access | ACCESS_PEEK;
        struct miss x = {.m = m, .paging = paging, .access = access, .gva = past->piece[i - 1].gva};
        u32 error;
        if (!piece_find(&m->pieces, x.gva) &&
            mmu_walk(m->mem, paging, x.gva, access & ~ACCESS_WRITE, &x.walk, &error) &&
            x.walk.accessed && fill(&x) == MIRROR_FILLED) {
            m->stats.recalled++;
        }
    }
}

/* ------------------------------------------------------------------ flushes */

static void drop_everything(struct mirror *m)
{
    const struct mirror_host *host = &m->host;
    bool at_once = host->unmap(host->context, 0, host->hidden_start) &&
                   host->unmap(host->context, host->hidden_end, host->end);

    if (at_once) {
        m->stats.drops += m->pieces.count;
        piece_remove_all(&m->pieces);
    }
    while (m->pieces.count) {
        drop(m, piece_oldest(&m->pieces));
    }
}

/* Would a piece be made the same way again?  Its accessed and dirty bits must still be set: the
 * guest may have cleared them to see whether it is used. */
static bool is_current(const struct mirror *m, const struct paging *paging,
                       const struct mirror_piece *p)
{
    unsigned access =
        ACCESS_PEEK | (p->user ? ACCESS_USER : 0) | (p->rights & MIRROR_EXECUTE ? ACCESS_FETCH : 0);

    for (u64 at = 0; at < p->size;) {
        struct walk walk;
        u32 error;
        if (!mmu_walk(m->mem, paging, p->gva + at, access, &walk, &error) || !walk.accessed ||
            walk.user != p->user || mem_offset(m->mem, walk.gpa) != (s64)(p->offset + at) ||
            ((p->rights & MIRROR_WRITE) && (!walk.writable || mem_has_code(m->mem, walk.gpa)))) {
            return false;
        }
        at += walk.page_size < PIECE_LARGE_BYTES ? PAGE_SIZE : PIECE_LARGE_BYTES;
    }
    return true;
}

static void drop_stale(struct mirror *m, const struct paging *paging)
{
    for (struct mirror_piece *p = piece_oldest(&m->pieces), *newer; p; p = newer) {
        newer = piece_newer(&m->pieces, p);
        if (is_current(m, paging, p)) {
            m->stats.kept++;
        } else {
            drop(m, p);
        }
    }
}

/* The lower bits of CR3 are cacheability, or a PCID: the guest may give a space another one. */
static bool same_space(const struct paging *a, const struct paging *b)
{
    return a->cr0 == b->cr0 && (a->cr3 ^ b->cr3) < PAGE_SIZE && a->cr4 == b->cr4 &&
           a->efer == b->efer && a->a20_off == b->a20_off &&
           memcmp(a->pdpte, b->pdpte, sizeof(a->pdpte)) == 0;
}

void mirror_enter(struct mirror *m, const struct paging *paging)
{
    bool all = m->flush_all;

    if (likely(!m->flush_wanted)) {
        return;
    }
    m->stats.flushes++;
    m->flush_wanted = m->flush_all = false;
    if (!all && same_space(&m->filled, paging)) {
        drop_stale(m, paging);
        return;
    }
    if (m->pieces.count && !all) {
        note_past(m);
    }
    if (m->pieces.count) {
        drop_everything(m);
    }
    m->filled = *paging;
    if (m->user_only && !all) {
        recall(m, paging);
    }
}

void mirror_revoke(struct mirror *m, gpa_t gpa, unsigned rights)
{
    u64 offset = (u64)mem_offset(m->mem, gpa & PAGE_MASK);
    struct mirror_piece *p;

    while ((p = piece_showing(&m->pieces, offset, rights))) {
        drop(m, p);
    }
}
