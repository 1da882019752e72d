/* test_share_server.c - a guest that works in a shared directory, and one that wants out of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "share/node.h"
#include "share_fixture.h"

#define ROOT FUSE_ROOT_ID

struct world {
    struct tree tree;
    struct share_server *server;
    struct message m;
    u8 reply[SHARE_MESSAGE_MAX];
    u32 reply_bytes; /* behind the head */
};

static int init(struct world *w);

static void start(struct world *w, bool read_only)
{
    tree_init(&w->tree);
    w->server = share_server_create(w->tree.root, w->tree.proc, read_only);
    assert_non_null(w->server);
    assert_int_equal(init(w), 0);
}

static void end(struct world *w)
{
    share_server_destroy(w->server);
    assert_true(tree_is_safe(&w->tree));
    tree_done(&w->tree);
}

/* The message as it is: 0 or -errno, the answer's fields in w->reply. */
static int ask(struct world *w)
{
    struct fuse_out_header head;
    u64 unique;
    u32 size;

    message_end(&w->m);
    memcpy(&unique, w->m.bytes + offsetof(struct fuse_in_header, unique), 8);
    size = share_server_answer(w->server, w->m.bytes, (u32)w->m.size, w->reply);
    memcpy(&head, w->reply, sizeof(head));
    assert_int_equal(head.len, size);
    assert_true(head.unique == unique);
    assert_true(head.error <= 0 && head.error > -4096);
    w->reply_bytes = size - (u32)sizeof(head);
    return head.error;
}

static const void *fields(const struct world *w)
{
    return w->reply + sizeof(struct fuse_out_header);
}

static int init(struct world *w)
{
    struct fuse_init_in in = {.major = 7, .minor = 38, .flags = ~0u};

    message_start(&w->m, FUSE_INIT, 0);
    message_add(&w->m, &in, sizeof(in));
    return ask(w);
}

/* A request that has one structure, maybe, and one or two names. */
static int request(struct world *w, u32 opcode, u64 node, const void *structure, size_t size,
                   const char *name, const char *second)
{
    message_start(&w->m, opcode, node);
    message_add(&w->m, structure, size);
    if (name) {
        message_add_text(&w->m, name);
    }
    if (second) {
        message_add_text(&w->m, second);
    }
    return ask(w);
}

static int lookup(struct world *w, u64 node, const char *name, u64 *found)
{
    struct fuse_entry_out entry;
    int error = request(w, FUSE_LOOKUP, node, "", 0, name, NULL);

    *found = 0;
    if (!error) {
        assert_int_equal(w->reply_bytes, sizeof(entry));
        memcpy(&entry, fields(w), sizeof(entry));
        *found = entry.nodeid;
    }
    return error;
}

static u64 find(struct world *w, u64 node, const char *name)
{
    u64 found = 0;

    assert_int_equal(lookup(w, node, name, &found), 0);
    return found;
}

static int open_node(struct world *w, u64 node, u32 flags, u64 *handle)
{
    struct fuse_open_in in = {.flags = flags};
    struct fuse_open_out out = {.fh = UINT64_MAX};
    int error = request(w, FUSE_OPEN, node, &in, sizeof(in), NULL, NULL);

    if (!error) {
        memcpy(&out, fields(w), sizeof(out));
    }
    *handle = out.fh;
    return error;
}

static int read_handle(struct world *w, u64 handle, u64 offset, u32 size)
{
    struct fuse_read_in in = {.fh = handle, .offset = offset, .size = size};

    return request(w, FUSE_READ, 0, &in, sizeof(in), NULL, NULL);
}

static int write_handle(struct world *w, u64 handle, u64 offset, const char *text)
{
    struct fuse_write_in in = {.fh = handle, .offset = offset, .size = (u32)strlen(text)};

    message_start(&w->m, FUSE_WRITE, 0);
    message_add(&w->m, &in, sizeof(in));
    message_add(&w->m, text, strlen(text));
    return ask(w);
}

static int set_attributes(struct world *w, u64 node, const struct fuse_setattr_in *in)
{
    return request(w, FUSE_SETATTR, node, in, sizeof(*in), NULL, NULL);
}

