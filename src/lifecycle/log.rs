//! Lines that machines log: made fit to be kept, and what they tell of where an installer stands.

use crate::model::event::printable;

/// Characters kept of a line.
const LINE: usize = 1000;

/// A line without control characters, and without the addresses that hold a build's tokens:
/// installers log their command line and what they fetch.
pub fn clean(text: &str) -> String {
    let mut out = printable(text, LINE);
    for head in ["/b/", "/r/", "/h/"] {
        let mut from = 0;
        while let Some(at) = out.get(from..).and_then(|rest| rest.find(head)) {
            let begin = from + at + head.len();
            let token = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            let length = out[begin..]
                .find(|c| !token(c))
                .unwrap_or(out.len() - begin);
            if length >= TOKEN {
                out.replace_range(begin..begin + length, "..");
            }
            from = begin;
        }
    }
    out
}

/// Anything as long as this in the place of a token may be one.
const TOKEN: usize = 20;

/// The text of a syslog message (RFC 3164, RFC 5424): without its priority, and without the time of
/// a machine whose clock may be anything.
pub fn syslog(message: &str) -> &str {
    let rest = message
        .strip_prefix('<')
        .and_then(|r| r.split_once('>'))
        .filter(|(priority, _)| priority.len() <= 3 && priority.bytes().all(|b| b.is_ascii_digit()))
        .map_or(message, |(_, rest)| rest);
    let bytes = rest.as_bytes();
    // `Nov 25 13:16:42 `
    let stamped = bytes.len() > 16
        && [3, 6, 15].iter().all(|i| bytes[*i] == b' ')
        && [9, 12].iter().all(|i| bytes[*i] == b':')
        && rest.is_char_boundary(16);
    if stamped { &rest[16..] } else { rest }
}

/// The step that a line of the Debian installer's log shows it to be at.
pub fn step_of(line: &str) -> Option<&'static str> {
    if !line.contains("main-menu") {
        return None;
    }
    let item = line.split("Menu item '").nth(1)?.split('\'').next()?;
    Some(match item {
        "bootstrap-base" | "live-installer" => "extract",
        "pkgsel" => "packages",
        "grub-installer" | "lilo-installer" | "nobootloader" => "bootloader",
        "finish-install" | "save-logs" => "finish",
        "disk-detect" => "partition",
        other if other.starts_with("partman") => "partition",
        other if other.starts_with("apt-") => "packages",
        _ => "setup",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_token_is_kept() {
        let token = "k".repeat(40);
        for head in ["b", "r", "h"] {
            let line = format!(
                "wget http://10.77.0.1/{head}/{token}/x.cfg, http://10.77.0.1/{head}/{token}"
            );
            let kept = clean(&line);
            assert_eq!(
                kept,
                format!("wget http://10.77.0.1/{head}/../x.cfg, http://10.77.0.1/{head}/..")
            );
        }
        assert_eq!(clean("cp /b/short /r/é/x\u{7}y"), "cp /b/short /r/é/x y");
        assert!(clean(&"é".repeat(5000)).chars().count() <= LINE + 1);
    }

    #[test]
    fn messages_lose_what_only_their_sender_needs() {
        for (message, text) in [
            ("<13>Nov 25 13:16:42 main-menu[254]: x", "main-menu[254]: x"),
            ("<6>kernel: [    0.0] up", "kernel: [    0.0] up"),
            (
                "<165>1 2026-11-25T13:16:42Z web01 app - - - hi",
                "1 2026-11-25T13:16:42Z web01 app - - - hi",
            ),
            ("no priority", "no priority"),
            ("<x>", "<x>"),
            ("", ""),
        ] {
            assert_eq!(syslog(message), text);
        }
    }

    #[test]
    fn the_debian_installers_menu_tells_the_step() {
        let line = |item: &str| format!("main-menu[254]: INFO: Menu item '{item}' selected");
        assert_eq!(step_of(&line("partman-base")), Some("partition"));
        assert_eq!(step_of(&line("bootstrap-base")), Some("extract"));
        assert_eq!(step_of(&line("netcfg")), Some("setup"));
        assert_eq!(step_of("kernel: Menu item 'x'"), None);
    }
}
