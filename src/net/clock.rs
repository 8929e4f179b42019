//! Whether the network keeps this host's clock right.

/// Whether the kernel says that something disciplines its clock (adjtimex(2): `STA_UNSYNC`); none if
/// it does not say, as in some containers.
pub fn clock_synchronised() -> Option<bool> {
    #[expect(unsafe_code, reason = "no crate that is here wraps adjtimex")]
    // SAFETY: all zeros is a valid `timex`, and with `modes` 0 the call only writes into it.
    let (state, status) = unsafe {
        let mut answer: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut answer), answer.status)
    };
    (state >= 0).then_some(status & libc::STA_UNSYNC == 0)
}
