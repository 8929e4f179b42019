//! Configuration agents: who may be enrolled, what their servers are told of a machine, what they
//! report.

mod errands;
mod nodes;
mod push;
mod queue;

use std::net::SocketAddrV4;

use super::{Control, Snapshot, TellError};
use crate::boot::Scope;
use crate::boot::paths::{SecureUrls, Urls};
use crate::enrol::{self, CertificateRequest};
use crate::lifecycle::StepError;
use crate::model::node::{AutosignView, ReportUrls};
use crate::model::{Agent, Build, Code, Event, EventKind, Identity, Name, Phase, Refusal};

/// What the address for Puppet's reports is derived for.
const REPORTS: &str = "puppet-report";

/// Why an enrolment was refused.
struct Refused {
    /// The system it claimed to be, if there is one.
    system: Option<(Name, Option<u32>)>,
    reason: String,
    reused: bool,
}

impl Control {
    /// Whether Puppet may sign this request: its challenge must be that of a build whose hand-off was
    /// taken, it must ask for that machine's name and nothing else, and the challenge is good for one
    /// key. When this returns, that it is used is durable.
    ///
    /// # Errors
    /// A refusal that says why; it is recorded with the machine it is about.
    pub async fn autosign(&self, certname: &str, pem: &[u8]) -> Result<AutosignView, Refusal> {
        match self.may_sign(certname, pem).await {
            Ok(view) => {
                tracing::info!(machine.name = %view.system, build.epoch = view.build, "its Puppet certificate may be signed");
                Ok(view)
            }
            Err(refused) => {
                let identity = puppet(certname);
                tracing::warn!(%identity, reason = %refused.reason, "an enrolment was refused");
                self.note_refusal(&refused, identity).await;
                let message = format!("`{certname}`: {}", refused.reason);
                Err(Refusal::new(Code::Refused, message))
            }
        }
    }

    async fn may_sign(&self, certname: &str, pem: &[u8]) -> Result<AutosignView, Refused> {
        let claimed = self.system_of_fqdn(certname).map(|s| {
            let snapshot = self.snapshot();
            let machine = snapshot.machines.get(&s.name);
            let epoch = machine.and_then(|m| m.build.as_ref()).map(|b| b.key.epoch);
            (s.name.clone(), epoch)
        });
        let no = |reason: &str| Refused {
            system: claimed.clone().filter(|(_, epoch)| epoch.is_some()),
            reason: reason.to_string(),
            reused: false,
        };
        let request = CertificateRequest::read(pem).map_err(|e| no(&e.to_string()))?;
        if request.common_name != certname {
            return Err(no("the request asks for another name"));
        }
        let challenge = request.challenge.ok_or_else(|| no("it has no challenge"))?;
        let granted = self
            .authorise(&challenge, Scope::Enrol)
            .ok_or_else(|| no("its challenge is of no machine that configures itself now"))?;
        let identity = puppet(certname);
        if granted.pinned.identity.as_ref() != Some(&identity) {
            return Err(no("its challenge is another machine's"));
        }
        if request.has_extensions {
            return Err(no("it asks for more than a name"));
        }
        let build = granted.build;
        let event = Event {
            system: build.key.system.clone(),
            epoch: Some(build.key.epoch),
            kind: EventKind::Enrolled {
                identity,
                key: request.key.to_string(),
            },
        };
        match self.tell(event).await {
            Ok(_) => Ok(AutosignView {
                system: build.key.system.clone(),
                build: build.key.epoch,
            }),
            Err(TellError::Refused(StepError::AlreadyEnrolled(_))) => Err(Refused {
                system: Some((build.key.system, Some(build.key.epoch))),
                reason: "its challenge was used already, with another key".to_string(),
                reused: true,
            }),
            Err(error) => Err(no(&error.to_string())),
        }
    }

