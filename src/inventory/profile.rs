//! `profiles/NAME/profile.toml`: one layer, before inheritance.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::agent::{self, Named};
use super::disk;
use super::distro::{is_plain, relative};
use super::field::{Field, Section};
use super::intent::{self, partial};
use super::settings::one_of;
use super::way;
use crate::model::{Agent, Answer, Delivery, DiskRule, Name, Partial, ProfileKind, Span};

/// A value and where it was written.
pub(super) type Placed<T> = (T, Span);

/// What one profile.toml says; everything may be left to a parent.
#[derive(Debug, Default)]
pub(super) struct Layer {
    pub(super) kind: Option<ProfileKind>,
    pub(super) distro: Option<Placed<Name>>,
    pub(super) inherit: Option<Placed<Name>>,
    pub(super) cmdline: Option<String>,
    pub(super) answers: BTreeMap<String, Placed<Answer>>,
    pub(super) agent: Option<Placed<Handover>>,
    /// `[handoff.AGENT]` of each agent that has one.
    pub(super) agents: Vec<(Agent, Placed<Named>)>,
    pub(super) steps: Option<Placed<String>>,
    pub(super) timeout: Option<Duration>,
    pub(super) boot: Option<Duration>,
    pub(super) install: Option<Duration>,
    pub(super) first_boot: Option<Duration>,
    pub(super) configure: Option<Duration>,
    pub(super) disk: Option<DiskRule>,
    pub(super) may_destroy: Option<Vec<String>>,
    pub(super) vars: Map<String, Json>,
    pub(super) intent: Partial,
    pub(super) ignores: Vec<String>,
    pub(super) attempts: Option<u32>,
    pub(super) retry_after_write: Option<bool>,
    pub(super) delivery: Delivery,
}

/// Who finishes the machine on first boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handover {
    None,
    Steps,
    Agent(Agent),
}

/// The most boots of an installer that one flag may allow.
const MAX_ATTEMPTS: i64 = 20;

/// Reads one profile.toml.
pub(super) fn layer(root: &Section<'_>) -> Layer {
    let own = [
        "kind",
        "distro",
        "inherit",
        "cmdline",
        "answers",
        "handoff",
        "deadline",
        "disk",
        "vars",
        "attempts",
        "retry_after_write",
        "overlay",
        "module",
        "ignores",
    ];
    root.only(&[own.as_slice(), &intent::KEYS].concat());
    let mut layer = Layer {
        kind: root
            .get("kind")
            .and_then(|f| one_of(&f, &ProfileKind::WORDS)),
        distro: named(root, "distro"),
        inherit: named(root, "inherit"),
        cmdline: root
            .get("cmdline")
            .and_then(|f| f.lines())
            .map(str::to_string),
        retry_after_write: root.boolean("retry_after_write"),
        intent: partial(root),
        ignores: root.get("ignores").map(|f| ignores(&f)).unwrap_or_default(),
        ..Layer::default()
    };
    let attempts = root
        .get("attempts")
        .and_then(|f| f.integer(1..=MAX_ATTEMPTS));
    layer.attempts = attempts.and_then(|n| u32::try_from(n).ok());
    if let Some(section) = root.section("answers", "[answers]") {
        for field in section.fields() {
            if let Some(answer) = answer(&field) {
                let span = field.page.span(field.place.clone(), "named here");
                layer.answers.insert(field.key.to_string(), (answer, span));
            }
        }
    }
    layer.delivery = way::delivery(root);
    if let Some(section) = root.section("handoff", "[handoff]") {
        handoff(&section, &mut layer);
    }
    if let Some(section) = root.section("deadline", "[deadline]") {
        section.only(&["boot", "install", "first_boot", "configure"]);
        layer.boot = section.duration("boot");
        layer.install = section.duration("install");
        layer.first_boot = section.duration("first_boot");
        layer.configure = section.duration("configure");
    }
    if let Some(section) = root.section("disk", "[disk]") {
        let mut keys = disk::KEYS.to_vec();
        keys.push("may_destroy");
        section.only(&keys);
        if disk::KEYS.iter().any(|k| section.table.contains_key(k)) {
            layer.disk = Some(disk::rule(&section));
        }
        layer.may_destroy = section.get("may_destroy").map(|f| f.texts());
    }
    if let Some(field) = root.get("vars")
        && field.section("[vars]").is_some()
        && let Some(Json::Object(vars)) = field.json()
    {
        layer.vars = vars;
    }
    layer
}

/// Keys of the intent that the profile's author knows it does not heed.
fn ignores(field: &Field<'_>) -> Vec<String> {
    let key = |field: &Field<'_>| -> Option<String> {
        let key = field.word()?;
        if !intent::is_key(key) {
            field.error(
                format!("`{key}` is nothing that a profile could leave unheeded"),
                "not a key of the intent",
                Some("write keys such as `storage.raid` or `locale`".to_string()),
            );
            return None;
        }
        Some(key.to_string())
    };
    field.elements().iter().filter_map(key).collect()
}

fn named(root: &Section<'_>, key: &str) -> Option<Placed<Name>> {
    let field = root.get(key)?;
    let name = field.parsed("a name")?;
    Some((name, field.page.span(field.place.clone(), "named here")))
}

fn answer(field: &Field<'_>) -> Option<Answer> {
    let name = field.key;
    if !is_plain(name) {
        let span = field.page.span(field.place.clone(), "under this name");
        field.page.report(
            crate::model::Diagnostic::error(format!("`{name}` cannot be the name of an answer"))
                .at(span)
                .help("it becomes part of a URL: use letters, digits and `-_.:+~`, and no dot in front"),
        );
        return None;
    }
    if field.is_table() {
        let section = field.section(format!("the answer `{name}`"))?;
        section.only(&["dir"]);
        let Some(dir) = section.get("dir") else {
            let help = "write `{ dir = \"folder\" }`, or a file name alone";
            section.error(
                format!("the answer `{name}` names no folder"),
                "`dir` is missing",
                help,
            );
            return None;
        };
        let dir = dir.by("a folder", relative)?;
        return Some(Answer::Folder { dir });
    }
    let file = field.by("a file", relative)?;
    Some(Answer::Template { file })
}

fn handoff(section: &Section<'_>, layer: &mut Layer) {
    let mut keys = vec!["agent", "steps", "timeout"];
    keys.extend(Agent::ALL.map(Agent::word));
    section.only(&keys);
    let mut agents = vec![("none", Handover::None), ("steps", Handover::Steps)];
    agents.extend(Agent::ALL.map(|agent| (agent.word(), Handover::Agent(agent))));
    layer.agent = section.get("agent").and_then(|f| {
        let agent = one_of(&f, &agents)?;
        Some((agent, f.page.span(f.place.clone(), "named here")))
    });
    layer.agents = agent::read(section);
    layer.steps = section.get("steps").and_then(|f| {
        let dir = f.by("a folder", relative)?;
        Some((dir, f.page.span(f.place.clone(), "named here")))
    });
    layer.timeout = section.duration("timeout");
}