static int create(struct world *w, u64 node, const char *name, u32 mode)
{
    struct fuse_create_in in = {.flags = O_RDWR, .mode = mode};

    return request(w, FUSE_CREATE, node, &in, sizeof(in), name, NULL);
}

static int rename_to(struct world *w, u64 from, const char *name, u64 to, const char *second)
{
    struct fuse_rename2_in in = {.newdir = to};

    return request(w, FUSE_RENAME2, from, &in, sizeof(in), name, second);
}

static int unlink_name(struct world *w, u64 node, const char *name)
{
    return request(w, FUSE_UNLINK, node, "", 0, name, NULL);
}

/* ------------------------------------------------------------------ work */

static void reads_and_writes(void **state)
{
    struct world w;
    u64 file, handle, other;
    char text[16] = "";
    int fd;

    (void)state;
    start(&w, false);
    file = find(&w, ROOT, "file");
    assert_int_equal(open_node(&w, file, O_RDWR, &handle), 0);
    assert_int_equal(read_handle(&w, handle, 2, 100), 0);
    assert_int_equal(w.reply_bytes, 4);
    assert_memory_equal(fields(&w), "side", 4);
    assert_int_equal(write_handle(&w, handle, 6, "..."), 0);

    /* It stays the same file, though its name be another's now. */
    assert_int_equal(rename_to(&w, ROOT, "file", find(&w, ROOT, "folder"), "moved"), 0);
    assert_int_equal(create(&w, ROOT, "file", 0644), 0);
    assert_int_equal(write_handle(&w, handle, 0, "I"), 0);
    assert_int_equal(find(&w, find(&w, ROOT, "folder"), "moved"), file);
    assert_int_not_equal(find(&w, ROOT, "file"), file);
    fd = openat(w.tree.root, "folder/moved", O_RDONLY);
    assert_int_equal(read(fd, text, sizeof(text)), 9);
    assert_string_equal(text, "Inside...");
    close(fd);

    assert_int_equal(unlink_name(&w, find(&w, ROOT, "folder"), "moved"), 0);
    assert_int_equal(read_handle(&w, handle, 0, 100), 0);
    assert_int_equal(w.reply_bytes, 9);
    assert_int_equal(open_node(&w, file, O_RDONLY, &other), 0);
    end(&w);
}

static void lists_a_directory(void **state)
{
    struct fuse_open_out opened;
    struct fuse_read_in in = {.size = 96}; /* room for two or three */
    unsigned found = 0, answers = 0;
    struct world w;

    (void)state;
    start(&w, false);
    assert_int_equal(request(&w, FUSE_OPENDIR, ROOT, (u8[8]){0}, 8, NULL, NULL), 0);
    memcpy(&opened, fields(&w), sizeof(opened));
    in.fh = opened.fh;
    while (request(&w, FUSE_READDIR, ROOT, &in, sizeof(in), NULL, NULL) == 0 && w.reply_bytes) {
        assert_true(w.reply_bytes <= in.size && ++answers < 20);
        for (u32 at = 0; at < w.reply_bytes;) {
            struct fuse_dirent entry;
            memcpy(&entry, (const u8 *)fields(&w) + at, FUSE_NAME_OFFSET);
            found += entry.type == DT_LNK;
            in.offset = entry.off;
            at += (u32)FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + entry.namelen);
        }
    }
    assert_int_equal(found, 3);
    assert_true(answers >= 3);
    in.offset = 0;
    in.size = 8; /* no entry fits */
    assert_int_equal(request(&w, FUSE_READDIR, ROOT, &in, sizeof(in), NULL, NULL), -EINVAL);
    end(&w);
}

