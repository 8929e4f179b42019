//! How eagerly a thread runs.

/// Of 1024 parts for a thread of a door, one of this priority is given 36 while both want the processor.
const LATER: libc::c_int = 15;

/// Makes the calling thread give way to every other of this process, for work that nobody waits for.
/// Where that is not allowed, or the whole process is less eager than that already, it runs as any other.
pub fn give_way() {
    #[expect(unsafe_code, reason = "nix has neither")]
    // SAFETY: no pointer is involved. On Linux 0 names the calling thread alone (setpriority(2)).
    let outcome = unsafe {
        match libc::getpriority(libc::PRIO_PROCESS, 0) {
            now if now >= LATER => 0,
            _ => libc::setpriority(libc::PRIO_PROCESS, 0, LATER),
        }
    };
    if outcome != 0 {
        let error = std::io::Error::last_os_error();
        tracing::debug!(%error, "a thread of the background runs as eagerly as the others");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_gives_way_and_no_other() {
        #[expect(unsafe_code, reason = "nix has no getpriority")]
        // SAFETY: as above.
        let priority = || unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        let before = priority();
        let there = std::thread::spawn(move || {
            give_way();
            priority()
        });
        assert_eq!(there.join().expect("a thread"), before.max(LATER));
        assert_eq!(priority(), before);
    }
}
