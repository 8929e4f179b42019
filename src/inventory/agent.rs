//! `[handoff.AGENT]` of a profile.toml: what an agent needs to know.

use std::time::Duration;

use super::distro::relative;
use super::field::{Field, Section};
use super::profile::Placed;
use super::settings::{absolute, url};
use crate::model::agent::{Ansible, Cfengine, Chef, Puppet, Salt};
use crate::model::{Agent, AgentSpec, SecretName, Span};

/// The port of a Puppet server.
const PUPPET_PORT: u16 = 8140;
/// How long a certificate is waited for that was not signed at once.
const PUPPET_WAIT: Duration = Duration::from_secs(3 * 60);
/// The playbook of a repository.
const PLAYBOOK: &str = "local.yml";

/// The settings of one agent as one profile.toml has them. They are one value: a child that names an
/// agent's table says all of it.
#[derive(Debug, Clone)]
pub(super) struct Named {
    /// The settings; none if they have an error, which was noted.
    pub(super) spec: Option<AgentSpec>,
    /// Where a file is named that must be in the profile.
    pub(super) file: Option<Span>,
}

/// Reads the table of every agent that has one.
pub(super) fn read(handoff: &Section<'_>) -> Vec<(Agent, Placed<Named>)> {
    let tables = Agent::ALL.into_iter().filter_map(|agent| {
        let field = handoff.get(agent.word())?;
        let section = field.section(format!("[handoff.{agent}]"))?;
        let place = field.page.span(field.place.clone(), "in this table");
        let named = match agent {
            Agent::Puppet => puppet(&section),
            Agent::Salt => salt(&section),
            Agent::Ansible => ansible(&section),
            Agent::Cfengine => cfengine(&section),
            Agent::Chef => chef(&section),
        };
        Some((agent, (named, place)))
    });
    tables.collect()
}

fn puppet(section: &Section<'_>) -> Named {
    section.only(&["server", "port", "ca", "environment", "wait"]);
    let server = required(section, "server", "the Puppet server's name", host);
    let (ca, file) = file(
        section,
        "ca",
        "the certificate of Puppet's authority, from the Puppet server: its `ca_crt.pem`",
    );
    let port = section.get("port").and_then(|f| f.integer(1..=65_535));
    let environment = section
        .get("environment")
        .map(|f| f.by("an environment", environment));
    let spec = || {
        Some(AgentSpec::Puppet(Puppet {
            server: server?,
            port: port
                .and_then(|n| u16::try_from(n).ok())
                .unwrap_or(PUPPET_PORT),
            ca: ca?,
            environment: match environment {
                None => None,
                Some(given) => Some(given?),
            },
            wait: section.duration("wait").unwrap_or(PUPPET_WAIT),
        }))
    };
    Named { spec: spec(), file }
}

fn salt(section: &Section<'_>) -> Named {
    section.only(&["master", "master_key", "state"]);
    let master = required(section, "master", "the Salt master's name or address", host);
    let (master_key, file) = file(
        section,
        "master_key",
        "the master's public key: its `master.pub`",
    );
    let state = section.get("state").map(|f| f.by("a state", word));
    let spec = || {
        Some(AgentSpec::Salt(Salt {
            master: master?,
            master_key: master_key?,
            state: match state {
                None => None,
                Some(given) => Some(given?),
            },
        }))
    };
    Named { spec: spec(), file }
}

fn ansible(section: &Section<'_>) -> Named {
    section.only(&["repository", "commit", "playbook", "push", "user", "key"]);
    let push = section.get("push");
    let spec = || {
        if let Some(push) = push {
            for key in ["repository", "commit", "playbook"] {
                if section.table.contains_key(key) {
                    section.error(
                        format!("`{key}` and `push` are both given"),
                        "one of the two",
                        "with `push` this server runs a playbook of its own; without, the machine fetches a repository",
                    );
                    return None;
                }
            }
            let playbook = push.by("a path", absolute);
            let key = required(section, "key", "the private key to log in with", absolute);
            let user = section.get("user").map(|f| f.by("a user", word));
            return Some(AgentSpec::Ansible(Ansible::Push {
                playbook: playbook?,
                user: match user {
                    None => "root".to_string(),
                    Some(given) => given?,
                },
                key: key?,
            }));
        }
        let repository = required(section, "repository", "where git finds it", repository);
        let commit = required(section, "commit", "the commit, all of its digits", commit);
        let playbook = section.get("playbook").map(|f| f.by("a file", relative));
        Some(AgentSpec::Ansible(Ansible::Pull {
            repository: repository?,
            commit: commit?,
            playbook: match playbook {
                None => PLAYBOOK.to_string(),
                Some(given) => given?,
            },
        }))
    };
    Named {
        spec: spec(),
        file: None,
    }
}

