//! The names in what is served: scripts of three loaders, answer files, archives of answer files.

use std::io::Write;
use std::process::{Command, Stdio};

use farrier::cli::demo::rack::SERVER;
use farrier::model::MacAddr;

use super::Firmware;

/// Something to be fetched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    Tftp(String),
    /// A URL, whole.
    Http(String),
}

/// What a file points to.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) names: Vec<Name>,
    /// A certificate to be trusted for what is named.
    pub(super) certificate: Option<String>,
}

/// Every name in a file, with the loaders' variables filled in as the loader would.
pub(super) fn names(bytes: &[u8], mac: MacAddr, firmware: &Firmware) -> Found {
    let unpacked;
    let bytes = match bytes {
        [0x1f, 0x8b, ..] => {
            unpacked = unpack(bytes);
            &unpacked
        }
        bytes => bytes,
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Found::default();
    };
    let text = text
        .replace("${net${farrier-nic}/mac:hexhyp}", &mac.dashed())
        .replace("${platform}", firmware.platform())
        .replace("${buildarch}", firmware.build())
        .replace("$net_default_mac", &mac.to_string());
    let mut found = Vec::new();
    let base = format!("http://{SERVER}");
    for base in [&base, &format!("https://{SERVER}")] {
        for (at, _) in text.match_indices(base) {
            found.push(Name::Http(format!(
                "{base}{}",
                path(&text[at + base.len()..])
            )));
        }
    }
    for (at, start) in text.match_indices(&format!("(tftp,{SERVER})/")) {
        found.push(Name::Tftp(path(&text[at + start.len()..]).to_string()));
    }
    for (at, start) in text.match_indices(&format!("(http,{SERVER})")) {
        found.push(Name::Http(format!(
            "{base}{}",
            path(&text[at + start.len()..])
        )));
    }
    for line in text.lines() {
        let Some((word, value)) = line.trim().split_once(' ') else {
            continue;
        };
        if matches!(word, "KERNEL" | "INITRD") {
            found.extend(value.split(',').map(|v| Name::Tftp(v.to_string())));
        }
    }
    Found {
        names: found,
        certificate: certificate(&text),
    }
}

fn certificate(text: &str) -> Option<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let (_, rest) = text.split_once("-----BEGIN CERTIFICATE-----")?;
    let (inside, _) = rest.split_once(END)?;
    // in JSON its lines are one
    let inside = inside.replace("\\n", "\n");
    Some(format!("-----BEGIN CERTIFICATE-----{inside}{END}\n"))
}

/// As far as a URL goes in a script or an answer file; where a shell's variable is its last part, as
/// far as what stands before.
fn path(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.:+~/?=&$%".contains(c)));
    let path = text[..end.unwrap_or(text.len())].trim_end_matches(['.', ':']);
    match path.rsplit_once('/') {
        Some((before, last)) if last.contains('$') => before,
        _ => path,
    }
}

/// All files of a compressed archive, one behind the other.
fn unpack(bytes: &[u8]) -> Vec<u8> {
    let mut tar = Command::new("tar")
        .args(["--extract", "--gzip", "--to-stdout", "--file=-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("tar");
    let mut pipe = tar.stdin.take().expect("a pipe");
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || pipe.write_all(&bytes));
    let out = tar.wait_with_output().expect("an end");
    // an initrd that is no archive is compressed too
    let _ = writer.join();
    out.stdout
}
