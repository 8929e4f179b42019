//! What a Puppet server reports of a run (`reports = http`): YAML, report format 12.

use yaml_rust2::scanner::{Scanner, TokenType};
use yaml_rust2::{Yaml, YamlLoader};

use crate::model::event::printable;

/// Levels of a report; Puppet's have six.
const DEEPEST: usize = 64;

/// What a report says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunReport {
    /// Whose run: the certificate's name.
    pub host: String,
    /// `changed`, `unchanged` or `failed`.
    pub status: String,
    /// What went wrong first: a resource and why, else the first error of the run.
    pub finding: Option<String>,
}

/// Reads a report.
///
/// # Errors
/// A sentence, if it is none.
pub fn read_report(text: &str) -> Result<RunReport, String> {
    plain(text)?;
    let documents =
        YamlLoader::load_from_str(text).map_err(|e| format!("the report is no YAML: {e}"))?;
    let [report] = documents.as_slice() else {
        return Err("the report is not one document".to_string());
    };
    let text = |key: &str| report[key].as_str().map(str::to_string);
    let host = text("host").ok_or("the report names no host")?;
    let status = text("status").ok_or("the report has no status")?;
    let finding = match status.as_str() {
        "failed" => failing_resource(report).or_else(|| first_error(report)),
        _ => None,
    };
    Ok(RunReport {
        host: printable(&host, 253),
        status: printable(&status, 20),
        finding,
    })
}

/// Refuses what would cost more than it is long. An alias can stand for anything, and the parser calls
/// itself for each level, of which a few bytes open one.
fn plain(text: &str) -> Result<(), String> {
    let mut depth = 0_usize;
    for token in Scanner::new(text.chars()) {
        match token.1 {
            TokenType::Alias(_) => return Err("a report with aliases is not read".to_string()),
            TokenType::BlockSequenceStart
            | TokenType::BlockMappingStart
            | TokenType::FlowSequenceStart
            | TokenType::FlowMappingStart => depth += 1,
            TokenType::BlockEnd | TokenType::FlowSequenceEnd | TokenType::FlowMappingEnd => {
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
        if depth > DEEPEST {
            return Err(format!(
                "a report of more than {DEEPEST} levels is not read"
            ));
        }
    }
    Ok(())
}

/// The first resource that failed, in the order they were applied.
fn failing_resource(report: &Yaml) -> Option<String> {
    let resources = report["resource_statuses"].as_hash()?;
    let is = |resource: &Yaml, key: &str| resource[key].as_bool() == Some(true);
    let (name, resource) = resources
        .iter()
        .find(|(_, r)| is(r, "failed") || is(r, "failed_to_restart"))?;
    let events = resource["events"].as_vec();
    let failed = events
        .into_iter()
        .flatten()
        .find(|e| e["status"].as_str() == Some("failure"));
    let why = failed.and_then(|e| e["message"].as_str());
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    let place = match (resource["file"].as_str(), resource["line"].as_i64()) {
        (Some(file), Some(line)) => format!(" ({file}:{line})"),
        _ => String::new(),
    };
    Some(printable(
        &format!("{}{why}{place}", name.as_str().unwrap_or("a resource")),
        500,
    ))
}

/// The first error of a run that got no catalogue.
fn first_error(report: &Yaml) -> Option<String> {
    let logs = report["logs"].as_vec()?;
    let error = logs.iter().find(|l| {
        matches!(
            l["level"].as_str(),
            Some("err" | "alert" | "crit" | "emerg")
        )
    })?;
    Some(printable(error["message"].as_str()?, 500))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sent by Puppet Server 7.9.5 of Debian 12; metrics and some lines of its log are cut out.
    const FAILED: &str = include_str!("testdata/puppet-report.yaml");

    #[test]
    fn a_report_of_many_levels_is_refused_before_it_is_read() {
        for deep in [
            "- ".repeat(50_000) + "x",
            "[".repeat(50_000),
            "{a: ".repeat(50_000),
        ] {
            let error = read_report(&deep).expect_err("too deep");
            assert!(
                error.contains("levels") || error.contains("no YAML"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_first_resource_that_failed_is_named() {
        let report = read_report(FAILED).expect("a report");
        assert_eq!(
            (report.host.as_str(), report.status.as_str()),
            ("web01.lab.example", "failed")
        );
        assert_eq!(
            report.finding.as_deref(),
            Some(
                "Exec[break it]: change from 'notrun' to ['0'] failed: '/bin/false' returned 1 \
                 instead of one of [0] (/etc/puppet/code/environments/production/manifests/site.pp:2)"
            )
        );
    }

    #[test]
    fn a_run_without_a_catalogue_tells_its_first_error() {
        let text = "--- !ruby/object:Puppet::Transaction::Report\nhost: web01\nstatus: failed\nlogs:\n- level: info\n  message: hello\n- level: err\n  message: 'Could not retrieve catalog: it''s\n    broken'\nresource_statuses: {}\n";
        let report = read_report(text).expect("a report");
        let finding = report.finding.as_deref();
        assert_eq!(finding, Some("Could not retrieve catalog: it's broken"));
        let well = text.replace("status: failed", "status: changed");
        assert_eq!(read_report(&well).expect("a report").finding, None);
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for text in [
            "",
            "x",
            "host: a\n",
            "status: failed\n",
            "- a\n- b\n",
            "host: [\n",
            "a: b\n---\nc: d\n",
            "a: &x [1]\nhost: a\nstatus: b\nb: *x\n",
        ] {
            assert!(read_report(text).is_err(), "{text}");
        }
    }
}
