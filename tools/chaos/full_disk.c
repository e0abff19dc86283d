/* Preloaded into mariadbd: while the file named by TICKS_FULL_DISK_FLAG exists, no file below
 * TICKS_FULL_DISK_BELOW can grow. What was allocated before can still be written, as on a real full disk. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int is_full_for(int fd, off64_t end)
{
    const char *flag = getenv("TICKS_FULL_DISK_FLAG"), *below = getenv("TICKS_FULL_DISK_BELOW");
    char link[64], path[PATH_MAX];
    struct stat64 found;
    int saved = errno, full = 0;

    if (flag && below && access(flag, F_OK) == 0 && fstat64(fd, &found) == 0 && S_ISREG(found.st_mode)) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, path, sizeof path - 1);
        if (length > 0) {
            path[length] = 0;
            full = strncmp(path, below, strlen(below)) == 0 && end > found.st_size;
        }
    }
    errno = saved;
    return full;
}

static off64_t end_of_write(int fd, size_t count)
{
    struct stat64 found;
    int flags = fcntl(fd, F_GETFL);
    if (flags != -1 && (flags & O_APPEND) && fstat64(fd, &found) == 0)
        return found.st_size + (off64_t)count;
    return lseek64(fd, 0, SEEK_CUR) + (off64_t)count;
}

static ssize_t no_space(void)
{
    errno = ENOSPC;
    return -1;
}

ssize_t write(int fd, const void *bytes, size_t count)
{
    int saved = errno;
    off64_t end = end_of_write(fd, count);
    errno = saved;
    return is_full_for(fd, end) ? no_space() : REAL(write)(fd, bytes, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset)
{
    return is_full_for(fd, offset + (off64_t)count) ? no_space() : REAL(pwrite64)(fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    return is_full_for(fd, offset + (off64_t)count) ? no_space() : REAL(pwrite)(fd, bytes, count, offset);
}

int ftruncate64(int fd, off64_t length)
{
    return is_full_for(fd, length) ? (int)no_space() : REAL(ftruncate64)(fd, length);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length)
{
    return is_full_for(fd, offset + length) ? (int)no_space() : REAL(fallocate64)(fd, mode, offset, length);
}

/* These two answer the error instead of setting it. */
int posix_fallocate64(int fd, off64_t offset, off64_t length)
{
    return is_full_for(fd, offset + length) ? ENOSPC : REAL(posix_fallocate64)(fd, offset, length);
}

int posix_fallocate(int fd, off_t offset, off_t length)
{
    return is_full_for(fd, offset + length) ? ENOSPC : REAL(posix_fallocate)(fd, offset, length);
}