static void keeps_account_of_nodes(void **state)
{
    struct fuse_forget_in forget = {.nlookup = 1};
    struct fuse_link_in link = {0};
    struct world w;
    u64 file, handle;

    (void)state;
    start(&w, false);
    file = link.oldnodeid = find(&w, ROOT, "file");
    assert_int_equal(request(&w, FUSE_LINK, ROOT, &link, sizeof(link), "second", NULL), 0);
    assert_int_equal(find(&w, ROOT, "second"), file); /* one file, one node: three lookups */
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(request(&w, FUSE_GETATTR, file, (u8[16]){0}, 16, NULL, NULL), 0);
        assert_int_equal(request(&w, FUSE_FORGET, file, &forget, sizeof(forget), NULL, NULL), 0);
    }
    assert_int_equal(request(&w, FUSE_GETATTR, file, (u8[16]){0}, 16, NULL, NULL), -ESTALE);
    forget.nlookup = UINT64_MAX;
    assert_int_equal(request(&w, FUSE_FORGET, ROOT, &forget, sizeof(forget), NULL, NULL), 0);
    assert_int_equal(request(&w, FUSE_GETATTR, ROOT, (u8[16]){0}, 16, NULL, NULL), 0);

    file = find(&w, ROOT, "file");
    assert_int_equal(open_node(&w, file, O_RDONLY, &handle), 0);
    assert_int_equal(init(&w), 0); /* a new mount: the old one's numbers mean nothing */
    assert_int_equal(request(&w, FUSE_GETATTR, file, (u8[16]){0}, 16, NULL, NULL), -ESTALE);
    assert_int_equal(read_handle(&w, handle, 0, 10), -EBADF);
    end(&w);
}

/* More than one block of each table, given up in another order. */
static void has_many_files(void **state)
{
    struct fuse_release_in release = {0};
    struct world w;
    u64 nodes[200], handles[200];
    char name[16];

    (void)state;
    start(&w, false);
    for (unsigned i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "many%u", i);
        assert_int_equal(create(&w, ROOT, name, 0600), 0);
        nodes[i] = find(&w, ROOT, name);
        assert_int_equal(open_node(&w, nodes[i], O_RDWR, &handles[i]), 0);
        assert_int_equal(write_handle(&w, handles[i], 0, name), 0);
    }
    for (unsigned i = 0; i < 200; i += 2) {
        release.fh = handles[i];
        assert_int_equal(request(&w, FUSE_RELEASE, 0, &release, sizeof(release), NULL, NULL), 0);
        assert_int_equal(request(&w, FUSE_RELEASE, 0, &release, sizeof(release), NULL, NULL),
                         -EBADF);
    }
    for (unsigned i = 1; i < 200; i += 2) {
        snprintf(name, sizeof(name), "many%u", i);
        assert_int_equal(open_node(&w, nodes[i - 1], O_RDWR, &handles[i - 1]), 0);
        assert_int_equal(read_handle(&w, handles[i], 0, 100), 0);
        assert_int_equal(w.reply_bytes, strlen(name));
        assert_memory_equal(fields(&w), name, strlen(name));
    }
    end(&w);
}

static void sets_attributes(void **state)
{
    struct fuse_setattr_in in = {.valid = FATTR_SIZE | FATTR_MTIME | FATTR_MODE,
                                 .size = 3,
                                 .mtime = 1000000000,
                                 .mtimensec = 5,
                                 .mode = 0640};
    struct fuse_attr_out out;
    struct world w;
    u64 file;

    (void)state;
    start(&w, false);
    file = find(&w, ROOT, "file");
    assert_int_equal(set_attributes(&w, file, &in), 0);
    memcpy(&out, fields(&w), sizeof(out));
    assert_int_equal(out.attr.size, 3);
    assert_int_equal(out.attr.mtime, 1000000000);
    assert_int_equal(out.attr.mtimensec, 5);
    assert_int_equal(out.attr.mode, S_IFREG | 0640);
    in.mtimensec = 1000000000;
    assert_int_equal(set_attributes(&w, file, &in), -EINVAL);
    in = (struct fuse_setattr_in){.valid = FATTR_SIZE, .size = UINT64_MAX};
    assert_int_equal(set_attributes(&w, file, &in), -EFBIG);
    end(&w);
}

/* ------------------------------------------------------------------ ways out */

static const char *const bad_names[] = {
    "..",        ".",         "", "/", "/etc/passwd", "folder/deep", "folder/../../secret",
    "../secret", "up/secret",
};

