/// Tells the allocator of glibc to keep for this process what is freed, instead of giving it back to the system, which hands it out
/// again page by page and filled with zeros.
///
/// A pass through a network makes and drops tensors of many megabytes: a training step of 3DECG-Net takes two thirds of
/// the time with it (`docs/benchmarks.md`). The process then stays as large as it ever was. Holds for the whole process, all that libtorch
/// allocates included, and what is allocated from then on, so programs call it at their start; the programs of this toolkit do. Threads
/// other than the first have heaps of up to 64 MB; what is larger they still take from the system and give back: train on the first. Does
/// nothing with other allocators.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code)]
    // SAFETY: `mallopt` takes a lock of its own, and sets two numbers that the allocator reads.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
    }
}
