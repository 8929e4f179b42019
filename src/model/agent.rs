//! Configuration agents: what a profile hands a machine over to, and what their servers know it by.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A program that finishes a machine on first boot and has a server of its own, or a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Agent {
    /// Puppet: a certificate, asked for with a challenge.
    Puppet,
    /// Salt: a key that the master accepts beforehand.
    Salt,
    /// Ansible: no identity; the machine pulls, or this server pushes.
    Ansible,
    /// CFEngine: a key that the hub trusts beforehand.
    Cfengine,
    /// Chef: a client key that was made beforehand.
    Chef,
}

impl Agent {
    /// Every agent.
    pub const ALL: [Agent; 5] = [
        Agent::Puppet,
        Agent::Salt,
        Agent::Ansible,
        Agent::Cfengine,
        Agent::Chef,
    ];

    /// The word in files and reports.
    pub fn word(self) -> &'static str {
        match self {
            Agent::Puppet => "puppet",
            Agent::Salt => "salt",
            Agent::Ansible => "ansible",
            Agent::Cfengine => "cfengine",
            Agent::Chef => "chef",
        }
    }
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What an agent's server knows a machine by: a certificate's name, a minion's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// Whose.
    pub agent: Agent,
    /// The name.
    pub name: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.agent, self.name)
    }
}

/// An identity that must be taken back before its build may begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Which.
    pub identity: Identity,
    /// Why the last try failed.
    #[serde(default)]
    pub failed: Option<String>,
}

/// The part of a profile that names an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentPlan {
    /// Which agent, with its settings.
    pub spec: AgentSpec,
    /// A folder of steps besides, as a prefix in the profile's files; the agent's own step is number
    /// 50.
    pub steps: Option<String>,
    /// How long all of it may take.
    pub timeout: Duration,
}

/// An agent's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentSpec {
    /// `[handoff.puppet]`.
    Puppet(Puppet),
    /// `[handoff.salt]`.
    Salt(Salt),
    /// `[handoff.ansible]`.
    Ansible(Ansible),
    /// `[handoff.cfengine]`.
    Cfengine(Cfengine),
    /// `[handoff.chef]`.
    Chef(Chef),
}

impl AgentPlan {
    /// Whether this server does all of it, and the machine has nothing to run.
    pub fn is_pushed(&self) -> bool {
        self.steps.is_none() && matches!(self.spec, AgentSpec::Ansible(Ansible::Push { .. }))
    }
}

impl AgentSpec {
    /// Which agent.
    pub fn agent(&self) -> Agent {
        match self {
            AgentSpec::Puppet(_) => Agent::Puppet,
            AgentSpec::Salt(_) => Agent::Salt,
            AgentSpec::Ansible(_) => Agent::Ansible,
            AgentSpec::Cfengine(_) => Agent::Cfengine,
            AgentSpec::Chef(_) => Agent::Chef,
        }
    }

    /// Whether its server knows the machine by an identity that has to be taken back on a rebuild.
    pub fn has_identity(&self) -> bool {
        match self {
            AgentSpec::Puppet(_) | AgentSpec::Salt(_) | AgentSpec::Cfengine(_) => true,
            AgentSpec::Ansible(_) | AgentSpec::Chef(_) => false,
        }
    }

    /// The files of the profile that it needs, each a public one.
    pub fn files(&self) -> Vec<&str> {
        match self {
            AgentSpec::Puppet(puppet) => vec![&puppet.ca],
            AgentSpec::Salt(salt) => vec![&salt.master_key],
            AgentSpec::Cfengine(cfengine) => vec![&cfengine.hub_key],
            AgentSpec::Ansible(_) | AgentSpec::Chef(_) => Vec::new(),
        }
    }
}

/// `[handoff.puppet]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Puppet {
    /// The Puppet server's name, as its certificate has it.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// A file of the profile: the certificate of Puppet's authority, which the machine pins.
    pub ca: String,
    /// The environment; none leaves it to the server.
    pub environment: Option<String>,
    /// How long a certificate that was not signed at once is waited for.
    pub wait: Duration,
}

/// `[handoff.salt]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salt {
    /// The master's name or address.
    pub master: String,
    /// A file of the profile: the master's public key, which the machine pins.
    pub master_key: String,
    /// What is applied; none for the highstate.
    pub state: Option<String>,
}

/// `[handoff.ansible]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ansible {
    /// The machine fetches a repository and applies it to itself.
    Pull {
        /// Where it is, as git takes it.
        repository: String,
        /// The commit, 40 or 64 hexadecimal digits.
        commit: String,
        /// The playbook in it.
        playbook: String,
    },
    /// This server runs a playbook against the machine.
    Push {
        /// The playbook, an absolute path on this host.
        playbook: String,
        /// Who it logs in as.
        user: String,
        /// The private key it logs in with, an absolute path on this host.
        key: String,
    },
}

/// `[handoff.cfengine]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cfengine {
    /// The policy hub's address.
    pub hub: String,
    /// A file of the profile: the hub's public key, which the machine trusts beforehand.
    pub hub_key: String,
}

/// `[handoff.chef]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chef {
    /// The URL of the organisation.
    pub server: String,
    /// The name of the secret that holds the client's key; `{name}` stands for the machine's.
    pub client_key: String,
    /// What is run.
    pub run_list: Vec<String>,
    /// The policy environment, if any.
    pub environment: Option<String>,
}
