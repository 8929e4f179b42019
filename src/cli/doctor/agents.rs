//! What this host must have for the agents that its systems are handed over to.

use std::collections::BTreeSet;

use super::finding::Finding;
use crate::enrol;
use crate::model::agent::Ansible;
use crate::model::{Agent, AgentSpec, Handoff, Site};

/// Tools and folders of the agents that some system's profile names.
pub(super) fn all(site: &Site) -> Vec<Finding> {
    let what = "agents";
    let mut agents: BTreeSet<Agent> = BTreeSet::new();
    let mut findings = Vec::new();
    let used: BTreeSet<_> = site.systems.values().map(|s| &s.profile).collect();
    let profiles = used.into_iter().filter_map(|name| site.profiles.get(name));
    for profile in profiles {
        let Handoff::Agent(plan) = &profile.handoff else {
            continue;
        };
        agents.insert(plan.spec.agent());
        if let AgentSpec::Ansible(Ansible::Push { playbook, key, .. }) = &plan.spec {
            if enrol::which("ansible-playbook").is_none() {
                let message = "`ansible-playbook` is not here, and a profile is to be pushed";
                findings.push(Finding::fail(
                    what,
                    message,
                    "install ansible-core on this host",
                ));
            }
            for path in [playbook, key] {
                if !std::path::Path::new(path).exists() {
                    let message = format!("`{path}` is not here");
                    let fix = format!("put it there, or mend profiles/{}", profile.name);
                    findings.push(Finding::fail(what, message, fix));
                }
            }
        }
    }
    for agent in &agents {
        if let Some((message, fix)) = enrol::unusable(*agent, &site.agents) {
            findings.push(Finding::fail(what, message, fix));
        }
    }
    if findings.is_empty() && !agents.is_empty() {
        let words: Vec<&str> = agents.iter().map(|a| a.word()).collect();
        let message = format!("{}: this host has what they need", words.join(", "));
        findings.push(Finding::ok(what, message));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;
    use crate::inventory::{FileSet, parse};

    #[test]
    fn a_missing_tool_is_told_if_a_system_needs_it() {
        let ca = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n";
        let files = |system: &str| {
            FileSet::default()
                .with(
                    "farrier.toml",
                    b"[agent.puppet]\nrevoke = [\"no-such-tool\", \"{name}\"]\n".to_vec(),
                )
                .with("systems.toml", system.as_bytes().to_vec())
                .with("boot/d.toml", &b"kernel = \"k\"\n[artefact.k]\nfile = \"/k\"\n"[..])
                .with(
                    "profiles/p/profile.toml",
                    &b"kind = \"fai\"\ndistro = \"d\"\n[handoff]\nagent = \"puppet\"\n[handoff.puppet]\nserver = \"puppet\"\nca = \"ca.pem\"\n"[..],
                )
                .with("profiles/p/ca.pem", ca.as_bytes().to_vec())
        };
        let site = |system| {
            let parsed = parse(&files(system));
            parsed
                .site
                .unwrap_or_else(|| panic!("{:?}", parsed.diagnostics))
        };
        assert_eq!(all(&site("# none\n")), []);
        let used = "[system.web01]\nmac = \"52:54:00:00:00:01\"\nprofile = \"p\"\n";
        let found = all(&site(used));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].level, Level::Fail);
        assert!(found[0].message.contains("no-such-tool"));
    }
}
