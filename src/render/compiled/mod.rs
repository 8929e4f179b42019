//! A profile made ready: its templates parsed once, then rendered for any number of systems.

mod deliver;
mod locate;
mod prepare;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use minijinja::Value;

use crate::boot::Scope;
use crate::boot::paths::SecureUrls;
use crate::model::agent::Ansible;
use crate::model::{
    AgentPlan, AgentSpec, Diagnostic, Distro, Document, Handoff, Identity, Profile, Push,
    SecretName, Severity, System,
};

use super::engine::Engine;
use super::formats::{batch_ended, fold_cmdline};
use super::handoff::{self, Step, agents};
use super::intent::{self, Reads, Wanted, unheeded, wanted};
use super::lint::{self, Findings};
use super::pack::{Packed, pack};
use super::place::{Inputs, context, fqdn, intent_of};
use super::secret::secrets_in;
use super::{Format, Place, variables};

/// The template that is the profile's kernel command line.
const CMDLINE: &str = "cmdline";

/// Everything one build needs: tokens still as `boot::token` placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The kernel command line, one line.
    pub cmdline: String,
    /// Documents by the name in their URL.
    pub documents: BTreeMap<String, Document>,
    /// The secrets that its hand-off releases.
    pub secrets: BTreeSet<SecretName>,
    /// What its agent's server will know it by.
    pub identity: Option<Identity>,
    /// What this server runs against it after its first boot.
    pub push: Option<Push>,
    /// The agent that its hand-off names; none for nothing that is handed over.
    pub agent: Option<&'static str>,
    /// What is doubtful but no reason to refuse.
    pub warnings: Vec<Diagnostic>,
}

/// A profile whose templates are parsed and checked as far as that goes without a system.
#[derive(Debug)]
pub struct CompiledProfile {
    profile: Arc<Profile>,
    engines: BTreeMap<Format, Engine>,
    documents: Vec<Prepared>,
    steps: Vec<Piece>,
    warnings: Vec<Diagnostic>,
    /// What the profile wants of a system that says nothing itself.
    wanted: Wanted,
}

/// A document to be.
#[derive(Debug)]
struct Prepared {
    name: String,
    /// One piece, or a folder of them.
    pieces: Vec<Piece>,
    folder: bool,
}

/// One file of the profile.
#[derive(Debug)]
struct Piece {
    /// Its name or path in the result.
    path: String,
    /// Its path in the profile.
    file: String,
    format: Format,
    executable: bool,
    /// Its bytes, if they are the same for every system.
    fixed: Option<Arc<[u8]>>,
}

/// Renders one system. Rendering many of one profile goes through [`CompiledProfile`].
///
/// # Errors
/// Every problem, with the file and line of each.
pub fn render(
    system: &System,
    profile: &Profile,
    distro: &Distro,
    place: &Place,
) -> Result<Rendered, Vec<Diagnostic>> {
    CompiledProfile::new(profile)?.render(system, distro, place)
}

