//! The agents' own step: a script that is the same for every machine, and beside it a file with this
//! machine's values, quoted for the shell, and what the machine is to trust.
//!
//! No script has a value in it, and no value is ever read as a script.

use super::super::secret::text_mark;
use super::Step;
use crate::boot::Scope;
use crate::model::agent::{Ansible, Cfengine, Chef, Puppet, Salt};
use crate::model::{AgentSpec, Identity, Profile};

/// The name of every agent's own step.
const STEP: &str = "50-";

const COMMON: &str = include_str!("agent.sh");
const PUPPET: &str = include_str!("puppet");
const SALT: &str = include_str!("salt");
const ANSIBLE: &str = include_str!("ansible-pull");
const CFENGINE: &str = include_str!("cfengine");
const CHEF: &str = include_str!("chef");

/// What an agent must know of the machine.
#[derive(Debug)]
pub(in crate::render) struct Target<'a> {
    /// The name of its entry.
    pub(in crate::render) name: &'a str,
    /// Its full name.
    pub(in crate::render) fqdn: &'a str,
    /// Which build this is.
    pub(in crate::render) epoch: u32,
    /// Where it speaks to its server, with the placeholder of the secret token.
    pub(in crate::render) handoff: &'a str,
}

/// What the agent's server will know the machine by.
pub(in crate::render) fn identity(spec: &AgentSpec, fqdn: &str) -> Option<Identity> {
    spec.has_identity().then(|| Identity {
        agent: spec.agent(),
        name: fqdn.to_string(),
    })
}

/// The agent's step and the files beside it.
///
/// # Errors
/// A sentence, if a value cannot be written or a file is missing.
pub(in crate::render) fn steps(
    spec: &AgentSpec,
    profile: &Profile,
    target: &Target<'_>,
) -> Result<Vec<Step>, String> {
    let word = spec.agent().word();
    let (script, mut values) = match spec {
        AgentSpec::Puppet(puppet) => (PUPPET, puppet_values(puppet, target)),
        AgentSpec::Salt(salt) => (SALT, salt_values(salt, target)),
        AgentSpec::Ansible(Ansible::Pull {
            repository,
            commit,
            playbook,
        }) => {
            let values = vec![
                ("REPOSITORY", repository.clone()),
                ("COMMIT", commit.clone()),
                ("PLAYBOOK", playbook.clone()),
            ];
            (ANSIBLE, values)
        }
        // The machine has nothing to do but to report its host keys.
        AgentSpec::Ansible(Ansible::Push { .. }) => return Ok(Vec::new()),
        AgentSpec::Cfengine(cfengine) => (CFENGINE, cfengine_values(cfengine, target)),
        AgentSpec::Chef(chef) => (CHEF, vec![("SERVER", chef.server.clone())]),
    };
    values.push(("NAME", target.name.to_string()));
    values.push(("BUILD", target.epoch.to_string()));
    let mut steps = vec![
        step(format!("{STEP}{word}"), script.to_string()),
        step("agent.sh".to_string(), COMMON.to_string()),
        step(format!("{word}.env"), environment(&values)?),
    ];
    for (path, name) in files(spec) {
        let bytes = profile.files.get(path);
        let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| format!("`{path}` is no text"))?;
        steps.push(step(name.to_string(), text.to_string()));
    }
    if let AgentSpec::Chef(chef) = spec {
        steps.extend(chef_files(chef, target));
    }
    Ok(steps)
}

/// The names that no step of the profile may have.
pub(in crate::render) fn is_taken(spec: &AgentSpec, name: &str) -> bool {
    let word = spec.agent().word();
    name == format!("{STEP}{word}")
        || name == "agent.sh"
        || name == format!("{word}.env")
        || CHEF_FILES.contains(&name) && word == "chef"
        || files(spec).iter().any(|(_, own)| *own == name)
}

/// Files of the profile, and their names beside the step.
fn files(spec: &AgentSpec) -> Vec<(&str, &'static str)> {
    match spec {
        AgentSpec::Puppet(puppet) => vec![(&puppet.ca, "puppet-ca.pem")],
        AgentSpec::Salt(salt) => vec![(&salt.master_key, "salt-master.pub")],
        AgentSpec::Cfengine(cfengine) => vec![(&cfengine.hub_key, "cfengine-hub.pub")],
        AgentSpec::Ansible(_) | AgentSpec::Chef(_) => Vec::new(),
    }
}

type Values = Vec<(&'static str, String)>;

fn puppet_values(puppet: &Puppet, target: &Target<'_>) -> Values {
    vec![
        ("SERVER", puppet.server.clone()),
        ("PORT", puppet.port.to_string()),
        ("CERTNAME", target.fqdn.to_string()),
        (
            "ENVIRONMENT",
            puppet.environment.clone().unwrap_or_default(),
        ),
        ("WAIT", puppet.wait.as_secs().to_string()),
        ("CHALLENGE", Scope::Enrol.placeholder().to_string()),
    ]
}

fn salt_values(salt: &Salt, target: &Target<'_>) -> Values {
    vec![
        ("MASTER", salt.master.clone()),
        ("MINION", target.fqdn.to_string()),
        ("STATE", salt.state.clone().unwrap_or_default()),
        ("HANDOFF", target.handoff.to_string()),
    ]
}

fn cfengine_values(cfengine: &Cfengine, target: &Target<'_>) -> Values {
    vec![
        ("HUB", cfengine.hub.clone()),
        ("HANDOFF", target.handoff.to_string()),
    ]
}

const CHEF_FILES: [&str; 3] = ["chef-client.pem", "chef-client.rb", "chef-first-boot.json"];

/// Chef's own files. The key is a secret of this machine's, put in when the hand-off leaves.
fn chef_files(chef: &Chef, target: &Target<'_>) -> Vec<Step> {
    let secret = chef.client_key.replace("{name}", target.name);
    let ruby = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let mut client = format!(
        "chef_server_url {}\nnode_name {}\n",
        ruby(&chef.server),
        ruby(target.fqdn)
    );
    if let Some(environment) = &chef.environment {
        client.push_str(&format!("environment {}\n", ruby(environment)));
    }
    let first = serde_json::json!({ "run_list": chef.run_list });
    let texts = [text_mark(&secret), client, format!("{first}\n")];
    CHEF_FILES
        .into_iter()
        .zip(texts)
        .map(|(name, text)| step(name.to_string(), text))
        .collect()
}

/// Assignments for a shell.
fn environment(values: &Values) -> Result<String, String> {
    let mut out = String::new();
    for (name, value) in values {
        if value.contains(char::is_control) {
            return Err(format!("{name} has a control character"));
        }
        out.push_str(&format!("{name}='{}'\n", value.replace('\'', "'\\''")));
    }
    Ok(out)
}

fn step(name: String, text: String) -> Step {
    Step { name, text }
}
