//! What `rebuild` and `boot` share: show what is at stake, ask, flag.

use std::collections::BTreeMap;

use super::Exit;
use super::agree::AgreeArguments;
use super::printer::Column;
use super::session::Session;
use super::time;
use crate::model::command::{FlagOutcome, FlagReport, FlagRequest};
use crate::model::{DiskRule, Purpose, Refusal, Timestamp};

const PLAN: &[Column<FlagOutcome>] = &[
    Column::new("NAME", |m| m.name.to_string()),
    Column::new("PHASE", |m| m.phase.to_string()),
    Column::new("PROFILE", |m| m.profile.to_string()),
    Column::new("DESTROYS", destroys),
    Column::new("LAST DISK", |m| m.last_disk.clone().unwrap_or_default()),
    Column::new("LAST BUILD", last_build),
    Column::new("REFUSED", |m| {
        m.refusal
            .as_ref()
            .map(|r| r.message.clone())
            .unwrap_or_default()
    }),
];

/// Plans, asks, flags and prints. One machine that writes no disk is not asked about.
pub(super) async fn run(
    session: &Session,
    verb: &str,
    agree: &AgreeArguments,
    mut request: FlagRequest,
    dry_run: bool,
) -> Result<Exit, Refusal> {
    request.dry_run = true;
    request.expect = agree.expect;
    let plan: FlagReport = session.client.post("/v1/flag", &request).await?;
    if plan.machines.is_empty() {
        return Err(super::selection::nothing(verb));
    }
    if dry_run {
        print(session, &plan);
        warn(session, &plan);
        return plan.refusal().map_or(Ok(Exit::Done), Err);
    }
    session.printer.talk(
        session
            .printer
            .table(&plan.machines, PLAN, false)
            .trim_end(),
    );
    if let Some(refusal) = plan.refusal() {
        return Err(refusal);
    }
    warn(session, &plan);
    let harmless = plan.machines.len() == 1 && plan.machines.iter().all(|m| !m.kind.installs());
    if !harmless || agree.expect.is_some() {
        let names: Vec<String> = plan.machines.iter().map(|m| m.name.to_string()).collect();
        agree.ask(session, verb, &names)?;
    }
    request.dry_run = false;
    request.expect = Some(plan.machines.len());
    request.agreed = Some(plan.fingerprint());
    let report: FlagReport = session.client.post("/v1/flag", &request).await?;
    print(session, &report);
    match report.refusal() {
        Some(refusal) => Err(refusal),
        None => {
            next(session, &report);
            Ok(Exit::Done)
        }
    }
}

const DONE: &[Column<FlagOutcome>] = &[
    Column::new("NAME", |m| m.name.to_string()),
    Column::new("BUILD", |m| {
        m.build.map(|b| b.to_string()).unwrap_or_default()
    }),
    Column::new("PROFILE", |m| m.profile.to_string()),
    Column::new("EXPIRES", |m| {
        m.expires
            .map(|at| time::relative(at, Timestamp::now()))
            .unwrap_or_default()
    }),
];

fn print(session: &Session, report: &FlagReport) {
    let columns = if report.dry_run { PLAN } else { DONE };
    session.printer.list(
        &report.machines,
        columns,
        |m| m.name.to_string(),
        "no system is selected",
    );
}

/// What may come of it that an operator would not expect; of many machines once.
fn warn(session: &Session, plan: &FlagReport) {
    let mut said: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for machine in &plan.machines {
        if let Some(warning) = &machine.warning {
            said.entry(warning).or_default().push(machine.name.as_str());
        }
    }
    for (warning, names) in said {
        let who = match names.as_slice() {
            [one] => format!("`{one}`"),
            [one, more @ ..] => format!("`{one}` and {} more", more.len()),
            [] => continue,
        };
        session.printer.talk(&format!("warning: {who}: {warning}"));
    }
}

