//! Lines that machines log: made fit to be kept, and what they tell of where an installer stands.

use crate::model::event::printable;

/// Characters kept of a line.
const LINE: usize = 1000;

/// A line without control characters, and without the addresses that hold a build's tokens:
/// installers log their command line and what they fetch.
pub fn clean(text: &str) -> String {
    without_tokens(&printable(text, LINE))
}

/// A text with every token of a build's left out of its addresses: of `/b/TOKEN/..` by HTTP, and of
/// `b/TOKEN/..`, which is its name by TFTP. All else of it stays as it is.
pub fn without_tokens(text: &str) -> String {
    let bytes = text.as_bytes();
    let run = |from: usize, of: fn(u8) -> bool| {
        let rest = bytes.get(from..).unwrap_or_default();
        rest.iter().take_while(|b| of(**b)).count()
    };
    let mut out = String::with_capacity(text.len());
    let (mut kept, mut at) = (0, 0);
    while at < bytes.len() {
        let word = at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
        let head = word && HEADS.contains(&bytes[at]);
        at += 1;
        // A path with too many slashes is understood all the same.
        let slashes = if head { run(at, |b| b == b'/') } else { 0 };
        if slashes == 0 {
            continue;
        }
        at += slashes;
        let length = run(at, |b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if length >= TOKEN {
            out.push_str(&text[kept..at]);
            out.push_str("..");
            at += length;
            kept = at;
        }
    }
    out.push_str(&text[kept..]);
    out
}

/// What stands before a token in a path: documents, reports, the hand-off.
const HEADS: [u8; 3] = *b"brh";
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
        for (said, kept) in [
            // TFTP has no slash before it
            (format!("b/{token}/overlay.cpio"), "b/../overlay.cpio"),
            (format!("RRQ b/{token}: 5 bytes"), "RRQ b/..: 5 bytes"),
            (format!("//b//{token}//x"), "//b//..//x"),
            (format!("é r/{token}é h/{token}"), "é r/..é h/.."),
            (format!("b/h/{token}"), "b/h/.."),
        ] {
            assert_eq!(clean(&said), kept);
        }
        for other in [format!("pub/{token}"), format!("b{token}")] {
            assert_eq!(clean(&other), other);
        }
        assert_eq!(clean("cp /b/short /r/é/x\u{7}y"), "cp /b/short /r/é/x y");
        for whole in ["", "b", "b/", "/b/", "b/é", "é/b/é"] {
            assert_eq!(without_tokens(whole), whole);
        }
        let lines = format!("  one /r/{token}/log\n\ttwo");
        assert_eq!(without_tokens(&lines), "  one /r/../log\n\ttwo");
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
