/* rights.c - see rights.h: the model of access rights, and all combinations. */
#include "rights.h"

u8 rights_page[4096] __attribute__((aligned(4096)));
u8 rights_user_code[4096] __attribute__((aligned(4096)));

enum { NO_FAULT_ERROR = -1, ERROR_P = 1, ERROR_W = 2, ERROR_U = 4, ERROR_RSVD = 8, ERROR_I = 16 };
enum { LDT = FREE_SELECTOR, LDT_SELECTOR = 0x20 | 4 };

/* What lies in the page that is accessed. */
enum { AT_RETURN = 0, AT_END = 16, AT_DESCRIPTOR = 32, AT_DATA = 64 };
/* What lies in the page of code for CPL 3, all with the address in rDI. */
enum { USER_READ = 0, USER_WRITE = 16, USER_FETCH = 32, USER_LOAD_FS = 48 };

struct config {
    bool wp, smep, smap, nxe;
};

enum kind { READ, WRITE, FETCH, IMPLICIT };

struct access {
    enum kind kind;
    bool user; /* at CPL 3 */
    bool ac;   /* RFLAGS.AC */
};

/* ------------------------------------------------------------------ the model */

/* The error code of the page fault, or NO_FAULT_ERROR. */
static int model(const struct space *s, const struct config *c, const u64 *entries,
                 struct access access)
{
    /* An implicit access, here to a descriptor table, is a supervisor's whatever the CPL. */
    bool user_mode = access.user && access.kind != IMPLICIT;
    bool user_page = true, writable = true, executable = true;
    int base = 0;

    if (access.kind == WRITE) {
        base |= ERROR_W;
    }
    if (user_mode) {
        base |= ERROR_U;
    }
    if (access.kind == FETCH && (c->smep || (s->pae && c->nxe))) {
        base |= ERROR_I;
    }
    for (unsigned i = 0; i < s->depth; i++) {
        u64 entry = entries[i];
        if (!(entry & P)) {
            return base;
        }
        if ((entry & s->steps[i].reserved) || (s->pae && !c->nxe && (entry & NX))) {
            return base | ERROR_P | ERROR_RSVD;
        }
        user_page &= (entry & U) != 0;
        writable &= (entry & W) != 0;
        executable &= !(s->pae && (entry & NX));
    }
    bool allowed = true;
    if (user_mode) {
        allowed = user_page;
        if (access.kind == WRITE) {
            allowed = allowed && writable;
        }
        if (access.kind == FETCH) {
            allowed = allowed && executable;
        }
    } else if (access.kind == FETCH) {
        allowed = executable;
        if (user_page && c->smep) {
            allowed = false;
        }
    } else {
        if (user_page && c->smap && (access.kind == IMPLICIT || !access.ac)) {
            allowed = false;
        }
        if (access.kind == WRITE && c->wp && !writable) {
            allowed = false;
        }
    }
    return allowed ? NO_FAULT_ERROR : base | ERROR_P;
}

/* ------------------------------------------------------------------ accesses */

static word user_code_at;

static void set_ac(bool ac)
{
    word flags = (read_flags() & ~(word)FLAGS_AC) | (ac ? FLAGS_AC : 0);

    __asm__ volatile("push %0; popf" ::"r"(flags) : "memory", "cc");
}

static void do_read(word address)
{
    __asm__ volatile("movb (%0), %%al" ::"r"(address) : "memory", "eax");
}
static void do_write(word address)
{
    __asm__ volatile("movb $0x5a, (%0)" ::"r"(address) : "memory");
}
static void do_fetch(word address)
{
    ((void (*)(void))address)();
}
static void do_load_fs(word unused)
{
    (void)unused;
    __asm__ volatile("mov %w0, %%fs" ::"r"(LDT_SELECTOR));
}

/* The same with AC set; attempt() restores the flags. */
static void do_with_ac(word kind_and_address)
{
    static void (*const what[])(word) = {do_read, do_write, do_fetch, do_load_fs};

    set_ac(true);
    what[kind_and_address & 3](kind_and_address & ~(word)3);
    set_ac(false);
}

static word user_target;

static void enter_user(word offset)
{
    word flags = 2 | (offset & 1 ? FLAGS_AC : 0), code = user_code_at + (offset & ~(word)1);

#ifdef __x86_64__
    __asm__ volatile("push %0; push $0; push %1; push %2; push %3; iretq" ::"i"(USER_DS64),
                     "r"(flags), "i"(USER_CS64), "r"(code), "D"(user_target), "S"(LDT_SELECTOR)
                     : "memory");
#else
    __asm__ volatile(
        "mov %0, %%ds; mov %0, %%es; push %0; push $0; push %1; push %2; push %3; iret" ::"r"(
            USER_DS),
        "r"(flags), "i"(USER_CS32), "r"(code), "D"(user_target), "S"(LDT_SELECTOR)
        : "memory");
#endif
}

