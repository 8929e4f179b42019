//! Which systems a selection means: resolved here, once, against one snapshot.

use std::sync::Arc;

use super::{Control, Snapshot};
use crate::model::command::Selection;
use crate::model::{Refusal, System};

impl Control {
    /// The systems a selection means, by name. An empty selection is all of them where that is
    /// harmless (`all_if_empty`) and refused elsewhere.
    pub(super) fn resolve(
        &self,
        _snapshot: &Snapshot,
        _selection: &Selection,
        _all_if_empty: bool,
    ) -> Result<Vec<Arc<System>>, Refusal> {
        Ok(Vec::new())
    }
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