fn cfengine(section: &Section<'_>) -> Named {
    section.only(&["hub", "hub_key"]);
    let hub = required(section, "hub", "the policy hub's address", host);
    let (hub_key, file) = file(
        section,
        "hub_key",
        "the hub's public key: its `ppkeys/localhost.pub`",
    );
    let spec = || {
        Some(AgentSpec::Cfengine(Cfengine {
            hub: hub?,
            hub_key: hub_key?,
        }))
    };
    Named { spec: spec(), file }
}

fn chef(section: &Section<'_>) -> Named {
    section.only(&["server", "client_key", "run_list", "environment"]);
    let server = required(section, "server", "the URL of the organisation", url);
    let client_key = required(
        section,
        "client_key",
        "the name of the secret that holds the client's key, such as `chef/{name}`",
        secret,
    );
    let environment = section
        .get("environment")
        .map(|f| f.by("an environment", environment));
    let run_list = section.get("run_list").map_or_else(Vec::new, |f| f.texts());
    let spec = || {
        Some(AgentSpec::Chef(Chef {
            server: server?,
            client_key: client_key?,
            run_list,
            environment: match environment {
                None => None,
                Some(given) => Some(given?),
            },
        }))
    };
    Named {
        spec: spec(),
        file: None,
    }
}

/// A key that must be there.
fn required(
    section: &Section<'_>,
    key: &str,
    what: &str,
    rule: fn(&str) -> Result<String, String>,
) -> Option<String> {
    let Some(field) = section.get(key) else {
        section.error(
            format!("{} has no `{key}`", section.title),
            "in this table",
            &format!("add `{key} = \"...\"`: {what}"),
        );
        return None;
    };
    field.by(what, rule)
}

/// A file of the profile that must be named, and where that is.
fn file(section: &Section<'_>, key: &str, what: &str) -> (Option<String>, Option<Span>) {
    let path = required(section, key, what, relative);
    let place = |f: Field<'_>| f.page.span(f.place.clone(), "named here");
    (path, section.get(key).map(place))
}

/// A host's name or address: it ends up in other programs' files and command lines.
fn host(text: &str) -> Result<String, String> {
    let ok = !text.is_empty()
        && text.len() <= 253
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    let wrong = || {
        format!("`{text}` is not the name or address of a host; write no port and no scheme here")
    };
    ok.then(|| text.to_ascii_lowercase()).ok_or_else(wrong)
}

/// Letters, digits and underscores, as Puppet and Chef have them.
fn environment(text: &str) -> Result<String, String> {
    let ok = !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    ok.then(|| text.to_string())
        .ok_or_else(|| format!("`{text}` is not the name of an environment"))
}

/// A secret's name; `{name}` in it stands for the machine's.
fn secret(text: &str) -> Result<String, String> {
    match text.replace("{name}", "x").parse::<SecretName>() {
        Ok(_) => Ok(text.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn word(text: &str) -> Result<String, String> {
    let ok = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b));
    ok.then(|| text.to_string())
        .ok_or_else(|| format!("`{text}` has characters that cannot stand here"))
}

/// What git takes, without a password in it.
fn repository(text: &str) -> Result<String, String> {
    let authority = text.split("://").nth(1).unwrap_or("");
    let login = authority
        .split('/')
        .next()
        .unwrap_or("")
        .rsplit_once('@')
        .map_or("", |(login, _)| login);
    if login.contains(':') {
        return Err(
            "a URL with a password in it is refused; no secret belongs into these files".into(),
        );
    }
    let plain = !text.is_empty()
        && !text.starts_with('-')
        && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    plain
        .then(|| text.to_string())
        .ok_or_else(|| format!("`{text}` is nothing that git can fetch from"))
}

fn commit(text: &str) -> Result<String, String> {
    let ok = [40, 64].contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    ok.then(|| text.to_ascii_lowercase()).ok_or_else(|| {
        format!(
            "`{text}` is not a whole commit; a branch, a tag or an abbreviation may mean something else tomorrow: `git rev-parse HEAD`"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_other_programs_is_plain() {
        for bad in ["", "-x", "a b", "a;b", "puppet:8140", "https://x", "$(id)"] {
            assert!(host(bad).is_err(), "{bad}");
        }
        assert_eq!(
            host("Puppet.lab.example").as_deref(),
            Ok("puppet.lab.example")
        );
        assert_eq!(host("10.77.0.5").as_deref(), Ok("10.77.0.5"));
        for bad in ["", "--upload-pack=x", "https://u:p@x/y", "a b", "x\ny"] {
            assert!(repository(bad).is_err(), "{bad}");
        }
        for good in [
            "https://git.example/x.git",
            "git@git.example:x.git",
            "/srv/x",
        ] {
            assert!(repository(good).is_ok(), "{good}");
        }
        for bad in ["main", "v1.0", "0123456", &"g".repeat(40)] {
            assert!(commit(bad).is_err(), "{bad}");
        }
        assert!(commit(&"0A".repeat(20)).is_ok());
        assert!(absolute("relative").is_err() && absolute("/a/../b").is_err());
    }
}
