//! `farrier distro add`: declare a distro by writing its file.

use std::collections::BTreeMap;

use clap::Args;

use super::{Exit, Session, offline};
use crate::artefacts::compose;
use crate::inventory::{Change, EditLock};
use crate::model::command::ReloadReport;
use crate::model::{ArtefactSource, Code, Diagnostic, Distro, DistroWay, Name, Refusal};

/// Declare a distro: writes boot/NAME.toml.
///
/// A SOURCE is a URL, a path on this host, or deb:PACKAGE:PATH for a file of a Debian package that
/// this host's apt downloads and Farrier unpacks without installing it. Append #sha256=HEX to a URL or
/// path to have the digest checked.
#[derive(Debug, Args)]
pub(super) struct DistroAdd {
    /// Its name
    #[arg(value_name = "NAME")]
    name: Name,
    /// The kernel
    #[arg(long, value_name = "SOURCE")]
    kernel: String,
    /// Another kernel for UEFI machines
    #[arg(long, value_name = "SOURCE")]
    kernel_uefi: Option<String>,
    /// An initial RAM disk; give it again for more, in order
    #[arg(long = "initrd", value_name = "SOURCE")]
    initrds: Vec<String>,
    /// The mirror that its installer uses
    #[arg(long, value_name = "NAME")]
    mirror: Option<String>,
    /// Fetch it at once
    #[arg(long)]
    fetch: bool,
}

impl DistroAdd {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let text = self.file()?;
        let path = format!("boot/{}.toml", self.name);
        let failed =
            |e: crate::inventory::WriteError| Refusal::failed(crate::model::with_causes(&e));
        let lock = EditLock::take(&session.place.site).map_err(failed)?;
        let files = offline::read(&session.place)?;
        if files.files.contains_key(&path) {
            return Err(Refusal::refused(format!(
                "the distro `{}` is already in `{path}`",
                self.name
            ))
            .help(format!(
                "edit `{}`",
                session.place.site.join(&path).display()
            )));
        }
        let after = offline::sound(files.with(&path, text.as_bytes()))?;
        let folder = session.place.site.join("boot");
        std::fs::create_dir_all(&folder)
            .map_err(|e| Refusal::failed(format!("`{}` cannot be made: {e}", folder.display())))?;
        let change = Change {
            path: path.clone(),
            before: None,
            bytes: text.into_bytes(),
            summary: format!("add distro {}", self.name),
        };
        lock.write(&change).map_err(failed)?;
        drop(lock);
        let live = session.has_server().await;
        if live {
            let _: ReloadReport = session
                .client
                .post("/v1/reload", &serde_json::Value::Null)
                .await?;
        }
        session.printer.object(
            &serde_json::json!({ "name": self.name, "file": path }),
            &self.name,
            || format!("{path}\n"),
        );
        if !live {
            session
                .printer
                .talk("no server runs here, so only the file was written");
        }
        if self.fetch {
            let done = super::distro::fetch(session, &self.name, false).await?;
            session
                .printer
                .talk(&format!("{} of {} are here", done.present, done.declared));
            super::distro::say_unpinned(session, &done);
            return Ok(Exit::Done);
        }
        let own = |d: &&Diagnostic| d.spans.first().is_some_and(|s| s.file == path);
        for warning in after.warnings.iter().filter(own) {
            session.printer.talk(&format!("warning: {warning}"));
        }
        session
            .printer
            .talk(&format!("farrier distro fetch {}", self.name));
        Ok(Exit::Done)
    }

    /// The file's text.
    fn file(&self) -> Result<String, Refusal> {
        let mut artefacts = BTreeMap::new();
        let mut add = |name: &str, text: &str| -> Result<String, Refusal> {
            artefacts.insert(name.to_string(), source(text)?);
            Ok(name.to_string())
        };
        let kernel = add("linux", &self.kernel)?;
        let kernel_uefi = self
            .kernel_uefi
            .as_deref()
            .map(|text| add("linux-uefi", text))
            .transpose()?;
        let mut initrds = Vec::new();
        for (i, text) in self.initrds.iter().enumerate() {
            let name = match i {
                0 => "initrd".to_string(),
                n => format!("initrd{}", n + 1),
            };
            initrds.push(add(&name, text)?);
        }
        let distro = Distro {
            name: self.name.clone(),
            artefacts,
            kernel,
            kernel_uefi,
            initrds,
            mirror: self.mirror.clone(),
            way: DistroWay::default(),
        };
        Ok(compose(&distro, &BTreeMap::new()))
    }
}

/// One source as typed.
fn source(text: &str) -> Result<ArtefactSource, Refusal> {
    if let Some(rest) = text.strip_prefix("deb:") {
        let (package, path) = rest.split_once(':').ok_or_else(|| {
            Refusal::new(
                Code::Usage,
                format!("`{text}` names no file of the package"),
            )
            .help("write deb:PACKAGE:PATH, such as deb:memtest86+:boot/memtest86+x64.bin")
        })?;
        return Ok(ArtefactSource::Deb {
            package: package.to_string(),
            path: path.trim_start_matches('/').to_string(),
        });
    }
    let (place, digest) = match text.split_once("#sha256=") {
        Some((place, digest)) => (place.to_string(), Some(digest.to_string())),
        None => (text.to_string(), None),
    };
    let remote = place.starts_with("http://") || place.starts_with("https://");
    if let (false, Some((scheme, _))) = (remote, place.split_once("://")) {
        return Err(Refusal::new(
            Code::Usage,
            format!("`{scheme}` URLs are not fetched: `{place}`"),
        )
        .help("give an http or https URL, a path, or deb:PACKAGE:PATH"));
    }
    Ok(if remote {
        ArtefactSource::Url {
            url: place,
            sha256: digest,
        }
    } else {
        ArtefactSource::File {
            path: place,
            sha256: digest,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_that_names_each_source() {
        let add = DistroAdd {
            name: "trixie".parse().expect("a name"),
            kernel: "https://mirror.example/linux#sha256=00ff".to_string(),
            kernel_uefi: None,
            initrds: vec![
                "deb:pkg:/usr/lib/initrd.gz".to_string(),
                "/srv/more.gz".to_string(),
            ],
            mirror: Some("debian".to_string()),
            fetch: false,
        };
        insta::assert_snapshot!(add.file().expect("a file"), @r#"
        kernel = "linux"
        initrds = ["initrd", "initrd2"]
        mirror = "debian"

        [artefact.initrd]
        deb = "pkg"
        path = "usr/lib/initrd.gz"

        [artefact.initrd2]
        file = "/srv/more.gz"

        [artefact.linux]
        url = "https://mirror.example/linux"
        sha256 = "00ff"
        "#);
        assert_eq!(source("deb:pkg").expect_err("no path").code, Code::Usage);
        for text in ["ftp://x/y", "FTP://x/y", "tftp://x/y#sha256=00"] {
            assert_eq!(source(text).expect_err(text).code, Code::Usage);
        }
    }
}
