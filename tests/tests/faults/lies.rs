//! Lies to a member about its disk and its wall clock: a library that is loaded before the system's own. It works without
//! privileges and touches nothing but that process.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The library's source. The two numbers of the file that `LIES_FILE` names are seconds that the wall clock is off, and
/// whether no file may grow, as on a full disk: what has its room already can still be written.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *lies;

__attribute__((constructor)) static void listen_to_lies(void) {
    const char *path = getenv("LIES_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(0, 2 * sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) lies = page;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *when) {
    int result = (int)syscall(SYS_clock_gettime, clock, when);
    if (result == 0 && clock == CLOCK_REALTIME && lies) when->tv_sec += lies[0];
    return result;
}

static int would_grow(int file, off64_t end) {
    struct stat64 status;
    if (!lies || !lies[1] || file <= STDERR_FILENO) return 0;
    return fstat64(file, &status) == 0 && S_ISREG(status.st_mode) && end > status.st_size;
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) {
    if (would_grow(file, offset + (off64_t)count)) { errno = ENOSPC; return -1; }
    return syscall(SYS_pwrite64, file, bytes, count, offset);
}

ssize_t write(int file, const void *bytes, size_t count) {
    off64_t offset = lies && lies[1] ? lseek64(file, 0, SEEK_CUR) : -1;
    if (offset >= 0 && would_grow(file, offset + (off64_t)count)) { errno = ENOSPC; return -1; }
    return syscall(SYS_write, file, bytes, count);
}

int ftruncate64(int file, off64_t length) {
    if (would_grow(file, length)) { errno = ENOSPC; return -1; }
    return (int)syscall(SYS_ftruncate, file, length);
}
"#;

/// What one process is told.
pub(crate) struct Lies {
    library: PathBuf,
    file: PathBuf,
}

impl Lies {
    /// The truth so far. Needs the C compiler that Rust links with.
    pub(crate) fn in_directory(directory: &Path) -> Self {
        let (source, library) = (directory.join("lies.c"), directory.join("lies.so"));
        std::fs::write(&source, SOURCE).expect("a writable directory");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .output()
            .expect("a C compiler");
        let said = String::from_utf8_lossy(&compiled.stderr);
        assert!(compiled.status.success(), "{said}");
        let file = directory.join("lies");
        std::fs::write(&file, [0; 16]).expect("a writable directory");
        Self { library, file }
    }

    /// Has a command listen.
    pub(crate) fn tell(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("LIES_FILE", &self.file);
    }

    /// Sets the wall clock off by so many seconds.
    pub(crate) fn wall_clock_is_off_by(&self, seconds: i64) {
        self.say(0, seconds);
    }

    /// Lets no file grow any more, or lets them grow again.
    pub(crate) fn disk_is_full(&self, full: bool) {
        self.say(8, i64::from(full));
    }

    fn say(&self, at: u64, number: i64) {
        let file = File::options().write(true).open(&self.file);
        let file = file.expect("the file is there");
        file.write_all_at(&number.to_ne_bytes(), at)
            .expect("the file is writable");
    }
}
