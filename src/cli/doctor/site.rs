//! The site's files and the artefacts its profiles need.

use super::finding::Finding;
use crate::cli::place::Place;
use crate::cli::{check, offline};
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
    let mut findings: Vec<Finding> = views
        .iter()
        .filter(|d| !d.missing.is_empty())
        .map(|d| {
            let message = format!("`{}` lacks {}", d.name, d.missing.join(", "));
            let fix = format!("farrier distro fetch {}", d.name);
            let needed = site.systems.values().any(|s| {
                let profile = site.profile_of(s).and_then(|p| p.distro.as_ref());
                profile.is_some_and(|name| name.as_str() == d.name)
            });
            if needed || d.name == crate::model::artefact::LOADERS {
                Finding::fail(what, message, fix)
            } else {
                Finding::warn(what, format!("{message}; no system needs it yet"), fix)
            }
        })
        .collect();
    if findings.is_empty() {
        findings.push(Finding::ok(
            what,
            "all kernels, initrds and loaders are here",
        ));
    }
    findings
}
