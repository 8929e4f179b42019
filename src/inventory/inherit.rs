//! Inheritance: layers become whole profiles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::distro;
use super::profile::{Handover, Layer};
use super::suggest::instead;
use super::value::merge;
use crate::model::{
    Agent, AgentPlan, AgentSpec, Answer, Deadlines, Delivery, Diagnostic, Handoff, Name, Partial,
    Profile, ProfileKind, Span,
};

/// How long a hand-off may run if nothing is said.
const HANDOFF: Duration = Duration::from_secs(20 * 60);
/// Boots of an installer that one flag allows if nothing is said.
const ATTEMPTS: u32 = 2;

/// One profile's folder.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) layer: Layer,
    /// Its files by path relative to it.
    pub(super) files: BTreeMap<String, Arc<[u8]>>,
    /// Those that are executable.
    pub(super) executable: BTreeSet<String>,
    /// Its profile.toml has errors of its own; nothing more is said about it.
    pub(super) broken: bool,
    /// The first line of its profile.toml.
    pub(super) place: Span,
}

/// All folders under `profiles/`, the distros, and the weakest vars.
#[derive(Debug)]
pub(super) struct Library<'a> {
    pub(super) folders: &'a BTreeMap<Name, Folder>,
    pub(super) distros: &'a BTreeMap<Name, distro::Read>,
    /// Distro files that exist, sound or not.
    pub(super) distro_names: &'a BTreeSet<Name>,
    pub(super) vars: &'a Map<String, Json>,
    /// The weakest intent: that of `[defaults]`.
    pub(super) intent: &'a Partial,
}

