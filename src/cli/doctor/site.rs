//! The site's files and the artefacts its profiles need.

use super::finding::Finding;
use crate::artefacts::{LoaderState, Shelf};
use crate::boot::paths;
use crate::cli::place::Place;
use crate::cli::{check, offline};
use crate::model::artefact::LOADERS;
use crate::model::view::DistroView;
use crate::model::{Refusal, Severity, Site};

/// Whether the files are sound.
pub(super) fn load(place: &Place) -> (Option<Site>, Vec<Finding>) {
    let what = "site";
    match offline::load(place) {
        Ok(loaded) => {
            let report = check::whole(&loaded);
            let (errors, warnings): (Vec<_>, Vec<_>) = report
                .problems
                .iter()
                .partition(|p| p.severity == Severity::Error);
            let mut findings = vec![match errors.first() {
                None => Finding::ok(
                    what,
                    format!(
                        "`{}`: {} systems, {} profiles, {} distros",
                        place.site.display(),
                        report.systems,
                        report.profiles,
                        report.distros
                    ),
                ),
                Some(first) => {
                    let more = more(errors.len());
                    let message = format!("not every system renders: {}{more}", first.message);
                    Finding::fail(what, message, "farrier check")
                }
            }];
            if let Some(note) = &loaded.site.frozen {
                findings.push(Finding::warn(
                    what,
                    format!("it is frozen, so nothing is installed: {note}"),
                    "remove `freeze` from farrier.toml",
                ));
            }
            for warning in warnings {
                findings.push(Finding::warn(
                    what,
                    warning.message.clone(),
                    "farrier check",
                ));
            }
            (Some(loaded.site), findings)
        }
        Err(refusal) => (None, vec![unsound(&refusal)]),
    }
}

/// What is said of problems beyond the first.
fn more(problems: usize) -> String {
    match problems {
        0 | 1 => String::new(),
        2 => ", and 1 more problem".to_string(),
        n => format!(", and {} more problems", n - 1),
    }
}

fn unsound(refusal: &Refusal) -> Finding {
    let more = more(refusal.problems.len());
    let help = if refusal.problems.is_empty() {
        refusal.help.clone()
    } else {
        Some("farrier check".to_string())
    };
    Finding::fail(
        "site",
        format!("{}{more}", refusal.message),
        help.unwrap_or_else(|| "farrier check".to_string()),
    )
}

/// Whether the kernels and initrds are here that systems would boot.
pub(super) fn artefacts(
    site: &Site,
    place: &Place,
    distros: Option<&[DistroView]>,
) -> Vec<Finding> {
    let what = "artefacts";
    let views = match distros {
        Some(distros) => distros.to_vec(),
        None => offline::distros(site, place),
    };
    let mut findings = lacking(site, &views);
    if findings.is_empty() {
        findings.push(Finding::ok(what, "all kernels and initrds are here"));
    }
    let states = Shelf::open(&place.state).loaders();
    findings.extend(loaders(&states));
    findings.extend(http_boot(site, &states));
    findings
}

/// What is missing of distros. A site has dozens that it never uses: those are counted, not listed.
fn lacking(site: &Site, views: &[DistroView]) -> Vec<Finding> {
    let what = "artefacts";
    let needed = |distro: &DistroView| {
        site.systems.values().any(|s| {
            let profile = site.profile_of(s).and_then(|p| p.distro.as_ref());
            profile.is_some_and(|name| name.as_str() == distro.name)
        })
    };
    let missing = views
        .iter()
        .filter(|d| !d.missing.is_empty() && d.name != LOADERS);
    let (needed, others): (Vec<_>, Vec<_>) = missing.partition(|d| needed(d));
    let mut findings: Vec<Finding> = needed
        .into_iter()
        .map(|d| {
            let message = format!("`{}` lacks {}", d.name, d.missing.join(", "));
            Finding::fail(what, message, format!("farrier distro fetch {}", d.name))
        })
        .collect();
    if !others.is_empty() {
        findings.push(Finding::ok(
            what,
            match others.as_slice() {
                [one] => format!("`{}` is not here, and no system needs it", one.name),
                more => format!(
                    "{} distros are not here, and no system needs them",
                    more.len()
                ),
            },
        ));
    }
    findings
}