static word target_of(struct access a, word at)
{
    return at + (a.kind == FETCH ? (a.user ? AT_END : AT_RETURN) : AT_DATA);
}

/* The error code, or NO_FAULT_ERROR; *good is cleared if what happens is something else. */
static int perform(struct access a, word at, bool *good)
{
    static const u8 stub[] = {USER_READ, USER_WRITE, USER_FETCH, USER_LOAD_FS};
    static void (*const what[])(word) = {do_read, do_write, do_fetch, do_load_fs};
    word target = target_of(a, at);

    if (a.user) {
        user_target = target;
        attempt(enter_user, stub[a.kind] | a.ac);
    } else if (a.ac) {
        attempt(do_with_ac, target | a.kind);
    } else {
        attempt(what[a.kind], target);
    }
    if (fault.vector == NO_FAULT) {
        return NO_FAULT_ERROR;
    }
    if (a.kind == IMPLICIT) {
        target = at + AT_DESCRIPTOR;
    }
    *good = fault.vector == VECTOR_PF && fault.cr2 == target;
    return (int)fault.error;
}

/* ------------------------------------------------------------------ combinations */

static u64 entry_get(const struct space *s, unsigned i)
{
    return s->wide ? *(volatile u64 *)s->steps[i].entry : *(volatile u32 *)s->steps[i].entry;
}

static void entries_set(const struct space *s, const u64 *entries)
{
    for (unsigned i = 0; i < s->depth; i++) {
        if (s->wide) {
            *(volatile u64 *)s->steps[i].entry = entries[i];
        } else {
            *(volatile u32 *)s->steps[i].entry = (u32)entries[i];
        }
    }
    __asm__ volatile("invlpg (%0)" ::"r"(s->at) : "memory");
}

/* Are accessed and dirty bits as they have to be?  Of a refused access only this is said: it
 * leaves no dirty bit, and no accessed bit where the walk did not come. */
static bool bits_are_right(const struct space *s, const u64 *entries, enum kind kind, int error)
{
    bool reached = true;

    for (unsigned i = 0; i < s->depth; i++) {
        u64 now = entry_get(s, i);
        bool dirty = error == NO_FAULT_ERROR && kind == WRITE && i == s->depth - 1;
        if ((now & ~(u64)(A | D)) != entries[i] || !(now & D) != !dirty) {
            return false;
        }
        reached &= (entries[i] & P) != 0;
        if (error == NO_FAULT_ERROR ? !(now & A) : !reached && (now & A)) {
            return false;
        }
    }
    return true;
}

static void try_access(const struct space *s, const struct config *c, const u64 *entries,
                       struct access a)
{
    int expected = model(s, c, entries, a);
    bool good = true;

    rights_page[AT_DATA] = 0;
    entries_set(s, entries);
    int error = perform(a, s->at, &good);
    good &= error == expected && bits_are_right(s, entries, a.kind, error);
    good &= (rights_page[AT_DATA] == 0x5a) == (a.kind == WRITE && error == NO_FAULT_ERROR);
    check_case(good,
               "%s: entries %l %l %l %l, wp %u smep %u smap %u nxe %u; kind %u cpl %u ac %u: "
               "vector %x error %x cr2 %l, not %x; entries then %l %l %l %l",
               s->name, entries[0], entries[1], entries[2], entries[3], c->wp, c->smep, c->smap,
               c->nxe, a.kind, a.user ? 3 : 0, a.ac, fault.vector, error, (u64)fault.cr2, expected,
               entry_get(s, 0), entry_get(s, 1), s->depth > 2 ? entry_get(s, 2) : 0,
               s->depth > 3 ? entry_get(s, 3) : 0);
}

/* The accesses, from 0; false: there are no more. */
static bool access_number(unsigned n, struct access *a)
{
    if (n == 16) {
        return false;
    }
    *a = (struct access){(enum kind)(n & 3), n & 4, n & 8};
    return true;
}

/* An entry with the rights of the combination: P, W, U, NX and a reserved bit, in this order. */
static u64 make_entry(const struct space *s, unsigned i, unsigned rights, unsigned salt)
{
    const struct step *step = &s->steps[i];
    u64 entry = step->address | (rights & 7);

    if (rights & 8) {
        entry |= NX;
    }
    if (rights & 16) {
        entry |= step->reserved;
    }
    return salt & 1u << i ? entry | step->ignored : entry;
}

