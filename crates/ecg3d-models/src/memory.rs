//! The one setting of the C library that training may want, and the only unsafe code of the crate.
#![allow(unsafe_code)]

/// Asks the C library to keep memory that was freed, rather than hand it back to the system.
///
/// Each step of training frees many large arrays and takes them again; handed back, every page is cleared and mapped anew
/// each time, a quarter of the processor time of a step of 3DECG-Net (batch 4, one core). The price is memory: that step then
/// peaks at 3.0 GB instead of 1.8. It concerns the whole process, which stays as large as it ever was, so it is for a program
/// to ask for, at its start. Returns whether it was granted: by glibc, that is on most Linux systems; elsewhere nothing
/// changes.
pub fn keep_freed_memory() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: mallopt takes two integers, and may be called at any time. -1 switches trimming off.
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, 0) == 1
                && libc::mallopt(libc::M_TRIM_THRESHOLD, -1) == 1
        }
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    false
}
