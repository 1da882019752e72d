/*
 * fuzz_share.c - the server of a shared directory, whose client is the input.
 *
 * The input is a string of messages: an opcode, a node, what the opcode's structure is filled with,
 * and up to two names, mostly of those that there are or that lead out.  Whatever it does, the file
 * beside the directory stays as it is, and nothing comes to lie beside it.
 */
#define _GNU_SOURCE

#include <signal.h>
#include <sys/resource.h>

#include "../unit/share_fixture.h"
#include "fuzz_input.h"

enum { MESSAGES_MAX = 256, STRUCTURE_MAX = 128 };

static void add_name(struct message *m, struct input *in)
{
    static const char *const names[] = {
        "file", "folder", "deep", "up",        "out", "absolute",
        "pipe", "new",    "..",   "../secret", "/",   "",
    };
    u8 which = take_byte(in);

    if (which < ARRAY_SIZE(names)) {
        message_add_text(m, names[which]);
    } else {
        u8 byte = take_byte(in);
        message_add(m, &byte, 1);
        message_add(m, "", which & 1);
    }
}

/* Of the structure that an opcode has before its names. */
static const u8 structure_bytes[64] = {
    [FUSE_FORGET] = 8,        [FUSE_GETATTR] = 16, [FUSE_SETATTR] = 88,   [FUSE_MKNOD] = 16,
    [FUSE_MKDIR] = 8,         [FUSE_RENAME] = 8,   [FUSE_LINK] = 8,       [FUSE_OPEN] = 8,
    [FUSE_READ] = 40,         [FUSE_WRITE] = 40,   [FUSE_RELEASE] = 24,   [FUSE_FSYNC] = 16,
    [FUSE_INIT] = 16,         [FUSE_OPENDIR] = 8,  [FUSE_READDIR] = 40,   [FUSE_RELEASEDIR] = 24,
    [FUSE_FSYNCDIR] = 16,     [FUSE_CREATE] = 16,  [FUSE_FALLOCATE] = 32, [FUSE_RENAME2] = 16,
    [FUSE_BATCH_FORGET] = 24,
};

static void make_message(struct message *m, struct input *in)
{
    u8 opcode = take_byte(in) & 63, shape = take_byte(in);
    u8 structure = shape & 0x40 ? take_byte(in) % STRUCTURE_MAX : structure_bytes[opcode];

    message_start(m, opcode, shape & 7);
    for (unsigned i = 0; i < structure; i++) {
        u8 byte = take_byte(in);
        message_add(m, &byte, 1);
    }
    for (unsigned i = 0; i < (shape >> 3 & 3u); i++) {
        add_name(m, in);
    }
    message_end(m);
    if (shape & 0x80) {
        m->bytes[0] = take_byte(in); /* of another length than it says */
    }
}

/* No file of a size that would fill the disk, and an error instead of a signal. */
static void limit_files(void)
{
    const struct rlimit limit = {1 << 20, 1 << 20};

    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, SIG_IGN);
}

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t size)
{
    static u8 reply[SHARE_MESSAGE_MAX];
    struct input in = {bytes, size};
    struct share_server *server;
    struct message m;
    struct tree tree;

    limit_files();
    tree_init(&tree);
    server = share_server_create(tree.root, tree.proc, size && bytes[0] & 0x80);
    if (!server) {
        abort();
    }
    for (unsigned i = 0; in.size && i < MESSAGES_MAX; i++) {
        u32 answered;
        make_message(&m, &in);
        answered = share_server_answer(server, m.bytes, (u32)m.size, reply);
        if (answered < sizeof(struct fuse_out_header) || answered > sizeof(reply)) {
            abort();
        }
    }
    share_server_destroy(server);
    if (!tree_is_safe(&tree)) {
        abort();
    }
    tree_done(&tree);
    return 0;
}
