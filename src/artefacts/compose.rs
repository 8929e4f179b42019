//! The text of `boot/NAME.toml` for `farrier distro add` and `import`.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::image::disc::media::Var;
use crate::model::{ArtefactSource, Distro, Family, Module, Own, Start, size_word};

/// Writes a distro as a person would write it, with the vars that it brings along.
pub fn compose(distro: &Distro, vars: &BTreeMap<String, Var>) -> String {
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
        line(format!("initrds = {}", list(&distro.initrds)));
    }
    if let Some(mirror) = &distro.mirror {
        line(format!("mirror = {}", quoted(mirror)));
    }
    let way = &distro.way;
    if way.start != Start::Linux {
        line(format!("start = {}", quoted(way.start.word())));
    }
    if let Some(path) = &way.kernel_path {
        line(format!("kernel_path = {}", quoted(path)));
    }
    if !way.firmware.is_empty() {
        let word = |family: &Family| match family {
            Family::Bios => "bios".to_string(),
            Family::Uefi => "uefi".to_string(),
        };
        let all: Vec<String> = way.firmware.iter().map(word).collect();
        line(format!("firmware = {}", list(&all)));
    }
    if let Some(memory) = way.memory {
        line(format!("memory = {}", quoted(&size_word(memory))));
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
        if let Some(path) = way.inside.get(name) {
            line(format!("inside = {}", quoted(path)));
        }
    }
    way.modules.iter().for_each(|m| module(m, &mut line));
    if let Some(own) = &way.own {
        program(own, &mut line);
    }
    if !vars.is_empty() {
        line("\n[vars]".to_string());
        for (name, var) in vars {
            let value = match var {
                Var::Text(text) => quoted(text),
                Var::List(values) => list(values),
            };
            line(format!("{} = {value}", key(name)));
        }
    }
    text
}

fn module(module: &Module<String>, line: &mut impl FnMut(String)) {
    line("\n[[module]]".to_string());
    line(format!("artefact = {}", quoted(&module.content)));
    if module.name != module.content {
        line(format!("name = {}", quoted(&module.name)));
    }
    if !module.arguments.is_empty() {
        line(format!("arguments = {}", quoted(&module.arguments)));
    }
    if let Some(path) = &module.path {
        line(format!("path = {}", quoted(path)));
    }
}

fn program(own: &Own<String>, line: &mut impl FnMut(String)) {
    line("\n[own]".to_string());
    for (word, program) in [("bios", &own.bios), ("uefi", &own.uefi)] {
        if let Some(program) = program {
            line(format!("{word} = {}", quoted(program)));
        }
    }
    if own.signed {
        line("signed = true".to_string());
    }
    line(format!("config = {}", quoted(&own.config)));
    line(format!("config_names = {}", list(&own.config_names)));
    if !own.files.is_empty() {
        let pairs = own
            .files
            .iter()
            .map(|(name, file)| format!("{} = {}", key(name), quoted(file)));
        let pairs: Vec<String> = pairs.collect();
        line(format!("files = {{ {} }}", pairs.join(", ")));
    }
}

fn list(texts: &[String]) -> String {
    let all: Vec<String> = texts.iter().map(|t| quoted(t)).collect();
    format!("[{}]", all.join(", "))
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
        assert_eq!(compose(&distro, &BTreeMap::new()), expected);
    }
}
