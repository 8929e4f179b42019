//! Which systems a selection means: resolved here, once, against one snapshot.

use std::sync::Arc;

use super::{Control, Snapshot};
use crate::inventory::{self, SelectError};
use crate::model::command::Selection;
use crate::model::{Code, Phase, Refusal, System};

impl Control {
    /// The systems a selection means, by name. An empty selection is all of them where that is
    /// harmless (`all_if_empty`) and refused elsewhere.
    pub(super) fn resolve(
        &self,
        snapshot: &Snapshot,
        selection: &Selection,
        all_if_empty: bool,
    ) -> Result<Vec<Arc<System>>, Refusal> {
        let site = &snapshot.site;
        let by_words = !selection.selectors.is_empty() || !selection.tags.is_empty();
        let mut systems: Vec<Arc<System>> = if by_words {
            let names = inventory::select(site, &selection.selectors, &selection.tags);
            let names = names.map_err(|e| refusal(&e))?;
            names
                .iter()
                .filter_map(|n| site.system(n).cloned())
                .collect()
        } else if all_if_empty || !selection.phases.is_empty() {
            let mut all: Vec<Arc<System>> = site.systems.values().cloned().collect();
            all.sort_by(|a, b| a.name.cmp(&b.name));
            all
        } else {
            return Err(refusal(&SelectError::Empty));
        };
        if !selection.phases.is_empty() {
            systems.retain(|s| {
                let build = snapshot
                    .machines
                    .get(&s.name)
                    .and_then(|m| m.build.as_ref());
                selection
                    .phases
                    .contains(&build.map_or(Phase::Idle, |b| b.phase))
            });
            if systems.is_empty() && !all_if_empty {
                return Err(
                    Refusal::new(Code::NotFound, "no selected system is in that phase")
                        .help("farrier ls"),
                );
            }
        }
        Ok(systems)
    }
}

fn refusal(error: &SelectError) -> Refusal {
    let code = match error {
        SelectError::Empty => Code::Refused,
        SelectError::Malformed { .. } | SelectError::Blank => Code::Usage,
        SelectError::NotFound { .. } | SelectError::NoneLeft { .. } => Code::NotFound,
    };
    Refusal::new(code, error.to_string()).help("farrier ls")
}

/// Names close to a mistyped one, the likeliest first.
pub(crate) fn near(name: &str, names: &[String]) -> Vec<String> {
    let mut scored: Vec<(f64, &String)> = names
        .iter()
        .map(|n| (strsim::jaro_winkler(name, n), n))
        .filter(|(score, _)| *score > 0.8)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(3).map(|(_, n)| n.clone()).collect()
}
