//! What can go wrong in a rack.

use std::path::{Path, PathBuf};

/// Why the rack could not do something.
#[derive(Debug, thiserror::Error)]
pub enum RackError {
    /// A command that must succeed did not.
    #[error("`{command}` failed: {detail}")]
    Command {
        /// What was run.
        command: String,
        /// What it said, or why it could not be started.
        detail: String,
    },
    /// A file or directory could not be used.
    #[error("`{path}` cannot be used: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something was not seen in time.
    #[error("{what} was not seen within {seconds} s\n{evidence}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// For how long.
        seconds: u64,
        /// Tails of logs, for the reader to see what happened instead.
        evidence: String,
    },
    /// A process ended that should have gone on.
    #[error("{what} ended early ({status})\n{evidence}")]
    Ended {
        /// Which.
        what: String,
        /// Its exit status.
        status: String,
        /// The tail of its log.
        evidence: String,
    },
    /// Something this host lacks.
    #[error("{0}")]
    Missing(String),
}

impl RackError {
    /// Names the file an operation failed on.
    pub fn file(path: &Path) -> impl FnOnce(std::io::Error) -> RackError + use<> {
        let path = path.to_path_buf();
        move |source| RackError::File { path, source }
    }
}

/// The last lines of a log, indented, for an error to show.
pub(super) fn tail(title: &str, text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let from = all.len().saturating_sub(lines);
    let mut out = format!("  --- {title}, last lines:\n");
    for line in &all[from..] {
        out.push_str(&format!("  | {line}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_keeps_the_end() {
        let text = "one\n\ntwo\nthree\n";
        assert_eq!(
            tail("log", text, 2),
            "  --- log, last lines:\n  | two\n  | three\n"
        );
    }
}
