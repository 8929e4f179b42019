//! Taking back what an agent's server knows a machine by.

use std::time::Duration;

use super::command::{run, which};
use super::keys;
use crate::model::{Agent, AgentServers, Identity};

/// How long a tool may take. Puppet's asks its server, which may be busy.
const LIMIT: Duration = Duration::from_secs(60);
/// What stands for the name in a command.
const NAME: &str = "{name}";

/// Takes an identity back. That it is not there is well too.
///
/// # Errors
/// A sentence that says why it may still be there.
pub async fn revoke(identity: &Identity, servers: &AgentServers) -> Result<(), String> {
    if !plain(&identity.name) {
        return Err(format!("`{}` is no name", identity.name));
    }
    match identity.agent {
        Agent::Puppet if servers.puppet_revoke.is_empty() => Ok(()),
        Agent::Puppet => {
            let words: Vec<String> = servers
                .puppet_revoke
                .iter()
                .map(|word| word.replace(NAME, &identity.name))
                .collect();
            let ended = run(&words, &[], LIMIT).await?;
            match ended.code {
                Some(0) => Ok(()),
                _ if is_absent(&ended.said) => Ok(()),
                code => Err(format!(
                    "`{}` ended with {}: {}",
                    words.join(" "),
                    code.map_or_else(|| "a signal".to_string(), |c| format!("code {c}")),
                    last(&ended.said)
                )),
            }
        }
        Agent::Salt => keys::remove_salt(&servers.salt_pki, &identity.name),
        Agent::Cfengine => keys::remove_cfengine(&servers.cfengine_keys, &identity.name),
        Agent::Ansible | Agent::Chef => Ok(()),
    }
}

/// Why this host cannot take back what such an agent's server knows, and the fix; none if it can.
pub fn unusable(agent: Agent, servers: &AgentServers) -> Option<(String, String)> {
    let folder = |path: &str, key: &str| {
        let there = std::path::Path::new(path).is_dir();
        (!there).then(|| {
            (
                format!("`{path}` is not here, so that no {agent} key can be accepted or taken back"),
                format!("install the server on this host, or name its folder: `[agent.{agent}] {key}` in farrier.toml"),
            )
        })
    };
    match agent {
        Agent::Puppet => {
            let program = servers.puppet_revoke.first()?;
            which(program).is_none().then(|| {
                (
                    format!(
                        "`{program}` is not here, so that no old certificate can be taken back and \
                         no machine with one is rebuilt"
                    ),
                    "install puppetserver on this host, or say how it is reached: `[agent.puppet] \
                     revoke` in farrier.toml"
                        .to_string(),
                )
            })
        }
        Agent::Salt => folder(&servers.salt_pki, "pki"),
        Agent::Cfengine => folder(&servers.cfengine_keys, "keys"),
        Agent::Ansible | Agent::Chef => None,
    }
}

/// Whether the tool says that there is nothing to take back: `puppetserver ca clean` then ends with
/// an error too.
fn is_absent(said: &str) -> bool {
    let mut lines = said.lines().map(str::trim).filter(|l| !l.is_empty());
    lines.all(|line| {
        line.starts_with("Could not find files for ")
            || line.starts_with("Could not find files to clean")
            || line == "Error:"
    }) && !said.trim().is_empty()
}

fn last(said: &str) -> String {
    let line = said.trim().lines().last().unwrap_or("it said nothing");
    crate::model::event::printable(line, 300)
}

/// A name that can be a word of a command and of a path.
fn plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.=".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(words: &[&str]) -> AgentServers {
        AgentServers {
            puppet_revoke: words.iter().map(ToString::to_string).collect(),
            ..AgentServers::default()
        }
    }

    fn of(name: &str) -> Identity {
        Identity {
            agent: Agent::Puppet,
            name: name.to_string(),
        }
    }

    #[tokio::test]
    async fn the_name_is_one_word_and_a_failure_is_told() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("web01.lab.example");
        std::fs::write(&file, "").expect("written");
        let words = ["rm", "--", &format!("{}/{{name}}", dir.path().display())];
        let name = of("web01.lab.example");
        assert_eq!(revoke(&name, &servers(&words)).await, Ok(()));
        assert!(!file.exists());
        let why = revoke(&name, &servers(&words)).await;
        let why = why.expect_err("it is gone");
        assert!(
            why.contains("code 1") && why.contains("No such file"),
            "{why}"
        );
        for hostile in ["-rf", "../x", "a b", "", "a\nb"] {
            assert!(revoke(&of(hostile), &servers(&words)).await.is_err());
        }
        assert_eq!(revoke(&name, &servers(&[])).await, Ok(()), "not ours to do");
    }

    #[test]
    fn a_tool_that_is_not_here_is_told_with_the_fix() {
        let (what, fix) = unusable(Agent::Puppet, &servers(&["no-such-tool"])).expect("missing");
        assert!(what.contains("no-such-tool") && fix.contains("[agent.puppet]"));
        assert!(unusable(Agent::Puppet, &servers(&["true"])).is_none());
        assert!(unusable(Agent::Puppet, &servers(&[])).is_none());
    }
}