    /// Enrols a machine that sent its public key with its secret token: the agent's server on this
    /// host is made to accept it.
    ///
    /// # Errors
    /// A sentence for the machine, and whether trying again may help.
    pub async fn enrol(&self, build: &Build, key: &str) -> Result<(), (String, bool)> {
        let snapshot = self.snapshot();
        let pinned = snapshot.pinned.get(&build.key);
        let Some(identity) = pinned.and_then(|p| p.identity.clone()) else {
            return Err(("this build hands over to no agent".to_string(), false));
        };
        let servers = &snapshot.site.agents;
        let digest = crate::model::Digest::of(key.as_bytes()).to_string();
        let (identity, digest) = match identity.agent {
            Agent::Salt => (identity, digest),
            Agent::Cfengine => {
                let name = enrol::cfengine_name(key).map_err(|e| (e, false))?;
                (identity, name)
            }
            _ => return Err(("this agent sends no key".to_string(), false)),
        };
        let event = |kind| Event {
            system: build.key.system.clone(),
            epoch: Some(build.key.epoch),
            kind,
        };
        // Two that send one key at a time: the second sees what the first did.
        let _alone = self.enrolling.lock().await;
        let now = self.snapshot();
        if let Some(reason) = taken(&now, build, &identity, &digest) {
            tracing::warn!(machine.name = %build.key.system, %identity, reason, "an enrolment was refused");
            let refused = EventKind::EnrolmentRefused {
                identity,
                reason: reason.clone(),
                reused: enrolled(&now, build).is_some_and(|before| before != digest),
            };
            if let Err(error) = self.tell(event(refused)).await {
                tracing::error!(%error, "a refused enrolment could not be recorded");
            }
            return Err((reason, false));
        }
        let enrolled = EventKind::Enrolled {
            identity: identity.clone(),
            key: digest,
        };
        match self.tell(event(enrolled)).await {
            Ok(_) => {}
            Err(TellError::Refused(StepError::AlreadyEnrolled(_))) => {
                let refused = EventKind::EnrolmentRefused {
                    identity,
                    reason: "another key was sent before".to_string(),
                    reused: true,
                };
                if let Err(error) = self.tell(event(refused)).await {
                    tracing::error!(%error, "a refused enrolment could not be recorded");
                }
                return Err(("another key was sent before".to_string(), false));
            }
            Err(TellError::Refused(refusal)) => return Err((refusal.to_string(), false)),
            Err(error) => return Err((error.to_string(), true)),
        }
        // After it is durable: a key that a server accepts is one that a rebuild takes back.
        let accepted = match identity.agent {
            Agent::Salt => enrol::accept_salt(&servers.salt_pki, &identity.name, key),
            _ => enrol::accept_cfengine(&servers.cfengine_keys, key),
        };
        accepted.map_err(|why| (why, true))
    }

    async fn note_refusal(&self, refused: &Refused, identity: Identity) {
        let Some((system, epoch)) = &refused.system else {
            return;
        };
        let event = Event {
            system: system.clone(),
            epoch: *epoch,
            kind: EventKind::EnrolmentRefused {
                identity,
                reason: refused.reason.clone(),
                reused: refused.reused,
            },
        };
        if let Err(error) = self.tell(event).await {
            tracing::error!(%error, machine.name = %system, "a refused enrolment could not be recorded");
        }
    }

    /// Whether this is the token of the address that Puppet's server reports to.
    pub fn is_report_token(&self, token: &str) -> bool {
        self.key.site_token(REPORTS).hash() == crate::boot::TokenHash::of(token)
    }

    /// Takes down what a Puppet server reports of a run. Of a machine that is not Farrier's, or does
    /// not configure itself now, nothing is kept.
    ///
    /// # Errors
    /// A sentence, if it is no report; or the store's, if it could not be made durable.
    pub async fn run_reported(&self, text: &str) -> Result<String, TellReport> {
        let report = enrol::read_report(text).map_err(TellReport::Unreadable)?;
        let remark = format!("{} {}", report.host, report.status);
        let Some(system) = self.system_of_fqdn(&report.host) else {
            return Ok(remark);
        };
        // The runs of a machine that is done, twice an hour for years, are Puppet's to keep.
        let snapshot = self.snapshot();
        let machine = snapshot.machines.get(&system.name);
        let phase = machine.and_then(|m| m.build.as_ref()).map(|b| b.phase);
        if !matches!(phase, Some(Phase::Configuring | Phase::Stalled)) {
            return Ok(remark);
        }
        let event = Event {
            system: system.name.clone(),
            epoch: None,
            kind: EventKind::RunReported {
                identity: puppet(&report.host),
                status: report.status,
                finding: report.finding,
            },
        };
        match self.tell(event).await {
            Ok(_) | Err(TellError::Refused(_)) => Ok(remark),
            Err(error) => Err(TellReport::Store(error)),
        }
    }

