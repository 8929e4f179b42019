//! Output formats: how a value is written into each, and what is checked in the result.
//!
//! One rule holds for all of them: a value arrives in the parsed document exactly as it was
//! written by its owner, or rendering refuses. Where a format has a quoting that works wherever a
//! value may stand (JSON, YAML, TOML, Nix, XML), it is applied; where it has not (shell, kernel command
//! line, boot scripts), a value that is not plain is refused and the sentence says which filter to
//! use.

mod batch;
mod boot;
mod cmdline;
mod esxi;
mod json;
mod kickstart;
mod nix;
mod openbsd;
mod plain;
mod preseed;
mod shell;
mod toml;
mod unattend;
mod xml;
mod yaml;

use std::fmt::Write;

use crate::model::ProfileKind;

use super::lint::Findings;

pub(super) use batch::ended as batch_ended;
pub(super) use cmdline::fold as fold_cmdline;
pub(super) use json::quoted as json_quoted;
pub(super) use nix::{Lexer as NixLexer, Stands as NixStands, quoted as nix_quoted};
pub(super) use preseed::{is_command, no_escape};
pub(super) use shell::quoted as shell_quoted;
pub(super) use toml::quoted as toml_quoted;
pub(super) use xml::escaped as xml_escaped;

/// What kind of text a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// A shell script, or a file of assignments that a shell reads.
    Shell,
    /// Answers for debconf: `owner question type value`.
    Preseed,
    /// Kickstart commands and their script sections.
    Kickstart,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// XML.
    Xml,
    /// TOML.
    Toml,
    /// The Nix language.
    Nix,
    /// An iPXE script.
    Ipxe,
    /// A GRUB configuration.
    Grub,
    /// A kernel command line.
    Cmdline,
    /// A command script of Windows, or what its console programs read.
    Batch,
    /// Commands and script sections of VMware ESXi's installer.
    Esxi,
    /// The configuration of VMware ESXi's boot loader.
    BootCfg,
    /// Answers for OpenBSD's installer: `question = answer`.
    InstallConf,
    /// A template of OpenBSD's disklabel.
    Disklabel,
    /// Commands of OpenBSD's boot program.
    BootConf,
    /// Any other text of lines.
    Plain,
}

/// Why a value cannot stand where the template puts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    /// One sentence.
    pub(super) reason: String,
    /// What to write instead.
    pub(super) help: Option<String>,
}

