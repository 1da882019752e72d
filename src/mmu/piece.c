/* piece.c - the pieces of a mirror: piece.h. */
#include "mmu/piece.h"

#include "base/string.h"

#define NONE 0u /* in links, which are an index + 1 */

enum { BY_ADDRESS, BY_MEMORY };

static struct mirror_piece *at(struct piece_table *t, u32 link)
{
    return link == NONE ? NULL : &t->pool[link - 1];
}

static u32 link_to(const struct piece_table *t, const struct mirror_piece *p)
{
    return (u32)(p - t->pool) + 1;
}

/* ------------------------------------------------------------------ buckets */

/* Of the pieces that begin in the run, or in the large page, that place is in. */
static u32 *bucket(struct piece_table *t, unsigned by, u64 place, bool large)
{
    u64 key = large ? ~(place / PIECE_LARGE_BYTES) : place / PIECE_RUN_BYTES;

    return &t->bucket[by][(key * 0x9e3779b97f4a7c15ull >> 40) % PIECE_BUCKETS];
}

static u32 *bucket_of(struct piece_table *t, unsigned by, const struct mirror_piece *p)
{
    return bucket(t, by, by == BY_ADDRESS ? p->gva : p->offset, p->size > PIECE_RUN_BYTES);
}

static void put_in(struct piece_table *t, unsigned by, struct mirror_piece *p)
{
    u32 *first = bucket_of(t, by, p);

    p->next[by] = *first;
    *first = link_to(t, p);
}

static void take_out(struct piece_table *t, unsigned by, const struct mirror_piece *p)
{
    u32 *link = bucket_of(t, by, p);

    while (*link != link_to(t, p)) {
        link = &at(t, *link)->next[by];
    }
    *link = p->next[by];
}

/* ------------------------------------------------------------------ coming and going */

static struct mirror_piece *take_free(struct piece_table *t)
{
    struct mirror_piece *p = at(t, t->free);

    if (!p) {
        return &t->pool[t->used++];
    }
    t->free = p->next[0];
    return p;
}

void piece_add(struct piece_table *t, const struct mirror_piece *piece)
{
    struct mirror_piece *p = take_free(t);
    u32 link = link_to(t, p);

    *p = *piece;
    put_in(t, BY_ADDRESS, p);
    put_in(t, BY_MEMORY, p);
    p->older = t->newest;
    p->newer = NONE;
    if (p->older != NONE) {
        at(t, p->older)->newer = link;
    } else {
        t->oldest = link;
    }
    t->newest = link;
    t->count++;
}

void piece_remove(struct piece_table *t, struct mirror_piece *p)
{
    take_out(t, BY_ADDRESS, p);
    take_out(t, BY_MEMORY, p);
    if (p->older != NONE) {
        at(t, p->older)->newer = p->newer;
    } else {
        t->oldest = p->newer;
    }
    if (p->newer != NONE) {
        at(t, p->newer)->older = p->older;
    } else {
        t->newest = p->older;
    }
    p->next[0] = t->free;
    t->free = link_to(t, p);
    t->count--;
}

void piece_remove_all(struct piece_table *t)
{
    memset(t->bucket, 0, sizeof(t->bucket));
    t->count = t->used = 0;
    t->free = t->oldest = t->newest = NONE;
}

/* ------------------------------------------------------------------ finding */

static struct mirror_piece *overlapping_in(struct piece_table *t, u32 link, gva_t gva, u64 size)
{
    for (struct mirror_piece *p = at(t, link); p; p = at(t, p->next[BY_ADDRESS])) {
        if (p->gva < gva + size && gva < p->gva + p->size) {
            return p;
        }
    }
    return NULL;
}

struct mirror_piece *piece_overlapping(struct piece_table *t, gva_t gva, u64 size)
{
    struct mirror_piece *p = overlapping_in(t, *bucket(t, BY_ADDRESS, gva, true), gva, size);

    for (u64 done = 0; !p && done < size; done += PIECE_RUN_BYTES) {
        p = overlapping_in(t, *bucket(t, BY_ADDRESS, gva + done, false), gva, size);
    }
    return p;
}

struct mirror_piece *piece_find(struct piece_table *t, gva_t gva)
{
    return piece_overlapping(t, gva, 1);
}

static struct mirror_piece *showing_in(struct piece_table *t, u32 link, u64 offset, unsigned rights)
{
    for (struct mirror_piece *p = at(t, link); p; p = at(t, p->next[BY_MEMORY])) {
        if ((p->rights & rights) && offset - p->offset < p->size) {
            return p;
        }
    }
    return NULL;
}

/* It may begin in the same run, or large page, or in the one before. */
struct mirror_piece *piece_showing(struct piece_table *t, u64 offset, unsigned rights)
{
    struct mirror_piece *p = NULL;

    for (unsigned i = 0; !p && i < 4; i++) {
        bool large = i & 1;
        u64 back = i & 2 ? (large ? PIECE_LARGE_BYTES : PIECE_RUN_BYTES) : 0;
        if (back <= offset) {
            p = showing_in(t, *bucket(t, BY_MEMORY, offset - back, large), offset, rights);
        }
    }
    return p;
}

struct mirror_piece *piece_oldest(struct piece_table *t)
{
    return at(t, t->oldest);
}

struct mirror_piece *piece_newer(struct piece_table *t, const struct mirror_piece *p)
{
    return at(t, p->newer);
}

struct mirror_piece *piece_newest(struct piece_table *t)
{
    return at(t, t->newest);
}

struct mirror_piece *piece_older(struct piece_table *t, const struct mirror_piece *p)
{
    return at(t, p->older);
}
