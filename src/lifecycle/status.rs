//! What curtin, subiquity and cloud-init say of themselves: one JSON object for each step that begins
//! or ends (`curtin/reporter/events.py`, `cloudinit/reporting/events.py`). MAAS made it common.
//!
//! Steps are nested, `cmd-install/stage-partitioning/builtin`, and there are hundreds. All of them are
//! lines of the build's log; those that begin another stage are progress, as FAI and the Debian
//! installer report it, so that every installer has the same timeline.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::model::event::printable;
use crate::model::{EventKind, Stage};

/// Files of one message that are kept.
const FILES: usize = 4;
/// Bytes kept of one file, the last ones.
const FILE: usize = 256 * 1024;
/// Characters of a name and of a description that are shown.
const SHOWN: usize = 300;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// `curtin` (subiquity's as well) or `cloudinit`.
    pub origin: String,
    /// The step, with the steps it is part of: `cmd-install/stage-partitioning`.
    pub name: String,
    /// What it does, or how it ended.
    pub description: String,
    /// `start`, `finish`, `info`, `warning`, `error`...
    pub event_type: String,
    /// `SUCCESS`, `WARN` or `FAIL`, of a `finish`.
    pub result: Option<String>,
    /// Files it brings along: the ends of the first few.
    pub files: Vec<StatusFile>,
}

/// The end of a file that a message brings along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusFile {
    /// The last part of its path.
    pub name: String,
    /// Its text.
    pub text: String,
}

#[derive(Deserialize)]
struct Sent {
    name: String,
    event_type: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    origin: Option<String>,
    #[serde(default)]
    result: Option<String>,
    #[serde(default)]
    files: Option<Vec<SentFile>>,
}

#[derive(Deserialize)]
struct SentFile {
    path: String,
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    encoding: Option<String>,
}

/// Reads a message. The machine's own time is not believed: its clock may be anything.
///
/// # Errors
/// A sentence, if it is no such message.
pub fn parse(body: &[u8]) -> Result<Status, String> {
    let sent: Sent =
        serde_json::from_slice(body).map_err(|e| format!("this is no status message: {e}"))?;
    if sent.name.trim().is_empty() {
        return Err("this is no status message: `name` is empty".to_string());
    }
    let files = sent.files.unwrap_or_default();
    Ok(Status {
        origin: printable(sent.origin.as_deref().unwrap_or("unknown"), 20),
        name: printable(&sent.name, SHOWN),
        description: printable(sent.description.as_deref().unwrap_or(""), SHOWN),
        event_type: printable(&sent.event_type, 20),
        result: sent.result.map(|r| printable(&r, 20)),
        files: files.into_iter().take(FILES).filter_map(file).collect(),
    })
}

fn file(sent: SentFile) -> Option<StatusFile> {
    let content = sent.content?;
    let bytes = match sent.encoding.as_deref() {
        // Python's encoder of old breaks lines.
        Some("base64") => {
            let packed: String = content.split_ascii_whitespace().collect();
            STANDARD.decode(packed).ok()?
        }
        _ => content.into_bytes(),
    };
    let end = &bytes[bytes.len().saturating_sub(FILE)..];
    let name = sent.path.rsplit('/').next().unwrap_or("");
    Some(StatusFile {
        name: printable(name, 40),
        text: String::from_utf8_lossy(end).into_owned(),
    })
}

impl Status {
    /// The stage that it belongs to, in the words that all installers share.
    pub fn stage(&self) -> Stage {
        let parts = self.name.split('/');
        let known = parts.clone().rev().find_map(word);
        Stage::clean(known.unwrap_or_else(|| match self.name.split_once('/') {
            // What subiquity does before and beside the installation: its network, its refresh...
            Some(("subiquity", _)) => "setup",
            _ => parts.clone().next().unwrap_or(""),
        }))
    }

    /// Whether it is the whole that ended, not a part of it: then its failure is the build's.
    ///
    /// curtin: its command, `cmd-install`. cloud-init: one of its boot stages, `modules-final`.
    /// subiquity: the installation, or the commands of the answer file before and after it. Much else
    /// of subiquity's fails and is done without, such as looking for a newer self.
    fn is_whole(&self) -> bool {
        match self.name.split_once('/') {
            None => true,
            Some(("subiquity", rest)) => {
                matches!(rest, "Install/install" | "Late/run" | "Early/run")
            }
            Some(_) => false,
        }
    }

