/* file.c - reads a kernel or an initrd from a file into memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot/boot.h"
#include "boot/job.h"

/* Read fd to its end into *bytes, which has room for *room and grows as a pipe needs.  The number
 * of bytes, or -errno. */
static s64 read_all(int fd, u8 **bytes, u64 *room)
{
    u64 size = 0;
    for (;;) {
        if (size == *room) {
            if (size > BOOT_FILE_MAX) {
                return -EFBIG;
            }
            u64 more = *room + *room / 2 + PAGE_SIZE;
            u8 *grown = realloc(*bytes, more);
            if (!grown) {
                return -ENOMEM;
            }
            *bytes = grown;
            *room = more;
        }
        ssize_t n = read(fd, *bytes + size, *room - size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            return size > BOOT_FILE_MAX ? -EFBIG : (s64)size;
        }
        size += (u64)n;
    }
}

static int file_error(struct boot_error *error, const char *path, int code)
{
    if (code == -EFBIG) {
        boot_fail(error, path, "is larger than %s", size_text(BOOT_FILE_MAX).text);
    } else if (code == -ENODATA) {
        boot_fail(error, path, "is empty");
    } else {
        boot_fail(error, path, "%s", strerror(-code));
    }
    return code;
}

int boot_file_open(const char *path, struct boot_file *file, struct boot_error *error)
{
    *file = (struct boot_file){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return file_error(error, path, -errno);
    }
    struct stat st;
    u8 *bytes = NULL;
    u64 room = 0;
    s64 size;
    if (fstat(fd, &st)) {
        size = -errno;
    } else if (S_ISREG(st.st_mode) && (u64)st.st_size > BOOT_FILE_MAX) {
        size = -EFBIG;
    } else {
        /* One byte more than the file's size: its end is then seen without growing. */
        room = S_ISREG(st.st_mode) ? (u64)st.st_size + 1 : 1 << 20;
        bytes = malloc(room);
        size = bytes ? read_all(fd, &bytes, &room) : -ENOMEM;
    }
    close(fd);
    if (size <= 0) {
        free(bytes);
        return file_error(error, path, size ? (int)size : -ENODATA);
    }
    *file = (struct boot_file){.name = path, .bytes = bytes, .size = (u64)size};
    return 0;
}

void boot_file_close(struct boot_file *file)
{
    free((void *)file->bytes);
    *file = (struct boot_file){0};
}