impl Refused {
    fn because(reason: impl Into<String>) -> Self {
        Refused {
            reason: reason.into(),
            help: None,
        }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Refused {}

impl Format {
    /// Every format.
    pub const ALL: [Format; 18] = [
        Format::Shell,
        Format::Preseed,
        Format::Kickstart,
        Format::Json,
        Format::Yaml,
        Format::Xml,
        Format::Toml,
        Format::Nix,
        Format::Ipxe,
        Format::Grub,
        Format::Cmdline,
        Format::Batch,
        Format::Esxi,
        Format::BootCfg,
        Format::InstallConf,
        Format::Disklabel,
        Format::BootConf,
        Format::Plain,
    ];

    /// The word used in `{# format: WORD #}` and in messages.
    pub fn word(self) -> &'static str {
        match self {
            Format::Shell => "shell",
            Format::Preseed => "preseed",
            Format::Kickstart => "kickstart",
            Format::Json => "json",
            Format::Yaml => "yaml",
            Format::Xml => "xml",
            Format::Toml => "toml",
            Format::Nix => "nix",
            Format::Ipxe => "ipxe",
            Format::Grub => "grub",
            Format::Cmdline => "cmdline",
            Format::Batch => "batch",
            Format::Esxi => "esxi",
            Format::BootCfg => "boot.cfg",
            Format::InstallConf => "install.conf",
            Format::Disklabel => "disklabel",
            Format::BootConf => "boot.conf",
            Format::Plain => "plain",
        }
    }

    /// The format of a document. Its first line may say so (`{# format: shell #}`); else its name
    /// does, else a `#!` line.
    ///
    /// # Errors
    /// The word, if the first line names a format that does not exist.
    pub fn of(name: &str, kind: ProfileKind, text: &str) -> Result<Format, String> {
        if let Some(word) = declared(text) {
            return Format::ALL
                .into_iter()
                .find(|f| f.word() == word)
                .ok_or_else(|| word.to_string());
        }
        let name = name.strip_suffix(".j2").unwrap_or(name);
        let file = name.rsplit('/').next().unwrap_or(name);
        let extension = file.rsplit_once('.').map_or("", |(_, e)| e);
        Ok(match (file, extension) {
            ("grub.cfg", _) => Format::Grub,
            ("ks.cfg", _) if kind == ProfileKind::Esxi => Format::Esxi,
            ("boot.cfg", _) if kind == ProfileKind::Esxi => Format::BootCfg,
            ("install.conf", _) if kind == ProfileKind::Openbsd => Format::InstallConf,
            ("disklabel", _) if kind == ProfileKind::Openbsd => Format::Disklabel,
            ("boot.conf", _) if kind == ProfileKind::Openbsd => Format::BootConf,
            ("ks.cfg", _) | (_, "ks") => Format::Kickstart,
            ("user-data" | "meta-data" | "vendor-data" | "network-config", _) => Format::Yaml,
            (_, "cfg") if kind == ProfileKind::Preseed => Format::Preseed,
            (_, "preseed" | "seed" | "debconf") => Format::Preseed,
            (_, "sh" | "bash" | "dash" | "env" | "var") => Format::Shell,
            (_, "json" | "ign") => Format::Json,
            (_, "yaml" | "yml") => Format::Yaml,
            (_, "xml") => Format::Xml,
            (_, "toml") => Format::Toml,
            (_, "nix") => Format::Nix,
            (_, "ipxe") => Format::Ipxe,
            (_, "cmd" | "bat") => Format::Batch,
            _ if shebang_is_shell(text) => Format::Shell,
            _ => Format::Plain,
        })
    }

    /// The HTTP content type.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Xml => "application/xml",
            _ => "text/plain; charset=utf-8",
        }
    }

    /// Writes a value as the format needs it.
    ///
    /// # Errors
    /// Why it cannot stand there.
    pub(super) fn escape(self, value: &str, out: &mut dyn Write) -> Result<(), Refused> {
        let text = match self {
            Format::Shell => return shell::bare(value, out),
            Format::Preseed => return preseed::escape(value, out),
            Format::Kickstart => return kickstart::escape(value, out),
            Format::Ipxe | Format::Grub => return boot::escape(self, value, out),
            Format::Cmdline => return cmdline::escape(value, out),
            Format::Batch => return batch::escape(value, out),
            Format::Esxi
            | Format::BootCfg
            | Format::InstallConf
            | Format::Disklabel
            | Format::BootConf
            | Format::Plain => {
                return plain::escape(value, out);
            }
            Format::Json | Format::Yaml => json_quoted(value),
            Format::Xml => xml_escaped(value)?,
            Format::Toml => toml_quoted(value),
            Format::Nix => nix_quoted(value)?,
        };
        put(out, &text)
    }

    /// Whether the words of a shell may stand in it, so that the filter `sh` is at home.
    pub(super) fn speaks_shell(self) -> bool {
        matches!(self, Format::Shell | Format::Preseed | Format::Kickstart)
    }

    /// Checks a rendered document.
    pub(super) fn lint(self, text: &str, findings: &mut Findings<'_>) {
        match self {
            Format::Shell => shell::lint(text, findings),
            Format::Preseed => preseed::lint(text, findings),
            Format::Kickstart => kickstart::lint(text, findings),
            Format::Json => json::lint(text, findings),
            Format::Yaml => yaml::lint(text, findings),
            Format::Xml => xml::lint(text, findings),
            Format::Toml => toml::lint(text, findings),
            Format::Nix => nix::lint(text, findings),
            Format::Ipxe => boot::lint_ipxe(text, findings),
            Format::Grub => boot::lint_grub(text, findings),
            Format::Cmdline => cmdline::lint(text, findings),
            Format::Batch => batch::lint(text, findings),
            Format::Esxi => esxi::lint(text, findings),
            Format::BootCfg => esxi::lint_boot(text, findings),
            Format::InstallConf => openbsd::lint(text, findings),
            Format::Disklabel => openbsd::lint_disklabel(text, findings),
            Format::BootConf => openbsd::lint_boot(text, findings),
            Format::Plain => {}
        }
    }
}

/// `{# format: shell #}` at the very beginning.
fn declared(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("{#")?.split_once("#}")?.0;
    let inner = inner.trim_matches(['-', '+']).trim();
    Some(inner.strip_prefix("format:")?.trim())
}