/// Whether the network boot loaders are here that machines begin with.
fn loaders(states: &[LoaderState]) -> Vec<Finding> {
    let what = "loaders";
    let (here, missing): (Vec<_>, Vec<_>) = states.iter().partition(|s| s.origin.is_some());
    let mut findings: Vec<Finding> = missing
        .into_iter()
        .map(|s| {
            let message = format!("`{}` is not here", s.name);
            if s.packaged {
                Finding::fail(what, message, s.fix.clone())
            } else {
                Finding::warn(what, message, s.fix.clone())
            }
        })
        .collect();
    if !here.is_empty() {
        let names: Vec<&str> = here.iter().map(|s| s.name).collect();
        findings.insert(
            0,
            Finding::ok(what, format!("{} are here", names.join(", "))),
        );
    }
    findings
}

/// With Secure Boot, HTTP boot needs a signed GRUB that can fetch by HTTP. Without one, nothing is
/// wrong: firmware goes on to PXE.
fn http_boot(site: &Site, states: &[LoaderState]) -> Option<Finding> {
    let grub = states.iter().find(|s| s.name == paths::GRUB)?;
    let asked = site.systems.values().any(|s| s.secure_boot);
    (asked && grub.origin.is_some() && !grub.nature.http).then(|| {
        Finding::ok(
            "loaders",
            format!(
                "`{}` has no HTTP: with Secure Boot machines boot by PXE, and firmware that asks \
                 for HTTP boot is left to go on to it",
                grub.name
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;

    #[test]
    fn distros_that_no_system_needs_are_counted() {
        let view = |name: &str| DistroView {
            name: name.to_string(),
            present: 0,
            declared: 1,
            size: 0,
            profiles: Vec::new(),
            missing: vec!["linux".to_string()],
            unpinned: std::collections::BTreeMap::new(),
            loaders: Vec::new(),
        };
        let files = crate::inventory::FileSet::default()
            .with(
                "systems.toml",
                &b"[system.a]\nmac = \"52:54:00:00:00:01\"\nprofile = \"p\"\n"[..],
            )
            .with(
                "boot/used.toml",
                &b"kernel = \"linux\"\n[artefact.linux]\nfile = \"/k\""[..],
            )
            .with(
                "profiles/p/profile.toml",
                &b"kind = \"fai\"\ndistro = \"used\""[..],
            );
        let site = crate::inventory::parse(&files).site.expect("a site");
        let found = lacking(
            &site,
            &[view("used"), view("one"), view("two"), view(LOADERS)],
        );
        let said: Vec<_> = found.iter().map(|f| (f.level, &*f.message)).collect();
        assert_eq!(
            said,
            [
                (Level::Fail, "`used` lacks linux"),
                (
                    Level::Ok,
                    "2 distros are not here, and no system needs them"
                ),
            ]
        );
    }

    #[test]
    fn a_missing_loader_is_named_with_what_to_do() {
        let root = tempfile::tempdir().expect("a directory");
        let shelf = Shelf::on_host(root.path(), root.path());
        let found = loaders(&shelf.loaders());
        assert!(found.iter().all(|f| f.level != Level::Ok), "{found:?}");
        let of = |name: &str| {
            let line = found.iter().find(|f| f.message.contains(name));
            let line = line.expect("it is named");
            (line.level, line.help.clone().unwrap_or_default())
        };
        let (level, help) = of("undionly.kpxe");
        assert_eq!(level, Level::Fail);
        assert!(help.contains("farrier distro fetch loaders"), "{help}");
        let (level, help) = of("snponly-arm64.efi");
        assert_eq!(level, Level::Warn);
        assert!(help.contains("put it at"), "{help}");

        let at = root.path().join("usr/lib/ipxe");
        std::fs::create_dir_all(&at).expect("made");
        std::fs::write(at.join("undionly.kpxe"), "x").expect("written");
        let found = loaders(&shelf.loaders());
        assert_eq!(found[0], Finding::ok("loaders", "undionly.kpxe are here"));
    }
}