static void names_lead_nowhere_else(void **state)
{
    struct fuse_mkdir_in mkdir_in = {.mode = 0755};
    struct fuse_mknod_in mknod_in = {.mode = S_IFREG | 0644};
    struct fuse_link_in link = {0};
    struct world w;
    u64 found, folder, file;

    (void)state;
    start(&w, false);
    folder = find(&w, ROOT, "folder");
    file = link.oldnodeid = find(&w, ROOT, "file");
    for (unsigned i = 0; i < ARRAY_SIZE(bad_names); i++) {
        const char *name = bad_names[i];
        assert_int_equal(lookup(&w, ROOT, name, &found), -EACCES);
        assert_int_equal(lookup(&w, folder, name, &found), -EACCES);
        assert_int_equal(create(&w, ROOT, name, 0644), -EACCES);
        assert_int_equal(unlink_name(&w, ROOT, name), -EACCES);
        assert_int_equal(request(&w, FUSE_RMDIR, ROOT, "", 0, name, NULL), -EACCES);
        assert_int_equal(request(&w, FUSE_MKDIR, ROOT, &mkdir_in, sizeof(mkdir_in), name, NULL),
                         -EACCES);
        assert_int_equal(request(&w, FUSE_MKNOD, ROOT, &mknod_in, sizeof(mknod_in), name, NULL),
                         -EACCES);
        assert_int_equal(request(&w, FUSE_SYMLINK, ROOT, "", 0, name, "target"), -EACCES);
        assert_int_equal(request(&w, FUSE_LINK, ROOT, &link, sizeof(link), name, NULL), -EACCES);
        assert_int_equal(rename_to(&w, ROOT, name, folder, "new"), -EACCES);
        assert_int_equal(rename_to(&w, ROOT, "file", folder, name), -EACCES);
    }
    assert_int_equal(lookup(&w, file, "deep", &found), -ENOTDIR);
    end(&w);
}

/* A link is a link: it is read, and nothing goes through it. */
static void links_are_not_followed(void **state)
{
    static const char *const links[] = {"up", "out", "absolute"};
    struct fuse_setattr_in mode = {.valid = FATTR_MODE, .mode = 0777};
    struct fuse_setattr_in time = {.valid = FATTR_MTIME | FATTR_ATIME, .mtime = 77, .atime = 77};
    struct fuse_setattr_in size = {.valid = FATTR_SIZE};
    struct fuse_link_in hard = {0};
    struct world w;
    u64 link, found, handle;
    char name[16];

    (void)state;
    start(&w, false);
    for (unsigned i = 0; i < ARRAY_SIZE(links); i++) {
        link = hard.oldnodeid = find(&w, ROOT, links[i]);
        assert_int_equal(request(&w, FUSE_READLINK, link, "", 0, NULL, NULL), 0);
        assert_int_equal(lookup(&w, link, "secret", &found), -ENOTDIR);
        assert_int_equal(create(&w, link, "new", 0644), -ENOTDIR);
        assert_int_equal(open_node(&w, link, O_RDONLY, &handle), -ELOOP);
        assert_int_equal(request(&w, FUSE_OPENDIR, link, (u8[8]){0}, 8, NULL, NULL), -ELOOP);
        assert_int_equal(create(&w, ROOT, links[i], 0644), -ELOOP);
        assert_int_equal(set_attributes(&w, link, &mode), -EOPNOTSUPP);
        assert_int_equal(set_attributes(&w, link, &size), -ELOOP);
        assert_int_equal(set_attributes(&w, link, &time), 0); /* the link's own */
        snprintf(name, sizeof(name), "hard%u", i);
        assert_int_equal(request(&w, FUSE_LINK, ROOT, &hard, sizeof(hard), name, NULL), 0);
        assert_int_equal(find(&w, ROOT, name), link); /* the link itself once more */
    }
    assert_int_equal(request(&w, FUSE_READLINK, find(&w, ROOT, "file"), "", 0, NULL, NULL),
                     -EINVAL);
    end(&w);
}