    /// Where a Puppet server is to report to.
    pub fn report_urls(&self) -> ReportUrls {
        let token = self.key.site_token(REPORTS);
        let (places, site) = (self.places(), self.site());
        let port = match places.http_port {
            0 => site.server.http_port,
            port => port,
        };
        let addresses = places.all(&site);
        let local = addresses.iter().map(|ip| {
            let server = SocketAddrV4::new(*ip, port);
            Urls { server }.puppet_report(token.reveal())
        });
        let remote = addresses.iter().map(|ip| {
            let server = places.secure(&site, *ip);
            SecureUrls { server }.puppet_report(token.reveal())
        });
        ReportUrls {
            local: local.collect(),
            remote: remote.collect(),
        }
    }
}

/// Why a report was not taken.
#[derive(Debug)]
pub enum TellReport {
    /// It is none.
    Unreadable(String),
    /// It could not be made durable.
    Store(TellError),
}

/// Why this key is not to be this build's: it is somebody else's. With it the machine could not speak
/// to the server, and its next rebuild would take the other's key away.
fn taken(snapshot: &Snapshot, build: &Build, identity: &Identity, key: &str) -> Option<String> {
    let own = &build.key.system;
    let machines = snapshot.machines.iter().filter(|(name, _)| *name != own);
    let mut builds = machines.filter_map(|(_, machine)| machine.build.as_ref());
    if let Some(other) = builds.find(|b| b.enrolled.as_deref() == Some(key)) {
        let system = &other.key.system;
        return Some(format!("this key is enrolled for `{system}`"));
    }
    let is_ours = enrolled(snapshot, build) == Some(key);
    let keys = &snapshot.site.agents.cfengine_keys;
    let is_there = identity.agent == Agent::Cfengine && enrol::cfengine_trusts(keys, key);
    (is_there && !is_ours)
        .then(|| "the hub trusts this key already, and not as this machine's".to_string())
}

/// The key that a build's challenge was used with, if it was.
fn enrolled<'a>(snapshot: &'a Snapshot, build: &Build) -> Option<&'a str> {
    let machine = snapshot.machines.get(&build.key.system)?;
    machine.with_epoch(build.key.epoch)?.enrolled.as_deref()
}

fn puppet(name: &str) -> Identity {
    Identity {
        agent: Agent::Puppet,
        name: name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::lifecycle::step::tests::build_in;
    use crate::model::{ArtefactIndex, Machine, Site};

    const KEY: &str = include_str!("../../enrol/testdata/cfengine.pub");

    #[test]
    fn a_key_of_another_is_refused_and_its_own_is_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut site = Site::default();
        site.agents.cfengine_keys = dir.path().display().to_string();
        let mut snapshot = Snapshot::new(Arc::new(site), Arc::new(ArtefactIndex::default()));
        let key = enrol::cfengine_name(KEY).expect("a key");
        let identity = |agent| Identity {
            agent,
            name: "web01.lab.example".to_string(),
        };
        let hub = identity(Agent::Cfengine);
        let build = build_in(Phase::Configuring);
        let put = |snapshot: &mut Snapshot, build: &Build| {
            let mut machine = Machine::new(build.key.system.clone());
            machine.build = Some(build.clone());
            snapshot
                .machines
                .insert(machine.name.clone(), Arc::new(machine));
        };
        put(&mut snapshot, &build);
        assert_eq!(taken(&snapshot, &build, &hub, &key), None);

        // its file is there, and nobody knows whose it is: the hub's own, or one put there by hand
        enrol::accept_cfengine(&snapshot.site.agents.cfengine_keys, KEY).expect("written");
        let why = taken(&snapshot, &build, &hub, &key).expect("refused");
        assert!(why.contains("trusts this key already"), "{why}");
        assert_eq!(taken(&snapshot, &build, &identity(Agent::Salt), &key), None);

        // asked again, for its answer was lost
        let enrolled = Build {
            enrolled: Some(key.clone()),
            ..build.clone()
        };
        put(&mut snapshot, &enrolled);
        assert_eq!(taken(&snapshot, &enrolled, &hub, &key), None);
        // with another's key it is an alarm, as with any other second one
        assert_eq!(super::enrolled(&snapshot, &build), Some(key.as_str()));

        let mut other = build;
        other.key.system = "web02".parse().expect("a name");
        put(&mut snapshot, &other);
        let why = taken(&snapshot, &other, &hub, &key).expect("refused");
        assert_eq!(why, "this key is enrolled for `web01`");
    }
}
