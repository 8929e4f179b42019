//! `farrier.toml`: what the server does.

use std::collections::BTreeMap;

use super::field::{Field, Section};
use super::subnet;
use super::suggest::instead;
use crate::model::{AgentServers, DhcpMode, Keep, Mirror, Server, Subnet, UnknownAction};

/// The whole of `farrier.toml`.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) server: Server,
    pub(super) dhcp: DhcpMode,
    pub(super) subnets: Vec<Subnet>,
    pub(super) unknown: UnknownAction,
    pub(super) mirrors: BTreeMap<String, Mirror>,
    pub(super) frozen: Option<String>,
    pub(super) keep: Keep,
    pub(super) agents: AgentServers,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            server: Server::default(),
            dhcp: DhcpMode::Full,
            subnets: Vec::new(),
            unknown: UnknownAction::Ignore,
            mirrors: BTreeMap::new(),
            frozen: None,
            keep: Keep::default(),
            agents: AgentServers::default(),
        }
    }
}

/// Reads the file's root table.
pub(super) fn settings(root: &Section<'_>) -> Settings {
    root.only(&[
        "server", "dhcp", "subnet", "unknown", "mirror", "keep", "agent", "freeze",
    ]);
    let mut settings = Settings::default();
    if let Some(section) = root.section("server", "[server]") {
        settings.server = server(&section);
    }
    if let Some(section) = root.section("dhcp", "[dhcp]") {
        section.only(&["mode"]);
        let modes = [
            ("full", DhcpMode::Full),
            ("proxy", DhcpMode::Proxy),
            ("off", DhcpMode::Off),
        ];
        let mode = section.get("mode").and_then(|f| one_of(&f, &modes));
        settings.dhcp = mode.unwrap_or(DhcpMode::Full);
    }
    if let Some(section) = root.section("unknown", "[unknown]") {
        section.only(&["action"]);
        let actions = [
            ("ignore", UnknownAction::Ignore),
            ("local", UnknownAction::Local),
            ("discover", UnknownAction::Discover),
        ];
        let action = section.get("action").and_then(|f| one_of(&f, &actions));
        settings.unknown = action.unwrap_or(UnknownAction::Ignore);
    }
    if let Some(section) = root.section("keep", "[keep]") {
        settings.keep = keep(&section);
    }
    if let Some(section) = root.section("agent", "[agent]") {
        settings.agents = agents(&section);
    }
    if let Some(field) = root.get("subnet") {
        settings.subnets = subnet::subnets(&field);
    }
    if let Some(section) = root.section("mirror", "[mirror]") {
        for field in section.fields() {
            if let Some((name, mirror)) = mirror(&field) {
                settings.mirrors.insert(name, mirror);
            }
        }
    }
    settings.frozen = root.get("freeze").and_then(|field| {
        if field.is_text() {
            return field.word().map(str::to_string);
        }
        let help = "write `freeze = \"why\"`, or remove the key".to_string();
        field.error("`freeze` must say why", "expected a sentence", Some(help));
        None
    });
    settings
}

fn server(section: &Section<'_>) -> Server {
    section.only(&["interfaces", "http_port", "https_port", "tftp_port"]);
    let mut server = Server::default();
    if let Some(field) = section.get("interfaces") {
        server.interfaces = field.elements().iter().filter_map(interface_name).collect();
    }
    for (key, port) in [
        ("http_port", &mut server.http_port),
        ("https_port", &mut server.https_port),
        ("tftp_port", &mut server.tftp_port),
    ] {
        let given = section.get(key).and_then(|f| f.integer(1..=65_535));
        if let Some(given) = given.and_then(|n| u16::try_from(n).ok()) {
            *port = given;
        }
    }
    server
}

fn keep(section: &Section<'_>) -> Keep {
    section.only(&[
        "events",
        "builds",
        "revisions",
        "log_lines",
        "bundles",
        "leases",
    ]);
    let mut keep = Keep::default();
    for (key, figure, least) in [
        ("events", &mut keep.events, 1000),
        ("builds", &mut keep.builds, 1),
        ("revisions", &mut keep.revisions, 1),
        ("log_lines", &mut keep.log_lines, 100),
        ("bundles", &mut keep.bundles, 16),
    ] {
        let given = section
            .get(key)
            .and_then(|f| f.integer(least..=1_000_000_000));
        if let Some(given) = given.and_then(|n| u32::try_from(n).ok()) {
            *figure = given;
        }
    }
    keep.leases = section.duration("leases").unwrap_or(keep.leases);
    keep
}