/* Somebody exchanges a directory for a link that leads out, all the time. */
static void a_race_leads_nowhere(void **state)
{
    unsigned inside = 0, refused = 0;
    struct world w;
    pid_t pid;
    u64 node, found;

    (void)state;
    start(&w, false);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* also where the test fails */
        while (getppid() != 1) {
            syscall(SYS_renameat2, w.tree.root, "folder", w.tree.root, "up", RENAME_EXCHANGE);
        }
    }
    for (unsigned i = 0; i < 200000 && (i < 20000 || !inside || !refused); i++) {
        if (lookup(&w, ROOT, "folder", &node)) {
            continue;
        }
        assert_int_not_equal(lookup(&w, node, "secret", &found), 0);
        assert_int_not_equal(create(&w, node, "secret", 0777), -EEXIST);
        if (lookup(&w, node, "deep", &found) == 0) {
            inside++;
            unlink_name(&w, node, "secret");
        } else {
            refused++;
        }
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_true(inside && refused); /* both were met */
    end(&w);
}

/* Nothing is opened that could wait, or be a device of the host. */
static void only_files_are_opened(void **state)
{
    struct fuse_mknod_in device = {.mode = S_IFCHR | 0666, .rdev = 0x103};
    struct fuse_setattr_in size = {.valid = FATTR_SIZE};
    struct world w;
    u64 pipe_node, handle;

    (void)state;
    start(&w, false);
    pipe_node = find(&w, ROOT, "pipe");
    assert_int_equal(open_node(&w, pipe_node, O_RDONLY, &handle), -ENXIO);
    assert_int_equal(open_node(&w, pipe_node, O_WRONLY, &handle), -ENXIO);
    assert_int_equal(set_attributes(&w, pipe_node, &size), -ENXIO);
    assert_int_equal(create(&w, ROOT, "pipe", 0644), -ENXIO);
    assert_int_equal(request(&w, FUSE_MKNOD, ROOT, &device, sizeof(device), "null", NULL), -EPERM);
    device.mode = S_IFBLK | 0666;
    assert_int_equal(request(&w, FUSE_MKNOD, ROOT, &device, sizeof(device), "disk", NULL), -EPERM);
    end(&w);
}

static void no_rights_are_made(void **state)
{
    struct fuse_setattr_in mode = {.valid = FATTR_MODE, .mode = 04755};
    struct fuse_mknod_in node = {.mode = S_IFREG | 06755};
    struct stat status;
    struct world w;

    (void)state;
    start(&w, false);
    assert_int_equal(set_attributes(&w, find(&w, ROOT, "file"), &mode), -EPERM);
    mode.mode = 02755;
    assert_int_equal(set_attributes(&w, find(&w, ROOT, "file"), &mode), -EPERM);
    assert_int_equal(create(&w, ROOT, "created", 06755), 0);
    assert_int_equal(request(&w, FUSE_MKNOD, ROOT, &node, sizeof(node), "node", NULL), 0);
    assert_int_equal(fstatat(w.tree.root, "created", &status, 0), 0);
    assert_int_equal(status.st_mode & 07000, 0);
    assert_int_equal(fstatat(w.tree.root, "node", &status, 0), 0);
    assert_int_equal(status.st_mode & 07000, 0);
    end(&w);
}

static void read_only_is_read_only(void **state)
{
    struct fuse_setattr_in time = {.valid = FATTR_MTIME, .mtime = 5};
    struct fuse_mkdir_in mkdir_in = {.mode = 0755};
    struct fuse_link_in link = {0};
    struct world w;
    u64 file, handle;

    (void)state;
    start(&w, true);
    file = link.oldnodeid = find(&w, ROOT, "file");
    assert_int_equal(open_node(&w, file, O_RDWR, &handle), -EROFS);
    assert_int_equal(open_node(&w, file, O_WRONLY, &handle), -EROFS);
    assert_int_equal(open_node(&w, file, O_RDONLY | O_TRUNC, &handle), -EROFS);
    assert_int_equal(open_node(&w, file, O_RDONLY, &handle), 0);
    assert_int_equal(write_handle(&w, handle, 0, "x"), -EROFS);
    assert_int_equal(create(&w, ROOT, "new", 0644), -EROFS);
    assert_int_equal(unlink_name(&w, ROOT, "file"), -EROFS);
    assert_int_equal(rename_to(&w, ROOT, "file", ROOT, "other"), -EROFS);
    assert_int_equal(set_attributes(&w, file, &time), -EROFS);
    assert_int_equal(request(&w, FUSE_MKDIR, ROOT, &mkdir_in, sizeof(mkdir_in), "d", NULL), -EROFS);
    assert_int_equal(request(&w, FUSE_SYMLINK, ROOT, "", 0, "s", "t"), -EROFS);
    assert_int_equal(request(&w, FUSE_LINK, ROOT, &link, sizeof(link), "l", NULL), -EROFS);
    assert_int_equal(read_handle(&w, handle, 0, 100), 0);
    assert_memory_equal(fields(&w), "inside", 6);
    end(&w);
}