impl Library<'_> {
    /// Merges every profile with what it inherits. Problems are noted; a profile with one is left out.
    pub(super) fn resolve(&self, problems: &mut Vec<Diagnostic>) -> BTreeMap<Name, Arc<Profile>> {
        let mut resolved = BTreeMap::new();
        for name in self.folders.keys() {
            let before = problems.len();
            let Some(chain) = self.chain(name, problems) else {
                continue;
            };
            let broken = chain.iter().any(|(_, folder)| folder.broken);
            let profile = self.merge(name, &chain, problems);
            if problems.len() == before && !broken {
                resolved.insert(name.clone(), Arc::new(profile));
            }
        }
        let mut seen = BTreeSet::new();
        problems.retain(|p| seen.insert(format!("{p}")));
        resolved
    }

    /// A profile's kind, if that can be told.
    pub(super) fn kind(&self, name: &Name) -> Option<ProfileKind> {
        let chain = self.chain(name, &mut Vec::new())?;
        let own = self.folders.get(name)?.layer.kind;
        own.or_else(|| inherited_kind(&chain))
    }

    /// The folders a profile is made of, the oldest ancestor first.
    pub(super) fn chain(
        &self,
        name: &Name,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Vec<(&Name, &Folder)>> {
        let (name, folder) = self.folders.get_key_value(name)?;
        let mut chain = vec![(name, folder)];
        let mut at = folder;
        while let Some((parent, place)) = &at.layer.inherit {
            let Some((parent, folder)) = self.folders.get_key_value(parent) else {
                let message = format!("there is no profile `{parent}` to inherit from");
                let known = self.folders.keys().map(Name::as_str);
                problems.push(unknown(message, place, parent, known));
                return None;
            };
            if chain.iter().any(|(n, _)| *n == parent) {
                let start = chain.iter().position(|(n, _)| *n == parent).unwrap_or(0);
                let mut circle: Vec<&Name> = chain[start..].iter().map(|(n, _)| *n).collect();
                // The same circle is found from each of its members: begin at the least name.
                let least = (0..circle.len()).min_by_key(|i| circle[*i]).unwrap_or(0);
                circle.rotate_left(least);
                let first = circle[0];
                circle.push(first);
                let words: Vec<String> = circle.iter().map(|n| format!("`{n}`")).collect();
                let place = match self
                    .folders
                    .get(first)
                    .and_then(|f| f.layer.inherit.as_ref())
                {
                    Some((_, place)) => place,
                    None => place,
                };
                problems.push(
                    Diagnostic::error(format!(
                        "profiles inherit in a circle: {}",
                        words.join(" -> ")
                    ))
                    .at(Span {
                        label: "part of the circle".to_string(),
                        ..place.clone()
                    })
                    .help("remove one `inherit`"),
                );
                return None;
            }
            chain.push((parent, folder));
            at = folder;
        }
        chain.reverse();
        Some(chain)
    }

    fn merge(
        &self,
        name: &Name,
        chain: &[(&Name, &Folder)],
        problems: &mut Vec<Diagnostic>,
    ) -> Profile {
        let own = chain.last().map(|(_, folder)| *folder);
        let place = own.map(|f| f.place.clone());
        // What a file with errors does not say, it may have tried to say.
        let broken = chain.iter().any(|(_, folder)| folder.broken);
        let mut fail = |message: String, place: Option<Span>, label: &str, help: &str| {
            let mut problem = Diagnostic::error(message).help(help);
            if let Some(place) = place {
                let label = label.to_string();
                problem = problem.at(Span { label, ..place });
            }
            problems.push(problem);
        };
        let layers = || chain.iter().rev().map(|(_, folder)| &folder.layer);
        let own_kind = own.and_then(|f| f.layer.kind);
        let inherited = inherited_kind(chain);
        let kind = own_kind.or(inherited);
        if kind.is_none() && !broken {
            fail(
                format!("the profile `{name}` has no `kind`"),
                place.clone(),
                "in this file",
                "add `kind = \"preseed\"`, or another of those in docs/profiles.md",
            );
        }
        let kind = kind.unwrap_or(ProfileKind::Base);
        let distro = layers().find_map(|l| l.distro.clone());
        let named = own_kind.or(inherited).is_some();
        if distro.is_none() && kind != ProfileKind::Base && named && !broken {
            fail(
                format!("the profile `{name}` has no `distro`"),
                place.clone(),
                "in this file",
                "add `distro = \"NAME\"`, a file of `boot/`",
            );
        }
        let mut profile = Profile {
            name: name.clone(),
            kind,
            distro: distro.as_ref().map(|(name, _)| name.clone()),
            cmdline: layers().find_map(|l| l.cmdline.clone()).unwrap_or_default(),
            answers: BTreeMap::new(),
            files: BTreeMap::new(),
            executable: BTreeSet::new(),
            disk: layers().find_map(|l| l.disk.clone()).unwrap_or_default(),
            may_destroy: layers()
                .find_map(|l| l.may_destroy.clone())
                .unwrap_or_else(|| vec!["blank".to_string(), "linux".to_string()]),
            vars: self.vars.clone(),
            intent: self.intent.clone(),
            asked: self.intent.leaves(),
            ignores: BTreeSet::new(),
            handoff: Handoff::None,
            deadlines: deadlines(layers().collect()),
            attempts: layers().find_map(|l| l.attempts).unwrap_or(ATTEMPTS),
            retry_after_write: layers().find_map(|l| l.retry_after_write).unwrap_or(false),
            delivery: Delivery::default(),
        };
        if let Some((distro, place)) = &distro {
            match self.distros.get(distro) {
                Some(read) => profile.vars = merge(&profile.vars, &read.vars),
                None if self.distro_names.contains(distro) => {} // its own file has the error
                None => problems.push(unknown(
                    format!("there is no distro `{distro}`"),
                    place,
                    distro,
                    self.distro_names.iter().map(Name::as_str),
                )),
            }
        }
        let mut answers: BTreeMap<String, super::profile::Placed<Answer>> = BTreeMap::new();
        for (_, folder) in chain {
            profile.vars = merge(&profile.vars, &folder.layer.vars);
            profile.intent = folder.layer.intent.over(&profile.intent);
            profile.ignores.extend(folder.layer.ignores.iter().cloned());
            // What a base says are defaults that nobody asked for.
            if folder.layer.kind != Some(ProfileKind::Base) {
                profile.asked.extend(folder.layer.intent.leaves());
            }
            answers.extend(folder.layer.answers.clone());
            let delivery = &folder.layer.delivery;
            profile.delivery.overlay.extend(delivery.overlay.clone());
            if !delivery.modules.is_empty() {
                profile.delivery.modules = delivery.modules.clone();
            }
            for (path, bytes) in &folder.files {
                profile.files.insert(path.clone(), bytes.clone());
                profile.executable.remove(path);
                if folder.executable.contains(path) {
                    profile.executable.insert(path.clone());
                }
            }
        }
        let folder = |dir: &str| {
            let inside = format!("{dir}/");
            profile.files.keys().any(|path| path.starts_with(&inside))
        };
        for (answer, _) in answers.values_mut() {
            // A name alone is a file's, or else a folder's.
            if let Answer::Template { file } = answer
                && !profile.files.contains_key(file)
                && folder(file)
            {
                *answer = Answer::Folder { dir: file.clone() };
            }
        }
        if kind != ProfileKind::Base {
            for (answer, place) in answers.values() {
                let (what, path, found) = match answer {
                    Answer::Template { file } => ("file", file, profile.files.contains_key(file)),
                    Answer::Folder { dir } => ("folder", dir, folder(dir)),
                };
                if !found {
                    problems.push(missing(name, what, path, place, profile.files.keys()));
                }
            }
        }
        let agent = layers().find_map(|l| l.agent.clone());
        let handed_by = layers().find(|l| l.agent.is_some()).and_then(|l| l.kind);
        let handed_at = agent.as_ref().map(|(_, place)| place.clone());
        let steps = layers().find_map(|l| l.steps.clone());
        let timeout = layers().find_map(|l| l.timeout).unwrap_or(HANDOFF);
        let needs_steps = matches!(agent, Some((Handover::Steps, _)));
        let (dir, at) = match &steps {
            Some((dir, place)) => (dir.clone(), Some(place.clone())),
            None => ("steps".to_string(), place),
        };
        let wanted = needs_steps || steps.is_some() && agent.is_some();
        if wanted
            && kind != ProfileKind::Base
            && !folder(&dir)
            && let Some(at) = &at
        {
            problems.push(missing(name, "folder", &dir, at, profile.files.keys()));
        }
        profile.handoff = match agent {
            Some((Handover::Steps, _)) => Handoff::Steps { dir, timeout },
            Some((Handover::Agent(agent), place)) => {
                match agent_of(name, chain, (agent, &place), &profile, problems) {
                    Some(spec) => Handoff::Agent(AgentPlan {
                        spec,
                        steps: steps.map(|(dir, _)| dir),
                        timeout,
                    }),
                    None => Handoff::None,
                }
            }
            Some((Handover::None, _)) | None => Handoff::None,
        };
        // What a base says is for those of its children that install something.
        let for_others = handed_by == Some(ProfileKind::Base) && !kind.installs();
        if let (Some(place), false) = (handed_at, for_others) {
            problems.extend(untaken(&profile, &place));
        }
        let plain = answers
            .into_iter()
            .map(|(name, (answer, _))| (name, answer));
        profile.answers = plain.collect();
        profile
    }
}

