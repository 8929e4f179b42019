//! A check that cannot run here says so: on stderr, past the runner's capture, and for `cargo xtask test`
//! in the file that it names.

use std::fs::OpenOptions;
use std::io::Write;

/// Says what is not checked, and why, in one line.
#[macro_export]
macro_rules! skipped {
    ($($told:tt)*) => {
        $crate::skip::skipped(&format!($($told)*))
    };
}

pub(crate) fn skipped(told: &str) {
    let line = format!("SKIPPED {}\n", told.replace('\n', " "));
    let _ = std::io::stderr().write_all(line.as_bytes());
    let Some(path) = std::env::var_os("FARRIER_SKIPPED") else {
        return;
    };
    // many tests write it, each a line at once
    let file = OpenOptions::new().append(true).create(true).open(path);
    if let Ok(mut file) = file {
        let _ = file.write_all(line.as_bytes());
    }
}