    /// What it tells of the build that was at stage `at`; none if a line of the log says enough.
    pub fn event(&self, at: Option<&Stage>) -> Option<EventKind> {
        let stage = self.stage();
        // A task that was called off, because another one failed or is enough, is no failure.
        let called_off = self.description == "cancelled";
        match (self.event_type.as_str(), self.result.as_deref()) {
            ("finish", Some("FAIL")) if self.is_whole() && !called_off => {
                let vague = matches!(stage.as_str(), "install" | "setup");
                Some(EventKind::InstallerFailed {
                    stage: at.filter(|_| vague).cloned().unwrap_or(stage),
                    detail: self.sentence(),
                })
            }
            ("finish", Some("FAIL" | "WARN")) if !called_off => Some(EventKind::Warned {
                stage,
                detail: self.sentence(),
            }),
            ("warning" | "error", _) => Some(EventKind::Warned {
                stage,
                detail: self.sentence(),
            }),
            ("start", _) if self.moves_on(at, &stage) => Some(EventKind::Progress {
                stage,
                detail: self.sentence(),
            }),
            _ => None,
        }
    }

    /// Whether a step that begins is another stage. Subiquity does several things at a time: what it
    /// does beside the installation does not lead back to the beginning.
    fn moves_on(&self, at: Option<&Stage>, stage: &Stage) -> bool {
        match at {
            None => true,
            Some(at) if at == stage => false,
            Some(at) => stage.as_str() != "setup" || matches!(at.as_str(), "start" | "setup"),
        }
    }

    fn sentence(&self) -> String {
        match self.description.is_empty() {
            true => self.name.clone(),
            false => format!("{}: {}", self.name, self.description),
        }
    }

    /// The line of the build's log.
    pub fn line(&self) -> String {
        let result = self.result.as_deref().unwrap_or("");
        let space = if result.is_empty() { "" } else { " " };
        format!("{}{space}{result} {}", self.event_type, self.sentence())
    }
}