/* ------------------------------------------------------------------ broken messages */

static void broken_messages_are_refused(void **state)
{
    struct fuse_write_in write_in = {.size = 0x10000};
    struct fuse_init_in old = {.major = 7, .minor = 26};
    struct fuse_batch_forget_in batch = {.count = 0xffffffff};
    struct world w;
    u64 handle;

    (void)state;
    start(&w, false);
    assert_int_equal(open_node(&w, find(&w, ROOT, "file"), O_RDWR, &handle), 0);
    assert_int_equal(read_handle(&w, handle, 0, SHARE_MESSAGE_MAX), -EINVAL);
    assert_int_equal(read_handle(&w, handle, UINT64_MAX, 1), -EINVAL);
    write_in.fh = handle;
    assert_int_equal(request(&w, FUSE_WRITE, 0, &write_in, sizeof(write_in), "short", NULL),
                     -EINVAL);
    assert_int_equal(request(&w, FUSE_BATCH_FORGET, 0, &batch, sizeof(batch), NULL, NULL), -EINVAL);
    assert_int_equal(request(&w, FUSE_INIT, 0, &old, sizeof(old), NULL, NULL), -EPROTO);
    assert_int_equal(request(&w, 4095, ROOT, "", 0, NULL, NULL), -ENOSYS);
    assert_int_equal(request(&w, FUSE_SETXATTR, ROOT, "", 0, "user.x", NULL), -ENOSYS);

    message_start(&w.m, FUSE_LOOKUP, ROOT); /* a name without an end */
    message_add(&w.m, "file", 4);
    assert_int_equal(ask(&w), -EINVAL);
    message_start(&w.m, FUSE_LOOKUP, ROOT);
    memset(w.m.bytes + w.m.size, 'x', 300);
    w.m.size += 300;
    message_add(&w.m, "", 1);
    assert_int_equal(ask(&w), -ENAMETOOLONG);
    end(&w);
}

/* Every opcode, of every length, filled with each of some bytes. */
static void nothing_breaks_it(void **state)
{
    static const u8 fill[] = {0, 1, 0x2e, 0x2f, 0x41, 0xff};
    struct world w;

    (void)state;
    start(&w, false);
    for (u32 opcode = 0; opcode < 64; opcode++) {
        for (unsigned f = 0; f < ARRAY_SIZE(fill); f++) {
            for (unsigned size = 0; size < 100; size += 1 + size / 16) {
                message_start(&w.m, opcode, f & 1 ? ROOT : fill[f]);
                memset(w.m.bytes + w.m.size, fill[f], size);
                w.m.size += size;
                ask(&w);
            }
        }
    }
    assert_int_equal(init(&w), 0);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_writes),       cmocka_unit_test(lists_a_directory),
        cmocka_unit_test(keeps_account_of_nodes), cmocka_unit_test(has_many_files),
        cmocka_unit_test(sets_attributes),        cmocka_unit_test(names_lead_nowhere_else),
        cmocka_unit_test(links_are_not_followed), cmocka_unit_test(a_race_leads_nowhere),
        cmocka_unit_test(only_files_are_opened),  cmocka_unit_test(no_rights_are_made),
        cmocka_unit_test(read_only_is_read_only), cmocka_unit_test(broken_messages_are_refused),
        cmocka_unit_test(nothing_breaks_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