fn shebang_is_shell(text: &str) -> bool {
    let first = text.lines().next().unwrap_or("");
    first.strip_prefix("#!").is_some_and(|program| {
        let program = program.trim().trim_end_matches([' ', '-', 'e', 'u', 'x']);
        ["/sh", "/bash", "/dash", "/ash", " sh", " bash"]
            .iter()
            .any(|shell| program.ends_with(shell))
    })
}

/// Writes text that needs nothing more.
fn put(out: &mut dyn Write, text: &str) -> Result<(), Refused> {
    out.write_str(text)
        .map_err(|_| Refused::because("the document is too long"))
}

/// A short form of a value for a message: what a person can recognise and a terminal survives.
pub(super) fn shown(value: &str) -> String {
    format!("`{}`", crate::model::event::printable(value, 40))
}

/// The first control character, if there is one; `allowed` are not counted.
fn control(value: &str, allowed: &[char]) -> Option<char> {
    value
        .chars()
        .find(|c| c.is_control() && !allowed.contains(c))
}

fn no_control(value: &str, allowed: &[char]) -> Result<(), Refused> {
    match control(value, allowed) {
        None => Ok(()),
        Some('\n') => Err(Refused::because(format!(
            "{} has a line break, which cannot stand here",
            shown(value)
        ))),
        Some(c) => Err(Refused::because(format!(
            "{} has the control character U+{:04X}, which cannot stand here",
            shown(value),
            u32::from(c)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_format() {
        let of = |name, text| Format::of(name, ProfileKind::Preseed, text);
        for (name, text, want) in [
            ("preseed.cfg.j2", "", Format::Preseed),
            ("early.sh.j2", "", Format::Shell),
            ("config/class/50-farrier.j2", "#!/bin/bash\n", Format::Shell),
            ("x", "#! /bin/sh -e\n", Format::Shell),
            ("x", "#!/usr/bin/env bash\n", Format::Shell),
            ("x", "#!/usr/bin/python3\n", Format::Plain),
            ("a/FARRIER.var", "", Format::Shell),
            ("user-data", "", Format::Yaml),
            ("config.ign", "", Format::Json),
            ("configuration.nix.j2", "", Format::Nix),
            ("grub.cfg", "", Format::Grub),
            ("ks.cfg", "", Format::Kickstart),
            ("start.cmd.j2", "", Format::Batch),
            ("motd", "", Format::Plain),
            ("motd", "{#- format: shell -#}\nx", Format::Shell),
        ] {
            assert_eq!(of(name, text), Ok(want), "{name} {text}");
        }
        assert_eq!(of("motd", "{# format: shel #}"), Err("shel".to_string()));
        for (name, kind, want) in [
            ("x.cfg", ProfileKind::Fai, Format::Plain),
            ("ks.cfg.j2", ProfileKind::Esxi, Format::Esxi),
            ("boot.cfg.j2", ProfileKind::Esxi, Format::BootCfg),
            ("install.conf.j2", ProfileKind::Openbsd, Format::InstallConf),
            ("disklabel.j2", ProfileKind::Openbsd, Format::Disklabel),
            ("boot.conf.j2", ProfileKind::Openbsd, Format::BootConf),
        ] {
            assert_eq!(Format::of(name, kind, ""), Ok(want), "{name}");
        }
    }

    #[test]
    fn hostile_values_are_refused_or_quoted() {
        let put = |format: Format, value: &str| {
            let mut out = String::new();
            format.escape(value, &mut out).map(|()| out)
        };
        for format in [Format::Shell, Format::Ipxe, Format::Grub, Format::Cmdline] {
            for value in [
                "a\"; rm -rf / #",
                "$(id)",
                "`id`",
                "a\nb",
                "a b",
                "${x}",
                "a'b",
                "a\\b",
                "\u{1b}[2J",
                "é",
            ] {
                assert!(put(format, value).is_err(), "{format:?} {value:?}");
            }
            assert_eq!(
                put(format, "web-01.x:80/y"),
                Ok("web-01.x:80/y".to_string())
            );
        }
        assert_eq!(put(Format::Json, "a\"\n"), Ok("\"a\\\"\\n\"".to_string()));
        assert_eq!(put(Format::Xml, "]]>"), Ok("]]&gt;".to_string()));
        for value in [" a", "a ", "a\nb", "a\\", "a\\nb"] {
            assert!(put(Format::Preseed, value).is_err(), "{value:?}");
        }
        assert!(put(Format::Plain, "a\nb").is_err());
    }
}