/// A hand-off that nothing would run: the machine would fetch it, throw it away, and be `ready`.
fn untaken(profile: &Profile, place: &Span) -> Option<Diagnostic> {
    let kind = profile.kind;
    let taken = match &profile.handoff {
        Handoff::None => true,
        Handoff::Agent(plan) if plan.is_pushed() => kind.takes_push(),
        Handoff::Steps { .. } | Handoff::Agent(_) => kind.takes_steps(),
    };
    if taken {
        return None;
    }
    let (name, word) = (&profile.name, kind.word());
    let mut help = "write `agent = \"none\"` in this profile's `[handoff]`".to_string();
    if kind.takes_push() {
        help.push_str(", or let this server do it: `agent = \"ansible\"` with `push`");
    }
    let problem = Diagnostic::error(format!(
        "the profile `{name}` hands over, and nothing on a machine of kind `{word}` would run it"
    ));
    let label = format!("no first boot of `{word}` runs steps or an agent");
    Some(
        problem
            .at(Span {
                label,
                ..place.clone()
            })
            .help(help),
    )
}

/// The settings of the agent that a profile hands over to. A base may leave them to its children.
fn agent_of(
    name: &Name,
    chain: &[(&Name, &Folder)],
    (agent, place): (Agent, &Span),
    profile: &Profile,
    problems: &mut Vec<Diagnostic>,
) -> Option<AgentSpec> {
    let layers = chain.iter().rev().map(|(_, folder)| &folder.layer);
    let mut tables = layers.flat_map(|layer| &layer.agents);
    let Some((_, (named, table))) = tables.find(|(of, _)| *of == agent) else {
        if profile.kind != ProfileKind::Base {
            problems.push(
                Diagnostic::error(format!(
                    "the profile `{name}` hands over to {agent} and has no `[handoff.{agent}]`"
                ))
                .at(place.clone())
                .help("docs/agents.md says what to write there"),
            );
        }
        return None;
    };
    let spec = named.spec.clone()?; // else its own error was noted
    if profile.kind == ProfileKind::Base {
        return Some(spec);
    }
    let at = named.file.as_ref().unwrap_or(table);
    for file in spec.files() {
        let Some(bytes) = profile.files.get(file) else {
            problems.push(missing(name, "file", file, at, profile.files.keys()));
            continue;
        };
        if let Err(wrong) = public_key(&spec, bytes) {
            let label = "this file".to_string();
            problems.push(Diagnostic::error(format!("`{file}` {wrong}")).at(Span {
                label,
                ..at.clone()
            }));
        }
    }
    Some(spec)
}

