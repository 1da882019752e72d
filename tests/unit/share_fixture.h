/*
 * share_fixture.h - a directory to share, with something beside it that must not be reached; and
 * messages as a guest may send them.
 *
 *      TOP/secret           contains "secret"; mode 0600, and 1 s past 1970 as its time
 *      TOP/shared/file      contains "inside"
 *      TOP/shared/folder/   with a file "deep"
 *      TOP/shared/up        a link to ".."; "out": to "../secret"; "absolute": to TOP/secret
 *      TOP/shared/pipe      a named pipe
 */
#ifndef SHARE_FIXTURE_H
#define SHARE_FIXTURE_H

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "share/server.h"

struct tree {
    char top[64], shared[96], secret[96];
    int root, proc;
};

static inline void put_file(int at, const char *name, const char *text)
{
    int fd = openat(at, name, O_WRONLY | O_CREAT | O_EXCL, 0600);

    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
        abort();
    }
    close(fd);
}

static inline void tree_init(struct tree *t)
{
    struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};

    snprintf(t->top, sizeof(t->top), "/tmp/share-test-XXXXXX");
    if (!mkdtemp(t->top)) {
        abort();
    }
    snprintf(t->shared, sizeof(t->shared), "%s/shared", t->top);
    snprintf(t->secret, sizeof(t->secret), "%s/secret", t->top);
    put_file(AT_FDCWD, t->secret, "secret");
    if (mkdir(t->shared, 0700) || utimensat(AT_FDCWD, t->secret, times, 0)) {
        abort();
    }
    t->root = open(t->shared, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    t->proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    put_file(t->root, "file", "inside");
    if (mkdirat(t->root, "folder", 0700) || symlinkat("..", t->root, "up") ||
        symlinkat("../secret", t->root, "out") || symlinkat(t->secret, t->root, "absolute") ||
        mkfifoat(t->root, "pipe", 0600)) {
        abort();
    }
    put_file(t->root, "folder/deep", "deep");
}

/* Has nothing happened to the secret, and nothing come to lie beside it? */
static inline bool tree_is_safe(const struct tree *t)
{
    char text[16] = "", path[160];
    struct stat status, top;
    int fd = open(t->secret, O_RDONLY | O_NOATIME);
    bool same = fd >= 0 && read(fd, text, sizeof(text)) == 6 && !strcmp(text, "secret") &&
                fstat(fd, &status) == 0 && status.st_mode == (S_IFREG | 0600) &&
                status.st_mtim.tv_sec == 1 && status.st_atim.tv_sec == 1 && status.st_nlink == 1;

    close(fd);
    snprintf(path, sizeof(path), "%s/new", t->top);
    return same && stat(t->top, &top) == 0 && top.st_nlink == 3 && access(path, F_OK) < 0;
}

static inline int tree_remove_one(const char *path, const struct stat *status, int kind,
                                  struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(path);
}

static inline void tree_done(struct tree *t)
{
    fchmod(t->root, 0700);
    close(t->root);
    close(t->proc);
    nftw(t->top, tree_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ------------------------------------------------------------------ messages */

struct message {
    u8 bytes[8192];
    size_t size;
};

static inline void message_add(struct message *m, const void *bytes, size_t size)
{
    memcpy(m->bytes + m->size, bytes, size);
    m->size += size;
}

/* With its NUL. */
static inline void message_add_text(struct message *m, const char *text)
{
    message_add(m, text, strlen(text) + 1);
}

static inline void message_start(struct message *m, u32 opcode, u64 node)
{
    struct fuse_in_header head = {.opcode = opcode, .unique = 0x1234567890abcdef, .nodeid = node};

    m->size = 0;
    message_add(m, &head, sizeof(head));
}

/* The length that it says is the one that it has. */
static inline void message_end(struct message *m)
{
    u32 size = (u32)m->size;

    memcpy(m->bytes, &size, sizeof(size));
}

#endif
