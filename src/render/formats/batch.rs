//! Command scripts of Windows (`.cmd`, `.bat`), and what its console programs read: lines that end with a
//! carriage return and a line feed.
//!
//! Of scripts with bare line feeds it is said that cmd.exe misses some labels, depending on where in its
//! buffer they fall: whether `goto` works would depend on what stands before. Not seen here, for Wine's does not.

use std::borrow::Cow;
use std::fmt::Write;

use super::{Findings, Refused, put, shown};

/// A value that means the same within quotes and without. `%` is doubled, as a script needs it; what is no
/// script should print none.
pub(super) fn escape(value: &str, out: &mut dyn Write) -> Result<(), Refused> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_@%+:./\\~-".contains(&b);
    if value.bytes().all(plain) {
        return put(out, &value.replace('%', "%%"));
    }
    Err(Refused::because(format!(
        "{} has characters that mean something to cmd.exe",
        shown(value)
    ))
    .help("nothing quotes safely there: write it into a document of its own, which the script fetches"))
}

/// cmd.exe reads a script in the code page of its console, which nobody knows here.
pub(super) fn lint(text: &str, findings: &mut Findings<'_>) {
    for (at, line) in text.lines().enumerate() {
        if !line.is_ascii() {
            findings.error(
                at + 1,
                "cmd.exe would read other characters than ASCII's as others",
            );
        }
    }
}

/// The text as it is sent.
pub(in crate::render) fn ended(text: &str) -> Cow<'_, str> {
    match text.contains('\n') {
        true => Cow::Owned(text.replace("\r\n", "\n").replace('\n', "\r\n")),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &str) -> Option<String> {
        let mut out = String::new();
        escape(value, &mut out).ok().map(|()| out)
    }

    #[test]
    fn a_value_stays_one_word_or_is_refused() {
        assert_eq!(
            written("http://10.0.0.1/a%20b"),
            Some("http://10.0.0.1/a%%20b".into())
        );
        for hostile in [
            "a b", "a\"b", "a&b", "a|b", "a>b", "a^b", "a!b", "(a)", "a,b", "a;b", "a=b", "a\nb",
            "é",
        ] {
            assert_eq!(written(hostile), None, "{hostile:?}");
        }
    }

    #[test]
    fn each_line_ends_as_windows_ends_it() {
        assert_eq!(ended("a\n\r\nb"), "a\r\n\r\nb");
        assert_eq!(ended("a"), "a");
    }
}