/// What a part of a step's name stands for. curtin's stages, and what its largest one does; what
/// subiquity calls the parts of an installation.
fn word(part: &str) -> Option<&'static str> {
    Some(match part {
        "cmd-install" | "Install" | "install" | "curtin_install" => "install",
        "stage-early" | "Early" => "setup",
        "stage-partitioning" => "partition",
        "stage-network" => "network",
        "stage-extract" => "extract",
        "installing-missing-packages" | "installing-kernel" | "system-upgrade" => "packages",
        "run_unattended_upgrades" => "packages",
        "install-grub" | "install-extlinux" | "install-zipl" | "configuring-bootloader" => {
            "bootloader"
        }
        "stage-curthooks" | "stage-hook" | "postinstall" | "configure_cloud_init" => "configure",
        "stage-late" | "Late" | "Shutdown" => "finish",
        other if other.starts_with("install_") => "packages",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(event_type: &str, name: &str, result: Option<&str>) -> Status {
        let body = serde_json::json!({
            "name": name, "description": "what it does", "event_type": event_type,
            "origin": "curtin", "timestamp": 1_600_000_000.25, "level": "INFO", "result": result,
        });
        parse(body.to_string().as_bytes()).expect("a message")
    }

    #[test]
    fn names_of_every_installer_are_the_shared_stages() {
        for (name, stage) in [
            ("cmd-install", "install"),
            ("cmd-install/stage-early", "setup"),
            (
                "cmd-install/stage-partitioning/builtin/cmd-block-meta",
                "partition",
            ),
            ("cmd-install/stage-extract/builtin", "extract"),
            (
                "cmd-install/stage-curthooks/builtin/cmd-curthooks",
                "configure",
            ),
            (
                "cmd-install/stage-curthooks/builtin/cmd-curthooks/installing-kernel",
                "packages",
            ),
            (
                "cmd-install/stage-curthooks/builtin/cmd-curthooks/install-grub",
                "bootloader",
            ),
            ("cmd-install/stage-late", "finish"),
            ("subiquity/Meta/status_GET", "setup"),
            ("subiquity/Network/wait_initial_config/wait_dhcp", "setup"),
            ("subiquity/Install/install", "install"),
            (
                "subiquity/Install/install/curtin_install/run_curtin_step/cmd-install/stage-extract",
                "extract",
            ),
            (
                "subiquity/Install/install/postinstall/install_openssh-server/retrieving",
                "packages",
            ),
            (
                "subiquity/Install/install/postinstall/configure_cloud_init",
                "configure",
            ),
            ("subiquity/Late/run/command_0", "finish"),
            ("init-local", "init-local"),
            ("init-network/config-ssh", "init-network"),
            ("modules-final/config-scripts-user", "modules-final"),
            ("something-new/part", "something-new"),
        ] {
            assert_eq!(said("start", name, None).stage().as_str(), stage, "{name}");
        }
    }

    #[test]
    fn only_the_whole_fails_a_build() {
        let kind = |name: &str, result| {
            let event = said("finish", name, Some(result)).event(None);
            event.map(|e| e.word())
        };
        for whole in [
            "cmd-install",
            "subiquity/Install/install",
            "subiquity/Late/run",
            "modules-final",
        ] {
            assert_eq!(kind(whole, "FAIL"), Some("installer-failed"), "{whole}");
            assert_eq!(kind(whole, "WARN"), Some("warned"), "{whole}");
            assert_eq!(kind(whole, "SUCCESS"), None, "{whole}");
        }
        for part in [
            "cmd-install/stage-late",
            "subiquity/Refresh/check_for_update",
            "modules-final/config-scripts-user",
        ] {
            assert_eq!(kind(part, "FAIL"), Some("warned"), "{part}");
        }
        let mut off = said("finish", "subiquity/Install/install", Some("FAIL"));
        off.description = "cancelled".to_string();
        assert_eq!(off.event(None), None);
        assert_eq!(said("info", "subiquity/Install", None).event(None), None);
        assert_eq!(said("fnord", "x", Some("FAIL")).event(None), None);
    }

    #[test]
    fn a_failure_is_at_the_stage_that_was_under_way() {
        let at = Stage::clean("partition");
        let failed = said("finish", "cmd-install", Some("FAIL")).event(Some(&at));
        let Some(EventKind::InstallerFailed { stage, detail }) = failed else {
            panic!("{failed:?}");
        };
        assert_eq!((stage, detail.as_str()), (at, "cmd-install: what it does"));
        let cloud = said("finish", "modules-final", Some("FAIL"));
        let failed = cloud.event(Some(&Stage::clean("init-network")));
        assert!(
            matches!(failed, Some(EventKind::InstallerFailed { stage, .. }) if stage.as_str() == "modules-final")
        );
    }

    #[test]
    fn a_stage_is_entered_once_and_not_left_for_what_happens_beside_it() {
        let begins = |name: &str, at: Option<&str>| {
            let at = at.map(Stage::clean);
            said("start", name, None).event(at.as_ref()).is_some()
        };
        assert!(begins("subiquity/Network/x", None));
        assert!(begins("subiquity/Network/x", Some("start")));
        assert!(!begins("subiquity/Network/x", Some("setup")));
        assert!(!begins("subiquity/Refresh/x", Some("extract")));
        assert!(begins("cmd-install/stage-extract", Some("partition")));
        assert!(!begins(
            "cmd-install/stage-extract/builtin",
            Some("extract")
        ));
    }

    #[test]
    fn files_are_bounded_and_odd_messages_are_refused_or_read() {
        let packed = STANDARD.encode("a".repeat(FILE) + "the end");
        let file = |path: &str, content: serde_json::Value, encoding: &str| serde_json::json!({ "path": path, "content": content, "encoding": encoding });
        let mut files = vec![
            file("/var/log/curtin/install.log", packed.into(), "base64"),
            file("/etc/x", "plain".into(), "text"),
            file("/none", serde_json::Value::Null, "base64"),
            file("/bad", "%%%".into(), "base64"),
        ];
        files.extend((0..100).map(|i| file(&format!("/{i}"), "x".into(), "text")));
        let body = serde_json::json!({
            "name": "cmd-install", "event_type": "finish", "files": files, "more": [1, 2],
        });
        let read = parse(body.to_string().as_bytes()).expect("a message");
        assert_eq!(read.files.len(), 2, "two of the first four can be read");
        assert_eq!(read.files[0].name, "install.log");
        assert!(read.files[0].text.len() == FILE && read.files[0].text.ends_with("the end"));
        assert_eq!(
            (read.origin.as_str(), read.line().as_str()),
            ("unknown", "finish cmd-install")
        );
        let deep = "[".repeat(100_000);
        for body in [
            "",
            "{}",
            "[]",
            "null",
            "{\"name\":\" \",\"event_type\":\"x\"}",
            &deep,
        ] {
            assert!(parse(body.as_bytes()).is_err());
        }
        let hostile = serde_json::json!({
            "name": "a\u{1b}[2J".repeat(1000), "event_type": "start", "description": "\r\n".repeat(9),
        });
        let line = parse(hostile.to_string().as_bytes()).expect("read").line();
        assert!(
            line.chars().count() < 700 && !line.contains('\u{1b}'),
            "{line}"
        );
    }
}
