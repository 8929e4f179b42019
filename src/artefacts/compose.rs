//! The text of `boot/NAME.toml` for `farrier distro add`.

use std::fmt::Write;

use crate::model::{ArtefactSource, Distro};

/// Writes a distro as a person would write it.
pub fn compose(distro: &Distro) -> String {
    let mut text = String::new();
    // writing to a String cannot fail
    let mut line = |line: String| {
        let _ = writeln!(text, "{line}");
    };
    line(format!("kernel = {}", quoted(&distro.kernel)));
    if let Some(kernel) = &distro.kernel_uefi {
        line(format!("kernel_uefi = {}", quoted(kernel)));
    }
    if !distro.initrds.is_empty() {
        let all: Vec<String> = distro.initrds.iter().map(|i| quoted(i)).collect();
        line(format!("initrds = [{}]", all.join(", ")));
    }
    if let Some(mirror) = &distro.mirror {
        line(format!("mirror = {}", quoted(mirror)));
    }
    for (name, source) in &distro.artefacts {
        line(format!("\n[artefact.{}]", key(name)));
        let (pairs, sha256) = match source {
            ArtefactSource::Deb { package, path } => {
                (vec![("deb", package), ("path", path)], &None)
            }
            ArtefactSource::Iso { iso, path } => (vec![("iso", iso), ("path", path)], &None),
            ArtefactSource::Url { url, sha256 } => (vec![("url", url)], sha256),
            ArtefactSource::File { path, sha256 } => (vec![("file", path)], sha256),
            ArtefactSource::Built { builder } => (vec![("builder", builder)], &None),
        };
        for (key, value) in pairs
            .into_iter()
            .chain(sha256.iter().map(|s| ("sha256", s)))
        {
            line(format!("{key} = {}", quoted(value)));
        }
    }
    text
}

/// A TOML key, bare if it can be.
fn key(text: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !text.is_empty() && text.bytes().all(bare) {
        text.to_string()
    } else {
        quoted(text)
    }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distro_is_written_as_a_person_would() {
        let deb = |path: &str| ArtefactSource::Deb {
            package: "p".to_string(),
            path: path.to_string(),
        };
        let extra = ArtefactSource::Url {
            url: "https://h/x?\"\\".into(),
            sha256: Some("ab".into()),
        };
        let built = ArtefactSource::Built {
            builder: "fai".into(),
        };
        let inside = ArtefactSource::Iso {
            iso: "media.iso".into(),
            path: "casper/vmlinuz".into(),
        };
        let local = ArtefactSource::File {
            path: "../x\n".into(),
            sha256: None,
        };
        let sources = [
            ("initrd.gz", deb("usr/lib/di/initrd.gz")),
            ("linux", deb("usr/lib/di/linux")),
            ("linux.efi", local),
            ("extra", extra),
            ("squash", built),
            ("vmlinuz", inside),
        ];
        let distro = Distro {
            name: "d".parse().expect("a name"),
            artefacts: sources.map(|(n, s)| (n.to_string(), s)).into(),
            kernel: "linux".into(),
            kernel_uefi: Some("linux.efi".into()),
            initrds: vec!["initrd.gz".into(), "extra".into()],
            mirror: Some("debian".into()),
            way: crate::model::DistroWay::default(),
        };
        let expected = r#"kernel = "linux"
kernel_uefi = "linux.efi"
initrds = ["initrd.gz", "extra"]
mirror = "debian"

[artefact.extra]
url = "https://h/x?\"\\"
sha256 = "ab"

[artefact."initrd.gz"]
deb = "p"
path = "usr/lib/di/initrd.gz"

[artefact.linux]
deb = "p"
path = "usr/lib/di/linux"

[artefact."linux.efi"]
file = "../x\u000A"

[artefact.squash]
builder = "fai"

[artefact.vmlinuz]
iso = "media.iso"
path = "casper/vmlinuz"
"#;
        assert_eq!(compose(&distro), expected);
    }
}
