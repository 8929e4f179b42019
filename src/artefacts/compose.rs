//! The text of `boot/NAME.toml` for `farrier distro add`.

use std::fmt::Write;

use super::error::ArtefactError;
use super::shelf::check_name;
use crate::model::{ArtefactSource, Distro, Name};

/// Makes a distro of sources, guessing what their names leave open: an artefact is named as its
/// file, the kernel is the first whose name says so (else the first), `*.efi` next to a `*.bin`
/// kernel is the one for UEFI, and what has `initr` in its name is an initrd.
///
/// # Errors
/// A name no URL can carry, two artefacts of one name, or none at all.
pub fn draft(
    name: Name,
    sources: Vec<(Option<String>, ArtefactSource)>,
    mirror: Option<String>,
) -> Result<Distro, ArtefactError> {
    let mut named = Vec::new();
    for (given, source) in sources {
        let artefact = given.unwrap_or_else(|| file_name(&source).to_string());
        check_name(&name, &artefact)?;
        if named.iter().any(|(n, _)| *n == artefact) {
            return Err(ArtefactError::Twice(artefact));
        }
        named.push((artefact, source));
    }
    let is_initrd = |n: &str| n.contains("initr") || n.contains("ramdisk") || n.ends_with(".cpio");
    let is_kernel = |n: &str| {
        ["linux", "vmlinu", "kernel", "bzImage"]
            .iter()
            .any(|k| n.contains(k))
    };
    let bootable = || named.iter().map(|(n, _)| n).filter(|n| !is_initrd(n));
    let kernel = bootable()
        .find(|n| is_kernel(n))
        .or_else(|| bootable().find(|n| !n.ends_with(".efi")))
        .or_else(|| bootable().next())
        .cloned()
        .ok_or_else(|| ArtefactError::NoKernel(name.to_string()))?;
    let kernel_uefi = bootable()
        .find(|n| n.ends_with(".efi") && **n != kernel && kernel.ends_with(".bin"))
        .cloned();
    let initrds = named
        .iter()
        .map(|(n, _)| n.clone())
        .filter(|n| is_initrd(n))
        .collect();
    Ok(Distro {
        kernel,
        kernel_uefi,
        initrds,
        mirror,
        name,
        artefacts: named.into_iter().collect(),
    })
}

fn file_name(source: &ArtefactSource) -> &str {
    let path = match source {
        ArtefactSource::Deb { path, .. } | ArtefactSource::File { path, .. } => path.as_str(),
        ArtefactSource::Url { url, .. } => url.split(['?', '#']).next().unwrap_or_default(),
        ArtefactSource::Built { builder } => builder,
    };
    path.rsplit('/').next().unwrap_or(path)
}

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

    fn deb(path: &str) -> ArtefactSource {
        let (package, path) = ("p".to_string(), path.to_string());
        ArtefactSource::Deb { package, path }
    }

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    #[test]
    fn a_distro_is_written_as_a_person_would() {
        let sources = vec![
            (None, deb("usr/lib/di/initrd.gz")),
            (None, deb("usr/lib/di/linux")),
            (
                Some("extra".into()),
                ArtefactSource::Url {
                    url: "https://h/x?\"\\".into(),
                    sha256: Some("ab".into()),
                },
            ),
        ];
        let distro = draft(name("d"), sources, Some("debian".into())).expect("a distro");
        let expected = r#"kernel = "linux"
initrds = ["initrd.gz"]
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
"#;
        assert_eq!(compose(&distro), expected);
    }

    #[test]
    fn roles_are_guessed_from_names() {
        let check = |paths: &[&str], kernel: &str, uefi: Option<&str>, initrds: &[&str]| {
            let sources = paths.iter().map(|p| (None, deb(p))).collect();
            let distro = draft(name("d"), sources, None).expect("a distro");
            assert_eq!(distro.kernel, kernel, "{paths:?}");
            assert_eq!(distro.kernel_uefi.as_deref(), uefi, "{paths:?}");
            assert_eq!(distro.initrds, initrds, "{paths:?}");
        };
        let memtest = ["boot/memtest86+x64.efi", "boot/memtest86+x64.bin"];
        let (bin, efi) = ("memtest86+x64.bin", "memtest86+x64.efi");
        check(&memtest, bin, Some(efi), &[]);
        check(
            &["x/squash.img", "x/vmlinuz-6.1", "x/initrd.img"],
            "vmlinuz-6.1",
            None,
            &["initrd.img"],
        );
        check(&["a/tool.efi"], "tool.efi", None, &[]);
        let initramfs = [(None, deb("x/initramfs"))];
        assert!(
            draft(name("d"), initramfs.into(), None).is_err(),
            "no kernel"
        );
        let twice = vec![(None, deb("a/linux")), (None, deb("b/linux"))];
        let error = draft(name("d"), twice, None)
            .expect_err("twice")
            .to_string();
        assert!(error.contains("`linux`"), "{error}");
        let bad = vec![(None, deb("a/.hidden"))];
        assert!(draft(name("d"), bad, None).is_err());
    }
}
