//! The indexes of a site, and the check that no two systems share a name or address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::Ipv4Addr;
use std::sync::Arc;

use toml_edit::Document;

use super::field::{Field, Section};
use super::systems::{Loaded, SystemsFile};
use super::text::Page;
use crate::model::{Diagnostic, MacAddr, Name, Span, System};

/// Systems by everything they are looked up by.
#[derive(Debug, Default)]
pub(super) struct Register {
    pub(super) systems: HashMap<Name, Arc<System>>,
    pub(super) by_mac: HashMap<MacAddr, Arc<System>>,
    pub(super) by_ip: HashMap<Ipv4Addr, Arc<System>>,
}

/// What two systems share.
#[derive(Debug, Clone, Copy)]
enum Shared {
    Name,
    Mac(MacAddr),
    Ip(Ipv4Addr),
}

impl Register {
    /// Enters every system, faulty ones too; duplicates are noted with both places and left out.
    pub(super) fn new(
        loaded: &[Loaded],
        files: &[SystemsFile<'_>],
        problems: &mut Vec<Diagnostic>,
    ) -> Self {
        let size = loaded.len();
        let mut register = Register {
            systems: HashMap::with_capacity(size),
            by_mac: HashMap::with_capacity(size),
            by_ip: HashMap::new(),
        };
        let mut clashes: Vec<(Shared, usize, Name)> = Vec::new();
        for (number, entry) in loaded.iter().enumerate() {
            let system = &entry.system;
            match register.systems.entry(system.name.clone()) {
                Entry::Vacant(vacant) => _ = vacant.insert(system.clone()),
                Entry::Occupied(taken) => {
                    clashes.push((Shared::Name, number, taken.key().clone()));
                    continue;
                }
            }
            for interface in &system.interfaces {
                match register.by_mac.entry(interface.mac) {
                    Entry::Vacant(vacant) => _ = vacant.insert(system.clone()),
                    Entry::Occupied(taken) => {
                        let other = taken.get().name.clone();
                        clashes.push((Shared::Mac(interface.mac), number, other));
                    }
                }
                let Some(ip) = interface.ip else { continue };
                match register.by_ip.entry(ip) {
                    Entry::Vacant(vacant) => _ = vacant.insert(system.clone()),
                    Entry::Occupied(taken) => {
                        clashes.push((Shared::Ip(ip), number, taken.get().name.clone()));
                    }
                }
            }
        }
        if !clashes.is_empty() {
            report(&clashes, loaded, files, problems);
        }
        register
    }
}

fn report(
    clashes: &[(Shared, usize, Name)],
    loaded: &[Loaded],
    files: &[SystemsFile<'_>],
    problems: &mut Vec<Diagnostic>,
) {
    let mut first: HashMap<&Name, &Loaded> = HashMap::new();
    for entry in loaded {
        first.entry(&entry.system.name).or_insert(entry);
    }
    for (shared, number, other) in clashes {
        let entry = &loaded[*number];
        let name = &entry.system.name;
        let (message, here, there, help) = match shared {
            Shared::Name => (
                format!("the system `{name}` is declared twice"),
                "declared again here",
                "first declared here",
                "rename or remove one of them",
            ),
            Shared::Mac(mac) => (
                format!("`{name}` and `{other}` have the same MAC address {mac}"),
                "used again here",
                "first used here",
                "a MAC address belongs to one system: correct or remove one of them",
            ),
            Shared::Ip(ip) if name == other => (
                format!("two interfaces of `{name}` have the same address {ip}"),
                "used again here",
                "first used here",
                "reserve another address for one of them",
            ),
            Shared::Ip(ip) => (
                format!("`{name}` and `{other}` have the same address {ip}"),
                "used again here",
                "first used here",
                "reserve another address for one of them",
            ),
        };
        let mut spans = locate(entry, files, *shared);
        let mut problem = Diagnostic::error(message).help(help);
        if let Some(span) = spans.pop() {
            let label = here.to_string();
            problem = problem.at(Span { label, ..span });
        }
        // Within one system the first place is in the same list.
        let before = match first.get(other) {
            Some(earlier) if name != other || matches!(shared, Shared::Name) => {
                locate(earlier, files, *shared)
            }
            _ => spans,
        };
        if let Some(span) = before.into_iter().next() {
            let label = there.to_string();
            problem = problem.at(Span { label, ..span });
        }
        problems.push(problem);
    }
}

/// Parses a system's part once more and finds where something stands in it.
fn locate(entry: &Loaded, files: &[SystemsFile<'_>], what: Shared) -> Vec<Span> {
    let file = &files[entry.origin.file];
    let (ranges, text) = file.part(entry.origin.part);
    let page = Page::new(&file.source, ranges);
    let mut found = Vec::new();
    let Ok(document) = Document::parse(&*text) else {
        return found;
    };
    let root = Section::new(&page, "", document.as_table(), 0..0);
    let Some(systems) = root.section("system", "") else {
        return found;
    };
    let of_this = |f: &Field<'_>| {
        let name = f.key.parse::<Name>();
        name.is_ok_and(|name| name == entry.system.name)
    };
    for field in systems.fields().filter(of_this) {
        if let Shared::Name = what {
            found.push(page.span(systems.key_place(field.key), ""));
            continue;
        }
        let Some(section) = field.section("") else {
            continue;
        };
        let mut values: Vec<Field<'_>> = Vec::new();
        for key in ["mac", "macs", "ip"] {
            values.extend(section.get(key).map(|f| f.elements()).unwrap_or_default());
        }
        let tables = section.get("interface").map(|f| f.elements());
        for table in tables.unwrap_or_default() {
            let table = table.section("");
            values.extend(table.iter().flat_map(Section::fields));
        }
        for value in values.iter().filter(|v| v.is_text()) {
            let same = value.text().is_some_and(|text| match what {
                Shared::Mac(mac) => text.parse() == Ok(mac),
                Shared::Ip(ip) => text.parse() == Ok(ip),
                Shared::Name => false,
            });
            if same {
                found.push(page.span(value.place.clone(), ""));
            }
        }
    }
    found
}