impl CompiledProfile {
    /// Renders one system.
    ///
    /// # Errors
    /// Every problem, with the file and line of each. Nothing is returned by halves.
    pub fn render(
        &self,
        system: &System,
        distro: &Distro,
        place: &Place,
    ) -> Result<Rendered, Vec<Diagnostic>> {
        let vars = variables(system, &self.profile);
        let own = match system.intent.as_deref() {
            Some(said) => Some(wanted(&self.profile, Some(said))?),
            None => None,
        };
        let wanted = own.as_ref().unwrap_or(&self.wanted);
        let inputs = Inputs {
            system,
            profile: &self.profile,
            distro,
            vars: &vars,
            wanted,
        };
        let asked = intent::asked(&self.profile, system, wanted, place.subnet.as_ref());
        // Nothing asked for, nothing to remember.
        let reads = match asked.is_empty() {
            true => Reads::default(),
            false => Reads::kept(),
        };
        let values = intent_of(&inputs, place, &reads)?;
        let ground = |released| context(&inputs, place, released, &reads, &values);
        let context = ground(false);
        let mut problems = self.warnings.clone();
        let cmdline = self.cmdline(&context, &mut problems);
        let mut documents = BTreeMap::new();
        for prepared in &self.documents {
            if let Some(document) = self.document(prepared, &context, &mut problems) {
                documents.insert(prepared.name.clone(), document);
            }
        }
        self.check_way(system, distro, &mut problems);
        self.deliver(system, place.epoch, &mut documents);
        if self.profile.kind.installs() {
            let context = ground(true);
            self.hand_off(system, &context, place, &mut documents, &mut problems);
        }
        if !problems.iter().any(|p| p.severity == Severity::Error) {
            problems.extend(unheeded(&self.profile, &asked, &reads.keys()));
        }
        let (warnings, errors) = split(problems);
        if !errors.is_empty() {
            return Err(errors);
        }
        let secret = documents.values().filter(|d| d.secret);
        let secrets = secret.flat_map(|d| secrets_in(&d.bytes)).collect();
        let spec = match &self.profile.handoff {
            Handoff::Agent(plan) if self.profile.kind.installs() => Some(&plan.spec),
            _ => None,
        };
        let full_name = fqdn(system, place.subnet.as_ref());
        Ok(Rendered {
            identity: spec.and_then(|spec| agents::identity(spec, &full_name)),
            push: push(&self.profile.handoff).filter(|_| spec.is_some()),
            agent: match &self.profile.handoff {
                Handoff::Steps { .. } if self.profile.kind.installs() => Some("steps"),
                _ => spec.map(|spec| spec.agent().word()),
            },
            secrets,
            cmdline,
            documents,
            warnings,
        })
    }

    fn cmdline(&self, context: &Value, problems: &mut Vec<Diagnostic>) -> String {
        let Some(engine) = self.engines.get(&Format::Cmdline) else {
            return String::new();
        };
        match engine.render(CMDLINE, context) {
            Ok(text) => {
                let line = fold_cmdline(&text);
                let (file, before) = self.file_of(CMDLINE);
                let mut findings = Findings::new(&file, None);
                lint::check(Format::Cmdline, false, &line, &mut findings);
                Format::Cmdline.lint(&line, &mut findings);
                problems.extend(findings.into_diagnostics(&line).into_iter().map(|mut d| {
                    d.spans.iter_mut().for_each(|s| s.line = before + 1);
                    d
                }));
                line
            }
            Err(error) => {
                problems.push(self.diagnose(&error, CMDLINE, Some(context)));
                String::new()
            }
        }
    }

