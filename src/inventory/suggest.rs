//! "Did you mean": the nearest of the words that would have been right.

/// The candidate that a person most likely meant, if one is near enough.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    let scored = candidates.into_iter().filter_map(|candidate| {
        let score = if candidate.eq_ignore_ascii_case(&word) {
            1.0
        } else {
            strsim::jaro_winkler(&word, &candidate.to_ascii_lowercase())
        };
        (score >= 0.8).then_some((score, candidate))
    });
    scored
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, candidate)| candidate)
}

/// What to say about a wrong word: the nearest right one, else all of them if they are few.
pub(super) fn instead<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<String> {
    if let Some(near) = suggest(word, candidates.clone()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let mut all: Vec<String> = candidates.into_iter().map(|c| format!("`{c}`")).collect();
    all.sort();
    (!all.is_empty() && all.len() <= 20).then(|| format!("known here: {}", all.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        let words = ["profile", "protected", "mac", "macs", "interface"];
        for (typed, meant) in [
            ("proflie", Some("profile")),
            ("Profile", Some("profile")),
            ("protect", Some("protected")),
            ("interfaces", Some("interface")),
            ("colour", None),
        ] {
            assert_eq!(suggest(typed, words), meant, "{typed}");
        }
        assert_eq!(
            instead("colour", ["b", "a"]).as_deref(),
            Some("known here: `a`, `b`")
        );
        assert_eq!(instead("colour", []), None);
    }
}