/// Whether a file is what the machine is to trust, and nothing that must stay where it is.
fn public_key(spec: &AgentSpec, bytes: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(bytes);
    if text.contains("PRIVATE KEY") {
        return Err("holds a private key; the machine needs the public half".to_string());
    }
    let (mark, what) = match spec.agent() {
        Agent::Puppet => ("-----BEGIN CERTIFICATE-----", "certificate"),
        Agent::Cfengine => ("-----BEGIN RSA PUBLIC KEY-----", "public key of CFEngine"),
        _ => ("-----BEGIN PUBLIC KEY-----", "public key"),
    };
    match text.contains(mark) {
        true => Ok(()),
        false => Err(format!("holds no {what} in PEM: no line is `{mark}`")),
    }
}

/// The nearest kind; to be a base is not inherited.
fn inherited_kind(chain: &[(&Name, &Folder)]) -> Option<ProfileKind> {
    let kinds = chain
        .iter()
        .rev()
        .filter_map(|(_, folder)| folder.layer.kind);
    kinds.into_iter().find(|kind| *kind != ProfileKind::Base)
}

fn deadlines(layers: Vec<&Layer>) -> Deadlines {
    let usual = Deadlines::default();
    let first = |of: fn(&Layer) -> Option<Duration>| layers.iter().find_map(|l| of(l));
    Deadlines {
        boot: first(|l| l.boot).unwrap_or(usual.boot),
        install: first(|l| l.install).unwrap_or(usual.install),
        first_boot: first(|l| l.first_boot).unwrap_or(usual.first_boot),
        configure: first(|l| l.configure).unwrap_or(usual.configure),
    }
}

fn unknown<'a>(
    message: String,
    place: &Span,
    word: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> Diagnostic {
    let label = "no such name".to_string();
    let problem = Diagnostic::error(message).at(Span {
        label,
        ..place.clone()
    });
    super::field::with_help(problem, instead(word, known))
}

