//! What a machine writes to its serial port.

use std::fs;
use std::path::{Path, PathBuf};

use super::RackError;
use super::error::tail;
use super::wait::{Patience, until};

/// The serial log of one power-on.
#[derive(Debug, Clone)]
pub struct Serial {
    path: PathBuf,
}

impl Serial {
    pub(super) fn new(path: PathBuf) -> Serial {
        Serial { path }
    }

    /// Where it is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was written so far, without escape sequences.
    pub fn text(&self) -> String {
        let bytes = fs::read(&self.path).unwrap_or_default();
        plain(&String::from_utf8_lossy(&bytes))
    }

    /// Whether this was written.
    pub fn has(&self, words: &str) -> bool {
        self.text().contains(words)
    }

    /// Waits until this is written.
    ///
    /// # Errors
    /// It is not, in time.
    pub fn wait_for(&self, words: &str, patience: Patience) -> Result<(), RackError> {
        until(
            &format!("`{words}` on the serial port"),
            patience,
            || self.tail(),
            || Ok(self.has(words).then_some(())),
        )
    }

    /// Its end, for an error to show.
    pub fn tail(&self) -> String {
        tail("serial port", &self.text(), 25)
    }
}

/// Text without terminal escape sequences; carriage returns become line ends, backspaces vanish.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => {
                if chars.next_if_eq(&'[').is_some() {
                    // A control sequence ends with a letter or `@`..`~`.
                    for c in chars.by_ref() {
                        if ('\x40'..='\x7e').contains(&c) {
                            break;
                        }
                    }
                } else {
                    chars.next();
                }
            }
            '\r' => out.push('\n'),
            '\x08' | '\0' => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_no_text() {
        assert_eq!(
            plain("\x1b[2J\x1b[01;01HBds\x1b[0mDxe: ok\r\n\x08\x08x"),
            "BdsDxe: ok\n\nx"
        );
    }
}
