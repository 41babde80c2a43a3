//! Memory of a process with many threads.

/// Arenas that glibc's allocator may open; by default eight for each core, and what one thread has freed in its arena is
/// of no use to the others. Under load a node took a third more memory that way.
const ARENAS: (&str, &str) = ("MALLOC_ARENA_MAX", "2");

/// Starts this program anew with few arenas, as the same process, unless the operator has said how many: glibc reads
/// that before `main`. Goes on as it is where that cannot be.
pub fn limit() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::{env, os::unix::process::CommandExt, process::Command};
        let (name, value) = ARENAS;
        if env::var_os(name).is_none()
            && let Ok(program) = env::current_exe()
        {
            // Returns only if it failed.
            let error = Command::new(program).args(env::args_os().skip(1)).env(name, value).exec();
            eprintln!("memory is not kept in few arenas: {error}");
        }
    }
}
