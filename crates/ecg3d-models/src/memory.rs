/// Makes glibc's allocator keep freed memory for this process, instead of returning it to the system.
///
/// The system hands returned memory out again page by page and filled with zeros. A pass through a network makes and
/// drops tensors of many megabytes: with this setting, a training step of 3DECG-Net takes two thirds of the time
/// (`docs/benchmarks.md`). The process then stays as large as it ever was.
///
/// The setting applies to the whole process, including all that libtorch allocates, and to everything allocated from
/// then on, so call this at the start of a program; the programs of this toolkit do. Threads other than the first have
/// heaps of up to 64 MB, and still take larger blocks from the system and return them, so train on the first thread.
/// With other allocators this does nothing.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code)]
    // SAFETY: `mallopt` takes its own lock, and sets two numbers that the allocator reads.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
    }
}
