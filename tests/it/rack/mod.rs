//! The real program with real clients and real firmware, in private racks.
//!
//! Every scenario needs root and tools; what this host lacks is said in a line that no runner hides,
//! and the scenario is skipped. Scenarios that install for minutes run with `FARRIER_TEST=all`.

mod archive;
mod canary;
mod debian;
mod desk;
mod doors;
mod encrypted;
mod failures;
mod firmware;
mod foreign;
mod ipxe;
mod lifecycle;
mod oneshot;
mod operator;
pub(crate) mod outside;
mod own_disk;
pub(crate) mod phantom;
mod recipes;
pub(crate) mod scenario;
mod seed;
mod seen;
pub(crate) mod site;
mod tang;

use farrier::cli::demo::rack::tools::{self, Need};

/// Whether a scenario can run here; says so if not. `heavy` ones must be asked for.
pub(crate) fn can_run(scenario: &str, lists: &[&[Need]], heavy: bool) -> bool {
    let why = if heavy && std::env::var_os("FARRIER_TEST").is_none_or(|v| v != "all") {
        "it takes minutes; run it with FARRIER_TEST=all".to_string()
    } else if !tools::is_root() {
        "it needs root".to_string()
    } else {
        let missing = tools::missing(lists);
        if missing.is_empty() {
            return true;
        }
        format!(
            "install {} (`cargo xtask test` does)",
            tools::packages(&missing).join(" ")
        )
    };
    crate::skipped!("{scenario}: {why}");
    false
}
