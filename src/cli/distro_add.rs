//! `farrier distro add`: declare a distro by writing its file.

use clap::Args;
use toml_edit::{Array, DocumentMut, Item, Table, value};

use super::{Exit, Session, offline};
use crate::inventory::{Change, EditLock};
use crate::model::command::ReloadReport;
use crate::model::{Code, Name, Refusal};

/// Declare a distro: writes boot/NAME.toml.
///
/// A SOURCE is a URL, a path on this host, or deb:PACKAGE:PATH for a file of a Debian package that
/// this host's apt downloads and Farrier unpacks without installing it. Append #sha256=HEX to a URL or
/// path to have the digest checked.
#[derive(Debug, Args)]
pub struct DistroAdd {
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
        let failed = |e: crate::inventory::WriteError| Refusal::failed(offline::chain(&e));
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
        offline::sound(files.with(&path, text.as_bytes()))?;
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
        } else if self.fetch {
            let done = super::distro::fetch(session, &self.name).await?;
            session
                .printer
                .talk(&format!("{} of {} are here", done.present, done.declared));
        } else {
            session
                .printer
                .talk(&format!("farrier distro fetch {}", self.name));
        }
        Ok(Exit::Done)
    }

    /// The file's text.
    fn file(&self) -> Result<String, Refusal> {
        let mut document = DocumentMut::new();
        let mut artefacts = Table::new();
        artefacts.set_implicit(true);
        let mut add = |base: &str, source: &str| -> Result<String, Refusal> {
            artefacts.insert(base, Item::Table(table(source)?));
            Ok(base.to_string())
        };
        document["kernel"] = value(add("linux", &self.kernel)?);
        if let Some(source) = &self.kernel_uefi {
            document["kernel_uefi"] = value(add("linux-uefi", source)?);
        }
        let mut initrds = Array::new();
        for (i, source) in self.initrds.iter().enumerate() {
            let base = match i {
                0 => "initrd".to_string(),
                n => format!("initrd{}", n + 1),
            };
            initrds.push(add(&base, source)?);
        }
        if !initrds.is_empty() {
            document["initrds"] = value(initrds);
        }
        if let Some(mirror) = &self.mirror {
            document["mirror"] = value(mirror.as_str());
        }
        document.insert("artefact", Item::Table(artefacts));
        Ok(document.to_string())
    }
}

/// One source as a table of `boot/NAME.toml`.
fn table(source: &str) -> Result<Table, Refusal> {
    let mut table = Table::new();
    if let Some(rest) = source.strip_prefix("deb:") {
        let (package, path) = rest.split_once(':').ok_or_else(|| {
            Refusal::new(
                Code::Usage,
                format!("`{source}` names no file of the package"),
            )
            .help("write deb:PACKAGE:PATH, such as deb:memtest86+:boot/memtest86+x64.bin")
        })?;
        table.insert("deb", value(package));
        table.insert("path", value(path.trim_start_matches('/')));
        return Ok(table);
    }
    let (place, digest) = match source.split_once("#sha256=") {
        Some((place, digest)) => (place, Some(digest)),
        None => (source, None),
    };
    let key = if place.starts_with("http://") || place.starts_with("https://") {
        "url"
    } else {
        "file"
    };
    table.insert(key, value(place));
    if let Some(digest) = digest {
        table.insert("sha256", value(digest));
    }
    Ok(table)
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

        [artefact.linux]
        url = "https://mirror.example/linux"
        sha256 = "00ff"

        [artefact.initrd]
        deb = "pkg"
        path = "usr/lib/initrd.gz"

        [artefact.initrd2]
        file = "/srv/more.gz"
        "#);
        assert_eq!(table("deb:pkg").expect_err("no path").code, Code::Usage);
    }
}