/// What happens next, and what to type.
fn next(session: &Session, report: &FlagReport) {
    let [first, rest @ ..] = report.machines.as_slice() else {
        return;
    };
    let (who, its, names) = if rest.is_empty() {
        (format!("`{}`", first.name), "its", first.name.to_string())
    } else {
        (
            format!("{} systems", report.machines.len()),
            "their",
            "NAME".to_string(),
        )
    };
    let what = match first.purpose {
        Purpose::Install => format!("installs `{}`", first.profile),
        Purpose::Once => format!("boots `{}` once", first.profile),
    };
    let what = if rest.is_empty() {
        what
    } else {
        what.replacen("installs", "install", 1)
            .replacen("boots", "boot", 1)
    };
    for machine in &report.machines {
        if let Some(waits) = &machine.waits {
            session.printer.talk(&format!(
                "`{}` is not told to install yet: {waits}; it is tried again",
                machine.name
            ));
        }
    }
    session.printer.talk(&format!(
        "{who} {what} at {its} next network boot; switch the power off and on\n\
         farrier watch {names}"
    ));
}

fn last_build(m: &FlagOutcome) -> String {
    match (m.last_build, m.last_ended) {
        (Some(build), Some(at)) => {
            format!("#{build}, {}", time::relative(at, Timestamp::now()))
        }
        (Some(build), None) => format!("#{build}"),
        _ => "none".to_string(),
    }
}

/// What is at stake on one machine: which disk, holding what.
fn destroys(m: &FlagOutcome) -> String {
    if !m.kind.installs() {
        return "nothing".to_string();
    }
    let holding = match m.may_destroy.as_slice() {
        list if list.iter().any(|w| w == "any") => "whatever it holds".to_string(),
        _ if m.wipe => "whatever it holds unless other machines may be using it".to_string(),
        [] => "only if blank".to_string(),
        list => format!("if it holds {}", list.join(" or ")),
    };
    format!("{}, {holding}", disks(&m.disk, m.second.as_ref()))
}

/// The disks that would be written, in words.
pub(super) fn disks(first: &DiskRule, second: Option<&DiskRule>) -> String {
    let any = DiskRule::default();
    match second {
        None => rule(first),
        Some(second) if *first == any && *second == any => "both its disks".to_string(),
        Some(second) => {
            let named = |disk: &DiskRule| match *disk == any {
                true => "its other disk".to_string(),
                false => rule(disk),
            };
            format!("{} and {}", named(first), named(second))
        }
    }
}

/// A disk rule in words.
fn rule(disk: &DiskRule) -> String {
    let mut words = Vec::new();
    let mut add = |what: &str, value: Option<String>| {
        if let Some(value) = value {
            words.push(format!("{what} {value}"));
        }
    };
    add("path", disk.path.clone());
    add("serial", disk.serial.clone());
    add("wwn", disk.wwn.clone());
    add("model", disk.model.clone());
    add("at least", disk.min_size.map(time::bytes));
    add("at most", disk.max_size.map(time::bytes));
    if words.is_empty() {
        "its only disk".to_string()
    } else {
        format!("disk {}", words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_agreed_to_names_both_disks() {
        let outcome = serde_json::json!({
            "name": "web01", "purpose": "install", "profile": "p", "kind": "preseed",
            "phase": "ready", "last_build": 1, "last_ended": null, "last_disk": null,
            "disk": {}, "may_destroy": [], "wipe": false, "protected": false,
            "refusal": null, "build": null, "expires": null,
        });
        let mut machine: FlagOutcome = serde_json::from_value(outcome).expect("an outcome");
        let fingerprint = |machine: &FlagOutcome| {
            let report = FlagReport {
                dry_run: true,
                machines: vec![machine.clone()],
            };
            report.fingerprint()
        };
        let one = fingerprint(&machine);
        machine.second = Some(DiskRule::default());
        assert_ne!(fingerprint(&machine), one);
    }
}