fn missing<'a>(
    profile: &Name,
    what: &str,
    path: &str,
    place: &Span,
    files: impl IntoIterator<Item = &'a String> + Clone,
) -> Diagnostic {
    let files = files.into_iter().map(String::as_str);
    let known: BTreeSet<&str> = match what {
        "folder" => files.filter_map(|f| Some(f.rsplit_once('/')?.0)).collect(),
        _ => files.collect(),
    };
    let problem = Diagnostic::error(format!(
        "the {what} `{path}` is neither in `profiles/{profile}` nor in what it inherits from"
    ))
    .at(Span {
        label: format!("no such {what}"),
        ..place.clone()
    });
    super::field::with_help(problem, instead(path, known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{FileSet, SourceFile, parse};

    #[test]
    fn a_profile_is_its_own_layer_over_its_parents() {
        let mut files = FileSet::default()
            .with("systems.toml", &b"[defaults]\nvars = { a = 0, z = 0 }\n"[..])
            .with("boot/d.toml", &b"kernel = \"k\"\n[artefact.k]\nfile = \"/k\"\n[vars]\na = 1\nb = 1"[..])
            .with("profiles/old/profile.toml", &b"kind = \"base\"\ndistro = \"d\"\ncmdline = \"quiet\"\n[vars]\nb = 2\nt = { x = 2, y = 2 }\n[answers]\nkept = \"one\"\nown = \"one\"\n[deadline]\nboot = \"1m\"\ninstall = \"2m\"\n[disk]\nserial = \"S\"\n[handoff]\nagent = \"steps\"\ntimeout = \"5m\""[..])
            .with("profiles/old/one", &b"old"[..])
            .with("profiles/old/steps/10-a", &b"old"[..])
            .with("profiles/new/profile.toml", &b"kind = \"fai\"\ninherit = \"old\"\nattempts = 5\n[vars]\nt = { y = 3 }\n[answers]\nown = \"tree\"\n[deadline]\ninstall = \"3m\"\n[disk]\npath = \"/dev/sda\"\nmay_destroy = \"any\""[..])
            .with("profiles/new/one", &b"new"[..])
            .with("profiles/new/tree/a", &b"a"[..]);
        let step = "profiles/old/steps/10-a".to_string();
        files.files.insert(step, SourceFile::new(*b"old", true));
        let parsed = parse(&files);
        let site = parsed
            .site
            .unwrap_or_else(|| panic!("{:?}", parsed.diagnostics));
        let new = &site.profiles["new"];
        assert_eq!(new.kind, ProfileKind::Fai);
        assert_eq!(new.distro.as_deref(), Some("d"));
        assert_eq!(new.cmdline, "quiet");
        let vars = serde_json::json!({"a": 1, "z": 0, "b": 2, "t": {"x": 2, "y": 3}});
        assert_eq!(serde_json::to_value(&new.vars).expect("json"), vars);
        let minutes = |d: Duration| d.as_secs() / 60;
        let deadlines = new.deadlines;
        assert_eq!(
            (minutes(deadlines.boot), minutes(deadlines.install)),
            (1, 3)
        );
        assert_eq!(deadlines.configure, Deadlines::default().configure);
        assert_eq!(&*new.files["one"], b"new");
        assert!(new.executable.contains("steps/10-a"));
        let file = "one".to_string();
        assert_eq!(new.answers["kept"], Answer::Template { file });
        let dir = "tree".to_string();
        assert_eq!(new.answers["own"], Answer::Folder { dir });
        // A disk rule is one value: two rules that must both match help nobody.
        assert_eq!(
            (new.disk.serial.as_deref(), new.disk.path.as_deref()),
            (None, Some("/dev/sda"))
        );
        let (dir, timeout) = ("steps".to_string(), Duration::from_secs(300));
        assert_eq!(new.handoff, Handoff::Steps { dir, timeout });
        assert_eq!(
            (new.attempts, new.may_destroy.as_slice()),
            (5, &["any".to_string()][..])
        );
        assert_eq!(site.profiles["old"].kind, ProfileKind::Base);
    }

    /// What is wrong with a profile of this kind that says this of its hand-off.
    fn told(kind: &str, handoff: &str) -> Vec<Diagnostic> {
        let own = format!("kind = \"{kind}\"\ndistro = \"d\"\n{handoff}");
        let files = FileSet::default()
            .with("systems.toml", &b""[..])
            .with(
                "boot/d.toml",
                &b"kernel = \"k\"\n[artefact.k]\nfile = \"/k\"\n"[..],
            )
            .with("profiles/p/profile.toml", own.as_bytes())
            .with("profiles/p/steps/10-a", &b"#!/bin/sh\ntrue\n"[..]);
        parse(&files).diagnostics
    }

    #[test]
    fn a_hand_off_that_nothing_would_run_is_refused_where_it_stands() {
        let chef = "agent = \"chef\"\n[handoff.chef]\nserver = \"https://chef.example/o\"\nclient_key = \"c\"\nrun_list = [\"role[web]\"]\n";
        let push = "agent = \"ansible\"\n[handoff.ansible]\npush = \"/srv/site.yml\"\nkey = \"/root/key\"\n";
        for (word, kind) in ProfileKind::WORDS {
            let cases = [
                ("agent = \"none\"\n".to_string(), true),
                ("agent = \"steps\"\n".to_string(), kind.takes_steps()),
                (chef.to_string(), kind.takes_steps()),
                (push.to_string(), kind.takes_push()),
                (format!("steps = \"steps\"\n{push}"), kind.takes_steps()),
            ];
            for (said, sound) in cases {
                let told = told(word, &format!("[handoff]\n{said}"));
                let shown: Vec<String> = told.iter().map(ToString::to_string).collect();
                assert_eq!(told.is_empty(), sound, "{word}: {said}{shown:#?}");
                if let Some(problem) = told.first() {
                    let at = problem.spans.first().expect("a place");
                    assert_eq!(&*at.file, "profiles/p/profile.toml", "{word}");
                    assert!(shown[0].contains(word), "{shown:?}");
                    let fix = problem.help.as_deref().unwrap_or("");
                    assert!(fix.contains("agent = \"none\""), "{fix}");
                    assert_eq!(fix.contains("push"), kind.takes_push(), "{fix}");
                }
            }
            // nobody may have to say it twice
            assert!(told(word, "").is_empty(), "{word}");
        }
        let list = |of: fn(ProfileKind) -> bool| -> Vec<&str> {
            let kinds = ProfileKind::WORDS.iter().filter(|(_, kind)| !of(*kind));
            kinds.map(|(word, _)| *word).collect()
        };
        assert_eq!(
            list(ProfileKind::takes_steps),
            [
                "talos", "windows", "esxi", "smartos", "freebsd", "openbsd", "live", "kernel"
            ]
        );
        assert_eq!(
            list(ProfileKind::takes_push),
            ["talos", "windows", "esxi", "smartos", "live", "kernel"]
        );
    }

    #[test]
    fn what_a_base_hands_over_is_for_those_that_install_and_can_be_taken_back() {
        let site = |kind: &str, own: &str| {
            let text = format!("kind = \"{kind}\"\ninherit = \"old\"\ndistro = \"d\"\n{own}");
            let files = FileSet::default()
                .with("systems.toml", &b""[..])
                .with(
                    "boot/d.toml",
                    &b"kernel = \"k\"\n[artefact.k]\nfile = \"/k\"\n"[..],
                )
                .with(
                    "profiles/old/profile.toml",
                    &b"kind = \"base\"\n[handoff]\nagent = \"steps\"\n"[..],
                )
                .with("profiles/old/steps/10-a", &b"#!/bin/sh\ntrue\n"[..])
                .with("profiles/new/profile.toml", text.as_bytes());
            parse(&files).diagnostics
        };
        assert!(site("preseed", "").is_empty());
        assert!(site("live", "").is_empty(), "a rescue system beside it");
        let told = site("windows", "");
        let place = told.first().and_then(|d| d.spans.first()).expect("a place");
        assert_eq!(
            &*place.file, "profiles/old/profile.toml",
            "where it is said"
        );
        assert!(site("windows", "[handoff]\nagent = \"none\"\n").is_empty());
    }
}