/* Is there such a combination at this level? */
static bool has_rights(const struct space *s, unsigned i, unsigned rights)
{
    return (s->pae || !(rights & 8)) && (s->steps[i].reserved || !(rights & 16));
}

enum { RIGHTS = 32, ALL_RIGHTS = P | W | U };

static unsigned every, turn;

/* The page's own entry with every combination, and one of those above with every combination. */
static void try_rights(const struct space *s, const struct config *c, unsigned leaf, unsigned upper,
                       unsigned rights)
{
    unsigned last = s->depth - 1;
    u64 entries[LEVELS_MAX] = {0};
    struct access a;

    if (!has_rights(s, last, leaf) || !has_rights(s, upper, rights)) {
        return;
    }
    for (unsigned i = 0; i < s->depth; i++) {
        unsigned own = i == last ? leaf : i == upper ? rights : ALL_RIGHTS;
        entries[i] = make_entry(s, i, own, turn >> 3);
    }
    for (unsigned n = 0; access_number(n, &a); n++) {
        if (turn++ % every == 0) {
            try_access(s, c, entries, a);
        }
    }
}

static void try_config(const struct space *s, const struct config *c)
{
    for (unsigned leaf = 0; leaf < RIGHTS; leaf++) {
        try_rights(s, c, leaf, 0, ALL_RIGHTS);
        for (unsigned upper = 0; upper + 1 < s->depth; upper++) {
            for (unsigned rights = 0; rights < RIGHTS; rights++) {
                if (rights != ALL_RIGHTS) {
                    try_rights(s, c, leaf, upper, rights);
                }
            }
        }
    }
}

/* Without WP a fault's handler would not care; these are the machine's while it is tried. */
static void set_config(const struct config *c, bool has_nx)
{
    word cr4 = read_cr4() & ~(word)(CR4_SMEP | CR4_SMAP);

    write_cr0((read_cr0() & ~(word)CR0_WP) | (c->wp ? CR0_WP : 0));
    write_cr4(cr4 | (c->smep ? CR4_SMEP : 0) | (c->smap ? CR4_SMAP : 0));
    if (has_nx) {
        wrmsr(MSR_EFER, (rdmsr(MSR_EFER) & ~(u64)EFER_NXE) | (c->nxe ? EFER_NXE : 0));
    }
}

void rights_run(const struct space *space)
{
    struct features f = rights_features();

    every = (unsigned)option_number("every", 1);
    for (unsigned i = 0; i < 16; i++) {
        struct config c = {i & 1, i & 2, i & 4, i & 8};
        if ((c.smep && !f.smep) || (c.smap && !f.smap) || (c.nxe && !f.nx)) {
            continue;
        }
        set_config(&c, f.nx);
        try_config(space, &c);
    }
    set_config(&(struct config){0}, f.nx);
    print("ok   %s\n", space->name);
}

struct features rights_features(void)
{
    u32 leaf[4], extended[4], sizes[4];

    cpuid(7, 0, leaf);
    cpuid(0x80000001, 0, extended);
    cpuid(0x80000008, 0, sizes);
    return (struct features){
        .nx = extended[3] >> 20 & 1,
        .smep = leaf[1] >> 7 & 1,
        .smap = leaf[1] >> 20 & 1,
        .gigabyte = extended[3] >> 26 & 1,
        .physical_bits = sizes[0] & 0xff,
    };
}

static void put_code(u8 *at, u8 a, u8 b, u8 c)
{
    at[0] = a;
    at[1] = b;
    at[2] = c;
}

void rights_init(word user_code)
{
    user_code_at = user_code;
    put_code(rights_page + AT_RETURN, 0xc3, 0, 0); /* RET */
    put_code(rights_page + AT_END, 0xcd, 0xff, 0); /* INT FFh */
    *(u64 *)(rights_page + AT_DESCRIPTOR) = 0x00cff3000000ffff;
    put_code(rights_user_code + USER_READ, 0x8a, 0x07, 0xcd); /* MOV AL, [rDI] */
    put_code(rights_user_code + USER_READ + 2, 0xcd, 0xff, 0);
    put_code(rights_user_code + USER_WRITE, 0xc6, 0x07, 0x5a); /* MOV byte [rDI], 5Ah */
    put_code(rights_user_code + USER_WRITE + 3, 0xcd, 0xff, 0);
    put_code(rights_user_code + USER_FETCH, 0xff, 0xe7, 0);      /* JMP rDI */
    put_code(rights_user_code + USER_LOAD_FS, 0x8e, 0xe6, 0xcd); /* MOV FS, SI */
    put_code(rights_user_code + USER_LOAD_FS + 2, 0xcd, 0xff, 0);
    *(word *)(main_tss + 4) = (word)kernel_stack_end - 16384;
}