    fn document(
        &self,
        prepared: &Prepared,
        context: &Value,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Document> {
        let mut done: Vec<(&Piece, Cow<'_, [u8]>)> = Vec::new();
        let mut whole = true;
        for piece in &prepared.pieces {
            match self.bytes(piece, false, context, problems) {
                Some(bytes) => done.push((piece, bytes)),
                None => whole = false,
            }
        }
        if !whole {
            return None;
        }
        if !prepared.folder {
            let (piece, bytes) = done.pop()?;
            return Some(Document {
                name: prepared.name.clone(),
                content_type: content_type(piece.format, &bytes).to_string(),
                bytes: bytes.into_owned(),
                gzip: false,
                secret: false,
            });
        }
        let files: Vec<Packed<'_>> = done
            .iter()
            .map(|(piece, bytes)| Packed {
                path: &piece.path,
                executable: piece.executable,
                bytes,
            })
            .collect();
        match pack(&files) {
            Ok(bytes) => Some(Document {
                name: prepared.name.clone(),
                content_type: "application/gzip".to_string(),
                bytes,
                gzip: true,
                secret: false,
            }),
            Err(path) => {
                problems.push(self.about(&path, format!("`{path}` cannot be packed")));
                None
            }
        }
    }

    fn bytes<'a>(
        &self,
        piece: &'a Piece,
        secret: bool,
        context: &Value,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Cow<'a, [u8]>> {
        if let Some(fixed) = &piece.fixed {
            return Some(Cow::Borrowed(fixed));
        }
        match self
            .engines
            .get(&piece.format)?
            .render(&piece.file, context)
        {
            Ok(text) => {
                let (file, _) = self.file_of(&piece.file);
                let source = self.source_of(&piece.file);
                let mut findings = Findings::new(&file, source);
                lint::check(piece.format, secret, &text, &mut findings);
                piece.format.lint(&text, &mut findings);
                problems.extend(findings.into_diagnostics(&text));
                Some(Cow::Owned(match piece.format {
                    Format::Batch => batch_ended(&text).into_owned().into_bytes(),
                    _ => text.into_bytes(),
                }))
            }
            Err(error) => {
                problems.push(self.diagnose(&error, &piece.file, Some(context)));
                None
            }
        }
    }

    /// The documents of the first boot, unless the profile has its own by these names.
    fn hand_off(
        &self,
        system: &System,
        context: &Value,
        place: &Place,
        documents: &mut BTreeMap<String, Document>,
        problems: &mut Vec<Diagnostic>,
    ) {
        let urls = SecureUrls {
            server: place.secure,
        };
        let mut add = |name: &str, bytes: Vec<u8>, secret: bool| {
            documents
                .entry(name.to_string())
                .or_insert_with(|| Document {
                    name: name.to_string(),
                    content_type: "text/plain; charset=utf-8".to_string(),
                    bytes,
                    gzip: false,
                    secret,
                });
        };
        let report = urls.report(Scope::Report.placeholder());
        let authority = place.authority.as_deref().unwrap_or(handoff::NO_AUTHORITY);
        add(
            handoff::FIRST_BOOT,
            handoff::first_boot(&report, authority),
            false,
        );
        let (agent, timeout) = match &self.profile.handoff {
            Handoff::None => ("none", std::time::Duration::from_secs(60)),
            Handoff::Steps { timeout, .. } => ("steps", *timeout),
            Handoff::Agent(plan) => (plan.spec.agent().word(), plan.timeout),
        };
        let mut steps = Vec::new();
        for piece in &self.steps {
            if let Some(bytes) = self.bytes(piece, true, context, problems) {
                steps.push(Step {
                    name: piece.path.clone(),
                    text: String::from_utf8_lossy(&bytes).into_owned(),
                });
            }
        }
        if let Handoff::Agent(AgentPlan { spec, .. }) = &self.profile.handoff {
            let target = agents::Target {
                name: system.name.as_str(),
                fqdn: &fqdn(system, place.subnet.as_ref()),
                epoch: place.epoch,
                handoff: &urls.handoff(Scope::Secret.placeholder()),
            };
            match agents::steps(spec, &self.profile, &target) {
                Ok(own) => steps.extend(own),
                Err(why) => problems.push(self.about("profile.toml", why)),
            }
        }
        match handoff::bundle(agent, timeout, &steps) {
            Ok(bytes) => add(handoff::BUNDLE, bytes, true),
            Err(step) => problems.push(self.about(
                &step,
                "a line of this step reads like the end of a file in a bundle",
            )),
        }
    }
}

/// What this server is to run itself.
fn push(handoff: &Handoff) -> Option<Push> {
    let Handoff::Agent(AgentPlan { spec, timeout, .. }) = handoff else {
        return None;
    };
    let AgentSpec::Ansible(Ansible::Push {
        playbook,
        user,
        key,
    }) = spec
    else {
        return None;
    };
    Some(Push {
        playbook: playbook.clone(),
        user: user.clone(),
        key: key.clone(),
        timeout: timeout.as_secs(),
    })
}

fn content_type(format: Format, bytes: &[u8]) -> &'static str {
    if std::str::from_utf8(bytes).is_err() {
        return "application/octet-stream";
    }
    format.content_type()
}

fn split(problems: Vec<Diagnostic>) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
    problems
        .into_iter()
        .partition(|d| d.severity == Severity::Warning)
}