fn agents(section: &Section<'_>) -> AgentServers {
    section.only(&["puppet", "salt", "cfengine"]);
    let mut agents = AgentServers::default();
    if let Some(section) = section.section("puppet", "[agent.puppet]") {
        section.only(&["revoke"]);
        if let Some(field) = section.get("revoke") {
            agents.puppet_revoke = field.texts();
            let names = agents.puppet_revoke.iter().any(|w| w.contains("{name}"));
            if !agents.puppet_revoke.is_empty() && !names {
                let help = "write `{name}` where the certificate's name belongs; or `[]` if that is not this server's to do";
                field.error(
                    "`revoke` does not say whose certificate",
                    "no word has `{name}`",
                    Some(help.to_string()),
                );
            }
        }
    }
    for (agent, key, path) in [
        ("salt", "pki", &mut agents.salt_pki),
        ("cfengine", "keys", &mut agents.cfengine_keys),
    ] {
        let Some(section) = section.section(agent, format!("[agent.{agent}]")) else {
            continue;
        };
        section.only(&[key]);
        if let Some(given) = section.get(key).and_then(|f| f.by("a path", absolute)) {
            *path = given;
        }
    }
    agents
}

/// A path from the root, without dots that lead back.
pub(super) fn absolute(text: &str) -> Result<String, String> {
    let plain = !text.chars().any(char::is_control) && !text.split('/').any(|part| part == "..");
    (text.starts_with('/') && plain)
        .then(|| text.to_string())
        .ok_or_else(|| format!("`{text}` is not an absolute path"))
}

/// An interface name as the kernel allows it: at most 15 bytes, no slash, no space.
fn interface_name(field: &Field<'_>) -> Option<String> {
    let name = field.word()?;
    let ok = name.len() <= 15
        && ![".", ".."].contains(&name)
        && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace());
    if !ok {
        let help = "name it as `ip link` does".to_string();
        field.error(
            format!("`{name}` is not the name of a network interface"),
            "no interface can have this name",
            Some(help),
        );
        return None;
    }
    Some(name.to_string())
}

/// One of a few words.
pub(super) fn one_of<T: Copy>(field: &Field<'_>, words: &[(&str, T)]) -> Option<T> {
    let text = field.text()?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Some(*value);
    }
    let all = words.iter().map(|(word, _)| *word);
    field.error(
        format!("`{}` cannot be `{text}`", field.key),
        "not one of the words known here",
        instead(text, all),
    );
    None
}

fn mirror(field: &Field<'_>) -> Option<(String, Mirror)> {
    let name = field.key;
    let section = field.section(format!("[mirror.{name}]"))?;
    section.only(&["upstream", "socket"]);
    let ok = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if !ok {
        field.error(
            format!("`{name}` is not a name for a mirror"),
            "letters, digits, `-` and `_` only",
            None,
        );
        return None;
    }
    let upstream = section.get("upstream").and_then(|f| f.by("a URL", url));
    let socket = section.get("socket").and_then(|f| {
        let path = f.word()?;
        if !path.starts_with('/') {
            let help = Some(format!("write it in full: `/run/{path}`"));
            f.error(
                "`socket` must be an absolute path",
                "begins without `/`",
                help,
            );
            return None;
        }
        Some(path.to_string())
    });
    Some((name.to_string(), Mirror { upstream, socket }))
}

/// An `http` or `https` URL with a host and without credentials.
pub(super) fn url(text: &str) -> Result<String, String> {
    // Before anything else: a message must not repeat what it refuses.
    let authority = text.split("://").nth(1).unwrap_or("");
    if authority.split('/').next().unwrap_or("").contains('@') {
        return Err(
            "a URL with a user or password in it is refused; no secret belongs into these files"
                .to_string(),
        );
    }
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"))
        .ok_or_else(|| {
            format!("`{text}` is not a URL; it must begin with `http://` or `https://`")
        })?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or("");
    if host.is_empty() || text.contains(char::is_whitespace) {
        return Err(format!("`{text}` is not a URL; a host must follow `//`"));
    }
    Ok(text.to_string())
}
